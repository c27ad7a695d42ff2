"""The life of a training run, for chapters 5, 6 and 7: its state on disk, its records, its signals.

A run's folder holds its settings, `metrics.jsonl`, a row for what was measured, and
`training-STEP.pt`, all that resuming needs, the newest weights included. The model that is to be
used lies beside them in files of its own: of all that were validated it is the best, not the last.
"""

import json
import pickle
import signal
import threading
import time
from contextlib import contextmanager
from dataclasses import asdict
from functools import cached_property, partial

import torch
from tqdm import tqdm

from ch05_01_main_chapter_code.json_lines import append_json_line, read_json_lines, write_json_lines
from ch05_01_main_chapter_code.previous_chapters import (
    MANIFEST,
    check_files,
    remove_files,
    write_atomically,
    write_files,
)
from ch05_01_main_chapter_code.training import checkpoint_activations, make_optimizer

SAVE_EVERY = 500  # steps of a run by epochs


class Run:
    """One run. A chapter's own kind of run adds what differs:

    `settings_file` and `script`, for the messages; `fingerprint()`, a checksum of what is learned
    from; `save_model()`, which writes the model that is to be used; `extra_state()` and
    `take_state(state)`, if there is more to be resumed; `go(should_stop)`, which trains and says
    whether it came to the end; `finish()`, which judges the model and returns the summary.
    """

    settings_file, script = "run.json", "gpt_train.py"

    def __init__(self, folder, config, model, optimizer):
        self.folder, self.config, self.model, self.optimizer = folder, config, model, optimizer
        self.step, self.tokens, self.seconds = 0, 0, 0.0
        self.best = None  # {"step", "val_loss"} of the model that is kept

    # --- State ------------------------------------------------------------------------------------

    @cached_property
    def beginning(self):
        """The fingerprint, computed once: neither the data nor the frozen weights change in a run."""
        return self.fingerprint()

    def extra_state(self):
        return {}

    def take_state(self, state):
        pass

    def trained(self):
        """{name: tensor} of the weights that learn."""
        named = self.model.named_parameters()
        return {name: tensor.detach() for name, tensor in named if tensor.requires_grad}

    def save_state(self):
        """Write all that resuming needs, in one step, in place of the state before.

        Raises FloatingPointError, and writes nothing, where a weight is no number any more.
        """
        weights = self.trained()
        for name, tensor in weights.items():
            if not tensor.isfinite().all():
                raise FloatingPointError(
                    f"{name} holds numbers that are not finite after step {self.step}; what was "
                    "saved before is kept. Start anew with a smaller --lr"
                )
        state = {"weights": weights, "optimizer": self.optimizer.state_dict()}
        state |= {"torch_rng": torch.get_rng_state(), "data": self.beginning}
        if torch.cuda.is_available():
            state["cuda_rng"] = torch.cuda.get_rng_state_all()
        names = ("step", "tokens", "seconds", "best")
        state |= {name: getattr(self, name) for name in names} | self.extra_state()
        name, old = state_name(self.step), [path.name for path in states(self.folder)]
        writer = {name: partial(torch.save, state)}
        write_files(self.folder, writer, remove=[other for other in old if other != name])

    def restore(self):
        """Take up the newest state. Raises ValueError where it is missing, damaged or another's."""
        state = read_state(self.folder, self.settings_file, next(self.model.parameters()).device)
        if state["data"] != self.beginning:
            raise ValueError(
                f"{self.config.data} is not the text that {self.folder.name} began with, or the model "
                "that it began with is another one by now; bring it back"
            )
        named = dict(self.model.named_parameters())
        with torch.no_grad():
            for name, tensor in state["weights"].items():
                named[name].copy_(tensor)
        self.optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["torch_rng"].cpu())
        if "cuda_rng" in state and torch.cuda.is_available():
            torch.cuda.set_rng_state_all([part.cpu() for part in state["cuda_rng"]])
        for name in ("step", "tokens", "seconds", "best"):
            setattr(self, name, state[name])
        self.take_state(state)
        self.cut_records()

    # --- Records ----------------------------------------------------------------------------------

    def record(self, **row):
        """Add a row to metrics.jsonl."""
        append_json_line(self.folder / "metrics.jsonl", row)

    def cut_records(self):
        """Take the rows after this step out of metrics.jsonl: they will be written again."""
        path = self.folder / "metrics.jsonl"
        rows = read_json_lines(path) if path.exists() else []
        try:
            kept = [row for row in rows if row["step"] <= self.step]
        except (KeyError, TypeError):
            raise ValueError(f"{path} is damaged: a row has no step; delete the file") from None
        write_json_lines(path, kept)

    def keep_if_best(self, val_loss, **measured):
        """Write the model if no earlier one had a lower loss on held-out text. Returns a sentence
        on how it compares with the best. `measured`: what else is kept of it.
        """
        if self.best is None or val_loss < self.best["val_loss"]:
            self.best = {"step": self.step, "val_loss": val_loss} | measured
            self.save_model()
            return ""
        best = f"{self.best['val_loss']:.4f} at step {self.best['step']}"
        return f"  not better than {best}, which is kept"

    def write_summary(self, summary):
        """Write summary.json, with which the run has come to its end."""
        text = json.dumps(summary, indent=2) + "\n"
        write_atomically(self.folder / "summary.json", lambda path: path.write_text(text))

    def forget_state(self):
        """Remove what only resuming needs."""
        remove_files(self.folder, [path.name for path in states(self.folder)])

    # --- Training ---------------------------------------------------------------------------------

    def describe(self):
        """Print which run this is, and its settings."""
        begun = f", from step {self.step}" if self.step else ""
        settings = [
            f"{key}={value}" for key, value in asdict(self.config).items() if value is not None
        ]
        print(f"run        {self.folder}{begun}")
        print(f"settings   {', '.join(settings)}")

    @contextmanager
    def progress(self, total):
        """A progress bar of `total` steps; yields it and `advance(loss, tokens)`, to be called
        after each step.
        """
        started, tokens_before = time.perf_counter() - self.seconds, self.tokens
        options = dict(unit="step", mininterval=1.0, dynamic_ncols=True)
        with tqdm(total=total, initial=self.step, **options) as bar:

            def advance(loss, tokens):
                self.step += 1
                self.tokens += tokens
                self.seconds = time.perf_counter() - started
                speed = (self.tokens - tokens_before) / max(bar.format_dict["elapsed"], 1e-9)
                bar.set_postfix_str(f"loss {loss:.3f}, {speed:,.0f} tokens/s", refresh=False)
                bar.update()

            yield bar, advance

    def live(self):
        """Train to the end, or until a signal asks to stop, and then save the state. Returns the
        exit status: 0, or 128 and the signal's number.
        """
        with polite_interrupt() as stopped:
            ended = self.go(stopped)
            if not ended:
                self.save_state()
        if ended:
            return 0
        print(
            f"stopped at step {self.step}; its state is whole. "
            f"Go on: python {self.script} --name {self.folder.name} --resume"
        )
        return 128 + stopped()


