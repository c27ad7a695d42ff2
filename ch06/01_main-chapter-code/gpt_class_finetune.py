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
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch.utils.data import Dataset

from ch06_01_main_chapter_code.classifier import (
    STRENGTHS,
    as_language_model,
    find_classifier,
    is_classifier,
    load_classifier,
    save_classifier,
    set_trained,
    to_classifier,
)
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
from ch06_01_main_chapter_code.lora import trained_in_words, trained_share
from ch06_01_main_chapter_code.previous_chapters import (
    DOWNLOADED_CORPORA,
    EMBEDDED_CORPORA,
    GPT,
    PUBLISHED,
    TALES_GPT,
    Batches,
    BPETokenizer,
    EpochHistory,
    EpochRun,
    GPTConfig,
    autocast,
    begin_folder,
    checked,
    choose_run,
    claimed,
    evaluating,
    flat_tokens,
    full_loss,
    gpt2_tokenizer,
    learning_rate,
    load_corpus,
    load_model,
    make_optimizer,
    make_ready,
    needed_end_of_text,
    pick_device,
    pick_dtype,
    plan_epochs,
    run_script,
    runs_folder,
    step_settings,
    suited_rate,
    tokenizer_of,
    training_rows,
    update,
    whole_paths,
    write_atomically,
)
from ch06_01_main_chapter_code.reports import Report, plot_report
from ch06_01_main_chapter_code.tuned_files import crc, frozen_of
from scratch_llm_tools.console import printable

__all__ = [  # also what notebooks and readers call by way of this file, though it lives elsewhere
    "ClassifierRun",
    "SpamDataset",
    "as_language_model",
    "classify",
    "evaluate",
    "find_classifier",
    "fine_tune",
    "is_classifier",
    "load_base",
    "load_classifier",
    "predict",
    "replay_rows",
    "save_classifier",
    "set_trained",
    "to_classifier",
]


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


# --- Training -------------------------------------------------------------------------------------


def fine_tune(
    model,
    train_dataset,
    num_epochs=3,
    train=None,
    val_dataset=None,
    weights=None,
    replay=None,
    cache=True,
    optimizer=None,
    history=None,
    on_step=None,
    **settings,
):
    """Train a model to tell the classes of `train_dataset` apart. Returns the model and its history
    (see chapter 5's `EpochHistory`).

    A language model becomes a classifier first, in place: `train` says what learns (`head`,
    `last-block`, `all`, `lora`; default: what `to_classifier` was told, or `last-block`).
    `weights`: how much a text of each class counts, or "balanced". `replay`: rows (inputs, targets)
    of text for the language model, a batch of which is learned along with each step, against
    forgetting. `cache`: compute frozen layers once. `settings`: those of `training_plan`.

    With its `history` and `optimizer`, training goes on where it ended. `on_step(step, loss, row)`
    is called after each step, `row` being that of the epoch it completed, or None; it ends the
    training by returning True. Raises ValueError for classes or texts that do not fit the model,
    FloatingPointError if the loss is no number.
    """
    prepare_classifier(model, train_dataset, train, settings.get("seed", 0))
    rows = as_rows(model, train_dataset, cache)
    val_rows = None if val_dataset is None else as_rows(model, val_dataset, cache)
    plan = training_plan(model, len(rows), num_epochs, **settings)
    optimizer, per_epoch = optimizer or make_optimizer(model, plan), plan.steps // num_epochs
    epochs = EpochHistory(per_epoch, history, partial(held_out, model, val_rows))
    lesson = Lesson(model, rows, plan, per_epoch, weights, replay)
    for step in range(len(epochs.history["losses"]), plan.steps):
        loss = lesson.add_gradients(step)
        update(model, optimizer, lesson.scaler, learning_rate(step, plan), plan.clip)
        row = epochs.add(loss)
        if on_step and on_step(step, loss, row):
            break
    return model.eval(), epochs.history


