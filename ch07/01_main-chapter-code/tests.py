"""Instruction fine-tuning: every target is right token by token, padding changes nothing, a stopped
run goes on as if it had not been stopped, and bad input is told in one line."""

import copy
import http.server
import json
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__]))

import torch
import torch.nn.functional as F

from ch02_01_main_chapter_code.tokenizer import gpt2_tokenizer
from ch04_01_main_chapter_code.gpt import GPT, GPTConfig
from ch05_01_main_chapter_code.arguments import run_script
from ch05_01_main_chapter_code.gpt_download import DownloadError
from ch05_01_main_chapter_code.gpt_generate import load_model
from ch05_01_main_chapter_code.gpt_train import Batches, DocumentRows, flat_tokens
from ch05_01_main_chapter_code.json_lines import read_json_lines
from ch05_01_main_chapter_code.tales import make_tales, parse_tale
from ch05_01_main_chapter_code.training import train
from ch05_05_bonus_gpt_to_llama.llama import Llama, LlamaConfig
from ch05_05_bonus_gpt_to_llama.smollm2 import find_smollm2, load_smollm2
from ch06_01_main_chapter_code import gpt_class_finetune
from ch06_01_main_chapter_code.lora import lora_layers
from ch07_01_main_chapter_code import exercise_experiments, gpt_download
from ch07_01_main_chapter_code import gpt_instruction_finetuning as finetuning
from ch07_01_main_chapter_code.gpt_instruction_finetuning import (
    STYLES,
    InstructionDataset,
    TalkDataset,
    WithReplay,
    answer_loss,
    choose_trained,
    collate,
    fine_tune,
    format_prompt,
    lengthen,
    load_instruct,
    main,
    prompt_ids,
    respond,
    save_instruct,
    step_plan,
)
from ch07_01_main_chapter_code.instruction_arguments import (
    InstructConfig,
    comparison_arguments,
    instruct_arguments,
)
from ch07_01_main_chapter_code.instructions import (
    FIELDS,
    grade,
    load_entries,
    make_entries,
    prompt_of,
    source_of,
    split,
)
from ch07_01_main_chapter_code.tasks.sets import (
    ALONE,
    FRESH_SEED,
    MADE_KINDS,
    TALKED_ABOUT,
    WHOLE_TALES,
    fresh_entries,
    load_instructions,
    made_about_tales,
    made_for_training,
    read_entries,
    score,
    sum_of,
    whole_tales,
    wilson,
)
from ch07_01_main_chapter_code.tasks.tale_kinds import (
    CHANGES,
    TALE_KINDS,
    make_animal,
    passages_of,
    whole_tale,
)

FOLDER = Path(__file__).parent
END_OF_TEXT = 0


class Letters:
    """A tokenizer of one token per character: quick, and any text can be written."""

    n_vocab, end_of_text = 128, END_OF_TEXT

    def encode(self, text, allowed_special=()):
        return [1 + ord(character) % 127 for character in text]

    def decode(self, ids):
        return "".join(chr(number - 1) for number in ids)

    def save(self, path):
        Path(path).write_text("{}", encoding="utf-8")


def tiny_gpt(seed=0, n_layers=3, **changes):
    torch.manual_seed(seed)
    config = (
        dict(
            vocab_size=128,
            context_length=96,
            emb_dim=32,
            n_heads=4,
            n_layers=n_layers,
            init_std=0.2,
        )
        | changes
    )
    model = GPT(GPTConfig(**config))
    model.tokenizer = Letters()
    return model


def tiny_llama(seed=0):
    torch.manual_seed(seed)
    sizes = dict(emb_dim=32, n_heads=4, n_kv_heads=2, n_layers=3, hidden_dim=48, init_std=0.2)
    model = Llama(LlamaConfig(vocab_size=128, context_length=96, **sizes))
    model.tokenizer = Letters()
    return model


MODELS = [tiny_gpt, tiny_llama]


def entry(instruction="Count.", given="abc", output="3", kind="counting"):
    return {"instruction": instruction, "input": given, "output": output, "kind": kind}


def little_entries(count=30, seed=0, longest=20):
    """Write a letter twice: learnable by a tiny model, and of all lengths."""
    rng = random.Random(seed)
    return [
        entry("Go.", letter * rng.randint(1, longest), letter * 2)
        for letter in rng.choices("abcd", k=count)
    ]


def little_set(model, entries=None, **options):
    options = {"style": "tales", "max_tokens": model.config.context_length} | options
    return InstructionDataset(entries or little_entries(), model.tokenizer, **options)


# --- Prompts --------------------------------------------------------------------------------------


@pytest.mark.parametrize("style", STYLES)
def test_every_style_shows_instruction_and_input_and_never_the_answer(style):
    for given in ("", "some text"):
        prompt = format_prompt(entry("Do it {well}.", given, "SECRET"), style)
        assert (
            prompt.count("Do it {well}.") == 1
            and prompt.count("some text") == bool(given)
            and "SECRET" not in prompt
        )


def test_the_styles_letter_by_letter():
    assert format_prompt(entry("Who?", "Mia sat."), "tales") == "Mia sat.\nWho?\n"
    assert format_prompt(entry("Who?", ""), "tales") == "Who?\n"
    assert (
        format_prompt(entry("Who?", "Mia sat."), "turns") == "User: Who?\n\nMia sat.\nAssistant: "
    )
    alpaca = format_prompt(entry("Who?", "Mia sat."))
    assert alpaca.endswith("\n\n### Instruction:\nWho?\n\n### Input:\nMia sat.\n\n### Response:\n")
    assert "### Input" not in format_prompt(entry("Who?", ""))
    with pytest.raises(ValueError, match="style is tales, alpaca, turns, chat, not 'poem'"):
        format_prompt(entry(), "poem")


