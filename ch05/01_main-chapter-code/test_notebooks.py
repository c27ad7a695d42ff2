"""Chapter 5's notebooks: their code is the modules' code, their checks know wrong from right, their
logs say what the text says. (That the notebooks run and give their stored outputs is tested for the
whole repository in tools/.)"""

import ast
import json
import math
import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__]))

import torch

from ch05_01_main_chapter_code import checks, gpt_train
from ch05_01_main_chapter_code.arguments import TrainConfig, train_arguments
from ch05_01_main_chapter_code.experiments import run as experiments
from ch05_01_main_chapter_code.gpt_download import get_arguments
from ch05_01_main_chapter_code.gpt_generate import parse_arguments
from ch05_01_main_chapter_code.gpt_train import Batches, DocumentRows, flat_tokens
from ch05_01_main_chapter_code.previous_chapters import (
    GPT,
    BPETokenizer,
    GPTConfig,
    language_model_loss,
)
from ch05_01_main_chapter_code.tales import make_tales
from scratch_llm_tools.exercises import ExerciseTests, HintTests, MistakeTests
from scratch_llm_tools.notebook_code import assert_same_code, notebook_definitions

FOLDER = Path(__file__).parent
NOTEBOOK = FOLDER / "ch05.ipynb"


# --- The notebook's code and the modules' ---------------------------------------------------------


def test_the_notebook_teaches_this_very_code():
    assert_same_code(NOTEBOOK, FOLDER / "gpt_generate.py", ["sample_next"])
    assert_same_code(NOTEBOOK, FOLDER / "training.py", ["learning_rate"])


def notebook_train():
    """The last `train` that the notebook defines, with the two functions it calls."""
    found = notebook_definitions(NOTEBOOK)
    space = {
        "torch": torch,
        "math": math,
        "Batches": Batches,
        "language_model_loss": language_model_loss,
    }
    for name in ("learning_rate", "parameter_groups", "train"):
        exec(compile(ast.Module([found[name]], []), f"ch05.ipynb: {name}", "exec"), space)
    return space["train"]


@pytest.fixture(scope="module")
def stories():
    """Stories of different lengths, and a small model's configuration for them."""
    texts = make_tales(120, seed=3)
    tokenizer = BPETokenizer.train(texts, 300)
    rows = DocumentRows(*flat_tokens(texts, tokenizer))
    # Without biases: a key's bias changes no attention, its gradient is rounding noise, and AdamW
    # makes steps of it.
    return rows, GPTConfig(
        300, int(rows.lengths.max()), emb_dim=16, n_heads=2, n_layers=2, qkv_bias=False
    )


def small_model(config):
    torch.manual_seed(5)
    return GPT(config)


PLAN = TrainConfig(steps=7, batch_size=3, warmup=3, lr=1e-2, device="cpu")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"grad_accum": 3},
        {"schedule": "cosine", "min_lr": 0.1, "clip": 0.2},
        {"weight_decay": 0.5, "beta2": 0.95, "warmup": 0, "seed": 4},
    ],
)
def test_the_notebooks_train_equals_the_modules(stories, changes):
    rows, shape = stories
    config = replace(PLAN, **changes)
    plain, fast = small_model(shape), small_model(shape)
    start = [parameter.detach().clone() for parameter in plain.parameters()]
    losses = notebook_train()(plain, rows, config)
    assert len(losses) == config.steps
    torch.testing.assert_close(losses, gpt_train.train(fast, rows, config), rtol=1e-5, atol=1e-6)
    for ours, theirs, before in zip(plain.parameters(), fast.parameters(), start, strict=True):
        torch.testing.assert_close(
            ours, theirs, rtol=1e-3, atol=1e-4
        )  # a step moves a weight by about 1e-2
        assert (ours - before).abs().max() > 1e-3


def test_each_setting_matters_to_the_notebooks_train(stories):
    """So the equality above would break if a setting were ignored."""
    rows, shape = stories
    usual = notebook_train()(small_model(shape), rows, PLAN)
    changed = {
        "lr": 2e-2,
        "warmup": 0,
        "schedule": "cosine",
        "min_lr": 1.0,
        "clip": 0.01,
        "weight_decay": 5.0,
        "beta2": 0.5,
        "seed": 9,
        "batch_size": 2,
        "grad_accum": 2,
    }
    for name, value in changed.items():
        losses = notebook_train()(small_model(shape), rows, replace(PLAN, **{name: value}))
        assert max(abs(a - b) for a, b in zip(losses, usual, strict=True)) > 1e-5, name


