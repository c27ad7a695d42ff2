"""The claims of preference-tuning-with-dpo.ipynb: the loss is the formula's and trl's, pairs are
what the graders say, and the script repeats nothing, resumes, and costs one line where its input is
bad."""

import copy
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

if (
    __name__ == "__main__"
):  # before the imports below: pytest gives the chapters their import names (conftest.py)
    raise SystemExit(pytest.main([__file__, *sys.argv[1:]]))

sys.path.insert(0, str(Path(__file__).parent))  # the modules of this folder

import dpo
import preference_training
import torch
from preference_training import answer_log_probs, dpo_loss, exact_score, tune
from preferences import Answer, census, made_prompts, make_pairs, sample_answers

from ch05_01_main_chapter_code.arguments import run_script
from ch05_01_main_chapter_code.gpt_generate import TALES_GPT, load_model
from ch05_01_main_chapter_code.previous_chapters import GPT, GPTConfig
from ch07_01_main_chapter_code.gpt_instruction_finetuning import prompt_ids, save_instruct
from ch07_01_main_chapter_code.instructions import grade, prompt_of, source_of
from ch07_01_main_chapter_code.tasks.sets import fresh_entries
from scratch_llm_tools.notebook_code import assert_same_code
from scratch_llm_tools.processes import ended

FOLDER = Path(__file__).parent
NOTEBOOK = FOLDER / "preference-tuning-with-dpo.ipynb"
KINDS = ("tale-where", "tale-when")


def test_the_notebook_teaches_this_very_code():
    assert_same_code(
        NOTEBOOK, FOLDER / "preference_training.py", ["batch_of", "answer_log_probs", "dpo_loss"]
    )


# --- The loss -------------------------------------------------------------------------------------


def noisy_gpt(seed, vocab_size=2048):
    """A small GPT whose every weight is random, norms and biases too."""
    torch.manual_seed(seed)
    model = GPT(GPTConfig(vocab_size, 64, emb_dim=32, n_heads=2, n_layers=2))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


def some_rows(seed, count=6, vocab_size=2048):
    """Rows of different lengths, better and worse answers to the same prompts."""
    generator = torch.Generator().manual_seed(seed)

    def draw(n):
        return torch.randint(0, vocab_size, (n,), generator=generator)

    rows = []
    for n in range(count):
        prompt = draw(3 + 4 * n)
        rows.append(
            tuple((torch.cat([prompt, draw(length)]), len(prompt)) for length in (1 + n, 8 - n))
        )
    return [row[0] for row in rows], [row[1] for row in rows]


def plain_log_prob(model, row):
    """One row by itself, one token after the other, in float64."""
    ids, n_prompt = row
    logits = copy.deepcopy(model).double()(ids[None, :-1])[0]
    return sum(logits[place - 1].log_softmax(-1)[ids[place]] for place in range(n_prompt, len(ids)))


def test_log_probs_are_those_of_single_rows():
    """Whatever longer rows stand beside them in the batch."""
    model, (chosen, rejected) = noisy_gpt(1), some_rows(1)
    rows = chosen + rejected
    with torch.no_grad():
        together = answer_log_probs(model, rows)
        assert together.double() == pytest.approx(
            torch.stack([plain_log_prob(model, row) for row in rows]), abs=1e-4
        )


def reference_loss(chosen, rejected, ref_chosen, ref_rejected, beta):
    """The formula with Python's floats, one pair after the other."""
    losses = [
        math.log1p(math.exp(-beta * (math.log(math.exp(a - c)) - math.log(math.exp(b - d)))))
        for a, b, c, d in zip(chosen, rejected, ref_chosen, ref_rejected, strict=True)
    ]
    return sum(losses) / len(losses)


