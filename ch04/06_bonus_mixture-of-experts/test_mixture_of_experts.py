"""The claims of mixture-of-experts.ipynb: its outputs, and that the layer contains the plain
feed-forward network.
"""

import sys

import pytest

if (
    __name__ == "__main__"
):  # before the imports below: pytest gives the chapters their import names (conftest.py)
    raise SystemExit(pytest.main([__file__, *sys.argv[1:]]))

import ast
from pathlib import Path

import torch
from torch import nn

from ch04_01_main_chapter_code.gpt import GPT, FeedForward, GPTConfig, language_model_loss
from scratch_llm_tools.notebook_code import notebook_definitions

NOTEBOOK = Path(__file__).parent / "mixture-of-experts.ipynb"
CONFIG = GPTConfig(vocab_size=97, context_length=32, emb_dim=16, n_heads=4, n_layers=2)


@pytest.fixture(scope="module")
def notebook():
    """The notebook's own class and functions."""
    found = notebook_definitions(NOTEBOOK)
    names = ["MixtureOfExperts", "total_and_active", "turned_away"]
    space = {
        "torch": torch,
        "nn": nn,
        "GPT": GPT,
        "FeedForward": FeedForward,
        "count_parameters": lambda module: sum(
            parameter.numel() for parameter in module.parameters()
        ),
    }
    exec(
        compile(ast.Module([found[name] for name in names], type_ignores=[]), "notebook", "exec"),
        space,
    )
    return space


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def assert_close(got, expected):
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)


def all_experts(moe, x):
    """A reference that computes every expert for every token and gives those not chosen the weight
    0.
    """
    probabilities = moe.router(x).softmax(dim=-1)  # (batch, tokens, n_experts)
    lowest = probabilities.sort(dim=-1, descending=True).values[..., moe.top_k - 1 : moe.top_k]
    weights = torch.where(probabilities >= lowest, probabilities, 0)
    if moe.top_k > 1:
        weights = weights / weights.sum(dim=-1, keepdim=True)
    return sum(weights[..., i, None] * expert(x) for i, expert in enumerate(moe.experts))


@pytest.mark.parametrize("n_experts, top_k", [(1, 1), (4, 1), (4, 2), (8, 3), (5, 5)])
def test_outputs_and_gradients_equal_those_of_computing_everything(notebook, n_experts, top_k):
    moe, x = notebook["MixtureOfExperts"](CONFIG, n_experts, top_k), torch.randn(3, 11, 16)
    parameters, target = list(moe.parameters()), torch.randn(3, 11, 16)
    results = []
    for run in (moe, lambda x: all_experts(moe, x)):
        out = run(x)
        loss = (out * target).sum()
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
        results.append((out, gradients))
    assert_close(results[0], results[1])


def test_one_expert_is_the_plain_network(notebook):
    dense, moe = FeedForward(CONFIG), notebook["MixtureOfExperts"](CONFIG, 1, 1)
    moe.experts[0].load_state_dict(dense.state_dict())
    x = torch.randn(2, 9, 16)
    assert_close(moe(x), dense(x))


@pytest.mark.parametrize("top_k", [2, 3, 4])
def test_equal_experts_are_the_plain_network(notebook, top_k):
    dense, moe = FeedForward(CONFIG), notebook["MixtureOfExperts"](CONFIG, 4, top_k)
    for expert in moe.experts:
        expert.load_state_dict(dense.state_dict())
    x = torch.randn(2, 9, 16)
    assert_close(moe(x), dense(x))
    nn.init.normal_(moe.experts[2].proj.weight)
    assert not torch.allclose(moe(x), dense(x), atol=1e-3)


def test_only_the_chosen_experts_are_computed(notebook):
    moe, rows = notebook["MixtureOfExperts"](CONFIG, 4, 2), {}
    for number, expert in enumerate(moe.experts):
        expert.register_forward_hook(
            lambda _, args, out, number=number: rows.update({number: len(args[0])})
        )
    moe(torch.randn(2, 10, 16))
    assert sum(rows.values()) == 2 * 10 * 2  # tokens · top_k, not tokens · n_experts
    assert_close(moe.shares, torch.tensor([rows[i] / 40 for i in range(4)]))


def test_with_one_choice_the_router_still_learns(notebook):
    moe = notebook["MixtureOfExperts"](CONFIG, 4, 1)
    moe(torch.randn(2, 10, 16)).square().sum().backward()
    assert moe.router.weight.grad.abs().max() > 1e-4


def test_the_balance_loss_is_1_if_even_and_n_experts_if_collapsed(notebook):
    moe = notebook["MixtureOfExperts"](CONFIG, 4, 1)
    with torch.no_grad():
        moe.router.weight.zero_()
        moe.router.weight[:, :4] = 100 * torch.eye(4)
    moe(torch.eye(4, 16)[None])  # token i points at expert i
    assert_close(moe.balance_loss, torch.tensor(1.0))
    moe(torch.eye(4, 16)[None, :1].expand(1, 7, 16))  # all point at expert 0
    assert_close(moe.balance_loss, torch.tensor(4.0))
    moe.router.weight.data[:, 0] = torch.tensor([1.0, 0.0, 0.0, 0.0])
    gradient = torch.autograd.grad(rerun(moe).balance_loss, moe.router.weight)[0][:, 0]
    assert (
        gradient[0] > 0 and (gradient[1:] < 0).all()
    )  # descent lowers the favourite's score and raises the others'


def rerun(moe):
    moe(torch.eye(4, 16)[None, :1])
    return moe


def test_total_and_active_parameters(notebook):
    total, active = notebook["total_and_active"](CONFIG, 4, 2)
    model = GPT(CONFIG)
    for block in model.blocks:
        block.feed_forward = notebook["MixtureOfExperts"](CONFIG, 4, 2)
    assert total == sum(parameter.numel() for parameter in model.parameters())
    for block in model.blocks:
        block.feed_forward.experts = block.feed_forward.experts[:2]
    assert active == sum(parameter.numel() for parameter in model.parameters())


def test_a_gpt_of_mixtures_learns(notebook):
    model, idx = GPT(CONFIG), torch.randint(97, (4, 20))
    for block in model.blocks:
        block.feed_forward = notebook["MixtureOfExperts"](CONFIG, 4, 2)
    optimizer, losses = torch.optim.Adam(model.parameters(), lr=1e-2), []
    for _ in range(40):
        loss = language_model_loss(model(idx[:, :-1]), idx[:, 1:])
        optimizer.zero_grad()
        (loss + 0.01 * sum(block.feed_forward.balance_loss for block in model.blocks)).backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2


@pytest.mark.parametrize("n_experts, top_k", [(2, 3), (4, 0)])
def test_impossible_choices_are_refused(notebook, n_experts, top_k):
    with pytest.raises(ValueError, match="top_k"):
        notebook["MixtureOfExperts"](CONFIG, n_experts, top_k)


def test_turned_away_by_hand(notebook):
    assert notebook["turned_away"](torch.tensor([6, 2, 0, 0]), 1.0) == 4 / 8  # two places each
    assert notebook["turned_away"](torch.tensor([2, 2, 2, 2]), 1.0) == 0
