"""Wrong answers to the exercises of chapter 5, each with the mistake that its reader must be told,
and right answers of unusual form. What the tables mean is told in tools/mutants.py.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F

from ch05_01_main_chapter_code import checks
from scratch_llm_tools.mutants import MutantTests

LOSSES = "-log_p.gather(1, targets[kept][:, None])"
TEMPERED = "p = probabilities ** (1 / temperature)\n    return p / p.sum()"
TRAPEZOID = "def trapezoid_rate(step, steps, warmup, decay, peak):\n    return "

MUTANTS = {
    "perplexity": (
        """
def perplexity(logits, targets):
    kept = targets != -100
    log_p = logits[kept].log_softmax(dim=-1)
    losses = -log_p.gather(1, targets[kept][:, None])
    return losses.mean().exp()
""",
        [
            ("this is the loss, in nats", ".mean().exp()", ".mean()"),
            ("e was raised to each loss", ".mean().exp()", ".exp().mean()"),
            ("not 2", "losses.mean().exp()", "2 ** losses.mean()"),
            (
                "the number of targets that are not",
                ".mean().exp()",
                ".sum().div(len(targets)).exp()",
            ),
            (
                "a target of −100 is no token; leave",
                "kept = targets != -100",
                "kept, targets = targets > -101, targets.clamp(min=0)",
            ),
            ("the sign is wrong", "losses = -log_p", "losses = log_p"),
            ("the losses were added up", ".mean()", ".sum()"),
            ("logits are no logarithms", ".log_softmax(dim=-1)", ""),
            ("the logarithm is missing", ".log_softmax", ".softmax"),
            ("the softmax came before", ".log_softmax", ".softmax(dim=-1).log_softmax"),
            ("1 divided by that", "losses.mean().exp()", "1 / losses.neg().exp().mean()"),
            (
                "went along the tokens",
                "logits[kept].log_softmax(dim=-1)",
                "logits.log_softmax(dim=0)[kept]",
            ),
            ("10 was raised", "losses.mean().exp()", "10 ** losses.mean()"),
            ("targets with the id 0", "targets != -100", "targets > 0"),
            (
                "shifted once more",
                "    kept = ",
                "    logits, targets = logits[:-1], targets[1:]\n    kept = ",
            ),
            ("`gather` takes no −100", "kept = targets != -100", "kept = slice(None)"),
            (
                "no row can be asked",
                "kept = targets != -100",
                "kept = slice(None)",
                LOSSES,
                "-log_p[range(len(targets)), targets]",
            ),
            ("over the whole vocabulary", LOSSES, "-log_p"),
            ("divided by ln 2 and e raised", ".mean()", ".mean().div(math.log(2))"),
            ("only the last target", ".mean()", "[-1, 0]"),
            ("it is a float", ".exp()", ".exp().item()"),
            ("", ".mean()", ".median()"),
        ],
        [
            ("losses.mean().exp()", "torch.exp2(losses.mean() / math.log(2))"),
            (
                "def perplexity(logits, targets):\n    return F.cross_entropy(logits, targets).exp()\n",
            ),
            ("losses.mean().exp()", "1 / log_p.gather(1, targets[kept][:, None]).mean().exp()"),
            ("return losses.mean().exp()", "return np.exp(losses.mean().numpy())"),
        ],
    ),
    "bits_per_byte": (
        """
def bits_per_byte(loss, n_targets, text):
    return loss * n_targets / math.log(2) / len(text.encode("utf-8"))
