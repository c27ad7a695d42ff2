"""Instructions from wherever they come: made from a seed, the 1,100 of this course, Alpaca, or a
JSON file of yours.

Each set has three parts that share no story, text or fact: to learn from, to watch the loss, and to
test.
"""

import random
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from ch07_01_main_chapter_code.gpt_download import ALPACA_FILE
from ch07_01_main_chapter_code.instructions import (
    FIELDS,
    KINDS,
    grade,
    load_entries,
    make_entries,
    split,
)
from ch07_01_main_chapter_code.previous_chapters import downloads, read_values
from ch07_01_main_chapter_code.tasks.tale_kinds import (
    CHANGES,
    TALE_KINDS,
    passages_of,
    talk,
    whole_tale,
)

MADE_KINDS = tuple(name for name, kind in KINDS.items() if kind.make)
TALES_MADE = 160_000  # to learn from, by default
# What is learned from: where the answer is a word or two, an entry teaches little, and so there
# must be many of them. Of all entries about tales, this share changes a whole tale, which teaches
# most (see README) …
WHOLE_TALES = 0.08
# … this share is of each kind whose entries stand alone …
ALONE = {
    "tale-animal": 0.02,
    "tale-name": 0.03,
    "tale-place": 0.025,
    "tale-tense": 0.07,
    "tale-speaker": 0.025,
    "tale-finish": 0.025,
    "tale-write": 0.04,
}
# … and the others are talks of so many questions about one tale, which is read once; their kinds
# are drawn by weight.
TALK_LENGTH = 7
TALKED_ABOUT = {
    "tale-like": 3.5,
    "tale-when": 3.5,
    "tale-who": 2,
    "tale-said": 1.5,
    "tale-true": 1.5,
    "tale-what": 1.5,
    "tale-card": 2,
    "tale-why": 1,
    "tale-where": 1.2,
    "tale-title": 0.5,
}
FRESH_SEED = 3_000_017  # of test entries; the seeds of training are others
UNKNOWN_KIND = (
    "explaining"  # for entries of files that name no kind: one that only a reader can judge
)
WATCHED = 256  # so many entries tell the loss on unseen ones


@dataclass(frozen=True)
class InstructionSet:
    """Entries to learn from, to watch the loss on, and to test."""

    train: list
    validation: list
    test: list


def load_instructions(data="tales", made=None, fresh=None, seed=1):
    """An `InstructionSet` by its name: `tales`, `own`, `alpaca`, or the path of a JSON file.

    `made`: so many entries are made from `seed` and learned from, beside the data's own; `fresh`:
    so many new ones of each kind join the test. Raises FileNotFoundError and ValueError with one
    sentence that says what to do.
    """
    if data == "tales":
        made, fresh = TALES_MADE if made is None else made, 30 if fresh is None else fresh
        if not made:
            raise ValueError("the tales have nothing but made entries: made must be at least 1")
        entries, kinds = [], tuple(TALE_KINDS)
    else:
        made, fresh = made or 0, (5 if data == "own" else 0) if fresh is None else fresh
        entries, kinds = read_entries(data), MADE_KINDS
    train, validation, test = split(entries)
    if made:
        more = (
            made_about_tales(made, seed)
            if data == "tales"
            else made_for_training(made, seed, kinds)
        )
        train, validation = train + more[0], validation + more[1]
    test += fresh_entries(fresh, kinds) if fresh else []
    if not train or not test:
        raise ValueError(
            f"{data} has too few entries to learn from some and to test with others; give it more"
        )
    return InstructionSet(train, validation[:WATCHED], test)


