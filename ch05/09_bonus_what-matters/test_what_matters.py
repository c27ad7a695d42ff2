"""The laboratory's model is chapter 4's GPT, and each switch is what others call by its name; the
plan makes the right runs, loses none and repeats none; planted differences are found.
"""

import json
import math
import os
import signal
import subprocess
import sys
import time
import zlib
from dataclasses import asdict, fields, replace
from functools import partial
from pathlib import Path
from statistics import mean, stdev, variance

import pytest

if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__, *sys.argv[1:]]))

sys.path.insert(0, str(Path(__file__).parent))  # the modules of this folder

import lab_checks
import lab_plan
import lab_runs
import laboratory
import numpy as np
import torch
import torch.nn.functional as F
import variants
import verdicts
from lab_model import ACTIVATIONS, LabAttention, LabBlock, LabConfig, LabModel, alibi, sinusoids
from lab_plan import MOST_RATES, Plan, rounded
from lab_runs import Average, Job, Lion, curve_of, lab_optimizer, make_corpus, plan_of, run
from lab_settings import Lab, parse_arguments
from torch import nn
from variants import BASELINE, Variant, all_variants, default_recipe
from verdicts import CHOOSING_SEED, JUDGING_SEEDS

from ch03_01_main_chapter_code.attention import KVCache
from ch04_01_main_chapter_code.gpt import GPT, GPTConfig, count_parameters
from ch05_01_main_chapter_code.arguments import TrainConfig, run_script
from ch05_01_main_chapter_code.training import Batches
from scratch_llm_tools.exercises import ExerciseTests, HintTests
from scratch_llm_tools.processes import ended, run_without

FOLDER = Path(__file__).parent
SMALL = LabConfig(50, 24, emb_dim=32, n_heads=4, n_layers=2, init_std=0.2)
POSITIONS = ("learned", "none", "sinusoidal", "rotary", "alibi")


def model_of(**changes):
    torch.manual_seed(1)
    return LabModel(replace(SMALL, **changes)).eval()


def ids(batch=2, tokens=12):
    return torch.randint(50, (batch, tokens), generator=torch.Generator().manual_seed(2))


# --- The model ------------------------------------------------------------------------------------


@pytest.mark.parametrize("tied", [True, False])
def test_by_default_it_is_chapter_4s_gpt(tied):
    config = replace(default_recipe().model, tie_weights=tied)
    gpt, lab = GPT(plain(config)).eval(), LabModel(config).eval()
    lab.load_state_dict(gpt.state_dict())
    assert count_parameters(gpt) == count_parameters(lab)
    idx = torch.randint(config.vocab_size, (3, 40))
    with torch.no_grad():
        torch.testing.assert_close(lab(idx), gpt(idx), rtol=0, atol=1e-5)


def plain(config):
    """The `GPTConfig` that a `LabConfig` is without its switches."""
    return GPTConfig(**{f.name: getattr(config, f.name) for f in fields(GPTConfig)})


def test_it_begins_with_weights_as_large_as_the_gpts():
    config = default_recipe().model
    torch.manual_seed(0)
    gpt = dict(GPT(plain(config)).named_parameters())
    for name, weight in LabModel(config).named_parameters():
        if weight.dim() == 2:
            assert weight.std().item() == pytest.approx(gpt[name].std().item(), rel=0.05), name
        else:
            torch.testing.assert_close(weight, gpt[name])


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize("heads", [1, 4])
@pytest.mark.parametrize("activation", ["gelu", "relu", "relu2"])
def test_a_block_is_pytorchs(place, heads, activation):
    """nn.TransformerEncoderLayer with a causal mask; the activation is named anew here."""
    named = {
        "gelu": partial(F.gelu, approximate="tanh"),
        "relu": F.relu,
        "relu2": lambda x: torch.where(x > 0, x * x, 0),
    }
    config = replace(SMALL, norm_place=place, n_heads=heads, activation=activation)
    theirs = nn.TransformerEncoderLayer(
        32, heads, 128, 0.0, named[activation], norm_first=place == "before", batch_first=True
    )
    torch.manual_seed(3)
    for parameter in theirs.parameters():
        nn.init.normal_(parameter, std=0.3)
    ours, weights = LabBlock(config), theirs.state_dict()
    renamed = {
        "self_attn.in_proj_": "attention.qkv.",
        "self_attn.out_proj.": "attention.proj.",
        "linear1.": "feed_forward.expand.",
        "linear2.": "feed_forward.proj.",
    }
    for old, new in renamed.items():
        weights = {name.replace(old, new): tensor for name, tensor in weights.items()}
    ours.load_state_dict(weights)
    x, mask = torch.randn(2, 9, 32), nn.Transformer.generate_square_subsequent_mask(9)
    torch.testing.assert_close(ours(x), theirs(x, mask), rtol=1e-4, atol=1e-5)
    assert set(ACTIVATIONS) == set(named)


