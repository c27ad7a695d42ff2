"""Wrong answers to the exercises of chapter 6, each with the mistake that its reader must be told,
and right answers of unusual form. What the tables mean is told in tools/mutants.py.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.metrics import precision_recall_fscore_support, roc_auc_score

from ch06_01_main_chapter_code import checks
from scratch_llm_tools.mutants import MutantTests

MEAN = "(losses * w).sum() / w.sum()"
PRECISION = "found / called if called else 0.0"
F1 = "2 * found / (called + spam) if found else 0.0"
AREA = "(won + 0.5 * tied).mean().item()"
FIRST = "min(thresholds, key=cost)"
BY_CLASS = (
    "sum(weights[c] * losses[labels == c].mean() for c in labels.unique())"
    " / sum(weights[c] for c in labels.unique())"
)
SKLEARN = """def precision_recall_f1(verdicts, labels):
    return precision_recall_fscore_support(labels, verdicts, average="binary", zero_division=0)[:3]
"""
RANKS = (
    "((scores.argsort().argsort() + 1)[labels == 1].sum().item()"
    " - labels.sum().item() * (labels.sum().item() + 1) / 2) / gaps.numel()"
)
MEAN_PRECISION = (
    "(lambda y: float(np.mean([y[: k + 1].double().mean() for k, one in enumerate(y) if one == 1])))"
    "(labels[scores.argsort(descending=True)])"
)

MUTANTS = {
    "last_token_vectors": (
        """
def last_token_vectors(hidden, mask):
    places = torch.arange(mask.shape[1])
    last = torch.where(mask, places, -1).max(dim=1).values
    return hidden[torch.arange(len(hidden)), last]
""",
        [
            ("which may be padding", "last]", "-1]"),
            ("this reads the first place", "last]", "0]"),
            (
                "the first real token",
                "torch.where(mask, places, -1).max",
                "torch.where(mask, places, 99).min",
            ),
            (
                "chosen for the whole batch",
                "    return",
                "    if not mask[0, 0]:\n        return hidden[:, -1]\n "
                "   last = mask.sum(1) - 1\n    return",
            ),
            ("taken for a place", "torch.where(mask, places, -1).max(dim=1).values", "mask.sum(1)"),
            (
                "padding on the right only",
                "torch.where(mask, places, -1).max(dim=1).values",
                "mask.sum(1) - 1",
            ),
            (
                "the mean of the real tokens",
                "hidden[torch.arange(len(hidden)), last]",
                "(hidden * mask[..., None]).sum(1) / mask.sum(1)[:, None]",
            ),
            ("the mean of all places", "hidden[torch.arange(len(hidden)), last]", "hidden.mean(1)"),
            (
                "all real tokens came back",
                "hidden[torch.arange(len(hidden)), last]",
                "hidden[mask]",
            ),
            ("keeps an axis of length 1", "last]", "last].unsqueeze(1)"),
            ("a batch of one", "last]", "last].squeeze()"),
            ("before the last one", "last]", "(last - 1).clamp(0)]"),
            (
                "counted from the right",
                "torch.where(mask, places, -1).max(dim=1).values",
                "mask.flip(1).long().argmax(1)",
            ),
            ("gives every row all places", "torch.arange(len(hidden)), last", ":, last"),
            (
                "were added up",
                "hidden[torch.arange(len(hidden)), last]",
                "torch.einsum('bte,bt->be', hidden, mask.float())",
            ),
            (
                "the largest of all real tokens",
                "hidden[torch.arange(len(hidden)), last]",
                "torch.where(mask[..., None], hidden, -math.inf).max(1).values",
            ),
            ("the place of the first row", "torch.arange(len(hidden)), last", ":, last[0]"),
            ("real in any row", "torch.arange(len(hidden)), last", ":, last.max()"),
            (
                "padding was set to 0",
                "hidden[torch.arange(len(hidden)), last]",
                "hidden.masked_fill(~mask[..., None], 0)[:, -1]",
            ),
            ("these are the places", "hidden[torch.arange(len(hidden)), last]", "last"),
            ("", "last]", "last] * 2"),
        ],
        [
            ("torch.where(mask, places, -1).max(dim=1).values", "mask.cumsum(1).argmax(1)"),
            (
                "torch.where(mask, places, -1).max(dim=1).values",
                "mask.shape[1] - 1 - mask.flip(1).int().argmax(1)",
            ),
            (
                "hidden[torch.arange(len(hidden)), last]",
                "torch.stack([row[m][-1] for row, m in zip(hidden, mask)])",
            ),
            (
                "hidden[torch.arange(len(hidden)), last]",
                "hidden.gather(1, last[:, None, None].expand(-1, -1, hidden.shape[2]))[:, 0].numpy()",
            ),
        ],
    ),
    "weighted_loss": (
        """
