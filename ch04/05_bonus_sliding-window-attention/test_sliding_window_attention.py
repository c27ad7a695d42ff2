"""The claims of sliding-window-attention.ipynb: its outputs, and that a long window is the plain
attention.
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

from ch03_01_main_chapter_code.attention import KVCache, MultiHeadAttention
from ch04_01_main_chapter_code.gpt import GPT, GPTConfig, generate_greedy
from scratch_llm_tools.notebook_code import notebook_definitions

NOTEBOOK = Path(__file__).parent / "sliding-window-attention.ipynb"


@pytest.fixture(scope="module")
def notebook():
    """The notebook's own classes and functions."""
    found = notebook_definitions(NOTEBOOK)
    names = [
        "window_pairs",
        "SlidingWindowAttention",
        "RollingCache",
        "with_window",
        "tokens_back",
        "blocked_attention",
        "write",
    ]
    space = {"torch": torch, "F": F, "copy": copy, "MultiHeadAttention": MultiHeadAttention}
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


def tiny(n_layers=3):
    config = GPTConfig(
        vocab_size=97, context_length=64, emb_dim=32, n_heads=4, n_layers=n_layers, init_std=0.2
    )
    return GPT(config).eval()


@pytest.mark.parametrize(
    "tokens, total, window", [(6, 6, 3), (1, 9, 4), (5, 12, 1), (7, 7, 7), (4, 10, 50)]
)
def test_the_mask_equals_a_loop(notebook, tokens, total, window):
    mask = notebook["window_pairs"](tokens, total, window)
    for row in range(tokens):
        place = total - tokens + row
        seen = [there for there in range(total) if 0 <= place - there < window]
        assert mask[row].nonzero().flatten().tolist() == seen


@pytest.mark.parametrize("window", [20, 21, 100])
def test_a_window_over_the_whole_text_is_full_attention(notebook, window):
    full = MultiHeadAttention(32, 4, qkv_bias=True)
    sliding = notebook["SlidingWindowAttention"](32, 4, window, qkv_bias=True)
    sliding.load_state_dict(full.state_dict())
    x = torch.randn(3, 20, 32)
    assert_close(sliding(x), full(x))


@pytest.mark.parametrize("window", [1, 2, 7, 19])
def test_a_short_window_is_full_attention_over_a_piece(notebook, window):
    full = MultiHeadAttention(32, 4)
    sliding = notebook["SlidingWindowAttention"](32, 4, window)
    sliding.load_state_dict(full.state_dict())
    x = torch.randn(3, 20, 32)
    pieces = [full(x[:, max(0, i - window + 1) : i + 1])[:, -1:] for i in range(20)]
    assert_close(sliding(x), torch.cat(pieces, dim=1))
    assert not torch.allclose(sliding(x), full(x), atol=1e-3)


@pytest.mark.parametrize("window", [1, 4, 5, 30])
@pytest.mark.parametrize("sizes", [[24], [1] * 24, [7, 1, 9, 1, 6], [2, 22]])
@pytest.mark.parametrize("rolling", [True, False])
def test_the_caches_change_nothing(notebook, window, sizes, rolling):
    model, idx = notebook["with_window"](tiny(), [window] * 3), torch.randint(97, (2, 24))
    cache = notebook["RollingCache"](window) if rolling else KVCache()
    with torch.no_grad():
        pieces = torch.cat([model(part, cache) for part in idx.split(sizes, dim=1)], dim=1)
        torch.testing.assert_close(pieces, model(idx), atol=1e-4, rtol=1e-4)
    assert cache.length == 24
    if rolling:
        assert cache.buffers[2][0].shape == (2, 4, window, 8)


def test_the_rolling_cache_keeps_its_memory(notebook):
    cache = notebook["RollingCache"](4)
    storages = set()
    for size in (9, 1, 1, 3, 1):
        cache.update(torch.randn(1, 2, size, 3), torch.randn(1, 2, size, 3))
        storages.add(
            tuple(
                (buffer.data_ptr(), buffer.untyped_storage().nbytes())
                for buffer in cache.buffers[0]
            )
        )
    assert len(storages) == 1 and {size for _, size in storages.pop()} == {1 * 2 * 4 * 3 * 4}


def test_writing_equals_the_plain_loop(notebook):
    model, idx = notebook["with_window"](tiny(), [6, 6, 6]), torch.randint(97, (1, 9))
    written = notebook["write"](model, idx, 40, notebook["RollingCache"](6))
    assert torch.equal(written, generate_greedy(model, idx, 40))


@pytest.mark.parametrize("n_layers, window", [(1, 1), (1, 5), (3, 5), (4, 2), (4, 30)])
def test_the_reach_of_a_stack(notebook, n_layers, window):
    model = notebook["with_window"](tiny(n_layers), [window] * n_layers)
    assert notebook["tokens_back"](model) == min(39, n_layers * (window - 1))


@pytest.mark.parametrize("blocks, window", [(1, 8), (2, 5), (6, 1), (5, 12)])
def test_blocks_equal_the_mask(notebook, blocks, window):
    tokens = blocks * window
    q, k, v = torch.randn(3, 2, 3, tokens, 8)
    expected = F.scaled_dot_product_attention(
        q, k, v, notebook["window_pairs"](tokens, tokens, window)
    )
    assert_close(notebook["blocked_attention"](q, k, v, window), expected)


def test_bad_input_is_refused(notebook):
    with pytest.raises(ValueError, match="at least 1"):
        notebook["SlidingWindowAttention"](32, 4, 0)
    with pytest.raises(ValueError, match="no padding"):
        notebook["SlidingWindowAttention"](32, 4, 3)(torch.randn(1, 5, 32), None, torch.ones(1, 5))
