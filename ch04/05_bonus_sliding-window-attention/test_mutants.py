"""Answers to the exercises of sliding-window-attention.ipynb.

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
    "window_mask": (
        """
def window_mask(tokens, window):
    back = torch.arange(tokens)[:, None] - torch.arange(tokens)
    return (back >= 0) & (back < window)
""",
        [
            ("one token too many", "< window", "<= window"),
            ("one token too few", "< window", "< window - 1"),
            ("does not see itself", ">= 0", "> 0"),
            ("the future is not masked", "(back >= 0) & ", ""),
            ("as far as into the past", "(back >= 0) & (back < window)", "back.abs() < window"),
            ("without a window", " & (back < window)", ""),
            ("upside down", "(back >= 0) & (back < window)", "(back < 0) | (back >= window)"),
            (
                "turned over",
                "(back < window)",
                "(back < window)",
                "return (back >= 0)",
                "back = -back\n    return (back >= 0)",
            ),
            (
                "these are blocks",
                "(back < window)",
                "(torch.arange(tokens)[:, None] // window == torch.arange(tokens) // window)",
            ),
            ("the first `window` tokens", "(back < window)", "(torch.arange(tokens) < window)"),
            ("", ">= 0", ">= 2"),
        ],
        [
            (
                "    back = torch.arange(tokens)[:, None] - "
                "torch.arange(tokens)\n    return (back >= 0) & (back < window)",
                "    return torch.ones(tokens, tokens).tril().triu(1 - window).bool()",
            ),
            ("(back >= 0) & (back < window)", "((back >= 0) & (back < window)).numpy()"),
        ],
    ),
    "held_positions": (
        """
def held_positions(length, window):
    slots = [0] * min(length, window)
    for position in range(length):
        slots[position % window] = position
    return slots
""",
        [
            ("the order of the text", "return slots", "return sorted(slots)"),
            ("nothing was overwritten", "range(length)", "range(min(length, window))"),
            ("all positions were kept", "return slots", "return list(range(length))"),
            ("what lies there", "return slots", "return [p % window for p in sorted(slots)]"),
            ("the newest token is missing", "    slots = [0]", "    length -= 1\n    slots = [0]"),
            ("one token too many", "    slots = [0]", "    length += 1\n    slots = [0]"),
            ("not full yet", "[0] * min(length, window)", "[None] * window"),
            ("turned round", "return slots", "return slots[::-1]"),
            ("count from 0", "= position\n", "= position + 1\n"),
            ("moved by one place", "return slots", "return sorted(slots, reverse=True)"),
            ("", "= position\n", "= 2 * position\n"),
        ],
        [
            ("return slots", "return torch.tensor(slots)"),
            (
                "    for position in range(length):\n        slots[position % window] = position\n",
                "    for position in range(max(0, length - window), length):\n  "
                "      slots[position % window] = position\n",
            ),
        ],
    ),
    "reach": (
        """
def reach(n_layers, window):
    return n_layers * (window - 1)
""",
        [
            ("window − 1 back", "(window - 1)", "window"),
            ("this is one layer", "n_layers * ", ""),
            ("it adds", "n_layers * (window - 1)", "(window - 1) ** n_layers"),
            ("the first layer reaches", "n_layers * ", "(n_layers - 1) * "),
            ("counts the token itself", "(window - 1)", "(window - 1) + 1"),
            ("not window + 1", "window - 1", "window + 1"),
            ("looks back, not ahead", "return n", "return 2 * n"),
            ("are added", "n_layers * (window - 1)", "n_layers + window - 1"),
            ("half of the window", "(window - 1)", "((window - 1) // 2)"),
            ("", "return ", "return 7 + "),
        ],
        [
            ("n_layers * (window - 1)", "sum(window - 1 for _ in range(n_layers))"),
            ("return ", "return np.int64(1) * "),
        ],
    ),
}
NAMES = {"np": np, "torch": torch}


class TestMutants(MutantTests):
    checks, mutants, names = checks, MUTANTS, NAMES


class TestExercises(ExerciseTests, MistakeTests, HintTests):
    checks, exercises = checks, exercises_of(MUTANTS, NAMES)
    notebook = Path(__file__).with_name("sliding-window-attention.ipynb")
    sources = {name: right for name, (right, _, _) in MUTANTS.items()}
