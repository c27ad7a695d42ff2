"""Self-checks for the exercises of chapter 4. How a check works is told in chapter 2's checks.py.

Each check has a reference, random inputs of several shapes, and the typical mistakes with the code
that makes them.
"""

import copy
import math

import torch
import torch.nn.functional as F

from ch04_01_main_chapter_code.gpt import GPT, GPTConfig, generate_greedy
from ch04_01_main_chapter_code.previous_chapters import (
    KVCache,
    Mistake,
    answer,
    exercise_check,
    hint,
    judge,
    keeping,
    normal,
    predict,
    refuse_functions,
    show_progress,
    sizes,
    whole,
)

__all__ = ["answer", "hint", "predict", "show_progress"]  # for the notebooks, with every check


def normalised(x, eps, axes=-1, unbiased=False, keepdim=True):
    variance = x.var(axes, unbiased=unbiased, keepdim=True)
    return (x - x.mean(axes, keepdim=keepdim)) / (variance + eps).sqrt()


def centred(x):
    return x - x.mean(-1, keepdim=True)


LAYER_NORM_MISTAKES = {
    "the variance was divided by emb_dim - 1; layer normalisation uses the biased one, "
    "`unbiased=False`": lambda x, w, b, eps: normalised(x, eps, unbiased=True) * w + b,
    "divided by the variance, not by its square root": lambda x, w, b, eps: (
        (x - x.mean(-1, keepdim=True)) / (x.var(-1, unbiased=False, keepdim=True) + eps) * w + b
    ),
    "eps stands outside the root; it belongs inside, beside the variance": lambda x, w, b, eps: (
        (x - x.mean(-1, keepdim=True)) / (x.std(-1, unbiased=False, keepdim=True) + eps) * w + b
    ),
    "mean and variance were taken over the tokens (dim=1), not over the numbers of each "
    "token (dim=-1)": lambda x, w, b, eps: normalised(x, eps, 1) * w + b,
    "mean and variance were taken over the batch (dim=0), not over the numbers of each "
    "token (dim=-1)": lambda x, w, b, eps: normalised(x, eps, 0) * w + b,
    "eps is missing; it is added to the variance, inside the root": lambda x, w, b, eps: (
        normalised(x, 0) * w + b
    ),
    "one mean and one variance for everything; each token has its own, "
    "over dim=-1": lambda x, w, b, eps: normalised(x, eps, (0, 1, 2)) * w + b,
    "the mean was not subtracted": lambda x, w, b, eps: (
        x / (x.var(-1, unbiased=False, keepdim=True) + eps).sqrt() * w + b
    ),
    "the mean was subtracted, but nothing was divided": lambda x, w, b, eps: (
        (x - x.mean(-1, keepdim=True)) * w + b
    ),
    "weight and bias are missing": lambda x, w, b, eps: normalised(x, eps),
    "the bias is missing": lambda x, w, b, eps: normalised(x, eps) * w,
    "the weight is missing": lambda x, w, b, eps: normalised(x, eps) + b,
    "first the weight, then the bias; here the bias was multiplied, too": lambda x, w, b, eps: (
        (normalised(x, eps) + b) * w
    ),
    "the variance was divided by emb_dim - 1, and eps stands outside the root: `std` needs "
    "`unbiased=False`, and eps belongs beside the variance": lambda x, w, b, eps: (
        (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + eps) * w + b
    ),
    "`** 1/2` is half of it, because the power comes first; write `** 0.5` or "
    "`.sqrt()`": lambda x, w, b, eps: (
        centred(x) / ((x.var(-1, unbiased=False, keepdim=True) + eps) / 2) * w + b
    ),
    "weight and bias are exchanged: the weight multiplies, the bias is added": lambda x, w, b, eps: (
        normalised(x, eps) * b + w
    ),
    "the bias was subtracted; it is added": lambda x, w, b, eps: normalised(x, eps) * w - b,
    "divided by the weight; it multiplies": lambda x, w, b, eps: normalised(x, eps) / w + b,
    "1 was added to the weight; GPT-2 multiplies by the weight itself": lambda x, w, b, eps: (
        normalised(x, eps) * (1 + w) + b
    ),
    "multiplied by the root; divide by it": lambda x, w, b, eps: (
        centred(x) * (x.var(-1, unbiased=False, keepdim=True) + eps).sqrt() * w + b
    ),
    "the squares were added up; the variance is their mean": lambda x, w, b, eps: (
        centred(x) / ((centred(x) ** 2).sum(-1, keepdim=True) + eps).sqrt() * w + b
    ),
    "the squares are those of x itself; the variance takes x minus its mean": lambda x, w, b, eps: (
        centred(x) / ((x**2).mean(-1, keepdim=True) + eps).sqrt() * w + b
    ),
    "x was divided by the root of its mean square, which is RMSNorm; subtract the "
    "mean first": lambda x, w, b, eps: x / ((x**2).mean(-1, keepdim=True) + eps).sqrt() * w + b,
    "x was divided by its length; the variance is a mean, and of x minus its mean": lambda x, w, b, eps: (
        F.normalize(x, dim=-1) * w + b
    ),
    "divided by the mean distance from the mean; the formula has the root of the "
    "variance": lambda x, w, b, eps: (
        centred(x) / (centred(x).abs().mean(-1, keepdim=True) + eps) * w + b
    ),
    "the mean was added; it is subtracted": lambda x, w, b, eps: (
        (x + x.mean(-1, keepdim=True)) / (x.var(-1, unbiased=False, keepdim=True) + eps).sqrt() * w
        + b
    ),
    "one mean and one variance for all tokens of a text; each token has its own, "
    "over dim=-1": lambda x, w, b, eps: normalised(x, eps, (1, 2)) * w + b,
    "the variance was divided by emb_dim - 1, and eps is missing: `std` needs `unbiased=False`, "
    "and eps is added to the variance, inside the root": lambda x, w, b, eps: (
        normalised(x, 0, unbiased=True) * w + b
    ),
    "mean or variance lost its axis: `keepdim=True` keeps it for both, "
    "(batch, tokens, 1)": lambda x, w, b, eps: normalised(x, eps, keepdim=False) * w + b,
    "this is a softmax": lambda x, w, b, eps: x.softmax(dim=-1) * w + b,
}


@exercise_check(
    "layer_norm",
    hints=(
        "of which numbers is the mean, and how many means does a batch have?",
        "each token on its own: take off its mean, divide by the root of its variance, to "
        "which a little was added first; then stretch and move by the learned vectors. The "
        "statistics must keep their axis.",
        "`(x - x.mean(-1, keepdim=True)) / (x.var(-1, unbiased=False, keepdim=True) + "
        "eps).sqrt()`, then weight and bias",
    ),
)
def check_layer_norm(attempt):
    """layer_norm(x, weight, bias, eps): (batch, tokens, emb_dim) to the same shape."""
    inputs = []
    for seed, eps in enumerate((1e-5, 0.1, 0.5, 1e-5)):
        batch, tokens, emb_dim = sizes(seed, 3)
        x = 3 * normal(seed, 1 if seed == 1 else batch, tokens, emb_dim) + 2
        inputs.append((x, normal(seed + 10, emb_dim), normal(seed + 20, emb_dim), eps))

    judge(attempt, lambda x, w, b, eps: normalised(x, eps) * w + b, inputs, LAYER_NORM_MISTAKES)
    refuse_functions(attempt, inputs[0], "layer_norm", "native_layer_norm")


