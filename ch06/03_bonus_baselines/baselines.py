"""Honest opponents for a language model: `python baselines.py` counts words in the SMS data and
tells spam from ham.

A bag of words by hand (counts, logarithm, TF-IDF weights, logistic regression with a training loop
of our own) beside scikit-learn's. `--data FILE` takes your own labelled texts. The splits are those
of chapter 6: the same seed gives every method, and SmolLM2 there, the same texts to learn from and
to test.
"""

import argparse
import itertools
import json
import math
import os
import re
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

try:
    from ch05_01_main_chapter_code.arguments import run_script
    from scratch_llm_tools.console import printable
except ModuleNotFoundError as error:
    raise SystemExit(
        f"{error}: install the course with `pip install -r requirements.txt` in its main folder"
    ) from None


if __name__ == "__main__":  # before torch is loaded, which takes two seconds
    parser = argparse.ArgumentParser(
        description="Classify texts by counting words: by hand, and with scikit-learn."
    )
    parser.add_argument(
        "--data",
        default="sms",
        help="sms, messages, tales, a CSV file, or a folder with a folder of .txt "
        "files per class (default: %(default)s)",
    )
    parser.add_argument(
        "--text-column", default="text", help="of a CSV file (default: %(default)s)"
    )
    parser.add_argument(
        "--label-column", default="label", help="of a CSV file (default: %(default)s)"
    )
    parser.add_argument(
        "--test-share",
        type=float,
        default=0.2,
        help="share of each class to test (default: %(default)s)",
    )
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[1, 2, 3], help="of the split (default: 1 2 3)"
    )
    parser.add_argument(
        "--log",
        type=Path,
        help="write the numbers to this file, a line of JSON per method and seed",
    )
    ARGUMENTS = vars(parser.parse_args())

import torch
import torch.nn.functional as F

from ch06_01_main_chapter_code.experiments.run import baselines as scikit_learn_baselines
from ch06_01_main_chapter_code.experiments.run import row_of
from ch06_01_main_chapter_code.labelled_texts import load_labelled, load_sms, stratified_split
from ch06_01_main_chapter_code.previous_chapters import write_atomically
from ch06_01_main_chapter_code.reports import Report

# --- A text becomes numbers -----------------------------------------------------------------------


def terms_of(text, longest=2):
    """The words of a text, of two characters or more and in small letters, and the runs of up to
    `longest` of them.

    >>> terms_of("Win a PRIZE now")
    ['win', 'prize', 'now', 'win prize', 'prize now']
    """
    words = re.findall(r"\b\w\w+\b", text.lower())
    return [
        " ".join(words[i : i + size])
        for size in range(1, longest + 1)
        for i in range(len(words) - size + 1)
    ]


@dataclass(frozen=True)
class SparseTable:
    """A matrix, (texts, terms), of which only the entries that are not zero are kept: where they
    stand, and what they are, (entries,) each. Of twenty thousand terms a message has twenty."""

    rows: torch.Tensor
    columns: torch.Tensor
    values: torch.Tensor
    shape: tuple

    def times(self, matrix):
        """(terms, n) to (texts, n): each text's sum over its own terms."""
        out = matrix.new_zeros(self.shape[0], matrix.shape[1])
        return out.index_add_(0, self.rows, self.values[:, None] * matrix[self.columns])

    def transposed_times(self, matrix):
        """(texts, n) to (terms, n): each term's sum over the texts in which it stands."""
        out = matrix.new_zeros(self.shape[1], matrix.shape[1])
        return out.index_add_(0, self.columns, self.values[:, None] * matrix[self.rows])

    def squared_lengths(self):
        """|x|² of every row, (texts,)."""
        return self.values.new_zeros(self.shape[0]).index_add_(0, self.rows, self.values**2)