def test_the_commands_of_the_text_are_understood():
    texts = [
        path.read_text(encoding="utf-8")
        for path in (FOLDER / "README.md", FOLDER.parent / "README.md")
    ]
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    texts += ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
    parsers = {
        "gpt_train.py": train_arguments,
        "gpt_generate.py": parse_arguments,
        "gpt_download.py": get_arguments,
    }
    commands = re.findall(r"python (gpt_\w+\.py)([^`#\n]*)", "\n".join(texts))
    assert len(commands) > 15 and {script for script, _ in commands} == set(parsers)
    for script, flags in commands:
        parsers[script](shlex.split(flags))  # ends the program if a flag is not known


# --- The exercises and their checks ---------------------------------------------------------------


def surprises(logits, targets):
    pairs = [
        (row, target)
        for row, target in zip(logits, targets.tolist(), strict=True)
        if target != -100
    ]
    return torch.stack([row.logsumexp(0) - row[target] for row, target in pairs])


def solved_adamw_step(weight, gradient, m, v, step, lr, decay, betas=(0.9, 0.99)):
    parameter = torch.nn.Parameter(weight.clone())
    optimizer = torch.optim.AdamW([parameter], lr=lr, betas=betas, weight_decay=decay)
    state = {"step": torch.tensor(step - 1.0), "exp_avg": m.clone(), "exp_avg_sq": v.clone()}
    optimizer.state[parameter] = state
    parameter.grad = gradient
    optimizer.step()
    return parameter.detach(), state["exp_avg"], state["exp_avg_sq"]


def adamw_without(change):
    """A right step with something spoiled in what goes in or comes out."""
    return lambda *inputs: change(solved_adamw_step, *inputs)


def uncorrected(step, weight, gradient, m, v, t, lr, decay):
    _, m, v = step(weight, gradient, m, v, t, lr, decay)
    return weight - lr * decay * weight - lr * m / (v**0.5 + 1e-8), m, v


def with_l2(step, weight, gradient, m, v, t, lr, decay):
    return step(weight, gradient + decay * weight, m, v, t, lr, 0.0)


def rootless(step, weight, gradient, m, v, t, lr, decay):
    _, m, v = step(weight, gradient, m, v, t, lr, decay)
    return weight - lr * decay * weight - lr * m / (1 - 0.9**t) / (v / (1 - 0.99**t) + 1e-8), m, v


def uphill(step, weight, gradient, m, v, t, lr, decay):
    new, m, v = step(weight, gradient, m, v, t, lr, decay)
    return 2 * (weight - lr * decay * weight) - new, m, v


def epsilon_under_the_root(step, weight, gradient, m, v, t, lr, decay):
    _, m, v = step(weight, gradient, m, v, t, lr, decay)
    return (
        weight - lr * decay * weight - lr * m / (1 - 0.9**t) / torch.sqrt(v / (1 - 0.99**t) + 1e-8),
        m,
        v,
    )


def no_epsilon(step, weight, gradient, m, v, t, lr, decay):
    _, m, v = step(weight, gradient, m, v, t, lr, decay)
    return (
        weight - lr * decay * weight - lr * m / (1 - 0.9**t) / torch.sqrt(v / (1 - 0.99**t)),
        m,
        v,
    )


def decayed_afterwards(step, weight, gradient, m, v, t, lr, decay):
    new, m, v = step(weight, gradient, m, v, t, lr, 0.0)
    return new - lr * decay * new, m, v


def solved_trapezoid_rate(step, steps, warmup, decay, peak):
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak if step <= steps - decay else peak * (steps - step) / decay


def solved_clip_gradients(gradients, max_norm):
    copies = [torch.nn.Parameter(torch.zeros_like(gradient)) for gradient in gradients]
    for parameter, gradient in zip(copies, gradients, strict=True):
        parameter.grad = gradient.clone()
    torch.nn.utils.clip_grad_norm_(copies, max_norm)
    return [parameter.grad for parameter in copies]


