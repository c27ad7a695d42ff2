"""Self-checks for the exercises of chapter 7. How a check works is told in chapter 2's checks.py.

Each check has a reference, inputs of several shapes, and the typical mistakes with the code that
makes them.
"""

import math
import random

import torch

from ch07_01_main_chapter_code.previous_chapters import (
    Mistake,
    answer,
    exercise_check,
    hint,
    judge,
    keeping,
    predict,
    refuse_functions,
    seeded,
    show_progress,
)

__all__ = ["answer", "hint", "predict", "show_progress"]  # for the notebooks, with every check


def ids_of(rng, count, low=1, high=60):
    return [rng.randint(low, high) for _ in range(count)]


def letter_lines(entry):
    return f"Task: {entry['instruction']}", f"Text: {entry['input']}", "Answer:"


def letter(entry):
    task, text, answer = letter_lines(entry)
    return "\n".join([task, text, answer] if entry["input"] else [task, answer])


LETTER_PROMPT_MISTAKES = {
    "an entry without input gets a Text line with nothing in it": lambda e: "\n".join(
        letter_lines(e)
    ),
    "the answer stands in the prompt: the model would be given what it is to find": lambda e: (
        f"{letter(e)} {e['output']}"
    ),
    "a space stands at the end; in this style nothing follows the colon": lambda e: letter(e) + " ",
    "a line break stands at the end; the answer goes on in the line of `Answer:`": lambda e: (
        letter(e) + "\n"
    ),
    "the input was left out": lambda e: "\n".join(letter_lines(e)[::2]),
    "the text stands before the task": lambda e: (
        letter(e) if not e["input"] else "\n".join([letter_lines(e)[i] for i in (1, 0, 2)])
    ),
    "the words Task, Text and Answer are missing": lambda e: "\n".join(
        part for part in (e["instruction"], e["input"], "") if part
    ),
    "`Answer:` is missing: nothing tells the model that it is its turn": lambda e: letter(
        e
    ).removesuffix("\nAnswer:"),
    "no space follows the colons of Task and Text": lambda e: (
        letter(e).replace("Task: ", "Task:").replace("Text: ", "Text:")
    ),
    "the words Task, Text and Answer begin with capitals": lambda e: (
        letter(e).replace("Task:", "task:").replace("Text:", "text:").replace("Answer:", "answer:")
    ),
    "`Answer` has lost its colon": lambda e: letter(e).removesuffix(":"),
    "the three parts stand in one line; each has its own": lambda e: letter(e).replace("\n", " "),
    "there is an empty line between the parts": lambda e: letter(e).replace("\n", "\n\n"),
    "an empty line stands before `Answer:`": lambda e: letter(e).replace("\nAnswer", "\n\nAnswer"),
    "an entry without input got an empty line in the place of its Text line": lambda e: (
        letter(e) if e["input"] else letter(e).replace("\nAnswer", "\n\nAnswer")
    ),
    "instruction and input are exchanged": lambda e: (
        letter(e | {"instruction": e["input"], "input": e["instruction"]})
        if e["input"]
        else letter(e)
    ),
    "the lines came back as a list; join them": lambda e: letter(e).split("\n"),
    "the words are those of another style: Task and Text, not Instruction and Input": lambda e: (
        letter(e).replace("Task:", "Instruction:").replace("Text:", "Input:")
    ),
    "the end-of-text token is no part of the prompt's text": lambda e: letter(e) + "<|endoftext|>",
    "the text of the instruction was changed: nothing is to be cut off or made small": lambda e: (
        letter(e | {"instruction": e["instruction"].strip(" .?").lower()})
    ),
}


@exercise_check(
    "letter_prompt",
    hints=(
        "which line may be missing?",
        "make a list of lines, leave the middle one out where there is nothing to put in "
        "it, and join them; nothing comes after the last colon.",
        "`'\\n'.join(lines)`, where a line comes in only if it has something to say",
    ),
)
def check_letter_prompt(attempt):
    """letter_prompt(entry): the prompt of an entry in three lines, Task, Text and Answer; no Text
    line without input.
    """
    entries = [
        ("Write the plural.", "mouse", "mice"),
        ("Name a river in Egypt.", "", "the Nile"),
        ("Who is the fox?", "Mia the fox saw the moon.", "Mia"),
        ("Say hello.", "", "Hello."),
    ]
    inputs = [
        (dict(zip(("instruction", "input", "output"), entry, strict=True)),) for entry in entries
    ]
    judge(keeping(attempt, "entry"), letter, inputs, LETTER_PROMPT_MISTAKES)


def masked_rows(prompt, answer, end, length, masked=-1, shift=1, pad=-100, ends=True):
    """Inputs and targets; so many more or fewer of the prompt's targets are masked; `shift`:
    how far targets look.
    """
    row = [*prompt, *answer, end]
    targets = [
        -100 if place < len(prompt) + masked else following
        for place, following in enumerate(row[shift:])
    ]
    if not ends:
        targets[len(row) - 1 - shift] = -100
    fill = length - len(row) + 1
    targets = (targets + [pad] * length)[:length]
    return row[:-1] + [end] * fill, targets


def masked_on_the_left(prompt, answer, end, length):
    ids, targets = masked_rows(prompt, answer, end, len(prompt) + len(answer))
    fill = length - len(ids)
    return [end] * fill + ids, [-100] * fill + targets


def masked_not_padded(prompt, answer, end, length):
    return masked_rows(prompt, answer, end, len(prompt) + len(answer))


def masked_with_end(prompt, answer, end, length):
    row = [*prompt, *answer, end]
    _, targets = masked_rows(prompt, answer, end, length)
    return row + [end] * (length - len(row)), targets


def masked_not_shifted(prompt, answer, end, length):
    fill = length - len(prompt) - len(answer) - 1
    return [*prompt, *answer, end] + [end] * fill, [-100] * len(prompt) + [*answer, end] + [
        -100
    ] * fill


def masked_by_value(prompt, answer, end, length):
    ids, targets = masked_rows(prompt, answer, end, length)
    return ids, [
        -100 if target in prompt and place < len(prompt) + len(answer) - 1 else target
        for place, target in enumerate(targets)
    ]


