"""Tiny Tales, training and generation: the corpus is exact, the fast paths equal the plain ones,
nothing gets lost.
"""

import json
import math
import os
import random
import re
import signal
import subprocess
import sys
import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__]))

import torch

from ch04_01_main_chapter_code.damage import unnoticed
from ch04_01_main_chapter_code.manifest import check_files
from ch05_01_main_chapter_code import gpt_generate, gpt_train, tale_walk, tales
from ch05_01_main_chapter_code.arguments import TrainConfig, run_script, train_arguments
from ch05_01_main_chapter_code.corpora import load_corpus, open_corpus
from ch05_01_main_chapter_code.gpt_generate import (
    TALES_GPT,
    describe_model,
    evaluating,
    find_model,
    generate,
    generate_ids,
    load_model,
    parse_arguments,
    sample_next,
    sample_stories,
    stream,
)
from ch05_01_main_chapter_code.gpt_train import (
    Batches,
    DocumentRows,
    evaluate,
    flat_tokens,
    learning_rate,
    make_optimizer,
    prepare,
    split_documents,
    train,
    training_rows,
)
from ch05_01_main_chapter_code.json_lines import (
    append_json_line,
    read_json_lines,
    write_json_lines,
    write_json_list,
)
from ch05_01_main_chapter_code.partial_forward import spared_loss
from ch05_01_main_chapter_code.previous_chapters import (
    GPT,
    BPETokenizer,
    GPTConfig,
    TokenDataset,
    generate_greedy,
    language_model_loss,
)
from ch05_01_main_chapter_code.run import Run, read_state, states
from ch05_01_main_chapter_code.run_folders import claimed, going_on, runs_folder, write_settings
from ch05_01_main_chapter_code.tale_grammar import PLOTS, TABLES
from ch05_01_main_chapter_code.tales import (
    make_tale,
    make_tales,
    next_token_probs,
    parse_tale,
    split_gap,
)
from ch05_01_main_chapter_code.training import full_loss, pick_dtype
from scratch_llm_tools.measuring import CpuTime, measured_line
from scratch_llm_tools.processes import run_without

FOLDER = Path(__file__).parent
DEVICES = [
    "cpu",
    pytest.param(
        "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU")
    ),
]


@pytest.fixture(params=DEVICES)
def device(request):
    return request.param


@pytest.fixture(scope="module")
def stories():
    rng = random.Random(11)
    return [make_tale(rng) for _ in range(3000)]


# --- Tiny Tales: every story can be read back -----------------------------------------------------


def test_every_story_is_read_back_with_its_choices_and_probability(stories):
    for tale in stories:
        again = parse_tale(tale.text)
        assert again.facts == tale.facts and again.plot == tale.plot
        assert again.log_prob == pytest.approx(tale.log_prob, abs=1e-9)


def test_each_story_has_one_reading_only(stories):
    """Two readings would mean a choice that the text does not show, and a floor that is too high."""
    for tale in stories[:1000]:
        assert sum(len(tales._readings(tale.text, plot)) for plot in PLOTS) == 1


def test_probabilities_are_those_of_the_dice():
    """The first words of a story, counted over many, against the probability that the
    log-probabilities give them.
    """
    counts = Counter(tale.plot for tale in map(parse_tale, make_tales(4000, seed=5)))
    assert len(counts) == len(PLOTS) >= 12
    assert all(
        abs(count - 4000 / len(PLOTS)) < 5 * (4000 / len(PLOTS)) ** 0.5 for count in counts.values()
    )


def test_the_probabilities_of_all_stories_of_a_small_grammar_sum_to_one(monkeypatch):
    small = {
        "tables": {"thing": ("hat", "egg")},
        "steps": [
            ["{hero} saw {thing.a}.", "Here {hero.he} is: {hero}."],
            "[Yes|No|Maybe], {hero}.",
        ],
    }
    small["steps"][0][1] = "{hero} looked for {thing.a}, [twice|once]."
    for module in (tales, tale_walk):
        monkeypatch.setattr(module, "PLOTS", {"small": small})
    monkeypatch.setattr(tale_walk, "TABLES", {"hero": ("Pip", "Mia")})
    tale_walk.plot_nodes.cache_clear()
    tale_walk.spell.cache_clear()
    found = {
        tale.text: tale.log_prob for tale in (make_tale(random.Random(i)) for i in range(2000))
    }
    assert len(found) == 2 * 2 * 3 * (1 + 2)
    assert sum(math.exp(parse_tale(text).log_prob) for text in found) == pytest.approx(1)
    assert all(
        parse_tale(text).log_prob == pytest.approx(log_prob) for text, log_prob in found.items()
    )
    tale_walk.plot_nodes.cache_clear()
    tale_walk.spell.cache_clear()


def test_there_are_more_than_a_million_million_stories(stories):
    """A distribution with an entropy of H nats has at least exp(H) outcomes."""
    entropy = -sum(tale.log_prob for tale in stories) / len(stories)
    assert math.exp(entropy) > 1e12
    assert len({tale.text for tale in stories}) == len(stories)


def test_lengths_dialogue_and_what_they_cost(record_property):
    with CpuTime() as cost:
        texts = make_tales(20_000, seed=3)
    assert sum(map(len, texts)) > 10_000_000
    record_property("measured", measured_line("20,000 tales made", cost.seconds))
    words = [len(text.split()) for text in texts]
    assert min(words) >= 60 and max(words) <= 140
    assert sum('"' in text for text in texts[:1000]) == 1000
    assert make_tales(3, seed=3) == texts[:3] and make_tales(3, seed=4) != texts[:3]


NAMES, KINDS = ({*TABLES["hero" + end], *TABLES["friend" + end]} for end in ("", ".kind"))
WORD_FORMS = [
    NAMES,
    KINDS,
    {"he", "she"},
    {"him", "her", "his"},
    {"He", "She"},
    {"His", "Her"},
    {"a", "an"},
]
VERBS = "was were is are, had has have, said says say, could can, did does, came comes come, went goes go, saw sees seen"
VERBS += ", took takes take, knew knows know, began begins begun, fell falls fallen, ate eats eat"
VERBS = [set(forms.split()) for forms in VERBS.split(", ")]


def wrong_words(tale):
    """For each word of a story, the words that would be a mistake in its place."""
    objects = [set(table) for name, table in PLOTS[tale.plot]["tables"].items()] + [
        set(TABLES["place"])
    ]
    for match in re.finditer(r"\w+", tale.text):
        word = match.group()
        others = set().union(
            *(group for group in WORD_FORMS + VERBS + objects if word in group)
        ) - {word}
        if word.endswith("ed") and len(word) > 4:
            others |= {word[:-2], word[:-2] + "s", word[:-2] + "ing", word[:-1]}
        yield from ((match, other) for other in sorted(others))


def test_one_wrong_word_makes_a_story_invalid(stories):
    """Every wrong name, pronoun, animal, object, article and verb form, one at a time."""
    tried, by_plot = 0, Counter()
    for tale in stories:
        if by_plot[tale.plot] >= 3:
            continue
        by_plot[tale.plot] += 1
        for match, other in wrong_words(tale):
            text = tale.text[: match.start()] + other + tale.text[match.end() :]
            assert parse_tale(text) is None, f"{match.group()} -> {other}: {text}"
            tried += 1
    assert tried > 5000 and len(by_plot) == len(PLOTS)


@pytest.mark.parametrize(
    "text", ["", "Once upon a time.", "x" * 5000, "\n\n", "Mia the fox saw the moon"]
)
def test_other_texts_are_no_tales(text):
    assert parse_tale(text) is None


def test_cut_doubled_and_joined_stories_are_no_tales(stories):
    one, two = stories[0].text, stories[1].text
    for text in (
        one[:-1],
        one + " " + two,
        one + " The end.",
        one.replace(". ", ".  ", 1),
        one.lower(),
    ):
        assert parse_tale(text) is None
    assert parse_tale("\n" + one + "\n").text == one


def test_what_is_chosen_from_a_table_is_mentioned_twice(stories):
    """Else a wrong word in its only place would be another story, and no mistake."""
    loose = {"trait", "trait2", "weather", "day"}
    for tale in stories:
        for variable, word in tale.facts.items():
            if variable.partition(".")[0] not in loose:
                assert len(re.findall(rf"\b{word}\b", tale.text, re.IGNORECASE)) >= 2, (
                    variable,
                    word,
                    tale.text,
                )


