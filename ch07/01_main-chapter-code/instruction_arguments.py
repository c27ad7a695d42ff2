"""The settings of an instruction run and the flags of gpt_instruction_finetuning.py; and those of
exercise_experiments.py, which compares such runs.

Nothing here imports torch, so that `--help` and a mistyped flag are answered at once.
"""

import argparse
from dataclasses import dataclass, field

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
class InstructConfig:
    """All that decides how a run goes; a flag of `gpt_instruction_finetuning.py` for each field."""

    data: str = "tales"
    made: int | None = None
    fresh: int | None = None
    base: str = "tales-gpt"
    style: str | None = None
    context_length: int | None = None
    loss: str = "answer"
    train: str = "all"
    blocks: int = 1
    rank: int = 8
    alpha: float = 16.0
    replay: str | None = None
    replay_share: float = 0.1
    epochs: int = 1
    batch_size: int = 8
    grad_accum: int = 1
    lr: float | None = None
    weight_decay: float = 0.01
    max_tokens: int | None = None
    seed: int = 1
    device: str = "auto"
    dtype: str = "auto"
    activation_checkpointing: bool = False
    compile: bool = False

    def __post_init__(self):
        check_least(self, epochs=1, batch_size=1, grad_accum=1, rank=1, blocks=1, max_tokens=1)
        check_least(self, made=0, fresh=0, context_length=2)
        check_positive(self, "lr")
        check_seed(self)
        check_share(self, "replay_share")


HELP = TRAINING_HELP | {
    "data": "tales (made from a seed, about Tiny Tales), own (the 1,100 entries that are here), alpaca, or a JSON file",
    "made": "entries to make and learn from, beside the data's own (default: 160,000 for tales, else 0)",
    "fresh": "fresh test entries of each kind that can be made (default: 30 for tales, 5 for own, else 0)",
    "base": "the language model to begin with: tales-gpt, smollm2-135m, gpt2 … gpt2-xl, a RUN or FOLDER",
    "style": "how a prompt is written: tales, alpaca, turns or chat (default: tales for the tales, chat for smollm2-135m, "
    "else alpaca)",
    "context_length": "a GPT's positions are made more, if need be; longer entries are left out (default: the base's, and "
    "320 for tales)",
    "loss": "what counts: the answer alone, or all that is read",
    "train": "what learns: all, last-blocks or lora",
    "blocks": "how many last blocks learn with --train last-blocks",
    "rank": "of lora",
    "alpha": "of lora: its correction is multiplied by alpha / rank",
    "replay": "text to go on learning as it is, against forgetting: tales, story, pydocs, a file or folder (default: tales "
    "for tales, else none)",
    "replay_share": "share of the rows that are such text",
    "epochs": "times that each entry is seen",
    "batch_size": "entries per forward pass",
    "grad_accum": "forward passes per update; the gradient is that of one batch of all their entries",
    "lr": "highest learning rate (default: depends on --train and on the size of the model)",
    "max_tokens": "longest answer in the test (default: 150 for tales, else 200)",
    "seed": "of the entries that are made, the order and the adapters",
}
CHOICES = TRAINING_CHOICES | {
    "style": ("tales", "alpaca", "turns", "chat"),
    "loss": ("answer", "all"),
    "train": ("all", "last-blocks", "lora"),
}


def build_parser():
    """The parser of gpt_instruction_finetuning.py: every field of `InstructConfig` is a flag."""
    parser = argparse.ArgumentParser(
        description="Teach a language model to follow instructions. With no flags: tales-gpt, those of its own world."
    )
    add_fields(parser, InstructConfig, HELP, CHOICES)
    add_run_flags(parser)
    parser.add_argument(
        "--prompt", action="append", help="let a trained model do this instruction; may be repeated"
    )
    parser.add_argument("--input", default="", help="the text that --prompt is about")
    parser.add_argument(
        "--model", help="RUN or FOLDER that answers --prompt (default: the newest that was taught)"
    )
    return parser


def instruct_arguments(argv=None):
    """Parse the flags: returns (fields of `InstructConfig` that were given, {name: value}; the
    other flags, likewise).
    """
    return parse_with(build_parser(), argv, others=("prompt", "input", "model"))


# --- The variants ---------------------------------------------------------------------------------

VARIANTS = ("baseline", "mask_instructions", "chat_template", "lora", "more_data", "both")


@dataclass
class Comparison:
    """What `exercise_experiments.py` compares; a flag for each field."""

    variants: list[str] = field(default_factory=lambda: list(VARIANTS[:5]))
    seeds: list[int] = field(default_factory=lambda: [1, 2, 3])
    base: str = "tales-gpt"
    made: int | None = None
    fresh: int | None = None
    epochs: int = 1
    device: str = "auto"
    name: str = "experiments"


COMPARISON_HELP = HELP | {
    "seeds": "of the runs of each variant (default: 1 2 3)",
    "base": "tales-gpt, or smollm2-135m, which learns by adapters in all variants",
    "made": "entries to make and learn from (default: 40,000 for tales-gpt, else 0)",
    "fresh": "fresh test entries of each kind (default: 20 for tales-gpt, else 5)",
    "name": "of the folder with the results",
    "variants": f"some of {', '.join(VARIANTS)} (default: the first five)",
}


def comparison_arguments(argv=None):
    """The `Comparison` that the flags of exercise_experiments.py ask for."""
    parser = argparse.ArgumentParser(
        description="Fine-tune the chapter's variants, several seeds each, and compare them."
    )
    add_fields(parser, Comparison, COMPARISON_HELP, CHOICES | {"variants": VARIANTS})
    return Comparison(**vars(parser.parse_args(argv)))
