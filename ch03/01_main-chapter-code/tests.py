"""Tests of chapter 3: the attention classes, the cache, the plot, the exercises' checks, and the
notebook's code.

`python tests.py` or `pytest` in this folder.
"""

import json
import re
import runpy
from pathlib import Path

import pytest
import torch
from torch import nn

if (
    __name__ == "__main__"
):  # pytest reads the root conftest.py, which knows the chapters in a clone not installed
    raise SystemExit(pytest.main([__file__]))

from ch03_01_main_chapter_code import checks
from ch03_01_main_chapter_code.attention import (
    CausalAttention,
    KVCache,
    MultiHeadAttention,
    MultiHeadAttentionWrapper,
    SelfAttention,
)
from ch03_01_main_chapter_code.plot_attention import plot_attention
from scratch_llm_tools.exercises import (
    ExerciseTests,
    HintTests,
    MistakeTests,
    exercises_of,
    module_beside,
)
from scratch_llm_tools.notebook_code import assert_same_code

FOLDER = Path(__file__).parent
NO_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA GPU")


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=NO_CUDA)])
def device(request):
    torch.manual_seed(0)
    return torch.device(request.param)


def assert_close(got, expected, tolerance=1e-5):
    torch.testing.assert_close(got, expected, rtol=tolerance, atol=tolerance)


# --- one head -------------------------------------------------------------------------------------


def attend_with_loops(module, x, causal):
    """The formula with one Python loop for each index; x: (tokens, emb_dim). Returns a list of
    lists.
    """
    queries, keys, values = (
        layer(x).tolist() for layer in (module.query, module.key, module.value)
    )
    rows = []
    for i, query in enumerate(queries):
        visible = range(i + 1) if causal else range(len(keys))
        scores = [
            sum(a * b for a, b in zip(query, keys[j], strict=True)) / len(query) ** 0.5
            for j in visible
        ]
        exponentials = [2.718281828459045**score for score in scores]
        weights = [exponential / sum(exponentials) for exponential in exponentials]
        columns = range(len(values[0]))
        rows.append(
            [
                sum(weight * values[j][c] for weight, j in zip(weights, visible, strict=True))
                for c in columns
            ]
        )
    return rows


@pytest.mark.parametrize("qkv_bias", [False, True])
@pytest.mark.parametrize("causal", [False, True])
def test_one_head_equals_loops(device, causal, qkv_bias):
    head = (
        CausalAttention(6, 4, 9, qkv_bias=qkv_bias)
        if causal
        else SelfAttention(6, 4, qkv_bias=qkv_bias)
    )
    head.to(device)
    x = torch.randn(2, 5, 6, device=device)
    expected = torch.tensor([attend_with_loops(head, row, causal) for row in x], device=device)
    assert_close(head(x), expected)
    assert_close(head(x[0]), expected[0])  # one text without a batch works too


def test_qkv_bias_makes_biases():
    for module in (
        SelfAttention(4, 2),
        CausalAttention(4, 2, 3),
        MultiHeadAttentionWrapper(4, 2, 3, n_heads=2),
    ):
        assert not any("bias" in name for name, _ in module.named_parameters())
    for module in (SelfAttention(4, 2, True), CausalAttention(4, 2, 3, qkv_bias=True)):
        assert sum("bias" in name for name, _ in module.named_parameters()) == 3


def test_the_wrapper_puts_its_heads_side_by_side(device):
    wrapper = MultiHeadAttentionWrapper(6, 3, 8, n_heads=4).to(device)
    x = torch.randn(2, 5, 6, device=device)
    out = wrapper(x)
    assert out.shape == (2, 5, 12)
    for number, head in enumerate(wrapper.heads):
        expected = torch.tensor([attend_with_loops(head, row, True) for row in x], device=device)
        assert_close(out[..., 3 * number : 3 * number + 3], expected)


def test_the_mask_of_one_head_is_a_buffer_that_is_not_saved():
    head = CausalAttention(4, 2, 6)
    assert head.future.dtype == torch.bool and head.future.shape == (6, 6)
    assert "future" in dict(head.named_buffers()) and "future" not in head.state_dict()


# --- many heads -----------------------------------------------------------------------------------


