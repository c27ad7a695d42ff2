"""Classifiers: the verdict is the last real token's, frozen layers are computed once, LoRA is what
it says, bad data is told in one line."""

import csv
import http.server
import io
import json
import os
import random
import signal
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import pytest

if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__]))

import torch
import torch.nn.functional as F

from ch04_01_main_chapter_code.gpt import GPT, GPTConfig, language_model_loss
from ch05_01_main_chapter_code.arguments import run_script
from ch05_01_main_chapter_code.gpt_download import DownloadError, data_folder
from ch05_01_main_chapter_code.gpt_generate import TALES_GPT, load_model
from ch05_01_main_chapter_code.tales import make_tale, parse_tale
from ch05_05_bonus_gpt_to_llama.llama import Llama, LlamaConfig
from ch06_01_main_chapter_code import frozen_layers, gpt_class_finetune, gpt_download
from ch06_01_main_chapter_code.broken_tales import DETAILS, TALE_CLASSES, break_tale, make_tale_task
from ch06_01_main_chapter_code.class_arguments import class_arguments
from ch06_01_main_chapter_code.frozen_layers import (
    FrozenRows,
    batches_by_length,
    class_logits,
    pad_rows,
)
from ch06_01_main_chapter_code.gpt_class_finetune import (
    SpamDataset,
    as_language_model,
    classify,
    evaluate,
    fine_tune,
    load_classifier,
    predict,
    save_classifier,
    to_classifier,
)
from ch06_01_main_chapter_code.labelled_texts import (
    SMALL_SET,
    LabelledTexts,
    balanced_subset,
    class_weights,
    load_labelled,
    read_class_folders,
    read_sms,
    read_table,
    stratified_split,
)
from ch06_01_main_chapter_code.lora import (
    LoRALinear,
    apply_lora,
    load_adapters,
    lora_layers,
    merge_lora,
    save_adapters,
    trained_share,
)
from ch06_01_main_chapter_code.reports import Report, plot_report
from scratch_llm_tools.processes import run_without

FOLDER = Path(__file__).parent
DEVICES = [
    "cpu",
    pytest.param(
        "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU")
    ),
]
CLASSES = ("ham", "spam")


class Letters:
    """A tokenizer of one token per character: quick, and any text can be written."""

    n_vocab, end_of_text = 128, 0

    def encode(self, text, allowed_special=()):
        return [1 + ord(character) % 127 for character in text]


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


def messages(count=40, seed=0, classes=CLASSES):
    """Random words; the texts of one class are full of its own letter."""
    rng = random.Random(seed)
    labels = [number % len(classes) for number in range(count)]
    texts = [
        "".join(rng.choices("abcdefgh " + "XYZ"[label] * 6, k=rng.randint(1, 60)))
        for label in labels
    ]
    return LabelledTexts([text if text.strip() else "a" for text in texts], labels, tuple(classes))


def dataset_of(data, model):
    return SpamDataset(data, model.tokenizer, model.config.context_length)


# --- The verdict does not depend on padding -------------------------------------------------------


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("make", MODELS)
def test_the_verdict_is_the_same_however_a_message_is_padded(make, device):
    model = to_classifier(make(), CLASSES).eval().to(device)
    for text in ("a", "win", "a message of middle length", "x" * 60):
        ids = model.tokenizer.encode(text)
        alone = class_logits(model, torch.tensor([ids], device=device))
        for padding in (1, 2, 7, 96 - len(ids)):
            for junk in (0, 50, 127):
                for real, row in (
                    ([True] * len(ids) + [False] * padding, ids + [junk] * padding),
                    ([False] * padding + [True] * len(ids), [junk] * padding + ids),
                ):
                    rows = torch.tensor([row, row], device=device)
                    logits = class_logits(model, rows, torch.tensor([real, real], device=device))
                    assert (logits - alone).abs().max() < 1e-5


@pytest.mark.parametrize("make", MODELS)
def test_a_padded_batch_of_all_lengths_equals_messages_one_by_one(make):
    model = make()
    dataset = dataset_of(messages(60), model)
    to_classifier(model, CLASSES).eval()
    together = predict(FrozenRows(model, dataset, cache=False))
    for i, (ids, _) in enumerate(dataset):
        assert (class_logits(model, ids[None])[0] - together[i]).abs().max() < 1e-5


@pytest.mark.parametrize("make", MODELS)
def test_the_short_way_through_the_last_block_equals_the_whole_model(make):
    model = to_classifier(make(), CLASSES).eval()
    idx, mask = pad_rows([torch.randint(128, (length,)) for length in (5, 30, 1, 17)])
    whole = model(idx)  # (batch, tokens, classes): every token's verdict
    last = mask.sum(dim=1) - 1
    assert (class_logits(model, idx, mask) - whole[torch.arange(4), last]).abs().max() < 1e-5
    for depth in range(len(model.blocks) + 2):
        hidden = frozen_layers.lower_hidden(model, idx, depth, mask)
        assert (
            frozen_layers.upper_logits(model, hidden, mask, depth) - class_logits(model, idx, mask)
        ).abs().max() < 1e-5


def test_the_classifier_is_hugging_faces_gpt2_for_sequence_classification(tmp_path):
    transformers = pytest.importorskip("transformers")
    model = tiny_gpt()
    model.tokenizer = None
    model.save_pretrained(tmp_path)
    to_classifier(model, CLASSES).eval()
    theirs = transformers.GPT2ForSequenceClassification.from_pretrained(
        tmp_path, num_labels=2, pad_token_id=0
    ).eval()
    theirs.score.weight.data.copy_(model.head.weight)
    idx, mask = pad_rows([torch.randint(1, 128, (length,)) for length in (5, 30, 1, 17)])
    assert (
        theirs(idx, attention_mask=mask).logits - class_logits(model, idx, mask)
    ).abs().max() < 1e-5


def test_batches_hold_each_message_once_and_little_padding():
    lengths = torch.randint(1, 200, (1000,), generator=torch.Generator().manual_seed(0))
    batches = list(batches_by_length(lengths, 2000))
    assert sorted(i for batch in batches for i in batch) == list(range(1000))
    padded = sum(len(batch) * int(lengths[batch].max()) for batch in batches)
    assert all(len(batch) * int(lengths[batch].max()) <= 2000 for batch in batches)
    assert padded < 1.05 * int(lengths.sum())


def test_a_message_begins_with_the_end_of_text_and_long_ones_are_cut():
    data = LabelledTexts(["abc", "d" * 10_000], [0, 1], CLASSES)
    dataset = SpamDataset(data, Letters(), 50)
    assert dataset[0][0].tolist() == [0, *Letters().encode("abc")] and dataset[1][1] == 1
    assert dataset.lengths.tolist() == [4, 50] and dataset.n_cut == 1


# --- Training -------------------------------------------------------------------------------------


