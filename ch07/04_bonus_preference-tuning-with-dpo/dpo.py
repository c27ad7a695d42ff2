"""Preference tuning with DPO [Rafailov et al. 2023, arXiv:2305.18290], and as much supervised
training beside it.

    python dpo.py --model RUN

RUN was taught instructions by chapter 7. It answers new prompts several times, chapter 7's graders
split the answers into right and wrong, and pairs of the two are learned from in three ways: by DPO
(`dpo`); as a control by supervised training on the reference answers to the same prompts, for as
many steps (`sft`); by the sum of both losses (`both`). Each way tries its settings with one seed on
validation entries; the best are judged by other seeds on the test entries.
`runs/NAME/results.jsonl` gets a line for each finished run, and none is repeated: after Ctrl-C the
same command goes on.
"""

import argparse
import copy
import os
import sys
import time
from pathlib import Path

# Flags with one value and with several: {name: (default, help)}.
ONE = {
    "prompts": (3000, ""),
    "samples": (4, "answers to each "),
    "temperature": (1.0, "of the samples "),
    "steps": (200, ""),
    "batch-size": (16, "pairs of a step "),
    "fresh": (30, "test entries of each kind "),
    "stories": (200, "is it still a teller of tales? "),
    "max-tokens": (150, "longest answer "),
    "name": ("dpo", "of the folder with the results "),
}
SEVERAL = {
    "betas": ([0.1, 0.5], "to be tried"),
    "lrs": ([1e-4, 3e-4, 1e-3], "to be tried, by all three ways"),
    "seeds": ([1, 2, 3, 4], "the first chooses the settings, the others judge"),
}


def build_parser():
    parser = argparse.ArgumentParser(
        description="Learn from pairs of right and wrong answers, and compare with a control."
    )
    parser.add_argument(
        "--model", required=True, help="RUN or FOLDER that gpt_instruction_finetuning.py made"
    )
    parser.add_argument(
        "--kinds", nargs="+", help="of the prompts (default: all kinds about the Tiny Tales)"
    )
    for name, (default, text) in ONE.items():
        text += "(default: %(default)s)"
        parser.add_argument(f"--{name}", type=type(default), default=default, help=text)
    for name, (default, text) in SEVERAL.items():
        text += f" (default: {' '.join(f'{value:g}' for value in default)})"
        kind = type(default[0])
        parser.add_argument(f"--{name}", type=kind, nargs="+", default=default, help=text)
    return parser


if __name__ == "__main__":  # before torch is loaded, which takes two seconds
    OPTIONS = build_parser().parse_args()

from preference_training import METHODS, by_kind, divergence, exact_score, tune
from preferences import census, made_prompts, make_pairs, sample_answers
from tqdm import tqdm

from ch05_01_main_chapter_code.arguments import run_script
from ch05_01_main_chapter_code.run_folders import runs_folder
from ch07_01_main_chapter_code.gpt_instruction_finetuning import load_instruct, save_instruct
from ch07_01_main_chapter_code.previous_chapters import (
    parse_tale,
    polite_interrupt,
    read_json_lines,
    sample_stories,
    write_json_lines,
)
from ch07_01_main_chapter_code.tasks.sets import FRESH_SEED, fresh_entries
from ch07_01_main_chapter_code.tasks.tale_kinds import TALE_KINDS

PROMPT_SEED = 50_000  # added to a run's seed, so that its prompts are not those that the model was taught with
STORY_TOKENS = 192  # longest story
HELD_OUT = 0.1  # share of the pairs that only watch

# --- The experiment -------------------------------------------------------------------------------


