"""Search for good training settings: `python hparam_tuning.py` tries 20 random ones on a small GPT
and the Tiny Tales.

Every finished run is a line of `runs/NAME/results.jsonl` at once, so Ctrl-C, a crash or a power cut
loses the run at hand and no other: `--resume` goes on. Trial number 7 of seed 1 is always the same
trial, in whatever order trials are run. The best trials are run again with other seeds; `table.txt`
and `search.png` lie beside the results.
"""

import math
import random

try:
    from search_settings import BATCH_SIZES, Search, parse_arguments

    from ch05_01_main_chapter_code.arguments import TrainConfig, run_script
    from ch05_01_main_chapter_code.run_folders import (
        choose_results,
        claimed,
        compare_runs,
        open_results,
    )
except ModuleNotFoundError as error:
    raise SystemExit(
        f"{error}: install the course with `pip install -r requirements.txt` in its main folder"
    ) from None

if __name__ == "__main__":  # before torch is loaded, which takes two seconds
    ARGUMENTS = parse_arguments()

import torch

from ch05_01_main_chapter_code.gpt_generate import TALES_GPT, pick_device
from ch05_01_main_chapter_code.gpt_train import build_model, evaluate, prepare, train
from ch05_01_main_chapter_code.previous_chapters import GPT, GPTConfig, write_atomically

# --- What is tried --------------------------------------------------------------------------------


def log_uniform(rng, low, high):
    """As likely between 0.001 and 0.01 as between 0.01 and 0.1; with three digits, so that a log
    line says all of it.
    """
    return float(f"{math.exp(rng.uniform(math.log(low), math.log(high))):.3g}")


SPACE = {
    "lr": lambda rng: log_uniform(rng, 1e-3, 0.1),
    "batch_size": lambda rng: rng.choice(BATCH_SIZES),
    "weight_decay": lambda rng: log_uniform(rng, 1e-3, 1.0),
    "warmup_share": lambda rng: round(
        rng.uniform(0, 0.3), 3
    ),  # of the steps, as their number differs
    "beta2": lambda rng: round(1 - log_uniform(rng, 1e-3, 0.1), 5),
}


def draw_trial(seed, number):
    """The settings of one trial: a function of the seed and its number alone."""
    rng = random.Random(f"{seed}/{number}")
    return {name: draw(rng) for name, draw in SPACE.items()}


def plan_of(search, settings, rows, seed):
    """The `TrainConfig` of one run over `rows` rows; a larger batch takes fewer steps."""
    settings = dict(settings)
    steps = rows // settings["batch_size"]
    warmup = round(settings.pop("warmup_share") * steps)
    return TrainConfig(
        data=search.data,
        emb_dim=search.emb_dim,
        n_layers=search.n_layers,
        device=search.device,
        seed=seed,
        steps=steps,
        warmup=warmup,
        **settings,
    )


def load_data(search):
    """Chapter 5's corpus. Its held-out rows are shared out: even ones choose (validation), odd ones
    judge (test).
    """
    tokenizer = str(TALES_GPT) if search.data == "tales" else "bpe"
    preset = GPTConfig.preset("tales")
    corpus = prepare(
        TrainConfig(data=search.data, tokenizer=tokenizer), preset.context_length, preset.vocab_size
    )
    if len(corpus.validation) < 2:
        raise ValueError(
            f"{search.data} is too short: a tenth of it is held out, and has to fill two windows"
        )
    return corpus


def measure(corpus, plan):
    """Train a new model by the plan: its losses on the rows that choose and on those that judge;
    None if it diverged.
    """
    torch.manual_seed(plan.seed)
    model = GPT(build_model(plan, corpus.tokenizer.n_vocab)).to(pick_device(plan.device))
    try:
        train(model, corpus.train, plan)
    except FloatingPointError:
        return {"val_loss": None, "test_loss": None}
    losses = [
        evaluate(model, rows)[0] for rows in (corpus.validation[::2], corpus.validation[1::2])
    ]
    return dict(
        zip(
            ("val_loss", "test_loss"),
            [loss if math.isfinite(loss) else None for loss in losses],
            strict=True,
        )
    )


# --- The search -----------------------------------------------------------------------------------


def best_first(losses):
    """The trials of {trial: loss}, lowest loss first, diverged ones (None) last."""
    return sorted(
        losses, key=lambda trial: (math.inf if losses[trial] is None else losses[trial], trial)
    )


