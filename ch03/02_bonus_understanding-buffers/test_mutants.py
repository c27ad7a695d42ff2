"""Answers to the exercises of understanding-buffers.ipynb that are nearly right, and unusual right ones."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

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
    "fixed_positions": (
        """
def fixed_positions(table):
    class FixedPositions(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("table", table, persistent=False)

        def forward(self, x):
            return x + self.table[: x.shape[1]]

    return FixedPositions()
""",
        [
            (
                "a parameter is trained",
                'self.register_buffer("table", table, persistent=False)',
                "self.table = nn.Parameter(table)",
            ),
            (
                "without gradient",
                'self.register_buffer("table", table, persistent=False)',
                "self.table = nn.Parameter(table, requires_grad=False)",
            ),
            ("the buffer is saved", ", persistent=False", ""),
            (
                "stays behind when",
                'self.register_buffer("table", table, persistent=False)',
                "self.table = table",
            ),
            ("the whole table was added", "[: x.shape[1]]", ""),
            ("the last rows", "[: x.shape[1]]", "[-x.shape[1] :]"),
            ("multiplied; they are added", "x + self", "x * self"),
            ("every place got row 0", "[: x.shape[1]]", "[0]"),
        ],
        [("self.table[: x.shape[1]]", "self.table.narrow(0, 0, x.shape[1])")],
    ),
    "mask_bytes": (
        """
def mask_bytes(n_layers, context_length, bytes_per_number):
    return n_layers * context_length ** 2 * bytes_per_number
""",
        [
            ("context_length counts twice", " ** 2", ""),
            ("each layer saves", "n_layers * ", ""),
            ("this counts numbers", " * bytes_per_number", ""),
            ("twice the length", "** 2", "* 2"),
            ("these are bits", "return ", "return 8 * "),
            ("these are megabytes", "* bytes_per_number", "* bytes_per_number / 1e6"),
            (
                "only the half above the diagonal",
                "context_length ** 2",
                "(context_length * (context_length - 1) // 2)",
            ),
        ],
        [("return n_layers", "return np.int64(n_layers)")],
    ),
    "update_mean": (
        """
def update_mean(mean, count, batch):
    total = count + len(batch)
    return (mean * count + batch.sum(dim=0)) / total, total
""",
        [
            (
                "the batch's own mean",
                "(mean * count + batch.sum(dim=0)) / total",
                "batch.mean(dim=0)",
            ),
            (
                "count alike here",
                "(mean * count + batch.sum(dim=0)) / total",
                "(mean + batch.mean(dim=0)) / 2",
            ),
            ("the old count came back", "total, total", "total, count"),
            ("only the batch was counted", "total, total", "total, len(batch)"),
            ("return the count as well", "total, total", "total"),
            ("not divided by the new count", " / total", ""),
            (
                "as one row, in the count",
                "len(batch)",
                "1",
                "batch.sum(dim=0)",
                "batch.mean(dim=0)",
            ),
            ("one mean for all columns", "batch.sum(dim=0)", "batch.mean() * len(batch)"),
        ],
        [
            (
                "(mean * count + batch.sum(dim=0)) / total",
                "mean + (batch.mean(dim=0) - mean) * (len(batch) / total)",
            ),
            ("total, total", "total, torch.tensor(total)"),
            (
                "(mean * count + batch.sum(dim=0)) / total, total",
                "[((mean * count + batch.sum(dim=0)) / total).tolist(), total]",
            ),
        ],
    ),
}
NAMES = {"nn": nn, "np": np, "torch": torch}


class TestMutants(MutantTests):
    checks, mutants, names = checks, MUTANTS, NAMES


class TestExercises(ExerciseTests, MistakeTests, HintTests):
    checks, exercises = checks, exercises_of(MUTANTS, NAMES)
    notebook = Path(__file__).with_name("understanding-buffers.ipynb")
    sources = {name: right for name, (right, _, _) in MUTANTS.items()}
