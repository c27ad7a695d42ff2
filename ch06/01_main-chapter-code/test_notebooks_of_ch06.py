"""Chapter 6's notebooks: their code is the modules' code, their checks know wrong from right, their
logs say what the text says. (That the notebooks run and give their stored outputs is tested for the
whole repository in tools/.)"""

import ast
import json
import math
import re
import shlex
from pathlib import Path

import pytest

if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__]))

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.rnn import pad_sequence

from ch06_01_main_chapter_code import checks, gpt_class_finetune
from ch06_01_main_chapter_code.class_arguments import class_arguments
from ch06_01_main_chapter_code.frozen_layers import class_logits
from ch06_01_main_chapter_code.gpt_class_finetune import SpamDataset
from ch06_01_main_chapter_code.gpt_download import sms_arguments
from ch06_01_main_chapter_code.labelled_texts import load_labelled
from ch06_01_main_chapter_code.lora import LoRALinear, apply_lora, merge_lora
from ch06_01_main_chapter_code.previous_chapters import (
    GPT,
    Batches,
    BPETokenizer,
    GPTConfig,
    TrainConfig,
    learning_rate,
    make_optimizer,
)
from ch06_01_main_chapter_code.reports import Report
from scratch_llm_tools.exercises import ExerciseTests, HintTests, MistakeTests
from scratch_llm_tools.notebook_code import assert_same_code, notebook_definitions

FOLDER = Path(__file__).parent
NOTEBOOK = FOLDER / "ch06.ipynb"


# --- The notebook's code and the modules' ---------------------------------------------------------


def test_the_notebook_teaches_this_very_code():
    assert_same_code(NOTEBOOK, FOLDER / "lora.py", ["LoRALinear"])


def notebook_space():
    """The notebook's plain loop and what it is made of."""
    found = notebook_definitions(NOTEBOOK)
    space = {
        "torch": torch,
        "math": math,
        "nn": nn,
        "F": F,
        "pad_sequence": pad_sequence,
        "Batches": Batches,
        "TrainConfig": TrainConfig,
        "learning_rate": learning_rate,
        "make_optimizer": make_optimizer,
    }
    for name in ("new_head", "freeze", "pad", "plain_logits", "fine_tune"):
        exec(compile(ast.Module([found[name]], []), f"ch06.ipynb: {name}", "exec"), space)
    return space


@pytest.fixture(scope="module")
def dataset():
    """The messages, cut by a tokenizer of their own, and a configuration for a small model."""
    data = load_labelled("messages")
    return SpamDataset(data, BPETokenizer.train(data.texts, 300), max_tokens=40)


def small_model():
    torch.manual_seed(5)
    # Without biases: a key's bias changes no attention, its gradient is rounding noise, and AdamW
    # makes steps of it.
    return GPT(GPTConfig(300, 40, emb_dim=16, n_heads=2, n_layers=3, qkv_bias=False))


@pytest.mark.parametrize("train", ["head", "last-block", "all"])
@pytest.mark.parametrize(
    "settings", [{}, {"batch_size": 7, "seed": 3}, {"lr": 3e-3, "num_epochs": 3}]
)
def test_the_notebooks_loop_equals_the_modules_step_for_step(dataset, train, settings):
    settings = {"num_epochs": 1, "lr": 1e-3} | settings
    plain, fast = small_model(), small_model()
    losses = notebook_space()["fine_tune"](plain, dataset, train=train, **settings)
    _, history = gpt_class_finetune.fine_tune(fast, dataset, train=train, **settings)
    steps = settings["num_epochs"] * math.ceil(len(dataset) / settings.get("batch_size", 16))
    assert len(losses) == len(history["losses"]) == steps
    torch.testing.assert_close(losses, history["losses"], rtol=1e-4, atol=1e-5)
    for name, parameter in plain.named_parameters():
        torch.testing.assert_close(parameter, fast.get_parameter(name), rtol=1e-3, atol=2e-4)


