"""The chapter's variants side by side: `python exercise_experiments.py`.

    baseline            every token counts, prompt and answer; all weights learn
    mask_instructions   only the answer counts
    chat_template       the prompt as a talk between user and assistant
    lora                adapters learn, the rest is frozen
    more_data           four times as many entries
    both                mask_instructions and chat_template together

Each of the first five differs from the baseline in one thing, and all answer the same test. Every
run is a folder `runs/NAME-VARIANT-SEED`; what is finished is not done again, what was stopped goes
on. At the end stand a table and a plot: the mean over the seeds, and each seed by itself.
"""

import json
import statistics
from pathlib import Path

from ch07_01_main_chapter_code.instruction_arguments import (
    VARIANTS,
    InstructConfig,
    comparison_arguments,
)

if __name__ == "__main__":  # before torch is loaded, which takes two seconds
    OPTIONS = comparison_arguments()

from ch07_01_main_chapter_code.gpt_instruction_finetuning import (
    InstructRun,
    open_instruct_run,
    show_settings,
)
from ch07_01_main_chapter_code.previous_chapters import (
    claimed,
    polite_interrupt,
    read_json_lines,
    run_script,
    runs_folder,
    states,
    write_json_lines,
)


def settings_of(variant, options, seed):
    """The fields of an `InstructConfig` in which a run differs from the defaults."""
    tales = options.base == "tales-gpt"
    made = options.made if options.made is not None else 40_000 if tales else 0
    fresh = options.fresh if options.fresh is not None else 20 if tales else 5
    settings = dict(
        base=options.base,
        data="tales" if tales else "own",
        made=made,
        fresh=fresh,
        epochs=options.epochs,
        style="tales" if tales else "alpaca",
        loss="all",
        train="all" if tales else "lora",
        seed=seed,
        device=options.device,
    )
    if not tales:
        settings |= dict(batch_size=8)
    changes = {
        "baseline": {},
        "mask_instructions": {"loss": "answer"},
        "chat_template": {"style": "turns" if tales else "chat"},
        "lora": {"train": "lora"},
        "more_data": {"made": 4 * made if made else 3000},
    }
    changes["both"] = changes["mask_instructions"] | changes["chat_template"]
    return settings | changes[variant]


def do_run(variant, seed, options, known, stopped):
    """One run, from its beginning or from where it was stopped. Returns a row of the results, or
    None if it was stopped.

    `known`: the scores before the training by the style of the prompts, which need not be measured
    again.
    """
    name, settings = f"{options.name}-{variant}-{seed}", settings_of(variant, options, seed)
    folder, row = runs_folder() / name, {"variant": variant, "seed": seed, "settings": settings}
    if (folder / "summary.json").exists():  # a crash came between the run's end and its row
        return row | {"summary": json.loads((folder / "summary.json").read_text(encoding="utf-8"))}
    resume = bool(states(folder))
    overwrite = not resume and (folder / InstructRun.settings_file).exists()
    with open_instruct_run(settings, name, resume, overwrite) as run:
        show_settings(run)
        run.before = run.before or known.get(run.config.style)
        if not run.go(stopped):
            run.save_state()
            return None
        known[run.config.style] = run.before
        return row | {"summary": run.finish()}


def check_rows(rows, options):
    """Raises ValueError where a row was made with other settings than those asked for now: the two
    do not compare.
    """
    for row in rows:
        wanted = settings_of(row["variant"], options, row["seed"])
        changed = [key for key in wanted if row["settings"].get(key) != wanted[key]]
        if changed:
            raise ValueError(
                f"{options.name} has runs with another {changed[0]} ({row['settings'].get(changed[0])}, not "
                f"{wanted[changed[0]]}); take another --name"
            )


def known_before(rows):
    """What was measured before the training, by the style of the prompts, as `InstructRun` keeps
    it.
    """
    return {
        row["settings"]["style"]: {
            "scores": {kind: scores["before"] for kind, scores in row["summary"]["kinds"].items()},
            "valid_share": row["summary"]["valid_share_before"],
        }
        for row in rows
    }


