"""Make a classifier of a language model: `python gpt_class_finetune.py --data sms --base
smollm2-135m`.

With no flags, `tales-gpt` learns to tell true Tiny Tales from ones with a broken detail. `--data
FILE` takes your own labelled texts. Everything that a run makes lies in `runs/NAME/`; Ctrl-C ends
it cleanly, and `--resume` goes on.
"""

try:
    from ch06_01_main_chapter_code.class_arguments import FineTuneConfig, class_arguments
except ModuleNotFoundError as error:
    raise SystemExit(
        f"{error}: install the course with `pip install -r requirements.txt` in its main folder"
    ) from None

if __name__ == "__main__":  # before torch is loaded, which takes two seconds
    ARGUMENTS = class_arguments()

import copy
import csv
import json
import math
import pickle
import time
import zlib
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn
from torch.utils.data import Dataset
from tqdm import tqdm

from ch06_01_main_chapter_code.frozen_layers import (
    FrozenRows,
    batches_by_length,
    frozen_depth,
    training_mode,
)
from ch06_01_main_chapter_code.labelled_texts import (
    LabelledTexts,
    balanced_subset,
    class_weights,
    load_labelled,
    stratified_split,
)
from ch06_01_main_chapter_code.lora import apply_lora, lora_layers, merge_lora, trained_share
from ch06_01_main_chapter_code.previous_chapters import (
    GPT,
    TALES_GPT,
    Batches,
    BPETokenizer,
    GPTConfig,
    Llama,
    LlamaConfig,
    TrainConfig,
    autocast,
    begin_folder,
    checkpoint_activations,
    checksum,
    choose_run,
    flat_tokens,
    gpt2_tokenizer,
    language_model_loss,
    learning_rate,
    load_corpus,
    load_model,
    make_optimizer,
    needed_end_of_text,
    newest,
    pick_device,
    pick_dtype,
    polite_interrupt,
    read_llama_tokenizer,
    refuse_ended,
    run_script,
    runs_folder,
    shallow_copy,
    tokenizer_of,
    training_rows,
    write_atomically,
)
from ch06_01_main_chapter_code.reports import Report, plot_report

RATES = {
    "head": 1.28,
    "last-block": 0.256,
    "lora": 0.256,
    "all": 0.128,
}  # divided by emb_dim: wide models take small steps


# --- The data -------------------------------------------------------------------------------------


class SpamDataset(Dataset):
    """Labelled texts as ids, one text per row: spam and ham, or any other classes.

    A row begins with the end-of-text token, as documents did when the model learned to read; so
    even a message of one letter has something before it. Rows keep their own lengths; a text of
    more than `max_tokens` ids is cut there, and `n_cut` counts these.

    >>> dataset = SpamDataset(load_labelled("messages"), gpt2_tokenizer(), max_tokens=1024)
    >>> ids, label = dataset[0]
    """

    def __init__(self, data, tokenizer, max_tokens):
        self.classes, self.tokenizer, self.texts, self.together = (
            data.classes,
            tokenizer,
            data.texts,
            data.together,
        )
        self.labels = torch.tensor(data.labels)
        rows = [as_ids(text, tokenizer) for text in data.texts]
        self.n_cut = sum(len(ids) > max_tokens for ids in rows)
        self.rows = [torch.tensor(ids[:max_tokens]) for ids in rows]
        self.lengths = torch.tensor([len(ids) for ids in self.rows])

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        """Returns (tokens,) ids and the number of the class."""
        return self.rows[index], int(self.labels[index])

    def subset(self, indices):
        """The rows at these places."""
        part = copy.copy(self)
        part.texts = [self.texts[i] for i in indices]
        part.rows = [self.rows[i] for i in indices]
        part.labels, part.lengths = self.labels[indices], self.lengths[indices]
        return part


def as_ids(text, tokenizer):
    return [needed_end_of_text(tokenizer), *tokenizer.encode(text)]


# --- A language model becomes a classifier --------------------------------------------------------


