"""The laboratory's model is chapter 4's GPT, and each switch is what others call by its name; the
plan makes the right runs, loses none and repeats none; planted differences are found.
"""

import math
import sys
from dataclasses import fields, replace
from functools import partial
from pathlib import Path

import pytest

if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__, *sys.argv[1:]]))

sys.path.insert(0, str(Path(__file__).parent))  # the modules of this folder

import torch
import torch.nn.functional as F
from lab_model import ACTIVATIONS, LabAttention, LabBlock, LabConfig, LabModel, alibi, sinusoids
from torch import nn
from variants import default_recipe

from ch03_01_main_chapter_code.attention import KVCache
from ch04_01_main_chapter_code.gpt import GPT, GPTConfig, count_parameters

FOLDER = Path(__file__).parent
SMALL = LabConfig(50, 24, emb_dim=32, n_heads=4, n_layers=2, init_std=0.2)
POSITIONS = ("learned", "none", "sinusoidal", "rotary", "alibi")


def model_of(**changes):
    torch.manual_seed(1)
    return LabModel(replace(SMALL, **changes)).eval()


def ids(batch=2, tokens=12):
    return torch.randint(50, (batch, tokens), generator=torch.Generator().manual_seed(2))


# --- The model ------------------------------------------------------------------------------------


@pytest.mark.parametrize("tied", [True, False])
def test_by_default_it_is_chapter_4s_gpt(tied):
    config = replace(default_recipe().model, tie_weights=tied)
    gpt, lab = GPT(plain(config)).eval(), LabModel(config).eval()
    lab.load_state_dict(gpt.state_dict())
    assert count_parameters(gpt) == count_parameters(lab)
    idx = torch.randint(config.vocab_size, (3, 40))
    with torch.no_grad():
        torch.testing.assert_close(lab(idx), gpt(idx), rtol=0, atol=1e-5)


def plain(config):
    """The `GPTConfig` that a `LabConfig` is without its switches."""
    return GPTConfig(**{f.name: getattr(config, f.name) for f in fields(GPTConfig)})


def test_it_begins_with_weights_as_large_as_the_gpts():
    config = default_recipe().model
    torch.manual_seed(0)
    gpt = dict(GPT(plain(config)).named_parameters())
    for name, weight in LabModel(config).named_parameters():
        if weight.dim() == 2:
            assert weight.std().item() == pytest.approx(gpt[name].std().item(), rel=0.05), name
        else:
            torch.testing.assert_close(weight, gpt[name])


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize("heads", [1, 4])
@pytest.mark.parametrize("activation", ["gelu", "relu", "relu2"])
def test_a_block_is_pytorchs(place, heads, activation):
    """nn.TransformerEncoderLayer with a causal mask; the activation is named anew here."""
    named = {
        "gelu": partial(F.gelu, approximate="tanh"),
        "relu": F.relu,
        "relu2": lambda x: torch.where(x > 0, x * x, 0),
    }
    config = replace(SMALL, norm_place=place, n_heads=heads, activation=activation)
    theirs = nn.TransformerEncoderLayer(
        32, heads, 128, 0.0, named[activation], norm_first=place == "before", batch_first=True
    )
    torch.manual_seed(3)
    for parameter in theirs.parameters():
        nn.init.normal_(parameter, std=0.3)
    ours, weights = LabBlock(config), theirs.state_dict()
    renamed = {
        "self_attn.in_proj_": "attention.qkv.",
        "self_attn.out_proj.": "attention.proj.",
        "linear1.": "feed_forward.expand.",
        "linear2.": "feed_forward.proj.",
    }
    for old, new in renamed.items():
        weights = {name.replace(old, new): tensor for name, tensor in weights.items()}
    ours.load_state_dict(weights)
    x, mask = torch.randn(2, 9, 32), nn.Transformer.generate_square_subsequent_mask(9)
    torch.testing.assert_close(ours(x), theirs(x, mask), rtol=1e-4, atol=1e-5)
    assert set(ACTIVATIONS) == set(named)


def test_rms_norm_is_pytorchs_and_without_a_norm_nothing_is_normed():
    x = 3 * torch.randn(2, 5, 32)
    ours, theirs = model_of(norm="rms").blocks[0].norm1, nn.RMSNorm(32, eps=1e-5)
    weight = torch.randn(32)
    ours.weight.data, theirs.weight.data = weight, weight
    torch.testing.assert_close(ours(x), theirs(x))
    model = model_of(norm="none")
    norms = [part for part in model.modules() if "norm" in type(part).__name__.lower()]
    assert not norms and torch.equal(model.blocks[0].norm1(x), x)


def test_sinusoids_are_the_papers():
    table = sinusoids(30, 32)
    transformers = pytest.importorskip("transformers.models.marian.modeling_marian")
    theirs = transformers.MarianSinusoidalPositionalEmbedding(30, 32).create_weight()
    halves = torch.cat([table[:, 0::2], table[:, 1::2]], dim=1)  # they put the sines first
    torch.testing.assert_close(halves, theirs, rtol=0, atol=1e-5)
    assert table[7, 4] == pytest.approx(math.sin(7 / 10_000 ** (4 / 32)))
    assert table[7, 5] == pytest.approx(math.cos(7 / 10_000 ** (4 / 32)))


def plain_attention(queries, keys, values, bias):
    scores = queries @ keys.transpose(-1, -2) / queries.shape[-1] ** 0.5 + bias
    return scores.softmax(dim=-1) @ values


