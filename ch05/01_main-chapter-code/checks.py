"""Self-checks for the exercises of chapter 5. How a check works is told in chapter 2's checks.py.

Each check has a reference, random inputs of several shapes, and the typical mistakes with the code
that makes them.
"""

import math

import torch

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

__all__ = ["answer", "hint", "predict", "show_progress"]  # for the notebooks, with every check


def distribution(seed, size):
    return (2 * normal(seed, size)).softmax(dim=0)


def real_losses(logits, targets):
    real = targets != -100
    return -logits.log_softmax(dim=-1)[real].gather(1, targets[real][:, None])[
        :, 0
    ]  # (real targets,)


def raw_losses(logits, targets):
    real = targets != -100
    return -logits[real].gather(1, targets[real][:, None])[:, 0]


PERPLEXITY_MISTAKES = {
    "this is the loss, in nats; the perplexity is e to the power of it": lambda x, t: real_losses(
        x, t
    ).mean(),
    "e was raised to each loss and the mean taken of that; take the mean of the "
    "losses first": lambda x, t: real_losses(x, t).exp().mean(),
    "the loss is in nats, so it is e to the power of it, not 2": lambda x, t: (
        2 ** real_losses(x, t).mean()
    ),
    "padding was counted: divide by the number of targets that are not −100": lambda x, t: (
        real_losses(x, t).sum() / len(t)
    ).exp(),
    "padding was counted: a target of −100 is no token; leave these places out": lambda x, t: (
        real_losses(x, t.clamp(min=0)).mean().exp()
    ),
    "the sign is wrong: the loss is −ln p, a perplexity is never below 1": lambda x, t: (
        -real_losses(x, t).mean()
    ).exp(),
    "the losses were added up; the perplexity takes their mean": lambda x, t: (
        real_losses(x, t).sum().exp()
    ),
    "the softmax is missing: logits are no logarithms of probabilities": lambda x, t: (
        raw_losses(x, t).mean().exp()
    ),
    "the softmax came before the cross-entropy, which has a softmax of its own: give it the "
    "logits": lambda x, t: real_losses(x.softmax(dim=-1), t).mean().exp(),
    "the probabilities were averaged, and 1 divided by that; take the mean of their "
    "logarithms": lambda x, t: 1 / (-real_losses(x, t)).exp().mean(),
    "the softmax went along the tokens; it goes along the vocabulary (dim=-1)": lambda x, t: (
        raw_losses(x.log_softmax(dim=0), t).mean().exp()
    ),
    "10 was raised to the loss; it is in nats, so it is e to the power of it": lambda x, t: (
        10 ** real_losses(x, t).mean()
    ),
    "targets with the id 0 were left out; only −100 is no token": lambda x, t: (
        real_losses(x, t.masked_fill(t == 0, -100)).mean().exp()
    ),
    "the targets were shifted once more; they are the following tokens already": lambda x, t: (
        real_losses(x[:-1], t[1:]).mean().exp()
    ),
    "`gather` takes no −100: leave these places out before": lambda x, t: (
        (-x.log_softmax(-1).gather(1, t[:, None])).mean().exp()
    ),
    "no row can be asked for its number −100: leave these places out before": lambda x, t: (
        (-x.log_softmax(-1)[torch.arange(len(t)), t]).mean().exp()
    ),
    "the logarithm is missing: this is minus the mean probability, with e raised to it": (
        lambda x, t: (-(-real_losses(x, t)).exp()).mean().exp()
    ),
    "the mean went over the whole vocabulary; only the target's logarithm counts": lambda x, t: (
        (-x.log_softmax(-1)[t != -100]).mean().exp()
    ),
    "the loss was divided by ln 2 and e raised to it; 2 to the power of bits, or e to the power of "
    "nats": lambda x, t: (real_losses(x, t).mean() / math.log(2)).exp(),
    "only the last target was counted": lambda x, t: real_losses(x, t)[-1].exp(),
    "the number is right, but it is a float; leave out `.item()`": lambda x, t: (
        real_losses(x, t).mean().exp().item()
    ),
}


@exercise_check(
    "perplexity",
    hints=(
        "how many places have a target, and what is said about the others?",
        "leave the padding out, take minus the logarithm of each right token's "
        "probability, then their mean, and only then raise e to it.",
        "`-logits[targets != -100].log_softmax(dim=-1).gather(1, targets[targets != "
        "-100][:, None])`, then the mean, and e to it",
    ),
)
def check_perplexity(attempt):
    """perplexity(logits, targets): e to the mean loss over the targets that are not −100, a tensor
    without axes.
    """
    inputs = []
    for seed, (tokens, vocab) in enumerate([(6, 5), (3, 9), (12, 4), (7, 8), (1, 6)]):
        targets = whole(seed + 20, 0, vocab, tokens)
        if tokens > seed:
            targets[tokens - seed :] = -100  # the first row has no padding
        inputs.append((2 * normal(seed, tokens, vocab), targets))
    inputs.append((normal(7, 5, 3), torch.tensor([-100, 2, 0, -100, 1])))  # anywhere

    judge(attempt, lambda x, t: real_losses(x, t).mean().exp(), inputs, PERPLEXITY_MISTAKES)


