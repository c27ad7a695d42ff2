"""Self-checks for the exercises of preference-tuning-with-dpo.ipynb.

How a check works is told in chapter 2's checks.py.
"""

import torch
import torch.nn.functional as F

from ch07_01_main_chapter_code.previous_chapters import (
    answer,
    exercise_check,
    hint,
    judge,
    predict,
    seeded,
    show_progress,
)

__all__ = ["answer", "hint", "predict", "show_progress"]  # for the notebook, with every check


def margins(better, worse, reference_better, reference_worse):
    return (better - reference_better) - (worse - reference_worse)


def preference(b, w, rb, rw, beta):
    return -F.logsigmoid(beta * margins(b, w, rb, rw)).mean()


DPO_LOSS_MISTAKES = {
    "the reference is missing: then nothing holds the model where it was": lambda b, w, rb, rw, beta: (
        -F.logsigmoid(beta * (b - w)).mean()
    ),
    "the gain is turned round: better and worse are exchanged, or model and "
    "reference": lambda b, w, rb, rw, beta: preference(w, b, rw, rb, beta),
    "beta is missing": lambda b, w, rb, rw, beta: preference(b, w, rb, rw, 1.0),
    "divided by beta; it multiplies": lambda b, w, rb, rw, beta: preference(b, w, rb, rw, 1 / beta),
    "the logarithm of the sigmoid is missing": lambda b, w, rb, rw, beta: (
        -beta * margins(b, w, rb, rw).mean()
    ),
    "this is the sigmoid, without the logarithm": lambda b, w, rb, rw, beta: (
        -torch.sigmoid(beta * margins(b, w, rb, rw)).mean()
    ),
    "the minus sign is missing": lambda *given: -preference(*given),
    "this is a sum; the loss is the mean over the pairs": lambda b, w, rb, rw, beta: (
        preference(b, w, rb, rw, beta) * len(b)
    ),
    "the mean came before the sigmoid; each pair has a loss of its own": lambda b, w, rb, rw, beta: (
        -F.logsigmoid(beta * margins(b, w, rb, rw).mean())
    ),
    "the reference was added; it is subtracted": lambda b, w, rb, rw, beta: (
        -F.logsigmoid(beta * (b + rb - w - rw)).mean()
    ),
    "these are the losses of each pair; return their mean": lambda b, w, rb, rw, beta: (
        -F.logsigmoid(beta * margins(b, w, rb, rw))
    ),
}


def pairs(seed, count):
    return tuple(-5 * torch.rand(4, count, generator=seeded(seed)))


@exercise_check(
    "preference_loss",
    hints=(
        "by how much has each of the two answers become likelier than it was for the reference?",
        "two gains, one for each answer; their difference, stretched, goes through a sigmoid and a "
        "logarithm; minus the mean over the pairs.",
        "`-F.logsigmoid(beta * ((better - reference_better) - (worse - reference_worse))).mean()`",
    ),
)
def check_preference_loss(attempt):
    """preference_loss(better, worse, reference_better, reference_worse, beta): (pairs,) each, to a number."""
    inputs = [(*pairs(0, 4), 0.1), (*pairs(1, 1), 0.5), (*pairs(2, 7), 2.0)]
    judge(attempt, preference, inputs, DPO_LOSS_MISTAKES)


def log_p_of(logits, targets, mean=False, softmax=True, dim=-1):
    kept = targets != -100
    log_p = logits.log_softmax(dim) if softmax else logits
    found = log_p.gather(-1, targets.clamp(min=0)[..., None])[..., 0] * kept
    return found.sum(dim=1) / (kept.sum(dim=1) if mean else 1)


ANSWER_LOG_P_MISTAKES = {
    "this is a mean; the probability of an answer is a product, so its logarithm is a sum": lambda x, y: (
        log_p_of(x, y, mean=True)
    ),
    "the softmax is missing: logits are no logarithms of probabilities": lambda x, y: log_p_of(
        x, y, softmax=False
    ),
    "the softmax went along the tokens; it goes along the vocabulary": lambda x, y: log_p_of(
        x, y, dim=1
    ),
    "the sign is turned round: a logarithm of a probability is never above 0": lambda x, y: (
        -log_p_of(x, y)
    ),
    "−100 was read as the id 0: these places are none of the answer's": lambda x, y: log_p_of(
        x, y.clamp(min=0)
    ),
    "the targets were shifted once more; they are the following tokens already": lambda x, y: (
        log_p_of(x[:, :-1], y[:, 1:])
    ),
    "this is one number for the whole batch; each answer has its own": lambda x, y: log_p_of(
        x, y
    ).sum(),
    "this is the probability; its logarithm is asked for": lambda x, y: log_p_of(x, y).exp(),
    "these are the tokens; add them up for each answer": lambda x, y: (
        x.log_softmax(-1).gather(-1, y.clamp(min=0)[..., None])[..., 0] * (y != -100)
    ),
    "targets with the id 0 were left out": lambda x, y: log_p_of(x, y.masked_fill(y == 0, -100)),
}


