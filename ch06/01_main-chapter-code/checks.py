"""Self-checks for the exercises of chapter 6. How a check works is told in chapter 2's checks.py.

Each check has a reference, random inputs of several shapes, and the typical mistakes with the code
that makes them.
"""

import math

import torch
import torch.nn.functional as F

from ch06_01_main_chapter_code.previous_chapters import (
    Mistake,
    answer,
    exercise_check,
    hint,
    judge,
    keeping,
    normal,
    predict,
    seeded,
    show_progress,
    whole,
)

__all__ = ["answer", "hint", "predict", "show_progress"]  # for the notebooks, with every check


def spam_or_ham(seed, texts, spam):
    """(texts,) labels, so many of them 1, in any order."""
    return (torch.randperm(texts, generator=seeded(seed)) < spam).long()


def rounded_scores(seed, texts):
    """(texts,) probabilities with one digit, so that some are equal."""
    return whole(seed, 0, 10, texts) / 10 + 0.05


def at(hidden, places):
    return hidden[torch.arange(len(hidden)), places]


def last_places(mask):
    return (mask * torch.arange(mask.shape[1])).argmax(dim=1)


def last_real(hidden, mask):
    return at(hidden, last_places(mask))


LAST_TOKEN_MISTAKES = {
    "this reads the last place of the row, which may be padding": lambda h, m: h[:, -1],
    "this reads the first place; with causal attention it has seen nothing but itself": lambda h, m: (
        h[:, 0]
    ),
    "this is the first real token; with causal attention it has seen nothing but itself": lambda h, m: (
        at(h, m.int().argmax(dim=1))
    ),
    "one side was chosen for the whole batch by its first row; each row needs its "
    "own place": lambda h, m: at(h, m.sum(dim=1) - 1) if m[0, 0] else h[:, -1],
    "the number of real tokens was taken for a place: places count from 0, so this is "
    "one too far": lambda h, m: at(h, m.sum(dim=1)),
    "right for padding on the right only: with padding on the left, the last real token is "
    "not at `sum - 1`": lambda h, m: at(h, m.sum(dim=1) - 1),
    "this is the mean of the real tokens; the last one alone is asked for": lambda h, m: (
        (h * m[..., None]).sum(dim=1) / m.sum(dim=1, keepdim=True)
    ),
    "this is the mean of all places, padding included": lambda h, m: h.mean(dim=1),
    "all real tokens came back; one for each row is asked for": lambda h, m: h[m],
    "this keeps an axis of length 1; the shape is (batch, emb_dim)": lambda h, m: last_real(h, m)[
        :, None
    ],
    "`.squeeze()` also took away the axis of a batch of one: with a single text the result must "
    "be (1, emb_dim)": lambda h, m: last_real(h, m).squeeze(),
    "this is the real token before the last one": lambda h, m: at(
        h, (last_places(m) - 1).clamp(min=0)
    ),
    "the places were counted from the right: `flip` turns the mask round, so turn the place round, "
    "too": lambda h, m: at(h, m.flip(1).int().argmax(dim=1)),
    "`hidden[:, places]` gives every row all places; pick row by row, with "
    "`torch.arange(batch)` as the first index": lambda h, m: h[:, last_places(m)],
    "the real tokens were added up; the last one alone is asked for": lambda h, m: (
        h * m[..., None]
    ).sum(dim=1),
    "this is the largest of all real tokens, number by number": lambda h, m: h.masked_fill(
        ~m[..., None], -math.inf
    ).amax(dim=1),
    "all rows read the place of the first row": lambda h, m: h[:, last_places(m)[0]],
    "all rows read the last place that is real in any row": lambda h, m: h[:, last_places(m).max()],
    "padding was set to 0 and the last place read; the real token stands before it": lambda h, m: (
        h * m[..., None]
    )[:, -1],
    "these are the places; take the vectors there": lambda h, m: last_places(m),
}


@exercise_check(
    "last_token_vectors",
    hints=(
        "on which side may the padding stand, and what do both sides have in common?",
        "number the places, strike out those that are padding, and take the largest number "
        "that is left in each row; then pick one vector from each row.",
        "`(mask * torch.arange(mask.shape[1])).argmax(dim=1)` is the place in each row",
    ),
)
def check_last_token_vectors(attempt):
    """last_token_vectors(hidden, mask): (batch, tokens, emb_dim) and (batch, tokens) to (batch,
    emb_dim).
    """
    inputs = []
    for seed, (tokens, lengths) in enumerate(
        [(5, (2, 5, 1)), (6, (6, 2)), (5, (3, 3, 3, 3)), (7, (1, 7, 4)), (4, (2,)), (5, (3,))]
    ):
        places = torch.arange(tokens)
        mask = places < torch.tensor(lengths)[:, None]
        inputs.append(
            (
                normal(seed, len(lengths), tokens, (4, 3, 6, 2, 3, 2)[seed]),
                mask.flip(1) if seed % 2 else mask,
            )
        )  # left and right
    judge(attempt, last_real, inputs, LAST_TOKEN_MISTAKES)


def text_losses(logits, labels):
    return -logits.log_softmax(dim=-1).gather(1, labels[:, None])[:, 0]  # (texts,)


def weighted_mean(logits, labels, weights):
    return (text_losses(logits, labels) * weights[labels]).sum() / weights[labels].sum()


