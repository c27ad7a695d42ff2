"""Teach a language model to follow instructions: `python gpt_instruction_finetuning.py`.

With no flags, `tales-gpt`, which can only tell stories, learns to answer questions about them, to
change them and to write them to order. `--data FILE` takes your own instructions. Everything that a
run makes lies in `runs/NAME/`; Ctrl-C ends it cleanly, and `--resume` goes on.
"""

try:
    from ch07_01_main_chapter_code.instruction_arguments import InstructConfig, instruct_arguments
except ModuleNotFoundError as error:
    raise SystemExit(
        f"{error}: install the course with `pip install -r requirements.txt` in its main folder"
    ) from None

if __name__ == "__main__":  # before torch is loaded, which takes two seconds
    ARGUMENTS = instruct_arguments()

import os
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import ConcatDataset, Dataset
from tqdm import tqdm

from ch07_01_main_chapter_code.instruct_model import (
    LARGE,
    STRENGTHS,
    choose_trained,
    find_instruct,
    lengthen,
    load_instruct,
    save_instruct,
)
from ch07_01_main_chapter_code.instructions import grade
from ch07_01_main_chapter_code.previous_chapters import (
    DOWNLOADED_CORPORA,
    EMBEDDED_CORPORA,
    END,
    PUBLISHED,
    START,
    SYSTEM,
    EpochHistory,
    EpochRun,
    batches_by_length,
    begin_folder,
    chat_ids,
    choose_run,
    claimed,
    crc,
    evaluating,
    frozen_of,
    generate_ids,
    language_model_loss,
    load_model,
    make_ready,
    needed_end_of_text,
    parse_tale,
    pick_device,
    plan_epochs,
    replay_rows,
    run_script,
    sample_stories,
    spared_loss,
    step_settings,
    suited_rate,
    tokenizer_of,
    trained_in_words,
    trained_share,
    whole_paths,
    write_json_lines,
)
from ch07_01_main_chapter_code.previous_chapters import train as take_steps
from ch07_01_main_chapter_code.tasks.score_reports import curve_of, exact, plot_scores
from ch07_01_main_chapter_code.tasks.sets import load_instructions, score, wilson
from scratch_llm_tools.console import printable

__all__ = [  # also what notebooks and readers call by way of this file, though it lives elsewhere
    "InstructionDataset",
    "InstructRun",
    "STYLES",
    "TalkDataset",
    "WithReplay",
    "answer_loss",
    "choose_trained",
    "collate",
    "find_instruct",
    "fine_tune",
    "format_prompt",
    "lengthen",
    "load_instruct",
    "plot_scores",
    "prompt_ids",
    "respond",
    "save_instruct",
    "step_plan",
    "valid_share",
]

STYLES = ("tales", "alpaca", "turns", "chat")


# --- The data -------------------------------------------------------------------------------------


def format_prompt(entry, style="alpaca"):
    """The text of an entry up to the place where its answer begins.

    `tales`: the input, then the instruction, and no word more, for a model that has read nothing
    but tales; `alpaca`: under headings; `turns`: as a talk in plain words; `chat`: as a talk whose
    turns are marked by special tokens.
    """
    instruction, text = entry["instruction"], entry["input"]
    message = f"{instruction}\n\n{text}" if text else instruction
    if style == "tales":
        return f"{text}\n{instruction}\n" if text else f"{instruction}\n"
    if style == "alpaca":
        heading = f"\n\n### Input:\n{text}" if text else ""
        return f"Do what the instruction says.\n\n### Instruction:\n{instruction}{heading}\n\n### Response:\n"
    if style == "turns":
        return f"User: {message}\nAssistant: "
    if style == "chat":
        turns = f"{START}system\n{SYSTEM}{END}\n{START}user\n{message}{END}\n"
        return f"{turns}{START}assistant\n"
    raise ValueError(f"a prompt's style is {', '.join(STYLES)}, not {style!r}")


def prompt_ids(entry, tokenizer, style="alpaca"):
    """`format_prompt` as ids. Only the template writes special tokens: an entry that contains
    `<|im_end|>` ends nothing.

    All styles but `chat` begin with the end-of-text token, as documents did when the model learned
    to read.
    """
    if style == "chat":
        text = f"\n\n{entry['input']}" if entry["input"] else ""
        return chat_ids(tokenizer, entry["instruction"] + text)
    return [needed_end_of_text(tokenizer), *tokenizer.encode(format_prompt(entry, style))]