def plain_fine_tune(model, dataset, epochs, lr, batch_size, seed):
    """The loop of the notebook: every batch through the whole model, every verdict looked up at the
    last real token.
    """
    order = gpt_class_finetune.Batches(dataset, batch_size, seed)
    steps = epochs * -(-len(dataset) // batch_size)
    warmup = steps // 10
    matrices = [parameter for parameter in model.parameters() if parameter.dim() >= 2]
    vectors = [parameter for parameter in model.parameters() if parameter.dim() < 2]
    groups = [{"params": matrices, "weight_decay": 0.01}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.999))
    losses = []
    for epoch in range(epochs):
        places = order.shuffled(epoch)
        for start in range(0, len(places), batch_size):
            step = len(losses)
            rate = lr * (
                (step + 1) / warmup if step < warmup else 1 - (step - warmup) / (steps - warmup)
            )
            for group in optimizer.param_groups:
                group["lr"] = rate
            picked = places[start : start + batch_size]
            logits = torch.stack([model(dataset[i][0][None])[0, -1] for i in picked])
            loss = F.cross_entropy(logits, dataset.labels[picked])
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            losses.append(loss.item())
    return losses


@pytest.mark.parametrize("how", ["head", "last-block", "all"])
@pytest.mark.parametrize("make", MODELS)
def test_fine_tune_equals_the_plain_loop(make, how):
    dataset = dataset_of(messages(), make())
    model, history = fine_tune(make(), dataset, 3, train=how, lr=1e-3, batch_size=8, seed=5)
    plain = to_classifier(make(), CLASSES, how, seed=5)
    losses = plain_fine_tune(plain, dataset, 3, 1e-3, 8, seed=5)
    assert history["losses"] == pytest.approx(losses, abs=1e-4)
    for ours, theirs in zip(model.parameters(), plain.parameters(), strict=True):
        assert (
            ours - theirs
        ).abs().max() < 2e-3  # Adam's first steps make a sign of the smallest rounding
    assert len(history["epochs"]) == 3


@pytest.mark.parametrize("how", ["head", "last-block"])
@pytest.mark.parametrize("make", [*MODELS, lambda: tiny_gpt(drop_rate=0.2)])
def test_what_is_computed_once_trains_like_what_is_computed_each_time(make, how):
    dataset, held_out = dataset_of(messages(), make()), dataset_of(messages(20, seed=9), make())
    results = []
    for cache in (True, False):
        torch.manual_seed(3)  # of the dropout in the layers that learn
        results.append(
            fine_tune(make(), dataset, 3, train=how, val_dataset=held_out, cache=cache, lr=1e-3)
        )
    (cached, history), (plain, other) = results
    assert history["losses"] == pytest.approx(other["losses"], abs=1e-5)
    assert [row["val_loss"] for row in history["epochs"]] == pytest.approx(
        [row["val_loss"] for row in other["epochs"]], abs=1e-5
    )
    assert (
        predict(FrozenRows(cached, held_out)) - predict(FrozenRows(plain, held_out, cache=False))
    ).abs().max() < 1e-4


@pytest.mark.parametrize(("how", "passes"), [("head", 1), ("last-block", 1), ("all", 6)])
def test_frozen_layers_see_each_message_once(how, passes, monkeypatch):
    model = tiny_gpt()
    dataset, seen = dataset_of(messages(), model), []
    model.blocks[0].register_forward_hook(
        lambda module, inputs, output: seen.append(len(inputs[0]))
    )
    fine_tune(model, dataset, 6, train=how)
    assert sum(seen) == passes * len(dataset)


def test_the_cache_takes_half_precision_or_nothing_where_memory_is_short():
    model = to_classifier(tiny_gpt(), CLASSES)
    dataset = dataset_of(messages(), model)
    numbers = int(dataset.lengths.sum()) * 32
    exact = predict(FrozenRows(model, dataset, cache_bytes=4 * numbers))
    for room, dtype in (
        (4 * numbers, torch.float32),
        (2 * numbers, torch.float16),
        (2 * numbers - 1, None),
    ):
        rows = FrozenRows(model, dataset, cache_bytes=room)
        assert (rows.rows[0].dtype if rows.rows else None) == dtype
        assert (predict(rows) - exact).abs().max() < (1e-5 if dtype != torch.float16 else 2e-2)


def test_the_cache_on_disk_is_used_again_and_only_where_it_fits(tmp_path, monkeypatch):
    computed = []
    real = FrozenRows.compute
    monkeypatch.setattr(
        FrozenRows, "compute", lambda self, dtype: computed.append(1) or real(self, dtype)
    )

    def rows(seed=0, data_seed=0, how="last-block"):
        model = to_classifier(tiny_gpt(seed), CLASSES, how)
        return FrozenRows(model, dataset_of(messages(seed=data_seed), model), folder=tmp_path)

    first = predict(rows())
    assert torch.equal(predict(rows()), first) and len(computed) == 1
    for changed in (dict(seed=1), dict(data_seed=1), dict(how="head")):
        rows(**changed)
    assert len(computed) == 4 and len(list(tmp_path.iterdir())) == 4


def test_gradient_accumulation_equals_the_big_batch():
    dataset = dataset_of(messages(50), tiny_gpt())  # 50 do not divide by 16
    big, small = (
        fine_tune(
            tiny_gpt(),
            dataset,
            2,
            train="all",
            weights="balanced",
            batch_size=size,
            grad_accum=16 // size,
        )
        for size in (16, 4)
    )
    assert big[1]["losses"] == pytest.approx(small[1]["losses"], abs=1e-4)


