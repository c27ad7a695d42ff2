"""Self-checks for the exercises of performance-analysis.ipynb.

How a check works is told in chapter 2's checks.py.
"""

from ch04_01_main_chapter_code.previous_chapters import (
    answer,
    exercise_check,
    hint,
    judge,
    predict,
    show_progress,
)

__all__ = ["answer", "hint", "predict", "show_progress"]  # for the notebook, with every check


def writing_speed(parameters, size, gigabytes, batch, unit=1e9, weights=1):
    return batch * gigabytes * unit / (weights * parameters * size)


TOKENS_PER_SECOND_MISTAKES = {
    "each text reads the weights anew here; one reading serves the whole batch": lambda p, size, gb, batch: (
        writing_speed(p, size, gb, 1)
    ),
    "the bytes of a number are missing": lambda p, size, gb, batch: writing_speed(p, 1, gb, batch),
    "a gigabyte is 10⁹ bytes, not 2³⁰": lambda p, size, gb, batch: writing_speed(
        p, size, gb, batch, unit=2**30
    ),
    "giga is 10⁹, not 10⁶": lambda p, size, gb, batch: writing_speed(p, size, gb, batch, unit=1e6),
    "giga is missing: 10⁹ bytes": lambda p, size, gb, batch: writing_speed(p, size, gb, batch, 1),
    "upside down: these are seconds per token": lambda p, size, gb, batch: (
        1 / writing_speed(p, size, gb, batch)
    ),
    "the weights are read once for each token, not twice": lambda p, size, gb, batch: writing_speed(
        p, size, gb, batch, weights=2
    ),
    "a number of n bytes is n bytes, not n bits": lambda p, size, gb, batch: writing_speed(
        p, size / 8, gb, batch
    ),
    "this is per text; all texts of the batch write": lambda p, size, gb, batch: (
        writing_speed(p, size, gb, 1) / batch
    ),
}


@exercise_check(
    "tokens_per_second",
    hints=(
        "what must come out of the memory before one token can be written, and for how many texts does "
        "it serve?",
        "all weights are read once, in bytes; so many times a second the memory can deliver them, and "
        "each time every text of the batch gets a token.",
        "`batch * gigabytes_per_second * 1e9 / (parameters * bytes_per_number)`",
    ),
)
def check_tokens_per_second(attempt):
    """tokens_per_second(parameters, bytes_per_number, gigabytes_per_second, batch): the most that the
    memory allows.
    """
    inputs = [(1_557_611_200, 2, 3350.0, 1), (124_439_808, 4, 25.0, 32), (7_000, 1, 0.5, 3)]
    judge(attempt, writing_speed, inputs, TOKENS_PER_SECOND_MISTAKES)


def flops_per_byte(n, k, m, size, reads=True, writes=True, factor=2):
    moved = reads * (n * k + k * m) + writes * n * m
    return factor * n * k * m / (moved * size)


INTENSITY_MISTAKES = {
    "a product is a multiplication and an addition: 2 · n · k · m FLOPs": lambda *sizes: (
        flops_per_byte(*sizes, factor=1)
    ),
    "the result must be written, too: n · m numbers": lambda *sizes: flops_per_byte(
        *sizes, writes=False
    ),
    "both matrices must be read: n · k and k · m numbers": lambda *sizes: flops_per_byte(
        *sizes, reads=False
    ),
    "the bytes of a number are missing": lambda n, k, m, size: flops_per_byte(n, k, m, 1),
    "multiplied by the bytes of a number; they stand below the line": lambda n, k, m, size: (
        flops_per_byte(n, k, m, 1 / size)
    ),
    "upside down: these are bytes per FLOP": lambda *sizes: 1 / flops_per_byte(*sizes),
    "only the weights, k · m, were counted as moved": lambda n, k, m, size: 2 * n / size,
    "only the inputs, n · k, were counted as moved": lambda n, k, m, size: 2 * m / size,
    "these are FLOPs; divide by the bytes": lambda n, k, m, size: 2.0 * n * k * m,
    "whole numbers only: `//` cuts off the digits": lambda n, k, m, size: float(
        2 * n * k * m // ((n * k + k * m + n * m) * size)
    ),
}


@exercise_check(
    "intensity",
    hints=(
        "how many numbers are read and written, and how much is done with them?",
        "above the line the operations of a product, two for each pair of numbers; below it three "
        "matrices, in bytes.",
        "`2 * n * k * m / ((n * k + k * m + n * m) * bytes_per_number)`",
    ),
)
def check_intensity(attempt):
    """intensity(n, k, m, bytes_per_number): FLOPs per byte of a product (n, k) by (k, m)."""
    inputs = [(1, 768, 3072, 4), (1000, 768, 700, 2), (3, 5, 7, 1), (64, 32, 16, 4)]
    judge(attempt, flops_per_byte, inputs, INTENSITY_MISTAKES)


def days(parameters, tokens, flops, share, factor=6, seconds=86_400):
    return factor * parameters * tokens / (flops * share) / seconds


TRAINING_DAYS_MISTAKES = {
    "2 FLOPs per weight and token are the forward pass "
    "alone; the backward pass takes 4 more": lambda *given: days(*given, factor=2),
    "the forward pass is missing: 6 FLOPs per weight and token, not 4": lambda *given: days(
        *given, factor=4
    ),
    "these are hours": lambda *given: days(*given, seconds=3600),
    "these are seconds": lambda *given: days(*given, seconds=1),
    "multiplied by the share that is reached; a machine that reaches less takes longer": lambda p, t, f, s: (
        6 * p * t / f * s / 86_400
    ),
    "the share that is reached is missing": lambda p, t, f, s: days(p, t, f, 1),
    "upside down": lambda *given: 1 / days(*given),
    "a weight is used once for each token; the tokens are missing": lambda p, t, f, s: days(
        p, 1, f, s
    ),
    "a week has seven days; these are weeks": lambda *given: days(*given) / 7,
}


@exercise_check(
    "training_days",
    hints=(
        "how many operations does a weight see for each token, forwards and backwards?",
        "two forwards and four backwards, for all weights and all tokens; the machine does a share of "
        "what it could in a second; a day has 86,400 of these.",
        "`6 * parameters * tokens / (flops_per_second * share) / 86400`",
    ),
)
def check_training_days(attempt):
    """training_days(parameters, tokens, flops_per_second, share): by the rule of 6 FLOPs."""
    inputs = [
        (124_439_808, 10**10, 8 * 312e12, 0.6),
        (10**6, 10**7, 1e11, 0.25),
        (70, 900, 5.0, 1.0),
    ]
    judge(attempt, days, inputs, TRAINING_DAYS_MISTAKES)