def to_classifier(model, classes, train="last-block", seed=0, rank=8, alpha=16):
    """Give a language model a new head, one output per class, in place of one per token; returns
    the same model.

    `train` says what will learn: the `head` alone, the `last-block` (with the final norm and the
    head), `all`, or `lora` (adapters of this `rank` in all blocks, and the head). Raises ValueError
    for another word, and for fewer than two classes.
    """
    if len(classes) < 2:
        raise ValueError(f"a classifier needs two classes or more, not {len(classes)}")
    dice = torch.Generator().manual_seed(seed)
    config, old = model.config, model.head.weight
    model.head = nn.Linear(config.emb_dim, len(classes), bias=False, device=old.device)
    with torch.no_grad():
        model.head.weight.copy_(
            torch.randn(model.head.weight.shape, generator=dice) * config.init_std
        )
    model.classes = tuple(classes)
    return set_trained(model, train, seed, rank, alpha)


def set_trained(model, train, seed=0, rank=8, alpha=16):
    """Say which weights of a classifier learn: see `to_classifier`. Returns the model."""
    if train not in RATES:
        raise ValueError(f"what can be trained is {', '.join(RATES)}, not {train!r}")
    if train == "lora":
        with torch.random.fork_rng(
            devices=[]
        ):  # the adapters begin the same whatever was done before
            torch.manual_seed(seed)
            apply_lora(model, rank, alpha)
    else:
        model.requires_grad_(train == "all")
    if train == "last-block":
        model.blocks[-1].requires_grad_(True)
        model.final_norm.requires_grad_(True)
    model.head.requires_grad_(True)
    model.trained = train
    return model


def is_classifier(model):
    return getattr(model, "classes", None) is not None


def as_language_model(model):
    """The classifier as the language model that it was, with the head that shares the token
    embedding's matrix: the same weights, not a copy. Raises ValueError where head and embedding
    were not tied."""
    if not model.config.tie_weights:
        raise ValueError(
            "the head for the next token is gone: only tied models have it in their token embedding"
        )
    twin = shallow_copy(model)
    twin.head = nn.Linear(1, 1, bias=False, device="meta")
    twin.head.weight = model.tok_emb.weight
    twin.classes = None
    return twin


# --- Training -------------------------------------------------------------------------------------


def fine_tune(
    model,
    train_dataset,
    num_epochs=3,
    train=None,
    val_dataset=None,
    weights=None,
    lr=None,
    batch_size=16,
    grad_accum=1,
    weight_decay=0.01,
    seed=0,
    dtype="auto",
    cache=True,
    replay=None,
    optimizer=None,
    history=None,
    on_step=None,
):
    """Train a model to tell the classes of `train_dataset` apart. Returns the model and its
    history.

    A language model becomes a classifier first, in place: `train` says what learns (`head`,
    `last-block`, `all`, `lora`; default: what `to_classifier` was told, or `last-block`).
    `weights`: how much a text of each class counts, or "balanced". `lr`, the highest rate, follows
    from `train` and the width of the model if it is not given. `replay`: rows (inputs, targets) of
    text for the language model, a batch of which is learned along with each step, against
    forgetting. `cache`: compute frozen layers once.

    The history: `losses` of all steps, and `epochs`, a row for each with its mean loss and, where
    there is a `val_dataset`, loss and accuracy on that. Given together with its `optimizer`,
    training goes on where it ended. `on_step(step, loss, row)` is called after each step, `row`
    being that of the epoch it completed, or None; it ends the training by returning True.

    Raises ValueError for classes or texts that do not fit the model, FloatingPointError if the loss
    is no number.
    """
    prepare_classifier(model, train_dataset, train, seed)
    rows = as_rows(model, train_dataset, cache)
    val_rows = None if val_dataset is None else as_rows(model, val_dataset, cache)
    device = model.head.weight.device
    weights = as_weights(weights, rows).to(device)
    config = training_config(
        model, len(rows), num_epochs, batch_size, grad_accum, lr, weight_decay, seed, dtype
    )
    optimizer = optimizer or make_optimizer(model, config)
    scaler = torch.amp.GradScaler(
        device.type, enabled=pick_dtype(dtype, device.type) == torch.float16
    )
    stream, retold = (
        Order(rows, batch_size, seed),
        None if replay is None else Batches(replay, batch_size, seed),
    )
    history = history or {"losses": [], "epochs": []}
    losses, per_epoch, order = history["losses"], config.steps // num_epochs, None
    for step in range(len(losses), config.steps):
        training_mode(model, rows.depth)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, config)
        epoch, number = divmod(step, per_epoch)
        order = stream.of(epoch) if number == 0 or order is None else order
        picked = order[number * batch_size * grad_accum :][: batch_size * grad_accum]
        losses.append(backward(rows, picked, batch_size, weights, scaler, dtype))
        if retold is not None:
            retell(model, retold[step], scaler, dtype)
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad(set_to_none=True)
        if not math.isfinite(losses[-1]):
            raise FloatingPointError(
                f"the loss of step {step + 1} is {losses[-1]}; try a smaller lr"
            )
        row = (
            epoch_row(model, epoch, losses[-per_epoch:], val_rows)
            if number == per_epoch - 1
            else None
        )
        history["epochs"] += [row] if row else []
        if on_step and on_step(step, losses[-1], row):
            break
    return model.eval(), history