@pytest.mark.parametrize("beta", [0.01, 0.1, 1.0, 3.0])
@pytest.mark.parametrize("seed", range(3))
def test_the_loss_is_the_formulas(beta, seed):
    torch.manual_seed(seed)
    values = -10 * torch.rand(4, 7, dtype=torch.float64)
    loss, margins = dpo_loss(*values, beta)
    assert float(loss) == pytest.approx(reference_loss(*values.tolist(), beta), rel=1e-12)
    assert (
        margins.shape == (7,)
        and (margins > 0).tolist() == (values[0] - values[2] > values[1] - values[3]).tolist()
    )


def test_the_whole_way_in_float64():
    """From ids to the loss and the gradient: against rows one by one, with the formula written out."""
    model, reference, (chosen, rejected) = (
        noisy_gpt(1).double(),
        noisy_gpt(2).double(),
        some_rows(2),
    )
    beta = 0.3
    with torch.no_grad():
        ref = answer_log_probs(reference, chosen + rejected).double().chunk(2)
    both = answer_log_probs(model, chosen + rejected)
    dpo_loss(*both.chunk(2), *ref, beta)[0].backward()
    ours = [parameter.grad.clone() for parameter in model.parameters()]
    plain, old = copy.deepcopy(model), copy.deepcopy(reference)
    plain.zero_grad()
    log_prob = {}
    for name, one in (("new", plain), ("old", old)):
        for side, rows in (("w", chosen), ("l", rejected)):
            log_prob[name, side] = torch.stack(
                [
                    torch.stack(
                        [
                            one(ids[None, :-1])[0, place - 1].log_softmax(-1)[ids[place]]
                            for place in range(n, len(ids))
                        ]
                    ).sum()
                    for ids, n in rows
                ]
            )
    margin = beta * (
        log_prob["new", "w"]
        - log_prob["old", "w"].detach()
        - log_prob["new", "l"]
        + log_prob["old", "l"].detach()
    )
    (-torch.log(1 / (1 + torch.exp(-margin)))).mean().backward()
    for grad, parameter in zip(ours, plain.parameters(), strict=True):
        torch.testing.assert_close(
            grad, parameter.grad, rtol=1e-4, atol=1e-7
        )  # our loss itself is computed in float32


def test_the_gradient_pushes_harder_where_the_order_is_wrong():
    values = torch.tensor([[0.0, 0.0], [0.0, 0.0], [-4.0, 4.0], [0.0, 0.0]], requires_grad=True)
    dpo_loss(*values, beta=1.0)[0].backward()
    right, wrong = values.grad[0].abs()  # the first pair's margin is +4, the second's −4
    assert wrong / right == pytest.approx(math.exp(4), rel=1e-3)
    assert torch.equal(values.grad[0], -values.grad[1])


def test_a_policy_that_is_its_reference_has_the_loss_of_a_coin():
    chosen, rejected = torch.tensor([-3.0, -9.0]), torch.tensor([-5.0, -1.0])
    loss, margins = dpo_loss(chosen, rejected, chosen, rejected)
    assert float(loss) == pytest.approx(math.log(2)) and margins.tolist() == [0, 0]


