"""Self-checks for the exercises of understanding-buffers.ipynb. How a check works is told in chapter
2's checks.py.
"""

import copy

import torch
from torch import nn

from ch03_01_main_chapter_code.previous_chapters import (
    Mistake,
    answer,
    exercise_check,
    hint,
    judge,
    normal,
    predict,
    show_progress,
)

__all__ = ["answer", "hint", "predict", "show_progress"]  # for the notebook, with every check


class Positions(nn.Module):
    """Adds the first rows of a table that is neither trained nor saved; the options are mistakes."""

    def __init__(self, table, kind="buffer", add=None):
        super().__init__()
        if kind == "attribute":
            self.table = table
        elif kind in ("trained", "frozen"):
            self.table = nn.Parameter(table, requires_grad=kind == "trained")
        else:
            self.register_buffer("table", table, persistent=kind == "saved")
        self.add = add or (lambda x, table: x + table[: x.shape[1]])

    def forward(self, x):
        return self.add(x, self.table)


def what_can_be_seen(module, x):
    """What tells the ways apart to keep a table: {what: what it is}."""
    if not isinstance(module, nn.Module):
        raise Mistake(f"`fixed_positions` gave back a {type(module).__name__}, not an nn.Module.")
    seen = {
        "parameters": sum(1 for _ in module.parameters()),
        "trained": sum(parameter.requires_grad for parameter in module.parameters()),
        "in the state_dict": len(module.state_dict()),
        "output": module(x),
    }
    moved = copy.deepcopy(module).to("meta")
    try:
        seen["left behind by .to()"] = moved(x.to("meta")).device.type != "meta"
    except (RuntimeError, NotImplementedError):  # two devices in one sum
        seen["left behind by .to()"] = True
    return seen


def seen_with(kind="buffer", add=None):
    return lambda table, x: what_can_be_seen(Positions(table, kind, add), x)


FIXED_POSITIONS_MISTAKES = {
    "a parameter is trained: `register_buffer` keeps the table out of the optimizer": seen_with(
        "trained"
    ),
    "a parameter without gradient is still a parameter, and saved: `register_buffer`": seen_with(
        "frozen"
    ),
    "the buffer is saved; what can be made again needs `persistent=False`": seen_with("saved"),
    "an attribute like any other stays behind when the module moves: `register_buffer`": seen_with(
        "attribute"
    ),
    "the whole table was added; a text has only its first `tokens` rows": seen_with(
        add=lambda x, table: x + table
    ),
    "the last rows of the table were added; take the first ones": seen_with(
        add=lambda x, table: x + table[-x.shape[1] :]
    ),
    "the positions were multiplied; they are added": seen_with(
        add=lambda x, table: x * table[: x.shape[1]]
    ),
    "only the positions came back; add them to x": seen_with(
        add=lambda x, table: torch.zeros_like(x) + table[: x.shape[1]]
    ),
    "the rows went to the texts of the batch; they belong to the places in a text": seen_with(
        add=lambda x, table: x + table[: len(x), None]
    ),
    "every place got row 0": seen_with(add=lambda x, table: x + table[0]),
}


@exercise_check(
    "fixed_positions",
    hints=(
        "should the table move with the module, be trained, be saved: yes or no to each?",
        "a module in whose table neither an optimizer nor a checkpoint is interested, but which "
        "goes where the module goes; forward adds as many of its rows as the text has tokens.",
        '`self.register_buffer("table", table, persistent=False)`',
    ),
)
def check_fixed_positions(attempt):
    """fixed_positions(table): a module that adds the first rows of `table` to x, and does not learn
    or save it.
    """
    inputs = [
        (normal(seed, context, emb_dim), normal(seed + 10, batch, tokens, emb_dim))
        for seed, (batch, tokens, context, emb_dim) in enumerate([(2, 3, 7, 4), (1, 5, 6, 8)])
    ]
    judge(
        lambda table, x: what_can_be_seen(attempt(table), x),
        seen_with(),
        inputs,
        FIXED_POSITIONS_MISTAKES,
    )