class Order:
    """The order of the rows in each epoch: chapter 5's, which puts similar lengths together and
    follows the seed; rows that belong together, such as a true tale and its broken twin, stay
    neighbours."""

    def __init__(self, rows, batch_size, seed):
        self.size, self.n_rows = rows.together, len(rows)
        self.lengths = rows.lengths[:: self.size]
        self.batches = Batches(self, batch_size, seed)

    def __len__(self):
        return len(self.lengths)

    def of(self, epoch):
        """The places of all rows, as a list."""
        first = torch.tensor(self.batches.shuffled(epoch))[:, None] * self.size  # (groups, 1)
        places = (first + torch.arange(self.size)).flatten().tolist()
        return [place for place in places if place < self.n_rows]


def epoch_row(model, epoch, losses, val_rows):
    row = {"epoch": epoch + 1, "train_loss": sum(losses) / len(losses)}
    if val_rows is not None:
        report = evaluate(model, val_rows)
        row |= {"val_loss": report.loss, "val_accuracy": report.accuracy}
    return row


def as_weights(weights, rows):
    """The weight of each class as a tensor, (classes,)."""
    if weights == "balanced":
        weights = class_weights(rows.labels.tolist(), len(rows.classes))
    weights = [1.0] * len(rows.classes) if weights is None else weights
    if len(weights) != len(rows.classes):
        raise ValueError(
            f"{len(weights)} weights for {len(rows.classes)} classes; give one for each"
        )
    return torch.tensor(weights, dtype=torch.float32)


def prepare_classifier(model, dataset, train=None, seed=0):
    """Make the model a classifier for the dataset's classes, if it is none. Raises ValueError where
    the two do not fit.
    """
    if not len(dataset):
        raise ValueError("there is no text to learn from")
    if not is_classifier(model):
        to_classifier(model, dataset.classes, train or "last-block", seed)
    elif train and train != model.trained:
        set_trained(model, train, seed)
    check_fit(model, dataset)
    if model.tokenizer is None:
        model.tokenizer = dataset.tokenizer


def check_fit(model, dataset):
    """Raises ValueError, with both numbers, where a dataset was not made for this classifier."""
    if tuple(dataset.classes) != model.classes:
        raise ValueError(
            f"the model tells {', '.join(model.classes)} apart, the data has {', '.join(dataset.classes)}"
        )
    longest, context_length = int(dataset.lengths.max()), model.config.context_length
    if longest > context_length:
        raise ValueError(
            f"a text has {longest} tokens, the model reads {context_length}; give max_tokens={context_length}"
        )
    if dataset.tokenizer.n_vocab > model.config.vocab_size:
        raise ValueError(
            f"the texts were cut by a tokenizer of {dataset.tokenizer.n_vocab} tokens, the model knows "
            f"{model.config.vocab_size}; use the model's own tokenizer"
        )


def as_rows(model, dataset, cache=True):
    if isinstance(dataset, FrozenRows):
        if dataset.model is not model or dataset.depth != frozen_depth(model):
            raise ValueError(
                "these FrozenRows were made for another model, or before other layers were frozen"
            )
        return dataset
    check_fit(model, dataset)
    return FrozenRows(model, dataset, cache)


