"""Self-checks for the exercises of bytepair-encoder.ipynb. How a check works is told in chapter 2's
checks.py.
"""

import random

from ch02_01_main_chapter_code.checks import (
    answer,
    exercise_check,
    hint,
    judge,
    predict,
    show_progress,
)

__all__ = ["answer", "hint", "predict", "show_progress"]  # for the notebook, with every check


def ranked_pairs(tokens, ranks):
    return [pair for pair in zip(tokens, tokens[1:], strict=False) if pair in ranks]


def next_pair(tokens, ranks):
    return min(ranked_pairs(tokens, ranks), key=ranks.get, default=())


def most_frequent(tokens, ranks):
    pairs = ranked_pairs(tokens, ranks)
    return max(pairs, key=lambda pair: (pairs.count(pair), -ranks[pair]), default=())


NEXT_MERGE_MISTAKES = {
    "the pair that was learned last was taken; the smallest rank comes first": lambda tokens, ranks: (
        max(ranked_pairs(tokens, ranks), key=ranks.get, default=())
    ),
    "the first pair of the word was taken; the one that was learned first comes first": lambda tokens, ranks: (
        next(iter(ranked_pairs(tokens, ranks)), ())
    ),
    "the last pair of the word was taken; the one that was learned first comes first": lambda tokens, ranks: (
        next(reversed(ranked_pairs(tokens, ranks)), ())
    ),
    "the most frequent pair was taken; that is how merges are learned, here they are used": most_frequent,
    "the pair that is smallest as bytes was taken; the smallest rank comes first": lambda tokens, ranks: (
        min(ranked_pairs(tokens, ranks), default=())
    ),
    "this is the rank of the pair; the pair itself is asked for": lambda tokens, ranks: ranks.get(
        next_pair(tokens, ranks), ()
    ),
    "this is the glued token; the pair (left, right) is asked for": lambda tokens, ranks: b"".join(
        next_pair(tokens, ranks)
    ),
    "a word without any learned pair gives ()": lambda tokens, ranks: min(
        ranked_pairs(tokens, ranks), key=ranks.get
    ),
    "a pair that was never learned was taken; it cannot be merged": lambda tokens, ranks: min(
        zip(tokens, tokens[1:], strict=False), key=lambda pair: ranks.get(pair, -1), default=()
    ),
}


@exercise_check(
    "next_merge",
    hints=(
        "of all neighbours in the word, which were ever learned, and which of them first?",
        "look at the pairs of neighbours that have a rank, and take the one whose rank is the "
        "smallest; a word without such a pair is done.",
        "`min(pairs, key=ranks.get, default=())`",
    ),
)
def check_next_merge(attempt):
    """next_merge(tokens, ranks): the pair of neighbours with the smallest rank, ."""
    ranks = {(b"o", b"o"): 3, (b"m", b"o"): 1, (b"o", b"n"): 0, (b"a", b"b"): 2, (b"z", b"a"): 4}
    rng = random.Random(1)
    words = [b"moon", b"xyz", b"ooo", b"zaboooo"] + [
        bytes(rng.choices(b"moonzabx", k=8)) for _ in range(4)
    ]
    inputs = [([bytes([byte]) for byte in word], ranks) for word in words]
    judge(attempt, next_pair, inputs, NEXT_MERGE_MISTAKES)


def first_difference(mine, theirs):
    """Where the shorter list ends, if they are equal until then."""
    pairs = enumerate(zip(mine, theirs, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(mine), len(theirs)))


SAME_UNTIL_MISTAKES = {
    "this counts all places that agree; after the first difference nothing counts": lambda mine, theirs: (
        sum(a == b for a, b in zip(mine, theirs, strict=False))
    ),
    "these are the merges that both have, wherever they stand": lambda mine, theirs: len(
        set(mine) & set(theirs)
    ),
    "one too many: the merge that differs does not count": lambda mine, theirs: (
        first_difference(mine, theirs) + 1
    ),
    "one too few: places count from 0, so the first that differs is how many are equal": lambda mine, theirs: (
        first_difference(mine, theirs) - 1
    ),
    "two lists that differ nowhere are equal to the end of the shorter one": lambda mine, theirs: (
        next(i for i, (a, b) in enumerate(zip(mine, theirs, strict=False)) if a != b)
    ),
    "a shorter list ends the comparison, and not with an IndexError": lambda mine, theirs: next(
        (i for i in range(len(mine)) if mine[i] != theirs[i]), len(mine)
    ),
    "where one list is longer, only the shorter one can agree": lambda mine, theirs: next(
        (i for i, (a, b) in enumerate(zip(mine, theirs, strict=False)) if a != b),
        max(len(mine), len(theirs)),
    ),
    "the pairs were compared without their order": lambda mine, theirs: first_difference(
        [set(pair) for pair in mine], [set(pair) for pair in theirs]
    ),
    "only the left parts were compared": lambda mine, theirs: first_difference(
        [pair[0] for pair in mine], [pair[0] for pair in theirs]
    ),
}


