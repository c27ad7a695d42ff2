"""The long runs of chapter 5, each made once and logged beside this script, for the notebook to
show.

    python experiments/run.py stages            # what the model writes as it learns
    python experiments/run.py switched-off      # warm-up, clipping and schedule, each switched off once
    python experiments/run.py rates             # a learning-rate search
    python experiments/run.py decoding          # temperature, top-k, top-p: valid stories and different phrases

The first line of NAME.jsonl says how and where it was made. On two CPU cores that do nothing else
each takes minutes; another machine's rounding gives slightly other numbers.
"""

import argparse
import math
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import torch
from torch.utils.data import Dataset

from ch05_01_main_chapter_code.arguments import TrainConfig
from ch05_01_main_chapter_code.gpt_generate import TALES_GPT, generate_ids, make_generator
from ch05_01_main_chapter_code.gpt_train import (
    HELD_OUT_TALES,
    VALIDATION_SEED,
    build_model,
    evaluate,
    prepare,
    train,
)
from ch05_01_main_chapter_code.json_lines import write_json_lines
from ch05_01_main_chapter_code.previous_chapters import GPT, BPETokenizer, GPTConfig
from ch05_01_main_chapter_code.tales import make_tales, parse_tale

HERE = Path(__file__).parent
STORIES = 200
STAGES = (100, 200, 300, 500, 700, 1000, 1500, 2000, 2500, 3000, 3500)


def write_stories(model, count=STORIES, **sampling):
    """`count` stories that the model makes up from nothing, always with the same dice."""
    tokenizer, generator, stories = model.tokenizer, make_generator(0, "cpu"), []
    while len(stories) < count:
        prompts = [[tokenizer.end_of_text]] * min(100, count - len(stories))
        rows = generate_ids(
            model,
            prompts,
            model.config.context_length,
            tokenizer.end_of_text,
            generator=generator,
            **sampling,
        )
        stories += [tokenizer.decode(ids) for ids in rows]
    return stories


def valid_share(stories):
    return sum(parse_tale(story) is not None for story in stories) / len(stories)


def distinct_share(stories, n=4):
    """How many of the runs of `n` words are different ones: 1 if no phrase comes twice."""
    phrases = Counter()
    for story in stories:
        words = story.split()
        phrases.update(zip(*(words[i:] for i in range(n)), strict=False))
    return len(phrases) / max(1, phrases.total())


def new_model(config, tokenizer):
    torch.manual_seed(config.seed)
    model = GPT(build_model(config, tokenizer.n_vocab))
    model.tokenizer = tokenizer
    return model


def load_data(config):
    """The corpus of a default run, with the tokenizer of tales-gpt, which a default run would learn
    again.
    """
    tokenizer = BPETokenizer.load(TALES_GPT / "tokenizer.json")
    preset = GPTConfig.preset(config.preset)
    return prepare(config, preset.context_length, preset.vocab_size, tokenizer)


def stages():
    """The default run, stopped again and again to let the model write."""
    config = TrainConfig(device="cpu")
    corpus = load_data(config)
    model = new_model(config, corpus.tokenizer)

    def look(step):
        stories = write_stories(model)
        loss, _ = evaluate(model, corpus.validation)
        return {
            "step": step,
            "val_loss": loss,
            "valid_share": valid_share(stories),
            "story": stories[0],
        }

    yield {"floor": corpus.floor, "stories": STORIES} | look(0)
    rows = []

    def on_step(step, loss, norm, n_targets):
        if step + 1 in STAGES:
            rows.append(look(step + 1))
            print(rows[-1], flush=True)

    train(model, corpus.train, config, on_step=on_step)
    yield from rows