def torch_twin(ours):
    """torch's own module with a copy of our weights."""
    emb_dim = ours.proj.in_features
    bias = ours.qkv.bias is not None
    twin = nn.MultiheadAttention(emb_dim, ours.n_heads, bias=True, batch_first=True)
    with torch.no_grad():
        twin.in_proj_weight.copy_(ours.qkv.weight)
        twin.in_proj_bias.copy_(ours.qkv.bias if bias else torch.zeros(3 * emb_dim))
        twin.out_proj.weight.copy_(ours.proj.weight)
        twin.out_proj.bias.copy_(ours.proj.bias)
    return twin.to(ours.proj.weight.device).eval()


def filled_attention(device, emb_dim=12, n_heads=3, qkv_bias=True, **others):
    """Our module with all parameters random, the biases too."""
    module = MultiHeadAttention(emb_dim, n_heads, qkv_bias=qkv_bias, **others)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.4)
    return module.to(device).eval()


@pytest.mark.parametrize("qkv_bias", [False, True])
@pytest.mark.parametrize("n_heads", [1, 3, 12])
def test_many_heads_equal_torch(device, n_heads, qkv_bias):
    ours = filled_attention(device, n_heads=n_heads, qkv_bias=qkv_bias)
    x = torch.randn(2, 7, 12, device=device)
    future = torch.ones(7, 7, dtype=torch.bool, device=device).triu(1)
    expected, expected_weights = torch_twin(ours)(
        x, x, x, attn_mask=future, average_attn_weights=False
    )
    out, weights = ours(x, return_weights=True)
    assert_close(ours(x), expected)
    assert_close(out, expected)
    assert_close(weights, expected_weights)


def test_right_padding_equals_torch(device):
    ours = filled_attention(device)
    x = torch.randn(3, 6, 12, device=device)
    real = torch.arange(6, device=device) < torch.tensor([[6], [4], [1]], device=device)
    future = torch.ones(6, 6, dtype=torch.bool, device=device).triu(1)
    expected, expected_weights = torch_twin(ours)(
        x, x, x, attn_mask=future, key_padding_mask=~real, average_attn_weights=False
    )
    out, weights = ours(x, attention_mask=real, return_weights=True)
    assert_close(ours(x, attention_mask=real)[real], expected[real])
    assert_close(out[real], expected[real])
    assert_close(weights.transpose(1, 2)[real], expected_weights.transpose(1, 2)[real])


def test_many_heads_equal_the_wrapper(device):
    ours = filled_attention(device, qkv_bias=True)
    wrapper = MultiHeadAttentionWrapper(12, 4, 10, n_heads=3, qkv_bias=True).to(device)
    weights, biases = (
        ours.qkv.weight.view(3, 3, 4, 12),
        ours.qkv.bias.view(3, 3, 4),
    )  # (q k v, heads, head_dim, …)
    with torch.no_grad():
        for number, head in enumerate(wrapper.heads):
            for kind, layer in enumerate((head.query, head.key, head.value)):
                layer.weight.copy_(weights[kind, number])
                layer.bias.copy_(biases[kind, number])
    x = torch.randn(2, 10, 12, device=device)
    assert_close(ours(x), ours.proj(wrapper(x)))


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_changes_nothing(device, side):
    ours = filled_attention(device)
    rows = [torch.randn(1, tokens, 12, device=device) for tokens in (7, 4, 1)]
    batch, real = (
        torch.randn(3, 7, 12, device=device),
        torch.zeros(3, 7, dtype=torch.bool, device=device),
    )
    for number, row in enumerate(rows):
        place = slice(7 - row.shape[1], 7) if side == "left" else slice(0, row.shape[1])
        batch[number, place], real[number, place] = row[0], True
    out, weights = ours(batch, attention_mask=real, return_weights=True)
    assert out.isfinite().all() and weights.isfinite().all()
    fast = ours(batch, attention_mask=real)
    assert fast.isfinite().all()
    for number, row in enumerate(rows):
        assert_close(fast[number, real[number]], ours(row)[0])
        assert_close(out[number, real[number]], ours(row)[0])
        assert (
            weights[number][:, real[number]][..., ~real[number]] == 0
        ).all()  # no real token looks at padding


def test_a_mask_of_ones_and_zeros_works_like_a_bool_mask(device):
    ours = filled_attention(device)
    x, real = (
        torch.randn(2, 4, 12, device=device),
        torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]], device=device),
    )
    assert torch.equal(ours(x, attention_mask=real), ours(x, attention_mask=real.bool()))


