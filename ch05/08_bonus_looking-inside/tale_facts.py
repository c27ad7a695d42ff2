"""Where in a tale its facts stand: the places of all slots, and the same tale with another fact.

`parse_tale` says what the facts of a tale are. To look for them inside a model one must also know
where they are mentioned, by which word, and how the tale would run if one of them were another.
"""

from dataclasses import dataclass

import torch

from ch05_01_main_chapter_code.tale_walk import OneOf, Slot, linked, plot_nodes, spell
from ch05_01_main_chapter_code.tales import parse_tale

WORD, PRONOUN = ("word",), ("he", "him", "his")  # forms in which a fact is written


@dataclass(frozen=True)
class Mention:
    """A slot of the grammar in a finished tale: the fact `variable` in this `form` ("word" or
    "he", "his", "a", …) is written at text[start:end]. In ids: at the tokens `first` … `last` of the
    row that `row_of` gives.
    """

    variable: str
    form: str
    start: int
    end: int
    first: int
    last: int


def pieces(text):
    """A tale cut where the grammar cuts it: [(what is written, the `Slot` or None), …].

    Raises ValueError for a text that is no Tiny Tale.
    """
    tale = parse_tale(text)
    if tale is None:
        raise ValueError(f"this is no Tiny Tale: {text[:60]!r}…")
    todo = [(0, linked(plot_nodes(tale.plot)), None)]
    while todo:
        at, nodes, read = todo.pop()
        if nodes is None and at == len(tale.text):
            break
        if nodes is None:
            continue
        node, rest = nodes
        if isinstance(node, OneOf):
            todo += [(at, linked(option, rest), read) for option in node.options]
            continue
        slot = node if isinstance(node, Slot) else None
        written = spelled(tale, slot) if slot else node
        if tale.text.startswith(written, at):
            todo.append((at + len(written), rest, ((written, slot), read)))
    found = []
    while read:
        part, read = read
        found.insert(0, part)
    return found


def spelled(tale, slot, facts=None):
    """How a slot is filled in this tale, or would be with other `facts`."""
    return spell(tale.plot, slot.variable, (facts or tale.facts)[slot.variable], slot.form)


def retold(text, **changes):
    """The same tale with other facts: `retold(text, hero="Mia", **{"hero.kind": "bear"})`. All that
    depends on them changes along, the pronouns too.
    """
    tale = parse_tale(text)
    facts = tale.facts | changes
    parts = pieces(text)
    return "".join(spelled(tale, slot, facts) if slot else written for written, slot in parts)


def row_of(text, tokenizer):
    """What the model reads and has to say: the end-of-text token, the tale's ids, the end again."""
    return [tokenizer.end_of_text, *tokenizer.encode(text), tokenizer.end_of_text]


def mentions(text, tokenizer):
    """All slots of a tale as `Mention`s, in order."""
    ends = [0]  # of each token of the row, in characters; the end-of-text token writes nothing
    for number in tokenizer.encode(text):
        ends.append(ends[-1] + len(tokenizer.decode([number])))
    found, at = [], 0
    for written, slot in pieces(text):
        if slot:
            first = next(i for i, end in enumerate(ends) if end > at)
            last = next(i for i, end in enumerate(ends) if end >= at + len(written))
            found.append(Mention(slot.variable, slot.form, at, at + len(written), first, last))
        at += len(written)
    return found


class TaleBatch:
    """Tales as a model reads them, with the answer key beside it.

    `ids`: (tales, tokens) rows of `row_of`, filled up on the right; `real`: of the same shape, True
    where a row is. What the model reads is `inputs`, what it has to say `targets`, and `counted`,
    (tales, tokens − 1) each, says which of these are real. `tales`: what `parse_tale` gives;
    `mentions`: for each tale its list of `Mention`s.
    """

    def __init__(self, texts, tokenizer):
        self.texts, self.tokenizer = list(texts), tokenizer
        self.tales = [parse_tale(text) for text in self.texts]
        self.ids, self.real = batch_of([row_of(text, tokenizer) for text in self.texts])
        self.inputs, self.targets = self.ids[:, :-1], self.ids[:, 1:]
        self.counted = self.real[:, 1:]
        self.mentions = [mentions(text, tokenizer) for text in self.texts]

    def __len__(self):
        return len(self.texts)

    def uses(self, variable, forms):
        """All places where a fact that was mentioned before is needed again in one of these
        `forms` (in small letters): (tale, earlier mentions, mention) each.
        """
        found = []
        for number, listed in enumerate(self.mentions):
            ours = [mention for mention in listed if mention.variable == variable]
            found += [
                (number, ours[:i], mention)
                for i, mention in enumerate(ours)
                if i and mention.form.lower() in forms
            ]
        return found


def batch_of(rows, filler=0):
    """Rows of ids of any length as one tensor (batch, tokens), filled up on the right, and a mask
    of the same shape that is True where a row is. No token looks to its right, so what fills up
    disturbs nobody.
    """
    longest = max(map(len, rows))
    ids = torch.tensor([row + [filler] * (longest - len(row)) for row in rows])
    lengths = torch.tensor([len(row) for row in rows])
    return ids, torch.arange(longest) < lengths[:, None]
