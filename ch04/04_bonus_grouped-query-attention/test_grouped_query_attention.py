"""The claims of grouped-query-attention.ipynb: its outputs, and that sharing heads contains the
plain attention.
"""

import sys

import pytest

if (
    __name__ == "__main__"
):  # before the imports below: pytest gives the chapters their import names (conftest.py)
    raise SystemExit(pytest.main([__file__, *sys.argv[1:]]))

import ast
import copy
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from ch03_01_main_chapter_code.attention import KVCache, MultiHeadAttention, allowed_pairs
from ch04_01_main_chapter_code.gpt import GPT, GPTConfig
from scratch_llm_tools.notebook_code import notebook_definitions

NOTEBOOK = Path(__file__).parent / "grouped-query-attention.ipynb"
CHOICES = [8, 4, 2, 1]


@pytest.fixture(scope="module")
def notebook():
    """The notebook's own classes and functions."""
    found = notebook_definitions(NOTEBOOK)
    names = [
        "grouped_attention",
        "GroupedQueryAttention",
        "spread_out",
        "decode_grouped",
        "to_grouped",
        "with_grouped_heads",
    ]
    space = {
        "torch": torch,
        "F": F,
        "nn": nn,
        "copy": copy,
        "allowed_pairs": allowed_pairs,
        "MultiHeadAttention": MultiHeadAttention,
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


def one_head_at_a_time(module, x):
    """An independent reference with loops over texts, query heads and tokens."""
    width, n_heads, n_kv_heads = module.head_dim, module.n_heads, module.n_kv_heads
    heads = [
        module.qkv(x)[..., i * width : (i + 1) * width] for i in range(n_heads + 2 * n_kv_heads)
    ]
    out = torch.zeros_like(x)
    for head in range(n_heads):
        shared = head * n_kv_heads // n_heads
        queries, keys, values = (
            heads[head],
            heads[n_heads + shared],
            heads[n_heads + n_kv_heads + shared],
        )
        for text in range(x.shape[0]):
            for i in range(x.shape[1]):
                weights = (keys[text, : i + 1] @ queries[text, i] / width**0.5).softmax(dim=0)
                out[text, i, head * width : (head + 1) * width] = weights @ values[text, : i + 1]
    return module.proj(out)


@pytest.mark.parametrize("bias", [True, False])
def test_as_many_kv_heads_as_heads_is_multi_head_attention(notebook, bias):
    plain = MultiHeadAttention(48, 6, qkv_bias=bias)
    grouped = notebook["GroupedQueryAttention"](48, 6, 6, qkv_bias=bias)
    grouped.load_state_dict(plain.state_dict())
    x = torch.randn(3, 17, 48)
    assert_close(grouped(x), plain(x))


@pytest.mark.parametrize("n_kv_heads", CHOICES)
def test_the_class_equals_loops_over_heads_and_tokens(notebook, n_kv_heads):
    grouped, x = (
        notebook["GroupedQueryAttention"](32, 8, n_kv_heads, qkv_bias=True),
        torch.randn(2, 7, 32),
    )
    assert_close(grouped(x), one_head_at_a_time(grouped, x))


@pytest.mark.parametrize("n_kv_heads", CHOICES)
def test_the_written_out_formula_equals_torchs(notebook, n_kv_heads):
    queries, keys, values = torch.randn(2, 8, 9, 4), *torch.randn(2, 2, n_kv_heads, 9, 4)
    expected = F.scaled_dot_product_attention(
        queries, keys, values, is_causal=True, enable_gqa=True
    )
    assert_close(notebook["grouped_attention"](queries, keys, values), expected)
    last = notebook["decode_grouped"](queries[:, :, -1:], keys, values)
    assert_close(last, expected[:, :, -1:])


@pytest.mark.parametrize("n_kv_heads", CHOICES)
@pytest.mark.parametrize("sizes", [[20], [1] * 20, [7, 1, 12]])
def test_with_a_cache_and_spread_out(notebook, n_kv_heads, sizes):
    grouped, x, cache = (
        notebook["GroupedQueryAttention"](32, 8, n_kv_heads),
        torch.randn(2, 20, 32),
        KVCache(),
    )
    pieces = torch.cat([grouped(part, cache) for part in x.split(sizes, dim=1)], dim=1)
    assert_close(pieces, grouped(x))
    assert_close(pieces, notebook["spread_out"](grouped)(x))
    assert cache.buffers[0][0].shape[1] == n_kv_heads and cache.length == 20


def test_padding_changes_nothing(notebook):
    grouped, x = notebook["GroupedQueryAttention"](32, 8, 2), torch.randn(1, 9, 32)
    padded = torch.cat([torch.randn(1, 4, 32), x], dim=1)
    assert_close(grouped(padded, attention_mask=torch.arange(13)[None] >= 4)[:, 4:], grouped(x))


@pytest.mark.parametrize(
    "numbers, words", [((30, 8, 2), "emb_dim"), ((32, 8, 3), "n_kv_heads"), ((32, 8, 0), "n_kv")]
)
def test_numbers_that_do_not_divide_are_refused(notebook, numbers, words):
    with pytest.raises(ValueError, match=words):
        notebook["GroupedQueryAttention"](*numbers)


def test_the_conversion_averages_keys_and_values_only(notebook):
    plain = MultiHeadAttention(32, 4, qkv_bias=True)
    grouped = notebook["to_grouped"](plain, 2)
    old, new = plain.qkv.weight.detach(), grouped.qkv.weight.detach()
    assert torch.equal(new[:32], old[:32])  # queries
    assert_close(new[32:40], (old[32:40] + old[40:48]) / 2)  # the first two key heads
    assert_close(new[56:64], (old[80:88] + old[88:96]) / 2)  # the last two value heads
    assert torch.equal(grouped.proj.weight, plain.proj.weight)


def test_a_converted_gpt(notebook):
    model = GPT(
        GPTConfig(vocab_size=50, context_length=16, emb_dim=32, n_heads=4, n_layers=2, init_std=0.3)
    ).eval()
    idx = torch.randint(50, (2, 16))
    assert_close(notebook["with_grouped_heads"](model, 4)(idx), model(idx))
    shared, cache = notebook["with_grouped_heads"](model, 2), KVCache()
    assert not torch.allclose(shared(idx), model(idx), atol=0.1)
    assert_close(
        torch.cat([shared(part, cache) for part in idx.split([5, 11], dim=1)], dim=1), shared(idx)
    )
    heads = [
        block.attention for block in model.blocks
    ]  # equal key and value heads: averaging loses nothing
    for attention in heads:
        for parameter in attention.qkv.parameters():
            parts = parameter.data.unflatten(0, (3, 2, 2, 8))
            parts[1:, :, 1] = parts[1:, :, 0]
    assert_close(notebook["with_grouped_heads"](model, 2)(idx), model(idx))
