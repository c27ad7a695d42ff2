"""Self-checks for the exercises of chapter 3. How a check works is told in chapter 2's checks.py.

Each check has a reference, random inputs of several shapes, and the typical mistakes with the code
that makes them.
"""

import copy

import torch

from ch03_01_main_chapter_code.previous_chapters import (
    Mistake,
    answer,
    difference,
    exercise_check,
    hint,
    judge,
    normal,
    predict,
    refuse_functions,
    show_progress,
    sizes,
)

__all__ = ["answer", "hint", "predict", "show_progress"]  # for the notebooks, with every check


def softmax(scores, dim=-1):
    return torch.softmax(scores, dim)


def softmax_of_all(scores):
    """One softmax over both axes of a table."""
    return scores.flatten(-2).softmax(dim=-1).view_as(scores)


def unit(x):
    """Each vector divided by its length."""
    return x / x.norm(dim=-1, keepdim=True)


def future(tokens, diagonal=1):
    """(tokens, tokens), True where a token looks ahead."""
    return torch.ones(tokens, tokens, dtype=torch.bool).triu(diagonal)


def causal(scores):
    return softmax(scores.masked_fill(future(scores.shape[-1]), -torch.inf))


def masked_with(mask, value=-torch.inf):
    """The softmax of scores that are set to `value` where `mask(tokens)` is True."""
    return lambda scores: softmax(scores.masked_fill(mask(scores.shape[-1]), value))


def masked_by_sum(scores):
    """0 · (-inf) is nan, so that nothing is left."""
    return softmax(scores + future(scores.shape[-1]).float() * -torch.inf)


CONTEXT_VECTORS_MISTAKES = {
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
    "one softmax over the whole table; each row, one word that looks, must sum to 1": lambda x: (
        softmax_of_all(x @ x.T) @ x
    ),
    "the softmax was taken twice": lambda x: softmax(softmax(x @ x.T)) @ x,
    "the softmax was taken of the vectors; it belongs to the scores": lambda x: (
        softmax(x) @ x.T @ x
    ),
    "the powers were not divided by the sum of their row": lambda x: (x @ x.T).exp() @ x,
    "only the best match was taken; the softmax gives every word a share": lambda x: x[
        (x @ x.T).argmax(dim=-1)
    ],
    "the sigmoid squeezes each score alone; the softmax makes a row sum to 1": lambda x: (
        torch.sigmoid(x @ x.T) @ x
    ),
    "the future was masked; here every word sees all, the mask comes in section 5": lambda x: (
        causal(x @ x.T) @ x
    ),
    "a word may look at itself, too; here the diagonal was struck out": lambda x: (
        softmax((x @ x.T).masked_fill(torch.eye(len(x), dtype=torch.bool), -torch.inf)) @ x
    ),
    "the vectors were divided by their lengths first: these are cosines": lambda x: (
        softmax(unit(x) @ unit(x).T) @ x
    ),
    "the words' own vectors were added; the averages alone are asked for": lambda x: (
        x + softmax(x @ x.T) @ x
    ),
    "the context vectors were averaged; every word has one of its own": lambda x: (
        softmax(x @ x.T) @ x
    ).mean(dim=0),
}


@exercise_check(
    "context_vectors",
    hints=(
        "which two things does a word need from all the others: how well they match, and then?",
        "all dot products at once are a product of the matrix with its own transpose; make each "
        "row sum to 1, and let the rows say how much of each vector goes into the average.",
        "`(x @ x.T).softmax(dim=-1) @ x`",
    ),
)
def check_context_vectors(attempt):
    """context_vectors(x): softmax(x xᵀ) x, (tokens, emb_dim)."""
    inputs = [(normal(seed, *sizes(seed, 2)),) for seed in range(4)] + [(normal(4, 1, 3),)]
    judge(attempt, lambda x: softmax(x @ x.T) @ x, inputs, CONTEXT_VECTORS_MISTAKES)


def scaled(q, k):
    return q @ k.T / q.shape[-1] ** 0.5