class Lesson:
    """What a step of `fine_tune` learns from: a few texts with their classes, and old text again."""

    def __init__(self, model, rows, plan, per_epoch, weights=None, replay=None):
        self.model, self.rows, self.plan, self.per_epoch = model, rows, plan, per_epoch
        self.device = model.head.weight.device.type
        self.weights = as_weights(weights, rows).to(model.head.weight.device)
        self.dtype = pick_dtype(plan.dtype, self.device)
        self.scaler = torch.amp.GradScaler(self.device, enabled=self.dtype == torch.float16)
        self.orders, self.epoch = Order(rows, plan.batch_size, plan.seed), None
        self.old = None if replay is None else Batches(replay, plan.batch_size, plan.seed)

    def add_gradients(self, step):
        """Add the gradients of a step. Returns the weighted mean loss of its texts."""
        training_mode(self.model, self.rows.depth)
        epoch, number = divmod(step, self.per_epoch)
        if epoch != self.epoch:
            self.epoch, self.order = epoch, self.orders.of(epoch)
        n_rows = self.plan.batch_size * self.plan.grad_accum
        loss = self.learn_classes(self.order[number * n_rows :][:n_rows])
        if self.old is not None:
            self.learn_old_text(self.old[step])
        return checked(loss, n_rows, step)

    def learn_classes(self, picked):
        """The weighted mean loss over all picked rows, and its gradient, a batch at a time."""
        labels = self.rows.labels[picked].to(self.weights.device)
        total, loss_sum = self.weights[labels].sum(), 0.0
        for start in range(0, len(picked), self.plan.batch_size):
            part = slice(start, start + self.plan.batch_size)
            with autocast(self.device, self.dtype):
                logits = self.rows.logits(picked[part])
            each = F.cross_entropy(logits.float(), labels[part], reduction="none")  # (batch,)
            loss = (each * self.weights[labels[part]]).sum() / total
            self.scaler.scale(loss).backward()
            loss_sum += loss.detach()
        return loss_sum

    def learn_old_text(self, batch):
        """The gradient of the language model's loss on a batch of old text, against forgetting."""
        with autocast(self.device, self.dtype):
            loss = full_loss(as_language_model(self.model), *batch)
        self.scaler.scale(loss).backward()


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


def held_out(model, rows):
    """Loss and accuracy on held-out rows, for the history; nothing without rows."""
    if rows is None:
        return {}
    report = evaluate(model, rows)
    return {"val_loss": report.loss, "val_accuracy": report.accuracy}


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


def training_plan(model, n_rows, num_epochs, lr=None, seed=0, **settings):
    """Chapter 5's settings for so many epochs: a tenth of the steps warms up, then the rate falls
    in a line. `lr`, the highest rate, follows from what is trained and the width of the model if it
    is not given; `settings`: other fields of `TrainConfig`.
    """
    lr = lr or suited_rate(STRENGTHS[model.trained], model.config.emb_dim)
    return plan_epochs(n_rows, num_epochs, 10, lr=lr, beta2=0.999, seed=seed, **settings)


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
    with evaluating(model):
        logits = predict(as_rows(model, dataset, cache=False))
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
    with evaluating(model):
        logits = predict(FrozenRows(model, dataset, cache=False))
    probabilities, numbers = logits.softmax(dim=-1).max(dim=-1)
    verdicts = [
        (model.classes[n], p) for n, p in zip(numbers.tolist(), probabilities.tolist(), strict=True)
    ]
    return verdicts[0] if isinstance(texts, str) else verdicts


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
        learned, tested = stratified_split(data.labels, config.test_share, config.seed)
    else:
        learned, tested = list(range(data.test_from)), list(range(data.test_from, len(data)))
    if config.imbalance == "balanced":
        labels = [data.labels[i] for i in learned]
        learned = [learned[i] for i in balanced_subset(labels, config.seed)]
    return learned, tested


