"""Answers to the exercises of additional-experiments.ipynb.

They are nearly right, or right in an unusual way.
"""

import math
import statistics
from pathlib import Path

import numpy as np
import torch

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
    "largest_reading": (
        """
def largest_reading(hidden, mask):
    return hidden.masked_fill(~mask[..., None], -torch.inf).max(dim=1).values
""",
        [
            ("padding was read, too", ".masked_fill(~mask[..., None], -torch.inf)", ""),
            ("padding became 0", "-torch.inf", "0.0"),
            ("the smallest number", "-torch.inf", "torch.inf", ".max(", ".min("),
            ("real tokens left out", "~mask", "mask"),
            (
                "the mean of the real tokens",
                "hidden.masked_fill(~mask[..., None], -torch.inf).max(dim=1).values",
                "torch.stack([h[m].mean(0) for h, m in zip(hidden, mask)])",
            ),
            ("these are the places", ".values", ".indices"),
            (
                "of each token",
                "hidden.masked_fill(~mask[..., None], -torch.inf).max(dim=1)",
                "hidden.max(dim=-1)",
            ),
            ("a batch of one", ".values", ".values.squeeze()"),
            ("the axis of the tokens", "(dim=1)", "(dim=1, keepdim=True)"),
            (
                "without its sign",
                "hidden.masked_fill(~mask[..., None], -torch.inf)",
                "hidden.abs().masked_fill(~mask[..., None], 0)",
            ),
            ("", ".values", ".values * 2"),
        ],
        [
            (
                "hidden.masked_fill(~mask[..., None], -torch.inf).max(dim=1).values",
                "torch.stack([h[m].amax(0) for h, m in zip(hidden, mask)])",
            ),
            (
                "hidden.masked_fill(~mask[..., None], -torch.inf)",
                "torch.where(mask.unsqueeze(-1), hidden, -1e30)",
            ),
        ],
    ),
    "mean_reading": (
        """
def mean_reading(hidden, mask):
    real = hidden * mask.unsqueeze(-1)
    return real.sum(dim=1) / mask.sum(dim=1)[:, None]
""",
        [
            (
                "divided by all places",
                "real.sum(dim=1) / mask.sum(dim=1)[:, None]",
                "real.mean(dim=1)",
            ),
            (
                "padding was read, too",
                "real.sum(dim=1) / mask.sum(dim=1)[:, None]",
                "hidden.mean(dim=1)",
            ),
            ("this is a sum", " / mask.sum(dim=1)[:, None]", ""),
            ("one number of tokens", "mask.sum(dim=1)[:, None]", "mask.float().sum(dim=1).mean()"),
            (
                "one mean for all",
                "real.sum(dim=1) / mask.sum(dim=1)[:, None]",
                "hidden[mask].mean(0).repeat(len(hidden), 1)",
            ),
            (
                "the numbers of a token",
                "real.sum(dim=1) / mask.sum(dim=1)[:, None]",
                "hidden.mean(dim=2)",
            ),
            (
                "a batch of one",
                "return real.sum(dim=1) / mask.sum(dim=1)[:, None]",
                "return (real.sum(dim=1) / mask.sum(dim=1)[:, None]).squeeze()",
            ),
            (
                "the axis of the tokens",
                "real.sum(dim=1) / mask.sum(dim=1)[:, None]",
                "real.sum(dim=1, keepdim=True) / mask.sum(dim=1)[:, None, None]",
            ),
            ("the padding was averaged", "    real", "    mask = ~mask\n    real"),
            (
                "the root of the number",
                "mask.sum(dim=1)[:, None]",
                "mask.sum(dim=1)[:, None].sqrt()",
            ),
            ("", "return ", "return 2 * "),
        ],
        [
            (
                "real.sum(dim=1) / mask.sum(dim=1)[:, None]",
                "torch.stack([h[m].mean(0) for h, m in zip(hidden, mask)])",
            ),
            ("real.sum(dim=1)", "torch.einsum('bte,bt->be', hidden, mask.float())"),
        ],
    ),
    "paired_difference": (
        """
def paired_difference(first, second):
    gaps = [a - b for a, b in zip(first, second)]
    return statistics.mean(gaps), statistics.stdev(gaps) / math.sqrt(len(gaps))
""",
        [
            (
                "by themselves",
                "statistics.stdev(gaps)",
                "math.sqrt(statistics.variance(first) + statistics.variance(second))",
            ),
            ("divide by one fewer", "stdev", "pstdev"),
            ("of one difference", " / math.sqrt(len(gaps))", ""),
            ("the root is missing", "stdev", "variance"),
            ("the other way round", "a - b", "b - a"),
            ("not by √n", "math.sqrt(len(gaps))", "len(gaps)"),
            ("only the mean difference", ", statistics.stdev(gaps) / math.sqrt(len(gaps))", ""),
            ("without their signs", "statistics.mean(gaps)", "statistics.mean(map(abs, gaps))"),
            (
                "are exchanged",
                "statistics.mean(gaps), statistics.stdev(gaps) / math.sqrt(len(gaps))",
                "statistics.stdev(gaps) / math.sqrt(len(gaps)), statistics.mean(gaps)",
            ),
            ("", "a - b", "a + b"),
        ],
        [
            ("statistics.stdev(gaps)", "np.std(gaps, ddof=1)"),
            (
                "statistics.mean(gaps), statistics.stdev(gaps) / math.sqrt(len(gaps))",
                "[np.mean(gaps), (statistics.variance(gaps) / len(gaps)) ** 0.5]",
            ),
        ],
    ),
}
NAMES = {"statistics": statistics, "math": math, "np": np, "torch": torch}


class TestMutants(MutantTests):
    checks, mutants, names = checks, MUTANTS, NAMES


class TestExercises(ExerciseTests, MistakeTests, HintTests):
    checks, exercises = checks, exercises_of(MUTANTS, NAMES)
    notebook = Path(__file__).with_name("additional-experiments.ipynb")
    sources = {name: right for name, (right, _, _) in MUTANTS.items()}