MODULES = {
    "one head": lambda: CausalAttention(12, 4, 8),
    "wrapper": lambda: MultiHeadAttentionWrapper(12, 4, 8, n_heads=3),
    "many heads": lambda: MultiHeadAttention(12, 3),
}


@pytest.mark.parametrize("name", MODULES)
def test_a_later_token_never_changes_an_earlier_output(device, name):
    module = MODULES[name]().to(device).eval()
    x = torch.randn(2, 8, 12, device=device)
    before = module(x)
    for position in range(1, 8):
        changed = x.clone()
        changed[:, position:] = 100 * torch.randn_like(changed[:, position:])
        after = module(changed)
        assert torch.equal(after[:, :position], before[:, :position])  # bit for bit
        assert not torch.equal(after[:, position], before[:, position])


def test_self_attention_does_look_ahead():
    torch.manual_seed(0)
    module, x = SelfAttention(12, 4), torch.randn(1, 8, 12)
    changed = x.clone()
    changed[:, 7] += 1
    assert (module(changed)[:, :7] != module(x)[:, :7]).any()


@pytest.mark.parametrize("masked", [False, True])
def test_the_weights_are_those_of_the_fast_path(device, masked):
    ours = filled_attention(device)
    x = torch.randn(2, 9, 12, device=device)
    real = torch.ones(2, 9, dtype=torch.bool, device=device)
    real[1, :3] = False
    mask = real if masked else None
    out, weights = ours(x, attention_mask=mask, return_weights=True)
    assert (out - ours(x, attention_mask=mask)).abs().max() < 1e-6 * max(
        1.0, out.abs().max().item()
    )
    assert weights.shape == (2, 3, 9, 9)
    assert_close(weights.sum(dim=-1), torch.ones(2, 3, 9, device=device))
    assert (weights.triu(1) == 0).all()  # nothing on the future
    assert (weights >= 0).all()


# --- dropout, gradients, errors -------------------------------------------------------------------


@pytest.mark.parametrize("name", ["one head", "wrapper", "many heads"])
def test_dropout_only_in_training(device, name):
    module = {
        "one head": lambda: CausalAttention(12, 4, 8, drop_rate=0.5),
        "wrapper": lambda: MultiHeadAttentionWrapper(12, 4, 8, drop_rate=0.5, n_heads=3),
        "many heads": lambda: MultiHeadAttention(12, 3, drop_rate=0.5),
    }[name]().to(device)
    x = torch.randn(2, 8, 12, device=device)
    assert not torch.equal(module(x), module(x))
    module.eval()
    assert torch.equal(module(x), module(x))
    assert_close(module(x), without_dropout(module)(x))


def without_dropout(module):
    module.drop_rate = 0.0
    for part in module.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
    return module.train()


def test_dropout_drops_weights_and_doubles_the_rest(device):
    """With one-hot values the output is the row of weights itself, so what dropout did to it can be
    read.
    """
    head = CausalAttention(8, 8, 8, drop_rate=0.5).to(device)
    with torch.no_grad():
        head.value.weight.copy_(torch.eye(8))
        head.query.weight.zero_()  # all scores equal: row i has weights 1 / (i + 1)
    x = torch.eye(8, device=device).expand(500, 8, 8)
    rows = head(x)
    expected = torch.ones(8, 8, device=device).tril() / torch.arange(1, 9, device=device)[:, None]
    kept = rows != 0
    assert_close(rows[kept], (2 * expected).expand_as(rows)[kept])
    share = kept.float().mean(dim=0)[expected > 0]
    assert (0.4 < share).all() and (share < 0.6).all()
    assert (rows.sum(dim=-1) != 1).any()  # rows sum to one on average only
    assert (
        kept[:, 6, :7] != kept[:, 7, :7]
    ).any()  # each row drops its own: weights are dropped, not values
    assert_close(rows.mean(dim=0), expected, tolerance=0.1)


def test_returned_weights_are_those_before_dropout():
    ours = MultiHeadAttention(12, 3, drop_rate=0.5)
    _, weights = ours(torch.randn(2, 6, 12), return_weights=True)
    assert_close(weights.sum(dim=-1), torch.ones(2, 3, 6))