def bend(x, cube=3, factor=0.044715, root=(2 / math.pi) ** 0.5):
    return torch.tanh(root * (x + factor * x**cube))


def bent(**parts):
    return lambda x: 0.5 * x * (1 + bend(x, **parts))


GELU_MISTAKES = {
    "this is the exact GELU, with the error function; GPT-2 was trained with the "
    "approximation by tanh": F.gelu,
    "this is ReLU": torch.relu,
    "this is x · sigmoid(1.702 x), another approximation": lambda x: x * torch.sigmoid(1.702 * x),
    "this is x · sigmoid(x), which is called SiLU": F.silu,
    "the factor 0.5 is missing": lambda x: x * (1 + bend(x)),
    "`1 +` before the tanh is missing": lambda x: 0.5 * x * bend(x),
    "the factor x in front is missing: this is the share that passes, not what passes": lambda x: (
        0.5 * (1 + bend(x))
    ),
    "x was squared; the formula has x³": lambda x: 0.5 * x * (1 + bend(x, cube=2)),
    "the root of 2/π is missing: this multiplies by 2/π itself": lambda x: (
        0.5 * x * (1 + bend(x, root=2 / math.pi))
    ),
    "√(2/π) multiplies the whole bracket, the cube too": lambda x: (
        0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * x + 0.044715 * x**3))
    ),
    "this is √π/2, not √(2/π)": lambda x: 0.5 * x * (1 + bend(x, root=math.sqrt(math.pi) / 2)),
    "the cubic term is missing": lambda x: 0.5 * x * (1 + bend(x, factor=0)),
    "this is √(π/2), not √(2/π)": bent(root=(math.pi / 2) ** 0.5),
    "this is √(2π), not √(2/π)": bent(root=(math.pi * 2) ** 0.5),
    "`2 / math.pi ** 0.5` takes the root of π alone; put brackets around 2 / math.pi": bent(
        root=2 / math.pi**0.5
    ),
    "`math.sqrt(2) / math.pi` takes the root of 2 alone; put 2 / math.pi into the root": bent(
        root=2**0.5 / math.pi
    ),
    "0.044715 was cubed, too; only x is": bent(factor=0.044715**3),
    "with x taken out of the bracket its square is left: x · (1 + 0.044715 · x²)": bent(cube=4),
    "this is 1/√2, which belongs to the exact form with erf; before the bracket of the tanh "
    "stands √(2/π)": bent(root=0.5**0.5),
    "the factor of the cube is 0.044715; yours is ten times as large": bent(factor=0.44715),
    "the factor of the cube is 0.044715; yours is a tenth of it": bent(factor=0.0044715),
    "the cube has lost its factor 0.044715": bent(factor=1),
    "the cubic term was subtracted; it is added": bent(factor=-0.044715),
    "`1 −` the tanh: this lets pass what should be held back": lambda x: 0.5 * x * (1 - bend(x)),
    "the bracket around 1 + tanh is missing: x / 2 must multiply both": lambda x: 0.5 * x + bend(x),
    "a sigmoid stands where the tanh should": lambda x: (
        0.5 * x * (1 + torch.sigmoid((2 / math.pi) ** 0.5 * (x + 0.044715 * x**3)))
    ),
    "x is missing in the bracket of the tanh, √(2/π) · (x + 0.044715 · x³)": lambda x: (
        0.5 * x * (1 + torch.tanh((2 / math.pi) ** 0.5 * 0.044715 * x**3))
    ),
    "erf wants x / √2, and the approximation has no erf at all": lambda x: (
        0.5 * x * (1 + torch.erf(x))
    ),
    "this is the exact GELU without its factor 0.5": lambda x: x * (1 + torch.erf(x / 2**0.5)),
    "this is the tanh alone": torch.tanh,
    "this is ELU": F.elu,
    "this is leaky ReLU": F.leaky_relu,
    "this is softplus": F.softplus,
}


@exercise_check(
    "gelu",
    hints=(
        "which share of x may pass when x is large, when it is zero, and when it is far "
        "below zero?",
        "one half of x, times one more than a curve between −1 and 1; what the curve gets "
        "is x with a little of its cube, stretched by the root of two over pi.",
        "`0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))`",
    ),
)
def check_gelu(attempt):
    """gelu(x): the approximation with tanh, for a tensor of any shape."""
    inputs = [(torch.linspace(-4, 4, 33),), (normal(7, 1, 5),), (normal(8),)] + [
        (2 * normal(seed, *sizes(seed, seed)),) for seed in (1, 2, 3)
    ]
    judge(attempt, lambda x: 0.5 * x * (1 + bend(x)), inputs, GELU_MISTAKES)
    refuse_functions(attempt, inputs[0], "gelu")


class Step:
    """A part of a block with random weights: a norm, a mixing of tokens, or a bend."""

    def __init__(self, kind, seed, emb_dim):
        self.kind = kind
        self.matrix = normal(seed, emb_dim, emb_dim)

    def __call__(self, x):
        if self.kind == "norm":
            return F.layer_norm(x, x.shape[-1:], self.matrix[0], self.matrix[1])
        if self.kind == "attention":  # the average of a token and those before it
            return (x.cumsum(dim=1) / torch.arange(1, x.shape[1] + 1)[:, None]) @ self.matrix
        return torch.tanh(x @ self.matrix)


def block(x, norm1, attention, norm2, feed_forward):
    x = x + attention(norm1(x))
    return x + feed_forward(norm2(x))


def itself(x):
    return x


def block_with_normed_shortcut(x, norm1, attention, norm2, feed_forward):
    x = norm1(x)
    x = norm2(x + attention(x))
    return x + feed_forward(x)


def second_step(x, norm2, feed_forward):
    return x + feed_forward(norm2(x))


def second_normed(x, norm2, feed_forward):
    return norm2(x) + feed_forward(norm2(x))


