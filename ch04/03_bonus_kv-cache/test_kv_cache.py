"""The claims of kv-cache.ipynb: every cache computes what the plain model computes."""

import sys

import pytest

if (
    __name__ == "__main__"
):  # before the imports below: pytest gives the chapters their import names (conftest.py)
    raise SystemExit(pytest.main([__file__, *sys.argv[1:]]))

import ast
from pathlib import Path

import torch
import torch.nn.functional as F

from ch03_01_main_chapter_code.attention import KVCache, MultiHeadAttention
from ch04_01_main_chapter_code.gpt import GPT, GPTConfig, generate_greedy
from scratch_llm_tools.notebook_code import notebook_definitions

NOTEBOOK = Path(__file__).parent / "kv-cache.ipynb"
CACHES = ["GrowingCache", "FixedCache", "KVCache"]


@pytest.fixture(scope="module")
def notebook():
    """The notebook's own classes and functions, in their last version."""
    found = notebook_definitions(NOTEBOOK)
    names = [
        "GrowingCache",
        "LengthForgotten",
        "PastForgotten",
        "FixedCache",
        "generate_with_cache",
        "kv_cache_bytes",
    ]
    space = {"torch": torch, "F": F, "MultiHeadAttention": MultiHeadAttention, "KVCache": KVCache}
    exec(
        compile(ast.Module([found[name] for name in names], type_ignores=[]), "notebook", "exec"),
        space,
    )
    return space


def make(notebook, name):
    return notebook[name](64) if name == "FixedCache" else notebook[name]()


def tiny():
    torch.manual_seed(0)
    return GPT(
        GPTConfig(vocab_size=97, context_length=64, emb_dim=32, n_heads=4, n_layers=3, init_std=0.2)
    ).eval()


@torch.no_grad()
def in_pieces(model, idx, sizes, cache):
    return torch.cat([model(part, cache) for part in idx.split(sizes, dim=1)], dim=1)


@pytest.mark.parametrize("name", CACHES)
@pytest.mark.parametrize("sizes", [[40], [1] * 40, [7, 1, 20, 12]])
def test_logits_equal_those_without_a_cache(notebook, name, sizes):
    model, idx, cache = tiny(), torch.randint(97, (3, 40)), make(notebook, name)
    torch.testing.assert_close(
        in_pieces(model, idx, sizes, cache), model(idx).detach(), atol=1e-4, rtol=1e-4
    )
    assert cache.length == 40


@pytest.mark.parametrize("name", CACHES)
@pytest.mark.parametrize("batch, prompt", [(1, 1), (2, 9), (3, 30)])
def test_the_same_tokens_are_written(notebook, name, batch, prompt):
    model, idx = tiny(), torch.randint(97, (batch, prompt))
    written = notebook["generate_with_cache"](model, idx, 30, make(notebook, name))
    assert torch.equal(written, generate_greedy(model, idx, 30))


def test_each_token_passes_once_and_the_head_sees_the_last_only(notebook):
    model, rows = tiny(), {"qkv": [], "head": []}
    for name, module in (("qkv", model.blocks[1].attention.qkv), ("head", model.head)):
        module.register_forward_hook(
            lambda _, args, out, name=name: rows[name].append(args[0].numel() // 32)
        )
    notebook["generate_with_cache"](model, torch.randint(97, (1, 9)), 5, KVCache())
    assert rows == {"qkv": [9, 1, 1, 1, 1], "head": [1, 1, 1, 1, 1]}


def test_the_two_mistakes_show(notebook):
    """Without this, the equalities above could hold for any cache."""
    model, idx = tiny(), torch.randint(97, (2, 40))
    expected = model(idx).detach()
    wrong_places = in_pieces(model, idx, [7, 33], notebook["LengthForgotten"]())
    assert torch.allclose(wrong_places[:, :7], expected[:, :7], atol=1e-4)
    assert not torch.allclose(wrong_places[:, 7:], expected[:, 7:], atol=0.1)
    for block in model.blocks:
        block.attention.__class__ = notebook["PastForgotten"]
    assert torch.allclose(in_pieces(model, idx, [1] * 40, KVCache()), expected, atol=1e-4)
    assert not torch.allclose(in_pieces(model, idx, [7, 33], KVCache()), expected, atol=0.1)


def test_a_full_cache_says_so_and_keeps_what_it_has(notebook):
    model, cache = tiny(), notebook["FixedCache"](10)
    idx = torch.randint(97, (1, 10))
    in_pieces(model, idx, [6, 4], cache)
    before = [buffer.clone() for buffer in cache.layers[0]]
    with pytest.raises(ValueError, match="11 tokens do not fit into a cache for 10"):
        model(idx[:, :1], cache)
    assert cache.length == 10
    assert all(torch.equal(old, new) for old, new in zip(before, cache.layers[0], strict=True))


def test_bytes_are_those_of_the_tensors(notebook):
    model, cache = tiny(), notebook["GrowingCache"]()
    in_pieces(model, torch.randint(97, (3, 40)), [5, 35], cache)
    held = sum(
        tensor.numel() * tensor.element_size() for pair in cache.layers.values() for tensor in pair
    )
    assert held == notebook["kv_cache_bytes"](model.config, 40, batch=3, bytes_per_number=4)