def test_facts_name_the_story(stories):
    tale = stories[0]
    assert {"hero", "hero.kind", "friend", "friend.kind", "place"} <= set(tale.facts)
    assert (
        tale.facts["hero"] != tale.facts["friend"]
        and tale.facts["hero.kind"] != tale.facts["friend.kind"]
    )


# --- Corpora --------------------------------------------------------------------------------------


def test_embedded_corpora_are_at_hand():
    assert len(load_corpus("tales", count=7)) == 7
    assert 18_000 < len(load_corpus("story")[0]) < 22_000
    docs = load_corpus("pydocs")
    assert len(docs) > 100 and any("regular expression" in text for text in docs)


def test_chapter_2_reads_tales_of_this_generator():
    file = FOLDER.parents[1] / "ch02" / "01_main-chapter-code" / "tiny-tales.txt"
    assert load_corpus(file) == make_tales(200, seed=743)


def test_files_and_folders(tmp_path):
    (tmp_path / "b.txt").write_text("second\n<|endoftext|>\nthird", encoding="utf-8")
    (tmp_path / "a.txt").write_text("first é", encoding="utf-8")
    (tmp_path / "c.bin").write_bytes(b"\xff\xfe\x00")
    assert load_corpus(tmp_path / "b.txt") == ["second", "third"]
    assert load_corpus(tmp_path) == ["first é", "second", "third"]


@pytest.mark.parametrize(
    "name", ["c.bin", "empty.txt", "blank.txt", "missing.txt", "folder", "latin1.txt"]
)
def test_bad_corpora_are_refused_in_one_line(tmp_path, name):
    (tmp_path / "c.bin").write_bytes(bytes(range(256)))
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "blank.txt").write_text("\n \n")
    (tmp_path / "latin1.txt").write_bytes("né".encode("latin-1"))
    (tmp_path / "folder").mkdir()
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        load_corpus(tmp_path / name)
    assert "\n" not in str(caught.value) and name in str(caught.value)