def training_config(
    model, n_rows, num_epochs, batch_size, grad_accum, lr, weight_decay, seed, dtype
):
    """Chapter 5's settings for so many epochs: a tenth of the steps warms up, then the rate falls
    in a line.
    """
    steps = num_epochs * math.ceil(n_rows / (batch_size * grad_accum))
    lr = lr or RATES[model.trained] / model.config.emb_dim
    return TrainConfig(
        steps=steps,
        lr=lr,
        warmup=steps // 10,
        batch_size=batch_size,
        grad_accum=grad_accum,
        weight_decay=weight_decay,
        beta2=0.999,
        seed=seed,
        dtype=dtype,
    )


def backward(rows, picked, batch_size, weights, scaler, dtype):
    """Add the gradient of the weighted mean loss over all picked rows, a batch at a time; returns
    that loss.
    """
    labels = rows.labels[picked].to(weights.device)
    total, loss_sum = weights[labels].sum(), 0.0
    for start in range(0, len(picked), batch_size):
        part = slice(start, start + batch_size)
        with autocast(weights.device.type, pick_dtype(dtype, weights.device.type)):
            logits = rows.logits(picked[part])
        each = F.cross_entropy(logits.float(), labels[part], reduction="none")  # (batch,)
        loss = (each * weights[labels[part]]).sum() / total
        scaler.scale(loss).backward()
        loss_sum += loss.detach()
    return float(loss_sum)


def retell(model, batch, scaler, dtype):
    """Add the gradient of the language model's loss on one batch of old text, so that it is not
    forgotten.
    """
    inputs, targets = (part.to(model.head.weight.device) for part in batch)
    with autocast(inputs.device.type, pick_dtype(dtype, inputs.device.type)):
        logits = as_language_model(model)(inputs)
    scaler.scale(language_model_loss(logits, targets)).backward()


# --- Using a classifier ---------------------------------------------------------------------------


@torch.inference_mode()
def predict(rows):
    """The logits of all rows of a `FrozenRows`, (rows, classes), on the CPU."""
    logits = torch.empty(len(rows), len(rows.classes))
    for picked in batches_by_length(rows.lengths):
        logits[picked] = rows.logits(picked).float().cpu()
    return logits


def evaluate(model, dataset):
    """Classify all texts of a dataset and hold the verdicts against the labels: returns a `Report`."""
    was_training = model.training
    model.eval()
    logits = predict(as_rows(model, dataset, cache=False))
    model.train(was_training)
    return Report(logits, dataset.labels, dataset.classes)


def classify(model, texts):
    """The class of a text and the probability that the model gives it: ("spam", 0.98). A list of
    texts gives a list.

    Raises ValueError for a language model, for an empty text, and for a model without a tokenizer.
    """
    if not is_classifier(model):
        raise ValueError("this is a language model; fine_tune makes a classifier of it")
    if model.tokenizer is None:
        raise ValueError(
            "this model has no tokenizer; set model.tokenizer to the one that it was trained with"
        )
    listed = [texts] if isinstance(texts, str) else list(texts)
    if not all(text.strip() for text in listed):
        raise ValueError("a text is empty; there is nothing to classify")
    data = LabelledTexts(listed, [0] * len(listed), model.classes)
    dataset = SpamDataset(data, model.tokenizer, model.config.context_length)
    was_training = model.training
    model.eval()
    probabilities, numbers = (
        predict(FrozenRows(model, dataset, cache=False)).softmax(dim=-1).max(dim=-1)
    )
    model.train(was_training)
    verdicts = [
        (model.classes[n], p) for n, p in zip(numbers.tolist(), probabilities.tolist(), strict=True)
    ]
    return verdicts[0] if isinstance(texts, str) else verdicts


# --- Classifiers on disk --------------------------------------------------------------------------
#
#   classifier.json          the classes, the architecture, the base, and what was trained
#   classifier.safetensors   the trained weights; or all weights, if the base has no name by which anybody can get it
#   tokenizer.json           in that case, too
#
# None of these is called model.safetensors: a classifier is no language model, and no script takes it for one.

