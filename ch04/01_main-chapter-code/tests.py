"""The GPT against Hugging Face's, its promises about time and padding, and its checkpoints."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__]))

import torch
from safetensors.torch import load_file, save_file

from ch04_01_main_chapter_code import checkpoint, checks
from ch04_01_main_chapter_code.gpt import (
    GELU,
    GPT,
    PRESETS,
    FeedForward,
    GPTConfig,
    LayerNorm,
    TransformerBlock,
    count_parameters,
    flops_per_token,
    generate_greedy,
    language_model_loss,
)
from ch04_01_main_chapter_code.previous_chapters import BPETokenizer, KVCache, gpt2_tokenizer
from scratch_llm_tools.exercises import ExerciseTests, HintTests, MistakeTests
from scratch_llm_tools.notebook_code import assert_same_code

FOLDER = Path(__file__).parent
DEVICES = [
    "cpu",
    pytest.param(
        "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU")
    ),
]
SHAPES = [
    dict(vocab_size=211, context_length=24, emb_dim=32, n_heads=2, n_layers=2),
    dict(vocab_size=97, context_length=40, emb_dim=48, n_heads=6, n_layers=3),
    dict(vocab_size=64, context_length=16, emb_dim=24, n_heads=1, n_layers=1, tie_weights=False),
]


@pytest.fixture(params=DEVICES)
def device(request):
    return request.param


def tiny(seed=0, **changes):
    """A small model with weights large enough that every part of it matters."""
    torch.manual_seed(seed)
    model = GPT(GPTConfig(**(SHAPES[0] | changes))).eval()
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return model


# --- The parts ------------------------------------------------------------------------------------


def test_layer_norm_is_torchs_and_uses_the_biased_variance():
    x = torch.randn(3, 5, 16) * 4 + 2
    ours, theirs = LayerNorm(16), torch.nn.LayerNorm(16)
    for norm in (ours, theirs):
        norm.weight.data = torch.linspace(0.5, 2, 16)
        norm.bias.data = torch.linspace(-1, 1, 16)
    torch.testing.assert_close(ours(x), theirs(x))
    by_hand = (x - x.mean(-1, keepdim=True)) / (
        x.var(-1, unbiased=False, keepdim=True) + 1e-5
    ).sqrt()
    torch.testing.assert_close(ours(x), by_hand * ours.weight + ours.bias)


def test_gelu_is_the_tanh_formula():
    x = torch.linspace(-6, 6, 101, dtype=torch.float64)
    formula = 0.5 * x * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (x + 0.044715 * x**3)))
    torch.testing.assert_close(GELU()(x), formula)
    assert not torch.allclose(
        GELU()(x), torch.nn.functional.gelu(x), rtol=1e-6
    )  # the exact one differs a little


def test_feed_forward_treats_each_token_by_itself():
    layer = FeedForward(GPTConfig(**SHAPES[0]))
    x = torch.randn(2, 7, 32)
    torch.testing.assert_close(layer(x)[:, 3:4], layer(x[:, 3:4]))
    assert layer.expand.weight.shape == (128, 32)


def test_a_block_whose_layers_are_silent_passes_its_input_on():
    block = TransformerBlock(GPTConfig(**SHAPES[0])).eval()
    for module in (block.attention.proj, block.feed_forward.proj):
        torch.nn.init.zeros_(module.weight)
        torch.nn.init.zeros_(module.bias)
    x = torch.randn(2, 5, 32)
    assert torch.equal(block(x), x)


@pytest.mark.parametrize(
    "changes, word",
    [
        (dict(emb_dim=30, n_heads=4), "divisible"),
        (dict(vocab_size=0), "vocab_size"),
        (dict(n_layers=-1), "n_layers"),
        (dict(context_length=2.5), "context_length"),
        (dict(drop_rate=1.0), "drop_rate"),
    ],
)
def test_config_refuses_numbers_that_make_no_model(changes, word):
    with pytest.raises(ValueError, match=word):
        GPTConfig(**(SHAPES[0] | changes))


def test_presets():
    assert GPTConfig.preset("gpt2-xl", context_length=64).context_length == 64
    with pytest.raises(ValueError, match="gpt2-medium"):
        GPTConfig.preset("gpt5")
    with pytest.raises(AttributeError):
        GPTConfig().emb_dim = 3


@pytest.mark.parametrize(
    "preset, tied",
    [
        ("gpt2-small", 124_439_808),
        ("gpt2-medium", 354_823_168),
        ("gpt2-large", 774_030_080),
        ("gpt2-xl", 1_557_611_200),
    ],
)
def test_published_parameter_counts(preset, tied):
    with torch.device("meta"):  # shapes without memory
        assert count_parameters(GPT(PRESETS[preset])) == tied


def test_untied_head_has_its_own_matrix():
    with torch.device("meta"):
        assert count_parameters(GPT(GPTConfig(tie_weights=False))) == 163_037_184


def test_initial_weights_have_the_published_sizes():
    torch.manual_seed(0)
    model = GPT(GPTConfig(vocab_size=500, context_length=64, emb_dim=192, n_heads=4, n_layers=8))
    assert model.tok_emb.weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert model.blocks[3].attention.qkv.weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert model.blocks[3].feed_forward.proj.weight.std().item() == pytest.approx(
        0.02 / 16**0.5, rel=0.02
    )
    assert not model.blocks[0].feed_forward.expand.bias.any()
    idx = torch.randint(500, (4, 64))
    loss = language_model_loss(model(idx), torch.randint(500, (4, 64)))
    assert loss.item() == pytest.approx(
        torch.tensor(500.0).log().item(), abs=0.1
    )  # a little above, as logits are not all equal


@pytest.mark.parametrize("preset", ["tales", "gpt2-small"])
def test_an_untrained_preset_guesses_among_all_tokens_alike(preset):
    torch.manual_seed(0)
    config = GPTConfig.preset(preset, n_layers=2)
    idx, targets = torch.randint(config.vocab_size, (2, 2, 64)).unbind()
    with torch.no_grad():
        loss = language_model_loss(GPT(config)(idx), targets)
    assert loss.item() == pytest.approx(
        torch.tensor(float(config.vocab_size)).log().item(), abs=0.3
    )


# --- Against Hugging Face's GPT-2 -----------------------------------------------------------------


def pair(tmp_path, shape, dtype=torch.float32):
    """Our model with random weights, and Hugging Face's with the same ones."""
    transformers = pytest.importorskip("transformers", reason="needs requirements-dev.txt")
    ours = tiny(**shape).to(dtype)
    ours.save_pretrained(tmp_path)
    theirs = (
        transformers.GPT2LMHeadModel.from_pretrained(tmp_path, attn_implementation="eager")
        .to(dtype)
        .eval()
    )
    if dtype == torch.float64:  # the file holds fp32: give both the very same numbers
        ours = GPT.from_pretrained(tmp_path).to(dtype)
    return ours, theirs