class InstructionDataset(Dataset):
    """Entries as rows of ids for chapter 5's `train`: (inputs, targets), (tokens,) each, every row
    as long as it is.

    `rows` holds for each entry its ids, prompt, answer and end-of-text token, and how many of them
    are prompt. An entry of which the model would read more than `max_tokens` ids is left out;
    `n_left_out` counts these.

    >>> from ch02_01_main_chapter_code.tokenizer import gpt2_tokenizer
    >>> entries = [{"instruction": "Write the plural.", "input": "ox", "output": "oxen"}]
    >>> dataset = InstructionDataset(entries, gpt2_tokenizer(), max_tokens=1024)
    >>> inputs, targets = dataset[0]
    """

    def __init__(self, entries, tokenizer, style="alpaca", max_tokens=1024, answer_only=True):
        self.end_of_text, self.answer_only = needed_end_of_text(tokenizer), answer_only
        self.entries, self.rows = [], []
        for entry in entries:
            prompt = prompt_ids(entry, tokenizer, style)
            ids = [*prompt, *tokenizer.encode(entry["output"]), tokenizer.end_of_text]
            if len(ids) - 1 <= max_tokens:
                self.entries.append(entry)
                self.rows.append((torch.tensor(ids), len(prompt)))
        self.n_left_out = len(entries) - len(self.rows)
        self.lengths = torch.tensor([len(ids) - 1 for ids, _ in self.rows])

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        inputs, targets = collate([self.rows[index]], self.end_of_text, self.answer_only)
        return inputs[0], targets[0]


class TalkDataset(Dataset):
    """Entries as rows like those of `InstructionDataset`, except that neighbours with the same
    input share a row, as the turns of one talk: the input is read once, and the later instructions
    stand without it behind the answers before them.

    `rows` holds of each row the ids, and which of them are learned from. A talk that would become
    longer than `max_tokens` goes on in a new row, with the input; an entry that is too long by
    itself is left out.
    """

    def __init__(self, entries, tokenizer, style="alpaca", max_tokens=1024, answer_only=True):
        def turn(entry, first):
            prompt = prompt_ids(entry if first else entry | {"input": ""}, tokenizer, style)
            if (
                not first and prompt[0] == tokenizer.end_of_text
            ):  # the one that ended the last answer serves for both
                del prompt[0]
            answer = [*tokenizer.encode(entry["output"]), tokenizer.end_of_text]
            return prompt + answer, [not answer_only] * len(prompt) + [True] * len(answer)

        self.entries, rows, about = [], [], ""
        for entry in entries:
            ids, learned = turn(entry, first=not about or entry["input"] != about)
            if about and entry["input"] == about:
                if len(rows[-1][0]) + len(ids) - 1 <= max_tokens:
                    rows[-1] = rows[-1][0] + ids, rows[-1][1] + learned
                    self.entries.append(entry)
                    continue
                ids, learned = turn(entry, first=True)
            if len(ids) - 1 <= max_tokens:
                rows.append((ids, learned))
                self.entries.append(entry)
                about = entry["input"]
        self.rows = [(torch.tensor(ids), torch.tensor(learned)) for ids, learned in rows]
        self.n_left_out = len(entries) - len(self.entries)
        self.lengths = torch.tensor([len(ids) - 1 for ids, _ in rows])

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        ids, learned = self.rows[index]
        return ids[:-1], ids.masked_fill(~learned, -100)[1:]


def collate(rows, end_of_text, answer_only=True):
    """Rows, (ids, number of prompt ids) each, as inputs and targets, (batch, tokens): as long as
    the longest row.

    A target is the id that follows; it is −100, and counts nowhere, behind the end-of-text token
    that ends the answer, and with `answer_only` in the prompt as well.
    """
    batch = nn.utils.rnn.pad_sequence(
        [ids for ids, _ in rows], batch_first=True, padding_value=end_of_text
    )
    n_prompt = torch.tensor([count for _, count in rows])[:, None]  # (batch, 1)
    in_prompt = torch.arange(batch.shape[1]) < n_prompt  # (batch, longest row)
    ends = (batch == end_of_text) & ~in_prompt
    behind = (
        ends.cumsum(dim=1) > ends.long()
    )  # an end before this place: the first one itself still counts
    targets = batch.masked_fill(behind | in_prompt if answer_only else behind, -100)
    return batch[:, :-1], targets[:, 1:]


