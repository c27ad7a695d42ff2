"""Adapters on disk: every setting of peft's files with odd values is refused in one line, or gives
peft's outputs; damage is noticed; the precision is that of the model."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from ch04_01_main_chapter_code.damage import unnoticed
from ch06_01_main_chapter_code.lora import (
    FIXED_SETTINGS,
    HARMLESS,
    KINDS,
    apply_lora,
    load_adapters,
    lora_layers,
    merge_lora,
    save_adapters,
)
from ch06_01_main_chapter_code.previous_chapters import GPT, GPTConfig

IDX = torch.arange(20)[None] * 7 % 90


def tiny(seed=0, **changes):
    torch.manual_seed(seed)
    config = dict(vocab_size=90, context_length=24, emb_dim=32, n_heads=4, n_layers=2)
    model = GPT(GPTConfig(**(config | changes))).eval()
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return model


def adapted(seed=1, **options):
    """The small model with adapters that do something."""
    model = apply_lora(tiny(), rank=3, alpha=5, **options)
    torch.manual_seed(seed)
    for layer in lora_layers(model).values():
        torch.nn.init.normal_(layer.B, std=0.1)
    return model.eval()


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    """Adapters that peft wrote, and all the settings that it knows."""
    peft = pytest.importorskip("peft", reason="needs requirements-dev.txt")
    folder = tmp_path_factory.mktemp("peft")
    config = peft.LoraConfig(r=3, lora_alpha=5, target_modules=["qkv", "expand"])
    model = peft.get_peft_model(tiny(), config)
    torch.manual_seed(2)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(folder)
    return folder


def peft_logits(folder):
    import peft

    return peft.PeftModel.from_pretrained(tiny(), str(folder)).eval().base_model.model(IDX)


def changed(folder, target, **changes):
    shutil.copytree(folder, target, dirs_exist_ok=True)
    settings = json.loads((folder / "adapter_config.json").read_text()) | changes
    settings = {name: value for name, value in settings.items() if value is not ...}
    (target / "adapter_config.json").write_text(json.dumps(settings))
    return target


ODD = [None, True, False, 0, 1, -1, 2.5, 1e999, 10**30, "", "x", "all", [], ["head"], {}, {"a": 1}]
ODD += [{"qkv": 7}, "pissa", "gaussian", "lora_only", "qkv", ["qkv"], ["blocks.0.attention.qkv"]]


def test_every_setting_is_refused_or_computes_what_peft_computes(theirs, tmp_path):
    plain = peft_logits(theirs)
    settings = json.loads((theirs / "adapter_config.json").read_text())
    assert set(settings) <= set(KINDS) | set(FIXED_SETTINGS) | HARMLESS
    read, refused = 0, 0
    for name in sorted(settings | {"unknown": 1}):
        for value in [*ODD, ...]:
            folder = changed(theirs, tmp_path, **{name: value})
            try:
                ours = load_adapters(tiny(), folder)(IDX)
            except ValueError as error:
                assert "\n" not in str(error) and name in str(error), (name, value, error)
                refused += 1
                continue
            read += 1
            expected = plain if name in HARMLESS else peft_or_plain(folder, plain)
            torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-5, equal_nan=True)
    assert read > 150 and refused > 500


def peft_or_plain(folder, plain):
    """What peft computes; where it does not take the settings, they must at least change nothing."""
    try:
        return peft_logits(folder)
    except (TypeError, ValueError, AttributeError):
        return plain


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"alpha_pattern": {"qkv": 50}}, "alpha_pattern = {'qkv': 50}; our LoRA computes"),
        ({"rank_pattern": {"qkv": 8}}, "rank_pattern"),
        ({"use_rslora": True}, "use_rslora = True; our LoRA computes False only"),
        ({"use_dora": True}, "use_dora"),
        ({"modules_to_save": ["tok_emb"]}, "modules_to_save = "),
        ({"modules_to_save": ["head"]}, "its token embedding"),
        ({"r": ...}, "does not say 'r'"),
        ({"r": 10**9}, r"lora_A.weight has the shape \(3, 32\), expected \(1000000000, 32\)"),
        ({"lora_alpha": ...}, "does not say 'lora_alpha'"),
        ({"target_modules": ["nothing"]}, "target_modules names no linear layer"),
        ({"target_modules": ["qkv"]}, "fits no layer"),
        ({"target_modules": ["qkv", "expand", "proj"]}, "is missing"),
        ({"bias": "all"}, "bias = 'all'"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights = 'pissa'"),
        ({"a_new_method": {}}, "'a_new_method' = {}, a setting that our LoRA does not know"),
    ],
)
def test_what_our_lora_does_not_compute_is_named_and_the_model_stays(
    theirs, tmp_path, changes, words
):
    model, before = tiny(), tiny()(IDX)
    with pytest.raises(ValueError, match=words):
        load_adapters(model, changed(theirs, tmp_path, **changes))
    assert not lora_layers(model) and torch.equal(model(IDX), before)


def test_a_pattern_of_pefts_is_read(theirs, tmp_path):
    folder = changed(theirs, tmp_path, target_modules=r".*\.(qkv|expand)")
    ours = load_adapters(tiny(), folder)(IDX)
    torch.testing.assert_close(ours, peft_logits(folder), atol=1e-5, rtol=1e-5)


def test_no_damage_to_adapters_is_accepted(tmp_path):
    save_adapters(adapted(), tmp_path / "good", "tales-gpt")
    save_adapters(adapted(seed=4), tmp_path / "other", "tales-gpt")

    def accepts(folder):
        if not (folder / "manifest.json").exists():
            return None  # as others publish theirs
        try:
            load_adapters(tiny(), folder)
        except (ValueError, FileNotFoundError) as error:
            return None if "\n" not in str(error) else f"several lines: {error}"
        return "read"

    names = ["adapter_config.json", "adapter_model.safetensors", "manifest.json"]
    tried, found = unnoticed(tmp_path / "good", names, accepts, tmp_path, tmp_path / "other")
    assert found == [] and tried > 60


def test_adapters_that_are_not_finite_are_neither_saved_nor_read(tmp_path):
    model = adapted()
    layer = lora_layers(model)["blocks.1.attention.qkv"]
    layer.B.data[0, 0] = float("nan")
    with pytest.raises(ValueError, match=r"blocks.1.attention.qkv.lora_B.weight holds numbers"):
        save_adapters(model, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    save_adapters(adapted(), tmp_path)
    (tmp_path / "manifest.json").unlink()
    tensors = load_file(tmp_path / "adapter_model.safetensors")
    tensors["base_model.model.blocks.0.attention.qkv.lora_A.weight"][:] = float("inf")
    save_file(tensors, tmp_path / "adapter_model.safetensors")
    with pytest.raises(ValueError, match="qkv.lora_A.weight holds numbers that are no finite"):
        load_adapters(tiny(), tmp_path)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_adapters_have_the_precision_of_the_model(tmp_path, dtype):
    model = apply_lora(tiny().to(dtype), rank=3)
    layers = lora_layers(model).values()
    assert {part.dtype for layer in layers for part in (layer.A, layer.B)} == {dtype}
    for layer in layers:
        torch.nn.init.normal_(layer.B, std=0.1)
    logits = model(IDX)
    assert logits.dtype == dtype
    logits.float().logsumexp(-1).sum().backward()
    assert all(layer.A.grad is not None and layer.A.grad.dtype == dtype for layer in layers)
    save_adapters(model, tmp_path)
    again = load_adapters(tiny().to(dtype), tmp_path)
    assert torch.equal(again(IDX), logits)
    merged = merge_lora(model)(IDX).float()
    assert (merged - logits.float()).abs().max() < 0.05 * logits.float().abs().max()


def test_a_second_set_of_adapters_is_refused(tmp_path):
    save_adapters(adapted(), tmp_path)
    with pytest.raises(ValueError, match="has adapters already; merge them"):
        load_adapters(adapted(), tmp_path)
    assert GPT.lora is None and tiny().lora is None  # declared where the class is
