"""Self-checks for the exercises of sliding-window-attention.ipynb.

How a check works is told in chapter 2's checks.py.
"""

import torch

from ch04_01_main_chapter_code.previous_chapters import (
    answer,
    exercise_check,
    hint,
    judge,
    predict,
    show_progress,
)

__all__ = ["answer", "hint", "predict", "show_progress"]  # for the notebook, with every check


def band(tokens, window, low=0, strict=True):
    back = torch.arange(tokens)[:, None] - torch.arange(tokens)
    return (back >= low) & (back < window if strict else back <= window)


WINDOW_MASK_MISTAKES = {
    "one token too many: the window counts the token itself": lambda t, w: band(t, w, strict=False),
    "one token too few: the window counts the token itself": lambda t, w: band(t, w - 1),
    "the token does not see itself": lambda t, w: band(t, w, low=1),
    "the future is not masked": lambda t, w: band(t, w, low=-t),
    "the window reaches into the future as far as into the past": lambda t, w: band(
        t, w, low=1 - w
    ),
    "this is plain causal attention, without a window": lambda t, w: band(t, t),
    "upside down: True where a token may look": lambda t, w: ~band(t, w),
    "turned over: the rows ask, the columns are looked at": lambda t, w: band(t, w).T,
    "these are blocks: each token looks back as far as its block begins": lambda t, w: (
        band(t, t) & (torch.arange(t)[:, None] // w == torch.arange(t) // w)
    ),
    "this sees the first `window` tokens, not the last": lambda t, w: (
        band(t, t) & (torch.arange(t) < w)
    ),
}


@exercise_check(
    "window_mask",
    hints=(
        "how many places may lie between the one who looks and the one who is looked at?",
        "for each pair count the steps back; none may be below zero, and they must be fewer than the "
        "window, which counts the token itself.",
        "`(back >= 0) & (back < window)`, with `back = torch.arange(tokens)[:, None] - torch.arange(tokens)`",
    ),
)
def check_window_mask(attempt):
    """window_mask(tokens, window): (tokens, tokens), True where a token may look."""
    judge(attempt, band, [(6, 3), (5, 1), (4, 9), (1, 2), (8, 4)], WINDOW_MASK_MISTAKES)


def held(length, window):
    slots = [None] * min(length, window)
    for position in range(length):
        slots[position % window] = position
    return slots


HELD_POSITIONS_MISTAKES = {
    "these are in the order of the text; the newest overwrites the oldest, where it lies": lambda n, w: (
        list(range(max(0, n - w), n))
    ),
    "nothing was overwritten: these are the first tokens": lambda n, w: list(range(min(n, w))),
    "all positions were kept": lambda n, w: list(range(n)),
    "these are the places in the cache; what lies there?": lambda n, w: [
        p % w for p in range(max(0, n - w), n)
    ],
    "the newest token is missing": lambda n, w: held(n - 1, w),
    "one token too many was read": lambda n, w: held(n + 1, w),
    "a cache that is not full yet has no places behind its tokens": lambda n, w: (
        held(n, w) + [None] * (w - min(n, w))
    ),
    "the list is turned round": lambda n, w: held(n, w)[::-1],
    "positions count from 0": lambda n, w: [p + 1 for p in held(n, w)],
    "everything was moved by one place each time; only one place changes": lambda n, w: list(
        range(n - 1, max(0, n - w) - 1, -1)
    ),
}


@exercise_check(
    "held_positions",
    hints=(
        "where does the token go that comes when all places are taken?",
        "every position has its place: what is left when it is divided by the window. Later ones "
        "overwrite earlier ones.",
        "`slots[position % window] = position`, position by position",
    ),
)
def check_held_positions(attempt):
    """held_positions(length, window): which positions lie in the places of a rolling cache."""
    judge(attempt, held, [(7, 3), (2, 5), (8, 4), (10, 7), (4, 3), (5, 5)], HELD_POSITIONS_MISTAKES)


REACH_MISTAKES = {
    "the token itself is one of the window: each layer reaches window − 1 back": lambda n, w: n * w,
    "this is one layer; each adds to what the one below has reached": lambda n, w: w - 1,
    "the reach does not multiply from layer to layer, it adds": lambda n, w: (w - 1) ** n,
    "the first layer reaches back, too": lambda n, w: (n - 1) * (w - 1),
    "this counts the token itself as well": lambda n, w: n * (w - 1) + 1,
    "the reach of each layer is window − 1, not window + 1": lambda n, w: n * (w + 1),
    "twice as far as it is: a token looks back, not ahead": lambda n, w: 2 * n * (w - 1),
    "layers and window are added; each layer adds window − 1": lambda n, w: n + w - 1,
    "half of the window: it lies behind the token, not around it": lambda n, w: n * ((w - 1) // 2),
}


@exercise_check(
    "reach",
    hints=(
        "how far does one layer look back, and from where does the next one look?",
        "each layer adds its own look back to what the layer below has brought; the token itself is "
        "no step.",
        "`n_layers * (window - 1)`",
    ),
)
def check_reach(attempt):
    """reach(n_layers, window): how many tokens back the last layer's output can know of."""
    judge(
        attempt,
        lambda n, w: n * (w - 1),
        [(2, 16), (12, 128), (1, 7), (3, 1), (5, 4)],
        REACH_MISTAKES,
    )
