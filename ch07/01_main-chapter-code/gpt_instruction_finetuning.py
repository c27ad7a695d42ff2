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

import copy
import json
import math
import os
import pickle
import time
from dataclasses import asdict, replace
from functools import partial

import torch
from torch import nn
from torch.utils.data import ConcatDataset, Dataset
from tqdm import tqdm

from ch07_01_main_chapter_code.instructions import grade
from ch07_01_main_chapter_code.previous_chapters import (
    END,
    PUBLISHED_BASES,
    START,
    SYSTEM,
    TrainConfig,
    apply_lora,
    batches_by_length,
    begin_folder,
    chat_ids,
    checkpoint_activations,
    choose_run,
    crc,
    generate_ids,
    language_model_loss,
    load_adapters,
    load_model,
    lora_layers,
    make_optimizer,
    merge_lora,
    needed_end_of_text,
    newest,
    parse_tale,
    pick_device,
    polite_interrupt,
    refuse_ended,
    replay_rows,
    run_script,
    runs_folder,
    sample_stories,
    save_adapters,
    tokenizer_of,
    trained_share,
    write_atomically,
)
from ch07_01_main_chapter_code.previous_chapters import train as take_steps
from ch07_01_main_chapter_code.tasks.sets import load_instructions, score, sum_of, wilson

STYLES = ("tales", "alpaca", "turns", "chat")
# Highest rates for models of less than ten million parameters, and for larger ones.
LEARNING_RATES = {"all": (3e-3, 5e-5), "last-blocks": (3e-3, 2e-4), "lora": (5e-3, 5e-4)}


# --- The data -------------------------------------------------------------------------------------


def format_prompt(entry, style="alpaca"):
    """The text of an entry up to the place where its answer begins.

    `tales`: the input, then the instruction, and no word more, for a model that has read nothing
    but tales; `alpaca`: under headings; `turns`: as a talk in plain words; `chat`: as a talk whose
    turns are marked by special tokens.
    """
    instruction, given = entry["instruction"], entry["input"]
    message = f"{instruction}\n\n{given}" if given else instruction
    if style == "tales":
        return f"{given}\n{instruction}\n" if given else f"{instruction}\n"
    if style == "alpaca":
        heading = f"\n\n### Input:\n{given}" if given else ""
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
        given = f"\n\n{entry['input']}" if entry["input"] else ""
        return chat_ids(tokenizer, entry["instruction"] + given)
    return [needed_end_of_text(tokenizer), *tokenizer.encode(format_prompt(entry, style))]


