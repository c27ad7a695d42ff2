"""Self-checks for the exercises of chapter 3. How a check works is told in chapter 2's checks.py.

Each check has a reference, random inputs of several shapes, and the typical mistakes with the code
that makes them.
"""

import copy

import torch

from ch03_01_main_chapter_code.previous_chapters import (
    Mistake,
    difference,
    exercise_check,
    judge,
    normal,
    sizes,
)


def softmax(scores, dim=-1):
    return torch.softmax(scores, dim)


def future(tokens, diagonal=1):
    """(tokens, tokens), True where a token looks ahead."""
    return torch.ones(tokens, tokens, dtype=torch.bool).triu(diagonal)


def causal(scores):
    return softmax(scores.masked_fill(future(scores.shape[-1]), -torch.inf))


@exercise_check("context_vectors")
def check_context_vectors(attempt):
    """context_vectors(x): softmax(x xᵀ) x, (tokens, emb_dim)."""
    inputs = [(normal(seed, *sizes(seed, 2)),) for seed in range(4)]
    mistakes = {
        "there is no softmax: the weights are the raw scores, and rows do not sum to 1": lambda x: (
            x @ x.T @ x
        ),
        "the softmax went down the columns, or the weights were transposed; each row, one word "
        "that looks, must sum to 1": lambda x: softmax(x @ x.T, dim=0) @ x,
        "the scores were divided by their sum, which fails for negative scores: use the softmax": lambda x: (
            x @ x.T / (x @ x.T).sum(dim=-1, keepdim=True) @ x
        ),
        "all weights are equal: this is the plain average": lambda x: x.mean(dim=0).expand_as(x),
        "these are the weights; the product `weights @ x` is missing": lambda x: softmax(x @ x.T),
        "these are the scores; the softmax and the product with x are missing": lambda x: x @ x.T,
        "the scores are numbers times numbers of the same place; a dot product also adds them up": lambda x: (
            softmax(x * x) * x
        ),
        "the scores are divided by √d already; here they are plain dot products, the scale "
        "comes in section 3": lambda x: softmax(x @ x.T / x.shape[-1] ** 0.5) @ x,
    }
    judge(attempt, lambda x: softmax(x @ x.T) @ x, inputs, mistakes)


@exercise_check("scaled_scores")
def check_scaled_scores(attempt):
    """scaled_scores(queries, keys): q · k / √d for all pairs, (tokens, keys)."""
    inputs = []
    for seed in range(4):
        tokens, keys, d = sizes(seed, 3)
        inputs.append((normal(seed, tokens, d), normal(seed + 10, keys, d)))

    def scores(q, k):
        return q @ k.T / q.shape[-1] ** 0.5

    mistakes = {
        "the scores are not divided by √d": lambda q, k: q @ k.T,
        "divided by d, not by its square root (or by √d twice)": lambda q, k: q @ k.T / q.shape[-1],
        "multiplied by √d, not divided": lambda q, k: q @ k.T * q.shape[-1] ** 0.5,
        "divided by the square root of the number of keys; d is the length of one vector": lambda q, k: (
            q @ k.T / len(k) ** 0.5
        ),
        "divided by the square root of the number of tokens; d is the length of one vector": lambda q, k: (
            q @ k.T / len(q) ** 0.5
        ),
        "rows and columns are exchanged: a row belongs to a query, a column to a key": lambda q, k: (
            scores(q, k).T
        ),
        "this is the softmax already; only the scores are asked for": lambda q, k: softmax(
            scores(q, k)
        ),
        "`queries * keys` multiplies number by number; all pairs come from `queries @ keys.T`": lambda q, k: (
            q * k / q.shape[-1] ** 0.5
        ),
    }
    judge(attempt, scores, inputs, mistakes)