def mean_of_classes(logits, labels, weights):
    found = labels.unique()
    losses = text_losses(logits, labels)
    means = torch.stack([losses[labels == one].mean() for one in found])
    return (means * weights[found]).sum() / weights[found].sum()


WEIGHTED_LOSS_MISTAKES = {
    "divided by the number of texts; a weighted mean is divided by the sum of "
    "the weights": lambda x, y, w: (text_losses(x, y) * w[y]).mean(),
    "this is a weighted sum; divide it by the sum of the texts' weights": lambda x, y, w: (
        text_losses(x, y) * w[y]
    ).sum(),
    "divided by the sum over the classes; each text brings its own weight into the sum": lambda x, y, w: (
        (text_losses(x, y) * w[y]).sum() / w.sum()
    ),
    "the weights were left out": lambda x, y, w: text_losses(x, y).mean(),
    "the logits were multiplied by the weights; it is the loss of each text that is "
    "weighted": lambda x, y, w: text_losses(x * w, y).mean(),
    "the weights are upside down: these divide": lambda x, y, w: weighted_mean(x, y, 1 / w),
    "the minus sign is missing": lambda x, y, w: -weighted_mean(x, y, w),
    "this is the mean probability of the right class, without the logarithm": lambda x, y, w: (
        ((-text_losses(x, y)).exp() * w[y]).sum() / w[y].sum()
    ),
    "the logarithm is missing: `nll_loss` takes log_softmax, not softmax": lambda x, y, w: (
        F.nll_loss(x.softmax(dim=-1), y, weight=w)
    ),
    "the softmax is missing: this is minus the mean logit": lambda x, y, w: (
        -(x.gather(1, y[:, None])[:, 0] * w[y]).sum() / w[y].sum()
    ),
    "the softmax went along the texts; it goes along the classes (dim=-1)": lambda x, y, w: (
        (-x.log_softmax(dim=0).gather(1, y[:, None])[:, 0] * w[y]).sum() / w[y].sum()
    ),
    "the softmax came before the cross-entropy, which has a softmax of its own: give it the "
    "logits": lambda x, y, w: weighted_mean(x.softmax(dim=-1), y, w),
    "the weight is that of the class that was guessed; take that of the label": lambda x, y, w: (
        (text_losses(x, y) * w[x.argmax(1)]).sum() / w[x.argmax(1)].sum()
    ),
    "the weights were squared": lambda x, y, w: weighted_mean(x, y, w**2),
    "the weights went through a softmax": lambda x, y, w: weighted_mean(x, y, w.softmax(0)),
    "the plain mean was multiplied by the mean weight": lambda x, y, w: (
        text_losses(x, y).mean() * w[y].mean()
    ),
    "divided by the number of classes; divide by the sum of the texts' weights": lambda x, y, w: (
        (text_losses(x, y) * w[y]).sum() / len(w)
    ),
    "the logarithms of the weights were added to the logits; it is the loss of each text that is "
    "weighted": lambda x, y, w: text_losses(x + w.log(), y).mean(),
    "these are bits (log2); the loss is in nats (ln)": lambda x, y, w: (
        weighted_mean(x, y, w) / math.log(2)
    ),
    "e was raised to the loss": lambda x, y, w: weighted_mean(x, y, w).exp(),
    "these are the losses of each text; return their weighted mean": lambda x, y, w: (
        text_losses(x, y) * w[y]
    ),
    "every class has the same say here: this is the mean of the classes' means, weighed": mean_of_classes,
    "`[:, labels]` takes all labels for every text; pick one for each, with `torch.arange(texts)` as "
    "the first index": lambda x, y, w: (-x.log_softmax(-1)[:, y] * w[y]).sum() / w[y].sum(),
    "the number is right, but it is a float: leave out `.item()`, so that `backward()` "
    "works": lambda x, y, w: weighted_mean(x, y, w).item(),
}


@exercise_check(
    "weighted_loss",
    hints=(
        "whose weight does a text bring along?",
        "the loss of each text by itself, times the weight of its own class; then divide "
        "by the weights that were really used.",
        "`(losses * weights[labels]).sum() / weights[labels].sum()`, with the `losses` of "
        "each text",
    ),
)
def check_weighted_loss(attempt):
    """weighted_loss(logits, labels, weights): (texts, classes), (texts,), (classes,) to one number,
    a tensor.
    """
    inputs = []
    for seed, (texts, classes) in enumerate([(6, 2), (9, 3), (5, 2), (12, 4), (1, 3)]):
        labels = torch.arange(texts) * (seed + 1) % classes
        inputs.append(
            (
                2 * normal(seed, texts, classes),
                labels,
                0.2 + 3 * torch.rand(classes, generator=seeded(seed + 9)),
            )
        )

    judge(attempt, weighted_mean, inputs, WEIGHTED_LOSS_MISTAKES)
    logits, labels, weights = inputs[0]
    if not attempt(logits.clone().requires_grad_(), labels, weights).requires_grad:
        raise Mistake(
            "the number is right, but no gradient can flow back from it. Likely mistake: "
            "`detach`, `item`, `torch.tensor(…)` or `no_grad` cuts it off; leave them out."
        )


def counts_of_spam(verdicts, labels):
    both = (verdicts * labels).sum().item()
    return both, verdicts.sum().item(), labels.sum().item()


def three_numbers(both, called, are):
    return both / max(1, called), both / max(1, are), 2 * both / max(1, called + are)


