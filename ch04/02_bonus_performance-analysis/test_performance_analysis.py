"""The claims of performance-analysis.ipynb: its outputs, and that its formulas count what PyTorch
counts and keeps.
"""

import sys

import pytest

if (
    __name__ == "__main__"
):  # before the imports below: pytest gives the chapters their import names (conftest.py)
    raise SystemExit(pytest.main([__file__, *sys.argv[1:]]))

import ast
import time
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from ch03_01_main_chapter_code.attention import KVCache
from ch04_01_main_chapter_code.gpt import GPT, GPTConfig, flops_per_token, language_model_loss
from scratch_llm_tools.notebook_code import notebook_definitions

NOTEBOOK = Path(__file__).parent / "performance-analysis.ipynb"
SHAPES = [
    dict(vocab_size=97, context_length=64, emb_dim=32, n_heads=4, n_layers=1),
    dict(vocab_size=500, context_length=64, emb_dim=48, n_heads=3, n_layers=4),
    dict(vocab_size=1000, context_length=64, emb_dim=128, n_heads=2, n_layers=2, tie_weights=False),
]


@pytest.fixture(scope="module")
def notebook():
    """The notebook's own functions."""
    found = notebook_definitions(NOTEBOOK)
    names = [
        "COLORS",
        "matmul_cost",
        "part_costs",
        "counted_flops",
        "total_flops",
        "kept_numbers",
        "activation_numbers",
        "part_times",
    ]
    space = {
        "torch": torch,
        "time": time,
        "GPT": GPT,
        "FlopCounterMode": FlopCounterMode,
        "language_model_loss": language_model_loss,
    }
    exec(
        compile(ast.Module([found[name] for name in names], type_ignores=[]), "notebook", "exec"),
        space,
    )
    return space


def test_a_product_by_hand(notebook):
    assert notebook["matmul_cost"](2, 3, 4, 4) == (48, 4 * (6 + 12 + 8))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("batch, tokens", [(1, 1), (1, 64), (3, 20)])
def test_flops_equal_pytorchs(notebook, shape, batch, tokens):
    config = GPTConfig(**shape)
    counted = notebook["counted_flops"](config, batch, tokens)
    assert counted == notebook["total_flops"](config, tokens, batch=batch) > 0
    assert notebook["counted_flops"](config, batch, tokens, training=True) == 3 * counted


@pytest.mark.parametrize("past, new, batch", [(1, 1, 1), (30, 1, 4), (20, 9, 2)])
def test_flops_with_a_cache_equal_pytorchs(notebook, past, new, batch):
    config = GPTConfig(**SHAPES[1])
    with torch.device("meta"):
        model, cache, idx = GPT(config), KVCache(), torch.zeros(batch, past + new, dtype=torch.long)
        model(idx[:, :past], cache)
        with FlopCounterMode(display=False) as counter:
            model(idx[:, past:], cache)
    assert counter.get_total_flops() == notebook["total_flops"](config, new, past=past, batch=batch)


def test_agrees_with_chapter_4_but_for_the_masked_half(notebook):
    config = GPTConfig()
    parts = notebook["part_costs"](config, 1024)
    causal = sum(flops for flops, _ in parts.values()) - parts["scores"][0] / 2
    assert causal / 1024 == flops_per_token(config)


def test_bytes_are_those_of_weights_and_vectors(notebook):
    """For one token without a past: every matrix once, plus the vectors that go in and come out."""
    config = GPTConfig(**SHAPES[1])
    emb, layers = config.emb_dim, config.n_layers
    matrices = sum(
        p.numel()
        for n, p in GPT(config).named_parameters()
        if p.dim() == 2 and n != "pos_emb.weight"
    )
    vectors = layers * emb * ((1 + 3) + 4 + (1 + 1) + (1 + 4) + (4 + 1)) + emb + config.vocab_size
    moved = sum(
        moved for _, moved in notebook["part_costs"](config, 1, bytes_per_number=2).values()
    )
    assert moved == 2 * (matrices + vectors)


def test_bytes_of_the_scores_are_those_of_the_cache(notebook):
    config, batch, total = GPTConfig(**SHAPES[0]), 3, 40
    model, cache = GPT(config), KVCache()
    with torch.no_grad():
        model(torch.zeros(batch, total, dtype=torch.long), cache)
    kept = sum(tensor[:, :, :total].numel() for pair in cache.buffers.values() for tensor in pair)
    query_and_output = 2 * batch * config.emb_dim * config.n_layers
    moved = notebook["part_costs"](config, 1, past=total - 1, batch=batch, bytes_per_number=1)[
        "scores"
    ][1]
    assert moved == kept + query_and_output


@pytest.mark.parametrize("batch, tokens", [(1, 60), (4, 64)])
def test_activations_are_those_that_pytorch_keeps(notebook, batch, tokens):
    torch.manual_seed(0)
    config = GPTConfig(vocab_size=3000, context_length=64, emb_dim=192, n_heads=3, n_layers=4)
    found = notebook["kept_numbers"](GPT(config), torch.randint(3000, (batch, tokens)))
    assert found == pytest.approx(notebook["activation_numbers"](config, batch * tokens), rel=0.03)


def test_the_times_of_the_parts_add_up(notebook):
    config = GPTConfig(**SHAPES[1])
    model = GPT(config).eval()
    start = time.perf_counter()
    spent = notebook["part_times"](model, torch.zeros(1, 30, dtype=torch.long))
    assert list(spent) == [*notebook["COLORS"], "the rest"]
    assert all(seconds > 0 for seconds in spent.values())
    assert sum(spent.values()) <= time.perf_counter() - start
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
