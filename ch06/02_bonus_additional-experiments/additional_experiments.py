"""What if? `python additional_experiments.py` trains a classifier in many variants and prints a
table with its spread.

Another token is read, other layers learn, padding is read, the causal mask is off, the learning
rate is three times as high: each variant with several seeds. Every finished run is in
`runs/NAME/results.jsonl` at once, so Ctrl-C, a crash or a power cut loses the run at hand and no
other: `--resume` goes on. `table.txt` and `results.png` lie beside it.
"""

import random
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

try:
    from experiment_settings import GROUPS, Experiment, parse_arguments

    from ch05_01_main_chapter_code.arguments import run_script
    from ch05_01_main_chapter_code.run_folders import (
        choose_results,
        claimed,
        compare_runs,
        open_results,
        runs_folder,
    )
except ModuleNotFoundError as error:
    raise SystemExit(
        f"{error}: install the course with `pip install -r requirements.txt` in its main folder"
    ) from None

if __name__ == "__main__":  # before torch is loaded, which takes two seconds
    ARGUMENTS = parse_arguments()

import torch
import torch.nn.functional as F

from ch03_01_main_chapter_code.attention import MultiHeadAttention
from ch05_01_main_chapter_code.training import suited_rate
from ch06_01_main_chapter_code.class_arguments import FineTuneConfig
from ch06_01_main_chapter_code.classifier import STRENGTHS
from ch06_01_main_chapter_code.frozen_layers import FrozenRows, at_last_token, pad_rows
from ch06_01_main_chapter_code.gpt_class_finetune import (
    SpamDataset,
    evaluate,
    fine_tune,
    load_base,
    split_places,
    to_classifier,
)
from ch06_01_main_chapter_code.labelled_texts import load_labelled
from ch06_01_main_chapter_code.previous_chapters import evaluating, pick_device, write_atomically

# --- The variants, where chapter 6's code does not have them already ------------------------------


def mean_of_all(hidden, mask):
    """The mean over the real tokens, without the end-of-text token before them."""
    real = mask[:, 1:, None]  # (batch, tokens − 1, 1)
    return (hidden[:, 1:] * real).sum(dim=1) / real.sum(dim=1)