class InstructionDataset(Dataset):
    """Entries as rows of ids for chapter 5's `train`: (inputs, targets), (tokens,) each, every row
    as long as it is.

    `rows` holds for each entry its ids, prompt, answer and end-of-text token, and how many of them
    are prompt. An entry of which the model would read more than `max_tokens` ids is left out;
    `n_left_out` counts these.

    >>> dataset = InstructionDataset(load_entries(), gpt2_tokenizer(), max_tokens=1024)
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

        self.entries, rows, given = [], [], ""
        for entry in entries:
            ids, learned = turn(entry, first=not given or entry["input"] != given)
            if given and entry["input"] == given:
                if len(rows[-1][0]) + len(ids) - 1 <= max_tokens:
                    rows[-1] = rows[-1][0] + ids, rows[-1][1] + learned
                    self.entries.append(entry)
                    continue
                ids, learned = turn(entry, first=True)
            if len(ids) - 1 <= max_tokens:
                rows.append((ids, learned))
                self.entries.append(entry)
                given = entry["input"]
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


# --- The model ------------------------------------------------------------------------------------


def lengthen(model, context_length, seed=0):
    """Let a GPT read more tokens: its position table gets more rows, drawn like untrained ones.
    Returns the model.

    It computes the same as before on what it could read before; the new rows must be learned. A
    Llama has no table and is only told so. A shorter length than the model's own changes nothing.
    """
    old = model.config.context_length
    if context_length <= old:
        return model
    model.config = replace(model.config, context_length=context_length)
    if hasattr(model, "pos_emb"):
        dice = torch.Generator().manual_seed(seed)
        new = (
            torch.randn(context_length - old, model.config.emb_dim, generator=dice)
            * model.config.init_std
        )
        table = torch.cat([model.pos_emb.weight.detach(), new.to(model.pos_emb.weight.device)])
        model.pos_emb = nn.Embedding.from_pretrained(table, freeze=False)
        model.lengthened = True
    return model


def choose_trained(model, train="all", blocks=1, rank=8, alpha=16, seed=0):
    """Say which weights learn: `all`, the `last-blocks` (so many, and the final norm), or `lora`.
    Returns the model.

    New positions (`lengthen`) know nothing yet, so they learn in any case. Raises ValueError for
    another word.
    """
    if train not in LEARNING_RATES:
        raise ValueError(f"what can be trained is {', '.join(LEARNING_RATES)}, not {train!r}")
    if train == "last-blocks" and not 1 <= blocks <= len(model.blocks):
        raise ValueError(
            f"the model has {len(model.blocks)} blocks; {blocks} of them cannot be trained"
        )
    if train == "lora":
        with torch.random.fork_rng(
            devices=[]
        ):  # the adapters begin the same whatever was done before
            torch.manual_seed(seed)
            apply_lora(model, rank, alpha)
    else:
        model.requires_grad_(train == "all")
    if train == "last-blocks":
        model.blocks[-blocks:].requires_grad_(True)
        model.final_norm.requires_grad_(True)
    if getattr(model, "lengthened", False):
        model.pos_emb.requires_grad_(True)
    model.trained = train
    return model


# --- Training -------------------------------------------------------------------------------------


def step_plan(
    model,
    n_rows,
    num_epochs=1,
    batch_size=16,
    grad_accum=1,
    lr=None,
    weight_decay=0.01,
    seed=0,
    dtype="auto",
):
    """Chapter 5's settings for so many epochs: a twentieth of the steps warms up, then the rate
    falls in a line.
    """
    steps = num_epochs * math.ceil(n_rows / (batch_size * grad_accum))
    large = sum(parameter.numel() for parameter in model.parameters()) > 10_000_000
    lr = lr or LEARNING_RATES[getattr(model, "trained", "all")][large]
    return TrainConfig(
        steps=steps,
        lr=lr,
        warmup=steps // 20,
        batch_size=batch_size,
        grad_accum=grad_accum,
        weight_decay=weight_decay,
        seed=seed,
        dtype=dtype,
    )


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
    and its history.

    `train`: `all`, `last-blocks` or `lora` (see `choose_trained`; default: what it was told before,
    or all); `replay`: rows of plain text, of which `replay_share` of the rows are taken;
    `settings`: those of `step_plan`.

    The history: `losses` of all steps, and `epochs`, a row for each with its mean loss and, where
    there is a `val_dataset`, the loss on the answers of that. Given together with its `optimizer`,
    training goes on where it ended. `on_step(step, loss, row)` is called after each step, `row`
    being that of the epoch it completed, or None; it ends the training by returning True.

    Raises ValueError for entries that do not fit the model, FloatingPointError if the loss is no
    number.
    """
    check_entries(model, train_dataset)
    if train:
        choose_trained(model, train, blocks, rank, alpha, settings.get("seed", 0))
    rows = train_dataset if replay is None else WithReplay(train_dataset, replay, replay_share)
    config = step_plan(model, len(rows), num_epochs, **settings)
    history = history or {"losses": [], "epochs": []}
    losses, per_epoch = history["losses"], config.steps // num_epochs

    def after_step(step, loss, norm, n_targets):
        losses.append(loss)
        row = None
        if (step + 1) % per_epoch == 0:
            row = {
                "epoch": (step + 1) // per_epoch,
                "train_loss": sum(losses[-per_epoch:]) / per_epoch,
            }
            row |= {"val_loss": answer_loss(model, val_dataset)} if val_dataset else {}
            history["epochs"].append(row)
        return on_step and on_step(step, loss, row)

    take_steps(model, rows, config, optimizer, len(losses), after_step)
    return model.eval(), history


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
    device, was_training = next(model.parameters()).device, model.training
    model.eval()
    total, count = 0.0, 0
    for picked in batches_by_length(dataset.lengths):
        inputs, targets = collate([dataset.rows[i] for i in picked], dataset.end_of_text)
        here = int((targets != -100).sum())
        total += float(language_model_loss(model(inputs.to(device)), targets.to(device))) * here
        count += here
    model.train(was_training)
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
    tokenizer, style = tokenizer_of(model), style or getattr(model, "style", "alpaca")
    prompts = [prompt_ids(entry, tokenizer, style) for entry in listed]
    window, answers = model.config.context_length, [None] * len(listed)
    for number, ids in enumerate(prompts, start=1):
        if len(ids) > window:
            raise ValueError(
                f"prompt {number} has {len(ids)} tokens, the model reads {window}; make it shorter"
            )
    order = sorted(range(len(prompts)), key=lambda i: -len(prompts[i]))
    was_training = model.training
    model.eval()
    for start in range(0, len(order), batch_size):
        picked = order[start : start + batch_size]
        new_ids = answer_ids(
            model, [prompts[i] for i in picked], max_tokens, **({"temperature": 0} | sampling)
        )
        for i, ids in zip(picked, new_ids, strict=True):
            answers[i] = tokenizer.decode(ids)
        if on_batch:
            on_batch(len(picked))
    model.train(was_training)
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


