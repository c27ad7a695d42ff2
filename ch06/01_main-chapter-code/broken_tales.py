"""True Tiny Tales and tales with one broken detail: a data set without end whose labels are exact.

In a broken tale one word was replaced by another of its kind, so that the tale contradicts itself:
the hero, a fox, is a bear once. `parse_tale`, which knows every story that can be, is the judge.
"""

import random
import re
from dataclasses import dataclass

from ch06_01_main_chapter_code.previous_chapters import TABLES, make_tale, parse_tale

TALE_CLASSES = ("true", "broken")
DETAILS = (
    "hero.kind",
    "friend.kind",
    "place",
    "hero",
    "friend",
)  # two animals, the place, two names


@dataclass(frozen=True)
class BrokenTale:
    """A story that is no Tiny Tale: at the character `position`, `word` was replaced by `instead`.
    `detail` is the choice of the story that it contradicts, one of `DETAILS`."""

    text: str
    detail: str
    word: str
    instead: str
    position: int


def break_tale(tale, rng, details=DETAILS):
    """Choose one of the `details` of a `Tale` with `rng`, a `random.Random`, and put another word of
    its kind in the place of one of its mentions. Returns a `BrokenTale`.

    >>> break_tale(make_tale(random.Random(3)), random.Random(3)).detail
    'friend.kind'
    """
    while True:
        detail = rng.choice(details)
        word = tale.facts[detail]
        position = rng.choice([match.start() for match in re.finditer(rf"\b{word}\b", tale.text)])
        instead = rng.choice([other for other in TABLES[detail] if other != word])
        text = tale.text[:position] + instead + tale.text[position + len(word) :]
        if parse_tale(text) is None:
            return BrokenTale(text, detail, word, instead, position)


def make_tale_task(count, seed=0, twins=False, details=("hero.kind",)):
    """`count` stories and their labels, 0 (true) and 1 (broken) in turn. Returns two lists.

    Each is a story of its own; with `twins`, each true one is followed by itself, broken. Two texts
    that differ in one word and have different labels show a learner where to look: whatever else
    there is in the story speaks for both.
    """
    rng = random.Random(seed)
    texts = []
    for number in range(count):
        if number % 2 == 0 or not twins:
            tale = make_tale(rng)
        texts.append(break_tale(tale, rng, details).text if number % 2 else tale.text)
    return texts, [number % 2 for number in range(count)]