def middle_token(hidden, mask):
    return hidden[torch.arange(len(hidden), device=hidden.device), mask.sum(dim=1) // 2]


READINGS = {  # (batch, tokens, emb_dim) and (batch, tokens) to (batch, emb_dim)
    "first": lambda hidden, mask: hidden[
        :, 1
    ],  # before it stands the end-of-text token, which is the same in every text
    "middle": middle_token,
    "mean": mean_of_all,
    "last": at_last_token,
}


class BothWays(MultiHeadAttention):
    """Attention without the causal mask: every real token looks at every real token, also at those
    that follow.
    """

    def forward(self, x, cache=None, attention_mask=None):
        """`attention_mask`: (batch, tokens), True for real tokens."""
        batch, tokens, emb_dim = x.shape
        qkv = self.qkv(x).view(batch, tokens, 3, self.n_heads, emb_dim // self.n_heads)
        queries, keys, values = qkv.permute(2, 0, 3, 1, 4)  # (batch, heads, tokens, head_dim) each
        out = F.scaled_dot_product_attention(
            queries, keys, values, attention_mask[:, None, None, :]
        )
        return self.proj(out.transpose(1, 2).reshape(batch, tokens, emb_dim))


def without_mask(model):
    """Exchange the attention of all blocks for one that looks both ways, with the same weights;
    returns the model.
    """
    for block in model.blocks:
        old, config = block.attention, model.config
        block.attention = BothWays(config.emb_dim, config.n_heads, qkv_bias=config.qkv_bias).to(
            old.qkv.weight.device
        )
        block.attention.load_state_dict(old.state_dict())
    return model


class ReadRows(FrozenRows):
    """The rows of a dataset for a variant that reads another token, reads padding, or looks both
    ways.

    `fine_tune` and `evaluate` ask these rows for logits. Unlike chapter 6's own, all layers are
    computed each time.
    """

    def __init__(self, model, dataset, variant):
        super().__init__(model, dataset, cache=False)
        self.variant = variant

    def logits(self, picked):
        """The logits of the classes of some rows, (batch, classes)."""
        device = self.model.head.weight.device
        idx, mask = (part.to(device) for part in pad_rows([self.dataset.rows[i] for i in picked]))
        if self.variant.padding == "context":
            missing = self.model.config.context_length - idx.shape[1]
            idx, mask = F.pad(idx, (0, missing)), F.pad(mask, (0, missing))
        hidden = self.model.trunk(idx, attention_mask=mask if self.variant.mask == "none" else None)
        believed = (
            mask if self.variant.padding == "unread" else torch.ones_like(mask)
        )  # what is taken for real
        return self.model.head(READINGS[self.variant.reading](hidden, believed))


def make_rows(model, dataset, variant):
    """The dataset as this variant's classifier reads it: chapter 6's own rows, where they do."""
    plain = (variant.reading, variant.padding, variant.mask) == ("last", "unread", "causal")
    return FrozenRows(model, dataset) if plain else ReadRows(model, dataset, variant)


def make_classifier(base, classes, variant, seed):
    """The language model as this variant's classifier, and its highest learning rate."""
    if variant.mask == "none":
        without_mask(base)
    train = "last-block" if variant.train == "last-two" else variant.train
    rank = variant.rank or 8
    model = to_classifier(
        base, classes, train, seed, rank, alpha=2 * rank
    )  # corrections of every rank count the same
    if variant.train == "last-two":
        model.blocks[-2:].requires_grad_(True)
    return model, variant.rate * suited_rate(STRENGTHS[train], model.config.emb_dim)


# --- One run --------------------------------------------------------------------------------------


@lru_cache(maxsize=1)  # all variants of a seed see the same texts
def load_texts(data, seed):
    """The labelled texts, and the same as ids of the Tiny Tales' tokenizer, which knows all
    characters.
    """
    texts, base = load_labelled(data, seed=seed), load_base(FineTuneConfig())
    return texts, SpamDataset(texts, base.tokenizer, base.config.context_length)


def prepare(experiment, variant, seed):
    """The classifier of a run, its highest rate, and the rows to learn from and to test."""
    data, dataset = load_texts(experiment.data, seed)
    weights = "tales-gpt" if variant.weights == "pretrained" else "random"
    config = FineTuneConfig(
        data=experiment.data, base=weights, test_share=experiment.test_share, seed=seed
    )
    model, rate = make_classifier(
        load_base(config).to(pick_device(experiment.device)), data.classes, variant, seed
    )
    learned, tested = (
        make_rows(model, dataset.subset(places), variant) for places in split_places(data, config)
    )
    return model, rate, learned, tested


def measure(experiment, variant, seed):
    """Train and test: what the log keeps of one run. Accuracy and loss are None if the training
    diverged.
    """
    model, rate, learned, tested = prepare(experiment, variant, seed)
    try:
        fine_tune(
            model, learned, experiment.epochs, lr=rate, batch_size=experiment.batch_size, seed=seed
        )
    except FloatingPointError:
        return {"accuracy": None, "loss": None}
    report = evaluate(model, tested)
    found = {"accuracy": report.accuracy, "loss": report.loss}
    return found | (
        company(model, tested, experiment.batch_size)
        if variant in GROUPS["padding"].values()
        else {}
    )


@torch.inference_mode()
def company(model, test, batch_size):
    """The same texts in other company: accuracy in batches of any lengths and one by one, and the
    share of texts whose verdict is another one alone. Nothing is padded to the full context
    here."""
    if isinstance(test, ReadRows):
        test = ReadRows(model, test.dataset, GROUPS["padding"]["last place of the batch"])
    places = list(range(len(test)))
    random.Random(0).shuffle(places)
    batches = [places[start : start + batch_size] for start in range(0, len(places), batch_size)]
    mixed, alone = (
        torch.empty(len(test), dtype=torch.long),
        torch.empty(len(test), dtype=torch.long),
    )
    with evaluating(model):
        for picked in batches:
            mixed[picked] = test.logits(picked).argmax(dim=-1).cpu()
        for place in places:
            alone[place] = test.logits([place]).argmax(dim=-1).cpu()
    shares = {
        "mixed": mixed == test.labels,
        "alone": alone == test.labels,
        "changed": mixed != alone,
    }
    return {name: share.double().mean().item() for name, share in shares.items()}


# --- All runs -------------------------------------------------------------------------------------


def run_all(experiment, results, on_run=lambda row: None):
    """Go through the experiment, taking finished runs from `results` and adding the others."""
    for variant, seed in experiment.runs():
        if results.find(**asdict(variant), seed=seed) is None:
            row = asdict(variant) | {"seed": seed} | measure(experiment, variant, seed)
            results.add(row)
            on_run(row)


# --- What came of it ------------------------------------------------------------------------------


def of_group(experiment, results, group):
    """{name of a variant: its rows, one for each seed that is finished}."""
    found = {
        name: [results.find(**asdict(variant), seed=seed) for seed in experiment.seeds]
        for name, variant in GROUPS[group].items()
    }
    return {name: [row for row in rows if row] for name, rows in found.items()}


def spread(values):
    """Mean, lowest and highest as text."""
    if not values or None in values:
        return "diverged" if values else "not run"
    return f"{sum(values) / len(values):6.1%}  {min(values):6.1%}  {max(values):6.1%}"


def table(experiment, results):
    """Accuracy of all variants as text, group by group."""
    lines = []
    for group in experiment.groups:
        rows_of = of_group(experiment, results, group)
        width = max(map(len, rows_of))
        company = group == "padding"
        lines += [
            f"{group:{width}}    mean  lowest highest"
            + ("   mixed batches   alone   verdict changed" if company else "")
        ]
        for name, rows in rows_of.items():
            line = f"{name:{width}}  {spread([row['accuracy'] for row in rows])}"
            if company and rows and all("alone" in row for row in rows):
                mixed, alone, changed = (
                    sum(row[key] for row in rows) / len(rows)
                    for key in ("mixed", "alone", "changed")
                )
                line += f"  {mixed:14.1%}  {alone:6.1%}  {changed:16.1%}"
            lines.append(line)
        lines.append("")
    return "\n".join(lines).rstrip()


def plot_group(ax, experiment, results, group):
    """A line per variant: its seeds as points, their mean as a bar."""
    rows_of = of_group(experiment, results, group)
    for place, rows in enumerate(rows_of.values()):
        values = [100 * row["accuracy"] for row in rows if row["accuracy"] is not None]
        if values:
            ax.plot(values, [place] * len(values), "o", color="#004B76", alpha=0.7, markersize=5)
            ax.plot(
                [sum(values) / len(values)] * 2,
                [place - 0.3, place + 0.3],
                color="#D55E00",
                linewidth=2,
            )
    ax.set_yticks(range(len(rows_of)), rows_of)
    ax.set(ylim=(len(rows_of) - 0.5, -0.5), xlim=(None, 101))
    ax.set_xlabel("right verdicts on the test (%); points: seeds, bar: their mean")


def write_report(folder, experiment, results):
    """`table.txt` and `results.png`; returns the table."""
    from matplotlib.figure import Figure

    text = table(experiment, results)
    write_atomically(
        folder / "table.txt", lambda path: path.write_text(text + "\n", encoding="utf-8")
    )
    sizes = [len(GROUPS[group]) + 2 for group in experiment.groups]
    figure = Figure(figsize=(8, 0.3 * sum(sizes)), layout="constrained")
    axes = figure.subplots(len(sizes), 1, height_ratios=sizes, squeeze=False)[:, 0]
    for ax, group in zip(axes, experiment.groups, strict=True):
        plot_group(ax, experiment, results, group)
        ax.set_title(group)
    figure.savefig(folder / "results.png", dpi=100)
    return text


# --- The command line -----------------------------------------------------------------------------


def newest_experiment():
    files = [
        path
        for path in runs_folder().glob("*/results.jsonl")
        if b'"experiment"' in path.read_bytes()[:500]
    ]
    return max(files, key=lambda path: path.stat().st_mtime).parent if files else None


def open_experiment(given, name, resume, overwrite):
    """The `Experiment` and the folder that the flags ask for. Nothing is written yet."""
    if resume and name is None and (newest := newest_experiment()):
        name = newest.name
    return choose_results(given, Experiment, "experiment", name, resume, overwrite)


def show_run(experiment, results, row):
    """Print one finished run."""
    about = [str(row[key]) for key in ("weights", "train", "reading", "padding", "mask")]
    about += [] if row["rank"] is None else [f"rank {row['rank']}"]
    about += [f"rate × {row['rate']:.2g}", f"seed {row['seed']}"]
    counted = f"{len(results.rows):3}/{len(experiment.runs())}"
    print(f"{counted}  {', '.join(about)}: {spread([row['accuracy']])[:8].strip()}", flush=True)


def main(given, name=None, resume=False, overwrite=False):
    """Run the command line. Returns the exit status."""
    experiment, folder = open_experiment(given, name, resume, overwrite)
    runs = experiment.runs()
    with claimed(folder, Path(experiment.data).stem or "run") as folder:
        prepare(experiment, *runs[0])  # wrong data are told before anything is written
        script = "additional_experiments.py"
        results = open_results(folder, "experiment", experiment, given, script, resume)
        return compare_runs(
            results,
            "experiment",
            experiment,
            len(runs),
            lambda: run_all(experiment, results, lambda row: show_run(experiment, results, row)),
            lambda: write_report(folder, experiment, results),
        )


if __name__ == "__main__":
    run_script(main, *ARGUMENTS)
