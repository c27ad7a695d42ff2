"""From ids to the logits of the classes, and the frozen layers on the way there, which are computed
once.

Where only the last block or the head of a model is trained, the layers below make the same of a
text in every epoch. `FrozenRows` asks them once and keeps the answer: the epochs after the first
cost a fraction.
"""

import copy
import zlib
from functools import partial

import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from tqdm import tqdm

from ch06_01_main_chapter_code.previous_chapters import (
    block_at,
    checksum,
    evaluating,
    lower_hidden,
    write_atomically,
)

CACHE_BYTES = 2 << 30  # the most that the activations of frozen layers may take


def pad_rows(rows):
    """Rows of different lengths, (tokens, …) each, as one (batch, tokens, …) padded on the right,
    and the mask of what is real, (batch, tokens)."""
    lengths = torch.tensor([len(row) for row in rows])
    batch = pad_sequence(rows, batch_first=True)
    return batch, torch.arange(batch.shape[1]) < lengths[:, None]


# --- From ids to the logits of the classes --------------------------------------------------------


def class_logits(model, idx, attention_mask=None):
    """(batch, tokens) ids to (batch, classes): what the head says of the last real token, which has
    seen all others.

    `attention_mask`: (batch, tokens), True for real tokens; the padding may stand left or right,
    and changes nothing.
    """
    if attention_mask is None:
        attention_mask = torch.ones_like(idx, dtype=torch.bool)
    depth = len(model.blocks) - 1
    return upper_logits(
        model, lower_hidden(model, idx, depth, needed(attention_mask)), attention_mask, depth
    )


def upper_logits(model, hidden, attention_mask, depth):
    """From what `lower_hidden` gives to the logits of the classes, (batch, classes)."""
    if depth < len(model.blocks):
        for block in model.blocks[depth:-1]:
            hidden = block(hidden, None, needed(attention_mask))
        last = block_at(
            model.blocks[-1],
            hidden,
            partial(at_last_token, attention_mask=attention_mask),
            needed(attention_mask),
        )
    else:
        last = at_last_token(hidden, attention_mask)
    return model.head(last if depth > len(model.blocks) else model.final_norm(last))


def needed(attention_mask):
    """None for padding on the right: no real token looks that way, and without a mask attention is
    faster.
    """
    return None if attention_mask[:, 0].all() else attention_mask


def at_last_token(hidden, attention_mask):
    """(batch, tokens, emb_dim) to (batch, emb_dim): each row at its last real token."""
    places = torch.arange(hidden.shape[1], device=hidden.device)
    last = (places * attention_mask).argmax(dim=1)  # (batch,)
    return hidden[torch.arange(len(hidden), device=hidden.device), last]


# --- Frozen layers are computed once --------------------------------------------------------------


def frozen_depth(model):
    """How many blocks, from below, learn nothing: −1 if even the embeddings learn, one more than
    there are blocks if the final norm learns nothing either."""
    embeddings = [module for name, module in model.named_children() if name.endswith("_emb")]
    depth = -1
    for part in (nn.ModuleList(embeddings), *model.blocks, model.final_norm):
        if any(parameter.requires_grad for parameter in part.parameters()):
            break
        depth += 1
    return depth


