"""Direct preference optimisation [Rafailov et al. 2023, arXiv:2305.18290]: its loss, its training
loop, and what came of it.

Supervised training on the same prompts, for as many steps, goes through the same loop: it is the
control. And a sum of both losses keeps the better answers likely, which DPO alone does not promise.
"""

import torch
from torch.nn import functional as F

from ch05_01_main_chapter_code.arguments import TrainConfig
from ch05_01_main_chapter_code.gpt_train import learning_rate, make_optimizer
from ch07_01_main_chapter_code.gpt_instruction_finetuning import respond
from ch07_01_main_chapter_code.instructions import grade
from ch07_01_main_chapter_code.tasks.sets import wilson

METHODS = ("dpo", "sft", "both")
WATCH_EVERY = 20  # steps

# --- The loss -------------------------------------------------------------------------------------


def batch_of(rows):
    """Rows, (ids, number of prompt ids) each, as inputs and targets, (batch, tokens); −100 where
    nothing counts.
    """
    longest = max(len(ids) for ids, _ in rows) - 1
    inputs, targets = (
        torch.zeros(len(rows), longest, dtype=torch.long),
        torch.full((len(rows), longest), -100),
    )
    for number, (ids, n_prompt) in enumerate(rows):
        inputs[number, : len(ids) - 1] = ids[:-1]
        targets[number, n_prompt - 1 : len(ids) - 1] = ids[n_prompt:]
    return inputs, targets


def answer_log_probs(model, rows):
    """log π(answer | prompt) of each row, (batch,): the sum over the answer's tokens.

    The head is computed for these only; of a prompt's tokens no probability is asked.
    """
    device = next(model.parameters()).device
    inputs, targets = (tensor.to(device) for tensor in batch_of(rows))
    counted = targets != -100  # (batch, tokens)
    logits = model.head(model.trunk(inputs)[counted])  # (counted, vocab)
    log_probs = -F.cross_entropy(logits.float(), targets[counted], reduction="none")
    return torch.zeros(len(rows), device=device).index_add(0, counted.nonzero()[:, 0], log_probs)


def dpo_loss(chosen, rejected, ref_chosen, ref_rejected, beta=0.1):
    """The DPO loss of a batch, and the margin of each pair, (batch,), from four log-probabilities
    (batch,) each.

    The reward of an answer is β (log π − log π_ref); the margin is the better one's minus the worse
    one's, and the loss is −log σ(margin), the surprise at the preference. Equation 7 of Rafailov
    and others, 2023.
    """
    margins = beta * ((chosen - ref_chosen) - (rejected - ref_rejected))
    return -F.logsigmoid(margins).mean(), margins


# --- Training -------------------------------------------------------------------------------------


@torch.inference_mode()
def reference_log_probs(model, pairs, batch_size=64):
    """log π of all better and all worse answers, (pairs,) each. Of the model before the training:
    computed once.
    """
    rows = [pair.chosen for pair in pairs] + [pair.rejected for pair in pairs]
    parts = [
        answer_log_probs(model, rows[start : start + batch_size])
        for start in range(0, len(rows), batch_size)
    ]
    both = torch.cat(parts)
    return both[: len(pairs)].clone(), both[
        len(pairs) :
    ].clone()  # clones can take part in a backward pass


def supervised_row(model, pair):
    """The reference answer to a pair's prompt, as a row: what supervised training learns from."""
    ids, n_prompt = pair.chosen
    answer = [*model.tokenizer.encode(pair.entry["output"]), model.tokenizer.end_of_text]
    return torch.cat([ids[:n_prompt], torch.tensor(answer)]), n_prompt


def batches(count, batch_size, steps, seed):
    """`steps` lists of numbers below `count`, shuffled anew for each pass."""
    generator, order = torch.Generator().manual_seed(seed), []
    for _ in range(steps):
        while len(order) < batch_size:
            order += torch.randperm(count, generator=generator).tolist()
        yield order[:batch_size]
        order = order[batch_size:]