def split(attention, x):
    """Queries, keys and values, (batch, heads, tokens, head_dim) each, before any rotation."""
    batch, tokens, emb_dim = x.shape
    heads = attention.config.n_heads
    parts = attention.qkv(x).chunk(3, dim=-1)
    return [part.view(batch, tokens, heads, emb_dim // heads).transpose(1, 2) for part in parts]


def joined(attention, out):
    return attention.proj(out.transpose(1, 2).flatten(2))


def future(tokens):
    return torch.full((tokens, tokens), -torch.inf).triu(diagonal=1)


def test_rotary_positions_are_those_of_transformers():
    llama = pytest.importorskip("transformers.models.llama.modeling_llama")
    from transformers import LlamaConfig

    attention = LabAttention(replace(SMALL, positions="rotary"))
    x = torch.randn(2, 9, 32)
    queries, keys, values = split(attention, x)
    config = LlamaConfig(hidden_size=32, num_attention_heads=4, rope_theta=10_000.0)
    cos, sin = llama.LlamaRotaryEmbedding(config)(x, torch.arange(9)[None])
    queries, keys = llama.apply_rotary_pos_emb(queries, keys, cos, sin)
    expected = joined(attention, plain_attention(queries, keys, values, future(9)))
    torch.testing.assert_close(attention(x), expected, rtol=1e-4, atol=1e-5)


def test_alibi_is_that_of_transformers():
    """Theirs counts from the first key; to a softmax that is the same."""
    bloom = pytest.importorskip("transformers.models.bloom.modeling_bloom")
    theirs = bloom.build_alibi_tensor(torch.ones(1, 9), 4, torch.float32)  # (heads, 1, tokens)
    attention = LabAttention(replace(SMALL, positions="alibi"))
    x = torch.randn(2, 9, 32)
    expected = joined(attention, plain_attention(*split(attention, x), theirs + future(9)))
    torch.testing.assert_close(attention(x), expected, rtol=1e-4, atol=1e-5)
    assert alibi(8, 2, 3)[0].tolist() == [[-0.5, 0.0, -math.inf], [-1.0, -0.5, 0.0]]


def test_swiglu_is_that_of_transformers_and_as_large():
    llama = pytest.importorskip("transformers.models.llama.modeling_llama")
    from transformers import LlamaConfig

    ours = model_of(activation="swiglu").blocks[0].feed_forward
    config = LlamaConfig(hidden_size=32, intermediate_size=85, mlp_bias=True, hidden_act="silu")
    theirs = llama.LlamaMLP(config)
    for a, b in (("gate", "gate_proj"), ("expand", "up_proj"), ("proj", "down_proj")):
        getattr(theirs, b).load_state_dict(getattr(ours, a).state_dict())
    x = torch.randn(2, 5, 32)
    torch.testing.assert_close(ours(x), theirs(x))


@pytest.mark.parametrize("positions", POSITIONS)
def test_a_cache_changes_nothing(positions):
    model, idx = model_of(positions=positions), ids()
    cache = KVCache()
    with torch.no_grad():
        parts = [model(part, cache) for part in idx.split([5, 1, 6], dim=1)]
        torch.testing.assert_close(torch.cat(parts, dim=1), model(idx), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("positions", POSITIONS)
def test_no_token_sees_the_future_and_only_positions_see_the_order(positions):
    model, idx = model_of(positions=positions), ids()
    changed = idx.clone()
    changed[:, 8] = (changed[:, 8] + 1) % 50
    with torch.no_grad():
        before, after = model(idx), model(changed)
        assert torch.equal(before[:, :8], after[:, :8]) and not torch.equal(before, after)
        swapped = idx.clone()
        swapped[:, [2, 5]] = idx[:, [5, 2]]
        same = torch.allclose(model(swapped)[:, -1], before[:, -1], atol=1e-5)
    # Two layers of causal attention see some order without positions, one does not.
    single = LabModel(replace(SMALL, positions=positions, n_layers=1)).eval()
    with torch.no_grad():
        alike = torch.allclose(single(swapped)[:, -1], single(idx)[:, -1], atol=1e-5)
    assert not same and alike == (positions == "none")


def test_dropout_biases_and_head_are_switched():
    idx = ids()
    dropped = model_of(drop_rate=0.5)
    assert torch.equal(dropped(idx), dropped(idx))
    dropped.train()
    assert not torch.equal(dropped(idx), dropped(idx))
    names = [name for name, _ in model_of(biases=False).named_parameters() if "bias" in name]
    assert names and all("norm" in name for name in names)
    model, own = model_of(), model_of(tie_weights=False)
    assert model.head.weight is model.tok_emb.weight
    assert count_parameters(own) - count_parameters(model) == 50 * 32


def test_what_makes_no_model_is_told():
    for fault, words in (
        (dict(positions="relative"), "positions must be one of learned, none"),
        (dict(norm="batch"), "norm must be"),
        (dict(positions="rotary", emb_dim=36), "pairs"),
        (dict(emb_dim=33), "divisible"),
    ):
        with pytest.raises(ValueError, match=words):
            replace(SMALL, **fault)
    with pytest.raises(ValueError, match="25 tokens do not fit"):
        model_of()(torch.zeros(1, 25, dtype=torch.long))
    with pytest.raises(ValueError, match="pad on the right"):
        model_of()(ids(), attention_mask=torch.ones(2, 12, dtype=torch.bool))