""",
        [
            ("these are nats; a bit", " / math.log(2)", ""),
            ("multiplied by ln 2", "/ math.log(2)", "* math.log(2)"),
            ("the number of characters", '.encode("utf-8")', ""),
            ("the loss is that of one target", " * n_targets", ""),
            ("divided by n_targets", "* n_targets", "/ n_targets"),
            (
                "the bytes are missing",
                '* n_targets / math.log(2) / len(text.encode("utf-8"))',
                "/ math.log(2)",
            ),
            ("the loss of the whole text in bits", ' / len(text.encode("utf-8"))', ""),
            ("upside down", "return ", "return 1 / (", '"utf-8"))', '"utf-8")))'),
            ("are exchanged", "* n_targets", "/ n_targets", "/ len", "* len"),
            ("log with base 10", "math.log(2)", "math.log10(2)"),
            ("UTF-16", "utf-8", "utf-16"),
            ("the number of words", 'text.encode("utf-8")', "text.split()"),
            ("nats per character", " / math.log(2)", "", '.encode("utf-8")', ""),
            ("divided by ln 2 twice", "math.log(2)", "math.log(2) ** 2"),
            ("one target was left out", "n_targets /", "(n_targets - 1) /"),
            ("one target too many", "n_targets /", "(n_targets + 1) /"),
            ("bytes per byte", "return ", "return 1 / 8 * "),
            ("multiplied by 8", "return ", "return 8 * "),
            (
                "the logarithm of the loss",
                "loss * n_targets / math.log(2)",
                "math.log2(loss) * n_targets",
            ),
            ("2 was raised", "return ", "return 2 ** (", '"utf-8"))', '"utf-8")))'),
            ("", "return ", "return 0.3 * "),
        ],
        [
            (
                ' / math.log(2) / len(text.encode("utf-8"))',
                " * math.log2(math.e) / len(bytes(text, 'utf-8'))",
            ),
            ("return ", "return torch.tensor(1.0, dtype=torch.double) * "),
            ("return ", "return np.float64(1) * "),
        ],
    ),
    "adamw_step": (
        """
def adamw_step(weight, gradient, m, v, step, lr, decay):
    m = 0.9 * m + 0.1 * gradient
    v = 0.99 * v + 0.01 * gradient**2
    m_hat = m / (1 - 0.9**step)
    v_hat = v / (1 - 0.99**step)
    move = m_hat / (v_hat.sqrt() + 1e-8)
    return weight - lr * decay * weight - lr * move, m, v
""",
        [
            ("m and v are not corrected", " / (1 - 0.9**step)", "", " / (1 - 0.99**step)", ""),
            (
                "Adam with L2",
                "    m = 0.9",
                "    gradient = gradient + decay * weight\n    m = 0.9",
                " - lr * decay * weight",
                "",
            ),
            ("the weight decay is missing", " - lr * decay * weight", ""),
            ("the root is missing", ".sqrt()", ""),
            ("ε stands under the root", "v_hat.sqrt() + 1e-8", "(v_hat + 1e-8).sqrt()"),
            ("ε is missing", " + 1e-8", ""),
            (
                "taken off the new weight",
                "weight - lr * decay * weight - lr * move",
                "(weight - lr * move) * (1 - lr * decay)",
            ),
            ("lr is missing in the decay", "lr * decay", "decay"),
            ("the weight is missing in the decay", "lr * decay * weight", "lr * decay"),
            ("not 0.999", "0.99 * v + 0.01", "0.999 * v + 0.001", "0.99**step", "0.999**step"),
            ("uphill", "- lr * move", "+ lr * move"),
            (
                "the decay rates are exchanged",
                "0.9 * m + 0.1",
                "0.99 * m + 0.01",
                "0.99 * v + 0.01",
                "0.9 * v + 0.1",
                "(1 - 0.9**step)",
                "(1 - 0.99**(step))",
                "(1 - 0.99**step)",
                "(1 - 0.9**step)",
            ),
            (
                "yours are one too many",
                "0.9**step",
                "0.9 ** (step + 1)",
                "0.99**step",
                "0.99 ** (step + 1)",
            ),
            (
                "yours are one too few",
                "0.9**step",
                "0.9 ** (step - 1)",
                "0.99**step",
                "0.99 ** (step - 1)",
            ),
            ("the corrected m and v were handed back", "move, m, v", "move, m_hat, v_hat"),
            (
                "shares are upside down",
                "0.9 * m + 0.1",
                "0.1 * m + 0.9",
                "0.99 * v + 0.01",
                "0.01 * v + 0.99",
                "0.9**step",
                "0.1**step",
                "0.99**step",
                "0.01**step",
            ),
            (
                "the old m and v were handed back",
                "    m = 0.9",
                "    old = m, v\n    m = 0.9",
                "move, m, v",
                "move, *old",
            ),
            ("only the weight came back", "move, m, v", "move"),
            (
                "made with the old m;",
                "    m = 0.9 * m",
                "    old = m\n    m = 0.9 * m",
                "m_hat = m",
                "m_hat = old",
            ),
            (
                "made with the old v;",
                "    v = 0.99 * v",
                "    old = v\n    v = 0.99 * v",
                "v_hat = v",
                "v_hat = old",
            ),
            (
                "made with the old m and v;",
                "    m = 0.9 * m",
                "    old_m, old_v = m, v\n    m = 0.9 * m",
                "m_hat = m",
                "m_hat = old_m",
                "v_hat = v",
                "v_hat = old_v",
            ),
            ("only m was corrected", " / (1 - 0.99**step)", ""),
            ("only v was corrected", " / (1 - 0.9**step)", ""),
            ("not squared", "gradient**2", "gradient"),
            ("m takes 1 − 0.9", "0.1 * gradient", "gradient"),
            ("v takes 1 − 0.99", "0.01 * gradient", "gradient"),
            (
                "v was corrected after the root",
                "v / (1 - 0.99**step)",
                "v",
                "v_hat.sqrt()",
                "v_hat.sqrt() / (1 - 0.99**step)",
            ),
            ("not multiplied by it", "0.9**step", "0.9 * step", "0.99**step", "0.99 * step"),
            ("lr is missing in the step", "- lr * move", "- move"),
            ("plain gradient descent", "m_hat / (v_hat.sqrt() + 1e-8)", "gradient"),
            ("v is not used", " / (v_hat.sqrt() + 1e-8)", ""),
            ("m is not used", "move = m_hat", "move = gradient"),
            ("the decay makes the weight grow", "weight - lr * decay", "weight + lr * decay"),
            ("in the wrong order", "move, m, v", "move, v, m"),
            ("", "0.9 * m", "0.8 * m"),
        ],
        [
            ("    m = 0.9 * m + 0.1 * gradient\n", "    m.lerp_(gradient, 0.1)\n"),
            ("weight - lr * decay * weight - lr * move", "weight * (1 - lr * decay) - lr * move"),
            ("move, m, v", "move, m.tolist(), v.numpy()"),
            (
                "return weight - lr * decay * weight - lr * move, m, v",
                "return [weight - lr * (decay * weight + move), m, v]",
            ),
        ],
    ),
    "trapezoid_rate": (
        """