PUBLISHED_BASES = (
    "tales-gpt",
    "smollm2-135m",
    "gpt2",
    "gpt2-small",
    "gpt2-medium",
    "gpt2-large",
    "gpt2-xl",
)


def save_classifier(model, folder, base=None):
    """Write a classifier to `folder`. With the name of a published `base`, only what was trained is
    kept.

    Adapters are kept as adapters where the base has a name, else merged into the weights. Raises
    ValueError for a language model, and for a base that does not have a published name.
    """
    if not is_classifier(model):
        raise ValueError("this is a language model; fine_tune makes a classifier of it")
    if base is not None and base not in PUBLISHED_BASES:
        raise ValueError(
            f"{base!r} is not the name of a published model: leave base out, and all weights are kept"
        )
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if base is None and lora_layers(model):
        model = merge_lora(copy.deepcopy(model))
    kept = {
        name: tensor
        for name, tensor in weights_of(model).items()
        if base is None or tensor.requires_grad
    }
    frozen = [tensor for name, tensor in weights_of(model).items() if name not in kept]
    kept = {name: tensor.detach().cpu().contiguous() for name, tensor in kept.items()}
    about = {
        "classes": model.classes,
        "trained": model.trained if base else "all",
        "base": base,
        "kind": type(model).__name__,
        "config": asdict(model.config),
        "end_of_text": None if model.tokenizer is None else model.tokenizer.end_of_text,
        "lora": model.lora if lora_layers(model) else None,
        "crc32": {"kept": crc(kept.values()), "frozen": crc(frozen)},
    }
    if base is None and model.tokenizer is not None:
        write_atomically(folder / "tokenizer.json", model.tokenizer.save)
    write_atomically(folder / "classifier.safetensors", partial(save_file, kept))
    text = json.dumps(about, indent=2) + "\n"
    write_atomically(
        folder / "classifier.json", lambda path: path.write_text(text, encoding="utf-8")
    )


def load_classifier(name_or_folder=None, device="cpu"):
    """A classifier by the name of its run or by its folder, in evaluation mode; None is the run
    that was saved last.

    Raises FileNotFoundError where there is none, ValueError where it is damaged or its base is
    another one by now.
    """
    folder = find_classifier(name_or_folder)
    try:
        about = json.loads((folder / "classifier.json").read_text(encoding="utf-8"))
        with safe_open(folder / "classifier.safetensors", framework="pt") as file:
            kept = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        classes, base, crc32 = tuple(about["classes"]), about["base"], about["crc32"]
    except (ValueError, KeyError, TypeError, SafetensorError) as error:
        raise ValueError(f"{folder} is damaged: {error}") from None
    if crc(kept.values()) != crc32["kept"]:
        raise ValueError(f"{folder / 'classifier.safetensors'} is damaged, its checksum is wrong")
    if base:
        model = load_model(base)
    else:
        kinds = {"GPT": (GPT, GPTConfig), "Llama": (Llama, LlamaConfig)}
        make, make_config = kinds[about["kind"]]
        model = make(make_config(**about["config"]))
        model.tokenizer = saved_tokenizer(folder, model, about["end_of_text"])
    lora = about["lora"] or {}
    to_classifier(
        model, classes, about["trained"], rank=lora.get("rank", 8), alpha=lora.get("alpha", 16)
    )
    weights = weights_of(model)
    if crc([tensor for name, tensor in weights.items() if name not in kept]) != crc32["frozen"]:
        raise ValueError(
            f"{folder} was trained on another version of {base} than the one that is here"
        )
    for name, tensor in kept.items():
        weights[name].data.copy_(tensor)
    return model.to(device).eval()


def find_classifier(name_or_folder=None):
    """The folder of a classifier. Raises FileNotFoundError."""
    if name_or_folder is None:
        if not newest("classifier.json"):
            raise FileNotFoundError(
                f"there is no classifier in {runs_folder()}; python gpt_class_finetune.py makes one"
            )
        return newest("classifier.json")
    folder = runs_folder() / name_or_folder
    folder = folder if folder.is_dir() else Path(name_or_folder).expanduser()
    for name in ("classifier.json", "classifier.safetensors"):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder} is no classifier: {name} not found")
    return folder


