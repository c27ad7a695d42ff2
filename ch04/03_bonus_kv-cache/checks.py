"""Self-checks for the exercises of kv-cache.ipynb.

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


def bytes_of_cache(layers, d, tokens, batch, size, pair=2, unit=10**6):
    return pair * layers * d * tokens * batch * size / unit


CACHE_MEGABYTES_MISTAKES = {
    "keys and values: two for each token": lambda *sizes: bytes_of_cache(*sizes, pair=1),
    "queries are not kept": lambda *sizes: bytes_of_cache(*sizes, pair=3),
    "each layer has keys and values of its own": lambda layers, *rest: bytes_of_cache(1, *rest),
    "each text of the batch has its own cache": lambda layers, d, tokens, batch, size: (
        bytes_of_cache(layers, d, tokens, 1, size)
    ),
    "each token leaves its keys and values": lambda layers, d, tokens, batch, size: bytes_of_cache(
        layers, d, 1, batch, size
    ),
    "these are bytes": lambda *sizes: bytes_of_cache(*sizes, unit=1),
    "these are kilobytes": lambda *sizes: bytes_of_cache(*sizes, unit=1000),
    "a megabyte is 10⁶ bytes here, not 2²⁰": lambda *sizes: bytes_of_cache(*sizes, unit=2**20),
    "the bytes of a number are missing": lambda *sizes: bytes_of_cache(*sizes[:4], 1),
    "the cache grows with the tokens, not with their square": lambda layers, d, tokens, batch, size: (
        bytes_of_cache(layers, d, tokens**2, batch, size)
    ),
}


@exercise_check(
    "cache_megabytes",
    hints=(
        "what does one token leave behind in one layer?",
        "two vectors as long as the embedding; multiply by layers, tokens, texts and the bytes of a "
        "number, and a megabyte is a million.",
        "`2 * n_layers * emb_dim * tokens * batch * bytes_per_number / 10**6`",
    ),
)
def check_cache_megabytes(attempt):
    """cache_megabytes(n_layers, emb_dim, tokens, batch, bytes_per_number): 10⁶ bytes each."""
    inputs = [(12, 768, 1024, 1, 4), (48, 1600, 700, 3, 2), (2, 8, 5, 7, 1)]
    judge(attempt, bytes_of_cache, inputs, CACHE_MEGABYTES_MISTAKES)


def seen(past, new, diagonal=None):
    return torch.ones(new, past + new, dtype=torch.bool).tril(
        past if diagonal is None else diagonal
    )


ALLOWED_MISTAKES = {
    "the diagonal must begin behind the past: with `tril()` alone the first new token sees one old "
    "token only": lambda past, new: seen(past, new, 0),
    "a token must see itself, too": lambda past, new: seen(past, new, past - 1),
    "one token too far: this sees the one that comes next": lambda past, new: seen(
        past, new, past + 1
    ),
    "the new tokens see the ones behind them as well": lambda past, new: seen(
        past, new, past + new
    ),
    "only the past is seen; the new tokens before it count, too": lambda past, new: (
        torch.arange(past + new).expand(new, -1) < past
    ),
    "the past is missing: the shape is (new, past + new)": lambda past, new: seen(0, new),
    "these are the rows of the past as well; only the new tokens ask": lambda past, new: seen(
        0, past + new
    ),
    "turned over: the rows ask, the columns are looked at": lambda past, new: seen(past, new).T,
    "upside down: True where a token may look": lambda past, new: ~seen(past, new),
    "only the new tokens are seen; the past counts, too": lambda past, new: (
        seen(past, new) & (torch.arange(past + new) >= past)
    ),
}


@exercise_check(
    "allowed",
    hints=(
        "how many columns does a row have, if some tokens are in the cache already?",
        "every new token sees all of the past, itself and the new ones before it; so the diagonal of "
        "a lower triangle is moved to the right, by the length of the past.",
        "`torch.ones(new, past + new, dtype=torch.bool).tril(past)`",
    ),
)
def check_allowed(attempt):
    """allowed(past, new): (new, past + new), True where a new token may look."""
    judge(attempt, seen, [(3, 2), (0, 4), (5, 1), (1, 3), (4, 7)], ALLOWED_MISTAKES)


def doubled(room, tokens, factor=2, begin=None):
    found = [room] if begin is None else begin
    while room < tokens:
        room *= factor
        found = [*found, room]
    return found


def grown_one_by_one(room, tokens):
    return list(range(room, max(room, tokens) + 1))


ROOMS_MISTAKES = {
    "the room that it starts with is missing": lambda room, tokens: doubled(room, tokens, begin=[]),
    "only the last room; return all": lambda room, tokens: doubled(room, tokens)[-1:],
    "a room that is just large enough is large enough": lambda room, tokens: doubled(
        room, tokens + 1
    ),
    "one more doubling than is needed": lambda room, tokens: [
        *doubled(room, tokens),
        2 * doubled(room, tokens)[-1],
    ],
    "the room grew by its first size, not by what it has now": lambda room, tokens: (
        list(range(room, tokens + room, room)) if tokens > room else [room]
    ),
    "one place more each time: then every token copies everything": grown_one_by_one,
    "the room was tripled": lambda room, tokens: doubled(room, tokens, factor=3),
    "the last room was cut down to what is needed; it stays a doubling": lambda room, tokens: [
        min(one, max(room, tokens)) for one in doubled(room, tokens)
    ],
    "this is how often it grew": lambda room, tokens: len(doubled(room, tokens)) - 1,
    "these are the sizes from the largest to the smallest": lambda room, tokens: doubled(
        room, tokens
    )[::-1],
}


@exercise_check(
    "rooms",
    hints=(
        "when is a room too small, and what becomes of it then?",
        "begin a list with the first size; as long as the newest entry cannot hold all tokens, append "
        "its double.",
        "`sizes.append(2 * sizes[-1])`, while the last of `sizes` is too small",
    ),
)
def check_rooms(attempt):
    """rooms(first, tokens): the sizes that a cache has had when it holds so many tokens."""
    judge(
        attempt, doubled, [(64, 1000), (64, 20), (3, 24), (1, 9), (5, 5), (4, 17)], ROOMS_MISTAKES
    )
