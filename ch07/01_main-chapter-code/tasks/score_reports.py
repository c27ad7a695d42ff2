"""The scores of a run in numbers and pictures: before and after, by kind, with intervals."""

import math

from ch07_01_main_chapter_code.tasks.sets import sum_of, wilson


def exact(scores):
    """The exact score over all kinds with its 95 % interval: {"right", "of", "share", "interval"}."""
    right, total = sum_of(scores)
    share = right / total if total else None
    return {
        "right": right,
        "of": total,
        "share": share,
        "interval": wilson(right, total) if total else None,
    }


def curve_of(losses, points=50):
    """The losses of all steps in about so many points: [last step, mean loss] of equally many steps
    each.
    """
    width = max(1, math.ceil(len(losses) / points))
    parts = [losses[start : start + width] for start in range(0, len(losses), width)]
    return [
        [min(len(losses), (n + 1) * width), round(sum(part) / len(part), 4)]
        for n, part in enumerate(parts)
    ]


def plot_scores(summary, path=None):
    """Two pictures of a `summary.json`: the loss of the training, and the exact score of each kind
    before and after.

    Returns the figure. `path`: where to save it.
    """
    from matplotlib.figure import (
        Figure,
    )  # no window, and nothing of the caller's own figures is touched

    kinds = list(summary["kinds"])
    figure = Figure(figsize=(9, max(3.5, 0.24 * len(kinds) + 1)), layout="constrained")
    curve, scores = figure.subplots(1, 2, width_ratios=(1, 1.3))
    steps, losses = zip(*summary["curve"], strict=True)
    curve.plot(steps, losses, color="#0072B2")
    curve.set(
        xlabel="step",
        ylabel="training loss (nats per token)",
        yscale="log",
        title="The answers become expected",
    )
    draw_scores(scores, summary["kinds"])
    if summary["after"]["of"]:
        before, after = (100 * summary[name]["share"] for name in ("before", "after"))
        scores.set_title(f"{before:.0f} % right before, {after:.0f} % after")
    if path is not None:
        figure.savefig(path, dpi=100)
    return figure


def draw_scores(ax, kinds):
    """Points at the share of right answers of each kind, before and after, with their 95 %
    intervals.
    """
    for name, color, offset in (("before", "#D55E00", 0.15), ("after", "#0072B2", -0.15)):
        for place, kind in enumerate(kinds):
            right, total = kinds[kind][name]
            low, high = wilson(right, total)
            ax.plot([low, high], [place - offset] * 2, color=color, lw=1.5)
            ax.plot(
                right / total,
                place - offset,
                "o",
                color=color,
                ms=4,
                label=name if place == 0 else None,
                clip_on=False,
            )
    ax.set(
        yticks=range(len(kinds)),
        xlim=(0, 1),
        xlabel="share of exactly right answers, 95 % interval",
    )
    ax.set_yticklabels(kinds, fontsize=8)
    ax.invert_yaxis()
    ax.legend(
        frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=2
    )  # nowhere inside is always free
