"""Train the same small GPT with every schedule, and log the losses: `python compare_schedules.py`
writes `comparison.jsonl`.

First each schedule with seed 1 and a peak that is doubled until the loss no longer falls. Then each
with its own best peak and three seeds that had no say in the choice, so that the result is not the
luck of a seed; and with them the three mistakes that the notebook shows. The first line of the log
says how and where it was made; a finished run is never repeated, so Ctrl-C and a second start lose
little.
"""

import argparse
import os
from dataclasses import replace
from functools import partial
from pathlib import Path

if __name__ == "__main__":  # before torch is loaded: --help answers at once
    argparse.ArgumentParser(
        description="Compare the schedules; the log is comparison.jsonl."
    ).parse_args()

import torch
from schedulers import SCHEDULES, cosine, train_with

from ch05_01_main_chapter_code.arguments import TrainConfig
from ch05_01_main_chapter_code.gpt_generate import TALES_GPT
from ch05_01_main_chapter_code.gpt_train import build_model, evaluate, prepare
from ch05_01_main_chapter_code.json_lines import append_json_line, read_json_lines
from ch05_01_main_chapter_code.previous_chapters import GPT

LOG = Path(__file__).parent / "comparison.jsonl"
FIRST_PEAK = 6e-3
CHOOSING_SEED, JUDGING_SEEDS = 1, (2, 3, 4)
PLAN = TrainConfig(steps=200, batch_size=8, warmup=20, emb_dim=64, device="cpu")
EPOCH = 50  # steps, for the mistake of a scheduler that moves once per epoch


def load_rows(held_out=100):
    """Training rows and held-out rows of the Tiny Tales, with the tokenizer of tales-gpt."""
    corpus = prepare(TrainConfig(tokenizer=str(TALES_GPT)), context_length=192, vocab_size=2048)
    return corpus.train, corpus.validation[:held_out]


def mistakes(plan):
    """{what goes wrong: share of the peak at a step}, each with half a cosine."""
    steps, half = plan.steps, plan.steps // 2
    right = partial(cosine, steps=steps, warmup=plan.warmup)
    return {
        "ends too early": lambda step: cosine(step, half, plan.warmup),
        "moves once per epoch": lambda step: right(step // EPOCH),
        "starts again on resume": lambda step: right(step if step < half else step - half),
    }


def short_run(train_rows, held_out, plan, share):
    """Train a new model and return what the log keeps of it."""
    torch.manual_seed(plan.seed)
    model = GPT(build_model(plan, 2048))
    losses = train_with(model, train_rows, plan, share)
    return {
        "val_loss": evaluate(model, held_out)[0],
        "loss": [round(loss, 3) for loss in losses[::10]],
    }


def read_log(path=LOG):
    """The head of a log and its rows."""
    head, *rows = read_json_lines(path)
    return head, rows


def best_peak(rows, schedule):
    """The peak of a schedule with the lowest held-out loss for the seed that chooses."""
    tried = [row for row in rows if row["schedule"] == schedule and row["seed"] == CHOOSING_SEED]
    return min(tried, key=lambda row: row["val_loss"])["peak"]


def main():
    if not LOG.exists():
        head = {"command": "python compare_schedules.py", "machine": f"{os.cpu_count()} CPU cores"}
        append_json_line(LOG, head)
    rows, data = read_log()[1], load_rows()

    def run(schedule, peak, seed, share):
        name = {"schedule": schedule, "peak": peak, "seed": seed}
        row = next((row for row in rows if name.items() <= row.items()), None)
        if row is None:
            row = name | short_run(*data, replace(PLAN, lr=peak, seed=seed), share)
            rows.append(row)
            append_json_line(LOG, row)
            print(
                f"{schedule:24} peak {peak:<6g} seed {seed}  held-out loss {row['val_loss']:.4f}",
                flush=True,
            )
        return row["val_loss"]

    shares = {
        name: partial(schedule, steps=PLAN.steps, warmup=PLAN.warmup)
        for name, schedule in SCHEDULES.items()
    }
    for name, share in shares.items():
        peak = FIRST_PEAK
        while run(name, 2 * peak, CHOOSING_SEED, share) < run(name, peak, CHOOSING_SEED, share):
            peak *= 2
    for seed in JUDGING_SEEDS:
        for name, share in shares.items():
            run(name, best_peak(rows, name), seed, share)
        for name, share in mistakes(PLAN).items():
            run(name, best_peak(rows, "cosine"), seed, share)


if __name__ == "__main__":
    main()