def weighted_loss(logits, labels, weights):
    losses = -logits.log_softmax(dim=-1).gather(1, labels[:, None])[:, 0]
    w = weights[labels]
    return (losses * w).sum() / w.sum()
""",
        [
            ("divided by the number of texts", MEAN, "(losses * w).mean()"),
            ("this is a weighted sum", " / w.sum()", ""),
            ("the sum over the classes", "/ w.sum()", "/ weights.sum()"),
            ("the weights were left out", MEAN, "losses.mean()"),
            (
                "were multiplied by the weights",
                "logits.log",
                "(logits * weights).log",
                MEAN,
                "losses.mean()",
            ),
            (
                "takes all labels for every text",
                "logits.log_softmax(dim=-1).gather(1, labels[:, None])[:, 0]",
                "logits.log_softmax(dim=-1)[:, labels]",
            ),
            ("these divide", "weights[labels]", "1 / weights[labels]"),
            ("the minus sign", "-logits", "logits"),
            ("mean probability of the right class", "-logits.log_softmax", "logits.softmax"),
            ("`nll_loss` takes log_softmax", "-logits.log_softmax", "-logits.softmax"),
            ("the softmax is missing", ".log_softmax(dim=-1)", ""),
            ("went along the texts", "dim=-1", "dim=0"),
            (
                "the softmax came before",
                ".log_softmax(dim=-1)",
                ".softmax(dim=-1).log_softmax(dim=-1)",
            ),
            ("the class that was guessed", "weights[labels]", "weights[logits.argmax(1)]"),
            ("were squared", "weights[labels]", "weights[labels] ** 2"),
            ("went through a softmax", "weights[labels]", "weights.softmax(0)[labels]"),
            ("multiplied by the mean weight", MEAN, "losses.mean() * w.mean()"),
            ("the number of classes", "/ w.sum()", "/ len(weights)"),
            (
                "were added to the logits",
                "logits.log",
                "(logits + weights.log()).log",
                MEAN,
                "losses.mean()",
            ),
            ("these are bits", "losses * w", "losses / math.log(2) * w"),
            ("e was raised", MEAN, "((losses * w).sum() / w.sum()).exp()"),
            ("the losses of each text", MEAN, "losses * w"),
            ("every class has the same say", MEAN, BY_CLASS),
            ("leave out `.item()`", MEAN, "((losses * w).sum() / w.sum()).item()"),
            ("cuts it off", MEAN, "((losses * w).sum() / w.sum()).detach()"),
            ("", MEAN, "2 * (losses * w).sum() / w.sum()"),
        ],
        [
            (
                "def weighted_loss(logits, labels, weights):\n    return "
                "F.cross_entropy(logits, labels, weight=weights)\n",
            ),
            ("(losses * w).sum() / w.sum()", "losses @ (w / w.sum())"),
            ("losses * w", "losses.double() * w"),
        ],
    ),
    "precision_recall_f1": (
        """
def precision_recall_f1(verdicts, labels):
    found = ((verdicts == 1) & (labels == 1)).sum().item()
    called, spam = verdicts.sum().item(), labels.sum().item()
    precision = found / called if called else 0.0
    recall = found / spam if spam else 0.0
    f1 = 2 * found / (called + spam) if found else 0.0
    return precision, recall, f1
