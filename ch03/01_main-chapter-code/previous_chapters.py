"""What chapter 3 uses of the chapters before it, and where each thing lives."""

try:
    from ch02_01_main_chapter_code.bpe import BPETokenizer
    from ch02_01_main_chapter_code.checks import (
        Mistake,
        answer,
        difference,
        exercise_check,
        hint,
        judge,
        normal,
        predict,
        refuse_functions,
        show_progress,
        sizes,
    )
    from ch02_01_main_chapter_code.dataloader import create_dataloader
    from ch02_01_main_chapter_code.tokenizer import SimpleTokenizer, gpt2_tokenizer
except ModuleNotFoundError as error:
    raise ImportError(
        f"{error}: install the course first, with `pip install -r requirements.txt` in its main folder"
    ) from None

__all__ = [
    "BPETokenizer",
    "Mistake",
    "SimpleTokenizer",
    "answer",
    "create_dataloader",
    "difference",
    "exercise_check",
    "gpt2_tokenizer",
    "hint",
    "judge",
    "normal",
    "predict",
    "refuse_functions",
    "show_progress",
    "sizes",
]