def masked_by_first_id(prompt, answer, end, length):
    first = [*prompt, *answer].index(answer[0])
    return masked_rows(prompt, answer, end, length, masked=first - len(prompt) - 1)


MASKED_ROW_MISTAKES = {
    "nothing was shifted: the inputs are the row without its last id, the targets the row without "
    "its first": masked_not_shifted,
    "what stands in the prompt is masked in the answer, too; it is the place that counts, not the "
    "id": masked_by_value,
    "the answer was looked for by its first id, which may stand in the prompt as well": masked_by_first_id,
    "`end` is not always 0": lambda p, a, e, n: masked_rows(p, a, 0, n),
    "padding is a target: the model is taught to write end-of-text for ever, and the loss depends "
    "on the padding": lambda p, a, e, n: masked_rows(p, a, e, n, pad=e),
    "the end-of-text token is no target: the model never learns to stop": lambda p, a, e, n: (
        masked_rows(p, a, e, n, ends=False)
    ),
    "off by one: these targets are the tokens that the model has just read; a target is the one "
    "that follows": lambda p, a, e, n: (
        masked_rows(p, a, e, n)[0],
        ([-100] * len(p) + a + [-100] * n)[:n],
    ),
    "off by one: these targets look two tokens ahead": lambda p, a, e, n: masked_rows(
        p, a, e, n, masked=-2, shift=2
    ),
    "the first token of the answer is masked: it is predicted at the prompt's last token, so one "
    "place fewer": lambda p, a, e, n: masked_rows(p, a, e, n, masked=0),
    "the prompt counts; only the answer and its end should": lambda p, a, e, n: masked_rows(
        p, a, e, n, masked=-99
    ),
    "one token of the prompt counts: its last token is still part of the question": lambda p, a, e, n: (
        masked_rows(p, a, e, n, masked=-2)
    ),
    "padding stands on the left; training pads on the right": masked_on_the_left,
    "nothing was padded: both lists have `length` numbers": masked_not_padded,
    "the row's end-of-text token stands in the inputs as well; at the end of a full row it makes "
    "them too long": masked_with_end,
    "nothing was shifted: the inputs are right, but a target is the id at the same place, not the "
    "one that follows": lambda p, a, e, n: (
        masked_rows(p, a, e, n)[0],
        ([-100] * len(p) + [*a, e] + [-100] * n)[:n],
    ),
    "shifted the wrong way: these targets are the tokens before": lambda p, a, e, n: (
        masked_rows(p, a, e, n)[0],
        ([-100] * (len(p) + 1) + [*a, e] + [-100] * n)[:n],
    ),
    "the inputs lost their first id, not their last": lambda p, a, e, n: (
        ([*p, *a, e][1:] + [e] * n)[:n],
        masked_rows(p, a, e, n)[1],
    ),
    "the inputs are padded with −100, which is no id; they are padded with `end`": lambda p, a, e, n: (
        ([*p, *a] + [-100] * n)[:n],
        masked_rows(p, a, e, n)[1],
    ),
    "the inputs are padded with 0; they are padded with `end`": lambda p, a, e, n: (
        ([*p, *a] + [0] * n)[:n],
        masked_rows(p, a, e, n)[1],
    ),
    "masked places have −1; −100 is the number that the loss leaves out": lambda p, a, e, n: (
        masked_rows(p, a, e, n)[0],
        [-1 if target == -100 else target for target in masked_rows(p, a, e, n)[1]],
    ),
    "masked places have `end`; they have −100": lambda p, a, e, n: (
        masked_rows(p, a, e, n)[0],
        [e if target == -100 else target for target in masked_rows(p, a, e, n)[1]],
    ),
    "the prompt was masked in the inputs as well; the model must read it": lambda p, a, e, n: (
        [-100] * len(p) + masked_rows(p, a, e, n)[0][len(p) :],
        masked_rows(p, a, e, n)[1],
    ),
    "the answer is masked and the prompt is learned: it is the other way round": lambda p, a, e, n: (
        masked_rows(p, a, e, n)[0],
        ([*p[1:]] + [-100] * n)[:n],
    ),
    "the two lists are exchanged: (inputs, targets)": lambda p, a, e, n: masked_rows(p, a, e, n)[
        ::-1
    ],
    "only the targets came back": lambda p, a, e, n: masked_rows(p, a, e, n)[1],
    "only the answer's first token is a target": lambda p, a, e, n: (
        masked_rows(p, a, e, n)[0],
        ([-100] * (len(p) - 1) + a[:1] + [-100] * n)[:n],
    ),
}


@exercise_check(
    "masked_row",
    hints=(
        "at which place is the answer's first token predicted?",
        "the inputs lack the row's last id and the targets its first; so one target fewer "
        "than the prompt has tokens is masked. Fill both up on the right.",
        "`[-100] * (len(prompt) - 1) + answer + [end]`, before the padding",
    ),
)
def check_masked_row(attempt):
    """masked_row(prompt, answer, end, length): ids to (inputs, targets), two lists of `length`
    numbers.
    """
    inputs = []
    for seed, (n_prompt, n_answer, more) in enumerate([(3, 2, 0), (4, 3, 3), (1, 4, 2), (5, 1, 6)]):
        rng = random.Random(seed)
        inputs.append(
            (
                ids_of(rng, n_prompt),
                ids_of(rng, n_answer),
                (0, 77)[seed % 2],
                n_prompt + n_answer + more,
            )
        )
    inputs += [
        ([0, 5, 7, 9], [5, 8], 0, 8),
        ([99, 3, 4], [4, 3, 4], 99, 6),
    ]  # the answer repeats words of the prompt

    judge(keeping(attempt, "prompt", "answer"), masked_rows, inputs, MASKED_ROW_MISTAKES)


def each_loss(logits, targets):
    """−ln p of every target, 0 where there is none: (batch, tokens)."""
    found = -logits.log_softmax(dim=-1).gather(-1, targets.clamp(min=0)[..., None])[..., 0]
    return found * (targets != -100)


def mean_loss(logits, targets):
    return each_loss(logits, targets).sum() / (targets != -100).sum()


def loss_by_rows(logits, targets):
    return (each_loss(logits, targets).sum(dim=1) / (targets != -100).sum(dim=1)).mean()


def loss_as_zero(logits, targets):
    return each_loss(logits, targets.clamp(min=0)).mean()


