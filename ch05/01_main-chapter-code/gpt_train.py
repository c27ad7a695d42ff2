"""Train a GPT: `python gpt_train.py` makes one that writes Tiny Tales, in under five minutes on two
CPU cores.

`--data FILE` trains on your own text. Everything that a run makes lies in `runs/NAME/`: the
checkpoint, `metrics.jsonl`, `summary.json`, `loss.png` and `samples.txt`. Ctrl-C ends it cleanly,
and `--resume` goes on as if nothing had happened.
"""

try:
    from ch05_01_main_chapter_code.arguments import (
        PUBLISHED,
        TrainConfig,
        run_script,
        train_arguments,
    )
    from ch05_01_main_chapter_code.run_folders import (
        begin_folder,
        choose_run,
        claimed,
        whole_paths,
        write_settings,
    )
except ModuleNotFoundError as error:
    raise SystemExit(
        f"{error}: install the course with `pip install -r requirements.txt` in its main folder"
    ) from None

if __name__ == "__main__":  # before torch is loaded, which takes two seconds
    ARGUMENTS = train_arguments()

import math
import zlib
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from torch.utils.data import Dataset

from ch05_01_main_chapter_code.corpora import DOWNLOADED_CORPORA, EMBEDDED_CORPORA, open_corpus
from ch05_01_main_chapter_code.gpt_generate import (
    load_model,
    pick_device,
    sample_stories,
    tokenizer_of,
)
from ch05_01_main_chapter_code.json_lines import read_json_lines
from ch05_01_main_chapter_code.previous_chapters import (
    GPT,
    BPETokenizer,
    GPTConfig,
    TokenDataset,
    check_files,
    count_parameters,
    gpt2_tokenizer,
    needed_end_of_text,
    write_atomically,
)
from ch05_01_main_chapter_code.run import Run
from ch05_01_main_chapter_code.tales import make_tales, parse_tale, split_gap, token_log_probs
from ch05_01_main_chapter_code.training import (
    GOING_ON,
    PRETRAINING,
    Batches,
    autocast,
    checkpoint_activations,
    evaluate,
    learning_rate,
    make_optimizer,
    pick_dtype,
    suited_rate,
    target_losses,
    train,
)
from scratch_llm_tools.console import printable

__all__ = [  # also what notebooks and readers call by way of this file, though it lives elsewhere
    "Batches",
    "Corpus",
    "DocumentRows",
    "PretrainingRun",
    "TrainConfig",
    "autocast",
    "build_model",
    "checkpoint_activations",
    "evaluate",
    "flat_tokens",
    "learning_rate",
    "load_tokenizer",
    "make_optimizer",
    "pick_dtype",
    "plot_run",
    "prepare",
    "split_documents",
    "train",
    "training_rows",
]

# Of the held-out tales. Training uses another seed, and 10^18 stories do not meet by chance.
VALIDATION_SEED = 0
HELD_OUT_TALES = 500
STORIES_JUDGED = 200


# --- The data -------------------------------------------------------------------------------------


@dataclass
class Corpus:
    """A corpus ready for training. `train`: rows for `Batches`; `validation`: rows of ids; `floor`:
    nats per target that no model can beat; `source`: what was read and left out, in one line;
    `tales`: the texts of the rows for validation, where their probabilities are known."""

    tokenizer: object
    train: Dataset
    validation: list
    validation_bytes: int
    floor: float | None = None
    source: str = ""
    tales: list | None = None

    @cached_property
    def truth(self):
        """ln p of each target of the validation under the dice that made the tales, (targets,)
        float64, computed once, in one or two seconds. None for other texts, and for a tokenizer
        that `token_log_probs` refuses.
        """
        try:
            logs = [token_log_probs(story, self.tokenizer) for story in self.tales or ()]
        except ValueError:
            return None
        return torch.cat(logs) if logs else None

    def fingerprint(self):
        """A checksum of the training tokens: a run resumes only with the data it began with."""
        return zlib.crc32(self.train.tokens.numpy())


