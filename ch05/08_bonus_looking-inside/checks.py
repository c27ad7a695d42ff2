"""Self-checks for the exercises of looking-inside.ipynb. How a check works is told in chapter 2's
checks.py.

Each check has a reference, random inputs of several shapes, and the typical mistakes with the code
that makes them.
"""

import torch
import torch.nn.functional as F

from ch05_01_main_chapter_code.previous_chapters import (
    answer,
    exercise_check,
    hint,
    judge,
    normal,
    predict,
    show_progress,
    whole,
)

__all__ = ["answer", "hint", "predict", "show_progress"]  # for the notebook, with every check

# --- The answer key -------------------------------------------------------------------------------


def split(said, key, forced=None, over=None, sign=1):
    """The two parts of the gap; the options are the mistakes that the check knows."""
    forced = key == 0 if forced is None else forced
    lost = sign * (key - said)
    counts = (len(key), len(key)) if over is None else over(forced)
    return (lost * forced).sum() / counts[0], (lost * ~forced).sum() / counts[1]


SPLIT_GAP_MISTAKES = {
    "each part was divided by its own number of tokens; divide both by the number of all tokens, so "
    "that they add up to the gap": lambda said, key: split(
        said, key, over=lambda forced: (forced.sum(), (~forced).sum())
    ),
    "the sign is wrong: what is lost is key − said, which is not negative on the average": lambda said, key: (
        split(said, key, sign=-1)
    ),
    "the parts are exchanged: the forced tokens come first": lambda said, key: split(said, key)[
        ::-1
    ],
    "a token is forced where its true probability is 1, so where `key` is 0; the model's own opinion does "
    "not count": lambda said, key: split(said, key, forced=said > -0.05),
    "tokens are forced where their probability is 1, and its logarithm is 0, not 1": lambda said, key: (
        split(said, key, forced=key == 1)
    ),
    "this is the model's whole loss; take off what the best possible model loses, too": lambda said, key: (
        split(said, torch.zeros_like(key), forced=key == 0)
    ),
    "the parts were added up; divide by the number of tokens": lambda said, key: split(
        said, key, over=lambda forced: (1, 1)
    ),
    "probabilities were subtracted, not their logarithms": lambda said, key: split(
        said.exp(), key.exp(), forced=key == 0
    ),
}


@exercise_check(
    "split_gap",
    hints=(
        "how can you see from the key alone that a token was certain?",
        "the loss of each token is a difference of two logarithms; share it out by "
        "whether the key says 0, and divide both sums by all tokens.",
        "`((key - said) * (key == 0)).mean()`, and the same with `key != 0`",
    ),
)
def check_split_gap(attempt):
    """split_gap(said, key): what is lost at forced tokens and at choices, in nats per token of the
    tale; the two add up to the gap.
    """
    inputs = []
    for seed, tokens in enumerate((9, 14, 30)):
        key = torch.where(whole(seed, 0, 3, tokens) > 0, 0.0, -normal(seed, tokens).abs() - 0.1)
        noise = 0.3 * normal(seed + 10, tokens).abs()
        inputs.append((torch.where(key == 0, -noise, key - 0.2 * normal(seed + 20, tokens)), key))
    judge(attempt, split, inputs, SPLIT_GAP_MISTAKES)


# --- The lens -------------------------------------------------------------------------------------


def lens(stream, weight, bias, unembedding):
    return F.layer_norm(stream, weight.shape, weight, bias) @ unembedding.T


def lens_over_tokens(stream, weight, bias, unembedding):
    centred = (stream - stream.mean(dim=0)) / (stream.var(dim=0, unbiased=False) + 1e-5) ** 0.5
    return (centred * weight + bias) @ unembedding.T


