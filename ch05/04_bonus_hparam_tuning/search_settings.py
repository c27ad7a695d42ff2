"""The settings of a search and the flags of hparam_tuning.py.

Nothing here imports torch, so that `--help` and a mistyped flag are answered at once.
"""

import argparse
from dataclasses import dataclass

from ch05_01_main_chapter_code.arguments import (
    CHOICES,
    add_fields,
    add_run_flags,
    check_least,
    parse_with,
)

BATCH_SIZES = (4, 8, 16, 32)


@dataclass
class Search:
    """All that decides how a search goes; a flag for each field."""

    method: str = "random"
    trials: int = 20
    rows: int = 1000
    eta: int = 3
    rungs: int = 3
    finalists: int = 4
    repeats: int = 3
    seed: int = 1
    data: str = "tales"
    emb_dim: int = 64
    n_layers: int = 2
    device: str = "auto"

    def __post_init__(self):
        check_least(self, trials=1, eta=2, rungs=1, finalists=0, repeats=0, emb_dim=1, n_layers=1)
        if self.budgets()[0] < max(BATCH_SIZES):
            rungs = f" over {self.rungs} rungs" if self.method == "halving" else ""
            raise ValueError(
                f"rows = {self.rows}{rungs} leaves {self.budgets()[0]} rows for a run, and the largest batch has "
                f"{max(BATCH_SIZES)}; give more --rows or fewer --rungs"
            )

    def budgets(self):
        """Rows that a run of each rung trains on: [1000], or with halving [111, 333, 1000]."""
        rungs = self.rungs if self.method == "halving" else 1
        return [self.rows // self.eta**rung for rung in range(rungs)][::-1]


HELP = {
    "method": "random: every trial gets all rows; halving: all trials get few, and the best go on with more",
    "trials": "settings to try",
    "rows": "stories, or windows of a text, that a full run trains on; the same for every batch size",
    "eta": "with halving: one in so many goes on, with so many times the rows",
    "rungs": "with halving: how many budgets there are",
    "finalists": "best trials that are run again with other seeds",
    "repeats": "how often they are run again",
    "seed": "of the trials, and of the weights and the order of the data, which are the same for all trials",
    "data": "as in gpt_train.py: tales, story, pydocs, a text file, …",
    "emb_dim": "numbers per token in the model; the rest is that of the preset tales",
    "n_layers": "transformer blocks",
    "device": "auto, cuda, mps or cpu",
}


def parse_arguments(argv=None):
    """The flags: returns {name of a `Search` field that was given: value}, name, resume, overwrite."""
    parser = argparse.ArgumentParser(
        description="Search for good training settings. Resumable; see --resume."
    )
    choices = {"method": ("random", "halving"), "device": CHOICES["device"]}
    add_fields(parser, Search, HELP, choices)
    add_run_flags(parser, "search")
    options, apart = parse_with(parser, argv)
    return options, *apart.values()
