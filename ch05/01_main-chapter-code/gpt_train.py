"""Train a GPT: `python gpt_train.py` makes one that writes Tiny Tales, in under five minutes on two
CPU cores.

`--data FILE` trains on your own text. Everything that a run makes lies in `runs/NAME/`: the
checkpoint, `metrics.jsonl`, `summary.json`, `loss.png` and `samples.txt`. Ctrl-C ends it cleanly,
and `--resume` goes on as if nothing had happened.
"""

try:
    from ch05_01_main_chapter_code.arguments import TrainConfig, run_script, train_arguments
    from ch05_01_main_chapter_code.run_folders import begin_folder, choose_run
except ModuleNotFoundError as error:
    raise SystemExit(
        f"{error}: install the course with `pip install -r requirements.txt` in its main folder"
    ) from None

if __name__ == "__main__":  # before torch is loaded, which takes two seconds
    ARGUMENTS = train_arguments()

import json
import math
import pickle
import signal
import threading
import time
import zlib
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import torch
from safetensors import safe_open
from torch.nn.utils.rnn import pad_sequence
from torch.utils.checkpoint import checkpoint
from torch.utils.data import Dataset
from tqdm import tqdm

from ch05_01_main_chapter_code.corpora import load_corpus
from ch05_01_main_chapter_code.gpt_generate import pick_device, sample_stories
from ch05_01_main_chapter_code.partial_forward import block_at, lower_hidden
from ch05_01_main_chapter_code.previous_chapters import (
    GPT,
    BPETokenizer,
    GPTConfig,
    TokenDataset,
    count_parameters,
    gpt2_tokenizer,
    language_model_loss,
    write_atomically,
)
from ch05_01_main_chapter_code.tales import make_tales, parse_tale

VALIDATION_SEED = (
    0  # of the held-out tales; training uses another seed, and 10^18 stories do not meet by chance
)
HELD_OUT_TALES = 500
STORIES_JUDGED = 200


# --- The data -------------------------------------------------------------------------------------


@dataclass
class Corpus:
    """A corpus ready for training. `train`: rows for `Batches`; `validation`: rows of ids; `floor`:
    nats per target that no model can beat."""

    tokenizer: object
    train: Dataset
    validation: list
    validation_bytes: int
    floor: float | None = None

    def fingerprint(self):
        """A checksum of the training tokens: a run resumes only with the data it began with."""
        return zlib.crc32(self.train.tokens.numpy())


def load_tokenizer(name, texts, vocab_size):
    """`gpt2`, `bpe` (learned from `texts`), or a tokenizer.json, or a folder that holds one."""
    if name == "gpt2":
        return gpt2_tokenizer()
    if name == "bpe":
        return BPETokenizer.train(texts, vocab_size)
    path = Path(name)
    path = path / "tokenizer.json" if path.is_dir() else path
    if not path.exists():
        raise FileNotFoundError(
            f"no tokenizer is called {name!r}; use auto, bpe, gpt2 or the path of a tokenizer.json"
        )
    return BPETokenizer.load(path)


def split_documents(documents, share=0.1):
    """Hold out the last `share` of the characters: returns (training texts, validation texts)."""
    keep = int(sum(map(len, documents)) * (1 - share))
    for number, document in enumerate(documents):
        if len(document) > keep:
            parts = (
                [*documents[:number], document[:keep]],
                [document[keep:], *documents[number + 1 :]],
            )
            return tuple([text for text in part if text] for part in parts)
        keep -= len(document)
    return documents, []


def flat_tokens(documents, tokenizer):
    """All documents in one row of ids, an end-of-text token before, between and behind them; and
    where these stand.
    """
    ids, borders = [tokenizer.end_of_text], [0]
    for document in documents:
        ids += tokenizer.encode(document)
        ids.append(tokenizer.end_of_text)
        borders.append(len(ids) - 1)
    return torch.tensor(ids, dtype=torch.int32), borders