@pytest.mark.parametrize("shape", SHAPES)
def test_logits_and_loss_equal_hugging_faces(tmp_path, shape, device):
    ours, theirs = (model.to(device) for model in pair(tmp_path, shape))
    idx = torch.randint(shape["vocab_size"], (3, shape["context_length"]), device=device)
    with torch.no_grad():
        logits, reference = ours(idx), theirs(idx, labels=idx)
    assert (logits - reference.logits).abs().max() / reference.logits.abs().max() < 1e-5
    loss = language_model_loss(logits[:, :-1], idx[:, 1:])
    assert abs(loss - reference.loss) / reference.loss < 1e-5


@pytest.mark.parametrize("shape", SHAPES)
def test_gradients_and_ten_adamw_steps_equal_hugging_faces_in_float64(tmp_path, shape):
    ours, theirs = pair(tmp_path, shape, torch.float64)
    optimizers = [
        torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.1) for model in (ours, theirs)
    ]
    for step in range(10):
        idx = torch.randint(shape["vocab_size"], (2, shape["context_length"]))
        # language_model_loss computes in fp32, as training should; here every digit counts
        logits = ours(idx)[:, :-1]
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), idx[:, 1:].flatten()).backward()
        logits = theirs(idx).logits[:, :-1]
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), idx[:, 1:].flatten()).backward()
        if step == 0:
            assert difference(ours, theirs, lambda parameter: parameter.grad) < 1e-8
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
    assert difference(ours, theirs, lambda parameter: parameter) < 1e-8


def difference(ours, theirs, of):
    """The greatest difference over all parameters, after bringing Hugging Face's into our shape."""
    reference, mine = dict(theirs.named_parameters()), dict(ours.named_parameters())
    compared = 0
    worst = 0.0
    for name, other, transposed in checkpoint.name_pairs(ours.config):
        theirs_value = of(reference[other])
        worst = max(
            worst,
            (of(mine[name]) - (theirs_value.T if transposed else theirs_value)).abs().max().item(),
        )
        compared += 1
    assert compared == len(mine) == len(reference)
    print(f"greatest difference: {worst:.1e}")
    return worst


# --- Time, cache, padding -------------------------------------------------------------------------


def test_a_later_token_never_changes_an_earlier_logit(device):
    model = tiny().to(device)
    idx = torch.randint(211, (2, 24), device=device)
    before = model(idx)
    for position in (1, 10, 23):
        changed = idx.clone()
        changed[:, position] = (changed[:, position] + 1) % 211
        after = model(changed)
        assert torch.equal(before[:, :position], after[:, :position])  # bit for bit
        assert not torch.equal(before[:, position:], after[:, position:])