def joint_norm(gradients):
    return torch.cat([gradient.flatten() for gradient in gradients]).norm().item()


def solved_whole_gradient(gradients, counts):
    shares = torch.tensor(counts) / sum(counts)
    return torch.einsum("n,nij->ij", shares, torch.stack(gradients))


def solved_keep_top_p(probabilities, p):
    kept, total = torch.zeros_like(probabilities), 0.0
    for index in probabilities.argsort(descending=True).tolist():
        if total < p:
            kept[index] = probabilities[index]
            total += probabilities[index].item()
    return kept / kept.sum()


def top_p_one_too_few(probabilities, p):
    order = probabilities.argsort(descending=True)
    inside = probabilities[order].cumsum(0) <= p
    kept = torch.zeros_like(probabilities).index_put((order[inside],), probabilities[order[inside]])
    return kept / kept.sum()


def top_p_reached_left_out(probabilities, p):
    order = probabilities.argsort(descending=True)
    inside = probabilities[order].cumsum(0) < p
    kept = torch.zeros_like(probabilities).index_put((order[inside],), probabilities[order[inside]])
    return kept / kept.sum()


def top_p_one_too_many(probabilities, p):
    kept, total = torch.zeros_like(probabilities), 0.0
    for index in probabilities.argsort(descending=True).tolist():
        if total <= p:
            kept[index] = probabilities[index]
            total += probabilities[index].item()
    return kept / kept.sum()


def top_p_sorted_twice(probabilities, p):
    values, order = probabilities.sort(descending=True)
    kept = torch.where((values.cumsum(0) - values < p)[order], probabilities, 0.0)
    return kept / kept.sum()


def top_p_sorted(probabilities, p):
    return solved_keep_top_p(probabilities, p).sort(descending=True).values


def top_p_in_vocabulary_order(probabilities, p):
    kept = probabilities.where(probabilities.cumsum(0) - probabilities < p, 0)
    return kept / kept.sum()


def top_p_unscaled(probabilities, p):
    return probabilities.where(solved_keep_top_p(probabilities, p) > 0, 0)