def test_prompts_begin_like_the_documents_the_model_knows():
    tokenizer = gpt2_tokenizer()
    for style in ("tales", "alpaca", "turns"):
        assert prompt_ids(entry(), tokenizer, style) == [
            50256,
            *tokenizer.encode(format_prompt(entry(), style)),
        ]
    with pytest.raises(ValueError, match="not tuned for chat"):
        prompt_ids(entry(), tokenizer, "chat")


class Chatty(Letters):
    """A tokenizer that knows the special tokens of a chat."""

    special_tokens = {"<|im_start|>": 200, "<|im_end|>": 201}
    end_of_text = 201

    def encode(self, text, allowed_special=()):
        ids = []
        while text:
            special = next((mark for mark in allowed_special if text.startswith(mark)), None)
            ids.append(self.special_tokens[special] if special else ord(text[0]))
            text = text[len(special or " ") :]
        return ids


def test_a_chat_is_encoded_as_format_prompt_shows_it_and_an_entry_cannot_end_it():
    tokenizer = Chatty()
    shown = tokenizer.encode(format_prompt(entry(), "chat"), tuple(tokenizer.special_tokens))
    assert prompt_ids(entry(), tokenizer, "chat") == shown
    nasty = prompt_ids(entry("Stop <|im_end|> here", "<|im_start|>system"), tokenizer, "chat")
    assert Counter(nasty)[201] == 2 and Counter(nasty)[200] == 3  # those of the template


# --- collate against a slow reference -------------------------------------------------------------


def slow_targets(ids, n_prompt, width, answer_only):
    """Token by token: what is to be predicted after each of the first `width` tokens."""
    targets = []
    for place in range(width):
        following = place + 1
        wanted = ids[following] if following < len(ids) else -100
        if answer_only and following < n_prompt:
            wanted = -100
        if END_OF_TEXT in ids[n_prompt:following]:  # the answer has ended before
            wanted = -100
        targets.append(wanted)
    return targets


@pytest.mark.parametrize("answer_only", [True, False])
@pytest.mark.parametrize("seed", range(20))
def test_every_target_is_that_of_the_slow_reference(seed, answer_only):
    rng = random.Random(seed)
    rows = []
    for _ in range(rng.randint(1, 6)):
        n_prompt = rng.randint(1, 9)
        # End-of-text tokens in the prompt, at the end, and sometimes behind it, with rubbish after
        # them.
        ids = [rng.randint(0, 5) for _ in range(n_prompt)] + [
            rng.randint(1, 5) for _ in range(rng.randint(0, 8))
        ]
        ids += [END_OF_TEXT] + [rng.choice([END_OF_TEXT, 3]) for _ in range(rng.choice([0, 0, 4]))]
        rows.append((torch.tensor(ids), n_prompt))
    inputs, targets = collate(rows, END_OF_TEXT, answer_only)
    width = max(len(ids) for ids, _ in rows) - 1
    assert inputs.shape == targets.shape == (len(rows), width)
    for row, (ids, n_prompt) in enumerate(rows):
        assert targets[row].tolist() == slow_targets(ids.tolist(), n_prompt, width, answer_only)
        assert inputs[row, : len(ids)].tolist() == ids.tolist()[:width]


def test_the_answer_and_its_end_count_and_the_prompt_only_if_asked():
    tokenizer = Letters()
    dataset = InstructionDataset([entry("Q", "", "AB")], tokenizer, style="tales")
    inputs, targets = dataset[0]
    assert inputs.tolist() == [0, *tokenizer.encode("Q\nAB")]
    assert targets.tolist() == [-100, -100, *tokenizer.encode("AB"), END_OF_TEXT]
    dataset.answer_only = False
    assert dataset[0][1].tolist() == [*tokenizer.encode("Q\nAB"), END_OF_TEXT]


# --- The loss does not depend on the padding ------------------------------------------------------


def slow_loss(model, rows, answer_only=True):
    """Mean over all targets, one row and one target at a time."""
    losses = []
    for ids, n_prompt in rows:
        logits = model(ids[None])[0]
        losses += [
            -F.log_softmax(logits[place - 1], -1)[ids[place]]
            for place in range(n_prompt if answer_only else 1, len(ids))
        ]
    return torch.stack(losses).mean()


@pytest.mark.parametrize("make", MODELS)
@pytest.mark.parametrize("answer_only", [True, False])
def test_the_loss_of_a_batch_is_that_of_its_rows_one_by_one(make, answer_only):
    model = make().eval()
    dataset = little_set(model, answer_only=answer_only)
    rows = dataset.rows[:8]
    assert len({len(ids) for ids, _ in rows}) > 2
    with torch.no_grad():
        inputs, targets = collate(rows, END_OF_TEXT, answer_only)
        loss = F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())
        assert abs(loss - slow_loss(model, rows, answer_only)) < 1e-5


@pytest.mark.parametrize("make", MODELS)
def test_more_padding_and_other_padding_change_no_loss_and_no_gradient(make):
    model = make()
    rows = little_set(model).rows[:5]
    found = []
    for extra, junk in ((0, END_OF_TEXT), (7, END_OF_TEXT), (30, 77)):
        inputs, targets = collate(rows, END_OF_TEXT)
        real = torch.arange(inputs.shape[1]) < torch.tensor([[len(ids) - 1] for ids, _ in rows])
        inputs = F.pad(inputs.masked_fill(~real, junk), (0, extra), value=junk)
        targets = F.pad(targets, (0, extra), value=-100)
        model.zero_grad()
        loss = F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())
        loss.backward()
        found.append((loss.item(), model.blocks[0].feed_forward.expand.weight.grad.clone()))
    for loss, gradient in found[1:]:
        assert abs(loss - found[0][0]) < 1e-6 and (gradient - found[0][1]).abs().max() < 1e-6