def tune(
    model,
    pairs,
    method="dpo",
    steps=200,
    lr=1e-4,
    beta=0.1,
    batch_size=16,
    seed=0,
    watched=(),
    on_step=None,
):
    """Train a model on pairs by one of METHODS. Returns the curve: a row for every WATCH_EVERY
    steps, see `watch`.

    All take as many steps, in the same order of prompts. `on_step(step)` ends the training by
    returning True. Raises ValueError for another method, or if there are no pairs.
    """
    if method not in METHODS:
        raise ValueError(f"the method is {', '.join(METHODS)}, not {method!r}")
    if not pairs:
        raise ValueError("there are no pairs to learn from: every sampled answer was right")
    model.eval()  # no dropout: policy and reference would differ by its noise
    references = reference_log_probs(model, pairs)
    watched_references = reference_log_probs(model, watched) if watched else None
    warmup = max(1, steps // 10)
    plan = TrainConfig(steps=steps, lr=lr, warmup=warmup, weight_decay=0.0, seed=seed)
    optimizer, curve = make_optimizer(model, plan), []
    for step, picked in enumerate(batches(len(pairs), batch_size, steps, seed)):
        if watched and step % WATCH_EVERY == 0:
            curve.append({"step": step} | watch(model, watched, watched_references, beta))
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, plan)
        loss = loss_of(
            model, [pairs[i] for i in picked], [part[picked] for part in references], method, beta
        )
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if on_step and on_step(step):
            return None
    return curve + (
        [{"step": steps} | watch(model, watched, watched_references, beta)] if watched else []
    )


def loss_of(model, pairs, references, method, beta):
    """The loss of a batch of pairs: DPO's (`dpo`), that of the reference answers (`sft`), or DPO's
    and that of the better answers together (`both`). The supervised losses are means over
    tokens."""
    if method == "sft":
        rows = [supervised_row(model, pair) for pair in pairs]
        return -answer_log_probs(model, rows).sum() / answer_tokens(rows)
    better, worse = [pair.chosen for pair in pairs], [pair.rejected for pair in pairs]
    chosen, rejected = answer_log_probs(model, better + worse).chunk(2)
    loss, _ = dpo_loss(chosen, rejected, *references, beta)
    return loss - chosen.sum() / answer_tokens(better) if method == "both" else loss


def answer_tokens(rows):
    return sum(len(ids) - n_prompt for ids, n_prompt in rows)


@torch.inference_mode()
def watch(model, pairs, references, beta):
    """What became of pairs that are not learned from: loss and margin of DPO, the share of pairs in
    the right order, and by how many nats the better and the worse answers have become likelier
    (`chosen`, `rejected`), on average."""
    now = reference_log_probs(model, pairs)
    loss, margins = dpo_loss(*now, *references, beta)
    chosen, rejected = (float((new - old).mean()) for new, old in zip(now, references, strict=True))
    return {
        "loss": float(loss),
        "margin": float(margins.mean()),
        "ordered": float((margins > 0).float().mean()),
        "chosen": chosen,
        "rejected": rejected,
    }


# --- What came of it ------------------------------------------------------------------------------


@torch.inference_mode()
def divergence(model, reference, rows, batch_size=64):
    """KL(π ‖ π_ref) of the next token in nats, the mean over the places in the answers of `rows`."""
    total, count = 0.0, 0
    for start in range(0, len(rows), batch_size):
        inputs, targets = batch_of(rows[start : start + batch_size])
        counted = targets != -100
        here, there = (
            one.head(one.trunk(inputs)[counted]).float().log_softmax(-1)
            for one in (model, reference)
        )
        total += float((here.exp() * (here - there)).sum())
        count += int(counted.sum())
    return total / count


def exact_score(model, entries, max_tokens=150):
    """Greedy answers, graded: {"right", "of", "interval", "verdicts"}, the last a 1 or 0 for each
    entry, in a string.
    """
    answers = respond(model, entries, max_tokens=max_tokens)
    verdicts = [grade(entry, answer) for entry, answer in zip(entries, answers, strict=True)]
    right = sum(verdicts)
    low, high = wilson(right, len(entries))
    return {
        "right": right,
        "of": len(entries),
        "interval": [round(low, 4), round(high, 4)],
        "verdicts": "".join(str(int(verdict)) for verdict in verdicts),
    }


def by_kind(entries, verdicts):
    """{kind: [right, of]} of a string of verdicts."""
    counts = {}
    for entry, verdict in zip(entries, verdicts, strict=True):
        right, total = counts.get(entry["kind"], (0, 0))
        counts[entry["kind"]] = [right + (verdict == "1"), total + 1]
    return counts