def trapezoid_rate(step, steps, warmup, decay, peak):
    if step < warmup and step < steps - decay:
        return peak * (step + 1) / warmup
    return peak * min(1, (steps - step) / decay)
""",
        [
            ("the first step has the rate 0 and", "(step + 1)", "step"),
            ("the last step has the rate 0: it", "(steps - step)", "(steps - step - 1)"),
            (
                "both ends have the rate 0",
                "(step + 1)",
                "step",
                "(steps - step)",
                "(steps - step - 1)",
            ),
            ("there is no warm-up", "(step + 1) / warmup", "1"),
            ("the rate never falls", " * min(1, (steps - step) / decay)", ""),
            (
                "from the end of the warm-up on",
                "(steps - step) / decay",
                "(steps - step) / (steps - warmup)",
            ),
            ("they are exchanged", "    if step", "    warmup, decay = decay, warmup\n    if step"),
            (
                "the fall begins at step `decay`",
                "(steps - step) / decay",
                "(steps - step) / (steps - decay)",
            ),
            ("this is the share of the peak", "    if step", "    peak = 1\n    if step"),
            (
                "a cosine",
                "min(1, (steps - step) / decay)",
                "(1 - math.cos(math.pi * min(1, (steps - step) / decay))) / 2",
            ),
            (
                "a root",
                "min(1, (steps - step) / decay)",
                "math.sqrt(min(1, (steps - step) / decay))",
            ),
            ("a square", "min(1, (steps - step) / decay)", "min(1, (steps - step) / decay) ** 2"),
            (
                "the rise takes one step too many",
                "step < warmup",
                "step <= warmup",
                "/ warmup",
                "/ (warmup + 1)",
            ),
            (
                "the fall takes one step too many",
                "/ decay",
                "/ (decay + 1)",
                "steps - decay:",
                "steps - decay - 1:",
            ),
            (
                "more than the peak",
                TRAPEZOID.replace("return ", "if step <= warmup:\n        return ")
                + "peak * (step + 1) / warmup\n"
                + "    return peak * min(1, (steps - step) / decay)\n",
            ),
            (
                "the fall was divided by `steps`",
                "min(1, (steps - step) / decay)",
                "(1 if step < steps - decay else (steps - step) / steps)",
            ),
            ("one step too late", "(steps - step)", "(steps + 1 - step)"),
            ("the warm-up is upside down", "(step + 1) / warmup", "(1 - step / warmup)"),
            (
                "the fall is upside down",
                "min(1, (steps - step) / decay)",
                "(1 if step < steps - decay else (step - steps + decay + 1) / decay)",
            ),
            (
                "what is left of the steps",
                "min(1, (steps - step) / decay)",
                "((steps - step) / decay if step >= steps - decay else (steps - step) / steps)",
            ),
            (
                "a whole number here",
                "peak * (step + 1) / warmup",
                "int(peak * (step + 1) / warmup)",
                "peak * min(1, (steps - step) / decay)",
                "int(peak * min(1, (steps - step) / decay))",
            ),
            ("", "min(1, (steps", "min(0.9, (steps"),
        ],
        [
            (TRAPEZOID + "peak * min((step + 1) / warmup, 1, (steps - step) / decay)\n",),
            (
                TRAPEZOID
                + "peak * np.minimum(min((step + 1) / warmup, 1), (steps - step) / decay)\n",
            ),
            (
                "return peak * min(1, (steps - step) / decay)",
                "return torch.tensor(peak * min(1, (steps - step) / decay))",
            ),
        ],
    ),
    "clip_gradients": (
        """