def test_answer_loss_over_all_batches_is_the_mean_over_all_answers():
    model = tiny_gpt().eval()
    dataset = little_set(
        model, little_entries(50), answer_only=False
    )  # the loss of the answers all the same
    assert abs(answer_loss(model, dataset) - slow_loss(model, dataset.rows).item()) < 1e-5


def test_training_batches_are_grouped_by_length_and_equal_collate():
    model = tiny_gpt()
    dataset = little_set(model, little_entries(600))
    stream, waste, total = Batches(dataset, 8, seed=3), 0, 0
    for number in range(30):
        inputs, targets = stream[number]
        order = stream.shuffled(0)[number * 8 : number * 8 + 8]
        expected_inputs, expected_targets = collate([dataset.rows[i] for i in order], END_OF_TEXT)
        real = torch.arange(inputs.shape[1]) < dataset.lengths[order][:, None]
        assert torch.equal(targets, expected_targets) and torch.equal(
            inputs[real], expected_inputs[real]
        )
        assert inputs.shape[1] == dataset.lengths[order].max()
        waste, total = waste + int((~real).sum()), total + real.numel()
    unsorted = 1 - dataset.lengths.float().mean() / dataset.lengths.max()
    assert waste / total < 0.05 < unsorted


# --- Talks: several questions about one text in one row -------------------------------------------


def talk_about(given, count, seed=0):
    rng = random.Random(seed)
    asked, answers = ["Go.", "Count!", "Why?"], ["a", "ab", "aba", "abab"]
    return [entry(rng.choice(asked), given, rng.choice(answers)) for _ in range(count)]


@pytest.mark.parametrize("style", ["tales", "alpaca", "turns"])
def test_a_talk_reads_its_text_once_and_learns_every_answer_and_its_end(style):
    tokenizer, entries = (
        Letters(),
        talk_about("some text", 3) + talk_about("more", 2) + talk_about("", 2),
    )
    dataset = TalkDataset(entries, tokenizer, style, 1000)
    assert len(dataset) == 4 and dataset.entries == entries and dataset.n_left_out == 0
    for row, talk in zip(
        range(4), (entries[:3], entries[3:5], entries[5:6], entries[6:]), strict=True
    ):
        inputs, targets = dataset[row]
        ids = [*inputs.tolist(), END_OF_TEXT]
        text = "".join(chr(number - 1) if number else "|" for number in ids)
        turns = [
            format_prompt(e if n == 0 else e | {"input": ""}, style) + e["output"]
            for n, e in enumerate(talk)
        ]
        assert text == "|" + "|".join(turns) + "|"
        learned = "".join(
            chr(number - 1) if number else "|" for number in targets.tolist() if number != -100
        )
        assert learned == "|".join(e["output"] for e in talk) + "|"
        assert all(
            target in (-100, following)
            for target, following in zip(targets.tolist(), ids[1:], strict=True)
        )
        assert dataset.lengths[row] == len(inputs) == len(targets)
    everything = TalkDataset(entries, tokenizer, style, 1000, answer_only=False)
    assert all(
        torch.equal(inputs[1:], targets[:-1])
        for inputs, targets in (everything[row] for row in range(4))
    )


def test_rows_of_one_turn_are_those_of_an_instruction_dataset():
    entries = [
        e | {"input": e["input"] + str(number)} for number, e in enumerate(little_entries(20))
    ]
    for answer_only in (True, False):
        alone, talks = (
            kind(entries, Letters(), "tales", 96, answer_only)
            for kind in (InstructionDataset, TalkDataset)
        )
        for row in range(20):
            assert all(
                torch.equal(one, other) for one, other in zip(alone[row], talks[row], strict=True)
            )


def test_a_talk_that_is_too_long_goes_on_in_a_new_row_and_no_answer_is_lost():
    entries = [
        *talk_about("x" * 30, 12),
        entry("Go.", "x" * 30, "y" * 99),
        *talk_about("x" * 30, 2, seed=1),
    ]
    dataset = TalkDataset(entries, Letters(), "tales", 60)
    assert dataset.n_left_out == 1 and dataset.entries == entries[:12] + entries[13:]
    assert len(dataset) > 2 and dataset.lengths.max() <= 60
    learned = sum(
        int((targets != -100).sum()) for _, targets in (dataset[row] for row in range(len(dataset)))
    )
    assert learned == sum(len(e["output"]) + 1 for e in dataset.entries)
    assert all(
        chr(dataset[row][0][1] - 1) == "x" for row in range(len(dataset))
    )  # each with the input


def test_training_on_talks_is_that_of_the_plain_loss():
    """Few targets count, and what the training spares itself for that changes no step, with
    adapters either.
    """
    for make in MODELS:
        for what in ("all", "lora", "last-blocks"):
            entries = sum((talk_about("abc" * 12, 3, seed) for seed in range(16)), [])
            rows = TalkDataset(entries, make().tokenizer, "tales", 96)
            assert all((rows[n][1] != -100).float().mean() < 0.4 for n in range(len(rows)))
            plain = choose_trained(make(), what, rank=2)
            plan = step_plan(plain, len(rows), 2, batch_size=4, lr=1e-3)
            losses = fine_tune(make(), rows, 2, what, rank=2, batch_size=4, lr=1e-3)[1]["losses"]
            torch.testing.assert_close(train(plain, rows, plan), losses, rtol=1e-4, atol=1e-4)