@pytest.mark.parametrize("pieces", [[24], [1] * 24, [7, 1, 1, 5, 10], [23, 1]])
def test_the_cached_forward_equals_the_full_one(pieces, device):
    model, cache = tiny().to(device), KVCache()
    idx = torch.randint(211, (3, 24), device=device)
    logits, start = [], 0
    with torch.no_grad():
        for size in pieces:
            logits.append(model(idx[:, start : start + size], cache))
            start += size
        torch.testing.assert_close(torch.cat(logits, dim=1), model(idx), atol=1e-5, rtol=1e-5)
    assert cache.length == 24


@pytest.mark.parametrize("side", ["left", "right"])
def test_padded_batches_equal_single_rows(side, device):
    model = tiny().to(device)
    rows = [torch.randint(211, (n,), device=device) for n in (24, 9, 1, 17)]
    idx = torch.full((4, 24), 5, device=device)
    mask = torch.zeros(4, 24, dtype=torch.bool, device=device)
    places = [slice(24 - len(row), 24) if side == "left" else slice(0, len(row)) for row in rows]
    for i, (row, place) in enumerate(zip(rows, places, strict=True)):
        idx[i, place], mask[i, place] = row, True
    with torch.no_grad():
        logits = model(idx, attention_mask=mask)
        assert torch.isfinite(logits).all()
        for i, (row, place) in enumerate(zip(rows, places, strict=True)):
            torch.testing.assert_close(logits[i, place], model(row[None])[0], atol=1e-5, rtol=1e-5)


def test_left_padding_works_with_the_cache(device):
    model, cache = tiny().to(device), KVCache()
    row = torch.randint(211, (1, 12), device=device)
    padded = torch.cat([torch.zeros(1, 5, dtype=torch.long, device=device), row], dim=1)
    mask = torch.arange(17, device=device)[None] >= 5
    with torch.no_grad():
        pieces = [model(padded[:, :9], cache, mask[:, :9])]
        pieces += [model(padded[:, i : i + 1], cache, mask[:, : i + 1]) for i in range(9, 17)]
        torch.testing.assert_close(
            torch.cat(pieces, dim=1)[:, 5:], model(row), atol=1e-5, rtol=1e-5
        )


def test_too_many_tokens_are_refused():
    model = tiny()
    with pytest.raises(ValueError, match="25 tokens do not fit into a context of 24"):
        model(torch.zeros(1, 25, dtype=torch.long))
    cache = KVCache()
    model(torch.zeros(1, 20, dtype=torch.long), cache)
    with pytest.raises(ValueError, match="25 tokens"):
        model(torch.zeros(1, 5, dtype=torch.long), cache)


def test_head_of_trunk_is_forward():
    model, idx = tiny(), torch.randint(211, (2, 6))
    assert torch.equal(model.head(model.trunk(idx)), model(idx))


def test_loss_ignores_targets_of_minus_100():
    logits, targets = torch.randn(2, 3, 7), torch.tensor([[1, -100, 6], [-100, 0, -100]])
    picked = [
        logits[0, 0].log_softmax(-1)[1],
        logits[0, 2].log_softmax(-1)[6],
        logits[1, 1].log_softmax(-1)[0],
    ]
    torch.testing.assert_close(language_model_loss(logits, targets), -sum(picked) / 3)


def test_generate_greedy_takes_the_likeliest_and_slides_over_the_window():
    model = tiny()
    idx = torch.randint(211, (2, 5))
    out = generate_greedy(model, idx, 30)
    assert out.shape == (2, 35) and torch.equal(out[:, :5], idx)
    for position in (5, 20, 34):
        window = out[:, max(0, position - 24) : position]
        assert torch.equal(model(window)[:, -1].argmax(-1), out[:, position])


def test_flops_formula_counts_every_matrix():
    config = GPTConfig(**SHAPES[1])
    matrices = sum(
        p.numel()
        for n, p in GPT(config).named_parameters()
        if p.dim() == 2 and n != "pos_emb.weight"
    )
    assert (
        flops_per_token(config, tokens=10)
        == 2 * matrices + 4 * config.n_layers * config.emb_dim * 5
    )


# --- Checkpoints ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes", [{}, dict(tie_weights=False), dict(qkv_bias=False), dict(drop_rate=0.3)]
)
def test_a_checkpoint_gives_the_same_model_back(tmp_path, changes):
    model = tiny(**changes)
    model.tokenizer = BPETokenizer.train("low lower lowest " * 3, 262)
    model.save_pretrained(tmp_path)
    again = GPT.from_pretrained(tmp_path)
    assert again.config == model.config and not again.training
    idx = torch.randint(211, (2, 24))
    assert torch.equal(again(idx), model(idx))
    assert again.tokenizer.encode("slowest") == model.tokenizer.encode("slowest")
    assert (again.head.weight is again.tok_emb.weight) == model.config.tie_weights
    assert not list(tmp_path.glob("*.tmp"))