TRANSFORMER_BLOCK_MISTAKES = {
    "this is post-norm, as in the Transformer of 2017: GPT-2 normalises what goes into a "
    "part, not the sum": lambda x, n1, a, n2, f: n2(n1(x + a(x)) + f(n1(x + a(x)))),
    "the shortcuts are missing: each part's result is added to its input": lambda x, n1, a, n2, f: (
        f(n2(a(n1(x))))
    ),
    "the shortcut around the attention is missing": lambda x, n1, a, n2, f: (
        a(n1(x)) + f(n2(a(n1(x))))
    ),
    "the shortcut around the feed-forward layer is missing": lambda x, n1, a, n2, f: f(
        n2(x + a(n1(x)))
    ),
    "the shortcut carries the normalised x; it must carry x itself: do not overwrite x "
    "with norm1(x)": block_with_normed_shortcut,
    "the feed-forward layer must read what the attention has added, not the x from "
    "before it": lambda x, n1, a, n2, f: x + a(n1(x)) + f(n2(x)),
    "the second shortcut must carry the result of the first step, not the x from "
    "before it": lambda x, n1, a, n2, f: x + f(n2(x + a(n1(x)))),
    "the norms are missing": lambda x, n1, a, n2, f: block(x, itself, a, itself, f),
    "norm2 is missing": lambda x, n1, a, n2, f: block(x, n1, a, itself, f),
    "norm1 is missing": lambda x, n1, a, n2, f: block(x, itself, a, n2, f),
    "norm1 was used twice": lambda x, n1, a, n2, f: block(x, n1, a, n1, f),
    "norm1 and norm2 are exchanged": lambda x, n1, a, n2, f: block(x, n2, a, n1, f),
    "the norms stand behind the parts; they belong before them": lambda x, n1, a, n2, f: block(
        x, itself, lambda y: n1(a(y)), itself, lambda y: n2(f(y))
    ),
    "first the attention, then the feed-forward layer": lambda x, n1, a, n2, f: block(
        x, n2, f, n1, a
    ),
    "the second shortcut carries norm2(x); it must carry x itself: do not overwrite x with "
    "norm2(x)": lambda x, n1, a, n2, f: second_normed(x + a(n1(x)), n2, f),
    "the first shortcut carries norm1(x); it must carry x itself: do not overwrite x with "
    "norm1(x)": lambda x, n1, a, n2, f: second_step(n1(x) + a(n1(x)), n2, f),
    "the feed-forward layer read norm1(x), what the attention had read; it reads norm2 of the "
    "sum": lambda x, n1, a, n2, f: x + a(n1(x)) + f(n1(x)),
    "the feed-forward layer read the attention's result alone; it reads the sum, x and that "
    "result": lambda x, n1, a, n2, f: x + second_step(a(n1(x)), n2, f),
    "norm2 was used twice; the attention reads norm1(x)": lambda x, n1, a, n2, f: block(
        x, n2, a, n2, f
    ),
    "a norm stands around the whole result; nothing normalises the stream in a "
    "block": lambda x, n1, a, n2, f: n2(block(x, n1, a, n2, f)),
    "norm1 stands behind the attention; it belongs before it": lambda x, n1, a, n2, f: second_step(
        x + n1(a(x)), n2, f
    ),
    "norm2 stands behind the feed-forward layer; it belongs before it": lambda x, n1, a, n2, f: (
        second_step(x + a(n1(x)), itself, lambda y: n2(f(y)))
    ),
    "norm1 is post-norm here: it normalises the sum, not what the attention "
    "reads": lambda x, n1, a, n2, f: second_step(n1(x + a(x)), n2, f),
    "norm2 is post-norm here: it normalises the sum, not what the feed-forward layer "
    "reads": lambda x, n1, a, n2, f: n2(second_step(x + a(n1(x)), itself, f)),
    "the attention is missing": lambda x, n1, a, n2, f: second_step(x, n2, f),
    "the feed-forward layer is missing": lambda x, n1, a, n2, f: x + a(n1(x)),
    "the attention works twice; the second step is the feed-forward layer's": lambda x, n1, a, n2, f: (
        block(x, n1, a, n2, a)
    ),
    "the attention's result was subtracted; it is added": lambda x, n1, a, n2, f: second_step(
        x - a(n1(x)), n2, f
    ),
    "the shortcuts multiply; they add": lambda x, n1, a, n2, f: x * a(n1(x)) * f(n2(x * a(n1(x)))),
    "x was added twice: the second shortcut carries the first one already": lambda x, n1, a, n2, f: (
        x + block(x, n1, a, n2, f)
    ),
}


@exercise_check(
    "transformer_block",
    hints=(
        "what flows past each part untouched?",
        "twice the same: what a part makes of the normalised stream is added to the stream "
        "as it was; the second part reads the new stream.",
        "`x + attention(norm1(x))`, and the same once more with the other two",
    ),
)
def check_transformer_block(attempt):
    """transformer_block(x, norm1, attention, norm2, feed_forward): pre-norm, two shortcuts."""
    inputs = []
    for seed in range(3):
        batch, tokens, emb_dim = sizes(seed, 3)
        kinds = ("norm", "attention", "norm", "feed_forward")
        steps = [Step(kind, 10 * seed + number, emb_dim) for number, kind in enumerate(kinds)]
        inputs.append((normal(seed, 1 if seed == 1 else batch, tokens, emb_dim), *steps))

    judge(attempt, block, inputs, TRANSFORMER_BLOCK_MISTAKES)


LAST_LOGITS_MISTAKES = {
    "`.squeeze()` also took away the axis of a batch of one: with a single text the result must "
    "be (1, vocab)": lambda h, t: (h[:, -1:] @ t.T).squeeze(),
    "this is the token before the last one; the last one is at −1": lambda h, t: h[:, -2] @ t.T,
    "these are logarithms of probabilities, after log_softmax; logits are the plain dot "
    "products": lambda h, t: (h[:, -1] @ t.T).log_softmax(dim=-1),
    "this is a softmax along the batch; logits are the plain dot products": lambda h, t: (
        h[:, -1] @ t.T
    ).softmax(dim=0),
    "the vectors of all tokens were added up; the last one alone is asked": lambda h, t: (
        h.sum(dim=1) @ t.T
    ),
    "the largest of all tokens was taken for each word; the last token alone is "
    "asked": lambda h, t: (h @ t.T).amax(dim=1),
    "this is the largest logit of each text; return all of them": lambda h, t: (
        h[:, -1] @ t.T
    ).amax(dim=-1),
    "this is the last number of each vector, `hidden[..., -1]`; take the last vector, "
    "`hidden[:, -1]`": lambda h, t: h[..., -1] @ t.T,
    "these are distances; a logit is a dot product": lambda h, t: torch.cdist(h[:, -1], t),
    "`*` multiplies number by number; the dot products are `@`": lambda h, t: h[:, -1] * t,
    "the minus sign is too much: the nearest word gets the highest logit": lambda h, t: (
        -(h[:, -1] @ t.T)
    ),
    "these are the logits of every token; only the last one is asked for": lambda h, t: h @ t.T,
    "these are the logits of the first token, not of the last": lambda h, t: h[:, 0] @ t.T,
    "this is the last text of the batch; take the last token of every text, "
    "`hidden[:, -1]`": lambda h, t: h[-1] @ t.T,
    "the tokens were averaged; the last one alone is asked": lambda h, t: h.mean(dim=1) @ t.T,
    "the axis of the tokens must go: `hidden[:, -1]`, not `hidden[:, -1:]`": lambda h, t: (
        h[:, -1:] @ t.T
    ),
    "this is the softmax already; logits are the plain dot products": lambda h, t: (
        h[:, -1] @ t.T
    ).softmax(dim=-1),
    "the table is (vocab, emb_dim); multiply by its transpose, `table.T`": lambda h, t: (
        h[:, -1] @ t
    ),
    "the axes are (batch, vocab), in this order": lambda h, t: t @ h[:, -1].T,
    "divided by √emb_dim, which belongs to attention": lambda h, t: (
        h[:, -1] @ t.T / h.shape[-1] ** 0.5
    ),
    "these are the most likely ids; return all scores": lambda h, t: (h[:, -1] @ t.T).argmax(
        dim=-1
    ),
    "the vectors were divided by their lengths; a logit is the dot product itself": lambda h, t: (
        F.normalize(h[:, -1], dim=-1) @ F.normalize(t, dim=-1).T
    ),
}