SCALED_SCORES_MISTAKES = {
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
        scaled(q, k).T
    ),
    "this is the softmax already; only the scores are asked for": lambda q, k: softmax(
        scaled(q, k)
    ),
    "`queries * keys` multiplies number by number; all pairs come from `queries @ keys.T`": lambda q, k: (
        q * k / q.shape[-1] ** 0.5
    ),
    "`q * k` and a sum give the score of one pair; all pairs come from `queries @ keys.T`": lambda q, k: (
        (q * k).sum(dim=-1) / q.shape[-1] ** 0.5
    ),
    "`d ** 1/2` is d, and then halved: write `d ** 0.5`": lambda q, k: q @ k.T / len(q[0]) / 2,
    "the root was taken of the whole fraction, which fails for negative scores; only d stands "
    "under it": lambda q, k: (q @ k.T / q.shape[-1]) ** 0.5,
    "`queries @ keys` multiplies along axes that do not belong together: turn the keys over, "
    "`keys.T`": lambda q, k: q @ k,
    "the queries were turned over; it is the keys that need `.T`": lambda q, k: q.T @ k,
    "rows and columns are exchanged, and the scores are not divided by √d": lambda q, k: k @ q.T,
    "√d was cut to a whole number": lambda q, k: q @ k.T / int(q.shape[-1] ** 0.5),
    "divided by d squared; it is its square root": lambda q, k: q @ k.T / q.shape[-1] ** 2,
    "these are cosines: the vectors were divided by their lengths": lambda q, k: (
        unit(q) @ unit(k).T
    ),
    "these are distances; a score is a dot product": lambda q, k: torch.cdist(q, k),
    "divided by √d of queries and keys together": lambda q, k: q @ k.T / (2 * q.shape[-1]) ** 0.5,
}


@exercise_check(
    "scaled_scores",
    hints=(
        "how many products are added up in one score?",
        "all pairs at once are one matrix product, for which the second matrix is turned over; "
        "divide by the root of how long a vector is.",
        "`queries @ keys.T / queries.shape[-1] ** 0.5`",
    ),
)
def check_scaled_scores(attempt):
    """scaled_scores(queries, keys): q · k / √d for all pairs, (tokens, keys)."""
    inputs = []
    for seed in range(4):
        tokens, keys, d = sizes(seed, 3)
        inputs.append((normal(seed, tokens, d), normal(seed + 10, keys, d)))
    inputs += [(normal(4, 1, 5), normal(14, 3, 5)), (normal(5, 4, 3), normal(15, 1, 3))]

    judge(attempt, scaled, inputs, SCALED_SCORES_MISTAKES)


CAUSAL_WEIGHTS_MISTAKES = {
    "the mask was applied after the softmax: rows no longer sum to 1": lambda scores: softmax(
        scores
    ).masked_fill(future(scores.shape[-1]), 0),
    "the mask was applied after the softmax, and with -inf: weights must not be "
    "negative": lambda scores: softmax(scores).masked_fill(future(scores.shape[-1]), -torch.inf),
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
    "0 · (-inf) is nan, so `triu(...) * -inf` ruins the scores that should stay, too: use "
    "`masked_fill`": masked_by_sum,
    "the future was set to +inf": masked_with(future, torch.inf),
    "the future was set to -1, and e^-1 is still a third of e^0: use -inf": masked_with(future, -1),
    "the mask begins two places too early: a word sees neither itself nor the one before": masked_with(
        lambda tokens: future(tokens, diagonal=-1)
    ),
    "each word sees only itself; it may see all before it, too": masked_with(
        lambda tokens: ~torch.eye(tokens, dtype=torch.bool)
    ),
    "each word sees all but itself; strike out what is above the diagonal": masked_with(
        lambda tokens: torch.eye(tokens, dtype=torch.bool)
    ),
    "only the first text of the batch was masked": lambda scores: torch.cat(
        [causal(scores[:1]), softmax(scores[1:])]
    ),
    "the mask has the size of the batch; it is (tokens, tokens)": lambda scores: softmax(
        scores.masked_fill(future(len(scores)), -torch.inf)
    ),
    "one softmax over each whole table; each row must sum to 1": lambda scores: softmax_of_all(
        scores.masked_fill(future(scores.shape[-1]), -torch.inf)
    ),
    "the softmax was taken twice": lambda scores: softmax(causal(scores)),
    "the powers were not divided by the sum of their row": lambda scores: scores.masked_fill(
        future(scores.shape[-1]), -torch.inf
    ).exp(),
    "the sums of the rows need `keepdim=True`: without it each column was divided by the sum "
    "of a row": lambda scores: scores.exp().tril() / scores.exp().tril().sum(dim=-1),
    "these are logarithms of the weights": lambda scores: scores.masked_fill(
        future(scores.shape[-1]), -torch.inf
    ).log_softmax(dim=-1),
    "all words before got the same weight; the scores decide": lambda scores: causal(
        torch.zeros_like(scores)
    ),
}


