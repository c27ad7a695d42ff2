"""True Tiny Tales and tales with one broken detail: a data set without end whose labels are exact.

In a broken tale one word was replaced by another of its kind, so that the tale contradicts itself: the fox is a bear
once, Mia becomes Nora, the mill an orchard. `parse_tale`, which knows every story that can be, is the judge.
"""

import random
import re
from dataclasses import dataclass

from ch06_01_main_chapter_code.previous_chapters import TABLES, make_tale, parse_tale

TALE_CLASSES = ("true", "broken")
DETAILS = {"hero": "name", "friend": "name", "hero.kind": "animal", "friend.kind": "animal", "place": "place"}


@dataclass(frozen=True)
class BrokenTale:
    """A story that is no Tiny Tale: one of its details, of the `kind` name, animal or place, was replaced at some of the
    `mentions` that it has there. `positions` are the characters where another word stands now."""

    text: str
    kind: str
    mentions: int
    positions: tuple


def break_tale(tale, rng, share=0.0):
    """Choose one detail of a `Tale` with the dice `rng`, and put another word of its kind in the place of one of its
    mentions; with a `share` above 0, in the place of so many of the others, too. Returns a `BrokenTale`.

    >>> break_tale(make_tale(random.Random(3)), random.Random(3)).kind
    'animal'
    """
    while True:
        variable = rng.choice(list(DETAILS))
        word = tale.facts[variable]
        spots = [match.start() for match in re.finditer(rf"\b{word}\b", tale.text)]
        sure = rng.choice(spots)
        changed = [spot for spot in spots if spot == sure or rng.random() < share]
        pieces, at = [], 0
        for spot in changed:
            pieces += [tale.text[at:spot], rng.choice([other for other in TABLES[variable] if other != word])]
            at = spot + len(word)
        text = "".join(pieces) + tale.text[at:]
        if parse_tale(text) is None:  # all mentions replaced by the same word would be a true tale again
            return BrokenTale(text, DETAILS[variable], len(spots), tuple(changed))


def make_tale_task(count, seed=0, lessons=False):
    """`count` stories and their labels, 0 (true) and 1 (broken) in turn. Returns two lists.

    Each is a story of its own, broken in one word. With `lessons`, they are made for learning: each true story is
    followed by itself, broken, now in one mention of a detail, now in most of them. One wrong word among a hundred is hard
    to find for who does not know yet what to look for.
    """
    rng = random.Random(seed)
    texts = []
    for number in range(count):
        if number % 2 == 0 or not lessons:
            tale = make_tale(rng)
        broken = number % 2 == 1
        texts.append(break_tale(tale, rng, rng.random() if lessons else 0.0).text if broken else tale.text)
    return texts, [number % 2 for number in range(count)]
