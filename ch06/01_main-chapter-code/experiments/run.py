"""The long runs of chapter 6, each made once and logged beside this script, for the notebook to
show.

    python experiments/run.py tales         # true or broken: head, last block, LoRA, all, and random weights
    python experiments/run.py sms           # the SMS data: SmolLM2 beside TF-IDF on the same splits
    python experiments/run.py forgetting    # what each way of fine-tuning costs the language model

`--seeds 1 2 3` chooses the seeds. The first line of NAME.jsonl says how and where it was made.
`sms` needs the SMS data, SmolLM2 (both are fetched if need be) and scikit-learn; what the frozen
layers make of the messages is kept in runs/activations, so that the first seed alone pays for it.
Another machine's rounding gives slightly other numbers.
"""

import argparse
import os
import time
from pathlib import Path

import torch

from ch06_01_main_chapter_code.broken_tales import DETAILS, TALE_CLASSES, make_tale_task
from ch06_01_main_chapter_code.gpt_class_finetune import (
    FrozenRows,
    SpamDataset,
    as_language_model,
    evaluate,
    fine_tune,
    is_classifier,
    to_classifier,
)
from ch06_01_main_chapter_code.labelled_texts import (
    LabelledTexts,
    load_labelled,
    load_tales,
    read_sms,
    stratified_split,
)
from ch06_01_main_chapter_code.lora import trained_share
from ch06_01_main_chapter_code.previous_chapters import (
    GPT,
    DocumentRows,
    flat_tokens,
    language_model_evaluate,
    load_model,
    make_tales,
    parse_tale,
    runs_folder,
    sample_stories,
    write_json_lines,
)

HERE = Path(__file__).parent


def random_twin(model, seed):
    """A model of the same shape and tokenizer that has learned nothing."""
    torch.manual_seed(seed)
    twin = GPT(model.config)
    twin.tokenizer = model.tokenizer
    return twin


# --- True or broken -------------------------------------------------------------------------------

TALES = {"count": 4000, "epochs": 1, "batch_size": 16}
WAYS = (
    ("head", "tales-gpt"),
    ("last-block", "tales-gpt"),
    ("lora", "tales-gpt"),
    ("all", "tales-gpt"),
    ("all", "random"),
)


def tales(seeds):
    """Every way sees the same tales in the same order, for as many steps."""
    yield {"tales": TALES}
    for seed in seeds:
        data = load_tales(TALES["count"], seed)
        for how, base in WAYS:
            model = load_model("tales-gpt")
            model = random_twin(model, seed) if base == "random" else model
            dataset = SpamDataset(data, model.tokenizer, model.config.context_length)
            train, test = (
                dataset.subset(range(data.test_from)),
                dataset.subset(range(data.test_from, len(data))),
            )
            yield {"base": base, "train": how, "seed": seed} | watched_run(
                model, train, test, how, seed
            )


def watched_run(model, train, test, how, seed, every=25):
    """Fine-tune, with a look at the test every few steps."""
    curve, losses = [], []

    def on_step(step, loss, row):
        losses.append(loss)
        if (step + 1) % every == 0:
            mean = sum(losses[-every:]) / every
            curve.append(
                {
                    "step": step + 1,
                    "loss": round(mean, 4),
                    "accuracy": round(evaluate(model, test).accuracy, 4),
                }
            )

    settings = {"batch_size": TALES["batch_size"], "seed": seed, "on_step": on_step}
    model, _ = fine_tune(model, train, TALES["epochs"], how, **settings)
    report, (trained, total) = evaluate(model, test), trained_share(model)
    return {
        "accuracy": report.accuracy,
        "loss": report.loss,
        "confusion": report.confusion.tolist(),
        "trained": trained,
        "parameters": total,
        "other_details": other_details(model),
        "curve": curve,
    }


def other_details(model, count=400):
    """Accuracy on tales that are broken in another detail than the one that was learned."""
    found = {}
    for detail in DETAILS:
        data = LabelledTexts(*make_tale_task(count, 5_000_011, details=(detail,)), TALE_CLASSES)
        found[detail] = evaluate(
            model, SpamDataset(data, model.tokenizer, model.config.context_length)
        ).accuracy
    return found


# --- Spam or ham ----------------------------------------------------------------------------------

SMS = {"base": "smollm2-135m", "train": "last-block", "epochs": 3, "batch_size": 16}


def sms(seeds):
    """The mean of the seeds is what counts: a seed decides the split, the new head and the order."""
    from ch06_01_main_chapter_code.labelled_texts import find_sms

    started = time.perf_counter()
    data = read_sms(find_sms())
    yield {"settings": SMS, "messages": len(data)}
    model = load_model(SMS["base"])
    dataset = SpamDataset(data, model.tokenizer, model.config.context_length)
    old = {
        name: tensor.clone()
        for name, tensor in model.named_parameters()
        if name.startswith(("blocks.29.", "final_norm."))
    }
    rows = None
    for seed in seeds:
        with torch.no_grad():
            for name, tensor in old.items():
                model.get_parameter(name).copy_(tensor)
        to_classifier(model, data.classes, SMS["train"], seed)
        rows = rows or FrozenRows(model, dataset, folder=runs_folder() / "activations")
        train, test = stratified_split(data.labels, 0.2, seed)
        model, _ = fine_tune(
            model, rows.subset(train), SMS["epochs"], batch_size=SMS["batch_size"], seed=seed
        )
        report = evaluate(model, rows.subset(test))
        seen = {data.texts[i] for i in train}
        fresh = [place for place, i in enumerate(test) if data.texts[i] not in seen]
        yield row_of("SmolLM2, last block", seed, report, test, fresh) | {
            "seconds": round(time.perf_counter() - started, 1)
        }
        started = time.perf_counter()
        for name, report in baselines(data, train, test):
            yield row_of(name, seed, report, test, fresh) | {
                "seconds": round(time.perf_counter() - started, 1)
            }
            started = time.perf_counter()