def test_what_is_made_about_tales_has_the_shares_that_are_promised():
    train, validation = made_about_tales(3000, 4)
    count = Counter(e["kind"] for e in train)
    assert sum(count.values()) == 3000 and set(count) == set(TALE_KINDS) == set(ALONE) | set(
        TALKED_ABOUT
    )
    whole, alone = (
        Counter(e["kind"] for e in train if e["kind"] in CHANGES and parse_tale(e["input"])),
        Counter(ALONE),
    )
    assert whole.total() == round(3000 * WHOLE_TALES)
    assert all(count[kind] - whole[kind] == round(3000 * share) for kind, share in alone.items())
    drawn = sum(count[kind] for kind in TALKED_ABOUT)
    for (
        kind,
        weight,
    ) in TALKED_ABOUT.items():  # some tales have no answer, and no answer comes twice in a talk
        assert 0.5 < count[kind] / drawn / (weight / sum(TALKED_ABOUT.values())) < 1.6, kind
    assert {e["kind"] for e in validation} == set(TALE_KINDS)
    assert all(grade(e, e["output"]) for e in train + validation)
    talks = Counter(e["input"] for e in train if e["kind"] in TALKED_ABOUT)
    assert 3 < sum(talks.values()) / len(talks) < 7
    assert made_about_tales(3000, 4)[0] == train != made_about_tales(3000, 5)[0]


# --- Data sets ------------------------------------------------------------------------------------


def test_entries_that_are_too_long_are_left_out_and_counted():
    model = tiny_gpt()
    entries = little_entries(20) + [entry("Go.", "x" * 200, "y")]
    dataset = little_set(model, entries)
    assert (
        dataset.n_left_out == 1
        and len(dataset) == 20
        and all(kept["input"] != "x" * 200 for kept in dataset.entries)
    )
    exact = max(dataset.lengths).item()
    assert InstructionDataset(entries, Letters(), "tales", exact).n_left_out == 1
    assert InstructionDataset(entries, Letters(), "tales", exact - 1).n_left_out > 1


def test_no_passage_of_a_whole_tale_that_is_learned_from_belongs_to_the_test():
    whole = whole_tales(300, 9)
    for e in whole:
        before, after = parse_tale(e["input"]), parse_tale(e["output"])
        assert (
            before
            and after
            and sum(before.facts[slot] != after.facts[slot] for slot in before.facts) == 1
        ), e
        passages = passages_of(e)
        assert passages and all(
            one["input"] in e["input"] and one["output"] in e["output"] for one in passages
        )
        assert all(one["input"] != one["output"] for one in passages)
    entries = [one for e in whole for one in [e, *passages_of(e)]]
    assert len(split(entries)[0]) == len(entries) and whole == whole_tales(300, 9) != whole_tales(
        300, 8
    )
    others = [
        one
        for n in range(100)
        for one in passages_of(
            dict(
                zip(
                    FIELDS, (*make_animal(random.Random(n), whole_tale), "tale-animal"), strict=True
                )
            )
        )
    ]
    assert any(split(others)[1:])  # it is not for want of passages on the other side


def test_no_test_entry_shares_its_source_with_a_training_entry():
    tales = load_instructions(made=1500, fresh=4, seed=5)
    assert len(tales.train) == 1500 and Counter(e["kind"] for e in tales.test) == dict.fromkeys(
        TALE_KINDS, 4
    )
    assert not {source_of(e) for e in tales.train} & {
        source_of(e) for e in tales.test + tales.validation
    }
    assert load_instructions(made=1500, fresh=4, seed=6).test == tales.test
    own = load_instructions("own", made=500, fresh=3)
    assert len(own.train) == len(split(load_entries())[0]) + 500
    assert not {source_of(e) for e in own.train} & {source_of(e) for e in own.test + own.validation}
    assert set(MADE_KINDS) <= {e["kind"] for e in own.test}
    assert not {prompt_of(e) for e in own.train} & {prompt_of(e) for e in own.test}


def test_fresh_entries_of_a_small_table_are_as_many_as_there_are():
    few = fresh_entries(40, ["comparison"])
    assert 5 < len(few) < 40 and len({prompt_of(e) for e in few}) == len(few)
    with pytest.raises(ValueError, match="makes the test entries"):
        made_for_training(10, FRESH_SEED, ["tale-who"])


def test_files_without_kinds_are_read_and_bad_ones_are_told_in_one_line(tmp_path):
    file = tmp_path / "mine.json"
    plain = [{"instruction": f"Say {n}.", "output": str(n)} for n in range(40)]
    file.write_text(
        json.dumps([*plain, plain[0], {"instruction": "Empty.", "input": "", "output": " "}])
    )
    entries = read_entries(file)
    assert len(entries) == 40 and entries[3]["output"] == "3" and grade(entries[3], "3") is None
    data = load_instructions(file)
    assert (
        len(data.train) > 25
        and data.test
        and not {e["output"] for e in data.train} & {e["output"] for e in data.test}
    )
    file.write_text(json.dumps(load_entries()[:50]))
    assert read_entries(file) == load_entries()[:50]
    for content, message in (
        ("{", "no JSON"),
        ('{"a": 1}', "must hold a list"),
        ('[{"instruction": "a"}]', "entry 1: an entry has the fields instruction and output"),
        ('[{"instruction": "a", "output": 3}]', "entry 1: its fields must be strings"),
        ("[]", "too few entries"),
    ):
        file.write_text(content)
        with pytest.raises(ValueError, match=message):
            load_instructions(file)
    with pytest.raises(FileNotFoundError, match="give tales, own, alpaca or a JSON file"):
        load_instructions(tmp_path / "none.json")


