"""The settings of a training run and the command-line flags that the scripts share.

Nothing here imports torch, so that `--help` and a mistyped flag are answered at once.
"""

import argparse
import signal
import sys
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import get_args, get_origin

from scratch_llm_tools.console import open_console, printable


@dataclass
class TrainConfig:
    """All that decides how a run goes; a flag of `gpt_train.py` for each field. Sizes of None come
    from the preset.
    """

    data: str = "tales"
    preset: str = "tales"
    init_from: str | None = None
    tokenizer: str = "auto"
    vocab_size: int | None = None
    context_length: int | None = None
    emb_dim: int | None = None
    n_heads: int | None = None
    n_layers: int | None = None
    drop_rate: float | None = None
    device: str = "auto"
    dtype: str = "auto"
    seed: int = 1
    steps: int = 3500
    batch_size: int = 16
    grad_accum: int = 1
    optimizer: str = "adamw"
    lr: float = 6e-3  # what suits the preset tales; gpt_train.py asks `suited_rate` for the others
    min_lr: float = 0.0
    warmup: int = 100
    schedule: str = "linear"
    weight_decay: float = 0.01
    beta2: float = 0.99
    clip: float = 1.0
    activation_checkpointing: bool = False
    compile: bool = False
    eval_every: int = 500

    def __post_init__(self):
        check_least(self, steps=1, batch_size=1, grad_accum=1, eval_every=1)
        check_least(self, min_lr=0, warmup=0, weight_decay=0)
        check_positive(self, "lr", "clip")
        check_seed(self)
        if not 0 <= self.beta2 < 1:
            raise ValueError(f"beta2 must be at least 0 and below 1, not {self.beta2}")
        for name, words in CHOICES.items():
            if getattr(self, name) not in words:
                raise ValueError(
                    f"{name} must be {' or '.join(words)}, not {getattr(self, name)!r}"
                )


def check_least(config, **least):
    """Raises ValueError for a field of settings that is smaller than it may be; None is no number."""
    for name, lowest in least.items():
        value = getattr(config, name)
        if value is not None and not value >= lowest:
            what = f"at least {lowest}, not {value}" if lowest else f"0 or more, not {value}"
            raise ValueError(f"{name} must be {what}")


def check_seed(config):
    """Raises ValueError for a seed that is too large for the numbers that are made of it."""
    if abs(config.seed) > 2**40:
        raise ValueError(f"seed must be at most {2**40}, not {config.seed}")


def check_positive(config, *names):
    """Raises ValueError for a field of settings that is not above 0; None is no number."""
    for name in names:
        value = getattr(config, name)
        if value is not None and not value > 0:
            raise ValueError(f"{name} must be above 0, not {value}")


def check_share(config, *names):
    """Raises ValueError for a field of settings that is no share of something."""
    for name in names:
        if not 0 < getattr(config, name) < 1:
            raise ValueError(f"{name} must be between 0 and 1, not {getattr(config, name)}")


HELP = {
    "data": "tales, story, pydocs, a downloaded corpus, a text file or a folder of text files",
    "preset": "size of the model: tales, gpt2-small, gpt2-medium, gpt2-large, gpt2-xl",
    "tokenizer": "auto (bpe, or gpt2 for the gpt2 presets), bpe (trained on the data), gpt2, or a tokenizer.json",
    "init_from": "a trained model to go on with: RUN, FOLDER, tales-gpt, gpt2 … (default: random weights)",
    "vocab_size": "tokens of a bpe tokenizer (default: the preset's)",
    "context_length": "tokens that the model sees at once (default: the preset's)",
    "emb_dim": "numbers per token in the model (default: the preset's)",
    "n_heads": "attention heads per layer (default: the preset's)",
    "n_layers": "transformer blocks (default: the preset's)",
    "drop_rate": "dropout (default: the preset's)",
    "device": "auto, cuda, mps or cpu",
    "dtype": "auto (bf16 on CUDA, else fp32), fp32, bf16 or fp16",
    "seed": "of the weights, the order of the data and the corpus tales",
    "steps": "updates of the weights",
    "batch_size": "rows per forward pass",
    "grad_accum": "forward passes per update; the gradient is that of one batch of all their rows",
    "optimizer": "adamw, or muon for the matrices inside the blocks and adamw for the rest",
    "lr": "highest learning rate; if it is not given, 0.768 / emb_dim, and with --init-from 0.128 / emb_dim; "
    "for muon it is 0.026 emb_dim times as high",
    "min_lr": "learning rate at the end, as a share of the highest",
    "schedule": "how the learning rate falls: cosine or linear",
    "warmup": "steps until the learning rate is highest",
    "weight_decay": "of matrices only",
    "beta2": "of AdamW",
    "clip": "largest norm of the gradient",
    "activation_checkpointing": "forget activations and compute them again: less memory, a third more time",
    "compile": "use torch.compile: a slow start, then faster steps on a GPU",
    "eval_every": "steps between validation, samples and checkpoint; the best one is what is used",
}
PUBLISHED = (  # models that anybody can get by their names
    "tales-gpt",
    "smollm2-135m",
    "gpt2",
    "gpt2-small",
    "gpt2-medium",
    "gpt2-large",
    "gpt2-xl",
)
CHOICES = {
    "optimizer": ("adamw", "muon"),
    "schedule": ("cosine", "linear"),
    "device": ("auto", "cuda", "mps", "cpu"),
    "dtype": ("auto", "fp32", "bf16", "fp16"),
}


