"""From a long list of token ids to batches of (input, target): the target is the input one token
later.
"""

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset


class TokenDataset(Dataset):
    """Windows over one flat array of token ids, which is kept once, however many windows look at
    it.

    >>> data = TokenDataset([10, 11, 12, 13, 14], context_length=2)
    >>> data[1]
    (tensor([12, 13]), tensor([13, 14]))
    """

    def __init__(self, tokens, context_length, stride=None, starts=None):
        """`tokens`: (n,) list, tensor or array, a memory map included; `stride`: steps between
        windows, default `context_length`, so that they do not overlap; `starts`: the first position
        of each window, instead of a stride.

        Raises ValueError for a table, for numbers that are not whole, if no window fits, or if one
        of `starts` leaves no room for a window.
        """
        if context_length < 1 or (stride is not None and stride < 1):
            raise ValueError(
                f"context_length ({context_length}) and stride ({stride}) must be at least 1"
            )
        if starts is not None and stride is not None:
            raise ValueError("give a stride or the starts of the windows, not both")
        row = np.array(tokens) if isinstance(tokens, list | tuple) else tokens
        kind = str(getattr(row.dtype, "name", row.dtype))  # "int64", "torch.int64", "float32"
        if row.ndim != 1 or (len(row) and "int" not in kind):
            raise ValueError(
                f"tokens must be one row of whole numbers, not {kind} of shape {tuple(row.shape)}"
            )
        self.tokens = torch.from_numpy(row) if isinstance(tokens, list | tuple) else tokens
        self.context_length = context_length
        self.stride = stride or context_length
        self.starts = starts
        last = (
            len(tokens) - context_length - 1
        )  # the last start with room for a window and its target
        if last < 0:
            raise ValueError(
                f"{len(tokens)} tokens are too few for a window of {context_length} and its target: "
                f"use a longer text or a context of at most {max(len(tokens) - 1, 0)}"
            )
        if starts is not None and not (len(starts) and 0 <= min(starts) and max(starts) <= last):
            raise ValueError(
                f"starts must be at least one position, each of them between 0 and {last}"
            )
        self.length = last // self.stride + 1 if starts is None else len(starts)

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        """Returns input and target, (context_length,) int64 each."""
        if not -self.length <= index < self.length:
            raise IndexError(f"window {index} of {self.length}")
        index %= self.length
        start = index * self.stride if self.starts is None else int(self.starts[index])
        window = self.tokens[start : start + self.context_length + 1]
        if not torch.is_tensor(window):
            window = torch.from_numpy(np.array(window, dtype=np.int64))  # reads only this window
        window = window.long()
        return window[:-1], window[1:]


def create_dataloader(
    tokens,
    batch_size=8,
    context_length=256,
    stride=None,
    starts=None,
    shuffle=True,
    drop_last=True,
    seed=None,
):
    """Batches of inputs and targets, (batch, tokens) each, over the windows of `TokenDataset`.

    The same `seed` gives the same order; each epoch has another. `drop_last` leaves out a last
    batch that is not full. Raises ValueError if not even one batch comes out.
    """
    dataset = TokenDataset(tokens, context_length, stride, starts)
    if drop_last and len(dataset) < batch_size:
        raise ValueError(
            f"{len(dataset)} windows make no batch of {batch_size}: use a smaller batch"
        )
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    return DataLoader(
        dataset, batch_size, shuffle=shuffle, drop_last=drop_last, generator=generator
    )