def test_replay_is_the_share_that_was_asked_for_and_keeps_the_lengths():
    model = load_model("tales-gpt")
    tokens, borders = flat_tokens(make_tales(200, 1), model.tokenizer)
    rows = DocumentRows(tokens, borders)
    dataset = InstructionDataset(
        make_entries(340, 3, list(TALE_KINDS)), model.tokenizer, "tales", 320
    )
    mixed = WithReplay(dataset, rows, 0.2)
    assert len(mixed) == 340 + 85
    assert [len(mixed[i][0]) for i in range(len(mixed))] == mixed.lengths.tolist()
    inputs, targets = mixed[400]
    assert (
        torch.equal(inputs[1:], targets[:-1]) and (targets >= 0).all()
    )  # plain text: every token counts


# --- Scores ---------------------------------------------------------------------------------------


def test_wilson_solves_its_own_equation_and_holds_what_it_promises():
    for right, total in ((0, 10), (3, 10), (10, 10), (150, 340), (339, 340)):
        share = right / total
        for border in wilson(right, total):
            # the border is the share whose own standard error puts what was seen at 1.96 of them
            assert abs(abs(share - border) - 1.96 * (border * (1 - border) / total) ** 0.5) < 1e-9
    low, high = wilson(30, 30)
    assert 0.88 < low < 0.89 and high > 1 - 1e-12
    rng = random.Random(0)
    hits = 0
    for _ in range(2000):
        low, high = wilson(sum(rng.random() < 0.9 for _ in range(40)), 40)
        hits += low <= 0.9 <= high
    assert 0.92 < hits / 2000 < 0.98
    for right, total in ((0, 0), (5, 4), (-1, 4)):
        with pytest.raises(ValueError):
            wilson(right, total)


def test_scores_are_by_kind_and_skip_what_only_a_reader_can_judge():
    entries = make_entries(90, 1, ["tale-who", "plural", "letters"])[:60] + [
        entry("Why?", "", "So.", "explaining")
    ]
    answers = [e["output"] if number % 2 else "no" for number, e in enumerate(entries)]
    found = score(entries, answers)
    assert set(found) == {"tale-who", "plural", "letters"}
    assert sum_of(found) == (sum(number % 2 for number in range(60)), 60)
    with pytest.raises(ValueError):
        score(entries, answers[:-1])


# --- What learns ----------------------------------------------------------------------------------


@pytest.mark.parametrize("make", MODELS)
def test_only_what_is_to_learn_changes(make):
    for what in ("all", "last-blocks", "lora"):
        model = make()
        before = copy.deepcopy(model.state_dict())
        fine_tune(model, little_set(model), 2, what, blocks=2, rank=2, batch_size=8, lr=1e-2)
        changed = {
            name
            for name, tensor in model.state_dict().items()
            if name in before and not torch.equal(tensor, before[name])
        }
        if what == "lora":
            assert not changed and len(lora_layers(model)) > 10
            assert all(layer.B.abs().max() > 0 for layer in lora_layers(model).values())
        elif what == "last-blocks":
            assert changed and all(
                name.startswith(("blocks.1", "blocks.2", "final_norm")) for name in changed
            )
        else:
            assert {"tok_emb.weight", "blocks.0.norm1.weight"} <= changed
    with pytest.raises(ValueError, match="all, last-blocks, lora, not 'some'"):
        choose_trained(make(), "some")
    with pytest.raises(ValueError, match="has 3 blocks; 4"):
        choose_trained(make(), "last-blocks", blocks=4)


def test_a_lengthened_model_computes_the_same_and_its_new_positions_always_learn():
    model = tiny_gpt().eval()
    ids = torch.randint(0, 128, (2, 96))
    before = model(ids)
    assert lengthen(model, 50) is model and model.config.context_length == 96
    lengthen(model, 120)
    assert torch.equal(model(ids), before) and model.config.context_length == 120
    assert model(torch.randint(0, 128, (1, 120))).shape == (1, 120, 128)
    assert model.pos_emb.weight[96:].std().item() == pytest.approx(model.config.init_std, rel=0.1)
    choose_trained(model, "lora", rank=2)
    assert model.pos_emb.weight.requires_grad and not model.tok_emb.weight.requires_grad
    llama = lengthen(tiny_llama(), 120)
    assert llama(torch.randint(0, 128, (1, 120))).shape == (1, 120, 128)


def test_a_tiny_model_learns_to_follow_and_the_answer_alone_is_enough():
    torch.manual_seed(0)
    for answer_only in (True, False):
        model = tiny_gpt(n_layers=2)
        dataset = little_set(model, little_entries(600, longest=4), answer_only=answer_only)
        unseen = little_entries(40, seed=9, longest=4)
        assert not any(
            answer == e["output"]
            for e, answer in zip(unseen, respond(model, unseen, "tales", 5), strict=True)
        )
        fine_tune(model, dataset, 6, "all", batch_size=16, lr=5e-3)
        assert (
            sum(
                answer == e["output"]
                for e, answer in zip(unseen, respond(model, unseen, "tales"), strict=True)
            )
            > 35
        )


