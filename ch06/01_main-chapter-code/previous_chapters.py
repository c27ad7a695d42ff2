"""What chapter 6 uses of the chapters before it, and where each thing lives."""

try:
    from ch02_01_main_chapter_code.bpe import BPETokenizer
    from ch02_01_main_chapter_code.checks import Mistake, exercise_check, judge
    from ch02_01_main_chapter_code.tokenizer import gpt2_tokenizer
    from ch04_01_main_chapter_code.checkpoint import check_finite, checksum
    from ch04_01_main_chapter_code.foreign_settings import (
        COUNT,
        NUMBER,
        SHARE,
        load_settings,
        refuse_other_settings,
    )
    from ch04_01_main_chapter_code.gpt import GPT, GPTConfig, count_parameters, language_model_loss
    from ch04_01_main_chapter_code.manifest import check_files, write_atomically, write_files
    from ch05_01_main_chapter_code import gpt_download as downloads
    from ch05_01_main_chapter_code.arguments import TrainConfig, run_script
    from ch05_01_main_chapter_code.corpora import find_texts, load_corpus, read_text
    from ch05_01_main_chapter_code.gpt_generate import (
        TALES_GPT,
        generate,
        load_model,
        pick_device,
        sample_stories,
        tokenizer_of,
    )
    from ch05_01_main_chapter_code.gpt_train import (
        Batches,
        DocumentRows,
        autocast,
        checkpoint_activations,
        flat_tokens,
        learning_rate,
        make_optimizer,
        pick_dtype,
        polite_interrupt,
        training_rows,
    )
    from ch05_01_main_chapter_code.gpt_train import evaluate as language_model_evaluate
    from ch05_01_main_chapter_code.partial_forward import block_at, lower_hidden, shallow_copy
    from ch05_01_main_chapter_code.run_folders import (
        begin_folder,
        choose_run,
        newest,
        refuse_ended,
        runs_folder,
    )
    from ch05_01_main_chapter_code.tale_grammar import PLOTS, TABLES
    from ch05_01_main_chapter_code.tales import make_tale, make_tales, parse_tale
    from ch05_05_bonus_gpt_to_llama.llama import Llama, LlamaConfig
    from ch05_05_bonus_gpt_to_llama.llama_checkpoint import read_tokenizer as read_llama_tokenizer
    from ch05_05_bonus_gpt_to_llama.smollm2 import find_smollm2
except ModuleNotFoundError as error:
    raise ImportError(
        f"{error}: install the course first, with `pip install -r requirements.txt` in its main folder"
    ) from None

__all__ = [
    "BPETokenizer",
    "Batches",
    "COUNT",
    "DocumentRows",
    "GPT",
    "GPTConfig",
    "Llama",
    "LlamaConfig",
    "Mistake",
    "NUMBER",
    "PLOTS",
    "SHARE",
    "TABLES",
    "TALES_GPT",
    "TrainConfig",
    "autocast",
    "begin_folder",
    "block_at",
    "check_files",
    "check_finite",
    "checkpoint_activations",
    "checksum",
    "choose_run",
    "count_parameters",
    "downloads",
    "exercise_check",
    "find_smollm2",
    "find_texts",
    "flat_tokens",
    "generate",
    "gpt2_tokenizer",
    "judge",
    "language_model_evaluate",
    "language_model_loss",
    "learning_rate",
    "load_corpus",
    "load_model",
    "load_settings",
    "lower_hidden",
    "make_optimizer",
    "make_tale",
    "make_tales",
    "newest",
    "parse_tale",
    "pick_device",
    "pick_dtype",
    "polite_interrupt",
    "read_llama_tokenizer",
    "read_text",
    "refuse_ended",
    "refuse_other_settings",
    "run_script",
    "runs_folder",
    "sample_stories",
    "shallow_copy",
    "tokenizer_of",
    "training_rows",
    "write_atomically",
    "write_files",
]
