"""Self-checks for the exercises of mixture-of-experts.ipynb.

How a check works is told in chapter 2's checks.py.
"""

import torch

from ch04_01_main_chapter_code.previous_chapters import (
    answer,
    exercise_check,
    hint,
    judge,
    normal,
    predict,
    show_progress,
    sizes,
    whole,
)

__all__ = ["answer", "hint", "predict", "show_progress"]  # for the notebook, with every check


def routed(logits, top_k, largest=True, before=False, whole_sum=True):
    values, experts = logits.topk(top_k, dim=-1, largest=largest)
    kept = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, experts, True)
    if before:
        weights = logits.softmax(dim=-1) * kept
        return weights / weights.sum(dim=-1, keepdim=True) if whole_sum else weights
    return logits.masked_fill(~kept, -torch.inf).softmax(dim=-1)


ROUTE_MISTAKES = {
    "the kept weights do not sum to 1: the softmax went over all experts": lambda x, k: routed(
        x, k, before=True, whole_sum=False
    ),
    "nothing was left out: only the `top_k` best experts work": lambda x, k: x.softmax(dim=-1),
    "the least wanted experts were kept": lambda x, k: routed(x, k, largest=False),
    "the softmax went along the tokens": lambda x, k: x.masked_fill(
        routed(x, k) == 0, -torch.inf
    ).softmax(dim=0),
    "all kept experts have the same weight here": lambda x, k: (routed(x, k) > 0) / float(k),
    "logits that are not kept became 0 before the softmax; a 0 gets a weight: use −∞": lambda x, k: (
        (x * (routed(x, k) > 0)).softmax(dim=-1)
    ),
    "these are the kept weights alone; the others stay in their places as 0": lambda x, k: x.topk(
        k, dim=-1
    ).values.softmax(dim=-1),
    "a second softmax over the probabilities: they are no logits": lambda x, k: (
        x.softmax(dim=-1).masked_fill(routed(x, k) == 0, -torch.inf).softmax(dim=-1)
    ),
    "one expert too many": lambda x, k: routed(x, min(k + 1, x.shape[-1])),
    "only the best expert was kept": lambda x, k: routed(x, 1),
}


@exercise_check(
    "route",
    hints=(
        "what must the score of an expert be that shall not work at all?",
        "find the best few for each token, make all other scores as small as can be, and only then make "
        "the rest sum to one.",
        "`logits.masked_fill(~kept, -torch.inf).softmax(dim=-1)`, with `kept` True for the best",
    ),
)
def check_route(attempt):
    """route(logits, top_k): (tokens, n_experts) to the experts' weights, of the same shape."""
    inputs = [(normal(seed, *sizes(seed, 2, low=3)), top_k) for seed, top_k in enumerate((1, 2, 3))]
    inputs.append((normal(5, 1, 5), 2))
    judge(attempt, routed, inputs, ROUTE_MISTAKES)


def balance(probabilities, chosen, factor=True):
    n = probabilities.shape[-1]
    shares = torch.bincount(chosen, minlength=n) / len(chosen)
    return (n if factor else 1) * (shares * probabilities.mean(dim=0)).sum()


BALANCE_LOSS_MISTAKES = {
    "n_experts in front is missing: evenly used experts have the loss 1": lambda p, c: balance(
        p, c, factor=False
    ),
    "these are counts; f is a share of the tokens": lambda p, c: balance(p, c) * len(c),
    "the mean probability was multiplied by itself; f is counted": lambda p, c: (
        p.shape[-1] * (p.mean(dim=0) ** 2).sum()
    ),
    "the shares were multiplied by themselves; then nothing has a slope": lambda p, c: (
        p.shape[-1] * ((torch.bincount(c, minlength=p.shape[-1]) / len(c)) ** 2).sum()
    ),
    "only the probabilities of the chosen experts were averaged": lambda p, c: (
        p.shape[-1] * p.gather(1, c[:, None]).mean()
    ),
    "these are the parts; add them up over the experts": lambda p, c: (
        p.shape[-1] * torch.bincount(c, minlength=p.shape[-1]) / len(c) * p.mean(dim=0)
    ),
    "multiplied by n_experts twice": lambda p, c: p.shape[-1] * balance(p, c),
    "the sign is turned round: the loss is smallest where all are used alike": lambda p, c: (
        -balance(p, c)
    ),
    "the mean over the experts, in place of the sum": lambda p, c: balance(p, c) / p.shape[-1] ** 2,
}


@exercise_check(
    "balance_loss",
    hints=(
        "how many of the tokens went to each expert, and how many would have gone by probability?",
        "two lists, one number for each expert: the share of tokens that it got, and the mean of its "
        "probabilities; multiply pair by pair, add up, and multiply by the number of experts.",
        "`n_experts * (shares * probabilities.mean(dim=0)).sum()`, with the counted `shares`",
    ),
)
def check_balance_loss(attempt):
    """balance_loss(probabilities, chosen): (tokens, n_experts) and (tokens,) to one number."""
    inputs = []
    for seed in range(3):
        tokens, experts = sizes(seed, 2, low=3, high=9)
        probabilities = normal(seed, tokens, experts).softmax(dim=-1)
        inputs.append((probabilities, probabilities.argmax(dim=-1)))
    inputs += [(inputs[0][0], torch.zeros(len(inputs[0][0]), dtype=torch.long))]
    inputs += [(normal(7, 1, 4).softmax(dim=-1), whole(7, 0, 4, 1))]
    judge(attempt, balance, inputs, BALANCE_LOSS_MISTAKES)


def mixture(d, hidden, experts, top_k, router=True, biases=True):
    one = 2 * d * hidden + biases * (d + hidden)
    gate = router * d * experts
    return gate + experts * one, gate + top_k * one


MIXTURE_PARAMETERS_MISTAKES = {
    "the router is missing: emb_dim numbers for each expert": lambda *s: mixture(*s, router=False),
    "the biases of the experts are missing": lambda *s: mixture(*s, biases=False),
    "the two numbers are exchanged: (total, active)": lambda *s: mixture(*s)[::-1],
    "all experts work on every token here; only top_k do": lambda *s: (mixture(*s)[0],) * 2,
    "only one expert works on a token here; top_k do": lambda d, h, n, k: (
        mixture(d, h, n, k)[0],
        mixture(d, h, n, 1)[1],
    ),
    "the router works for every token: its weights are active, too": lambda *s: (
        mixture(*s)[0],
        mixture(*s, router=False)[1],
    ),
    "an expert has two matrices, there and back": lambda d, h, n, k: (
        d * n + n * (d * h + d + h),
        d * n + k * (d * h + d + h),
    ),
    "the router has no bias": lambda d, h, n, k: tuple(x + n for x in mixture(d, h, n, k)),
    "only the total came back": lambda *s: mixture(*s)[0],
}


@exercise_check(
    "mixture_parameters",
    hints=(
        "which weights does a token never meet?",
        "an expert is a feed-forward layer with two matrices and their biases; the router, which every "
        "token meets, has a row for each expert.",
        "`emb_dim * n_experts + top_k * (2 * emb_dim * hidden + emb_dim + hidden)` are active",
    ),
)
def check_mixture_parameters(attempt):
    """mixture_parameters(emb_dim, hidden, n_experts, top_k): (total, active), whole numbers."""
    judge(
        attempt,
        mixture,
        [(768, 3072, 8, 2), (16, 24, 5, 1), (3, 7, 4, 3)],
        MIXTURE_PARAMETERS_MISTAKES,
    )