class BagOfWords:
    """Texts as weighted counts of their terms, without their order [TF-IDF: Spärck Jones 1972].

    With all switches on, a term that stands in a text `count` times and in `df` of the `n` texts of
    the training part gets the weight (1 + ln count) · (1 + ln((1 + n) / (1 + df))), and then every
    text is scaled to the length 1. `log`, `idf` and `unit` switch the first factor's logarithm, the
    second factor, and the scaling off.
    """

    def __init__(self, longest=2, log=True, idf=True, unit=True):
        self.longest, self.log, self.idf, self.unit = longest, log, idf, unit

    def fit(self, texts):
        """Learn which terms there are and how rare each is. Raises ValueError if there is no word
        at all.
        """
        df = Counter(term for text in texts for term in set(terms_of(text, self.longest)))
        if not df:
            raise ValueError("no text has a word of two letters or more; there is nothing to count")
        self.terms = sorted(df)
        self.places = {term: place for place, term in enumerate(self.terms)}
        rare = [1 + math.log((1 + len(texts)) / (1 + df[term])) for term in self.terms]
        self.weights = torch.tensor(rare if self.idf else [1.0] * len(rare), dtype=torch.double)
        return self

    def table(self, texts):
        """The `SparseTable` of some texts, (texts, terms); terms that were not in the training part
        do not count.
        """
        rows, columns, counts = [], [], []
        for row, text in enumerate(texts):
            for term, count in Counter(terms_of(text, self.longest)).items():
                if term in self.places:
                    rows.append(row)
                    columns.append(self.places[term])
                    counts.append(1 + math.log(count) if self.log else count)
        rows, columns = (
            torch.tensor(rows, dtype=torch.long),
            torch.tensor(columns, dtype=torch.long),
        )
        values = torch.tensor(counts, dtype=torch.double) * self.weights[columns]
        found = SparseTable(rows, columns, values, (len(texts), len(self.terms)))
        if self.unit:
            found = SparseTable(
                rows, columns, values / found.squared_lengths().sqrt()[rows], found.shape
            )
        return found


# --- Numbers become a verdict ---------------------------------------------------------------------


def all_logits(table, weight, bias):
    """(texts, classes). Two classes need one row of weights only: the first one's logit is 0."""
    logits = table.times(weight) + bias  # (texts, classes), or (texts, 1)
    return F.pad(logits, (1, 0)) if logits.shape[1] == 1 else logits


def logistic_regression(table, labels, n_classes, C=100.0, tolerance=1e-7, max_steps=50_000):
    """The weights, (terms, classes), and the bias, (classes,), at which

        mean of −ln p(right class) + |weight|² / (2 C texts)

    is lowest: logistic regression, as scikit-learn's. With two classes both have a single column.
    Gradient descent with momentum [Nesterov 1983] that begins anew where it overshoots [O'Donoghue
    & Candès 2012, arXiv:1204.3982], until no number of the gradient is larger than `tolerance`, or
    for `max_steps`. Returns weight, bias and the number of steps.
    """
    texts, columns = table.shape[0], 1 if n_classes == 2 else n_classes
    right = F.one_hot(labels, n_classes).double()
    # No step overshoots that is at most 1 / (the largest curvature), which this bounds.
    curvature = (0.25 if columns == 1 else 0.5) * (table.squared_lengths().mean() + 1) + 1 / (
        C * texts
    )
    point = torch.zeros(
        table.shape[1] + 1, columns, dtype=torch.double
    )  # the weights, and the bias as a last row
    ahead, pace = point, 1.0
    for step in itertools.count(1):
        weight, bias = ahead[:-1], ahead[-1]
        error = (all_logits(table, weight, bias).softmax(dim=-1) - right)[
            :, -columns:
        ] / texts  # (texts, columns)
        slope = torch.cat(
            [table.transposed_times(error) + weight / (C * texts), error.sum(dim=0, keepdim=True)]
        )
        if slope.abs().max() < tolerance or step == max_steps:
            return weight, bias, step
        new = ahead - slope / curvature
        if (slope * (new - point)).sum() > 0:  # the last move led uphill: forget the momentum
            pace = 1.0
        faster = (1 + math.sqrt(1 + 4 * pace**2)) / 2
        ahead, point, pace = new + (pace - 1) / faster * (new - point), new, faster