@exercise_check(
    "causal_weights",
    hints=(
        "what must a score be, so that e to its power is nothing at all?",
        "make a table that is True where a token would look ahead, strike the scores out there, "
        "and only then make each row sum to 1.",
        "`scores.masked_fill(future, -torch.inf).softmax(dim=-1)`, where `future` is True above "
        "the diagonal",
    ),
)
def check_causal_weights(attempt):
    """causal_weights(scores): mask, then softmax, (batch, tokens, tokens)."""
    inputs = []
    for seed in range(4):
        batch, tokens = sizes(seed, 2, low=3)
        inputs.append((normal(seed, batch, tokens, tokens),))
    inputs += [(normal(4, 1, 4, 4),), (torch.zeros(2, 3, 3),)]  # a batch of one; all alike

    judge(attempt, causal, inputs, CAUSAL_WEIGHTS_MISTAKES)


def is_random(attempt, arguments):
    """True if two calls with the same arguments give different results."""
    try:
        first, second = (attempt(*copy.deepcopy(arguments)) for _ in range(2))
    except Exception:
        return False  # `judge` calls it again, and tells the error
    return difference(first, second) is not None


APPLY_DROPOUT_MISTAKES = {
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
    "`/ 1 - drop_rate` divides by 1 and then subtracts: write (1 - drop_rate)": lambda weights, keep, rate: (
        weights * keep - rate
    ),
    "divided by 1 + drop_rate; what is kept is the share 1 - drop_rate": lambda weights, keep, rate: (
        weights * keep / (1 + rate)
    ),
    "divided by the share of this `keep`; the share is 1 - drop_rate, which holds on average": lambda weights, keep, rate: (
        weights * keep / keep.float().mean()
    ),
    "divided by each row's own share; the share is 1 - drop_rate, which holds on average": lambda weights, keep, rate: (
        weights * keep / keep.float().mean(dim=-1, keepdim=True)
    ),
    "divided by 1 - drop_rate twice": lambda weights, keep, rate: weights * keep / (1 - rate) ** 2,
    "divided by the root of 1 - drop_rate": lambda weights, keep, rate: (
        weights * keep / (1 - rate) ** 0.5
    ),
    "keep is upside down, and nothing was enlarged": lambda weights, keep, rate: weights * ~keep,
    "nothing was dropped, and all weights were made smaller": lambda weights, keep, rate: (
        weights * (1 - rate)
    ),
    "what is dropped was set to -inf; these are weights, not scores": lambda weights, keep, rate: (
        weights / (1 - rate)
    ).masked_fill(~keep, -torch.inf),
    "a mask as an index takes the weights out of their table: multiply by it": lambda weights, keep, rate: (
        weights[keep] / (1 - rate)
    ),
    "the softmax was taken again; the rows sum to 1 on average only": lambda weights, keep, rate: (
        softmax(weights * keep / (1 - rate))
    ),
    "this is the mask itself, enlarged; multiply the weights by it": lambda weights, keep, rate: (
        keep / (1 - rate)
    ),
}


@exercise_check(
    "apply_dropout",
    hints=(
        "if a share of a row is lost, by how much must the rest grow?",
        "a weight that is not kept becomes zero; all others are divided by the share that is kept "
        "on average.",
        "`weights * keep / (1 - drop_rate)`",
    ),
)
def check_apply_dropout(attempt):
    """apply_dropout(weights, keep, drop_rate): drop where keep is False, enlarge the rest."""
    inputs = []
    for seed, drop_rate in enumerate((0.4, 0.1, 0.75, 0.0)):
        weights = softmax(normal(seed, *sizes(seed, 2, low=3)))
        keep = normal(seed + 10, *weights.shape) > drop_rate - 0.5
        keep[:, 0] = True
        inputs.append((weights, keep if drop_rate else torch.ones_like(keep), drop_rate))
    inputs.append((softmax(normal(4, 1, 4)), torch.tensor([[True, False, False, True]]), 0.5))
    if is_random(attempt, (softmax(normal(4, 20, 20)), normal(5, 20, 20) > 0, 0.5)):
        raise Mistake(
            "called twice with the same inputs it gives two results: use `keep`; the dice are thrown already."
        )

    judge(
        attempt,
        lambda weights, keep, rate: weights * keep / (1 - rate),
        inputs,
        APPLY_DROPOUT_MISTAKES,
    )


def in_heads(x, n_heads):
    return x.reshape(*x.shape[:2], n_heads, -1)  # (batch, tokens, heads, head_dim)