def bits(loss, n_targets, text, base=2.0):
    return loss * n_targets / math.log(base) / len(text.encode("utf-8"))


BITS_PER_BYTE_MISTAKES = {
    "these are nats; a bit is ln 2 nats, so divide by ln 2": lambda loss, n, text: bits(
        loss, n, text, math.e
    ),
    "multiplied by ln 2, not divided: there are more bits than nats": lambda loss, n, text: (
        loss * n * math.log(2) / len(text.encode("utf-8"))
    ),
    "divided by the number of characters; é has two bytes, “ has three: use "
    "len(text.encode('utf-8'))": lambda loss, n, text: loss * n / math.log(2) / len(text),
    "the loss is that of one target; the text has n_targets of them": lambda loss, n, text: bits(
        loss, 1, text
    ),
    "divided by n_targets; the loss of the whole text is loss · n_targets": lambda loss, n, text: (
        bits(loss / n, 1, text)
    ),
    "this is bits per token: the bytes are missing": lambda loss, n, text: loss / math.log(2),
    "this is the loss of the whole text in bits; divide it by the bytes": lambda loss, n, text: (
        loss * n / math.log(2)
    ),
    "upside down: these are bytes per bit": lambda loss, n, text: 1 / bits(loss, n, text),
    "bytes and n_targets are exchanged: multiply by n_targets, divide by "
    "the bytes": lambda loss, n, text: loss * len(text.encode("utf-8")) / math.log(2) / n,
    "log with base 10: ln is math.log": lambda loss, n, text: (
        bits(loss, n, text) * math.log(2) / math.log10(2)
    ),
    "these are the bytes of UTF-16; UTF-8 is asked for": lambda loss, n, text: (
        bits(loss, n, text) * len(text.encode("utf-8")) / len(text.encode("utf-16"))
    ),
    "divided by the number of words": lambda loss, n, text: (
        loss * n / math.log(2) / len(text.split())
    ),
    "these are nats per character; a bit is ln 2 nats, and é has two bytes": lambda loss, n, text: (
        loss * n / len(text)
    ),
    "divided by ln 2 twice": lambda loss, n, text: bits(loss, n, text) / math.log(2),
    "one target was left out; n_targets counts the end of the text already": lambda loss, n, text: (
        bits(loss, n - 1, text)
    ),
    "one target too many; n_targets counts the end of the text already": lambda loss, n, text: bits(
        loss, n + 1, text
    ),
    "divided by 8 as well: these are bytes per byte": lambda loss, n, text: bits(loss, n, text) / 8,
    "multiplied by 8: the loss has no bytes in it": lambda loss, n, text: 8 * bits(loss, n, text),
    "the logarithm of the loss was taken; the loss is a logarithm already": lambda loss, n, text: (
        math.log2(loss) * n / len(text.encode("utf-8"))
    ),
    "2 was raised to the bits": lambda loss, n, text: 2 ** bits(loss, n, text),
}


@exercise_check(
    "bits_per_byte",
    hints=(
        "how large is the loss of the whole text, and in which unit?",
        "from one target to all of them, from nats to bits, and then shared out among the "
        "bytes; a letter with an accent has more than one.",
        "`loss * n_targets / math.log(2) / len(text.encode('utf-8'))`",
    ),
)
def check_bits_per_byte(attempt):
    """bits_per_byte(loss, n_targets, text): the loss of the whole text in bits, over its UTF-8
    bytes.
    """
    inputs = [
        (1.5, 7, "Mia the fox saw the moon"),
        (0.25, 90, "“Naïve,” said Otto. " * 20),
        (3.0, 2, "€"),
        (2.0, 5, "Möwen"),
    ]
    judge(attempt, bits, inputs, BITS_PER_BYTE_MISTAKES)


def adamw(
    weight,
    gradient,
    m,
    v,
    step,
    lr,
    decay,
    betas=(0.9, 0.99),
    correct=True,
    root=True,
    separate=True,
    sign=-1,
    eps=1e-8,
    inside=0.0,
    shares=(None, None),
    power=2,
):
    """One step of AdamW; the options are the mistakes that the check knows."""
    if not separate:
        gradient = gradient + decay * weight
    shares = [1 - b if share is None else share for b, share in zip(betas, shares, strict=True)]
    m = betas[0] * m + shares[0] * gradient
    v = betas[1] * v + shares[1] * gradient**power
    correct = correct if isinstance(correct, tuple) else (correct, correct)
    m_hat = m / (1 - betas[0] ** step) if correct[0] else m
    v_hat = v / (1 - betas[1] ** step) if correct[1] else v
    move = m_hat / (((v_hat + inside) ** 0.5 if root else v_hat) + eps)
    return weight * (1 - lr * decay * separate) + sign * lr * move, m, v


def adamw_corrected_kept(*args):
    weight, m, v = adamw(*args)
    return weight, m / (1 - 0.9 ** args[4]), v / (1 - 0.99 ** args[4])


