"""The training loop, and what it is made of: batches, the learning rate, the optimizer, the loss on
held-out text. `gpt_train.py` makes a run of it; chapters 6 and 7 train with the same parts."""

import math
from contextlib import nullcontext
from functools import partial

import torch
import torch.nn.functional as F
from torch.nn.utils.rnn import pad_sequence
from torch.utils.checkpoint import checkpoint

from ch05_01_main_chapter_code.arguments import TrainConfig
from ch05_01_main_chapter_code.gpt_generate import evaluating
from ch05_01_main_chapter_code.muon import Muon, Together
from ch05_01_main_chapter_code.previous_chapters import language_model_loss

# --- The plan -------------------------------------------------------------------------------------


def suited_rate(strength, emb_dim):
    """The highest learning rate for a model of this width: strength / emb_dim.

    AdamW moves every weight by about the rate, whatever the gradient. A score is a sum of emb_dim
    products, so a step moves it by about rate · emb_dim: the wider the model, the smaller the rate
    must be for the same change [Yang et al. 2022, arXiv:2203.03466]. `strength` is that change; each
    chapter says which it takes for what.

    Muon's step is orthogonal and moves a score by about the rate, whatever the width, so its rate
    is a share of `strength` itself: MUON_SHARE · strength = MUON_SHARE · emb_dim times AdamW's.
    """
    return strength / emb_dim


PRETRAINING, GOING_ON = 0.768, 0.128  # strengths for random weights, and for trained ones
MUON_SHARE = 0.026


def plan_epochs(n_rows, num_epochs, warmup_part, batch_size=16, grad_accum=1, **settings):
    """The `TrainConfig` of so many passes over `n_rows` rows; one in `warmup_part` of their steps
    warms up. `settings`: the other fields.
    """
    steps = num_epochs * math.ceil(n_rows / (batch_size * grad_accum))
    sizes = dict(batch_size=batch_size, grad_accum=grad_accum)
    return TrainConfig(steps=steps, warmup=steps // warmup_part, **sizes, **settings)


def learning_rate(step, config):
    """The rate of a step: up in a line during the warm-up, then down in half a cosine
    [arXiv:1608.03983] or a line.
    """
    if step < config.warmup:
        return config.lr * (step + 1) / config.warmup
    progress = min(1, (step - config.warmup) / max(1, config.steps - config.warmup))
    shape = 1 - progress if config.schedule == "linear" else (1 + math.cos(math.pi * progress)) / 2
    return config.lr * (config.min_lr + (1 - config.min_lr) * shape)


# --- The data -------------------------------------------------------------------------------------


class Batches:
    """An endless, shuffled stream of batches: `batches[number]` is (inputs, targets), (batch,
    tokens) each.

    The order is a function of the seed and the pass over the data alone, so a run can resume at any
    number. Where rows differ in length, neighbours get similar ones, and what is left to pad gets
    targets of −100.
    """

    def __init__(self, dataset, batch_size, seed):
        self.dataset, self.batch_size, self.seed = dataset, batch_size, seed
        self.epoch = None

    def __getitem__(self, number):
        rows = []
        for position in range(number * self.batch_size, (number + 1) * self.batch_size):
            epoch, place = divmod(position, len(self.dataset))
            if epoch != self.epoch:
                self.epoch, self.order = epoch, self.shuffled(epoch)
            rows.append(self.dataset[self.order[place]])
        inputs, targets = zip(*rows, strict=True)
        padded = pad_sequence(targets, batch_first=True, padding_value=-100)
        return pad_sequence(inputs, batch_first=True), padded

    def shuffled(self, epoch):
        """The order of one pass, a list of places. Rows that differ in length: of 512 shuffled
        ones, those of about the same length are put together in runs of 32, and the runs are
        shuffled.
        """
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        order = torch.randperm(len(self.dataset), generator=generator)
        if hasattr(self.dataset, "lengths"):
            lengths = self.dataset.lengths
            runs = [
                run for pool in order.split(512) for run in pool[lengths[pool].argsort()].split(32)
            ]
            order = torch.cat([runs[i] for i in torch.randperm(len(runs), generator=generator)])
        return order.tolist()


# --- Precision and memory -------------------------------------------------------------------------


def pick_dtype(name, device):
    """The precision of the matrix products: `auto` is bf16 on CUDA, or fp16 on cards that only
    imitate bf16, and fp32 elsewhere [arXiv:1710.03740].
    """
    if name == "auto" and device == "cuda":
        name = "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    elif name == "auto":
        name = "fp32"
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[name]


def autocast(device, dtype):
    """The context in which a forward pass computes its products in `dtype`."""
    return nullcontext() if dtype == torch.float32 else torch.autocast(device, dtype)


def checkpoint_activations(model):
    """Keep only each block's input, and compute the rest again when the gradient needs it
    [arXiv:1604.06174].
    """
    for block in model.blocks:
        block.forward = partial(checkpoint, block.forward, use_reentrant=False)


# --- Training -------------------------------------------------------------------------------------


def make_optimizer(model, config):
    """AdamW; with `config.optimizer` "muon" the matrices inside the blocks get Muon in its place."""
    if config.optimizer == "adamw":
        return make_adamw(model.parameters(), config)
    inside = {n: p for n, p in model.blocks.named_parameters() if p.dim() == 2}
    rest = [p for n, p in model.named_parameters() if n.removeprefix("blocks.") not in inside]
    return Together(make_muon(inside, model.config.emb_dim, config), make_adamw(rest, config))


def make_adamw(parameters, config):
    """AdamW [arXiv:1711.05101] that pulls matrices towards zero, but no biases and no norms."""
    parameters = list(parameters)
    groups = [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, config.beta2), fused=True)


