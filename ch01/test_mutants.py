"""Answers to the questions of the primer that are nearly right, and right ones that look unusual."""

import importlib.util
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from scratch_llm_tools.mutants import changed, compiled

MUTANTS = {
    "count_followers": (
        """
def count_followers(words):
    counts = {}
    for word, following in zip(words, words[1:]):
        row = counts.setdefault(word, {})
        row[following] = row.get(following, 0) + 1
    return counts
""",
        [
            ("counted backwards", "for word, following in", "for following, word in"),
            ("does your loop wrap around", "words[1:]", "words[1:] + words[:1]"),
            ("add to the count", "row.get(following, 0) + 1", "1"),
            ("The last pair", "words[1:]", "words[1:-1]"),
            ("The first pair", "zip(words, words[1:])", "zip(words[1:], words[2:])"),
            ("two places later", "words[1:]", "words[2:]"),
            ("counted with itself", "words[1:]", "words"),
            ("one too small", "row.get(following, 0) + 1", "row.get(following, -1) + 1"),
            ("one too large", "row.get(following, 0)", "row.get(following, 1)"),
            ("made anew every time", "counts.setdefault(word, {})", "counts[word] = {}"),
            (
                "dictionary of dictionaries",
                "return counts",
                "return Counter(zip(words, words[1:]))",
            ),
            (
                "in both directions",
                "row.get(following, 0) + 1",
                "row.get(following, 0) + 1\n        back = counts.setdefault(following, {})\n"
                "        back[word] = back.get(word, 0) + 1",
            ),
            ("'owl owl owl'", "words[1:])", "words[1:]) if len(set(words)) > 1 else ()"),
        ],
        [
            ("return counts", "return {word: Counter(row) for word, row in counts.items()}"),
            ("row.get(following, 0) + 1", "np.int64(row.get(following, 0) + 1)"),
        ],
    ),
    "shares": (
        """
def shares(counts):
    return counts / counts.sum(dim=1, keepdim=True)
""",
        [
            ("the sum of all numbers", "counts.sum(dim=1, keepdim=True)", "counts.sum()"),
            ("The columns sum to 1", "dim=1", "dim=0"),
            ("keepdim=True", ", keepdim=True", ""),
            ("softmax also", "counts / counts.sum(dim=1, keepdim=True)", "counts.softmax(1)"),
            ("changed the tensor", "counts / ", "counts.div_(", "True)", "True))"),
            ("in per cent", "counts / ", "100 * counts / "),
            ("the mean of each row", "sum(", "mean("),
            ("the largest number", "sum(", "amax("),
            ("the number of columns; divide", "counts.sum(dim=1, keepdim=True)", "counts.shape[1]"),
            ("the root of its squares", "sum(", "norm("),
            ("`//` cuts off", " / ", " // "),
            (
                "are exchanged",
                "counts / counts.sum(dim=1, keepdim=True)",
                "(counts.T / counts.sum(1))",
            ),
        ],
        [
            (
                "return counts / counts.sum(dim=1, keepdim=True)",
                "return (counts / counts.sum(1)[:, None]).tolist()",
            ),
            (
                "return counts / counts.sum(dim=1, keepdim=True)",
                "return (counts.T / counts.sum(1)).T.numpy()",
            ),
            ("counts / ", "counts.double() / "),
        ],
    ),
    "similarities": (
        """
def similarities(a, b):
    return a @ b.transpose(-2, -1)
""",
        [
            ("is transposed", "a @ b.transpose(-2, -1)", "b @ a.transpose(-2, -1)"),
            ("stops on inputs of shape (4, 3), (5, 3)", ".transpose(-2, -1)", ""),
            ("not for a batch", "b.transpose(-2, -1)", "b.t()"),
            (
                "These are cosines",
                "a @ b.transpose(-2, -1)",
                "torch.cosine_similarity(a[..., None, :], b[..., None, :, :], -1)",
            ),
            ("These are distances", "a @ b.transpose(-2, -1)", "torch.cdist(a, b)"),
            ("divided by √d", "a @", "a / a.shape[-1] ** 0.5 @"),
            (
                "The softmax was taken",
                "a @ b.transpose(-2, -1)",
                "(a @ b.transpose(-2, -1)).softmax(-1)",
            ),
            ("The signs are lost", "a @ b.transpose(-2, -1)", "(a @ b.transpose(-2, -1)).abs()"),
            ("that is their mean", "a @", "a / a.shape[-1] @"),
        ],
        [
            ("a @ b.transpose(-2, -1)", 'torch.einsum("...nd,...md->...nm", a, b)'),
            ("a @ b.transpose(-2, -1)", "(a @ b.transpose(-2, -1)).numpy()"),
        ],
    ),
    "slope": (
        """
def slope(function, x):
    x = x.detach().clone().requires_grad_()
    function(x).backward()
    return x.grad
""",
        [
            ("the value of the function", "return x.grad", "return function(x)"),
            ("use backward()", "return x.grad", "return (function(x + 0.01) - function(x)) / 0.01"),
            ("changed the caller's tensor", ".detach().clone()", ""),
            ("The sign is turned round", "return x.grad", "return -x.grad"),
            (
                "twice the slope",
                "function(x).backward()",
                "function(x).backward(); function(x).backward()",
            ),
            ("the line from 0", "return x.grad", "return function(x) / x"),
            ("slope of x³ alone", "return x.grad", "return 3 * x**2"),
            ("wrong for the sine", "return x.grad", "return 3 * x**2 - 2"),
            ("slope of the slope", "return x.grad", "return 6 * x"),
        ],
        [
            ("return x.grad", "return x.grad.item()"),
            ("return x.grad", "return x.grad.reshape(1)"),
            ("return x.grad", "return np.float32(x.grad)"),
        ],
    ),
    "train_model": (
        """
def train_model(model, x, y, lr, steps):
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    for _ in range(steps):
        loss = ((model(x).squeeze(1) - y) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model
""",
        [
            ("zero_grad() belongs", "        optimizer.zero_grad()\n", ""),
            ("broadcast to (8, 8)", ".squeeze(1)", ""),
            ("optimizer.step() is missing", "        optimizer.step()\n", ""),
            ("result of one step", "range(steps)", "range(1)"),
            ("nothing is returned", "    return model", ""),
            ("The sizes of the errors", " ** 2).mean()", ").abs().mean()"),
            ("The squares were added up", "mean()", "sum()"),
            ("The root of the mean", "mean()", "mean() ** 0.5"),
            ("Half of the mean", "mean()", "mean() / 2"),
            ("without being squared", " ** 2", ""),
            ("one step too few", "range(steps)", "range(1, steps)"),
            ("one step too many", "range(steps)", "range(steps + 1)"),
            ("The loss grows", "loss.backward()", "(-loss).backward()"),
            ("learning rate that is given", "lr=lr", "lr=0.01"),
            ("That is Adam;", "SGD", "Adam"),
            ("That is AdamW;", "SGD", "AdamW"),
        ],
        [
            ("(model(x).squeeze(1) - y)", "(model(x) - y[:, None])"),
            (
                "((model(x).squeeze(1) - y) ** 2).mean()",
                "torch.nn.functional.mse_loss(model(x)[:, 0], y)",
            ),
        ],
    ),
}
NAMES = {"Counter": Counter, "np": np, "torch": torch}

place = Path(__file__).with_name("checks.py")
specification = importlib.util.spec_from_file_location("ch01_checks_of_mutants", place)
checks = importlib.util.module_from_spec(specification)
specification.loader.exec_module(checks)


def told(question, change, capsys):
    """What the check says about the right answer with this change."""
    solution = compiled(changed(MUTANTS[question][0], *change), NAMES)
    getattr(checks, f"check_{question}")(solution)
    return capsys.readouterr().out.strip().partition(": ")[2]


@pytest.mark.parametrize("question", MUTANTS)
def test_every_mutant_is_told_its_own_mistake(question, capsys):
    said = {}
    for words, *change in MUTANTS[question][1]:
        line = told(question, change, capsys)
        assert line.startswith("not yet. ") and words in line, (words, line)
        said[words] = line
    assert len(set(said.values())) == len(said)


@pytest.mark.parametrize("question", MUTANTS)
def test_unusual_right_answers_pass(question, capsys):
    for change in MUTANTS[question][2]:
        assert told(question, change, capsys) == "right", change