def with_replay(dataset, rows, share):
    """The dataset, with this share of rows of plain text among its own, if there are `rows`."""
    return dataset if rows is None else WithReplay(dataset, rows, share)


class WithReplay(ConcatDataset):
    """Instructions, and among them rows of plain text, so that the model does not forget what it
    could before.
    """

    def __init__(self, dataset, rows, share=0.1):
        count = min(len(rows), round(len(dataset) * share / (1 - share)))
        places = torch.linspace(0, len(rows) - 1, count).long().tolist()
        super().__init__([dataset, torch.utils.data.Subset(rows, places)])
        lengths = (
            rows.lengths[places]
            if hasattr(rows, "lengths")
            else torch.full((count,), len(rows[0][0]))
        )
        self.lengths = torch.cat([dataset.lengths, lengths])


# --- Training -------------------------------------------------------------------------------------


def step_plan(model, n_rows, num_epochs=1, lr=None, seed=0, **settings):
    """Chapter 5's settings for so many epochs: a twentieth of the steps warms up, then the rate
    falls in a line. `lr`, the highest rate, follows from what is trained, and from the width and
    the size of the model, if it is not given; `settings`: other fields of `TrainConfig`.
    """
    large = sum(parameter.numel() for parameter in model.parameters()) > LARGE
    lr = lr or suited_rate(STRENGTHS[model.trained][large], model.config.emb_dim)
    return plan_epochs(n_rows, num_epochs, 20, lr=lr, seed=seed, **settings)


def fine_tune(
    model,
    train_dataset,
    num_epochs=3,
    train=None,
    val_dataset=None,
    replay=None,
    replay_share=0.1,
    blocks=1,
    rank=8,
    alpha=16,
    optimizer=None,
    history=None,
    on_step=None,
    **settings,
):
    """Train a language model on an `InstructionDataset`, by chapter 5's `train`. Returns the model
    and its history (see `EpochHistory`).

    `train`: `all`, `last-blocks` or `lora` (see `choose_trained`; default: what it was told before,
    or all); `replay`: rows of plain text, of which `replay_share` of the rows are taken;
    `settings`: those of `step_plan`. With its `history` and `optimizer`, training goes on where it
    ended. `on_step(step, loss, row)` is called after each step, `row` being that of the epoch it
    completed, or None; it ends the training by returning True. Raises ValueError for entries that
    do not fit the model, FloatingPointError if the loss is no number.
    """
    check_entries(model, train_dataset)
    if train:
        choose_trained(model, train, blocks, rank, alpha, settings.get("seed", 0))
    rows = with_replay(train_dataset, replay, replay_share)
    plan = step_plan(model, len(rows), num_epochs, **settings)
    epochs = EpochHistory(
        plan.steps // num_epochs, history, partial(validation, model, val_dataset)
    )

    def after_step(step, loss, norm, n_targets):
        row = epochs.add(loss)
        return on_step and on_step(step, loss, row)

    done = len(epochs.history["losses"])
    take_steps(model, rows, plan, optimizer, done, after_step, batch_loss=spared_loss)
    return model.eval(), epochs.history


def validation(model, dataset):
    """The loss on the answers of held-out entries, for the history; nothing without entries."""
    return {"val_loss": answer_loss(model, dataset)} if dataset else {}


def check_entries(model, dataset):
    """Raises ValueError, with both numbers, where a dataset was not made for this model."""
    if not len(dataset):
        raise ValueError("there is no entry to learn from, or none that the model can read whole")
    longest, context_length = int(dataset.lengths.max()), model.config.context_length
    if longest > context_length:
        raise ValueError(
            f"an entry has {longest} tokens, the model reads {context_length}; lengthen it, or give max_tokens"
        )
    highest = max(int(ids.max()) for ids, _ in dataset.rows)
    if highest >= model.config.vocab_size:
        raise ValueError(
            f"an entry has the id {highest}, the model knows {model.config.vocab_size}; use its own tokenizer"
        )