def f1_as_mean(verdicts, labels):
    precision, recall, _ = three_numbers(*counts_of_spam(verdicts, labels))
    return precision, recall, (precision + recall) / 2


def in_tensors(count):
    """A count whose 0 / 0 is nan, where Python's raises ZeroDivisionError."""
    return torch.tensor(count, dtype=torch.double)


def dividing_by_zero(verdicts, labels, kind=int):
    both, called, are = map(kind, counts_of_spam(verdicts, labels))
    precision, recall = both / called, both / are
    f1 = 2 * precision * recall / (precision + recall)
    return float(precision), float(recall), float(f1)


def dividing_by_called(verdicts, labels, kind=int):
    both, called, are = counts_of_spam(verdicts, labels)
    return float(kind(both) / kind(called)), *three_numbers(both, called, are)[1:]


def dividing_by_found(verdicts, labels, kind=float):
    numbers = three_numbers(*counts_of_spam(verdicts, labels))
    precision, recall = map(kind, numbers[:2])
    return *numbers[:2], float(2 * precision * recall / (precision + recall))


def numbers_of_ham(verdicts, labels):
    return three_numbers(*counts_of_spam(1 - verdicts, 1 - labels))


def numbers_swapped(verdicts, labels):
    precision, recall, f1 = three_numbers(*counts_of_spam(verdicts, labels))
    return recall, precision, f1


def numbers_with_accuracy(verdicts, labels):
    _, recall, f1 = three_numbers(*counts_of_spam(verdicts, labels))
    return (verdicts == labels).double().mean().item(), recall, f1


def numbers_over_all(verdicts, labels):
    both, called, are = counts_of_spam(verdicts, labels)
    return both / len(labels), both / len(labels), 2 * both / max(1, called + are)


def with_f1(f1):
    """The three numbers with another F1, `f1(precision, recall)`."""

    def numbers(verdicts, labels):
        precision, recall, _ = three_numbers(*counts_of_spam(verdicts, labels))
        return precision, recall, float(f1(precision, recall))

    return numbers


PRECISION_RECALL_F1_MISTAKES = {
    "precision and recall are exchanged: precision is a share of what was called spam, "
    "recall of what is spam": numbers_swapped,
    "F1 is the harmonic mean, 2 · precision · recall / (precision + recall), not the "
    "plain one": f1_as_mean,
    "where nothing was called spam this divides by zero; such a filter has precision, "
    "recall and F1 of 0": dividing_by_zero,
    "where nothing was called spam the precision divides by zero; it is 0 there": dividing_by_called,
    "where nothing was found F1 divides by zero; it is 0 there": dividing_by_found,
    "where nothing was called spam this is nan, 0 / 0 in a tensor; precision and F1 are 0 "
    "there": lambda v, y: dividing_by_zero(v, y, in_tensors),
    "where nothing was called spam the precision is nan, 0 / 0 in a tensor; it is 0 "
    "there": lambda v, y: dividing_by_called(v, y, in_tensors),
    "where nothing was found F1 is nan, 0 / 0 in a tensor; it is 0 there": lambda v, y: (
        dividing_by_found(v, y, in_tensors)
    ),
    "these are the numbers of ham; spam is class 1": numbers_of_ham,
    "this is the accuracy where the precision should stand": numbers_with_accuracy,
    "divided by all texts; precision has the texts called spam below the line, recall "
    "those that are spam": numbers_over_all,
    "F1 is the harmonic mean, not the root of the product": with_f1(lambda p, r: (p * r) ** 0.5),
    "F1 lacks its factor 2, and where nothing was found it divides by zero": with_f1(
        lambda p, r: 1 / (1 / p + 1 / r)
    ),
    "F1 lacks its factor 2": with_f1(lambda p, r: p * r / max(1e-12, p + r)),
    "F1 is no product: 2 · precision · recall is divided by precision + recall": with_f1(
        lambda p, r: 2 * p * r
    ),
    "F1 is the harmonic mean, not the smaller of the two": with_f1(min),
    "this is the share of spam among all that was called or is spam (Jaccard), not F1": with_f1(
        lambda p, r: p * r / max(1e-12, p + r - p * r)
    ),
    "this is the accuracy where F1 should stand": lambda v, y: (
        *three_numbers(*counts_of_spam(v, y))[:2],
        (v == y).double().mean().item(),
    ),
    "this is the accuracy where the recall should stand": lambda v, y: (
        three_numbers(*counts_of_spam(v, y))[0],
        (v == y).double().mean().item(),
        three_numbers(*counts_of_spam(v, y))[2],
    ),
    "where nothing was called spam the precision is 0 here, not 1": lambda v, y: (
        max(three_numbers(*counts_of_spam(v, y))[0], 1.0 - min(1, v.sum().item())),
        *three_numbers(*counts_of_spam(v, y))[1:],
    ),
    "these are counts; divide by the texts called spam and by those that are spam": lambda v, y: (
        counts_of_spam(v, y)[0],
        counts_of_spam(v, y)[0],
        three_numbers(*counts_of_spam(v, y))[2],
    ),
    "these are per cent; shares are asked for": lambda v, y: tuple(
        100 * number for number in three_numbers(*counts_of_spam(v, y))
    ),
    "the three are in another order: precision, recall, F1": lambda v, y: three_numbers(
        *counts_of_spam(v, y)
    )[::-1],
    "the numbers were rounded": lambda v, y: tuple(
        round(number, 2) for number in three_numbers(*counts_of_spam(v, y))
    ),
    "F1 is missing": lambda v, y: three_numbers(*counts_of_spam(v, y))[:2],
}


