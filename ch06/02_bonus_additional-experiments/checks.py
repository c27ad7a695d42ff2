"""Self-checks for the exercises of additional-experiments.ipynb.

How a check works is told in chapter 2's checks.py.
"""

import torch

from ch06_01_main_chapter_code.previous_chapters import (
    answer,
    exercise_check,
    hint,
    judge,
    normal,
    predict,
    show_progress,
)

__all__ = ["answer", "hint", "predict", "show_progress"]  # for the notebook, with every check


def padded_texts(seed, lengths, tokens, emb_dim, left=False):
    """(texts, tokens, emb_dim) and a mask that is True for real tokens; what is padding is no zero."""
    mask = torch.arange(tokens) < torch.tensor(lengths)[:, None]
    return normal(seed, len(lengths), tokens, emb_dim) - 1, mask.flip(1) if left else mask


def texts_of_many_lengths():
    return [
        padded_texts(0, (5, 2, 3), 6, 4),
        padded_texts(1, (4,), 4, 3),
        padded_texts(2, (1, 7), 7, 5, left=True),
        padded_texts(3, (2,), 5, 2),
    ]


def largest(hidden, mask):
    return hidden.masked_fill(~mask[..., None], -torch.inf).amax(dim=1)


LARGEST_READING_MISTAKES = {
    "padding was read, too": lambda h, m: h.amax(dim=1),
    "padding became 0, which is larger than a negative number: use −∞": lambda h, m: (
        h * m[..., None]
    ).amax(dim=1),
    "this is the smallest number": lambda h, m: h.masked_fill(~m[..., None], torch.inf).amin(dim=1),
    "the padding was read, and the real tokens left out": lambda h, m: h.masked_fill(
        m[..., None], -torch.inf
    ).amax(dim=1),
    "this is the mean of the real tokens": lambda h, m: (
        (h * m[..., None]).sum(dim=1) / m.sum(dim=1, keepdim=True)
    ),
    "these are the places; the numbers there are asked for": lambda h, m: h.masked_fill(
        ~m[..., None], -torch.inf
    ).argmax(dim=1),
    "this is the largest number of each token; take the largest token for each number": lambda h, m: (
        h.amax(dim=-1)
    ),
    "`.squeeze()` also took away the axis of a batch of one": lambda h, m: largest(h, m).squeeze(),
    "the axis of the tokens must go": lambda h, m: largest(h, m)[:, None],
    "this is the largest size, without its sign": lambda h, m: (h.abs() * m[..., None]).amax(dim=1),
}


@exercise_check(
    "largest_reading",
    hints=(
        "what must stand at a place of padding, so that it can never be the largest?",
        "put something endlessly small where padding is, and then take the largest along the tokens, for "
        "each number of the vector by itself.",
        "`hidden.masked_fill(~mask[..., None], -torch.inf).amax(dim=1)`",
    ),
)
def check_largest_reading(attempt):
    """largest_reading(hidden, mask): (texts, tokens, emb_dim), (texts, tokens) to (texts, emb_dim)."""
    judge(attempt, largest, texts_of_many_lengths(), LARGEST_READING_MISTAKES)


def mean_of_real(hidden, mask):
    return (hidden * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)


MEAN_READING_MISTAKES = {
    "divided by all places; divide by the number of real tokens": lambda h, m: (
        (h * m[..., None]).sum(dim=1) / m.shape[1]
    ),
    "padding was read, too": lambda h, m: h.mean(dim=1),
    "this is a sum; divide by the number of real tokens": lambda h, m: (h * m[..., None]).sum(
        dim=1
    ),
    "one number of tokens for all texts: each has its own": lambda h, m: (
        (h * m[..., None]).sum(dim=1) / m.sum() * len(m)
    ),
    "one mean for all texts": lambda h, m: h[m].mean(dim=0).expand(len(h), -1),
    "the mean went over the numbers of a token; it goes over the tokens": lambda h, m: h.mean(
        dim=-1
    ),
    "`.squeeze()` also took away the axis of a batch of one": lambda h, m: mean_of_real(
        h, m
    ).squeeze(),
    "the axis of the tokens must go": lambda h, m: mean_of_real(h, m)[:, None],
    "the padding was averaged, not the real tokens": lambda h, m: mean_of_real(h, ~m),
    "divided by the root of the number": lambda h, m: (
        (h * m[..., None]).sum(dim=1) / m.sum(dim=1, keepdim=True) ** 0.5
    ),
}


@exercise_check(
    "mean_reading",
    hints=(
        "how many vectors of each text are real?",
        "strike the padding out, add up along the tokens, and divide every text by its own number of real "
        "tokens.",
        "`(hidden * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)`",
    ),
)
def check_mean_reading(attempt):
    """mean_reading(hidden, mask): (texts, tokens, emb_dim), (texts, tokens) to (texts, emb_dim)."""
    judge(attempt, mean_of_real, texts_of_many_lengths(), MEAN_READING_MISTAKES)


def paired(first, second, pairs=True, less=1, root=True, over=True):
    gaps = [a - b for a, b in zip(first, second, strict=True)]
    mean = sum(gaps) / len(gaps)
    square = sum((gap - mean) ** 2 for gap in gaps) / (len(gaps) - less)
    if not pairs:
        square = sum(spread_of(one) for one in (first, second))
    error = square**0.5 if root else square
    return mean, error / (len(gaps) ** 0.5 if over else 1)


def spread_of(values):
    mean = sum(values) / len(values)
    return sum((value - mean) ** 2 for value in values) / (len(values) - 1)


PAIRED_DIFFERENCE_MISTAKES = {
    "both lists were scattered by themselves; take the differences seed by seed, or their luck stays "
    "in": lambda a, b: paired(a, b, pairs=False),
    "the sum of squares was divided by the number of seeds; divide by one fewer": lambda a, b: (
        paired(a, b, less=0)
    ),
    "this is the scatter of one difference; the mean of n has 1/√n of it": lambda a, b: paired(
        a, b, over=False
    ),
    "the root is missing": lambda a, b: paired(a, b, root=False),
    "the other way round: the first minus the second": lambda a, b: paired(b, a),
    "divided by n, not by √n": lambda a, b: (paired(a, b)[0], paired(a, b)[1] / len(a) ** 0.5),
    "only the mean difference came back": lambda a, b: paired(a, b)[0],
    "the sizes of the differences were averaged, without their signs": lambda a, b: (
        sum(abs(x - y) for x, y in zip(a, b, strict=True)) / len(a),
        paired(a, b)[1],
    ),
    "the two numbers are exchanged: (mean, error)": lambda a, b: paired(a, b)[::-1],
}


@exercise_check(
    "paired_difference",
    hints=(
        "what do two ways share that ran with the same seed?",
        "subtract seed by seed; then the mean of the differences, and their standard deviation (with one "
        "fewer below the line) over the root of their number.",
        "`(sum((gap - mean) ** 2 for gap in gaps) / (n - 1)) ** 0.5 "
        "/ n**0.5`, with the `n` differences `gaps`",
    ),
)
def check_paired_difference(attempt):
    """paired_difference(first, second): (mean, its standard error) of the differences by seed."""
    inputs = [([0.9, 0.7, 0.8], [0.85, 0.6, 0.78]), ([1.0, 2.0, 4.0, 8.0], [2.0, 1.0, 5.0, 3.0])]
    inputs += [([0.5, 0.5], [0.25, 0.75])]
    judge(attempt, paired, inputs, PAIRED_DIFFERENCE_MISTAKES)
