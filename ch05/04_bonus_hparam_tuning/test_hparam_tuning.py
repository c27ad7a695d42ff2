"""What hparam_tuning.py promises: the same trials from the same seed, nothing lost and nothing
repeated after a kill, the right trials go on, and one clear line for wrong input."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pytest

if (
    __name__ == "__main__"
):  # before the imports below: pytest gives the chapters their import names (conftest.py)
    raise SystemExit(pytest.main([__file__, *sys.argv[1:]]))

sys.path.insert(0, str(Path(__file__).parent))  # hparam_tuning.py and search_settings.py lie here

import hparam_tuning as tuning
import torch
from search_settings import BATCH_SIZES, Search, parse_arguments

from ch05_01_main_chapter_code.arguments import run_script
from ch05_01_main_chapter_code.gpt_train import evaluate, train
from ch05_01_main_chapter_code.previous_chapters import GPT
from ch05_01_main_chapter_code.run_folders import read_results
from scratch_llm_tools.processes import ended

FOLDER = Path(__file__).parent
NOTEBOOK = FOLDER / "hparam-tuning.ipynb"
TINY = [
    "--data",
    "story",
    "--rows",
    "64",
    "--emb-dim",
    "16",
    "--n-layers",
    "1",
    "--trials",
    "4",
    "--device",
    "cpu",
    "--finalists",
    "1",
    "--repeats",
    "1",
]


# --- Trials ---------------------------------------------------------------------------------------


def test_a_trial_depends_on_seed_and_number_alone():
    forwards = [tuning.draw_trial(1, number) for number in range(50)]
    torch.rand(7), torch.manual_seed(3)
    assert [tuning.draw_trial(1, number) for number in reversed(range(50))] == forwards[::-1]
    assert len({str(trial) for trial in forwards}) == 50
    assert tuning.draw_trial(2, 0) != forwards[0]
    assert forwards[0] == {
        "lr": 0.065,
        "batch_size": 32,
        "weight_decay": 0.709,
        "warmup_share": 0.031,
        "beta2": 0.99681,
    }


def test_trials_fill_the_space_by_their_logarithm():
    trials = [tuning.draw_trial(5, number) for number in range(2000)]
    rates = torch.tensor([trial["lr"] for trial in trials])
    assert 1e-3 <= rates.min() < 1.1e-3 and 0.09 < rates.max() <= 0.1
    assert abs((rates < 0.01).float().mean() - 0.5) < 0.05
    assert {trial["batch_size"] for trial in trials} == set(BATCH_SIZES)
    assert all(
        0.9 <= trial["beta2"] <= 0.999 and 0 <= trial["warmup_share"] <= 0.3 for trial in trials
    )


def test_every_batch_size_sees_the_same_number_of_rows():
    trial = tuning.draw_trial(1, 0)
    for size in BATCH_SIZES:
        plan = tuning.plan_of(
            Search(), trial | {"batch_size": size, "warmup_share": 0.25}, 320, seed=4
        )
        assert plan.steps * plan.batch_size == 320
        assert (plan.warmup, plan.seed, plan.lr, plan.beta2) == (
            round(plan.steps / 4),
            4,
            trial["lr"],
            trial["beta2"],
        )


def test_a_run_is_chapter_5s_train_and_evaluate():
    search = Search(data="story", rows=64, emb_dim=16, n_layers=1, device="cpu")
    corpus = tuning.load_data(search)
    plan = tuning.plan_of(search, tuning.draw_trial(1, 1), 64, seed=3)
    torch.manual_seed(3)
    model = GPT(tuning.build_model(plan, corpus.tokenizer.n_vocab))
    train(model, corpus.train, plan)
    expected = {
        "val_loss": evaluate(model, corpus.validation[::2])[0],
        "test_loss": evaluate(model, corpus.validation[1::2])[0],
    }
    assert tuning.measure(corpus, plan) == pytest.approx(expected)
    assert expected["val_loss"] != expected["test_loss"]


def test_a_run_that_diverges_counts_as_the_worst(tmp_path):
    search = Search(data="story", rows=64, emb_dim=16, n_layers=1, device="cpu")
    plan = tuning.plan_of(
        search, tuning.draw_trial(1, 1) | {"lr": 1e30, "warmup_share": 0}, 64, seed=3
    )
    assert tuning.measure(tuning.load_data(search), plan) == {"val_loss": None, "test_loss": None}
    assert tuning.best_first({0: None, 1: 5.0, 2: 1.0, 3: None, 4: 1.0}) == [2, 4, 1, 0, 3]
    row = {
        "trial": 0,
        "rows": 64,
        "seed": 1,
        "val_loss": None,
        "test_loss": None,
    } | tuning.draw_trial(1, 0)
    assert "diverged" in tuning.table(search, [row])
    assert "diverged" in tuning.write_report(tmp_path, search, [row])


# --- Halving --------------------------------------------------------------------------------------


def calls_of(search, loss):
    calls = []

    def loss_of(trial, rows, seed):
        calls.append((trial, rows, seed))
        return loss(trial, rows, seed)

    tuning.go(search, loss_of)
    return calls


def test_halving_keeps_the_best_third_of_each_rung():
    """The order changes from rung to rung: each decides by its own losses."""
    search = Search(
        method="halving", trials=9, rows=900, eta=3, rungs=3, finalists=2, repeats=2, seed=5
    )
    order = {100: [8, 3, 5, 0, 1, 2, 4, 6, 7], 300: [5, 8, 3], 900: [5]}
    calls = calls_of(search, lambda trial, rows, seed: order[rows].index(trial))
    expected = [(trial, 100, 5) for trial in range(9)] + [
        (8, 300, 5),
        (3, 300, 5),
        (5, 300, 5),
        (5, 900, 5),
    ]
    assert calls == expected + [(5, 900, 6), (5, 900, 7)]
    assert len(calls) == tuning.count_runs(search)


def test_random_search_gives_all_rows_to_all_trials():
    search = Search(trials=6, rows=900, finalists=2, repeats=1, seed=5)
    calls = calls_of(search, lambda trial, rows, seed: -trial)
    assert calls == [(trial, 900, 5) for trial in range(6)] + [(5, 900, 6), (4, 900, 6)]
    assert len(calls) == tuning.count_runs(search)


@pytest.mark.parametrize(
    "trials, eta, rungs, finalists", [(20, 3, 3, 4), (1, 2, 3, 4), (27, 3, 4, 1), (5, 4, 2, 0)]
)
def test_the_number_of_runs_is_known_before(trials, eta, rungs, finalists):
    for method in ("random", "halving"):
        search = Search(
            method=method, trials=trials, rows=10_000, eta=eta, rungs=rungs, finalists=finalists
        )
        assert len(calls_of(search, lambda trial, rows, seed: trial % 7)) == tuning.count_runs(
            search
        )


# --- The command line -----------------------------------------------------------------------------


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.setenv("SCRATCH_LLM_RUNS", str(tmp_path))
    return tmp_path


def start(*arguments, **options):
    return subprocess.Popen(
        [sys.executable, str(FOLDER / "hparam_tuning.py"), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def lines(folder):
    return (folder / "results.jsonl").read_text().splitlines()


@pytest.mark.parametrize(
    "how", [signal.SIGKILL, signal.SIGINT] if os.name == "posix" else [signal.SIGTERM]
)
def test_killed_and_resumed_gives_the_same_table(runs, how):
    given = parse_arguments([*TINY, "--method", "halving", "--rows", "288"])[
        0
    ]  # three rungs: 32, 96 and 288 rows
    assert tuning.main(given, "whole") == 0
    flags = [*TINY, "--method", "halving", "--rows", "288", "--name", "cut"]
    process = start(*flags)
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
    assert 3 <= len(before) < len(lines(runs / "whole"))
    with open(runs / "cut" / "results.jsonl", "a") as file:
        file.write('{"trial": 2, "ro')  # as if the power had gone while a line was written
    assert tuning.main({}, "cut", resume=True) == 0
    after = lines(runs / "cut")
    assert after[: len(before)] == before  # nothing was repeated or changed
    assert after[1:] == lines(runs / "whole")[1:]
    assert (runs / "cut" / "table.txt").read_text() == (runs / "whole" / "table.txt").read_text()
    assert (runs / "cut" / "search.png").stat().st_size > 10_000
    assert (
        tuning.main({}, resume=True) == 0
    )  # a search that is complete: nothing is trained, nothing is added
    assert lines(runs / "cut") == after


def test_every_default_is_in_the_help_and_torch_is_not_needed_for_it(tmp_path):
    (tmp_path / "torch.py").write_text("raise SystemExit('torch was loaded')")
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "COLUMNS": "200"}
    out, err = start("--help", env=environment).communicate(timeout=60)
    assert not err
    for name, value in asdict(Search()).items():
        assert f"--{name.replace('_', '-')} " in out and f"(default: {value})" in out


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--trials", "0"], "trials must be at least 1"),
        (["--eta", "1"], "eta must be at least 2"),
        (["--rows", "20"], "the largest batch has 32"),
        (["--method", "halving", "--rows", "200"], "leaves 22 rows"),
        (["--method", "grid"], "invalid choice"),
        (["--data", "no-such-file.txt"], "no-such-file.txt"),
        (["--name", "../elsewhere"], "plain folder name"),
        (["--resume"], "no search"),
        (["--resume", "--name", "nobody"], "there is no search nobody"),
        (["--resume", "--overwrite"], "give one of them"),
        (["--emb-dim", "30", "--trials", "1"], "must be divisible by n_heads"),
    ],
)
def test_wrong_input_is_one_clear_line(runs, capsys, arguments, message):
    status, out, err = ended(capsys, lambda: run_script(tuning.main, *parse_arguments(arguments)))
    assert status in (1, 2) and message in err and "Traceback" not in err
    assert len(err.strip().splitlines()) == 1 or "usage:" in err
    assert not list(runs.glob("*/*"))


def test_finished_searches_are_not_lost(runs):
    given = parse_arguments([*TINY, "--trials", "1"])[0]
    assert tuning.main(given, "mine") == 0
    before = lines(runs / "mine")
    for arguments, message in ((("mine",), "exists"), (("mine", True, True), "give one of them")):
        with pytest.raises(ValueError, match=message):
            tuning.main(given, *arguments)
    with pytest.raises(ValueError, match="its own settings; leave out trials"):
        tuning.main({"trials": 7}, "mine", resume=True)
    with pytest.raises(FileNotFoundError):
        tuning.main({"data": "no-such-file.txt"}, "mine", overwrite=True)
    assert lines(runs / "mine") == before
    (runs / "model").mkdir()
    (runs / "model" / "model.safetensors").write_text("weights")
    with pytest.raises(ValueError, match="is no search"):
        tuning.main(given, "model", overwrite=True)
    assert (runs / "model" / "model.safetensors").exists()
    assert tuning.main(given | {"seed": 2}, "mine", overwrite=True) == 0
    assert lines(runs / "mine") != before
    assert tuning.main(given) == 0 and (runs / "search-1" / "table.txt").exists()


@pytest.mark.parametrize(
    "damage, message", [("", "damaged"), ("not json\n", "line 1"), ('{"trial": 1}\n', "first line")]
)
def test_damaged_results_are_told(runs, damage, message):
    (runs / "broken").mkdir()
    (runs / "broken" / "results.jsonl").write_text(damage)
    with pytest.raises(ValueError, match=message):
        tuning.main({}, "broken", resume=True)
    assert (runs / "broken" / "results.jsonl").read_text() == damage


# --- The logs that the notebook shows -------------------------------------------------------------


@pytest.mark.parametrize("method, command", [("random", ""), ("halving", " --method halving")])
def test_the_logs_are_those_of_the_defaults(method, command):
    head, rows = read_results(FOLDER / f"results-{method}.jsonl", "search")
    search = Search(**head["search"])
    assert (
        search == Search(method=method) and head["command"] == f"python hparam_tuning.py{command}"
    )
    by_name = {(row["trial"], row["rows"], row["seed"]): row for row in rows}
    calls = calls_of(search, lambda *name: by_name[name]["val_loss"])
    assert calls == list(by_name) and len(calls) == len(rows)
    assert all(tuning.draw_trial(search.seed, row["trial"]).items() <= row.items() for row in rows)


def test_a_logged_run_can_be_repeated():
    head, rows = read_results(FOLDER / "results-halving.jsonl", "search")
    search, row = Search(**head["search"]), json.loads(json.dumps(rows[0]))
    corpus = tuning.load_data(search)
    found = tuning.measure(
        corpus,
        tuning.plan_of(
            search, tuning.draw_trial(search.seed, row["trial"]), row["rows"], row["seed"]
        ),
    )
    assert found == pytest.approx(
        {"val_loss": row["val_loss"], "test_loss": row["test_loss"]}, rel=0.01
    )
