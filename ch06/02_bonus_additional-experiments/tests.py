"""What additional_experiments.py promises: its variants differ in what they say and in nothing
else, no finished run is lost or repeated after a kill, and wrong input is one clear line."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, fields
from pathlib import Path

import pytest

if (
    __name__ == "__main__"
):  # before the imports below: pytest gives the chapters their import names (conftest.py)
    raise SystemExit(pytest.main([__file__, *sys.argv[1:]]))

sys.path.insert(
    0, str(Path(__file__).parent)
)  # additional_experiments.py and experiment_settings.py lie here

import additional_experiments as lab
import torch
from experiment_settings import GROUPS, HELP, USUAL, Experiment, Variant, parse_arguments

from ch03_01_main_chapter_code.attention import MultiHeadAttention
from ch05_01_main_chapter_code.arguments import run_script
from ch05_01_main_chapter_code.run_folders import Results
from ch06_01_main_chapter_code.class_arguments import FineTuneConfig
from ch06_01_main_chapter_code.frozen_layers import FrozenRows, class_logits, pad_rows
from ch06_01_main_chapter_code.gpt_class_finetune import SpamDataset, evaluate, fine_tune, load_base
from ch06_01_main_chapter_code.labelled_texts import load_labelled
from ch06_01_main_chapter_code.lora import lora_layers
from scratch_llm_tools.processes import ended

FOLDER = Path(__file__).parent
SHORT = Experiment(data="messages", epochs=1, seeds=[1], groups=["padding"])
FLAGS = ["--data", "messages", "--epochs", "1", "--groups", "padding", "--device", "cpu"]


def model_and_rows(variant, count=12):
    """A classifier of this variant, not trained, and the first messages as it reads them."""
    model, _ = lab.make_classifier(load_base(FineTuneConfig()), ("ham", "spam"), variant, seed=1)
    dataset = SpamDataset(load_labelled("messages"), model.tokenizer, 192).subset(
        list(range(count))
    )
    return model.eval(), lab.make_rows(model, dataset, variant)


# --- The variants ---------------------------------------------------------------------------------


@pytest.mark.parametrize("reading", lab.READINGS)
def test_each_reading_takes_what_it_says(reading):
    hidden, mask = torch.randn(3, 7, 5), torch.arange(7) < torch.tensor([[7], [4], [2]])
    found = lab.READINGS[reading](hidden, mask)
    for row, length in enumerate((7, 4, 2)):
        real = hidden[row, :length]
        expected = {
            "first": real[1],
            "middle": real[length // 2],
            "last": real[-1],
            "mean": real[1:].mean(dim=0),
        }
        assert torch.allclose(found[row], expected[reading], atol=1e-6)


@torch.no_grad()
def test_rows_of_the_usual_variant_are_chapter_6s():
    model, rows = model_and_rows(USUAL)
    places = list(range(len(rows)))
    assert type(rows) is FrozenRows
    idx, mask = pad_rows(rows.dataset.rows)
    expected = class_logits(model, idx, mask)
    assert torch.allclose(rows.logits(places), expected, atol=1e-5)
    assert torch.allclose(
        lab.ReadRows(model, rows.dataset, USUAL).logits(places), expected, atol=1e-5
    )


def test_training_through_our_rows_is_chapter_6s_training():
    losses = []
    for make in (FrozenRows, lambda model, dataset: lab.ReadRows(model, dataset, USUAL)):
        model, rows = model_and_rows(USUAL, 32)
        losses.append(fine_tune(model, make(model, rows.dataset), 2, seed=3)[1]["losses"])
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("mask", ["causal", "none"])
@pytest.mark.parametrize("reading", lab.READINGS)
def test_company_and_padding_change_nothing_where_padding_is_not_read(mask, reading):
    _, rows = model_and_rows(Variant(reading=reading, mask=mask))
    together = rows.logits(list(range(len(rows))))
    alone = torch.cat([rows.logits([place]) for place in range(len(rows))])
    assert torch.allclose(together, alone, atol=1e-4)


@torch.no_grad()
def test_the_careless_variants_read_padding():
    model, rows = model_and_rows(GROUPS["padding"]["last place of the batch"])
    places = list(range(len(rows)))
    idx, _ = pad_rows(rows.dataset.rows)
    assert torch.allclose(rows.logits(places), model.head(model.trunk(idx)[:, -1]), atol=1e-5)
    longest = int(rows.lengths.argmax())
    changes = (
        (rows.logits(places) - torch.cat([rows.logits([place]) for place in places]))
        .abs()
        .amax(dim=1)
    )
    assert changes[longest] < 1e-4 and changes.max() > 1e-2  # the longest is not padded, others are
    full = lab.ReadRows(model, rows.dataset, GROUPS["padding"]["last place of the context"])
    idx = torch.nn.functional.pad(idx, (0, 192 - idx.shape[1]))
    assert torch.allclose(full.logits(places), model.head(model.trunk(idx)[:, -1]), atol=1e-5)
    assert torch.allclose(
        full.logits(places), torch.cat([full.logits([place]) for place in places]), atol=1e-4
    )


@torch.no_grad()
def test_without_the_mask_every_token_sees_all_and_nothing_else_changes():
    torch.manual_seed(0)
    x, real = torch.randn(2, 6, 32), torch.tensor([[True] * 6, [True] * 4 + [False] * 2])
    causal, both = MultiHeadAttention(32, 4, qkv_bias=True), lab.BothWays(32, 4, qkv_bias=True)
    both.load_state_dict(causal.state_dict())
    assert torch.allclose(both(x[:, :1], attention_mask=real[:, :1]), causal(x[:, :1]), atol=1e-6)
    queries, keys, values = (
        part.unflatten(-1, (4, 8)).transpose(1, 2) for part in both.qkv(x).chunk(3, dim=-1)
    )
    scores = (queries @ keys.mT / 8**0.5).masked_fill(~real[:, None, None], -torch.inf)
    expected = both.proj((scores.softmax(dim=-1) @ values).transpose(1, 2).flatten(2))
    assert torch.allclose(both(x, attention_mask=real), expected, atol=1e-5)

    ids = torch.tensor([[0, 5, 6, 7, 8]])
    changed = torch.tensor([[0, 5, 6, 7, 9]])
    for mask, expected in (("causal", 1), ("none", 5)):
        model, _ = model_and_rows(Variant(mask=mask))
        true = torch.ones_like(ids, dtype=torch.bool)
        difference = (
            (model.trunk(ids, attention_mask=true) - model.trunk(changed, attention_mask=true))
            .abs()
            .amax(dim=-1)
        )
        assert int((difference > 1e-6).sum()) == expected


@pytest.mark.parametrize(
    "train, learns",
    [
        ("head", ("head.",)),
        ("last-block", ("blocks.1.", "final_norm.", "head.")),
        ("last-two", ("blocks.", "final_norm.", "head.")),
        ("all", ("",)),
    ],
)
def test_what_learns_is_what_the_variant_says(train, learns):
    model, rows = model_and_rows(Variant(train=train), 16)
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    fine_tune(model, rows, 1, lr=1e-3)
    for name, parameter in model.named_parameters():
        if name != "pos_emb.weight":  # of which only the rows that were read are moved
            assert torch.equal(parameter, before[name]) != name.startswith(learns), name


def test_ranks_and_rates():
    for rank in (1, 16):
        model, _ = lab.make_classifier(
            load_base(FineTuneConfig()), ("ham", "spam"), GROUPS["layers"][f"LoRA, rank {rank}"], 1
        )
        layers = lora_layers(model).values()
        assert layers and all(layer.A.shape[0] == rank and layer.scale == 2 for layer in layers)
    rates = []
    for name in ("all, rate × 1/3", "all, rate × 1", "all, rate × 3"):
        rates.append(
            lab.make_classifier(
                load_base(FineTuneConfig()), ("ham", "spam"), GROUPS["rate"][name], 1
            )[1]
        )
    assert rates == pytest.approx(
        [0.001 / 3, 0.001, 0.003]
    )  # chapter 6's rate for all weights of a width of 128


def test_a_run_is_chapter_6s_fine_tune_and_evaluate():
    model, rate, train, test = lab.prepare(SHORT, USUAL, 1)
    fine_tune(model, train, 1, lr=rate, seed=1)
    report = evaluate(model, test)
    found = lab.measure(SHORT, USUAL, 1)
    assert (found["accuracy"], found["loss"]) == pytest.approx(
        (report.accuracy, report.loss), rel=1e-4
    )
    assert found["changed"] == 0 and found["alone"] == found["mixed"] == report.accuracy
    assert set(train.dataset.texts).isdisjoint(test.dataset.texts)


def test_a_run_that_diverges_is_told():
    row = lab.measure(SHORT, Variant(rate=1e30), 1)
    assert row == {"accuracy": None, "loss": None}
    assert lab.spread([0.5, None]) == "diverged" and lab.spread([]) == "not run"
    assert lab.spread([0.5, 0.75, 1.0]).split() == ["75.0%", "50.0%", "100.0%"]


def test_every_run_once_though_a_variant_stands_in_several_groups():
    experiment = Experiment()
    runs = experiment.runs()
    assert (
        len(runs)
        == len(set(runs))
        == 3 * len({variant for group in GROUPS.values() for variant in group.values()})
    )
    assert {(USUAL, seed) for seed in (1, 2, 3)} < set(runs)
    assert sum(USUAL in group.values() for group in GROUPS.values()) == len(
        GROUPS
    )  # what every group is held against


# --- The command line -----------------------------------------------------------------------------


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.setenv("SCRATCH_LLM_RUNS", str(tmp_path))
    return tmp_path


def start(*arguments, **options):
    return subprocess.Popen(
        [sys.executable, str(FOLDER / "additional_experiments.py"), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def lines(folder):
    return (folder / "results.jsonl").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize(
    "how", [signal.SIGKILL, signal.SIGINT] if os.name == "posix" else [signal.SIGTERM]
)
def test_killed_and_resumed_gives_the_same_table(runs, how):
    assert lab.main(parse_arguments(FLAGS)[0], "whole") == 0
    process = start(*FLAGS, "--name", "cut")
    deadline = time.monotonic() + 200
    while not (runs / "cut" / "results.jsonl").exists() or len(lines(runs / "cut")) < 3:
        assert time.monotonic() < deadline and process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(how)
    out, err = process.communicate(timeout=100)
    assert process.returncode == {signal.SIGINT: 130}.get(how, -how) and "Traceback" not in err
    if how == signal.SIGINT:
        assert "--resume" in out
    before = lines(runs / "cut")
    assert (
        3 <= len(before) < len(lines(runs / "whole")) and not (runs / "cut" / "table.txt").exists()
    )
    with open(runs / "cut" / "results.jsonl", "a") as file:
        file.write('{"weights": "pre')  # as if the power had gone in the writing
    assert lab.main({}, "cut", resume=True) == 0
    after = lines(runs / "cut")
    assert after[: len(before)] == before  # nothing was repeated or changed
    assert after[1:] == lines(runs / "whole")[1:]
    assert (runs / "cut" / "table.txt").read_text() == (runs / "whole" / "table.txt").read_text()
    assert (runs / "cut" / "results.png").stat().st_size > 5_000
    assert lab.main({}, resume=True) == 0  # all is done: nothing is trained, nothing is added
    assert lines(runs / "cut") == after


def test_finished_experiments_are_not_lost(runs, monkeypatch):
    monkeypatch.setattr(
        lab, "measure", lambda experiment, variant, seed: {"accuracy": 0.5, "loss": 1.0}
    )  # no training here
    given = parse_arguments(FLAGS)[0]
    assert lab.main(given, "mine") == 0
    before = lines(runs / "mine")
    for arguments, message in ((("mine",), "exists"), (("mine", True, True), "give one of them")):
        with pytest.raises(ValueError, match=message):
            lab.main(given, *arguments)
    with pytest.raises(ValueError, match="its own settings; leave out epochs, seeds"):
        lab.main({"epochs": 7, "seeds": [1]}, "mine", resume=True)
    assert lab.main(given, "mine", resume=True) == 0  # the same settings once more are welcome
    with pytest.raises(FileNotFoundError):
        lab.main({"data": "no-such-file.csv"}, "mine", overwrite=True)
    assert lines(runs / "mine") == before
    (runs / "model").mkdir()
    (runs / "model" / "model.safetensors").write_text("weights")
    with pytest.raises(ValueError, match="is no experiment"):
        lab.main(given, "model", overwrite=True)
    assert (runs / "model" / "model.safetensors").exists()
    assert lab.main(given | {"seeds": [4]}, "mine", overwrite=True) == 0
    assert lines(runs / "mine") != before


@pytest.mark.parametrize(
    "damage, message", [("", "damaged"), ("not json\n", "line 1"), ('{"trial": 1}\n', "first line")]
)
def test_damaged_results_are_told(runs, damage, message):
    (runs / "broken").mkdir()
    (runs / "broken" / "results.jsonl").write_text(damage)
    with pytest.raises(ValueError, match=message):
        lab.main({}, "broken", resume=True)
    assert (runs / "broken" / "results.jsonl").read_text() == damage


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--epochs", "0"], "epochs must be at least 1"),
        (["--test-share", "1.5"], "between 0 and 1"),
        (["--seeds", "1", "1"], "seeds names one twice"),
        (["--groups", "colour"], "invalid choice"),
        (["--data", "no-such-file.csv"], "no-such-file.csv"),
        (["--name", "../elsewhere"], "plain folder name"),
        (["--resume"], "no experiment to resume"),
        (["--resume", "--name", "nobody"], "there is no experiment nobody"),
        (["--resume", "--overwrite"], "give one of them"),
    ],
)
def test_wrong_input_is_one_clear_line(runs, capsys, arguments, message):
    status, out, err = ended(capsys, lambda: run_script(lab.main, *parse_arguments(arguments)))
    assert status in (1, 2) and message in err and "Traceback" not in err
    assert len(err.strip().splitlines()) == 1 or "usage:" in err
    assert not list(runs.glob("*/*"))


def test_the_help_knows_every_setting_and_needs_no_torch(tmp_path):
    assert set(HELP) == {field.name for field in fields(Experiment)}
    (tmp_path / "torch.py").write_text("raise SystemExit('torch was loaded')")
    out, err = start("--help", env=os.environ | {"PYTHONPATH": str(tmp_path)}).communicate(
        timeout=60
    )
    assert not err and all(f"--{name.replace('_', '-')} " in out for name in HELP)


# --- The logs that the notebook shows -------------------------------------------------------------


@pytest.mark.parametrize(
    "name, flags", [("tales", ""), ("messages", " --data messages --epochs 20 --test-share 0.5")]
)
def test_the_logs_are_complete(name, flags):
    results = Results(FOLDER / f"results-{name}.jsonl", "experiment")
    command = f"python additional_experiments.py{flags}"
    given = parse_arguments(flags.split())[0]
    assert results.head["command"] == command and Experiment(
        **results.head["experiment"]
    ) == Experiment(**given)
    expected = [asdict(variant) | {"seed": seed} for variant, seed in Experiment(**given).runs()]
    assert [{key: row[key] for key in expected[0]} for row in results.rows] == expected


def test_a_logged_run_can_be_repeated():
    results = Results(FOLDER / "results-messages.jsonl", "experiment")
    variant = GROUPS["layers"]["last block"]
    found = lab.measure(Experiment(**results.head["experiment"]), variant, 1)
    row = json.loads(json.dumps(results.find(**asdict(variant), seed=1)))
    assert found["accuracy"] == pytest.approx(row["accuracy"], abs=0.04)  # three of 80 messages
    assert found["loss"] == pytest.approx(row["loss"], rel=0.1)