""",
        [
            (
                "precision and recall are exchanged",
                "return precision, recall",
                "return recall, precision",
            ),
            ("not the plain one", F1, "(precision + recall) / 2"),
            ("the precision divides by zero", " if called else 0.0", ""),
            (
                "the precision is nan",
                PRECISION,
                "(torch.tensor(float(found)) / torch.tensor(float(called))).item()",
            ),
            (
                "where nothing was found F1 divides",
                F1,
                "2 * precision * recall / (precision + recall)",
            ),
            (
                "precision, recall and F1 of 0",
                " if called else 0.0",
                "",
                F1,
                "2 * precision * recall / (precision + recall)",
            ),
            (
                "these are the numbers of ham",
                "    found",
                "    verdicts, labels = 1 - verdicts, 1 - labels\n    found",
            ),
            (
                "the accuracy where the precision",
                PRECISION,
                "(verdicts == labels).float().mean().item()",
            ),
            (
                "divided by all texts",
                PRECISION,
                "found / len(labels)",
                "found / spam if spam else 0.0\n",
                "found / len(labels)\n",
            ),
            ("the root of the product", F1, "math.sqrt(precision * recall)"),
            ("lacks its factor 2", "2 * found /", "found /"),
            ("lacks its factor 2, and", F1, "1 / (1 / precision + 1 / recall)"),
            ("F1 is no product", F1, "2 * precision * recall"),
            ("the smaller of the two", F1, "min(precision, recall)"),
            ("Jaccard", F1, "found / (called + spam - found)"),
            ("the accuracy where F1", F1, "(verdicts == labels).float().mean().item()"),
            (
                "the accuracy where the recall",
                "found / spam if spam else 0.0\n",
                "(verdicts == labels).float().mean().item()\n",
            ),
            ("is 0 here, not 1", "else 0.0\n    recall", "else 1.0\n    recall"),
            ("these are counts", PRECISION, "found", "found / spam if spam else 0.0\n", "found\n"),
            (
                "per cent",
                "return precision, recall, f1",
                "return 100 * precision, 100 * recall, 100 * f1",
            ),
            ("in another order", "return precision, recall, f1", "return f1, recall, precision"),
            (
                "were rounded",
                "return precision, recall, f1",
                "return round(precision, 2), round(recall, 2), round(f1, 2)",
            ),
            ("F1 is missing", "return precision, recall, f1", "return precision, recall"),
            ("", "return precision", "return 1 - precision"),
        ],
        [
            (SKLEARN,),
            (
                "return precision, recall, f1",
                "return [precision, torch.tensor(recall), np.float64(f1)]",
            ),
            (F1, "2 / (1 / precision + 1 / recall) if found else 0"),
        ],
    ),
    "precision_at_share": (
        """
def precision_at_share(recall, alarms, share):
    spam, ham = recall * share, alarms * (1 - share)
    return spam / (spam + ham)
""",
        [
            ("a balanced test, whatever", "recall * share, alarms * (1 - share)", "recall, alarms"),
            (
                "the shares are exchanged",
                "recall * share, alarms * (1 - share)",
                "recall * (1 - share), alarms * share",
            ),
            ("weigh them by 1 − share", " * (1 - share)", ""),
            ("the share of texts called spam", "spam / (spam + ham)", "spam + ham"),
            ("this is the accuracy", "spam / (spam + ham)", "spam + (1 - alarms) * (1 - share)"),
            ("above the line stands the spam", "return spam /", "return share /"),
            ("the share of false alarms among", "return spam /", "return ham /"),
            ("the share of the spam is missing", "(spam + ham)", "(recall + ham)"),
            ("the misses stand", "recall * share", "(1 - recall) * share"),
            ("not the share that is let through", "alarms * (1", "(1 - alarms) * (1"),
            ("this is F1", "spam / (spam + ham)", "2 * spam / (spam + ham + share)"),
            ("how many times as many", "(spam + ham)", "ham"),
            ("only the share of the spam that is found", "spam / (spam + ham)", "spam"),
            (
                "was multiplied by the share",
                "spam / (spam + ham)",
                "recall / (recall + alarms) * share",
            ),
            (
                "the share of ham among",
                "spam / (spam + ham)",
                "(1 - alarms) * (1 - share) / ((1 - alarms) * (1 - share) + (1 - recall) * share)",
            ),
            ("above the line the recall alone", "return spam /", "return recall /"),
            ("per cent", "return ", "return 100 * "),
            ("", "return ", "return 0.5 * "),
        ],
        [
            ("spam / (spam + ham)", "1 / (1 + ham / spam)"),
            (
                "spam / (spam + ham)",
                "torch.tensor([spam, ham], dtype=torch.double).softmax(0)[0] * 0 + spam / (spam + ham)",
            ),
            ("spam / (spam + ham)", "np.float64(spam) / (spam + ham)"),
        ],
    ),
    "roc_area": (
        """