@exercise_check("causal_weights")
def check_causal_weights(attempt):
    """causal_weights(scores): mask, then softmax, (batch, tokens, tokens)."""
    inputs = []
    for seed in range(4):
        batch, tokens = sizes(seed, 2, low=3)
        inputs.append((normal(seed, batch, tokens, tokens),))

    def masked_with(mask, value=-torch.inf):
        return lambda scores: softmax(scores.masked_fill(mask(scores.shape[-1]), value))

    mistakes = {
        "the mask was applied after the softmax: rows no longer sum to 1": lambda scores: softmax(
            scores
        ).masked_fill(future(scores.shape[-1]), 0),
        "the mask was applied after the softmax, and with -inf: weights must not be "
        "negative": lambda scores: softmax(scores).masked_fill(
            future(scores.shape[-1]), -torch.inf
        ),
        "the future was set to 0, not to -inf: e^0 is 1, so it keeps its weight": masked_with(
            future, 0
        ),
        "the past was masked, not the future: the mask is True above the diagonal, "
        "`triu(diagonal=1)`": masked_with(lambda tokens: future(tokens).T),
        "the past and the word itself were masked, not the future: the mask is upside down": masked_with(
            lambda tokens: ~future(tokens)
        ),
        "the diagonal was masked too: a word may look at itself, and the first one has nobody "
        "else, hence nan": masked_with(lambda tokens: future(tokens, diagonal=0)),
        "nothing was masked: every word sees the future": softmax,
        "the mask begins one place too late: each word still sees the next one": masked_with(
            lambda tokens: future(tokens, diagonal=2)
        ),
        "the softmax went down the columns; it must go along the words looked at (dim=-1)": lambda scores: (
            softmax(scores.masked_fill(future(scores.shape[-1]), -torch.inf), dim=-2)
        ),
        "the softmax went over the batch; it must go along the words looked at (dim=-1)": lambda scores: (
            softmax(scores.masked_fill(future(scores.shape[-1]), -torch.inf), dim=0)
        ),
        "these are the masked scores; the softmax is missing": lambda scores: scores.masked_fill(
            future(scores.shape[-1]), -torch.inf
        ),
    }
    judge(attempt, causal, inputs, mistakes)


def is_random(attempt, arguments):
    """True if two calls with the same arguments give different results."""
    try:
        first, second = (attempt(*copy.deepcopy(arguments)) for _ in range(2))
    except Exception:
        return False  # `judge` calls it again, and tells the error
    return difference(first, second) is not None


@exercise_check("apply_dropout")
def check_apply_dropout(attempt):
    """apply_dropout(weights, keep, drop_rate): drop where keep is False, enlarge the rest."""
    inputs = []
    for seed, drop_rate in enumerate((0.4, 0.1, 0.75, 0.0)):
        weights = softmax(normal(seed, *sizes(seed, 2, low=3)))
        keep = normal(seed + 10, *weights.shape) > drop_rate - 0.5
        keep[:, 0] = True
        inputs.append((weights, keep if drop_rate else torch.ones_like(keep), drop_rate))
    if is_random(attempt, (softmax(normal(4, 20, 20)), normal(5, 20, 20) > 0, 0.5)):
        raise Mistake(
            "called twice with the same inputs it gives two results: use `keep`; the dice are thrown already."
        )

    mistakes = {
        "the weights that are kept must grow by 1 / (1 - drop_rate), or a row is too small "
        "on average": lambda weights, keep, rate: weights * keep,
        "divided by drop_rate; what is kept is the share 1 - drop_rate": lambda weights, keep, rate: (
            weights * keep / torch.tensor(rate)
        ),
        "multiplied by 1 - drop_rate, not divided": lambda weights, keep, rate: (
            weights * keep * (1 - rate)
        ),
        "keep is upside down: True means that the weight stays": lambda weights, keep, rate: (
            weights * ~keep / (1 - rate)
        ),
        "each row was made to sum to 1 again; dropout enlarges all weights alike, by 1 / (1 - "
        "drop_rate)": lambda weights, keep, rate: (
            weights * keep / (weights * keep).sum(dim=-1, keepdim=True)
        ),
        "the weights were enlarged, but nothing was dropped": lambda weights, keep, rate: (
            weights / (1 - rate)
        ),
        "nothing was done to the weights": lambda weights, keep, rate: weights,
    }
    judge(attempt, lambda weights, keep, rate: weights * keep / (1 - rate), inputs, mistakes)


@exercise_check("split_heads")
def check_split_heads(attempt):
    """split_heads(x, n_heads): (batch, tokens, emb_dim) to (batch, n_heads, tokens, head_dim)."""
    inputs = []
    for seed in range(4):
        batch, tokens, n_heads, head_dim = sizes(seed, 4)
        inputs.append((normal(seed, batch, tokens, n_heads * head_dim), n_heads))

    def cut(x, n_heads):
        return x.reshape(*x.shape[:2], n_heads, -1)  # (batch, tokens, heads, head_dim)

    mistakes = {
        "reshaped straight to (batch, heads, tokens, head_dim), which tears the tokens apart: "
        "cut the last axis in two "
        "first, then exchange axes": lambda x, n: x.reshape(len(x), n, x.shape[1], -1),
        "the numbers were dealt out in turn, like cards; a head takes neighbours: the last "
        "axis becomes (n_heads, "
        "head_dim), in this order": lambda x, n: x.reshape(*x.shape[:2], -1, n).permute(0, 3, 1, 2),
        "the last axis is cut, but heads and tokens are not exchanged yet: transpose(1, 2)": cut,
        "n_heads and head_dim are exchanged: these are head_dim heads of n_heads numbers": lambda x, n: (
            x.reshape(*x.shape[:2], -1, n).transpose(1, 2)
        ),
        "tokens and head_dim are exchanged: the order is (batch, heads, tokens, head_dim)": lambda x, n: (
            cut(x, n).permute(0, 2, 3, 1)
        ),
        "the heads came before the batch; the batch stays first": lambda x, n: cut(x, n).permute(
            2, 0, 1, 3
        ),
    }
    judge(attempt, lambda x, n: cut(x, n).transpose(1, 2), inputs, mistakes)