@pytest.mark.parametrize("return_weights", [False, True])
def test_gradients_flow_to_everything(device, return_weights):
    ours = filled_attention(device)
    x = torch.randn(2, 5, 12, device=device, requires_grad=True)
    out = ours(x, return_weights=return_weights)
    (out[0] if return_weights else out).square().sum().backward()
    for name, parameter in [("x", x), *ours.named_parameters()]:
        assert parameter.grad.isfinite().all() and parameter.grad.abs().sum() > 0, name


def test_gradients_with_padding_are_finite(device):
    ours = filled_attention(device)
    x = torch.randn(2, 5, 12, device=device, requires_grad=True)
    real = torch.tensor([[False, False, True, True, True], [True] * 5], device=device)
    ours(x, attention_mask=real)[real].square().sum().backward()
    assert x.grad.isfinite().all() and (x.grad[~real] == 0).all()


def test_no_gradient_from_the_past_to_the_future(device):
    ours = filled_attention(device)
    x = torch.randn(1, 6, 12, device=device, requires_grad=True)
    ours(x)[:, 2].sum().backward()
    assert (x.grad[:, 3:] == 0).all() and (x.grad[:, :3] != 0).any(dim=-1).all()


def test_errors():
    with pytest.raises(ValueError, match=r"emb_dim \(10\) must be divisible by n_heads \(3\)"):
        MultiHeadAttention(10, 3)
    module = MultiHeadAttention(12, 3)
    with pytest.raises(ValueError, match="attention_mask covers 4 tokens, but there are 5"):
        module(torch.randn(1, 5, 12), attention_mask=torch.ones(1, 4))
    cache = KVCache()
    module(torch.randn(1, 5, 12), cache)
    with pytest.raises(ValueError, match="attention_mask covers 1 tokens, but there are 6"):
        module(torch.randn(1, 1, 12), cache, attention_mask=torch.ones(1, 1))


# --- the cache ------------------------------------------------------------------------------------


@torch.no_grad()
def in_pieces(layers, x, sizes, attention_mask=None):
    """Feed (batch, tokens, emb_dim) through layers with one cache, in pieces of these sizes."""
    cache, outputs, start = KVCache(), [], 0
    for size in sizes:
        piece = x[:, start : start + size]
        assert cache.length == start
        start += size
        for layer in layers:
            piece = layer(
                piece, cache, None if attention_mask is None else attention_mask[:, :start]
            )
        outputs.append(piece)
    assert cache.length == start == x.shape[1]
    return torch.cat(outputs, dim=1)


@torch.no_grad()
def at_once(layers, x, attention_mask=None):
    for layer in layers:
        x = layer(x, attention_mask=attention_mask)
    return x


@pytest.mark.parametrize("sizes", [[1] * 12, [5, 4, 3], [1, 10, 1], [12], [7, 1, 1, 1, 1, 1]])
@pytest.mark.parametrize("n_layers", [1, 3])
def test_the_cache_equals_the_full_pass(device, sizes, n_layers):
    layers = [filled_attention(device, layer=number) for number in range(n_layers)]
    x = torch.randn(2, 12, 12, device=device)
    assert_close(in_pieces(layers, x, sizes), at_once(layers, x), tolerance=1e-4)


@pytest.mark.parametrize("sizes", [[1] * 150, [60, 4, 1, 1, 84], [150], [64, 1, 85]])
def test_the_cache_grows(device, sizes):
    layers = [filled_attention(device, layer=number) for number in range(2)]
    x = torch.randn(1, 150, 12, device=device)
    assert_close(in_pieces(layers, x, sizes), at_once(layers, x), tolerance=1e-4)


@pytest.mark.parametrize("sizes", [[6, 1, 1, 1], [3, 6], [1] * 9])
def test_the_cache_with_left_padding(device, sizes):
    layers = [filled_attention(device, layer=number) for number in range(2)]
    x = torch.randn(3, 9, 12, device=device)
    real = torch.ones(3, 9, dtype=torch.bool, device=device)
    real[1, :2], real[2, :5] = False, False
    assert_close(
        in_pieces(layers, x, sizes, real)[real], at_once(layers, x, real)[real], tolerance=1e-4
    )
    alone = at_once(layers, x[2:, 5:])
    assert_close(in_pieces(layers, x, sizes, real)[2:, 5:], alone, tolerance=1e-4)