def weights_of(model):
    """{name: parameter} of a model, in the order of the names."""
    return dict(sorted(model.named_parameters()))


def crc(tensors):
    return zlib.crc32(repr([checksum(tensor.detach().cpu()) for tensor in tensors]).encode())


def saved_tokenizer(folder, model, end_of_text):
    """The tokenizer of a classifier that was kept whole; GPT-2's is known by the size of its
    vocabulary.
    """
    path = folder / "tokenizer.json"
    if isinstance(model, Llama):
        return read_llama_tokenizer(path, end_of_text)
    if path.is_file():
        return BPETokenizer.load(path)
    return gpt2_tokenizer() if model.config.vocab_size == 50_257 else None


# --- A run and its folder -------------------------------------------------------------------------

WORTH_KEEPING = 5e12  # floating-point operations of the frozen layers, from which on their result is kept on the disk


def load_base(config):
    """The language model that a run begins with."""
    if config.base != "random":
        return load_model(config.base)
    tales = config.preset == "tales"
    tokenizer = BPETokenizer.load(TALES_GPT / "tokenizer.json") if tales else gpt2_tokenizer()
    torch.manual_seed(config.seed)
    model = GPT(GPTConfig.preset(config.preset, vocab_size=tokenizer.n_vocab))
    model.tokenizer = tokenizer
    return model


def split_places(data, config):
    """Places of the texts to learn from and to test: the data's own split, if it has one, else by
    the seed; with `imbalance` "balanced", the former are a part that has as many of each class."""
    if data.test_from is None:
        train, test = stratified_split(data.labels, config.test_share, config.seed)
    else:
        train, test = list(range(data.test_from)), list(range(data.test_from, len(data)))
    if config.imbalance == "balanced":
        train = [train[i] for i in balanced_subset([data.labels[i] for i in train], config.seed)]
    return train, test