def go(search, loss_of):
    """The whole search. `loss_of(trial, rows, seed)` gives a validation loss, from the results or
    by training.

    Random search is halving with a single rung [Jamieson and Talwalkar 2015, arXiv:1502.07943].
    """
    alive = range(search.trials)
    for rows in search.budgets():
        losses = {trial: loss_of(trial, rows, search.seed) for trial in alive}
        alive = best_first(losses)[: max(1, len(losses) // search.eta)]
    for trial in best_first(losses)[: search.finalists]:
        for seed in range(search.seed + 1, search.seed + 1 + search.repeats):
            loss_of(trial, search.rows, seed)


def count_runs(search):
    """How many runs the search has in all."""
    total, alive = 0, search.trials
    for _ in search.budgets():
        total, last, alive = total + alive, alive, max(1, alive // search.eta)
    return total + min(last, search.finalists) * search.repeats


def run_search(search, results, corpus, on_run=lambda row: None):
    """Go through the search, taking finished runs from `results` and adding the others."""

    def loss_of(trial, rows, seed):
        row = results.find(trial=trial, rows=rows, seed=seed)
        if row is None:
            settings = draw_trial(search.seed, trial)
            row = {"trial": trial, "rows": rows, "seed": seed} | settings
            row |= measure(corpus, plan_of(search, settings, rows, seed))
            results.add(row)
            on_run(row)
        return row["val_loss"]

    go(search, loss_of)


# --- What came of it ------------------------------------------------------------------------------


def ranking(search, rows):
    """The trials that got all rows, best first: (row of the search's seed, rows of other seeds)."""
    full = [row for row in rows if row["rows"] == search.rows]
    first = {row["trial"]: row for row in full if row["seed"] == search.seed}
    order = best_first({trial: row["val_loss"] for trial, row in first.items()})
    return [
        (first[t], [row for row in full if row["trial"] == t and row["seed"] != search.seed])
        for t in order
    ]


def shown(loss):
    return "diverged" if loss is None else f"{loss:8.4f}"


def table(search, rows, count=10):
    """The best trials as text; the last column is the mean test loss of the repeats with other
    seeds.
    """
    lines = [
        "trial      lr  batch  weight decay  warm-up    beta2   val loss  test loss  other seeds"
    ]
    for row, others in ranking(search, rows)[:count]:
        losses = [other["test_loss"] for other in others]
        mean = "" if not losses else shown(None if None in losses else sum(losses) / len(losses))
        lines.append(
            f"{row['trial']:5} {row['lr']:7.3g} {row['batch_size']:6} {row['weight_decay']:13.3g} "
            f"{row['warmup_share']:8.1%} {row['beta2']:8.4f}   {shown(row['val_loss'])}   {shown(row['test_loss'])} {mean:>12}"
        )
    return "\n".join(line.rstrip() for line in lines)


def plot_rates(ax, rows):
    """Loss over learning rate, a colour for each batch size."""
    colors = dict(zip(BATCH_SIZES, ("#56B4E9", "#009E73", "#E69F00", "#D55E00"), strict=True))
    for size, color in colors.items():
        points = [
            (row["lr"], row["val_loss"])
            for row in rows
            if row["batch_size"] == size and row["val_loss"] is not None
        ]
        if points:
            ax.plot(*zip(*points, strict=True), "o", color=color, label=f"batch of {size}")
    ax.set(xscale="log", xlabel="learning rate", ylabel="validation loss (nats per token)")
    ax.set_xticks([0.001, 0.003, 0.01, 0.03, 0.1], ["0.001", "0.003", "0.01", "0.03", "0.1"])
    ax.minorticks_off()
    ax.legend(frameon=False, fontsize=8)


def plot_parallel(ax, rows):
    """Parallel coordinates: an axis for each setting, a line for each trial; the best fifth dark,
    on top.
    """
    axes = [*SPACE, "val_loss"]
    columns = {
        name: [coordinate(name, row) for row in rows if row["val_loss"] is not None]
        for name in axes
    }
    for name, values in columns.items():
        low, high = min(values), max(values)
        columns[name] = [(value - low) / (high - low or 1) for value in values]
    order = sorted(range(len(columns["val_loss"])), key=lambda i: -columns["val_loss"][i])
    for place, i in enumerate(order, start=1):
        best = place > 0.8 * len(order)
        line = [columns[name][i] for name in axes]
        ax.plot(
            line, color="#004B76" if best else "#B9C4CC", linewidth=2 if best else 1, zorder=place
        )
    labels = [
        "learning rate\n(log)",
        "batch size\n(log)",
        "weight decay\n(log)",
        "warm-up",
        "1 − beta2\n(log)",
        "loss\n(log)",
    ]
    ax.set_xticks(range(len(axes)), labels, fontsize=8)
    ax.set_yticks([0, 1], ["lowest", "highest"])
    for place in range(len(axes)):
        ax.axvline(place, color="#6E6E6E", linewidth=0.8, zorder=0)


def coordinate(name, row):
    """A setting as a place on its axis."""
    if name == "warmup_share":
        return row[name]
    return math.log(1 - row[name] if name == "beta2" else row[name])


def write_report(folder, search, rows):
    """`table.txt` and `search.png`."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    text = table(search, rows)
    write_atomically(
        folder / "table.txt", lambda path: path.write_text(text + "\n", encoding="utf-8")
    )
    tried = [row for row, _ in ranking(search, rows)]
    if any(row["val_loss"] is not None for row in tried):
        figure, axes = plt.subplots(2, 1, figsize=(7, 7), layout="constrained")
        plot_rates(axes[0], tried)
        plot_parallel(axes[1], tried)
        figure.savefig(folder / "search.png", dpi=120)
        plt.close(figure)
    return text


# --- The command line -----------------------------------------------------------------------------


def show_run(search, results, row):
    """Print one finished run."""
    settings = ", ".join(f"{key} {row[key]}" for key in SPACE)
    about = f"trial {row['trial']:3}, {row['rows']} rows, seed {row['seed']}: {settings}"
    counted = f"{len(results.rows):3}/{count_runs(search)}"
    print(f"{counted}  {about}: loss {shown(row['val_loss']).strip()}", flush=True)


def main(given, name=None, resume=False, overwrite=False):
    """Run the command line. Returns the exit status."""
    search, folder = choose_results(given, Search, "search", name, resume, overwrite)
    with claimed(folder, "search") as folder:
        corpus = load_data(search)  # wrong data and sizes are told before anything is written
        first = plan_of(search, draw_trial(search.seed, 0), search.rows, search.seed)
        build_model(first, corpus.tokenizer.n_vocab)
        results = open_results(folder, "search", search, given, "hparam_tuning.py", resume)
        return compare_runs(
            results,
            "search",
            search,
            count_runs(search),
            lambda: run_search(search, results, corpus, lambda row: show_run(search, results, row)),
            lambda: write_report(folder, search, results.rows),
        )


if __name__ == "__main__":
    run_script(main, *ARGUMENTS)
