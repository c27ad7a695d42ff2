"""Seven learning-rate schedules as functions, and a training loop that takes any of them.

A schedule here is a function of (step, steps, warmup) that gives the share of the highest rate:
`step` counts from 0 to `steps` − 1, the first `warmup` steps climb in a line.

    >>> [linear(step, steps=6, warmup=2) for step in range(6)]
    [0.5, 1.0, 1.0, 0.75, 0.5, 0.25]
"""

import math

import torch

from ch05_01_main_chapter_code.gpt_train import Batches, make_optimizer
from ch05_01_main_chapter_code.previous_chapters import language_model_loss


def ramp(step, warmup):
    """The warm-up: 1/warmup, 2/warmup, …, 1, and 1 from then on."""
    return min(1.0, (step + 1) / max(1, warmup))


def progress(step, steps, warmup):
    """How much of the time after the warm-up is over: 0 … 1."""
    return min(1.0, max(0, step - warmup) / max(1, steps - warmup))


def half_cosine(start, end, share):
    """From `start` (share 0) to `end` (share 1), flat at both."""
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


def constant(step, steps, warmup):
    return ramp(step, warmup)


def linear(step, steps, warmup):
    return ramp(step, warmup) * (1 - progress(step, steps, warmup))


def cosine(step, steps, warmup):
    """Half a cosine, without restarts [Loshchilov and Hutter 2016, arXiv:1608.03983]."""
    return ramp(step, warmup) * half_cosine(1, 0, progress(step, steps, warmup))


def cosine_restarts(step, steps, warmup, cycles=3):
    """Half cosines one after the other, each twice as long as the one before [arXiv:1608.03983]."""
    past, length = max(0, step - warmup), max(1, steps - warmup) / (2**cycles - 1)
    while past >= length and step < steps:
        past, length = past - length, 2 * length
    return ramp(step, warmup) * half_cosine(1, 0, min(1, past / length))


def inverse_sqrt(step, steps, warmup):
    """Falls as 1/√step, and never asks for `steps` [Vaswani et al. 2017, arXiv:1706.03762, section
    5.3].
    """
    return ramp(step, warmup) * math.sqrt(max(1, warmup) / max(1, warmup, step + 1))


def warmup_stable_decay(step, steps, warmup, decay=0.2):
    """Flat, and down in a line in the last fifth (`decay`) of the steps [Hu et al. 2024,
    arXiv:2404.06395].
    """
    return ramp(step, warmup) * min(1.0, (steps - step) / max(1, round(decay * steps)))


def one_cycle(step, steps, warmup, rise=0.3, first=1 / 25, last=1 / 250_000):
    """A slow climb in half a cosine, then a long fall to almost nothing [Smith and Topin 2017,
    arXiv:1708.07120].

    It brings its own warm-up, the first `rise` of all steps, so `warmup` is not looked at.
    """
    top = rise * steps - 1
    if step < top:
        return half_cosine(first, 1, step / top)
    return half_cosine(1, last, min(1, (step - top) / (steps - 1 - top)))


SCHEDULES = {
    "constant": constant,
    "linear": linear,
    "cosine": cosine,
    "cosine with restarts": cosine_restarts,
    "inverse square root": inverse_sqrt,
    "warm-up, stable, decay": warmup_stable_decay,
    "one-cycle": one_cycle,
}


def train_with(model, dataset, config, share):
    """Chapter 5's `train` in fp32, but with the rate `config.lr` · `share(step)`. Returns the loss
    of every step.
    """
    optimizer = make_optimizer(model, config)
    stream = Batches(dataset, config.batch_size, config.seed)
    losses = []
    model.train()
    for step in range(config.steps):
        for group in optimizer.param_groups:
            group["lr"] = config.lr * share(step)
        inputs, targets = stream[step]  # (batch, tokens) each
        loss = language_model_loss(model(inputs), targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss.item())
    return losses