def loss_unscaled(logits, targets):
    counted = targets != -100
    return (
        -(logits.gather(-1, targets.clamp(min=0)[..., None])[..., 0] * counted).sum()
        / counted.sum()
    )


LOSS_ON_ANSWERS_MISTAKES = {
    "divided by all places; divide by the number of targets, or masked places make the loss look "
    "small": lambda x, y: each_loss(x, y).mean(),
    "this is a mean of means: every row has the same say, so a token of a short answer counts for "
    "more": loss_by_rows,
    "−100 was read as the id 0: masked places are counted": loss_as_zero,
    "this is a sum; divide it by the number of targets": lambda x, y: each_loss(x, y).sum(),
    "divided by the number of rows; a batch with long answers would have a large loss": lambda x, y: (
        each_loss(x, y).sum() / len(x)
    ),
    "the softmax is missing: this is minus the mean logit": loss_unscaled,
    "the minus sign is missing": lambda x, y: -mean_loss(x, y),
    "the targets were shifted once more; they are the following tokens already": lambda x, y: (
        mean_loss(x[:, :-1], y[:, 1:])
    ),
    "e to the power of a large logit is infinite; log_softmax subtracts the "
    "largest logit first": lambda x, y: (
        -(
            (x.exp() / x.exp().sum(-1, keepdim=True))
            .log()
            .gather(-1, y.clamp(min=0)[..., None])[..., 0]
            * (y != -100)
        ).sum()
        / (y != -100).sum()
    ),
    "the softmax went along the tokens; it goes along the vocabulary (dim=-1)": lambda x, y: (
        -(x.log_softmax(dim=1).gather(-1, y.clamp(min=0)[..., None])[..., 0] * (y != -100)).sum()
        / (y != -100).sum()
    ),
    "the softmax came before the cross-entropy, which has a softmax of its own: give it the "
    "logits": lambda x, y: mean_loss(x.softmax(dim=-1), y),
    "targets with the id 0 were left out; only −100 is none": lambda x, y: mean_loss(
        x, y.masked_fill(y == 0, -100)
    ),
    "these are bits (log2); the loss is in nats (ln)": lambda x, y: mean_loss(x, y) / math.log(2),
    "this is e to the loss, the perplexity": lambda x, y: mean_loss(x, y).exp(),
    "only the last target of each row was counted": lambda x, y: each_loss(x, y)[:, -1].mean(),
    "only the first row was counted": lambda x, y: mean_loss(x[:1], y[:1]),
    "the mean went over the whole vocabulary; only the target's logarithm counts": lambda x, y: (
        -x.log_softmax(-1)[y != -100].mean()
    ),
    "these are the losses of each place; return their mean over the targets": each_loss,
    "this is the mean of each row; return one mean over all targets": lambda x, y: (
        each_loss(x, y).sum(dim=1) / (y != -100).sum(dim=1)
    ),
    "−100 is no place in the vocabulary: `gather` cannot take it; leave these places out or put "
    "another id there first": lambda x, y: (-x.log_softmax(-1).gather(-1, y[..., None])).mean(),
    "`softmax` has rounded a small probability to 0, whose logarithm is infinite; take "
    "log_softmax": lambda x, y: (
        -x.softmax(dim=-1).log()[y != -100].gather(-1, y[y != -100][:, None]).mean()
    ),
    "`[:, targets]` takes all targets at every place; pick one for each, with `gather`": lambda x, y: (
        -x.log_softmax(dim=-1)[y != -100][:, y[y != -100]].mean()
    ),
    "this is the mean probability of the targets, without the logarithm": lambda x, y: (
        (-each_loss(x, y)).exp()[y != -100].mean()
    ),
}


@exercise_check(
    "loss_on_answers",
    hints=(
        "over how many places is the mean, if some have no target?",
        "keep the places that count, turn their logits into logarithms of probabilities "
        "along the vocabulary, pick the right ones, and take minus their mean.",
        "`-logits.log_softmax(dim=-1)[targets != -100].gather(-1, targets[targets != "
        "-100][:, None]).mean()`",
    ),
)
def check_loss_on_answers(attempt):
    """loss_on_answers(logits, targets): (batch, tokens, vocab) and (batch, tokens) to one number, a
    tensor.
    """
    inputs = []
    for seed, (batch, tokens, vocab) in enumerate([(2, 5, 7), (3, 4, 5), (4, 9, 6), (1, 6, 11)]):
        targets = torch.randint(vocab, (batch, tokens), generator=seeded(seed))
        counted = (
            torch.rand(batch, tokens, generator=seeded(seed + 20))
            < torch.linspace(0.3, 0.8, batch)[:, None]
        )
        counted[:, -1] = True  # so that every row has a target
        logits = 2 * torch.randn(batch, tokens, vocab, generator=seeded(seed + 40))
        inputs.append((logits, targets.masked_fill(~counted, -100)))
    inputs.append((400 * inputs[0][0], inputs[0][1]))  # e^400 is more than float32 holds

    judge(attempt, mean_loss, inputs, LOSS_ON_ANSWERS_MISTAKES)
    refuse_functions(attempt, inputs[1], "cross_entropy", "cross_entropy_loss")
    logits, targets = inputs[1]
    if not attempt(logits.clone().requires_grad_(), targets).requires_grad:
        raise Mistake(
            "the number is right, but no gradient can flow back from it. Likely mistake: "
            "`detach`, `item`, `torch.tensor(…)` or `no_grad` cuts it off; leave them out."
        )


def talk_targets(
    turns,
    end,
    counts=lambda number, turns: turns[number][0] == "assistant",
    ends=True,
    shift=1,
    all_end=False,
):
    row, wanted = [], []
    for number, (role, ids) in enumerate(turns):
        ids = [*ids, end] if role == "assistant" or all_end else list(ids)
        row += ids
        learned = counts(number, turns)
        wanted += [learned and (ends or place < len(ids) - 1) for place in range(len(ids))]
    targets = [token if use else -100 for token, use in zip(row, wanted, strict=True)]
    return row[:-1], targets[shift:] if shift else targets[:-1]


def talk_first_masked(turns, end):
    row, learned = [], []
    for role, said in turns:
        ids = [*said, end] if role == "assistant" else list(said)
        row += ids
        learned += [role == "assistant" and place > 0 for place in range(len(ids))]
    targets = [token if use else -100 for token, use in zip(row, learned, strict=True)]
    return row[:-1], targets[1:]


