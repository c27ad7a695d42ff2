"""What chapter 7 uses of the chapters before it, and where each thing lives."""

try:
    from ch02_01_main_chapter_code.checks import Mistake, exercise_check, judge
    from ch02_01_main_chapter_code.tokenizer import GPT2_PATTERN
    from ch04_01_main_chapter_code.checkpoint import name_pairs as gpt_name_pairs
    from ch04_01_main_chapter_code.gpt import GPT, GPTConfig, count_parameters, language_model_loss
    from ch04_01_main_chapter_code.manifest import write_atomically
    from ch05_01_main_chapter_code import gpt_download as downloads
    from ch05_01_main_chapter_code.arguments import TrainConfig, run_script
    from ch05_01_main_chapter_code.corpora import load_corpus, read_json
    from ch05_01_main_chapter_code.gpt_generate import (
        TALES_GPT,
        check_sampling,
        generate_ids,
        load_model,
        make_generator,
        pick_device,
        sample_stories,
        stream_ids,
        tokenizer_of,
    )
    from ch05_01_main_chapter_code.gpt_train import (
        Batches,
        DocumentRows,
        checkpoint_activations,
        flat_tokens,
        learning_rate,
        make_optimizer,
        polite_interrupt,
        train,
        training_rows,
    )
    from ch05_01_main_chapter_code.run_folders import (
        begin_folder,
        choose_run,
        newest,
        newest_run,
        refuse_ended,
        runs_folder,
    )
    from ch05_01_main_chapter_code.tale_grammar import PLOTS, SHE, TABLES
    from ch05_01_main_chapter_code.tales import PRONOUNS, make_tale, make_tales, parse_tale
    from ch05_05_bonus_gpt_to_llama.llama_checkpoint import name_pairs as llama_name_pairs
    from ch05_05_bonus_gpt_to_llama.partial_bpe import DIGITS_PATTERN, END, START, SYSTEM
    from ch05_05_bonus_gpt_to_llama.smollm2 import chat_ids, find_smollm2
    from ch06_01_main_chapter_code.frozen_layers import batches_by_length
    from ch06_01_main_chapter_code.gpt_class_finetune import PUBLISHED_BASES, crc, replay_rows
    from ch06_01_main_chapter_code.lora import (
        apply_lora,
        load_adapters,
        lora_layers,
        merge_lora,
        save_adapters,
        trained_share,
    )
except ModuleNotFoundError as error:
    raise ImportError(
        f"{error}: install the course first, with `pip install -r requirements.txt` in its main folder"
    ) from None

__all__ = [
    "Batches",
    "DIGITS_PATTERN",
    "DocumentRows",
    "END",
    "GPT",
    "GPT2_PATTERN",
    "GPTConfig",
    "Mistake",
    "PLOTS",
    "PRONOUNS",
    "PUBLISHED_BASES",
    "SHE",
    "START",
    "SYSTEM",
    "TABLES",
    "TALES_GPT",
    "TrainConfig",
    "apply_lora",
    "batches_by_length",
    "begin_folder",
    "chat_ids",
    "check_sampling",
    "checkpoint_activations",
    "choose_run",
    "count_parameters",
    "crc",
    "downloads",
    "exercise_check",
    "find_smollm2",
    "flat_tokens",
    "generate_ids",
    "gpt_name_pairs",
    "judge",
    "language_model_loss",
    "learning_rate",
    "llama_name_pairs",
    "load_adapters",
    "load_corpus",
    "load_model",
    "lora_layers",
    "make_generator",
    "make_optimizer",
    "make_tale",
    "make_tales",
    "merge_lora",
    "newest",
    "newest_run",
    "parse_tale",
    "pick_device",
    "polite_interrupt",
    "read_json",
    "refuse_ended",
    "replay_rows",
    "run_script",
    "runs_folder",
    "sample_stories",
    "save_adapters",
    "stream_ids",
    "tokenizer_of",
    "train",
    "trained_share",
    "training_rows",
    "write_atomically",
]