def made_for_training(count, seed, kinds):
    """`count` entries to learn from, and those that fell to the validation while they were made."""
    if seed == FRESH_SEED:
        raise ValueError(f"the seed {FRESH_SEED} makes the test entries; learn from another one")
    train, validation, _ = split(make_entries(count * 100 // 84 + 100, seed, kinds))
    return train[:count], validation


def made_about_tales(count, seed):
    """`count` entries to learn from, in the shares of `WHOLE_TALES`, `ALONE` and `TALKED_ABOUT`,
    the questions about one tale beside each other; and entries of all kinds for the validation."""
    train, validation = (
        whole_tales(round(count * WHOLE_TALES), seed),
        made_for_training(20 * WATCHED, seed, TALE_KINDS)[1],
    )
    for kind, share in ALONE.items():
        train += made_for_training(round(count * share), seed, [kind])[0]
    rng = random.Random(f"{seed} talks")
    while len(train) < count:
        questions = [
            dict(zip(FIELDS, entry, strict=True)) for entry in talk(rng, TALKED_ABOUT, TALK_LENGTH)
        ]
        train += split(questions)[0]  # all or none of them: they share their source, the tale
    return train[:count], validation


def whole_tales(count, seed):
    """`count` changes to whole tales; no passage of them belongs to the validation or the test."""
    rng, found = random.Random(f"{seed} whole tales"), []
    while len(found) < count:
        kind = rng.choice(list(CHANGES))
        entry = dict(zip(FIELDS, (*CHANGES[kind](rng, whole_tale), kind), strict=True))
        if not any(split([entry, *passages_of(entry)])[1:]):
            found.append(entry)
    return found


def fresh_entries(count, kinds=tuple(TALE_KINDS), seed=FRESH_SEED):
    """`count` test entries of each of these kinds; no training part of any seed has their stories,
    texts or facts.

    A kind made of a small table may have fewer.
    """
    return [entry for kind in kinds for entry in fresh_of(kind, count, seed)]


def fresh_of(kind, count, seed):
    size, found = count, []
    while len(found) < count:
        try:
            found = split(make_entries(size, seed, [kind]))[2]
        except ValueError:  # nothing new is left to ask: what the last round brought must do
            break
        size *= 2
    return found[:count]


# --- Files ----------------------------------------------------------------------------------------


def read_entries(data):
    """The entries of `own`, `alpaca` or a JSON file, in which `input` and `kind` may be missing.

    Raises FileNotFoundError, or ValueError with one sentence that says what is wrong with which
    entry.
    """
    if data == "own":
        return load_entries()
    path = downloads.data_folder() / ALPACA_FILE if data == "alpaca" else Path(data).expanduser()
    if not path.is_file():
        advice = (
            "fetch it with: python gpt_download.py alpaca"
            if data == "alpaca"
            else "give tales, own, alpaca or a JSON file"
        )
        raise FileNotFoundError(f"there are no instructions at {path}; {advice}")
    entries = read_values(path)
    if (
        isinstance(entries, list)
        and entries
        and all(isinstance(entry, dict) and "kind" in entry for entry in entries)
    ):
        return load_entries(path)
    return plain_entries(entries, path)


def plain_entries(entries, path):
    """Entries without kinds: each one is checked, and one that says nothing or repeats another is
    left out.
    """
    if not isinstance(entries, list):
        raise ValueError(f"{path} must hold a list of entries, [{{…}}, {{…}}]")
    kept = {}
    for number, entry in enumerate(entries, start=1):
        if not isinstance(entry, dict) or not {"instruction", "output"} <= set(entry):
            raise ValueError(
                f"{path}, entry {number}: an entry has the fields instruction and output, and may "
                "have an input"
            )
        values = [entry.get(field, "") for field in FIELDS[:3]]
        if not all(isinstance(value, str) for value in values):
            raise ValueError(f"{path}, entry {number}: its fields must be strings")
        instruction, about, output = values
        if instruction.strip() and output.strip():
            kept.setdefault(
                (instruction, about), dict(zip(FIELDS, (*values, UNKNOWN_KIND), strict=True))
            )
    return list(kept.values())


# --- Scores ---------------------------------------------------------------------------------------


def wilson(right, total, z=1.96):
    """The 95 % interval of a share of which `right` of `total` were seen [Wilson 1927]: (low,
    high), between 0 and 1.

    Unlike share ± 1.96 standard errors it stays inside 0 … 1 and says something even of 30 right
    out of 30.

    >>> wilson(30, 30)
    (0.886..., 1.0)
    """
    if not 0 <= right <= total or total < 1:
        raise ValueError(f"{right} right out of {total} is no share")
    share, weight = right / total, z * z / total
    middle = (share + weight / 2) / (1 + weight)
    half = (z / (1 + weight)) * (share * (1 - share) / total + weight / (4 * total)) ** 0.5
    return max(0.0, middle - half), min(1.0, middle + half)


def score(entries, answers):
    """Exact score by kind: {kind: (right, total)} of the entries that can be graded, in the order
    of the kinds.
    """
    right, total = Counter(), Counter()
    for entry, answer in zip(entries, answers, strict=True):
        verdict = grade(entry, answer)
        if verdict is not None:
            right[entry["kind"]] += verdict
            total[entry["kind"]] += 1
    return {kind: (right[kind], total[kind]) for kind in KINDS if total[kind]}


def sum_of(scores):
    """(right, total) over all kinds of a `score`."""
    return sum(right for right, _ in scores.values()), sum(total for _, total in scores.values())