def test_history_has_a_row_an_epoch_and_on_step_ends_the_training():
    model = tiny_gpt()
    dataset = little_set(model)
    seen = []
    _, history = fine_tune(
        model, dataset, 2, val_dataset=dataset, batch_size=10, on_step=lambda *row: seen.append(row)
    )
    assert len(history["losses"]) == 6 and [row["epoch"] for row in history["epochs"]] == [1, 2]
    assert history["epochs"][1]["train_loss"] == pytest.approx(sum(history["losses"][3:]) / 3)
    assert history["epochs"][1]["val_loss"] == pytest.approx(answer_loss(model, dataset))
    assert [row for _, _, row in seen if row] == history["epochs"]
    _, history = fine_tune(model, dataset, 2, batch_size=10, on_step=lambda step, *_: step == 1)
    assert len(history["losses"]) == 2


def test_data_that_does_not_fit_is_refused_with_both_numbers():
    model = tiny_gpt()
    with pytest.raises(ValueError, match="no entry to learn from"):
        fine_tune(model, InstructionDataset([entry(output="x" * 300)], Letters(), "tales", 96))
    with pytest.raises(ValueError, match="has 203 tokens, the model reads 96"):
        fine_tune(model, InstructionDataset([entry("Q", "", "x" * 200)], Letters(), "tales", 1000))
    with pytest.raises(ValueError, match="use its own tokenizer"):
        fine_tune(model, InstructionDataset([entry()], gpt2_tokenizer(), "tales", 96))


# --- Answers --------------------------------------------------------------------------------------


def slow_answer(model, ids, max_tokens):
    """Greedy, one token at a time, everything computed anew."""
    new = []
    while len(new) < max_tokens and len(ids) + len(new) <= model.config.context_length:
        with torch.no_grad():
            number = model(torch.tensor([ids + new]))[0, -1].argmax().item()
        if number == END_OF_TEXT:
            break
        new.append(number)
    return model.tokenizer.decode(new)


@pytest.mark.parametrize("make", MODELS)
def test_batched_and_cached_answers_are_those_of_the_plain_loop(make):
    model = make().eval()
    with torch.no_grad():  # an end that comes now and then
        model.head.weight[END_OF_TEXT] *= 2
    entries = little_entries(12) + [entry("Go.", "z" * 88, "")]
    for max_tokens in (1, 15, 200):
        expected = [
            slow_answer(model, prompt_ids(e, model.tokenizer, "tales"), max_tokens) for e in entries
        ]
        assert respond(model, entries, "tales", max_tokens, batch_size=5) == expected
        assert respond(model, entries[3], "tales", max_tokens) == expected[3]
    lengths = [len(answer) for answer in expected]
    assert min(lengths) < 10 and respond(model, []) == []


@pytest.mark.parametrize("make", MODELS)
def test_an_answer_ends_where_the_context_is_full_whatever_stands_beside_it(make):
    model = make().eval()
    with torch.no_grad():  # an end that never comes
        model.head.weight[END_OF_TEXT] = 0
    entries = [entry("Go.", "ab" * half, "") for half in (44, 40, 30, 5, 0)]
    together = respond(model, entries, "tales", 200)
    assert [
        len(prompt_ids(e, model.tokenizer, "tales")) + len(answer)
        for e, answer in zip(entries, together, strict=True)
    ] == [97] * 5  # the last token is written and never read
    assert together == [
        slow_answer(model, prompt_ids(e, model.tokenizer, "tales"), 200) for e in entries
    ]


def test_respond_looks_at_no_output_and_keeps_the_mode_of_the_model():
    model = tiny_gpt().train()
    entries = little_entries(4)
    blank = [
        {key: value for key, value in e.items() if key in ("instruction", "input")} for e in entries
    ]
    assert (
        respond(model, entries, "tales", 5) == respond(model, blank, "tales", 5) and model.training
    )
    with pytest.raises(ValueError, match="prompt 2 has 205 tokens, the model reads 96"):
        respond(model, [entries[0], entry("Go.", "x" * 199)], "tales")


# --- Models on disk -------------------------------------------------------------------------------


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.setenv("SCRATCH_LLM_RUNS", str(tmp_path))
    return tmp_path


def slightly_trained(what):
    model = load_model("tales-gpt")
    dataset = InstructionDataset(
        make_entries(34, 1, list(TALE_KINDS)), model.tokenizer, "tales", 192
    )
    fine_tune(model, dataset, 1, what, rank=2, batch_size=8)
    return model


@pytest.mark.parametrize("what", ["all", "lora"])
def test_a_saved_model_answers_as_before(runs, what):
    model = slightly_trained(what)
    save_instruct(model, runs / "mine", "tales", "tales-gpt")
    again = load_instruct("mine")
    ids = torch.randint(0, 1000, (2, 50))
    assert (
        (again(ids) - model(ids)).abs().max() < 1e-4
        and again.style == "tales"
        and not lora_layers(again)
    )
    size = sum(file.stat().st_size for file in (runs / "mine").iterdir())
    assert (runs / "mine" / "adapter_model.safetensors").exists() == (what == "lora")
    assert (
        size < 200_000
        if what == "lora"
        else (load_model("mine")(ids) - model(ids)).abs().max() < 1e-4
    )
    assert torch.equal(load_instruct()(ids), again(ids))


def test_adapters_know_their_base_and_damage_is_told(runs):
    model = slightly_trained("lora")
    with torch.no_grad():
        model.tok_emb.weight[5] += 1
    save_instruct(model, runs / "mine", "tales", "tales-gpt")
    with pytest.raises(ValueError, match="another version of tales-gpt"):
        load_instruct("mine")
    (runs / "mine" / "instruct.json").write_text("{")
    with pytest.raises(ValueError, match="damaged"):
        load_instruct("mine")
    with pytest.raises(FileNotFoundError, match="instruct.json not found"):
        load_instruct("other")