class Experiment:
    """The rows of `results.jsonl` and what is needed to make more of them."""

    def __init__(self, options, stopped):
        self.options, self.stopped, self.kinds = (
            options,
            stopped,
            tuple(options.kinds or TALE_KINDS),
        )
        made_prompts(1, 0, self.kinds)  # an unknown kind is told before any work is done
        self.base = load_instruct(options.model)
        self.folder = runs_folder() / options.name
        self.path = self.folder / "results.jsonl"
        self.head = {
            "command": "python dpo.py " + " ".join(sys.argv[1:]),
            "machine": f"{os.cpu_count()} CPU cores",
            "options": {key: value for key, value in vars(options).items() if key != "name"},
        }
        self.rows = self.read()
        self.entries = {
            "validation": fresh_entries(options.fresh, self.kinds, FRESH_SEED + 1),
            "test": fresh_entries(options.fresh, self.kinds),
        }
        self.pairs = {}

    def read(self):
        """The rows that are there. Raises ValueError where they were made with other options, or
        are damaged.
        """
        if not self.path.exists():
            return []
        try:
            head, rows = read_log(self.path)
            changed = [
                key
                for key, value in self.head["options"].items()
                if head["options"].get(key) != value
            ]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{self.path} is damaged ({error}); take another --name") from None
        if changed:
            raise ValueError(
                f"{self.options.name} was made with another {changed[0]}; take another --name"
            )
        return rows

    def keep(self, row):
        self.rows.append(row)
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json_lines(self.path, [self.head, *self.rows])

    def find(self, **name):
        return next((row for row in self.rows if name.items() <= row.items()), None)

    def pairs_of(self, seed):
        """(pairs to learn from, pairs to watch) of a seed, sampled from the base; the second call
        costs nothing.
        """
        if seed not in self.pairs:
            options = self.options
            entries = made_prompts(options.prompts, PROMPT_SEED + seed, self.kinds)
            with tqdm(
                total=len(entries),
                desc=f"samples {seed}",
                unit="prompt",
                delay=2,
                dynamic_ncols=True,
            ) as bar:

                def on_batch(count):
                    bar.update(count)
                    if self.stopped():
                        raise KeyboardInterrupt

                samples = sample_answers(
                    self.base,
                    entries,
                    options.samples,
                    options.temperature,
                    options.max_tokens,
                    seed,
                    on_batch=on_batch,
                )
            pairs = make_pairs(self.base, entries, samples, seed)
            watched = round(HELD_OUT * len(pairs))
            self.pairs[seed] = pairs[watched:], pairs[:watched]
            if not self.find(what="pairs", seed=seed):
                self.keep(
                    {
                        "what": "pairs",
                        "seed": seed,
                        "prompts": len(entries),
                        **census(samples),
                        "pairs": len(pairs),
                        "chosen_from_samples": sum(pair.chosen_from == "samples" for pair in pairs),
                    }
                )
        return self.pairs[seed]

    def before(self):
        """The base's own scores."""
        if not self.find(what="before"):
            scores = {
                part: exact_score(self.base, entries, self.options.max_tokens)
                for part, entries in self.entries.items()
            }
            kinds = by_kind(self.entries["test"], scores["test"]["verdicts"])
            self.keep(
                {
                    "what": "before",
                    **scores,
                    "kinds": kinds,
                    "valid_share": self.valid_share(self.base),
                }
            )

    def valid_share(self, model):
        """The share of valid Tiny Tales among the stories that a model makes up from nothing."""
        stories = sample_stories(model, model.tokenizer, self.options.stories, STORY_TOKENS)
        return sum(parse_tale(story) is not None for story in stories) / len(stories)

    def run(self, method, lr, beta, seed, part):
        """One training, judged on `part`; returns its row."""
        name = {"what": "run", "method": method, "lr": lr, "beta": beta, "seed": seed, "part": part}
        row = self.find(**name)
        if row:
            return row
        pairs, watched = self.pairs_of(seed)
        model, options, started = copy.deepcopy(self.base), self.options, time.perf_counter()
        with tqdm(
            total=options.steps, desc=f"{method} {lr:g}", unit="step", delay=2, dynamic_ncols=True
        ) as bar:
            curve = tune(
                model,
                pairs,
                method,
                options.steps,
                lr,
                beta,
                options.batch_size,
                seed,
                watched,
                lambda step: bar.update() and False or self.stopped(),
            )
        if curve is None:
            raise KeyboardInterrupt
        seconds = time.perf_counter() - started
        score = exact_score(model, self.entries[part], options.max_tokens)
        row = name | {"score": score, "seconds": round(seconds, 1), "curve": rounded(curve)}
        if part == "test":
            rows = [row for pair in watched for row in (pair.chosen, pair.rejected)]
            row |= {
                "kinds": by_kind(self.entries[part], score["verdicts"]),
                "valid_share": self.valid_share(model),
                "divergence": round(divergence(model, self.base, rows), 5),
            }
            save_instruct(model, self.folder / f"{method}-{seed}", model.style, options.model)
        self.keep(row)
        print(
            f"{method}  lr {lr:<7g} beta {beta}  seed {seed}  {part:10} {score['right']} of {score['of']} right",
            flush=True,
        )
        return row

    def go(self):
        """All runs: the first seed chooses, the others judge."""
        choosing, *judging = self.options.seeds
        self.before()
        for method in METHODS:
            betas = (
                [0.1] if method == "sft" else self.options.betas
            )  # it has none; its margins are told with this one
            tried = [
                self.run(method, lr, beta, choosing, "validation")
                for lr in self.options.lrs
                for beta in betas
            ]
            best = max(tried, key=lambda row: row["score"]["right"])
            for seed in judging:
                self.run(method, best["lr"], best["beta"], seed, "test")