def clip_gradients(gradients, max_norm):
    norm = sum((g**2).sum() for g in gradients).sqrt()
    factor = max_norm / norm if norm > max_norm else 1
    return [g * factor for g in gradients]
""",
        [
            (
                "clipped by its own norm",
                "[g * factor for g in gradients]",
                "[g * min(1, max_norm / g.norm()) for g in gradients]",
            ),
            ("each number was clipped", "g * factor for", "g.clamp(-max_norm, max_norm) for"),
            ("small gradients were enlarged", " if norm > max_norm else 1", ""),
            ("the root is missing", ".sqrt()", ""),
            (
                "the norms of the tensors were added",
                "sum((g**2).sum() for g in gradients).sqrt()",
                "sum(g.norm() for g in gradients)",
            ),
            ("became 1, not max_norm", "max_norm / norm", "1 / norm"),
            (
                "the largest number",
                "sum((g**2).sum() for g in gradients).sqrt()",
                "max(g.abs().max() for g in gradients)",
            ),
            ("upside down", "max_norm / norm", "norm / max_norm"),
            ("nothing was clipped", "g * factor", "g"),
            (
                "only the tensor with the largest norm",
                "[g * factor for g in gradients]",
                "[g * (min(1, max_norm / g.norm()) if g.norm() == max(h.norm() "
                "for h in gradients) else 1) for g in gradients]",
            ),
            (
                "the squares were averaged",
                "sum((g**2).sum() for g in gradients).sqrt()",
                "torch.cat([g.flatten() for g in gradients]).square().mean().sqrt()",
            ),
            (
                "the sizes were added up",
                "sum((g**2).sum() for g in gradients).sqrt()",
                "sum(g.abs().sum() for g in gradients)",
            ),
            (
                "the norm of the first tensor",
                "sum((g**2).sum() for g in gradients).sqrt()",
                "gradients[0].norm()",
            ),
            ("the tensors' means", "(g**2).sum()", "g.mean() ** 2"),
            (
                "each tensor got the norm",
                "[g * factor for g in gradients]",
                "[g / g.norm() * max_norm for g in gradients]",
            ),
            ("lost their signs", "g * factor", "g.abs() * factor"),
            ("the sign is turned round", "g * factor", "-g * factor"),
            (
                "this is the factor",
                "[g * factor for g in gradients]",
                "torch.tensor(float(factor))",
            ),
            ("this is the norm; return", "[g * factor for g in gradients]", "norm"),
            (
                "one flat tensor",
                "[g * factor for g in gradients]",
                "torch.cat([g.flatten() for g in gradients]) * factor",
            ),
            ("", "g * factor", "g * factor * 0.9"),
        ],
        [
            ("max_norm / norm if", "max_norm / (norm + 1e-6) if"),
            (
                "sum((g**2).sum() for g in gradients).sqrt()",
                "torch.cat([g.ravel() for g in gradients]).norm()",
            ),
            (
                "sum((g**2).sum() for g in gradients).sqrt()",
                "math.hypot(*(float(g.norm()) for g in gradients))",
            ),
            ("[g * factor for g in gradients]", "tuple((g * factor).numpy() for g in gradients)"),
            (
                "    return [g * factor for g in gradients]",
                "    for g in gradients:\n        g *= factor\n    return gradients",
            ),
        ],
    ),
    "whole_gradient": (
        """