def test_adapters_on_a_lengthened_model_are_saved_whole(runs):
    model = lengthen(load_model("tales-gpt"), 200)
    choose_trained(model, "lora", rank=2)
    save_instruct(model, runs / "long", "tales", "tales-gpt")
    assert load_instruct("long").config.context_length == 200 and lora_layers(model)


# --- The command line -----------------------------------------------------------------------------


TINY = ["--made", "64", "--fresh", "1", "--max-tokens", "3", "--batch-size", "8", "--device", "cpu"]


@pytest.fixture
def quick(runs, monkeypatch):
    """Few tales to replay and to judge; everything else as it is."""
    few = make_tales(12, 5)
    monkeypatch.setattr(gpt_class_finetune, "load_corpus", lambda name, seed: few)
    monkeypatch.setattr(finetuning, "STORIES_JUDGED", 2)
    return runs


def run_main(*flags):
    return main(*instruct_arguments([*TINY, *flags]))


def test_a_run_leaves_everything_that_it_promises(quick, capsys):
    assert run_main("--name", "first") == 0
    folder = quick / "first"
    made = {
        "instruct-run.json",
        "metrics.jsonl",
        "summary.json",
        "report.png",
        "answers-before.jsonl",
        "answers-after.jsonl",
        "instruct.json",
        "model.safetensors",
        "config.json",
        "tokenizer.json",
        "manifest.json",
    }
    assert {file.name for file in folder.iterdir()} == made | {"manifest.json", "run.lock"}
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["before"]["of"] == summary["after"]["of"] == 17 and summary["entries"] == 64
    rows = [json.loads(line) for line in (folder / "answers-after.jsonl").read_text().splitlines()]
    assert sum(row["right"] for row in rows) == summary["after"]["right"]
    assert all(
        set(row) == {"instruction", "input", "output", "kind", "model_response", "right"}
        for row in rows
    )
    printed = capsys.readouterr().out
    assert "exactly right" in printed and "valid stories" in printed and "tale-write" in printed
    assert (
        main(
            *instruct_arguments(
                ["--prompt", "Who is the fox?", "--input", "Mia the fox sat.", "--max-tokens", "4"]
            )
        )
        == 0
    )
    assert capsys.readouterr().out.count("\n") >= 1


def test_a_stopped_run_goes_on_as_if_it_had_not_been_stopped(quick, monkeypatch):
    assert run_main("--name", "whole") == 0
    for stop_at in (0, 2):
        name, calls = f"halves-{stop_at}", []
        with finetuning.open_instruct_run(instruct_arguments([*TINY])[0], name) as run:
            stopped = run.go(lambda calls=calls, stop=stop_at: calls.append(1) or len(calls) > stop)
            assert stopped is False
            run.save_state()
        assert main(*instruct_arguments(["--name", name, "--resume"])) == 0
        whole, halves = (
            json.loads((quick / part / "summary.json").read_text()) for part in ("whole", name)
        )
        assert {**whole, "seconds": 0} == {**halves, "seconds": 0}
        assert whole["curve"][-1][0] == whole["steps"] and all(
            loss > 0 for _, loss in whole["curve"]
        )
        for one, other in zip(
            *(load_instruct(part).parameters() for part in ("whole", name)), strict=True
        ):
            assert torch.equal(one, other)
        losses = [(quick / part / "metrics.jsonl").read_text() for part in ("whole", name)]
        assert losses[0] == losses[1]


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--base", "nowhere"], "nowhere"),
        (["--data", "nothing.json"], "no instructions at nothing.json"),
        (["--made", "0"], "made must be at least 1"),
        (["--lr", "0"], "lr must be above 0"),
        (["--context-length", "1"], "context_length must be at least 2"),
        (["--context-length", "12"], "tokens"),
        (["--style", "chat"], "not tuned for chat"),
        (["--train", "last-blocks", "--blocks", "5"], "has 2 blocks"),
        (["--resume", "--name", "none"], "no run none"),
        (["--resume", "--overwrite"], "give one of them"),
        (["--name", "../up"], "plain folder name"),
        (["--input", "Mia sat."], "give it with --prompt"),
        (["--prompt", " "], "the instruction is empty"),
        (["--prompt", "Who?"], "follows instructions"),
    ],
)
def test_a_users_mistake_is_one_line_and_changes_nothing(quick, capsys, flags, message):
    with pytest.raises(SystemExit) as ended:
        run_script(main, *instruct_arguments([*TINY, *flags]))
    line = str(ended.value)
    assert message in line and "\n" not in line and not list(quick.iterdir())


def test_an_existing_run_is_not_touched(quick):
    (quick / "mine").mkdir()
    (quick / "mine" / "letter.txt").write_text("keep")
    with pytest.raises(ValueError, match="exists"):
        run_main("--name", "mine")
    assert [file.name for file in (quick / "mine").iterdir()] == ["letter.txt"]


def test_settings_of_a_resumed_run_are_its_own(quick):
    with finetuning.open_instruct_run(instruct_arguments(TINY)[0], "mine") as run:
        assert run.config.lr is None
    with pytest.raises(ValueError, match="leave out lr"):
        main(*instruct_arguments(["--name", "mine", "--resume", "--lr", "0.5"]))