@pytest.mark.parametrize("tied", [True, False])
def test_reads_what_transformers_writes(tmp_path, tied):
    transformers = pytest.importorskip("transformers", reason="needs requirements-dev.txt")
    settings = transformers.GPT2Config(
        vocab_size=90,
        n_positions=20,
        n_embd=24,
        n_head=3,
        n_layer=2,
        tie_word_embeddings=tied,
        bos_token_id=None,
        eos_token_id=None,
    )
    theirs = transformers.GPT2LMHeadModel(settings).eval()
    theirs.save_pretrained(tmp_path)
    ours, idx = GPT.from_pretrained(tmp_path), torch.randint(90, (2, 20))
    torch.testing.assert_close(ours(idx), theirs(idx).logits, atol=1e-5, rtol=1e-5)
    assert ours.tokenizer is None


def test_transformers_loads_our_tokenizer_and_its_end(tmp_path):
    transformers = pytest.importorskip("transformers", reason="needs requirements-dev.txt")
    model = tiny(vocab_size=300)
    model.tokenizer = BPETokenizer.train("the fox saw the moon and the moon saw the fox", 300)
    model.save_pretrained(tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert theirs.encode("the moon, the sun") == model.tokenizer.encode("the moon, the sun")
    assert (
        transformers.GPT2Config.from_pretrained(tmp_path).eos_token_id
        == model.tokenizer.end_of_text
    )


def test_hub_style_names_and_masks_are_read(tmp_path):
    """The published gpt2 has no prefix before its names and stores its causal masks."""
    model = tiny()
    model.save_pretrained(tmp_path)
    (tmp_path / "manifest.json").unlink()
    file = tmp_path / "model.safetensors"
    tensors = {
        name.removeprefix("transformer."): tensor for name, tensor in load_file(file).items()
    }
    tensors["h.0.attn.bias"] = torch.ones(1, 1, 24, 24)
    save_file({name: tensor.half() for name, tensor in tensors.items()}, file, {"format": "pt"})
    again, idx = GPT.from_pretrained(tmp_path), torch.randint(211, (1, 9))
    assert again.tok_emb.weight.dtype == torch.float32
    torch.testing.assert_close(again(idx), model(idx), atol=2e-2, rtol=2e-2)


def rewrite(folder, change):
    """Change the tensors of a checkpoint that nothing seals, as those of others are."""
    (folder / "manifest.json").unlink()
    file = folder / "model.safetensors"
    tensors = load_file(file)
    change(tensors)
    save_file(
        {name: tensor.contiguous() for name, tensor in tensors.items()}, file, {"format": "pt"}
    )


QKV = "transformer.h.1.attn.c_attn.weight"


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda t: t.pop(QKV), "h.1.attn.c_attn.weight is missing"),
        (lambda t: t.update({QKV: t[QKV].T}), "h.1.attn.c_attn.weight.*looks transposed"),
        (
            lambda t: t.update({"transformer.h.7.ln_1.weight": torch.ones(32)}),
            "unknown matrix h.7.ln_1.weight",
        ),
        (
            lambda t: t.update({"transformer.wte.weight": torch.ones(210, 32)}),
            r"wte.weight has the shape \(210, 32\)",
        ),
        (lambda t: t.update({"lm_head.weight": torch.ones(211, 32)}), "lm_head.weight differs"),
    ],
)
def test_a_wrong_matrix_is_named(tmp_path, change, words):
    tiny().save_pretrained(tmp_path)
    rewrite(tmp_path, change)
    with pytest.raises(ValueError, match=words):
        GPT.from_pretrained(tmp_path)


@pytest.mark.parametrize("size", [0, 5, 100, -7])
def test_a_cut_file_is_called_damaged(tmp_path, size):
    tiny().save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(ValueError, match="damaged"):
        GPT.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    "settings, words",
    [
        ("{", "damaged"),
        ("[]", "damaged"),
        ({"model_type": "llama"}, "'llama'"),
        ({"activation_function": "relu"}, "activation_function = 'relu'"),
        ({"n_embd": None}, "n_embd = None, expected a whole number"),
        ({"n_head": 5}, "divisible"),
    ],
)
def test_a_config_of_another_model_is_refused(tmp_path, settings, words):
    tiny().save_pretrained(tmp_path)
    (tmp_path / "manifest.json").unlink()
    file = tmp_path / "config.json"
    text = (
        settings
        if isinstance(settings, str)
        else json.dumps(json.loads(file.read_text()) | settings)
    )
    file.write_text(text)
    with pytest.raises(ValueError, match=words):
        GPT.from_pretrained(tmp_path)


def test_a_folder_without_a_checkpoint_says_what_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match="config.json and model.safetensors not found"):
        GPT.from_pretrained(tmp_path)


def test_a_failed_save_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    model = tiny()
    model.save_pretrained(tmp_path)
    before = (tmp_path / "model.safetensors").read_bytes()

    def disk_full(tensors, path, header):
        path.write_bytes(b"half a file")
        raise OSError("no space left on device")

    monkeypatch.setattr(checkpoint, "save_file", disk_full)
    with pytest.raises(OSError, match="no space"):
        tiny(seed=1).save_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors").read_bytes() == before
    GPT.from_pretrained(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        "config.json",
        "manifest.json",
        "model.safetensors",
    }