SPLIT_HEADS_MISTAKES = {
    "reshaped straight to (batch, heads, tokens, head_dim), which tears the tokens apart: "
    "cut the last axis in two "
    "first, then exchange axes": lambda x, n: x.reshape(len(x), n, x.shape[1], -1),
    "the numbers were dealt out in turn, like cards; a head takes neighbours: the last "
    "axis becomes (n_heads, "
    "head_dim), in this order": lambda x, n: x.reshape(*x.shape[:2], -1, n).permute(0, 3, 1, 2),
    "the last axis is cut, but heads and tokens are not exchanged yet: transpose(1, 2)": in_heads,
    "n_heads and head_dim are exchanged: these are head_dim heads of n_heads numbers": lambda x, n: (
        x.reshape(*x.shape[:2], -1, n).transpose(1, 2)
    ),
    "tokens and head_dim are exchanged: the order is (batch, heads, tokens, head_dim)": lambda x, n: (
        in_heads(x, n).permute(0, 2, 3, 1)
    ),
    "the heads came before the batch; the batch stays first": lambda x, n: in_heads(x, n).permute(
        2, 0, 1, 3
    ),
    "the heads lie in a list; stack them along a new axis behind the batch": lambda x, n: list(
        x.chunk(n, dim=-1)
    ),
    "the heads were stacked behind the tokens: they come before them": lambda x, n: torch.stack(
        x.chunk(n, dim=-1), dim=-1
    ),
    "batch and heads exchanged their places; tokens and heads do": lambda x, n: in_heads(
        x, n
    ).transpose(0, 2),
    "head_dim and tokens exchanged their places with the heads: the order is (batch, heads, "
    "tokens, head_dim)": lambda x, n: in_heads(x, n).permute(0, 3, 1, 2),
    "reshaped straight to (batch, heads, head_dim, tokens), which tears the tokens apart": lambda x, n: (
        x.reshape(len(x), n, -1, x.shape[1])
    ),
    "tokens and emb_dim were exchanged first, and then reshaped: cut the last axis first": lambda x, n: (
        x.transpose(1, 2).reshape(len(x), n, x.shape[1], -1)
    ),
    "batch and heads became one axis": lambda x, n: in_heads(x, n).transpose(1, 2).flatten(0, 1),
    "each head got all numbers; it has emb_dim / n_heads of them": lambda x, n: x[:, None].expand(
        -1, n, -1, -1
    ),
    "only one head came back": lambda x, n: in_heads(x, n)[:, :, 0],
    "the tokens were dealt out to the heads; each head has a part of every token": lambda x, n: (
        torch.stack(x.chunk(n, dim=1), dim=1)
    ),
}


@exercise_check(
    "split_heads",
    hints=(
        "which numbers of a token's vector belong to the first head?",
        "only the last axis is cut, into heads and what each has; after that, two axes exchange "
        "their places.",
        "`x.view(batch, tokens, n_heads, -1).transpose(1, 2)`",
    ),
)
def check_split_heads(attempt):
    """split_heads(x, n_heads): (batch, tokens, emb_dim) to (batch, n_heads, tokens, head_dim)."""
    inputs = []
    for seed in range(4):
        batch, tokens, n_heads, head_dim = sizes(seed, 4)
        inputs.append((normal(seed, batch, tokens, n_heads * head_dim), n_heads))
    inputs.append((normal(4, 1, 5, 6), 3))

    judge(attempt, lambda x, n: in_heads(x, n).transpose(1, 2), inputs, SPLIT_HEADS_MISTAKES)


def heads_of(thirds, n_heads):
    """(batch, tokens, 3, emb_dim) to (3, batch, heads, tokens, head_dim)."""
    return thirds.unflatten(-1, (n_heads, -1)).permute(2, 0, 3, 1, 4)


def heads_dealt_out(thirds, n_heads):
    return thirds.unflatten(-1, (-1, n_heads)).permute(2, 0, 4, 1, 3)


