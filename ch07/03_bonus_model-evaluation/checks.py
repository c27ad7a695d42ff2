"""Self-checks for the exercises of model-evaluation.ipynb.

How a check works is told in chapter 2's checks.py.
"""

from ch07_01_main_chapter_code.previous_chapters import (
    answer,
    exercise_check,
    hint,
    judge,
    predict,
    show_progress,
)

__all__ = ["answer", "hint", "predict", "show_progress"]  # for the notebook, with every check


def same_letter(first, second):
    return sum(a == b for a, b in zip(first, second, strict=True)) / len(first)


PLACE_SHARE_MISTAKES = {
    "these are the honest ones: when the answers change places, an honest verdict changes its "
    "letter": lambda first, second: 1 - same_letter(first, second),
    "this is a number of pairs; divide by all": lambda first, second: float(
        sum(a == b for a, b in zip(first, second, strict=True))
    ),
    "only those for the first place were counted": lambda first, second: (
        sum(a == b == "A" for a, b in zip(first, second, strict=True)) / len(first)
    ),
    "only those for the second place were counted": lambda first, second: (
        sum(a == b == "B" for a, b in zip(first, second, strict=True)) / len(first)
    ),
    "this is how often the first answer won": lambda first, second: first.count("A") / len(first),
    "divided by both rounds; a pair is one": lambda first, second: same_letter(first, second) / 2,
    "this compares the numbers of letters; compare pair by pair": lambda first, second: (
        1 - abs(first.count("A") - second.count("A")) / len(first)
    ),
    "this is per cent": lambda first, second: 100 * same_letter(first, second),
}


@exercise_check(
    "place_share",
    hints=(
        "what does a judge say the second time who looks at nothing but the place?",
        "go through both rounds pair by pair, and count where the same letter won although the answers "
        "had changed places.",
        "`sum(a == b for a, b in zip(first, second)) / len(first)`",
    ),
)
def check_place_share(attempt):
    """place_share(first, second): how often the place decided; letters "A" and "B"."""
    inputs = [(list("AABBA"), list("ABBAA")), (list("AAA"), list("BBB")), (list("B"), list("B"))]
    inputs += [(list("ABAABAB"), list("BAABBAA")), (list("BBAB"), list("BBAA"))]
    judge(attempt, same_letter, inputs, PLACE_SHARE_MISTAKES)


def ranks(values):
    return [
        sum(other < value for other in values) + (sum(other == value for other in values) + 1) / 2
        for value in values
    ]


def correlation(a, b):
    mean_a, mean_b = sum(a) / len(a), sum(b) / len(b)
    both = sum((x - mean_a) * (y - mean_b) for x, y in zip(a, b, strict=True))
    size = sum((x - mean_a) ** 2 for x in a) * sum((y - mean_b) ** 2 for y in b)
    return both / size**0.5


def by_order(values):
    order = sorted(range(len(values)), key=lambda n: values[n])
    return [order.index(n) + 1 for n in range(len(values))]


def by_squares(a, b):
    n = len(a)
    return 1 - 6 * sum((x - y) ** 2 for x, y in zip(ranks(a), ranks(b), strict=True)) / (
        n * (n * n - 1)
    )


RANK_CORRELATION_MISTAKES = {
    "this is the correlation of the scores; only their order counts": correlation,
    "equal scores got different ranks; they get the mean of their ranks": lambda a, b: correlation(
        by_order(a), by_order(b)
    ),
    "the formula with 6 Σ d² holds only where no scores are equal": by_squares,
    "the sign is turned round: one of the lists was ranked downwards": lambda a, b: (
        -correlation(ranks(a), ranks(b))
    ),
    "equal scores got the lowest of their ranks; they get the mean": lambda a, b: correlation(
        [sum(o < v for o in a) for v in a], [sum(o < v for o in b) for v in b]
    ),
    "equal scores got the highest of their ranks; they get the mean": lambda a, b: correlation(
        [sum(o <= v for o in a) for v in a], [sum(o <= v for o in b) for v in b]
    ),
    "only one list was ranked": lambda a, b: correlation(ranks(a), b),
    "this is the square": lambda a, b: correlation(ranks(a), ranks(b)) ** 2,
    "this is how often they agree exactly": lambda a, b: (
        sum(x == y for x, y in zip(a, b, strict=True)) / len(a)
    ),
}


