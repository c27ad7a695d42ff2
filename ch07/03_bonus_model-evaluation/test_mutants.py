"""Answers to the exercises of model-evaluation.ipynb.

They are nearly right, or right in an unusual way.
"""

from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr

from scratch_llm_tools.exercises import (
    ExerciseTests,
    HintTests,
    MistakeTests,
    exercises_of,
    module_beside,
)
from scratch_llm_tools.mutants import MutantTests

checks = module_beside(__file__, "checks")

MUTANTS = {
    "place_share": (
        """
def place_share(first, second):
    return sum(a == b for a, b in zip(first, second)) / len(first)
""",
        [
            ("these are the honest ones", "a == b", "a != b"),
            ("a number of pairs", " / len(first)", ""),
            ("for the first place", "a == b", 'a == b == "A"'),
            ("for the second place", "a == b", 'a == b == "B"'),
            ("the first answer won", "a == b", 'a == "A"'),
            ("divided by both rounds", "/ len(first)", "/ (2 * len(first))"),
            (
                "the numbers of letters",
                "sum(a == b for a, b in zip(first, second)) / len(first)",
                "1 - abs(first.count('A') - second.count('A')) / len(first)",
            ),
            ("per cent", "return ", "return 100 * "),
            ("", "return ", "return 0.1 + "),
        ],
        [
            (
                "sum(a == b for a, b in zip(first, second)) / len(first)",
                "np.mean(np.array(first) == np.array(second))",
            ),
            (
                "sum(a == b for a, b in zip(first, second)) / len(first)",
                "1 - sum(map(str.__ne__, first, second)) / len(first)",
            ),
        ],
    ),
    "rank_correlation": (
        """
def rank_correlation(a, b):
    def ranks(values):
        return [(np.sum(np.less(values, v)) + np.sum(np.less_equal(values, v)) + 1) / 2 for v in values]

    return np.corrcoef(ranks(a), ranks(b))[0, 1]
""",
        [
            ("only their order counts", "ranks(a), ranks(b)", "a, b"),
            (
                "got different ranks",
                "[(np.sum(np.less(values, v)) + np.sum(np.less_equal(values, v)) + 1) / 2 for v in values]",
                "np.argsort(np.argsort(values, kind='stable'))",
            ),
            (
                "6 Σ d²",
                "np.corrcoef(ranks(a), ranks(b))[0, 1]",
                "1 - 6 * sum((x - y) ** 2 for x, y in zip(ranks(a), "
                "ranks(b))) / (len(a) * (len(a) ** 2 - 1))",
            ),
            ("the sign is turned round", "return np.corrcoef", "return -np.corrcoef"),
            (
                "the lowest of their ranks",
                "(np.sum(np.less(values, v)) + np.sum(np.less_equal(values, v)) + 1) / 2",
                "np.sum(np.less(values, v))",
            ),
            (
                "the highest of their ranks",
                "(np.sum(np.less(values, v)) + np.sum(np.less_equal(values, v)) + 1) / 2",
                "np.sum(np.less_equal(values, v))",
            ),
            ("only one list", "ranks(a), ranks(b)", "ranks(a), b"),
            ("the square", "[0, 1]", "[0, 1] ** 2"),
            (
                "agree exactly",
                "np.corrcoef(ranks(a), ranks(b))[0, 1]",
                "np.mean(np.array(a) == np.array(b))",
            ),
            ("", "[0, 1]", "[0, 1] / 2"),
        ],
        [
            ("np.corrcoef(ranks(a), ranks(b))[0, 1]", "spearmanr(a, b).statistic"),
            (
                "np.corrcoef(ranks(a), ranks(b))[0, 1]",
                "torch.corrcoef(torch.tensor([ranks(a), ranks(b)], dtype=torch.double))[0, 1]",
            ),
        ],
    ),
    "score_bounds": (
        """
def score_bounds(scores, low, high):
    read = [score for score in scores if score is not None]
    gaps = len(scores) - len(read)
    return (sum(read) + gaps * low) / len(scores), (sum(read) + gaps * high) / len(scores)
""",
        [
            (
                "were left out",
                "return (sum(read) + gaps * low) / len(scores), (sum(read) + gaps * high) / len(scores)",
                "return (sum(read) / (len(read) or 1),) * 2",
            ),
            ("exchanged", "    read", "    low, high = high, low\n    read"),
            ("could be read; all", "    return", "    scores = read or [0]\n    return"),
            (
                "these are sums",
                "low) / len(scores)",
                "low) / 1",
                "high) / len(scores)",
                "high) / 1",
            ),
            ("`low` is not", "gaps * low", "gaps * 0"),
            ("`high` is not", "gaps * high", "gaps * 100"),
            (
                "the lowest and the highest score",
                "return (sum(read) + gaps * low) / len(scores), (sum(read) + gaps * high) / len(scores)",
                "return float(min([*read, *[low] * gaps])), float(max([*read, *[high] * gaps]))",
            ),
            ("only the lower end", ", (sum(read) + gaps * high) / len(scores)", ""),
            ("a score of 0", "if score is not None", "if score"),
            (
                "the middle of low and high",
                "    read",
                "    low = high = (low + high) / 2\n    read",
            ),
            ("", "    read", "    low = low - 1\n    read"),
        ],
        [
            ("return (sum(read)", "return np.float64(sum(read)"),
            (
                "(sum(read) + gaps * low) / len(scores), (sum(read) + gaps * high) / len(scores)",
                "[float(np.mean([*read, *[end] * gaps])) for end in (low, high)]",
            ),
        ],
    ),
}
NAMES = {"spearmanr": spearmanr, "np": np, "torch": torch}


class TestMutants(MutantTests):
    checks, mutants, names = checks, MUTANTS, NAMES


class TestExercises(ExerciseTests, MistakeTests, HintTests):
    checks, exercises = checks, exercises_of(MUTANTS, NAMES)
    notebook = Path(__file__).with_name("model-evaluation.ipynb")
    sources = {name: right for name, (right, _, _) in MUTANTS.items()}