def test_a_gpt2_sized_vocabulary_brings_gpt2s_tokenizer(tmp_path):
    model = GPT(GPTConfig(context_length=8, emb_dim=8, n_heads=1, n_layers=1))
    model.save_pretrained(tmp_path)
    assert GPT.from_pretrained(tmp_path).tokenizer.encode("Hello, world!") == [15496, 11, 995, 0]
    model.save_pretrained(tmp_path, gpt2_tokenizer())
    again = GPT.from_pretrained(tmp_path).tokenizer
    assert again.encode("Hello, world!") == [15496, 11, 995, 0] and again.end_of_text == 50256


# --- The script -----------------------------------------------------------------------------------


def run_script(*arguments):
    return subprocess.run(
        [sys.executable, "gpt.py", *arguments], cwd=FOLDER, capture_output=True, text=True
    )


def test_the_script_prints_what_a_preset_weighs():
    result = run_script("--preset", "tales")
    if "install the course" in result.stderr:
        pytest.skip("the course is not installed in this Python, so its scripts cannot run")
    assert result.returncode == 0, result.stderr
    for word in ("parameters", "MB", "MFLOP", "untrained"):
        assert word in result.stdout


def test_the_script_says_no_in_one_line():
    result = run_script("--preset", "gpt9")
    assert result.returncode != 0
    assert len(result.stderr.strip().splitlines()) == 1 and "Traceback" not in result.stderr


# --- The exercises and their checks ---------------------------------------------------------------


def solved_layer_norm(x, weight, bias, eps, correction=0, axis=-1):
    centred = x - x.mean(axis, keepdim=True)
    variance = (centred**2).sum(axis, keepdim=True) / (x.shape[axis] - correction)
    return weight * centred / torch.sqrt(variance + eps) + bias


def solved_gelu(x, power=3, root=(2 / torch.pi) ** 0.5):
    return x / 2 + x / 2 * torch.tanh(root * (x + 0.044715 * x.pow(power)))


def post_norm_block(x, norm1, attention, norm2, feed_forward):
    x = norm1(x + attention(x))
    return norm2(x + feed_forward(x))


def overwriting_block(x, norm1, attention, norm2, feed_forward):
    x = norm1(x)
    x = x + attention(x)
    x = norm2(x)
    return x + feed_forward(x)


def solved_block(x, norm1, attention, norm2, feed_forward):
    after_attention = attention(norm1(x)) + x
    return feed_forward(norm2(after_attention)) + after_attention


def solved_loss(logits, ids):
    rows = [
        torch.softmax(row, dim=-1)[torch.arange(len(row)), i]
        for row, i in zip(logits[:, :-1], ids[:, 1:], strict=True)
    ]
    return -torch.cat(rows).log().mean()


def picked(log_p, ids):
    """-ln p of each next token, (batch, tokens - 1)."""
    return -log_p.gather(2, ids[:, 1:].unsqueeze(2)).squeeze(2)


def cross_entropy(logits, targets):
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())


def solved_parameters(vocab_size, context_length, emb_dim, n_layers, tied):
    config = GPTConfig(vocab_size, context_length, emb_dim, 1, n_layers, tie_weights=tied)
    with torch.device("meta"):
        return count_parameters(GPT(config))


def without_biases(vocab_size, context_length, emb_dim, n_layers, tied):
    matrices = vocab_size * (1 if tied else 2) + context_length + 12 * n_layers * emb_dim
    return emb_dim * (matrices + 4 * n_layers + 2)


def solved_fit(memory, parameters, n_layers, emb_dim, tokens, size):
    left, cache, texts = (
        memory - parameters * size,
        n_layers * tokens * (emb_dim + emb_dim) * size,
        0,
    )
    while left >= cache:
        left, texts = left - cache, texts + 1
    return texts


def solved_greedy(next_logits, ids, max_tokens, end_of_text):
    new = []
    while len(new) < max_tokens:
        token = next_logits(ids + new).topk(1).indices.item()
        if token == end_of_text:
            break
        new.append(token)
    return ids + new


def greedy_that_keeps_the_end(next_logits, ids, max_tokens, end_of_text):
    for _ in range(max_tokens):
        ids = ids + [next_logits(ids).argmax().item()]
        if ids[-1] == end_of_text:
            break
    return ids


def greedy_without_end(next_logits, ids, max_tokens, end_of_text):
    for _ in range(max_tokens):
        ids = ids + [next_logits(ids).argmax().item()]
    return ids


def greedy_that_skips_the_end(next_logits, ids, max_tokens, end_of_text):
    for _ in range(max_tokens):
        token = next_logits(ids).argmax().item()
        if token == end_of_text:
            continue
        ids = ids + [token]
    return ids


