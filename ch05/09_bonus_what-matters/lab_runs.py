"""One run of the laboratory: a model trained by a recipe, and what the log keeps of it."""

import time
import zlib
from dataclasses import dataclass, replace

import torch
from lab_model import LabModel
from variants import Recipe, Variant

from ch05_01_main_chapter_code.gpt_generate import TALES_GPT, sample_stories
from ch05_01_main_chapter_code.gpt_train import make_optimizer, prepare, train
from ch05_01_main_chapter_code.previous_chapters import count_parameters
from ch05_01_main_chapter_code.tales import parse_tale, split_gap
from ch05_01_main_chapter_code.training import target_losses

CURVE_POINTS = 8
FAILED = {
    "nats": None,
    "forced": None,
    "valid": None,
    "stories": 0,
}  # the loss is no number any more


@dataclass(frozen=True)
class Job:
    """A run to be made: `tales` are shown to the model, `stories` are what it writes at the end."""

    base: Recipe
    variant: Variant
    lr: float
    seed: int
    tales: int
    stories: int

    @property
    def key(self):
        """By what its row is found in the log; the stories are not part of it."""
        return dict(variant=self.variant.name, lr=self.lr, seed=self.seed, tales=self.tales)


# --- Optimizers that chapter 5 does not have ------------------------------------------------------


class Lion(torch.optim.Optimizer):
    """Every weight moves by the rate, up or down: only the sign of the averaged gradient is used
    [Chen et al. 2023, arXiv:2302.06675, algorithm 2].
    """

    def __init__(self, params, lr, betas=(0.9, 0.99), weight_decay=0.0):
        super().__init__(params, dict(lr=lr, betas=betas, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self.move(weight, group)

    def move(self, weight, group):
        state, (beta1, beta2) = self.state[weight], group["betas"]
        if not state:
            state["average"] = torch.zeros_like(weight)
        direction = state["average"].lerp(weight.grad, 1 - beta1).sign()
        weight.mul_(1 - group["lr"] * group["weight_decay"])
        weight.add_(direction, alpha=-group["lr"])
        state["average"].lerp_(weight.grad, 1 - beta2)


def lab_optimizer(model, recipe, lr):
    """The recipe's optimizer; where chapter 5 has it, chapter 5's. All pull matrices towards zero,
    and nothing else.
    """
    config = replace(recipe.train, lr=lr)
    if recipe.optimizer in ("adamw", "muon"):
        return make_optimizer(model, replace(config, optimizer=recipe.optimizer))
    groups = [
        {"params": [p for p in model.parameters() if p.dim() >= 2]},
        {"params": [p for p in model.parameters() if p.dim() < 2], "weight_decay": 0.0},
    ]
    options = dict(lr=lr, weight_decay=config.weight_decay)
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, momentum=0.9, nesterov=True, **options)
    if recipe.optimizer == "adam":
        return torch.optim.Adam(groups, betas=(0.9, config.beta2), **options)
    if recipe.optimizer == "lion":
        return Lion(groups, **options)
    raise ValueError(
        f"no optimizer is called {recipe.optimizer!r}; use sgd, adam, adamw, muon or lion"
    )


class Average:
    """A running average of a model's weights over about `share` of the steps [Polyak & Juditsky
    1992]: each step it moves towards the weights by 1 / (share · steps) of the way.
    """

    def __init__(self, model, share, steps):
        self.model, self.part = model, min(1.0, 1 / max(1.0, share * steps))
        self.weights = [parameter.detach().clone() for parameter in model.parameters()]

    @torch.no_grad()
    def add(self):
        for average, weight in zip(self.weights, self.model.parameters(), strict=True):
            average.lerp_(weight, self.part)

    @torch.no_grad()
    def put_in(self):
        for average, weight in zip(self.weights, self.model.parameters(), strict=True):
            weight.copy_(average)


# --- The run --------------------------------------------------------------------------------------


def plan_of(job):
    """The `TrainConfig` of a job: as many tales for every batch size, the warm-up as large a part of
    the steps as in the default run.
    """
    config = job.variant.applied(job.base).train
    steps = max(1, job.tales // (config.batch_size * config.grad_accum))
    warmup = round(config.warmup / job.base.train.steps * steps)
    return replace(config, steps=steps, warmup=warmup, lr=job.lr, seed=job.seed)


def settings_sum(base):
    """A checksum of the default run that the rows of a log were made beside, and of its tokens."""
    tokens = (TALES_GPT / "tokenizer.json").read_bytes()
    return f"{zlib.crc32(repr(base).encode() + tokens):08x}"


def make_corpus(base):
    """Chapter 5's Tiny Tales in the tokens of tales-gpt, the same for all seeds of the laboratory: a
    seed decides the first weights, the order of the tales, and dropout.
    """
    config = replace(base.train, tokenizer=str(TALES_GPT))
    return prepare(config, base.model.context_length, base.model.vocab_size)


def curve_of(losses, seconds):
    """Eight points of a loss curve: [step, mean loss since the last point, seconds so far]."""
    ends = sorted({round(len(losses) * i / CURVE_POINTS) for i in range(1, CURVE_POINTS + 1)} - {0})
    parts = [(begin, end) for begin, end in zip([0, *ends], ends, strict=False)]
    return [
        [end, round(sum(losses[begin:end]) / (end - begin), 4), round(seconds[end - 1], 2)]
        for begin, end in parts
    ]


def run(job, corpus, should_stop=lambda: False):
    """Do a job. Returns its row for the log, or None if it was stopped.

    `nats`: the loss above the floor, per token; None where it is no number any more. `forced`: the
    part of it that is lost where the grammar leaves one token only, so to the tail. `cpu_seconds`:
    of the processor, for the training; `seconds`: by the clock, for all of it.
    """
    recipe, config = job.variant.applied(job.base), plan_of(job)
    torch.manual_seed(job.seed)
    model = LabModel(recipe.model)
    average = Average(model, recipe.average, config.steps) if recipe.average else None
    seconds, wall, began = [], time.perf_counter(), time.process_time()

    def on_step(*_):
        if average:
            average.add()
        seconds.append(time.process_time() - began)
        return should_stop()

    optimizer = lab_optimizer(model, recipe, job.lr)
    row = job.key | {"steps": config.steps, "parameters": count_parameters(model)}
    row["settings"] = settings_sum(job.base)
    try:
        losses = train(model, corpus.train, config, optimizer, on_step=on_step)
    except FloatingPointError:
        return row | FAILED
    if len(losses) < config.steps:
        return None
    if average:
        average.put_in()
    row |= judged(model, corpus, job)
    row |= {"cpu_seconds": round(seconds[-1], 2), "seconds": round(time.perf_counter() - wall, 1)}
    return row | {"curve": curve_of(losses, seconds)}


def judged(model, corpus, job):
    """What a trained model is worth: its loss on held-out tales above the floor, the part of it that
    is lost where one token only can come, and how many of the tales that it writes are valid.
    """
    losses = torch.cat(target_losses(model, corpus.validation)).double()
    if not losses.isfinite().all():
        return FAILED
    nats, forced = (
        float(losses.mean()) - corpus.floor,
        split_gap(losses, corpus.truth)["gap_forced"],
    )
    length = model.config.context_length
    stories = sample_stories(model, corpus.tokenizer, job.stories, length, seed=job.seed)
    valid = sum(parse_tale(story) is not None for story in stories)
    lost = {"nats": round(nats, 6), "forced": round(forced, 6)}
    return lost | {"valid": valid, "stories": job.stories}