def adamw_decayed_afterwards(weight, gradient, m, v, step, lr, decay):
    weight, m, v = adamw(weight, gradient, m, v, step, lr, 0.0)
    return weight * (1 - lr * decay), m, v


def adamw_decayed_by_one_size(weight, gradient, m, v, step, lr, decay):
    weight, m, v = adamw(weight, gradient, m, v, step, lr, 0.0)
    return weight - lr * decay, m, v


def adamw_with(**parts):
    return lambda *args: adamw(*args, **parts)


def adamw_moved(move):
    """AdamW that takes `lr · move(gradient, m, v, new m, new v, step)` off the weight."""

    def step_of(weight, gradient, m, v, step, lr, decay):
        _, new_m, new_v = adamw(weight, gradient, m, v, step, lr, decay)
        moved = move(gradient, m, v, new_m, new_v, step)
        return weight * (1 - lr * decay) - lr * moved, new_m, new_v

    return step_of


def adam_ratio(m, v, step):
    return m / (1 - 0.9**step) / ((v / (1 - 0.99**step)) ** 0.5 + 1e-8)


def adamw_in_other_order(*args):
    weight, m, v = adamw(*args)
    return weight, v, m


ADAMW_STEP_MISTAKES = {
    "the step was made with the old m; first bring m up to date, then take the step": adamw_moved(
        lambda g, m, v, new_m, new_v, step: adam_ratio(m, new_v, step)
    ),
    "the step was made with the old v; first bring v up to date, then take the step": adamw_moved(
        lambda g, m, v, new_m, new_v, step: adam_ratio(new_m, v, step)
    ),
    "the step was made with the old m and v; first bring both up to date, then take the "
    "step": adamw_moved(lambda g, m, v, new_m, new_v, step: adam_ratio(m, v, step)),
    "only m was corrected; v began at 0 as well, so divide it by 1 − 0.99^step": adamw_with(
        correct=(True, False)
    ),
    "only v was corrected; m began at 0 as well, so divide it by 1 − 0.9^step": adamw_with(
        correct=(False, True)
    ),
    "the gradient was not squared for v": adamw_with(power=1),
    "m takes 1 − 0.9 of the gradient; here it takes all of it": adamw_with(shares=(1, None)),
    "v takes 1 − 0.99 of the squared gradient; here it takes all of it": adamw_with(
        shares=(None, 1)
    ),
    "v was corrected after the root; correct it first": adamw_moved(
        lambda g, m, v, new_m, new_v, step: (
            new_m / (1 - 0.9**step) / (new_v**0.5 / (1 - 0.99**step) + 1e-8)
        )
    ),
    "0.9 and 0.99 are raised to the power of the step, not multiplied by it": adamw_moved(
        lambda g, m, v, new_m, new_v, step: (
            new_m / (1 - 0.9 * step) / ((new_v / (1 - 0.99 * step)) ** 0.5 + 1e-8)
        )
    ),
    "steps are counted from 1 here; yours are one too few in the correction": lambda *args: adamw(
        *args[:4], args[4] - 1, *args[5:]
    ),
    "lr is missing in the step": lambda weight, gradient, m, v, step, lr, decay: adamw(
        weight, gradient, m, v, step, 1.0, decay * lr
    ),
    "this is plain gradient descent: the step is m̂ / (√v̂ + 1e-8), not the gradient": adamw_moved(
        lambda g, *rest: g
    ),
    "v is not used: this is descent with momentum; divide by √v̂ + 1e-8": adamw_moved(
        lambda g, m, v, new_m, new_v, step: new_m / (1 - 0.9**step)
    ),
    "m is not used: the gradient itself was divided by √v̂": adamw_moved(
        lambda g, m, v, new_m, new_v, step: g / ((new_v / (1 - 0.99**step)) ** 0.5 + 1e-8)
    ),
    "the decay makes the weight grow; lr · decay · weight is taken off": lambda *args: adamw(
        *args[:6], -args[6]
    ),
    "m and v came back in the wrong order: return weight, m, v": adamw_in_other_order,
    "m and v are not corrected: they began at 0, so divide by 1 − 0.9^step and 1 − "
    "0.99^step": lambda *args: adamw(*args, correct=False),
    "the decay was added to the gradient, which is Adam with L2; AdamW takes lr · decay · "
    "weight off the weight itself": lambda *args: adamw(*args, separate=False),
    "the weight decay is missing": lambda *args: adamw(*args[:6], 0.0),
    "the root is missing: the step is m̂ / (√v̂ + 1e-8)": lambda *args: adamw(*args, root=False),
    "ε stands under the root; the step is m̂ / (√v̂ + 1e-8)": lambda *args: adamw(
        *args, eps=0.0, inside=1e-8
    ),
    "ε is missing: where a gradient has always been 0 the step is 0 / 0; divide by "
    "√v̂ + 1e-8": lambda *args: adamw(*args, eps=0.0),
    "the decay was taken off the new weight; it is lr · decay · the old weight": adamw_decayed_afterwards,
    "lr is missing in the decay: it is lr · decay · weight": lambda *args: adamw(
        *args[:6], args[6] / args[5]
    ),
    "the weight is missing in the decay: it is lr · decay · weight": adamw_decayed_by_one_size,
    "β₂ is 0.99 here, not 0.999": lambda *args: adamw(*args, betas=(0.9, 0.999)),
    "the step goes uphill: the weight moves against the gradient": lambda *args: adamw(
        *args, sign=1
    ),
    "the decay rates are exchanged: 0.9 belongs to m and 0.99 to v": lambda *args: adamw(
        *args, betas=(0.99, 0.9)
    ),
    "steps are counted from 1 here; yours are one too many in the correction": lambda *args: adamw(
        *args[:4], args[4] + 1, *args[5:]
    ),
    "the corrected m and v were handed back; the next step needs those before the "
    "correction": adamw_corrected_kept,
    "the shares are upside down: m keeps 0.9 of itself and takes 0.1 of the gradient": lambda *args: (
        adamw(*args, betas=(0.1, 0.01))
    ),
    "the old m and v were handed back": lambda *args: (adamw(*args)[0], args[2], args[3]),
    "only the weight came back; return weight, m, v": lambda *args: adamw(*args)[0],
}


