"""The decoder against `transformers`: every family, on random weights, so that nothing is
downloaded."""

import json
from dataclasses import replace

import pytest

if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__]))

import torch
from torch import nn

from ch03_01_main_chapter_code.attention import KVCache
from ch05_01_main_chapter_code.gpt_generate import generate_ids, load_model
from ch05_05_bonus_gpt_to_llama.decoder import Decoder
from ch05_05_bonus_gpt_to_llama.decoder_config import DecoderConfig, Rotation
from ch05_05_bonus_gpt_to_llama.families import FAMILIES, config_from_settings, their_name

SIZES = dict(
    vocab_size=97,
    hidden_size=48,
    intermediate_size=80,
    num_hidden_layers=5,
    num_attention_heads=6,
    num_key_value_heads=2,
    max_position_embeddings=64,
    bos_token_id=1,
    eos_token_id=2,
    pad_token_id=0,
)
LLAMA3 = dict(
    rope_type="llama3",
    rope_theta=500_000.0,
    factor=8.0,
    low_freq_factor=1.0,
    high_freq_factor=4.0,
    original_max_position_embeddings=16,
)
YARN = dict(rope_type="yarn", rope_theta=10_000.0, factor=4.0, original_max_position_embeddings=16)
LINEAR = dict(rope_type="linear", rope_theta=10_000.0, factor=2.0)
PLAIN = dict(rope_type="default", rope_theta=10_000.0)
MIXED = ["full_attention", "sliding_attention", "sliding_attention", "full_attention"]


def slides(window, first_layer=0):
    return dict(use_sliding_window=True, sliding_window=window, max_window_layers=first_layer)


CASES = {
    "llama": ("llama", {}),
    "llama, one head, biases, llama3": (
        "llama",
        dict(num_key_value_heads=1, attention_bias=True, mlp_bias=True, rope_parameters=LLAMA3)
        | dict(head_dim=10, tie_word_embeddings=True),
    ),
    "llama, yarn": ("llama", dict(rope_parameters=YARN)),
    "llama, linear": ("llama", dict(rope_parameters=LINEAR)),
    "mistral": ("mistral", dict(sliding_window=7)),
    "mistral, no window": ("mistral", dict(sliding_window=None, num_key_value_heads=6)),
    "qwen2": ("qwen2", {}),
    "qwen2, window": ("qwen2", slides(5, 2)),
    "qwen3": ("qwen3", dict(head_dim=14)),
    "qwen3, window": (
        "qwen3",
        dict(attention_bias=True, head_dim=8, tie_word_embeddings=True) | slides(6, 3),
    ),
    "gemma2": ("gemma2", dict(head_dim=12, sliding_window=6, query_pre_attn_scalar=20)),
    "gemma2, no caps": (
        "gemma2",
        dict(head_dim=8, attn_logit_softcapping=None, final_logit_softcapping=None),
    ),
    "gemma3": ("gemma3_text", dict(head_dim=12, sliding_window=6, query_pre_attn_scalar=20)),
    "gemma3, scaled": (
        "gemma3_text",
        dict(head_dim=8, sliding_window=4, layer_types=[*MIXED, "sliding_attention"])
        | dict(rope_parameters={"full_attention": LINEAR, "sliding_attention": PLAIN}),
    ),
    "olmo2": ("olmo2", {}),
    "olmo2, biases": ("olmo2", dict(attention_bias=True, num_key_value_heads=3)),
    "olmo3": ("olmo3", dict(sliding_window=5)),
    "olmo3, yarn": (
        "olmo3",
        dict(sliding_window=5)
        | dict(rope_parameters={"full_attention": YARN, "sliding_attention": PLAIN}),
    ),
    "smollm3": ("smollm3", {}),
    "smollm3, window": (
        "smollm3",
        dict(no_rope_layer_interval=2, mlp_bias=True, attention_bias=True) | slides(6),
    ),
}


def theirs(name, **changes):
    """A small model of `transformers` with weights large enough that every part of it matters."""
    transformers = pytest.importorskip("transformers", reason="needs requirements-dev.txt")
    kind, settings = CASES[name]
    torch.manual_seed(len(name))
    config = transformers.AutoConfig.for_model(kind, **(SIZES | settings | changes))
    build = transformers.AutoModelForCausalLM.from_config
    model = build(config, attn_implementation="eager").eval()
    for parameter in model.parameters():
        parameter.data *= 2
        parameter.data += 0.1 * torch.randn_like(parameter)
    return model


