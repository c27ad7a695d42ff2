"""Answers to the exercises of performance-analysis.ipynb.

They are nearly right, or right in an unusual way.
"""

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
    "tokens_per_second": (
        """
def tokens_per_second(parameters, bytes_per_number, gigabytes_per_second, batch):
    return batch * gigabytes_per_second * 1e9 / (parameters * bytes_per_number)
""",
        [
            ("serves the whole batch", "batch * ", ""),
            ("the bytes of a number", " * bytes_per_number", ""),
            ("not 2³⁰", "1e9", "2**30"),
            ("not 10⁶", "1e9", "1e6"),
            ("giga is missing", " * 1e9", ""),
            (
                "upside down",
                "batch * gigabytes_per_second * 1e9 / (parameters * bytes_per_number)",
                "parameters * bytes_per_number / (batch * gigabytes_per_second * 1e9)",
            ),
            ("not twice", "/ (parameters", "/ (2 * parameters"),
            ("not n bits", "bytes_per_number)", "bytes_per_number / 8)"),
            ("this is per text", "batch * gigabytes_per_second", "gigabytes_per_second / batch"),
            ("", "1e9", "1e8"),
        ],
        [
            ("1e9", "10**9"),
            ("return batch", "return np.float64(batch)"),
            (
                "batch * gigabytes_per_second * 1e9 / (parameters * bytes_per_number)",
                "batch / (parameters * bytes_per_number / (gigabytes_per_second * 1e9))",
            ),
        ],
    ),
    "intensity": (
        """
def intensity(n, k, m, bytes_per_number):
    moved = n * k + k * m + n * m
    return 2 * n * k * m / (moved * bytes_per_number)
""",
        [
            ("a multiplication and an addition", "2 * n", "n"),
            ("must be written", " + n * m", ""),
            ("both matrices must be read", "n * k + k * m + n * m", "n * m"),
            ("bytes of a number are missing", " * bytes_per_number", ""),
            ("multiplied by the bytes", "(moved * bytes_per_number)", "moved * bytes_per_number"),
            (
                "upside down",
                "2 * n * k * m / (moved * bytes_per_number)",
                "moved * bytes_per_number / (2 * n * k * m)",
            ),
            ("only the weights", "n * k + k * m + n * m", "k * m"),
            ("only the inputs", "n * k + k * m + n * m", "n * k"),
            ("these are FLOPs", " / (moved * bytes_per_number)", ""),
            ("cuts off the digits", " / (moved", " // (moved"),
            ("", "2 * n", "3 * n"),
        ],
        [
            ("moved = n * k + k * m + n * m", "moved = sum((n * k, k * m, n * m))"),
            ("return 2", "return torch.tensor(2.0, dtype=torch.double)"),
            (
                "2 * n * k * m / (moved * bytes_per_number)",
                "2 / bytes_per_number / (1 / m + 1 / n + 1 / k)",
            ),
        ],
    ),
    "training_days": (
        """
def training_days(parameters, tokens, flops_per_second, share):
    seconds = 6 * parameters * tokens / (flops_per_second * share)
    return seconds / 86400
""",
        [
            ("the forward pass alone", "6 *", "2 *"),
            ("the forward pass is missing", "6 *", "4 *"),
            ("these are hours", "86400", "3600"),
            ("these are seconds", " / 86400", ""),
            ("takes longer", "(flops_per_second * share)", "flops_per_second * share"),
            ("share that is reached is missing", " * share", ""),
            ("upside down", "seconds / 86400", "86400 / seconds"),
            ("the tokens are missing", " * tokens", ""),
            ("these are weeks", "/ 86400", "/ 604800"),
            ("", "6 *", "5 *"),
        ],
        [("86400", "(24 * 60 * 60)"), ("return seconds", "return np.float64(seconds)")],
    ),
}
NAMES = {"np": np, "torch": torch}


class TestMutants(MutantTests):
    checks, mutants, names = checks, MUTANTS, NAMES


class TestExercises(ExerciseTests, MistakeTests, HintTests):
    checks, exercises = checks, exercises_of(MUTANTS, NAMES)
    notebook = Path(__file__).with_name("performance-analysis.ipynb")
    sources = {name: right for name, (right, _, _) in MUTANTS.items()}