def add_model_flags(parser):
    """The flags of every script that uses a model: which one, and how it chooses its words."""
    parser.add_argument(
        "--model",
        help="RUN, FOLDER, gpt2 … gpt2-xl, smollm2-135m (default: newest run, or tales-gpt)",
    )
    parser.add_argument(
        "--temperature", type=float, default=0.8, help="0 is greedy (default: %(default)s)"
    )
    parser.add_argument(
        "--top-k", type=int, help="choose among the k most likely tokens (default: all)"
    )
    parser.add_argument(
        "--top-p",
        type=float,
        help="choose among the most likely that hold this share (default: all)",
    )
    parser.add_argument("--max-tokens", type=int, default=200, help="(default: %(default)s)")
    parser.add_argument(
        "--device", default="auto", choices=CHOICES["device"], help="(default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, help="of the choices (default: another one each time)")


def add_fields(parser, config_class, texts, choices=None, without=()):
    """A flag for each field of a dataclass of settings: `n_layers: int | None = None` becomes
    `--n-layers N`. Only flags that are given are in the result.

    texts: {field: help}, which says what a default of None stands for; choices: {field: words};
    without: fields that get no flag.
    """
    for field in fields(config_class):
        if field.name in without:
            continue
        flag, text = "--" + field.name.replace("_", "-"), texts[field.name]
        if field.default not in (None, False, MISSING):
            text += f" (default: {field.default})"
        options = dict(default=argparse.SUPPRESS, help=text)
        kinds = [kind for kind in get_args(field.type) or [field.type] if kind is not type(None)]
        if kinds == [bool]:
            parser.add_argument(flag, action="store_true", **options)
            continue
        if get_origin(field.type) is list:
            options["nargs"] = "+"
        parser.add_argument(flag, type=kinds[0], choices=(choices or {}).get(field.name), **options)


def add_run_flags(parser, what="run"):
    """The flags that choose a run's folder: see `run_folders.choose_run`."""
    parser.add_argument(
        "--name", help=f"of the {what}'s folder in runs/ (default: a word and a number)"
    )
    parser.add_argument(
        "--resume", action="store_true", help=f"go on with the {what} --name, or with the newest"
    )
    parser.add_argument(
        "--overwrite", action="store_true", help=f"start the {what} --name anew though it exists"
    )


def train_parser():
    """The parser of gpt_train.py: every field of `TrainConfig` is a flag."""
    parser = argparse.ArgumentParser(
        description="Train a GPT. With no flags: on the Tiny Tales, in under five minutes."
    )
    add_fields(parser, TrainConfig, HELP, CHOICES)
    add_run_flags(parser)
    return parser


def parse_with(parser, argv=None, others=()):
    """The flags of a script that makes runs, as (settings that were given, {field: value}; the
    others by name: `name`, `resume`, `overwrite`, where the parser has them, and what `others` names).
    """
    open_console()
    usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if argv is None and usual:  # a script: until `run_script`, Ctrl-C ends it without a traceback
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    options = vars(parser.parse_args(argv))
    names = [key for key in ("name", "resume", "overwrite", *others) if key in options]
    apart = {key: options.pop(key) for key in names}
    return options, apart


def train_arguments(argv=None):
    """Parse the flags of gpt_train.py: returns (flags that were given, {name: value}), name,
    resume, overwrite.
    """
    options, apart = parse_with(train_parser(), argv)
    return options, *apart.values()


def run_script(main, *arguments):
    """Call a script's `main` and end the script with the status it returns.

    A user's mistake, or a machine that lacks something, becomes one line on stderr and the status
    1; Ctrl-C gives 130.
    """
    open_console()
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # see `parse_with`
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        sys.exit(main(*arguments))
    except KeyboardInterrupt:
        sys.exit(130)
    except (ValueError, OSError, RuntimeError, FloatingPointError) as error:
        message = " ".join(str(error).split()) or type(error).__name__
        sys.exit(f"{Path(sys.argv[0]).name}: {printable(message)}")