READ_LAYER_MISTAKES = {
    "the final norm is missing: the head is used to vectors of another length": lambda x, w, b, u: (
        x @ u.T
    ),
    "the norm's own weight and bias are missing": lambda x, w, b, u: F.layer_norm(x, w.shape) @ u.T,
    "the norm's bias is missing": lambda x, w, b, u: F.layer_norm(x, w.shape, w) @ u.T,
    "the mean was not taken off: this is the norm of a Llama, and the GPT has a LayerNorm": lambda x, w, b, u: (
        (x / (x.square().mean(-1, keepdim=True) + 1e-5) ** 0.5 * w + b) @ u.T
    ),
    "the norm was taken over the tokens; each token's vector is normalised by itself": lens_over_tokens,
    "this is a softmax of the logits; the logits themselves are asked for": lambda *given: lens(
        *given
    ).softmax(-1),
    "this is a log-softmax of the logits; the logits themselves are asked for": lambda *given: lens(
        *given
    ).log_softmax(-1),
    "the norm came after the head; it belongs before it": lambda x, w, b, u: F.layer_norm(
        x @ u.T, (len(u),)
    ),
}


@exercise_check(
    "read_layer",
    hints=(
        "what happens to a vector between the last block and the logits?",
        "each token by itself: to mean 0 and variance 1, scaled and shifted; then its "
        "products with all rows of the table.",
        "`normed @ unembedding.T`, where `normed` has been divided by the root of the biased variance plus 1e-5",
    ),
)
def check_read_layer(attempt):
    """read_layer(stream, weight, bias, unembedding): the logits of the logit lens, (tokens, vocab)."""
    inputs = []
    for seed, (tokens, emb_dim, vocab) in enumerate([(3, 8, 5), (6, 4, 9), (2, 16, 7)]):
        weight, bias = 1 + 0.5 * normal(seed + 10, emb_dim), 0.5 * normal(seed + 20, emb_dim)
        stream = 3 * normal(seed, tokens, emb_dim) + 1
        inputs.append((stream, weight, bias, normal(seed + 30, vocab, emb_dim)))
    judge(attempt, lens, inputs, READ_LAYER_MISTAKES)


# --- Heads ----------------------------------------------------------------------------------------


def induction(weights, ids, behind=1, everywhere=False, newest=False, turned=False):
    shares = []
    for t in range(len(ids)):
        earlier = [i for i in range(t) if ids[i] == ids[t]]
        if newest:
            earlier = earlier[-1:]
        if earlier or everywhere:
            row = weights[:, t] if turned else weights[t]
            shares.append(sum((row[i + behind] for i in earlier), torch.tensor(0.0)))
    return torch.stack(shares).mean()


INDUCTION_SHARE_MISTAKES = {
    "this is the weight on the earlier occurrence itself; an induction head looks at the token behind it": lambda w, i: (
        induction(w, i, behind=0)
    ),
    "this is the weight on the token before the earlier occurrence; take the one behind it": lambda w, i: (
        induction(w, i, behind=-1)
    ),
    "tokens that occur for the first time were counted, too: leave them out of the mean": lambda w, i: (
        induction(w, i, everywhere=True)
    ),
    "only the last earlier occurrence was looked at; add up all of them": lambda w, i: induction(
        w, i, newest=True
    ),
    "rows and columns are exchanged: weights[t] is where token t looks": lambda w, i: induction(
        w, i, turned=True
    ),
    "the shares were added up; take their mean": lambda w, i: (
        induction(w, i, everywhere=True) * len(i)
    ),
}


@exercise_check(
    "induction_share",
    hints=(
        "which places would tell what came next the last time?",
        "mark where the present token stood before, move the marks one place to the "
        "right, and add up the weight there; rows without a mark do not count.",
        "`behind[:, 1:] = same[:, :-1]`, where `same` marks equal tokens of the past",
    ),
)
def check_induction_share(attempt):
    """induction_share(weights, ids): over the tokens that occurred before, the mean weight on the
    tokens right behind those earlier occurrences.
    """
    inputs = []
    for seed, tokens in enumerate((8, 13, 20)):
        future = torch.ones(tokens, tokens, dtype=torch.bool).triu(1)
        weights = normal(seed, tokens, tokens).masked_fill(future, -torch.inf).softmax(dim=-1)
        inputs.append((weights, whole(seed + 1, 0, 4 + seed, tokens)))
    judge(attempt, induction, inputs, INDUCTION_SHARE_MISTAKES)


def silence(heads, head, n_heads, mean=lambda part: part.mean(dim=(0, 1), keepdim=True)):
    parts = list(heads.chunk(n_heads, dim=-1))
    parts[head] = mean(parts[head]).expand_as(parts[head])
    return torch.cat(parts, dim=-1)