@exercise_check(
    "last_logits",
    hints=(
        "which rows of the hidden states does the next word need, and how many are left?",
        "throw all tokens but the newest of each text away first, then compare each with "
        "every row of the table by a dot product.",
        "`hidden[:, -1] @ table.T`",
    ),
)
def check_last_logits(attempt):
    """last_logits(hidden, table): (batch, tokens, emb_dim) and (vocab, emb_dim) to (batch, vocab)."""
    inputs = []
    for seed in range(4):
        batch, tokens, emb_dim, vocab_size = sizes(seed, 4)
        batch = 1 if seed == 1 else batch
        inputs.append(
            (normal(seed, batch, tokens, emb_dim), normal(seed + 10, vocab_size, emb_dim))
        )
    judge(attempt, lambda h, t: h[:, -1] @ t.T, inputs, LAST_LOGITS_MISTAKES)


def token_losses(logits, targets, dim=-1):
    """(batch, tokens); with dim=None the logits are logarithms of probabilities already."""
    log_p = logits if dim is None else logits.log_softmax(dim)
    return -log_p.gather(-1, targets[..., None])[..., 0]


def shifted_losses(logits, ids, dim=-1):
    return token_losses(logits[:, :-1], ids[:, 1:], dim)


def flat_then_shifted(logits, ids):
    return token_losses(logits.flatten(0, 1)[:-1], ids.flatten()[1:]).mean()


def losses_of_all_pairs(logits, ids):
    log_p = logits[:, :-1].log_softmax(dim=-1)
    return -log_p[..., ids[:, 1:]]


def kept_losses(logits, ids, kept):
    return (shifted_losses(logits, ids) * kept).sum() / kept.sum()


def guess_entropy(logits):
    log_p = logits.log_softmax(dim=-1)
    return -(log_p.exp() * log_p).sum(dim=-1).mean()


NEXT_TOKEN_LOSS_MISTAKES = {
    "not shifted: the target of a token is the token itself, and a model "
    "learns to copy": lambda logits, ids: token_losses(logits, ids).mean(),
    "shifted the wrong way: this teaches to guess the token before": lambda logits, ids: (
        token_losses(logits[:, 1:], ids[:, :-1]).mean()
    ),
    "shifted by two: each position must guess its next token": lambda logits, ids: token_losses(
        logits[:, :-2], ids[:, 2:]
    ).mean(),
    "rolled round: the last token got the first one as its target, but its target is not "
    "in the text": lambda logits, ids: token_losses(logits, ids.roll(-1, dims=1)).mean(),
    "this is a sum; the loss is the mean over all targets": lambda logits, ids: shifted_losses(
        logits, ids
    ).sum(),
    "summed over the tokens, averaged over the batch only": lambda logits, ids: (
        shifted_losses(logits, ids).sum(1).mean()
    ),
    "there are batch · (tokens - 1) targets, not batch · tokens": lambda logits, ids: (
        shifted_losses(logits, ids).sum() / ids.numel()
    ),
    "the minus sign is missing": lambda logits, ids: -shifted_losses(logits, ids).mean(),
    "these are bits (log2); the loss is in nats (ln)": lambda logits, ids: (
        shifted_losses(logits, ids).mean() / math.log(2)
    ),
    "the softmax is missing: this is minus the mean logit of the targets": lambda logits, ids: (
        -logits[:, :-1].gather(-1, ids[:, 1:, None]).mean()
    ),
    "the softmax went along the tokens; it goes along the vocabulary (dim=-1)": lambda logits, ids: (
        shifted_losses(logits, ids, dim=1).mean()
    ),
    "the softmax went along the tokens, dim=1; it goes along the "
    "vocabulary, dim=-1": lambda logits, ids: token_losses(
        logits.log_softmax(1)[:, :-1], ids[:, 1:], None
    ).mean(),
    "the softmax went along the batch (dim=0); it goes along the vocabulary "
    "(dim=-1)": lambda logits, ids: shifted_losses(logits, ids, dim=0).mean(),
    "this is the mean probability of the targets, without the logarithm": lambda logits, ids: (
        (-shifted_losses(logits, ids)).exp().mean()
    ),
    "the logarithm came after the mean; take it for each target, then the mean": lambda logits, ids: (
        -(-shifted_losses(logits, ids)).exp().mean().log()
    ),
    "this is e to the loss, the perplexity": lambda logits, ids: (
        shifted_losses(logits, ids).mean().exp()
    ),
    "these are the losses of each token; return their mean": shifted_losses,
    "this is a mean for each text; return one mean over all targets": lambda logits, ids: (
        shifted_losses(logits, ids).mean(1)
    ),
    "this is a mean for each place; return one mean over all targets": lambda logits, ids: (
        shifted_losses(logits, ids).mean(0)
    ),
    "the softmax came before the cross-entropy, which has a softmax of its own: give it the "
    "logits": lambda logits, ids: shifted_losses(logits.softmax(dim=-1), ids).mean(),
    "cross-entropy takes (targets, vocab) and (targets,), or the vocabulary as second axis: "
    "flatten batch and tokens into one axis": lambda logits, ids: F.cross_entropy(
        logits[:, :-1], ids[:, 1:]
    ),
    "cross-entropy got logits and targets that were neither flattened nor "
    "shifted": lambda logits, ids: F.cross_entropy(logits, ids),
    "flattened first, then shifted: the last token of each text has got the first one of the next "
    "text as its target; shift first": lambda logits, ids: flat_then_shifted(logits, ids),
    "the texts lost their border twice: flattened first, and shifted the wrong "
    "way": lambda logits, ids: token_losses(logits.flatten(0, 1)[1:], ids.flatten()[:-1]).mean(),
    "targets with the id 0 were left out; 0 is a token like any other": lambda logits, ids: (
        kept_losses(logits, ids, ids[:, 1:] != 0)
    ),
    "only the last target of each text was counted": lambda logits, ids: shifted_losses(
        logits, ids
    )[:, -1].mean(),
    "only the first text of the batch was counted": lambda logits, ids: shifted_losses(logits, ids)[
        0
    ].mean(),
    "averaged over the tokens, but summed over the batch": lambda logits, ids: (
        shifted_losses(logits, ids).mean(1).sum()
    ),
    "the mean went over the whole vocabulary; only the target's logarithm "
    "counts": lambda logits, ids: -logits[:, :-1].log_softmax(-1).mean(),
    "indexed with all targets, which takes every one of them for every place; `gather` takes each "
    "place's own": lambda logits, ids: losses_of_all_pairs(logits, ids).mean(),
    "divided by the vocabulary, too: with a one-hot tensor add up over dim=-1 before the "
    "mean": lambda logits, ids: shifted_losses(logits, ids).mean() / logits.shape[-1],
    "this is the entropy of the guesses; the loss takes the target's "
    "logarithm alone": lambda logits, ids: guess_entropy(logits[:, :-1]),
    "this is minus the mean probability of the targets, without the logarithm: `nll_loss` takes "
    "log_softmax": lambda logits, ids: -(-shifted_losses(logits, ids)).exp().mean(),
    "these are digits (log10); the loss is in nats (ln)": lambda logits, ids: (
        shifted_losses(logits, ids).mean() / math.log(10)
    ),
    "this is the share of right guesses": lambda logits, ids: (
        (logits[:, :-1].argmax(-1) == ids[:, 1:]).float().mean()
    ),
    "`view` or `reshape` to (vocab, targets) mixes the numbers up; move the axis with "
    "`transpose`": lambda logits, ids: F.cross_entropy(
        logits[:, :-1].reshape(len(ids), logits.shape[-1], -1), ids[:, 1:]
    ),
    "the number is right, but it has an axis: a mean over everything has the "
    "shape ()": lambda logits, ids: shifted_losses(logits, ids).mean().reshape(1),
    "the number is right, but it is a float: leave out `.item()`, so that "
    "`backward()` works": lambda logits, ids: shifted_losses(logits, ids).mean().item(),
}