def ours(model, folder, **options):
    model.save_pretrained(folder, **options)
    return Decoder.from_pretrained(folder)


def some_ids(batch=3, tokens=33, seed=5):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(3, 97, (batch, tokens), generator=generator)


def far_apart(a, b):
    """The largest difference, as a share of the largest number."""
    return float((a - b).detach().abs().max() / b.detach().abs().max())


# --- The same numbers -----------------------------------------------------------------------------


def test_all_families_are_here():
    assert {kind for kind, _ in CASES.values()} == set(FAMILIES)


@pytest.mark.parametrize("name", CASES)
def test_logits_are_theirs_and_our_folders_open_there(name, tmp_path):
    transformers = pytest.importorskip("transformers", reason="needs requirements-dev.txt")
    model, ids = theirs(name), some_ids()
    decoder = ours(model, tmp_path / "theirs")
    decoder.save_pretrained(tmp_path / "ours")
    again = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path / "ours", attn_implementation="eager"
    ).eval()
    with torch.no_grad():
        expected, found = model(ids).logits, decoder(ids)
        assert expected.std() > 0.1
        assert far_apart(found, expected) < 1e-5
        assert far_apart(again(ids).logits, expected) < 1e-5
    assert torch.equal(Decoder.from_pretrained(tmp_path / "ours")(ids), found)


