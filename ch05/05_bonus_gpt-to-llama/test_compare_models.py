"""compare_models.py: its counts against real models, its table, its refusals."""

import pytest

if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__]))

import torch

from ch03_01_main_chapter_code.attention import KVCache
from ch05_05_bonus_gpt_to_llama import compare_models
from ch05_05_bonus_gpt_to_llama.against_transformers import random_model
from ch05_05_bonus_gpt_to_llama.decoder import Decoder


def saved(name, folder):
    pytest.importorskip("transformers", reason="needs requirements-dev.txt")
    random_model(name).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("name", ["gemma2", "qwen3, experts", "gpt-oss", "smollm3"])
def test_what_it_counts_is_there(name, tmp_path):
    config = compare_models.read_config(saved(name, tmp_path))
    model, found = Decoder(config).eval(), compare_models.costs(config, tokens=20)
    assert found["parameters"] == sum(weight.numel() for weight in model.parameters())
    cache = KVCache()
    with torch.no_grad():
        model(torch.arange(3, 23)[None], cache)
    stored = sum(buffer[:, :, :20].numel() for pair in cache.buffers.values() for buffer in pair)
    assert found["cache, bytes per token"] == 2 * stored / 20


def test_operations_are_those_of_the_matrices_that_a_token_meets(tmp_path):
    from torch.utils.flop_counter import FlopCounterMode

    config = compare_models.read_config(saved("qwen3, experts", tmp_path))
    model = Decoder(config).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.tensor([[5]]))
    counted = counter.get_total_flops()
    found = next(
        v for k, v in compare_models.costs(config, 1).items() if k.startswith("operations")
    )
    assert counted <= found <= 1.05 * counted  # norms are counted as if they were matrices


def test_the_table_shows_what_differs(tmp_path, capsys, monkeypatch):
    first, second = saved("llama", tmp_path / "a"), saved("gemma3", tmp_path / "b")
    assert compare_models.main(compare_models.parse([str(first), str(second)])) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = {line[:28].strip(): line for line in lines}
    assert lines[0].split() == ["a", "b"]
    assert "5 of 5 slide" in rows["layers"] and "all full" in rows["layers"]
    assert "vocab_size" not in rows and "parameters" in rows


@pytest.mark.parametrize("content", ["{", '{"model_type": "bert"}', None])
def test_nonsense_is_refused_in_a_line(content, tmp_path):
    path = tmp_path / "config.json"
    if content:
        path.write_text(content)
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        compare_models.main(compare_models.parse([str(path)]))
    assert "\n" not in str(caught.value)