@exercise_check(
    "precision_recall_f1",
    hints=(
        "which texts stand below the line in each of the two shares?",
        "count three things: called spam, are spam, and both. Two shares have the last one "
        "on top; the third number is twice it over the other two together. Nothing may be "
        "divided by zero.",
        "`2 * both / (called + are)`, with `both` the texts that are spam and were called so",
    ),
)
def check_precision_recall_f1(attempt):
    """precision_recall_f1(verdicts, labels): (texts,) of 0 and 1 each, to three numbers."""
    inputs = [
        (whole(seed, 0, 2, texts), spam_or_ham(seed + 7, texts, spam))
        for seed, (texts, spam) in enumerate([(20, 5), (30, 12), (15, 9), (40, 6)])
    ]
    nobody = torch.zeros(6, dtype=torch.long)
    inputs.append((nobody, spam_or_ham(3, 6, 2)))  # no text was called spam
    inputs.append((torch.ones(1, dtype=torch.long), torch.ones(1, dtype=torch.long)))
    inputs.append((torch.tensor([1, 0, 1, 0, 1]), torch.tensor([0, 1, 0, 1, 0])))  # none found

    judge(
        attempt,
        lambda v, y: three_numbers(*counts_of_spam(v, y)),
        inputs,
        PRECISION_RECALL_F1_MISTAKES,
    )


PRECISION_AT_SHARE_MISTAKES = {
    "this is the precision of a balanced test, whatever the share": lambda r, a, s: r / (r + a),
    "the shares are exchanged: recall belongs to the share of spam, false alarms to "
    "the rest": lambda r, a, s: r * (1 - s) / (r * (1 - s) + a * s),
    "false alarms come from the ham: weigh them by 1 − share": lambda r, a, s: r * s / (r * s + a),
    "this is the share of texts called spam": lambda r, a, s: r * s + a * (1 - s),
    "this is the accuracy": lambda r, a, s: r * s + (1 - a) * (1 - s),
    "above the line stands the spam that was found, recall · share": lambda r, a, s: (
        s / (r * s + a * (1 - s))
    ),
    "this is the share of false alarms among what was called spam": lambda r, a, s: (
        1 - r * s / (r * s + a * (1 - s))
    ),
    "below the line the share of the spam is missing: r · share + alarms · (1 − "
    "share)": lambda r, a, s: r * s / (r + a * (1 - s)),
    "the misses stand where the recall should: recall is what was found": lambda r, a, s: (
        (1 - r) * s / ((1 - r) * s + a * (1 - s))
    ),
    "`alarms` is the share of the ham that is called spam, not the share that is let "
    "through": lambda r, a, s: r * s / (r * s + (1 - a) * (1 - s)),
    "this is F1": lambda r, a, s: 2 * r * s / (r * s + a * (1 - s) + s),
    "this is how many times as many true alarms as false ones there are; divide by "
    "both": lambda r, a, s: r * s / (a * (1 - s)),
    "only the share of the spam that is found: divide by all that was called spam": lambda r, a, s: (
        r * s
    ),
    "the precision of the balanced test was multiplied by the share; the share weighs both parts of "
    "the sum": lambda r, a, s: r / (r + a) * s,
    "this is the share of ham among what was let through": lambda r, a, s: (
        (1 - a) * (1 - s) / ((1 - a) * (1 - s) + (1 - r) * s)
    ),
    "above the line the recall alone: multiply it by the share": lambda r, a, s: (
        r / (r * s + a * (1 - s))
    ),
    "this is per cent; a share is asked for": lambda r, a, s: 100 * r * s / (r * s + a * (1 - s)),
}


@exercise_check(
    "precision_at_share",
    hints=(
        "of a thousand messages, how many alarms are true, and how many are false?",
        "the found part of the spam over all alarms; false alarms come from the rest of "
        "the messages.",
        "`recall * share / (recall * share + alarms * (1 - share))`",
    ),
)
def check_precision_at_share(attempt):
    """precision_at_share(recall, alarms, share): the precision where `share` of all texts are spam."""
    inputs = [(0.9, 0.1, 0.5), (0.9, 0.1, 0.13), (1.0, 0.02, 0.01), (0.6, 0.3, 0.25)]
    inputs += [(0.8, 0.3, 1.0), (0.7, 0.7, 0.4)]

    judge(
        attempt, lambda r, a, s: r * s / (r * s + a * (1 - s)), inputs, PRECISION_AT_SHARE_MISTAKES
    )


def score_gaps(scores, labels):
    spam, ham = scores[labels == 1], scores[labels == 0]
    return spam[:, None] - ham[None]  # (spam, ham)


def area_of_pairs(scores, labels):
    gaps = score_gaps(scores, labels)
    return ((gaps > 0).double() + 0.5 * (gaps == 0)).mean().item()


def area_of_ranks(scores, labels):
    spam, ham = (labels == 1).sum().item(), (labels == 0).sum().item()
    ranks = scores.argsort().argsort() + 1
    return (ranks[labels == 1].sum().item() - spam * (spam + 1) / 2) / (spam * ham)


def accuracy_at_half(scores, labels):
    return ((scores > 0.5) == labels.bool()).double().mean().item()