def load_tokenizer(name, texts, vocab_size):
    """`gpt2`, `bpe` (learned from `texts`), `auto` (of these two the one that has so many tokens),
    or a tokenizer.json, or a folder with it or with vocab.json and merges.txt.
    """
    if name == "auto":
        name = "gpt2" if vocab_size == 50_257 else "bpe"
    if name == "gpt2":
        return gpt2_tokenizer()
    if name == "bpe":
        return BPETokenizer.train(texts, vocab_size)
    path = Path(name)
    if not path.exists():
        raise FileNotFoundError(
            f"no tokenizer is called {name!r}; use auto, bpe, gpt2 or the path of a tokenizer.json"
        )
    check_files(path.parent, (path.name,))
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
    end = needed_end_of_text(tokenizer)
    ids, borders = [end], [0]
    for document in documents:
        ids += tokenizer.encode(document)
        ids.append(end)
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
    spans = zip(borders, borders[1:], strict=False)
    if max(after - before for before, after in spans) <= context_length:
        return DocumentRows(tokens, borders)
    return TokenDataset(tokens, context_length, stride=max(1, context_length // 4))


def prepare(config, context_length, vocab_size, tokenizer=None):
    """Load, split and tokenize the corpus that `config` names. Returns a `Corpus`.

    Raises ValueError or FileNotFoundError, saying what to do, where no training can come of it.
    """
    if config.data == "tales":
        corpus = open_corpus("tales", seed=config.seed + 1)
        documents = corpus.documents
        held_out = make_tales(HELD_OUT_TALES, VALIDATION_SEED)
    else:
        corpus = open_corpus(config.data)
        documents, held_out = split_documents(corpus.documents)
    tokenizer = tokenizer or load_tokenizer(config.tokenizer, documents[:5000], vocab_size)
    tokens, borders = flat_tokens(documents, tokenizer)
    if len(tokens) <= context_length + 1:
        raise ValueError(
            f"{config.data} has {len(tokens)} tokens for training, less than one window of {context_length} and its "
            f"target; use a longer text, or a smaller --context-length"
        )
    train_rows = training_rows(tokens, borders, context_length)
    held_tokens, held_borders = flat_tokens(held_out, tokenizer)
    if config.data == "tales":  # each story by itself, as its probability is
        spans = zip(held_borders, held_borders[1:], strict=False)
        rows = [held_tokens[before : after + 1] for before, after in spans]
        floor = -sum(parse_tale(story).log_prob for story in held_out) / (len(held_tokens) - 1)
        tales = held_out
    else:
        starts = range(0, len(held_tokens) - 1, context_length)
        rows = [held_tokens[start : start + context_length + 1] for start in starts]
        floor = tales = None
    n_bytes = sum(len(text.encode("utf-8")) for text in held_out)
    return Corpus(tokenizer, train_rows, rows, n_bytes, floor, corpus.summary, tales)


# --- A run and its folder -------------------------------------------------------------------------

SIZES = ("context_length", "emb_dim", "n_heads", "n_layers", "drop_rate")


def build_model(config, vocab_size):
    """The preset's `GPTConfig`, with the sizes that the flags change. Raises ValueError for sizes
    that do not fit.
    """
    changes = {name: getattr(config, name) for name in SIZES if getattr(config, name) is not None}
    return GPTConfig.preset(config.preset, vocab_size=vocab_size, **changes)


def first_model(config):
    """The model that `--init-from` names. Raises ValueError for flags that would change its size."""
    fixed = [name for name in (*SIZES, "vocab_size") if getattr(config, name) is not None]
    if fixed:
        flags = ", ".join("--" + name.replace("_", "-") for name in fixed)
        raise ValueError(f"--init-from takes the model as it is; leave out {flags}")
    model = load_model(config.init_from)
    model.tokenizer = tokenizer_of(model)
    return model


class PretrainingRun(Run):
    """A run of this script: a model that learns to continue text. `suited`: with the learning rate
    that suits the model's width, whatever `config` says.
    """

    def __init__(self, folder, config, resume=False, suited=False):
        device = pick_device(config.device)
        if resume:
            model = self.resumed_model(folder)
        else:
            model = None if config.init_from is None else first_model(config)
        if model is None:
            vocab_size = config.vocab_size or GPTConfig.preset(config.preset).vocab_size
            shape = build_model(config, vocab_size)  # wrong sizes are told before any work is done
        else:
            shape, vocab_size = model.config, model.config.vocab_size
        tokenizer = None if model is None else model.tokenizer
        self.corpus = prepare(config, shape.context_length, vocab_size, tokenizer)
        if not resume:
            torch.manual_seed(config.seed)
        if model is None:
            model = GPT(build_model(config, self.corpus.tokenizer.n_vocab))
            model.tokenizer = self.corpus.tokenizer
        model.to(device)
        if suited:
            strength = GOING_ON if config.init_from else PRETRAINING
            config = replace(config, lr=suited_rate(strength, model.config.emb_dim))
        super().__init__(folder, config, model, make_optimizer(model, config))
        if resume:
            self.restore()

    def resumed_model(self, folder):
        """The model in a run's folder, which `restore` brings to the newest state."""
        check_files(folder, [self.settings_file])
        if not (folder / "model.safetensors").exists():
            raise ValueError(
                f"{folder.name} has saved nothing yet to go on from; start anew with --overwrite"
            )
        return load_model(folder)

    def fingerprint(self):
        return self.corpus.fingerprint()

    def save_model(self):
        step = self.best["step"] if self.best else self.step
        self.model.save_pretrained(self.folder, metadata={"step": str(step)})

    def save_state(self):
        if not (self.folder / "model.safetensors").exists():  # nothing was validated yet
            self.save_model()
        super().save_state()

    def validate(self):
        """Record the loss on held-out text and a sample; keep the model, if it is the best so far,
        and the state. Returns a line about it.
        """
        losses = torch.cat(target_losses(self.model, self.corpus.validation)).double()
        loss = float(losses.mean())
        bits = float(losses.sum()) / math.log(2) / self.corpus.validation_bytes
        row = {"step": self.step, "val_loss": loss, "bits_per_byte": bits}
        if self.corpus.truth is not None:
            row |= split_gap(losses, self.corpus.truth)
        self.record(**row, seconds=self.seconds)
        length = self.model.config.context_length
        story = sample_stories(self.model, self.corpus.tokenizer, 1, length, seed=self.step)[0]
        with open(self.folder / "samples.txt", "a", encoding="utf-8") as file:
            file.write(f"--- step {self.step}, validation loss {loss:.4f}\n{story}\n\n")
        compared = self.keep_if_best(loss, bits_per_byte=bits)
        self.save_state()
        floor = self.corpus.floor
        beside = f"floor {floor:.4f}" if floor else f"bits per byte {bits:.4f}"
        return f"step {self.step:5}  validation loss {loss:.4f}  {beside}{compared}"

    def go(self, should_stop=lambda: False):
        """Train to the end, or until `should_stop()`. Returns True at the end."""
        config = self.config
        if config.activation_checkpointing:
            checkpoint_activations(self.model)
        with self.progress(config.steps) as (bar, advance):

            def on_step(step, loss, norm, n_targets):
                advance(loss, n_targets)
                ended = self.step == config.steps
                if self.step % 10 == 0 or ended:
                    lr, seconds = learning_rate(step, config), round(self.seconds, 2)
                    row = dict(train_loss=loss, grad_norm=norm, lr=lr, seconds=seconds)
                    self.record(step=self.step, **row)
                if self.step % config.eval_every == 0 or ended:
                    bar.write(self.validate())
                return should_stop()

            if not should_stop():
                train(self.model, self.corpus.train, config, self.optimizer, self.step, on_step)
        return self.step == config.steps

    def finish(self):
        """The judgement of the best model's own stories, `summary.json` and the plot. Returns the
        summary.
        """
        if self.best["step"] != self.step:
            self.model = load_model(self.folder, self.model.head.weight.device.type)
        summary = {
            "val_loss": self.best["val_loss"],
            "floor": self.corpus.floor,
            "bits_per_byte": self.best["bits_per_byte"],
            "valid_share": None,
            "best_step": self.best["step"],
            "steps": self.step,
            "seconds": round(self.seconds, 2),
            "tokens": self.tokens,
            "parameters": count_parameters(self.model),
        }
        if self.config.data == "tales":
            summary["valid_share"] = self.judge_stories()
        plot_run(self.folder, self.corpus.floor)
        self.write_summary(summary)  # with which the run has come to its end
        return summary

    def judge_stories(self):
        """Let the model make stories up, keep them in stories.txt, and return the valid share."""
        length = self.model.config.context_length
        stories = sample_stories(self.model, self.corpus.tokenizer, STORIES_JUDGED, length)
        text = "\n\n".join(stories) + "\n"
        write_atomically(
            self.folder / "stories.txt", lambda path: path.write_text(text, encoding="utf-8")
        )
        return sum(parse_tale(story) is not None for story in stories) / len(stories)


def plot_run(folder, floor=None):
    """Draw `loss.png` of a run from its `metrics.jsonl`: the losses, with the floor, if there is
    one, and below them what the gap to the floor consists of, where that is known.
    """
    from matplotlib.figure import Figure

    rows = read_json_lines(folder / "metrics.jsonl")
    has_gap = any("gap_forced" in row for row in rows)
    figure = Figure(figsize=(7, 6 if has_gap else 3.5), layout="constrained")
    panels = figure.subplots(2 if has_gap else 1, sharex=True, squeeze=False)[:, 0]
    draw_curves(
        panels[0],
        rows,
        train_loss=("training", "#0072B2", None),
        val_loss=("validation", "#D55E00", "o"),
    )
    if floor:
        panels[0].axhline(floor, color="gray", ls="--")
        place = dict(xycoords=("axes fraction", "data"), va="bottom", color="gray")
        panels[0].annotate(f"floor {floor:.3f}", (0.01, floor), **place)
    panels[0].set(ylabel="loss (nats per token)")
    panels[0].set_title(f"{folder.name}: loss over training", parse_math=False)
    if has_gap:
        draw_curves(
            panels[1],
            rows,
            gap_choices=("where the tale has a choice", "#56B4E9", "o"),
            gap_forced=("where one token only can come", "#CC79A7", "s"),
        )
        panels[1].set(title="above the floor", ylabel="nats per token")
    panels[-1].set(xlabel="step")
    figure.savefig(folder / "loss.png", dpi=120)


def draw_curves(ax, rows, **curves):
    """Draw fields of the records over the steps. `curves`: {field: (label, colour, marker)}."""
    from matplotlib.ticker import LogLocator, NullFormatter

    for key, (label, color, marker) in curves.items():
        points = [(row["step"], row[key]) for row in rows if key in row]
        ax.plot(*zip(*points, strict=True), color=color, label=label, marker=marker, ms=4)
    ax.set_yscale("log", nonpositive="mask")  # luck with the held-out tales can go below the floor
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))  # plain numbers: 0.3, not 3 · 10⁻¹
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.legend(frameon=False)