@exercise_check(
    "adamw_step",
    hints=(
        "what do the two averages begin with, and what does that do to the first steps?",
        "bring both averages up to date, make up for their beginning at zero, divide one "
        "by the root of the other, and take the decay off the old weight by itself.",
        "`m / (1 - 0.9**step) / ((v / (1 - 0.99**step)).sqrt() + 1e-8)`, with the new m and v",
    ),
)
def check_adamw_step(attempt):
    """adamw_step(weight, gradient, m, v, step, lr, decay): the new weight, m and v; steps are
    counted from 1.
    """
    inputs = []
    for seed, shape in enumerate([(3,), (2, 4), (5, 1)]):
        weight, gradient, m, v = normal(seed, 4, *shape)
        inputs.append(
            (weight, gradient, 0.3 * m, 0.3 * v.abs() + 0.05, seed + 2, 0.3, 0.2 * (seed + 1))
        )
    inputs.append((normal(9, 3), normal(10, 3), torch.zeros(3), torch.zeros(3), 1, 0.01, 0.1))
    for size in (
        0.0,
        1e-5,
    ):  # gradients so small that it matters whether ε is there, and where it stands
        inputs.append(
            (
                normal(11, 3),
                size * normal(12, 3).sign(),
                torch.zeros(3),
                torch.zeros(3),
                1,
                0.1,
                0.1,
            )
        )

    judge(attempt, adamw, inputs, ADAMW_STEP_MISTAKES)


def trapezoid(step, steps, warmup, decay, peak, first=1, last=0):
    """Up in a line, flat, down in a line; `first` and `last` move the two ends."""
    up = peak * (step + first) / warmup if step < warmup else peak
    down = peak * (steps - last - step) / decay if step >= steps - decay else peak
    return min(up, down)


def falling(shape):
    """A trapezoid whose fall has another shape: the share left, 1 to 1/decay, to a factor."""

    def rate(step, steps, warmup, decay, peak):
        left = min(1.0, (steps - step) / decay)
        return min(trapezoid(step, steps, warmup, 1, peak), peak * shape(left))

    return rate


def multiplied_ends(step, steps, warmup, decay, peak):
    return peak * min(1, (step + 1) / warmup) * min(1, (steps - step) / decay)


