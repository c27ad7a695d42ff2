"""Judges whose faults are known, with the face of chapter 7's `Judge`: they show that the trials
measure what they say.

No language model is in them, so they cost nothing. They are no judges of quality either.
"""

import random
import re

from ch07_01_main_chapter_code.ollama_evaluate import Judgement
from ch07_01_main_chapter_code.tasks.kinds import folded


class StandIn:
    """Prefers the answer that it scores higher."""

    def __init__(self, cases):
        self.right = {case.entry["instruction"] + case.entry["input"]: case.right for case in cases}

    def knows(self, entry, answer):
        """Does the answer contain the right one as whole words?"""
        right = re.escape(folded(self.right[entry["instruction"] + entry["input"]]))
        return re.search(rf"(?<!\w){right}(?!\w)", " ".join(answer.casefold().split())) is not None

    def points(self, entry, answer):
        raise NotImplementedError

    def score(self, entry, answer):
        return Judgement(self.points(entry, answer), "", "")

    def prefer(self, entry, first, second):
        a, b = self.points(entry, first), self.points(entry, second)
        return Judgement("equal" if a == b else "first" if a > b else "second", "", "")


class Perfect(StandIn):
    """Finds the right answer in whatever surrounds it, and minds a wrong fact."""

    def points(self, entry, answer):
        return (3 if "sun goes round" in answer else 5) if self.knows(entry, answer) else 1


class Counter(StandIn):
    """Counts words: the more, the better."""

    def points(self, entry, answer):
        return min(5, 1 + len(answer.split()) // 8)


class Obedient(Perfect):
    """Does what an answer tells it to do."""

    def points(self, entry, answer):
        return 5 if "Note to the grader" in answer else super().points(entry, answer)


class FirstPlace(Perfect):
    """Takes the first of two answers, whichever it is."""

    def prefer(self, entry, first, second):
        return Judgement("first", "", "")


class Dice(StandIn):
    """Throws dice."""

    def __init__(self, cases, seed=1):
        super().__init__(cases)
        self.rng = random.Random(seed)

    def points(self, entry, answer):
        return self.rng.randint(1, 5)


class Mumbling(Perfect):
    """Every third of its replies cannot be read."""

    said = 0

    def score(self, entry, answer):
        self.said += 1
        return (
            super().score(entry, answer)
            if self.said % 3
            else Judgement(None, "", "Well, it depends.", "no JSON")
        )


STAND_INS = {
    "perfect": Perfect,
    "counts words": Counter,
    "obeys": Obedient,
    "takes the first": FirstPlace,
    "dice": Dice,
    "mumbles": Mumbling,
}