def test_the_cache_gives_the_weights_over_all_keys(device):
    module, cache = filled_attention(device), KVCache()
    x = torch.randn(2, 6, 12, device=device)
    _, full = module(x, return_weights=True)
    module(x[:, :4], cache)
    _, weights = module(x[:, 4:], cache, return_weights=True)
    assert_close(weights, full[:, :, 4:])


def test_the_cache_keeps_its_layers_apart():
    cache, keys, values = KVCache(), torch.randn(1, 2, 3, 4), torch.randn(1, 2, 3, 4)
    assert cache.length == 0
    cache.update(keys, values, layer=0)
    other_keys, other_values = cache.update(keys + 1, values + 1, layer=1)
    assert torch.equal(other_keys, keys + 1) and torch.equal(other_values, values + 1)
    all_keys, all_values = cache.update(keys[:, :, :1], values[:, :, :1], layer=0)
    assert torch.equal(all_keys, torch.cat([keys, keys[:, :, :1]], dim=2))
    assert torch.equal(all_values, torch.cat([values, values[:, :, :1]], dim=2))
    assert cache.lengths == {0: 4, 1: 3} and cache.length == 3


def test_the_cache_copies_the_past_seldom():
    """Buffers grow by doubling: 1000 single tokens move to a new buffer a handful of times, not
    1000 times.
    """
    cache, places = KVCache(), set()
    for _ in range(1000):
        keys, _ = cache.update(torch.ones(1, 1, 1, 2), torch.ones(1, 1, 1, 2))
        places.add(keys.untyped_storage().data_ptr())
    assert keys.shape == (1, 1, 1000, 2) and (keys == 1).all()
    assert len(places) <= 6


# --- the plot -------------------------------------------------------------------------------------

WORDS = ["Mia", "the", "fox", "saw", "the", "moon"]


