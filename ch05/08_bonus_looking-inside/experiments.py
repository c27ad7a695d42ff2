"""The answers of looking-inside.ipynb in numbers, for several models: `python experiments.py RUN …`
writes `answers.json` and prints the tables of the README.

Each RUN is the folder or the name of a run of `gpt_train.py` on the tales, best the same run with
several seeds. What holds for all of them is a fact about such models; the rest is the luck of a seed.
Without RUN the tables of the `answers.json` that is there are printed.
"""

import argparse
import json
import os
from pathlib import Path

if __name__ == "__main__":  # before torch is loaded: --help answers at once
    PARSER = argparse.ArgumentParser(
        description="Answer the notebook's questions for several models."
    )
    PARSER.add_argument("runs", nargs="*", metavar="RUN", help="run, or folder with a checkpoint")
    OPTIONS = PARSER.parse_args()

try:
    import torch

    from ch05_01_main_chapter_code.arguments import run_script
    from ch05_01_main_chapter_code.gpt_generate import load_model
    from ch05_01_main_chapter_code.previous_chapters import write_atomically
    from ch05_01_main_chapter_code.tales import make_tales
    from ch05_08_bonus_looking_inside import findings
    from ch05_08_bonus_looking_inside.claims import all_tables, put_between_marks
    from ch05_08_bonus_looking_inside.findings import FACTS
    from ch05_08_bonus_looking_inside.tale_facts import TaleBatch
except ModuleNotFoundError as error:
    raise SystemExit(
        f"{error}: install the course with `pip install -r requirements.txt` in its main folder"
    ) from None

FOLDER = Path(__file__).parent
ANSWERS, README = FOLDER / "answers.json", FOLDER / "README.md"
PROBED = ("plot", "hero", "hero.kind", "friend.kind", "place", "thing")
EDITED = ("hero", "hero.kind", "place")
SIZES = {"key": 200, "ablation": 60, "pairs": 40, "probes": 400, "means": 200, "edits": 60}


def answer(model, sizes=SIZES):
    """Everything that the README tells about one model, as plain numbers."""
    tokenizer, fresh = model.tokenizer, make_tales(30 * sizes["pairs"], seed=5)
    batch = TaleBatch(make_tales(sizes["key"], seed=0), tokenizer)
    key = findings.true_log_probs(batch)
    ablated = TaleBatch(make_tales(sizes["ablation"], seed=3), tokenizer)
    others = TaleBatch(make_tales(sizes["ablation"], seed=4), tokenizer)
    probed = TaleBatch(make_tales(sizes["probes"], seed=6), tokenizer)
    pairs = {fact: findings.Pairs(fresh, tokenizer, fact, sizes["pairs"]) for fact in FACTS}
    seen = findings.looks(model, batch)
    return {
        "excess": findings.excess(model, batch, key),
        "calibration": calibration(model, batch, key),
        "lens": findings.lens(model, batch, key),
        "repeated": {k: v for k, v in findings.repeated_sequences(model).items() if k != "heads"},
        "looks": {fact: seen[fact].tolist() for fact in FACTS},
        "copies": {fact: x.tolist() for fact, x in findings.copies(model, ablated).items()},
        "patterns": {name: x.tolist() for name, x in findings.patterns(model, batch).items()},
        "ablations": findings.ablations(model, ablated, others),
        "probes": {fact: findings.probe_table(model, probed, fact) for fact in PROBED},
        "patching": {fact: findings.patching(model, pairs[fact]) for fact in FACTS},
        "movers": {fact: findings.heads_that_move(model, pairs[fact]) for fact in FACTS},
        "edits": {variable: edits(model, variable, sizes) for variable in EDITED},
        "contradiction": findings.noticed(model, findings.Contradictions(fresh, tokenizer)),
    }


def calibration(model, batch, key):
    """How far the probabilities of choices are off, and how far they would be with some likes."""
    return {
        name: findings.how_far_off(*findings.calibration(model, batch, key, likes))
        for name, likes in (
            ("off", 0.0),
            ("with likes", findings.some_likes(batch.tokenizer.n_vocab)),
        )
    }


def edits(model, variable, sizes):
    """{place of the edit: shares of valid tales of the new and of the old fact}; and what becomes of
    it without an edit, with the new word in the prompt itself, and with vectors of the same length in
    a direction of chance, at the place where the edit works best."""
    source = TaleBatch(make_tales(sizes["means"], seed=11), model.tokenizer)
    cases = findings.edit_cases(make_tales(sizes["edits"], seed=21), model.tokenizer, variable)
    prompts, vectors, report = [case.ids for case in cases], {}, {}

    def judge(name, prompts, *edit):
        report[name] = findings.judged(cases, findings.continued(model, prompts, *edit), variable)

    for place in (f"stream.{n}" for n in range(len(model.blocks) + 1)):
        vectors[place] = findings.edit_vectors(model, source, cases, variable, place)
        judge(place, prompts, place, vectors[place])
    best = max(vectors, key=lambda place: report[place]["new"])
    chance = torch.randn(vectors[best].shape, generator=torch.Generator().manual_seed(0))
    chance *= (vectors[best].norm(dim=1) / chance.norm(dim=1))[:, None]
    judge("direction of chance", prompts, best, chance)
    judge("no edit", prompts)
    judge("new word in the prompt", [case.other_ids for case in cases])
    return report


def plain(value):
    """What JSON can hold, with numbers to four digits behind the point."""
    if isinstance(value, dict):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return round(value, 4) if isinstance(value, float) else value


def main(runs):
    """Answer for each run, write `answers.json`, and put the tables into the README."""
    if runs:
        answers = {}
        for run in runs:
            model = load_model(run)
            answers[Path(run).name] = plain(answer(model))
            print(f"{run}: answered", flush=True)
        text = json.dumps(
            {"machine": f"{os.cpu_count()} CPU cores", "models": answers}, indent=1, allow_nan=False
        )
        write_atomically(ANSWERS, lambda path: path.write_text(text + "\n", encoding="utf-8"))
    models = json.loads(ANSWERS.read_text(encoding="utf-8"))["models"]
    tables = all_tables(models)
    print(tables)
    put_between_marks(README, tables)


if __name__ == "__main__":
    run_script(main, OPTIONS.runs)