@exercise_check(
    "next_token_loss",
    hints=(
        "which token has no target, and which logits guess it?",
        "the logits of all but the last token are held against the ids of all but the "
        "first; of each guess only the logarithm of the right word's probability counts.",
        "`logits[:, :-1].log_softmax(dim=-1).gather(-1, ids[:, 1:, None])`, then minus its mean",
    ),
)
def check_next_token_loss(attempt):
    """next_token_loss(logits, ids): mean -ln p of the next token; (batch, tokens, vocab) and
    (batch, tokens).
    """
    inputs = []
    for seed in range(4):
        batch, tokens, vocab_size = sizes(seed, 3, low=3)
        batch = 1 if seed == 1 else batch
        inputs.append(
            (2 * normal(seed, batch, tokens, vocab_size), whole(seed, 0, vocab_size, batch, tokens))
        )

    judge(
        attempt,
        lambda logits, ids: shifted_losses(logits, ids).mean(),
        inputs,
        NEXT_TOKEN_LOSS_MISTAKES,
    )
    refuse_functions(attempt, inputs[0], "cross_entropy", "cross_entropy_loss")
    logits, ids = inputs[0]
    if not attempt(logits.clone().requires_grad_(), ids.clone()).requires_grad:
        raise Mistake(
            "the number is right, but no gradient can flow back from it. Likely mistake: "
            "`detach`, `item`, `torch.tensor(…)` or `no_grad` cuts it off; leave them out."
        )


def parameters_of_gpt(
    vocab,
    context,
    d,
    layers,
    tied,
    attention=4,
    wide=4,
    biases=True,
    norms=2,
    final=True,
    head_bias=False,
    bias_vectors=9,
    norm_vectors=2,
    matrices=2,
):
    """The number; the options are the mistakes that the check knows. Of the `bias_vectors` of
    `emb_dim` numbers 3 belong to qkv, 1 to the projection, 4 and 1 to the feed-forward layer.
    """
    linear = attention * d * d + matrices * wide * d * d + biases * bias_vectors * d
    block = linear + norms * norm_vectors * d
    head = (0 if tied else vocab * d) + head_bias * vocab
    return (vocab + context) * d + layers * block + final * norm_vectors * d + head


def parameters_with(**parts):
    return lambda *sizes: parameters_of_gpt(*sizes, **parts)


GPT_PARAMETERS_MISTAKES = {
    "the biases of the linear layers are missing": lambda *sizes: parameters_of_gpt(
        *sizes, biases=False
    ),
    "a tied head has no matrix of its own: count it only where tied is False": lambda *sizes: (
        parameters_of_gpt(*sizes[:-1], tied=False)
    ),
    "an untied head has a matrix of its own, vocab_size · emb_dim": lambda *sizes: (
        parameters_of_gpt(*sizes[:-1], tied=True)
    ),
    "an untied head has no bias, only its matrix": lambda vocab, context, d, layers, tied: (
        parameters_of_gpt(vocab, context, d, layers, tied) + (0 if tied else vocab)
    ),
    "tied is turned round": lambda *sizes: parameters_of_gpt(*sizes[:-1], tied=not sizes[-1]),
    "the norms are missing: each has a weight and a bias of emb_dim numbers": lambda *sizes: (
        parameters_of_gpt(*sizes, norms=0, final=False)
    ),
    "the norms of the blocks are missing": lambda *sizes: parameters_of_gpt(*sizes, norms=0),
    "the final norm is missing": lambda *sizes: parameters_of_gpt(*sizes, final=False),
    "each block has two norms": lambda *sizes: parameters_of_gpt(*sizes, norms=1),
    "the position embeddings are missing": lambda vocab, context, *rest: parameters_of_gpt(
        vocab, 0, *rest
    ),
    "the token embeddings are missing": lambda vocab, *rest: (
        parameters_of_gpt(vocab, *rest) - vocab * rest[1]
    ),
    "attention has four matrices: queries, keys, values and the projection; here "
    "are three": lambda *sizes: parameters_of_gpt(*sizes, attention=3, bias_vectors=8),
    "only one block was counted": lambda vocab, context, d, layers, tied: parameters_of_gpt(
        vocab, context, d, 1, tied
    ),
    "the feed-forward layer is four times as wide inside": lambda *sizes: parameters_of_gpt(
        *sizes, wide=1, bias_vectors=6
    ),
    "the head has no bias": lambda *sizes: parameters_of_gpt(*sizes, head_bias=True),
    "queries, keys and values have biases, too: 3 · emb_dim in each block": parameters_with(
        bias_vectors=6
    ),
    "the projection behind the attention has a bias, too": parameters_with(bias_vectors=8),
    "the feed-forward layer has biases, too: 4 · emb_dim and emb_dim": parameters_with(
        bias_vectors=4
    ),
    "the second matrix of the feed-forward layer has a bias of emb_dim numbers; here "
    "it has 4 · emb_dim": parameters_with(bias_vectors=12),
    "a norm has a weight and a bias; here each has one vector": parameters_with(norm_vectors=1),
    "the feed-forward layer has two matrices, there and back": parameters_with(
        matrices=1, bias_vectors=8
    ),
    "queries, keys and values are three matrices; here one was counted for all, beside the "
    "projection": parameters_with(attention=2, bias_vectors=7),
    "here attention has one matrix; it has four: queries, keys, values and the "
    "projection": parameters_with(attention=1, bias_vectors=6),
    "there is one final norm, not one for each block": lambda *sizes: (
        parameters_of_gpt(*sizes) + 2 * (sizes[3] - 1) * sizes[2]
    ),
    "the embeddings stand before the blocks, once; here they were counted for each "
    "block": lambda vocab, context, d, layers, tied: (
        parameters_of_gpt(vocab, context, d, layers, tied) + (layers - 1) * (vocab + context) * d
    ),
    "the position table has a row for each place, context_length, not for each word": (
        lambda vocab, context, *rest: parameters_of_gpt(vocab, vocab, *rest)
    ),
    "the mask was counted; it is a buffer, nothing that is learned": lambda *sizes: (
        parameters_of_gpt(*sizes) + sizes[3] * sizes[1] ** 2
    ),
    "the biases of the blocks and all norms are missing: these are the matrices and "
    "the tables alone": parameters_with(biases=False, norms=0, final=False),
    "the number is right, but it is a float; parameters are counted in whole numbers": lambda *sizes: (
        float(parameters_of_gpt(*sizes))
    ),
}