def silence_interleaved(heads, head, n_heads):
    heads = heads.clone()
    heads[..., head::n_heads] = heads[..., head::n_heads].mean(dim=(0, 1), keepdim=True)
    return heads


SILENCE_HEAD_MISTAKES = {
    "the head was set to zero, which the model has never seen: give it its mean": lambda x, h, n: (
        silence(x, h, n, mean=lambda part: torch.zeros(1))
    ),
    "the mean was taken over the texts alone, so it still differs from place to place: take it over texts "
    "and tokens": lambda x, h, n: silence(
        x, h, n, mean=lambda part: part.mean(dim=0, keepdim=True)
    ),
    "the mean was taken within each text, so it still differs from text to text: take it over texts and "
    "tokens": lambda x, h, n: silence(x, h, n, mean=lambda part: part.mean(dim=1, keepdim=True)),
    "the mean was taken over all numbers of the head as well: each of its head_dim numbers has a mean of "
    "its own": lambda x, h, n: silence(x, h, n, mean=lambda part: part.mean()),
    "a head's numbers lie side by side, head · head_dim to (head + 1) · head_dim; yours are every n_heads-th "
    "one": silence_interleaved,
    "all heads were silenced": lambda x, h, n: x.mean(dim=(0, 1), keepdim=True).expand_as(x),
    "another head was silenced; heads are counted from 0": lambda x, h, n: silence(
        x, (h - 1) % n, n
    ),
    "nothing was changed": lambda x, h, n: x,
}


@exercise_check(
    "silence_head",
    hints=(
        "how can a head be kept from saying anything about this one tale?",
        "give every token the same vector there: the mean over all tales and tokens, in a copy; the other heads stay.",
        "`silent[..., part] = heads[..., part].mean(dim=(0, 1))`, where `part` is the head's slice",
    ),
)
def check_silence_head(attempt):
    """silence_head(heads, head, n_heads): (batch, tokens, n_heads · head_dim) with one head's vectors
    replaced by their mean over the batch and the tokens.
    """
    inputs = []
    for seed, (batch, tokens, n_heads, head_dim) in enumerate(
        [(2, 3, 2, 3), (3, 5, 4, 2), (4, 2, 3, 5)]
    ):
        inputs.append(
            (1 + normal(seed, batch, tokens, n_heads * head_dim), seed % n_heads, n_heads)
        )
    judge(attempt, silence, inputs, SILENCE_HEAD_MISTAKES)


# --- Numbers with their error ---------------------------------------------------------------------


ERROR_BAR_MISTAKES = {
    "this is the spread of single tales; the mean of n tales is √n times surer": lambda x: (
        x.mean(),
        x.std(),
    ),
    "divided by n; it is divided by √n": lambda x: (x.mean(), x.std() / len(x)),
    "the spread was divided by n, not n − 1, which is too small for few tales": lambda x: (
        x.mean(),
        x.std(unbiased=False) / len(x) ** 0.5,
    ),
    "this is the variance divided by √n; take its root first": lambda x: (
        x.mean(),
        x.var() / len(x) ** 0.5,
    ),
    "divided by √(n − 1), with a spread that has its n − 1 already": lambda x: (
        x.mean(),
        x.std() / (len(x) - 1) ** 0.5,
    ),
    "this is the 95 % interval, about twice the standard error": lambda x: (
        x.mean(),
        1.96 * x.std() / len(x) ** 0.5,
    ),
    "the median was taken; the mean is asked for": lambda x: (x.median(), x.std() / len(x) ** 0.5),
}


@exercise_check(
    "error_bar",
    hints=(
        "how much would the mean move if you had drawn other tales?",
        "the scatter of single tales, made smaller by the root of how many there are.",
        "`values.std() / len(values) ** 0.5`",
    ),
)
def check_error_bar(attempt):
    """error_bar(values): the mean of one number for each tale, and the standard error of this mean."""
    inputs = [
        (2 + scale * normal(seed, n),)
        for seed, (n, scale) in enumerate([(5, 1.0), (12, 3.0), (60, 0.2)])
    ]
    judge(attempt, lambda x: (x.mean(), x.std() / len(x) ** 0.5), inputs, ERROR_BAR_MISTAKES)


# --- Patching and steering ------------------------------------------------------------------------


