"""Self-checks for the exercises of learning-rate-schedulers.ipynb.

How a check works is told in chapter 2's checks.py.
"""

import math

from ch05_01_main_chapter_code.previous_chapters import (
    answer,
    exercise_check,
    hint,
    judge,
    predict,
    show_progress,
)

__all__ = ["answer", "hint", "predict", "show_progress"]  # for the notebook, with every check


def cosine(step, steps, warmup, low, first=1, half=True, warm=True):
    if step < warmup:
        return (step + first) / warmup
    progress = (step - warmup * warm) / (steps - warmup * warm)
    return low + (1 - low) * 0.5 * (1 + math.cos(math.pi * progress * (1 if half else 2)))


COSINE_SHARE_MISTAKES = {
    "the first step has the share 0 and learns nothing: (step + 1) / warmup": lambda *given: cosine(
        *given, first=0
    ),
    "this is a whole wave, down and up again; half of one is asked for": lambda *given: cosine(
        *given, half=False
    ),
    "the progress counts from the end of the warm-up, not from step 0": lambda *given: cosine(
        *given, warm=False
    ),
    "the floor is missing: it falls to `low`, not to 0": lambda step, steps, warmup, low: cosine(
        step, steps, warmup, 0.0
    ),
    "the floor was added on top; 1 − low is left for the wave": lambda step, steps, warmup, low: (
        cosine(step, steps, warmup, 0.0) + (low if step >= warmup else 0)
    ),
    "cut off at the floor; the wave itself ends there": lambda step, steps, warmup, low: max(
        low * (step >= warmup), cosine(step, steps, warmup, 0.0)
    ),
    "there is no warm-up": lambda step, steps, warmup, low: cosine(
        max(step, warmup), steps, warmup, low
    ),
    "the wave rises: 1 + cos begins high, 1 − cos begins low": lambda step, steps, warmup, low: (
        cosine(step, steps, warmup, low)
        if step < warmup
        else 1 + low - cosine(step, steps, warmup, low)
    ),
    "this falls in a line, not in a wave": lambda step, steps, warmup, low: (
        cosine(step, steps, warmup, low)
        if step < warmup
        else 1 - (1 - low) * (step - warmup) / (steps - warmup)
    ),
}


@exercise_check(
    "cosine_share",
    hints=(
        "which share of the way from the end of the warm-up to the end of the run is behind this step?",
        "a line up; then half a wave that begins at one and ends at the floor, over the steps that are "
        "left behind the warm-up.",
        "`low + (1 - low) * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))`",
    ),
)
def check_cosine_share(attempt):
    """cosine_share(step, steps, warmup, low): the share of the peak at a step."""
    inputs = [(step, 20, 4, 0.1) for step in (0, 1, 3, 4, 5, 12, 19)]
    inputs += [(step, 7, 1, 0.0) for step in (0, 1, 3, 6)] + [(50, 100, 10, 0.25)]
    judge(attempt, cosine, inputs, COSINE_SHARE_MISTAKES)


def rooted(step, steps, warmup, decay, power=0.5, back=False, last=1, early=0):
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - (steps - decay) + last) / (decay + last + early)
    if step < steps - decay:
        return 1.0
    return (1 - progress) ** power if back else 1 - progress**power


SQRT_DECAY_MISTAKES = {
    "this falls in a line; take the root of the progress": lambda *given: rooted(*given, power=1.0),
    "the root belongs to the progress, not to what is left": lambda *given: rooted(
        *given, back=True
    ),
    "the progress was squared": lambda *given: rooted(*given, power=2.0),
    "the first step of the fall should be lower than the peak: progress begins at 1 / (decay + "
    "1)": lambda step, steps, warmup, decay: (
        rooted(step, steps, warmup, decay)
        if step < steps - decay
        else 1 - ((step - steps + decay) / decay) ** 0.5
    ),
    "the last step has the share 0 and learns nothing: divide by decay + 1": lambda *given: rooted(
        *given, early=-1
    ),
    "there is no warm-up": lambda step, steps, warmup, decay: rooted(
        max(step, warmup), steps, warmup, decay
    ),
    "it never falls": lambda step, steps, warmup, decay: min(1.0, (step + 1) / warmup),
    "it falls from the end of the warm-up on": lambda step, steps, warmup, decay: rooted(
        step, steps, warmup, steps - warmup
    ),
    "`1 −` is missing: it rises": lambda step, steps, warmup, decay: (
        rooted(step, steps, warmup, decay)
        if step < steps - decay
        else 1 - rooted(step, steps, warmup, decay)
    ),
}


@exercise_check(
    "sqrt_decay",
    hints=(
        "in which of three parts of the run does the step lie?",
        "up in a line, flat, and at the end one minus the root of the way that is behind; the last step "
        "still learns a little.",
        "`1 - ((step - (steps - decay) + 1) / (decay + 1)) ** 0.5`, in the last part",
    ),
)
def check_sqrt_decay(attempt):
    """sqrt_decay(step, steps, warmup, decay): the share of the peak at a step."""
    inputs = [(step, 30, 5, 8) for step in (0, 3, 4, 5, 21, 22, 23, 26, 29)]
    inputs += [(step, 9, 2, 3) for step in (0, 1, 5, 6, 8)]
    judge(attempt, rooted, inputs, SQRT_DECAY_MISTAKES)


def below(shares, limit):
    return sum(share < limit for share in shares) / len(shares)


SHARE_BELOW_MISTAKES = {
    "a share that equals the limit is not below it": lambda shares, limit: (
        sum(share <= limit for share in shares) / len(shares)
    ),
    "these are the steps above it": lambda shares, limit: (
        sum(share > limit for share in shares) / len(shares)
    ),
    "this is a number of steps; divide by all of them": lambda shares, limit: float(
        sum(share < limit for share in shares)
    ),
    "this is per cent": lambda shares, limit: 100 * below(shares, limit),
    "this is the mean of the small shares": lambda shares, limit: (
        sum(share for share in shares if share < limit) / max(1, sum(s < limit for s in shares))
    ),
    "the shares were added up, not the steps": lambda shares, limit: (
        sum(share for share in shares if share < limit) / len(shares)
    ),
    "the limit is a share of the largest here; it is given": lambda shares, limit: below(
        shares, limit * max(shares)
    ),
    "only the steps at the beginning were counted; the end counts, too": lambda shares, limit: (
        next((n for n, share in enumerate(shares) if share >= limit), len(shares)) / len(shares)
    ),
    "only the steps at the end were counted; the beginning counts, too": lambda shares, limit: (
        next((n for n, s in enumerate(reversed(shares)) if s >= limit), len(shares)) / len(shares)
    ),
}


@exercise_check(
    "share_below",
    hints=(
        "how many steps are meant, and of how many?",
        "count the steps whose share is smaller than the limit, wherever they stand, and divide by all.",
        "`sum(share < limit for share in shares) / len(shares)`",
    ),
)
def check_share_below(attempt):
    """share_below(shares, limit): which share of the steps has less than this."""
    inputs = [([0.1, 0.5, 1.0, 0.2, 0.05], 0.2), ([1.0, 0.8], 0.2), ([0.25, 0.5, 0.4, 0.125], 0.25)]
    inputs += [([0.3], 0.5), ([0.02, 0.5, 0.01, 0.4, 0.03, 0.02], 0.4)]
    judge(attempt, below, inputs, SHARE_BELOW_MISTAKES)
