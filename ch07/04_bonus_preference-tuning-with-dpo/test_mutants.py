"""Answers to the exercises of preference-tuning-with-dpo.ipynb.

They are nearly right, or right in an unusual way.
"""

from pathlib import Path

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
    "preference_loss": (
        """
def preference_loss(better, worse, reference_better, reference_worse, beta):
    gain = (better - reference_better) - (worse - reference_worse)
    return F.softplus(-beta * gain).mean()
""",
        [
            (
                "the reference is missing",
                "(better - reference_better) - (worse - reference_worse)",
                "better - worse",
            ),
            (
                "the gain is turned round",
                "(better - reference_better) - (worse - reference_worse)",
                "(worse - reference_worse) - (better - reference_better)",
            ),
            ("beta is missing", "-beta * gain", "-gain"),
            ("divided by beta", "-beta * gain", "-gain / beta"),
            ("the logarithm of the sigmoid", "F.softplus(-beta * gain)", "(-beta * gain)"),
            ("without the logarithm", "F.softplus(-beta * gain)", "-torch.sigmoid(beta * gain)"),
            ("the minus sign", "return F", "return -F"),
            ("this is a sum", ".mean()", ".sum()"),
            (
                "came before the sigmoid",
                "F.softplus(-beta * gain).mean()",
                "F.softplus(-beta * gain.mean())",
            ),
            (
                "the reference was added",
                "better - reference_better",
                "better + reference_better",
                "worse - reference_worse",
                "worse + reference_worse",
            ),
            ("of each pair; return", ".mean()", ""),
            ("", ".mean()", ".median()"),
        ],
        [
            ("F.softplus(-beta * gain).mean()", "-torch.sigmoid(beta * gain).log().mean()"),
            (
                "F.softplus(-beta * gain).mean()",
                "F.binary_cross_entropy_with_logits(beta * gain, torch.ones_like(gain))",
            ),
        ],
    ),
    "answer_log_p": (
        """
def answer_log_p(logits, targets):
    kept = targets != -100
    log_p = logits.log_softmax(dim=-1)
    picked = log_p.gather(-1, targets.clamp(min=0).unsqueeze(-1)).squeeze(-1)
    return (picked * kept).sum(dim=1)
""",
        [
            (
                "this is a mean",
                "(picked * kept).sum(dim=1)",
                "(picked * kept).sum(dim=1) / kept.sum(dim=1)",
            ),
            ("the softmax is missing", ".log_softmax(dim=-1)", ""),
            ("went along the tokens", "log_softmax(dim=-1)", "log_softmax(dim=1)"),
            ("the sign is turned round", "return (", "return -("),
            ("read as the id 0", " * kept", ""),
            (
                "shifted once more",
                "    kept",
                "    logits, targets = logits[:, :-1], targets[:, 1:]\n    kept",
            ),
            ("the whole batch", "sum(dim=1)", "sum()"),
            ("this is the probability", "sum(dim=1)", "sum(dim=1).exp()"),
            ("these are the tokens", ".sum(dim=1)", ""),
            ("the id 0 were left out", "targets != -100", "targets > 0"),
            ("", "sum(dim=1)", "sum(dim=1) * 2"),
        ],
        [
            (
                "(picked * kept).sum(dim=1)",
                "torch.stack([p[k].sum() for p, k in zip(picked, kept)])",
            ),
            (
                "(picked * kept).sum(dim=1)",
                "-F.cross_entropy(logits.transpose(1, 2), targets, reduction='none').sum(1)",
            ),
        ],
    ),
    "win_share": (
        """
def win_share(better, worse, reference_better, reference_worse):
    gap = (better - reference_better) - (worse - reference_worse)
    return ((gap > 0).double() + 0.5 * (gap == 0)).mean().item()
""",
        [
            (
                "the reference is missing",
                "(better - reference_better) - (worse - reference_worse)",
                "better - worse",
            ),
            ("ties count as lost", " + 0.5 * (gap == 0)", ""),
            ("ties count as won", "0.5 * (gap", "(gap"),
            ("are exchanged", "gap > 0", "gap < 0"),
            (
                "the mean gain",
                "((gap > 0).double() + 0.5 * (gap == 0)).mean().item()",
                "gap.double().mean().item()",
            ),
            ("a number of pairs", ".mean()", ".sum()"),
            ("only the better answer", " - (worse - reference_worse)", ""),
            (
                "only the worse answer",
                "(better - reference_better) - (worse - reference_worse)",
                "reference_worse - worse",
            ),
            (
                "the reference was added",
                "better - reference_better",
                "better + reference_better",
                "worse - reference_worse",
                "worse + reference_worse",
            ),
            ("", "0.5 *", "0.6 *"),
        ],
        [
            (
                "((gap > 0).double() + 0.5 * (gap == 0)).mean().item()",
                "(gap.sign().double().mean().item() + 1) / 2",
            ),
            (".mean().item()", ".mean()"),
        ],
    ),
}
NAMES = {"F": F, "torch": torch}


class TestMutants(MutantTests):
    checks, mutants, names = checks, MUTANTS, NAMES


class TestExercises(ExerciseTests, MistakeTests, HintTests):
    checks, exercises = checks, exercises_of(MUTANTS, NAMES)
    notebook = Path(__file__).with_name("preference-tuning-with-dpo.ipynb")
    sources = {name: right for name, (right, _, _) in MUTANTS.items()}