class ClassifierRun(EpochRun):
    """A run of this script: a model that learns to tell classes apart."""

    settings_file, script = "class-run.json", "gpt_class_finetune.py"

    def __init__(self, folder, config, resume=False):
        data = load_labelled(config.data, config.text_column, config.label_column, seed=config.seed)
        model = load_base(config).to(pick_device(config.device))
        limit = config.context_length or model.config.context_length
        if limit > model.config.context_length:
            raise ValueError(
                f"{config.base} reads {model.config.context_length} tokens, less than --context-length {limit}"
            )
        self.data, self.dataset = data, SpamDataset(data, tokenizer_of(model), limit)
        to_classifier(model, data.classes, config.train, config.seed, config.rank, config.alpha)
        self.train_places, self.test_places = split_places(data, config)
        work = 2 * sum(p.numel() for p in model.parameters() if not p.requires_grad)
        work *= int(self.dataset.lengths.sum())
        kept = runs_folder() / "activations" if work > WORTH_KEEPING else None
        rows = FrozenRows(model, self.dataset, folder=kept)
        self.train_rows, self.test_rows = (
            rows.subset(self.train_places),
            rows.subset(self.test_places),
        )
        self.replay = replay_rows(model, config) if config.replay else None
        make_ready(model, config)
        plan = training_plan(model, len(self.train_rows), config.epochs, **step_settings(config))
        super().__init__(folder, config, model, plan, self.train_rows.lengths)
        if resume:
            self.restore()

    def fingerprint(self):
        """A checksum of what is learned from, ids, labels and split, and of the frozen weights."""
        data = [*self.dataset.rows, self.dataset.labels, torch.tensor(self.train_places)]
        return crc([*data, *frozen_of(self.model)])

    def learn(self, **how):
        """Take the steps that are left."""
        weights = "balanced" if self.config.imbalance == "weights" else None
        replay, epochs = self.replay, self.config.epochs
        fine_tune(self.model, self.train_rows, epochs, weights=weights, replay=replay, **how)

    def finish(self):
        """Test, and write what came of it. Returns the report and the summary."""
        report = evaluate(self.model.eval(), self.test_rows)
        trained, total = trained_share(self.model)
        summary = report.summary() | {"trained": trained, "parameters": total}
        summary["seconds"] = round(self.seconds, 1)
        base = self.config.base if self.config.base in PUBLISHED else None
        save_classifier(self.model, self.folder, base)
        write_atomically(self.folder / "predictions.csv", partial(self.write_predictions, report))
        plot_report(report, self.folder / "report.png")
        self.write_summary(summary)
        self.forget_state()
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


# Flags that may be paths, and what else they may be called.
PATHS = {
    "data": ("sms", "messages", "tales"),
    "base": (*PUBLISHED, "random"),
    "replay": EMBEDDED_CORPORA + DOWNLOADED_CORPORA,
}


def print_settings(run):
    """Print what is about to happen."""
    data = run.data
    learned = data.subset(run.train_places).counts()
    tested = data.subset(run.test_places).counts()
    run.describe()
    print(f"model      {trained_in_words(run.model)}")
    print(
        f"data       {len(data):,} texts, {int(run.dataset.lengths.sum()):,} tokens; to learn from: {in_line(learned)}; "
        f"to test: {in_line(tested)}"
    )
    if data.summary:
        print(f"read       {printable(data.summary)}")
    if run.dataset.n_cut:
        print(
            f"long texts {run.dataset.n_cut} are cut after {int(run.dataset.lengths.max()):,} tokens; the rest is not read"
        )


def in_line(counts):
    """{class: how many} in words."""
    return ", ".join(f"{printable(name)} {count:,}" for name, count in counts.items())


def print_report(report, summary):
    """The test in a few lines: a row per class, and where the mistakes are."""
    names = [printable(name) for name in report.classes]
    width = max(map(len, names)) + 2
    print(
        f"accuracy {100 * report.accuracy:.2f} %, loss {report.loss:.4f}, calibration error {report.calibration_error():.4f}"
    )
    print(
        f"{'':{width}}  precision  recall      F1  | right class in rows, verdict in columns: {', '.join(names)}"
    )
    for name, counts in zip(report.classes, report.confusion.tolist(), strict=True):
        numbers = (
            f"{report.precision(name):11.3f} {report.recall(name):7.3f} {report.f1(name):7.3f}"
        )
        print(
            f"{printable(name):{width}}{numbers}  | " + " ".join(f"{count:6}" for count in counts)
        )


def classify_texts(texts, model=None):
    """Print the verdict of a trained classifier on each text."""
    classifier = load_classifier(model)
    for text, (name, probability) in zip(texts, classify(classifier, texts), strict=True):
        print(f"{printable(name)}  {probability:.3f}  {printable(text)}")
    return 0


def main(given, others):
    """Run the command line. Returns the exit status."""
    texts, model = others.pop("prompt"), others.pop("model")
    if texts or model:
        if not texts:
            raise ValueError(
                "--model names a classifier to use: give the text to classify with --prompt"
            )
        return classify_texts(texts, model)
    file, flags = ClassifierRun.settings_file, whole_paths(given, PATHS)
    config, folder = choose_run(flags, FineTuneConfig, file, **others, what="classifier's run")
    with claimed(folder, Path(config.data).stem or "run") as folder:
        run = ClassifierRun(folder, config, others["resume"])
        if not others["resume"]:
            begin_folder(folder, config, file)
        print_settings(run)
        if status := run.live():
            return status
        print_report(*run.finish())
    print(
        f"everything is in {folder}; use it: python gpt_class_finetune.py --model {folder.name} --prompt TEXT"
    )
    return 0


if __name__ == "__main__":
    run_script(main, *ARGUMENTS)
