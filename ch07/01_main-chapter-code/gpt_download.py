"""Fetch data for chapter 7: `python gpt_download.py alpaca`. The course's own entries are here and
need no network.

Alpaca: 52,002 instructions that a large model wrote and answered [Taori et al. 2023, Stanford
Alpaca], in the way of Self-Instruct [Wang et al. 2022, arXiv:2212.10560]. Its licence, CC BY-NC
4.0, allows no commercial use. Chapter 5's download code does the work: nothing is contacted if the
file is there, and a cut download goes on where it stopped.
"""

import sys
from pathlib import Path

try:
    from ch05_01_main_chapter_code import gpt_download as downloads
    from scratch_llm_tools.console import open_console
except ModuleNotFoundError as error:
    raise SystemExit(
        f"{error}: install the course with `pip install -r requirements.txt` in its main folder"
    ) from None

ALPACA_FILE = Path("alpaca") / "alpaca_data.json"
ALPACA_URL = "https://raw.githubusercontent.com/tatsu-lab/stanford_alpaca/main/alpaca_data.json"
LICENCE = (
    "CC BY-NC 4.0: for non-commercial use only, "
    "with the names of its authors (Stanford Alpaca, 2023)"
)
BY_HAND = "Put alpaca_data.json (from tatsu-lab/stanford_alpaca) there by hand: {}"
OWN_FILE = Path(__file__).parent / "instruction-data.json"


def download_alpaca(folder=None):
    """Bring Alpaca's file and return its path; nothing is contacted if it is there.

    `folder` takes the place of chapter 5's `data_folder()`. Raises DownloadError where it cannot be
    had or written.
    """
    target = Path(folder or downloads.data_folder()) / ALPACA_FILE
    if not downloads.is_there(target):
        by_hand = BY_HAND.format(target)
        downloads.download(ALPACA_URL, target, advice=by_hand, looks_right=is_alpaca)
        licence = target.with_name("LICENCE.txt")
        downloads.write(licence, lambda path: path.write_text(LICENCE + "\n", encoding="utf-8"))
    return target


def is_alpaca(path):
    """Raises ValueError unless the file holds entries like Alpaca's. No checksum of it is
    published.
    """
    entries = downloads.is_json(path)
    fields = {"instruction", "input", "output"}
    if (
        not isinstance(entries, list)
        or len(entries) < 1000
        or not all(isinstance(entry, dict) and fields <= set(entry) for entry in entries)
    ):
        raise ValueError("holds no list of instructions, inputs and outputs")


def alpaca_rows(folder):
    """What the list says."""
    here = "here" if downloads.is_there(folder / ALPACA_FILE) else ""
    size = downloads.human(OWN_FILE.stat().st_size)
    return [
        f"own     {size:<9} here  1,100 entries of this course, and more from a seed",
        f"alpaca  about 23 MB {here:<4}  52,002 entries written by a large model. {LICENCE}",
    ]


def data_arguments(arguments=None):
    """The command line of this chapter's gpt_download.py."""
    return downloads.small_arguments(arguments, "data for chapter 7", "alpaca")


def main(options):
    """Run the command line and return its exit code: 1 if the data could not be brought."""
    open_console()
    if options.name == "alpaca":
        print(f"licence: {LICENCE}")
    title = "Instructions: python gpt_download.py alpaca"
    return downloads.small_main(options, title, alpaca_rows, download_alpaca)


if __name__ == "__main__":
    sys.exit(main(data_arguments()))
