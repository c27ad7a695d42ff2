"""Part B of the chapter: SmolLM2 learns this course's format by LoRA. Made once, logged in
part-b.jsonl beside this script.

    python experiments/part_b.py                # seeds 1, 2 and 3; the same command goes on after a stop

SmolLM2 is an Instruct model: it knows the `chat` format, and is taught the `alpaca` format with
this course's entries. Measured before and after: exact scores in both formats (`alpaca` on the test
split and fresh entries of each kind, `chat` on the test split alone), and what it forgets: the loss
on a story that it was not taught (`the-verdict.txt`), and on its own former answers in the `chat`
format. Another machine's rounding gives slightly other numbers.

Seed 1 also writes instruction-data-with-response.json: the test split with what the model answers
in the `alpaca` format.
"""

import argparse
import json
import os
import time
from pathlib import Path

import torch

from ch07_01_main_chapter_code.gpt_instruction_finetuning import (
    InstructionDataset,
    answer_loss,
    fine_tune,
    respond,
)
from ch07_01_main_chapter_code.previous_chapters import (
    language_model_loss,
    load_model,
    merge_lora,
    read_json_lines,
    runs_folder,
    trained_share,
    write_atomically,
    write_json_lines,
)
from ch07_01_main_chapter_code.tasks.score_reports import exact
from ch07_01_main_chapter_code.tasks.sets import load_instructions, score

LOG = Path(__file__).parent / "part-b.jsonl"
RESPONSES = Path(__file__).parents[1] / "instruction-data-with-response.json"
STORY = Path(__file__).parents[3] / "ch02" / "01_main-chapter-code" / "the-verdict.txt"
SETTINGS = {
    "base": "smollm2-135m",
    "style": "alpaca",
    "train": "lora",
    "rank": 8,
    "alpha": 16,
    "epochs": 1,
    "batch_size": 8,
    "fresh": 5,
    "max_tokens": 100,
}
STORY_TOKENS = 1024
SHOWN = 12  # so many answers are kept in the log, for the notebook to show


@torch.inference_mode()
def story_loss(model):
    """Nats per token on the beginning of the story that chapter 2 reads."""
    ids = torch.tensor(
        [model.tokenizer.encode(STORY.read_text(encoding="utf-8"))[: STORY_TOKENS + 1]]
    )
    return language_model_loss(model(ids[:, :-1]), ids[:, 1:]).item()


def former_answers(model, entries):
    """The entries with what the untaught model answers in its own format; kept in runs/ for the
    seeds to come.
    """
    path = runs_folder() / "part-b-former-answers.json"
    if not path.exists():
        answers = respond(model, entries, "chat", SETTINGS["max_tokens"])
        former = [
            entry | {"output": answer} for entry, answer in zip(entries, answers, strict=True)
        ]
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(
            path, lambda temporary: temporary.write_text(json.dumps(former), encoding="utf-8")
        )
    return json.loads(path.read_text(encoding="utf-8"))


def examine(model, test, former):
    """Everything that is measured before and after the training. `former`: see `former_answers`."""
    asked = len(former)  # the test split comes first in `test`, then the fresh entries
    answers = respond(model, test, "alpaca", SETTINGS["max_tokens"])
    chat = respond(model, test[:asked], "chat", SETTINGS["max_tokens"])
    rows = InstructionDataset(former, model.tokenizer, "chat", model.config.context_length)
    kinds = score(test, answers)
    return {
        "alpaca": exact(kinds),
        "chat": exact(score(test[:asked], chat)),
        "kinds": kinds,
        "story_loss": story_loss(model),
        "former_loss": answer_loss(model, rows),
        "words": sum(len(answer.split()) for answer in answers) / len(answers),
        "answers": answers,
    }


def one_seed(seed, data, former):
    """Teach a fresh SmolLM2, and examine it."""
    model = load_model(SETTINGS["base"])
    make = [
        InstructionDataset(part, model.tokenizer, SETTINGS["style"], model.config.context_length)
        for part in (data.train, data.validation)
    ]
    started = time.perf_counter()
    model, history = fine_tune(
        model,
        make[0],
        SETTINGS["epochs"],
        SETTINGS["train"],
        make[1],
        rank=SETTINGS["rank"],
        alpha=SETTINGS["alpha"],
        batch_size=SETTINGS["batch_size"],
        seed=seed,
    )
    seconds = time.perf_counter() - started
    trained, total = trained_share(model)
    losses = [round(loss, 4) for loss in history["losses"]]
    return {
        "seed": seed,
        "seconds": round(seconds, 1),
        "trained": trained,
        "parameters": total,
        "losses": losses,
        "val_loss": history["epochs"][-1]["val_loss"],
    } | examine(merge_lora(model), data.test, former)


def main(seeds):
    data = load_instructions("own", fresh=SETTINGS["fresh"])
    split = len(load_instructions("own", fresh=0).test)
    lines = read_json_lines(LOG) if LOG.exists() else []
    if not lines:
        lines.append(
            {
                "command": "python experiments/part_b.py",
                "machine": f"{os.cpu_count()} CPU cores",
                "settings": SETTINGS,
                "entries": len(data.train),
            }
        )
    if lines[0]["settings"] != SETTINGS:
        raise SystemExit(f"{LOG.name} was made with other settings; move it away first")
    base = load_model(SETTINGS["base"]).eval()
    former = former_answers(base, data.test[:split])
    if len(lines) == 1:
        lines.append({"seed": None} | examine(base, data.test, former))
        save(lines)
    for seed in seeds:
        if seed not in [line.get("seed") for line in lines[2:]]:
            lines.append(one_seed(seed, data, former))
            if seed == 1:
                save_responses(data.test[:split], lines[-1]["answers"])
            save(lines)


def save_responses(entries, answers):
    """The entries, each with the model's answer, one on a line."""
    rows = [
        entry | {"model_response": answer} for entry, answer in zip(entries, answers, strict=False)
    ]
    text = "[\n" + ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n]\n"
    write_atomically(RESPONSES, lambda path: path.write_text(text, encoding="utf-8"))


def save(lines):
    lines[-1]["answers"] = lines[-1]["answers"][:SHOWN]
    print(
        {
            key: value
            for key, value in lines[-1].items()
            if key in ("seed", "alpaca", "chat", "story_loss", "seconds")
        }
    )
    write_json_lines(LOG, lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    main(parser.parse_args().seeds)
