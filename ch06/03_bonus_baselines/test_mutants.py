"""Answers to the exercises of baselines.ipynb.

They are nearly right, or right in an unusual way.
"""

import re
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

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
    "tf_idf": (
        """
def tf_idf(counts):
    present = (counts > 0).sum(dim=0)
    idf = torch.log((1 + len(counts)) / (1 + present)) + 1
    weighted = counts * idf
    return weighted / weighted.norm(dim=1, keepdim=True)
""",
        [
            ("the rows were not", " / weighted.norm(dim=1, keepdim=True)", ""),
            ("behind the logarithm", " + 1\n    w", "\n    w"),
            ("above and below", "(1 + len(counts)) / (1 + present)", "len(counts) / present"),
            (
                "the logarithm is missing",
                "torch.log((1 + len(counts)) / (1 + present))",
                "(1 + len(counts)) / (1 + present)",
            ),
            ("another base", "torch.log(", "torch.log2("),
            (
                "upside down",
                "(1 + len(counts)) / (1 + present)",
                "(1 + present) / (1 + len(counts))",
            ),
            ("was forgotten", "counts * idf", "(counts > 0) * idf"),
            ("not how often they have it", "(counts > 0).sum", "counts.sum"),
            (
                "sum to 1 here",
                "weighted.norm(dim=1, keepdim=True)",
                "weighted.sum(1, keepdim=True)",
            ),
            ("the columns", "norm(dim=1", "norm(dim=0"),
            ("", "+ 1\n    w", "+ 2\n    w"),
        ],
        [
            ("weighted / weighted.norm(dim=1, keepdim=True)", "F.normalize(weighted)"),
            (
                "weighted / weighted.norm(dim=1, keepdim=True)",
                "(weighted / weighted.norm(dim=1, keepdim=True)).tolist()",
            ),
        ],
    ),
    "pieces": (
        """
def pieces(word, low, high):
    word = " " + word + " "
    return [word[i : i + n] for n in range(low, high + 1) for i in range(len(word) - n + 1)]
""",
        [
            ("the spaces at both ends", '" " + word + " "', "word"),
            ("the longest pieces", "high + 1", "high"),
            ("the shortest pieces", "range(low,", "range(low + 1,"),
            ("the last piece of each length", "- n + 1", "- n"),
            ("too short were kept", "len(word) - n + 1", "len(word)"),
            (
                "counts twice",
                "return [word[i : i + n] for n in range(low, high + 1) for i in range(len(word) - n + 1)]",
                "return list(dict.fromkeys(word[i : i + n] for n in range(low, "
                "high + 1) for i in range(len(word) - n + 1)))",
            ),
            ("the short ones come first", "range(low, high + 1)", "reversed(range(low, high + 1))"),
            ("do not overlap", "len(word) - n + 1)", "0, len(word) - n + 1, n)"),
            ("only the first length", "range(low, high + 1)", "[low]"),
            ("only the last length", "range(low, high + 1)", "[high]"),
            ("", '+ " "', '+ "."'),
        ],
        [
            (
                "return [word[i : i + n] for n in range(low, high + 1) for i in range(len(word) - n + 1)]",
                "return sum((re.findall(f'(?=(.{{{n}}}))', word) for n in range(low, high + 1)), [])",
            ),
            (
                "[word[i : i + n] for n in range(low, high + 1) for i in range(len(word) - n + 1)]",
                "tuple(word[i : i + n] for n in range(low, high + 1) for i in range(len(word) - n + 1))",
            ),
        ],
    ),
    "majority_accuracy": (
        """
def majority_accuracy(labels):
    return max(labels.count(one) for one in set(labels)) / len(labels)
""",
        [
            ("class 0 is not", "max(labels.count(one) for one in set(labels))", "labels.count(0)"),
            ("class 1 is not", "max(labels.count(one) for one in set(labels))", "labels.count(1)"),
            (
                "the most frequent class; how",
                "max(labels.count(one) for one in set(labels)) / len(labels)",
                "max(labels, key=labels.count)",
            ),
            ("this is how many", " / len(labels)", ""),
            ("the rarest", "max(", "min("),
            (
                "by dice",
                "max(labels.count(one) for one in set(labels)) / len(labels)",
                "1 / len(set(labels))",
            ),
            ("how often it is wrong", "return max", "return 1 - max"),
            (
                "by the shares",
                "max(labels.count(one) for one in set(labels)) / len(labels)",
                "sum(labels.count(one) ** 2 for one in set(labels)) / len(labels) ** 2",
            ),
            ("per cent", "return ", "return 100 * "),
            ("", "return ", "return 0.5 * "),
        ],
        [
            ("max(labels.count(one) for one in set(labels))", "np.bincount(labels).max()"),
            (
                "max(labels.count(one) for one in set(labels)) / len(labels)",
                "torch.tensor(labels).bincount().max() / torch.tensor(len(labels), dtype=torch.double)",
            ),
        ],
    ),
}
NAMES = {"F": F, "np": np, "re": re, "torch": torch}


class TestMutants(MutantTests):
    checks, mutants, names = checks, MUTANTS, NAMES


class TestExercises(ExerciseTests, MistakeTests, HintTests):
    checks, exercises = checks, exercises_of(MUTANTS, NAMES)
    notebook = Path(__file__).with_name("baselines.ipynb")
    sources = {name: right for name, (right, _, _) in MUTANTS.items()}