def area_of_neighbours(scores, labels):
    spam, ham = scores[labels == 1], scores[labels == 0]
    count = min(len(spam), len(ham))
    gaps = spam[:count] - ham[:count]
    return ((gaps > 0).double() + 0.5 * (gaps == 0)).mean().item()


def mean_precision(scores, labels):
    ordered = labels[scores.argsort(descending=True)].double()
    precision = ordered.cumsum(0) / torch.arange(1, len(labels) + 1)
    return (precision[ordered == 1]).mean().item()


ROC_AREA_MISTAKES = {
    "pairs with equal scores were counted as lost; they count one half": lambda s, y: (
        (score_gaps(s, y) > 0).double().mean().item()
    ),
    "pairs with equal scores were counted as won; they count one half": lambda s, y: (
        (score_gaps(s, y) >= 0).double().mean().item()
    ),
    "the wrong way round: this counts the pairs in which the ham scores higher": lambda s, y: (
        1 - area_of_pairs(s, y)
    ),
    "this is the mean difference of the scores; only which one is higher counts": lambda s, y: (
        score_gaps(s, y).double().mean().item()
    ),
    "these are pairs that were counted; divide by their number": lambda s, y: (
        area_of_pairs(s, y) * score_gaps(s, y).numel()
    ),
    "divided by all pairs of texts; only pairs of a spam and a ham count": lambda s, y: (
        area_of_pairs(s, y) * score_gaps(s, y).numel() / (len(y) * (len(y) - 1) / 2)
    ),
    "this is the accuracy at the threshold 0.5; the area needs no threshold": accuracy_at_half,
    "these ranks put equal scores in some order; give each of them the mean of their ranks": area_of_ranks,
    "twice the area minus 1 is Gini's number": lambda s, y: 2 * area_of_pairs(s, y) - 1,
    "the texts were compared in pairs of neighbours; each spam is compared with every "
    "ham": area_of_neighbours,
    "only the likeliest spam and the likeliest ham were compared": lambda s, y: float(
        s[y == 1].max() > s[y == 0].max()
    ),
    "each spam was compared with the mean of the ham; it is compared with each": lambda s, y: (
        (s[y == 1] > s[y == 0].mean()).double().mean().item()
    ),
    "each ham was compared with the mean of the spam; it is compared with each": lambda s, y: (
        (s[y == 0] < s[y == 1].mean()).double().mean().item()
    ),
    "equal scores count twice here, as won and as half": lambda s, y: (
        (score_gaps(s, y) >= 0).double().mean().item()
        + 0.5 * (score_gaps(s, y) == 0).double().mean().item()
    ),
    "pairs with equal scores were left out of the number of pairs as well": lambda s, y: (
        (score_gaps(s, y) > 0).sum() / (score_gaps(s, y) != 0).sum()
    ).item(),
    "the ranks begin at 0 here; in the formula with ranks they begin at 1": lambda s, y: (
        area_of_pairs(s, y) - 1 / (y == 0).sum().item()
    ),
    "divided by the number of texts; divide by the number of pairs of a spam and a "
    "ham": lambda s, y: area_of_pairs(s, y) * score_gaps(s, y).numel() / len(y),
    "divided by the square of the number of texts": lambda s, y: (
        area_of_pairs(s, y) * score_gaps(s, y).numel() / len(y) ** 2
    ),
    "this is the mean precision, another area": mean_precision,
    "these are the pairs that the ham wins, and equal scores count for neither": lambda s, y: (
        (score_gaps(s, y) < 0).double().mean().item()
    ),
}


@exercise_check(
    "roc_area",
    hints=(
        "how many pairs of one spam and one ham are there?",
        "a table with a row for each spam and a column for each ham, of the differences; "
        "above zero counts one, zero counts half, and then the mean.",
        "`scores[labels == 1][:, None] - scores[labels == 0]`",
    ),
)
def check_roc_area(attempt):
    """roc_area(scores, labels): the share of pairs (spam, ham) in which the spam scores higher;
    equal scores count half.
    """
    inputs = [
        (rounded_scores(seed, texts), spam_or_ham(seed + 5, texts, spam))
        for seed, (texts, spam) in enumerate([(12, 4), (25, 5), (30, 20), (9, 1)])
    ]

    inputs += [
        (torch.tensor([0.3, 0.7]), torch.tensor([0, 1])),
        (torch.full((5,), 0.4), torch.tensor([0, 1, 1, 0, 1])),  # all are equal
    ]
    judge(attempt, area_of_pairs, inputs, ROC_AREA_MISTAKES)


def cheapest(scores, labels, alarm, miss, thresholds, order=min, reached=torch.ge):
    def cost(threshold):
        called = reached(scores, threshold)
        return (
            alarm * (called & (labels == 0)).sum().item()
            + miss * (~called & (labels == 1)).sum().item()
        )

    return order(thresholds, key=cost)


def cheapest_by_rates(s, y, alarm, miss, t):
    return cheapest(s, y, alarm / (y == 0).sum(), miss / (y == 1).sum(), t)


def cheapest_by_one_cost(which):
    return lambda s, y, alarm, miss, t: cheapest(
        s, y, alarm * (which == "alarm"), miss * (which == "miss"), t
    )


def threshold_of_best_f1(s, y, alarm, miss, thresholds):
    def f1(threshold):
        called = s >= threshold
        return 2 * (called & (y == 1)).sum().item() / max(1, called.sum().item() + y.sum().item())

    return max(thresholds, key=f1)