def test_rms_norm_is_pytorchs_and_without_a_norm_nothing_is_normed():
    x = 3 * torch.randn(2, 5, 32)
    ours, theirs = model_of(norm="rms").blocks[0].norm1, nn.RMSNorm(32, eps=1e-5)
    weight = torch.randn(32)
    ours.weight.data, theirs.weight.data = weight, weight
    torch.testing.assert_close(ours(x), theirs(x))
    model = model_of(norm="none")
    norms = [part for part in model.modules() if "norm" in type(part).__name__.lower()]
    assert not norms and torch.equal(model.blocks[0].norm1(x), x)


def test_sinusoids_are_the_papers():
    table = sinusoids(30, 32)
    transformers = pytest.importorskip("transformers.models.marian.modeling_marian")
    theirs = transformers.MarianSinusoidalPositionalEmbedding(30, 32).create_weight()
    halves = torch.cat([table[:, 0::2], table[:, 1::2]], dim=1)  # they put the sines first
    torch.testing.assert_close(halves, theirs, rtol=0, atol=1e-5)
    assert table[7, 4] == pytest.approx(math.sin(7 / 10_000 ** (4 / 32)))
    assert table[7, 5] == pytest.approx(math.cos(7 / 10_000 ** (4 / 32)))


def plain_attention(queries, keys, values, bias):
    scores = queries @ keys.transpose(-1, -2) / queries.shape[-1] ** 0.5 + bias
    return scores.softmax(dim=-1) @ values