def heads_torn(thirds, n_heads):
    """As many numbers, in the right shape, of the wrong tokens."""
    batch, tokens, _, emb_dim = thirds.shape
    thirds = thirds.transpose(1, 2).transpose(0, 1)  # (3, batch, tokens, emb_dim)
    return thirds.reshape(3, batch, n_heads, tokens, emb_dim // n_heads)


def attend(
    x, w_qkv, w_out, n_heads, order=(0, 1, 2), d=None, weigh=causal, merge=True, cut=heads_of
):
    """Causal multi-head attention; the options are the mistakes that the check knows."""
    batch, tokens, emb_dim = x.shape
    qkv = cut((x @ w_qkv).view(batch, tokens, 3, emb_dim), n_heads)
    queries, keys, values = (qkv[part] for part in order)
    out = weigh(queries @ keys.transpose(-2, -1) / (d or emb_dim // n_heads) ** 0.5) @ values
    out = out.transpose(1, 2) if merge else out
    return out.reshape(batch, tokens, emb_dim) @ w_out


def softmax_down(scores):
    return softmax(scores.masked_fill(future(scores.shape[-1]), -torch.inf), dim=-2)


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
    "the heads were cut by a plain reshape, which tears the tokens apart: cut the last axis, then "
    "exchange axes": lambda *args: attend(*args, cut=heads_torn),
    "the numbers were dealt out to the heads in turn, like cards; a head takes neighbours": lambda *args: (
        attend(*args, cut=heads_dealt_out)
    ),
    "the softmax went down the columns; it must go along the words looked at (dim=-1)": lambda *args: (
        attend(*args, weigh=softmax_down)
    ),
    "the softmax is missing": lambda *args: attend(*args, weigh=torch.tril),
    "the future was set to 0, not to -inf: e^0 is 1, so it keeps its weight": lambda *args: attend(
        *args, weigh=lambda scores: softmax(scores.tril())
    ),
    "0 · (-inf) is nan, so `triu(...) * -inf` ruins the scores that should stay, too: use "
    "`masked_fill`": lambda *args: attend(*args, weigh=masked_by_sum),
    "the mask is upside down: the past was masked, not the future": lambda *args: attend(
        *args, weigh=masked_with(lambda tokens: future(tokens).T)
    ),
    "the past and the word itself were masked, not the future": lambda *args: attend(
        *args, weigh=masked_with(lambda tokens: ~future(tokens))
    ),
    "the diagonal was masked too: a word may look at itself, and the first one has nobody else, "
    "hence nan": lambda *args: attend(
        *args, weigh=masked_with(lambda tokens: future(tokens, diagonal=0))
    ),
    "divided by head_dim, not by its square root": lambda x, w_qkv, w_out, n: attend(
        x, w_qkv, w_out, n, d=(x.shape[-1] // n) ** 2
    ),
    "`head_dim ** 1/2` is head_dim, and then halved: write `** 0.5`": lambda x, w_qkv, w_out, n: (
        attend(x, w_qkv, w_out, n, d=(2 * x.shape[-1] // n) ** 2)
    ),
    "the keys were handed over, not the values": lambda *args: attend(*args, order=(0, 1, 1)),
    "the values were taken for the keys, too": lambda *args: attend(*args, order=(0, 2, 2)),
    "the queries were taken for the keys, too": lambda *args: attend(*args, order=(0, 0, 2)),
    "keys and values are exchanged": lambda *args: attend(*args, order=(0, 2, 1)),
    "x was added to the result; the shortcut comes in chapter 4": lambda x, *rest: (
        x + attend(x, *rest)
    ),
    "w_qkv stands transposed: it is multiplied as it is, `x @ w_qkv`": lambda x, w_qkv, *rest: (
        x @ w_qkv.T
    ),
}


@exercise_check(
    "multi_head",
    hints=(
        "in which order do the axes have to stand, so that a product works on each head alone?",
        "one product makes the long rows; cut them into thirds and each third into heads, bring "
        "the heads before the tokens, do exercises 2 and 3 and the average, lay the heads side by "
        "side again, and mix them by the last matrix.",
        "`out.transpose(1, 2).reshape(batch, tokens, emb_dim) @ w_out` is the last line, and "
        "`(x @ w_qkv).view(batch, tokens, 3, n_heads, -1).permute(2, 0, 3, 1, 4)` the first",
    ),
)
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
    inputs.append((inputs[0][0][:1], *inputs[0][1:]))  # a batch of one

    judge(attempt, attend, inputs, MULTI_HEAD_MISTAKES)
    refuse_functions(attempt, inputs[0], "scaled_dot_product_attention")


WEIGHTS_BYTES_MISTAKES = {
    "every token has a weight for every token, so tokens counts twice": lambda b, h, t, size: (
        b * h * t * size
    ),
    "each head has a matrix of its own": lambda b, h, t, size: b * t * t * size,
    "each text of the batch has matrices of its own": lambda b, h, t, size: h * t * t * size,
    "this counts numbers; each takes bytes_per_number bytes": lambda b, h, t, size: b * h * t * t,
    "these are bits": lambda b, h, t, size: 8 * b * h * t * t * size,
    "the half above the diagonal is stored as well, as zeros": lambda b, h, t, size: (
        b * h * t * t * size // 2
    ),
    "only one text's heads were squared: heads do not look at each other": lambda b, h, t, s: (
        b * (h * t) ** 2 * s
    ),
    "`tokens * 2` is twice the tokens; the table has tokens times tokens numbers": lambda b, h, t, size: (
        b * h * t * 2 * size
    ),
    "these are kilobytes": lambda b, h, t, size: b * h * t * t * size / 1000,
    "these are kilobytes of 1,024 bytes": lambda b, h, t, size: b * h * t * t * size / 1024,
    "these are megabytes": lambda b, h, t, size: b * h * t * t * size / 1e6,
    "these are megabytes of 1,024 · 1,024 bytes": lambda b, h, t, size: (
        b * h * t * t * size / 1024**2
    ),
    "the part above the diagonal is stored as well, as zeros": lambda b, h, t, size: (
        b * h * t * (t + 1) // 2 * size
    ),
    "queries, keys and values are no weights: there is one table for each head": lambda b, h, t, size: (
        3 * b * h * t * t * size
    ),
    "the numbers were added; a table in each head of each text means to multiply": lambda b, h, t, size: (
        (b + h + t * t) * size
    ),
}


@exercise_check(
    "weights_bytes",
    hints=(
        "how many weights has one head for one text?",
        "each token has a weight for each token; every head of every text has such a table; each "
        "number takes its bytes.",
        "`batch * n_heads * tokens**2 * bytes_per_number`",
    ),
)
def check_weights_bytes(attempt):
    """weights_bytes(batch, n_heads, tokens, bytes_per_number): memory of all attention weights of
    one layer.
    """
    inputs = [(1, 12, 1024, 4), (8, 4, 256, 2), (3, 5, 70, 4), (2, 1, 9, 8)]
    judge(attempt, lambda b, h, t, size: b * h * t * t * size, inputs, WEIGHTS_BYTES_MISTAKES)


def attend_step(
    query,
    past_keys,
    past_values,
    new_key,
    new_value,
    visible=slice(None),
    d=None,
    after=True,
    weigh=softmax,
):
    """One step of one head; the options are the mistakes that the check knows."""
    pairs = [(past_keys, new_key), (past_values, new_value)]
    keys, values = (torch.cat([old, new] if after else [new, old]) for old, new in pairs)
    scores = query @ keys[visible].T / (d or query.shape[-1]) ** 0.5
    return weigh(scores) @ values[visible], keys, values


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
    "the softmax went over the queries, of which there is one, so that each weight is 1: dim=-1": lambda *args: (
        attend_step(*args, weigh=lambda scores: softmax(scores, dim=0))
    ),
    "there is no softmax": lambda *args: attend_step(*args, weigh=lambda scores: scores),
    "all keys got the same weight; the scores decide": lambda *args: attend_step(
        *args, weigh=lambda scores: torch.full_like(scores, 1 / scores.shape[-1])
    ),
    "divided by d, not by its square root": lambda query, *rest: attend_step(
        query, *rest, d=query.shape[-1] ** 2
    ),
    "`d ** 1/2` is d, and then halved: write `d ** 0.5`": lambda query, *rest: attend_step(
        query, *rest, d=(2 * query.shape[-1]) ** 2
    ),
    "divided by the square root of the number of keys; d is the length of one vector": lambda query, past, *rest: (
        attend_step(query, past, *rest, d=len(past) + 1)
    ),
    "the output lost its first axis: it is (1, d)": lambda *args: (
        attend_step(*args)[0][0],
        *attend_step(*args)[1:],
    ),
    "the output comes first, then the keys, then the values": lambda *args: (
        *attend_step(*args)[1:],
        attend_step(*args)[0],
    ),
    "only the new key and value came back; return those of the past, too": lambda *args: (
        attend_step(*args)[0],
        *args[3:],
    ),
    "the query was put into the cache; it is the new key that belongs there": lambda query, keys, values, _, value: (
        attend_step(query, keys, values, query, value)
    ),
    "the new row was put beside the past; it belongs below it, along axis 0": lambda query, keys, _, key, __: (
        query @ torch.cat([keys, key], dim=1).T
    ),
    "the new value was not appended": lambda query, keys, values, key, _: (
        softmax(query @ torch.cat([keys, key]).T) @ values
    ),
}


@exercise_check(
    "attend_next",
    hints=(
        "whom may the newest word look at, and does it need a mask?",
        "put the new key and the new value behind those of the past, then attend with the one "
        "query as always, and give the longer tables back as well.",
        "`keys, values = torch.cat([past_keys, new_key]), torch.cat([past_values, new_value])`",
    ),
)
def check_attend_next(attempt):
    """attend_next(query, past_keys, past_values, new_key, new_value): the output, all keys, all
    values.
    """
    inputs = []
    for seed in range(4):
        past, d = sizes(seed, 2, low=3) if seed else (1, 4)
        rows = normal(seed, 3, 1, d)
        inputs.append((rows[0], *normal(seed + 10, 2, past, d), rows[1], rows[2]))

    judge(attempt, attend_step, inputs, ATTEND_NEXT_MISTAKES)


def diagonal(weights, offset):
    return weights.diagonal(offset, dim1=-2, dim2=-1)  # (heads, tokens - |offset|)


PREVIOUS_SHARE_MISTAKES = {
    "this is the diagonal above, the weight on the next token": lambda weights: diagonal(
        weights, 1
    ).mean(dim=-1),
    "this is the weight of each token on itself": lambda weights: diagonal(weights, 0).mean(dim=-1),
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
    "this is the weight on the token two places before": lambda weights: diagonal(weights, -2).mean(
        dim=-1
    ),
    "this is the weight on all earlier tokens together": lambda weights: (
        weights[:, 1:].tril(0).sum(dim=-1).mean(dim=-1)
    ),
    "this is the last token's weight alone": lambda weights: weights[:, -1, -2],
    "this is the second token's weight alone": lambda weights: weights[:, 1, 0],
    "the greatest was taken, not the average": lambda weights: diagonal(weights, -1).amax(dim=-1),
    "this is the middle one of the weights, not their average": lambda weights: (
        diagonal(weights, -1).median(dim=-1).values
    ),
    "this counts how often the previous token has the greatest weight; average the weights": lambda weights: (
        (weights[:, 1:].argmax(dim=-1) == torch.arange(weights.shape[-1] - 1)).float().mean(-1)
    ),
    "this is the average of the whole table": lambda weights: weights.mean(dim=(1, 2)),
    "an axis too many is left: one number for each head": lambda weights: diagonal(
        weights, -1
    ).mean(dim=-1, keepdim=True),
}


@exercise_check(
    "previous_share",
    hints=(
        "in row 5 of a head's table, which column is the previous token?",
        "these places lie side by side, one step below the diagonal; take them out for every head "
        "and average over the places.",
        "`weights.diagonal(-1, dim1=1, dim2=2).mean(dim=-1)`",
    ),
)
def check_previous_share(attempt):
    """previous_share(weights): per head, the mean weight on the previous token, (heads,)."""
    inputs = []
    for seed in range(4):
        n_heads, tokens = sizes(seed, 2, low=3, high=8)
        inputs.append((causal(normal(seed, n_heads, tokens, tokens)),))
    inputs.append((causal(normal(4, 1, 4, 4)),))

    judge(
        attempt, lambda weights: diagonal(weights, -1).mean(dim=-1), inputs, PREVIOUS_SHARE_MISTAKES
    )


# --- The exercises of multihead-attention.ipynb ---------------------------------------------------


def parameters(emb_dim, qkv_bias, qkv=3, out=1, out_bias=1):
    return emb_dim**2 * (qkv + out) + emb_dim * (3 * qkv_bias + out_bias)


LEARNED_NUMBERS_MISTAKES = {
    "the biases of queries, keys and values are missing where qkv_bias is True": lambda e, bias: (
        parameters(e, False)
    ),
    "there are biases of queries, keys and values only where qkv_bias is True": lambda e, bias: (
        parameters(e, True)
    ),
    "qkv_bias is upside down": lambda e, bias: parameters(e, not bias),
    "one bias for queries, keys and values; each of the three has its own": lambda e, bias: (
        4 * e**2 + e * (bias + 1)
    ),
    "the bias of `proj` is missing; it is always there": lambda e, bias: parameters(
        e, bias, out_bias=0
    ),
    "`proj` is missing": lambda e, bias: parameters(e, bias, out=0, out_bias=0),
    "there are three matrices beside `proj`, not one": lambda e, bias: parameters(e, bias, qkv=1),
    "a matrix has emb_dim times emb_dim numbers": lambda e, bias: 4 * e + e * (3 * bias + 1),
    "all four biases depend on qkv_bias here; that of `proj` does not": lambda e, bias: (
        4 * e**2 + 4 * e * bias
    ),
    "these are bytes of 32-bit numbers; count the numbers": lambda e, bias: 4 * parameters(e, bias),
}


@exercise_check(
    "learned_numbers",
    hints=(
        "how many matrices has the layer, and which of them have a bias?",
        "queries, keys and values are three squares, the last matrix is one more; a bias has as "
        "many numbers as a vector, and the last one has it in any case.",
        "`4 * emb_dim**2 + (3 * qkv_bias + 1) * emb_dim`",
    ),
)
def check_learned_numbers(attempt):
    """learned_numbers(emb_dim, qkv_bias): how many numbers `MultiHeadAttention` learns."""
    inputs = [(e, bias) for e in (768, 48, 5, 1) for bias in (True, False)]
    judge(attempt, parameters, inputs, LEARNED_NUMBERS_MISTAKES)


def merged(x):
    return x.transpose(1, 2).flatten(2)


MERGE_HEADS_MISTAKES = {
    "heads and tokens were not exchanged first, which tears the tokens apart": lambda x: x.reshape(
        x.shape[0], x.shape[2], -1
    ),
    "heads and tokens were exchanged, but the heads not laid side by side": lambda x: x.transpose(
        1, 2
    ),
    "the heads lie one below the other; they belong side by side": lambda x: x.flatten(1, 2),
    "the heads were added; lay them side by side": lambda x: x.sum(1),
    "the heads were averaged; lay them side by side": lambda x: x.mean(1),
    "the numbers of the heads alternate, like shuffled cards; a head's numbers stay together": lambda x: (
        x.permute(0, 2, 3, 1).flatten(2)
    ),
    "only the first head came back": lambda x: x[:, 0],
    "batch and heads were exchanged; tokens and heads are": lambda x: x.transpose(0, 1).flatten(2),
    "`view` cannot join what does not lie side by side: use `reshape`": lambda x: x.transpose(
        1, 2
    ).view(x.shape[0], x.shape[2], -1),
}


@exercise_check(
    "merge_heads",
    hints=(
        "which two axes must be neighbours before they can become one?",
        "bring the tokens before the heads again, and let the last two axes become one.",
        "`x.transpose(1, 2).reshape(batch, tokens, n_heads * head_dim)`",
    ),
)
def check_merge_heads(attempt):
    """merge_heads(x): (batch, n_heads, tokens, head_dim) to (batch, tokens, emb_dim)."""
    inputs = [(normal(seed, *sizes(seed, 4)),) for seed in range(3)] + [(normal(4, 1, 3, 5, 2),)]
    judge(attempt, merged, inputs, MERGE_HEADS_MISTAKES)


def column(number, emb_dim, n_heads):
    return number // emb_dim, number % emb_dim // (emb_dim // n_heads)


HEAD_OF_COLUMN_MISTAKES = {
    "the thirds come first: divide by emb_dim, not by the number of heads": lambda c, e, n: (
        c // n % 3,
        column(c, e, n)[1],
    ),
    "the head of a column in the second or third third counts from that third's beginning": lambda c, e, n: (
        c // e,
        c // (e // n),
    ),
    "a head has emb_dim / n_heads columns; here it has n_heads": lambda c, e, n: (
        c // e,
        c % e // n,
    ),
    "columns are not dealt out to the heads in turn": lambda c, e, n: (c // e, c % n),
    "the two numbers are exchanged: first the third, then the head": lambda c, e, n: column(
        c, e, n
    )[::-1],
    "both count from 0": lambda c, e, n: tuple(number + 1 for number in column(c, e, n)),
    "heads were cut first, and each into three; the thirds come first": lambda c, e, n: (
        c // (e // n) % 3,
        c // (3 * e // n),
    ),
    "this is the place inside the head; its number is asked for": lambda c, e, n: (
        c // e,
        c % (e // n),
    ),
    "`/` gives a fraction; use `//`": lambda c, e, n: (c // e, c % e / (e // n)),
}


@exercise_check(
    "head_of_column",
    hints=(
        "into what is the long row cut first, and into what each part?",
        "the whole part of a division by the length of a third says which third, the rest says "
        "where in it; do the same with the rest and the length of a head.",
        "`column % emb_dim // (emb_dim // n_heads)` is the head",
    ),
)
def check_head_of_column(attempt):
    """head_of_column(column, emb_dim, n_heads): (0 for queries, 1 for keys, 2 for values; the head)."""
    inputs = [(c, 12, 3) for c in (0, 4, 11, 12, 17, 23, 24, 35)] + [
        (9, 10, 5),
        (29, 10, 2),
        (5, 6, 1),
    ]
    judge(attempt, column, inputs, HEAD_OF_COLUMN_MISTAKES)
