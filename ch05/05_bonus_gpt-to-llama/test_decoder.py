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
from ch04_01_main_chapter_code.weight_files import StoredMatrix
from ch05_01_main_chapter_code.arguments import TrainConfig
from ch05_01_main_chapter_code.gpt_generate import TALES_GPT, generate, generate_ids, load_model
from ch05_01_main_chapter_code.gpt_train import DocumentRows, flat_tokens, train
from ch05_01_main_chapter_code.previous_chapters import BPETokenizer
from ch05_01_main_chapter_code.tales import make_tales
from ch05_05_bonus_gpt_to_llama.against_transformers import (
    CASES,
    LLAMA3,
    PLAIN,
    far_apart,
    random_model,
    some_ids,
)
from ch05_05_bonus_gpt_to_llama.decoder import Decoder
from ch05_05_bonus_gpt_to_llama.decoder_checkpoint import single_experts, their_name
from ch05_05_bonus_gpt_to_llama.decoder_config import DecoderConfig, Rotation
from ch05_05_bonus_gpt_to_llama.families import FAMILIES, config_from_settings


def theirs(name):
    pytest.importorskip("transformers", reason="needs requirements-dev.txt")
    return random_model(name)


def ours(model, folder, **options):
    model.save_pretrained(folder, **options)
    return Decoder.from_pretrained(folder)


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
    model.config._experts_implementation = "eager"  # the fast one knows no float64
    model = model.double()
    if hasattr(model.model.embed_tokens, "embed_scale"):
        model.model.embed_tokens.embed_scale.fill_(model.config.hidden_size**0.5)
    return model