@exercise_check(
    "gpt_parameters",
    hints=(
        "which parts come once, and which once in each block?",
        "two tables and a last norm stand outside; a block has four square matrices, two "
        "wide ones, their biases and two norms of two vectors each. A tied head costs "
        "nothing.",
        "`(vocab_size + context_length) * emb_dim + n_layers * (12 * emb_dim**2 + 13 * "
        "emb_dim) + 2 * emb_dim`, and the head if it is not tied",
    ),
)
def check_gpt_parameters(attempt):
    """gpt_parameters(vocab_size, context_length, emb_dim, n_layers, tied): a whole number."""
    inputs = [
        (50257, 1024, 768, 12, True),
        (50257, 1024, 768, 12, False),
        (97, 40, 48, 3, True),
        (11, 5, 4, 1, False),
        (29, 13, 1, 2, True),
    ]

    judge(attempt, parameters_of_gpt, inputs, GPT_PARAMETERS_MISTAKES)


def fitting_texts(memory, parameters, layers, d, tokens, size, pair=2, weights=1, floor=math.floor):
    return floor((memory - weights * parameters * size) / (pair * layers * d * tokens * size))


def fitting_not_in_bytes(memory, parameters, layers, d, tokens, size):
    return fitting_texts(memory, parameters * size, layers, d, tokens, 1)


def fitting_with_weights_each(memory, parameters, layers, d, tokens, size):
    return memory // ((parameters + 2 * layers * d * tokens) * size)


TEXTS_THAT_FIT_MISTAKES = {
    "a token leaves a key and a value: twice emb_dim numbers in each layer": lambda *sizes: (
        fitting_texts(*sizes, pair=1)
    ),
    "queries are never needed again, so they are not kept": lambda *sizes: fitting_texts(
        *sizes, pair=3
    ),
    "the weights lie in the memory, too: take them off first": lambda *sizes: fitting_texts(
        *sizes, weights=0
    ),
    "the weights lie in the memory once; all texts share them": fitting_with_weights_each,
    "each layer has keys and values of its own": lambda m, p, layers, *rest: fitting_texts(
        m, p, 1, *rest
    ),
    "the cache keeps every token of the text, not one": lambda m, p, layers, d, tokens, size: (
        fitting_texts(m, p, layers, d, 1, size)
    ),
    "a number of the cache takes bytes_per_number bytes, too": fitting_not_in_bytes,
    "the weights take bytes_per_number bytes each, not one": lambda m, p, layers, d, tokens, size: (
        fitting_texts(m, p / size, layers, d, tokens, size)
    ),
    "the cache grows with the tokens, not with their square": lambda m, p, layers, d, tokens, size: (
        fitting_texts(m, p, layers, d, tokens**2, size)
    ),
    "a text that fits in part does not fit: round down": lambda *sizes: fitting_texts(
        *sizes, floor=math.ceil
    ),
    "whole texts are asked for: round down, with `//`": lambda *sizes: fitting_texts(
        *sizes, floor=float
    ),
    "the number is right, but it is a float; `//` on whole numbers gives a whole number": lambda *sizes: (
        float(fitting_texts(*sizes))
    ),
    "bytes were taken for bits: `bytes_per_number` needs no factor 8": lambda *sizes: fitting_texts(
        *sizes[:5], 8 * sizes[5]
    ),
    "the weights were taken off four times, as in training with AdamW; here nothing is "
    "trained": lambda *sizes: fitting_texts(*sizes, weights=4),
    "these are the bytes that the weights leave; how many texts fit into "
    "them?": lambda memory, parameters, *rest: memory - parameters * rest[-1],
    "these are the bytes of one text's cache": lambda m, p, layers, d, tokens, size: (
        2 * layers * d * tokens * size
    ),
    "this is the number of tokens that fit; divide by the tokens of a text, too": lambda *sizes: (
        fitting_texts(*sizes) * sizes[4]
    ),
    "a text that fits in part does not fit: round down, do not round": lambda *sizes: fitting_texts(
        *sizes, floor=round
    ),
    "one text too few": lambda *sizes: fitting_texts(*sizes) - 1,
    "the two numbers are counted for keys and values, but `emb_dim` is missing": lambda *sizes: (
        fitting_texts(*sizes[:3], 1, *sizes[4:])
    ),
    "the bytes are missing: weights and cache were counted in numbers": lambda *sizes: (
        fitting_texts(*sizes[:5], 1)
    ),
    "the weights were divided by bytes_per_number; multiply": lambda m, p, layers, d, tokens, size: (
        fitting_texts(m, p / size**2, layers, d, tokens, size)
    ),
    "a token leaves emb_dim numbers for each "
    "key and value, not emb_dim²": lambda m, p, layers, d, tokens, size: fitting_texts(
        m, p, layers, d * d, tokens, size
    ),
}


@exercise_check(
    "texts_that_fit",
    hints=(
        "what must be in the memory before the first text comes?",
        "take the weights off; what one text keeps is two vectors for each token in each "
        "layer, and all of it is counted in bytes.",
        "`(memory - parameters * bytes_per_number) // (2 * n_layers * emb_dim * tokens * "
        "bytes_per_number)`",
    ),
)
def check_texts_that_fit(attempt):
    """texts_that_fit(memory, parameters, n_layers, emb_dim, tokens, bytes_per_number): a whole
    number of texts.
    """
    inputs = [
        (8 * 10**9, 124_439_808, 12, 768, 1024, 4),
        (24 * 10**9, 1_557_611_200, 48, 1600, 700, 2),
        (10**7, 642_560, 2, 128, 50, 4),
        (10**6, 20_000, 3, 32, 17, 2),
    ]

    judge(attempt, fitting_texts, inputs, TEXTS_THAT_FIT_MISTAKES)


class ToyModel:
    """Logits of the next token, (vocab,), that depend on every id before it and on its place.

    Whoever asks twice for the same ids, as a loop does that goes on after end_of_text, gets another
    answer.
    """

    def __init__(self, seed, vocab_size):
        self.seed = seed
        self.vocab_size = vocab_size
        self.asked = []

    def __call__(self, ids):
        ids = [int(i) for i in ids]
        mixed = sum(
            (place + 1) * (i + self.seed) for place, i in enumerate(ids)
        ) + 97 * self.asked.count(ids)
        self.asked.append(ids)
        return normal(1000 * self.seed + mixed, self.vocab_size)


def write_greedily(
    next_logits,
    ids,
    max_tokens,
    end,
    pick=torch.argmax,
    stop=True,
    keep_end=False,
    see=slice(None),
    number=int,
):
    ids = list(ids)
    for _ in range(max_tokens):
        token = number(pick(next_logits(ids[see])))
        if stop and token == end:
            return ids + [token] if keep_end else ids
        ids.append(token)
    return ids