def test_each_setting_matters_to_the_notebooks_loop(dataset):
    """So the equality above would break if a setting were ignored."""
    loop = notebook_space()["fine_tune"]
    usual = {"num_epochs": 2, "train": "all", "lr": 1e-3, "batch_size": 16, "seed": 0}
    losses = loop(small_model(), dataset, **usual)
    for name, value in {"train": "head", "lr": 2e-3, "batch_size": 8, "seed": 1}.items():
        changed = loop(small_model(), dataset, **(usual | {name: value}))
        assert max(abs(a - b) for a, b in zip(losses, changed, strict=False)) > 1e-4, name


def test_the_notebooks_reading_equals_the_modules(dataset):
    space = notebook_space()
    model = space["new_head"](small_model(), dataset.classes).eval()
    ids, mask = space["pad"](dataset.rows[:30])
    assert (~mask).any()
    with torch.no_grad():
        torch.testing.assert_close(
            space["plain_logits"](model, ids, mask),
            class_logits(model, ids, mask),
            rtol=1e-4,
            atol=1e-5,
        )


def test_the_commands_of_the_text_are_understood():
    texts = [
        path.read_text(encoding="utf-8")
        for path in (FOLDER / "README.md", FOLDER.parent / "README.md")
    ]
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    texts += ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
    parsers = {"gpt_class_finetune.py": class_arguments, "gpt_download.py": sms_arguments}
    commands = re.findall(r"python (gpt_\w+\.py)([^`#\n]*)", "\n".join(texts))
    assert len(commands) > 8 and {script for script, _ in commands} == set(parsers)
    for script, flags in commands:
        parsers[script](shlex.split(flags))  # ends the program if a flag is not known


# --- The exercises and their checks ---------------------------------------------------------------


def solved_last_token_vectors(hidden, mask):
    return torch.stack([row[real][-1] for row, real in zip(hidden, mask, strict=True)])


def solved_weighted_loss(logits, labels, weights):
    return F.cross_entropy(logits, labels, weight=weights)


def as_report(verdicts, labels):
    return Report(F.one_hot(verdicts, 2).double(), labels, ("ham", "spam"))


def solved_precision_recall_f1(verdicts, labels):
    report = as_report(verdicts, labels)
    return report.precision(), report.recall(), report.f1()


def spoiled_numbers(change):
    return lambda verdicts, labels: change(*solved_precision_recall_f1(verdicts, labels))


def harmonic_mean_with_holes(verdicts, labels):
    right = (verdicts * labels).sum().item()
    precision, recall = right / verdicts.sum().item(), right / labels.sum().item()
    return precision, recall, 2 * precision * recall / (precision + recall)


def holes_in_tensors(verdicts, labels):
    right, called, are = (verdicts * labels).sum(), verdicts.sum(), labels.sum()
    return (right / called).item(), (right / are).item(), (2 * right / (called + are)).item()


def solved_roc_area(scores, labels):
    logits = torch.stack([1 - scores.double(), scores.double()], dim=1).log()
    return Report(logits, labels, ("ham", "spam")).roc().area


def area_from_ranks(scores, labels):
    wins = (scores.argsort().argsort()[labels == 1] + 1).sum().item()
    spam, ham = labels.sum().item(), (1 - labels).sum().item()
    return (wins - spam * (spam + 1) / 2) / (spam * ham)


def cost(scores, labels, alarm_cost, miss_cost, threshold, reached=torch.ge):
    report = as_report(reached(scores, threshold).long(), labels)
    return alarm_cost * report.confusion[0, 1].item() + miss_cost * report.confusion[1, 0].item()


def solved_cheapest_threshold(scores, labels, alarm_cost, miss_cost, thresholds):
    costs = [cost(scores, labels, alarm_cost, miss_cost, threshold) for threshold in thresholds]
    return thresholds[costs.index(min(costs))]


