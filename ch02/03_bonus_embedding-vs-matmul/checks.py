"""Self-checks for the exercises of embedding-vs-matmul.ipynb. How a check works is told in chapter
2's checks.py.
"""

import torch

from ch02_01_main_chapter_code.checks import (
    answer,
    exercise_check,
    hint,
    judge,
    normal,
    predict,
    show_progress,
    whole,
)

__all__ = ["answer", "hint", "predict", "show_progress"]  # for the notebook, with every check

ONE_HOT_BYTES_MISTAKES = {
    "each text of the batch has rows of its own": lambda batch, tokens, vocab, size: (
        tokens * vocab * size
    ),
    "each token has a row of its own": lambda batch, tokens, vocab, size: batch * vocab * size,
    "a row has a number for every token of the vocabulary, zeros included": lambda batch, tokens, vocab, size: (
        batch * tokens * size
    ),
    "this counts numbers; each takes bytes_per_number bytes": lambda batch, tokens, vocab, size: (
        batch * tokens * vocab
    ),
    "these are bits": lambda batch, tokens, vocab, size: 8 * batch * tokens * vocab * size,
    "the rows are as long as the vocabulary; it does not count twice": lambda batch, tokens, vocab, size: (
        batch * tokens * vocab**2 * size
    ),
    "these are gigabytes": lambda batch, tokens, vocab, size: batch * tokens * vocab * size / 1e9,
    "the sizes were added; multiply them": lambda batch, tokens, vocab, size: (
        (batch + tokens + vocab) * size
    ),
}


@exercise_check(
    "one_hot_bytes",
    hints=(
        "how long is the one-hot row of one token?",
        "each token of each text of the batch has a row with one number for every token that "
        "there is.",
        "`batch * tokens * vocab_size * bytes_per_number`",
    ),
)
def check_one_hot_bytes(attempt):
    """one_hot_bytes(batch, tokens, vocab_size, bytes_per_number): memory of the one-hot rows."""
    inputs = [(8, 1024, 50257, 4), (3, 5, 70, 2), (1, 9, 6, 8)]
    judge(
        attempt,
        lambda batch, tokens, vocab, size: batch * tokens * vocab * size,
        inputs,
        ONE_HOT_BYTES_MISTAKES,
    )


def looked_up(ids, weight):
    return weight.T[ids]


LINEAR_LOOKUP_MISTAKES = {
    "the rows of the weight were taken; a linear layer keeps it as (emb_dim, vocab), so the vectors "
    "are its columns": lambda ids, weight: weight[ids],
    "the columns were taken, but the result stands as (emb_dim, batch, tokens): the axis of the "
    "vector comes last": lambda ids, weight: weight[:, ids],
    "the vector's axis stands in the middle; it comes last": lambda ids, weight: looked_up(
        ids, weight
    ).transpose(1, 2),
    "the weight is a plain tensor: index it with [ ], do not call it": lambda ids, weight: weight(
        ids
    ),
    "the vectors were averaged over the window; each token keeps its own": lambda ids, weight: (
        looked_up(ids, weight).mean(1)
    ),
    "batch and tokens became one axis": lambda ids, weight: looked_up(ids.flatten(), weight),
    "only the first text of the batch was looked up": lambda ids, weight: looked_up(
        ids[:1], weight
    ),
    "ids are names, no amounts: the weight must not be multiplied by them": lambda ids, weight: (
        ids[..., None] * weight.sum(1)
    ),
}


@exercise_check(
    "linear_lookup",
    hints=(
        "where does `weight` keep the vector of a token, in a row or in a column?",
        "turn the weight over, so that each token has a row, and then look the rows up as in any "
        "table.",
        "`weight.T[ids]`",
    ),
)
def check_linear_lookup(attempt):
    """linear_lookup(ids, weight): what nn.Linear(vocab, emb_dim, bias=False) makes of one-hot ids."""
    inputs = [
        (whole(seed, 0, min(vocab, emb_dim), batch, tokens), normal(seed + 10, emb_dim, vocab))
        for seed, (batch, tokens, vocab, emb_dim) in enumerate(
            [(2, 3, 7, 4), (1, 5, 4, 6), (4, 2, 3, 5), (3, 6, 9, 8)]
        )
    ]
    judge(attempt, looked_up, inputs, LINEAR_LOOKUP_MISTAKES)


def touched(ids, vocab_size):
    return len(ids.unique()) / vocab_size


TOUCHED_SHARE_MISTAKES = {
    "every place was counted; a token that comes twice touches one row": lambda ids, vocab: (
        ids.numel() / vocab
    ),
    "this counts the rows; divide by how many there are": lambda ids, vocab: len(ids.unique()),
    "divided by the number of tokens in the batch; the table has vocab_size rows": lambda ids, vocab: (
        len(ids.unique()) / ids.numel()
    ),
    "divided by the greatest id; the table has vocab_size rows": lambda ids, vocab: (
        len(ids.unique()) / max(ids.max().item(), 1)
    ),
    "this is the share that gets no gradient": lambda ids, vocab: 1 - touched(ids, vocab),
    "only the first text of the batch was counted": lambda ids, vocab: touched(ids[:1], vocab),
    "the texts were counted one by one; a token in two of them touches one row": lambda ids, vocab: (
        sum(touched(row, vocab) for row in ids)
    ),
    "this is per cent; 1 is the whole table": lambda ids, vocab: 100 * touched(ids, vocab),
    "the id 0 was left out; it is a token like any other": lambda ids, vocab: (
        len(ids[ids > 0].unique()) / vocab
    ),
    "`//` cuts off the fraction": lambda ids, vocab: len(ids.unique()) // vocab,
}


@exercise_check(
    "touched_share",
    hints=(
        "a token comes five times in the batch: how many rows of the table get a gradient by it?",
        "count the different ids of the whole batch, and divide by the rows of the table.",
        "`len(ids.unique()) / vocab_size`",
    ),
)
def check_touched_share(attempt):
    """touched_share(ids, vocab_size): the share of the table's rows that get a gradient."""
    inputs = [
        (torch.tensor([[5, 2, 0, 2]]), 6),
        (whole(1, 0, 9, 2, 5), 30),
        (whole(2, 0, 400, 4, 50), 500),
        (torch.tensor([[3, 3], [3, 3], [3, 7]]), 10),
    ]
    judge(attempt, touched, inputs, TOUCHED_SHARE_MISTAKES)