def test_the_loss_is_trls(tmp_path):
    """The loss and the rewards that trl's own trainer computes with transformers' GPT-2, from the
    same weights and ids.
    """
    pytest.importorskip("trl")
    from datasets import Dataset
    from transformers import GPT2LMHeadModel, PreTrainedTokenizerFast
    from trl import DPOConfig, DPOTrainer
    from trl.trainer.dpo_trainer import DataCollatorForPreference

    model, reference, (chosen, rejected), beta = (
        noisy_gpt(1),
        noisy_gpt(2),
        some_rows(3, count=4),
        0.3,
    )
    model.save_pretrained(tmp_path / "model")
    reference.save_pretrained(tmp_path / "reference")
    end = "<|endoftext|>"
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(TALES_GPT / "tokenizer.json"), eos_token=end, pad_token=end
    )
    settings = DPOConfig(
        str(tmp_path / "out"),
        beta=beta,
        use_cpu=True,
        bf16=False,
        report_to="none",
        disable_tqdm=True,
    )
    trainer = DPOTrainer(
        GPT2LMHeadModel.from_pretrained(tmp_path / "model"),
        GPT2LMHeadModel.from_pretrained(tmp_path / "reference"),
        settings,
        train_dataset=Dataset.from_list([{"prompt": "Who?", "chosen": " Mia", "rejected": " Ben"}]),
        processing_class=tokenizer,
    )
    examples = [
        {"prompt_ids": w[:n].tolist(), "chosen_ids": w[n:].tolist(), "rejected_ids": r[n:].tolist()}
        for (w, n), (r, _) in zip(chosen, rejected, strict=True)
    ]
    theirs = trainer.compute_loss(
        trainer.model.eval(), DataCollatorForPreference(pad_token_id=0)(examples)
    )
    with torch.no_grad():
        ours = answer_log_probs(model, chosen + rejected).chunk(2)
        loss, margins = dpo_loss(
            *ours, *answer_log_probs(reference, chosen + rejected).chunk(2), beta
        )
    assert float(loss) == pytest.approx(float(theirs.detach()), rel=1e-4)
    (metrics,) = (values for values in trainer._metrics.values() if values)
    assert float(margins.mean()) == pytest.approx(metrics["rewards/margins"][0], rel=1e-3)
    assert float(ours[0].mean()) == pytest.approx(metrics["logps/chosen"][0], rel=1e-4)


def test_dpo_finds_the_best_policy_of_a_small_world():
    """Three answers, preferences of the Bradley-Terry model: the minimum is π_ref exp(r/β),
    normalised.
    """
    reward, beta = torch.tensor([1.0, 0.0, -1.0], dtype=torch.float64), 0.5
    reference = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64).log()
    logits = reference.clone().requires_grad_()
    pairs = [(i, j) for i in range(3) for j in range(3) if i != j]
    weight = torch.stack([torch.sigmoid(reward[i] - reward[j]) for i, j in pairs])
    optimizer = torch.optim.LBFGS([logits], max_iter=200, tolerance_grad=1e-12)

    def closure():
        optimizer.zero_grad()
        policy = logits.log_softmax(-1)
        losses = torch.stack(
            [
                dpo_loss(policy[[i]], policy[[j]], reference[[i]], reference[[j]], beta)[0]
                for i, j in pairs
            ]
        )
        loss = (weight * losses).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    best = (reference + reward / beta).softmax(-1)
    torch.testing.assert_close(logits.detach().softmax(-1), best, rtol=1e-4, atol=1e-6)


# --- Pairs ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def follower():
    """tales-gpt, which follows no instruction yet."""
    model = load_model("tales-gpt")
    model.style = "tales"
    return model.eval()


def test_prompts_share_nothing_with_the_tests():
    prompts, tests = made_prompts(200, 50_001, KINDS), fresh_entries(30, KINDS)
    assert len(prompts) == 200 and {entry["kind"] for entry in prompts} == set(KINDS)
    assert not {source_of(entry) for entry in prompts} & {source_of(entry) for entry in tests}
    assert not {prompt_of(entry) for entry in prompts} & {prompt_of(entry) for entry in tests}
    with pytest.raises(ValueError, match="no kind nonsense"):
        made_prompts(3, 0, ("nonsense",))


def test_samples_are_the_models_own_tokens(follower):
    entries = made_prompts(5, 1, KINDS)
    samples = sample_answers(follower, entries, count=3, max_tokens=12, seed=4)
    assert [len(answers) for answers in samples] == [3] * 5
    end = follower.tokenizer.end_of_text
    for entry, answers in zip(entries, samples, strict=True):
        for answer in answers:
            ended = answer.ids[-1:] == [end]
            assert end not in answer.ids[:-1] and (ended or len(answer.ids) == 12)
            assert (
                follower.tokenizer.decode(answer.ids[:-1] if ended else answer.ids) == answer.text
            )
            assert answer.right == (ended and grade(entry, answer.text))
    texts = [answer.text for answers in samples for answer in answers]
    again = [
        answer.text
        for answers in sample_answers(follower, entries, 3, max_tokens=12, seed=4)
        for answer in answers
    ]
    other = [
        answer.text
        for answers in sample_answers(follower, entries, 3, max_tokens=12, seed=5)
        for answer in answers
    ]
    assert texts == again != other
    with pytest.raises(ValueError, match="temperature above 0"):
        sample_answers(follower, entries, temperature=0)