def talk_by_turns(turns, end):
    return talk_targets(
        [(("user", "assistant")[number % 2], ids) for number, (_, ids) in enumerate(turns)], end
    )


def talk_merged(turns, end):
    joined = []
    for role, ids in turns:
        if joined and joined[-1][0] == role:
            joined[-1] = role, joined[-1][1] + list(ids)
        else:
            joined.append((role, list(ids)))
    return talk_targets(joined, end)


def talk_not_shifted(turns, end):
    ids, targets = talk_targets([*turns, ("user", [end])], end, shift=0)
    return ids, targets


def talk_one_end(turns, end):
    row = [token for _, ids in turns for token in ids] + [end]
    wanted = [role == "assistant" for role, ids in turns for _ in ids] + [True]
    return row[:-1], [token if use else -100 for token, use in zip(row, wanted, strict=True)][1:]


def first_of(turns):
    """The number of the assistant's first turn."""
    return [role for role, _ in turns].index("assistant")


def talk_first_answer_cut(turns, end):
    ids, targets = talk_targets(turns, end)
    start = sum(len(said) for _, said in turns[: first_of(turns)])
    if start:
        targets[start - 1] = -100
    return ids, targets


def talk_end_before(turns, end):
    row, learned = [], []
    for role, said in turns:
        ids = [end, *said] if role == "assistant" else list(said)
        row += ids
        learned += [role == "assistant"] * len(ids)
    targets = [token if use else -100 for token, use in zip(row, learned, strict=True)]
    return row[:-1], targets[1:]


def talk_shifted_by_two(turns, end):
    ids, targets = talk_targets(turns, end)
    return ids[:-1], targets[1:]


def talk_shifted_by_turns(turns, end):
    row, targets = [], []
    for role, said in turns:
        ids = [*said, end] if role == "assistant" else list(said)
        row += ids[:-1]
        targets += ids[1:] if role == "assistant" else [-100] * (len(ids) - 1)
    return row, targets


def talk_without_ends(turns, end):
    row = [token for _, said in turns for token in said]
    learned = [role == "assistant" for role, said in turns for _ in said]
    targets = [token if use else -100 for token, use in zip(row, learned, strict=True)]
    return row[:-1], targets[1:]


TURN_TARGETS_MISTAKES = {
    "only the last answer counts; each of the assistant's turns is an example": lambda t, e: (
        talk_targets(t, e, lambda number, turns: number == len(turns) - 1)
    ),
    "only the first answer counts; each of the assistant's turns is an example": lambda t, e: (
        talk_targets(
            t, e, lambda number, turns: [role for role, _ in turns].index("assistant") == number
        )
    ),
    "the user's words count as well: the model would learn to ask the questions": lambda t, e: (
        talk_targets(t, e, lambda number, turns: True)
    ),
    "the ends of the answers are no targets: the model never learns when its turn is over": lambda t, e: (
        talk_targets(t, e, ends=False)
    ),
    "two turns of the assistant in a row got one end; each of them has its own": talk_merged,
    "every second turn was taken for the assistant's; `role` says whose turn it is": talk_by_turns,
    "`end` is not always 0": lambda t, e: talk_targets(t, 0),
    "nothing was shifted: the inputs are the row without its last id, the targets the row without "
    "its first": talk_not_shifted,
    "only the last answer is ended; each of the assistant's turns ends with the end token": talk_one_end,
    "the user's turns got an end token too; only the assistant's turns end with it": lambda t, e: (
        talk_targets(t, e, all_end=True)
    ),
    "off by one: these targets are the tokens that the model has just read": lambda t, e: (
        talk_targets(t, e, shift=0)
    ),
    "the first token of each answer is masked; it is predicted at the last "
    "token before the answer": talk_first_masked,
    "the roles are exchanged: this learns what the user says": lambda t, e: talk_targets(
        t, e, lambda number, turns: turns[number][0] == "user"
    ),
    "the assistant's first token of the talk is not learned; where a turn stands before it, it is "
    "a target as well": talk_first_answer_cut,
    "masked places have −1; −100 is the number that the loss leaves out": lambda t, e: (
        talk_targets(t, e)[0],
        [-1 if target == -100 else target for target in talk_targets(t, e)[1]],
    ),
    "an end stands before each of the assistant's turns; it follows them": talk_end_before,
    "the user's words are learned up to the first answer": lambda t, e: talk_targets(
        t, e, lambda number, turns: number <= first_of(turns) or turns[number][0] == "assistant"
    ),
    "the inputs were masked, too; the model must read what the user says": lambda t, e: (
        [
            token if target != -100 else -100
            for token, target in zip(*talk_targets(t, e), strict=True)
        ],
        talk_targets(t, e)[1],
    ),
    "shifted by two: a target is the token that follows": talk_shifted_by_two,
    "each turn was shifted by itself, and lost an id; shift the whole row once: an answer's first "
    "token is predicted by the last one before it": talk_shifted_by_turns,
    "the two lists are exchanged: (inputs, targets)": lambda t, e: talk_targets(t, e)[::-1],
    "only the targets came back": lambda t, e: talk_targets(t, e)[1],
    "an end was put before the talk; the row begins with the first id of the first turn": lambda t, e: (
        talk_targets([("user", [e]), *t], e)
    ),
    "there is one pair for each turn; the whole talk is one row": lambda t, e: [
        talk_targets([turn], e) for turn in t
    ],
    "the row lacks the ends: the assistant's turns end with the end token": talk_without_ends,
}


@exercise_check(
    "turn_targets",
    hints=(
        "which ids of the talk should the model be able to say by itself?",
        "build two lists side by side: everything that is read, and the same with the "
        "user's part struck out; the end belongs to the assistant. Shift once, at the very "
        "end.",
        "`row[:-1], targets[1:]`, when both lists are built",
    ),
)
def check_turn_targets(attempt):
    """turn_targets(turns, end): (role, ids) pairs to (inputs, targets) of a talk with several
    turns.
    """
    inputs = []
    talks = [
        "ua",
        "uaua",
        "uauaua",
        "auua",
        "uuauua",
        "uaauua",
    ]  # whose turn it is: the user's, the assistant's
    for seed, roles in enumerate(talks):
        rng = random.Random(seed)
        names = [{"u": "user", "a": "assistant"}[letter] for letter in roles]
        inputs.append(
            ([(role, ids_of(rng, rng.randint(1, 4))) for role in names], (0, 88)[seed % 2])
        )

    judge(keeping(attempt, "turns"), talk_targets, inputs, TURN_TARGETS_MISTAKES)