def read_log(path):
    """The head of a log of results and its rows."""
    head, *rows = read_json_lines(Path(path))
    return head, rows


def rounded(curve):
    return [{key: round(value, 4) for key, value in row.items()} for row in curve]


def summary(rows):
    """The result in a few lines of text."""
    before = next(row for row in rows if row["what"] == "before")
    lines = [f"{'':8}   exact score on the test (95 % interval)      valid stories"]
    for name, score, valid in [("before", before["test"], before["valid_share"])] + [
        (f"{row['method']} {row['seed']}", row["score"], row["valid_share"])
        for row in rows
        if row["what"] == "run" and row["part"] == "test"
    ]:
        low, high = score["interval"]
        lines.append(
            f"{name:8}   {100 * score['right'] / score['of']:5.1f} % ({100 * low:.1f} … {100 * high:.1f} %, "
            f"{score['right']} of {score['of']})   {100 * valid:12.1f} %"
        )
    return lines


def check(options):
    """Raises ValueError for numbers that cannot be meant."""
    for name in ("prompts", "samples", "steps", "batch_size", "fresh", "stories", "max_tokens"):
        if getattr(options, name) < 1:
            raise ValueError(
                f"--{name.replace('_', '-')} must be at least 1, not {getattr(options, name)}"
            )
    for name in ("betas", "lrs"):
        if not all(0 < value < float("inf") for value in getattr(options, name)):
            raise ValueError(f"--{name} must be above 0")
    if not 0 < options.temperature < float("inf"):
        raise ValueError(
            f"answers that differ need a temperature above 0, not {options.temperature}"
        )
    if len(set(options.seeds)) < 2 or len(set(options.seeds)) < len(options.seeds):
        raise ValueError(
            "--seeds needs at least two different ones: the first chooses, the others judge"
        )
    if Path(options.name).name != options.name or options.name in (".", ".."):
        raise ValueError(f"the name is a plain folder name, not {options.name!r}")


def main(options):
    check(options)
    with polite_interrupt() as stopped:
        experiment = Experiment(options, stopped)
        try:
            experiment.go()
        except KeyboardInterrupt:
            print("stopped; the same command goes on")
            return 130
    print("\n".join(summary(experiment.rows)))
    print(f"the rows and the models are in {experiment.folder}")
    return 0


if __name__ == "__main__":
    run_script(main, OPTIONS)
