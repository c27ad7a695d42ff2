"""What is compared: the default run of `gpt_train.py`, and every choice in it with what one could
choose in its place.

The default run is read from `TrainConfig` and `GPTConfig`, so the table follows it: what has become
the default is no variant any more, and what was the default becomes one.
"""

from dataclasses import asdict, dataclass, field, replace

from lab_model import LabConfig

from ch05_01_main_chapter_code.arguments import TrainConfig
from ch05_01_main_chapter_code.gpt_generate import TALES_GPT
from ch05_01_main_chapter_code.gpt_train import build_model
from ch05_01_main_chapter_code.previous_chapters import BPETokenizer
from ch05_01_main_chapter_code.training import PRETRAINING, suited_rate


@dataclass(frozen=True)
class Recipe:
    """All that decides a run but its length, its rate and its seed. `average`: the share of the
    steps that the weights are averaged over, 0 for none.
    """

    model: LabConfig
    train: TrainConfig
    optimizer: str
    average: float = 0.0


@dataclass(frozen=True)
class Variant:
    """One choice made otherwise: the fields of `LabConfig`, `TrainConfig` and `Recipe` that differ
    from the default run. `rate`: the first learning rate that is tried, in rates of the default run.
    """

    choice: str
    option: str
    model: dict = field(default_factory=dict)
    train: dict = field(default_factory=dict)
    recipe: dict = field(default_factory=dict)
    rate: float = 1.0

    @property
    def name(self):
        return f"{self.choice}: {self.option}"

    def applied(self, base):
        """The recipe of the default run with this choice made otherwise."""
        model, train = replace(base.model, **self.model), replace(base.train, **self.train)
        return replace(base, model=model, train=train, **self.recipe)


BASELINE = Variant("default run", "as it is")


def default_recipe(**sizes):
    """What `python gpt_train.py` does, in a vocabulary as large as that of tales-gpt. `sizes`: of the
    model, for a smaller laboratory.
    """
    train = TrainConfig(device="cpu", **sizes)
    shape = build_model(train, BPETokenizer.load(TALES_GPT).n_vocab)
    train = replace(train, lr=suited_rate(PRETRAINING, shape.emb_dim))
    return Recipe(LabConfig(**asdict(shape)), train, train.optimizer)


def matrix_numbers(config, n_layers, emb_dim):
    """About how many numbers a model learns: its matrices and its tables."""
    return 12 * n_layers * emb_dim**2 + (config.vocab_size + config.context_length) * emb_dim


def width_for(config, n_layers):
    """The width at which so many blocks have as many parameters as the config's own."""
    size = matrix_numbers(config, config.n_layers, config.emb_dim)
    step = 2 * config.n_heads  # each head gets an even number
    widths = range(step, 8 * config.emb_dim, step)
    return min(widths, key=lambda width: abs(matrix_numbers(config, n_layers, width) - size))


def of_model(base):
    """The variants of the model."""
    config = base.model
    named = [("positions", word, dict(positions=word)) for word in ("learned", "none")]
    named += [("positions", word, dict(positions=word)) for word in ("sinusoidal", "rotary")]
    named += [
        ("positions", "ALiBi", dict(positions="alibi")),
        ("norm", "LayerNorm before", dict(norm="layer", norm_place="before")),
        ("norm", "LayerNorm after", dict(norm="layer", norm_place="after")),
        ("norm", "RMSNorm before", dict(norm="rms", norm_place="before")),
        ("norm", "none", dict(norm="none", norm_place="before")),
        ("activation", "GELU", dict(activation="gelu")),
        ("activation", "ReLU", dict(activation="relu")),
        ("activation", "ReLU²", dict(activation="relu2")),
        ("activation", "SwiGLU", dict(activation="swiglu")),
    ]
    named += [
        ("heads", str(heads), dict(n_heads=heads))
        for heads in (1, 2, 4, 8, 16)
        if config.emb_dim % (2 * heads) == 0
    ]
    named += [
        ("head", "of its own", dict(tie_weights=False)),
        ("head", "tied", dict(tie_weights=True)),
        ("biases", "none", dict(biases=False)),
        ("biases", "all", dict(biases=True, qkv_bias=True)),
        ("first weights", "half as large", dict(init_std=config.init_std / 2)),
        ("first weights", "twice as large", dict(init_std=config.init_std * 2)),
        ("first weights", "GPT-2's 0.02", dict(init_std=0.02, embedding_std=None)),
        ("first weights", "tokens as small as the rest", dict(embedding_std=None)),
        ("dropout", "none", dict(drop_rate=0.0)),
        ("dropout", "0.1", dict(drop_rate=0.1)),
    ]
    return [Variant(choice, option, model) for choice, option, model in named] + of_depth(config)


def of_depth(config):
    """Fewer blocks that are wider, and more that are narrower, with as many parameters."""
    depths = sorted({max(1, config.n_layers // 2), 2 * config.n_layers, 4 * config.n_layers})
    widths = {n_layers: width_for(config, n_layers) for n_layers in depths}
    return [
        Variant(
            "depth × width",
            f"{n_layers} × {width}",
            dict(n_layers=n_layers, emb_dim=width),
            rate=round(config.emb_dim / width, 3),  # as `suited_rate` has it
        )
        for n_layers, width in widths.items()
    ]


def of_training(base):
    """The variants of the training."""
    train, variants = base.train, []
    for factor in (0.5, 2, 4):
        batch = max(1, round(factor * train.batch_size))
        option = dict(rate=round((batch / train.batch_size) ** 0.5, 3))
        variants += [Variant("batch", str(batch), train=dict(batch_size=batch), **option)]
    named = [
        ("clipping", "none", dict(clip=float("inf"))),
        ("clipping", "at 0.25", dict(clip=0.25)),
        ("warm-up", "none", dict(warmup=0)),
        ("warm-up", "five times as long", dict(warmup=5 * max(1, train.warmup))),
        ("schedule", "line", dict(schedule="linear", min_lr=0.0)),
        ("schedule", "cosine", dict(schedule="cosine", min_lr=0.0)),
        ("schedule", "constant", dict(min_lr=1.0)),
        ("weight decay", "none", dict(weight_decay=0.0)),
        (
            "weight decay",
            "ten times as strong",
            dict(weight_decay=10 * (train.weight_decay or 0.01)),
        ),
    ]
    variants += [Variant(choice, option, train=fields) for choice, option, fields in named]
    for share in (0.02, 0.1):
        option = f"over {share:.0%} of the steps"
        variants.append(Variant("averaging", option, recipe=dict(average=share)))
    option, constant = "over 10%, constant rate", dict(min_lr=1.0)
    variants.append(Variant("averaging", option, train=constant, recipe=dict(average=0.1)))
    for name, (word, rate) in {
        "SGD": ("sgd", 30.0),
        "Adam": ("adam", 1.0),
        "AdamW": ("adamw", 1.0),
        "Muon": ("muon", 1.0),
        "Lion": ("lion", 0.125),
    }.items():
        variants.append(Variant("optimizer", name, recipe=dict(optimizer=word), rate=rate))
    return variants


def all_variants(base):
    """Every `Variant` that is not the default run itself."""
    return [v for v in of_model(base) + of_training(base) if v.applied(base) != base]
