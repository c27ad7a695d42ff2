"""What is compared, the settings of an experiment, and the flags of additional_experiments.py.

Nothing here imports torch, so that `--help` and a mistyped flag are answered at once.
"""

import argparse
from dataclasses import dataclass, field, replace

from ch05_01_main_chapter_code.arguments import (
    add_fields,
    add_run_flags,
    check_least,
    check_share,
    parse_with,
)


@dataclass(frozen=True)
class Variant:
    """One way to make a classifier. The defaults are those of chapter 6; each group changes one or
    two of them.

    `weights`: pretrained or random. `train`: what learns, `last-two` being the last two blocks.
    `reading`: the head gets the first, the middle or the last token, or the mean of all. `padding`:
    "unread"; "batch" pads to the longest text of the batch and "context" to the full context, and
    both read the last place, whatever stands there. `mask`: causal, or none: every token sees every
    other. `rate`: the learning rate, as a multiple of chapter 6's.
    """

    weights: str = "pretrained"
    train: str = "all"
    rank: int | None = None
    reading: str = "last"
    padding: str = "unread"
    mask: str = "causal"
    rate: float = 1.0


USUAL = Variant()
LORA = replace(USUAL, train="lora", rank=8)
WAYS = {
    "head": replace(USUAL, train="head"),
    "last block": replace(USUAL, train="last-block"),
    "LoRA, rank 8": LORA,
    "all": USUAL,
}
NAMES = {
    "first": "first token",
    "middle": "middle token",
    "mean": "mean of all",
    "last": "last token",
}
GROUPS = {
    "token": {
        f"{NAMES[reading]}, {train} trained": Variant(reading=reading, train=train)
        for train in ("all", "head")
        for reading in ("first", "middle", "mean", "last")
    },
    "layers": {
        "head": WAYS["head"],
        "last block": WAYS["last block"],
        "last two blocks": replace(USUAL, train="last-two"),
        "all": USUAL,
    }
    | {f"LoRA, rank {rank}": replace(LORA, rank=rank) for rank in (1, 4, 8, 16)},
    "padding": {
        "last real token": USUAL,
        "last place of the batch": replace(USUAL, padding="batch"),
        "last place of the context": replace(USUAL, padding="context"),
    },
    "mask": {
        f"{weights}, {mask if mask == 'causal' else 'both ways'}, {NAMES[reading]}": Variant(
            weights, reading=reading, mask=mask
        )
        for weights in ("pretrained", "random")
        for mask, readings in (("causal", ("last", "mean")), ("none", ("last", "mean", "first")))
        for reading in readings
    },
    "rate": {
        f"{name}, rate × {'1/3' if factor < 1 else round(factor)}": replace(variant, rate=factor)
        for name, variant in WAYS.items()
        for factor in (1 / 3, 1.0, 3.0)
    },
}


@dataclass
class Experiment:
    """All that decides what is run; a flag for each field."""

    data: str = "tales"
    groups: list[str] = field(default_factory=lambda: list(GROUPS))
    seeds: list[int] = field(default_factory=lambda: [1, 2, 3])
    epochs: int | None = None
    batch_size: int = 16
    test_share: float = 0.2
    device: str = "auto"

    def __post_init__(self):
        if self.epochs is None:
            self.epochs = 1 if self.data == "tales" else 5
        check_least(self, epochs=1, batch_size=1)
        check_share(self, "test_share")
        for name in ("groups", "seeds"):
            if len(set(getattr(self, name))) < len(getattr(self, name)):
                raise ValueError(
                    f"{name} names one twice: {' '.join(map(str, getattr(self, name)))}"
                )

    def runs(self):
        """(variant, seed) of every run, each once, though a variant may stand in several groups."""
        variants = dict.fromkeys(
            variant for name in self.groups for variant in GROUPS[name].values()
        )
        return [(variant, seed) for seed in self.seeds for variant in variants]


HELP = {
    "data": "tales (true or broken), messages (the course's small set), sms, a CSV file, or a folder of folders of texts",
    "groups": f"what to compare: {', '.join(GROUPS)} (default: all)",
    "seeds": "of the new head, the order, and the split or the tales (default: 1 2 3)",
    "epochs": "times that each text is seen (default: 5, tales 1)",
    "batch_size": "texts per update",
    "test_share": "share of each class that is held out; tales have a test of their own",
    "device": "auto, cuda, mps or cpu",
}


def parse_arguments(argv=None):
    """The flags: returns {name of an `Experiment` field that was given: value}, name, resume,
    overwrite.
    """
    parser = argparse.ArgumentParser(
        description="Compare variants of a classifier, with several seeds. Resumable."
    )
    choices = {"groups": list(GROUPS), "device": ("auto", "cuda", "mps", "cpu")}
    add_fields(parser, Experiment, HELP, choices)
    add_run_flags(parser, "experiment")
    options, apart = parse_with(parser, argv)
    return options, *apart.values()