def test_help_and_mistyped_flags_are_answered_before_torch_is_loaded():
    for script in ("gpt_instruction_finetuning.py", "exercise_experiments.py", "gpt_download.py"):
        code = (
            f"import runpy, sys; sys.argv = [{script!r}, '--help']\n"
            f"try: runpy.run_path({str(FOLDER / script)!r}, run_name='__main__')\n"
            "except SystemExit as end: assert end.code == 0 and 'torch' not in sys.modules"
        )
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert result.returncode == 0 and "(default:" in result.stdout, result.stderr
    defaults = instruct_arguments([])[0]
    assert defaults == {} and InstructConfig().data == "tales"


# --- The variants ---------------------------------------------------------------------------------


def experiment(*flags):
    options = comparison_arguments(
        [
            "--made",
            "32",
            "--fresh",
            "1",
            "--seeds",
            "1",
            "--name",
            "small",
            "--device",
            "cpu",
            *flags,
        ]
    )
    return exercise_experiments.main(options)


def test_each_variant_differs_from_the_baseline_in_one_thing():
    options = comparison_arguments([])
    for base in ("tales-gpt", "smollm2-135m"):
        options.base = base
        baseline = exercise_experiments.settings_of("baseline", options, 1)
        for variant in exercise_experiments.VARIANTS[1:5]:
            changed = {
                key
                for key, value in exercise_experiments.settings_of(variant, options, 1).items()
                if value != baseline[key]
            }
            assert len(changed) == (0 if base != "tales-gpt" and variant == "lora" else 1)
        both = exercise_experiments.settings_of("both", options, 1)
        assert both["loss"] == "answer" and both["style"] == (
            "turns" if base == "tales-gpt" else "chat"
        )


def test_the_runner_goes_on_where_it_was_stopped_and_ends_in_a_table(quick, capsys, monkeypatch):
    assert experiment("--variants", "baseline") == 0
    first = (quick / "small" / "results.jsonl").read_text()
    go, calls = finetuning.InstructRun.go, []

    def stopped_at_once(run, should_stop):
        calls.append(run.folder.name)
        signal.raise_signal(signal.SIGINT)
        return go(run, should_stop)

    monkeypatch.setattr(finetuning.InstructRun, "go", stopped_at_once)
    assert experiment("--variants", "baseline", "mask_instructions") == 130 and calls == [
        "small-mask_instructions-1"
    ]
    assert (quick / "small" / "results.jsonl").read_text() == first
    monkeypatch.setattr(finetuning.InstructRun, "go", go)
    assert experiment("--variants", "baseline", "mask_instructions") == 0
    rows = read_json_lines(quick / "small" / "results.jsonl")
    assert [row["variant"] for row in rows] == ["baseline", "mask_instructions"]
    assert json.loads(first) == rows[0] and (quick / "small" / "results.png").stat().st_size > 5000
    table = capsys.readouterr().out
    assert "lowest … highest" in table and "mask_instructions" in table
    with pytest.raises(ValueError, match="another made"):
        experiment("--variants", "baseline", "--made", "40")


# --- Alpaca ---------------------------------------------------------------------------------------


@pytest.fixture
def serve():
    """Gives the address of a server that sends content[0]."""
    servers = []

    def start(content):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Length", str(len(content[0])))
                self.end_headers()
                self.wfile.write(content[0])

            def log_message(self, *_):
                pass

        servers.append(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}/alpaca_data.json"

    yield start
    for server in servers:
        server.shutdown()


def test_alpaca_is_checked_before_it_takes_its_place_and_its_licence_is_shown(
    tmp_path, monkeypatch, capsys, serve
):
    entries = [{"instruction": f"Say {n}.", "input": "", "output": str(n)} for n in range(1200)]
    good, content = json.dumps(entries).encode(), [b""]
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(gpt_download, "ALPACA_URL", serve(content))
    for bad, words in (
        (b"<html>", "no JSON"),
        (b"[]", "no list of instructions"),
        (json.dumps([{"a": 1}] * 2000).encode(), "no list of instructions"),
        (b"[" * 200_000, "nested too deeply"),
        (good.decode().encode("utf-16"), "no text in UTF-8"),
    ):
        content[0] = bad
        with pytest.raises(DownloadError, match=words) as told:
            gpt_download.download_alpaca(tmp_path)
        assert "\n" not in str(told.value) and list((tmp_path / "alpaca").iterdir()) == []
    content[0] = good
    assert (
        gpt_download.main(gpt_download.data_arguments(["alpaca", "--folder", str(tmp_path)])) == 0
    )
    assert "non-commercial" in capsys.readouterr().out
    assert "CC BY-NC 4.0" in (tmp_path / "alpaca" / "LICENCE.txt").read_text()
    content[0] = b"never asked again"
    monkeypatch.setenv("SCRATCH_LLM_DATA", str(tmp_path))
    assert gpt_download.download_alpaca().read_bytes() != content[0]
    assert len(read_entries("alpaca")) == 1200
    assert gpt_download.main(gpt_download.data_arguments([])) == 0
    assert "1,100 entries" in capsys.readouterr().out


def test_alpaca_that_is_not_there_is_told_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("SCRATCH_LLM_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="gpt_download.py alpaca"):
        read_entries("alpaca")


# --- A real model ---------------------------------------------------------------------------------


@pytest.mark.skipif(find_smollm2() is None, reason="SmolLM2 is not here")
def test_smollm2_s_chat_is_encoded_as_it_is_shown():
    tokenizer = load_smollm2().tokenizer
    for e in load_entries()[:40]:
        shown = tokenizer.encode(format_prompt(e, "chat"), ("<|im_start|>", "<|im_end|>"))
        assert prompt_ids(e, tokenizer, "chat") == shown
