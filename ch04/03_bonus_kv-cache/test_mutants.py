"""Answers to the exercises of kv-cache.ipynb.

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
    "cache_megabytes": (
        """
def cache_megabytes(n_layers, emb_dim, tokens, batch, bytes_per_number):
    numbers = 2 * n_layers * emb_dim * tokens * batch
    return numbers * bytes_per_number / 10**6
""",
        [
            ("two for each token", "2 * n", "n"),
            ("queries are not kept", "2 * n", "3 * n"),
            ("each layer has", " * n_layers", ""),
            ("each text of the batch", " * batch", ""),
            ("each token leaves", " * tokens", ""),
            ("these are bytes", " / 10**6", ""),
            ("these are kilobytes", "10**6", "10**3"),
            ("not 2²⁰", "10**6", "2**20"),
            ("the bytes of a number", " * bytes_per_number", ""),
            ("not with their square", "* tokens *", "* tokens**2 *"),
            ("", "10**6", "10**7"),
        ],
        [("10**6", "1e6"), ("numbers = 2", "numbers = np.int64(2)")],
    ),
    "allowed": (
        """
def allowed(past, new):
    return torch.ones(new, past + new, dtype=torch.bool).tril(past)
""",
        [
            ("must begin behind the past", "tril(past)", "tril()"),
            ("must see itself", "tril(past)", "tril(past - 1)"),
            ("one token too far", "tril(past)", "tril(past + 1)"),
            ("the ones behind them", ".tril(past)", ""),
            (
                "only the past is seen",
                "torch.ones(new, past + new, dtype=torch.bool).tril(past)",
                "torch.cat([torch.ones(new, past), torch.zeros(new, new)], 1).bool()",
            ),
            (
                "the past is missing",
                "torch.ones(new, past + new, dtype=torch.bool).tril(past)",
                "torch.ones(new, new).tril().bool()",
            ),
            (
                "rows of the past as well",
                "torch.ones(new, past + new, dtype=torch.bool).tril(past)",
                "torch.ones(past + new, past + new).tril().bool()",
            ),
            ("turned over", ".tril(past)", ".tril(past).T"),
            ("upside down", "return ", "return ~"),
            (
                "only the new tokens are seen",
                "torch.ones(new, past + new, dtype=torch.bool).tril(past)",
                "torch.cat([torch.zeros(new, past), torch.ones(new, new).tril()], 1).bool()",
            ),
            ("", ".tril(past)", ".tril(past) & (torch.arange(past + new) != 1)"),
        ],
        [
            (
                "torch.ones(new, past + new, dtype=torch.bool).tril(past)",
                "torch.arange(past + new) <= torch.arange(past, past + new)[:, None]",
            ),
            (
                "torch.ones(new, past + new, dtype=torch.bool).tril(past)",
                "np.tri(new, past + new, past, dtype=bool)",
            ),
            (
                "torch.ones(new, past + new, dtype=torch.bool).tril(past)",
                "torch.ones(past + new, past + new).tril()[past:].bool()",
            ),
        ],
    ),
    "rooms": (
        """
def rooms(first, tokens):
    sizes = [first]
    while sizes[-1] < tokens:
        sizes.append(2 * sizes[-1])
    return sizes
""",
        [
            ("that it starts with is missing", "return sizes", "return sizes[1:]"),
            ("only the last room", "return sizes", "return sizes[-1:]"),
            ("just large enough", "< tokens", "<= tokens"),
            ("one more doubling", "return sizes", "return [*sizes, 2 * sizes[-1]]"),
            ("by its first size", "2 * sizes[-1]", "sizes[-1] + first"),
            ("one place more each time", "2 * sizes[-1]", "sizes[-1] + 1"),
            ("was tripled", "2 * sizes", "3 * sizes"),
            ("cut down", "2 * sizes[-1]", "min(tokens, 2 * sizes[-1])"),
            ("how often it grew", "return sizes", "return len(sizes) - 1"),
            ("from the largest", "return sizes", "return sizes[::-1]"),
            ("", "2 * sizes[-1]", "2 * sizes[-1] + 1"),
        ],
        [("return sizes", "return tuple(sizes)"), ("return sizes", "return torch.tensor(sizes)")],
    ),
}
NAMES = {"np": np, "torch": torch}


class TestMutants(MutantTests):
    checks, mutants, names = checks, MUTANTS, NAMES


class TestExercises(ExerciseTests, MistakeTests, HintTests):
    checks, exercises = checks, exercises_of(MUTANTS, NAMES)
    notebook = Path(__file__).with_name("kv-cache.ipynb")
    sources = {name: right for name, (right, _, _) in MUTANTS.items()}