# --- The command line -----------------------------------------------------------------------------


# Flags that may be paths, and what else they may be called.
PATHS = {
    "data": (*EMBEDDED_CORPORA, *DOWNLOADED_CORPORA),
    "tokenizer": ("auto", "bpe", "gpt2"),
    "init_from": PUBLISHED,
}


def describe_run(run):
    """Print what is about to happen."""
    config, device = run.config, run.model.head.weight.device
    rows = config.batch_size * config.grad_accum
    run.describe()
    print(f"model      {count_parameters(run.model):,} parameters on {device}, {run.model.config}")
    if config.warmup > config.steps:
        print(
            f"note       the warm-up takes {config.warmup} steps, the run {config.steps}: "
            f"the rate never reaches {config.lr:g}"
        )
    tokens = len(run.corpus.train.tokens)
    print(f"read       {printable(run.corpus.source)}")
    print(f"data       {tokens:,} tokens; each step sees {rows} rows", flush=True)


def main(given, name=None, resume=False, overwrite=False):
    """Run the command line. Returns the exit status."""
    flags = whole_paths(given, PATHS)
    file, more = PretrainingRun.settings_file, "steps"
    config, folder = choose_run(flags, TrainConfig, file, name, resume, overwrite, may_grow=more)
    with claimed(folder, Path(config.data).stem or "run") as folder:
        run = PretrainingRun(folder, config, resume, suited=not (resume or "lr" in flags))
        if resume:  # it may have become longer
            (folder / "summary.json").unlink(missing_ok=True)
            write_settings(folder, run.config, file)
        else:
            begin_folder(folder, run.config, file)
        describe_run(run)
        if status := run.live():
            return status
        for key, value in run.finish().items():
            print(f"{key:14} {value:.6g}" if isinstance(value, float) else f"{key:14} {value}")
    print(f"everything is in {folder}; let it write: python gpt_generate.py")
    return 0


if __name__ == "__main__":
    run_script(main, *ARGUMENTS)