class DocumentRows(Dataset):
    """One document per row, each row as long as its document, so that nothing in it speaks of
    another one.

    A row begins with the end-of-text token, from which the model learns how documents begin; every
    fourth document has another row without it, so that a prompt can do without it, too. `Batches`
    groups rows of similar length and pads the little that is left.
    """

    def __init__(self, tokens, borders):
        self.tokens = tokens
        whole = list(zip(borders, borders[1:], strict=False))
        self.spans = whole + [(before + 1, after) for before, after in whole[::4]]
        self.lengths = torch.tensor([after - before for before, after in self.spans])

    def __len__(self):
        return len(self.spans)

    def __getitem__(self, index):
        """Returns input and target, (tokens of this document,) int64 each."""
        before, after = self.spans[index]
        row = self.tokens[before : after + 1].long()
        return row[:-1], row[1:]


def training_rows(tokens, borders, context_length):
    """Rows for training: a document each where all of them fit into the context, else windows that
    overlap by three quarters, wherever they begin."""
    if (
        max(after - before for before, after in zip(borders, borders[1:], strict=False))
        <= context_length
    ):
        return DocumentRows(tokens, borders)
    return TokenDataset(tokens, context_length, stride=max(1, context_length // 4))


def prepare(config, context_length, vocab_size, tokenizer=None):
    """Load, split and tokenize the corpus that `config` names. Returns a `Corpus`.

    Raises ValueError or FileNotFoundError, saying what to do, where no training can come of it.
    """
    if config.data == "tales":
        documents, held_out = (
            load_corpus("tales", seed=config.seed + 1),
            make_tales(HELD_OUT_TALES, VALIDATION_SEED),
        )
    else:
        documents, held_out = split_documents(load_corpus(config.data))
    tokenizer = tokenizer or load_tokenizer(config.tokenizer, documents[:5000], vocab_size)
    tokens, borders = flat_tokens(documents, tokenizer)
    if len(tokens) <= context_length + 1:
        raise ValueError(
            f"{config.data} has {len(tokens)} tokens for training, less than one window of {context_length} and its "
            f"target; use a longer text, or a smaller --context-length"
        )
    train = training_rows(tokens, borders, context_length)
    held_tokens, held_borders = flat_tokens(held_out, tokenizer)
    if (
        config.data == "tales"
    ):  # each story by itself, so that the loss can be held against the story's probability
        rows = [
            held_tokens[a : b + 1] for a, b in zip(held_borders, held_borders[1:], strict=False)
        ]
        floor = -sum(parse_tale(story).log_prob for story in held_out) / (len(held_tokens) - 1)
    else:
        rows = [
            held_tokens[i : i + context_length + 1]
            for i in range(0, len(held_tokens) - 1, context_length)
        ]
        floor = None
    return Corpus(
        tokenizer, train, rows, sum(len(text.encode("utf-8")) for text in held_out), floor
    )


# --- Training -------------------------------------------------------------------------------------


def learning_rate(step, config):
    """The rate of a step: up in a line during the warm-up, then down in half a cosine
    [arXiv:1608.03983] or a line.
    """
    if step < config.warmup:
        return config.lr * (step + 1) / config.warmup
    progress = min(1, (step - config.warmup) / max(1, config.steps - config.warmup))
    shape = 1 - progress if config.schedule == "linear" else (1 + math.cos(math.pi * progress)) / 2
    return config.lr * (config.min_lr + (1 - config.min_lr) * shape)


def make_optimizer(model, config):
    """AdamW [arXiv:1711.05101] that pulls matrices towards zero, but no biases and no norms."""
    matrices = [parameter for parameter in model.parameters() if parameter.dim() >= 2]
    vectors = [parameter for parameter in model.parameters() if parameter.dim() < 2]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, config.beta2), fused=True)