class SourceOfText:
    """What the entries of the check were made from: their text, in small letters."""

    def __call__(self, entry):
        return entry["input"].casefold()


def leaked_places(test, train, source):
    known = {source(entry) for entry in train}
    return [place for place, entry in enumerate(test) if source(entry) in known]


def same_by(test, train, what):
    return [
        place
        for place, entry in enumerate(test)
        if any(what(entry) == what(other) for other in train)
    ]


def leaked_once_each(test, train, source):
    left, places = [source(entry) for entry in train], []
    for place, entry in enumerate(test):
        if source(entry) in left:
            left.remove(source(entry))
            places.append(place)
    return places


LEAKED_MISTAKES = {
    "this finds entries that are the same in all fields; another question about the same story is "
    "a leak as well": lambda test, train, source: same_by(test, train, dict),
    "this compares instruction and input; another question about the same story "
    "is a leak as well": lambda test, train, source: same_by(
        test, train, lambda e: (e["instruction"], e["input"])
    ),
    "this compares the input as it is written; `source(entry)` says what it was "
    "made from": lambda test, train, source: same_by(test, train, lambda e: e["input"]),
    "an entry that stands in `test` twice has two places; `index` finds the "
    "first": lambda test, train, source: [
        test.index(test[place]) for place in leaked_places(test, train, source)
    ],
    "one source within another was taken for the same; two sources must be "
    "equal": lambda test, train, source: [
        place for place, e in enumerate(test) if any(source(e) in source(other) for other in train)
    ],
    "these are the entries that are clean": lambda test, train, source: [
        place for place in range(len(test)) if place not in leaked_places(test, train, source)
    ],
    "these are places in `train`; the test entries are to be found": lambda test, train, source: (
        leaked_places(train, test, source)
    ),
    "these are the entries; their places in `test` are asked for": lambda test, train, source: [
        test[place] for place in leaked_places(test, train, source)
    ],
    "this is their number; the list of their places is asked for": lambda test, train, source: len(
        leaked_places(test, train, source)
    ),
    "entries that share an instruction are no leak": lambda test, train, source: same_by(
        test, train, lambda e: e["instruction"]
    ),
    "places count from 0; these count from 1": lambda test, train, source: [
        place + 1 for place in leaked_places(test, train, source)
    ],
    "these are True and False for each entry; the places of the leaks are asked "
    "for": lambda test, train, source: [
        place in leaked_places(test, train, source) for place in range(len(test))
    ],
    "the order is turned round; the places stand in the order of "
    "`test`": lambda test, train, source: leaked_places(test, train, source)[::-1],
    "only the first leak was found: go on after it": lambda test, train, source: leaked_places(
        test, train, source
    )[:1],
    "each entry of `train` was used for one leak only; it may leak into several": leaked_once_each,
    "only entries at the same place were compared; any entry of `train` may be the "
    "source": lambda test, train, source: [
        place
        for place, (entry, other) in enumerate(zip(test, train, strict=False))
        if source(entry) == source(other)
    ],
    "only the last entry of `train` was looked at": lambda test, train, source: leaked_places(
        test, train[-1:], source
    ),
    "only the first entry of `train` was looked at": lambda test, train, source: leaked_places(
        test, train[:1], source
    ),
    "this compares the answers; `source(entry)` says what an entry was made "
    "from": lambda test, train, source: same_by(test, train, lambda e: e["output"]),
    "an entry that shares its source with two of `train` has its place "
    "twice": lambda test, train, source: [
        place
        for place, entry in enumerate(test)
        for other in train
        if source(entry) == source(other)
    ],
    "these are the sources; their entries' places are asked for": lambda test, train, source: [
        source(test[place]) for place in leaked_places(test, train, source)
    ],
}


@exercise_check(
    "leaked",
    hints=(
        "when do two different questions betray each other?",
        "collect what the entries of one side were made from; an entry of the other side "
        "leaks if what it was made from is among that.",
        "`[place for place, entry in enumerate(test) if source(entry) in known]`, with the "
        "sources `known` of the other list",
    ),
)
def check_leaked(attempt):
    """leaked(test, train, source): the places in `test`, in order, of entries whose source is in
    `train` as well.
    """
    words = ["Mia sat.", "Otto ran.", "Ada slept.", "Finn swam.", "Pip sang.", "Rosa dug."]
    asked = ["Who?", "What?", "When?"]
    inputs = []
    for seed, (n_test, n_train) in enumerate([(4, 5), (7, 3), (5, 9), (6, 4)]):
        rng = random.Random(seed)
        entries = [
            {
                "instruction": rng.choice(asked),
                "input": rng.choice(words),
                "output": rng.choice("123"),
            }
            for _ in range(n_test + n_train)
        ]
        entries[0]["input"] = entries[-1][
            "input"
        ].upper()  # the same source, written in another way
        entries[1] = dict(entries[-2])  # the very same entry,
        entries[2] = dict(entries[1])  # and once more
        entries[n_test - 1] = entries[-1] | {"output": "another"}  # the same question
        entries[3]["input"], entries[n_test]["input"] = "Tilda hid", "Tilda hid here"  # two sources
        inputs.append((entries[:n_test], entries[n_test:], SourceOfText()))

    inputs.append(
        ([{"instruction": "Who?", "input": "Mia sat.", "output": "1"}], [], SourceOfText())
    )

    judge(keeping(attempt, "test", "train"), leaked_places, inputs, LEAKED_MISTAKES)


def wilson_by_formula(right, total, z, weight=1.0, inside=1.0, spread=1.0, middle=0.5):
    """`weight`, `inside`, `spread`, `middle`: another number than in the right formula where a part
    of it is left out.
    """
    share, w = right / total, z * z / total
    centre = (share + middle * w) / (1 + weight * w)
    half = z / (1 + weight * w) * (share * (1 - share) / total + inside * w / (4 * total)) ** 0.5
    return centre - spread * half, centre + spread * half