MASK_BYTES_MISTAKES = {
    "a mask has a number for every pair of tokens: context_length counts twice": lambda layers, context, size: (
        layers * context * size
    ),
    "each layer saves a mask of its own": lambda layers, context, size: context**2 * size,
    "this counts numbers; each takes bytes_per_number bytes": lambda layers, context, size: (
        layers * context**2
    ),
    "only the half above the diagonal was counted; the rest is saved as well": lambda layers, context, size: (
        layers * context * (context - 1) // 2 * size
    ),
    "the diagonal belongs to the rest, which is saved as well": lambda layers, context, size: (
        layers * context * (context + 1) // 2 * size
    ),
    "these are bits": lambda layers, context, size: 8 * layers * context**2 * size,
    "these are megabytes": lambda layers, context, size: layers * context**2 * size / 1e6,
    "`context_length * 2` is twice the length; it is its square": lambda layers, context, size: (
        layers * context * 2 * size
    ),
}


@exercise_check(
    "mask_bytes",
    hints=(
        "how many numbers has one mask, and how many masks are there?",
        "every layer keeps a square with the side of the context; each number takes its bytes, "
        "True or False as well.",
        "`n_layers * context_length**2 * bytes_per_number`",
    ),
)
def check_mask_bytes(attempt):
    """mask_bytes(n_layers, context_length, bytes_per_number): what persistent masks add to a file."""
    inputs = [(12, 1024, 1), (3, 70, 4), (1, 9, 2)]
    judge(attempt, lambda n, length, size: n * length**2 * size, inputs, MASK_BYTES_MISTAKES)


def updated(mean, count, batch):
    total = count + len(batch)
    return mean + (batch.mean(0) - mean) * len(batch) / total, total


UPDATE_MEAN_MISTAKES = {
    "this is the batch's own mean; what was seen before counts, too": lambda mean, count, batch: (
        batch.mean(0),
        count + len(batch),
    ),
    "old and new mean count alike here; each row must": lambda mean, count, batch: (
        (mean + batch.mean(0)) / 2,
        count + len(batch),
    ),
    "a whole batch counted as one row": lambda mean, count, batch: (
        mean + (batch.mean(0) - mean) / (count + 1),
        count + len(batch),
    ),
    "a whole batch counted as one row, in the count, too": lambda mean, count, batch: (
        mean + (batch.mean(0) - mean) / (count + 1),
        count + 1,
    ),
    "the mean is right, but the count must grow by the rows of the batch": lambda mean, count, batch: (
        updated(mean, count, batch)[0],
        count + 1,
    ),
    "the mean is right, but the old count came back": lambda mean, count, batch: (
        updated(mean, count, batch)[0],
        count,
    ),
    "the mean is right, but only the batch was counted": lambda mean, count, batch: (
        updated(mean, count, batch)[0],
        len(batch),
    ),
    "only the mean came back; return the count as well": lambda mean, count, batch: updated(
        mean, count, batch
    )[0],
    "the sum was not divided by the new count": lambda mean, count, batch: (
        mean * count + batch.sum(0),
        count + len(batch),
    ),
    "the mean was taken over the columns; one number for each column, over the rows": lambda mean, count, batch: (
        mean + (batch.mean(1) - mean) * len(batch) / (count + len(batch)),
        count + len(batch),
    ),
    "one mean for all columns; each has its own": lambda mean, count, batch: (
        mean + (batch.mean() - mean) * len(batch) / (count + len(batch)),
        count + len(batch),
    ),
    "divided by the old count, not by the new one": lambda mean, count, batch: (
        mean + (batch.mean(0) - mean) * len(batch) / torch.tensor(float(count)),
        count + len(batch),
    ),
}


@exercise_check(
    "update_mean",
    hints=(
        "how many rows stand behind the old mean, and how many behind that of the batch?",
        "turn the old mean back into a sum, add the rows of the batch, and divide by how many "
        "rows there are now; give back both.",
        "`(mean * count + batch.sum(dim=0)) / (count + len(batch))`",
    ),
)
def check_update_mean(attempt):
    """update_mean(mean, count, batch): the mean of all rows seen, and how many these are."""
    inputs = [
        (normal(seed, size), count, normal(seed + 10, rows, size))
        for seed, (rows, size, count) in enumerate([(4, 3, 5), (1, 4, 7), (6, 2, 1), (5, 3, 0)])
    ]
    judge(attempt, updated, inputs, UPDATE_MEAN_MISTAKES)