def row_of(name, seed, report, test, fresh):
    """The numbers of a test; also on its messages that do not stand in the training part word for
    word.
    """
    from ch06_01_main_chapter_code.reports import Report

    unseen = Report(report.logits[fresh], report.labels[fresh], report.classes)
    return {
        "model": name,
        "seed": seed,
        "accuracy": report.accuracy,
        "f1": report.f1(),
        "precision": report.precision(),
        "recall": report.recall(),
        "roc_area": report.roc().area,
        "calibration_error": report.calibration_error(),
        "confusion": report.confusion.tolist(),
        "messages": len(test),
        "unseen": len(fresh),
        "unseen_accuracy": unseen.accuracy,
        "unseen_f1": unseen.f1(),
    }


def baselines(data, train, test):
    """Logistic regression on counts of words and pairs, and on pieces of three to five characters,
    with scikit-learn.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    from ch06_01_main_chapter_code.reports import Report

    texts = [[data.texts[i] for i in places] for places in (train, test)]
    labels = [torch.tensor([data.labels[i] for i in places]) for places in (train, test)]
    for name, settings in (
        ("TF-IDF, words and pairs", {"ngram_range": (1, 2)}),
        ("TF-IDF, characters", {"analyzer": "char_wb", "ngram_range": (3, 5)}),
    ):
        counts = TfidfVectorizer(sublinear_tf=True, **settings)
        learner = LogisticRegression(C=100, max_iter=1000).fit(
            counts.fit_transform(texts[0]), labels[0].numpy()
        )
        logits = torch.from_numpy(learner.predict_log_proba(counts.transform(texts[1])))
        yield name, Report(logits, labels[1], data.classes)


# --- Forgetting -----------------------------------------------------------------------------------

FORGETTING = {"epochs": 5, "batch_size": 16, "held_out": 200, "stories": 200}
COSTS = (("head", {}), ("last-block", {}), ("lora", {}), ("all", {}), ("all", {"replay": True}))


def forgetting(seeds):
    """tales-gpt becomes a spam filter: what does it cost the storyteller?

    The loss on tales that it never saw, and the share of valid stories among those it makes up,
    before and after.
    """
    data = load_labelled("messages")
    base = load_model("tales-gpt")
    held_out = rows_of(make_tales(FORGETTING["held_out"], seed=0), base.tokenizer)
    yield (
        {"settings": FORGETTING, "messages": len(data)}
        | {"train": "nothing"}
        | storytelling(base, held_out)
    )
    old_text = flat_tokens(make_tales(3000, seed=2), base.tokenizer)
    for seed in seeds:
        places = stratified_split(data.labels, 0.2, seed)
        for how, extra in COSTS:
            model = load_model("tales-gpt")
            train, test = (SpamDataset(data.subset(part), model.tokenizer, 192) for part in places)
            replay = DocumentRows(*old_text) if extra else None
            settings = {"batch_size": FORGETTING["batch_size"], "seed": seed, "replay": replay}
            model, _ = fine_tune(model, train, FORGETTING["epochs"], how, **settings)
            report, (trained, total) = evaluate(model, test), trained_share(model)
            yield {
                "train": how,
                "replay": bool(extra),
                "seed": seed,
                "accuracy": report.accuracy,
                "f1": report.f1(),
                "trained": trained,
                "parameters": total,
            } | storytelling(model, held_out)


def rows_of(stories, tokenizer):
    """Each story as a row of ids between two end-of-text tokens."""
    end = tokenizer.end_of_text
    return [torch.tensor([end, *tokenizer.encode(story), end]) for story in stories]


def storytelling(model, held_out):
    """The loss as a language model, in nats per token, and the share of valid stories."""
    model = (as_language_model(model) if is_classifier(model) else model).eval()
    loss, _ = language_model_evaluate(model, held_out)
    stories = sample_stories(
        model, model.tokenizer, FORGETTING["stories"], model.config.context_length
    )
    return {
        "story_loss": loss,
        "valid_share": sum(parse_tale(story) is not None for story in stories) / len(stories),
        "story": stories[0],
    }


EXPERIMENTS = {"tales": tales, "sms": sms, "forgetting": forgetting}


def main(name, seeds):
    header = {
        "command": f"python experiments/run.py {name} --seeds {' '.join(map(str, seeds))}",
        "machine": f"{os.cpu_count()} CPU cores",
    }
    lines = [header]
    for row in EXPERIMENTS[name](seeds):
        lines.append(row)
        print(
            {key: value for key, value in row.items() if key not in ("curve", "story")}, flush=True
        )
        write_json_lines(HERE / f"{name}.jsonl", lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=EXPERIMENTS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    options = parser.parse_args()
    main(options.name, options.seeds)