def wilson_by_parts(right, total, z, w=None, below=None, inside=None, half=None):
    """The formula with other terms: `w` for z²/total beside the share, `below` for 1 + z²/total,
    `inside` for what stands under the root, `half` for the factor before it.
    """
    share, square = right / total, z * z / total
    w, below = square if w is None else w, 1 + square if below is None else below
    inside = share * (1 - share) / total + square / (4 * total) if inside is None else inside
    half = (z / below if half is None else half) * inside**0.5
    return (share + w / 2) / below - half, (share + w / 2) / below + half


def under_root(right, total, z):
    return right / total * (1 - right / total) / total + z * z / (4 * total**2)


def plain_interval(right, total, z):
    share = right / total
    half = z * (share * (1 - share) / total) ** 0.5
    return share - half, share + half


def clipped_interval(right, total, z):
    low, high = plain_interval(right, total, z)
    return max(0.0, low), min(1.0, high)


def interval_around_the_share(right, total, z):
    low, high = wilson_by_formula(right, total, z)
    return right / total - (high - low) / 2, right / total + (high - low) / 2


def middle_not_divided(right, total, z):
    low, high = wilson_by_formula(right, total, z)
    middle, half = right / total + z * z / (2 * total), (high - low) / 2
    return middle - half, middle + half


def middle_and_half(right, total, z):
    low, high = wilson_by_formula(right, total, z)
    return (low + high) / 2, (high - low) / 2


WILSON_INTERVAL_MISTAKES = {
    "this is share ± z standard errors: 30 right of 30 would be certain for ever, which 30 trials "
    "cannot say": plain_interval,
    "this is share ± z standard errors, cut off at 0 and 1: 30 right of 30 "
    "would still be certain": clipped_interval,
    "the middle is not the share itself: it is drawn towards one half, the more "
    "the fewer trials": interval_around_the_share,
    "1 + z²/total is missing below the line": lambda r, n, z: wilson_by_formula(r, n, z, weight=0),
    "z²/(4 total²) is missing under the root": lambda r, n, z: wilson_by_formula(r, n, z, inside=0),
    "under the root stands z²/(4 total²), not z²/total²": lambda r, n, z: wilson_by_formula(
        r, n, z, inside=4
    ),
    "only half as wide as it should be": lambda r, n, z: wilson_by_formula(r, n, z, spread=0.5),
    "these are the middle and half the width; the two ends are asked for": middle_and_half,
    "the ends are exchanged: the low one comes first": lambda r, n, z: wilson_by_formula(r, n, z)[
        ::-1
    ],
    "`z` was ignored: 1.96 belongs to 95 %, other levels have other numbers": lambda r, n, z: (
        wilson_by_formula(r, n, 1.96)
    ),
    "the root was not divided by 1 + z²/total; the whole bracket is": lambda r, n, z: (
        wilson_by_parts(r, n, z, half=z)
    ),
    "the middle was not divided by 1 + z²/total; the whole bracket is": middle_not_divided,
    "`z**2 / 2 * total` multiplies by total; write `z**2 / (2 * total)`": lambda r, n, z: (
        wilson_by_parts(r, n, z, w=z * z * n)
    ),
    "`z**2 / 4 * total**2` multiplies by total²; write `z**2 / (4 * total**2)`": lambda r, n, z: (
        wilson_by_parts(r, n, z, inside=r / n * (1 - r / n) / n + z * z / 4 * n * n)
    ),
    "z is not squared: everywhere but before the root stands z²": lambda r, n, z: wilson_by_parts(
        r, n, z, w=z / n, below=1 + z / n, inside=r / n * (1 - r / n) / n + z / (4 * n * n)
    ),
    "z is not squared beside the share: z²/(2 total)": lambda r, n, z: wilson_by_parts(
        r, n, z, w=z / n
    ),
    "z is not squared below the line: 1 + z²/total": lambda r, n, z: wilson_by_parts(
        r, n, z, below=1 + z / n
    ),
    "z is not squared under the root: z²/(4 total²)": lambda r, n, z: wilson_by_parts(
        r, n, z, inside=r / n * (1 - r / n) / n + z / (4 * n * n)
    ),
    "total is not squared under the root: z²/(4 total²)": lambda r, n, z: wilson_by_parts(
        r, n, z, inside=r / n * (1 - r / n) / n + z * z / (4 * n)
    ),
    "z before the root was squared, too; there it stands alone": lambda r, n, z: wilson_by_parts(
        r, n, z, half=z * z / (1 + z * z / n)
    ),
    "z before the root is missing": lambda r, n, z: wilson_by_parts(
        r, n, z, half=1 / (1 + z * z / n)
    ),
    "the root itself is missing": lambda r, n, z: wilson_by_parts(
        r, n, z, inside=under_root(r, n, z) ** 2
    ),
    "share · (1 − share) is divided by total under the root": lambda r, n, z: wilson_by_parts(
        r, n, z, inside=r / n * (1 - r / n) + z * z / (4 * n * n)
    ),
    "beside the share stands z²/(2 total), not z²/total": lambda r, n, z: wilson_by_formula(
        r, n, z, middle=1.0
    ),
    "z²/(2 total) is missing beside the share": lambda r, n, z: wilson_by_formula(
        r, n, z, middle=0.0
    ),
    "the share was taken for share · (1 − share) under the root": lambda r, n, z: wilson_by_parts(
        r, n, z, inside=r / n / n + z * z / (4 * n * n)
    ),
    "the ends were cut off to whole per cents": lambda r, n, z: tuple(
        round(end, 2) for end in wilson_by_formula(r, n, z)
    ),
    "only the low end came back": lambda r, n, z: wilson_by_formula(r, n, z)[0],
}


@exercise_check(
    "wilson_interval",
    hints=(
        "where is the middle when all trials were right?",
        "the middle is drawn towards one half by what z squared over the trials adds, "
        "above and below the line; half the width is a root, and it stands over the same "
        "line.",
        "`z / (1 + z**2 / total) * (share * (1 - share) / total + z**2 / (4 * total**2)) "
        "** 0.5` is half the width",
    ),
)
def check_wilson_interval(attempt):
    """wilson_interval(right, total, z): the two shares that solve the equation, (low, high)."""
    inputs = [
        (15, 30, 1.96),
        (30, 30, 1.96),
        (2, 40, 1.96),
        (450, 510, 1.96),
        (0, 12, 1.0),
        (7, 9, 2.58),
    ]

    judge(attempt, wilson_by_formula, inputs, WILSON_INTERVAL_MISTAKES)