def right_and_wrong(model, entry, verdicts):
    """Made-up samples: the entry's own answer where a verdict is True, else another one."""

    def answer(right, n):
        text = entry["output"] if right else f"no {n}"
        return Answer([*model.tokenizer.encode(text), model.tokenizer.end_of_text], text, right)

    return [answer(right, n) for n, right in enumerate(verdicts)]


def test_pairs_are_what_the_grader_says(follower):
    entries = made_prompts(4, 1, KINDS)
    verdicts = [(True, True), (True, False), (False, False), (False, True)]
    samples = [
        right_and_wrong(follower, entry, some)
        for entry, some in zip(entries, verdicts, strict=True)
    ]
    pairs = make_pairs(follower, entries, samples)
    assert [pair.entry for pair in pairs] == entries[
        1:
    ]  # where all are right there is nothing to prefer
    assert [pair.chosen_from for pair in pairs] == ["samples", "reference", "samples"]
    assert census(samples) == {"all": 1, "some": 2, "none": 1}
    for pair in pairs:
        prompt = prompt_ids(pair.entry, follower.tokenizer, "tales")
        for (ids, n_prompt), is_right in ((pair.chosen, True), (pair.rejected, False)):
            assert n_prompt == len(prompt) and ids[:n_prompt].tolist() == prompt
            assert (
                grade(pair.entry, follower.tokenizer.decode(ids[n_prompt:-1].tolist())) is is_right
            )


# --- Training -------------------------------------------------------------------------------------


def simple_pairs(model, count=12):
    entries = made_prompts(count, 1, KINDS)
    return make_pairs(
        model, entries, [right_and_wrong(model, entry, (True, False)) for entry in entries]
    )


def test_dpo_orders_pairs_and_watches_others(follower):
    model, pairs = copy.deepcopy(follower), simple_pairs(follower)
    curve = tune(model, pairs[4:], "dpo", steps=21, lr=1e-3, batch_size=4, watched=pairs[:4])
    assert [row["step"] for row in curve] == [0, 20, 21]
    assert curve[0]["loss"] == pytest.approx(math.log(2)) and curve[0]["margin"] == 0
    assert curve[-1]["margin"] > 0.3 and curve[-1]["ordered"] == 1
    assert curve[-1]["margin"] == pytest.approx(
        0.1 * (curve[-1]["chosen"] - curve[-1]["rejected"]), rel=1e-4
    )
    assert preference_training.divergence(model, follower, [pair.chosen for pair in pairs]) > 0
    assert preference_training.divergence(follower, follower, [pair.chosen for pair in pairs]) == 0


def test_the_control_learns_the_reference_answers(follower):
    model, pairs = copy.deepcopy(follower), simple_pairs(follower)
    tune(model, pairs, "sft", steps=20, lr=2e-3, batch_size=4)
    with torch.no_grad():
        rows = [preference_training.supervised_row(model, pair) for pair in pairs]
        assert all(
            model.tokenizer.decode(ids[n:-1].tolist()) == pair.entry["output"]
            for (ids, n), pair in zip(rows, pairs, strict=True)
        )
        assert answer_log_probs(model, rows).mean() > answer_log_probs(follower, rows).mean() + 3