# --- Models on disk -------------------------------------------------------------------------------
#
#   instruct.json        the style of the prompts, the base, and what was trained
#   a checkpoint         as save_pretrained writes it: every script of the course can use it; adapters are merged
#   or adapters alone    where the base has a name by which anybody can get it, and was left as it was


def save_instruct(model, folder, style, base=None):
    """Write a fine-tuned model to `folder`. Adapters on a published `base` are kept as adapters, a
    small file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    adapters = (
        bool(lora_layers(model))
        and base in PUBLISHED_BASES
        and not getattr(model, "lengthened", False)
    )
    frozen = [
        tensor for name, tensor in sorted(model.named_parameters()) if not tensor.requires_grad
    ]
    about = {
        "style": style,
        "base": base,
        "trained": getattr(model, "trained", "all"),
        "adapters": adapters,
    }
    if adapters:
        save_adapters(model, folder, base)
        about["crc32"] = crc(frozen)
    else:
        merge_lora(copy.deepcopy(model)).save_pretrained(folder, tokenizer_of(model))
    text = json.dumps(about, indent=2) + "\n"
    write_atomically(folder / "instruct.json", lambda path: path.write_text(text, encoding="utf-8"))


def load_instruct(name_or_folder=None, device="cpu"):
    """A fine-tuned model by the name of its run or by its folder, with its `style`; None is the one
    saved last.

    Raises FileNotFoundError where there is none, ValueError where it is damaged or its base is
    another one by now.
    """
    folder = find_instruct(name_or_folder)
    try:
        about = json.loads((folder / "instruct.json").read_text(encoding="utf-8"))
        style, base, adapters = about["style"], about["base"], about["adapters"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{folder / 'instruct.json'} is damaged: {error}") from None
    if adapters:
        model = load_adapters(load_model(base), folder)
        if (
            crc(
                [
                    tensor
                    for _, tensor in sorted(model.named_parameters())
                    if not tensor.requires_grad
                ]
            )
            != about["crc32"]
        ):
            raise ValueError(
                f"{folder} was trained on another version of {base} than the one that is here"
            )
        merge_lora(model)
    else:
        model = load_model(folder)
    model.style = style
    return model.to(device).eval()


def find_instruct(name_or_folder=None):
    """The folder of a fine-tuned model. Raises FileNotFoundError."""
    if name_or_folder is None:
        if not newest("instruct.json"):
            raise FileNotFoundError(
                f"no model in {runs_folder()} follows instructions; python gpt_instruction_finetuning.py makes one"
            )
        return newest("instruct.json")
    folder = runs_folder() / name_or_folder
    folder = folder if folder.is_dir() else type(folder)(name_or_folder).expanduser()
    if not (folder / "instruct.json").is_file():
        raise FileNotFoundError(
            f"{folder} is no model that was taught instructions: instruct.json not found"
        )
    return folder


# --- A run and its folder -------------------------------------------------------------------------

TALES_CONTEXT = 320  # tokens of the longest entry about a tale; tales-gpt was made for 192
STORIES_JUDGED, STORY_TOKENS = 200, 192
SAVE_EVERY = 500  # steps


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


class InstructRun:
    """One run of the command line: the data, the model, the records in its folder."""

    def __init__(self, folder, config, resume=False):
        self.folder, self.config = folder, config = folder, filled_in(config)
        device = pick_device(config.device)
        entries = load_instructions(config.data, config.made, config.fresh, config.seed)
        model = load_model(config.base).to(device)
        model.tokenizer, model.style = tokenizer_of(model), config.style
        lengthen(model, config.context_length or 0, config.seed)
        limit = config.context_length or model.config.context_length
        make = partial(
            InstructionDataset, tokenizer=model.tokenizer, style=config.style, max_tokens=limit
        )
        make_rows = partial(TalkDataset, **make.keywords) if config.data == "tales" else make
        self.train_set = make_rows(entries.train, answer_only=config.loss == "answer")
        self.val_set, self.test_set = make(entries.validation), make(entries.test)
        if not len(self.test_set):
            raise ValueError(
                f"no test entry has at most {limit} tokens; give a larger --context-length"
            )
        self.replay = replay_rows(model, config) if config.replay else None
        self.model = choose_trained(
            model, config.train, config.blocks, config.rank, config.alpha, config.seed
        )
        check_entries(model, self.train_set)
        if config.activation_checkpointing:
            checkpoint_activations(model)
        if config.compile:
            for block in model.blocks:
                block.compile(dynamic=True)
        self.history, self.before, self.seconds = {"losses": [], "epochs": []}, None, 0.0
        n_rows = (
            len(self.train_set)
            if self.replay is None
            else len(WithReplay(self.train_set, self.replay, config.replay_share))
        )
        names = ("batch_size", "grad_accum", "lr", "weight_decay", "seed", "dtype")
        self.settings = {name: getattr(config, name) for name in names}
        self.plan = step_plan(model, n_rows, config.epochs, **self.settings)
        self.optimizer = make_optimizer(model, self.plan)
        torch.manual_seed(config.seed)
        if resume:
            self.restore()

    def fingerprint(self):
        """A checksum of what is learned from."""
        return crc([torch.cat([ids for ids, _ in self.train_set.rows])])

    def save_state(self):
        """All that resuming needs, in one file that is replaced in one step."""
        trained = {
            name: tensor.detach()
            for name, tensor in self.model.named_parameters()
            if tensor.requires_grad
        }
        state = {
            "trained": trained,
            "optimizer": self.optimizer.state_dict(),
            "history": self.history,
        }
        state |= {
            "torch_rng": torch.get_rng_state(),
            "data": self.fingerprint(),
            "before": self.before,
        }
        state["seconds"] = self.seconds
        write_atomically(self.folder / "training.pt", partial(torch.save, state))

    def restore(self):
        path = self.folder / "training.pt"
        if not path.exists():
            return  # it was stopped before the first state was written
        try:
            state = torch.load(
                path, weights_only=True, map_location=next(self.model.parameters()).device
            )
        except (RuntimeError, EOFError, OSError, pickle.UnpicklingError) as error:
            raise ValueError(
                f"{path} is damaged ({type(error).__name__}); start anew with --overwrite"
            ) from None
        if state["data"] != self.fingerprint():
            raise ValueError(
                f"{self.config.data} is not the data that {self.folder.name} began with; bring it back"
            )
        weights = dict(self.model.named_parameters())
        for name, tensor in state["trained"].items():
            weights[name].data.copy_(tensor)
        self.optimizer.load_state_dict(state["optimizer"])
        self.history, self.before, self.seconds = (
            state["history"],
            state["before"],
            state["seconds"],
        )
        torch.set_rng_state(state["torch_rng"].cpu())

    def examine(self, name):
        """Answer all test entries and write `answers-NAME.jsonl`. Returns {"scores",
        "valid_share"}.
        """
        bar = tqdm(
            total=len(self.test_set),
            desc=f"test {name}",
            unit="answer",
            delay=2,
            dynamic_ncols=True,
        )
        with bar:
            answers = respond(
                self.model,
                self.test_set.entries,
                max_tokens=self.config.max_tokens,
                on_batch=bar.update,
            )
        lines = [
            json.dumps(
                entry | {"model_response": answer, "right": grade(entry, answer)},
                ensure_ascii=False,
            )
            + "\n"
            for entry, answer in zip(self.test_set.entries, answers, strict=True)
        ]
        path = self.folder / f"answers-{name}.jsonl"
        write_atomically(
            path, lambda temporary: temporary.write_text("".join(lines), encoding="utf-8")
        )
        share = valid_share(self.model) if self.config.data == "tales" else None
        return {"scores": score(self.test_set.entries, answers), "valid_share": share}

    def go(self, should_stop=lambda: False):
        """Train to the end, or until `should_stop()`. Returns True at the end."""
        if self.before is None:
            self.before = self.examine("before")
            self.save_state()
        done, started = len(self.history["losses"]), time.perf_counter() - self.seconds
        bar = tqdm(
            total=self.plan.steps, initial=done, unit="step", mininterval=1.0, dynamic_ncols=True
        )
        tokens = (
            self.train_set.lengths.float().mean().item()
            * self.plan.batch_size
            * self.plan.grad_accum
        )

        def on_step(step, loss, row):
            speed = tokens * (bar.n + 1 - done) / max(bar.format_dict["elapsed"], 1e-9)
            bar.set_postfix_str(f"loss {loss:.3f}, {speed:,.0f} tokens/s", refresh=False)
            bar.update()
            self.seconds = time.perf_counter() - started
            if row:
                bar.write(
                    ", ".join(f"{key.replace('_', ' ')} {value:.4g}" for key, value in row.items())
                )
            if row or (step + 1) % SAVE_EVERY == 0:
                self.save_state()
            return should_stop()

        if done < self.plan.steps and not should_stop():
            with bar:
                fine_tune(
                    self.model,
                    self.train_set,
                    self.config.epochs,
                    val_dataset=self.val_set,
                    replay=self.replay,
                    replay_share=self.config.replay_share,
                    optimizer=self.optimizer,
                    history=self.history,
                    on_step=on_step,
                    **self.settings,
                )
        return len(self.history["losses"]) == self.plan.steps

    def finish(self):
        """Test, and write what came of it. Returns the summary."""
        after = self.examine("after")
        trained, total = trained_share(self.model)
        summary = {
            name: exact(part["scores"])
            for name, part in (("before", self.before), ("after", after))
        }
        summary |= {
            "val_loss": self.history["epochs"][-1].get("val_loss"),
            "seconds": round(self.seconds, 1),
        }
        summary |= {
            "valid_share_before": self.before["valid_share"],
            "valid_share_after": after["valid_share"],
        }
        summary |= {
            "trained": trained,
            "parameters": total,
            "steps": self.plan.steps,
            "entries": len(self.train_set.entries),
            "kinds": {
                kind: {"before": self.before["scores"][kind], "after": score_after}
                for kind, score_after in after["scores"].items()
            },
        }
        summary |= {
            "settings": asdict(self.config),
            "machine": machine_of(self.model),
            "curve": curve_of(self.history["losses"]),
        }
        save_instruct(self.model, self.folder, self.config.style, self.config.base)
        lines = [
            {"step": step + 1, "loss": loss} for step, loss in enumerate(self.history["losses"])
        ] + self.history["epochs"]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        write_atomically(
            self.folder / "metrics.jsonl", lambda path: path.write_text(text, encoding="utf-8")
        )
        plot_scores(summary, self.folder / "report.png")
        (self.folder / "training.pt").unlink(missing_ok=True)
        write_atomically(
            self.folder / "summary.json",
            lambda path: path.write_text(json.dumps(summary, indent=2) + "\n"),
        )
        return summary


def exact(scores):
    """The exact score over all kinds with its 95 % interval: {"right", "of", "share", "interval"}."""
    right, total = sum_of(scores)
    share = right / total if total else None
    return {
        "right": right,
        "of": total,
        "share": share,
        "interval": wilson(right, total) if total else None,
    }


def machine_of(model):
    """What the numbers of a run were measured on."""
    device = next(model.parameters()).device
    return (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else f"{os.cpu_count()} CPU cores"
    )


def curve_of(losses, points=50):
    """The losses of all steps in about so many points: [last step, mean loss] of equally many steps
    each.
    """
    width = max(1, math.ceil(len(losses) / points))
    parts = [losses[start : start + width] for start in range(0, len(losses), width)]
    return [
        [min(len(losses), (n + 1) * width), round(sum(part) / len(part), 4)]
        for n, part in enumerate(parts)
    ]


def plot_scores(summary, path=None):
    """Two pictures of a `summary.json`: the loss of the training, and the exact score of each kind
    before and after.

    Returns the figure. `path`: where to save it.
    """
    from matplotlib.figure import (
        Figure,
    )  # no window, and nothing of the caller's own figures is touched

    kinds = list(summary["kinds"])
    figure = Figure(figsize=(9, max(3.5, 0.24 * len(kinds) + 1)), layout="constrained")
    curve, scores = figure.subplots(1, 2, width_ratios=(1, 1.3))
    steps, losses = zip(*summary["curve"], strict=True)
    curve.plot(steps, losses, color="#0072B2")
    curve.set(
        xlabel="step",
        ylabel="training loss (nats per token)",
        yscale="log",
        title="The answers become expected",
    )
    draw_scores(scores, summary["kinds"])
    if summary["after"]["of"]:
        before, after = (100 * summary[name]["share"] for name in ("before", "after"))
        scores.set_title(f"{before:.0f} % right before, {after:.0f} % after")
    if path is not None:
        figure.savefig(path, dpi=100)
    return figure


def draw_scores(ax, kinds):
    """Points at the share of right answers of each kind, before and after, with their 95 %
    intervals.
    """
    for name, color, offset in (("before", "#D55E00", 0.15), ("after", "#0072B2", -0.15)):
        for place, kind in enumerate(kinds):
            right, total = kinds[kind][name]
            low, high = wilson(right, total)
            ax.plot([low, high], [place - offset] * 2, color=color, lw=1.5)
            ax.plot(
                right / total,
                place - offset,
                "o",
                color=color,
                ms=4,
                label=name if place == 0 else None,
                clip_on=False,
            )
    ax.set(
        yticks=range(len(kinds)),
        xlim=(0, 1),
        xlabel="share of exactly right answers, 95 % interval",
    )
    ax.set_yticklabels(kinds, fontsize=8)
    ax.invert_yaxis()
    ax.legend(
        frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=2
    )  # nowhere inside is always free


# --- The command line -----------------------------------------------------------------------------

SETTINGS_FILE = "instruct-run.json"


def open_instruct_run(given, name=None, resume=False, overwrite=False):
    """The `InstructRun` that the flags ask for, new or resumed. Nothing is written yet."""
    config, folder = choose_run(given, InstructConfig, SETTINGS_FILE, name, resume, overwrite)
    if resume:
        refuse_ended(folder)
    return InstructRun(folder, config, resume)


def show_settings(run):
    config, model = run.config, run.model
    trained, total = trained_share(model)
    left_out = sum(dataset.n_left_out for dataset in (run.train_set, run.val_set, run.test_set))
    print(
        f"run        {run.folder.name}"
        + (f", from step {len(run.history['losses'])}" if run.history["losses"] else "")
    )
    print(
        f"settings   {', '.join(f'{key}={value}' for key, value in asdict(config).items() if value is not None)}"
    )
    print(
        f"model      {type(model).__name__} on {next(model.parameters()).device}: {trained:,} of {total:,} numbers are "
        f"trained ({100 * trained / total:.2f} %); it reads {model.config.context_length:,} tokens"
    )
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


def answer_prompts(prompts, given, model, device="cpu", max_tokens=200):
    """Print a fine-tuned model's answer to each instruction."""
    if not all(prompt.strip() for prompt in prompts):
        raise ValueError("the instruction is empty; say what is to be done")
    follower = load_instruct(model, pick_device(device))
    for answer in respond(
        follower,
        [{"instruction": prompt, "input": given} for prompt in prompts],
        max_tokens=max_tokens,
    ):
        print(answer)
    return 0


def main(given, others):
    """Run the command line. Returns the exit status."""
    prompts, about, model = (others.pop(key) for key in ("prompt", "input", "model"))
    if prompts or model or about:
        if not prompts:
            raise ValueError("--model and --input belong to an instruction: give it with --prompt")
        kept = {key: given[key] for key in ("device", "max_tokens") if key in given}
        return answer_prompts(prompts, about, model, **kept)
    run = open_instruct_run(given, **others)
    if not others["resume"]:
        begin_folder(run.folder, run.config, SETTINGS_FILE)
    show_settings(run)
    with polite_interrupt() as stopped:
        ended = run.go(stopped)
    if not ended:
        run.save_state()
        done = len(run.history["losses"])
        print(
            f"stopped at step {done}. Go on: python gpt_instruction_finetuning.py --name {run.folder.name} --resume"
        )
        return 130
    show_summary(run.finish())
    print(
        f"everything is in {run.folder}; use it: python gpt_instruction_finetuning.py --prompt INSTRUCTION --input TEXT"
    )
    return 0


if __name__ == "__main__":
    run_script(main, *ARGUMENTS)