@exercise_check(
    "answer_log_p",
    hints=(
        "how likely is an answer of two tokens, if each was likely by itself?",
        "logarithms of probabilities along the vocabulary, picked at the targets, nothing where there is "
        "none, and added up in each row.",
        "`(log_p.gather(-1, targets.clamp(min=0)[..., None])[..., 0] * (targets != -100)).sum(dim=1)`",
    ),
)
def check_answer_log_p(attempt):
    """answer_log_p(logits, targets): (batch, tokens, vocab), (batch, tokens) to (batch,)."""
    inputs = []
    for seed, (batch, tokens, vocab) in enumerate([(2, 5, 6), (3, 4, 7), (1, 6, 5)]):
        targets = torch.randint(vocab, (batch, tokens), generator=seeded(seed))
        hidden = torch.rand(batch, tokens, generator=seeded(seed + 5)) < 0.4
        hidden[:, -1], targets[:, -1] = False, 0  # each row has a target, and the id 0 is one
        logits = 2 * torch.randn(batch, tokens, vocab, generator=seeded(seed + 9))
        inputs.append((logits, targets.masked_fill(hidden, -100)))
    judge(attempt, log_p_of, inputs, ANSWER_LOG_P_MISTAKES)


def won(better, worse, rb, rw):
    gap = margins(better, worse, rb, rw)
    return ((gap > 0).double() + 0.5 * (gap == 0)).mean().item()


WIN_SHARE_MISTAKES = {
    "the reference is missing: a gain is counted from it": lambda b, w, rb, rw: won(
        b, w, 0 * rb, 0 * rw
    ),
    "ties count as lost; they count one half": lambda b, w, rb, rw: (
        (margins(b, w, rb, rw) > 0).double().mean().item()
    ),
    "ties count as won; they count one half": lambda b, w, rb, rw: (
        (margins(b, w, rb, rw) >= 0).double().mean().item()
    ),
    "better and worse are exchanged": lambda b, w, rb, rw: won(w, b, rw, rb),
    "this is the mean gain; only which one is higher counts": lambda b, w, rb, rw: (
        margins(b, w, rb, rw).double().mean().item()
    ),
    "this is a number of pairs; divide by all": lambda b, w, rb, rw: won(b, w, rb, rw) * len(b),
    "only the better answer was looked at": lambda b, w, rb, rw: (
        ((b > rb).double() + 0.5 * (b == rb)).mean().item()
    ),
    "only the worse answer was looked at": lambda b, w, rb, rw: (
        ((w < rw).double() + 0.5 * (w == rw)).mean().item()
    ),
    "the reference was added; it is subtracted": lambda b, w, rb, rw: won(b, w, -rb, -rw),
}


@exercise_check(
    "win_share",
    hints=(
        "which of the two answers has gained more since the reference?",
        "the gain of an answer is its logarithm now minus that of the reference; count the pairs in which "
        "the better one has gained more, and half of those that are equal.",
        "`((gap > 0).double() + 0.5 * (gap == 0)).mean().item()`, with the `gap` of the gains",
    ),
)
def check_win_share(attempt):
    """win_share(better, worse, reference_better, reference_worse): a Python float."""
    inputs = [pairs(0, 9), pairs(3, 5)]
    halves = [torch.tensor(row) for row in ([-1.0, -2.0, -3.0, -1.5], [-2.0, -2.5, -1.0, -1.0])]
    inputs.append((*halves, halves[0] - torch.tensor([0.5, 0.25, -1.0, 0.0]), halves[1] - 0.25))
    inputs.append(tuple(torch.tensor([x]) for x in (-1.0, -1.0, -3.0, -2.0)))
    judge(attempt, won, inputs, WIN_SHARE_MISTAKES)