def test_both_losses_together(follower):
    """The gradient of `both` is DPO's plus that of the better answers; and these stay likely."""
    pairs = simple_pairs(follower, 4)
    references = preference_training.reference_log_probs(follower, pairs)
    better = [pair.chosen for pair in pairs]

    def gradient(loss):
        return torch.cat(
            [grad.flatten() for grad in torch.autograd.grad(loss, list(model.parameters()))]
        )

    model = copy.deepcopy(follower)
    parts = [
        preference_training.loss_of(model, pairs, references, method, 0.1)
        for method in ("dpo", "both")
    ]
    supervised = -answer_log_probs(model, better).sum() / sum(len(ids) - n for ids, n in better)
    torch.testing.assert_close(
        gradient(parts[1]), gradient(parts[0]) + gradient(supervised), rtol=1e-3, atol=1e-6
    )


def test_the_same_seed_gives_the_same_weights_and_no_method_touches_the_base(follower):
    before = copy.deepcopy(follower.state_dict())
    results = []
    for seed in (1, 1, 2):
        model = copy.deepcopy(follower)
        tune(model, simple_pairs(follower), "dpo", steps=4, lr=1e-3, batch_size=4, seed=seed)
        results.append(
            torch.cat([parameter.detach().flatten() for parameter in model.parameters()])
        )
    assert torch.equal(results[0], results[1]) and not torch.equal(results[0], results[2])
    assert all(torch.equal(tensor, before[name]) for name, tensor in follower.state_dict().items())
    with pytest.raises(ValueError, match="every sampled answer was right"):
        tune(follower, [])
    with pytest.raises(ValueError, match="dpo, sft, both"):
        tune(follower, simple_pairs(follower), "ppo")


def test_each_pass_sees_every_pair_once():
    picked = list(preference_training.batches(10, 4, 5, seed=3))
    assert [len(batch) for batch in picked] == [4] * 5
    flat = [number for batch in picked for number in batch]
    assert sorted(flat[:10]) == sorted(flat[10:]) == list(range(10)) and flat[:10] != flat[10:]


def test_exact_scores(follower):
    entries = fresh_entries(4, KINDS)
    score = exact_score(follower, entries, max_tokens=8)
    assert (
        score["of"] == 8
        and score["right"] == score["verdicts"].count("1")
        and len(score["verdicts"]) == 8
    )
    assert preference_training.by_kind(entries, "11110000") == {
        "tale-where": [4, 4],
        "tale-when": [0, 4],
    }


# --- The script -----------------------------------------------------------------------------------


@pytest.fixture
def runs(tmp_path, follower):
    """A folder of runs with a model in it."""
    save_instruct(follower, tmp_path / "small", "tales", "tales-gpt")
    return tmp_path


TINY = [
    "--model",
    "small",
    "--kinds",
    "tale-where",
    "--prompts",
    "12",
    "--samples",
    "2",
    "--steps",
    "3",
    "--batch-size",
    "2",
    "--fresh",
    "3",
    "--stories",
    "4",
    "--max-tokens",
    "6",
    "--lrs",
    "1e-3",
    "--betas",
    "0.1",
    "--seeds",
    "1",
    "2",
]


def script(runs, *arguments):
    return [sys.executable, str(FOLDER / "dpo.py"), *arguments], os.environ | {
        "SCRATCH_LLM_RUNS": str(runs)
    }


def run(runs, *arguments):
    command, environment = script(runs, *arguments)
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, encoding="utf-8"
    )


