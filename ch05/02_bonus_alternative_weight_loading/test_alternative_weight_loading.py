"""The claims of alternative-weight-loading.ipynb: it reproduces its outputs, all ways give the same
model, and the ways that promise to save memory do."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

if (
    __name__ == "__main__"
):  # before the imports below: pytest gives the chapters their import names (conftest.py)
    raise SystemExit(pytest.main([__file__, *sys.argv[1:]]))

sys.path.insert(0, str(Path(__file__).parent))  # loading.py lies here

import loading
import torch
from safetensors.torch import load_file, save_file

from ch04_01_main_chapter_code.checkpoint import hugging_face_weights
from ch04_01_main_chapter_code.gpt import GPT, GPTConfig, count_parameters
from scratch_llm_tools.notebook_code import assert_same_code

FOLDER = Path(__file__).parent
NOTEBOOK = FOLDER / "alternative-weight-loading.ipynb"
FP32 = [way for way in loading.WAYS if "bf16" not in way]
TINY = GPTConfig(vocab_size=97, context_length=16, emb_dim=32, n_heads=4, n_layers=3, init_std=0.2)
LARGER = GPTConfig(
    vocab_size=50_257, context_length=64, emb_dim=256, n_heads=4, n_layers=2
)  # 58 MB


def checkpoint(folder, config):
    torch.manual_seed(0)
    model = GPT(config).eval()
    model.save_pretrained(folder)
    torch.save(hugging_face_weights(model), folder / "pytorch_model.bin")
    return model


def skip_without_transformers(way):
    if "transformers" in way:
        pytest.importorskip("transformers")


def test_the_notebook_shows_the_code_that_is_measured():
    assert_same_code(
        NOTEBOOK, FOLDER / "loading.py", ["to_ours", "copied", "assigned", "one_by_one"]
    )


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("way", FP32)
def test_every_way_gives_the_same_logits(tmp_path, way, tied):
    skip_without_transformers(way)
    config = GPTConfig(**vars(TINY) | {"tie_weights": tied})
    original, idx = checkpoint(tmp_path, config), torch.randint(97, (3, 16))
    model = loading.WAYS[way](tmp_path)
    torch.testing.assert_close(model(idx), original(idx), atol=1e-5, rtol=1e-5)
    assert count_parameters(model) == count_parameters(original)
    assert (model.head.weight is model.tok_emb.weight) == tied
    assert not model.training


@pytest.mark.parametrize("way", FP32)
def test_published_names_without_prefix_are_read(tmp_path, way):
    skip_without_transformers(way)
    original, idx = checkpoint(tmp_path, TINY), torch.randint(97, (2, 16))
    tensors = load_file(tmp_path / "model.safetensors")
    bare = {name.removeprefix("transformer."): tensor.clone() for name, tensor in tensors.items()}
    save_file(bare, tmp_path / "model.safetensors", {"format": "pt"})
    torch.save(bare, tmp_path / "pytorch_model.bin")
    (tmp_path / "manifest.json").unlink()
    torch.testing.assert_close(
        loading.WAYS[way](tmp_path)(idx), original(idx), atol=1e-5, rtol=1e-5
    )


def test_bf16_halves_the_bytes_and_stays_close(tmp_path):
    pytest.importorskip("transformers")
    original, idx = checkpoint(tmp_path, TINY), torch.randint(97, (2, 16))
    half = loading.WAYS["transformers, bf16"](tmp_path)
    assert {parameter.dtype for parameter in half.parameters()} == {torch.bfloat16}
    logits, expected = half(idx).float(), original(idx)
    assert 0 < (logits - expected).abs().mean() < 0.05 * expected.std()


def test_names_and_transposes_copy_nothing(tmp_path):
    checkpoint(tmp_path, TINY)
    tensors = loading.read_safetensors(tmp_path)
    places = {tensor.data_ptr() for tensor in tensors.values()}
    state = loading.to_ours(tensors, TINY)
    assert {tensor.data_ptr() for tensor in state.values()} == places
    model = loading.assigned(tmp_path, tensors)
    assert {parameter.data_ptr() for parameter in model.parameters()} == places
    assert (
        not {parameter.data_ptr() for parameter in loading.copied(tmp_path, tensors).parameters()}
        & places
    )


def test_a_forgotten_square_transpose_loads_and_is_wrong(tmp_path):
    """Without this, the equalities above could hold for any matrix."""
    original, idx = checkpoint(tmp_path, TINY), torch.randint(97, (2, 16))
    tensors = loading.read_safetensors(tmp_path)
    name = "transformer.h.1.attn.c_proj.weight"
    wrong = loading.assigned(tmp_path, tensors | {name: tensors[name].T})
    assert (wrong(idx) - original(idx)).abs().max() > 0.1


def script(*arguments, **options):
    command = [sys.executable, str(FOLDER / "loading.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, **options)


@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="only Linux tells anonymous memory"
)
def test_memory_is_as_the_notebook_says(tmp_path):
    checkpoint(tmp_path, LARGER)
    size = (tmp_path / "model.safetensors").stat().st_size / 1e6
    run = script(tmp_path, "pickle, copied", "pickle, assigned", "pickle, mapped")
    assert run.returncode == 0, run.stderr
    twice, once, mapped = map(json.loads, run.stdout.splitlines())
    assert twice["peak"] > 1.9 * size
    assert once["peak"] < 1.7 * size
    assert once["anonymous"] > 0.9 * size
    assert mapped["anonymous"] < 0.5 * size
    assert mapped["file"] > 0.8 * size


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["nowhere", "pickle, copied"], "nowhere"),
        (["nowhere", "by magic"], "invalid choice"),
        (["nowhere", "GPT.from_pretrained"], "is no checkpoint"),
    ],
)
def test_wrong_input_is_one_clear_line(tmp_path, arguments, message):
    run = script(*arguments, cwd=tmp_path)
    assert run.returncode != 0 and message in run.stderr and "Traceback" not in run.stderr
