"""The claims of learning-rate-schedulers.ipynb: it reproduces its outputs, the schedules are
PyTorch's and chapter 5's, and the log is what compare_schedules.py makes."""

import math
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

if (
    __name__ == "__main__"
):  # before the imports below: pytest gives the chapters their import names (conftest.py)
    raise SystemExit(pytest.main([__file__, *sys.argv[1:]]))

sys.path.insert(0, str(Path(__file__).parent))  # schedulers.py and compare_schedules.py lie here

import compare_schedules
import schedulers
import torch
from schedulers import SCHEDULES, train_with
from torch.optim import lr_scheduler as ready_made

from ch05_01_main_chapter_code.arguments import TrainConfig
from ch05_01_main_chapter_code.checks import check_trapezoid_rate
from ch05_01_main_chapter_code.gpt_train import DocumentRows, flat_tokens, learning_rate, train
from ch05_01_main_chapter_code.previous_chapters import GPT, BPETokenizer, GPTConfig
from ch05_01_main_chapter_code.tales import make_tales
from scratch_llm_tools.notebook_code import assert_same_code

FOLDER = Path(__file__).parent
NOTEBOOK = FOLDER / "learning-rate-schedulers.ipynb"
FUNCTIONS = [schedule.__name__ for schedule in SCHEDULES.values()]


def test_the_notebook_teaches_this_very_code():
    assert_same_code(
        NOTEBOOK, FOLDER / "schedulers.py", ["ramp", "progress", "half_cosine", *FUNCTIONS]
    )


# --- The schedules --------------------------------------------------------------------------------


def torch_rates(make, steps):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler, rates = make(optimizer), []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def ours(name, steps, warmup):
    return [SCHEDULES[name](step, steps, warmup) for step in range(steps)]


@pytest.mark.parametrize("first, warmup", [(5, 2), (11, 30), (26, 18)])
def test_they_are_pytorchs(first, warmup):
    steps, rest = warmup + 7 * first, 7 * first

    def chain(*parts, ends=()):
        def make(optimizer):
            made = [
                ready_made.LinearLR(optimizer, 1 / warmup, total_iters=warmup - 1),
                *(part(optimizer) for part in parts),
            ]
            return ready_made.SequentialLR(optimizer, made, milestones=[warmup, *ends])

        return make

    decay = round(0.2 * steps)
    theirs = {
        "constant": chain(lambda o: ready_made.ConstantLR(o, 1, 1)),
        "linear": chain(lambda o: ready_made.LinearLR(o, 1, 0, rest)),
        "cosine": chain(lambda o: ready_made.CosineAnnealingLR(o, rest)),
        "cosine with restarts": chain(
            lambda o: ready_made.CosineAnnealingWarmRestarts(o, first, 2)
        ),
        "warm-up, stable, decay": chain(
            lambda o: ready_made.ConstantLR(o, 1, 1),
            lambda o: ready_made.LinearLR(o, 1, 0, decay),
            ends=[steps - decay],
        ),
        "one-cycle": lambda o: ready_made.OneCycleLR(o, 1, steps, cycle_momentum=False),
    }
    for name, make in theirs.items():
        assert ours(name, steps, warmup) == pytest.approx(torch_rates(make, steps), abs=1e-9), name


@pytest.mark.parametrize("steps, warmup", [(200, 20), (7, 0), (50, 1), (10, 10)])
@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_two_are_chapter_fives(name, steps, warmup):
    plan = TrainConfig(steps=steps, warmup=warmup, schedule=name, lr=1.0)
    assert ours(name, steps, warmup) == pytest.approx(
        [learning_rate(step, plan) for step in range(steps)]
    )


@pytest.mark.parametrize("warmup", [1, 20, 4000])
def test_inverse_sqrt_is_the_formula_of_2017(warmup):
    paper = [min(n**-0.5, n * warmup**-1.5) for n in range(1, 10_001)]
    assert ours("inverse square root", 10_000, warmup) == pytest.approx(
        [value / warmup**-0.5 for value in paper]
    )


def test_warmup_stable_decay_solves_exercise_4_of_chapter_5():
    def trapezoid_rate(step, steps, warmup, decay, peak):
        return peak * schedulers.warmup_stable_decay(step, steps, warmup, decay / steps)

    assert check_trapezoid_rate(trapezoid_rate)
    assert not check_trapezoid_rate(lambda *given: 0.9 * trapezoid_rate(*given))


