"""What chapter 4 uses of the chapters before it, and where each thing lives."""

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
        refuse_functions,
        show_progress,
        sizes,
        whole,
    )
    from ch02_01_main_chapter_code.tokenizer import gpt2_tokenizer
    from ch02_01_main_chapter_code.tokenizer_files import PAIRS, find_tokenizer
    from ch03_01_main_chapter_code.attention import KVCache, MultiHeadAttention
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
    "KVCache",
    "Mistake",
    "MultiHeadAttention",
    "PAIRS",
    "exercise_check",
    "find_tokenizer",
    "gpt2_tokenizer",
    "judge",
    "keeping",
    "refuse_functions",
    "normal",
    "sizes",
    "whole",
]