def test_class_weights_make_a_rare_class_count_as_much_as_a_common_one():
    labels = [0] * 30 + [1] * 10
    assert class_weights(labels, 2) == pytest.approx([40 / 60, 40 / 20])
    data = messages(40)
    rare = data.subset([i for i in range(40) if data.labels[i] == 0 or i < 8])
    model = tiny_gpt()
    rows = FrozenRows(to_classifier(model, CLASSES, "head"), dataset_of(rare, model))
    each = F.cross_entropy(predict(rows), rows.labels, reduction="none")
    whole = dict(batch_size=8, grad_accum=len(rows) // 8 + 1, dtype="fp32")
    losses = fine_tune(model, rows, 1, weights="balanced", **whole)[1]["losses"]
    assert losses[0] == pytest.approx(
        sum(each[rows.labels == label].mean().item() for label in (0, 1)) / 2, abs=1e-5
    )


@pytest.mark.parametrize("how", ["head", "last-block", "all", "lora"])
def test_only_what_should_learn_changes(how):
    base = tiny_gpt()
    model, _ = fine_tune(tiny_gpt(), dataset_of(messages(), base), 2, train=how)
    changed = {
        name
        for name, tensor in base.named_parameters()
        if not torch.equal(
            tensor,
            dict((key.replace(".linear.", "."), value) for key, value in model.named_parameters())[
                name
            ],
        )
    }
    changed = (
        {name for name in changed if not name.startswith("head")} - {"tok_emb.weight"}
        if how != "all"
        else changed
    )
    expected = {
        "head": lambda name: False,
        "lora": lambda name: False,
        "all": lambda name: True,
        "last-block": lambda name: name.startswith(("blocks.2.", "final_norm.")),
    }[how]
    assert changed == {
        name for name, _ in base.named_parameters() if expected(name) and name != "pos_emb.weight"
    } | ({"pos_emb.weight"} if how == "all" else set())
    assert model.head.weight.shape == (2, 32)


def test_the_call_of_the_quick_start():
    config = GPTConfig.preset("tales", vocab_size=128, context_length=96, emb_dim=32)
    model = GPT(config)
    train_dataset = SpamDataset(messages(), Letters(), 96)
    result, history = fine_tune(model, train_dataset, num_epochs=3)
    assert result is model and len(history["epochs"]) == 3 and model.classes == CLASSES
    name, probability = classify(model, "XXXX YYYY")
    assert name in CLASSES and 0.5 <= probability <= 1


def test_it_learns_and_classifies():
    train, test = messages(200), messages(100, seed=7)
    model, history = fine_tune(tiny_gpt(), dataset_of(train, tiny_gpt()), 12, train="all", lr=3e-3)
    report = evaluate(model, dataset_of(test, model))
    assert report.accuracy > 0.85 and history["losses"][0] > history["losses"][-1]
    verdicts = classify(model, test.texts)
    assert [name for name, _ in verdicts] == [
        CLASSES[number] for number in report.predicted.tolist()
    ]
    assert [p for _, p in verdicts] == pytest.approx(
        report.probabilities.amax(-1).tolist(), abs=1e-5
    )
    assert classify(model, test.texts[0])[0] == verdicts[0][0]


def test_training_goes_on_where_it_was_stopped():
    dataset = dataset_of(messages(), tiny_gpt())
    whole, _ = fine_tune(tiny_gpt(), dataset, 4, train="all")
    model = to_classifier(tiny_gpt(), CLASSES, "all")
    plan = gpt_class_finetune.training_plan(model, len(dataset), 4)
    optimizer = gpt_class_finetune.make_optimizer(model, plan)
    _, history = fine_tune(
        model, dataset, 4, optimizer=optimizer, on_step=lambda step, loss, row: step == 4
    )
    assert len(history["losses"]) == 5
    fine_tune(model, dataset, 4, optimizer=optimizer, history=history)
    assert all(
        torch.equal(a, b) for a, b in zip(whole.parameters(), model.parameters(), strict=True)
    )


def test_what_does_not_fit_is_told():
    model = tiny_gpt()
    dataset = dataset_of(messages(), model)
    for call, words in (
        (lambda: classify(model, "hello"), "language model"),
        (lambda: fine_tune(tiny_gpt(context_length=16), dataset), "max_tokens=16"),
        (lambda: fine_tune(tiny_gpt(vocab_size=64), dataset), "tokenizer of 128"),
        (lambda: fine_tune(to_classifier(tiny_gpt(), ("a", "b")), dataset), "a, b"),
        (lambda: fine_tune(tiny_gpt(), dataset, train="some"), "last-block"),
        (lambda: fine_tune(tiny_gpt(), dataset, weights=[1.0]), "1 weights for 2"),
        (lambda: classify(to_classifier(tiny_gpt(), CLASSES), ["a", " "]), "empty"),
        (lambda: to_classifier(tiny_gpt(), ("one",)), "two classes"),
    ):
        with pytest.raises(ValueError, match=words):
            call()


# --- Forgetting -----------------------------------------------------------------------------------


def test_the_language_model_is_still_there():
    base, model = tiny_gpt().eval(), tiny_gpt()
    dataset, idx = dataset_of(messages(), base), torch.randint(128, (2, 20))
    fine_tune(model, dataset, 2, train="head")
    assert torch.equal(as_language_model(model).eval()(idx), base(idx))
    fine_tune(model, dataset, 2, train="last-block", lr=1e-2)
    assert (as_language_model(model)(idx) - base(idx)).abs().max() > 0.01
    with pytest.raises(ValueError, match="tied"):
        as_language_model(to_classifier(tiny_gpt(tie_weights=False), CLASSES))


def test_replay_keeps_the_language_models_loss_low():
    rows = [
        (row[:-1], row[1:]) for row in torch.arange(1, 41).repeat(64, 1)
    ]  # one text, known by heart
    idx = rows[0][0][None]

    def loss(model):
        return language_model_loss(as_language_model(model)(idx), rows[0][1][None]).item()

    base = tiny_gpt(init_std=0.05)
    optimizer = torch.optim.AdamW(base.parameters(), lr=3e-3)
    for _ in range(60):
        language_model_loss(base(idx), rows[0][1][None]).backward()
        optimizer.step()
        optimizer.zero_grad()
    before = loss(base)
    losses = []
    for replay in (None, rows):
        model = tiny_gpt()
        model.load_state_dict(base.state_dict())
        losses.append(
            loss(
                fine_tune(
                    model, dataset_of(messages(), model), 3, train="all", lr=3e-3, replay=replay
                )[0]
            )
        )
    assert losses[0] > before + 0.05 and losses[1] < (before + losses[0]) / 2


# --- LoRA -----------------------------------------------------------------------------------------


def shaken(model):
    """Give the adapters something to say: B is zero at first."""
    for layer in lora_layers(model).values():
        torch.nn.init.normal_(layer.B, std=0.1)
    return model


@pytest.mark.parametrize("make", MODELS)
def test_adapters_begin_as_nothing_and_end_as_nothing_but_weights(make):
    idx = torch.randint(128, (2, 20))
    base = make().eval()
    model = apply_lora(make().eval(), rank=4, alpha=8)
    assert len(lora_layers(model)) == sum(
        isinstance(m, torch.nn.Linear) for block in base.blocks for m in block.modules()
    )
    assert torch.equal(model(idx), base(idx))
    adapted = shaken(model)(idx)
    assert (adapted - base(idx)).abs().max() > 0.1
    merged = merge_lora(model)
    assert not lora_layers(merged) and (merged(idx) - adapted).abs().max() < 1e-4
    assert set(merged.state_dict()) == set(base.state_dict())


def test_a_lora_layer_is_its_formula():
    torch.manual_seed(0)
    linear = torch.nn.Linear(6, 5)
    layer = LoRALinear(linear, rank=2, alpha=3)
    torch.nn.init.normal_(layer.B)
    x = torch.randn(4, 6)
    expected = x @ (linear.weight + 1.5 * layer.B @ layer.A).T + linear.bias
    assert (layer(x) - expected).abs().max() < 1e-5
    assert torch.linalg.matrix_rank((layer.B @ layer.A).detach()) == 2
    assert (layer.merged()(x) - expected).abs().max() < 1e-5


def test_only_adapters_and_head_are_trained_and_their_share_is_small():
    model = load_model("tales-gpt")
    to_classifier(model, CLASSES, "lora", rank=4)
    trained, total = trained_share(model)
    names = [name for name, tensor in model.named_parameters() if tensor.requires_grad]
    assert all(name.endswith((".A", ".B")) or name == "head.weight" for name in names)
    per_layer = 4 * (
        (128 + 384) + (128 + 128) + (128 + 512) + (512 + 128)
    )  # rank · (in + out) of each matrix
    assert trained == 2 * per_layer + 2 * 128 and trained / total < 0.03
    with pytest.raises(ValueError, match="already"):
        apply_lora(model)
    for wrong, words in ((dict(rank=0), "rank"), (dict(targets=["nothing"]), "attention.qkv")):
        with pytest.raises(ValueError, match=words):
            apply_lora(tiny_gpt(), **wrong)
    some = apply_lora(tiny_gpt(), targets=["attention.qkv"])
    assert set(lora_layers(some)) == {f"blocks.{i}.attention.qkv" for i in range(3)}


@pytest.mark.parametrize("make", MODELS)
def test_adapter_files_hold_the_adapters_only_and_come_back(make, tmp_path):
    idx = torch.randint(128, (2, 20))
    model = shaken(to_classifier(make(), CLASSES, "lora", rank=2)).eval()
    save_adapters(model, tmp_path, "the-base")
    small = (tmp_path / "adapter_model.safetensors").stat().st_size
    assert (
        small
        < 4 * sum(tensor.numel() for tensor in model.parameters() if tensor.requires_grad) + 20_000
    )
    again = to_classifier(make(), CLASSES, "head", seed=99).eval()
    load_adapters(again, tmp_path)
    assert torch.equal(again(idx), model(idx))
    assert trained_share(again) == trained_share(model)
    other = tiny_gpt(n_layers=2) if make is tiny_gpt else tiny_gpt()
    with pytest.raises(ValueError, match="fits no layer|missing|no linear layer"):
        load_adapters(to_classifier(other, CLASSES), tmp_path)
    with pytest.raises(FileNotFoundError, match="no adapters"):
        load_adapters(make(), tmp_path / "nowhere")
    (tmp_path / "adapter_model.safetensors").write_bytes(b"nonsense")
    with pytest.raises(ValueError, match="damaged"):
        load_adapters(make(), tmp_path)


def test_peft_computes_the_same_and_the_files_go_both_ways(tmp_path):
    peft = pytest.importorskip("peft")
    idx = torch.randint(128, (2, 20))
    ours = shaken(to_classifier(tiny_gpt(), CLASSES, "lora", rank=4, alpha=8)).eval()
    save_adapters(ours, tmp_path / "ours")
    wrapped = peft.PeftModel.from_pretrained(
        to_classifier(tiny_gpt(), CLASSES, "head", seed=7), str(tmp_path / "ours")
    )
    assert (wrapped.eval().base_model.model(idx) - ours(idx)).abs().max() < 1e-5

    config = peft.LoraConfig(
        r=3,
        lora_alpha=5,
        target_modules=["qkv", "expand"],
        modules_to_save=["head"],
        lora_dropout=0.1,
    )
    theirs = peft.get_peft_model(to_classifier(tiny_gpt(), CLASSES, "head", seed=8), config).eval()
    for parameter in theirs.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.1)
    theirs.save_pretrained(tmp_path / "theirs")
    loaded = load_adapters(
        to_classifier(tiny_gpt(), CLASSES, "head", seed=9), tmp_path / "theirs"
    ).eval()
    assert set(lora_layers(loaded)) == {
        f"blocks.{i}.{name}" for i in range(3) for name in ("attention.qkv", "feed_forward.expand")
    }
    assert (loaded(idx) - theirs.base_model.model(idx)).abs().max() < 1e-5