TRAPEZOID_RATE_MISTAKES = {
    "the first step has the rate 0 and learns nothing: step 0 gets peak · 1 "
    "/ warmup": lambda step, steps, warmup, decay, peak: trapezoid(
        step, steps, warmup, decay, peak, first=0
    ),
    "the last step has the rate 0: it gets peak · 1 / decay": lambda step, steps, warmup, decay, peak: (
        trapezoid(step, steps, warmup, decay, peak, last=1)
    ),
    "both ends have the rate 0: step 0 gets peak / warmup, and the last one "
    "peak / decay": lambda step, steps, warmup, decay, peak: trapezoid(
        step, steps, warmup, decay, peak, first=0, last=1
    ),
    "there is no warm-up": lambda step, steps, warmup, decay, peak: trapezoid(
        step, steps, 1, decay, peak
    ),
    "the rate never falls": lambda step, steps, warmup, decay, peak: trapezoid(
        step, steps, warmup, 1, peak
    ),
    "the rate falls from the end of the warm-up on; it stays at its peak until the last "
    "`decay` steps": lambda step, steps, warmup, decay, peak: trapezoid(
        step, steps, warmup, steps - warmup, peak
    ),
    "the fall lasts `warmup` steps and the rise `decay`: they are "
    "exchanged": lambda step, steps, warmup, decay, peak: trapezoid(
        step, steps, decay, warmup, peak
    ),
    "the fall begins at step `decay`; it takes the last "
    "`decay` steps": lambda step, steps, warmup, decay, peak: trapezoid(
        step, steps, warmup, steps - decay, peak
    ),
    "this is the share of the peak; multiply by peak": lambda step, steps, warmup, decay, peak: (
        trapezoid(step, steps, warmup, decay, 1.0)
    ),
    "the fall is a cosine; it goes down in a line": falling(
        lambda left: 0.5 * (1 - math.cos(math.pi * left))
    ),
    "the fall is a root; it goes down in a line": falling(lambda left: left**0.5),
    "the fall is a square; it goes down in a line": falling(lambda left: left**2),
    "the rise takes one step too many: step number warmup − 1 has the peak "
    "already": lambda step, steps, warmup, decay, peak: trapezoid(
        step, steps, warmup + 1, decay, peak
    ),
    "the fall takes one step too many: it is the last `decay` "
    "steps": lambda step, steps, warmup, decay, peak: trapezoid(
        step, steps, warmup, decay + 1, peak
    ),
    "the fall begins one step too late, or the last step has too high a "
    "rate": lambda step, steps, warmup, decay, peak: trapezoid(
        step, steps + 1, warmup, decay, peak
    ),
    "step number `warmup` got more than the peak: the rise ends one step before "
    "it": lambda step, steps, warmup, decay, peak: (
        peak * (warmup + 1) / warmup
        if step == warmup
        else trapezoid(step, steps, warmup, decay, peak)
    ),
    "the fall was divided by `steps`; it takes `decay` "
    "steps": lambda step, steps, warmup, decay, peak: (
        peak * (steps - step) / steps
        if step >= steps - decay
        else trapezoid(step, steps, warmup, decay, peak)
    ),
    "the warm-up is upside down: it falls": lambda step, steps, warmup, decay, peak: (
        peak * (1 - step / warmup) if step < warmup else trapezoid(step, steps, warmup, decay, peak)
    ),
    "the fall is upside down: it rises": lambda step, steps, warmup, decay, peak: (
        peak * (step - steps + decay + 1) / decay
        if step >= steps - decay
        else trapezoid(step, steps, warmup, decay, peak)
    ),
    "the rate in the flat part is the peak itself; here it is what is left of the "
    "steps": lambda step, steps, warmup, decay, peak: (
        peak * (steps - step) / steps
        if warmup <= step < steps - decay
        else trapezoid(step, steps, warmup, decay, peak)
    ),
    "the rate is a whole number here, cut off by `//` or `int`": lambda *given: int(
        trapezoid(*given)
    ),
}


@exercise_check(
    "trapezoid_rate",
    hints=(
        "which of three lines is the lowest at this step?",
        "the rising line, the flat one and the falling one all exist at every step; the "
        "rate is the smallest of the three. The first step is not zero, and the last one "
        "neither.",
        "`peak * min((step + 1) / warmup, 1, (steps - step) / decay)`",
    ),
)
def check_trapezoid_rate(attempt):
    """trapezoid_rate(step, steps, warmup, decay, peak): up in `warmup` steps, flat, down in the
    last `decay` steps.
    """
    inputs = [(step, 20, 4, 5, 0.5) for step in (0, 1, 3, 4, 10, 14, 15, 17, 19)]
    inputs += [(step, 100, 10, 40, 3e-3) for step in (0, 9, 10, 59, 60, 61, 80, 99)]
    inputs += [(step, 9, 3, 6, 2.0) for step in (0, 2, 3, 8)]  # nothing is flat
    inputs += [(step, 6, 1, 1, 1.5) for step in (0, 3, 5)]
    judge(attempt, trapezoid, inputs, TRAPEZOID_RATE_MISTAKES)


def joint_norm(gradients):
    return sum((g**2).sum() for g in gradients) ** 0.5


def scaled(gradients, factor):
    return [g * factor for g in gradients]


def clipped(gradients, max_norm):
    return scaled(gradients, min(1.0, max_norm / joint_norm(gradients)))