class FrozenRows:
    """The rows of a dataset as the trained layers of a model see them: after the layers below,
    which are frozen.

    With `cache`, what these make of each text is computed at the first use and kept, if it fits
    into `cache_bytes`: in fp32, or else in fp16. With `folder`, it is kept there as well, for the
    next run. A `FrozenRows` can be given wherever a dataset can, and is right for as long as the
    frozen weights stay as they are.
    """

    def __init__(self, model, dataset, cache=True, cache_bytes=CACHE_BYTES, folder=None):
        self.model, self.dataset, self.depth = model, dataset, frozen_depth(model)
        self.classes, self.tokenizer, self.together = (
            dataset.classes,
            dataset.tokenizer,
            dataset.together,
        )
        self.labels, self.lengths = dataset.labels, dataset.lengths
        self.whole = self.depth > len(
            model.blocks
        )  # then a text is one vector: the last token, after the final norm
        kept = len(dataset) if self.whole else int(dataset.lengths.sum())
        dtypes = [
            dtype
            for dtype in (torch.float32, torch.float16)
            if kept * model.config.emb_dim * dtype.itemsize <= cache_bytes
        ]
        self.rows = None
        if cache and self.depth > 0 and dtypes:
            self.rows = self.load(folder, dtypes[0])

    def __len__(self):
        return len(self.labels)

    def subset(self, indices):
        """The rows at these places; nothing is computed again."""
        part = copy.copy(self)
        part.dataset = self.dataset.subset(indices)
        part.labels, part.lengths = part.dataset.labels, part.dataset.lengths
        part.rows = None if self.rows is None else [self.rows[i] for i in indices]
        return part

    def logits(self, picked):
        """The logits of the classes of some rows, (batch, classes)."""
        device = self.model.head.weight.device
        if self.rows is not None:
            hidden, mask = pad_rows([self.rows[i] for i in picked])
            hidden, mask = (
                hidden.to(device, non_blocking=True).to(self.model.head.weight.dtype),
                mask.to(device),
            )
        else:
            hidden, mask = self.below(picked, device)
        return upper_logits(self.model, hidden, mask, max(0, self.depth))

    def below(self, picked, device):
        idx, mask = pad_rows([self.dataset.rows[i] for i in picked])
        idx, mask = idx.to(device, non_blocking=True), mask.to(device)
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.depth < 0):
            return lower_hidden(self.model, idx, max(0, self.depth), needed(mask)), mask

    def load(self, folder, dtype):
        """The kept rows, from `folder` if they lie there."""
        path = None if folder is None else folder / f"{self.fingerprint(dtype):08x}.safetensors"
        if path is not None and path.exists():
            with safe_open(path, framework="pt") as file:
                flat = file.get_tensor("hidden")
        else:
            flat = self.compute(dtype)
            if path is not None:
                folder.mkdir(parents=True, exist_ok=True)
                write_atomically(path, partial(save_file, {"hidden": flat}))
        return list(flat.split(1 if self.whole else self.lengths.tolist()))

    @torch.inference_mode()
    def compute(self, dtype):
        """What the frozen layers make of all rows, one after the other: (rows or tokens, emb_dim)
        on the CPU.
        """
        device = self.model.head.weight.device
        flat = torch.empty(
            len(self) if self.whole else int(self.lengths.sum()),
            self.model.config.emb_dim,
            dtype=dtype,
        )
        places = (
            torch.arange(len(self) + 1) if self.whole else F.pad(self.lengths.cumsum(0), (1, 0))
        )
        bar = tqdm(
            total=int(self.lengths.sum()),
            desc="frozen layers",
            unit="token",
            delay=2,
            dynamic_ncols=True,
        )
        with bar, evaluating(self.model):
            for picked in batches_by_length(self.lengths):
                hidden, mask = self.below(picked, device)
                for number, i in enumerate(picked):
                    made = (
                        at_last_token(hidden, mask)[number, None]
                        if self.whole
                        else hidden[number, mask[number]]
                    )
                    flat[places[i] : places[i + 1]] = made.to("cpu", dtype)
                bar.update(int(self.lengths[picked].sum()))
        return flat

    def fingerprint(self, dtype):
        """A checksum of the frozen weights, the ids and the way of keeping them."""
        frozen = [parameter for parameter in self.model.parameters() if not parameter.requires_grad]
        numbers = [checksum(parameter.detach().cpu()) for parameter in frozen]
        numbers += [self.depth, *self.lengths.tolist(), str(dtype)]
        return zlib.crc32(
            torch.cat(self.dataset.rows).numpy().tobytes(), zlib.crc32(repr(numbers).encode())
        )


def batches_by_length(lengths, tokens_per_batch=4096):
    """All places, in batches of similar lengths, the longest first, of about `tokens_per_batch`
    with their padding.
    """
    order = lengths.argsort().tolist()
    while order:
        size = max(1, tokens_per_batch // int(lengths[order[-1]]))
        yield [order.pop() for _ in range(min(size, len(order)))]


def training_mode(model, depth):
    """Dropout for the layers that learn; none below them, where it would undo what was computed
    once.
    """
    model.train()
    if depth >= 0:
        for name, module in model.named_children():
            if name.endswith("_emb") or name == "dropout":
                module.eval()
        model.blocks[:depth].eval()
    return model