def table(rows):
    """The results as lines of text: a variant each, mean and spread over its seeds."""
    lines = [
        f"{'variant':18} seeds  before   after  lowest … highest  loss on answers  valid stories  minutes"
    ]
    for variant in dict.fromkeys(row["variant"] for row in rows):
        found = [row["summary"] for row in rows if row["variant"] == variant]
        after = [100 * summary["after"]["share"] for summary in found]
        mean = [
            statistics.mean(values)
            for values in (
                [100 * summary["before"]["share"] for summary in found],
                after,
                [summary["val_loss"] for summary in found],
                [summary["seconds"] / 60 for summary in found],
            )
        ]
        stories = [summary["valid_share_after"] for summary in found]
        valid = "" if None in stories else f"{100 * statistics.mean(stories):.1f} %"
        lines.append(
            f"{variant:18} {len(found):5}  {mean[0]:4.1f} %  {mean[1]:4.1f} %  {min(after):5.1f} … {max(after):5.1f} %  "
            f"{mean[2]:15.3f}  {valid:>13}  {mean[3]:7.1f}"
        )
    return lines


def plot_results(rows, path):
    """A bar for each variant's mean, and a point for each seed."""
    from matplotlib.figure import Figure

    variants = list(dict.fromkeys(row["variant"] for row in rows))
    figure = Figure(figsize=(7, 3.5), layout="constrained")
    ax = figure.subplots()
    for place, variant in enumerate(variants):
        shares = [row["summary"]["after"]["share"] for row in rows if row["variant"] == variant]
        ax.bar(place, statistics.mean(shares), color="#56B4E9", width=0.6)
        ax.plot([place] * len(shares), shares, "o", color="#0072B2", ms=5, clip_on=False)
        ax.annotate(f"{100 * statistics.mean(shares):.0f} %", (place, 0.02), ha="center")
    before = statistics.mean(row["summary"]["before"]["share"] for row in rows)
    ax.axhline(before, color="gray", ls="--", lw=1)
    ax.annotate(
        f"before: {100 * before:.1f} %",
        (0.99, before),
        xycoords=("axes fraction", "data"),
        ha="right",
        va="bottom",
        color="gray",
    )
    best = max(
        variants,
        key=lambda name: statistics.mean(
            row["summary"]["after"]["share"] for row in rows if row["variant"] == name
        ),
    )
    ax.set(
        xticks=range(len(variants)),
        ylim=(0, 1),
        ylabel="exactly right answers",
        title=f"{best} answers best; points are seeds",
    )
    ax.set_xticklabels([name.replace("_", "\n") for name in variants])
    figure.savefig(path, dpi=120)
    return figure


def main(options):
    """Do all runs that are not done yet, and show the table. Returns the exit status."""
    if Path(options.name).name != options.name or options.name in (".", ".."):
        raise ValueError(f"the name is a plain folder name, not {options.name!r}")
    for variant in options.variants:
        InstructConfig(
            **settings_of(variant, options, options.seeds[0])
        )  # wrong numbers are told before any work is done
    with claimed(runs_folder() / options.name) as folder:
        path = folder / "results.jsonl"
        rows = read_json_lines(path) if path.exists() else []
        check_rows(rows, options)
        rows, stopped = do_runs(options, rows, path)
        if stopped:
            print("stopped; the same command goes on")
            return 128 + stopped
        print("\n".join(table(rows)))
        plot_results(rows, folder / "results.png")
    print(f"the table's rows and the plot are in {folder}")
    return 0


def do_runs(options, rows, path):
    """Do the runs that have no row yet, and write each row to `path`. Returns the rows, in order,
    and the number of the signal that asked to stop, or 0.
    """
    known = known_before(rows)
    done = {(row["variant"], row["seed"]) for row in rows}
    wanted = [(variant, seed) for seed in options.seeds for variant in options.variants]
    with polite_interrupt() as stopped:
        for variant, seed in wanted:
            if (variant, seed) in done:
                continue
            row = do_run(variant, seed, options, known, stopped)
            if row is None:
                return rows, stopped()
            rows.append(row)
            write_json_lines(path, rows)
    return sorted(rows, key=lambda row: (VARIANTS.index(row["variant"]), row["seed"])), 0


if __name__ == "__main__":
    run_script(main, OPTIONS)
