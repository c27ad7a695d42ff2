"""Self-checks for the exercises of this notebook. How a check works is told in chapter 2's checks.py."""

import numpy as np
import torch

from ch05_01_main_chapter_code.previous_chapters import (
    exercise_check,
    hint,
    judge,
    normal,
    show_progress,
)

__all__ = ["hint", "show_progress"]  # for the notebook, with every check


def interval(differences, t):
    reach = t * differences.std(ddof=1) / len(differences) ** 0.5
    return differences.mean() - reach, differences.mean() + reach


def rounded(pair):
    return tuple(float(number) for number in pair)


def paired_interval(ours, theirs, t):
    return rounded(interval(np.array(ours) - np.array(theirs), t))


def unpaired(ours, theirs, t):
    ours, theirs = np.array(ours), np.array(theirs)
    error = ((ours.var(ddof=1) + theirs.var(ddof=1)) / len(ours)) ** 0.5
    mean = ours.mean() - theirs.mean()
    return rounded((mean - t * error, mean + t * error))


def spoiled(reach):
    """An interval whose half-width is `reach(differences, t)`."""

    def attempt(ours, theirs, t):
        differences = np.array(ours) - np.array(theirs)
        half = reach(differences, t)
        return rounded((differences.mean() - half, differences.mean() + half))

    return attempt


PAIRED_MISTAKES = {
    "the seeds were not paired: take the difference of each seed first, and the scatter of these": unpaired,
    "the scatter is divided by n; a sample's is divided by n − 1: ddof=1": spoiled(
        lambda d, t: t * d.std() / len(d) ** 0.5
    ),
    "this is the scatter of one difference; that of their mean is smaller by √n": spoiled(
        lambda d, t: t * d.std(ddof=1)
    ),
    "divided by n, not by √n": spoiled(lambda d, t: t * d.std(ddof=1) / len(d)),
    "the differences have the other sign: ours − theirs": lambda a, b, t: paired_interval(b, a, t),
    "t is missing: this is one standard error to each side": spoiled(
        lambda d, t: d.std(ddof=1) / len(d) ** 0.5
    ),
}


@exercise_check(
    "paired_interval",
    hints=(
        "what do both runs of a seed share, and how does it leave the sum?",
        "the difference of each seed first; then its mean, and to both sides the standard error times what Student asks for.",
        "`t * differences.std(ddof=1) / len(differences) ** 0.5` is the way to each side",
    ),
)
def check_paired_interval(attempt):
    """paired_interval(ours, theirs, t): (low, high) of the mean difference of two lists of numbers,
    one for each seed.
    """
    inputs = []
    for seed, (n, t) in enumerate([(5, 2.776), (3, 4.303), (8, 2.365)]):
        luck = normal(seed, n)
        ours, theirs = (luck + 0.1 * normal(seed + s, n) for s in (10, 20))
        inputs.append((ours.tolist(), theirs.tolist(), t))

    judge(attempt, paired_interval, inputs, PAIRED_MISTAKES)


def discoveries(p_values, share):
    ordered = sorted(p_values)
    believed = [k for k, p in enumerate(ordered, start=1) if p <= share * k / len(ordered)]
    return max(believed, default=0)


def until_the_first_failure(p_values, share):
    count = 0
    for k, p in enumerate(sorted(p_values), start=1):
        if p > share * k / len(p_values):
            break
        count = k
    return count


DISCOVERY_MISTAKES = {
    "every p-value was held against the whole share: among many, some are small by luck": lambda p, s: (
        sum(x <= s for x in p)
    ),
    "every p-value was held against share / n, the smallest limit; the k-th has k times as much": lambda p, s: (
        sum(x <= s / len(p) for x in p)
    ),
    "the search ended at the first p-value above its limit; a later one may lie under its own": until_the_first_failure,
    "those under their limits were counted; wanted is the largest k, with all before it": lambda p, s: (
        sum(x <= s * k / len(p) for k, x in enumerate(sorted(p), start=1))
    ),
    "the p-values were not sorted": lambda p, s: max(
        (k for k, x in enumerate(p, start=1) if x <= s * k / len(p)), default=0
    ),
    "k was counted from 0": lambda p, s: max(
        (k for k, x in enumerate(sorted(p)) if x <= s * k / len(p)), default=0
    ),
}


