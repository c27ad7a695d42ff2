"""What chapter 7 uses of the chapters before it, and where each thing lives."""

try:
    from ch02_01_main_chapter_code.checks import (
        Mistake,
        answer,
        exercise_check,
        hint,
        judge,
        keeping,
        predict,
        refuse_functions,
        seeded,
        show_progress,
    )
    from ch02_01_main_chapter_code.tokenizer import GPT2_PATTERN, needed_end_of_text
    from ch02_01_main_chapter_code.tokenizer_files import DIGITS_PATTERN
    from ch04_01_main_chapter_code.checkpoint import name_pairs as gpt_name_pairs
    from ch04_01_main_chapter_code.gpt import GPT, GPTConfig, language_model_loss
    from ch04_01_main_chapter_code.manifest import seal, write_atomically
    from ch05_01_main_chapter_code import gpt_download as downloads
    from ch05_01_main_chapter_code.arguments import PUBLISHED, TrainConfig, run_script
    from ch05_01_main_chapter_code.chat import END, ROLES, START, SYSTEM, can_chat, chat_ids
    from ch05_01_main_chapter_code.corpora import DOWNLOADED_CORPORA, EMBEDDED_CORPORA, read_values
    from ch05_01_main_chapter_code.gpt_generate import (
        TALES_GPT,
        evaluating,
        generate_ids,
        llama_bonus,
        load_model,
        make_generator,
        pick_device,
        sample_stories,
        stream_ids,
        tokenizer_of,
    )
    from ch05_01_main_chapter_code.gpt_train import DocumentRows, flat_tokens
    from ch05_01_main_chapter_code.json_lines import (
        append_json_line,
        read_json_lines,
        write_json_lines,
        write_json_list,
    )
    from ch05_01_main_chapter_code.partial_forward import spared_loss
    from ch05_01_main_chapter_code.run import (
        EpochRun,
        make_ready,
        polite_interrupt,
        states,
        step_settings,
    )
    from ch05_01_main_chapter_code.run_folders import (
        begin_folder,
        choose_run,
        claimed,
        find_folder,
        newest_run,
        runs_folder,
        whole_paths,
    )
    from ch05_01_main_chapter_code.tale_grammar import PLOTS, SHE, TABLES
    from ch05_01_main_chapter_code.tales import PRONOUNS, make_tale, make_tales, parse_tale
    from ch05_01_main_chapter_code.training import (
        Batches,
        EpochHistory,
        learning_rate,
        make_optimizer,
        plan_epochs,
        suited_rate,
        train,
    )
    from ch06_01_main_chapter_code.frozen_layers import batches_by_length
    from ch06_01_main_chapter_code.gpt_class_finetune import replay_rows
    from ch06_01_main_chapter_code.lora import (
        choose_adapters_or_all,
        load_adapters,
        lora_layers,
        merge_lora,
        save_adapters,
        trained_in_words,
        trained_share,
    )
    from ch06_01_main_chapter_code.tuned_files import (
        check_base,
        crc,
        frozen_of,
        read_about,
        write_about,
    )
except ModuleNotFoundError as error:
    raise ImportError(
        f"{error}: install the course first, with `pip install -r requirements.txt` in its main folder"
    ) from None

__all__ = [
    "answer",
    "hint",
    "predict",
    "show_progress",
    "Batches",
    "DIGITS_PATTERN",
    "DOWNLOADED_CORPORA",
    "DocumentRows",
    "EMBEDDED_CORPORA",
    "END",
    "EpochHistory",
    "EpochRun",
    "GPT",
    "GPT2_PATTERN",
    "GPTConfig",
    "Mistake",
    "PLOTS",
    "PRONOUNS",
    "PUBLISHED",
    "ROLES",
    "SHE",
    "START",
    "SYSTEM",
    "TABLES",
    "TALES_GPT",
    "TrainConfig",
    "append_json_line",
    "batches_by_length",
    "begin_folder",
    "can_chat",
    "chat_ids",
    "check_base",
    "choose_adapters_or_all",
    "choose_run",
    "claimed",
    "crc",
    "downloads",
    "evaluating",
    "exercise_check",
    "find_folder",
    "flat_tokens",
    "frozen_of",
    "generate_ids",
    "gpt_name_pairs",
    "judge",
    "keeping",
    "refuse_functions",
    "language_model_loss",
    "learning_rate",
    "llama_bonus",
    "load_adapters",
    "load_model",
    "lora_layers",
    "make_generator",
    "make_optimizer",
    "make_ready",
    "make_tale",
    "make_tales",
    "merge_lora",
    "needed_end_of_text",
    "newest_run",
    "parse_tale",
    "pick_device",
    "plan_epochs",
    "polite_interrupt",
    "read_about",
    "read_json_lines",
    "read_values",
    "replay_rows",
    "run_script",
    "runs_folder",
    "sample_stories",
    "save_adapters",
    "seal",
    "seeded",
    "spared_loss",
    "states",
    "step_settings",
    "stream_ids",
    "suited_rate",
    "tokenizer_of",
    "train",
    "trained_in_words",
    "trained_share",
    "whole_paths",
    "write_about",
    "write_atomically",
    "write_json_lines",
    "write_json_list",
]
