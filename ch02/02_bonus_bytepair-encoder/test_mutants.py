"""Answers to the exercises of bytepair-encoder.ipynb that are nearly right, and unusual right ones."""

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
    "next_merge": (
        """
def next_merge(tokens, ranks):
    pairs = [pair for pair in zip(tokens, tokens[1:]) if pair in ranks]
    return min(pairs, key=ranks.get, default=())
""",
        [
            ("learned last was taken", "min(", "max("),
            (
                "the first pair of the word",
                "min(pairs, key=ranks.get, default=())",
                "pairs[0] if pairs else ()",
            ),
            (
                "the last pair of the word",
                "min(pairs, key=ranks.get, default=())",
                "pairs[-1] if pairs else ()",
            ),
            (
                "most frequent pair",
                "key=ranks.get",
                "key=lambda pair: (-pairs.count(pair), ranks[pair])",
            ),
            ("smallest as bytes", "key=ranks.get, ", ""),
            ("gives ()", ", default=()", ""),
            (
                "the glued token",
                "min(pairs, key=ranks.get, default=())",
                'b"".join(min(pairs, key=ranks.get, default=()))',
            ),
        ],
        [
            (
                "return min(pairs, key=ranks.get, default=())",
                "return sorted(pairs, key=ranks.get)[:1][0] if pairs else []",
            )
        ],
    ),
    "same_until": (
        """
def same_until(mine, theirs):
    for place, (a, b) in enumerate(zip(mine, theirs)):
        if a != b:
            return place
    return min(len(mine), len(theirs))
""",
        [
            ("one too many", "return place", "return place + 1", "return min(", "return 1 + min("),
            ("only the shorter one can agree", "return min(", "return max("),
            ("without their order", "a != b", "set(a) != set(b)"),
            ("only the left parts", "a != b", "a[0] != b[0]"),
            (
                "wherever they stand",
                "min(len(mine), len(theirs))",
                "0",
                "enumerate(zip(mine, theirs))",
                "[(len(set(mine) & set(theirs)), (0, 1))]",
            ),
            (
                "counts all places that agree",
                "        if a != b:\n            return place\n",
                "        pass\n",
                "min(len(mine), len(theirs))",
                "sum(a == b for a, b in zip(mine, theirs))",
            ),
            (
                "not with an IndexError",
                "enumerate(zip(mine, theirs))",
                "((i, (mine[i], theirs[i])) for i in range(len(mine)))",
                "min(len(mine), len(theirs))",
                "len(mine)",
            ),
        ],
        [("return place", "return np.int64(place)")],
    ),
    "longest_pieces": (
        """
def longest_pieces(text, vocab):
    pieces, start = [], 0
    while start < len(text):
        end = max(end for end in range(start + 1, len(text) + 1) if text[start:end] in vocab)
        pieces.append(text[start:end])
        start = end
    return pieces
""",
        [
            ("the shortest piece", "max(", "min("),
            ("begin behind its end", "start = end", "start += 1"),
            ("go on behind it", "        start = end", "        break"),
            ("count", "return pieces", "return len(pieces)"),
            ("left out", "return pieces", "return list(dict.fromkeys(pieces))"),
            ("the pieces were sorted", "return pieces", "return sorted(pieces)"),
        ],
        [("return pieces", "return tuple(pieces)")],
    ),
}
NAMES = {"np": np}


class TestMutants(MutantTests):
    checks, mutants, names = checks, MUTANTS, NAMES


class TestExercises(ExerciseTests, MistakeTests, HintTests):
    checks, exercises = checks, exercises_of(MUTANTS, NAMES)
    notebook = Path(__file__).with_name("bytepair-encoder.ipynb")
    sources = {name: right for name, (right, _, _) in MUTANTS.items()}