def folded_words(text):
    return " ".join(text.strip().removesuffix(".").casefold().split())


def letters_only(text):
    return "".join(mark for mark in text.casefold() if mark.isalnum() or mark.isspace()).split()


def small_first_letters(text):
    return " ".join(word[0].lower() + word[1:] for word in text.strip().removesuffix(".").split())


IS_RIGHT_MISTAKES = {
    "only the first letter of a word may be a capital or not here; no capitals count": lambda w, a: (
        small_first_letters(w) == small_first_letters(a)
    ),
    "a full stop behind any word is forgiven here; only the one at the end is": lambda w, a: (
        " ".join(w.casefold().replace(".", " ").split())
        == " ".join(a.casefold().replace(".", " ").split())
    ),
    "any number of full stops at the end is forgiven here; only one is": lambda w, a: (
        " ".join(w.casefold().strip().rstrip(".").split())
        == " ".join(a.casefold().strip().rstrip(".").split())
    ),
    "a stop with a space before it counts here; it is a full stop at the end as well": lambda w, a: (
        " ".join(w.casefold().split()).removesuffix(".")
        == " ".join(a.casefold().split()).removesuffix(".")
    ),
    "the full stop was looked for before the white space at the end was taken off": lambda w, a: (
        w.casefold().removesuffix(".").split() == a.casefold().removesuffix(".").split()
    ),
    "capitals count here; they should not": lambda w, a: (
        " ".join(w.strip().removesuffix(".").split())
        == " ".join(a.strip().removesuffix(".").split())
    ),
    "the final full stop counts here; one is forgiven": lambda w, a: (
        w.casefold().split() == a.casefold().split()
    ),
    "it is enough here that the wanted words stand somewhere in the answer; "
    "more words are wrong": lambda w, a: folded_words(w) in folded_words(a),
    "it is enough here that the wanted text stands somewhere in the answer; "
    "more words are wrong": lambda w, a: (
        " ".join(w.casefold().split()) in " ".join(a.casefold().split())
    ),
    "it is enough here that the answer begins right; more words are wrong": lambda w, a: (
        folded_words(a).startswith(folded_words(w))
    ),
    "all marks are forgiven here; only one full stop at the end is": lambda w, a: (
        letters_only(w) == letters_only(a)
    ),
    "any marks at the end are forgiven here; only one full stop is": lambda w, a: (
        " ".join(w.casefold().split()).rstrip(".!?") == " ".join(a.casefold().split()).rstrip(".!?")
    ),
    "any marks at the end are forgiven here, also behind a space; only one full stop is": lambda w, a: (
        w.strip().rstrip(".!?").casefold().split() == a.strip().rstrip(".!?").casefold().split()
    ),
    "the order of the words does not count here, if the marks are the same; it should": lambda w, a: (
        sorted(folded_words(w).split()) == sorted(folded_words(a).split())
    ),
    "neither order nor number of the words counts here; both should": lambda w, a: (
        set(folded_words(w).split()) == set(folded_words(a).split())
    ),
    "the order of the words does not count here; it should": lambda w, a: (
        sorted(folded_words(w).replace(",", " ").split())
        == sorted(folded_words(a).replace(",", " ").split())
    ),
    "white space inside the answer counts here; several spaces or a line break "
    "are as good as one": lambda w, a: (
        w.strip().removesuffix(".").casefold() == a.strip().removesuffix(".").casefold()
    ),
    "without any spaces two words become one": lambda w, a: (
        folded_words(w).replace(" ", "") == folded_words(a).replace(" ", "")
    ),
    "this compares letter by letter; capitals, white space and one full stop are forgiven": lambda w, a: (
        w == a
    ),
    "an answer that ends right is right here; more words before it are wrong": lambda w, a: (
        folded_words(a).endswith(folded_words(w))
    ),
    "a part of the wanted words is enough here; none may be missing": lambda w, a: (
        folded_words(a) in folded_words(w)
    ),
    "only the first words are compared here": lambda w, a: (
        folded_words(w).split()[:1] == folded_words(a).split()[:1]
    ),
    "only the last words are compared here": lambda w, a: (
        folded_words(w).split()[-1:] == folded_words(a).split()[-1:]
    ),
    "only the number of words is compared here": lambda w, a: (
        len(folded_words(w).split()) == len(folded_words(a).split())
    ),
    "the full stop at the end of `wanted` counts here; it is forgiven on both sides": lambda w, a: (
        " ".join(w.casefold().split()) == folded_words(a)
    ),
    "the full stop at the end of `answer` counts here; it is forgiven on both sides": lambda w, a: (
        folded_words(w) == " ".join(a.casefold().split())
    ),
    "`wanted` keeps its capitals here; make both small": lambda w, a: (
        " ".join(w.strip().removesuffix(".").split()) == folded_words(a)
    ),
    "commas are forgiven here; only one full stop at the end is": lambda w, a: (
        folded_words(w.replace(",", "")) == folded_words(a.replace(",", ""))
    ),
    "an exclamation mark at the end is forgiven here; only one full stop is": lambda w, a: (
        folded_words(w.strip().removesuffix("!")) == folded_words(a.strip().removesuffix("!"))
    ),
    "every answer is right here": lambda w, a: True,
    "every answer is wrong here": lambda w, a: False,
    "right and wrong are exchanged": lambda w, a: folded_words(w) != folded_words(a),
}