def whole_gradient(gradients, counts):
    total = sum(counts)
    return sum(g * n / total for g, n in zip(gradients, counts))
""",
        [
            ("each part has the same say", "g * n / total", "g / len(counts)"),
            ("without any weights", "g * n / total", "g"),
            ("not divided by their sum", "g * n / total", "g * n"),
            (
                "divided by the number of parts; divide",
                "total = sum(counts)",
                "total = len(counts)",
            ),
            ("gives small parts", "g * n / total", "g / n"),
            ("as if each part had given a sum", "g * n / total", "g / total"),
            (
                "only the last part",
                "sum(g * n / total for g, n in zip(gradients, counts))",
                "gradients[-1]",
            ),
            (
                "the squares of the counts",
                "total = sum(counts)",
                "counts = [n * n for n in counts]\n    total = sum(counts)",
            ),
            (
                "the roots of the counts",
                "total = sum(counts)",
                "counts = [n**0.5 for n in counts]\n    total = sum(counts)",
            ),
            (
                "a softmax of the counts",
                "g * n / total",
                "g * n",
                "total = sum(counts)",
                "counts = torch.tensor(counts).float().softmax(0)",
            ),
            (
                "weighed by 1 / counts",
                "total = sum(counts)",
                "counts = [1 / n for n in counts]\n    total = sum(counts)",
            ),
            ("the largest count", "sum(counts)", "max(counts)"),
            ("and by the number of parts", "sum(counts)", "sum(counts) * len(counts)"),
            (
                "only the first part",
                "sum(g * n / total for g, n in zip(gradients, counts))",
                "gradients[0]",
            ),
            (
                "only the largest part",
                "sum(g * n / total for g, n in zip(gradients, counts))",
                "gradients[int(np.argmax(counts))]",
            ),
            (
                "the order is turned round",
                "zip(gradients, counts)",
                "zip(gradients, reversed(counts))",
            ),
            (
                "were not added up",
                "sum(g * n / total for g, n in zip(gradients, counts))",
                "[g * n / total for g, n in zip(gradients, counts)]",
            ),
            ("", "g * n / total", "g * n / (total + 1)"),
        ],
        [
            (
                "sum(g * n / total for g, n in zip(gradients, counts))",
                "np.average(np.stack(gradients), axis=0, weights=counts)",
            ),
            (
                "sum(g * n / total for g, n in zip(gradients, counts))",
                "torch.einsum('p...,p->...', torch.stack(gradients), torch.tensor(counts) / total)",
            ),
            (
                "sum(g * n / total for g, n in zip(gradients, counts))",
                "sum(g * n / total for g, n in zip(gradients, counts)).tolist()",
            ),
        ],
    ),
    "with_temperature": (
        """
def with_temperature(probabilities, temperature):
    p = probabilities ** (1 / temperature)
    return p / p.sum()
""",
        [
            ("upside down, or multiplied", "1 / temperature", "temperature"),
            ("not made to sum to 1", "p / p.sum()", "p"),
            ("which the sum undoes", "** (1 / temperature)", "/ temperature"),
            (
                "were divided and put through a softmax",
                TEMPERED,
                "return (probabilities / temperature).softmax(0)",
            ),
            ("a second softmax", TEMPERED, "return probabilities.softmax(0)"),
            ("this is p / temperature", TEMPERED, "return probabilities / temperature"),
            ("logarithms came back", TEMPERED, "return probabilities.log() / temperature"),
            (
                "were multiplied and put",
                TEMPERED,
                "return (probabilities * temperature).softmax(0)",
            ),
            ("the base 2", TEMPERED, "return (torch.log2(probabilities) / temperature).softmax(0)"),
            (
                "the base 10",
                TEMPERED,
                "return (torch.log10(probabilities) / temperature).softmax(0)",
            ),
            (
                "1 was added",
                TEMPERED,
                "return ((1 + probabilities).log() / temperature).softmax(0)",
            ),
            ("used twice", "1 / temperature", "1 / temperature**2"),
            ("the root of the temperature", "1 / temperature", "1 / math.sqrt(temperature)"),
            ("divided by the largest", "p.sum()", "p.max()"),
            (
                "these are the logarithms of the result",
                TEMPERED,
                "return F.log_softmax(probabilities.log() / temperature, 0)",
            ),
            (
                "the temperature was subtracted",
                TEMPERED,
                "return torch.exp(probabilities.log() - temperature)",
            ),
            ("this is the likeliest token", "p / p.sum()", "p.argmax()"),
            (
                "the result has another order",
                "p / p.sum()",
                "(p / p.sum()).sort(descending=True)[0]",
            ),
            ("", "1 / temperature", "1 / temperature + 1"),
        ],
        [
            (TEMPERED, "return (probabilities.log() / temperature).softmax(dim=0)"),
            (TEMPERED, "return F.normalize(probabilities ** (1 / temperature), p=1, dim=0)"),
            ("p / p.sum()", "(p / p.sum()).numpy()"),
            ("p / p.sum()", "(p / p.sum()).tolist()"),
        ],
    ),
    "keep_top_p": (
        """