def make_muon(matrices, emb_dim, config):
    """Muon for {name: matrix}. One that makes queries, keys and values at once is three to it."""
    fused = [matrix for name, matrix in matrices.items() if name.endswith("qkv.weight")]
    others = [matrix for name, matrix in matrices.items() if not name.endswith("qkv.weight")]
    groups = [{"params": fused, "parts": 3}, {"params": others, "parts": 1}]
    scale = MUON_SHARE * emb_dim
    return Muon(groups, lr=config.lr, weight_decay=config.weight_decay, lr_scale=scale)


def full_loss(model, inputs, targets):
    """The mean loss of a batch of ids and targets, (batch, tokens) each, with its gradient."""
    device = next(model.parameters()).device
    inputs, targets = (part.to(device, non_blocking=True) for part in (inputs, targets))
    return language_model_loss(model(inputs), targets)


def train(model, dataset, config, optimizer=None, first_step=0, on_step=None, batch_loss=full_loss):
    """Take steps `first_step` … `config.steps` − 1. `dataset` gives (inputs, targets) rows, targets
    −100 where nothing is to be learned.

    `on_step(step, loss, norm, n_targets)` is called after each step; it ends the training by
    returning True. `batch_loss(model, inputs, targets)`: the mean loss of a batch.
    Returns the loss of every step, in nats per target. Raises FloatingPointError if the loss is no
    number any more, ValueError for a step with nothing to learn from.
    """
    device = next(model.parameters()).device.type
    dtype = pick_dtype(config.dtype, device)
    optimizer = optimizer or make_optimizer(model, config)
    scaler = torch.amp.GradScaler(device, enabled=dtype == torch.float16)
    forward = torch.compile(model) if config.compile else model
    stream, losses = Batches(dataset, config.batch_size, config.seed), []
    model.train()
    for step in range(first_step, config.steps):
        batches = [stream[step * config.grad_accum + i] for i in range(config.grad_accum)]
        counts = [int((targets != -100).sum()) for _, targets in batches]
        loss_sum = 0.0
        for (inputs, targets), count in zip(batches, counts, strict=True):
            if count:  # its share of the mean over all targets of the step
                with autocast(device, dtype):
                    loss = batch_loss(forward, inputs, targets) * (count / sum(counts))
                scaler.scale(loss).backward()
                loss_sum += loss.detach()
        losses.append(checked(loss_sum, sum(counts), step))
        norm = update(model, optimizer, scaler, learning_rate(step, config), config.clip)
        if on_step and on_step(step, losses[-1], norm, sum(counts)):
            break
    return losses