# --- Classifiers on disk --------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["head", "last-block", "all", "lora"])
def test_a_saved_classifier_comes_back(how, tmp_path):
    model = load_model("tales-gpt")
    data = load_labelled("messages").subset(range(24))
    fine_tune(model, SpamDataset(data, model.tokenizer, 192), 1, train=how)
    texts = ["Claim your prize now", "see you at four"]
    for base in ("tales-gpt", None):
        folder = tmp_path / str(base)
        save_classifier(model, folder, base)
        again = load_classifier(folder)
        for (name, p), (other, q) in zip(
            classify(again, texts), classify(model, texts), strict=True
        ):
            assert name == other and p == pytest.approx(q, abs=1e-5), base
        assert again.classes == CLASSES
    sizes = [
        (tmp_path / base / "classifier.safetensors").stat().st_size
        for base in ("tales-gpt", "None")
    ]
    assert sizes[1] > 2_400_000 and (sizes[0] < sizes[1] / 2 or how == "all")


def test_damage_and_another_base_are_noticed(tmp_path):
    model = load_model("tales-gpt")
    to_classifier(model, CLASSES, "last-block")
    save_classifier(model, tmp_path / "good", "tales-gpt")
    with torch.no_grad():
        model.tok_emb.weight[0, 0] += 1
    save_classifier(model, tmp_path / "other", "tales-gpt")
    with pytest.raises(ValueError, match="another version of tales-gpt"):
        load_classifier(tmp_path / "other")
    file = tmp_path / "good" / "classifier.safetensors"
    whole = file.read_bytes()
    for damaged in (whole[:-100], whole[:-1] + bytes([whole[-1] ^ 1])):
        file.write_bytes(damaged)
        with pytest.raises(ValueError, match="damaged"):
            load_classifier(tmp_path / "good")
    with pytest.raises(FileNotFoundError, match="no classifier"):
        load_classifier(tmp_path)
    with pytest.raises(ValueError, match="leave base out"):
        save_classifier(model, tmp_path / "x", "my-run")
    with pytest.raises(ValueError, match="language model"):
        save_classifier(tiny_gpt(), tmp_path / "x")


@pytest.mark.parametrize("make", MODELS)
def test_a_classifier_on_a_base_of_ones_own_is_kept_whole(make, tmp_path):
    model, _ = fine_tune(make(), dataset_of(messages(), make()), 1)
    model.tokenizer = None  # Letters cannot be saved
    save_classifier(model, tmp_path)
    again = load_classifier(tmp_path)
    idx = torch.randint(128, (2, 20))
    assert (
        type(again) is type(model)
        and (class_logits(again, idx) - class_logits(model, idx)).abs().max() < 1e-6
    )


# --- Reports --------------------------------------------------------------------------------------


def random_report(n_classes, n=300, seed=0):
    torch.manual_seed(seed)
    labels = torch.randint(n_classes, (n,))
    logits = torch.randn(n, n_classes) + F.one_hot(labels, n_classes)
    return Report(
        (logits * 4).round() / 4, labels, tuple("abcdef"[:n_classes])
    )  # rounded: scores that are equal occur