def lowest_cost(s, y, alarm, miss, thresholds):
    best = cheapest(s, y, alarm, miss, thresholds)
    called = s >= best
    return float(alarm * (called & (y == 0)).sum() + miss * (~called & (y == 1)).sum())


CHEAPEST_THRESHOLD_MISTAKES = {
    "the costs are exchanged: a false alarm is ham called spam, a miss is spam that "
    "came through": lambda s, y, alarm, miss, t: cheapest(s, y, miss, alarm, t),
    "ham and spam are exchanged: the label 1 is spam": lambda s, y, alarm, miss, t: cheapest(
        s, 1 - y, alarm, miss, t
    ),
    "every mistake was counted alike; multiply each kind by what it costs": lambda s, y, alarm, miss, t: (
        cheapest(s, y, 1, 1, t)
    ),
    "this is the dearest threshold: `max` for `min`, or the verdicts are turned round; spam is what "
    "scores at least the threshold": lambda *given: cheapest(*given, order=max),
    "this is the lowest cost; the threshold that has it is asked for": lowest_cost,
    "only false alarms were counted": cheapest_by_one_cost("alarm"),
    "only misses were counted": cheapest_by_one_cost("miss"),
    "this threshold has the best F1, which knows nothing of costs": threshold_of_best_f1,
    "a score equal to the threshold is called spam, too (>=)": lambda *given: cheapest(
        *given, reached=torch.gt
    ),
    "the costs are per message; do not divide by the number of ham or spam": cheapest_by_rates,
    "the threshold 0.5 is right only if both mistakes cost the same": lambda *given: 0.5,
    "of equally good thresholds this is the last one of the list; the first is asked "
    "for": lambda s, y, alarm, miss, t: cheapest(s, y, alarm, miss, t[::-1]),
    "of equally good thresholds this is the smallest one; the first of the list is "
    "asked for": lambda s, y, alarm, miss, t: cheapest(s, y, alarm, miss, sorted(t)),
    "of equally good thresholds this is the largest one; the first of the list is "
    "asked for": lambda s, y, alarm, miss, t: cheapest(s, y, alarm, miss, sorted(t)[::-1]),
    "this is the place of the threshold in the list; return the threshold": lambda s, y, alarm, miss, t: (
        t.index(cheapest(s, y, alarm, miss, t))
    ),
    "these are the costs of all thresholds; return the threshold that has the "
    "lowest": lambda s, y, alarm, miss, t: [lowest_cost(s, y, alarm, miss, [one]) for one in t],
    "this is the formula alarm / (alarm + miss), which holds for calibrated scores only: try the "
    "thresholds": lambda s, y, alarm, miss, t: min(
        t, key=lambda one: abs(one - alarm / (alarm + miss))
    ),
    "the threshold of the formula, alarm / (alarm + miss), need not be in the list: try "
    "the thresholds": lambda s, y, alarm, miss, t: alarm / (alarm + miss),
    "this is the first threshold of the list": lambda s, y, alarm, miss, t: t[0],
    "this is the smallest threshold": lambda s, y, alarm, miss, t: min(t),
    "this is the largest threshold": lambda s, y, alarm, miss, t: max(t),
    "the costs were squared; each kind of mistake counts by its cost": lambda s, y, alarm, miss, t: (
        cheapest(s, y, alarm**2, miss**2, t)
    ),
}


@exercise_check(
    "cheapest_threshold",
    hints=(
        "what does one threshold cost on these texts?",
        "write the cost of one threshold as a function of its own: ham that reaches it, "
        "spam that does not, each times its price. Then ask for the first of the list that "
        "has the least.",
        "`min(thresholds, key=cost)`, with a function `cost` of one threshold",
    ),
)
def check_cheapest_threshold(attempt):
    """cheapest_threshold(scores, labels, alarm_cost, miss_cost, thresholds): the threshold with the
    lowest cost.
    """
    thresholds = [round(0.1 * number, 1) for number in range(1, 11)]
    inputs = []
    for seed, (texts, spam, alarm, miss) in enumerate(
        [
            (30, 10, 1.0, 1.0),
            (40, 8, 10.0, 1.0),
            (40, 20, 1.0, 10.0),
            (60, 12, 5.0, 1.0),
            (50, 25, 1.0, 3.0),
        ]
    ):
        labels = spam_or_ham(seed, texts, spam)
        scores = 0.7 * rounded_scores(seed + 30, texts) + 0.3 * labels
        inputs.append((scores, labels, alarm, miss, thresholds))
    scores = torch.tensor(
        [0.25, 0.25, 0.5, 0.75, 0.25, 0.5, 0.5, 0.75, 0.75]
    )  # equal to thresholds, and exact in binary
    inputs.append(
        (scores, torch.tensor([0, 0, 0, 0, 1, 0, 1, 0, 1]), 1.0, 1.0, [0.25, 0.5, 0.75, 0.875])
    )

    ties = [0.6, 0.3, 0.8, 0.2, 0.5, 0.7]  # not in order, and several are equally good
    inputs += [
        (torch.tensor([0.1, 0.9, 0.1, 0.9]), torch.tensor([0, 1, 0, 1]), 2.0, 1.0, ties),
        (torch.tensor([0.9, 0.1, 0.4]), torch.tensor([1, 0, 1]), 1.0, 2.0, ties[::-1]),
        (torch.tensor([0.65]), torch.tensor([1]), 1.0, 1.0, [0.9, 0.4, 0.1, 0.6]),
        (torch.tensor([0.5, 0.4, 0.5]), torch.tensor([0, 1, 0]), 2.0, 3.0, [0.6, 0.3, 0.45]),
    ]
    names = "scores", "labels", "alarm_cost", "miss_cost", "thresholds"
    judge(keeping(attempt, *names), cheapest, inputs, CHEAPEST_THRESHOLD_MISTAKES)