def one_by_one(model, config):
    """{name in a file: gradient} of their model, which holds the experts of a layer together."""
    found, names = {}, FAMILIES[config.family].experts
    gradients = {name: weight.grad for name, weight in model.named_parameters()}
    if config.family == "gpt_oss":
        blocks = {
            name: StoredMatrix((), lambda grad=grad: grad) for name, grad in gradients.items()
        }
        return {
            name: part.read() for name, part in single_experts(blocks, config.n_experts).items()
        }
    for name, grad in gradients.items():
        layer, experts, block = name.partition(".mlp.experts.")
        if not experts:
            gate = f".{names['router']}." if names else ""
            found[name.replace(".mlp.gate.", gate) if names else name] = grad
            continue
        parts = {"gate": grad[:, : grad.shape[1] // 2], "expand": grad[:, grad.shape[1] // 2 :]}
        parts = parts if block == "gate_up_proj" else {"proj": grad}
        for part, stacked in parts.items():
            for number, one in enumerate(stacked):
                found[f"{layer}.{names['each'].format(number)}.{names[part]}.weight"] = one
    return found


@pytest.fixture
def nothing_is_rounded(monkeypatch):
    """What learns stays in float64 where their code would round it to float32 on the way."""
    for name in ("float", "type"):
        usual = getattr(torch.Tensor, name)
        monkeypatch.setattr(
            torch.Tensor,
            name,
            lambda tensor, *to, usual=usual: tensor if tensor.requires_grad else usual(tensor, *to),
        )
    softmax = torch.softmax
    for place in (nn.functional, torch.Tensor):
        monkeypatch.setattr(place, "softmax", lambda x, dim, dtype=None: softmax(x, dim))


@pytest.mark.parametrize("name", CASES)
def test_gradients_are_theirs(name, tmp_path, nothing_is_rounded):
    model = theirs(name)
    decoder, ids = ours(model, tmp_path).double(), some_ids()
    model = in_float64(model)
    upstream = torch.randn(*ids.shape, 97, dtype=torch.float64)
    (model(ids).logits * upstream).sum().backward()
    (decoder(ids) * upstream).sum().backward()
    gradients = one_by_one(model, decoder.config)
    # DeepSeek V2's cosines there are torch.polar's, which differ in the last digit of float32.
    closeness = 1e-6 if name.startswith("deepseek v2") else 1e-8
    for mine, weight in decoder.named_parameters():
        expected = gradients.pop(their_name(decoder.config, mine))
        # Where nothing turns, a bias of the keys adds the same to all scores: its gradient is 0.
        largest = expected.abs().max().clamp(min=1e-3)
        found = torch.zeros_like(weight) if weight.grad is None else weight.grad  # an idle expert
        assert (found - expected).abs().max() < closeness * largest, mine
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


@pytest.mark.parametrize("name", ["gemma3", "mixtral"])
def test_it_generates_and_trains_like_any_model_of_the_course(name, tmp_path):
    tokenizer = BPETokenizer.load(TALES_GPT)
    pytest.importorskip("transformers", reason="needs requirements-dev.txt")
    random_model(name, vocab_size=tokenizer.n_vocab).save_pretrained(tmp_path)
    tokenizer.save(tmp_path / "tokenizer.json")
    model = load_model(tmp_path)
    texts = generate(model, ["The fox", "One misty night Mia"], max_tokens=6, temperature=0.0)
    assert [text.startswith(start) for text, start in zip(texts, ("The", "One"), strict=True)]
    rows = DocumentRows(*flat_tokens([tale[:160] for tale in make_tales(40, seed=3)], tokenizer))
    config = TrainConfig(steps=15, batch_size=4, lr=3e-3, warmup=3, device="cpu")
    losses = train(model, rows, config)
    assert losses[-1] < 0.9 * losses[0]
    model.save_pretrained(tmp_path / "trained")
    again = load_model(tmp_path / "trained")
    assert generate(again, "The fox", 6, temperature=0.0) == generate(
        model.eval(), "The fox", 6, temperature=0.0
    )


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


def test_deepseeks_layers_that_guess_further_are_passed_over(tmp_path):
    from safetensors.torch import load_file, save_file

    decoder = ours(theirs("deepseek v3"), tmp_path)
    path = tmp_path / "model.safetensors"
    further = {"model.layers.5.eh_proj.weight": torch.ones(3, 3)}
    save_file(load_file(path) | further, path, {"format": "pt"})
    assert torch.equal(Decoder.from_pretrained(tmp_path)(some_ids()), decoder(some_ids()))


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


PUBLISHED = {  # settings of models on the hub, where they say more than a new config does
    "llama": {
        "rope_theta": 500_000.0,
        "rope_scaling": {
            "factor": 32.0,
            "high_freq_factor": 4.0,
            "low_freq_factor": 1.0,
            "original_max_position_embeddings": 8192,
            "rope_type": "llama3",
        },
        "pretraining_tp": 1,
    },
    "qwen2": {"use_mrope": False, "rope_theta": 1_000_000.0, "max_window_layers": 24},
    "gemma2": {"cache_implementation": "hybrid", "hidden_act": "gelu_pytorch_tanh"},
    "gemma3": {"cache_implementation": "hybrid", "sliding_window_pattern": 6, "rope_scaling": None},
    "smollm3": {"pretraining_tp": 2, "max_window_layers": 28, "rope_theta": 5_000_000.0},
    "qwen3, experts": {"max_window_layers": 48, "output_router_logits": False},
    "deepseek v2": {
        "aux_loss_alpha": 0.001,
        "moe_layer_freq": 1,
        "scoring_func": "softmax",
        "seq_aux": True,
        "auto_map": {"AutoConfig": "configuration_deepseek.DeepseekV2Config"},
        "rope_theta": 10_000,
        "rope_scaling": {
            "beta_fast": 32,
            "beta_slow": 1,
            "factor": 40,
            "mscale": 0.707,
            "mscale_all_dim": 0.707,
            "original_max_position_embeddings": 4096,
            "type": "yarn",
        },
    },
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_settings_as_they_are_published_are_understood_as_they_are_there(name, tmp_path):
    transformers = pytest.importorskip("transformers", reason="needs requirements-dev.txt")
    model = theirs(name)
    model.save_pretrained(tmp_path)
    settings = json.loads((tmp_path / "config.json").read_text())
    del settings["rope_parameters"]
    (tmp_path / "config.json").write_text(json.dumps(settings | PUBLISHED[name]))
    again = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path, attn_implementation="eager"
    ).eval()
    with torch.no_grad():
        expected = again(some_ids()).logits
        assert far_apart(Decoder.from_pretrained(tmp_path)(some_ids()), expected) < 1e-5
