"""Self-checks for the exercises of dataset-utilities.ipynb.

How a check works is told in chapter 2's checks.py.
"""

from ch07_01_main_chapter_code.previous_chapters import (
    answer,
    exercise_check,
    hint,
    judge,
    predict,
    show_progress,
)

__all__ = ["answer", "hint", "predict", "show_progress"]  # for the notebook, with every check


def cut(text, width, words=True, low=True, room=0):
    parts = (text.lower() if low else text).split() if words else list(text.lower())
    if len(parts) < width:
        return {tuple(parts)}
    return {tuple(parts[n : n + width]) for n in range(len(parts) - width + 1 + room)}


SHINGLES_MISTAKES = {
    "capitals count here; make the text small": lambda text, width: cut(text, width, low=False),
    "these are pieces of letters; a shingle has words": lambda text, width: cut(
        text, width, words=False
    ),
    "the last shingle is missing": lambda text, width: cut(text, width, room=-1),
    "shingles at the end that are too short were kept": lambda text, width: cut(
        text, width, room=width - 1
    ),
    "a text shorter than a shingle is one shingle, not none": lambda text, width: (
        cut(text, width) if len(text.split()) >= width else set()
    ),
    "these are the words; a shingle has `width` of them": lambda text, width: cut(text, 1),
    "the shingles do not overlap here; each begins one word behind the last": lambda text, width: {
        tuple(text.lower().split()[n : n + width])
        for n in range(0, max(1, len(text.split()) - width + 1), width)
    },
    "one word too many in each": lambda text, width: cut(text, width + 1),
    "a set holds each shingle once; this is a list": lambda text, width: sorted(cut(text, width)),
    "each shingle is a tuple of words, not a string": lambda text, width: {
        " ".join(one) for one in cut(text, width)
    },
}


@exercise_check(
    "word_runs",
    hints=(
        "how many runs of three neighbours are there in a text of five words?",
        "small letters, then words; every run of neighbours as a tuple, in a set. A text that is too short "
        "is a run of its own.",
        "`{tuple(words[n : n + width]) for n in range(max(1, len(words) - width + 1))}`, with the `words`",
    ),
)
def check_word_runs(attempt):
    """word_runs(text, width): the set of all runs of `width` words, in small letters."""
    inputs = [("Write the plural of the word", 3), ("the fox the fox the fox", 2), ("Say hello", 4)]
    inputs += [("one two THREE", 3), ("Owl", 1), ("a b c d e f g", 4)]
    judge(attempt, cut, inputs, SHINGLES_MISTAKES)


def overlap(a, b):
    return len(a & b) / len(a | b) if a | b else 1.0


JACCARD_MISTAKES = {
    "divided by the larger of the two; divide by all that is in either": lambda a, b: (
        len(a & b) / max(len(a), len(b)) if a | b else 1.0
    ),
    "divided by the smaller of the two; divide by all that is in either": lambda a, b: (
        len(a & b) / max(1, min(len(a), len(b))) if a | b else 1.0
    ),
    "divided by both numbers together, which counts what they share twice": lambda a, b: (
        len(a & b) / (len(a) + len(b)) if a | b else 1.0
    ),
    "this is Dice's number, twice the shared over both": lambda a, b: (
        2 * len(a & b) / (len(a) + len(b)) if a | b else 1.0
    ),
    "this is the distance; 1 minus it is asked for": lambda a, b: 1 - overlap(a, b),
    "this is how many they share; divide by all that is in either": lambda a, b: float(len(a & b)),
    "two empty sets are the same, 1.0": lambda a, b: overlap(a, b) if a | b else 0.0,
    "of two empty sets this divides by zero; they are the same, 1.0": lambda a, b: (
        len(a & b) / len(a | b)
    ),
    "the shared ones are missing below the line": lambda a, b: (
        len(a & b) / max(1, len(a ^ b)) if a | b else 1.0
    ),
    "divided by the first set; divide by all that is in either": lambda a, b: (
        len(a & b) / max(1, len(a)) if a | b else 1.0
    ),
    "upside down": lambda a, b: len(a | b) / max(1, len(a & b)) if a | b else 1.0,
}


@exercise_check(
    "set_overlap",
    hints=(
        "which share of all that is in either of them is in both?",
        "the number of what they share, over the number of what they have together, each thing counted "
        "once; where nothing is in either, they are the same.",
        "`len(a & b) / len(a | b)`, and 1.0 where both are empty",
    ),
)
def check_set_overlap(attempt):
    """set_overlap(a, b): how alike two sets are, from 0 to 1."""
    inputs = [
        ({1, 2, 3}, {2, 3, 4, 5}),
        ({"a"}, {"a"}),
        ({1, 2}, {3}),
        (set(), {4}),
        (set(), set()),
    ]
    inputs += [({1, 2, 3, 4, 5}, {5, 1})]
    judge(attempt, overlap, inputs, JACCARD_MISTAKES)


def meeting(similarity, bands, rows):
    return 1 - (1 - similarity**rows) ** bands


CHANCE_OF_MEETING_MISTAKES = {
    "bands and rows are exchanged": lambda s, bands, rows: meeting(s, rows, bands),
    "this is one band; one of several is enough": lambda s, bands, rows: s**rows,
    "this is the chance that all bands are equal; one is enough": lambda s, bands, rows: (
        s ** (rows * bands)
    ),
    "this is the chance that they never meet": lambda s, bands, rows: 1 - meeting(s, bands, rows),
    "the chances of the bands were added, which can be more than 1": lambda s, bands, rows: (
        bands * s**rows
    ),
    "one equal row is enough here; a whole band must be equal": lambda s, bands, rows: (
        1 - (1 - s) ** (bands * rows)
    ),
    "the rows multiply the similarity; they are its power": lambda s, bands, rows: (
        1 - (1 - s * rows) ** bands
    ),
    "one equal row in each band is enough here, but in all bands": lambda s, bands, rows: (
        (1 - (1 - s) ** rows) ** bands
    ),
    "the mean number of equal rows": lambda s, bands, rows: s * bands * rows,
}


@exercise_check(
    "chance_of_meeting",
    hints=(
        "when do two texts fail to meet in all of the bands?",
        "a band is equal if all its rows are, which is a power; not equal is one minus that; and they "
        "never meet if no band is.",
        "`1 - (1 - similarity**rows) ** bands`",
    ),
)
def check_chance_of_meeting(attempt):
    """chance_of_meeting(similarity, bands, rows): that two texts are equal in at least one band."""
    inputs = [(0.8, 16, 4), (0.3, 16, 4), (0.5, 1, 3), (0.9, 5, 1), (1.0, 3, 2), (0.6, 2, 7)]
    judge(attempt, meeting, inputs, CHANCE_OF_MEETING_MISTAKES)
