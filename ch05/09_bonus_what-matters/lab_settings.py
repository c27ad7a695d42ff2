"""The settings of the laboratory and the flags of laboratory.py.

Nothing here imports torch, so that `--help` and a mistyped flag are answered at once.
"""

import argparse
from dataclasses import dataclass, field
from pathlib import Path

from ch05_01_main_chapter_code.arguments import add_fields, check_least, check_positive, parse_with

LOG = Path(__file__).parent / "results.jsonl"

HELP = {
    "lengths": "tales that a run of the pilot trains on (default: 4000 8000 16000 32000)",
    "hours": "that the whole may take on two cores; with the pilot they decide how long runs are",
    "stories": "that a trained model writes, to be judged",
    "choices": "which are looked at, such as positions optimizer (default: all)",
    "emb_dim": "numbers per token in the model (default: as in gpt_train.py)",
    "n_layers": "transformer blocks (default: as in gpt_train.py)",
}


@dataclass
class Lab:
    """All that decides what the laboratory does; a flag for each field."""

    lengths: list[int] = field(default_factory=lambda: [4000, 8000, 16_000, 32_000])
    hours: float = 5.0
    stories: int = 1000
    choices: list[str] = field(default_factory=list)
    emb_dim: int | None = None
    n_layers: int | None = None

    def __post_init__(self):
        check_least(self, stories=1, emb_dim=1, n_layers=1)
        check_positive(self, "hours")
        self.lengths = sorted(set(self.lengths))
        if len(self.lengths) < 2 or self.lengths[0] < 1:
            raise ValueError(f"lengths must be two numbers of tales or more, not {self.lengths}")


def parse_arguments(argv=None):
    """The flags: returns {field of `Lab` that was given: value}, log, workers, plan."""
    parser = argparse.ArgumentParser(
        description="Find out which choices in a GPT and its training matter. Goes on where its log ends."
    )
    add_fields(parser, Lab, HELP)
    parser.add_argument("--log", type=Path, default=LOG, help="(default: results.jsonl, here)")
    parser.add_argument(
        "--workers", type=int, default=2, help="runs side by side (default: %(default)s)"
    )
    parser.add_argument("--plan", action="store_true", help="say what remains, and end")
    options, apart = parse_with(parser, argv, others=("log", "workers", "plan"))
    if apart["workers"] < 1:
        parser.error(f"argument --workers: must be at least 1, not {apart['workers']}")
    return options, *apart.values()