def cheapest_by_rates(scores, labels, alarm_cost, miss_cost, thresholds):
    def shares(threshold):
        called = scores >= threshold
        return (
            alarm_cost * called[labels == 0].float().mean()
            + miss_cost * (~called)[labels == 1].float().mean()
        )

    return min(thresholds, key=shares)


def solved_calibration_gap(confidence, right, bins):
    total = 0.0
    for k in range(bins):
        here = (confidence * bins >= k) & (confidence * bins < k + 1)
        total += abs((confidence[here] - right[here]).sum().item())
    return total / len(right)


def gap_from_centres(confidence, right, bins):
    total = 0.0
    for k in range(bins):
        here = (confidence * bins).long() == k
        total += (
            here.sum().item() * abs((k + 0.5) / bins - right[here].mean().item())
            if here.any()
            else 0
        )
    return total / len(right)


def gap_with_empty_bins(confidence, right, bins):
    number = (confidence * bins).long()
    parts = [(confidence[number == k], right[number == k]) for k in range(bins)]
    return sum(len(sure) * abs(sure.mean() - hits.mean()).item() for sure, hits in parts) / len(
        right
    )


def gaps(confidence, right, bins):
    number = (confidence * bins).floor()
    return [
        (confidence[number == k].mean() - right[number == k].mean()).item() for k in number.unique()
    ]


def solved_merged_weight(W, A, B, alpha):
    layer = LoRALinear(nn.Linear(W.shape[1], W.shape[0], bias=False), rank=len(A), alpha=alpha)
    with torch.no_grad():
        for parameter, value in ((layer.linear.weight, W), (layer.A, A), (layer.B, B)):
            parameter.copy_(value)
    return layer.merged().weight.detach()