@exercise_check(
    "is_right",
    hints=(
        "in which form are two texts the same, if they differ only in what is forgiven?",
        "bring both sides into one form: the ends trimmed, one stop taken off, small "
        "letters, single spaces between the words. Then they are equal or not.",
        "`' '.join(text.strip().removesuffix('.').casefold().split())` on both sides",
    ),
)
def check_is_right(attempt):
    """is_right(wanted, answer): the same words in the same order; capitals, white space, a final
    full stop do not count.
    """
    inputs = [
        ("Mia", "Mia"),
        ("mice", " Mice. \n"),
        ("because the kite is in the elm", "because the kite  is\nin the elm."),
        ("mice", "The plural is mice."),
        ("Mia", "Mia and Otto"),
        ("red, blue", "blue, red"),
        ("Mia", "Mi"),
        ("big, bigger", "big bigger"),
        ("Is Otto a cat?", "Is Otto a cat."),
        ("12", "12.."),
        ("3", "2"),
        ("no", "NO!"),
        ("Stop.", "stop"),
        ("ten hens", "tenhens"),
        ("Otto", "otto"),
        ("one owl", "one  owl"),
        ("NO", "no"),
        ("mice", "mice ."),
        ("It rained. Finn slept", "It rained Finn slept"),
        ("the fox saw Mia", "Mia saw the fox"),
        ("a very very old owl", "a very old owl"),
        ("the old owl", "owl"),
        ("Mia sat.", "mia sat"),
        ("", " . "),
        ("the end.", "The end."),
    ]

    judge(
        attempt,
        lambda wanted, answer: folded_words(wanted) == folded_words(answer),
        inputs,
        IS_RIGHT_MISTAKES,
    )


class LittleModel:
    """Logits from all ids that were read, so that forgetting some of them shows: a list of ids to
    (vocab,).
    """

    def __init__(self, seed, vocab=12):
        self.table = torch.randn(40, vocab, vocab, generator=seeded(seed))

    def __call__(self, ids):
        return (
            sum(self.table[place, token] for place, token in enumerate(ids))
            + 0.2 * self.table[len(ids), 0]
        )


def greedy_by_steps(model, prompt, end, most, see=lambda ids: ids, choose=torch.argmax, stop=True):
    ids = list(prompt)
    while len(ids) < len(prompt) + most:
        token = int(choose(model(see(ids))))
        if stop and token == end:
            break
        ids.append(token)
    return ids[len(prompt) :]


def greedy_with_end(model, prompt, end, most):
    found = greedy_by_steps(model, prompt, end, most)
    return found if len(found) == most else [*found, end]


GREEDY_ANSWER_MISTAKES = {
    "the end-of-text token is part of this answer; it ends it, and nobody wants to read it": greedy_with_end,
    "this asks whether the last id is `end`: a prompt that ends with it gets no answer, and every "
    "answer keeps its end": lambda m, p, e, n: [] if p[-1] == e else greedy_with_end(m, p, e, n),
    "this never stops before max_tokens: what comes behind the end-of-text token is no part of the "
    "answer": lambda m, p, e, n: greedy_by_steps(m, p, e, n, stop=False),
    "the prompt came back with the answer; only the new ids are asked for": lambda m, p, e, n: [
        *p,
        *greedy_by_steps(m, p, e, n),
    ],
    "the model was shown its last token alone; it needs all ids so far": lambda m, p, e, n: (
        greedy_by_steps(m, p, e, n, see=lambda ids: ids[-1:])
    ),
    "the model was shown the prompt alone, so each token is chosen as if it "
    "were the first": lambda m, p, e, n: greedy_by_steps(m, p, e, n, see=lambda ids: ids[: len(p)]),
    "one token too many: at most max_tokens": lambda m, p, e, n: greedy_by_steps(m, p, e, n + 1),
    "one token too few: up to max_tokens": lambda m, p, e, n: greedy_by_steps(m, p, e, n - 1),
    "with max_tokens = 0 nothing is to be written": lambda m, p, e, n: greedy_by_steps(
        m, p, e, max(n, 1)
    ),
    "`end` is not always 0": lambda m, p, e, n: greedy_by_steps(m, p, 0, n),
    "this takes the least likely token": lambda m, p, e, n: greedy_by_steps(
        m, p, e, n, choose=torch.argmin
    ),
    "this stops because end-of-text is in the prompt, which begins with it": lambda m, p, e, n: [],
    "the last token was fed to the model twice": lambda m, p, e, n: greedy_by_steps(
        m, p, e, n, see=lambda ids: [*ids, ids[-1]]
    ),
    "the model did not see the first id of the prompt": lambda m, p, e, n: greedy_by_steps(
        m, p, e, n, see=lambda ids: ids[1:]
    ),
    "the model did not see the last id": lambda m, p, e, n: greedy_by_steps(
        m, p, e, n, see=lambda ids: ids[:-1]
    ),
    "the model saw the answer without the prompt": lambda m, p, e, n: greedy_by_steps(
        m, p, e, n, see=lambda ids: ids[len(p) :] or ids
    ),
    "this takes the second likeliest token": lambda m, p, e, n: greedy_by_steps(
        m, p, e, n, choose=lambda logits: logits.topk(2).indices[1]
    ),
    "`max_tokens` counts the new ids, not the prompt's": lambda m, p, e, n: greedy_by_steps(
        m, p, e, max(0, n - len(p))
    ),
    "the last id of the answer is missing: where `end` was never chosen, nothing is to be cut "
    "off": lambda m, p, e, n: greedy_by_steps(m, p, e, n)[:-1],
    "only the last id came back": lambda m, p, e, n: (greedy_by_steps(m, p, e, n) or [e])[-1],
    "the ids stand backwards": lambda m, p, e, n: greedy_by_steps(m, p, e, n)[::-1],
}


@exercise_check(
    "greedy_answer",
    hints=(
        "what does the model read before it says its next word?",
        "keep the new ids in a list of their own; ask with the prompt and that list, stop "
        "at the end, and count the new ones alone.",
        "`int(next_logits(prompt + new).argmax())`, where `new` is the list that comes back",
    ),
)
def check_greedy_answer(attempt):
    """greedy_answer(next_logits, prompt, end, max_tokens): the ids of the answer, without its end."""
    inputs = []
    for seed, (count, most, end) in enumerate(
        [(3, 20, 0), (2, 4, 0), (4, 25, 5), (1, 20, 0), (3, 1, 2), (2, 25, 9), (2, 0, 0)]
    ):
        inputs.append(
            (LittleModel(seed), [end, *ids_of(random.Random(seed), count, high=11)], end, most)
        )

    judge(
        keeping(attempt, "next_logits", "prompt"), greedy_by_steps, inputs, GREEDY_ANSWER_MISTAKES
    )