CLIP_GRADIENTS_MISTAKES = {
    "each tensor was clipped by its own norm, which turns the direction of the step: take "
    "one norm over all": lambda gs, limit: [g * min(1.0, limit / g.norm()) for g in gs],
    "each number was clipped, which turns the direction of the step: multiply all by the "
    "same factor": lambda gs, limit: [g.clamp(-limit, limit) for g in gs],
    "small gradients were enlarged: a norm below max_norm stays as it is": lambda gs, limit: scaled(
        gs, limit / joint_norm(gs)
    ),
    "the norm is the root of the sum of squares; the root is missing": lambda gs, limit: scaled(
        gs, min(1.0, limit / joint_norm(gs) ** 2)
    ),
    "the norms of the tensors were added; add their squares, then take the root": lambda gs, limit: (
        scaled(gs, min(1.0, limit / sum(g.norm() for g in gs)))
    ),
    "the norm became 1, not max_norm": lambda gs, limit: (
        scaled(gs, 1 / joint_norm(gs)) if joint_norm(gs) > limit else gs
    ),
    "the largest number was taken for the norm": lambda gs, limit: scaled(
        gs, min(1.0, limit / max(g.abs().max() for g in gs))
    ),
    "the factor is upside down: max_norm / norm": lambda gs, limit: scaled(
        gs, max(1.0, joint_norm(gs) / limit)
    ),
    "nothing was clipped": lambda gs, limit: gs,
    "only the tensor with the largest norm was clipped; all shrink by the same "
    "factor": lambda gs, limit: [
        g * min(1.0, limit / g.norm()) if g.norm() == max(x.norm() for x in gs) else g for g in gs
    ],
    "the squares were averaged; the norm is the root of their sum": lambda gs, limit: scaled(
        gs, min(1.0, limit / (joint_norm(gs) ** 2 / sum(g.numel() for g in gs)) ** 0.5)
    ),
    "the sizes were added up; the norm is the root of the sum of squares": lambda gs, limit: scaled(
        gs, min(1.0, limit / sum(g.abs().sum() for g in gs))
    ),
    "the norm of the first tensor was taken for that of all": lambda gs, limit: scaled(
        gs, min(1.0, limit / gs[0].norm())
    ),
    "the norm was taken of the tensors' means": lambda gs, limit: scaled(
        gs, min(1.0, limit / sum(g.mean() ** 2 for g in gs) ** 0.5)
    ),
    "each tensor got the norm max_norm; one factor for all is asked for": lambda gs, limit: [
        g * limit / g.norm() for g in gs
    ],
    "the numbers lost their signs": lambda gs, limit: [g.abs() for g in clipped(gs, limit)],
    "the sign is turned round": lambda gs, limit: scaled(clipped(gs, limit), -1),
    "this is the factor; multiply every tensor by it": lambda gs, limit: torch.as_tensor(
        min(1.0, limit / joint_norm(gs))
    ),
    "this is the norm; return the gradients": lambda gs, limit: joint_norm(gs),
    "the gradients came back in one flat tensor; return a list of the same "
    "shapes": lambda gs, limit: torch.cat([g.flatten() for g in clipped(gs, limit)]),
}


@exercise_check(
    "clip_gradients",
    hints=(
        "one direction, many tensors: how long is it altogether?",
        "the joint length is the root of all squares of all tensors; if it is too long, "
        "every number shrinks by one and the same factor.",
        "`sum((g**2).sum() for g in gradients) ** 0.5`, and the factor is what is allowed "
        "over that, never above 1",
    ),
)
def check_clip_gradients(attempt):
    """clip_gradients(gradients, max_norm): a list of tensors, shrunk together to a joint norm of at
    most max_norm.
    """
    inputs = []
    for seed, max_norm in enumerate((1.0, 0.3, 100.0, 2.0)):
        inputs.append(
            ([normal(seed, 3, 4), 3 * normal(seed + 10, 5), normal(seed + 20, 2, 2)], max_norm)
        )
    inputs.append(([normal(30, 1)], 0.01))
    judge(attempt, clipped, inputs, CLIP_GRADIENTS_MISTAKES)


def weighted(gradients, counts):
    return sum(g * count for g, count in zip(gradients, counts, strict=True))


def whole_gradient_of(gradients, counts):
    return weighted(gradients, counts) / sum(counts)


WHOLE_GRADIENT_MISTAKES = {
    "each part has the same say; a part with more targets must count for more: weigh by "
    "counts / sum(counts)": lambda gs, counts: sum(gs) / len(gs),
    "the gradients were added without any weights: the step is too large": lambda gs, counts: sum(
        gs
    ),
    "weighted by counts, but not divided by their sum": weighted,
    "divided by the number of parts; divide by the sum of counts": lambda gs, counts: (
        weighted(gs, counts) / len(gs)
    ),
    "divided by the counts: that gives small parts the greater weight": lambda gs, counts: sum(
        g / count for g, count in zip(gs, counts, strict=True)
    ),
    "added up and divided by all targets, as if each part had given a sum; it "
    "gave a mean": lambda gs, counts: sum(gs) / sum(counts),
    "only the last part is left: the gradients were overwritten, not added": lambda gs, counts: gs[
        -1
    ],
    "weighed by the squares of the counts": lambda gs, counts: whole_gradient_of(
        gs, [count**2 for count in counts]
    ),
    "weighed by the roots of the counts": lambda gs, counts: whole_gradient_of(
        gs, [count**0.5 for count in counts]
    ),
    "weighed by a softmax of the counts; a part counts by its share, counts / "
    "sum(counts)": lambda gs, counts: weighted(
        gs, torch.tensor(counts, dtype=torch.float).softmax(0).tolist()
    ),
    "weighed by 1 / counts": lambda gs, counts: whole_gradient_of(
        gs, [1 / count for count in counts]
    ),
    "divided by the largest count; divide by their sum": lambda gs, counts: (
        weighted(gs, counts) / max(counts)
    ),
    "divided by the sum of counts and by the number of parts": lambda gs, counts: (
        whole_gradient_of(gs, counts) / len(gs)
    ),
    "only the first part is left": lambda gs, counts: gs[0],
    "only the largest part is left": lambda gs, counts: gs[counts.index(max(counts))],
    "the counts belong to the other parts: the order is turned round": lambda gs, counts: (
        whole_gradient_of(gs, counts[::-1])
    ),
    "the weighed gradients were not added up": lambda gs, counts: [
        g * count / sum(counts) for g, count in zip(gs, counts, strict=True)
    ],
}