def roc_area(scores, labels):
    gaps = scores[labels == 1][:, None] - scores[labels == 0]
    won, tied = (gaps > 0).double(), (gaps == 0).double()
    return (won + 0.5 * tied).mean().item()
""",
        [
            ("counted as lost", " + 0.5 * tied", ""),
            ("counted as won", "0.5 * tied", "tied"),
            ("the wrong way round", "gaps > 0", "gaps < 0"),
            ("count for neither", "gaps > 0", "gaps < 0", " + 0.5 * tied", ""),
            ("the mean difference", AREA, "gaps.double().mean().item()"),
            ("divide by their number", ".mean()", ".sum()"),
            (
                "all pairs of texts",
                AREA,
                "(won + 0.5 * tied).sum().item() / math.comb(len(labels), 2)",
            ),
            (
                "the accuracy at the threshold 0.5",
                AREA,
                "((scores > 0.5) == (labels == 1)).double().mean().item()",
            ),
            ("these ranks put equal scores", AREA, RANKS),
            ("Gini", AREA, "2 * (won + 0.5 * tied).mean().item() - 1"),
            (
                "pairs of neighbours",
                "scores[labels == 1][:, None] - scores[labels == 0]",
                "torch.tensor([a - b for a, b in zip(scores[labels == 1], scores[labels == 0])])",
            ),
            (
                "only the likeliest spam",
                AREA,
                "float(scores[labels == 1].max() > scores[labels == 0].max())",
            ),
            (
                "with the mean of the ham",
                AREA,
                "(scores[labels == 1] > scores[labels == 0].mean()).double().mean().item()",
            ),
            (
                "with the mean of the spam",
                AREA,
                "(scores[labels == 0] < scores[labels == 1].mean()).double().mean().item()",
            ),
            ("count twice here", "gaps > 0", "gaps >= 0"),
            ("were left out of the number", AREA, "(won.sum() / (gaps != 0).sum()).item()"),
            ("the ranks begin at 0", AREA, "(won + 0.5 * tied).mean().item() - 1 / gaps.shape[1]"),
            (
                "divided by the number of texts",
                AREA,
                "(won + 0.5 * tied).sum().item() / len(scores)",
            ),
            (
                "the square of the number",
                AREA,
                "(won + 0.5 * tied).sum().item() / len(scores) ** 2",
            ),
            ("the mean precision", AREA, MEAN_PRECISION),
            ("", "0.5 * tied", "0.6 * tied"),
        ],
        [
            ("def roc_area(scores, labels):\n    return roc_auc_score(labels, scores)\n",),
            (AREA, "((gaps > 0).sum() + (gaps >= 0).sum()).item() / 2 / gaps.numel()"),
            (".mean().item()", ".mean()"),
        ],
    ),
    "cheapest_threshold": (
        """
def cheapest_threshold(scores, labels, alarm_cost, miss_cost, thresholds):
    def cost(threshold):
        called = scores >= threshold
        alarms = (called & (labels == 0)).sum().item()
        misses = (~called & (labels == 1)).sum().item()
        return alarms * alarm_cost + misses * miss_cost

    return min(thresholds, key=cost)
