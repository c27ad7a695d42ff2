"""Answers to the exercises of hparam-tuning.ipynb.

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
    "log_uniform": (
        """
def log_uniform(u, low, high):
    return math.exp(math.log(low) + u * (math.log(high) - math.log(low)))
""",
        [
            (
                "uniform between the two",
                "math.exp(math.log(low) + u * (math.log(high) - math.log(low)))",
                "low + u * (high - low)",
            ),
            (
                "the logarithm itself",
                "math.exp(math.log(low) + u * (math.log(high) - math.log(low)))",
                "math.log(low) + u * (math.log(high) - math.log(low))",
            ),
            ("exchanged", "math.log(low) + u", "math.log(high) - u"),
            ("low in front", "math.log(low) + u", "u"),
            (
                "not a factor",
                "math.exp(math.log(low) + u * (math.log(high) - math.log(low)))",
                "u * high",
            ),
            (
                "raised with e",
                "math.exp(math.log(low) + u * (math.log(high) - math.log(low)))",
                "math.exp(math.log10(low) + u * (math.log10(high) - math.log10(low)))",
            ),
            ("the middle", "u * ", "0.5 * "),
            (
                "take the ratio",
                "math.exp(math.log(low) + u * (math.log(high) - math.log(low)))",
                "low * (high - low) ** u",
            ),
            ("u was squared", "u * ", "u**2 * "),
            ("", "u * ", "u**3 * "),
        ],
        [
            (
                "math.exp(math.log(low) + u * (math.log(high) - math.log(low)))",
                "10 ** (math.log10(low) + u * math.log10(high / low))",
            ),
            (
                "math.exp(math.log(low) + u * (math.log(high) - math.log(low)))",
                "np.exp(np.interp(u, [0, 1], np.log([low, high])))",
            ),
        ],
    ),
    "halving_rounds": (
        """
def halving_rounds(trials, steps, keep):
    rounds = []
    while trials >= 1:
        rounds.append((trials, steps))
        trials, steps = trials // keep, steps * keep
    return rounds
""",
        [
            ("the steps do not grow", "steps * keep", "steps"),
            (
                "all trials go on",
                "    rounds = []",
                "    rounds, first = [], trials",
                "append((trials, steps))",
                "append((first, steps))",
            ),
            ("half are left", "    rounds = []", "    rounds, keep = [], 2"),
            (
                "the last round",
                "return rounds",
                "return [pair for pair in rounds if pair[0] > 1 or pair is rounds[0]]",
            ),
            ("the first round", "return rounds", "return rounds[1:]"),
            ("exchanged", "append((trials, steps))", "append((steps, trials))"),
            (
                "added up over the rounds",
                "return rounds",
                "return [(t, sum(s for _, s in rounds[: n + 1])) for n, (t, _) in enumerate(rounds)]",
            ),
            (
                "by the first length",
                "return rounds",
                "return [(t, rounds[0][1] * (n + 1)) for n, (t, _) in enumerate(rounds)]",
            ),
            ("", "return rounds", "return rounds + [(0, 0)]"),
        ],
        [
            ("return rounds", "return [list(pair) for pair in rounds]"),
            ("while trials >= 1", "while trials"),
        ],
    ),
    "winner": (
        """
def winner(results):
    usable = {name: losses for name, losses in results.items() if all(map(math.isfinite, losses))}
    return min(usable, key=lambda name: sum(usable[name]) / len(usable[name]))
""",
        [
            (
                "takes its setting out",
                "{name: losses for name, losses in results.items() if all(map(math.isfinite, losses))}",
                "{name: [x for x in losses if math.isfinite(x)] for name, losses in results.items()}",
            ),
            ("the best single run", "sum(usable[name]) / len(usable[name])", "min(usable[name])"),
            (
                "the smallest worst run",
                "sum(usable[name]) / len(usable[name])",
                "max(usable[name])",
            ),
            ("the highest mean", "return min(", "return max("),
            ("added up", " / len(usable[name])", ""),
            ("only the first seed", "sum(usable[name]) / len(usable[name])", "usable[name][0]"),
            ("only the last seed", "sum(usable[name]) / len(usable[name])", "usable[name][-1]"),
            ("the first one named", "min(usable,", "min(reversed(usable),"),
            (
                "whose is it",
                "min(usable, key=lambda name: sum(usable[name]) / len(usable[name]))",
                "min(sum(x) / len(x) for x in usable.values())",
            ),
            ("nan was taken", " if all(map(math.isfinite, losses))", ""),
            (
                "",
                "return min(usable, key=lambda name: sum(usable[name]) / len(usable[name]))",
                "return sorted(results)[1]",
            ),
        ],
        [
            ("sum(usable[name]) / len(usable[name])", "np.mean(usable[name])"),
            ("all(map(math.isfinite, losses))", "np.isfinite(losses).all()"),
        ],
    ),
}
NAMES = {"math": math, "np": np}


class TestMutants(MutantTests):
    checks, mutants, names = checks, MUTANTS, NAMES


class TestExercises(ExerciseTests, MistakeTests, HintTests):
    checks, exercises = checks, exercises_of(MUTANTS, NAMES)
    notebook = Path(__file__).with_name("hparam-tuning.ipynb")
    sources = {name: right for name, (right, _, _) in MUTANTS.items()}