@pytest.mark.parametrize("n_classes", [2, 4])
def test_numbers_and_curves_equal_scikit_learns(n_classes):
    metrics = pytest.importorskip("sklearn.metrics")
    report = random_report(n_classes)
    y, predicted = report.labels.numpy(), report.predicted.numpy()
    assert report.confusion.tolist() == metrics.confusion_matrix(y, predicted).tolist()
    assert report.accuracy == pytest.approx(metrics.accuracy_score(y, predicted))
    assert report.loss == pytest.approx(metrics.log_loss(y, report.probabilities.numpy()))
    scores = metrics.precision_recall_fscore_support(y, predicted)
    for number, name in enumerate(report.classes):
        ours = report.precision(name), report.recall(name), report.f1(name)
        assert ours == pytest.approx([each[number] for each in scores[:3]])
        is_it, score = y == number, report.probabilities[:, number].numpy()
        assert report.roc(name).area == pytest.approx(metrics.roc_auc_score(is_it, score))
        assert report.precision_recall(name).area == pytest.approx(
            metrics.average_precision_score(is_it, score)
        )
        x, hits, _ = metrics.roc_curve(is_it, score, drop_intermediate=False)
        assert report.roc(name).x.tolist() == pytest.approx(x) and report.roc(
            name
        ).y.tolist() == pytest.approx(hits)
    assert report.macro_f1 == pytest.approx(metrics.f1_score(y, predicted, average="macro"))
    assert json.loads(json.dumps(report.summary()))["classes"]["a"]["texts"] == (y == 0).sum()


def test_calibration_by_hand():
    """Four texts: 0.9 sure and right, 0.9 sure and wrong, 0.6 sure and right twice."""
    p = torch.tensor([[0.1, 0.9], [0.1, 0.9], [0.6, 0.4], [0.6, 0.4]])
    report = Report(p.log(), torch.tensor([1, 0, 0, 0]), CLASSES)
    assert [(round(sure, 3), right, texts) for sure, right, texts in report.calibration()] == [
        (0.6, 1.0, 2),
        (0.9, 0.5, 2),
    ]
    assert report.calibration_error() == pytest.approx(0.5 * 0.4 + 0.5 * 0.4)
    sure = Report(torch.tensor([[0.0, 90.0]] * 3), torch.tensor([1, 1, 1]), CLASSES)
    assert sure.calibration() == [(1.0, 1.0, 3)] and sure.calibration_error() == 0
    edge = Report(torch.tensor([[0.5, 0.5], [0.55, 0.45]]).log(), torch.tensor([0, 1]), CLASSES)
    assert [texts for _, _, texts in edge.calibration()] == [
        2
    ]  # 0.5 lies in the bin that begins there, with 0.55


def test_nobody_was_called_so():
    report = Report(torch.tensor([[5.0, 0.0], [5.0, 0.0]]), torch.tensor([0, 1]), CLASSES)
    assert report.precision() == report.recall() == report.f1() == 0 and report.accuracy == 0.5


# --- The data -------------------------------------------------------------------------------------


def test_the_sms_data_is_read_with_quoting_off(tmp_path):
    lines = [
        'ham\t"I said',
        "spam\tWIN 'now'",
        'ham\tno" you',
        "ham\tok \u2028 fine",
        'spam\t"quoted"',
    ]
    file = tmp_path / "SMSSpamCollection"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    data = read_sms(file)
    assert data.texts == [line.partition("\t")[2] for line in lines] and data.labels == [
        0,
        1,
        0,
        0,
        1,
    ]
    pandas = pytest.importorskip("pandas")
    swallowed = pandas.read_csv(file, sep="\t", header=None)
    assert len(swallowed) < len(lines)  # what goes wrong otherwise
    file.write_text("ham\tfine\nspam no tab\n")
    with pytest.raises(ValueError, match="line 2"):
        read_sms(file)


def test_the_real_sms_data_has_all_its_messages():
    path = data_folder() / gpt_download.SMS_FILE
    if not path.is_file():
        pytest.skip("the SMS Spam Collection is not here")
    assert load_labelled("sms").counts() == {"ham": 4827, "spam": 747}


def test_without_the_sms_data_the_small_set_is_used_and_one_line_says_so(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("SCRATCH_LLM_DATA", str(tmp_path))
    monkeypatch.setattr(gpt_download, "ZIP_URL", "http://127.0.0.1:9/nothing.zip")
    data = load_labelled("sms")
    said = capsys.readouterr().err.strip().splitlines()
    assert data == read_table(SMALL_SET) and len(said) == 1 and "small set" in said[0]
    assert not list(tmp_path.rglob("*.zip"))


def test_the_small_set_is_in_order():
    data = load_labelled("messages")
    assert data.counts() == {"ham": 100, "spam": 60} and len(set(data.texts)) == 160


def write_csv(path, rows, delimiter=",", encoding="utf-8"):
    with open(path, "w", encoding=encoding, newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    return path


HARD = [
    'He said "no", twice',
    "a\ttab",
    "two\nlines, and\r\nmore",
    "emoji 🦊🌙 and ümläuts",
    "x" * 10_000,
    "line\u2028separator",
    "  padded  ",
    "text",
    "semi;colon",
]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_hard_texts_come_out_of_a_csv_file_as_they_went_in(delimiter, encoding, tmp_path):
    rows = [["id", "label", "text"]]
    for number, text in enumerate(HARD * 2):
        rows += [[number, ("good", "bad", "odd one")[number % 3], text]] + [[]] * (number % 3)
    rows.append(["id", "label", "text"])  # a text may be called so, too
    rows.append(["7", "label", "again"])
    data = read_table(write_csv(tmp_path / "mine.csv", rows, delimiter, encoding))
    assert data.texts == [*HARD * 2, "text", "again"]
    assert data.classes == ("bad", "good", "label", "odd one") and data.counts()["good"] == 6


def test_class_folders(tmp_path):
    for number, name in enumerate(["a", "a", "b", "b", "c", "c"]):
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / f"{number}.txt").write_text(f"text {number}", encoding="utf-8")
    data = load_labelled(str(tmp_path))
    assert (
        data.classes == ("a", "b", "c")
        and data.texts == [f"text {i}" for i in range(6)]
        and data.labels == [0, 0, 1, 1, 2, 2]
    )
    (tmp_path / "b" / "empty.txt").write_text("")
    with pytest.raises(ValueError, match="empty.txt"):
        read_class_folders(tmp_path)


def test_names_of_classes_are_drawn_as_text(tmp_path):
    names = ("$", "_hidden", "a $x_{$ b", "\x1b[31mred", "100 % {text}", "é")
    numbers = torch.arange(len(names)).repeat(2)
    report = Report(F.one_hot(numbers).float(), numbers, names)
    figure = plot_report(report, tmp_path / "report.png")  # drawing is where a formula would fail
    matrix, roc = figure.axes[:2]
    shown = [label.get_text() for label in matrix.get_xticklabels()]
    assert shown == [*names[:3], r"\x1b[31mred", *names[4:]]
    told = [text.get_text() for text in roc.get_legend().get_texts()]
    assert [text.split(": area")[0] for text in told] == shown
    assert (tmp_path / "report.png").stat().st_size > 10_000


def test_stray_files_are_no_class_and_no_text(tmp_path):
    for number, name in enumerate(["a", "a", "b", "b"]):
        (tmp_path / name / "deep").mkdir(parents=True, exist_ok=True)
        (tmp_path / name / "deep" / f"{number}.txt").write_text(f"\ufefftext {number}")
    for stray in (
        ".ipynb_checkpoints/1-checkpoint.txt",
        "__MACOSX/a/._0.txt",
        "a/._0.txt",
        "a/.ipynb_checkpoints/0-checkpoint.txt",
        "b/2-checkpoint.txt",
        ".DS_Store",
    ):
        (tmp_path / stray).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / stray).write_text("stray")
    (tmp_path / "README.txt").write_text("About these texts.")
    (tmp_path / "a" / "note.md").write_text("A note.")
    data = load_labelled(str(tmp_path))
    assert data.counts() == {"a": 2, "b": 2} and data.texts == [f"text {i}" for i in range(4)]
    for said in ("5 files", "6 skipped (.DS_Store", "1 .md left out", "1 in no class's folder"):
        assert said in data.summary