@pytest.mark.parametrize("name", CASES)
def test_greedy_ids_are_theirs_with_the_cache_and_beyond_the_window(name, tmp_path):
    model = theirs(name)
    decoder, ids = ours(model, tmp_path), some_ids(2, 12)
    expected = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=40,
        do_sample=False,
        eos_token_id=-1,
    )[:, 12:]
    rows = generate_ids(decoder, ids.tolist(), 40, temperature=0.0)
    assert rows == expected.tolist()
    cache = KVCache()
    whole = torch.cat([ids, expected], dim=1)
    with torch.no_grad():
        pieces = [decoder(part, cache) for part in whole.split([20, 1, 7, 1, 23], dim=1)]
        torch.testing.assert_close(torch.cat(pieces, 1), decoder(whole), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", CASES)
def test_left_padded_rows_are_theirs_and_their_own(name, tmp_path):
    model = theirs(name)
    decoder, ids = ours(model, tmp_path), some_ids(2, 20)
    mask = torch.ones_like(ids)
    mask[0, :9] = 0
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    with torch.no_grad():
        expected = model(ids, attention_mask=mask, position_ids=positions).logits
        found = decoder(ids, attention_mask=mask.bool())
        alone = decoder(ids[:1, 9:])
    assert far_apart(found[0, 9:], expected[0, 9:]) < 1e-5
    assert far_apart(found[1], expected[1]) < 1e-5
    assert far_apart(found[0, 9:], alone[0]) < 1e-5


def in_float64(model):
    """Their model with norms that do not round to float32 on the way."""
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if type(child).__name__.endswith("RMSNorm"):
                eps = getattr(child, "variance_epsilon", None) or child.eps
                norm = nn.RMSNorm(child.weight.shape, eps)
                shift = 1.0 if "Gemma" in type(child).__name__ else 0.0
                norm.weight = nn.Parameter(child.weight.data.double() + shift)
                setattr(parent, name, norm)
    model.config._attn_implementation = "sdpa"  # eager attention rounds its weights
    model = model.double()
    if hasattr(model.model.embed_tokens, "embed_scale"):
        model.model.embed_tokens.embed_scale.fill_(model.config.hidden_size**0.5)
    return model


@pytest.mark.parametrize("name", [name for name in CASES if name != "gemma2"])
def test_gradients_are_theirs(name, tmp_path):
    model = theirs(name)
    decoder, ids = ours(model, tmp_path).double(), some_ids()
    model = in_float64(model)
    upstream = torch.randn(*ids.shape, 97, dtype=torch.float64)
    (model(ids).logits * upstream).sum().backward()
    (decoder(ids) * upstream).sum().backward()
    gradients = {name: weight.grad for name, weight in model.named_parameters()}
    for mine, weight in decoder.named_parameters():
        expected = gradients.pop(their_name(decoder.config, mine))
        # Where nothing turns, a bias of the keys adds the same to all scores: its gradient is 0.
        largest = expected.abs().max().clamp(min=1e-3)
        assert (weight.grad - expected).abs().max() < 1e-8 * largest, mine
    assert not gradients


# --- Nothing without effect -----------------------------------------------------------------------


CHANGES = {
    "gemma2": ("score_cap", "logit_cap", "score_scale", "embedding_scale", "window", "activation")
    + ("norm_eps", "rotation", "layers"),
    "gemma3, scaled": ("window_rotation", "rotation", "norm_plus_one"),
    "smollm3": ("unrotated",),
}
OTHERS = dict(
    score_cap=1.0,
    logit_cap=1.0,
    score_scale=0.1,
    embedding_scale=1.0,
    window=3,
    activation="silu",
    norm_eps=0.1,
    rotation=Rotation(100.0),
    window_rotation=Rotation(100.0),
    layers=("full",) * 5,
    norm_plus_one=False,
    unrotated=(),
)


@pytest.mark.parametrize(
    "name, change", [(n, c) for n, changes in CHANGES.items() for c in changes]
)
def test_every_choice_changes_the_logits(name, change, tmp_path):
    decoder, ids = ours(theirs(name), tmp_path), some_ids()
    other = Decoder(replace(decoder.config, **{change: OTHERS[change]})).eval()
    other.load_state_dict(decoder.state_dict())
    with torch.no_grad():
        assert far_apart(other(ids), decoder(ids)) > 1e-4


# --- Folders --------------------------------------------------------------------------------------


def test_a_folder_in_shards_is_read_and_load_model_finds_the_class(tmp_path):
    model = theirs("qwen3")
    decoder = ours(model, tmp_path, max_shard_size="40KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    found = load_model(tmp_path)
    assert type(found) is Decoder and found.config == decoder.config
    assert torch.equal(found(some_ids()), decoder(some_ids()))


def settings_of(name):
    model = theirs(name)
    return json.loads(model.config.to_json_string(use_diff=False))


@pytest.mark.parametrize(
    "name, changes, words",
    [
        ("qwen3", {"model_type": "qwen9"}, ["qwen9", "qwen3"]),
        ("qwen3", {"model_type": None}, ["None"]),
        ("llama", {"surprise": 3}, ["surprise", "3"]),
        ("llama", {"hidden_act": "relu"}, ["hidden_act", "relu"]),
        ("gemma2", {"hidden_activation": "silu"}, ["hidden_activation", "silu"]),
        ("gemma3", {"use_bidirectional_attention": True}, ["use_bidirectional_attention"]),
        ("llama", {"rope_parameters": {"rope_type": "longrope"}}, ["rope_type", "longrope"]),
        ("llama", {"rope_parameters": LLAMA3 | {"mscale": 1.0}}, ["mscale"]),
        ("llama", {"rope_parameters": PLAIN | {"partial_rotary_factor": 0.5}}, ["partial_rotary"]),
        ("llama", {"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}}, ["factor"]),
        ("qwen2", {"layer_types": ["linear_attention"] * 5}, ["layer_types"]),
        ("qwen2", {"layer_types": ["full_attention"] * 4}, ["4", "5"]),
        ("qwen2", {"layer_types": ["sliding_attention"] * 5}, ["window"]),
        ("llama", {"num_key_value_heads": 4}, ["4", "6"]),
        ("llama", {"hidden_size": "48"}, ["hidden_size"]),
        ("llama", {"head_dim": 7}, ["head_dim", "7"]),
        ("olmo3", {"rope_parameters": {"strange_attention": PLAIN}}, ["strange_attention"]),
        ("smollm3", {"no_rope_layers": [1, 2, 0, 1, 1]}, ["no_rope_layers"]),
    ],
)
def test_what_is_not_computed_is_refused_by_name(name, changes, words):
    settings = settings_of(name)
    with pytest.raises(ValueError) as caught:
        DecoderConfig(**config_from_settings(settings | changes, "config.json"))
    message = str(caught.value)
    assert all(word in message for word in words) and "\n" not in message
    DecoderConfig(**config_from_settings(settings, "config.json"))


def test_damaged_weights_are_named(tmp_path):
    from safetensors.torch import load_file, save_file

    ours(theirs("olmo2"), tmp_path)
    path = tmp_path / "model.safetensors"
    tensors = load_file(path)
    name = "model.layers.2.self_attn.q_norm.weight"
    for change, word in (
        ({name: None}, "missing"),
        ({"model.layers.2.extra.weight": torch.ones(3)}, "unknown"),
        ({name: torch.ones(7)}, "shape"),
        ({name: torch.full_like(tensors[name], torch.nan)}, "finite"),
    ):
        changed = {key: value for key, value in (tensors | change).items() if value is not None}
        save_file(changed, path, {"format": "pt"})
        with pytest.raises(ValueError, match=word):
            Decoder.from_pretrained(tmp_path)