def split(attention, x):
    """Queries, keys and values, (batch, heads, tokens, head_dim) each, before any rotation."""
    batch, tokens, emb_dim = x.shape
    heads = attention.config.n_heads
    parts = attention.qkv(x).chunk(3, dim=-1)
    return [part.view(batch, tokens, heads, emb_dim // heads).transpose(1, 2) for part in parts]


def joined(attention, out):
    return attention.proj(out.transpose(1, 2).flatten(2))


def future(tokens):
    return torch.full((tokens, tokens), -torch.inf).triu(diagonal=1)


def test_rotary_positions_are_those_of_transformers():
    llama = pytest.importorskip("transformers.models.llama.modeling_llama")
    from transformers import LlamaConfig

    attention = LabAttention(replace(SMALL, positions="rotary"))
    x = torch.randn(2, 9, 32)
    queries, keys, values = split(attention, x)
    config = LlamaConfig(hidden_size=32, num_attention_heads=4, rope_theta=10_000.0)
    cos, sin = llama.LlamaRotaryEmbedding(config)(x, torch.arange(9)[None])
    queries, keys = llama.apply_rotary_pos_emb(queries, keys, cos, sin)
    expected = joined(attention, plain_attention(queries, keys, values, future(9)))
    torch.testing.assert_close(attention(x), expected, rtol=1e-4, atol=1e-5)


def test_alibi_is_that_of_transformers():
    """Theirs counts from the first key; to a softmax that is the same."""
    bloom = pytest.importorskip("transformers.models.bloom.modeling_bloom")
    theirs = bloom.build_alibi_tensor(torch.ones(1, 9), 4, torch.float32)  # (heads, 1, tokens)
    attention = LabAttention(replace(SMALL, positions="alibi"))
    x = torch.randn(2, 9, 32)
    expected = joined(attention, plain_attention(*split(attention, x), theirs + future(9)))
    torch.testing.assert_close(attention(x), expected, rtol=1e-4, atol=1e-5)
    assert alibi(8, 2, 3)[0].tolist() == [[-0.5, 0.0, -math.inf], [-1.0, -0.5, 0.0]]


def test_swiglu_is_that_of_transformers_and_as_large():
    llama = pytest.importorskip("transformers.models.llama.modeling_llama")
    from transformers import LlamaConfig

    ours = model_of(activation="swiglu").blocks[0].feed_forward
    config = LlamaConfig(hidden_size=32, intermediate_size=85, mlp_bias=True, hidden_act="silu")
    theirs = llama.LlamaMLP(config)
    for a, b in (("gate", "gate_proj"), ("expand", "up_proj"), ("proj", "down_proj")):
        getattr(theirs, b).load_state_dict(getattr(ours, a).state_dict())
    x = torch.randn(2, 5, 32)
    torch.testing.assert_close(ours(x), theirs(x))


@pytest.mark.parametrize("positions", POSITIONS)
def test_a_cache_changes_nothing(positions):
    model, idx = model_of(positions=positions), ids()
    cache = KVCache()
    with torch.no_grad():
        parts = [model(part, cache) for part in idx.split([5, 1, 6], dim=1)]
        torch.testing.assert_close(torch.cat(parts, dim=1), model(idx), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("positions", POSITIONS)
def test_no_token_sees_the_future_and_only_positions_see_the_order(positions):
    model, idx = model_of(positions=positions), ids()
    changed = idx.clone()
    changed[:, 8] = (changed[:, 8] + 1) % 50
    with torch.no_grad():
        before, after = model(idx), model(changed)
        assert torch.equal(before[:, :8], after[:, :8]) and not torch.equal(before, after)
        swapped = idx.clone()
        swapped[:, [2, 5]] = idx[:, [5, 2]]
        same = torch.allclose(model(swapped)[:, -1], before[:, -1], atol=1e-5)
    # Two layers of causal attention see some order without positions, one does not.
    single = LabModel(replace(SMALL, positions=positions, n_layers=1)).eval()
    with torch.no_grad():
        alike = torch.allclose(single(swapped)[:, -1], single(idx)[:, -1], atol=1e-5)
    assert not same and alike == (positions == "none")


def test_dropout_biases_and_head_are_switched():
    idx = ids()
    dropped = model_of(drop_rate=0.5)
    assert torch.equal(dropped(idx), dropped(idx))
    dropped.train()
    assert not torch.equal(dropped(idx), dropped(idx))
    names = [name for name, _ in model_of(biases=False).named_parameters() if "bias" in name]
    assert names and all("norm" in name for name in names)
    model, own = model_of(), model_of(tie_weights=False)
    assert model.head.weight is model.tok_emb.weight
    assert count_parameters(own) - count_parameters(model) == 50 * 32


def test_what_makes_no_model_is_told():
    for fault, words in (
        (dict(positions="relative"), "positions must be one of learned, none"),
        (dict(norm="batch"), "norm must be"),
        (dict(positions="rotary", emb_dim=36), "pairs"),
        (dict(emb_dim=33), "divisible"),
    ):
        with pytest.raises(ValueError, match=words):
            replace(SMALL, **fault)
    with pytest.raises(ValueError, match="25 tokens do not fit"):
        model_of()(torch.zeros(1, 25, dtype=torch.long))
    with pytest.raises(ValueError, match="pad on the right"):
        model_of()(ids(), attention_mask=torch.ones(2, 12, dtype=torch.bool))


# --- Optimizers and averages ----------------------------------------------------------------------


def test_lion_is_the_papers_rule():
    """Algorithm 2 of arXiv:2302.06675, written out."""
    rng = np.random.default_rng(0)
    theta, m = rng.normal(size=5), np.zeros(5)
    weight = nn.Parameter(torch.tensor(theta))
    optimizer = Lion([weight], lr=0.01, betas=(0.9, 0.98), weight_decay=0.3)
    for _ in range(8):
        gradient = rng.normal(size=5)
        c = 0.9 * m + (1 - 0.9) * gradient
        theta = theta - 0.01 * (np.sign(c) + 0.3 * theta)
        m = 0.98 * m + (1 - 0.98) * gradient
        weight.grad = torch.tensor(gradient)
        optimizer.step()
    np.testing.assert_allclose(weight.detach().numpy(), theta, rtol=0, atol=1e-12)


def test_the_average_is_pytorchs():
    from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

    model = nn.Linear(3, 2)
    ours = Average(model, 0.1, steps=50)
    theirs = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(1 - 1 / 5))
    theirs.update_parameters(model)  # the first call copies
    for _ in range(7):
        for parameter in model.parameters():
            parameter.data += torch.randn(parameter.shape)
        ours.add()
        theirs.update_parameters(model)
    ours.put_in()
    for a, b in zip(model.parameters(), theirs.module.parameters(), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "muon", "lion"])
def test_every_optimizer_learns_and_pulls_matrices_only(name):
    recipe = replace(default_recipe(emb_dim=16, n_layers=1), optimizer=name)
    model = LabModel(replace(SMALL, emb_dim=16, n_layers=1))
    optimizer = lab_optimizer(model, recipe, 0.3 if name == "sgd" else 0.02)
    for group in optimizer.param_groups:
        dims = {parameter.dim() for parameter in group["params"]}
        assert dims == ({1} if group["weight_decay"] == 0 else {2})
    learned = {p for group in optimizer.param_groups for p in group["params"]}
    assert learned == set(model.parameters())
    idx, losses = ids(8, 20), []
    for _ in range(20):
        loss = F.cross_entropy(model(idx[:, :-1]).flatten(0, 1), idx[:, 1:].flatten())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.95 * losses[0]
    with pytest.raises(ValueError, match="no optimizer is called"):
        lab_optimizer(model, replace(recipe, optimizer="adagrad"), 0.1)


# --- The table ------------------------------------------------------------------------------------


def test_each_variant_changes_one_choice():
    base = default_recipe()
    table = all_variants(base)
    assert len({variant.name for variant in table}) == len(table) > 35
    choices = "positions norm activation heads head biases dropout batch clipping warm-up schedule"
    choices = [*choices.split(), "weight decay", "averaging", "optimizer", "first weights"]
    assert {variant.choice for variant in table} == {*choices, "depth × width"}
    for variant in table:
        recipe = variant.applied(base)
        assert recipe != base
        for part, changes in (("model", variant.model), ("train", variant.train)):
            before, after = asdict(getattr(base, part)), asdict(getattr(recipe, part))
            assert {name for name in after if after[name] != before[name]} <= set(changes)


def test_the_table_follows_the_default_run(monkeypatch):
    """Should Muon become the default, AdamW is a variant of it."""
    names = {variant.name for variant in all_variants(default_recipe())}
    usual = TrainConfig().optimizer
    other = {"adamw": "muon", "muon": "adamw"}[usual]
    shown = {"adamw": "optimizer: AdamW", "muon": "optimizer: Muon"}
    assert shown[other] in names and shown[usual] not in names
    monkeypatch.setattr(variants, "TrainConfig", partial(TrainConfig, optimizer=other))
    names = {variant.name for variant in all_variants(default_recipe())}
    assert shown[usual] in names and shown[other] not in names
    recipe = default_recipe()
    usual = variants.build_model(recipe.train, recipe.model.vocab_size)
    assert plain(recipe.model) == usual and recipe.train.steps == TrainConfig().steps


def test_what_is_compared_at_equal_parameters_has_them():
    base = default_recipe()
    count = count_parameters(LabModel(base.model))
    limits = {"activation": 0.003, "heads": 0}
    limits["depth × width"] = 0.04  # a width is a multiple of eight
    for variant in all_variants(base):
        if variant.choice in limits:
            size = count_parameters(LabModel(variant.applied(base).model))
            assert abs(size / count - 1) <= limits[variant.choice], variant.name


# --- A run ----------------------------------------------------------------------------------------

TINY = default_recipe(emb_dim=16, n_layers=1)


def job(variant=BASELINE, tales=48, lr=0.02, seed=1, stories=1):
    return Job(TINY, variant, lr, seed, tales, stories)


@pytest.fixture(scope="module")
def corpus():
    whole = make_corpus(TINY)
    whole.validation, whole.tales = whole.validation[:10], whole.tales[:10]
    return whole


def test_a_run_can_be_repeated_and_its_row_says_all(corpus):
    row, again, other = run(job(), corpus), run(job(), corpus), run(job(seed=2), corpus)
    assert row["nats"] == again["nats"] != other["nats"] and json.loads(json.dumps(row)) == row
    assert row["variant"] == BASELINE.name and (row["lr"], row["seed"]) == (0.02, 1)
    assert 0 < row["forced"] < row["nats"]
    assert row["steps"] == 3 and row["tales"] == 48 and row["stories"] == 1
    assert row["valid"] in (0, 1) and row["cpu_seconds"] > 0 and row["seconds"] > 0
    assert [step for step, _, _ in row["curve"]] == [1, 2, 3]
    assert row["settings"] == lab_plan.settings_sum(TINY) != lab_plan.settings_sum(default_recipe())


def test_variants_see_as_many_tales_and_the_same_ones(corpus, monkeypatch):
    seen = {}

    def spy(model, dataset, config, optimizer, on_step):
        stream = Batches(dataset, config.batch_size, config.seed)
        seen[config.batch_size] = [stream[i][0].sum() for i in range(config.steps)]
        raise FloatingPointError

    monkeypatch.setattr(lab_runs, "train", spy)
    batch = TINY.train.batch_size
    for size in (batch, 2 * batch):
        variant = Variant("batch", str(size), train=dict(batch_size=size))
        assert run(job(variant, tales=8 * batch), corpus)["nats"] is None
    first, second = seen[batch], seen[2 * batch]
    assert [a + b for a, b in zip(first[::2], first[1::2], strict=True)] == second


def test_plans_keep_the_warmups_part():
    usual = plan_of(job(tales=16_000))
    assert usual.steps == 16_000 // TINY.train.batch_size
    part = TINY.train.warmup / TINY.train.steps
    assert usual.warmup == round(part * usual.steps) and usual.lr == 0.02 and usual.seed == 1
    longer = Variant("warm-up", "five times", train=dict(warmup=5 * TINY.train.warmup))
    assert plan_of(job(longer, 16_000)).warmup == round(5 * part * usual.steps)


def test_a_run_that_fails_or_is_stopped(corpus):
    row = run(job(lr=1e12, tales=96), corpus)
    assert row["nats"] is None and row["valid"] is None and verdicts.score(row) == math.inf
    assert run(job(), corpus, should_stop=lambda: True) is None
    averaged = Variant("averaging", "x", recipe=dict(average=1.0))
    assert run(job(averaged), corpus)["nats"] != run(job(), corpus)["nats"]


def test_the_curve_has_eight_points_and_means_of_all_steps():
    points = curve_of([float(i) for i in range(100)], [i / 10 for i in range(100)])
    assert len(points) == 8 and points[-1][0] == 100 and points[-1][2] == 9.9
    counts = [
        b - a for a, b in zip([0, *(p[0] for p in points)], [p[0] for p in points], strict=False)
    ]
    assert sum(n * p[1] for n, p in zip(counts, points, strict=True)) == pytest.approx(
        4950, rel=1e-4
    )


# --- The plan, in a world whose law is known ------------------------------------------------------

EFFECTS = {"norm: none": 1.5, "norm: RMSNorm before": 0.0, "optimizer: Muon": -0.5}
BEST = {"optimizer: SGD": 2.0**2, "optimizer: Lion": 2.0**-9}  # rates beyond the first three


def law(one, noise=0.05):
    """The row of a job: longer is better, too high or low a rate is worse, and seeds have luck."""
    rng = np.random.default_rng(zlib.crc32(repr(one.key).encode()))
    own, shared = rng.normal(), np.random.default_rng(one.seed).normal()
    best = one.base.train.lr * one.variant.rate * BEST.get(one.variant.name, 1.0)
    off = math.log2(one.lr / best)
    effect = EFFECTS.get(one.variant.name, 0.0)
    learned = -1.5 * math.log(one.tales / 4000) / (1 + math.exp(-(one.tales - 4000) / 400))
    nats = math.exp(learned + 0.2 * off**2 + effect + noise * own + 3 * noise * shared)
    spent = dict(cpu_seconds=one.tales / 160, seconds=one.tales / 160 + 5)
    return one.key | spent | dict(nats=nats, forced=nats / 8, valid=500, stories=one.stories)


def carried_out(lab, rows=None, law=law):
    plan, jobs = Plan(lab, [] if rows is None else rows), []
    while one := plan.next_job():
        jobs.append(one)
        plan.rows.append(law(one))
    return plan, jobs


LAB = Lab(choices=["norm", "optimizer"], emb_dim=16, n_layers=1)


def test_the_three_stages_come_in_their_order():
    plan, jobs = carried_out(LAB)
    keys = [tuple(one.key.values()) for one in jobs]
    assert len(set(keys)) == len(keys) and plan.next_job() is None
    pilot = jobs[: 5 * len(LAB.lengths)]
    assert [(one.tales, one.seed) for one in pilot] == [
        (tales, seed) for tales in LAB.lengths for seed in JUDGING_SEEDS
    ]
    rest = jobs[len(pilot) :]
    assert {one.tales for one in rest} == {plan.length()}
    seeds = [one.seed for one in rest]
    choosing = seeds.count(CHOOSING_SEED)
    assert set(seeds[:choosing]) == {CHOOSING_SEED} and CHOOSING_SEED not in seeds[choosing:]
    for variant in (BASELINE, *plan.variants):
        tried = plan.rates_of(variant, plan.length())
        best = verdicts.best_rate(plan.rows, variant.name, plan.length())
        assert 3 <= len(tried) <= MOST_RATES
        assert tried[0] < best < tried[-1] or len(tried) == MOST_RATES
        assert set(verdicts.judging_rows(plan.rows, variant.name, plan.length())) == set(
            JUDGING_SEEDS
        )
    sgd = next(variant for variant in plan.variants if variant.option == "SGD")
    rate = plan.base.train.lr * sgd.rate
    assert plan.rates_of(sgd, plan.length()) == [rounded(rate * 2.0**n) for n in (-1, 0, 1, 2, 3)]
    lion = next(variant for variant in plan.variants if variant.option == "Lion")
    assert len(plan.rates_of(lion, plan.length())) == MOST_RATES


def test_what_could_matter_is_judged_first():
    plan, jobs = carried_out(LAB)
    judged = [one.variant.name for one in jobs if one.seed == 2 and one.tales == plan.length()]
    order = [name for name in judged if name != BASELINE.name]
    far = [v.name for v in plan.variants if plan.could_matter(v, plan.length())]
    assert set(order[: len(far)]) == set(far) and {"norm: none", "optimizer: Muon"} <= set(far)


def test_any_beginning_of_a_log_leads_to_the_same_runs():
    whole, _ = carried_out(LAB)
    expected = {json.dumps(row) for row in whole.rows}
    for kept in (0, 3, 20, 33, len(whole.rows) - 1, len(whole.rows)):
        plan, jobs = carried_out(LAB, whole.rows[:kept])
        assert len(jobs) == len(whole.rows) - kept
        assert {json.dumps(row) for row in plan.rows} == expected


def test_two_at_a_time_make_the_same_runs():
    whole, _ = carried_out(LAB)
    plan, running = Plan(LAB, []), []
    while True:
        while len(running) < 2 and (one := plan.next_job(running)):
            running.append(one)
        if not running:
            break
        plan.rows.append(law(running.pop(len(plan.rows) % len(running))))
    assert {json.dumps(row) for row in plan.rows} == {json.dumps(row) for row in whole.rows}


def test_the_length_is_the_shortest_that_tells():
    """With little luck a short run will do, with much a long one; early, all losses are alike; and
    what takes too many hours is not chosen."""

    def length(noise, **changes):
        return carried_out_pilot(replace(LAB, **changes), noise).length()

    def carried_out_pilot(lab, noise):
        plan = Plan(lab, [])
        plan.rows += [law(one, noise) for one in plan.pilot()]
        return plan

    assert length(0.001) <= length(0.03) <= length(0.1) <= 32_000
    assert length(0.001) < length(0.1)
    flat = carried_out_pilot(replace(LAB, lengths=[1000, 2000, 8000, 16_000]), 0.001)
    assert flat.resolution(1000) > flat.resolution(8000)
    assert length(0.1, hours=0.5) < length(0.1, hours=100)
    assert Plan(LAB, []).length() is None


def test_planted_differences_are_found():
    plan, _ = carried_out(LAB)
    tales = plan.length()
    names = [variant.name for variant in plan.variants]
    bound = plan.bound()
    assert bound == pytest.approx(1.5 * math.log(verdicts.WORTH), rel=0.5)
    found = plan.verdicts()
    assert list(found) == names
    shares = verdicts.valid_shares(plan.rows, BASELINE.name, tales)
    assert verdicts.mean_and_reach(shares) == (0.5, 0.0) and len(shares) == 5
    for name in ("norm: none", "optimizer: Muon"):
        assert found[name].verdict == verdicts.MATTERS
        assert found[name].low < EFFECTS[name] < found[name].high
    assert found["norm: RMSNorm before"].verdict != verdicts.MATTERS


# --- Verdicts -------------------------------------------------------------------------------------


@pytest.mark.parametrize("freedom", [1, 2, 4, 30])
def test_students_distribution_is_scipys(freedom):
    stats = pytest.importorskip("scipy.stats")
    for t in (0.0, 0.3, 1.0, 2.776, 8.0, 40.0):
        expected = 2 * stats.t.sf(t, freedom)
        assert verdicts.student_tail(-t, freedom) == pytest.approx(expected, rel=1e-4, abs=1e-9)
    for tail in (0.5, 0.05, 0.001):
        expected = stats.t.isf(tail / 2, freedom)
        assert verdicts.student_quantile(tail, freedom) == pytest.approx(expected, rel=1e-4)


def test_a_comparison_is_scipys_paired_t_test():
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(3)
    ours, theirs = rng.normal(size=5), rng.normal(0.5, size=5)
    expected = stats.ttest_rel(ours, theirs)
    one = verdicts.compare(ours - theirs)
    assert one.p == pytest.approx(expected.pvalue, rel=1e-4)
    alone = verdicts.judge_all({"a": ours - theirs}, 0.1)["a"]  # one choice: a plain 95 % interval
    low, high = expected.confidence_interval(0.95)
    assert (alone.low, alone.high) == pytest.approx((low, high), rel=1e-4)


def test_discoveries_by_hand():
    """Limits 0.01, 0.02, 0.03, 0.04, 0.05: the fourth is under its own, so four are believed."""
    assert verdicts.discoveries([0.3, 0.005, 0.031, 0.021, 0.035]) == 4
    assert verdicts.discoveries([0.011, 0.3, 0.4, 0.5, 0.6]) == 0
    assert verdicts.discoveries([0.05]) == 1 and verdicts.discoveries([]) == 0


def test_scipys_false_discoveries_are_ours():
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(5)
    for _ in range(50):
        p_values = rng.uniform(size=12) ** 3
        adjusted = stats.false_discovery_control(p_values)
        assert verdicts.discoveries(p_values.tolist()) == int((adjusted <= 0.05).sum())


def test_an_interval_without_0_is_a_believed_choice():
    rng = np.random.default_rng(9)
    effects = {f"choice {n}": 0.4 * (n % 3 == 0) for n in range(30)}
    differences = {name: rng.normal(effect, 0.1, size=5) for name, effect in effects.items()}
    found = verdicts.judge_all(differences, bound=0.0)
    count = verdicts.discoveries([one.p for one in found.values()])
    without = [one for one in found.values() if one.low > 0 or one.high < 0]
    assert len(without) == count >= 8
    assert {one.verdict for one in without} == {verdicts.MATTERS}


def test_the_three_verdicts():
    assert verdicts.verdict(0.01, 0.05, 0.1) == verdicts.EQUAL  # real, but worth nothing
    assert verdicts.verdict(-0.05, 0.05, 0.1) == verdicts.EQUAL
    assert verdicts.verdict(0.01, 0.5, 0.1) == verdicts.MATTERS
    assert verdicts.verdict(-0.5, -0.2, 0.1) == verdicts.MATTERS
    assert verdicts.verdict(-0.01, 0.5, 0.1) == verdicts.UNKNOWN
    found = verdicts.judge_all({"none": [], "one": [1.0], "failed": [math.inf] * 5}, 0.1)
    assert [one.verdict for one in found.values()] == [
        verdicts.UNMEASURED,
        verdicts.UNMEASURED,
        verdicts.MATTERS,
    ]
    mixed = verdicts.judge_all({"mixed": [0.1, math.inf, 0.2, 0.1, 0.1]}, 0.1)["mixed"]
    assert mixed.verdict == verdicts.UNKNOWN


def test_after_the_same_seconds_a_slow_variant_is_worth_less():
    def slow(one):
        row = law(one, noise=0.001)
        return row | {
            "cpu_seconds": row["cpu_seconds"] * (1.5 if "RMSNorm" in row["variant"] else 1)
        }

    plan, _ = carried_out(replace(LAB, hours=100), law=slow)
    name, tales = "norm: RMSNorm before", plan.length()
    assert verdicts.cost(plan.rows, name, tales) == pytest.approx(1.5)
    assert np.mean(verdicts.paired(plan.rows, name, tales)) == pytest.approx(0, abs=0.02)
    in_time = verdicts.paired_in_time(plan.rows, name, tales, plan.rate)
    assert np.mean(in_time) == pytest.approx(1.5 * math.log(1.5), rel=0.15)
    assert verdicts.longer(plan.rows, tales, 1e3, plan.rate) is None
    assert verdicts.paired_in_time(plan.rows, "nothing: of this name", tales, plan.rate) == []


def test_half_a_log_is_half_told():
    whole, _ = carried_out(LAB)
    for kept in (0, 12, 45, len(whole.rows) - 12):
        plan = Plan(LAB, whole.rows[:kept])
        for found in (plan.verdicts(), plan.verdicts(same_seconds=True)):
            assert set(found) == {variant.name for variant in plan.variants}
            told = [one for one in found.values() if one.verdict != verdicts.UNMEASURED]
            assert bool(told) == (kept > 50)


# --- The script -----------------------------------------------------------------------------------

FLAGS = ["--lengths", "16", "32", "--stories", "1", "--emb-dim", "16", "--n-layers", "1"]
FLAGS += ["--choices", "head"]


def lines(log):
    return log.read_bytes().splitlines() if log.exists() else []


def start(log):
    command = [sys.executable, str(FOLDER / "laboratory.py"), *FLAGS, "--log", str(log)]
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return subprocess.Popen(command, **pipes)


@pytest.mark.parametrize(
    "how", [signal.SIGKILL, signal.SIGINT] if os.name == "posix" else [signal.SIGTERM]
)
def test_killed_and_started_again_it_loses_and_repeats_nothing(tmp_path, how):
    log = tmp_path / "results.jsonl"
    process = start(log)
    while len(lines(log)) < 4:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(how)
    out, err = process.communicate()
    assert process.returncode == {signal.SIGINT: 130}.get(how, -how) and "Traceback" not in err
    before = lines(log)
    with open(log, "ab") as file:
        file.write(b'{"variant": "head: of its ow')  # as if the power had gone
    if how == signal.SIGINT:
        assert "start again to go on" in out
        return
    again = start(log)
    out, err = again.communicate()
    assert again.returncode == 0, err
    after = lines(log)
    assert after[: len(before)] == before
    rows = [json.loads(line) for line in after[1:]]
    keys = [(row["variant"], row["lr"], row["seed"], row["tales"]) for row in rows]
    plan = Plan(Lab(**parse_arguments(FLAGS)[0]), rows)
    assert len(set(keys)) == len(keys) and plan.next_job() is None
    assert set(keys) == {tuple(one.key.values()) for one in plan.jobs()}
    assert "head: of its own" in out.splitlines()[-1]


def begun(tmp_path):
    """A log that somebody has begun."""
    given = parse_arguments(FLAGS)[0]
    log = tmp_path / "results.jsonl"
    head = laboratory.head_of(laboratory.plan_for(log, given), given)
    laboratory.Results(log, laboratory.KIND, head)
    return log


def test_the_plan_is_told_and_nothing_written(tmp_path, capsys):
    log = tmp_path / "new" / "results.jsonl"
    assert laboratory.main({}, log, plan=True) == 0
    out = capsys.readouterr().out
    assert "done       0 runs" in out and "32,000 tales a run take about" in out
    assert not log.parent.exists()
    plan = Plan(LAB, [])
    plan.rows += [law(one, 0.01) for one in plan.pilot()]
    laboratory.tell_plan(plan)
    out = capsys.readouterr().out
    left, hours = plan.remaining()
    assert f"length     {plan.length():,} tales" in out and f"remaining  {left} runs" in out
    # Eight recipes with three rates each; five runs take as long as the pilot's own of that length.
    assert left == 3 * (1 + len(plan.variants))
    assert hours == pytest.approx(left * (plan.length() / 160 + 5) / 7200)


def test_a_log_is_not_mixed_with_another(tmp_path, monkeypatch):
    log = begun(tmp_path)
    before = log.read_bytes()
    for given, words in (
        ({"stories": 5}, "leave out stories"),
        ({"lengths": [16, 64]}, "leave out lengths"),
    ):
        with pytest.raises(ValueError, match=words):
            laboratory.main(given, log)
    with laboratory.owned(log):
        with pytest.raises(ValueError, match="another process"):
            laboratory.main({}, log)
    changed = partial(TrainConfig, weight_decay=0.5)
    monkeypatch.setattr(variants, "TrainConfig", changed)
    with pytest.raises(ValueError, match="another default run"):
        laboratory.main({}, log, plan=True)
    assert log.read_bytes() == before
    log.write_text("nonsense\n")
    with pytest.raises(ValueError, match="line 1"):
        laboratory.main({}, log, plan=True)
    assert log.read_text() == "nonsense\n"


def test_a_plan_changes_no_log(tmp_path, capsys):
    """Not even a line that is just being written."""
    log = begun(tmp_path)
    with open(log, "ab") as file:
        file.write(b'{"variant": "head: of its ow')
    before = log.read_bytes()
    assert laboratory.main({}, log, plan=True) == 0
    assert log.read_bytes() == before and "done       0 runs" in capsys.readouterr().out
    assert lab_plan.read_log(log)[1]["command"].startswith("python laboratory.py --lengths 16 32")


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--lengths", "16"], "two numbers of tales"),
        (["--stories", "0"], "stories must be at least 1"),
        (["--hours", "0"], "hours must be above 0"),
        (["--choices", "colour"], "no choice is called 'colour'"),
        (["--workers", "0"], "--workers: must be at least 1"),
        (["--emb-dim", "30"], "must be divisible by n_heads"),
    ],
)
def test_wrong_input_is_one_clear_line(tmp_path, capsys, arguments, message):
    words = [*arguments, "--log", str(tmp_path / "log.jsonl"), "--plan"]
    status, out, err = ended(capsys, lambda: run_script(laboratory.main, *parse_arguments(words)))
    assert status in (1, 2) and message in err and "Traceback" not in err
    assert len(err.strip().splitlines()) == 1 or "usage:" in err
    assert not list(tmp_path.iterdir())