""",
        [
            (
                "the costs are exchanged",
                "alarms * alarm_cost + misses * miss_cost",
                "alarms * miss_cost + misses * alarm_cost",
            ),
            (
                "every mistake was counted alike",
                "alarms * alarm_cost + misses * miss_cost",
                "alarms + misses",
            ),
            ("the dearest", "return min(", "return max("),
            (
                "ham and spam are exchanged",
                "labels == 0",
                "labels == 1",
                "~called & (labels == 1)",
                "~called & (labels == 0)",
            ),
            ("this is the lowest cost; the", FIRST, "min(map(cost, thresholds))"),
            ("only false alarms", " + misses * miss_cost", ""),
            ("only misses", "alarms * alarm_cost + ", ""),
            (
                "the best F1",
                "alarms * alarm_cost + misses * miss_cost",
                "-2 * (called & (labels == 1)).sum().item() / max(1, "
                "called.sum().item() + labels.sum().item())",
            ),
            ("the dearest", "scores >= threshold", "scores < threshold"),
            ("is called spam, too (>=)", "scores >= threshold", "scores > threshold"),
            ("only if both mistakes", FIRST, "0.5"),
            ("the last one of the list", FIRST, "min(reversed(thresholds), key=cost)"),
            ("the smallest one; the first", FIRST, "min(sorted(thresholds), key=cost)"),
            (
                "the largest one; the first",
                FIRST,
                "min(sorted(thresholds, reverse=True), key=cost)",
            ),
            ("the place of the threshold", FIRST, "int(np.argmin([cost(t) for t in thresholds]))"),
            ("the costs of all thresholds", FIRST, "[float(cost(t)) for t in thresholds]"),
            (
                "holds for calibrated scores only",
                FIRST,
                "min(thresholds, key=lambda t: abs(t - alarm_cost / (alarm_cost + miss_cost)))",
            ),
            ("need not be in the list", FIRST, "alarm_cost / (alarm_cost + miss_cost)"),
            ("the first threshold of the list", FIRST, "thresholds[0]"),
            ("the smallest threshold", FIRST, "min(thresholds)"),
            ("the largest threshold", FIRST, "max(thresholds)"),
            (
                "the costs were squared",
                "alarms * alarm_cost + misses * miss_cost",
                "alarms * alarm_cost**2 + misses * miss_cost**2",
            ),
            ("`thresholds` itself", "    return min", "    thresholds.sort()\n    return min"),
            ("", FIRST, "0.05 + min(thresholds, key=cost)"),
        ],
        [
            (FIRST, "thresholds[int(np.argmin([cost(t) for t in thresholds]))]"),
            (FIRST, "sorted(thresholds, key=cost)[0]"),
            (FIRST, "torch.tensor(min(thresholds, key=cost), dtype=torch.double)"),
        ],
    ),
    "calibration_gap": (
        """
def calibration_gap(confidence, right, bins):
    number = (confidence * bins).long()
    total = 0.0
    for k in range(bins):
        here = number == k
        if here.any():
            gap = confidence[here].mean() - right[here].mean()
            total += gap.abs().item() * here.sum().item()
    return total / len(confidence)