def gaps_of_bins(confidence, right, bins):
    number = (confidence * bins).long()
    for one in number.unique():
        here = number == one
        yield (confidence[here].mean() - right[here].mean()).item(), here.sum().item()


def gap_from_centres(confidence, right, bins):
    centres = ((confidence * bins).long() + 0.5) / bins
    return sum(abs(gap) * texts for gap, texts in gaps_of_bins(centres, right, bins)) / len(right)


def gap_of_means(confidence, right, bins):
    return sum(abs(gap) * texts for gap, texts in gaps_of_bins(confidence, right, bins)) / len(
        confidence
    )


def gap_unweighted(c, r, b):
    found = [abs(gap) for gap, _ in gaps_of_bins(c, r, b)]
    return sum(found) / len(found)


def gap_over_all_bins(c, r, b):
    return sum(abs(gap) for gap, _ in gaps_of_bins(c, r, b)) / b


def gap_of_numbers(confidence, right, number):
    """The gap where bin `number` (texts,) is each text's."""
    found = [number == one for one in number.unique()]
    gaps = [abs(confidence[h].mean() - right[h].mean()).item() * h.sum().item() for h in found]
    return sum(gaps) / len(confidence)


def gap_of_quantiles(confidence, right, bins):
    order = confidence.argsort()
    number = torch.zeros(len(order), dtype=torch.long)
    number[order] = torch.arange(len(order)) * bins // len(order)
    return gap_of_numbers(confidence, right, number)


def gap_with_empty_bins(confidence, right, bins):
    number = (confidence * bins).long()
    gap = gap_of_means(confidence, right, bins)
    return gap if len(number.unique()) == bins else math.nan


CALIBRATION_GAP_MISTAKES = {
    "an empty bin has no mean, its 0 / 0 is nan: skip it": gap_with_empty_bins,
    "every bin has the same say; weigh each by its number of texts": gap_unweighted,
    "divided by the number of bins, empty ones too; "
    "each bin counts by its number of texts": gap_over_all_bins,
    "the sign was kept: bins that are too sure and bins that are too unsure cancel "
    "each other": lambda c, r, b: sum(gap * texts for gap, texts in gaps_of_bins(c, r, b)) / len(c),
    "one bin for everything, or signs kept up to the sum: mistakes in one place are hidden by the "
    "opposite ones in another": lambda c, r, b: abs((c.mean() - r.mean()).item()),
    "this compares text by text, which punishes every unsure verdict; compare the means "
    "of a bin": lambda c, r, b: (c - r).abs().mean().item(),
    "the gaps were squared; the mean of the plain distances is asked for": lambda c, r, b: (
        sum(gap**2 * texts for gap, texts in gaps_of_bins(c, r, b)) / len(c)
    ),
    "this takes the centre of each bin; the mean confidence of the texts in it is "
    "asked for": gap_from_centres,
    "this is the largest gap; the mean is asked for": lambda c, r, b: max(
        abs(gap) for gap, _ in gaps_of_bins(c, r, b)
    ),
    "not divided by the number of texts": lambda c, r, b: gap_of_means(c, r, b) * len(c),
    "the number of a bin was rounded; bin k holds k ≤ confidence · bins < k + 1, so cut off the "
    "digits": lambda c, r, b: gap_of_numbers(c, r, (c * b).round()),
    "the border of a bin belongs to the bin above it, not to the one below": lambda c, r, b: (
        gap_of_numbers(c, r, (c * b).ceil())
    ),
    "there is one bin too many": lambda c, r, b: gap_of_means(c, r, b + 1),
    "there is one bin too few": lambda c, r, b: gap_of_means(c, r, max(1, b - 1)),
    "these bins hold equally many texts; they are equally wide": gap_of_quantiles,
    "the bins run from 0.5 to 1; they run from 0 to 1": lambda c, r, b: gap_of_numbers(
        c, r, ((c - 0.5) * 2 * b).long()
    ),
    "the squares of the gaps were averaged and the root taken; the mean of the plain distances is "
    "asked for": lambda c, r, b: (
        (sum(gap**2 * texts for gap, texts in gaps_of_bins(c, r, b)) / len(c)) ** 0.5
    ),
    "this is the mean of the squared distances, text by text (Brier)": lambda c, r, b: (
        ((c - r) ** 2).mean().item()
    ),
    "this is how sure the model is; how right it is belongs to it": lambda c, r, b: c.mean().item(),
    "this is how often the model is wrong": lambda c, r, b: 1 - r.mean().item(),
    "this is the gap of the last bin; the mean over all texts is asked for": lambda c, r, b: abs(
        list(gaps_of_bins(c, r, b))[-1][0]
    ),
    "only bins that are too sure were counted": lambda c, r, b: (
        sum(max(gap, 0.0) * texts for gap, texts in gaps_of_bins(c, r, b)) / len(c)
    ),
}


