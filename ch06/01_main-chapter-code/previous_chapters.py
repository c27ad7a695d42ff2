"""What chapter 6 uses of the chapters before it, and where each thing lives."""

try:
    from ch02_01_main_chapter_code.bpe import BPETokenizer
    from ch02_01_main_chapter_code.checks import (
        Mistake,
        answer,
        exercise_check,
        hint,
        judge,
        keeping,
        normal,
        predict,
        seeded,
        show_progress,
        whole,
    )
    from ch02_01_main_chapter_code.tokenizer import gpt2_tokenizer, needed_end_of_text
    from ch04_01_main_chapter_code.checkpoint import check_finite, checksum
    from ch04_01_main_chapter_code.foreign_settings import (
        COUNT,
        NUMBER,
        SHARE,
        load_settings,
        refuse_other_settings,
    )
    from ch04_01_main_chapter_code.gpt import GPT, GPTConfig, language_model_loss
    from ch04_01_main_chapter_code.manifest import check_files, write_atomically, write_files
    from ch05_01_main_chapter_code import gpt_download as downloads
    from ch05_01_main_chapter_code.arguments import PUBLISHED, TrainConfig, run_script
    from ch05_01_main_chapter_code.corpora import (
        DOWNLOADED_CORPORA,
        EMBEDDED_CORPORA,
        find_texts,
        load_corpus,
        read_text,
    )
    from ch05_01_main_chapter_code.gpt_generate import (
        TALES_GPT,
        evaluating,
        generate,
        llama_bonus,
        load_model,
        pick_device,
        sample_stories,
        tokenizer_of,
    )
    from ch05_01_main_chapter_code.gpt_train import DocumentRows, flat_tokens, training_rows
    from ch05_01_main_chapter_code.gpt_train import evaluate as language_model_evaluate
    from ch05_01_main_chapter_code.json_lines import write_json_lines
    from ch05_01_main_chapter_code.partial_forward import block_at, lower_hidden, shallow_copy
    from ch05_01_main_chapter_code.run import EpochRun, make_ready, step_settings
    from ch05_01_main_chapter_code.run_folders import (
        begin_folder,
        choose_run,
        claimed,
        find_folder,
        runs_folder,
        whole_paths,
    )
    from ch05_01_main_chapter_code.tale_grammar import TABLES
    from ch05_01_main_chapter_code.tales import make_tale, make_tales, parse_tale
    from ch05_01_main_chapter_code.training import (
        Batches,
        EpochHistory,
        autocast,
        checked,
        full_loss,
        learning_rate,
        make_optimizer,
        pick_dtype,
        plan_epochs,
        suited_rate,
        update,
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
    "BPETokenizer",
    "Batches",
    "COUNT",
    "DOWNLOADED_CORPORA",
    "DocumentRows",
    "EMBEDDED_CORPORA",
    "EpochHistory",
    "EpochRun",
    "GPT",
    "GPTConfig",
    "Mistake",
    "NUMBER",
    "PUBLISHED",
    "SHARE",
    "TABLES",
    "TALES_GPT",
    "TrainConfig",
    "autocast",
    "begin_folder",
    "block_at",
    "check_files",
    "check_finite",
    "checked",
    "checksum",
    "choose_run",
    "claimed",
    "downloads",
    "evaluating",
    "exercise_check",
    "find_folder",
    "find_texts",
    "flat_tokens",
    "full_loss",
    "generate",
    "gpt2_tokenizer",
    "judge",
    "keeping",
    "language_model_evaluate",
    "language_model_loss",
    "learning_rate",
    "llama_bonus",
    "load_corpus",
    "load_model",
    "load_settings",
    "lower_hidden",
    "make_optimizer",
    "make_ready",
    "make_tale",
    "make_tales",
    "needed_end_of_text",
    "normal",
    "parse_tale",
    "pick_device",
    "pick_dtype",
    "plan_epochs",
    "read_text",
    "refuse_other_settings",
    "run_script",
    "runs_folder",
    "sample_stories",
    "seeded",
    "shallow_copy",
    "step_settings",
    "suited_rate",
    "tokenizer_of",
    "training_rows",
    "update",
    "whole",
    "whole_paths",
    "write_atomically",
    "write_files",
    "write_json_lines",
]
