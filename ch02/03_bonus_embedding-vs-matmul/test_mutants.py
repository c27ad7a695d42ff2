"""Answers to the exercises of embedding-vs-matmul.ipynb that are nearly right, and unusual right ones."""

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
    "one_hot_bytes": (
        """
def one_hot_bytes(batch, tokens, vocab_size, bytes_per_number):
    return batch * tokens * vocab_size * bytes_per_number
""",
        [
            ("each text of the batch", "batch * ", ""),
            ("each token has a row", "tokens * ", ""),
            ("zeros included", "vocab_size * ", ""),
            ("this counts numbers", " * bytes_per_number", ""),
            ("these are bits", "return ", "return 8 * "),
            ("these are gigabytes", "* bytes_per_number", "* bytes_per_number / 1e9"),
            (
                "the sizes were added",
                "batch * tokens * vocab_size",
                "(batch + tokens + vocab_size)",
            ),
        ],
        [("return batch", "return np.int64(batch)")],
    ),
    "linear_lookup": (
        """
def linear_lookup(ids, weight):
    return weight.T[ids]
""",
        [
            ("the rows of the weight", ".T", ""),
            ("the axis of the vector comes last", "weight.T[ids]", "weight[:, ids]"),
            ("do not call it", "weight.T[ids]", "weight(ids)"),
            ("batch and tokens became one axis", "[ids]", "[ids.flatten()]"),
            ("averaged over the window", "[ids]", "[ids].mean(dim=1)"),
            ("only the first text", "[ids]", "[ids[:1]]"),
            ("stands in the middle", "[ids]", "[ids].mT"),
        ],
        [
            ("weight.T[ids]", "F.one_hot(ids, weight.shape[1]).float() @ weight.T"),
            ("weight.T[ids]", "F.linear(F.one_hot(ids, weight.shape[1]).float(), weight)"),
            ("weight.T[ids]", "F.embedding(ids, weight.T).numpy()"),
        ],
    ),
    "touched_share": (
        """
def touched_share(ids, vocab_size):
    return len(ids.unique()) / vocab_size
""",
        [
            ("every place was counted", "len(ids.unique())", "ids.numel()"),
            ("this counts the rows", " / vocab_size", ""),
            ("number of tokens in the batch", "vocab_size\n", "ids.numel()\n"),
            ("gets no gradient", "len(", "1 - len("),
            ("only the first text", "ids.unique()", "ids[0].unique()"),
            (
                "the texts were counted one by one",
                "len(ids.unique())",
                "sum(len(row.unique()) for row in ids)",
            ),
            ("the id 0 was left out", "ids.unique()", "ids.unique().nonzero()"),
            ("this is per cent", "len(", "100 * len("),
            ("`//` cuts off", "/", "//"),
        ],
        [
            ("len(ids.unique()) / vocab_size", "len(set(ids.flatten().tolist())) / vocab_size"),
            (
                "len(ids.unique()) / vocab_size",
                "(torch.bincount(ids.flatten(), minlength=vocab_size) > 0).float().mean()",
            ),
        ],
    ),
}
NAMES = {"F": F, "np": np, "torch": torch}


class TestMutants(MutantTests):
    checks, mutants, names = checks, MUTANTS, NAMES


class TestExercises(ExerciseTests, MistakeTests, HintTests):
    checks, exercises = checks, exercises_of(MUTANTS, NAMES)
    notebook = Path(__file__).with_name("embedding-vs-matmul.ipynb")
    sources = {name: right for name, (right, _, _) in MUTANTS.items()}