@torch.inference_mode()
def answer_loss(model, dataset):
    """Mean −ln p over the tokens of all answers, their end-of-text token counted, in nats per
    token.
    """
    device = next(model.parameters()).device
    total, count = 0.0, 0
    with evaluating(model):
        for picked in batches_by_length(dataset.lengths):
            inputs, targets = collate([dataset.rows[i] for i in picked], dataset.end_of_text)
            here = int((targets != -100).sum())
            loss = language_model_loss(model(inputs.to(device)), targets.to(device))
            total += float(loss) * here
            count += here
    return total / count


# --- Using it -------------------------------------------------------------------------------------


def respond(model, entries, style=None, max_tokens=200, batch_size=64, on_batch=None, **sampling):
    """The model's answers to entries, as strings; one entry gives one string. The `output` of an
    entry is not looked at.

    Greedy unless `temperature` and the like (see chapter 5's `sample_next`) say otherwise. Prompts
    of about the same length go together, padded on the left, with cached keys and values. An answer
    ends at the end-of-text token, after `max_tokens`, or where the context is full.
    `on_batch(count)` is called after each batch.

    Raises ValueError for a prompt that does not fit into the model's context.
    """
    listed = [entries] if isinstance(entries, dict) else list(entries)
    tokenizer, style = tokenizer_of(model), style or model.style or "alpaca"
    prompts = [prompt_ids(entry, tokenizer, style) for entry in listed]
    window, answers = model.config.context_length, [None] * len(listed)
    for number, ids in enumerate(prompts, start=1):
        if len(ids) > window:
            raise ValueError(
                f"prompt {number} has {len(ids)} tokens, the model reads {window}; make it shorter"
            )
    order = sorted(range(len(prompts)), key=lambda i: -len(prompts[i]))
    for start in range(0, len(order), batch_size):
        picked = order[start : start + batch_size]
        new_ids = answer_ids(
            model, [prompts[i] for i in picked], max_tokens, **({"temperature": 0} | sampling)
        )
        for i, ids in zip(picked, new_ids, strict=True):
            answers[i] = tokenizer.decode(ids)
        if on_batch:
            on_batch(len(picked))
    return answers[0] if isinstance(entries, dict) else answers


def answer_ids(model, prompts, max_tokens, **sampling):
    """Chapter 5's `generate_ids`, where a row ends when the context is full, whatever goes on in
    the rows beside it.

    The window never slides, which would compute everything anew for each token: the rows that have
    room left when the longest one is full go on without it.
    """
    rooms = [min(max_tokens, model.config.context_length + 1 - len(ids)) for ids in prompts]
    new_ids, running = [[] for _ in prompts], list(range(len(prompts)))
    while running:
        count = min(rooms[i] - len(new_ids[i]) for i in running)
        longer = [prompts[i] + new_ids[i] for i in running]
        made = generate_ids(model, longer, count, model.tokenizer.end_of_text, **sampling)
        for i, ids in zip(running, made, strict=True):
            new_ids[i] += ids
        ended = {i for i, ids in zip(running, made, strict=True) if len(ids) < count}
        running = [i for i in running if i not in ended and len(new_ids[i]) < rooms[i]]
    return new_ids


# --- A run and its folder -------------------------------------------------------------------------

TALES_CONTEXT = 320  # tokens of the longest entry about a tale; tales-gpt was made for 192
STORIES_JUDGED, STORY_TOKENS = 200, 192


def filled_in(config):
    """The settings with those that depend on others: style, context length, replay, the longest
    answer.
    """
    tales = config.data == "tales"
    style = config.style or (
        "tales" if tales else "chat" if config.base == "smollm2-135m" else "alpaca"
    )
    context_length = config.context_length or (TALES_CONTEXT if tales else None)
    return replace(
        config,
        style=style,
        context_length=context_length,
        max_tokens=config.max_tokens or (150 if tales else 200),
        replay=config.replay or ("tales" if tales else None),
    )


def valid_share(model):
    """The share of Tiny Tales among the stories that the model makes up from nothing."""
    stories = sample_stories(model, model.tokenizer, STORIES_JUDGED, STORY_TOKENS)
    return sum(parse_tale(story) is not None for story in stories) / len(stories)


