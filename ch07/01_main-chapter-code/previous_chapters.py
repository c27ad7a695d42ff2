"""What chapter 7 uses of the chapters before it, and where each thing lives."""

try:
    from ch05_01_main_chapter_code.arguments import run_script
    from ch05_01_main_chapter_code.tale_plots import PLOTS, SHE, TABLES
    from ch05_01_main_chapter_code.tales import PRONOUNS, make_tale, parse_tale
except ModuleNotFoundError as error:
    raise ImportError(
        f"{error}: install the course first, with `pip install -r requirements.txt` in its main folder"
    ) from None

__all__ = [
    "PLOTS",
    "PRONOUNS",
    "SHE",
    "TABLES",
    "make_tale",
    "parse_tale",
    "run_script",
]