""",
        [
            (
                "every bin has the same say",
                " * here.sum().item()",
                "",
                "/ len(confidence)",
                "/ len(number.unique())",
            ),
            (
                "divided by the number of bins",
                " * here.sum().item()",
                "",
                "/ len(confidence)",
                "/ bins",
            ),
            ("the sign was kept", "gap.abs()", "gap"),
            (
                "one bin for everything",
                "(confidence * bins).long()",
                "torch.zeros_like(confidence)",
            ),
            ("one bin for everything", "gap.abs()", "gap", "return total", "return abs(total)"),
            (
                "text by text, which punishes",
                "total / len(confidence)",
                "(confidence - right).abs().mean().item()",
            ),
            ("the gaps were squared", "gap.abs()", "gap.square()"),
            ("the centre of each bin", "confidence[here].mean()", "(k + 0.5) / bins"),
            (
                "this is the largest gap",
                "total += gap.abs().item() * here.sum().item()",
                "total = max(total, gap.abs().item())",
                "/ len(confidence)",
                "/ 1",
            ),
            ("not divided by the number of texts", " / len(confidence)", ""),
            (
                "was rounded",
                "(confidence * bins).long()",
                "torch.round(confidence * bins).long()",
                "range(bins)",
                "range(bins + 1)",
            ),
            (
                "the bin above it",
                "(confidence * bins).long()",
                "torch.ceil(confidence * bins).long()",
                "range(bins)",
                "range(bins + 1)",
            ),
            ("one bin too many", "    number", "    bins += 1\n    number"),
            ("one bin too few", "    number", "    bins = max(1, bins - 1)\n    number"),
            (
                "equally many texts",
                "(confidence * bins).long()",
                "confidence.argsort().argsort() * bins // len(confidence)",
            ),
            ("run from 0.5 to 1", "confidence * bins", "(confidence - 0.5) * 2 * bins"),
            (
                "and the root taken",
                "gap.abs()",
                "gap.square()",
                "total / len(confidence)",
                "math.sqrt(total / len(confidence))",
            ),
            ("Brier", "total / len(confidence)", "F.mse_loss(confidence, right).item()"),
            ("how sure the model is", "total / len(confidence)", "confidence.mean().item()"),
            ("how often the model is wrong", "total / len(confidence)", "1 - right.mean().item()"),
            (
                "the gap of the last bin",
                "total += gap.abs().item() * here.sum().item()",
                "total = gap.abs().item()",
                "/ len(confidence)",
                "/ 1",
            ),
            ("too sure were counted", "gap.abs()", "gap.clamp(min=0)"),
            ("an empty bin has no mean", "if here.any():", "if True:"),
            ("", "gap.abs()", "2 * gap.abs()"),
        ],
        [
            ("number = (confidence * bins).long()", "number = torch.floor(confidence * bins)"),
            (
                "number = (confidence * bins).long()",
                "number = torch.bucketize(confidence, torch.arange(1, bins) / bins, right=True)",
            ),
            ("total / len(confidence)", "np.float32(total) / len(confidence)"),
        ],
    ),
    "merged_weight": (
        """
def merged_weight(W, A, B, alpha):
    rank = A.shape[0]
    return W + (alpha / rank) * (B @ A)
""",
        [
            ("the scale is missing", "(alpha / rank) * ", ""),
            ("multiplied by alpha alone", "(alpha / rank)", "alpha"),
            ("divided by alpha", "alpha / rank", "rank / alpha"),
            ("the correction alone", "W + ", ""),
            ("the correction was subtracted", "W + ", "W - "),
            ("A B is (rank, rank)", "B @ A", "A @ B"),
            ("divided by √rank", "alpha / rank", "alpha / math.sqrt(rank)"),
            ("not of columns", "A.shape[0]", "A.shape[1]"),
            (
                "this is the transpose",
                "W + (alpha / rank) * (B @ A)",
                "(W + (alpha / rank) * (B @ A)).T",
            ),
            ("W was scaled, too", "W + (alpha / rank) * (B @ A)", "(W + B @ A) * alpha / rank"),
            ("cuts off the digits", "alpha / rank", "alpha // rank"),
            ("divided by the rank alone", "alpha / rank", "1 / rank"),
            ("multiplied by the rank", "alpha / rank", "alpha * rank"),
            ("not of B", "A.shape[0]", "len(B)"),
            ("the scale is squared", "alpha / rank", "alpha**2 / rank**2"),
            ("`A.T`", "B @ A", "B @ A.T"),
            ("`B.T`", "B @ A", "B.T @ A"),
            ("both were turned round", "B @ A", "A.T @ B.T"),
            ("counted twice", "B @ A", "B @ A + B @ A"),
            ("W came back unchanged", "W + (alpha / rank) * (B @ A)", "W"),
            ("number by number", "(B @ A)", "B * A"),
            ("`W` itself", "return W +", "W +=", "(B @ A)", "(B @ A)\n    return W"),
            ("", "alpha / rank", "alpha / (rank + 1)"),
        ],
        [
            ("(alpha / rank) * (B @ A)", "torch.einsum('or,ri->oi', B, A) * alpha / B.shape[1]"),
            ("W + (alpha / rank) * (B @ A)", "torch.addmm(W, B, A, alpha=alpha / rank)"),
            ("W + (alpha / rank) * (B @ A)", "(W + (alpha / rank) * (B @ A)).tolist()"),
        ],
    ),
}


class TestMutants(MutantTests):
    checks, mutants = checks, MUTANTS
    names = {"torch": torch, "F": F, "math": math, "np": np, "roc_auc_score": roc_auc_score}
    names["precision_recall_fscore_support"] = precision_recall_fscore_support