def write_past_the_end(next_logits, ids, max_tokens, end):
    ids = list(ids)
    for _ in range(max_tokens):
        token = int(next_logits(ids).argmax())
        if token != end:
            ids.append(token)
    return ids


def write_from_prompt_only(next_logits, ids, max_tokens, end):
    return write_greedily(lambda seen: next_logits(ids), ids, max_tokens, end)


def write_asking_once(next_logits, ids, max_tokens, end):
    token = int(next_logits(ids).argmax())
    return [*ids, *[token] * (0 if token == end else max_tokens)]


def write_unless_ended(next_logits, ids, max_tokens, end):
    return list(ids) if end in ids else write_greedily(next_logits, ids, max_tokens, end)


def write_without_prompt(next_logits, ids, max_tokens, end):
    new = write_greedily(lambda seen: next_logits(seen[len(ids) :] or ids), ids, max_tokens, end)
    return list(new)


def write_in_front(next_logits, ids, max_tokens, end):
    ids = list(ids)
    for _ in range(max_tokens):
        token = int(next_logits(ids).argmax())
        if token == end:
            break
        ids.insert(0, token)
    return ids


def write_to_the_last_id(next_logits, ids, max_tokens, end):
    return write_greedily(next_logits, ids, max_tokens, next_logits.vocab_size - 1)


def write_twice(next_logits, ids, max_tokens, end):
    ids = list(ids)
    for _ in range(max_tokens):
        token = int(next_logits(ids).argmax())
        if token == end:
            break
        ids += [token, token]
    return ids


def write_until_repeated(next_logits, ids, max_tokens, end):
    ids = list(ids)
    for _ in range(max_tokens):
        token = int(next_logits(ids).argmax())
        if token == end or token == ids[-1]:
            break
        ids.append(token)
    return ids


GREEDY_MISTAKES = {
    "it does not stop at end_of_text": lambda *args: write_greedily(*args, stop=False),
    "it leaves end_of_text out and goes on; the text ends there: `break`, not `continue`": write_past_the_end,
    "end_of_text is in the result; stop before it is appended": lambda *args: write_greedily(
        *args, keep_end=True
    ),
    "the new ids came back without the prompt": lambda model, ids, *rest: write_greedily(
        model, ids, *rest
    )[len(ids) :],
    "the least likely token was taken": lambda *args: write_greedily(*args, pick=torch.argmin),
    "every new token must be appended before the next one is guessed": write_from_prompt_only,
    "the model was asked once; ask it again after every new token": write_asking_once,
    "the model saw only the last id; give it all of them": lambda *args: write_greedily(
        *args, see=slice(-1, None)
    ),
    "max_tokens counts the new tokens, not the prompt": lambda model, ids, most, end: (
        write_greedily(model, ids, max(0, most - len(ids)), end)
    ),
    "there is one new token too few": lambda model, ids, most, end: write_greedily(
        model, ids, most - 1, end
    ),
    "there is one new token too many": lambda model, ids, most, end: write_greedily(
        model, ids, most + 1, end
    ),
    "the prompt itself may contain end_of_text; only a new one ends the text": write_unless_ended,
    "the second likeliest token was taken": lambda *args: write_greedily(
        *args, pick=lambda logits: logits.topk(2).indices[1]
    ),
    "the model saw only the new ids; it needs the prompt before them": write_without_prompt,
    "the model saw the ids backwards": lambda *args: write_greedily(
        *args, see=slice(None, None, -1)
    ),
    "the model did not see the last id; give it all of them": lambda *args: write_greedily(
        *args, see=slice(-1)
    ),
    "the new token was put in front; it goes to the end": write_in_front,
    "the last token is missing: end_of_text was never chosen, so nothing is to be cut "
    "off": lambda *args: write_greedily(*args)[:-1],
    "end_of_text is not always 0": lambda model, ids, most, end: write_greedily(
        model, ids, most, 0
    ),
    "end_of_text is the argument, not `vocab_size − 1`": write_to_the_last_id,
    "the prompt's own end_of_text was left out": lambda model, ids, most, end: write_greedily(
        model, [i for i in ids if i != end], most, end
    ),
    "each new token stands in the list twice": write_twice,
    "a value came into the list, not an id: `argmax` gives the id, `max` the logit": lambda *args: (
        write_greedily(*args, pick=torch.max, number=float)
    ),
    "only the last id came back; return the whole list": lambda *args: write_greedily(*args)[-1],
    "the text stops when a token comes twice; only end_of_text ends it": write_until_repeated,
}


@exercise_check(
    "greedy",
    hints=(
        "when does the text end before its length is reached?",
        "copy the list; ask, take the likeliest, look whether it is the end, and only then "
        "append it. Ask again with all that is there.",
        "`int(next_logits(result).argmax())`, compared with `end_of_text` before it is "
        "appended to the copy `result`",
    ),
)
def check_greedy(attempt):
    """greedy(next_logits, ids, max_tokens, end_of_text): the prompt's ids and the new ones, without
    end_of_text.
    """
    inputs = [(ToyModel(seed, 6), [2, 1, 0], 7, 5) for seed in range(6)]
    inputs += [(ToyModel(3, 9), [4, 8, 8, 1], 3, 8), (ToyModel(4, 50), [7, 11, 3], 5, 0)]
    inputs += [(ToyModel(5, 7), [3], 4, 6), (ToyModel(6, 7), [2, 6, 2], 1, 6)]
    inputs += [(ToyModel(7, 4), [1, 2], 0, 3)]
    inputs += [(ToyModel(seed, 5), [4, 3], 6, 2) for seed in (8, 9, 10)]

    judge(keeping(attempt, "next_logits", "ids"), write_greedily, inputs, GREEDY_MISTAKES)


class CountingModel:
    """A small random GPT that notes how many tokens each call reads."""

    def __init__(self, seed):
        torch.manual_seed(seed)
        # an untied head, or the model would only repeat its last token
        self.config = GPTConfig(
            60, 40, emb_dim=16, n_heads=2, n_layers=2, tie_weights=False, init_std=0.6
        )
        self.model = GPT(self.config).eval()
        self.calls = []

    def __call__(self, idx, cache=None):
        self.calls.append(idx.shape[1])
        with torch.no_grad():
            return self.model(idx, cache)


def write_cached(
    model,
    idx,
    max_tokens,
    cached=True,
    prompt=slice(None),
    later=slice(-1, None),
    at=-1,
    keepdim=True,
    extra=False,
    sign=1,
):
    cache, new = (KVCache() if cached else None), idx[:, prompt]
    for _ in range(max_tokens):
        token = (sign * model(new, cache)[:, at]).argmax(dim=-1, keepdim=keepdim)
        idx = torch.cat([idx, token], dim=1)
        new = idx[:, later]
    if extra:
        model(new, cache)
    return idx


def write_one_axis_too_few(model, idx, max_tokens):
    cache = KVCache()
    return model(model(idx, cache)[:, -1].argmax(dim=-1), cache)