def labels(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def test_plot_attention_writes_the_words_on_the_axes():
    import matplotlib.pyplot as plt

    figure = plot_attention(torch.rand(6, 6), WORDS)
    ax = figure.axes[0]
    assert labels(ax.xaxis) == WORDS and labels(ax.yaxis) == WORDS and ax.get_title() == ""
    plt.close(figure)


def test_plot_attention_takes_words_as_words(tmp_path):
    """A "$" begins no formula, neither in a word nor in a title; it is drawing that would fail."""
    import matplotlib.pyplot as plt

    words = ["$", "$x_{", "a$b$", "%", "\\frac", "_"]
    figure = plot_attention(torch.rand(2, 6, 6), words, titles=["$5 and $", "$\\no$"])
    figure.savefig(tmp_path / "maps.png")
    assert labels(figure.axes[0].xaxis) == words and figure.axes[1].get_title() == "$\\no$"
    plt.close(figure)


def test_plot_attention_draws_a_map_per_head():
    import matplotlib.pyplot as plt

    weights = torch.rand(5, 2, 6, requires_grad=True)
    figure = plot_attention(weights, WORDS[4:], key_tokens=WORDS, titles=list("abcde"), columns=3)
    shown = [ax for ax in figure.axes if ax.axison and ax.images]
    assert [ax.get_title() for ax in shown] == list("abcde")
    for ax, head in zip(shown, weights.detach(), strict=True):
        assert labels(ax.xaxis) == WORDS and labels(ax.yaxis) == WORDS[4:]
        assert (torch.as_tensor(ax.images[0].get_array()) == head).all()
    figure.canvas.draw()
    plt.close(figure)
    figure = plot_attention(weights, WORDS[4:], key_tokens=WORDS)
    assert figure.axes[4].get_title() == "head 4"
    plt.close(figure)


@pytest.mark.parametrize("shape", [(5, 6), (6, 5), (2, 5, 5), (1, 2, 6, 6), (6,)])
def test_plot_attention_refuses_words_that_do_not_fit(shape):
    with pytest.raises(ValueError, match="do not fit 6 tokens"):
        plot_attention(torch.rand(shape), WORDS)


def test_plot_attention_works_without_a_screen():
    import os
    import subprocess
    import sys

    code = (
        "import torch; from plot_attention import plot_attention\n"
        "plot_attention(torch.rand(2, 3, 3), ['a', 'b', 'c']).savefig(sys.stdout.buffer, format='png')"
    )
    environment = {
        name: text for name, text in os.environ.items() if name not in ("DISPLAY", "MPLBACKEND")
    }
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; {code}"],
        cwd=FOLDER,
        env=environment,
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.startswith(b"\x89PNG")


# --- the exercises and their checks ---------------------------------------------------------------


def future_of(scores):
    tokens = scores.shape[-1]
    return torch.arange(tokens)[None, :] > torch.arange(tokens)[:, None]


def solved_context_vectors(x):
    return torch.stack(
        [sum(w * row for w, row in zip((x @ query).softmax(0), x, strict=True)) for query in x]
    )


def solved_causal_weights(scores):
    exponentials = scores.exp() * ~future_of(scores)
    return exponentials / exponentials.sum(dim=-1, keepdim=True)


def solved_split_heads(x, n_heads):
    return torch.stack(x.chunk(n_heads, dim=-1), dim=1)


def solved_multi_head(x, w_qkv, w_out, n_heads, mask=True, scale=None, first="qkv"):
    parts = dict(zip(first, (x @ w_qkv).chunk(3, dim=-1), strict=True))
    outputs = []
    for q, k, v in zip(*(parts[name].chunk(n_heads, dim=-1) for name in "qkv"), strict=True):
        scores = q @ k.transpose(1, 2) / (scale or q.shape[-1]) ** 0.5
        outputs.append((solved_causal_weights(scores) if mask else scores.softmax(-1)) @ v)
    return torch.cat(outputs, dim=-1) @ w_out


def heads_merged_wrongly(x, w_qkv, w_out, n_heads):
    q, k, v = (solved_split_heads(part, n_heads) for part in (x @ w_qkv).chunk(3, dim=-1))
    out = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    return out.reshape(x.shape) @ w_out


def solved_attend_next(query, past_keys, past_values, new_key, new_value):
    keys, values = torch.cat([past_keys, new_key]), torch.cat([past_values, new_value])
    return attend_rows(query, keys, values), keys, values


def attend_rows(query, keys, values):
    return (query @ keys.T / keys.shape[1] ** 0.5).softmax(-1) @ values


def forgets_itself(query, past_keys, past_values, new_key, new_value):
    out = attend_rows(query, past_keys, past_values)
    return out, torch.cat([past_keys, new_key]), torch.cat([past_values, new_value])


def masks_from_the_top_left(query, past_keys, past_values, new_key, new_value):
    keys, values = torch.cat([past_keys, new_key]), torch.cat([past_values, new_value])
    scores = (query @ keys.T).masked_fill(
        ~torch.ones(1, len(keys), dtype=torch.bool).tril(), -torch.inf
    )
    return scores.softmax(-1) @ values, keys, values


def puts_the_new_row_first(query, past_keys, past_values, new_key, new_value):
    keys, values = torch.cat([new_key, past_keys]), torch.cat([new_value, past_values])
    return attend_rows(query, keys, values), keys, values


def keeps_the_old_cache(query, past_keys, past_values, new_key, new_value):
    return (
        solved_attend_next(query, past_keys, past_values, new_key, new_value)[0],
        past_keys,
        past_values,
    )


def solved_previous_share(weights):
    return torch.stack(
        [torch.stack([head[i, i - 1] for i in range(1, len(head))]).mean() for head in weights]
    )


# exercise: (a right answer, [(a wrong answer, words of the message that names its mistake), …])
EXERCISES = {
    "context_vectors": (
        solved_context_vectors,
        [
            (lambda x: x @ x.T @ x, "there is no softmax"),
            (lambda x: (x @ x.T).softmax(dim=0) @ x, "down the columns"),
            (lambda x: (x @ x.T / (x @ x.T).sum(-1, keepdim=True)) @ x, "divided by their sum"),
            (lambda x: x.mean(0, keepdim=True).repeat(len(x), 1), "the plain average"),
            (lambda x: (x @ x.T).softmax(-1).transpose(0, 1) @ x, "were transposed"),
            (lambda x: (x @ x.T).softmax(-1), "`weights @ x` is missing"),
            (lambda x: (x @ x.T).softmax(-1) @ x + 1, "expected"),
        ],
    ),
    "scaled_scores": (
        lambda q, k: torch.einsum("id,jd->ij", q, k) / q.shape[1] ** 0.5,
        [
            (lambda q, k: q @ k.T, "not divided by √d"),
            (lambda q, k: q @ k.T / k.shape[1], "not by its square root"),
            (lambda q, k: q @ k.T * k.shape[1] ** 0.5, "multiplied by √d"),
            (lambda q, k: q @ k.T / k.shape[0] ** 0.5, "number of keys"),
            (lambda q, k: q @ k.T / q.shape[0] ** 0.5, "number of tokens"),
            (lambda q, k: k @ q.T / q.shape[1] ** 0.5, "rows and columns are exchanged"),
            (lambda q, k: q @ k, "turn the keys over"),
        ],
    ),
    "causal_weights": (
        solved_causal_weights,
        [
            (
                lambda s: s.softmax(-1).masked_fill(future_of(s), 0),
                "applied after the softmax: rows no longer sum to 1",
            ),
            (lambda s: s.masked_fill(future_of(s), 0).softmax(-1), "not to -inf"),
            (lambda s: (s * ~future_of(s)).softmax(-1), "not to -inf"),
            (
                lambda s: s.masked_fill(future_of(s).T, -torch.inf).softmax(-1),
                "the past was masked",
            ),
            (
                lambda s: s.masked_fill(~future_of(s).T, -torch.inf).softmax(-1),
                "the diagonal was masked too",
            ),
            (lambda s: s.softmax(-1), "nothing was masked"),
            (
                lambda s: s.masked_fill(future_of(s).triu(2), -torch.inf).softmax(-1),
                "still sees the next one",
            ),
            (lambda s: s.masked_fill(future_of(s), -torch.inf).softmax(-2), "down the columns"),
        ],
    ),
    "apply_dropout": (
        lambda weights, keep, rate: torch.where(
            keep, weights / (1 - rate), torch.zeros_like(weights)
        ),
        [
            (lambda weights, keep, rate: weights * keep, "must grow by"),
            (
                lambda weights, keep, rate: weights * keep * (1 - rate),
                "multiplied by 1 - drop_rate",
            ),
            (lambda weights, keep, rate: weights.masked_fill(keep, 0) / (1 - rate), "upside down"),
            (
                lambda w, keep, rate: w * keep / (w * keep).sum(-1, keepdim=True),
                "each row was made to sum to 1",
            ),
            (lambda weights, keep, rate: weights / (1 - rate), "nothing was dropped"),
            (
                lambda weights, keep, rate: weights * keep / rate if rate else weights / 0 * keep,
                "what is kept is the share",
            ),
            (lambda weights, keep, rate: weights, "nothing was done"),
            (
                lambda weights, keep, rate: nn.functional.dropout(weights, rate),
                "the dice are thrown already",
            ),
            (
                lambda weights, keep, rate: nn.Dropout(rate)(weights * keep),
                "the dice are thrown already",
            ),
            (lambda weights, keep, rate: weights @ keep, "it stops with"),
        ],
    ),
    "split_heads": (
        solved_split_heads,
        [
            (lambda x, n: x.view(x.shape[0], n, x.shape[1], -1), "tears the tokens apart"),
            (
                lambda x, n: torch.stack([x[..., i::n] for i in range(n)], dim=1),
                "dealt out in turn",
            ),
            (lambda x, n: x.view(x.shape[0], x.shape[1], n, -1), "transpose(1, 2)"),
            (
                lambda x, n: x.view(x.shape[0], x.shape[1], -1, n).transpose(1, 2),
                "n_heads and head_dim are exchanged",
            ),
            (lambda x, n: torch.stack(x.chunk(n, dim=-1)), "the batch stays first"),
        ],
    ),
    "multi_head": (
        solved_multi_head,
        [
            (lambda *inputs: solved_multi_head(*inputs, mask=False), "the causal mask is missing"),
            (
                lambda *inputs: solved_multi_head(*inputs, scale=inputs[0].shape[-1]),
                "divided by √emb_dim",
            ),
            (lambda *inputs: solved_multi_head(*inputs, scale=1), "not divided by √head_dim"),
            (heads_merged_wrongly, "without transpose(1, 2)"),
            (
                lambda x, w, w_out, n: solved_multi_head(x, w, torch.eye(len(w_out)), n),
                "`@ w_out`, is missing",
            ),
            (
                lambda *inputs: solved_multi_head(*inputs, first="kqv"),
                "queries and keys are exchanged",
            ),
            (
                lambda *inputs: solved_multi_head(*inputs, first="vkq"),
                "queries, keys, values, in this order",
            ),
            (
                lambda x, w, w_out, n: solved_multi_head(x, w, w_out, 1),
                "all heads were taken as one",
            ),
        ],
    ),
    "weights_bytes": (
        lambda batch, n_heads, tokens, size: size * tokens**2 * n_heads * batch,
        [
            (
                lambda batch, n_heads, tokens, size: batch * n_heads * tokens * size,
                "tokens counts twice",
            ),
            (
                lambda batch, n_heads, tokens, size: batch * tokens**2 * size,
                "each head has a matrix of its own",
            ),
            (
                lambda batch, n_heads, tokens, size: n_heads * tokens**2 * size,
                "each text of the batch",
            ),
            (
                lambda batch, n_heads, tokens, size: batch * n_heads * tokens**2,
                "bytes_per_number bytes",
            ),
            (
                lambda batch, n_heads, tokens, size: batch * n_heads * tokens**2 * size * 8,
                "these are bits",
            ),
            (
                lambda batch, n_heads, tokens, size: batch * n_heads * tokens**2 * size // 2,
                "above the diagonal",
            ),
        ],
    ),
    "attend_next": (
        solved_attend_next,
        [
            (forgets_itself, "does not see itself"),
            (masks_from_the_top_left, "only the first key"),
            (puts_the_new_row_first, "stands before the past"),
            (keeps_the_old_cache, "lacks the new row"),
            (
                lambda *inputs: solved_attend_next(*inputs)[0],
                "the result is a Tensor, expected a tuple. Likely mistake: only the output came back",
            ),
            (
                lambda *inputs: solved_attend_next(*inputs)[::2] + solved_attend_next(*inputs)[1:2],
                "wrong order",
            ),
            (
                lambda *inputs: solved_attend_next(
                    inputs[0] * inputs[0].shape[1] ** 0.5, *inputs[1:]
                ),
                "divided by √d",
            ),
        ],
    ),
    "previous_share": (
        solved_previous_share,
        [
            (lambda w: w.diagonal(1, 1, 2).mean(-1), "the next token"),
            (lambda w: w.diagonal(0, 1, 2).mean(-1), "on itself"),
            (lambda w: w.diagonal(-1, 1, 2).sum(-1) / w.shape[1], "tokens - 1 places"),
            (lambda w: w.diagonal(-1, 1, 2).sum(-1), "a sum, not an average"),
            (lambda w: w[:, 1:, 0].mean(-1), "the first token of the text"),
            (lambda w: w.diagonal(-1, 1, 2).mean(), "the heads were averaged too"),
        ],
    ),
}

MUTANTS = module_beside(__file__, "test_mutants")  # those of the notebook beside the chapter's
EXERCISES |= exercises_of(
    {name: table for name, table in MUTANTS.MUTANTS.items() if name not in EXERCISES}, MUTANTS.NAMES
)


class TestExercises(ExerciseTests, MistakeTests, HintTests):
    checks, exercises, notebook = checks, EXERCISES, FOLDER / "ch03.ipynb"


# --- the notebook ---------------------------------------------------------------------------------


def test_the_notebook_teaches_this_very_code():
    names = [
        "SelfAttention",
        "CausalAttention",
        "MultiHeadAttentionWrapper",
        "allowed_pairs",
        "explicit_attention",
        "MultiHeadAttention",
    ]
    assert_same_code(FOLDER / "ch03.ipynb", FOLDER / "attention.py", names)


def test_the_text_names_no_head():
    """Another tales-gpt has other heads: which one does what, a cell finds out and prints."""
    cells = json.loads((FOLDER / "ch03.ipynb").read_text(encoding="utf-8"))["cells"]
    text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    assert "layer.head" in text and not re.findall(r"[Hh]eads? \d\.\d", text)


def test_the_drawn_result_is_what_the_notebook_prints():
    settings = runpy.run_path(str(FOLDER / "figures" / "draw.py"))
    cells = json.loads((FOLDER / "ch03.ipynb").read_text(encoding="utf-8"))["cells"]
    outputs = [
        "".join(output.get("text", "")) for cell in cells for output in cell.get("outputs", [])
    ]
    (printed,) = (
        output for output in outputs if output.startswith("the head that looks at Mia most is")
    )
    head, *lines = printed.splitlines()
    assert head.endswith(f" {settings['HEAD']}:")
    weights = {int(place): float(weight) for _, place, *_, weight in map(str.split, lines)}
    assert weights == pytest.approx(settings["WEIGHTS"], abs=0.02)