def short_run(corpus, config):
    """Train, and return a row for the log: every fifth loss and gradient norm, and the loss on
    held-out stories.
    """
    model, losses, norms = new_model(config, corpus.tokenizer), [], []

    def on_step(step, loss, norm, n_targets):
        losses.append(loss)
        norms.append(norm)

    try:
        train(model, corpus.train, config, on_step=on_step)
        val_loss, _ = evaluate(model, corpus.validation)
    except FloatingPointError:
        val_loss = None  # the loss was no number any more
    return {
        "val_loss": val_loss if val_loss is None or math.isfinite(val_loss) else None,
        "loss": [round(loss, 3) for loss in losses[::5]],
        "norm": [float(f"{norm:.3g}") for norm in norms[::5]],
    }


class Damaged(Dataset):
    """The same rows, but those of the batch `number` hold random tokens, as from a damaged file."""

    def __init__(self, rows, number, batch_size):
        self.rows, self.tokens, self.lengths, self.served = rows, rows.tokens, rows.lengths, 0
        self.damaged = range(number * batch_size, (number + 1) * batch_size)

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        inputs, targets = self.rows[index]
        self.served += 1
        if self.served - 1 in self.damaged:
            noise = torch.randint(1000, (len(inputs) + 1,), generator=make_generator(index, "cpu"))
            return noise[:-1], noise[1:]
        return inputs, targets


def switched_off():
    base = TrainConfig(device="cpu", steps=300, batch_size=8, warmup=30)
    off = {"warm-up": {"warmup": 0}, "clipping": {"clip": 1e9}, "schedule": {"min_lr": 1.0}}
    every = {name: value for changes in off.values() for name, value in changes.items()}
    variants = {"nothing": {}, **off, "all three": every}
    corpus = load_data(base)
    rows = corpus.train
    for name in ("nothing", "clipping"):
        corpus.train = Damaged(rows, 150, base.batch_size)
        yield {"lr": base.lr, "off": name, "damaged": 150} | short_run(
            corpus, replace(base, **variants[name])
        )
    corpus.train = rows
    for lr in (base.lr, 5 * base.lr):
        for name, changes in variants.items():
            yield {"lr": lr, "off": name} | short_run(corpus, replace(base, lr=lr, **changes))


def rates():
    base = TrainConfig(device="cpu", steps=200, batch_size=8, warmup=20)
    corpus = load_data(base)
    for lr in (1e-4, 3e-4, 1e-3, 3e-3, 6e-3, 1e-2, 2e-2, 5e-2, 0.1):
        yield {"lr": lr} | short_run(corpus, replace(base, lr=lr))


def decoding():
    model, count = GPT.from_pretrained(TALES_GPT), STORIES // 2
    settings = [{"temperature": value} for value in (0.3, 0.5, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.5)]
    settings += [{"top_k": value} for value in (2, 3, 5, 10, 50)]
    settings += [{"top_p": value} for value in (0.3, 0.5, 0.7, 0.8, 0.9, 0.95)]
    settings += [{"temperature": 1.5, "top_k": 10}, {"temperature": 1.5, "top_p": 0.9}]
    corpus = make_tales(HELD_OUT_TALES, VALIDATION_SEED)[:count]
    yield {
        "stories": count,
        "valid_share": valid_share(corpus),
        "distinct_share": distinct_share(corpus),
    }
    for sampling in settings:
        stories = write_stories(model, count, **sampling)
        yield sampling | {
            "valid_share": valid_share(stories),
            "distinct_share": round(distinct_share(stories), 4),
        }


EXPERIMENTS = {"stages": stages, "switched-off": switched_off, "rates": rates, "decoding": decoding}


def main(name):
    rows = [
        {"command": f"python experiments/run.py {name}", "machine": f"{os.cpu_count()} CPU cores"}
    ]
    for row in EXPERIMENTS[name]():
        rows.append(row)
        print({key: value for key, value in row.items() if key not in ("loss", "norm")}, flush=True)
    write_json_lines(HERE / f"{name}.jsonl", rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Make one of the logs that chapter 5 shows.")
    parser.add_argument("name", choices=EXPERIMENTS)
    main(parser.parse_args().name)
