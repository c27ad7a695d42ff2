"""Answers to the exercises of learning-rate-schedulers.ipynb.

They are nearly right, or right in an unusual way.
"""

import itertools
import math
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
    "cosine_share": (
        """
def cosine_share(step, steps, warmup, low):
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - warmup) / (steps - warmup)
    return low + (1 - low) * (1 + math.cos(math.pi * progress)) / 2
""",
        [
            ("the first step has the share 0", "(step + 1) / warmup", "step / warmup"),
            ("a whole wave", "math.pi * progress", "2 * math.pi * progress"),
            ("not from step 0", "(step - warmup) / (steps - warmup)", "step / steps"),
            ("the floor is missing", "low + (1 - low) * ", ""),
            ("added on top", "(1 - low) * ", ""),
            (
                "cut off at the floor",
                "low + (1 - low) * (1 + math.cos(math.pi * progress)) / 2",
                "max(low, (1 + math.cos(math.pi * progress)) / 2)",
            ),
            ("no warm-up", "(step + 1) / warmup", "1.0"),
            ("the wave rises", "1 + math.cos", "1 - math.cos"),
            (
                "in a line",
                "low + (1 - low) * (1 + math.cos(math.pi * progress)) / 2",
                "low + (1 - low) * (1 - progress)",
            ),
            ("", "math.pi * progress", "3 * progress"),
        ],
        [
            ("(1 + math.cos(math.pi * progress)) / 2", "math.cos(math.pi * progress / 2) ** 2"),
            ("math.cos(math.pi * progress)", "np.cos(np.pi * progress)"),
        ],
    ),
    "sqrt_decay": (
        """
def sqrt_decay(step, steps, warmup, decay):
    if step < warmup:
        return (step + 1) / warmup
    if step < steps - decay:
        return 1.0
    return 1 - math.sqrt((step - steps + decay + 1) / (decay + 1))
""",
        [
            ("in a line", "math.sqrt(", "("),
            (
                "not to what is left",
                "1 - math.sqrt((step - steps + decay + 1) / (decay + 1))",
                "math.sqrt(1 - (step - steps + decay + 1) / (decay + 1))",
            ),
            (
                "was squared",
                "math.sqrt((step - steps + decay + 1) / (decay + 1))",
                "((step - steps + decay + 1) / (decay + 1)) ** 2",
            ),
            (
                "lower than the peak",
                "(step - steps + decay + 1) / (decay + 1)",
                "(step - steps + decay) / decay",
            ),
            ("the last step has the share 0", "/ (decay + 1)", "/ decay"),
            ("no warm-up", "(step + 1) / warmup", "1.0"),
            ("it never falls", "1 - math.sqrt((step - steps + decay + 1) / (decay + 1))", "1.0"),
            (
                "from the end of the warm-up on",
                "    if step < steps",
                "    decay = steps - warmup\n    if step < steps",
            ),
            ("`1 −` is missing", "1 - math.sqrt", "math.sqrt"),
            ("", "(decay + 1))", "(decay + 3))"),
        ],
        [("math.sqrt(", "np.sqrt("), ("return 1.0", "return 1")],
    ),
    "share_below": (
        """
def share_below(shares, limit):
    return sum(share < limit for share in shares) / len(shares)
""",
        [
            ("equals the limit", "<", "<="),
            ("above it", "<", ">"),
            ("a number of steps", " / len(shares)", ""),
            ("per cent", "return ", "return 100 * "),
            (
                "the mean of the small",
                "sum(share < limit for share in shares) / len(shares)",
                "sum(s for s in shares if s < limit) / (len([s for s in shares if s < limit]) or 1)",
            ),
            (
                "not the steps",
                "share < limit for share in shares",
                "share for share in shares if share < limit",
            ),
            ("of the largest", "< limit", "< limit * max(shares)"),
            (
                "at the beginning were",
                "sum(share < limit for share in shares)",
                "len(list(itertools.takewhile(lambda s: s < limit, shares)))",
            ),
            (
                "at the end were",
                "sum(share < limit for share in shares)",
                "len(list(itertools.takewhile(lambda s: s < limit, shares[::-1])))",
            ),
            ("", "return ", "return 1 - "),
        ],
        [
            (
                "sum(share < limit for share in shares) / len(shares)",
                "np.mean(np.array(shares) < limit)",
            ),
            (
                "sum(share < limit for share in shares) / len(shares)",
                "(torch.tensor(shares, dtype=torch.double) < limit).double().mean()",
            ),
        ],
    ),
}
NAMES = {"itertools": itertools, "math": math, "np": np, "torch": torch}


class TestMutants(MutantTests):
    checks, mutants, names = checks, MUTANTS, NAMES


class TestExercises(ExerciseTests, MistakeTests, HintTests):
    checks, exercises = checks, exercises_of(MUTANTS, NAMES)
    notebook = Path(__file__).with_name("learning-rate-schedulers.ipynb")
    sources = {name: right for name, (right, _, _) in MUTANTS.items()}
