"""What the rows of the laboratory say: for each variant an interval, and for each interval a
verdict.

The luck of a seed is shared: a variant is compared with the default run of the same seed, which saw
the same tales in the same order. What is compared is the logarithm of the nats above the floor, as
one nat counts little at the beginning of a training and much at its end: a difference of 0.1 is a
loss about 10 % further from the floor. What such a difference is worth says the pilot: so many tales
more would have done the same.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from variants import BASELINE

CHOOSING_SEED, JUDGING_SEEDS = 1, (2, 3, 4, 5, 6)
FALSE_SHARE = 0.05  # of the choices that are said to matter, so many may be luck
WORTH = 1.2  # a choice worth less than a fifth more tales does not matter, seen from here
LEAST = 1e-6  # nats; a loss that touches the floor has a logarithm, too

# --- Student's distribution -----------------------------------------------------------------------


def student_tail(t, freedom):
    """How likely chance alone brings a t at least as far from 0 as this one: both tails of Student's
    distribution, integrated in small steps of the angle atan(t / √freedom).
    """
    density = math.gamma((freedom + 1) / 2) / math.gamma(freedom / 2) / math.sqrt(math.pi)
    begin = math.atan(abs(t) / math.sqrt(freedom))
    angles = np.linspace(begin, math.pi / 2, 2001)
    heights = density * np.cos(angles) ** (freedom - 1)
    return float(2 * np.trapezoid(heights, angles))


@lru_cache
def student_quantile(tail, freedom):
    """The t whose two tails together are `tail`: 0.05 gives what a 95 % interval is made with."""
    low, high = 0.0, 1e6
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if student_tail(middle, freedom) > tail else (low, middle)
    return (low + high) / 2


def discoveries(p_values, share=FALSE_SHARE):
    """How many of the smallest p-values are believed, so that no more than `share` of what is
    believed is luck, on average [Benjamini & Hochberg 1995]: the largest k for which the k-th
    smallest is at most share · k / n.
    """
    ordered = sorted(p_values)
    believed = [k for k, p in enumerate(ordered, start=1) if p <= share * k / len(ordered)]
    return max(believed, default=0)


# --- Rows -----------------------------------------------------------------------------------------


def find(rows, **key):
    """The rows that have these values."""
    return [row for row in rows if key.items() <= row.items()]


def score(row):
    """What runs are ranked by: the logarithm of the nats above the floor; ∞ for one that failed."""
    return math.inf if row["nats"] is None else math.log(max(row["nats"], LEAST))


def best_rate(rows, variant, tales):
    """The rate with the lowest loss for the seed that chooses, or None if none was tried."""
    tried = find(rows, variant=variant, seed=CHOOSING_SEED, tales=tales)
    return min(tried, key=lambda row: (score(row), row["lr"]))["lr"] if tried else None


def judging_rows(rows, variant, tales):
    """{seed: row} of a variant at its best rate, for the seeds that had no say in choosing it."""
    lr = best_rate(rows, variant, tales)
    found = find(rows, variant=variant, lr=lr, tales=tales)
    return {row["seed"]: row for row in found if row["seed"] in JUDGING_SEEDS}


# --- Verdicts -------------------------------------------------------------------------------------


@dataclass
class Comparison:
    """A variant beside the default run. `differences`: of the logarithms, one for each seed; `mean`,
    `low` and `high` are theirs; `p`: of a paired t-test. `verdict` is None before it is passed.
    """

    variant: str
    differences: list
    mean: float = math.nan
    p: float = 1.0
    low: float = -math.inf
    high: float = math.inf
    verdict: str | None = None


MATTERS, EQUAL, UNKNOWN, UNMEASURED = "matters", "does not", "cannot be told", "not measured"


def compare(differences, variant=""):
    """The `Comparison` of paired differences with its p-value. Where all seeds agree to the last
    digit, that is no chance.
    """
    mean, error = float(np.mean(differences)), standard_error(differences)
    t = math.inf if mean and not error else mean / error if error else 0.0
    freedom = len(differences) - 1
    p = student_tail(t, freedom) if math.isfinite(t) else 0.0
    return Comparison(variant, list(differences), mean, p)


def standard_error(differences):
    return float(np.std(differences, ddof=1)) / math.sqrt(len(differences))


def verdict(low, high, bound):
    """What an interval says: inside ±bound the choice does not matter; without 0 it does; else it
    cannot be told.
    """
    if -bound < low and high < bound:
        return EQUAL
    return MATTERS if low > 0 or high < 0 else UNKNOWN


def judge_all(differences, bound, share=FALSE_SHARE):
    """{variant: paired differences, one a seed} to {variant: `Comparison`} with intervals and
    verdicts; `bound`: the difference that is worth nothing.

    The p-values decide how many of the n choices are believed, k; all intervals then get the level
    1 − share · max(k, 1) / n, at which just those leave out 0 [Benjamini & Yekutieli 2005]. A variant
    with a seed that failed is worse beyond measure: if all failed it matters, else nothing is told.
    """
    measured = {name: d for name, d in differences.items() if len(d) >= 2 and np.isfinite(d).all()}
    compared = {name: compare(d, name) for name, d in measured.items()}
    believed = discoveries([one.p for one in compared.values()], share) if compared else 0
    tail = share * max(believed, 1) / max(len(compared), 1)
    for one in compared.values():
        reach = student_quantile(tail, len(one.differences) - 1) * standard_error(one.differences)
        one.low, one.high = one.mean - reach, one.mean + reach
        one.verdict = verdict(one.low, one.high, bound)
    for name, d in differences.items():
        if name not in compared:
            failed = len(d) > 1 and all(math.isinf(x) for x in d)
            words = UNMEASURED if len(d) < 2 else MATTERS if failed else UNKNOWN
            compared[name] = Comparison(name, list(d), verdict=words)
    return compared


def verdict_of(comparisons):
    """The verdict on a choice from those on its variants: it matters if one of them matters, and does
    not if none of them does.
    """
    passed = {one.verdict for one in comparisons}
    ranked = (MATTERS, UNKNOWN, UNMEASURED, EQUAL)
    return next(word for word in ranked if word in passed)


def paired(rows, variant, tales):
    """The differences of a variant from the default run, one for each seed that both have."""
    ours, theirs = (judging_rows(rows, name, tales) for name in (variant, BASELINE.name))
    return [
        score(ours[seed]) - score(theirs[seed])
        for seed in JUDGING_SEEDS
        if seed in ours and seed in theirs
    ]


def valid_shares(rows, variant, tales):
    """The valid share of a variant's own tales, one for each judging seed."""
    judged = judging_rows(rows, variant, tales).values()
    return [row["valid"] / row["stories"] for row in judged if row["stories"]]