def attend(x, w_qkv, w_out, n_heads, order=(0, 1, 2), d=None, weigh=causal, merge=True):
    """Causal multi-head attention; the options are the mistakes that the check knows."""
    batch, tokens, emb_dim = x.shape
    qkv = (x @ w_qkv).view(batch, tokens, 3, n_heads, -1).permute(2, 0, 3, 1, 4)
    queries, keys, values = (qkv[part] for part in order)
    out = weigh(queries @ keys.transpose(-2, -1) / (d or emb_dim // n_heads) ** 0.5) @ values
    out = out.transpose(1, 2) if merge else out
    return out.reshape(batch, tokens, emb_dim) @ w_out


def masked_late(scores):
    return softmax(scores).masked_fill(future(scores.shape[-1]), 0)


def attend_interleaved(x, w_qkv, w_out, n_heads):
    """Cut into heads first and each head into q, k, v."""
    parts = w_qkv.view(len(w_qkv), n_heads, 3, -1).transpose(1, 2)
    return attend(x, parts.reshape(w_qkv.shape), w_out, n_heads)


MULTI_HEAD_MISTAKES = {
    "the causal mask is missing": lambda *args: attend(*args, weigh=softmax),
    "the mask was applied after the softmax: rows no longer sum to 1": lambda *args: attend(
        *args, weigh=masked_late
    ),
    "divided by √emb_dim; the scores of a head are sums of head_dim products": lambda x, *rest: (
        attend(x, *rest, d=x.shape[-1])
    ),
    "the scores are not divided by √head_dim": lambda *args: attend(*args, d=1),
    "the heads were joined without transpose(1, 2), which mixes up tokens and heads": lambda *args: (
        attend(*args, merge=False)
    ),
    "the last step, `@ w_out`, is missing": lambda x, w_qkv, w_out, n: attend(
        x, w_qkv, torch.eye(len(w_out)), n
    ),
    "w_out stands transposed: it is multiplied as it is, `@ w_out`, unlike the weight of "
    "an nn.Linear": lambda x, w_qkv, w_out, n: attend(x, w_qkv, w_out.T, n),
    "queries and keys are exchanged: the first third of the numbers are the queries": lambda *args: (
        attend(*args, order=(1, 0, 2))
    ),
    "the thirds are queries, keys, values, in this order": lambda *args: attend(
        *args, order=(2, 1, 0)
    ),
    "cut into heads before thirds: first come the queries of all heads, then all keys, "
    "then all values": attend_interleaved,
    "all heads were taken as one": lambda x, w_qkv, w_out, n: attend(x, w_qkv, w_out, 1),
}


@exercise_check("multi_head")
def check_multi_head(attempt):
    """multi_head(x, w_qkv, w_out, n_heads): causal multi-head attention, (batch, tokens, emb_dim)."""
    inputs = []
    for seed in range(3):
        batch, tokens, n_heads, head_dim = sizes(seed, 4)
        emb_dim = n_heads * head_dim
        matrices = [
            normal(seed + 10 * columns, emb_dim, columns * emb_dim) / emb_dim**0.5
            for columns in (3, 1)
        ]
        inputs.append((normal(seed, batch, tokens, emb_dim), *matrices, n_heads))

    judge(attempt, attend, inputs, MULTI_HEAD_MISTAKES)


@exercise_check("weights_bytes")
def check_weights_bytes(attempt):
    """weights_bytes(batch, n_heads, tokens, bytes_per_number): memory of all attention weights of
    one layer.
    """
    inputs = [(1, 12, 1024, 4), (8, 4, 256, 2), (3, 5, 70, 4)]
    mistakes = {
        "every token has a weight for every token, so tokens counts twice": lambda b, h, t, size: (
            b * h * t * size
        ),
        "each head has a matrix of its own": lambda b, h, t, size: b * t * t * size,
        "each text of the batch has matrices of its own": lambda b, h, t, size: h * t * t * size,
        "this counts numbers; each takes bytes_per_number bytes": lambda b, h, t, size: (
            b * h * t * t
        ),
        "the number is right, but it is a float; bytes are counted in whole numbers": lambda b, h, t, size: (
            float(b * h * t * t * size)
        ),
        "these are bits": lambda b, h, t, size: 8 * b * h * t * t * size,
        "the half above the diagonal is stored as well, as zeros": lambda b, h, t, size: (
            b * h * t * t * size // 2
        ),
        "only one text's heads were squared: heads do not look at each other": lambda b, h, t, s: (
            b * (h * t) ** 2 * s
        ),
    }
    judge(attempt, lambda b, h, t, size: b * h * t * t * size, inputs, mistakes)


def attend_step(
    query, past_keys, past_values, new_key, new_value, visible=slice(None), d=None, after=True
):
    pairs = [(past_keys, new_key), (past_values, new_value)]
    keys, values = (torch.cat([old, new] if after else [new, old]) for old, new in pairs)
    scores = query @ keys[visible].T / (d or query.shape[-1]) ** 0.5
    return softmax(scores) @ values[visible], keys, values


ATTEND_NEXT_MISTAKES = {
    "the new word does not see itself: append its key and value first, then attend": lambda *args: (
        attend_step(*args, visible=slice(-1))
    ),
    "a mask let the new word see only the first key; the last word may see all": lambda *args: (
        attend_step(*args, visible=slice(1))
    ),
    "the new word sees only itself: attend to all keys": lambda *args: attend_step(
        *args, visible=slice(-1, None)
    ),
    "the scores are not divided by √d": lambda *args: attend_step(*args, d=1),
    "the new row stands before the past; it belongs behind it": lambda *args: attend_step(
        *args, after=False
    ),
    "the cache that came back lacks the new row": lambda *args: (
        attend_step(*args)[0],
        args[1],
        args[2],
    ),
    "keys and values came back in the wrong order": lambda *args: tuple(
        attend_step(*args)[i] for i in (0, 2, 1)
    ),
    "the weights were applied to the keys, not to the values": lambda q, keys, values, key, value: (
        attend_step(q, keys, keys, key, key)[0],
        *attend_step(q, keys, values, key, value)[1:],
    ),
    "the new word's key and value are exchanged": lambda q, keys, values, k, v: attend_step(
        q, keys, values, v, k
    ),
    "only the output came back; return the output, all keys, all values": lambda *args: attend_step(
        *args
    )[0],
}


@exercise_check("attend_next")
def check_attend_next(attempt):
    """attend_next(query, past_keys, past_values, new_key, new_value): the output, all keys, all
    values.
    """
    inputs = []
    for seed in range(4):
        past, d = sizes(seed, 2, low=3)
        rows = normal(seed, 3, 1, d)
        inputs.append((rows[0], *normal(seed + 10, 2, past, d), rows[1], rows[2]))

    judge(attempt, attend_step, inputs, ATTEND_NEXT_MISTAKES)


@exercise_check("previous_share")
def check_previous_share(attempt):
    """previous_share(weights): per head, the mean weight on the previous token, (heads,)."""
    inputs = []
    for seed in range(4):
        n_heads, tokens = sizes(seed, 2, low=3, high=8)
        inputs.append((causal(normal(seed, n_heads, tokens, tokens)),))

    def diagonal(weights, offset):
        return weights.diagonal(offset, dim1=-2, dim2=-1)  # (heads, tokens - |offset|)

    mistakes = {
        "this is the diagonal above, the weight on the next token": lambda weights: diagonal(
            weights, 1
        ).mean(dim=-1),
        "this is the weight of each token on itself": lambda weights: diagonal(weights, 0).mean(
            dim=-1
        ),
        "the first token has nobody before it: there are tokens - 1 places to average over": lambda weights: (
            diagonal(weights, -1).sum(dim=-1) / weights.shape[-1]
        ),
        "this is a sum, not an average": lambda weights: diagonal(weights, -1).sum(dim=-1),
        "this is the weight on the first token of the text": lambda weights: weights[:, 1:, 0].mean(
            dim=-1
        ),
        "the heads were averaged too; each head gets a number of its own": lambda weights: diagonal(
            weights, -1
        ).mean(),
        "these are the weights at each place; average them for each head": lambda weights: diagonal(
            weights, -1
        ),
        "the average is over the heads; it must be over the places, one number for "
        "each head": lambda weights: diagonal(weights, -1).mean(dim=0),
        "`diagonal` without dim1 and dim2 takes the first two axes, heads and tokens: give it "
        "dim1=1, dim2=2": lambda weights: weights.diagonal(-1).mean(dim=-1),
    }
    judge(attempt, lambda weights: diagonal(weights, -1).mean(dim=-1), inputs, mistakes)