def keep_top_p(probabilities, p):
    values, order = probabilities.sort(descending=True)
    keep = values.cumsum(0) - values < p
    kept = torch.zeros_like(probabilities)
    kept[order] = values * keep
    return kept / kept.sum()
""",
        [
            ("the token that crosses p", "values.cumsum(0) - values < p", "values.cumsum(0) <= p"),
            ("with which p is reached", "values.cumsum(0) - values < p", "values.cumsum(0) < p"),
            ("one token too many: where", "< p", "<= p"),
            (
                "`mask[order]` sorts once more",
                "kept[order] = values * keep",
                "kept = probabilities * keep[order]",
            ),
            ("does not sum to 1", "kept / kept.sum()", "kept"),
            ("the least likely", "descending=True", "descending=False"),
            ("the result is sorted", "kept[order] = values * keep", "kept = values * keep"),
            (
                "in the order of the vocabulary",
                "probabilities.sort(descending=True)",
                "(probabilities, torch.arange(len(probabilities)))",
            ),
            ("each token was compared with p", "values.cumsum(0) - values < p", "values >= p"),
            ("compared with 1 − p", "values.cumsum(0) - values < p", "values >= 1 - p"),
            ("only the likeliest", "values.cumsum(0) - values < p", "values == values[0]"),
            ("nothing was left out", "return kept / kept.sum()", "return probabilities"),
            (
                "a softmax of the kept",
                "kept / kept.sum()",
                "kept.masked_fill(kept == 0, -math.inf).softmax(0)",
            ),
            ("a softmax over all places", "kept / kept.sum()", "kept.softmax(0)"),
            ("were divided by p", "kept / kept.sum()", "kept / p"),
            ("equally likely here", "values * keep", "keep.float()"),
            ("this is min-p", "values.cumsum(0) - values < p", "values >= p * values[0]"),
            ("the kept and the others", "values * keep", "values * ~keep"),
            (
                "not of the tokens",
                "values.cumsum(0) - values < p",
                "torch.arange(len(values)) < p * len(values)",
            ),
            (
                "one token too many was kept",
                "values.cumsum(0) - values < p",
                "(values.cumsum(0) - values < p).roll(1).index_fill(0, torch.tensor([0]), True)",
            ),
            ("at least 1 − p", "< p", "< 1 - p"),
            ("True and False", "kept / kept.sum()", "kept > 0"),
            ("only the kept came back", "kept / kept.sum()", "kept[kept > 0] / kept.sum()"),
            ("", "kept / kept.sum()", "0.99 * kept / kept.sum()"),
        ],
        [
            (
                "    values, order = probabilities.sort(descending=True)\n "
                "   keep = values.cumsum(0) - values < p",
                "    values, order = probabilities.sort()\n    keep = values.cumsum(0) > 1 - p + 1e-7",
            ),
            (
                "    kept[order] = values * keep\n",
                "    kept = probabilities * torch.zeros_like(keep).scatter(0, order, keep)\n",
            ),
            ("kept / kept.sum()", "(kept / kept.sum()).tolist()"),
            ("kept / kept.sum()", "F.normalize(kept, p=1, dim=0).numpy()"),
        ],
    ),
}


class TestMutants(MutantTests):
    checks, mutants = checks, MUTANTS
    names = {"torch": torch, "F": F, "math": math, "np": np}
