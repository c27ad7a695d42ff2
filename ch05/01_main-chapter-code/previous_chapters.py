"""What chapter 5 uses of the chapters before it, and where each thing lives."""

try:
    from ch02_01_main_chapter_code.bpe import BPETokenizer
    from ch02_01_main_chapter_code.checks import (
        answer,
        exercise_check,
        hint,
        judge,
        normal,
        predict,
        show_progress,
        whole,
    )
    from ch02_01_main_chapter_code.dataloader import TokenDataset, create_dataloader
    from ch02_01_main_chapter_code.tokenizer import gpt2_tokenizer, needed_end_of_text
    from ch03_01_main_chapter_code.attention import KVCache
    from ch04_01_main_chapter_code.gpt import (
        GPT,
        GPTConfig,
        count_parameters,
        generate_greedy,
        language_model_loss,
    )
    from ch04_01_main_chapter_code.manifest import (
        MANIFEST,
        check_files,
        remove_files,
        write_atomically,
        write_files,
    )
    from ch04_01_main_chapter_code.weight_files import StoredMatrix
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
    "GPT",
    "GPTConfig",
    "KVCache",
    "MANIFEST",
    "StoredMatrix",
    "TokenDataset",
    "check_files",
    "count_parameters",
    "create_dataloader",
    "exercise_check",
    "generate_greedy",
    "gpt2_tokenizer",
    "judge",
    "language_model_loss",
    "needed_end_of_text",
    "normal",
    "remove_files",
    "whole",
    "write_atomically",
    "write_files",
]
