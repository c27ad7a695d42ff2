"""How good is a classifier? Every number and curve from the logits and the labels of a test, for
any number of classes.
"""

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F

from scratch_llm_tools.console import printable


@dataclass(frozen=True)
class Curve:
    """Points of a curve: `x` and `y`, (points,) each, at falling `thresholds`, and the `area` under
    it.
    """

    x: torch.Tensor
    y: torch.Tensor
    thresholds: torch.Tensor
    area: float


@dataclass
class Report:
    """What a classifier said, (texts, classes) logits, and what was right, (texts,) labels.

    Where one class is meant, as for a curve, the default is the last one: spam of ham and spam.
    """

    logits: torch.Tensor
    labels: torch.Tensor
    classes: tuple
    probabilities: torch.Tensor = field(init=False)

    def __post_init__(self):
        self.probabilities = self.logits.double().softmax(dim=-1)
        self.predicted = self.logits.argmax(dim=-1)

    @property
    def loss(self):
        """Mean −ln p(right class), in nats per text."""
        return F.cross_entropy(self.logits.double(), self.labels).item()

    @property
    def accuracy(self):
        return (self.predicted == self.labels).double().mean().item()

    @property
    def confusion(self):
        """(classes, classes): rows are the right classes, columns the verdicts."""
        n = len(self.classes)
        return torch.bincount(self.labels * n + self.predicted, minlength=n * n).view(n, n)

    def number(self, name):
        return len(self.classes) - 1 if name is None else self.classes.index(name)

    def precision(self, name=None):
        """Of the texts that were called so, the share that are; 0 where none was called so."""
        called = self.confusion[:, self.number(name)]
        return called[self.number(name)].item() / max(1, called.sum().item())

    def recall(self, name=None):
        """Of the texts that are so, the share that were called so; 0 where none is."""
        are = self.confusion[self.number(name)]
        return are[self.number(name)].item() / max(1, are.sum().item())

    def f1(self, name=None):
        """The harmonic mean of precision and recall, 2 · right / (called so + are so)."""
        n, confusion = self.number(name), self.confusion
        return (
            2 * confusion[n, n].item() / max(1, (confusion[n].sum() + confusion[:, n].sum()).item())
        )

    @property
    def macro_f1(self):
        """The mean of all classes' F1: each class counts the same, however rare."""
        return sum(self.f1(name) for name in self.classes) / len(self.classes)

    def counts_above(self, name=None):
        """For each different probability of a class, from the highest: how many texts of it, and
        how many others, have at least this much. Returns thresholds, hits and false alarms,
        (different probabilities,) each."""
        n = self.number(name)
        scores, order = self.probabilities[:, n].sort(descending=True, stable=True)
        is_it = (self.labels[order] == n).double()
        last_of_equals = F.pad(scores[1:] != scores[:-1], (0, 1), value=True)
        return (
            scores[last_of_equals],
            is_it.cumsum(0)[last_of_equals],
            (1 - is_it).cumsum(0)[last_of_equals],
        )

    def roc(self, name=None):
        """Share of false alarms (x) and of hits (y) at each threshold; the area is the probability
        that a text of the class gets a higher score than another one. Not a number if the test
        lacks either."""
        thresholds, hits, alarms = self.counts_above(name)
        x, y = F.pad(alarms / alarms[-1], (1, 0)), F.pad(hits / hits[-1], (1, 0))
        return Curve(x, y, F.pad(thresholds, (1, 0), value=torch.inf), torch.trapezoid(y, x).item())

    def precision_recall(self, name=None):
        """Recall (x) and precision (y) at each threshold; the area is the average precision, in
        steps.
        """
        thresholds, hits, alarms = self.counts_above(name)
        recall, precision = hits / hits[-1], hits / (hits + alarms)
        area = (recall.diff(prepend=torch.zeros(1, dtype=recall.dtype)) * precision).sum().item()
        return Curve(recall, precision, thresholds, area)

    def calibration(self, bins=10):
        """Does 90 % sure mean right nine times in ten [Guo et al. 2017, arXiv:1706.04599]? Texts
        are put in `bins` by how sure the model is. Returns (mean confidence, accuracy, texts) of
        each bin that is not empty."""
        confidence, right = (
            self.probabilities.amax(dim=-1),
            (self.predicted == self.labels).double(),
        )
        number = (
            (confidence * bins).long().clamp(max=bins - 1)
        )  # bin n holds n <= confidence * bins < n + 1, the last also 1
        found = [number == n for n in range(bins)]
        return [
            (confidence[here].mean().item(), right[here].mean().item(), int(here.sum()))
            for here in found
            if here.any()
        ]

    def calibration_error(self, bins=10):
        """The mean distance between how sure and how right, over all texts."""
        total = sum(abs(sure - right) * texts for sure, right, texts in self.calibration(bins))
        return total / len(self.labels)

    def summary(self):
        """The numbers by name, for files and tables."""
        return {
            "accuracy": self.accuracy,
            "macro_f1": self.macro_f1,
            "loss": self.loss,
            "calibration_error": self.calibration_error(),
            "classes": {
                name: {
                    "precision": self.precision(name),
                    "recall": self.recall(name),
                    "f1": self.f1(name),
                    "roc_area": self.roc(name).area,
                    "average_precision": self.precision_recall(name).area,
                    "texts": self.confusion[number].sum().item(),
                }
                for number, name in enumerate(self.classes)
            },
            "confusion": self.confusion.tolist(),
        }


