"""Where data lies, and how documents are kept apart in it. Python only: `gpt_download.py` needs
this before anything is installed.
"""

import os
from pathlib import Path

DOCUMENT_SEPARATOR = "<|endoftext|>"


def data_folder():
    """The folder for everything that is fetched: `$SCRATCH_LLM_DATA`, or `data/` in the repository
    (ignored by git).
    """
    folder = os.environ.get("SCRATCH_LLM_DATA")
    return Path(folder).expanduser() if folder else Path(__file__).resolve().parents[2] / "data"