# exercise: (a right answer, [(a wrong answer, words of the message that names its mistake), …])
EXERCISES = {
    "perplexity": (
        lambda logits, targets: surprises(logits, targets).mean().exp(),
        [
            (lambda x, t: surprises(x, t).mean(), "this is the loss"),
            (lambda x, t: surprises(x, t).exp().mean(), "the mean of the losses first"),
            (lambda x, t: torch.exp2(surprises(x, t).mean()), "not 2"),
            (lambda x, t: torch.exp(surprises(x, t).sum() / t.numel()), "padding was counted"),
            (
                lambda x, t: torch.nn.functional.cross_entropy(x, t.clamp(min=0)).exp(),
                "padding was counted",
            ),
            (lambda x, t: torch.exp(-surprises(x, t).mean()), "the sign is wrong"),
        ],
    ),
    "bits_per_byte": (
        lambda loss, n, text: math.log2(math.e) * loss * n / len(text.encode()),
        [
            (lambda loss, n, text: loss * n / len(text.encode()), "these are nats"),
            (lambda loss, n, text: loss * n / math.log(2) / len(text), "number of characters"),
            (lambda loss, n, text: loss / math.log(2) / len(text.encode()), "that of one target"),
            (lambda loss, n, text: loss / math.log(2), "bits per token"),
            (
                lambda loss, n, text: loss * n * math.log(2) / len(text.encode()),
                "multiplied by ln 2",
            ),
            (lambda loss, n, text: loss / math.log(2) * len(text.encode()) / n, "are exchanged"),
        ],
    ),
    "adamw_step": (
        solved_adamw_step,
        [
            (adamw_without(uncorrected), "m and v are not corrected"),
            (adamw_without(with_l2), "Adam with L2"),
            (adamw_without(rootless), "the root is missing"),
            (adamw_without(uphill), "uphill"),
            (lambda *inputs: solved_adamw_step(*inputs[:6], 0.0), "the weight decay is missing"),
            (lambda *inputs: solved_adamw_step(*inputs)[0], "only the weight came back"),
            (
                lambda *inputs: (solved_adamw_step(*inputs)[0], inputs[2], inputs[3]),
                "the old m and v",
            ),
            (adamw_without(epsilon_under_the_root), "ε stands under the root"),
            (adamw_without(no_epsilon), "ε is missing"),
            (adamw_without(decayed_afterwards), "off the new weight"),
            (
                lambda *inputs: solved_adamw_step(*inputs[:6], inputs[6] / inputs[5]),
                "lr is missing in the decay",
            ),
            (lambda *inputs: solved_adamw_step(*inputs, betas=(0.9, 0.999)), "not 0.999"),
        ],
    ),
    "trapezoid_rate": (
        solved_trapezoid_rate,
        [
            (
                lambda s, n, up, down, peak: peak * min(s / up, 1, (n - s) / down),
                "the first step has the rate 0",
            ),
            (
                lambda s, n, up, down, peak: peak * min((s + 1) / up, 1, (n - 1 - s) / down),
                "the last step has the rate 0",
            ),
            (lambda s, n, up, down, peak: peak * min(1, (n - s) / down), "no warm-up"),
            (lambda s, n, up, down, peak: peak * min((s + 1) / up, 1), "never falls"),
            (
                lambda s, n, up, down, peak: peak * min((s + 1) / up, (n - s) / (n - up), 1),
                "from the end of the warm-up",
            ),
            (lambda s, n, up, down, peak: min((s + 1) / up, 1, (n - s) / down), "multiply by peak"),
        ],
    ),
    "clip_gradients": (
        solved_clip_gradients,
        [
            (
                lambda gs, limit: [g / max(1.0, g.norm().item() / limit) for g in gs],
                "by its own norm",
            ),
            (lambda gs, limit: [g.clip(-limit, limit) for g in gs], "each number was clipped"),
            (
                lambda gs, limit: [g / joint_norm(gs) * limit for g in gs],
                "small gradients were enlarged",
            ),
            (
                lambda gs, limit: [g / max(1.0, joint_norm(gs) ** 2 / limit) for g in gs],
                "the root is missing",
            ),
            (lambda gs, limit: list(gs), "nothing was clipped"),
            (
                lambda gs, limit: [g / joint_norm(gs) if joint_norm(gs) > limit else g for g in gs],
                "not max_norm",
            ),
        ],
    ),
    "whole_gradient": (
        solved_whole_gradient,
        [
            (lambda gs, counts: torch.stack(gs).mean(0), "the same say"),
            (lambda gs, counts: torch.stack(gs).sum(0), "without any weights"),
            (
                lambda gs, counts: solved_whole_gradient(gs, counts) * sum(counts),
                "not divided by their sum",
            ),
            (
                lambda gs, counts: solved_whole_gradient(gs, counts) * sum(counts) / len(gs),
                "the number of parts",
            ),
            (lambda gs, counts: gs[-1], "only the last part"),
        ],
    ),
    "with_temperature": (
        lambda p, temperature: torch.softmax(torch.log(p) / temperature, dim=-1),
        [
            (
                lambda p, temperature: torch.softmax(torch.log(p) * temperature, dim=-1),
                "upside down",
            ),
            (lambda p, temperature: torch.exp(torch.log(p) / temperature), "not made to sum to 1"),
            (lambda p, temperature: torch.softmax(p / temperature, dim=-1), "they are no logits"),
            (
                lambda p, temperature: p / temperature / (p / temperature).sum(),
                "which the sum undoes",
            ),
            (lambda p, temperature: torch.log(p) / temperature, "the softmax is missing"),
        ],
    ),
    "keep_top_p": (
        solved_keep_top_p,
        [
            (top_p_one_too_few, "crosses p was left out"),
            (top_p_reached_left_out, "p is reached was left out"),
            (top_p_one_too_many, "one token too many"),
            (top_p_sorted_twice, "sorts once more"),
            (top_p_unscaled, "does not sum to 1"),
            (top_p_sorted, "the result is sorted"),
            (top_p_in_vocabulary_order, "in the order of the vocabulary"),
            (lambda probs, p: solved_keep_top_p(probs, 1e-6), "only the likeliest"),
            (lambda probs, p: probs, "nothing was left out"),
        ],
    ),
}


class TestExercises(ExerciseTests, MistakeTests, HintTests):
    checks, exercises, notebook = checks, EXERCISES, NOTEBOOK


# --- The logs of the long runs --------------------------------------------------------------------