@exercise_check(
    "whole_gradient",
    hints=(
        "how much should a part with twice as many targets say?",
        "a mean times its count is a sum; add the sums up, and divide by all counts together.",
        "`sum(g * count / sum(counts) for g, count in zip(gradients, counts))`",
    ),
)
def check_whole_gradient(attempt):
    """whole_gradient(gradients, counts): from the gradients of the parts' means to that of the mean
    over all targets.
    """
    inputs = []
    for seed, parts in enumerate((2, 3, 5)):
        gradients = [normal(10 * seed + part, 3, 2) for part in range(parts)]
        inputs.append((gradients, whole(seed, 1, 40, parts).tolist()))
    inputs.append(([normal(60, 1, 4)], [7]))
    inputs.append((list(normal(61, 3, 2, 5)), [4, 4, 1]))
    judge(attempt, whole_gradient_of, inputs, WHOLE_GRADIENT_MISTAKES)


def power(p, exponent):
    return p**exponent / (p**exponent).sum()


WITH_TEMPERATURE_MISTAKES = {
    "upside down, or multiplied: p^temperature makes a high temperature sharp; it is "
    "p^(1/temperature)": power,
    "not made to sum to 1 again": lambda p, temperature: p ** (1 / temperature),
    "the probabilities were divided, which the sum undoes: divide their "
    "logarithms": lambda p, temperature: p,
    "the probabilities were divided and put through a softmax: they are no logits, take "
    "their logarithm first": lambda p, temperature: (p / temperature).softmax(dim=0),
    "the probabilities were put through a second softmax": lambda p, temperature: p.softmax(dim=0),
    "this is p / temperature, which does not sum to 1": lambda p, temperature: p / temperature,
    "logarithms came back; the softmax is missing": lambda p, temperature: p.log() / temperature,
    "the probabilities were multiplied and put through a softmax: they are no logits, take "
    "their logarithm first, and divide": lambda p, temperature: (p * temperature).softmax(dim=0),
    "the logarithm has the base 2; the softmax raises e, so take ln": lambda p, temperature: (
        p.log2() / temperature
    ).softmax(dim=0),
    "the logarithm has the base 10; the softmax raises e, so take ln": lambda p, temperature: (
        p.log10() / temperature
    ).softmax(dim=0),
    "1 was added before the logarithm": lambda p, temperature: (p.log1p() / temperature).softmax(
        dim=0
    ),
    "the temperature was used twice": lambda p, temperature: power(p, temperature**-2),
    "the root of the temperature was used": lambda p, temperature: power(p, temperature**-0.5),
    "divided by the largest, not by the sum": lambda p, temperature: (
        (p / p.max()) ** (1 / temperature)
    ),
    "these are the logarithms of the result; `softmax`, not `log_softmax`": lambda p, temperature: (
        power(p, 1 / temperature).log()
    ),
    "the temperature was subtracted": lambda p, temperature: (p.log() - temperature).exp(),
    "this is the likeliest token": lambda p, temperature: p.argmax(),
    "the result has another order: every token must keep its place": lambda p, temperature: (
        power(p, 1 / temperature).sort(descending=True).values
    ),
}


@exercise_check(
    "with_temperature",
    hints=(
        "what are the logits of a distribution, up to a constant?",
        "logarithms are divided by the temperature, which is a power of the probabilities; "
        "then the sum must be 1 again.",
        "`(probabilities.log() / temperature).softmax(dim=0)`",
    ),
)
def check_with_temperature(attempt):
    """with_temperature(probabilities, temperature): what dividing the logits by the temperature
    makes of them.
    """
    inputs = [
        (distribution(seed, 4 + seed), value) for seed, value in enumerate((0.5, 2.0, 0.8, 1.3))
    ]
    inputs += [(torch.tensor([0.0, 0.25, 0.5, 0.25]), 0.7), (distribution(8, 5), 1.0)]
    judge(attempt, lambda p, t: power(p, 1 / t), inputs, WITH_TEMPERATURE_MISTAKES)


def keep_nucleus(probabilities, p, late=True, whole_sum=True, upside=False):
    values, order = probabilities.sort(descending=not upside)
    before = values.cumsum(0) - values
    kept = (before < p) if late else (values.cumsum(0) <= p)
    result = torch.zeros_like(probabilities).scatter(0, order, values * kept)
    return result / result.sum() if whole_sum else result


def keep_in_order(probabilities, p):
    values = probabilities.sort(descending=True).values
    values = values * (values.cumsum(0) - values < p)
    return values / values.sum()


def keep_sorted_where(probabilities, is_kept, backwards=False):
    """Keep those of the sorted tokens for which `is_kept(their sum with, and without, the token
    itself)`.
    """
    values, order = probabilities.sort(descending=True)
    kept = is_kept(values.cumsum(0), values.cumsum(0) - values)
    mask = kept[order] if backwards else torch.zeros_like(kept).scatter(0, order, kept)
    return probabilities * mask / (probabilities * mask).sum()


def keep_unsorted(probabilities, p):
    kept = probabilities * (probabilities.cumsum(0) - probabilities < p)
    return kept / kept.sum()


