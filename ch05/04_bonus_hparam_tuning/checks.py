"""Self-checks for the exercises of hparam-tuning.ipynb.

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


LOG_UNIFORM_MISTAKES = {
    "this is uniform between the two, in a line: nine tenths of the draws lie in the last "
    "factor of ten": lambda u, low, high: low + u * (high - low),
    "the logarithm itself came back; raise e to it": lambda u, low, high: (
        math.log(low) + u * math.log(high / low)
    ),
    "the ends are exchanged: u = 0 is low, u = 1 is high": lambda u, low, high: (
        high * (low / high) ** u
    ),
    "low in front is missing": lambda u, low, high: (high / low) ** u,
    "u is the power, not a factor": lambda u, low, high: low * (high / low) * u,
    "the powers of ten were raised with e": lambda u, low, high: math.exp(
        math.log10(low) + u * math.log10(high / low)
    ),
    "this is the middle of the two, whatever u is": lambda u, low, high: (low * high) ** 0.5,
    "the difference was raised to a power; take the ratio": lambda u, low, high: (
        low * (high - low) ** u
    ),
    "u was squared": lambda u, low, high: low * (high / low) ** (u * u),
}


@exercise_check(
    "log_uniform",
    hints=(
        "which draws should be as frequent: from 0.001 to 0.01, or from 0.01 to 0.1?",
        "the logarithm is uniform: half of the way is not half of the sum, but the number that is as "
        "many times larger than one end as it is smaller than the other.",
        "`low * (high / low) ** u`",
    ),
)
def check_log_uniform(attempt):
    """log_uniform(u, low, high): a draw whose logarithm is uniform, from u between 0 and 1."""
    inputs = [
        (0.5, 1e-4, 1e-2),
        (0.0, 0.001, 0.5),
        (1.0, 0.001, 0.5),
        (0.3, 2.0, 50.0),
        (0.9, 0.1, 0.2),
    ]
    judge(attempt, lambda u, low, high: low * (high / low) ** u, inputs, LOG_UNIFORM_MISTAKES)


def halved(trials, steps, keep, least=1):
    rounds = [(trials, steps)]
    while trials // keep >= least:
        trials, steps = trials // keep, steps * keep
        rounds.append((trials, steps))
    return rounds


HALVING_ROUNDS_MISTAKES = {
    "the steps do not grow: those that are left train so many times longer": lambda t, s, k: [
        (trials, s) for trials, _ in halved(t, s, k)
    ],
    "all trials go on: only one in `keep` is left": lambda t, s, k: [
        (t, steps) for _, steps in halved(t, s, k)
    ],
    "half are left each time, whatever `keep` is": lambda t, s, k: halved(t, s, 2),
    "the last round, with fewer than two trials, is missing": lambda t, s, k: halved(t, s, k, 2),
    "the first round is missing": lambda t, s, k: halved(t, s, k)[1:],
    "trials are whole: round down with `//`": lambda t, s, k: [
        (t / k**n, steps) for n, (_, steps) in enumerate(halved(t, s, k))
    ],
    "steps and trials are exchanged": lambda t, s, k: [pair[::-1] for pair in halved(t, s, k)],
    "the steps are added up over the rounds; a round's own length is asked for": lambda t, s, k: [
        (trials, sum(steps for _, steps in halved(t, s, k)[: n + 1]))
        for n, (trials, _) in enumerate(halved(t, s, k))
    ],
    "the steps grow by the first length; they grow by the factor": lambda t, s, k: [
        (trials, s * (n + 1)) for n, (trials, _) in enumerate(halved(t, s, k))
    ],
}


@exercise_check(
    "halving_rounds",
    hints=(
        "if fewer are left, how much longer may each of them train at the same cost?",
        "begin a list with all of them; as long as one is left after the cut, append the cut number with "
        "the length that is as many times larger.",
        "`rounds.append((trials // keep, steps * keep))`, as long as a trial is left",
    ),
)
def check_halving_rounds(attempt):
    """halving_rounds(trials, steps, keep): (trials, steps) of every round of successive halving."""
    inputs = [(16, 50, 2), (27, 10, 3), (20, 25, 2), (1, 40, 4), (5, 8, 4), (30, 6, 5)]
    judge(attempt, halved, inputs, HALVING_ROUNDS_MISTAKES)


def mean(losses):
    return sum(losses) / len(losses)


def finite(losses):
    return all(map(math.isfinite, losses))


def best_by(results, score):
    usable = {name: losses for name, losses in results.items() if finite(losses)}
    return min(usable, key=lambda name: score(usable[name]))


WINNER_MISTAKES = {
    "a run that broke down (nan or inf) takes its setting out of the race": lambda results: min(
        results, key=lambda name: mean([x for x in results[name] if math.isfinite(x)] or [9e9])
    ),
    "this has the best single run, which may be luck; compare the means": lambda results: best_by(
        results, min
    ),
    "this has the smallest worst run; compare the means": lambda results: best_by(results, max),
    "this has the highest mean; a loss should be low": lambda results: best_by(
        results, lambda losses: -mean(losses)
    ),
    "the losses were added up; a setting with more seeds looks worse": lambda results: best_by(
        results, sum
    ),
    "only the first seed was looked at": lambda results: best_by(results, lambda losses: losses[0]),
    "only the last seed was looked at": lambda results: best_by(results, lambda losses: losses[-1]),
    "of equal means the first one named wins": lambda results: best_by(
        dict(reversed(results.items())), mean
    ),
    "this is the best mean; whose is it?": lambda results: mean(results[best_by(results, mean)]),
    "nan was taken for a loss: nothing is smaller than it": lambda results: min(
        results, key=lambda name: mean(results[name])
    ),
}


@exercise_check(
    "winner",
    hints=(
        "what is compared, if each setting has several seeds and some have broken down?",
        "leave out settings with a loss that is no number; of the others take the smallest mean, and the "
        "first where means are equal.",
        "`min(usable, key=lambda name: sum(usable[name]) / len(usable[name]))`, with the `usable` settings",
    ),
)
def check_winner(attempt):
    """winner(results): the setting with the lowest mean loss over its seeds."""
    nan, inf = math.nan, math.inf
    inputs = [
        ({"a": [0.5, 0.75], "b": [0.25, 0.875], "c": [0.625, 0.5]},),
        ({"a": [nan, 0.25], "b": [0.5, 0.5], "c": [0.25, inf]},),
        ({"b": [0.5, 0.5], "a": [nan, 0.25]},),
        ({"wide": [0.125, 0.875], "even": [0.625, 0.625]},),
        ({"slow": [1.0], "fast": [0.5, 0.5, 0.75], "mid": [0.75, 0.875]},),
        ({"z": [0.5, 0.25], "y": [0.25, 0.5], "x": [0.375, 0.375]},),
        ({"p": [0.5, 0.125], "q": [0.25, 0.25], "r": [0.125, 0.625]},),
    ]
    judge(attempt, lambda results: best_by(results, mean), inputs, WINNER_MISTAKES)