SPACED = 'label, text\nham, hello there\nham, "well, well"\nspam, buy\nspam, now\n'


@pytest.mark.parametrize(
    "content",
    [
        SPACED,
        SPACED.replace("label, text", " label , text "),
        SPACED.replace("\n", "\r"),
        "\ufeff" + SPACED.replace("\n", "\r\n"),
        SPACED.replace(", ", "; ").replace("well; well", "well, well"),
    ],
)
def test_spaces_behind_commas_and_old_line_ends(content, tmp_path):
    (tmp_path / "mine.csv").write_bytes(content.encode())
    data = read_table(tmp_path / "mine.csv")
    assert data.texts == ["hello there", "well, well", "buy", "now"]
    assert data.classes == ("ham", "spam")


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (SPACED.encode("utf-16"), "UTF-16;"),
        (SPACED.encode("utf-16-le"), "UTF-16LE without a mark"),
        (SPACED.replace("buy", "b\0uy").encode(), "1 NUL bytes, the first in line 4"),
        (SPACED.replace("buy", "bué").encode("cp1252"), "line 4 looks like an older encoding"),
    ],
)
def test_tables_in_other_encodings_are_named(raw, told, tmp_path):
    (tmp_path / "mine.csv").write_bytes(raw)
    with pytest.raises(ValueError, match=told):
        read_table(tmp_path / "mine.csv")


BAD_FILES = {
    "missing label": (
        "label,text\nham,hello\n\n,who knows\nspam,buy\n",
        ["line 4", "the label is missing"],
    ),
    "missing text": ("label,text\nham,hello\nspam,\n", ["line 3", "the text is missing"]),
    "one class": ("label,text\nham,hello\nham,you\n", ["2 texts", "'ham'", "two classes"]),
    "lonely class": ("label,text\nham,hello\nham,you\nspam,buy\n", ["'spam'", "one text only"]),
    "wrong column": (
        "class,text\nham,hello\nspam,buy\n",
        ["no column 'label'", "class, text", "--label-column"],
    ),
    "comma without quotes": (
        "label,text\nham,hello\nspam,buy, now\n",
        ["line 3", "3 fields", "quotes"],
    ),
    "open quote": ('label,text\nham,hello\nspam,"buy\nham,"yes"\n', ["line 3", "quotation mark"]),
    "empty": ("", ["no column", "nothing"]),
    "header only": ("label,text\n", ["no text"]),
}


@pytest.mark.parametrize("what", BAD_FILES)
def test_bad_files_are_told_with_the_line(what, tmp_path):
    content, words = BAD_FILES[what]
    (tmp_path / "bad.csv").write_text(content, encoding="utf-8")
    with pytest.raises(ValueError) as told:
        load_labelled(str(tmp_path / "bad.csv"))
    assert "\n" not in str(told.value) and all(
        word in str(told.value) for word in ["bad.csv", *words]
    ), told.value


def test_splits_keep_the_shares_and_follow_the_seed():
    labels = [0] * 483 + [1] * 75 + [2] * 2
    train, test = stratified_split(labels, 0.2, seed=3)
    assert sorted(train + test) == list(range(560))
    assert [sum(labels[i] == n for i in test) for n in range(3)] == [97, 15, 1]
    assert (
        (train, test)
        == stratified_split(labels, 0.2, seed=3)
        != stratified_split(labels, 0.2, seed=4)
    )
    few = balanced_subset(labels[:558], seed=1)
    assert [sum(labels[i] == n for i in few) for n in range(2)] == [75, 75] and len(set(few)) == 150


# --- Broken tales ---------------------------------------------------------------------------------


def test_labels_of_tales_are_exact():
    for settings in ({}, {"twins": True}, {"details": DETAILS}):
        texts, labels = make_tale_task(300, seed=3, **settings)
        assert [int(parse_tale(text) is None) for text in texts] == labels and sum(labels) == 150
        assert len(set(texts)) == 300 and make_tale_task(10, seed=3, **settings)[0] == texts[:10]


def test_a_broken_tale_differs_in_one_word_and_every_detail_breaks():
    rng, found = random.Random(0), set()
    for _ in range(300):
        tale = make_tale(rng)
        broken = break_tale(tale, rng)
        found.add(broken.detail)
        assert (
            tale.text[: broken.position]
            + broken.instead
            + tale.text[broken.position + len(broken.word) :]
            == broken.text
        )
        assert (
            broken.word == tale.facts[broken.detail] != broken.instead
            and parse_tale(broken.text) is None
        )
    assert found == set(DETAILS)
    texts, _ = make_tale_task(100, seed=5, twins=True)
    for true, broken in zip(texts[::2], texts[1::2], strict=True):
        differences = [
            pair for pair in zip(true.split(), broken.split(), strict=True) if pair[0] != pair[1]
        ]
        assert len(differences) == 1


def test_tales_to_learn_from_and_to_test_never_meet():
    data = load_labelled("tales", count=200)
    assert data.test_from == 200 and not set(data.texts[:200]) & set(data.texts[200:])
    assert data.classes == TALE_CLASSES and data.counts() == {"true": 600, "broken": 600}


# --- Downloading ----------------------------------------------------------------------------------