@exercise_check(
    "discoveries",
    hints=(
        "if one p-value misses its line, can a larger one still pass?",
        "hold each sorted value against a line that rises with its place, and take the last place that lies on or below it.",
        "`p <= share * k / n` holds for the last of the k smallest that are believed",
    ),
)
def check_discoveries(attempt):
    """discoveries(p_values, share): how many of the smallest p-values are believed."""
    inputs = [
        ([0.3, 0.005, 0.031, 0.021, 0.035], 0.05),
        ([0.5, 0.04, 0.9, 0.6], 0.05),
        ([0.02, 0.9, 0.001, 0.03, 0.8, 0.012], 0.1),
        ([0.011, 0.3, 0.4, 0.02], 0.01),
        ([0.03], 0.05),
    ]
    judge(attempt, discoveries, inputs, DISCOVERY_MISTAKES)


def lion(weight, gradient, average, lr, decay, beta1=0.9, beta2=0.99):
    direction = (beta1 * average + (1 - beta1) * gradient).sign()
    new = weight - lr * (direction + decay * weight)
    return new, beta2 * average + (1 - beta2) * gradient


def lion_with(change):
    """A step of Lion in which the direction comes from `change(gradient, average)`."""

    def attempt(weight, gradient, average, lr, decay):
        _, later = lion(weight, gradient, average, lr, decay)
        return weight - lr * (change(gradient, average) + decay * weight), later

    return attempt


def one_average(weight, gradient, average, lr, decay):
    new, _ = lion(weight, gradient, average, lr, decay)
    return new, 0.9 * average + 0.1 * gradient


def remembered_first(weight, gradient, average, lr, decay):
    _, later = lion(weight, gradient, average, lr, decay)
    return lion(weight, gradient, later, lr, decay)[0], later


def strong_decay(weight, gradient, average, lr, decay):
    new, later = lion(weight, gradient, average, lr, 0.0)
    return new - decay * weight, later


def uphill(weight, gradient, average, lr, decay):
    _, later = lion(weight, gradient, average, lr, decay)
    return 2 * weight * (1 - lr * decay) - lion(weight, gradient, average, lr, decay)[0], later


LION_MISTAKES = {
    "the sign is missing: every number moves by the rate, up or down": lion_with(
        lambda g, m: 0.9 * m + 0.1 * g
    ),
    "the direction is the sign of the remembered average alone; a tenth of the new gradient belongs in it": lion_with(
        lambda g, m: m.sign()
    ),
    "the direction is the sign of the gradient alone": lion_with(lambda g, m: g.sign()),
    "what is remembered has weights of its own: 0.99 and 0.01": one_average,
    "the average was renewed before the step; the step comes first": remembered_first,
    "the decay is to be multiplied by the rate, too": strong_decay,
    "it goes uphill: the direction is subtracted": uphill,
}


@exercise_check(
    "lion_step",
    hints=(
        "which average decides the way, and which is kept?",
        "only the sign of one mixture moves the weight; the memory takes its own, smaller part of the gradient afterwards.",
        "`weight - lr * (torch.sign(0.9 * average + 0.1 * gradient) + decay * weight)`",
    ),
)
def check_lion_step(attempt):
    """lion_step(weight, gradient, average, lr, decay): the new weight and the new average."""
    inputs = [
        (normal(seed, *shape), normal(seed + 10, *shape), normal(seed + 20, *shape), lr, decay)
        for seed, (shape, lr, decay) in enumerate(
            [((4,), 0.1, 0.5), ((3, 5), 0.01, 0.1), ((6,), 0.3, 0.0)]
        )
    ]
    # The gradient has turned around and nearly outweighs the memory.
    turned = torch.tensor([1.0, -1.0, 2.0])
    inputs.append((turned, -8.5 * turned, turned, 0.1, 0.2))
    judge(attempt, lion, inputs, LION_MISTAKES)
