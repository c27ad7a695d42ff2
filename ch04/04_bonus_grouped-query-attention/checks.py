"""Self-checks for the exercises of grouped-query-attention.ipynb.

How a check works is told in chapter 2's checks.py.
"""

from ch04_01_main_chapter_code.previous_chapters import (
    answer,
    exercise_check,
    hint,
    judge,
    normal,
    predict,
    show_progress,
)

__all__ = ["answer", "hint", "predict", "show_progress"]  # for the notebook, with every check


def grouped_parameters(d, heads, kv, pairs=2, outer=2):
    return outer * d * d + pairs * d * (d // heads) * kv


ATTENTION_PARAMETERS_MISTAKES = {
    "every head has keys and values of its own here; a group shares them": lambda d, heads, kv: (
        4 * d * d
    ),
    "keys *and* values: two narrow matrices": lambda *sizes: grouped_parameters(*sizes, pairs=1),
    "the projection behind the attention is missing": lambda *sizes: grouped_parameters(
        *sizes, outer=1
    ),
    "queries and projection are missing": lambda *sizes: grouped_parameters(*sizes, outer=0),
    "the queries are shared, too, here; every head keeps its own": lambda d, heads, kv: (
        d * d + 3 * d * (d // heads) * kv
    ),
    "kv heads of width emb_dim were counted; a head is emb_dim / n_heads wide": lambda d, heads, kv: (
        2 * d * d + 2 * d * d * kv
    ),
    "the width of a head was divided by the key heads; it is emb_dim / n_heads": lambda d, heads, kv: (
        2 * d * d + 2 * d * (d // kv)
    ),
    "this is the share of the usual number": lambda *sizes: (
        grouped_parameters(*sizes) / (4 * sizes[0] ** 2)
    ),
}


@exercise_check(
    "attention_parameters",
    hints=(
        "which two of the four matrices get narrower when heads share?",
        "queries and the projection stay square; keys and values have one head's width for each "
        "head that is left.",
        "`2 * emb_dim**2 + 2 * emb_dim * (emb_dim // n_heads) * n_kv_heads`",
    ),
)
def check_attention_parameters(attempt):
    """attention_parameters(emb_dim, n_heads, n_kv_heads): without biases, a whole number."""
    inputs = [(1600, 25, 5), (1600, 25, 1), (64, 4, 4), (48, 6, 2)]
    judge(attempt, grouped_parameters, inputs, ATTENTION_PARAMETERS_MISTAKES)


PARTNER_OF_MISTAKES = {
    "the partners go round and round here, as `repeat` "
    "makes them; neighbours form a group": lambda h, n, kv: h % kv,
    "divided by the number of key heads; divide by the size of a group": lambda h, n, kv: h // kv,
    "this is the head's place within its group": lambda h, n, kv: h % (n // kv),
    "partners count from 0": lambda h, n, kv: h // (n // kv) + 1,
    "this is no whole number: `//`": lambda h, n, kv: h / (n // kv),
    "the groups are numbered backwards": lambda h, n, kv: kv - 1 - h // (n // kv),
    "every head has a partner of its own here": lambda h, n, kv: h,
    "all heads have the same partner here": lambda h, n, kv: 0,
    "this is the first query head of the group": lambda h, n, kv: h // (n // kv) * (n // kv),
    "this is the size of a group": lambda h, n, kv: n // kv,
}


@exercise_check(
    "partner_of",
    hints=(
        "how many neighbours share one key head?",
        "the heads are cut into groups of equal size, in order; count how many whole groups lie before "
        "this head.",
        "`head // (n_heads // n_kv_heads)`",
    ),
)
def check_partner_of(attempt):
    """partner_of(head, n_heads, n_kv_heads): the number of the key/value head that it uses."""
    inputs = [(head, 12, 4) for head in (0, 2, 3, 7, 11)] + [
        (5, 8, 8),
        (5, 8, 1),
        (9, 10, 2),
        (3, 6, 3),
    ]
    judge(attempt, lambda head, n, kv: head // (n // kv), inputs, PARTNER_OF_MISTAKES)


def interleaved(keys, heads):
    return keys.repeat_interleave(heads // keys.shape[1], dim=1)


REPEAT_HEADS_MISTAKES = {
    "`repeat` gives the order 0, 1, 0, 1; neighbours belong together, 0, 0, 1, 1": lambda k, n: (
        k.repeat(1, n // k.shape[1], 1, 1)
    ),
    "the tokens were repeated, not the heads": lambda k, n: k.repeat_interleave(
        n // k.shape[1], dim=2
    ),
    "the texts were repeated, not the heads": lambda k, n: k.repeat_interleave(
        n // k.shape[1], dim=0
    ),
    "the numbers of a head were repeated, not the heads": lambda k, n: k.repeat_interleave(
        n // k.shape[1], dim=3
    ),
    "each head was repeated n_heads times; a group has n_heads / n_kv_heads": lambda k, n: (
        k.repeat_interleave(n, dim=1)
    ),
    "nothing was repeated": lambda k, n: k,
    "only the first head was repeated": lambda k, n: k[:, :1].expand(-1, n, -1, -1),
    "the groups keep an axis of their own; join it with that of the heads": lambda k, n: k[
        :, :, None
    ].expand(-1, -1, n // k.shape[1], -1, -1),
    "the heads come in the opposite order": lambda k, n: interleaved(k.flip(1), n),
}


@exercise_check(
    "repeat_heads",
    hints=(
        "which axis grows, and in which order do the copies stand?",
        "each key head is copied for its whole group, and the copies stand side by side.",
        "`keys.repeat_interleave(n_heads // keys.shape[1], dim=1)`",
    ),
)
def check_repeat_heads(attempt):
    """repeat_heads(keys, n_heads): (batch, n_kv_heads, tokens, head_dim) to (batch, n_heads, …)."""
    shapes = [((2, 3, 5, 4), 6), ((1, 2, 3, 5), 8), ((3, 4, 2, 6), 4), ((2, 1, 4, 3), 5)]
    inputs = [(normal(seed, *shape), heads) for seed, (shape, heads) in enumerate(shapes)]
    judge(attempt, interleaved, inputs, REPEAT_HEADS_MISTAKES)
