"""Answers to the exercises of dataset-utilities.ipynb.

They are nearly right, or right in an unusual way.
"""

import math
from pathlib import Path

import numpy as np

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
    "word_runs": (
        """
def word_runs(text, width):
    words = text.lower().split()
    return {tuple(words[n : n + width]) for n in range(max(1, len(words) - width + 1))}
""",
        [
            ("capitals count here", ".lower()", ""),
            ("pieces of letters", "text.lower().split()", "list(text.lower())"),
            (
                "the last shingle is missing",
                "max(1, len(words) - width + 1)",
                "max(len(words) < width, len(words) - width)",
            ),
            (
                "too short were kept",
                "max(1, len(words) - width + 1)",
                "len(words) if len(words) >= width else 1",
            ),
            ("one shingle, not none", "max(1, len(words) - width + 1)", "len(words) - width + 1"),
            ("these are the words", "    words", "    width = 1\n    words"),
            (
                "do not overlap",
                "range(max(1, len(words) - width + 1))",
                "range(0, max(1, len(words) - width + 1), width)",
            ),
            ("one word too many", "    words", "    width += 1\n    words"),
            (
                "this is a list",
                "return {tuple(words[n : n + width]) for n in range(max(1, len(words) - width + 1))}",
                "return sorted({tuple(words[n : n + width]) for n in range(max(1, len(words) - width + 1))})",
            ),
            ("not a string", "tuple(words[n : n + width])", "' '.join(words[n : n + width])"),
            ("", "return {", "return {('x',)} | {"),
        ],
        [
            ("lower", "casefold"),
            (
                "{tuple(words[n : n + width]) for n in range(max(1, len(words) - width + 1))}",
                "set(zip(*(words[n:] for n in range(width)))) or {tuple(words)}",
            ),
        ],
    ),
    "set_overlap": (
        """
def set_overlap(a, b):
    both, either = len(a & b), len(a | b)
    return both / either if either else 1.0
""",
        [
            ("the larger of the two", "return both / either", "return both / max(len(a), len(b))"),
            (
                "the smaller of the two",
                "return both / either",
                "return both / (min(len(a), len(b)) or 1)",
            ),
            (
                "counts what they share twice",
                "return both / either",
                "return both / (len(a) + len(b))",
            ),
            ("Dice", "return both / either", "return 2 * both / (len(a) + len(b))"),
            (
                "this is the distance",
                "both / either if either else 1.0",
                "1 - both / either if either else 0.0",
            ),
            ("how many they share", "both / either if either else 1.0", "float(both)"),
            ("two empty sets are the same", "else 1.0", "else 0.0"),
            ("divides by zero", " if either else 1.0", ""),
            (
                "below the line",
                "len(a | b)\n",
                "len(a ^ b)\n",
                "both / either if either else 1.0",
                "both / (either or 1) if a or b else 1.0",
            ),
            ("by the first set", "both / either if either", "both / (len(a) or 1) if either"),
            ("upside down", "both / either", "either / (both or 1)"),
            ("", "both / either", "both / either / 2"),
        ],
        [
            ("len(a | b)", "len(a) + len(b) - len(a & b)"),
            ("both / either if either else 1.0", "np.divide(both, either) if either else 1"),
        ],
    ),
    "chance_of_meeting": (
        """
def chance_of_meeting(similarity, bands, rows):
    never = (1 - similarity**rows) ** bands
    return 1 - never
""",
        [
            ("exchanged", "**rows) ** bands", "**bands) ** rows"),
            ("this is one band", ") ** bands", ")"),
            ("that all bands are equal", "1 - never", "similarity ** (rows * bands)"),
            ("they never meet", "return 1 - never", "return never"),
            ("were added", "1 - never", "bands * similarity**rows"),
            (
                "one equal row is enough",
                "(1 - similarity**rows) ** bands",
                "(1 - similarity) ** (rows * bands)",
            ),
            ("multiply the similarity", "similarity**rows", "similarity * rows"),
            ("in all bands", "1 - never", "(1 - (1 - similarity) ** rows) ** bands"),
            ("the mean number", "1 - never", "similarity * rows * bands"),
            ("", "1 - never", "(1 - never) / 2"),
        ],
        [
            ("1 - never", "np.float64(1) - never"),
            (
                "(1 - similarity**rows) ** bands",
                "math.prod(1 - similarity**rows for _ in range(bands))",
            ),
        ],
    ),
}
NAMES = {"math": math, "np": np}


class TestMutants(MutantTests):
    checks, mutants, names = checks, MUTANTS, NAMES


class TestExercises(ExerciseTests, MistakeTests, HintTests):
    checks, exercises = checks, exercises_of(MUTANTS, NAMES)
    notebook = Path(__file__).with_name("dataset-utilities.ipynb")
    sources = {name: right for name, (right, _, _) in MUTANTS.items()}