# exercise: (a right answer, [(a wrong answer, words of the message that names its mistake), …])
EXERCISES = {
    "last_token_vectors": (
        solved_last_token_vectors,
        [
            (lambda h, m: h[:, -1], "may be padding"),
            (lambda h, m: h[torch.arange(len(h)), m.sum(dim=1) - 1], "on the right only"),
            (lambda h, m: h[torch.arange(len(h)), m.sum(dim=1)], "one too far"),
            (
                lambda h, m: (h * m[..., None]).sum(1) / m.sum(1, keepdim=True),
                "mean of the real tokens",
            ),
            (lambda h, m: h.mean(dim=1), "padding included"),
            (lambda h, m: h[:, 0], "the first place"),
            (
                lambda h, m: h[torch.arange(len(h)), m.sum(dim=1) - 1] if m[0, 0] else h[:, -1],
                "by its first row",
            ),
            (
                lambda h, m: torch.stack([row[real][0] for row, real in zip(h, m, strict=True)]),
                "the first real token",
            ),
        ],
    ),
    "weighted_loss": (
        solved_weighted_loss,
        [
            (
                lambda x, y, w: (F.cross_entropy(x, y, reduction="none") * w[y]).mean(),
                "divided by the number of texts",
            ),
            (
                lambda x, y, w: F.cross_entropy(x, y, weight=w, reduction="sum"),
                "this is a weighted sum",
            ),
            (lambda x, y, w: F.cross_entropy(x, y), "left out"),
            (lambda x, y, w: F.cross_entropy(x * w, y), "the logits were multiplied"),
            (lambda x, y, w: F.cross_entropy(x, y, weight=1 / w), "upside down"),
            (lambda x, y, w: -F.cross_entropy(x, y, weight=w), "minus sign"),
            (lambda x, y, w: F.nll_loss(x.softmax(-1), y, weight=w), "the logarithm is missing"),
            (
                lambda x, y, w: -(x[torch.arange(len(y)), y] * w[y]).sum() / w[y].sum(),
                "softmax is missing",
            ),
        ],
    ),
    "precision_recall_f1": (
        solved_precision_recall_f1,
        [
            (spoiled_numbers(lambda p, r, f: (r, p, f)), "exchanged"),
            (spoiled_numbers(lambda p, r, f: (p, r, (p + r) / 2)), "harmonic mean"),
            (harmonic_mean_with_holes, "divides by zero"),
            (holes_in_tensors, "nan, 0 / 0 in a tensor"),
            (lambda v, y: solved_precision_recall_f1(1 - v, 1 - y), "numbers of ham"),
            (
                lambda v, y: (as_report(v, y).accuracy, *solved_precision_recall_f1(v, y)[1:]),
                "this is the accuracy",
            ),
        ],
    ),
    "precision_at_share": (
        lambda recall, alarms, share: 1 / (1 + alarms * (1 - share) / (recall * share)),
        [
            (lambda r, a, s: r / (r + a), "balanced test"),
            (lambda r, a, s: r * (1 - s) / (r * (1 - s) + a * s), "exchanged"),
            (lambda r, a, s: r * s / (r * s + a), "weigh them by 1 − share"),
            (lambda r, a, s: r * s + (1 - a) * (1 - s), "this is the accuracy"),
            (lambda r, a, s: r * s + a * (1 - s), "share of texts called spam"),
        ],
    ),
    "roc_area": (
        solved_roc_area,
        [
            (
                lambda s, y: (s[y == 1][:, None] > s[y == 0]).double().mean().item(),
                "counted as lost",
            ),
            (
                lambda s, y: (s[y == 1][:, None] >= s[y == 0]).double().mean().item(),
                "counted as won",
            ),
            (lambda s, y: solved_roc_area(1 - s, y), "wrong way round"),
            (lambda s, y: (s[y == 1].mean() - s[y == 0].mean()).item(), "mean difference"),
            (
                lambda s, y: solved_roc_area(s, y) * (y == 1).sum().item() * (y == 0).sum().item(),
                "divide by their number",
            ),
            (
                lambda s, y: ((s > 0.5) == (y == 1)).double().mean().item(),
                "accuracy at the threshold",
            ),
            (area_from_ranks, "the mean of their ranks"),
        ],
    ),
    "cheapest_threshold": (
        solved_cheapest_threshold,
        [
            (
                lambda s, y, a, m, t: solved_cheapest_threshold(s, y, m, a, t),
                "the costs are exchanged",
            ),
            (lambda s, y, a, m, t: solved_cheapest_threshold(s, y, 1, 1, t), "counted alike"),
            (lambda s, y, a, m, t: max(t, key=lambda x: cost(s, y, a, m, x)), "dearest"),
            (lambda s, y, a, m, t: min(cost(s, y, a, m, x) for x in t), "this is the lowest cost"),
            (lambda s, y, a, m, t: solved_cheapest_threshold(s, y, a, 0, t), "only false alarms"),
            (lambda s, y, a, m, t: solved_cheapest_threshold(s, y, 0, m, t), "only misses"),
            (lambda s, y, a, m, t: min(t, key=lambda x: cost(s, y, a, m, x, torch.gt)), "(>=)"),
            (cheapest_by_rates, "the costs are per message"),
            (
                lambda s, y, a, m, t: max(t, key=lambda x: as_report((s >= x).long(), y).f1()),
                "best F1",
            ),
        ],
    ),
    "calibration_gap": (
        solved_calibration_gap,
        [
            (lambda c, r, b: sum(map(abs, gaps(c, r, b))) / len(gaps(c, r, b)), "same say"),
            (lambda c, r, b: sum(map(abs, gaps(c, r, b))) / b, "number of bins"),
            (lambda c, r, b: (c - r).mean().item(), "sign was kept"),
            (lambda c, r, b: abs(c.mean() - r.mean()).item(), "one bin"),
            (lambda c, r, b: (c - r).abs().mean().item(), "text by text"),
            (gap_from_centres, "centre of each bin"),
            (gap_with_empty_bins, "an empty bin has no mean"),
            (lambda c, r, b: max(map(abs, gaps(c, r, b))), "largest gap"),
            (lambda c, r, b: solved_calibration_gap(c, r, b) * len(c), "not divided"),
        ],
    ),
    "merged_weight": (
        solved_merged_weight,
        [
            (lambda W, A, B, alpha: W + B @ A, "the scale is missing"),
            (lambda W, A, B, alpha: W + alpha * B @ A, "alpha alone"),
            (lambda W, A, B, alpha: alpha / len(A) * B @ A, "correction alone"),
            (lambda W, A, B, alpha: W + alpha / len(A) * A @ B, "does not fit"),
            (lambda W, A, B, alpha: W - alpha / len(A) * B @ A, "subtracted"),
            (lambda W, A, B, alpha: W + alpha / A.shape[1] * B @ A, "not of columns"),
        ],
    ),
}