def plot_report(report, path=None):
    """Four pictures of a `Report`: confusion matrix, ROC, precision against recall, calibration.
    Returns the figure.

    With two classes the curves are those of the last one, else there is one for each. `path`: where
    to save it.
    """
    # With no window; nothing of the caller's own figures is touched.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 7), layout="constrained")
    (matrix, roc), (precision_recall, calibration) = figure.subplots(2, 2)
    draw_confusion(matrix, report)
    names = report.classes[1:] if len(report.classes) == 2 else report.classes
    for name, color in zip(names, COLORS * len(names), strict=False):
        curve = report.roc(name)
        label = f"{printable(name)}: area"
        roc.plot(curve.x, curve.y, color=color, label=f"{label} {curve.area:.3f}")
        curve = report.precision_recall(name)
        precision_recall.plot(curve.x, curve.y, color=color, label=f"{label} {curve.area:.3f}")
    roc.plot([0, 1], [0, 1], color="gray", ls="--", lw=1)
    roc.set(xlabel="share of the others called so", ylabel="share of them found", title="ROC curve")
    precision_recall.set(
        xlabel="recall", ylabel="precision", title="Precision and recall", ylim=(-0.02, 1.02)
    )
    draw_calibration(calibration, report)
    for ax in (roc, precision_recall):
        draw_legend(ax, "lower left" if ax is precision_recall else "lower right")
    if path is not None:
        figure.savefig(path, dpi=100)
    return figure


def draw_legend(ax, place):
    """A legend that shows the names of classes as they are: a "$" begins no formula, and a name that
    begins with "_" is not left out.
    """
    curves = [line for line in ax.lines if not line.get_label().startswith("_child")]
    legend = ax.legend(curves, [line.get_label() for line in curves], frameon=False, loc=place)
    for text in legend.get_texts():
        text.set_parse_math(False)


COLORS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"]


def draw_confusion(ax, report):
    """The confusion matrix: counts, and colour by the share of the right class."""
    counts, n = report.confusion, len(report.classes)
    shares = counts / counts.sum(dim=1, keepdim=True).clamp(min=1)
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for right in range(n):
        for called in range(n):
            color = "white" if shares[right, called] > 0.6 else "black"
            ax.text(
                called, right, f"{counts[right, called]:,}", ha="center", va="center", color=color
            )
    ax.set(
        xticks=range(n),
        yticks=range(n),
        xlabel="verdict",
        ylabel="right class",
        title=f"{100 * report.accuracy:.2f} % right",
    )
    names = [printable(name) for name in report.classes]
    ax.set_xticklabels(names, rotation=30 if n > 3 else 0, parse_math=False)
    ax.set_yticklabels(names, parse_math=False)


def draw_calibration(ax, report):
    """How often the model is right when it is so sure; points are as large as their share of the
    texts.
    """
    sure, right, texts = zip(*report.calibration(), strict=True)
    ax.plot([0, 1], [0, 1], color="gray", ls="--", lw=1)
    ax.plot(sure, right, color=COLORS[0], lw=1)
    ax.scatter(
        sure,
        right,
        s=[20 + 200 * count / len(report.labels) for count in texts],
        color=COLORS[0],
        clip_on=False,
    )
    lowest = 1 / len(report.classes)
    ax.set(
        xlim=(lowest - 0.02, 1.02),
        ylim=(-0.02, 1.02),
        xlabel="probability of the verdict",
        ylabel="share that is right",
        title=f"Calibration: error {report.calibration_error():.3f}",
    )