@exercise_check(
    "rank_correlation",
    hints=(
        "what is left of a score if only its order counts, and what do two equal ones get?",
        "replace every score by its rank, equal ones by the mean of theirs; then the correlation of the "
        "two lists of ranks.",
        "`np.corrcoef(ranks(a), ranks(b))[0, 1]`, with a function `ranks` of yours",
    ),
)
def check_rank_correlation(attempt):
    """rank_correlation(a, b): Spearman's; equal scores share the mean of their ranks."""
    inputs = [
        ([1.0, 5.0, 3.0, 9.0], [2.0, 4.0, 8.0, 16.0]),
        ([50.0, 50.0, 80.0, 20.0], [1.0, 2.0, 3.0, 3.0]),
    ]
    inputs += [
        ([3.0, 1.0, 3.0, 2.0, 7.0], [10.0, 40.0, 20.0, 20.0, 20.0]),
        ([1.0, 2.0], [9.0, 4.0]),
    ]
    judge(attempt, correlation_of_ranks, inputs, RANK_CORRELATION_MISTAKES)


def correlation_of_ranks(a, b):
    return correlation(ranks(a), ranks(b))


def bounded(scores, low, high):
    return tuple(
        sum(end if score is None else score for score in scores) / len(scores)
        for end in (low, high)
    )


SCORE_BOUNDS_MISTAKES = {
    "verdicts that could not be read were left out; they could have been anything from low to "
    "high": lambda scores, low, high: (mean_of_read(scores),) * 2,
    "the two ends are exchanged: (lowest, highest)": lambda scores, low, high: bounded(
        scores, low, high
    )[::-1],
    "divided by the verdicts that could be read; all were asked for": lambda scores, low, high: (
        tuple(
            total * len(scores) / max(1, sum(s is not None for s in scores))
            for total in bounded(scores, low, high)
        )
    ),
    "these are sums; divide by all": lambda scores, low, high: tuple(
        mean * len(scores) for mean in bounded(scores, low, high)
    ),
    "`low` is not always 0": lambda scores, low, high: bounded(scores, 0, high),
    "`high` is not always 100": lambda scores, low, high: bounded(scores, low, 100),
    "these are the lowest and the highest score": lambda scores, low, high: (
        float(min(low if s is None else s for s in scores)),
        float(max(high if s is None else s for s in scores)),
    ),
    "only the lower end came back": lambda scores, low, high: bounded(scores, low, high)[0],
    "a score of 0 is a score; ask for `is None`": lambda scores, low, high: bounded(
        [score or None for score in scores], low, high
    ),
    "the unread got the middle of low and high": lambda scores, low, high: (
        (bounded(scores, (low + high) / 2, high)[0],) * 2
    ),
}


def mean_of_read(scores):
    read = [score for score in scores if score is not None]
    return sum(read) / max(1, len(read))


@exercise_check(
    "score_bounds",
    hints=(
        "what is the worst that a verdict may have said which nobody could read, and the best?",
        "fill the gaps once with the lowest score and once with the highest, and take the mean over all "
        "each time.",
        "`sum(low if score is None else score for score in scores) / len(scores)`, and with `high` likewise",
    ),
)
def check_score_bounds(attempt):
    """score_bounds(scores, low, high): the lowest and highest mean that None can hide."""
    inputs = [
        ([80, None, 60], 0, 100),
        ([None, None], 1, 5),
        ([3, 4], 1, 5),
        ([0, None, 10, 5], 0, 10),
    ]
    inputs += [([1, 2, None, 2, None], 1, 3)]
    judge(attempt, bounded, inputs, SCORE_BOUNDS_MISTAKES)