def test_help_needs_no_torch(tmp_path):
    result = run_without(tmp_path / "none", FOLDER / "laboratory.py", "--help")
    assert result.returncode == 0, result.stderr
    for field in fields(Lab):
        assert f"--{field.name.replace('_', '-')} " in result.stdout


# --- The exercises --------------------------------------------------------------------------------


def plain_interval(ours, theirs, t):
    differences = [a - b for a, b in zip(ours, theirs, strict=True)]
    reach = t * stdev(differences) / len(differences) ** 0.5
    return mean(differences) - reach, mean(differences) + reach


def lion_by_optimizer(weight, gradient, average, lr, decay):
    parameter = nn.Parameter(weight.clone())
    optimizer = Lion([parameter], lr, weight_decay=decay)
    optimizer.state[parameter]["average"] = average.clone()
    parameter.grad = gradient
    optimizer.step()
    return parameter.detach(), optimizer.state[parameter]["average"]


def lion_mistake(change):
    """A step of Lion with something spoiled in what goes in or comes out."""
    return lambda *inputs: change(lion_by_optimizer, *inputs)


def moved(factor):
    """The step of another direction: `factor(gradient, average)`."""

    def attempt(weight, gradient, average, lr, decay):
        _, later = lion_by_optimizer(weight, gradient, average, lr, decay)
        return weight - lr * factor(gradient, average) - lr * decay * weight, later

    return attempt