def write_every_guess(model, idx, max_tokens):
    cache, new = KVCache(), idx
    for _ in range(max_tokens):
        new = model(new, cache).argmax(dim=-1)
        idx = torch.cat([idx, new], dim=1)
    return idx


def write_every_guess_once(model, idx, max_tokens):
    cache, new = KVCache(), idx
    for _ in range(max_tokens):
        idx = torch.cat([idx, model(new, cache).argmax(dim=-1)], dim=1)
        new = idx[:, -1:]
    return idx


def write_prompt_in_two(model, idx, max_tokens):
    cache = KVCache()
    if idx.shape[1] > 1:
        model(idx[:, :-1], cache)
    return write_on(model, idx, max_tokens, cache)


def write_token_by_token(model, idx, max_tokens, extra=False):
    cache = KVCache()
    for place in range(idx.shape[1]):
        logits = model(idx[:, place : place + 1], cache)
    for number in range(max_tokens):
        idx = torch.cat([idx, logits[:, -1].argmax(dim=-1, keepdim=True)], dim=1)
        logits = model(idx[:, -1:], cache) if extra or number < max_tokens - 1 else logits
    return idx


def write_on(model, idx, max_tokens, cache):
    for _ in range(max_tokens):
        idx = torch.cat([idx, model(idx[:, -1:], cache)[:, -1:].argmax(dim=-1)], dim=1)
    return idx


def write_last_twice(model, idx, max_tokens):
    cache = KVCache()
    model(idx, cache)
    return write_on(model, idx, max_tokens, cache)


def write_prompt_cut(model, idx, max_tokens):
    """Right but for the newest token of the first round, which is never read."""
    cache = KVCache()
    token = model(idx[:, :-1] if idx.shape[1] > 1 else idx, cache)[:, -1:].argmax(dim=-1)
    return write_on(model, torch.cat([idx, token], dim=1), max_tokens - 1, cache)


def write_prompt_uncached(model, idx, max_tokens):
    token = model(idx)[:, -1:].argmax(dim=-1)
    return write_on(model, torch.cat([idx, token], dim=1), max_tokens - 1, KVCache())


WRITE_WITH_CACHE_MISTAKES = {
    "with a cache give the model the newest token only; the tokens before it are in "
    "the cache already": lambda *args: write_cached(*args, later=slice(None)),
    "the model saw nothing but the newest token: make one cache before the loop and "
    "pass it to every call": lambda *args: write_cached(*args, cached=False),
    "the first call must read the whole prompt, not only its last token": lambda *args: (
        write_cached(*args, prompt=slice(-1, None))
    ),
    "the guess was taken from the first position; the next token stands at "
    "`logits[:, -1]`": lambda *args: write_cached(*args, at=0),
    "the new ids came back without the prompt": lambda model, idx, most: write_cached(
        model, idx, most
    )[:, idx.shape[1] :],
    "the new token must be (1, 1) to be appended: `argmax(dim=-1, keepdim=True)`": lambda *args: (
        write_cached(*args, keepdim=False)
    ),
    "the prompt's last token was fed twice: the first call has read it already, so take the new "
    "token from that call's logits": write_last_twice,
    "the last two tokens were given; the one before the newest is in the cache already": lambda *args: (
        write_cached(*args, later=slice(-2, None))
    ),
    "the first call had no cache, so the prompt was forgotten: make the cache before the first "
    "call and pass it there, too": write_prompt_uncached,
    "the newest token was left out of what the model reads next": lambda *args: write_cached(
        *args, later=slice(-2, -1)
    ),
    "the least likely token was taken": lambda *args: write_cached(*args, sign=-1),
    "there is one new token too few": lambda model, idx, most: write_cached(model, idx, most - 1),
    "there is one new token too many": lambda model, idx, most: write_cached(model, idx, most + 1),
    "the axis of the batch is gone: return (1, tokens + max_tokens)": lambda *args: write_cached(
        *args
    )[0],
    "only the last token came back; return the prompt and all new ids": lambda *args: write_cached(
        *args
    )[:, -1:],
    "the first token of the prompt was read again and again; the newest is the last, "
    "`idx[:, -1:]`": lambda *args: write_cached(*args, later=slice(0, 1)),
    "the prompt lost its last token on the way into the cache": write_prompt_cut,
    "the guesses of all positions were appended, and read again; only the last one's, "
    "`logits[:, -1]`, is about what comes next": write_every_guess,
    "the guesses at all positions of the prompt were appended; only the last one's, "
    "`logits[:, -1]`, is about what comes next": write_every_guess_once,
    "each call needs ids of the shape (1, tokens): `argmax(dim=-1, keepdim=True)` "
    "keeps the axis, so does `idx[:, -1:]`": write_one_axis_too_few,
}


def calls_of(write, model, idx, max_tokens):
    """How many tokens each call reads, if the model is new."""
    model = copy.deepcopy(model)
    write(model, idx, max_tokens)
    return model.calls


WASTEFUL_WRITING = {
    "the prompt was read in two calls, its last token alone; the first call gives the first new "
    "token already": write_prompt_in_two,
    "everything is computed anew for each token: pass one cache to every call, and after "
    "the prompt only the newest token": lambda *args: write_cached(
        *args, cached=False, later=slice(None)
    ),
    "the prompt was read token by token; one call can read it whole": write_token_by_token,
    "the prompt was read token by token, though one call can read it whole, and the last "
    "new token was read, too": lambda *args: write_token_by_token(*args, extra=True),
    "the last token was read too, though nobody asks what follows it": lambda *args: write_cached(
        *args, extra=True
    ),
}


def refuse_wasteful(attempt, inputs):
    """Raise `Mistake` where the model reads more tokens than it must."""
    for model, idx, most in inputs:
        read, once = calls_of(attempt, model, idx, most), [idx.shape[1], *[1] * (most - 1)]
        if read != once:
            likely = [
                text
                for text, suspect in WASTEFUL_WRITING.items()
                if calls_of(suspect, model, idx, most) == read
            ]
            raise Mistake(
                f"the ids are right, but for a prompt of {idx.shape[1]} and {most} new tokens "
                f"the model read {read} "
                f"tokens in its calls, expected {once}."
                + "".join(f" Likely mistake: {text}." for text in likely[:1])
            )


@exercise_check(
    "write_with_cache",
    hints=(
        "after the prompt was read once, what does the model not know yet?",
        "one cache for all calls; the first call reads everything, its last logits give "
        "the first new token, and every further call reads just that one.",
        "`new = model(new, cache)[:, -1].argmax(dim=-1, keepdim=True)`, where `new` begins "
        "as the prompt",
    ),
)
def check_write_with_cache(attempt):
    """write_with_cache(model, idx, max_tokens): as generate_greedy, each token read once; (1,
    tokens + max_tokens).
    """
    inputs = []
    for seed, tokens, most in ((0, 6, 8), (1, 3, 5), (2, 1, 9)):
        with torch.random.fork_rng():
            inputs.append((CountingModel(seed), whole(seed, 0, 60, 1, tokens), most))

    judge(
        attempt,
        lambda model, idx, most: generate_greedy(model.model, idx, most),
        inputs,
        WRITE_WITH_CACHE_MISTAKES,
    )
    refuse_wasteful(attempt, inputs)