class EpochHistory:
    """What a training by epochs has come to: `history`, with the `losses` of all steps, and
    `epochs`, a row for each epoch with its mean loss and what `measure()` gives at its end.
    """

    def __init__(self, steps_per_epoch, history=None, measure=dict):
        self.steps_per_epoch, self.measure = steps_per_epoch, measure
        self.history = history or {"losses": [], "epochs": []}

    def add(self, loss):
        """Add the loss of a step. Returns the row of the epoch that it completes, or None."""
        losses, steps = self.history["losses"], self.steps_per_epoch
        losses.append(loss)
        if len(losses) % steps:
            return None
        row = {"epoch": len(losses) // steps, "train_loss": sum(losses[-steps:]) / steps}
        self.history["epochs"].append(row | self.measure())
        return self.history["epochs"][-1]


def checked(loss, n_targets, step):
    """The loss of a step as a number. Raises where it is none, or where nothing was learned."""
    if not n_targets:
        raise ValueError(
            f"step {step + 1} has no target to learn from: all of its targets are -100"
        )
    if not math.isfinite(loss):
        raise FloatingPointError(
            f"the loss of step {step + 1} is {float(loss)}; try a smaller --lr or a longer --warmup"
        )
    return float(loss)


def update(model, optimizer, scaler, lr, clip):
    """One step of the optimizer along the gradients that were added up, shortened to the norm
    `clip` [arXiv:1211.5063]; then they are forgotten. Returns the norm that they had.
    """
    for group in optimizer.param_groups:
        group["lr"] = lr
    scaler.unscale_(optimizer)
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
    scaler.step(optimizer)
    scaler.update()
    optimizer.zero_grad(set_to_none=True)
    return float(norm)


@torch.inference_mode()
def target_losses(model, rows, tokens_per_batch=16_384):
    """The loss at every target of `rows` (1-d tensors of ids, of any lengths), −ln p in nats: a
    tensor (targets,) for each row.

    Rows of similar length go together, so that little is padded.
    """
    device = next(model.parameters()).device
    order, losses = sorted(range(len(rows)), key=lambda i: len(rows[i])), [None] * len(rows)
    with evaluating(model):
        while order:
            longest = len(rows[order[-1]])
            picked = [
                order.pop() for _ in range(min(len(order), max(1, tokens_per_batch // longest)))
            ]
            batch = torch.full((len(picked), longest), -100)
            for number, i in enumerate(picked):
                batch[number, : len(rows[i])] = rows[i]
            inputs, targets = batch[:, :-1].clamp(min=0).to(device), batch[:, 1:].to(device)
            found = every_loss(model(inputs), targets).cpu()
            for number, i in enumerate(picked):
                losses[i] = found[number, : len(rows[i]) - 1]
    return losses


def every_loss(logits, targets):
    """−ln p of each target, (batch, tokens), 0 where it is −100: what `language_model_loss` takes
    the mean of. `logits`: (batch, tokens, vocab).
    """
    logits = logits.flatten(0, 1).float()
    losses = F.cross_entropy(logits, targets.flatten(), ignore_index=-100, reduction="none")
    return losses.view_as(targets)


def evaluate(model, rows, tokens_per_batch=16_384):
    """Mean loss over all targets of `rows` (1-d tensors of ids, of any lengths), in nats per
    target; and their number. Padding counts nowhere.
    """
    losses = torch.cat(target_losses(model, rows, tokens_per_batch)).double()
    return float(losses.mean()), len(losses)
