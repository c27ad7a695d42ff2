"""The settings of a classifier's run and the flags of gpt_class_finetune.py.

Nothing here imports torch, so that `--help` and a mistyped flag are answered at once.
"""

import argparse
from dataclasses import dataclass

from ch05_01_main_chapter_code.arguments import CHOICES as TRAINING_CHOICES
from ch05_01_main_chapter_code.arguments import HELP as TRAINING_HELP
from ch05_01_main_chapter_code.arguments import (
    add_fields,
    add_run_flags,
    check_least,
    check_positive,
    check_seed,
    check_share,
    parse_with,
)


@dataclass
class FineTuneConfig:
    """All that decides how a run goes; a flag of `gpt_class_finetune.py` for each field."""

    data: str = "tales"
    text_column: str = "text"
    label_column: str = "label"
    test_share: float = 0.2
    imbalance: str = "as-is"
    base: str = "tales-gpt"
    preset: str = "tales"
    context_length: int | None = None
    train: str = "all"
    rank: int = 8
    alpha: float = 16.0
    replay: str | None = None
    epochs: int | None = None
    batch_size: int = 16
    grad_accum: int = 1
    lr: float | None = None
    weight_decay: float = 0.01
    seed: int = 1
    device: str = "auto"
    dtype: str = "auto"
    activation_checkpointing: bool = False
    compile: bool = False

    def __post_init__(self):
        if self.epochs is None:  # tales are made, never read twice
            self.epochs = 1 if self.data == "tales" else 3
        check_least(self, epochs=1, batch_size=1, grad_accum=1, rank=1, context_length=2)
        check_positive(self, "lr")
        check_seed(self)
        check_share(self, "test_share")


HELP = TRAINING_HELP | {
    "data": "sms, messages (a small set that is here), tales (true or broken), a CSV file, or a folder of folders of texts",
    "text_column": "name of the column with the texts of a CSV file",
    "label_column": "name of the column with their labels",
    "test_share": "share of each class that is held out for the test",
    "imbalance": "as-is, balanced (as many texts of each class as the rarest has), or weights (rare classes count more)",
    "base": "the language model to begin with: tales-gpt, smollm2-135m, gpt2 … gpt2-xl, a RUN or FOLDER, or random",
    "preset": "size of the base random: tales, gpt2-small … gpt2-xl",
    "context_length": "longer texts are cut at so many tokens (default: at what the base can read)",
    "train": "what learns: head, last-block, all or lora",
    "rank": "of lora",
    "alpha": "of lora: its correction is multiplied by alpha / rank",
    "replay": "text to go on learning as a language model, against forgetting: tales, story, pydocs, a file or folder",
    "epochs": "times that each text is seen (default: 3, tales 1)",
    "batch_size": "texts per forward pass",
    "grad_accum": "forward passes per update; the gradient is that of one batch of all their texts",
    "lr": "highest learning rate (default: depends on --train and the width of the base)",
    "seed": "of the split, the new head, the order, and the tales",
}
CHOICES = TRAINING_CHOICES | {
    "train": ("head", "last-block", "all", "lora"),
    "imbalance": ("as-is", "balanced", "weights"),
}


def build_parser():
    """The parser of gpt_class_finetune.py: every field of `FineTuneConfig` is a flag."""
    parser = argparse.ArgumentParser(
        description="Make a classifier of a language model. With no flags: tales-gpt learns to find broken Tiny Tales."
    )
    add_fields(parser, FineTuneConfig, HELP, CHOICES)
    add_run_flags(parser)
    parser.add_argument(
        "--prompt",
        action="append",
        help="classify this text with a trained classifier; may be repeated",
    )
    parser.add_argument(
        "--model", help="RUN or FOLDER of the classifier for --prompt (default: the newest)"
    )
    return parser


def class_arguments(argv=None):
    """Parse the flags: returns (fields of `FineTuneConfig` that were given, {name: value}; the
    other flags, likewise).
    """
    return parse_with(build_parser(), argv, others=("prompt", "model"))