def log(name):
    head, *rows = map(
        json.loads,
        (FOLDER / "experiments" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines(),
    )
    assert head["command"] == f"python experiments/run.py {name}" and "CPU" in head["machine"]
    return rows


def test_the_stages_rise_to_tales_gpt():
    rows, summary = log("stages"), json.loads((FOLDER / "tales-gpt" / "summary.json").read_text())
    assert [row["step"] for row in rows] == [0, *experiments.STAGES]
    assert abs(rows[0]["val_loss"] - math.log(1728)) < 0.5 and rows[0]["valid_share"] == 0
    assert rows[-1]["val_loss"] == pytest.approx(summary["val_loss"], rel=0.01)
    assert rows[-1]["valid_share"] == pytest.approx(summary["valid_share"], abs=0.06)
    losses = [row["val_loss"] for row in rows]
    assert losses == sorted(losses, reverse=True) and losses[-1] > rows[0]["floor"]


def test_what_the_text_says_of_each_thing_switched_off():
    rows = {
        (row["lr"], row["off"], "damaged" in row): row["val_loss"] for row in log("switched-off")
    }
    low, high = sorted({lr for lr, _, _ in rows})
    assert high == pytest.approx(5 * low)
    for lr in (low, high):
        assert rows[lr, "schedule", False] > 1.15 * rows[lr, "nothing", False]
        assert rows[lr, "clipping", False] < 1.03 * rows[lr, "nothing", False]
    assert rows[high, "warm-up", False] > 4 * rows[high, "nothing", False]
    assert rows[low, "warm-up", False] < 1.03 * rows[low, "nothing", False]
    setback = {off: rows[low, off, True] - rows[low, off, False] for off in ("nothing", "clipping")}
    assert 0 < 3 * setback["nothing"] < setback["clipping"]


def test_the_valley_of_learning_rates_has_two_sides():
    losses = [row["val_loss"] for row in log("rates")]
    rates = {row["lr"]: row["val_loss"] for row in log("rates")}
    assert (
        abs(rates[0.01] - rates[0.02]) < 0.02 and rates[0.006] < rates[0.01] + 0.2
    )  # the bottom is flat
    best = losses.index(min(losses))
    assert (
        0 < best < len(losses) - 1
        and losses[0] > 2 * losses[best]
        and losses[-1] > 2 * losses[best]
    )


def test_what_the_text_says_of_decoding():
    real, *rows = log("decoding")
    runs = {(row.get("temperature", 1.0), row.get("top_k"), row.get("top_p")): row for row in rows}
    valid = {key: row["valid_share"] for key, row in runs.items()}
    distinct = {key: row["distinct_share"] for key, row in runs.items()}
    assert real["valid_share"] == 1.0
    assert (
        valid[0.7, None, None]
        > valid[1.0, None, None]
        > valid[1.2, None, None]
        > valid[1.5, None, None]
    )
    assert distinct[1.5, None, None] > real["distinct_share"] + 0.1
    level = [distinct[temperature, None, None] for temperature in (0.7, 0.8, 0.9, 1.0, 1.1, 1.2)]
    assert real["distinct_share"] < min(level) and max(level) < min(level) + 0.01
    assert distinct[1.0, 2, None] < distinct[1.0, 5, None] < distinct[1.0, 10, None]
    for p in (0.9, 0.95):
        assert valid[1.0, None, p] > 0.97 and distinct[1.0, None, p] > 0.98 * real["distinct_share"]
    assert valid[1.5, None, 0.9] > valid[1.5, 10, None] > valid[1.5, None, None]


def test_phrases_are_counted():
    assert experiments.distinct_share(["a b c d e", "a b c d"]) == pytest.approx(2 / 3)
    assert experiments.valid_share([*make_tales(3, seed=1), "Once upon a time."]) == 0.75


def test_one_batch_is_damaged_and_no_other(stories):
    rows, _ = stories
    damaged = Batches(experiments.Damaged(rows, number=2, batch_size=3), 3, seed=1)
    for number, (inputs, targets) in enumerate(damaged[i] for i in range(5)):
        whole = Batches(rows, 3, seed=1)[number]
        same = (
            inputs.shape == whole[0].shape
            and torch.equal(inputs, whole[0])
            and torch.equal(targets, whole[1])
        )
        assert same == (number != 2)