class EpochRun(Run):
    """A run by epochs, as chapters 6 and 7 make them: `history` is that of `EpochHistory`.

    A chapter adds `learn(**how)`, its `fine_tune` with the run's model and data, `how` being the
    other arguments. `plan`: the settings of all steps; `lengths`: of the rows that are learned
    from, in tokens.
    """

    def __init__(self, folder, config, model, plan, lengths):
        self.plan, self.history = plan, {"losses": [], "epochs": []}
        rows_per_step = plan.batch_size * plan.grad_accum
        self.tokens_per_step = round(lengths.float().mean().item() * rows_per_step)
        super().__init__(folder, config, model, make_optimizer(model, plan))
        torch.manual_seed(config.seed)

    def extra_state(self):
        return {"history": self.history}

    def take_state(self, state):
        self.history = state["history"]

    def go(self, should_stop=lambda: False):
        """Train to the end, or until `should_stop()`. Returns True at the end."""
        with self.progress(self.plan.steps) as (bar, advance):

            def on_step(step, loss, row):
                advance(loss, self.tokens_per_step)
                self.record(step=self.step, loss=loss)
                if row:
                    self.record(step=self.step, **row)
                    compared = self.keep_if_best(row["val_loss"]) if "val_loss" in row else ""
                    bar.write(as_words(row) + compared)
                if row or self.step % SAVE_EVERY == 0:
                    self.save_state()
                return should_stop()

            if self.step < self.plan.steps and not should_stop():
                begun = dict(optimizer=self.optimizer, history=self.history)
                self.learn(on_step=on_step, **begun, **step_settings(self.config))
        return self.step == self.plan.steps


def step_settings(config):
    """The fields of a run's settings that its plan is made of, {name: value}."""
    names = ("batch_size", "grad_accum", "lr", "weight_decay", "seed", "dtype")
    return {name: getattr(config, name) for name in names}


def make_ready(model, config):
    """Do with a model what the flags --activation-checkpointing and --compile ask for."""
    if config.activation_checkpointing:
        checkpoint_activations(model)
    if config.compile:
        for block in model.blocks:
            block.compile(dynamic=True)


def as_words(row):
    """A row of records as a line: {"val_loss": 0.25} becomes "val loss 0.25"."""
    return ", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in row.items())


# --- The state of a run on disk -------------------------------------------------------------------

STATE = {"weights", "optimizer", "torch_rng", "data", "step", "tokens", "seconds", "best"}


def state_name(step):
    return f"training-{step:06}.pt"


def states(folder):
    """The state files in a run's folder, the newest last."""
    return sorted(folder.glob("training-*.pt"), key=lambda path: (len(path.name), path.name))


def read_state(folder, settings_file, device="cpu"):
    """The newest state of a run. Raises ValueError where there is none, or it is damaged."""
    anew = "start anew with --overwrite"
    check_files(folder, [settings_file])  # and a write that was killed is put in place
    if not states(folder):
        raise ValueError(f"{folder.name} has saved nothing yet to go on from; {anew}")
    path = states(folder)[-1]
    if not (folder / MANIFEST).exists():
        raise ValueError(f"{folder} cannot be resumed: {MANIFEST} is missing; {anew}")
    check_files(folder, [path.name])
    try:
        state = torch.load(path, weights_only=True, map_location=device)
    except (RuntimeError, EOFError, OSError, pickle.UnpicklingError) as error:
        raise ValueError(f"{path} is damaged ({type(error).__name__}); {anew}") from None
    if not STATE <= state.keys():
        raise ValueError(f"{path} is of another version of this course; {anew}")
    return state


# --- Signals --------------------------------------------------------------------------------------

SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]


@contextmanager
def polite_interrupt():
    """Yields a function that gives the number of the signal that asked to stop, or 0: Ctrl-C, and
    where the system has them SIGTERM and SIGHUP. The step at hand is finished first; Ctrl-C again
    ends at once. A signal that is ignored, as by `nohup`, stays ignored, and in a thread, which
    gets no signals, nothing changes.
    """
    asked = []

    def handler(number, _):
        if asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        asked.append(int(number))

    before = {}
    if threading.current_thread() is threading.main_thread():
        heard = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
        before = {number: signal.signal(number, handler) for number in heard}
    try:
        yield lambda: asked[0] if asked else 0
    finally:
        for number, old in before.items():
            signal.signal(number, old)
