"""Answers to the exercises of grouped-query-attention.ipynb.

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
    "attention_parameters": (
        """
def attention_parameters(emb_dim, n_heads, n_kv_heads):
    head_dim = emb_dim // n_heads
    return 2 * emb_dim * emb_dim + 2 * emb_dim * head_dim * n_kv_heads
""",
        [
            ("of its own here", "head_dim * n_kv_heads", "head_dim * n_heads"),
            ("two narrow matrices", "+ 2 * emb_dim", "+ emb_dim"),
            ("the projection behind", "return 2 * emb_dim", "return emb_dim"),
            ("queries and projection are missing", "2 * emb_dim * emb_dim + ", ""),
            ("the queries are shared", "2 * emb_dim * emb_dim + 2", "emb_dim * emb_dim + 3"),
            ("of width emb_dim", "emb_dim // n_heads", "emb_dim"),
            ("divided by the key heads", "head_dim * n_kv_heads", "(emb_dim // n_kv_heads)"),
            (
                "the share of the usual",
                "return 2 * emb_dim * emb_dim + 2 * emb_dim * head_dim * n_kv_heads",
                "return (2 * emb_dim * emb_dim + 2 * emb_dim * head_dim * n_kv_heads) / (4 * emb_dim**2)",
            ),
            ("", "return ", "return 1 + "),
        ],
        [
            ("emb_dim // n_heads", "np.int64(emb_dim) // n_heads"),
            (
                "return 2 * emb_dim * emb_dim + 2 * emb_dim * head_dim * n_kv_heads",
                "return 2 * emb_dim * (emb_dim + head_dim * n_kv_heads)",
            ),
        ],
    ),
    "partner_of": (
        """
def partner_of(head, n_heads, n_kv_heads):
    group = n_heads // n_kv_heads
    return head // group
""",
        [
            ("round and round", "head // group", "head % n_kv_heads"),
            ("divide by the size of a group", "head // group", "head // n_kv_heads"),
            ("place within its group", "head // group", "head % group"),
            ("count from 0", "head // group", "head // group + 1"),
            ("no whole number", "head // group", "head / group"),
            ("numbered backwards", "head // group", "n_kv_heads - 1 - head // group"),
            ("a partner of its own", "head // group", "head"),
            ("the same partner", "head // group", "0"),
            ("the first query head", "head // group", "head - head % group"),
            ("the size of a group", "return head // group", "return group"),
            ("", "head // group", "(head // group + 1) % n_kv_heads + 1"),
        ],
        [
            ("head // group", "head * n_kv_heads // n_heads"),
            ("head // group", "torch.arange(n_kv_heads).repeat_interleave(group)[head]"),
        ],
    ),
    "repeat_heads": (
        """
def repeat_heads(keys, n_heads):
    group = n_heads // keys.shape[1]
    return keys.repeat_interleave(group, dim=1)
""",
        [
            (
                "neighbours belong together",
                "keys.repeat_interleave(group, dim=1)",
                "keys.repeat(1, group, 1, 1)",
            ),
            ("the tokens were repeated", "dim=1", "dim=2"),
            ("the texts were repeated", "dim=1", "dim=0"),
            ("the numbers of a head", "dim=1", "dim=3"),
            ("n_heads times", "(group, dim", "(n_heads, dim"),
            ("nothing was repeated", "keys.repeat_interleave(group, dim=1)", "keys"),
            (
                "only the first head",
                "keys.repeat_interleave(group, dim=1)",
                "keys[:, :1].repeat(1, n_heads, 1, 1)",
            ),
            (
                "an axis of their own",
                "keys.repeat_interleave(group, dim=1)",
                "torch.stack([keys] * group, 2)",
            ),
            ("the opposite order", "return keys", "return keys.flip(1)"),
            ("", "dim=1)", "dim=1) * 2"),
        ],
        [
            (
                "keys.repeat_interleave(group, dim=1)",
                "torch.stack([keys] * group, 2).flatten(1, 2)",
            ),
            (
                "keys.repeat_interleave(group, dim=1)",
                "keys[:, [h // group for h in range(n_heads)]]",
            ),
            ("keys.repeat_interleave(group, dim=1)", "keys.numpy().repeat(group, axis=1)"),
        ],
    ),
}
NAMES = {"np": np, "torch": torch}


class TestMutants(MutantTests):
    checks, mutants, names = checks, MUTANTS, NAMES


class TestExercises(ExerciseTests, MistakeTests, HintTests):
    checks, exercises = checks, exercises_of(MUTANTS, NAMES)
    notebook = Path(__file__).with_name("grouped-query-attention.ipynb")
    sources = {name: right for name, (right, _, _) in MUTANTS.items()}