HOW_FAR_MISTAKES = {
    "upside down: 0 must mean that nothing moved, 1 that it is as in the second tale": lambda a, b, x: (
        (b - x) / (b - a)
    ),
    "not divided: a change by 5 is much if the two tales differ by 5, and little if by 50": lambda a, b, x: (
        x - a
    ),
    "divided by the second tale's value; divide by the difference of the two": lambda a, b, x: (
        (x - a) / b
    ),
    "the share of the second tale's value is not the way from the first to the second: take off the "
    "first tale's value": lambda a, b, x: x / b,
    "the sign was dropped: a patch can also move the model the other way": lambda a, b, x: (
        (x - a) / (b - a)
    ).abs(),
    "what is beyond 0 and 1 was cut off; a patch can overshoot, and one wants to see it": lambda a, b, x: (
        ((x - a) / (b - a)).clamp(0, 1)
    ),
    "the means were compared; each pair has a share of its own": lambda a, b, x: (
        (x.mean() - a.mean()) / (b.mean() - a.mean())
    ).expand_as(x),
    "divided by the mean difference; each pair has one of its own": lambda a, b, x: (
        (x - a) / (b - a).mean()
    ),
}


@exercise_check(
    "how_far",
    hints=(
        "what must come out if the patch changes nothing, and what if it changes everything?",
        "measure from the first tale's preference, in units of the way between the two.",
        "`(patched - first) / (second - first)`",
    ),
)
def check_how_far(attempt):
    """how_far(first, second, patched): for each pair, what share of the way from the first tale's
    preference to the second's the patch has moved it, (pairs,).
    """
    inputs = []
    for seed, pairs in enumerate((3, 6, 10)):
        first, second = -8 + normal(seed, pairs), 8 + normal(seed + 10, pairs)
        inputs.append((first, second, 10 * normal(seed + 20, pairs)))
    judge(attempt, lambda a, b, x: (x - a) / (b - a), inputs, HOW_FAR_MISTAKES)


def steering(vectors, labels, old, new):
    return vectors[labels == new].mean(dim=0) - vectors[labels == old].mean(dim=0)


STEERING_VECTOR_MISTAKES = {
    "the direction is wrong: to make the new fact out of the old, add new − old": lambda v, y, old, new: (
        steering(v, y, new, old)
    ),
    "this is the mean of the new fact alone; it also holds what all these places have in common, and the "
    "old fact is still there": lambda v, y, old, new: v[y == new].mean(dim=0),
    "the mean over everything was taken off; take off that of the old fact": lambda v, y, old, new: (
        v[y == new].mean(dim=0) - v.mean(dim=0)
    ),
    "the vectors were added up; take means, as the two facts have different numbers of tales": lambda v, y, old, new: (
        v[y == new].sum(dim=0) - v[y == old].sum(dim=0)
    ),
    "the length was made 1; it matters, as the vector replaces one fact by another": lambda v, y, old, new: (
        F.normalize(steering(v, y, old, new), dim=0)
    ),
    "one tale of each fact was compared, with all else in which they differ: take means": lambda v, y, old, new: (
        v[y == new][0] - v[y == old][0]
    ),
    "everything that is not the new fact was taken off, not the old one alone": lambda v, y, old, new: (
        v[y == new].mean(dim=0) - v[y != new].mean(dim=0)
    ),
}


@exercise_check(
    "steering_vector",
    hints=(
        "what do all tales about one animal have in common, and what is left of it beside another animal's?",
        "the mean of the tales with the wanted fact, less the mean of those with the present one.",
        "`vectors[labels == new].mean(dim=0) - vectors[labels == old].mean(dim=0)`",
    ),
)
def check_steering_vector(attempt):
    """steering_vector(vectors, labels, old, new): from (tales, emb_dim) and (tales,) the vector that
    makes the fact `new` out of the fact `old`, (emb_dim,).
    """
    inputs = []
    for seed, (tales, emb_dim) in enumerate([(12, 3), (20, 6), (15, 4)]):
        labels = torch.cat([torch.arange(3), torch.arange(3), whole(seed, 0, 3, tales - 6)])
        inputs.append((1 + normal(seed + 10, tales, emb_dim), labels, seed % 3, (seed + 1) % 3))
    judge(attempt, steering, inputs, STEERING_VECTOR_MISTAKES)
