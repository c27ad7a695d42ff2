"""Self-checks for the exercises of chapter 5. How a check works is told in chapter 2's checks.py.

Each check has a reference, random inputs of several shapes, and the typical mistakes with the code
that makes them.
"""

import math

import torch

from ch05_01_main_chapter_code.previous_chapters import exercise_check, judge, normal, whole


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
}


@exercise_check("perplexity")
def check_perplexity(attempt):
    """perplexity(logits, targets): e to the mean loss over the targets that are not −100, a tensor
    without axes.
    """
    inputs = []
    for seed, (tokens, vocab) in enumerate([(6, 5), (3, 9), (12, 4), (7, 7)]):
        targets = whole(seed + 20, 0, vocab, tokens)
        targets[tokens - seed :] = -100  # the first row has no padding
        inputs.append((2 * normal(seed, tokens, vocab), targets))

    judge(attempt, lambda x, t: real_losses(x, t).mean().exp(), inputs, PERPLEXITY_MISTAKES)


@exercise_check("bits_per_byte")
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

    def bits(loss, n_targets, text, base=2.0):
        return loss * n_targets / math.log(base) / len(text.encode("utf-8"))

    mistakes = {
        "these are nats; a bit is ln 2 nats, so divide by ln 2": lambda loss, n, text: bits(
            loss, n, text, math.e
        ),
        "multiplied by ln 2, not divided: there are more bits than nats": lambda loss, n, text: (
            loss * n * math.log(2) / len(text.encode("utf-8"))
        ),
        "divided by the number of characters; é has two bytes, “ has three: use "
        "len(text.encode('utf-8'))": lambda loss, n, text: loss * n / math.log(2) / len(text),
        "the loss is that of one target; the text has n_targets of them": lambda loss, n, text: (
            bits(loss, 1, text)
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
    }
    judge(attempt, bits, inputs, mistakes)


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
):
    """One step of AdamW; the options are the mistakes that the check knows."""
    if not separate:
        gradient = gradient + decay * weight
    m = betas[0] * m + (1 - betas[0]) * gradient
    v = betas[1] * v + (1 - betas[1]) * gradient**2
    m_hat, v_hat = (m / (1 - betas[0] ** step), v / (1 - betas[1] ** step)) if correct else (m, v)
    move = m_hat / (((v_hat + inside) ** 0.5 if root else v_hat) + eps)
    return weight * (1 - lr * decay * separate) + sign * lr * move, m, v


def adamw_corrected_kept(*args):
    weight, m, v = adamw(*args)
    return weight, m / (1 - 0.9 ** args[4]), v / (1 - 0.99 ** args[4])


def adamw_decayed_afterwards(weight, gradient, m, v, step, lr, decay):
    weight, m, v = adamw(weight, gradient, m, v, step, lr, 0.0)
    return weight * (1 - lr * decay), m, v