class InstructRun(EpochRun):
    """A run of this script: a model that learns to follow instructions."""

    settings_file, script = "instruct-run.json", "gpt_instruction_finetuning.py"

    def __init__(self, folder, config, resume=False):
        config = filled_in(config)
        entries = load_instructions(config.data, config.made, config.fresh, config.seed)
        model = load_model(config.base).to(pick_device(config.device))
        model.tokenizer, model.style = tokenizer_of(model), config.style
        lengthen(model, config.context_length or 0, config.seed)
        self.make_datasets(config, entries, model)
        self.replay = replay_rows(model, config) if config.replay else None
        choose_trained(model, config.train, config.blocks, config.rank, config.alpha, config.seed)
        check_entries(model, self.train_set)
        make_ready(model, config)
        self.before = None
        rows = with_replay(self.train_set, self.replay, config.replay_share)
        plan = step_plan(model, len(rows), config.epochs, **step_settings(config))
        super().__init__(folder, config, model, plan, self.train_set.lengths)
        if resume:
            self.restore()

    def make_datasets(self, config, entries, model):
        """The entries to learn from, to watch and to test, as rows of ids."""
        limit = config.context_length or model.config.context_length
        settings = dict(tokenizer=model.tokenizer, style=config.style, max_tokens=limit)
        make = partial(InstructionDataset, **settings)
        make_rows = partial(TalkDataset, **settings) if config.data == "tales" else make
        self.train_set = make_rows(entries.train, answer_only=config.loss == "answer")
        self.val_set, self.test_set = make(entries.validation), make(entries.test)
        if not len(self.test_set):
            raise ValueError(
                f"no test entry has at most {limit} tokens; give a larger --context-length"
            )

    def fingerprint(self):
        """A checksum of what is learned from, and of the frozen weights."""
        return crc([*(ids for ids, _ in self.train_set.rows), *frozen_of(self.model)])

    def extra_state(self):
        return super().extra_state() | {"before": self.before}

    def take_state(self, state):
        super().take_state(state)
        self.before = state["before"]

    def save_model(self):
        save_instruct(self.model, self.folder, self.config.style, self.config.base)

    def examine(self, name):
        """Answer all test entries and write `answers-NAME.jsonl`. Returns {"scores",
        "valid_share"}.
        """
        entries, longest = self.test_set.entries, self.config.max_tokens
        options = dict(desc=f"test {name}", unit="answer", delay=2, dynamic_ncols=True)
        with tqdm(total=len(entries), **options) as bar:
            answers = respond(self.model, entries, max_tokens=longest, on_batch=bar.update)
        rows = [
            entry | {"model_response": answer, "right": grade(entry, answer)}
            for entry, answer in zip(entries, answers, strict=True)
        ]
        write_json_lines(self.folder / f"answers-{name}.jsonl", rows)
        share = valid_share(self.model) if self.config.data == "tales" else None
        return {"scores": score(entries, answers), "valid_share": share}

    def go(self, should_stop=lambda: False):
        """Answer the test, if that was not done yet, and train to the end, or until
        `should_stop()`. Returns True at the end.
        """
        if self.before is None:
            self.before = self.examine("before")
            self.save_state()
        return super().go(should_stop)

    def learn(self, **how):
        """Take the steps that are left."""
        replay = dict(replay=self.replay, replay_share=self.config.replay_share)
        epochs = self.config.epochs
        fine_tune(self.model, self.train_set, epochs, val_dataset=self.val_set, **replay, **how)

    def finish(self):
        """Test the best model, and write what came of it. Returns the summary."""
        trained, total = trained_share(self.model)
        if self.best is None:
            self.save_model()
        elif self.best["step"] != self.step:
            self.model = load_instruct(self.folder, next(self.model.parameters()).device)
        after = self.examine("after")
        best = self.best or {"step": self.step, "val_loss": None}
        kinds = {
            kind: {"before": self.before["scores"][kind], "after": counts}
            for kind, counts in after["scores"].items()
        }
        summary = {"before": exact(self.before["scores"]), "after": exact(after["scores"])}
        summary |= {"val_loss": best["val_loss"], "seconds": round(self.seconds, 1)}
        summary |= {
            "valid_share_before": self.before["valid_share"],
            "valid_share_after": after["valid_share"],
        }
        summary |= {"trained": trained, "parameters": total, "steps": self.plan.steps}
        summary |= {"best_step": best["step"], "entries": len(self.train_set.entries)}
        summary |= {"kinds": kinds, "settings": asdict(self.config)}
        summary |= {"machine": machine_of(self.model), "curve": curve_of(self.history["losses"])}
        plot_scores(summary, self.folder / "report.png")
        self.write_summary(summary)
        self.forget_state()
        return summary