def test_the_whole_experiment_and_a_second_start(runs):
    result = run(runs, *TINY)
    assert result.returncode == 0, result.stderr
    assert "before" in result.stdout and "dpo 2" in result.stdout and "sft 2" in result.stdout
    path = runs / "dpo" / "results.jsonl"
    head, *rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert (
        head["command"].startswith("python dpo.py --model small") and "CPU cores" in head["machine"]
    )
    assert [row["what"] for row in rows] == ["before", "pairs", "run", "pairs", "run", *["run"] * 4]
    assert [(row["method"], row["seed"], row["part"]) for row in rows if row["what"] == "run"] == [
        (method, *rest)
        for method in ("dpo", "sft", "both")
        for rest in ((1, "validation"), (2, "test"))
    ]
    assert (
        rows[4]["divergence"] > 0
        and 0 <= rows[4]["valid_share"] <= 1
        and (runs / "dpo" / "dpo-2" / "instruct.json").exists()
    )
    before = path.read_bytes()
    again = run(runs, *TINY)
    assert again.returncode == 0 and path.read_bytes() == before
    other = run(runs, *TINY, "--steps", "4")
    assert other.returncode == 1 and "another steps" in other.stderr and path.read_bytes() == before
    path.write_bytes(before[:-20])  # as a power cut leaves it: the last row is made again
    assert run(runs, *TINY).returncode == 0
    assert path.read_bytes().count(b"\n") == before.count(b"\n")
    path.write_bytes(damaged := b"x" + before)
    refused = run(runs, *TINY)
    assert refused.returncode == 1 and "is damaged" in refused.stderr
    assert path.read_bytes() == damaged


@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT")
def test_after_ctrl_c_the_same_command_goes_on(runs):
    longer = [
        *TINY[:-3],
        "--lrs",
        *[f"{lr}e-4" for lr in range(1, 6)],
        "--betas",
        "0.1",
        "--seeds",
        "1",
        "2",
    ]
    command, environment = script(runs, *longer)
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    path = runs / "dpo" / "results.jsonl"
    while process.poll() is None and not (path.exists() and path.read_text().count('"run"') >= 2):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 130 and "goes on" in out and "Traceback" not in err
    kept = path.read_text().splitlines()
    result = run(runs, *longer)
    rows = path.read_text().splitlines()
    assert result.returncode == 0 and rows[: len(kept)] == kept
    names = [
        (row["method"], row["lr"], row["seed"])
        for row in map(json.loads, rows[1:])
        if row["what"] == "run"
    ]
    assert len(names) == len(set(names)) == 3 * 6


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("--model", "no-such-run"), "no model that follows instructions"),
        (("--model", "small", "--kinds", "nonsense"), "no kind nonsense"),
        (("--model", "small", "--temperature", "0"), "temperature above 0"),
        (("--model", "small", "--lrs", "-1"), "--lrs must be above 0"),
        (("--model", "small", "--steps", "0"), "--steps must be at least 1"),
        (("--model", "small", "--seeds", "1"), "two different ones"),
        (("--model", "small", "--name", "../x"), "plain folder name"),
    ],
)
def test_bad_input_costs_one_line(runs, monkeypatch, capsys, arguments, message):
    monkeypatch.setenv("SCRATCH_LLM_RUNS", str(runs))
    options = dpo.build_parser().parse_args(arguments)
    status, _, err = ended(capsys, lambda: run_script(dpo.main, options))
    assert status == 1 and message in err and len(err.strip().splitlines()) == 1
    assert sorted(path.name for path in runs.iterdir()) == ["small"]


def test_help_comes_before_torch():
    command = [sys.executable, "-X", "importtime", str(FOLDER / "dpo.py"), "--help"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0 and "--betas" in result.stdout and "| torch" not in result.stderr


def test_the_log_tells_of_settings_that_the_test_did_not_choose():
    head, rows = dpo.read_log(FOLDER / "results.jsonl")
    assert head["command"].startswith("python dpo.py --model ") and "CPU cores" in head["machine"]
    runs = [row for row in rows if row["what"] == "run"]
    assert {"dpo", "sft"} <= {row["method"] for row in runs if row["part"] == "test"}
    choosing = head["options"]["seeds"][0]
    for row in runs:
        assert row["score"]["right"] == row["score"]["verdicts"].count("1")
        assert (row["seed"] == choosing) == (row["part"] == "validation")
        tried = [
            other
            for other in runs
            if other["method"] == row["method"] and other["part"] == "validation"
        ]
        best = max(tried, key=lambda other: other["score"]["right"])
        assert row["part"] == "validation" or (row["lr"], row["beta"]) == (best["lr"], best["beta"])