@exercise_check(
    "calibration_gap",
    hints=(
        "in which bin does a text fall, and what is compared there?",
        "bin by bin: mean of how sure, mean of how right, the distance between them, times "
        "the texts in it. Empty bins have no mean. Divide by all texts.",
        "`(confidence * bins).long()` gives each text its bin",
    ),
)
def check_calibration_gap(attempt):
    """calibration_gap(confidence, right, bins): the mean over all texts of |how sure − how right|
    of their bin.
    """
    inputs = []
    for seed, (texts, bins, power) in enumerate(
        [(20, 5, 2), (40, 10, 0.2), (60, 4, 2), (25, 10, 1)]
    ):
        confidence = 0.5 + 0.499 * torch.rand(texts, generator=seeded(seed)) ** 0.7
        right = (
            torch.rand(texts, generator=seeded(seed + 4)) < confidence**power
        )  # too sure, or not sure enough
        inputs.append((confidence, right.float(), bins))

    border = torch.tensor([0.75, 0.5, 0.75, 0.625, 0.875])  # exact in binary, and not in order
    inputs.append((border, torch.tensor([1.0, 0.0, 0.0, 1.0, 1.0]), 4))
    inputs.append((torch.tensor([0.7]), torch.tensor([1.0]), 3))

    judge(attempt, gap_of_means, inputs, CALIBRATION_GAP_MISTAKES)


MERGED_WEIGHT_MISTAKES = {
    "the scale is missing: B A is multiplied by alpha / rank": lambda W, A, B, alpha: W + B @ A,
    "multiplied by alpha alone; the scale is alpha / rank": lambda W, A, B, alpha: (
        W + alpha * B @ A
    ),
    "divided by alpha: the scale is alpha / rank": lambda W, A, B, alpha: (
        W + len(A) / alpha * B @ A
    ),
    "this is the correction alone; it is added to W": lambda W, A, B, alpha: alpha / len(A) * B @ A,
    "the correction was subtracted": lambda W, A, B, alpha: W - alpha / len(A) * B @ A,
    "A B is (rank, rank) or does not fit at all; B A is (out, in)": lambda W, A, B, alpha: (
        W + alpha / len(A) * A @ B
    ),
    "divided by √rank; the scale of Hu and others is alpha / rank": lambda W, A, B, alpha: (
        W + alpha / len(A) ** 0.5 * B @ A
    ),
    "the rank is the number of rows of A, not of columns": lambda W, A, B, alpha: (
        W + alpha / A.shape[1] * B @ A
    ),
    "this is the transpose; W and the result are (out, in)": lambda W, A, B, alpha: (
        (W + alpha / len(A) * B @ A).T
    ),
    "W was scaled, too; only B A is multiplied by alpha / rank": lambda W, A, B, alpha: (
        alpha / len(A) * (W + B @ A)
    ),
    "`alpha // rank` cuts off the digits; write `alpha / rank`": lambda W, A, B, alpha: (
        W + alpha // len(A) * B @ A
    ),
    "divided by the rank alone; the scale is alpha / rank": lambda W, A, B, alpha: (
        W + B @ A / len(A)
    ),
    "multiplied by the rank; the scale is alpha / rank": lambda W, A, B, alpha: (
        W + alpha * len(A) * B @ A
    ),
    "the rank is the number of rows of A, not of B": lambda W, A, B, alpha: (
        W + alpha / len(B) * B @ A
    ),
    "the scale is squared: both A and B were multiplied by alpha / rank": lambda W, A, B, alpha: (
        W + (alpha / len(A)) ** 2 * B @ A
    ),
    "A was turned round, `A.T`; B (out, rank) times A (rank, in) fits as it is": lambda W, A, B, alpha: (
        W + alpha / len(A) * B @ A.T
    ),
    "B was turned round, `B.T`; B (out, rank) times A (rank, in) fits as it is": lambda W, A, B, alpha: (
        W + alpha / len(A) * B.T @ A
    ),
    "both were turned round, which gives (in, out): multiply B by A": lambda W, A, B, alpha: (
        W + alpha / len(A) * A.T @ B.T
    ),
    "the detour was counted twice": lambda W, A, B, alpha: W + 2 * alpha / len(A) * B @ A,
    "W came back unchanged": lambda W, A, B, alpha: W,
    "`*` multiplies number by number; a product of matrices is `@`": lambda W, A, B, alpha: (
        W + alpha / len(A) * B * A
    ),
}


@exercise_check(
    "merged_weight",
    hints=(
        "what does the detour do to a vector, written as one matrix?",
        "first down to the rank, then up again: the product of both matrices, scaled, has "
        "the shape of the big one and is added to it; make a new matrix.",
        "`W + alpha / len(A) * B @ A`",
    ),
)
def check_merged_weight(attempt):
    """merged_weight(W, A, B, alpha): (out, in), (rank, in), (out, rank) to (out, in)."""
    inputs = []
    for seed, (out, rank, into) in enumerate(
        [(4, 2, 3), (5, 1, 6), (6, 3, 2), (3, 4, 7), (1, 2, 5)]
    ):
        shapes = ((out, into), (rank, into), (out, rank))
        inputs.append(
            (
                *(normal(10 * seed + number, *shape) for number, shape in enumerate(shapes)),
                float(3 * rank + seed),
            )
        )
    judge(
        keeping(attempt, "W", "A", "B", "alpha"),
        lambda W, A, B, alpha: W + alpha / len(A) * B @ A,
        inputs,
        MERGED_WEIGHT_MISTAKES,
    )