class BagClassifier:
    """A bag of words and a logistic regression on it."""

    def __init__(self, classes, C=100.0, **switches):
        self.classes, self.C, self.bag = tuple(classes), C, BagOfWords(**switches)

    def fit(self, texts, labels):
        table = self.bag.fit(texts).table(texts)
        self.weight, self.bias, self.steps = logistic_regression(
            table, torch.tensor(labels), len(self.classes), self.C
        )
        return self

    def logits(self, texts):
        """(texts, classes)."""
        return all_logits(self.bag.table(texts), self.weight, self.bias)

    def telling_terms(self, count=10):
        """The terms that speak most for the last class, and those that speak most against it."""
        order = self.weight[:, -1].argsort(descending=True).tolist()
        terms = [self.bag.terms[place] for place in order]
        return terms[:count], terms[: -count - 1 : -1]


# --- Everybody on the same splits -----------------------------------------------------------------


def compare(data, seeds=(1, 2, 3), test_share=0.2):
    """Yields a row of numbers for each method and seed; where scikit-learn is missing, a line on
    stderr says so.
    """
    for seed in seeds:
        train, test = stratified_split(data.labels, test_share, seed)
        seen = {data.texts[i] for i in train}
        fresh = [place for place, i in enumerate(test) if data.texts[i] not in seen]
        for name, report in reports_of(data, train, test):
            yield row_of(name, seed, report, test, fresh) | {"macro_f1": report.macro_f1}


def reports_of(data, train, test):
    """(name, `Report`) of each method on one split."""
    learn = data.subset(train), data.subset(test)
    classifier = BagClassifier(data.classes).fit(learn[0].texts, learn[0].labels)
    yield (
        "by hand: words and pairs",
        Report(classifier.logits(learn[1].texts), torch.tensor(learn[1].labels), data.classes),
    )
    try:
        yield from scikit_learn_baselines(data, train, test)
    except ModuleNotFoundError:
        print(
            "scikit-learn is not here (pip install scikit-learn): the bag by hand stands alone.",
            file=sys.stderr,
        )


def table_of(rows, classes):
    """Accuracy and F1 of each method as text: the mean of the seeds, and from where to where."""
    key, title = ("f1", f"F1 of {classes[-1]}") if len(classes) == 2 else ("macro_f1", "mean F1")
    lines = [f"{'':26}{'accuracy (lowest, highest)':30}{title} (lowest, highest)"]
    for name in dict.fromkeys(row["model"] for row in rows):
        of = [row for row in rows if row["model"] == name]
        accuracies, scores = [row["accuracy"] for row in of], [row[key] for row in of]
        lines.append(
            f"{name:26}{sum(accuracies) / len(of):6.2%} ({min(accuracies):.2%}, {max(accuracies):.2%})       "
            f"{sum(scores) / len(of):.3f} ({min(scores):.3f}, {max(scores):.3f})"
        )
    return "\n".join(lines)


def main(data, text_column, label_column, test_share, seeds, log):
    """Run the command line. Returns the exit status."""
    if not 0 < test_share < 1:
        raise ValueError(f"test_share must be between 0 and 1, not {test_share}")
    if log is not None and not log.parent.is_dir():
        raise FileNotFoundError(f"the folder of {log} does not exist; make it first")
    texts = (
        load_sms(fetch=False) if data == "sms" else load_labelled(data, text_column, label_column)
    )
    counts = ", ".join(f"{printable(name)} {n:,}" for name, n in texts.counts().items())
    print(
        f"{len(texts):,} texts: {counts}; {test_share:.0%} of each class are the test", flush=True
    )
    rows = list(compare(texts, seeds, test_share))
    print(printable(table_of(rows, texts.classes)))
    if log is not None:
        command = f"python baselines.py --data {data} --test-share {test_share} --seeds {' '.join(map(str, seeds))}"
        head = {
            "command": f"{command} --log {log.name}",
            "machine": f"{os.cpu_count()} CPU cores",
            "texts": len(texts),
        }
        text = "".join(json.dumps(line) + "\n" for line in [head, *rows])
        write_atomically(log, lambda path: path.write_text(text, encoding="utf-8"))
    return 0


if __name__ == "__main__":
    run_script(lambda given: main(**given), ARGUMENTS)
