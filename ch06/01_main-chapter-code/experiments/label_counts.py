"""How many labelled messages does a classifier need, and what does the whole one say? Made once,
logged beside this script.

    python experiments/label_counts.py

SmolLM2's reading of each message (the vector of its last token after the final norm, nothing
trained inside) with a linear head, beside TF-IDF, for 16 labelled messages up to all of them;
label_counts.jsonl holds the numbers. Then, as in `run.py sms`, the last block learns from all
messages of the first seed: verdicts.jsonl holds the probability of spam for each message of its
test. Needs the SMS data, SmolLM2 and scikit-learn; what the frozen layers make of the messages is
kept in runs/activations.
"""

import argparse
import os
import random
import warnings
from pathlib import Path

import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import nn

from ch06_01_main_chapter_code.experiments.run import SMS, baselines
from ch06_01_main_chapter_code.gpt_class_finetune import (
    FrozenRows,
    SpamDataset,
    evaluate,
    fine_tune,
    predict,
    to_classifier,
)
from ch06_01_main_chapter_code.labelled_texts import find_sms, read_sms, stratified_split
from ch06_01_main_chapter_code.previous_chapters import load_model, runs_folder, write_json_lines
from ch06_01_main_chapter_code.reports import Report

HERE = Path(__file__).parent
COUNTS = (16, 32, 64, 128, 256, 512, 1024, 2048, None)  # None: all


def few(places, labels, count, seed):
    """So many of these places, each class with its share, chosen by the seed."""
    if count is None:
        return places
    share = sum(labels[i] for i in places) / len(places)
    rng = random.Random(seed)
    picked = []
    for number, wanted in ((1, round(share * count)), (0, count - round(share * count))):
        picked += rng.sample([i for i in places if labels[i] == number], wanted)
    return picked


def last_vectors(rows):
    """What the head reads of each message, (messages, emb_dim): a head that changes nothing shows
    it.
    """
    model, head, classes = rows.model, rows.model.head, rows.classes
    model.head = nn.Linear(model.config.emb_dim, model.config.emb_dim, bias=False)
    with torch.no_grad():
        model.head.weight.copy_(torch.eye(model.config.emb_dim))
    rows.classes = range(model.config.emb_dim)
    vectors = predict(rows)
    model.head, rows.classes = head, classes
    return vectors


def linear_report(vectors, data, train, test):
    """Logistic regression on the vectors, each number of which is brought to the same spread."""
    scale = StandardScaler().fit(vectors[train])
    learner = LogisticRegression(max_iter=5000).fit(
        scale.transform(vectors[train]), [data.labels[i] for i in train]
    )
    logits = torch.from_numpy(learner.predict_log_proba(scale.transform(vectors[test])))
    return Report(logits, torch.tensor([data.labels[i] for i in test]), data.classes)


def main(seeds):
    data = read_sms(find_sms())
    model = to_classifier(load_model(SMS["base"]), data.classes, SMS["train"], seeds[0])
    dataset = SpamDataset(data, model.tokenizer, model.config.context_length)
    rows = FrozenRows(model, dataset, folder=runs_folder() / "activations")
    vectors = last_vectors(rows)
    head = {
        "command": f"python experiments/label_counts.py --seeds {' '.join(map(str, seeds))}",
        "machine": f"{os.cpu_count()} CPU cores",
    }
    lines = [head]
    for count in COUNTS:
        for seed in seeds:
            train, test = stratified_split(data.labels, 0.2, seed)
            train = few(train, data.labels, count, seed)
            found = [
                ("SmolLM2, linear head", linear_report(vectors, data, train, test)),
                *baselines(data, train, test),
            ]
            lines += [
                {
                    "model": name,
                    "messages": len(train),
                    "seed": seed,
                    "accuracy": report.accuracy,
                    "f1": report.f1(),
                    "roc_area": report.roc().area,
                }
                for name, report in found
            ]
            print(lines[-3:], flush=True)
        write_json_lines(HERE / "label_counts.jsonl", lines)
    train, test = stratified_split(data.labels, 0.2, seeds[0])
    model, _ = fine_tune(
        model, rows.subset(train), SMS["epochs"], batch_size=SMS["batch_size"], seed=seeds[0]
    )
    report = evaluate(model, rows.subset(test))
    print(report.summary())
    verdicts = [
        {"line": i + 1, "label": data.classes[data.labels[i]], "p_spam": round(p, 6)}
        for i, p in zip(test, report.probabilities[:, 1].tolist(), strict=True)
    ]
    path = HERE / "verdicts.jsonl"
    write_json_lines(path, [head | {"model": "SmolLM2, last block", "seed": seeds[0]}, *verdicts])


if __name__ == "__main__":
    warnings.filterwarnings("ignore", message=".*encountered in matmul")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    main(parser.parse_args().seeds)