def machine_of(model):
    """What the numbers of a run were measured on."""
    device = next(model.parameters()).device
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{os.cpu_count()} CPU cores"


# --- The command line -----------------------------------------------------------------------------


# Flags that may be paths, and what else they may be called.
PATHS = {
    "data": ("tales", "own", "alpaca"),
    "base": PUBLISHED,
    "replay": EMBEDDED_CORPORA + DOWNLOADED_CORPORA,
}


@contextmanager
def open_instruct_run(given, name=None, resume=False, overwrite=False):
    """The `InstructRun` that the flags ask for, new or resumed; its folder is locked inside."""
    file, flags = InstructRun.settings_file, whole_paths(given, PATHS)
    config, folder = choose_run(flags, InstructConfig, file, name, resume, overwrite)
    with claimed(folder, Path(config.data).stem or "run") as folder:
        run = InstructRun(folder, config, resume)
        if not resume:
            begin_folder(folder, run.config, file)
        yield run


def show_settings(run):
    """Print what is about to happen."""
    left_out = sum(dataset.n_left_out for dataset in (run.train_set, run.val_set, run.test_set))
    context_length = run.model.config.context_length
    run.describe()
    print(f"model      {trained_in_words(run.model)}; it reads {context_length:,} tokens")
    print(
        f"data       {len(run.train_set.entries):,} entries to learn from in {len(run.train_set):,} rows, "
        f"{int(run.train_set.lengths.sum()):,} tokens; {len(run.val_set):,} to watch, {len(run.test_set):,} to test; "
        f"{run.plan.steps:,} steps"
    )
    if left_out:
        print(f"left out   {left_out:,} entries are longer than the model reads")


def show_summary(summary):
    """The test in a few lines: all kinds together, then each with its interval."""
    for kind, scores in summary["kinds"].items():
        (right, total), (low, high) = scores["after"], wilson(*scores["after"])
        before = 100 * scores["before"][0] / scores["before"][1]
        print(
            f"  {kind:13} before {before:5.1f} %   after {100 * right / total:5.1f} % ({right} of {total}, "
            f"{100 * low:.0f} … {100 * high:.0f} %)"
        )
    for name in ("before", "after"):
        part = summary[name]
        if part["of"]:
            low, high = part["interval"]
            print(
                f"{name:7} exactly right: {part['right']} of {part['of']}, {100 * part['share']:.1f} % "
                f"(95 % interval {100 * low:.1f} … {100 * high:.1f} %)"
            )
    if summary["valid_share_after"] is not None:
        print(
            f"valid stories from nothing: {100 * summary['valid_share_before']:.1f} % before, "
            f"{100 * summary['valid_share_after']:.1f} % after"
        )
    print(f"{summary['seconds']:.0f} s of training")


def answer_prompts(prompts, about, model, device="cpu", max_tokens=200):
    """Print a fine-tuned model's answer to each instruction."""
    if not all(prompt.strip() for prompt in prompts):
        raise ValueError("the instruction is empty; say what is to be done")
    follower = load_instruct(model, pick_device(device))
    for answer in respond(
        follower,
        [{"instruction": prompt, "input": about} for prompt in prompts],
        max_tokens=max_tokens,
    ):
        print(printable(answer))
    return 0


def main(given, others):
    """Run the command line. Returns the exit status."""
    prompts, about, model = (others.pop(key) for key in ("prompt", "input", "model"))
    if prompts or model or about:
        if not prompts:
            raise ValueError("--model and --input belong to an instruction: give it with --prompt")
        kept = {key: given[key] for key in ("device", "max_tokens") if key in given}
        return answer_prompts(prompts, about, model, **kept)
    with open_instruct_run(given, **others) as run:
        show_settings(run)
        if status := run.live():
            return status
        show_summary(run.finish())
    print(
        f"everything is in {run.folder}; "
        "use it: python gpt_instruction_finetuning.py --prompt INSTRUCTION --input TEXT"
    )
    return 0


if __name__ == "__main__":
    run_script(main, *ARGUMENTS)