def test_downloaded_corpora_say_how_to_get_them(tmp_path, monkeypatch):
    monkeypatch.setenv("SCRATCH_LLM_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="gpt_download.py corpus tinystories"):
        load_corpus("tinystories")
    (tmp_path / "tinyshakespeare.txt").write_text("To be")
    assert load_corpus("shakespeare") == ["To be"]


def test_held_out_text_is_the_end_and_nothing_is_lost():
    documents = ["a" * 50, "b" * 30, "c" * 20]
    train_part, held_out = split_documents(documents, share=0.1)
    assert "".join(train_part + held_out) == "".join(documents)
    assert sum(map(len, held_out)) == 10 and set(held_out[0]) == {"c"}


# --- Rows, floor, evaluation ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def tokenizer():
    return BPETokenizer.train(make_tales(300, seed=9), 400)


def test_long_documents_become_overlapping_windows(tokenizer):
    tokens, borders = flat_tokens(make_tales(20, seed=2), tokenizer)
    assert all(tokens[border] == tokenizer.end_of_text for border in borders) and len(borders) == 21
    rows = training_rows(tokens, borders, 40)
    assert isinstance(rows, TokenDataset) and rows.stride == 10
    inputs, targets = rows[3]
    assert torch.equal(inputs, tokens[30:70].long()) and torch.equal(targets, tokens[31:71].long())


def test_the_floor_counts_what_the_loss_counts(tokenizer):
    """A model that knew the probability of each story exactly would have the floor as its loss."""
    config = TrainConfig(data="tales", tokenizer="bpe")
    corpus = prepare(config, 400, 400, tokenizer)
    held_out = make_tales(gpt_train.HELD_OUT_TALES, gpt_train.VALIDATION_SEED)
    n_targets = sum(len(tokenizer.encode(story)) + 1 for story in held_out)
    assert sum(len(row) - 1 for row in corpus.validation) == n_targets
    assert corpus.floor == pytest.approx(
        -sum(parse_tale(story).log_prob for story in held_out) / n_targets
    )
    assert corpus.validation_bytes == sum(len(story.encode()) for story in held_out)
    assert all(row[0] == row[-1] == tokenizer.end_of_text for row in corpus.validation)


def tiny_model(seed=0, **changes):
    torch.manual_seed(seed)
    sizes = dict(vocab_size=97, context_length=32, emb_dim=32, n_heads=2, n_layers=2)
    return GPT(GPTConfig(**(sizes | changes)))


def test_evaluate_equals_a_plain_loop_over_rows(device):
    model = tiny_model().to(device)
    rows = [torch.randint(97, (n,)) for n in (33, 5, 17, 2, 33, 20)]
    with torch.no_grad():
        losses = [
            language_model_loss(model(row[None, :-1].to(device)), row[None, 1:].to(device))
            for row in rows
        ]
    total = sum(loss.item() * (len(row) - 1) for loss, row in zip(losses, rows, strict=True))
    count = sum(len(row) - 1 for row in rows)
    loss, n_targets = evaluate(model, rows, tokens_per_batch=70)
    assert n_targets == count and loss == pytest.approx(total / count, rel=1e-5)
    assert model.training  # as it was


# --- Training -------------------------------------------------------------------------------------


def numbers(n=3000, seed=0):
    return torch.randint(97, (n,), generator=torch.Generator().manual_seed(seed), dtype=torch.int32)


SHORT = TrainConfig(steps=8, batch_size=4, warmup=3, lr=1e-2, schedule="cosine", device="cpu")


def plain_loop(model, dataset, config):
    """Training as one would write it down first."""
    groups = [
        [p for p in model.parameters() if p.dim() >= 2],
        [p for p in model.parameters() if p.dim() < 2],
    ]
    optimizer = torch.optim.AdamW(
        [
            {"params": groups[0], "weight_decay": config.weight_decay},
            {"params": groups[1], "weight_decay": 0.0},
        ],
        betas=(0.9, config.beta2),
    )
    losses, batches = [], Batches(dataset, config.batch_size * config.grad_accum, config.seed)
    for step in range(config.steps):
        if step < config.warmup:
            lr = config.lr * (step + 1) / config.warmup
        else:
            part = (step - config.warmup) / (config.steps - config.warmup)
            lr = config.lr * 0.5 * (1 + math.cos(math.pi * part))
        for group in optimizer.param_groups:
            group["lr"] = lr
        inputs, targets = batches[step]
        loss = language_model_loss(model(inputs), targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("accumulate", [1, 4])
def test_train_equals_the_plain_loop(accumulate):
    """Also with gradient accumulation: four small batches make the step of one big batch."""
    dataset = TokenDataset(numbers(), 32)
    config = replace(SHORT, grad_accum=accumulate, clip=0.5)
    # Without biases: a key's bias changes no attention, its gradient is rounding noise, and AdamW
    # makes steps of it.
    fast, plain = tiny_model(qkv_bias=False), tiny_model(qkv_bias=False)
    losses = train(fast, dataset, config)
    torch.testing.assert_close(losses, plain_loop(plain, dataset, config), rtol=1e-5, atol=1e-6)
    for a, b in zip(fast.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(
            a, b, rtol=1e-3, atol=1e-4
        )  # a step moves a weight by about 1e-2


class Ragged(torch.utils.data.Dataset):
    """Rows of which different shares count."""

    def __len__(self):
        return 8

    def __getitem__(self, i):
        row = numbers(33, seed=i).long()
        targets = row[1:].clone()
        targets[: 4 * i] = -100
        return row[:-1], targets


def test_accumulation_weighs_rows_by_their_targets():
    small, big = tiny_model(qkv_bias=False), tiny_model(qkv_bias=False)
    config = replace(SHORT, steps=2, batch_size=2, grad_accum=4)
    losses = train(small, Ragged(), config)
    torch.testing.assert_close(
        losses, train(big, Ragged(), replace(config, batch_size=8, grad_accum=1))
    )
    for a, b in zip(small.parameters(), big.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


def test_activation_checkpointing_changes_nothing_but_memory():
    dataset, a, b = (
        TokenDataset(numbers(), 32),
        tiny_model(drop_rate=0.1),
        tiny_model(drop_rate=0.1),
    )
    gpt_train.checkpoint_activations(b)
    runs = []
    for model in (a, b):
        torch.manual_seed(3)
        runs.append(train(model, dataset, SHORT))
    torch.testing.assert_close(*runs, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
def test_mixed_precision_stays_close(dtype, device):
    dataset = TokenDataset(numbers(), 32)
    full = train(tiny_model().to(device), dataset, replace(SHORT, dtype="fp32"))
    mixed = train(tiny_model().to(device), dataset, replace(SHORT, dtype=dtype))
    assert mixed != full
    torch.testing.assert_close(mixed, full, rtol=0.03, atol=0.03)


def test_learning_rate_schedule():
    config = TrainConfig(steps=100, warmup=10, lr=1.0, min_lr=0.1)
    rates = [learning_rate(step, config) for step in range(101)]
    assert rates[0] == pytest.approx(0.1) and rates[9] == rates[10] == pytest.approx(1.0)
    assert rates[55] == pytest.approx(0.55) and rates[100] == pytest.approx(0.1)
    assert all(a >= b for a, b in zip(rates[10:], rates[11:], strict=False))
    line, cosine = (
        learning_rate(28, replace(config, schedule=schedule)) for schedule in ("linear", "cosine")
    )
    assert line == pytest.approx(0.1 + 0.9 * 0.8) and cosine == pytest.approx(
        0.1 + 0.45 * (1 + math.cos(0.2 * math.pi))
    )


def test_weight_decay_pulls_matrices_only():
    groups = make_optimizer(tiny_model(), SHORT).param_groups
    assert {p.dim() for p in groups[0]["params"]} == {2} and groups[0][
        "weight_decay"
    ] == SHORT.weight_decay > 0
    assert {p.dim() for p in groups[1]["params"]} == {1} and groups[1]["weight_decay"] == 0


def test_batches_cover_each_pass_once_and_differ_between_passes():
    dataset = TokenDataset(torch.arange(101), 1)  # row i is (i, i + 1)
    batches = Batches(dataset, 10, seed=4)
    seen = [batches[i][0][:, 0].tolist() for i in range(20)]
    first, second = sum(seen[:10], []), sum(seen[10:], [])
    assert sorted(first) == sorted(second) == list(range(100)) and first != second
    assert Batches(dataset, 10, seed=4)[13][0][:, 0].tolist() == seen[13]
    assert Batches(dataset, 10, seed=5)[0][0][:, 0].tolist() != seen[0]


def test_documents_come_whole_with_little_padding(tokenizer):
    tokens, borders = flat_tokens(make_tales(300, seed=2), tokenizer)
    rows = training_rows(tokens, borders, 400)
    assert isinstance(rows, DocumentRows) and len(rows) == 375
    batches, found, padding, size = Batches(rows, 8, seed=1), Counter(), 0, 0
    for number in range(46):
        inputs, targets = batches[number]
        padding, size = padding + int((targets == -100).sum()), size + targets.numel()
        for row, target in zip(inputs, targets, strict=True):
            target = target[target != -100]
            assert target[-1] == tokenizer.end_of_text and torch.equal(
                row[1 : len(target)], target[:-1]
            )
            found[
                tokenizer.decode(
                    [i for i in row[: len(target)].tolist() if i != tokenizer.end_of_text]
                )
            ] += 1
    stories = make_tales(
        300, seed=2
    )  # each once with the end-of-text token before it, and every fourth once without
    assert not found - Counter(stories + stories[::4]) and found.total() == 368
    assert padding / size < 0.05


def test_a_loss_that_is_no_number_stops_the_run():
    model = tiny_model()
    model.final_norm.weight.data[0] = math.nan
    with pytest.raises(FloatingPointError, match="step 1"):
        train(model, TokenDataset(numbers(), 32), SHORT)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU")
def test_compiled_training_equals_eager():
    dataset = TokenDataset(numbers(), 32)
    eager = train(tiny_model().cuda(), dataset, replace(SHORT, dtype="fp32"))
    compiled = train(tiny_model().cuda(), dataset, replace(SHORT, dtype="fp32", compile=True))
    torch.testing.assert_close(eager, compiled, rtol=1e-3, atol=1e-3)


def masked_rows(share, seed=0, rows=24, tokens=20):
    """Rows of which about this share of the targets is learned from, the others being −100."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, 64, (rows, tokens + 1), generator=generator)
    learned = torch.rand(rows, tokens, generator=generator) < share
    learned[:, -1] = True
    return list(zip(ids[:, :-1], ids[:, 1:].masked_fill(~learned, -100), strict=True))


@pytest.mark.parametrize("share", [0.0, 0.1, 0.4])
def test_what_is_not_learned_from_is_not_computed_and_changes_nothing(share):
    """The loss and each gradient are those of the plain form, and the head sees the learned targets
    alone.
    """
    inputs, targets = (torch.stack(part) for part in zip(*masked_rows(share), strict=True))
    found, seen = [], []
    for loss_of in (full_loss, spared_loss):
        model = tiny_model(vocab_size=64).double()
        model.head.register_forward_pre_hook(
            lambda _, given: seen.append(given[0].shape[:-1].numel())
        )
        loss = loss_of(model, inputs, targets)
        loss.backward()
        found.append([loss.detach(), *(parameter.grad for parameter in model.parameters())])
    for plain, spared in zip(*found, strict=True):
        assert (plain - spared).abs().max() < 1e-6 * max(1, plain.abs().max())
    assert seen == [targets.numel(), int((targets != -100).sum())]
    assert all(
        parameter.grad.abs().max() > 0
        for parameter in model.parameters()
        if parameter is not model.pos_emb.weight
    )


@pytest.mark.parametrize("settings", [{}, {"grad_accum": 3}, {"dtype": "bf16"}])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_training_on_few_targets_is_that_of_the_plain_form(settings, checkpointing):
    losses, rows = [], masked_rows(0.15)
    for loss_of in (spared_loss, full_loss):
        model = tiny_model(
            vocab_size=64, qkv_bias=False
        )  # a key's bias has no gradient but noise, and AdamW steps by it
        if checkpointing:
            gpt_train.checkpoint_activations(model)
        losses.append(train(model, rows, replace(SHORT, **settings), batch_loss=loss_of))
    tolerance = 2e-2 if settings.get("dtype") == "bf16" else 1e-5
    torch.testing.assert_close(*losses, rtol=tolerance, atol=tolerance)


def test_where_most_targets_count_the_loss_is_the_plain_one_to_the_last_digit():
    inputs, targets = (torch.stack(part) for part in zip(*masked_rows(0.9), strict=True))
    model = tiny_model(vocab_size=64)
    assert (targets == -100).any()
    assert torch.equal(spared_loss(model, inputs, targets), full_loss(model, inputs, targets))


def test_a_step_without_a_target_is_refused_and_a_batch_without_one_counts_nothing():
    inputs, targets = numbers()[:64].view(2, 32), torch.full((2, 32), -100)
    with pytest.raises(ValueError, match="step 1 has no target"):
        train(tiny_model(), list(zip(inputs, targets, strict=True)), SHORT)
    targets[0] = inputs[0]
    rows = list(zip(inputs, targets, strict=True))
    alone = train(tiny_model(), rows[:1], replace(SHORT, steps=1, batch_size=1))
    accumulated = replace(SHORT, steps=1, batch_size=1, grad_accum=2)
    assert train(tiny_model(), rows, accumulated) == pytest.approx(alone)


# --- Sampling -------------------------------------------------------------------------------------

LOGITS = torch.tensor([[0.5, 0.1, 0.2, 0.15, 0.05]]).log()


def frequencies(n=20_000, **settings):
    torch.manual_seed(0)
    picks = sample_next(LOGITS.expand(n, 5), **settings)
    assert picks.shape == (n, 1)
    return torch.bincount(picks[:, 0], minlength=5) / n


def test_temperature_top_k_and_top_p_give_the_distributions_of_their_formulas():
    p = LOGITS.exp()[0]
    expected = {
        (): p,
        (("temperature", 0.5),): p**2 / (p**2).sum(),
        (("temperature", 2.0),): p**0.5 / (p**0.5).sum(),
        (("top_k", 2),): torch.tensor([0.5, 0, 0.2, 0, 0]) / 0.7,
        (("top_p", 0.6),): torch.tensor([0.5, 0, 0.2, 0, 0]) / 0.7,
        (("top_p", 0.4),): torch.tensor([1.0, 0, 0, 0, 0]),
        (("top_p", 0.72),): torch.tensor([0.5, 0, 0.2, 0.15, 0]) / 0.85,
        (("top_k", 3), ("top_p", 0.7)): torch.tensor([0.5, 0, 0.2, 0, 0]) / 0.7,
        (("top_k", 99),): p,
        (("top_p", 1.0),): p,
    }
    for settings, distribution in expected.items():
        found = frequencies(**dict(settings))
        torch.testing.assert_close(
            found, distribution, atol=0.015, rtol=0, msg=lambda m, s=settings: f"{s}: {m}"
        )
        assert not found[distribution == 0].any(), settings


def test_temperature_zero_is_greedy_and_sampling_repeats_with_its_generator():
    assert sample_next(LOGITS, temperature=0).item() == 0
    picks = [
        sample_next(LOGITS.expand(9, 5), generator=torch.Generator().manual_seed(3))
        for _ in range(2)
    ]
    assert torch.equal(*picks)


@pytest.mark.parametrize(
    "settings",
    [
        dict(temperature=-0.1),
        dict(temperature=math.nan),
        dict(top_k=0),
        dict(top_p=0.0),
        dict(top_p=1.01),
    ],
)
def test_sampling_settings_without_sense_are_refused(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        sample_next(LOGITS, **settings)


# --- Generation -----------------------------------------------------------------------------------


def talker(tokenizer, **changes):
    model = tiny_model(vocab_size=tokenizer.n_vocab, **changes).eval()
    for parameter in model.parameters():
        parameter.data *= 3  # an untrained model says one word for ever; this one has opinions
    model.tokenizer = tokenizer
    return model


def test_generate_equals_the_plain_greedy_loop_also_beyond_the_window(tokenizer, device):
    model = talker(tokenizer).to(device)
    ids = tokenizer.encode("Mia the fox saw the moon")
    plain = generate_greedy(model, torch.tensor([ids], device=device), 60)[0].tolist()
    text = generate(model, "Mia the fox saw the moon", 60, temperature=0, stop_at_end=False)
    assert isinstance(text, str) and text == tokenizer.decode(plain)
    assert len(plain) > model.config.context_length


def test_a_batch_of_mixed_lengths_equals_single_prompts(tokenizer, device):
    model = talker(tokenizer).to(device)
    prompts = [
        "Mia the fox saw the moon",
        "A",
        "Once there was a very small hedgehog who could not sleep at night",
    ]
    together = generate(model, prompts, 40, temperature=0)
    assert together == [generate(model, prompt, 40, temperature=0) for prompt in prompts]


def test_long_prompts_use_the_end_of_the_window(tokenizer):
    model = talker(tokenizer)
    prompt = "the moon and the fox and the owl " * 12
    ids = tokenizer.encode(prompt)
    assert len(ids) > 2 * model.config.context_length
    out = generate_ids(model, [ids], 5, temperature=0)[0]
    assert out == generate_greedy(model, torch.tensor([ids]), 5)[0, -5:].tolist()


def test_streaming_gives_the_same_text_in_pieces(tokenizer):
    model = talker(tokenizer)
    for seed in range(5):  # random bytes: many of them no whole character
        pieces = list(stream(model, "Mia", 50, temperature=1.5, seed=seed))
        assert "Mia" + "".join(pieces) == generate(model, "Mia", 50, temperature=1.5, seed=seed)
        assert len(pieces) > 5


def test_generation_stops_before_the_end_of_text(tokenizer):
    model = talker(tokenizer)
    free = generate_ids(model, [[1, 2, 3]], 30, temperature=0)[0]
    stop = free[7]
    assert (
        generate_ids(model, [[1, 2, 3]], 30, stop=stop, temperature=0)[0]
        == free[: free.index(stop)]
    )
    assert generate(model, "Mia", 0) == "Mia" and generate(model, [], 5) == []


def test_seeds_repeat_and_leave_the_global_dice_alone(tokenizer):
    model = talker(tokenizer)
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    texts = [generate(model, "Mia", 30, temperature=1, seed=s) for s in (1, 1, 2)]
    assert torch.equal(torch.rand(1), expected)
    assert texts[0] == texts[1] != texts[2]


def test_generate_says_what_is_missing(tokenizer):
    model = talker(tokenizer)
    with pytest.raises(ValueError, match="empty"):
        generate(model, "")
    with pytest.raises(ValueError, match="empty"):
        generate(model, ["Mia", ""])
    model.tokenizer = None
    with pytest.raises(ValueError, match="tokenizer="):
        generate(model, "Mia")
    assert generate(model, "Mia", 3, tokenizer=tokenizer).startswith("Mia")


def test_a_model_with_gpt2s_vocabulary_needs_no_tokenizer():
    model = GPT(GPTConfig(context_length=8, emb_dim=8, n_heads=1, n_layers=1))
    assert generate(model, "Once upon a time", max_tokens=3).startswith("Once upon a time")
    assert model.training  # generate leaves the mode as it was


def with_dropout():
    """The committed model in training mode, its dropout as in `gpt_train.py --drop-rate 0.1`."""
    model = GPT.from_pretrained(TALES_GPT)
    dropping = GPT(replace(model.config, drop_rate=0.1))
    dropping.load_state_dict(model.state_dict())
    dropping.tokenizer = model.tokenizer
    return dropping.train()


def test_whatever_writes_does_so_without_dropout_and_leaves_the_mode_alone():
    model = with_dropout()
    model.blocks[0].eval()  # a part that somebody froze stays as it is
    modes = [module.training for module in model.modules()]
    ids = model.tokenizer.encode("One misty night")

    def written():
        pieces = stream(model, "One misty night", 30, seed=2)
        return [
            sample_stories(model, model.tokenizer, 3, 60, seed=1),
            generate(model, "One misty night", 30, seed=2),
            "".join([next(pieces), *pieces]),
            generate_ids(model, [ids], 30, temperature=0),
        ]

    in_training = written()
    assert [module.training for module in model.modules()] == modes
    model.eval()
    assert written() == in_training and not model.training


def test_the_mode_comes_back_after_an_error_and_from_a_stream_that_is_not_read_to_its_end():
    model = with_dropout()
    pieces = stream(model, "One misty night", 30)
    next(pieces)
    assert model.training
    pieces.close()
    assert model.training
    with pytest.raises(ZeroDivisionError), evaluating(model):
        assert not any(module.training for module in model.modules())
        raise ZeroDivisionError
    assert all(module.training for module in model.modules())
    model.head.weight = torch.nn.Parameter(torch.ones(3, 3))  # no product of matrices
    with pytest.raises(RuntimeError):
        sample_stories(model, model.tokenizer, 1, 5)
    assert all(module.training for module in model.modules())


# --- The committed model --------------------------------------------------------------------------


def test_tales_gpt_writes_valid_stories_near_the_floor():
    model = GPT.from_pretrained(TALES_GPT)
    recorded = json.loads((TALES_GPT / "summary.json").read_text())
    corpus = prepare(
        TrainConfig(), model.config.context_length, model.config.vocab_size, model.tokenizer
    )
    loss, n_targets = evaluate(model, corpus.validation[:200])
    floor = (
        -sum(parse_tale(s).log_prob for s in make_tales(200, gpt_train.VALIDATION_SEED)) / n_targets
    )
    assert floor < loss < 1.10 * floor
    assert recorded["floor"] == pytest.approx(corpus.floor, rel=1e-6)
    stories = sample_stories(model, model.tokenizer, 50, model.config.context_length, seed=1)
    assert sum(parse_tale(story) is not None for story in stories) >= 45
    assert sum(file.stat().st_size for file in TALES_GPT.iterdir()) < 8_000_000


def test_tales_gpt_continues_the_running_example():
    model = load_model("tales-gpt")
    assert generate(model, "One misty night Mia the fox saw the moon", 1, temperature=0).endswith(
        "floating"
    )


# --- The scripts ----------------------------------------------------------------------------------

SMALL = "--steps 12 --batch-size 4 --warmup 2 --eval-every 5 --context-length 32".split()
SMALL += "--emb-dim 16 --n-heads 2 --n-layers 1".split()
SMALL_TALES = [*SMALL, *"--steps 4 --eval-every 2 --context-length 512 --vocab-size 300".split()]


@pytest.fixture
def text_file(tmp_path):
    file = tmp_path / "my text.txt"
    file.write_text("The fox saw the moon, and the moon saw the fox. Nobody else was awake. " * 80)
    return file


@pytest.fixture
def script(tmp_path, monkeypatch):
    """Run a script in a Python of its own, with runs in a temporary folder."""
    monkeypatch.setenv("SCRATCH_LLM_RUNS", str(tmp_path / "runs"))
    # In a clone that was not installed, the names come from conftest.py: give them to the other
    # Python, too.
    site = tmp_path / "site"
    site.mkdir()
    root = FOLDER.parents[1]
    (site / "sitecustomize.py").write_text(
        f"import sys\nsys.path.insert(0, {str(root)!r})\nimport conftest\nsys.path.pop(0)\n"
    )
    monkeypatch.setenv(
        "PYTHONPATH",
        os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep),
    )

    def run(name, *arguments, **options):
        command = [sys.executable, str(FOLDER / name), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", **options)

    run.folder = tmp_path / "runs"
    return run


def refused(main, arguments, *words):
    """The command line ends with one line that contains the words, with a status that is not zero,
    with no traceback.

    In this process, as a Python that loads torch takes two seconds; one test below asks a real one.
    """
    with pytest.raises(SystemExit) as ended:
        run_script(main, *arguments)
    message = ended.value.code
    assert isinstance(message, str) and "\n" not in message, message
    for word in words:
        assert word in message, message


def refused_by_argparse(parse, arguments, word, capsys):
    with pytest.raises(SystemExit) as ended:
        parse(arguments)
    assert ended.value.code == 2 and word in capsys.readouterr().err.splitlines()[-1]


def flags(*words):
    return train_arguments([str(word) for word in words])


def generate_flags(*words):
    return [parse_arguments([str(word) for word in words])]


def weights(folder):
    return (folder / "model.safetensors").read_bytes()


def test_a_run_leaves_everything_it_promises(script, text_file, capsys):
    result = script(
        "gpt_train.py", "--data", text_file, "--vocab-size", 300, "--name", "mine", *SMALL
    )
    assert result.returncode == 0, result.stderr
    folder = script.folder / "mine"
    summary = json.loads((folder / "summary.json").read_text())
    assert (
        summary["tokens"] == 12 * 4 * 32
        and summary["floor"] is None
        and summary["parameters"] > 1000
    )
    assert (
        summary["val_loss"] < math.log(300)
        and summary["bits_per_byte"] > 0
        and summary["seconds"] > 0
    )
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if "val_loss" in row] == [5, 10, 12]
    for name in (
        "model.safetensors",
        "config.json",
        "tokenizer.json",
        "training-000012.pt",
        "loss.png",
        "samples.txt",
    ):
        assert (folder / name).stat().st_size > 0
    assert (
        f"{summary['val_loss']:.6g}" in result.stdout
        and "the rate never reaches" not in result.stdout
    )
    assert result.stdout.splitlines()[0].split() == ["run", str(folder)]
    gpt_generate.main(
        *generate_flags(
            "--prompt", "The fox", "--prompt", "The moon and", "--max-tokens", 5, "--seed", 1
        )
    )
    printed = capsys.readouterr().out
    assert "The fox" in printed and "The moon and" in printed
    assert (
        gpt_train.main(*flags("--data", text_file, "--vocab-size", 300, *SMALL, "--warmup", 13))
        == 0
    )
    assert (
        "the warm-up takes 13 steps, the run 12: the rate never reaches" in capsys.readouterr().out
    )
    assert (script.folder / "my text-1" / "summary.json").exists()


@pytest.fixture
def few_tales(monkeypatch):
    """Runs on tales with little to read, to hold out and to judge."""
    monkeypatch.setattr(gpt_train, "HELD_OUT_TALES", 3)
    monkeypatch.setattr(gpt_train, "STORIES_JUDGED", 2)
    monkeypatch.setattr(gpt_train, "open_corpus", lambda name, seed=1: open_corpus(name, 60, seed))


def test_a_run_on_tales_says_where_its_loss_is_above_the_floor(script, few_tales):
    """Both parts, against the definition, computed in another way from the saved model."""
    assert gpt_train.main(*flags(*SMALL_TALES, "--name", "mine")) == 0
    folder = script.folder / "mine"
    rows = [row for row in read_json_lines(folder / "metrics.jsonl") if "val_loss" in row]
    floor = json.loads((folder / "summary.json").read_text())["floor"]
    for row in rows:
        assert row["gap_forced"] > 0
        gap = row["gap_forced"] + row["gap_choices"]
        assert gap == pytest.approx(row["val_loss"] - floor, abs=1e-9)
    model = load_model(folder)
    forced, n_targets = 0.0, 0
    for story in make_tales(3, gpt_train.VALIDATION_SEED):
        ids = [model.tokenizer.end_of_text, *model.tokenizer.encode(story)]
        with torch.no_grad():
            probs = model.eval()(torch.tensor([ids]))[0].softmax(-1)
        for number in range(len(ids)):
            truth = next_token_probs(model.tokenizer.decode(ids[1 : number + 1]), model.tokenizer)
            if truth.max() == 1:
                forced -= math.log(probs[number, truth.argmax()])
        n_targets += len(ids)
    assert rows[-1]["step"] == 4
    assert rows[-1]["gap_forced"] == pytest.approx(forced / n_targets, rel=1e-4)


def test_the_gap_is_drawn_below_the_loss(script, few_tales, text_file):
    """Twice as high a picture; a run on another text has no gap, and the picture as it was."""
    for number, data in enumerate(("tales", text_file)):
        words = [*SMALL_TALES, "--data", data, "--steps", 2, "--name", f"run{number}"]
        assert gpt_train.main(*flags(*words)) == 0
        rows = read_json_lines(script.folder / f"run{number}" / "metrics.jsonl")
        assert any("gap_forced" in row for row in rows) == (data == "tales")
    heights = [height_of(script.folder / f"run{number}" / "loss.png") for number in range(2)]
    assert heights == [720, 420]


def height_of(path):
    """The height of a PNG in pixels, which stands in its first chunk."""
    return int.from_bytes(path.read_bytes()[20:24])


def test_a_tokenizer_without_exact_probabilities_trains_on_tales_without_the_parts(
    script, few_tales, tmp_path
):
    pattern = r"\S+\s\S+\s?|\S+|\s+"
    file = tmp_path / "tokenizer.json"
    BPETokenizer.train(make_tales(20), 300, pattern=pattern).save(file)
    assert gpt_train.main(*flags(*SMALL_TALES, "--tokenizer", file, "--name", "mine")) == 0
    rows = read_json_lines(script.folder / "mine" / "metrics.jsonl")
    assert "val_loss" in rows[-1] and not any("gap_forced" in row for row in rows)


def test_the_two_parts_of_a_gap_by_hand():
    losses = torch.tensor([0.5, 0.25, 1.0, 2.0], dtype=torch.float64)
    log_probs = torch.tensor([0.0, 0.0, -0.75, -2.5], dtype=torch.float64)
    assert split_gap(losses, log_probs) == {"gap_forced": 0.75 / 4, "gap_choices": -0.25 / 4}


def same_weights(runs, *names):
    states = [GPT.from_pretrained(runs / name).state_dict() for name in names]
    return all(torch.equal(states[0][key], other[key]) for other in states[1:] for key in states[0])


def steps_recorded(folder):
    return [(row["step"], "val_loss" in row) for row in read_json_lines(folder / "metrics.jsonl")]


def in_a_child(function):
    """Call a function in a process of its own, begun as a copy of this one. Returns its status."""
    child = os.fork()
    if not child:
        status = 99
        try:
            status = function()
        except SystemExit as ended:
            status = ended.code
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


@needs_fork
@pytest.mark.parametrize(
    "name, optimizer", [("SIGINT", "adamw"), ("SIGTERM", "muon"), ("SIGHUP", "adamw")]
)
def test_a_signal_saves_and_the_resumed_run_ends_with_the_same_weights(
    name, optimizer, script, text_file
):
    """In the middle of step 3, before anything was recorded or validated, and of step 8."""
    common = ["--data", text_file, "--vocab-size", 300, "--drop-rate", 0.1, *SMALL]
    common += ["--optimizer", optimizer]
    assert gpt_train.main(*flags("--name", "whole", *common)) == 0
    clip = torch.nn.utils.clip_grad_norm_

    def train_until(step, *words):
        calls = []

        def pressed(*given):
            calls.append(1)
            if len(calls) == step:
                signal.raise_signal(getattr(signal, name))
            return clip(*given)

        torch.nn.utils.clip_grad_norm_ = pressed
        return gpt_train.main(*flags("--name", "cut", *words))

    cut = script.folder / "cut"
    status = 128 + getattr(signal, name)
    assert in_a_child(lambda: train_until(3, *common)) == status
    assert (cut / "training-000003.pt").exists() and not (cut / "metrics.jsonl").exists()
    assert generate(load_model("cut"), "The fox", 3).startswith("The fox")
    assert in_a_child(lambda: train_until(5, "--resume")) == status
    assert (cut / "training-000008.pt").exists() and not (cut / "summary.json").exists()
    assert gpt_train.main(*flags("--name", "cut", "--resume")) == 0
    assert same_weights(script.folder, "whole", "cut")
    assert steps_recorded(cut) == steps_recorded(script.folder / "whole")


@needs_fork
def test_a_run_that_is_killed_at_any_moment_resumes_and_ends_with_the_same_weights(
    script, text_file, capsys
):
    """At each third renaming of a file, from the first step to the end."""
    common = ["--data", text_file, "--vocab-size", 300, *SMALL]
    assert gpt_train.main(*flags("--name", "whole", *common)) == 0
    rename, deaths = os.replace, 0

    def train_until(renaming):
        calls = []

        def die(*given):
            calls.append(1)
            if len(calls) == renaming:
                os._exit(9)
            return rename(*given)

        os.replace = die
        return gpt_train.main(*flags("--name", f"killed-{renaming}", *common))

    for renaming in range(5, 200, 3):
        name = f"killed-{renaming}"
        if in_a_child(lambda renaming=renaming: train_until(renaming)) == 0:
            break
        deaths += 1
        words = ["--name", name, "--resume"]
        check_files(script.folder / name, [])  # puts in place what was written whole
        if not states(script.folder / name):
            refused(gpt_train.main, flags(*words), "saved nothing yet", "--overwrite")
            words = ["--name", name, "--overwrite", *common]
        if not (script.folder / name / "summary.json").exists():
            assert gpt_train.main(*flags(*words)) == 0
        assert same_weights(script.folder, "whole", name)
        assert steps_recorded(script.folder / name) == steps_recorded(script.folder / "whole")
    assert deaths >= 8


def test_two_runs_that_start_at_once_take_two_folders(script, text_file):
    command = [sys.executable, FOLDER / "gpt_train.py", "--data", text_file, "--vocab-size", 300]
    command = [str(word) for word in [*command, *SMALL]]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate() and process.returncode for process in both] == [0, 0]
    for number in (1, 2):
        folder = script.folder / f"my text-{number}"
        assert steps_recorded(folder) == [
            (5, True),
            (10, False),
            (10, True),
            (12, False),
            (12, True),
        ]


def test_a_folder_that_is_in_use_is_left_alone(script, text_file):
    common = ["--data", text_file, "--vocab-size", 300, "--name", "mine", *SMALL]
    assert gpt_train.main(*flags(*common)) == 0
    before = {path: path.read_bytes() for path in (script.folder / "mine").iterdir()}
    with claimed(script.folder / "mine"):
        for words in ((*common, "--overwrite"), ("--name", "mine", "--resume", "--steps", 20)):
            refused(gpt_train.main, flags(*words), "another process", "mine")
    assert {path: path.read_bytes() for path in (script.folder / "mine").iterdir()} == before


@needs_fork
def test_a_lock_ends_with_its_process(tmp_path):
    def hold():
        with claimed(tmp_path):
            os._exit(7)

    assert in_a_child(hold) == 7
    with claimed(tmp_path) as folder:
        assert folder == tmp_path


def test_the_best_model_is_kept_not_the_last(script, text_file, capsys):
    """A rate that rises to madness: the losses fall, and then they rise."""
    words = ["--data", text_file, "--vocab-size", 300, *SMALL, "--name", "mad"]
    words += ["--lr", 30, "--warmup", 100, "--steps", 40]
    assert gpt_train.main(*flags(*words)) == 0
    printed = capsys.readouterr()
    mad = script.folder / "mad"
    losses = {
        row["step"]: row["val_loss"]
        for row in read_json_lines(mad / "metrics.jsonl")
        if "val_loss" in row
    }
    best = min(losses, key=losses.get)
    summary = json.loads((mad / "summary.json").read_text())
    assert best < 40 and losses[40] > losses[best] + 0.5
    assert summary["val_loss"] == losses[best] and summary["best_step"] == best
    assert f"not better than {losses[best]:.4f} at step {best}" in printed.out
    corpus = prepare(TrainConfig(data=str(text_file)), 32, 300, load_model("mad").tokenizer)
    assert evaluate(load_model("mad"), corpus.validation)[0] == pytest.approx(
        losses[best], rel=1e-5
    )


def test_a_run_is_extended_and_a_finished_one_is_not_resumed(script, text_file):
    common = ["--data", text_file, "--vocab-size", 300, *SMALL]
    assert gpt_train.main(*flags("--name", "mine", *common)) == 0
    again = ("--name", "mine", "--resume")
    refused(gpt_train.main, flags(*again), "come to its end", "--steps MORE")
    refused(gpt_train.main, flags(*again, "--steps", 12), "come to its end")
    refused(gpt_train.main, flags(*again, "--steps", 11), "own settings", "steps")
    assert gpt_train.main(*flags(*again, "--steps", 20)) == 0
    summary = json.loads((script.folder / "mine" / "summary.json").read_text())
    assert summary["steps"] == 20 and summary["tokens"] == 20 * 4 * 32
    refused(gpt_train.main, flags(*again), "come to its end")


def test_a_run_begins_from_any_model(script, text_file, tmp_path):
    common = ["--data", text_file, "--steps", 3, "--batch-size", 4, "--eval-every", 5]
    for start in ("tales-gpt", str(TALES_GPT)):
        assert (
            gpt_train.main(*flags("--init-from", start, "--name", "more", *common, "--overwrite"))
            == 0
        )
    summary = json.loads((script.folder / "more" / "summary.json").read_text())
    before, after = load_model("tales-gpt"), load_model("more")
    rows = prepare(TrainConfig(data=str(text_file)), 192, 0, before.tokenizer).validation
    assert after.tokenizer.encode("The fox") == before.tokenizer.encode("The fox")
    assert summary["val_loss"] == pytest.approx(evaluate(after, rows)[0])
    assert summary["val_loss"] < evaluate(before, rows)[0] - 0.1
    assert json.loads((script.folder / "more" / "run.json").read_text())["lr"] == 0.001
    assert gpt_train.main(*flags("--name", "more", "--resume", "--steps", 4)) == 0
    refused(gpt_train.main, flags("--init-from", "more", "--n-layers", 3, *common), "--n-layers")
    refused(gpt_train.main, flags("--init-from", "nosuch", *common), "nosuch")


def test_a_relative_path_is_found_again_from_another_folder(
    script, text_file, tmp_path, monkeypatch
):
    monkeypatch.chdir(text_file.parent)
    words = ["--data", text_file.name, "--vocab-size", 300, *SMALL, "--name", "mine"]
    assert gpt_train.main(*flags(*words)) == 0
    monkeypatch.chdir("/")
    assert gpt_train.main(*flags("--name", "mine", "--resume", "--steps", 14)) == 0


def test_runs_may_lie_in_the_home_folder(script, text_file, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("SCRATCH_LLM_RUNS", "~/kept")
    assert runs_folder() == tmp_path / "kept"


def test_a_run_can_be_made_in_a_thread(script, text_file):
    words = flags("--data", text_file, "--vocab-size", 300, *SMALL, "--name", "threaded")
    found = []
    thread = threading.Thread(target=lambda: found.append(gpt_train.main(*words)))
    thread.start()
    thread.join()
    assert found == [0]


@needs_fork
def test_a_full_disk_ends_in_one_line_and_leaves_the_state_before(script, text_file):
    """The system refuses files over 100 kB, as a full disk would; the state has more."""
    import resource

    words = ["--data", text_file, "--vocab-size", 300, *SMALL, "--emb-dim", 64, "--name", "full"]
    assert gpt_train.main(*flags(*words)) == 0

    def limited():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        refused(
            gpt_train.main,
            flags("--name", "full", "--resume", "--steps", 20),
            "could not be written",
        )
        return 5

    assert in_a_child(limited) == 5
    assert [path.name for path in (script.folder / "full").glob("training-*")] == [
        "training-000012.pt"
    ]
    assert gpt_train.main(*flags("--name", "full", "--resume")) == 0


def test_no_damage_to_any_file_of_a_run_is_resumed(script, text_file, tmp_path):
    """Each file that resuming reads, in more than ten ways, another run's files among them."""
    for seed, name in ((1, "mine"), (2, "other")):
        words = ["--data", text_file, "--vocab-size", 300, *SMALL, "--name", name, "--seed", seed]
        assert gpt_train.main(*flags(*words)) == 0
        (script.folder / name / "summary.json").unlink()  # as if it had not come to its end

    def accepts(folder):
        try:
            going_on({}, TrainConfig, folder, "run.json")
            load_model(folder)
            read_state(folder, "run.json")
        except (ValueError, FileNotFoundError) as error:
            return None if "\n" not in str(error) else f"several lines: {error}"
        return "resumed"

    mine, other = script.folder / "mine", script.folder / "other"
    names = ["training-000012.pt", "run.json", "manifest.json"]
    names += ["model.safetensors", "config.json", "tokenizer.json"]
    assert accepts(mine) == "resumed"
    tried, found = unnoticed(mine, names, accepts, tmp_path, other)
    assert found == [] and tried > 6 * 10


def test_a_name_that_a_killed_process_left_is_free(script, text_file):
    (script.folder / "now").mkdir(parents=True)
    (script.folder / "now" / "run.lock").touch()
    words = ["--data", text_file, "--vocab-size", 300, *SMALL, "--name", "now"]
    assert gpt_train.main(*flags(*words)) == 0


def test_a_run_goes_on_on_another_device(script, text_file, monkeypatch):
    words = ["--data", text_file, "--vocab-size", 300, *SMALL, "--name", "mine"]
    assert gpt_train.main(*flags(*words)) == 0
    mine = script.folder / "mine"
    config = TrainConfig(**json.loads((mine / "run.json").read_text()) | {"device": "mps"})
    write_settings(mine, config, "run.json")
    again = ("--name", "mine", "--resume", "--steps", 14)
    assert gpt_train.main(*flags(*again, "--device", "cpu")) == 0
    assert json.loads((mine / "run.json").read_text())["device"] == "cpu"


@pytest.mark.parametrize("row", ['{"a": 1}', "[1]", "7"])
def test_records_that_somebody_changed_are_named(script, text_file, row):
    words = ["--data", text_file, "--vocab-size", 300, *SMALL, "--name", "mine"]
    assert gpt_train.main(*flags(*words)) == 0
    metrics = script.folder / "mine" / "metrics.jsonl"
    metrics.write_text(row + "\n" + metrics.read_text())
    again = flags("--name", "mine", "--resume", "--steps", 14)
    refused(gpt_train.main, again, "metrics.jsonl is damaged", "delete the file")
    metrics.unlink()
    assert gpt_train.main(*again) == 0
    assert (script.folder / "mine" / "loss.png").exists()


@needs_fork
def test_a_signal_that_is_ignored_stays_ignored(script, text_file):
    words = flags("--data", text_file, "--vocab-size", 300, *SMALL, "--name", "mine")

    def under_nohup():
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        clip = torch.nn.utils.clip_grad_norm_

        def hung_up(*given):
            signal.raise_signal(signal.SIGHUP)
            return clip(*given)

        torch.nn.utils.clip_grad_norm_ = hung_up
        return gpt_train.main(*words)

    assert in_a_child(under_nohup) == 0
    assert (script.folder / "mine" / "summary.json").exists()


def test_weights_that_are_not_finite_are_never_saved(tmp_path):
    model = tiny_model()
    run = Run(tmp_path, SHORT, model, make_optimizer(model, SHORT))
    run.fingerprint = lambda: 1
    run.save_state()
    before = (tmp_path / "training-000000.pt").read_bytes()
    model.blocks[0].attention.qkv.weight.data[0, 0] = math.inf
    run.step = 1
    with pytest.raises(FloatingPointError, match="attention.qkv.weight"):
        run.save_state()
    assert [path.read_bytes() for path in tmp_path.glob("training-*")] == [before]


def test_auto_takes_fp16_where_bf16_is_only_imitated(monkeypatch):
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation
    )
    assert pick_dtype("auto", "cuda") == torch.float16
    assert pick_dtype("auto", "cpu") == torch.float32


# --- JSON lines -----------------------------------------------------------------------------------


def test_a_row_of_json_stays_on_its_line(tmp_path):
    path = tmp_path / "rows.jsonl"
    rows = [
        {"text": text} for text in ("a\u2028b", "\u2029", "\x85", "\r\x0b\x0c\x1c", "\ud800", "né")
    ]
    for row in rows:
        append_json_line(path, row)
    assert read_json_lines(path) == rows
    assert "né".encode() in path.read_bytes()
    write_json_lines(path, rows)
    assert read_json_lines(path) == rows


@pytest.mark.parametrize(
    "torn", [b'{"step": 3, "los', b"\0" * 50, b'{"step": 3}' + b"\0" * 9, b"\xc3"]
)
def test_what_a_crash_leaves_of_a_last_line_is_no_row(tmp_path, torn):
    path = tmp_path / "rows.jsonl"
    write_json_lines(path, [{"step": 1}, {"step": 2}])
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    assert read_json_lines(path) == [{"step": 1}, {"step": 2}]
    path.write_bytes(torn + b"\n" + whole)
    with pytest.raises(ValueError, match=r"rows.jsonl is damaged in line 1"):
        read_json_lines(path)


def test_a_json_list_is_a_new_file_with_an_entry_on_each_line(tmp_path):
    path, entries = tmp_path / "list.json", [{"a": "ü\u2028\n"}, {"a": "half \ud83d"}, []]
    write_json_list(path, entries)
    content = path.read_bytes()
    assert json.loads(content.decode("utf-8")) == entries
    assert len(content.split(b"\n")) == 6 and content.endswith(b"\n]\n")  # three, two brackets
    with pytest.raises(FileExistsError, match="choose another name"):
        write_json_list(path, [])
    assert path.read_bytes() == content


@pytest.mark.parametrize("torn", [b'{"step": 10, "train', b"\0" * 100])
def test_a_run_with_a_torn_record_resumes(script, text_file, torn):
    common = ["--data", text_file, "--vocab-size", 300, *SMALL, "--name", "mine"]
    assert gpt_train.main(*flags(*common)) == 0
    metrics = script.folder / "mine" / "metrics.jsonl"
    rows = steps_recorded(script.folder / "mine")
    with open(metrics, "ab") as file:
        file.write(torn)
    assert gpt_train.main(*flags("--name", "mine", "--resume", "--steps", 13)) == 0
    assert steps_recorded(script.folder / "mine") == [*rows, (13, False), (13, True)]
    metrics.write_bytes(b"nonsense\n" + metrics.read_bytes())
    refused(
        gpt_train.main,
        flags("--name", "mine", "--resume", "--steps", 15),
        "metrics.jsonl",
        "line 1",
    )


def test_a_real_script_ends_in_one_line(script):
    result = script("gpt_train.py", "--data", "nowhere.txt")
    assert result.returncode == 1 and not result.stdout
    assert len(result.stderr.strip().splitlines()) == 1 and "nowhere.txt" in result.stderr


def test_bad_input_is_refused_in_one_line_and_nothing_is_written(
    script, tmp_path, text_file, capsys
):
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "short.txt").write_text("too short")
    (tmp_path / "binary.txt").write_bytes(bytes(range(256)) * 40)
    cases = [
        (["--data", tmp_path / "nowhere.txt"], ["nowhere.txt", "corpora are"]),
        (["--data", tmp_path / "empty.txt"], ["empty"]),
        (["--data", tmp_path / "short.txt"], ["tokens", "--context-length"]),
        (["--data", tmp_path / "binary.txt"], ["not a text file"]),
        (["--vocab-size", 100, "--data", text_file], ["100 is too small", "257"]),
        (["--emb-dim", 30, "--n-heads", 4], ["emb_dim (30)", "divisible"]),
        (["--preset", "gpt7"], ["gpt7", "gpt2-small"]),
        (["--steps", 0], ["steps"]),
        (["--seed", 10**30], ["seed"]),
        (["--resume", "--name", "../runs"], ["plain folder name"]),
        (["--init-from", "", "--data", text_file], ["is no checkpoint"]),
        (["--resume", "--name", "nothing"], ["nothing"]),
        (["--name", "../evil"], ["plain folder name"]),
        (["--tokenizer", "nope.json"], ["nope.json"]),
    ]
    if not torch.cuda.is_available():
        cases.append((["--device", "cuda"], ["cuda", "--device cpu"]))
    for arguments, words in cases:
        refused(gpt_train.main, flags(*arguments), *words)
    refused_by_argparse(train_arguments, ["--device", "tpu"], "tpu", capsys)
    refused_by_argparse(train_arguments, ["--lr", "fast"], "fast", capsys)
    assert not script.folder.exists()


def test_runs_are_never_overwritten_by_accident(script, text_file):
    common = ["--data", text_file, "--vocab-size", 300, "--name", "mine", *SMALL]
    mine, again = script.folder / "mine", ("--name", "mine", "--resume")
    assert gpt_train.main(*flags(*common)) == 0
    before = weights(mine)
    refused(gpt_train.main, flags(*common), "mine", "--overwrite")
    refused(gpt_train.main, flags(*again, "--lr", "0.5"), "lr")
    refused(gpt_train.main, flags(*common, "--resume", "--overwrite"), "--overwrite")
    assert weights(mine) == before
    # An overwriting run that cannot even begin leaves the old one alone.
    refused(
        gpt_train.main,
        flags("--name", "mine", "--overwrite", "--data", "nowhere.txt"),
        "nowhere.txt",
    )
    assert weights(mine) == before
    assert gpt_train.main(*flags(*common, "--overwrite", "--seed", 2)) == 0
    assert weights(mine) != before
    again += ("--steps", "20")
    text_file.write_text("Other words. " * 500)
    refused(gpt_train.main, flags(*again), "not the text")
    state = mine / "training-000012.pt"
    state.write_bytes(state.read_bytes()[:1000])
    refused(gpt_train.main, flags(*again), "damaged")
    (mine / "run.json").write_text("{")
    refused(gpt_train.main, flags(*again), "run.json is damaged")
    (mine / "run.json").rename(
        mine / "other.json"
    )  # what is no run of this script is not this script's to delete
    refused(gpt_train.main, flags(*common, "--overwrite"), "is no run")
    assert (mine / "other.json").exists()


def test_gpt_generate_refuses_in_one_line(script, tmp_path, capsys):
    model = tiny_model(vocab_size=97)
    model.save_pretrained(tmp_path / "bare")
    damaged = tmp_path / "damaged"
    model.save_pretrained(damaged)
    (damaged / "model.safetensors").write_bytes(b"nonsense")
    cases = [
        (["--prompt", ""], ["prompt is empty"]),
        (["--top-p", "1.5"], ["top_p"]),
        (["--top-p", "0"], ["top_p"]),
        (["--temperature", "-1"], ["temperature"]),
        (["--top-k", "0"], ["top_k"]),
        (["--model", tmp_path / "nothing"], ["no checkpoint"]),
        (
            ["--model", "nosuch"],
            ["nosuch is no checkpoint", "no run in", "tales-gpt", "smollm2-135m", "gpt2-xl"],
        ),
        (["--model", damaged], ["damaged"]),
        (["--model", tmp_path / "bare"], ["tokenizer"]),
    ]
    for arguments, words in cases:
        refused(gpt_generate.main, generate_flags(*arguments), *words)
    refused_by_argparse(parse_arguments, ["--device", "quantum"], "quantum", capsys)


def test_a_folder_with_the_name_of_a_published_model_is_never_taken_for_it(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SCRATCH_LLM_RUNS", str(tmp_path / "runs"))
    assert find_model("gpt2") == "gpt2" and describe_model("gpt2") == "gpt2 (published)"
    (tmp_path / "gpt2").mkdir()
    refused(gpt_generate.main, generate_flags("--model", "gpt2"), "gpt2 is no checkpoint", "rename")
    model = load_model("tales-gpt")
    model.save_pretrained("gpt2", metadata={"step": "7"})
    assert find_model("gpt2") == Path("gpt2") and load_model("gpt2").config == model.config
    gpt_generate.main(*generate_flags("--model", "gpt2", "--max-tokens", 1))
    assert capsys.readouterr().err == "model  gpt2/ (step 7)\n"
    model.save_pretrained("runs/gpt2")
    assert find_model("gpt2") == tmp_path / "runs" / "gpt2"
    refused(gpt_generate.main, generate_flags("--model", "gpt2/config.json"), "is a file", "folder")


def test_a_folder_with_its_own_pair_of_files_has_this_tokenizer(tmp_path):
    texts = ["the fox saw the moon, and the moon saw the fox"]
    tokenizer = BPETokenizer.train(texts, 300, ("</s>",))
    model = tiny_model(vocab_size=50_257)  # as many as GPT-2's
    model.save_pretrained(tmp_path, tokenizer)
    data = json.loads((tmp_path / "tokenizer.json").read_text())
    (tmp_path / "tokenizer.json").unlink()
    (tmp_path / "manifest.json").unlink(missing_ok=True)
    assert GPT.from_pretrained(tmp_path).tokenizer.n_vocab == 50_257  # says nothing of a tokenizer
    (tmp_path / "vocab.json").write_text(json.dumps(data["model"]["vocab"]))
    with pytest.raises(ValueError, match="half a tokenizer"):
        GPT.from_pretrained(tmp_path)
    merges = "\n".join(" ".join(pair) for pair in data["model"]["merges"])
    (tmp_path / "merges.txt").write_text(f"#version: 0.2\n{merges}\n")
    (tmp_path / "special_tokens_map.json").write_text('{"eos_token": "</s>"}')
    own = GPT.from_pretrained(tmp_path).tokenizer
    assert own.encode(texts[0]) == tokenizer.encode(texts[0])
    assert own.end_of_text == tokenizer.special_tokens["</s>"]
    corpus = TrainConfig(data="story", tokenizer=str(tmp_path))
    assert prepare(corpus, 16, 300).validation[0][0] == own.end_of_text


def test_a_tokenizer_without_an_end_of_text_is_one_sentence_when_data_are_made():
    tokenizer = BPETokenizer.train("the fox", 258, ("<|user|>",))
    with pytest.raises(ValueError, match="ends a text; name it"):
        prepare(TrainConfig(data="story"), 16, 258, tokenizer)


def test_gpt_generate_continues_a_built_in_prompt(script):
    result = script("gpt_generate.py", "--seed", 1)
    assert result.returncode == 0, result.stderr
    assert re.fullmatch(r"model  .*tales-gpt/ \(step 3500\)\n", result.stderr)
    assert "fox" in result.stdout and len(result.stdout.split()) > 60


SCRIPTS = [
    "gpt_train.py",
    "gpt_generate.py",
    "gpt_download.py",
    "../../ch04/01_main-chapter-code/gpt.py",
]


@pytest.mark.parametrize("name", SCRIPTS)
def test_help_comes_before_torch(script, tmp_path, name):
    result = run_without(tmp_path / "none", FOLDER / name, "--help")
    assert result.returncode == 0 and "usage" in result.stdout, result.stderr
