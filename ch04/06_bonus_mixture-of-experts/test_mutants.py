"""Answers to the exercises of mixture-of-experts.ipynb.

They are nearly right, or right in an unusual way.
"""

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
    "route": (
        """
def route(logits, top_k):
    best = logits.topk(top_k, dim=-1).indices
    kept = torch.zeros_like(logits).scatter(-1, best, 1.0).bool()
    return logits.masked_fill(~kept, -torch.inf).softmax(dim=-1)
""",
        [
            (
                "do not sum to 1",
                "logits.masked_fill(~kept, -torch.inf).softmax(dim=-1)",
                "logits.softmax(dim=-1) * kept",
            ),
            ("nothing was left out", ".masked_fill(~kept, -torch.inf)", ""),
            ("the least wanted", "top_k, dim=-1", "top_k, dim=-1, largest=False"),
            ("went along the tokens", "softmax(dim=-1)", "softmax(dim=0)"),
            (
                "the same weight",
                "logits.masked_fill(~kept, -torch.inf).softmax(dim=-1)",
                "kept / top_k",
            ),
            ("a 0 gets a weight", "-torch.inf", "0.0"),
            (
                "these are the kept weights alone",
                "logits.masked_fill(~kept, -torch.inf)",
                "logits.topk(top_k).values",
            ),
            ("a second softmax", "return logits", "return logits.softmax(-1)"),
            (
                "one expert too many",
                "    best",
                "    top_k = min(top_k + 1, logits.shape[-1])\n    best",
            ),
            ("only the best expert", "    best", "    top_k = 1\n    best"),
            ("", "return logits", "return 2 * logits"),
        ],
        [
            (
                "logits.masked_fill(~kept, -torch.inf).softmax(dim=-1)",
                "F.normalize(logits.softmax(dim=-1) * kept, p=1, dim=-1)",
            ),
            (
                "logits.masked_fill(~kept, -torch.inf).softmax(dim=-1)",
                "torch.zeros_like(logits).scatter(-1, best, logits.gather(-1, best).softmax(-1))",
            ),
        ],
    ),
    "balance_loss": (
        """
def balance_loss(probabilities, chosen):
    n_experts = probabilities.shape[-1]
    shares = F.one_hot(chosen, n_experts).float().mean(dim=0)
    return n_experts * (shares * probabilities.mean(dim=0)).sum()
""",
        [
            ("n_experts in front", "return n_experts * ", "return "),
            ("these are counts", "float().mean(dim=0)", "float().sum(dim=0)"),
            ("multiplied by itself", "(shares *", "(probabilities.mean(dim=0) *"),
            ("then nothing has a slope", "probabilities.mean(dim=0)", "shares"),
            (
                "of the chosen experts",
                "(shares * probabilities.mean(dim=0)).sum()",
                "probabilities[range(len(chosen)), chosen].mean()",
            ),
            ("add them up", ".sum()", ""),
            ("multiplied by n_experts twice", "return n_experts", "return n_experts**2"),
            ("the sign is turned round", "return n", "return -n"),
            (
                "in place of the sum",
                "return n_experts * (shares * probabilities.mean(dim=0)).sum()",
                "return (shares * probabilities.mean(dim=0)).mean()",
            ),
            ("", "return n", "return 0.5 * n"),
        ],
        [
            (
                "F.one_hot(chosen, n_experts).float().mean(dim=0)",
                "chosen.bincount(minlength=n_experts) / len(chosen)",
            ),
            ("(shares * probabilities.mean(dim=0)).sum()", "shares @ probabilities.mean(dim=0)"),
        ],
    ),
    "mixture_parameters": (
        """
def mixture_parameters(emb_dim, hidden, n_experts, top_k):
    expert = emb_dim * hidden + hidden + hidden * emb_dim + emb_dim
    router = emb_dim * n_experts
    return router + n_experts * expert, router + top_k * expert
""",
        [
            ("the router is missing", "router = emb_dim * n_experts", "router = 0"),
            (
                "the biases of the experts",
                "emb_dim * hidden + hidden + hidden * emb_dim + emb_dim",
                "2 * emb_dim * hidden",
            ),
            (
                "are exchanged",
                "router + n_experts * expert, router + top_k * expert",
                "router + top_k * expert, router + n_experts * expert",
            ),
            ("all experts work", "top_k * expert", "n_experts * expert"),
            ("only one expert works", "top_k * expert", "expert"),
            ("the router works for every token", "router + top_k", "top_k"),
            (
                "two matrices, there and back",
                "hidden + hidden * emb_dim + emb_dim",
                "hidden + emb_dim",
            ),
            (
                "the router has no bias",
                "router = emb_dim * n_experts",
                "router = emb_dim * n_experts + n_experts",
            ),
            ("only the total", ", router + top_k * expert", ""),
            ("", "router = ", "router = 1 + "),
        ],
        [
            ("return router", "return np.int64(router)"),
            (
                "router + n_experts * expert, router + top_k * expert",
                "[router + k * expert for k in (n_experts, top_k)]",
            ),
        ],
    ),
}
NAMES = {"F": F, "np": np, "torch": torch}


class TestMutants(MutantTests):
    checks, mutants, names = checks, MUTANTS, NAMES


class TestExercises(ExerciseTests, MistakeTests, HintTests):
    checks, exercises = checks, exercises_of(MUTANTS, NAMES)
    notebook = Path(__file__).with_name("mixture-of-experts.ipynb")
    sources = {name: right for name, (right, _, _) in MUTANTS.items()}
