"""Self-checks for the exercises of baselines.ipynb.

How a check works is told in chapter 2's checks.py.
"""

import math

import torch

from ch06_01_main_chapter_code.previous_chapters import (
    answer,
    exercise_check,
    hint,
    judge,
    predict,
    show_progress,
    whole,
)

__all__ = ["answer", "hint", "predict", "show_progress"]  # for the notebook, with every check


def weigh(counts, rows=True, smooth=1, plus=1, log=math.log, use_counts=True, upside=False):
    texts, present = len(counts), (counts > 0).sum(dim=0)
    ratio = (smooth + texts) / (smooth + present)
    idf = torch.tensor([log(1 / float(r) if upside else float(r)) for r in ratio]) + plus
    weighted = (counts if use_counts else (counts > 0).float()) * idf
    return weighted / weighted.norm(dim=1, keepdim=True) if rows else weighted


TF_IDF_MISTAKES = {
    "the rows were not brought to length 1": lambda counts: weigh(counts, rows=False),
    "1 is missing behind the logarithm: a word in every text would weigh nothing": lambda counts: (
        weigh(counts, plus=0)
    ),
    "1 is missing above and below the line": lambda counts: weigh(counts, smooth=0),
    "the logarithm is missing": lambda counts: weigh(counts, log=lambda ratio: ratio),
    "the logarithm has another base; ln is asked for": lambda counts: weigh(counts, log=math.log2),
    "upside down: a word in few texts weighs more": lambda counts: weigh(counts, upside=True),
    "how often a word stands in the text was forgotten": lambda counts: weigh(
        counts, use_counts=False
    ),
    "the weight counts texts that have the word, not how often they have it": lambda counts: (
        weigh_by_total(counts)
    ),
    "the rows sum to 1 here; their length is to be 1": lambda counts: (
        weigh(counts, rows=False) / weigh(counts, rows=False).sum(dim=1, keepdim=True)
    ),
    "the columns were brought to length 1; the rows are texts": lambda counts: (
        weigh(counts, rows=False) / weigh(counts, rows=False).norm(dim=0, keepdim=True)
    ),
}


def weigh_by_total(counts):
    weighted = counts * (((1 + len(counts)) / (1 + counts.sum(dim=0))).log() + 1)
    return weighted / weighted.norm(dim=1, keepdim=True)


@exercise_check(
    "tf_idf",
    hints=(
        "which words say more about a text: those in all texts, or those in few?",
        "for each word count the texts that have it; the rarer, the more it weighs, by a logarithm, plus "
        "one; multiply the counts by it, and bring every text to length one.",
        "`((1 + len(counts)) / (1 + (counts > 0).sum(dim=0))).log() "
        "+ 1`, then multiply and divide by the norm",
    ),
)
def check_tf_idf(attempt):
    """tf_idf(counts): (texts, words) to the same shape, rows of length 1."""
    inputs = []
    for seed, (texts, words) in enumerate([(4, 3), (3, 6), (7, 5)]):
        counts = whole(seed, 0, 4, texts, words).float()
        counts[:, 0] += 1  # a word in every text, so that no row is empty
        inputs.append((counts,))
    inputs.append((torch.tensor([[2.0, 1.0, 3.0]]),))
    judge(attempt, weigh, inputs, TF_IDF_MISTAKES)


def pieces_of(word, low, high, pad=" "):
    word = f"{pad}{word}{pad}"
    return [
        word[start : start + size]
        for size in range(low, high + 1)
        for start in range(len(word) - size + 1)
    ]


PIECES_MISTAKES = {
    "the spaces at both ends are missing: they tell a beginning from a middle": lambda w, low, high: (
        pieces_of(w, low, high, "")
    ),
    "the longest pieces are missing: up to `high`, which counts": lambda w, low, high: pieces_of(
        w, low, high - 1
    ),
    "the shortest pieces are missing: from `low` on": lambda w, low, high: pieces_of(
        w, low + 1, high
    ),
    "the last piece of each length is missing": lambda w, low, high: [
        piece for size in range(low, high + 1) for piece in pieces_of(w, size, size)[:-1]
    ],
    "pieces at the end that are too short were kept": lambda w, low, high: [
        f" {w} "[start : start + size]
        for size in range(low, high + 1)
        for start in range(len(w) + 2)
    ],
    "a piece that comes twice counts twice": lambda w, low, high: list(
        dict.fromkeys(pieces_of(w, low, high))
    ),
    "the short ones come first: all of one length, then the next": lambda w, low, high: sorted(
        pieces_of(w, low, high), key=lambda piece: -len(piece)
    ),
    "the pieces do not overlap here; each begins one letter behind the last": lambda w, low, high: [
        f" {w} "[start : start + size]
        for size in range(low, high + 1)
        for start in range(0, len(w) + 2 - size + 1, size)
    ],
    "only the first length was used": lambda w, low, high: pieces_of(w, low, low),
    "only the last length was used": lambda w, low, high: pieces_of(w, high, high),
}


@exercise_check(
    "pieces",
    hints=(
        "how many pieces of three letters are there in a word of five?",
        "put a space at both ends; for every length from the smallest to the largest slide along, letter "
        "by letter, as long as a whole piece fits.",
        "`word[start : start + size]`, for every `size` and every `start` up to `len(word) - size`",
    ),
)
def check_pieces(attempt):
    """pieces(word, low, high): the pieces of letters of a word with a space at both ends, in order."""
    inputs = [("prize", 3, 5), ("banana", 2, 4), ("win", 3, 4), ("aa", 1, 3), ("now", 2, 3)]
    judge(attempt, pieces_of, inputs, PIECES_MISTAKES)


def most(labels):
    return max(labels.count(one) for one in labels) / len(labels)


MAJORITY_MISTAKES = {
    "class 0 is not always the most frequent one": lambda labels: labels.count(0) / len(labels),
    "class 1 is not always the most frequent one": lambda labels: labels.count(1) / len(labels),
    "this is the most frequent class; how often is it right?": lambda labels: max(
        labels, key=labels.count
    ),
    "this is how many; divide by all": lambda labels: float(max(map(labels.count, labels))),
    "this is the rarest class": lambda labels: min(map(labels.count, labels)) / len(labels),
    "this is a guess by dice": lambda labels: 1 / len(set(labels)),
    "this is how often it is wrong": lambda labels: 1 - most(labels),
    "this guesses by the shares; always the most frequent is right more often": lambda labels: sum(
        (labels.count(one) / len(labels)) ** 2 for one in set(labels)
    ),
    "this is per cent": lambda labels: 100 * most(labels),
}


@exercise_check(
    "majority_accuracy",
    hints=(
        "how often is one right who never reads and always says the same?",
        "count every class, and take the largest count over the number of texts.",
        "`max(labels.count(label) for label in labels) / len(labels)`",
    ),
)
def check_majority_accuracy(attempt):
    """majority_accuracy(labels): how often the most frequent class is right; labels in a list."""
    inputs = [([0, 0, 1, 0],), ([1, 1, 0, 2, 1, 2, 0],), ([2],), ([1, 0],), ([2, 2, 1, 2, 0, 0],)]
    judge(attempt, most, inputs, MAJORITY_MISTAKES)