class TestExercises(ExerciseTests, MistakeTests, HintTests):
    checks, exercises, notebook = checks, EXERCISES, NOTEBOOK


def test_the_numbers_of_lora_in_the_text():
    """GPT-2's 768×3072 matrix at rank 8: 30,720 numbers in place of 2,359,296."""
    layer = LoRALinear(nn.Linear(3072, 768, device="meta"), rank=8)
    assert layer.A.numel() + layer.B.numel() == 30_720 and layer.linear.weight.numel() == 2_359_296
    model = merge_lora(apply_lora(small_model(), rank=2))
    assert not any(isinstance(module, LoRALinear) for module in model.modules())


# --- The logs of the long runs --------------------------------------------------------------------


def log(name):
    head, *rows = map(
        json.loads,
        (FOLDER / "experiments" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines(),
    )
    assert head["command"].startswith("python experiments/") and "CPU" in head["machine"]
    return rows


def mean_of(rows, model, messages, key):
    found = [row[key] for row in rows if row["model"] == model and row["messages"] == messages]
    assert len(found) >= 3
    return sum(found) / len(found)


def test_what_the_text_says_of_the_number_of_labels():
    rows = log("label_counts")
    pretrained, *counted = dict.fromkeys(row["model"] for row in rows)
    sizes = sorted({row["messages"] for row in rows})
    assert sizes[0] == 16 and sizes[-1] == 4460
    few, half = (
        mean_of(rows, pretrained, 64, "f1"),
        [mean_of(rows, name, 512, "f1") for name in counted],
    )
    assert all(
        abs(few - f1) < 0.05 for f1 in half
    )  # 64 labels do what counting does with about 500
    assert all(
        mean_of(rows, name, 16, "f1") < 0.05 and mean_of(rows, name, 16, "roc_area") > 0.7
        for name in counted
    )
    assert mean_of(rows, pretrained, 16, "roc_area") > 0.9
    assert (
        max(mean_of(rows, name, 4460, "f1") for name in counted)
        > mean_of(rows, pretrained, 4460, "f1") - 0.01
    )


def test_what_the_text_says_of_the_verdicts():
    rows = log("verdicts")
    assert len({row["line"] for row in rows}) == len(rows) == 1114
    spam = torch.tensor([row["label"] == "spam" for row in rows])
    p = torch.tensor([row["p_spam"] for row in rows], dtype=torch.double)
    assert abs((~spam).float().mean() - 0.866) < 1e-3  # a filter that never says spam
    wrong = int(((p >= 0.5) != spam).sum())
    assert 5 <= wrong <= 15  # "ten mistakes in all"

    def price(threshold, alarm, miss):
        called = p >= threshold
        return alarm * int((called & ~spam).sum()) + miss * int((~called & spam).sum())

    for alarm, miss in ((10, 1), (1, 10)):
        best = min((price(t / 100, alarm, miss), t / 100) for t in range(1, 100))
        assert price(0.5, alarm, miss) > 2 * best[0] and (best[1] > 0.5) == (alarm > miss)
        assert price(alarm / (alarm + miss), alarm, miss) < price(0.5, alarm, miss)
    assert price(0.5, 1, 1) <= 3 + min(
        price(t / 100, 1, 1) for t in range(1, 100)
    )  # "a few mistakes from the best"