class Batches:
    """An endless, shuffled stream of batches: `batches[number]` is (inputs, targets), (batch,
    tokens) each.

    The order is a function of the seed and the pass over the data alone, so a run can resume at any
    number. Where rows differ in length, neighbours get similar ones, and what is left to pad gets
    targets of −100.
    """

    def __init__(self, dataset, batch_size, seed):
        self.dataset, self.batch_size, self.seed = dataset, batch_size, seed
        self.epoch = None

    def __getitem__(self, number):
        rows = []
        for position in range(number * self.batch_size, (number + 1) * self.batch_size):
            epoch, place = divmod(position, len(self.dataset))
            if epoch != self.epoch:
                self.epoch, self.order = epoch, self.shuffled(epoch)
            rows.append(self.dataset[self.order[place]])
        inputs, targets = zip(*rows, strict=True)
        return pad_sequence(inputs, batch_first=True), pad_sequence(
            targets, batch_first=True, padding_value=-100
        )

    def shuffled(self, epoch):
        """The order of one pass. Rows that differ in length: of 512 shuffled ones, those of about
        the same length are put together in runs of 32, and the runs are shuffled."""
        dice = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        order = torch.randperm(len(self.dataset), generator=dice)
        if hasattr(self.dataset, "lengths"):
            runs = [
                run
                for pool in order.split(512)
                for run in pool[self.dataset.lengths[pool].argsort()].split(32)
            ]
            order = torch.cat([runs[i] for i in torch.randperm(len(runs), generator=dice)])
        return order.tolist()


def pick_dtype(name, device):
    """The precision of the matrix products: `auto` is bf16 on CUDA and fp32 elsewhere
    [arXiv:1710.03740].
    """
    if name == "auto":
        name = "bf16" if device == "cuda" and torch.cuda.is_bf16_supported() else "fp32"
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[name]


def autocast(device, dtype):
    return nullcontext() if dtype == torch.float32 else torch.autocast(device, dtype)


def checkpoint_activations(model):
    """Keep only each block's input, and compute the rest again when the gradient needs it
    [arXiv:1604.06174].
    """
    for block in model.blocks:
        block.forward = partial(checkpoint, block.forward, use_reentrant=False)


def hidden_at(model, idx, places):
    """`model.trunk(idx)` at some places of the flattened batch: (places, emb_dim)."""
    hidden = lower_hidden(model, idx, len(model.blocks) - 1)
    return model.final_norm(
        block_at(model.blocks[-1], hidden, lambda states: states.flatten(0, 1)[places])
    )


def batch_loss(model, inputs, targets, forward=None):
    """`language_model_loss` of a batch of ids and targets, (batch, tokens) each, as a number with a
    gradient.

    Where most targets are −100, as in the prompts of chapter 7, the head and what can be spared
    below it are computed for the others alone; neither the loss nor the gradient changes.
    `forward`: the compiled model, if there is one.
    """
    device, learned = next(model.parameters()).device, (targets != -100).flatten().nonzero()[:, 0]
    inputs, targets = inputs.to(device, non_blocking=True), targets.to(device, non_blocking=True)
    if 2 * len(learned) >= targets.numel():
        return language_model_loss((forward or model)(inputs), targets)
    learned = learned.to(device, non_blocking=True)
    logits = model.head(hidden_at(model, inputs, learned))  # (learned targets, vocab)
    return language_model_loss(logits[None], targets.flatten()[learned][None])


def train(model, dataset, config, optimizer=None, first_step=0, on_step=None):
    """Take steps `first_step` … `config.steps` − 1. `dataset` gives (inputs, targets) rows, targets
    −100 where nothing is to be learned.

    `on_step(step, loss, norm, n_targets)` is called after each step; it ends the training by
    returning True. Returns the loss of every step, in nats per target. Raises FloatingPointError if
    the loss is no number any more.
    """
    device = next(model.parameters()).device.type
    dtype = pick_dtype(config.dtype, device)
    optimizer = optimizer or make_optimizer(model, config)
    scaler = torch.amp.GradScaler(device, enabled=dtype == torch.float16)
    forward = torch.compile(model) if config.compile else model
    stream = Batches(dataset, config.batch_size, config.seed)
    losses = []
    model.train()
    for step in range(first_step, config.steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, config)
        batches = [stream[step * config.grad_accum + i] for i in range(config.grad_accum)]
        n_targets = sum(int((targets != -100).sum()) for _, targets in batches)
        loss_sum = 0.0
        for inputs, targets in batches:
            share = (
                int((targets != -100).sum()) / n_targets
            )  # so that the sum is the mean over all rows of the step
            with autocast(device, dtype):
                loss = batch_loss(model, inputs, targets, forward) * share
            scaler.scale(loss).backward()
            loss_sum += loss.detach()
        scaler.unscale_(optimizer)
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad(set_to_none=True)
        losses.append(float(loss_sum))
        if not math.isfinite(losses[-1]):
            raise FloatingPointError(
                f"the loss of step {step + 1} is {losses[-1]}; try a smaller --lr or a longer --warmup"
            )
        if on_step and on_step(step, losses[-1], float(norm), n_targets):
            break
    return losses