@exercise_check(
    "same_until",
    hints=(
        "what happens to everything behind the first difference?",
        "walk along both lists together and stop at the first place where they differ; where they "
        "differ nowhere, the shorter one's length is the answer.",
        "`next((i for i, (a, b) in enumerate(zip(mine, theirs)) if a != b), min(len(mine), "
        "len(theirs)))`",
    ),
)
def check_same_until(attempt):
    """same_until(mine, theirs): how many merges two lists share before the first that differs."""
    merges = [("t", "h"), ("h", "e"), ("a", "n"), ("o", "o"), ("m", "oo"), ("oo", "n")]
    inputs = [
        (merges, merges[:3] + [("x", "y")] + merges[4:]),
        (merges, merges[:4]),
        (merges[:2], merges),
        (merges, merges),
        (merges, merges[1:] + merges[:1]),
        (merges, merges[:2] + [("n", "a")] + merges[3:]),
        (merges, merges[:1] + [("h", "o")] + merges[2:]),
        (merges[:1], merges[:1]),
    ]
    judge(attempt, first_difference, inputs, SAME_UNTIL_MISTAKES)


def longest_first(text, vocab, longest=max):
    pieces, start = [], 0
    while start < len(text):
        ends = [end for end in range(start + 1, len(text) + 1) if text[start:end] in vocab]
        end = longest(ends)
        pieces.append(text[start:end])
        start = end
    return pieces


def longest_from_the_end(text, vocab):
    backwards = longest_first(text[::-1], {piece[::-1] for piece in vocab})
    return [piece[::-1] for piece in reversed(backwards)]


def longest_anywhere(text, vocab):
    """The longest piece of the whole text first, then what is left and right of it."""
    if not text:
        return []
    pieces = [piece for piece in vocab if piece in text]
    best = max(pieces, key=lambda piece: (len(piece), piece))
    left, right = text.split(best, 1)
    return [*longest_anywhere(left, vocab), best, *longest_anywhere(right, vocab)]


LONGEST_PIECES_MISTAKES = {
    "the shortest piece was taken each time; take the longest": lambda text, vocab: longest_first(
        text, vocab, longest=min
    ),
    "the pieces were sought from the end of the text; begin at its start": longest_from_the_end,
    "the longest piece anywhere in the text was cut out first; go from left to right": longest_anywhere,
    "only the first piece came back; go on behind it": lambda text, vocab: longest_first(
        text, vocab
    )[:1],
    "these are ids of a set; the pieces themselves are asked for": lambda text, vocab: [
        sorted(vocab).index(piece) for piece in longest_first(text, vocab)
    ],
    "this counts the pieces; list them": lambda text, vocab: len(longest_first(text, vocab)),
    "pieces that come again were left out": lambda text, vocab: list(
        dict.fromkeys(longest_first(text, vocab))
    ),
    "the pieces were sorted; they stand in the order of the text": lambda text, vocab: sorted(
        longest_first(text, vocab)
    ),
    "after a piece the next one was sought one letter on; begin behind its end": lambda text, vocab: [
        longest_first(text[start:], vocab)[0] for start in range(len(text))
    ],
}


@exercise_check(
    "longest_pieces",
    hints=(
        "which pieces can begin at the first letter, and where does the next one begin?",
        "from the left, take the longest stretch that the vocabulary has, and go on right behind "
        "it, until the text is used up.",
        "`end = max(end for end in range(start + 1, len(text) + 1) if text[start:end] in vocab)`",
    ),
)
def check_longest_pieces(attempt):
    """longest_pieces(text, vocab): cut from the left, always the longest piece that `vocab` has."""
    vocab = {*"aehmnorst", "mo", "moo", "moon", "oo", "on", "the", "he", "eat", "theat"}
    words = [
        "moon",
        "themoon",
        "heat",
        "theatre",
        "moooon",
        "a",
        "",
        "onmoon",
        "mootheat",
        "moonmoon",
    ]
    judge(attempt, longest_first, [(word, vocab) for word in words], LONGEST_PIECES_MISTAKES)