class ClassifierRun:
    """One run of the command line: the data, the model, the records in its folder."""

    def __init__(self, folder, config, resume=False):
        self.folder, self.config = folder, config
        device = pick_device(config.device)
        data = load_labelled(config.data, config.text_column, config.label_column, seed=config.seed)
        model = load_base(config).to(device)
        limit = config.context_length or model.config.context_length
        if limit > model.config.context_length:
            raise ValueError(
                f"{config.base} reads {model.config.context_length} tokens, less than --context-length {limit}"
            )
        dataset = SpamDataset(data, tokenizer_of(model), limit)
        self.data, self.dataset = data, dataset
        self.model = to_classifier(
            model, data.classes, config.train, config.seed, config.rank, config.alpha
        )
        self.train_places, self.test_places = split_places(data, config)
        work = (
            2
            * sum(p.numel() for p in model.parameters() if not p.requires_grad)
            * int(dataset.lengths.sum())
        )
        rows = FrozenRows(
            model, dataset, folder=runs_folder() / "activations" if work > WORTH_KEEPING else None
        )
        self.train_rows, self.test_rows = (
            rows.subset(self.train_places),
            rows.subset(self.test_places),
        )
        self.replay = replay_rows(model, config) if config.replay else None
        if config.compile:
            for block in model.blocks:
                block.compile(dynamic=True)
        if config.activation_checkpointing:
            checkpoint_activations(model)
        self.history = {"losses": [], "epochs": []}
        settings = (
            config.epochs,
            config.batch_size,
            config.grad_accum,
            config.lr,
            config.weight_decay,
            config.seed,
        )
        self.optimizer = make_optimizer(
            model, training_config(model, len(self.train_rows), *settings, config.dtype)
        )
        torch.manual_seed(config.seed)
        if resume:
            self.restore()

    def fingerprint(self):
        """A checksum of what is learned from: ids, labels and split."""
        parts = [torch.cat(self.dataset.rows), self.dataset.labels, torch.tensor(self.train_places)]
        return crc(parts)

    def save_state(self):
        """All that resuming needs, in one file that is replaced in one step."""
        trained = {
            name: tensor.detach()
            for name, tensor in weights_of(self.model).items()
            if tensor.requires_grad
        }
        state = {
            "trained": trained,
            "optimizer": self.optimizer.state_dict(),
            "history": self.history,
        }
        state |= {"torch_rng": torch.get_rng_state(), "data": self.fingerprint()}
        write_atomically(self.folder / "training.pt", partial(torch.save, state))

    def restore(self):
        path = self.folder / "training.pt"
        if not path.exists():
            return  # it was stopped before the first state was written
        try:
            state = torch.load(path, weights_only=True, map_location=self.model.head.weight.device)
        except (RuntimeError, EOFError, OSError, pickle.UnpicklingError) as error:
            raise ValueError(
                f"{path} is damaged ({type(error).__name__}); start anew with --overwrite"
            ) from None
        if state["data"] != self.fingerprint():
            raise ValueError(
                f"{self.config.data} is not the data that {self.folder.name} began with; bring it back"
            )
        weights = weights_of(self.model)
        for name, tensor in state["trained"].items():
            weights[name].data.copy_(tensor)
        self.optimizer.load_state_dict(state["optimizer"])
        self.history = state["history"]
        torch.set_rng_state(state["torch_rng"].cpu())

    def go(self, should_stop):
        """Train to the end, or until `should_stop()`. Returns True at the end."""
        config, done = self.config, len(self.history["losses"])
        total = config.epochs * math.ceil(
            len(self.train_rows) / (config.batch_size * config.grad_accum)
        )
        bar = tqdm(total=total, initial=done, unit="step", mininterval=1.0, dynamic_ncols=True)
        tokens = (
            self.train_rows.lengths.float().mean().item() * config.batch_size * config.grad_accum
        )

        def on_step(step, loss, row):
            speed = tokens * (bar.n + 1 - done) / max(bar.format_dict["elapsed"], 1e-9)
            bar.set_postfix_str(f"loss {loss:.3f}, {speed:,.0f} tokens/s", refresh=False)
            bar.update()
            if row:
                bar.write(
                    ", ".join(f"{key.replace('_', ' ')} {value:.4g}" for key, value in row.items())
                )
                self.save_state()
            return should_stop()

        if done < total:
            with bar:
                fine_tune(
                    self.model,
                    self.train_rows,
                    config.epochs,
                    weights="balanced" if config.imbalance == "weights" else None,
                    lr=config.lr,
                    batch_size=config.batch_size,
                    grad_accum=config.grad_accum,
                    seed=config.seed,
                    weight_decay=config.weight_decay,
                    dtype=config.dtype,
                    replay=self.replay,
                    optimizer=self.optimizer,
                    history=self.history,
                    on_step=on_step,
                )
        return len(self.history["losses"]) == total

    def finish(self, seconds):
        """Test, and write what came of it. Returns the summary."""
        report = evaluate(self.model, self.test_rows)
        trained, total = trained_share(self.model)
        summary = report.summary() | {
            "trained": trained,
            "parameters": total,
            "seconds": round(seconds, 1),
        }
        save_classifier(
            self.model,
            self.folder,
            self.config.base if self.config.base in PUBLISHED_BASES else None,
        )
        lines = [
            {"step": step + 1, "loss": loss} for step, loss in enumerate(self.history["losses"])
        ] + self.history["epochs"]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        write_atomically(
            self.folder / "metrics.jsonl", lambda path: path.write_text(text, encoding="utf-8")
        )
        write_atomically(self.folder / "predictions.csv", partial(self.write_predictions, report))
        plot_report(report, self.folder / "report.png")
        (self.folder / "training.pt").unlink(missing_ok=True)
        write_atomically(
            self.folder / "summary.json",
            lambda path: path.write_text(json.dumps(summary, indent=2) + "\n"),
        )
        return report, summary

    def write_predictions(self, report, path):
        """Every text of the test with its label, the verdict, and how sure it was; the mistakes
        first.
        """
        rows = zip(
            report.labels.tolist(),
            report.predicted.tolist(),
            report.probabilities.amax(-1).tolist(),
            self.test_rows.dataset.texts,
            strict=True,
        )
        with open(path, "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["label", "verdict", "probability", "text"])
            for label, verdict, probability, text in sorted(rows, key=lambda row: row[0] == row[1]):
                writer.writerow(
                    [report.classes[label], report.classes[verdict], f"{probability:.4f}", text]
                )


def replay_rows(model, config):
    """Rows of old text for the language model that the classifier was."""
    tokens, borders = flat_tokens(load_corpus(config.replay, seed=config.seed + 1), model.tokenizer)
    rows = training_rows(tokens, borders, min(model.config.context_length, 256))
    if not len(rows):
        raise ValueError(f"{config.replay} is too short to learn from")
    return rows


# --- The command line -----------------------------------------------------------------------------


SETTINGS_FILE = "class-run.json"


def open_classifier_run(given, name=None, resume=False, overwrite=False):
    """The `ClassifierRun` that the flags ask for, new or resumed. Nothing is written yet."""
    config, folder = choose_run(
        given, FineTuneConfig, SETTINGS_FILE, name, resume, overwrite, what="classifier's run"
    )
    if resume:
        refuse_ended(folder)
    return ClassifierRun(folder, config, resume)


def print_settings(run):
    config, data = run.config, run.data
    trained, total = trained_share(run.model)
    test = data.subset(run.test_places).counts()
    classes = ", ".join(
        f"{name} {count:,}" for name, count in data.subset(run.train_places).counts().items()
    )
    print(
        f"run        {run.folder.name}"
        + (f", from step {len(run.history['losses'])}" if run.history["losses"] else "")
    )
    print(
        f"settings   {', '.join(f'{key}={value}' for key, value in asdict(config).items() if value is not None)}"
    )
    print(
        f"model      {type(run.model).__name__} on {run.model.head.weight.device}: {trained:,} of {total:,} numbers are "
        f"trained ({100 * trained / total:.2f} %)"
    )
    print(
        f"data       {len(data):,} texts, {int(run.dataset.lengths.sum()):,} tokens; to learn from: {classes}; "
        f"to test: {', '.join(f'{name} {count:,}' for name, count in test.items())}"
    )
    if run.dataset.n_cut:
        print(
            f"long texts {run.dataset.n_cut} are cut after {int(run.dataset.lengths.max()):,} tokens; the rest is not read"
        )


def print_report(report, summary):
    """The test in a few lines: a row per class, and where the mistakes are."""
    width = max(map(len, report.classes)) + 2
    print(
        f"accuracy {100 * report.accuracy:.2f} %, loss {report.loss:.4f}, calibration error {report.calibration_error():.4f}"
    )
    print(
        f"{'':{width}}  precision  recall      F1  | right class in rows, verdict in columns: {', '.join(report.classes)}"
    )
    for name, counts in zip(report.classes, report.confusion.tolist(), strict=True):
        numbers = (
            f"{report.precision(name):11.3f} {report.recall(name):7.3f} {report.f1(name):7.3f}"
        )
        print(f"{name:{width}}{numbers}  | " + " ".join(f"{count:6}" for count in counts))


def classify_texts(texts, model=None):
    """Print the verdict of a trained classifier on each text."""
    classifier = load_classifier(model)
    for text, (name, probability) in zip(texts, classify(classifier, texts), strict=True):
        print(f"{name}  {probability:.3f}  {text}")
    return 0


def main(given, others):
    """Run the command line. Returns the exit status."""
    started = time.perf_counter()
    texts, model = others.pop("prompt"), others.pop("model")
    if texts or model:
        if not texts:
            raise ValueError(
                "--model names a classifier to use: give the text to classify with --prompt"
            )
        return classify_texts(texts, model)
    run = open_classifier_run(given, **others)
    if not others["resume"]:
        begin_folder(run.folder, run.config, SETTINGS_FILE)
    print_settings(run)
    with polite_interrupt() as stopped:
        ended = run.go(stopped)
    if not ended:
        run.save_state()
        done = len(run.history["losses"])
        print(
            f"stopped at step {done}. Go on: python gpt_class_finetune.py --name {run.folder.name} --resume"
        )
        return 130
    print_report(*run.finish(time.perf_counter() - started))
    print(
        f"everything is in {run.folder}; use it: python gpt_class_finetune.py --model {run.folder.name} --prompt TEXT"
    )
    return 0


if __name__ == "__main__":
    run_script(main, *ARGUMENTS)