@pytest.fixture
def server(monkeypatch):
    """Serves `server.content` as the zip; `server.asked` counts requests."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            server.asked += 1
            self.send_response(200)
            self.send_header("Content-Length", str(len(server.content)))
            self.end_headers()
            self.wfile.write(server.content)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked = 0
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(gpt_download, "ZIP_URL", f"http://127.0.0.1:{server.server_port}/sms.zip")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield server
    server.shutdown()


def zipped(**members):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as pack:
        for name, content in members.items():
            pack.writestr(name, content)
    return packed.getvalue()


def with_method(packed, method=None, flags=None):
    """A zip whose entries say that they are packed by another method, or encrypted."""
    data = bytearray(packed)
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = data.find(mark) + at
        if flags is not None:
            data[place : place + 2] = flags.to_bytes(2, "little")
        if method is not None:
            data[place + 2 : place + 4] = method.to_bytes(2, "little")
    return bytes(data)


@pytest.mark.parametrize("spoiled", [{"flags": 1}, {"method": 99}, {"method": 14}, {"method": 8}])
def test_a_zip_that_cannot_be_read_does_not_stay(server, tmp_path, spoiled):
    packed = zipped(SMSSpamCollection=b"ham\thello\n" * 100)
    server.content = with_method(packed, **spoiled)
    with pytest.raises(DownloadError, match="SMSSpamCollection") as told:
        gpt_download.download_sms(tmp_path)
    assert "\n" not in str(told.value)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_the_member_is_taken_by_its_name_and_nothing_else_is_written(server, tmp_path, monkeypatch):
    content = b"ham\thello\nspam\tbuy\n"
    monkeypatch.setattr(gpt_download, "SMS_SIZE", len(content))
    monkeypatch.setattr(
        gpt_download, "SMS_SHA256", gpt_download.hashlib.sha256(content).hexdigest()
    )
    server.content = zipped(
        **{
            "SMSSpamCollection": content,
            "readme": b"about",
            "../../evil": b"evil",
            "/tmp/evil": b"evil",
        }
    )
    path = gpt_download.download_sms(tmp_path / "data")
    assert path.read_bytes() == content
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == [path]
    assert gpt_download.download_sms(tmp_path / "data") == path and server.asked == 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (zipped(SMSSpamCollection=b"other"), "checksum"),
        (zipped(readme=b""), "no readable"),
        (b"no zip", "no readable"),
    ],
)
def test_another_zip_is_refused_and_leaves_nothing(server, tmp_path, content, words, capsys):
    server.content = content
    with pytest.raises(DownloadError, match=words) as told:
        gpt_download.download_sms(tmp_path)
    assert "\n" not in str(told.value) and "by hand" in str(told.value)
    assert not [file for file in tmp_path.rglob("*") if file.is_file()]
    assert gpt_download.main(gpt_download.sms_arguments(["sms", "--folder", str(tmp_path)])) == 1
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def with_headers(packed, offset, value):
    """A zip with two bytes of both headers of its first member changed: 6 is the flags, 8 the
    method, as the local header counts; the central one has them 2 later."""
    changed = bytearray(packed)
    for signature, shift in ((b"PK\3\4", 0), (b"PK\1\2", 2)):
        start = changed.index(signature) + offset + shift
        changed[start : start + 2] = value.to_bytes(2, "little")
    return bytes(changed)


def packed_by(method, content):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as pack:
        pack.writestr("SMSSpamCollection", content)
    return packed.getvalue()


def damaged(packed):
    start = packed.index(b"SMSSpamCollection") + 40
    return packed[:start] + bytes(200) + packed[start + 200 :]


PLAIN = zipped(SMSSpamCollection=b"ham\thello\nspam\tbuy\n")
NOISE = bytes(n * n % 251 for n in range(3000))


@pytest.mark.parametrize(
    "content",
    [
        with_headers(PLAIN, 6, 1),
        with_headers(PLAIN, 8, 99),
        damaged(packed_by(zipfile.ZIP_LZMA, NOISE)),
        damaged(packed_by(zipfile.ZIP_BZIP2, NOISE)),
        damaged(packed_by(zipfile.ZIP_DEFLATED, NOISE)),
        packed_by(zipfile.ZIP_DEFLATED, bytes(50_000_000)),
        PLAIN[:-30],
    ],
    ids=["encrypted", "method 99", "LZMA", "bzip2", "deflate", "far too long", "cut"],
)
def test_after_a_damaged_zip_a_good_server_is_asked(server, tmp_path, monkeypatch, content):
    good = b"ham\thello\nspam\tbuy\n"
    monkeypatch.setattr(gpt_download, "SMS_SIZE", len(good))
    monkeypatch.setattr(gpt_download, "SMS_SHA256", gpt_download.hashlib.sha256(good).hexdigest())
    server.content = content
    with pytest.raises(DownloadError, match="what it sent holds") as told:
        gpt_download.download_sms(tmp_path)
    assert "\n" not in str(told.value)
    archive = (tmp_path / gpt_download.SMS_FILE).with_name("sms_spam_collection.zip")
    assert not archive.exists()
    archive.write_bytes(content)  # as earlier versions of this program left it
    server.content = PLAIN
    assert gpt_download.download_sms(tmp_path).read_bytes() == good and not archive.exists()


# --- The command line -----------------------------------------------------------------------------

QUICK = "--preset tales --base random --train last-block --epochs 2 --context-length 64".split()


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.setenv("SCRATCH_LLM_RUNS", str(tmp_path / "runs"))
    # In a clone that was not installed, the names come from conftest.py: give them to another
    # Python, too.
    site = tmp_path / "site"
    site.mkdir()
    root = str(FOLDER.parents[1])
    (site / "sitecustomize.py").write_text(
        f"import sys\nsys.path.insert(0, {root!r})\nimport conftest\nsys.path.pop(0)\n"
    )
    monkeypatch.setenv(
        "PYTHONPATH",
        os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep),
    )
    return tmp_path / "runs"


@pytest.fixture
def three_classes(tmp_path):
    """A file of a user's own: three classes, quotes, tabs, empty lines, emoji, and one text of
    10,000 characters.
    """
    rows = [["label", "text"]]
    for number, text in enumerate(HARD[:6] * 6):
        rows += [[("praise", "blame", "question")[number % 3], f"{text} {number}"]] + [[]] * (
            number % 2
        )
    return write_csv(tmp_path / "my own texts.csv", rows)


def flags(*words):
    return class_arguments([str(word) for word in words])


def refused(arguments, *words):
    """The command line ends with one line that contains the words, with a status that is not zero,
    with no traceback.
    """
    with pytest.raises(SystemExit) as ended:
        run_script(gpt_class_finetune.main, *flags(*arguments))
    message = ended.value.code
    assert isinstance(message, str) and "\n" not in message, message
    for word in words:
        assert word in message, message


def test_a_users_own_csv_with_three_classes(runs, three_classes, capsys):
    assert (
        gpt_class_finetune.main(
            *flags("--data", three_classes, "--name", "mine", "--replay", "story", *QUICK)
        )
        == 0
    )
    printed = capsys.readouterr().out
    assert (
        "blame 10, praise 10, question 10" in printed
        and "cut after 64 tokens" in printed
        and "accuracy" in printed
    )
    folder = runs / "mine"
    summary = json.loads((folder / "summary.json").read_text())
    assert (
        set(summary["classes"]) == {"blame", "praise", "question"}
        and sum(map(sum, summary["confusion"])) == 6
    )
    with open(folder / "predictions.csv", encoding="utf-8", newline="") as file:
        predictions = list(csv.DictReader(file))
    own = read_table(three_classes)
    assert len(predictions) == 6 and all(own.texts.index(row["text"]) >= 0 for row in predictions)
    right = sum(row["label"] == row["verdict"] for row in predictions)
    assert right / 6 == pytest.approx(summary["accuracy"])
    steps = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in steps if "loss" in row] == [1, 2, 3, 4]
    assert [row["step"] for row in steps if "epoch" in row] == [2, 4]
    assert [row["epoch"] for row in steps if "epoch" in row] == [1, 2]
    assert (folder / "report.png").stat().st_size > 10_000 and not list(folder.glob("training-*"))
    assert (
        gpt_class_finetune.main(*flags("--prompt", "is it so?", "--prompt", "🦊 " * 500)) == 0
    )  # the newest classifier
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert gpt_class_finetune.main(*flags("--model", "mine", "--prompt", "well")) == 0


def test_bad_input_is_refused_in_one_line_and_nothing_is_written(runs, three_classes, tmp_path):
    for what, (content, words) in BAD_FILES.items():
        (tmp_path / f"{what}.csv").write_text(content, encoding="utf-8")
        refused(["--data", tmp_path / f"{what}.csv", *QUICK], *words)
    (tmp_path / "binary.csv").write_bytes(bytes(range(256)))
    for arguments, words in (
        (["--data", tmp_path / "nowhere.csv"], ["nowhere.csv", "CSV"]),
        (["--data", tmp_path / "binary.csv"], ["UTF-8"]),
        (["--data", three_classes, "--text-column", "body"], ["no column 'body'", "label, text"]),
        (["--data", three_classes, "--base", "nothing"], ["no checkpoint"]),
        (["--data", three_classes, *QUICK, "--context-length", 1000], ["192", "1000"]),
        (["--data", three_classes, "--epochs", 0], ["epochs"]),
        (["--data", three_classes, "--test-share", 1], ["test_share"]),
        (["--data", three_classes, "--name", "../evil"], ["plain folder name"]),
        (["--resume", "--name", "nothing"], ["nothing"]),
        (["--resume", "--overwrite"], ["one of them"]),
        (["--prompt", "hello"], ["no classifier"]),
        (["--model", "x"], ["--prompt"]),
        (["--model", tmp_path, "--prompt", "hello"], ["no classifier"]),
    ):
        refused(arguments, *words)
    assert not runs.exists()


def test_runs_are_never_overwritten_by_accident(runs, three_classes):
    common = ["--data", three_classes, "--name", "mine", *QUICK]
    assert gpt_class_finetune.main(*flags(*common)) == 0
    before = (runs / "mine" / "classifier.safetensors").read_bytes()
    refused(common, "mine", "--overwrite")
    refused(["--name", "mine", "--resume"], "come to its end")
    refused([*common, "--overwrite", "--label-column", "kind"], "kind")
    assert (runs / "mine" / "classifier.safetensors").read_bytes() == before
    assert gpt_class_finetune.main(*flags(*common, "--overwrite", "--seed", 2)) == 0
    assert (runs / "mine" / "classifier.safetensors").read_bytes() != before


@pytest.fixture
def press(monkeypatch):
    """`press(step)`: Ctrl-C comes in the middle of that step, counted from now."""
    clip = torch.nn.utils.clip_grad_norm_

    def press(step):
        calls = []

        def pressed(*given):
            calls.append(1)
            if len(calls) == step:
                signal.raise_signal(signal.SIGINT)
            return clip(*given)

        monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", pressed)

    return press


def test_ctrl_c_and_resume_end_with_the_same_weights(runs, three_classes, press, capsys):
    common = ["--data", three_classes, *QUICK, "--epochs", "3"]
    assert gpt_class_finetune.main(*flags("--name", "whole", *common)) == 0
    press(3)  # in the middle of the second epoch
    assert gpt_class_finetune.main(*flags("--name", "cut", *common)) == 130
    assert "stopped at step 3" in capsys.readouterr().out
    assert not (runs / "cut" / "summary.json").exists()
    refused(["--name", "cut", "--resume", "--lr", "0.5"], "lr")
    assert gpt_class_finetune.main(*flags("--name", "cut", "--resume")) == 0
    files = [(runs / name / "classifier.safetensors").read_bytes() for name in ("whole", "cut")]
    assert files[0] == files[1]
    rows = [(runs / name / "metrics.jsonl").read_text() for name in ("whole", "cut")]
    assert rows[0] == rows[1]


def test_a_run_does_not_resume_with_other_data(runs, three_classes, press):
    press(1)
    common = ["--data", three_classes, "--name", "mine", *QUICK]
    assert gpt_class_finetune.main(*flags(*common)) == 130
    text = three_classes.read_text(encoding="utf-8")
    three_classes.write_text(text.replace("He said", "She said", 1), encoding="utf-8")
    refused(["--name", "mine", "--resume"], "not the text")
    three_classes.write_text(text, encoding="utf-8")
    (state,) = (runs / "mine").glob("training-*.pt")
    state.write_bytes(state.read_bytes()[:1000])
    refused(["--name", "mine", "--resume"], "damaged")


@pytest.mark.parametrize(
    "extra",
    [
        ["--train", "lora", "--rank", "2"],
        ["--imbalance", "balanced"],
        ["--imbalance", "weights", "--grad-accum", "2"],
        ["--activation-checkpointing", "--train", "all"],
        ["--dtype", "bf16"],
    ],
)
def test_flags_do_what_they_say(extra, runs, three_classes):
    assert gpt_class_finetune.main(*flags("--data", three_classes, *QUICK, *extra)) == 0
    run = next(runs.glob("my own texts-1"))
    assert json.loads((run / "summary.json").read_text())["trained"] > 0
    assert classify(load_classifier(run), "well?")[0] in ("blame", "praise", "question")


def test_a_real_script_ends_in_one_line_and_helps_before_torch(runs, tmp_path):
    script = [sys.executable, str(FOLDER / "gpt_class_finetune.py")]
    result = subprocess.run([*script, "--data", "nowhere.csv"], capture_output=True, text=True)
    assert result.returncode == 1 and not result.stdout
    assert len(result.stderr.strip().splitlines()) == 1 and "nowhere.csv" in result.stderr
    for name in ("gpt_class_finetune.py", "gpt_download.py"):
        result = run_without(tmp_path / "none", FOLDER / name, "--help")
        assert result.returncode == 0 and "usage" in result.stdout, result.stderr


def test_the_default_base_is_there_and_every_flag_is_explained():
    assert (TALES_GPT / "model.safetensors").is_file()
    config, others = flags()
    assert config == {} and others["name"] is None
    for word in ("--base", "--train", "--data", "--label-column"):
        with pytest.raises(SystemExit):
            flags(word)
    with pytest.raises(SystemExit):
        flags("--train", "everything")
