"""Train the default model once more and look inside it again and again: `python over_training.py`
writes `over-training.jsonl`.

The run is that of `gpt_train.py` with its default settings; what is measured on the way does not
disturb it. The first line of the log says how and where it was made. Checkpoints are not kept: the
script makes the same ones again.
"""

import argparse
import os
from dataclasses import replace
from pathlib import Path

if __name__ == "__main__":  # before torch is loaded: --help answers at once
    PARSER = argparse.ArgumentParser(description="Measure what changes over training.")
    PARSER.add_argument("--seed", type=int, default=1, help="of the run (default: %(default)s)")
    PARSER.add_argument(
        "--steps", type=int, help="a shorter run, to try this out (default: those of the run)"
    )
    OPTIONS = PARSER.parse_args()

try:
    from ch05_01_main_chapter_code.arguments import TrainConfig
    from ch05_01_main_chapter_code.gpt_train import PretrainingRun, train
    from ch05_01_main_chapter_code.json_lines import append_json_line
    from ch05_01_main_chapter_code.tales import make_tales
    from ch05_08_bonus_looking_inside.findings import (
        FACTS,
        Pairs,
        excess,
        lens,
        looks,
        model_log_probs,
        patching,
        true_log_probs,
        use_masks,
    )
    from ch05_08_bonus_looking_inside.tale_facts import TaleBatch
except ModuleNotFoundError as error:
    raise SystemExit(
        f"{error}: install the course with `pip install -r requirements.txt` in its main folder"
    ) from None

LOG = Path(__file__).parent / "over-training.jsonl"
MOMENTS = (0, 25, 50, 75, 100, 150, 200, 250, 300, 400, 500, 600, 800, 1000, 1250, 1500, 2000, 2500)
WATCHED = ("hero's name", "hero's animal")  # facts whose way through the model is followed


class Watch:
    """What is measured, always on the same tales, which the model is not trained on."""

    def __init__(self, tokenizer, tales=60, pairs=30):
        self.batch = TaleBatch(make_tales(tales, seed=0), tokenizer)
        self.key = true_log_probs(self.batch)
        source = make_tales(20 * pairs, seed=5)
        self.pairs = {fact: Pairs(source, tokenizer, fact, pairs) for fact in WATCHED}

    def look(self, model, step):
        """A row of the log."""
        said = model_log_probs(model, self.batch)
        masks, seen = use_masks(self.batch), looks(model, self.batch)
        layers = lens(model, self.batch, self.key)
        return {
            "step": step,
            **{
                f"excess {name}": value
                for name, value in excess(model, self.batch, self.key).items()
            },
            "lens, forced right": {name: row["forced right"] for name, row in layers.items()},
            "known": {fact: said[masks[fact]].exp().mean().item() for fact in FACTS},
            "best head": {fact: best_head(seen[fact]) for fact in FACTS},
            "moved": {fact: self.way(model, fact) for fact in WATCHED},
        }

    def way(self, model, fact):
        """After the first block, is the fact still at its first mention, or already where it is
        needed? The share of the answer that each place carries."""
        table = patching(model, self.pairs[fact])["stream.1"]
        return {group: table[group][0] for group in ("first mention", "when needed")}


def best_head(shares):
    """(its name, its share of attention) for a table (layers, heads)."""
    place = shares.argmax().item()
    return f"{place // shares.shape[1]}.{place % shares.shape[1]}", shares.max().item()


def rounded(value):
    """All numbers of a row to four digits behind the point."""
    if isinstance(value, dict):
        return {key: rounded(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(part) for part in value]
    return round(value, 4) if isinstance(value, float) else value


def main(seed=1, steps=None, log=LOG):
    """Train, measure, and write the log anew."""
    config = TrainConfig(seed=seed)
    config = replace(config, steps=steps or config.steps)
    run = PretrainingRun(log.parent, config, suited=True)
    watch = Watch(run.model.tokenizer)
    log.unlink(missing_ok=True)
    command = "python over_training.py" + (f" --seed {seed}" if seed != 1 else "")
    command += f" --steps {steps}" if steps else ""
    append_json_line(log, {"command": command, "machine": f"{os.cpu_count()} CPU cores"})

    def note(step):
        row = rounded(watch.look(run.model, step))
        append_json_line(log, row)
        print(f"step {step:5}  {row['excess together']:.4f} nats above the floor", flush=True)

    def on_step(step, loss, norm, n_targets):
        if step + 1 in MOMENTS or step + 1 == config.steps:
            note(step + 1)

    note(0)
    train(run.model, run.corpus.train, run.config, run.optimizer, 0, on_step)


if __name__ == "__main__":
    main(OPTIONS.seed, OPTIONS.steps)