def counted(limit):
    """How many p-values lie under `limit(k, n, share)`, in their order."""
    return lambda p, share: sum(
        x <= limit(k, len(p), share) for k, x in enumerate(sorted(p), start=1)
    )


def stops_early(p_values, share):
    limits = [share * k / len(p_values) for k in range(1, len(p_values) + 1)]
    under = [p <= limit for p, limit in zip(sorted(p_values), limits, strict=True)]
    return under.index(False) if False in under else len(under)


def welch(ours, theirs, t):
    error = (variance(ours) / len(ours) + variance(theirs) / len(theirs)) ** 0.5
    middle = mean(ours) - mean(theirs)
    return middle - t * error, middle + t * error


def widened(factor):
    """The right interval with its half-width multiplied by `factor(n, t)`."""

    def attempt(ours, theirs, t):
        low, high = plain_interval(ours, theirs, t)
        half, middle = (high - low) / 2 * factor(len(ours), t), (low + high) / 2
        return middle - half, middle + half

    return attempt


EXERCISES = {
    "paired_interval": (
        plain_interval,
        [
            (welch, "were not paired"),
            (widened(lambda n, t: ((n - 1) / n) ** 0.5), "ddof=1"),
            (widened(lambda n, t: n**0.5), "smaller by √n"),
            (widened(lambda n, t: n**-0.5), "not by √n"),
            (widened(lambda n, t: 1 / t), "t is missing"),
            (lambda a, b, t: plain_interval(b, a, t), "other sign"),
            (lambda a, b, t: (0.0, 1.0), "expected"),
        ],
    ),
    "discoveries": (
        lambda p, share: verdicts.discoveries(p, share),
        [
            (counted(lambda k, n, share: share), "some are small by luck"),
            (counted(lambda k, n, share: share / n), "the smallest limit"),
            (counted(lambda k, n, share: share * k / n), "the largest k"),
            (stops_early, "ended at the first"),
            (lambda p, share: 0, "expected"),
        ],
    ),
    "lion_step": (
        lion_by_optimizer,
        [
            (moved(lambda g, m: 0.9 * m + 0.1 * g), "the sign is missing"),
            (moved(lambda g, m: m.sign()), "remembered average alone"),
            (moved(lambda g, m: g.sign()), "the gradient alone"),
            (
                lion_mistake(
                    lambda step, w, g, m, lr, d: (step(w, g, m, lr, d)[0], 0.9 * m + 0.1 * g)
                ),
                "0.99 and 0.01",
            ),
            (
                lion_mistake(
                    lambda step, w, g, m, lr, d: (
                        step(w, g, step(w, g, m, lr, d)[1], lr, d)[0],
                        step(w, g, m, lr, d)[1],
                    )
                ),
                "the step comes first",
            ),
            (
                lion_mistake(
                    lambda step, w, g, m, lr, d: (
                        step(w, g, m, lr, 0.0)[0] - d * w,
                        step(w, g, m, lr, 0.0)[1],
                    )
                ),
                "multiplied by the rate",
            ),
            (lambda w, g, m, lr, d: (w, m), "expected"),
        ],
    ),
}


class TestExercises(ExerciseTests, HintTests):
    checks, exercises, notebook = lab_checks, EXERCISES, FOLDER / "what-matters.ipynb"