def keep_above(probabilities, limit):
    kept = probabilities * (probabilities >= limit)
    return kept / kept.sum()


def normed(kept):
    return kept / kept.sum()


def keep_count(probabilities, count):
    """The `count` likeliest."""
    places = probabilities.topk(min(count, len(probabilities))).indices
    return normed(torch.zeros_like(probabilities).scatter(0, places, probabilities[places]))


def kept_by_softmax(probabilities, p):
    kept = keep_nucleus(probabilities, p) > 0
    return probabilities.masked_fill(~kept, -math.inf).softmax(dim=0)


KEEP_TOP_P_MISTAKES = {
    "the token that crosses p was left out: what is kept must hold at least p": lambda probs, p: (
        keep_nucleus(probs, p, late=False)
    ),
    "the token with which p is reached was left out: what is kept must hold "
    "at least p": lambda probs, p: keep_sorted_where(probs, lambda with_it, before: with_it < p),
    "one token too many: where the likelier ones hold p exactly, p is held already": lambda probs, p: (
        keep_sorted_where(probs, lambda with_it, before: before <= p)
    ),
    "`mask[order]` sorts once more; to bring a sorted mask back, write `mask[order] = "
    "sorted_mask`, or use scatter": lambda probs, p: keep_sorted_where(
        probs, lambda with_it, before: before < p, backwards=True
    ),
    "what is kept does not sum to 1: divide by its sum": lambda probs, p: keep_nucleus(
        probs, p, whole_sum=False
    ),
    "the least likely tokens were kept: sort in descending order": lambda probs, p: keep_nucleus(
        probs, p, upside=True
    ),
    "the result is sorted; every token must keep its own place in the vocabulary": keep_in_order,
    "the tokens were taken in the order of the vocabulary; sort them first": keep_unsorted,
    "each token was compared with p; it is the sum of the likelier ones that counts": keep_above,
    "each token was compared with 1 − p; it is the sum of the likelier ones "
    "that counts": lambda probs, p: keep_above(probs, 1 - p),
    "only the likeliest token was kept": lambda probs, p: keep_nucleus(probs, 1e-9),
    "nothing was left out": lambda probs, p: probs,
    "a softmax of the kept probabilities: they are no logits; divide them by their "
    "sum": lambda probs, p: kept_by_softmax(probs, p),
    "a softmax over all places after the zeros were put in: a zero gets something again; divide by "
    "the sum": lambda probs, p: keep_nucleus(probs, p, whole_sum=False).softmax(dim=0),
    "the kept were divided by p; divide by their sum, which is p or more": lambda probs, p: (
        keep_nucleus(probs, p, whole_sum=False) / p
    ),
    "all kept tokens are equally likely here; each keeps its share": lambda probs, p: (
        (keep_nucleus(probs, p) > 0).float() / (keep_nucleus(probs, p) > 0).sum()
    ),
    "this is min-p: a token was compared with p times the likeliest one; it is the sum of the "
    "likelier ones that counts": lambda probs, p: keep_above(probs, p * probs.max()),
    "the kept and the others are exchanged": lambda probs, p: normed(
        probs * (keep_nucleus(probs, p) == 0)
    ),
    "p is a share of the probability, not of the tokens": lambda probs, p: keep_count(
        probs, math.ceil(p * len(probs))
    ),
    "one token too many was kept": lambda probs, p: keep_count(
        probs, int((keep_nucleus(probs, p) > 0).sum()) + 1
    ),
    "the kept hold at least 1 − p; they must hold at least p": lambda probs, p: keep_nucleus(
        probs, 1 - p
    ),
    "these are True and False; return the probabilities": lambda probs, p: (
        keep_nucleus(probs, p) > 0
    ),
    "only the kept came back; the others stay in their places as 0": lambda probs, p: keep_nucleus(
        probs, p
    )[keep_nucleus(probs, p) > 0],
}


@exercise_check(
    "keep_top_p",
    hints=(
        "how much do the likelier tokens hold already, before this one?",
        "sort downwards, add up, and keep a token as long as those before it have not "
        "reached the share; bring what is kept back to its places, and make it sum to 1.",
        "`probabilities.sort(descending=True)`, and keep where `values.cumsum(0) - values < p`",
    ),
)
def check_keep_top_p(attempt):
    """keep_top_p(probabilities, p): the fewest likeliest tokens that hold `p`, the rest 0, sum 1."""
    inputs = [
        (distribution(seed, 5 + seed), p) for seed, p in enumerate((0.5, 0.9, 0.75, 0.05, 0.6))
    ]
    inputs.append((torch.tensor([3 / 16, 1 / 2, 1 / 16, 1 / 4]), 0.75))  # two tokens hold exactly p
    inputs.append(
        (torch.tensor([1 / 4, 1 / 8, 3 / 8, 1 / 4]), 0.875)
    )  # equals, but not at the border
    inputs += [(distribution(6, 4), 1.0), (torch.ones(1), 0.5)]

    judge(attempt, keep_nucleus, inputs, KEEP_TOP_P_MISTAKES)