def greedy_in_the_given_list(next_logits, ids, max_tokens, end_of_text):
    for _ in range(max_tokens):
        token = next_logits(ids).argmax().item()
        if token == end_of_text:
            break
        ids.append(token)
    return ids


def greedy_to_a_length(next_logits, ids, max_tokens, end_of_text):
    while len(ids) < max_tokens:
        token = next_logits(ids).argmax().item()
        if token == end_of_text:
            break
        ids = ids + [token]
    return ids


def solved_write(model, idx, max_tokens):
    cache = KVCache()
    logits = model(idx, cache)
    for number in range(max_tokens):
        if number:
            logits = model(idx[:, -1:], cache)
        idx = torch.hstack([idx, logits[:, -1:].argmax(-1)])
    return idx


def write_all_again(model, idx, max_tokens):
    cache = KVCache()
    for _ in range(max_tokens):
        idx = torch.hstack([idx, model(idx, cache)[:, -1:].argmax(-1)])
    return idx


def write_token_by_token(model, idx, max_tokens):
    cache = KVCache()
    logits = [model(token, cache) for token in idx.split(1, dim=1)][-1]
    for number in range(max_tokens):
        if number:
            logits = model(idx[:, -1:], cache)
        idx = torch.hstack([idx, logits[:, -1:].argmax(-1)])
    return idx


def write_all_token_by_token(model, idx, max_tokens):
    cache = KVCache()
    logits = [model(token, cache) for token in idx.split(1, dim=1)][-1]
    for _ in range(max_tokens):
        idx = torch.hstack([idx, logits[:, -1:].argmax(-1)])
        logits = model(idx[:, -1:], cache)
    return idx


def write_and_read_the_last(model, idx, max_tokens):
    cache = KVCache()
    logits = model(idx, cache)
    for _ in range(max_tokens):
        idx = torch.hstack([idx, logits[:, -1:].argmax(-1)])
        logits = model(idx[:, -1:], cache)
    return idx


def write_with_new_caches(model, idx, max_tokens):
    idx = torch.hstack([idx, model(idx, KVCache())[:, -1:].argmax(-1)])
    for _ in range(max_tokens - 1):
        idx = torch.hstack([idx, model(idx[:, -1:], KVCache())[:, -1:].argmax(-1)])
    return idx


def write_from_the_last_token(model, idx, max_tokens):
    cache = KVCache()
    for _ in range(max_tokens):
        idx = torch.hstack([idx, model(idx[:, -1:], cache)[:, -1:].argmax(-1)])
    return idx