@pytest.mark.parametrize("steps, warmup", [(1, 0), (1, 1), (5, 0), (5, 5), (5, 9), (100, 10)])
@pytest.mark.parametrize("name", SCHEDULES)
def test_shares_stay_between_0_and_1(name, steps, warmup):
    """Also where little is left beside the warm-up, and for a step too many."""
    shares = [SCHEDULES[name](step, steps, warmup) for step in range(steps + 1)]
    assert all(math.isfinite(share) and 0 <= share <= 1 + 1e-12 for share in shares)
    assert max(shares) > 0


def test_restarts_double_and_end_at_zero():
    shares = ours("cosine with restarts", 700, 0)
    assert [step for step in range(1, 700) if shares[step] > shares[step - 1]] == [100, 300]
    assert shares[0] == shares[100] == shares[300] == 1
    assert max(shares[99], shares[299], shares[699]) < 0.001


# --- Training and the log -------------------------------------------------------------------------


def small_setting():
    texts = make_tales(60, seed=3)
    tokenizer = BPETokenizer.train(texts, 300)
    rows = DocumentRows(*flat_tokens(texts, tokenizer))
    torch.manual_seed(5)
    return GPT(GPTConfig(300, int(rows.lengths.max()), emb_dim=16, n_heads=2, n_layers=1)), rows


@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_training_is_chapter_fives(name):
    config = TrainConfig(steps=6, batch_size=3, warmup=2, lr=1e-2, device="cpu", schedule=name)
    expected = train(*small_setting(), config)
    share = partial(SCHEDULES[name], steps=6, warmup=2)
    assert train_with(*small_setting(), config, share) == pytest.approx(expected, rel=1e-6)
    other = train_with(*small_setting(), config, lambda step: 0.1)
    assert other[1:] != pytest.approx(expected[1:], rel=1e-3)


def test_the_log_is_complete():
    head, rows = compare_schedules.read_log()
    assert head["command"] == "python compare_schedules.py"
    found = [(row["schedule"], row["peak"], row["seed"]) for row in rows]
    assert len(found) == len(set(found))
    for name in SCHEDULES:
        best = compare_schedules.best_peak(rows, name)
        tried = sorted(peak for schedule, peak, seed in found if (schedule, seed) == (name, 1))
        assert best in tried and best < max(tried)  # the next peak was worse
        assert all((name, best, seed) in found for seed in compare_schedules.JUDGING_SEEDS)
    cosine = compare_schedules.best_peak(rows, "cosine")
    for name in compare_schedules.mistakes(compare_schedules.PLAN):
        assert all((name, cosine, seed) in found for seed in compare_schedules.JUDGING_SEEDS)


def test_the_mistakes_are_what_the_notebook_says():
    plan = compare_schedules.PLAN
    right = partial(schedulers.cosine, steps=plan.steps, warmup=plan.warmup)
    wrong = compare_schedules.mistakes(plan)
    assert all(wrong["ends too early"](step) == 0 for step in range(plan.steps // 2, plan.steps))
    assert (
        len({wrong["moves once per epoch"](step) for step in range(plan.steps)})
        == plan.steps // compare_schedules.EPOCH
    )
    assert max(wrong["moves once per epoch"](step) for step in range(plan.steps)) < 0.3
    assert wrong["starts again on resume"](plan.steps // 2) == right(0)
    assert wrong["starts again on resume"](plan.steps - 1) > 0.5


def test_a_logged_run_can_be_repeated():
    """The first twenty steps of a run of the log, from nothing: the same losses, but for another
    machine's rounding.
    """
    row = next(
        row
        for row in compare_schedules.read_log()[1]
        if (row["schedule"], row["seed"]) == ("cosine", 2)
    )
    plan = replace(compare_schedules.PLAN, lr=row["peak"], seed=2)
    share = partial(schedulers.cosine, steps=plan.steps, warmup=plan.warmup)
    torch.manual_seed(2)
    model = GPT(compare_schedules.build_model(plan, 2048))
    losses = train_with(model, compare_schedules.load_rows()[0], replace(plan, steps=21), share)
    assert losses[::10] == pytest.approx(row["loss"][:3], rel=0.02)


def test_the_script_explains_itself():
    script = str(FOLDER / "compare_schedules.py")
    run = subprocess.run([sys.executable, script, "--help"], capture_output=True, text=True)
    assert run.returncode == 0 and "comparison.jsonl" in run.stdout
    run = subprocess.run([sys.executable, script, "--peaks"], capture_output=True, text=True)
    assert run.returncode == 2 and "unrecognized arguments" in run.stderr