@torch.inference_mode()
def evaluate(model, rows, tokens_per_batch=16_384):
    """Mean loss over all targets of `rows` (1-d tensors of ids, of any lengths), in nats per
    target; and their number.

    Rows of similar length go together, so that little is padded; padding counts nowhere.
    """
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    total, count = 0.0, 0
    while order:
        longest = len(rows[order[-1]])
        picked = [order.pop() for _ in range(min(len(order), max(1, tokens_per_batch // longest)))]
        batch = torch.full((len(picked), longest), -100)
        for number, i in enumerate(picked):
            batch[number, : len(rows[i])] = rows[i]
        inputs, targets = batch[:, :-1].clamp(min=0).to(device), batch[:, 1:].to(device)
        here = int((targets != -100).sum())
        total += float(language_model_loss(model(inputs), targets)) * here
        count += here
    model.train(was_training)
    return total / count, count


# --- A run and its folder -------------------------------------------------------------------------


def build_model(config, vocab_size):
    """The preset's model, with the sizes that the flags change. Raises ValueError for sizes that do
    not fit.
    """
    names = ("context_length", "emb_dim", "n_heads", "n_layers", "drop_rate")
    changes = {name: getattr(config, name) for name in names if getattr(config, name) is not None}
    return GPTConfig.preset(config.preset, vocab_size=vocab_size, **changes)


def save_training_state(folder, model, optimizer, step, extra):
    """Write the checkpoint, and beside it what only resuming needs.

    The state file carries its step in its name and is complete before the weights are replaced, and
    the weights say which one belongs to them: a crash at any moment leaves a pair that fits
    together.
    """
    state = {
        "optimizer": optimizer.state_dict(),
        "torch_rng": torch.get_rng_state(),
        "step": step,
    } | extra
    if torch.cuda.is_available():
        state["cuda_rng"] = torch.cuda.get_rng_state_all()
    folder.mkdir(parents=True, exist_ok=True)
    current = folder / f"training-{step:06}.pt"
    write_atomically(current, partial(torch.save, state))
    model.save_pretrained(folder, metadata={"step": str(step)})
    for old in folder.glob("training-*.pt"):
        if old != current:
            old.unlink()


def load_training_state(folder):
    """The state that belongs to the weights in `folder`. Raises ValueError if it is missing or
    damaged.
    """
    with safe_open(folder / "model.safetensors", framework="pt") as file:
        step = int((file.metadata() or {}).get("step", -1))
    path = folder / f"training-{step:06}.pt"
    if not path.exists():
        raise ValueError(
            f"{folder} cannot be resumed: {path.name} is missing; start anew with --overwrite"
        )
    try:
        return torch.load(path, weights_only=True)
    except (RuntimeError, EOFError, OSError, pickle.UnpicklingError) as error:
        raise ValueError(
            f"{path} is damaged ({type(error).__name__}); start anew with --overwrite"
        ) from None


class Run:
    """One training run: its settings, its folder, its records."""

    def __init__(self, folder, config, resume=False):
        self.folder, self.config = folder, config
        self.device = pick_device(config.device)
        vocab_size = config.vocab_size or GPTConfig.preset(config.preset).vocab_size
        shape = build_model(config, vocab_size)  # wrong sizes are told before any work is done
        self.model = GPT.from_pretrained(folder) if resume else None
        self.state = load_training_state(folder) if resume else {}
        known = self.model.tokenizer if resume else None
        if config.tokenizer == "auto":
            config = replace(config, tokenizer="gpt2" if vocab_size == 50_257 else "bpe")
        self.corpus = prepare(config, shape.context_length, vocab_size, known)
        if not resume:
            torch.manual_seed(config.seed)
            self.model = GPT(build_model(config, self.corpus.tokenizer.n_vocab))
            self.model.tokenizer = self.corpus.tokenizer
        self.model.to(self.device)
        self.optimizer = make_optimizer(self.model, config)
        self.first_step, self.tokens, self.seconds = 0, 0, 0.0
        if resume:
            self.restore()

    def restore(self):
        if self.state["data"] != self.corpus.fingerprint():
            raise ValueError(
                f"{self.config.data} is not the text that {self.folder.name} began with; bring it back"
            )
        self.optimizer.load_state_dict(self.state["optimizer"])
        torch.set_rng_state(self.state["torch_rng"])
        if "cuda_rng" in self.state and torch.cuda.is_available():
            torch.cuda.set_rng_state_all(self.state["cuda_rng"])
        self.first_step, self.tokens, self.seconds = (
            self.state[key] for key in ("step", "tokens", "seconds")
        )
        rows = [
            json.loads(line) for line in (self.folder / "metrics.jsonl").read_text().splitlines()
        ]
        kept = [json.dumps(row) + "\n" for row in rows if row["step"] <= self.first_step]
        write_atomically(self.folder / "metrics.jsonl", lambda path: path.write_text("".join(kept)))

    def record(self, **row):
        with open(self.folder / "metrics.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def save(self, step):
        extra = {"tokens": self.tokens, "seconds": self.seconds, "data": self.corpus.fingerprint()}
        save_training_state(self.folder, self.model, self.optimizer, step, extra)

    def bits_per_byte(self, loss, n_targets):
        return loss * n_targets / math.log(2) / self.corpus.validation_bytes

    def validate(self, step):
        """Record the loss on held-out text and a few samples; save the checkpoint. Returns the loss
        and its row.
        """
        loss, n_targets = evaluate(self.model, self.corpus.validation)
        row = {"step": step, "val_loss": loss, "bits_per_byte": self.bits_per_byte(loss, n_targets)}
        self.record(**row, seconds=self.seconds)
        story = sample_stories(
            self.model, self.corpus.tokenizer, 1, self.model.config.context_length, seed=step
        )[0]
        with open(self.folder / "samples.txt", "a", encoding="utf-8") as file:
            file.write(f"--- step {step}, validation loss {loss:.4f}\n{story}\n\n")
        self.save(step)
        return row

    def go(self, should_stop=lambda: False):
        """Train to the end, or until `should_stop()`. Returns the number of steps taken in all."""
        config, started = self.config, time.perf_counter() - self.seconds
        if config.activation_checkpointing:
            checkpoint_activations(self.model)
        self.done, tokens_before = self.first_step, self.tokens
        bar = tqdm(
            total=config.steps,
            initial=self.first_step,
            unit="step",
            mininterval=1.0,
            dynamic_ncols=True,
        )

        def on_step(step, loss, norm, n_targets):
            self.done, self.seconds = step + 1, time.perf_counter() - started
            self.tokens += n_targets
            if self.done % 10 == 0 or self.done == config.steps:
                self.record(
                    step=self.done,
                    train_loss=loss,
                    grad_norm=norm,
                    lr=learning_rate(step, config),
                    seconds=round(self.seconds, 2),
                )
            speed = (self.tokens - tokens_before) / max(bar.format_dict["elapsed"], 1e-9)
            bar.set_postfix_str(f"loss {loss:.3f}, {speed:,.0f} tokens/s", refresh=False)
            bar.update()
            if self.done % config.eval_every == 0 and self.done < config.steps:
                row = self.validate(self.done)
                bar.write(
                    f"step {self.done:5}  validation loss {row['val_loss']:.4f}{self.beside_floor(row)}"
                )
            return should_stop()

        with bar:
            train(self.model, self.corpus.train, config, self.optimizer, self.first_step, on_step)
        return self.done

    def beside_floor(self, row):
        floor = self.corpus.floor
        return f"  floor {floor:.4f}" if floor else f"  bits per byte {row['bits_per_byte']:.4f}"

    def finish(self):
        """The last validation, the judgement of the model's own stories, `summary.json` and the
        plot.
        """
        row = self.validate(self.done)
        summary = {
            "val_loss": row["val_loss"],
            "floor": self.corpus.floor,
            "bits_per_byte": row["bits_per_byte"],
            "valid_share": None,
            "seconds": round(self.seconds, 2),
            "tokens": self.tokens,
            "parameters": count_parameters(self.model),
        }
        if self.config.data == "tales":
            stories = sample_stories(
                self.model, self.corpus.tokenizer, STORIES_JUDGED, self.model.config.context_length
            )
            summary["valid_share"] = sum(parse_tale(story) is not None for story in stories) / len(
                stories
            )
            (self.folder / "stories.txt").write_text("\n\n".join(stories) + "\n", encoding="utf-8")
        write_atomically(
            self.folder / "summary.json",
            lambda path: path.write_text(json.dumps(summary, indent=2) + "\n"),
        )
        plot_run(self.folder)
        return summary


def plot_run(folder):
    """Draw `loss.png` of a run from its `metrics.jsonl` and `summary.json`."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import LogLocator, NullFormatter

    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    floor = json.loads((folder / "summary.json").read_text())["floor"]
    figure, ax = plt.subplots(figsize=(7, 3.5), layout="constrained")
    for key, label, color in (
        ("train_loss", "training", "#0072B2"),
        ("val_loss", "validation", "#D55E00"),
    ):
        points = [(row["step"], row[key]) for row in rows if key in row]
        ax.plot(
            *zip(*points, strict=True),
            color=color,
            label=label,
            marker="o" if key == "val_loss" else None,
            ms=4,
        )
    if floor:
        ax.axhline(floor, color="gray", ls="--")
        ax.annotate(
            f"floor {floor:.3f}",
            (0.01, floor),
            xycoords=("axes fraction", "data"),
            va="bottom",
            color="gray",
        )
    ax.set(
        xlabel="step",
        ylabel="loss (nats per token)",
        yscale="log",
        title=f"{folder.name}: loss over training",
    )
    ax.yaxis.set_major_locator(
        LogLocator(subs=(1, 2, 3, 5))
    )  # plain numbers, as 0.3 and not 3 · 10⁻¹
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.legend(frameon=False)
    figure.savefig(folder / "loss.png", dpi=120)
    plt.close(figure)


# --- The command line -----------------------------------------------------------------------------


def open_run(given, name, resume, overwrite):
    """The `Run` that the flags ask for, new or resumed. Nothing is written yet."""
    config, folder = choose_run(given, TrainConfig, "run.json", name, resume, overwrite)
    return Run(folder, config, resume)


@contextmanager
def polite_interrupt():
    """Yields a function that says whether Ctrl-C was pressed; the step at hand is finished first.
    Twice ends at once.
    """
    pressed = threading.Event()

    def handler(*_):
        if pressed.is_set():
            raise KeyboardInterrupt
        pressed.set()

    before = signal.signal(signal.SIGINT, handler)
    try:
        yield pressed.is_set
    finally:
        signal.signal(signal.SIGINT, before)


def main(given, name=None, resume=False, overwrite=False):
    """Run the command line. Returns the exit status."""
    run = open_run(given, name, resume, overwrite)
    config = run.config
    if not resume:
        begin_folder(run.folder, config, "run.json")
    print(f"run        {run.folder}" + (f", from step {run.first_step}" if resume else ""))
    print(
        f"settings   {', '.join(f'{key}={value}' for key, value in asdict(config).items() if value is not None)}"
    )
    print(
        f"model      {count_parameters(run.model):,} parameters on {run.device}, {run.model.config}"
    )
    if config.warmup > config.steps:
        print(
            f"note       the warm-up takes {config.warmup} steps, the run {config.steps}: the rate never reaches {config.lr:g}"
        )
    rows = config.batch_size * config.grad_accum
    print(
        f"data       {len(run.corpus.train.tokens):,} tokens; each step sees {rows} rows",
        flush=True,
    )
    with polite_interrupt() as stopped:
        done = run.go(stopped)
    if done < config.steps:
        run.save(done)
        print(
            f"stopped at step {done}; the checkpoint is whole. Go on: python gpt_train.py --name {run.folder.name} --resume"
        )
        return 130
    summary = run.finish()
    for key, value in summary.items():
        print(f"{key:14} {value:.6g}" if isinstance(value, float) else f"{key:14} {value}")
    print(f"everything is in {run.folder}; let it write: python gpt_generate.py")
    return 0


if __name__ == "__main__":
    run_script(main, *ARGUMENTS)