ADAMW_STEP_MISTAKES = {
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


@exercise_check("adamw_step")
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


@exercise_check("trapezoid_rate")
def check_trapezoid_rate(attempt):
    """trapezoid_rate(step, steps, warmup, decay, peak): up in `warmup` steps, flat, down in the
    last `decay` steps.
    """
    inputs = [(step, 20, 4, 5, 0.5) for step in (0, 1, 3, 4, 10, 14, 15, 17, 19)]
    inputs += [(step, 100, 10, 40, 3e-3) for step in (0, 9, 10, 59, 60, 61, 80, 99)]
    mistakes = {
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
    }
    judge(attempt, trapezoid, inputs, mistakes)


@exercise_check("clip_gradients")
def check_clip_gradients(attempt):
    """clip_gradients(gradients, max_norm): a list of tensors, shrunk together to a joint norm of at
    most max_norm.
    """
    inputs = []
    for seed, max_norm in enumerate((1.0, 0.3, 100.0, 2.0)):
        inputs.append(
            ([normal(seed, 3, 4), 3 * normal(seed + 10, 5), normal(seed + 20, 2, 2)], max_norm)
        )

    def norm(gradients):
        return sum((g**2).sum() for g in gradients) ** 0.5

    def scaled(gradients, factor):
        return [g * factor for g in gradients]

    def reference(gradients, max_norm):
        return scaled(gradients, min(1.0, max_norm / norm(gradients)))

    mistakes = {
        "each tensor was clipped by its own norm, which turns the direction of the step: take "
        "one norm over all": lambda gs, limit: [g * min(1.0, limit / g.norm()) for g in gs],
        "each number was clipped, which turns the direction of the step: multiply all by the "
        "same factor": lambda gs, limit: [g.clamp(-limit, limit) for g in gs],
        "small gradients were enlarged: a norm below max_norm stays as it is": lambda gs, limit: (
            scaled(gs, limit / norm(gs))
        ),
        "the norm is the root of the sum of squares; the root is missing": lambda gs, limit: scaled(
            gs, min(1.0, limit / norm(gs) ** 2)
        ),
        "the norms of the tensors were added; add their squares, then take the root": lambda gs, limit: (
            scaled(gs, min(1.0, limit / sum(g.norm() for g in gs)))
        ),
        "the norm became 1, not max_norm": lambda gs, limit: (
            scaled(gs, 1 / norm(gs)) if norm(gs) > limit else gs
        ),
        "the largest number was taken for the norm": lambda gs, limit: scaled(
            gs, min(1.0, limit / max(g.abs().max() for g in gs))
        ),
        "the factor is upside down: max_norm / norm": lambda gs, limit: scaled(
            gs, max(1.0, norm(gs) / limit)
        ),
        "nothing was clipped": lambda gs, limit: gs,
    }
    judge(attempt, reference, inputs, mistakes)


@exercise_check("whole_gradient")
def check_whole_gradient(attempt):
    """whole_gradient(gradients, counts): from the gradients of the parts' means to that of the mean
    over all targets.
    """
    inputs = []
    for seed, parts in enumerate((2, 3, 5)):
        gradients = [normal(10 * seed + part, 3, 2) for part in range(parts)]
        inputs.append((gradients, whole(seed, 1, 40, parts).tolist()))

    def weighted(gradients, counts):
        return sum(g * count for g, count in zip(gradients, counts, strict=True))

    mistakes = {
        "each part has the same say; a part with more targets must count for more: weigh by "
        "counts / sum(counts)": lambda gs, counts: sum(gs) / len(gs),
        "the gradients were added without any weights: the step is too large": lambda gs, counts: (
            sum(gs)
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
        "only the last part is left: the gradients were overwritten, not added": lambda gs, counts: (
            gs[-1]
        ),
    }
    judge(attempt, lambda gs, counts: weighted(gs, counts) / sum(counts), inputs, mistakes)


@exercise_check("with_temperature")
def check_with_temperature(attempt):
    """with_temperature(probabilities, temperature): what dividing the logits by the temperature
    makes of them.
    """
    inputs = [
        (distribution(seed, 4 + seed), value) for seed, value in enumerate((0.5, 2.0, 0.8, 1.3))
    ]

    def power(p, exponent):
        return p**exponent / (p**exponent).sum()

    mistakes = {
        "upside down, or multiplied: p^temperature makes a high temperature sharp; it is "
        "p^(1/temperature)": power,
        "not made to sum to 1 again": lambda p, temperature: p ** (1 / temperature),
        "the probabilities were divided, which the sum undoes: divide their "
        "logarithms": lambda p, temperature: p,
        "the probabilities were divided and put through a softmax: they are no logits, take "
        "their logarithm first": lambda p, temperature: (p / temperature).softmax(dim=0),
        "the probabilities were put through a second softmax": lambda p, temperature: p.softmax(
            dim=0
        ),
        "this is p / temperature, which does not sum to 1": lambda p, temperature: p / temperature,
        "logarithms came back; the softmax is missing": lambda p, temperature: (
            p.log() / temperature
        ),
    }
    judge(attempt, lambda p, temperature: power(p, 1 / temperature), inputs, mistakes)


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
}


@exercise_check("keep_top_p")
def check_keep_top_p(attempt):
    """keep_top_p(probabilities, p): the fewest likeliest tokens that hold `p`, the rest 0, sum 1."""
    inputs = [
        (distribution(seed, 5 + seed), p) for seed, p in enumerate((0.5, 0.9, 0.75, 0.05, 0.6))
    ]
    inputs.append((torch.tensor([3 / 16, 1 / 2, 1 / 16, 1 / 4]), 0.75))  # two tokens hold exactly p

    judge(attempt, keep_nucleus, inputs, KEEP_TOP_P_MISTAKES)