# exercise: (a right answer, [(a wrong answer, words of the message that names its mistake), …])
EXERCISES = {
    "layer_norm": (
        solved_layer_norm,
        [
            (lambda x, w, b, eps: solved_layer_norm(x, w, b, eps, correction=1), "emb_dim - 1"),
            (
                lambda x, w, b, eps: solved_layer_norm(x, w, b, eps, axis=1),
                "over the tokens (dim=1)",
            ),
            (
                lambda x, w, b, eps: solved_layer_norm(x, w, b, eps, axis=0),
                "over the batch (dim=0)",
            ),
            (lambda x, w, b, eps: solved_layer_norm(x, 1, 0, eps), "weight and bias are missing"),
            (lambda x, w, b, eps: solved_layer_norm(x, w, 0, eps), "the bias is missing"),
            (
                lambda x, w, b, eps: (
                    w * (x - x.mean(-1, True)) / (x.std(-1, correction=0, keepdim=True) + eps) + b
                ),
                "outside the root",
            ),
            (
                lambda x, w, b, eps: (
                    w * (x - x.mean(-1, True)) / (x.var(-1, correction=0, keepdim=True) + eps) + b
                ),
                "not by its square root",
            ),
            (
                lambda x, w, b, eps: (
                    w * x / (x.var(-1, correction=0, keepdim=True) + eps).sqrt() + b
                ),
                "mean was not subtracted",
            ),
            (lambda x, w, b, eps: solved_layer_norm(x, w, b, 0), "eps is missing"),
            (
                lambda x, w, b, eps: (
                    w * (x - x.mean(-1)) / (x.var(-1, correction=0) + eps).sqrt() + b
                ),
                "keepdim=True",
            ),
            (
                lambda x, w, b, eps: (
                    w * (x - x.mean(-1, True)) / (x.var(-1, correction=0) + eps).sqrt() + b
                ),
                "keepdim=True",
            ),
            (lambda x, w, b, eps: torch.nn.LayerNorm(x.shape[-1])(x) * 7, "expected"),
        ],
    ),
    "gelu": (
        solved_gelu,
        [
            (lambda x: x / 2 * (1 + torch.erf(x / 2**0.5)), "the exact GELU"),
            (lambda x: x.clamp(min=0), "this is ReLU"),
            (lambda x: x / (1 + (-x).exp()), "SiLU"),
            (lambda x: 2 * solved_gelu(x), "factor 0.5 is missing"),
            (lambda x: solved_gelu(x) - x / 2, "`1 +`"),
            (lambda x: solved_gelu(x, power=2), "x was squared"),
            (lambda x: solved_gelu(x, root=2 / torch.pi), "2/π itself"),
        ],
    ),
    "transformer_block": (
        solved_block,
        [
            (post_norm_block, "post-norm"),
            (overwriting_block, "carries the normalised x"),
            (lambda x, n1, a, n2, f: f(n2(a(n1(x)))), "the shortcuts are missing"),
            (lambda x, n1, a, n2, f: x + a(n1(x)) + f(n2(x)), "read what the attention has added"),
            (lambda x, n1, a, n2, f: x + f(n2(x + a(n1(x)))), "not the x from before it"),
            (lambda x, n1, a, n2, f: solved_block(x, n1, a, n1, f), "norm1 was used twice"),
            (lambda x, n1, a, n2, f: solved_block(x, n1, a, torch.clone, f), "norm2 is missing"),
            (lambda x, n1, a, n2, f: solved_block(x, n2, f, n1, a), "first the attention"),
        ],
    ),
    "last_logits": (
        lambda hidden, table: torch.einsum("be,ve->bv", hidden[:, -1], table),
        [
            (lambda h, t: h @ t.mT, "the logits of every token"),
            (lambda h, t: h[:, 0] @ t.mT, "the first token"),
            (lambda h, t: h[-1] @ t.mT, "the last text of the batch"),
            (lambda h, t: h[:, -1:] @ t.mT, "the axis of the tokens must go"),
            (lambda h, t: torch.softmax(h[:, -1] @ t.mT, -1), "the softmax already"),
            (lambda h, t: h[:, -1] @ t, "multiply by its transpose"),
            (lambda h, t: torch.einsum("be,ve->vb", h[:, -1], t), "in this order"),
            (lambda h, t: (h[:, -1] @ t.mT).max(dim=-1).indices, "most likely ids"),
            (lambda h, t: h[:, -1] @ t.mT / t.shape[1] ** 0.5, "belongs to attention"),
            (lambda h, t: h[:, -1] @ t.mT + 1, "expected"),
        ],
    ),
    "next_token_loss": (
        solved_loss,
        [
            (cross_entropy, "not shifted"),
            (lambda logits, ids: cross_entropy(logits[:, 1:], ids[:, :-1]), "the wrong way"),
            (lambda logits, ids: cross_entropy(logits, ids.roll(-1, 1)), "rolled round"),
            (
                lambda logits, ids: cross_entropy(logits[:, :-1], ids[:, 1:]) * ids[:, 1:].numel(),
                "this is a sum",
            ),
            (lambda logits, ids: -solved_loss(logits, ids), "minus sign"),
            (lambda logits, ids: solved_loss(logits, ids) / 2.0**-1 / 1.3862943611, "bits"),
            (lambda logits, ids: solved_loss(logits, ids).exp(), "perplexity"),
            (lambda logits, ids: solved_loss(logits, ids).item(), "leave out `.item()`"),
            (
                lambda logits, ids: picked(logits[:, :-1].log_softmax(1), ids).mean(),
                "went along the tokens",
            ),
            (
                lambda logits, ids: picked(logits.log_softmax(1)[:, :-1], ids).mean(),
                "went along the tokens, dim=1",
            ),
            (
                lambda logits, ids: picked(logits[:, :-1].log_softmax(0), ids).mean(),
                "went along the batch",
            ),
            (
                lambda logits, ids: picked(logits[:, :-1].log_softmax(-1), ids).mean(1),
                "a mean for each text",
            ),
            (
                lambda logits, ids: picked(logits[:, :-1].log_softmax(-1), ids).mean(0),
                "a mean for each place",
            ),
            (
                lambda logits, ids: cross_entropy(logits[:, :-1].softmax(-1), ids[:, 1:]),
                "the softmax came before the cross-entropy",
            ),
        ],
    ),
    "gpt_parameters": (
        solved_parameters,
        [
            (without_biases, "biases of the linear layers"),
            (lambda *sizes: solved_parameters(*sizes[:4], False), "a tied head has no matrix"),
            (lambda *sizes: solved_parameters(*sizes[:4], True), "an untied head has a matrix"),
            (
                lambda v, c, d, n, tied: solved_parameters(v, c, d, n, tied) - 4 * n * d,
                "the norms of the blocks",
            ),
            (
                lambda v, c, d, n, tied: solved_parameters(v, c, d, n, tied) - 2 * d,
                "the final norm",
            ),
            (
                lambda v, c, d, n, tied: solved_parameters(v, c, d, n, tied) - c * d,
                "position embeddings",
            ),
            (lambda v, c, d, n, tied: solved_parameters(v, c, d, 1, tied), "only one block"),
            (
                lambda v, c, d, n, tied: solved_parameters(v, c, d, n, tied) + v,
                "the head has no bias",
            ),
        ],
    ),
    "texts_that_fit": (
        solved_fit,
        [
            (lambda m, p, n, d, t, size: (m - p * size) // (n * d * t * size), "a key and a value"),
            (lambda m, p, n, d, t, size: (m - p * size) // (3 * n * d * t * size), "queries"),
            (lambda m, p, n, d, t, size: m // (2 * n * d * t * size), "take them off"),
            (
                lambda m, p, n, d, t, size: m // (p * size + 2 * n * d * t * size),
                "the weights lie in the memory once",
            ),
            (lambda m, p, n, d, t, size: (m - p * size) // (2 * d * t * size), "each layer"),
            (
                lambda m, p, n, d, t, size: (m - p * size) // (2 * n * d * size),
                "every token of the text",
            ),
            (
                lambda m, p, n, d, t, size: (m - p * size) // (2 * n * d * t),
                "a number of the cache takes",
            ),
            (lambda m, p, n, d, t, size: (m - p) // (2 * n * d * t * size), "the weights take"),
            (lambda m, p, n, d, t, size: (m - p * size) / (2 * n * d * t * size), "round down"),
            (lambda *sizes: float(solved_fit(*sizes)), "it is a float"),
            (lambda *sizes: solved_fit(*sizes) + 2, "expected"),
        ],
    ),
    "greedy": (
        solved_greedy,
        [
            (greedy_without_end, "does not stop"),
            (greedy_that_keeps_the_end, "end_of_text is in the result"),
            (greedy_that_skips_the_end, "`break`, not `continue`"),
            (greedy_in_the_given_list, "has changed"),
            (greedy_to_a_length, "not the prompt"),
            (
                lambda model, ids, *rest: solved_greedy(model, ids, *rest)[len(ids) :],
                "without the prompt",
            ),
            (
                lambda model, ids, *rest: solved_greedy(lambda seen: -model(seen), ids, *rest),
                "the least likely",
            ),
            (
                lambda model, ids, *rest: solved_greedy(lambda seen: model(seen[-1:]), ids, *rest),
                "only the last id",
            ),
            (
                lambda model, ids, *rest: solved_greedy(lambda seen: model(ids), ids, *rest),
                "must be appended",
            ),
        ],
    ),
    "write_with_cache": (
        solved_write,
        [
            (generate_greedy, "everything is computed anew"),
            (
                generate_greedy,
                "the model read [6, 7, 8, 9, 10, 11, 12, 13] tokens in its calls, expected [6, 1, 1",
            ),
            (write_token_by_token, "one call can read it whole"),
            (write_all_token_by_token, "and the last new token was read, too"),
            (write_and_read_the_last, "nobody asks what follows"),
            (
                lambda model, idx, most: torch.cat(
                    [idx, model(idx, KVCache())[:, -1].argmax(-1)], 1
                ),
                "to be appended",
            ),
            (lambda model, idx, most: model(idx[:, -1], KVCache()), "(1, tokens)"),
            (write_all_again, "the newest token only"),
            (write_with_new_caches, "nothing but the newest token"),
            (write_from_the_last_token, "the whole prompt"),
            (
                lambda model, idx, most: solved_write(model, idx, most)[:, idx.shape[1] :],
                "without the prompt",
            ),
            (
                lambda model, idx, most: solved_write(
                    lambda new, cache: -model(new, cache), idx, most
                ),
                "the least likely",
            ),
        ],
    ),
}


class TestExercises(ExerciseTests, MistakeTests, HintTests):
    checks, exercises, notebook = checks, EXERCISES, FOLDER / "ch04.ipynb"


# --- The notebooks --------------------------------------------------------------------------------


def test_the_notebook_teaches_this_very_code():
    names = [
        "LayerNorm",
        "GELU",
        "FeedForward",
        "TransformerBlock",
        "GPT",
        "language_model_loss",
        "generate_greedy",
    ]
    assert_same_code(FOLDER / "ch04.ipynb", FOLDER / "gpt.py", names)


def test_the_drawn_result_is_what_the_notebook_prints():
    settings = runpy.run_path(str(FOLDER / "figures" / "draw.py"))
    cells = json.loads((FOLDER / "ch04.ipynb").read_text(encoding="utf-8"))["cells"]
    outputs = [
        "".join(output.get("text", "")) for cell in cells for output in cell.get("outputs", [])
    ]
    (printed,) = (
        output for output in outputs if output.startswith("untrained ") and "\ntrained " in output
    )
    for line, drawn in zip(
        printed.splitlines(), (settings["UNTRAINED"], settings["TRAINED"]), strict=True
    ):
        pairs = [pair.rsplit(maxsplit=1) for pair in line.split(maxsplit=1)[1].split("  ")]
        words = {word.strip(): float(p) for word, p in pairs if float(p) > 0.01}
        assert words == pytest.approx(drawn, abs=0.02)