def mean_and_reach(values):
    """The mean of some measurements and the half-width of its 95 % interval."""
    reach = student_quantile(0.05, len(values) - 1) * standard_error(values)
    return float(np.mean(values)), reach


# --- The pilot: the default run at several lengths ------------------------------------------------


def pilot_curve(rows, lr):
    """The pilot's lengths in tales and the default run's mean score at each, two arrays."""
    pilot = [
        row for row in find(rows, variant=BASELINE.name, lr=lr) if row["seed"] in JUDGING_SEEDS
    ]
    lengths = sorted({row["tales"] for row in pilot})
    means = [np.mean([score(row) for row in find(pilot, tales=length)]) for length in lengths]
    return np.array(lengths), np.array(means)


def spread(rows, tales, lr):
    """The standard deviation of the default run's score from seed to seed at the pilot's rate."""
    pilot = find(rows, variant=BASELINE.name, tales=tales, lr=lr)
    return float(np.std([score(row) for row in pilot if row["seed"] in JUDGING_SEEDS], ddof=1))


def slope(rows, tales, lr):
    """By how much the default run's score falls where it is trained e times as long, at one of the
    pilot's lengths.
    """
    lengths, means = pilot_curve(rows, lr)
    return float(-np.gradient(means, np.log(lengths))[lengths.tolist().index(tales)])


def bound_of(rows, tales, lr):
    """The difference of scores that is worth `WORTH` times as many tales."""
    return max(0.0, slope(rows, tales, lr)) * math.log(WORTH)


def can_tell(deviation, seeds):
    """The smallest difference of scores that so many seeds tell from luck, if each score has this
    deviation and the seeds share nothing: the half-width of a 95 % interval.
    """
    return student_quantile(0.05, seeds - 1) * deviation * math.sqrt(2 / seeds)


# --- After the same seconds -----------------------------------------------------------------------


def cost(rows, variant, tales):
    """The processor time of a variant's training, in trainings of the default run; None if it is not
    measured.
    """
    spent = [
        [row["cpu_seconds"] for row in judging_rows(rows, name, tales).values() if row["nats"]]
        for name in (variant, BASELINE.name)
    ]
    return float(np.median(spent[0]) / np.median(spent[1])) if all(spent) else None


def longer(rows, tales, factor, lr):
    """By how much the default run's score changes if it is trained `factor` times as long: read
    between the lengths of the pilot, in a line on double logarithmic paper. None outside of them.
    """
    lengths, means = pilot_curve(rows, lr)
    if not len(lengths) or not lengths[0] * 0.99 <= tales * factor <= lengths[-1] * 1.01:
        return None
    now, then = np.interp(np.log([tales, tales * factor]), np.log(lengths), means)
    return float(then - now)


def paired_in_time(rows, variant, tales, lr):
    """As `paired`, but the default run trains for the seconds that the variant took. `lr`: the
    pilot's rate. Empty where a run of that length was not measured.
    """
    factor = cost(rows, variant, tales)
    gain = None if factor is None else longer(rows, tales, factor, lr)
    return [] if gain is None else [d - gain for d in paired(rows, variant, tales)]
