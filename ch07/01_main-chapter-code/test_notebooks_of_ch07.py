"""Chapter 7's notebooks: their code is the modules' code, their checks know wrong from right, their
logs say what the text says. (That the notebooks run and give their stored outputs is tested for the
whole repository in tools/.)"""

import ast
import json
import math
import re
import shlex
from collections import Counter
from itertools import groupby
from pathlib import Path

import pytest

if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__]))

import torch
import torch.nn.functional as F
from torch import nn

from ch05_01_main_chapter_code.gpt_train import learning_rate
from ch07_01_main_chapter_code import checks, gpt_download
from ch07_01_main_chapter_code import exercise_experiments as experiments
from ch07_01_main_chapter_code import gpt_instruction_finetuning as finetuning
from ch07_01_main_chapter_code.gpt_instruction_finetuning import (
    InstructionDataset,
    collate,
    format_prompt,
)
from ch07_01_main_chapter_code.instruction_arguments import comparison_arguments, instruct_arguments
from ch07_01_main_chapter_code.instructions import (
    FIELDS,
    KINDS,
    grade,
    load_entries,
    make_entries,
    source_of,
    split,
)
from ch07_01_main_chapter_code.previous_chapters import (
    GPT,
    TALES_GPT,
    Batches,
    GPTConfig,
    TrainConfig,
    make_optimizer,
)
from ch07_01_main_chapter_code.tasks.sets import wilson
from scratch_llm_tools.exercises import ExerciseTests, HintTests, MistakeTests
from scratch_llm_tools.notebook_code import assert_same_code, notebook_definitions

FOLDER = Path(__file__).parent
NOTEBOOK = FOLDER / "ch07.ipynb"
END = 0


def test_the_readme_names_every_module_and_draws_the_rooms():
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    tree = re.search(r"```\n(tasks/.*?)```", readme, re.DOTALL)[1]
    drawn, room = set(), ""
    for line in tree.splitlines():
        name = line.split()[0]
        room = room if line.startswith(" ") else name
        drawn.add(room if name == room else room + name)
    rooms = {path.parent for path in FOLDER.glob("*/*.py")} - {
        FOLDER / "figures",
        FOLDER / "experiments",
    }
    modules = {path for room in rooms for path in room.glob("*.py")}
    shown = {path for path in modules if not path.name.startswith("test_")}
    assert drawn == {f"{path.name}/" for path in rooms} | {
        path.relative_to(FOLDER).as_posix() for path in shown
    }
    here = [path.name for path in FOLDER.glob("*.py") if not path.name.startswith("test")]
    assert all(f"| `{name}`" in readme for name in here) and len(here) <= 12


# --- The notebook's code and the modules' ---------------------------------------------------------


def test_the_notebook_teaches_this_very_code():
    assert_same_code(
        NOTEBOOK, FOLDER / "gpt_instruction_finetuning.py", ["format_prompt", "collate"]
    )


def notebook_space(*names):
    """Definitions of the notebook, with what they are made of."""
    found = notebook_definitions(NOTEBOOK)
    space = {
        "torch": torch,
        "math": math,
        "nn": nn,
        "F": F,
        "Batches": Batches,
        "TrainConfig": TrainConfig,
        "learning_rate": learning_rate,
        "make_optimizer": make_optimizer,
        "EOT": END,
    }
    for name in names:
        exec(compile(ast.Module([found[name]], []), f"ch07.ipynb: {name}", "exec"), space)
    return space


class Letters:
    """A tokenizer of one token per character."""

    n_vocab, end_of_text = 128, END

    def encode(self, text, allowed_special=()):
        return [1 + ord(character) % 127 for character in text]

    def decode(self, ids):
        return "".join(chr(number - 1) for number in ids)


def little_set(count=40):
    entries = [
        {"instruction": "Go on.", "input": "x" * (n % 7), "output": "ab" * (1 + n % 5)}
        for n in range(count)
    ]
    return InstructionDataset(entries, Letters(), "tales", 64)


def small_model():
    torch.manual_seed(5)
    # Without biases: a key's bias changes no attention, its gradient is rounding noise, and AdamW
    # makes steps of it.
    return GPT(GPTConfig(128, 64, emb_dim=16, n_heads=2, n_layers=2, qkv_bias=False))


@pytest.mark.parametrize(
    "settings", [{}, {"batch_size": 7, "seed": 3}, {"lr": 3e-3, "num_epochs": 3}]
)
def test_the_notebooks_loop_equals_the_modules_step_for_step(settings):
    settings = {"num_epochs": 1, "lr": 1e-3} | settings
    dataset, plain, fast = little_set(), small_model(), small_model()
    losses = notebook_space("fine_tune")["fine_tune"](plain, dataset, **settings)
    _, history = finetuning.fine_tune(fast, dataset, **settings)
    assert (
        len(losses)
        == len(history["losses"])
        == settings["num_epochs"] * math.ceil(40 / settings.get("batch_size", 16))
    )
    torch.testing.assert_close(losses, history["losses"], rtol=1e-4, atol=1e-5)
    for name, parameter in plain.named_parameters():
        torch.testing.assert_close(parameter, fast.get_parameter(name), rtol=1e-3, atol=2e-4)


def test_each_setting_matters_to_the_notebooks_loop():
    """So the equality above would break if a setting were ignored."""
    loop = notebook_space("fine_tune")["fine_tune"]
    usual = {"num_epochs": 2, "lr": 1e-3, "batch_size": 16, "seed": 0}
    losses = loop(small_model(), little_set(), **usual)
    for name, value in {"lr": 2e-3, "batch_size": 8, "seed": 1}.items():
        changed = loop(small_model(), little_set(), **(usual | {name: value}))
        assert max(abs(a - b) for a, b in zip(losses, changed, strict=False)) > 1e-4, name


def test_the_notebooks_surprises_are_the_terms_of_the_loss():
    model, dataset = small_model().eval(), little_set(6)
    surprises = notebook_space("answer_surprises")["answer_surprises"]
    each = torch.cat(
        [surprises(model, ids[:n].tolist(), ids[n:-1].tolist()) for ids, n in dataset.rows]
    )
    inputs, targets = collate(dataset.rows, END)
    assert (inputs.shape[1] > dataset.lengths.min()) and len(each) == (targets != -100).sum()
    with torch.no_grad():
        assert (
            abs(each.mean() - F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten()))
            < 1e-5
        )


@pytest.mark.parametrize(
    ("right", "total"), [(0, 5), (5, 5), (1, 3), (17, 30), (450, 510), (999, 1000)]
)
@pytest.mark.parametrize("z", [1.0, 1.96, 2.58])
def test_trying_all_shares_gives_the_wilson_interval(right, total, z):
    tried = notebook_space("score_interval")["score_interval"](right, total, z)
    assert max(abs(a - b) for a, b in zip(tried, wilson(right, total, z), strict=True)) < 1e-5


def test_the_commands_of_the_text_are_understood():
    texts = [
        path.read_text(encoding="utf-8")
        for path in (FOLDER / "README.md", FOLDER.parent / "README.md")
    ]
    for name in ("ch07.ipynb", "load-finetuned-model.ipynb"):
        cells = json.loads((FOLDER / name).read_text(encoding="utf-8"))["cells"]
        texts += ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
    parsers = {
        "gpt_instruction_finetuning.py": instruct_arguments,
        "exercise_experiments.py": comparison_arguments,
        "gpt_download.py": gpt_download.data_arguments,
    }
    commands = re.findall(r"python (\w+\.py)([^`#\n]*)", "\n".join(texts))
    known = [(script, flags) for script, flags in commands if script in parsers]
    assert len(known) > 12 and {script for script, _ in known} >= {
        "gpt_instruction_finetuning.py",
        "exercise_experiments.py",
    }
    for script, flags in known:
        parsers[script](shlex.split(flags))  # ends the program if a flag is not known
    assert all((FOLDER / script).is_file() or script.startswith("..") for script, _ in commands)


def test_the_numbers_in_the_prose():
    """What the text says of the data, the tokens and the intervals, which no cell prints."""
    tokenizer = GPT.from_pretrained(TALES_GPT).tokenizer
    assert tokenizer.n_vocab == 1728 and abs(math.log(1728) - 7.5) < 0.05
    entries = load_entries()
    assert len(entries) == 1100 and len(KINDS) == 61 and len(split(entries)[2]) == 116
    tales = [entry["instruction"] for entry in entries if entry["kind"].startswith("tale-")]
    assert len({entry["kind"] for entry in entries if entry["kind"].startswith("tale-")}) == 17
    assert (
        10 < sum(len(tokenizer.encode(text)) for text in tales) / len(tales) < 14
    )  # "some twelve tokens"
    for style, extra in (("alpaca", (40, 60)), ("tales", (0, 4))):  # "a quarter of the 192 tokens"
        entry = {"instruction": "Go.", "input": "Mia sat."}
        template = len(tokenizer.encode(format_prompt(entry, style))) - len(
            tokenizer.encode("Go.Mia sat.")
        )
        assert extra[0] <= template <= extra[1]
    assert abs(wilson(30, 30)[0] - 0.886) < 1e-3
    assert 0.65 < 0.99**40 < 0.68  # "in two of three cases"
    plural = {
        "instruction": "Write the plural.",
        "input": "mouse",
        "output": "mice",
        "kind": "plural",
    }
    assert [
        grade(plural, text) for text in ("mice", " Mice. ", '"mice"', "The plural is mice.")
    ] == [True] * 3 + [False]


# --- The exercises and their checks ---------------------------------------------------------------


def solved_leaked(test, train, source):
    return [n for n in range(len(test)) if source(test[n]) in [source(other) for other in train]]


def solved_letter_prompt(entry):
    return (
        "Task: {}\n".format(entry["instruction"])
        + (f"Text: {entry['input']}\n" if entry["input"] else "")
        + "Answer:"
    )


def by_collate(prompt, answer, end, length):
    """An independent solution: the module's `collate`, with a row beside it that is as long as is
    asked for.
    """
    rows = [
        (torch.tensor([*prompt, *answer, end]), len(prompt)),
        (torch.full((length + 1,), 1), length),
    ]
    inputs, targets = collate(rows, end)
    return inputs[0].tolist(), targets[0].tolist()


def changed(solution, change):
    return lambda *arguments: change(solution(*arguments), *arguments)


def solved_loss_on_answers(logits, targets):
    return F.nll_loss(logits.log_softmax(dim=-1).flatten(0, 1), targets.flatten())


def solved_turn_targets(turns, end):
    """An independent solution: each of the assistant's turns as an answer to all that came before,
    by `collate`.
    """
    inputs, learned, row = [], {}, []
    for role, ids in turns:
        if role == "assistant":
            inputs, targets = (
                part[0].tolist()
                for part in collate([(torch.tensor([*row, *ids, end]), len(row))], end)
            )
            learned |= {place: target for place, target in enumerate(targets) if target != -100}
            row += [*ids, end]
        else:
            row += ids
    return inputs, [learned.get(place, -100) for place in range(len(inputs))]


def of_role(counted, shift=1):
    """Which tokens of a talk count, by a rule (number of the turn, role, whether it is the end)."""

    def targets_of(turns, end):
        row, wanted = [], []
        for number, (role, ids) in enumerate(turns):
            tokens = [*ids, end] if role == "assistant" else list(ids)
            row += tokens
            wanted += [
                token if counted(number, role, place == len(ids), len(turns)) else -100
                for place, token in enumerate(tokens)
            ]
        return row[:-1], wanted[1:] if shift else wanted[:-1]

    return targets_of


def solved_wilson_interval(right, total, z):
    """An independent solution: bisection for the two shares that lie z standard deviations away."""

    def root(inside, outside):
        for _ in range(200):
            middle = (inside + outside) / 2
            near = abs(right / total - middle) <= z * (middle * (1 - middle) / total) ** 0.5
            inside, outside = (middle, outside) if near else (inside, middle)
        return inside

    return root(right / total, 0.0), root(right / total, 1.0)


def wald(right, total, z):
    share = right / total
    half = z * (share * (1 - share) / total) ** 0.5
    return share - half, share + half


def solved_is_right(wanted, answer):
    def form(text):
        text = text.strip()
        return re.sub(r"\s+", " ", text[:-1].strip() if text.endswith(".") else text).lower()

    return form(wanted) == form(answer)


def solved_greedy_answer(next_logits, prompt, end, max_tokens):
    def rest(ids, left):
        token = int(torch.argsort(next_logits(ids), descending=True)[0]) if left else end
        return [] if token == end else [token, *rest([*ids, token], left - 1)]

    return rest(list(prompt), max_tokens)


def greedy_without_end(next_logits, prompt, end, max_tokens, seen=lambda ids: ids):
    ids = list(prompt)
    for _ in range(max_tokens):
        ids.append(int(next_logits(seen(ids)).argmax()))
    return ids[len(prompt) :]


def ended(ids, end):
    return ids[: ids.index(end)] if end in ids else ids


# exercise: (a right answer, [(a wrong answer, words of the message that names its mistake), …])
EXERCISES = {
    "leaked": (
        solved_leaked,
        [
            (lambda t, r, s: [n for n, e in enumerate(t) if e in r], "the same in all fields"),
            (
                lambda t, r, s: [
                    n for n, e in enumerate(t) if e["input"] in [o["input"] for o in r]
                ],
                "as it is written",
            ),
            (
                lambda t, r, s: [n for n in range(len(t)) if n not in solved_leaked(t, r, s)],
                "clean",
            ),
            (lambda t, r, s: [t.index(e) for e in t if s(e) in map(s, r)], "has two places"),
            (
                lambda t, r, s: [n for n, e in enumerate(t) if s(e) in " / ".join(map(s, r))],
                "within another",
            ),
            (lambda t, r, s: solved_leaked(r, t, s), "places in `train`"),
            (lambda t, r, s: [t[n] for n in solved_leaked(t, r, s)], "these are the entries"),
            (lambda t, r, s: len(solved_leaked(t, r, s)), "their number"),
        ],
    ),
    "letter_prompt": (
        solved_letter_prompt,
        [
            (
                lambda e: f"Task: {e['instruction']}\nText: {e['input']}\nAnswer:",
                "Text line with nothing",
            ),
            (lambda e: solved_letter_prompt(e) + " ", "a space stands at the end"),
            (lambda e: solved_letter_prompt(e) + "\n", "a line break"),
            (
                lambda e: f"{solved_letter_prompt(e)} {e['output']}",
                "the answer stands in the prompt",
            ),
            (lambda e: f"Task: {e['instruction']}\nAnswer:", "left out"),
            (
                lambda e: solved_letter_prompt(e).removesuffix("\nAnswer:"),
                "nothing tells the model",
            ),
        ],
    ),
    "masked_row": (
        by_collate,
        [
            (
                changed(by_collate, lambda r, p, a, e, n: (r[0], [-100] * len(p) + r[1][len(p) :])),
                "the first token of the answer",
            ),
            (
                changed(
                    by_collate, lambda r, p, a, e, n: (r[0], [-100 if t == e else t for t in r[1]])
                ),
                "never learns to stop",
            ),
            (
                changed(
                    by_collate,
                    lambda r, p, a, e, n: (
                        r[0],
                        r[1][: len(p) + len(a)] + [e] * (n - len(p) - len(a)),
                    ),
                ),
                "padding is a target",
            ),
            (
                changed(
                    by_collate,
                    lambda r, p, a, e, n: (r[0], [*p, *a, e][1:] + [-100] * (n - len(p) - len(a))),
                ),
                "the prompt counts",
            ),
            (
                changed(
                    by_collate,
                    lambda r, p, a, e, n: (
                        r[0],
                        [-100] * len(p) + a + [-100] * (n - len(p) - len(a)),
                    ),
                ),
                "just read",
            ),
            (lambda p, a, e, n: by_collate(p, a, e, len(p) + len(a)), "nothing was padded"),
            (lambda p, a, e, n: by_collate(p, a, 0, n), "is not always 0"),
            (
                changed(
                    by_collate,
                    lambda r, p, a, e, n: (
                        r[0],
                        [
                            -100 if x in p and i < len(p) + len(a) - 1 else x
                            for i, x in enumerate(r[1])
                        ],
                    ),
                ),
                "not the id",
            ),
            (
                lambda p, a, e, n: (
                    [*p, *a, e] + [e] * (n - len(p) - len(a) - 1),
                    [-100] * len(p) + [*a, e] + [-100] * (n - len(p) - len(a) - 1),
                ),
                "nothing was shifted",
            ),
            (
                changed(
                    by_collate,
                    lambda r, p, a, e, n: ([*p, *a, e] + [e] * (n - len(p) - len(a) - 1), r[1]),
                ),
                "in the inputs",
            ),
        ],
    ),
    "loss_on_answers": (
        solved_loss_on_answers,
        [
            (
                lambda x, y: (
                    F.cross_entropy(x.flatten(0, 1), y.flatten(), reduction="sum") / y.numel()
                ),
                "all places",
            ),
            (
                lambda x, y: torch.stack(
                    [F.cross_entropy(a, b) for a, b in zip(x, y, strict=True)]
                ).mean(),
                "mean of means",
            ),
            (lambda x, y: F.cross_entropy(x.flatten(0, 1), y.flatten().clamp(min=0)), "the id 0"),
            (
                lambda x, y: F.cross_entropy(x.flatten(0, 1), y.flatten(), reduction="sum"),
                "this is a sum",
            ),
            (
                lambda x, y: F.cross_entropy(x[:, :-1].flatten(0, 1), y[:, 1:].flatten()),
                "shifted once more",
            ),
            (lambda x, y: -F.cross_entropy(x.flatten(0, 1), y.flatten()), "minus sign"),
            (lambda x, y: F.nll_loss(x.flatten(0, 1), y.flatten()), "softmax is missing"),
            (
                lambda x, y: F.nll_loss(
                    (x.exp() / x.exp().sum(-1, keepdim=True)).log().flatten(0, 1), y.flatten()
                ),
                "subtracts the largest",
            ),
            (lambda x, y: solved_loss_on_answers(x, y).detach(), "no gradient can flow"),
        ],
    ),
    "turn_targets": (
        solved_turn_targets,
        [
            (of_role(lambda n, role, is_end, of: n == of - 1), "only the last answer counts"),
            (of_role(lambda n, role, is_end, of: True), "the user's words count"),
            (
                of_role(lambda n, role, is_end, of: role == "assistant" and not is_end),
                "when its turn is over",
            ),
            (of_role(lambda n, role, is_end, of: role == "user"), "exchanged"),
            (
                lambda t, e: of_role(
                    lambda n, role, is_end, of: n == [turn[0] for turn in t].index("assistant")
                )(t, e),
                "only the first answer",
            ),
            (
                lambda t, e: solved_turn_targets(
                    [(("user", "assistant")[n % 2], ids) for n, (_, ids) in enumerate(t)], e
                ),
                "every second turn",
            ),
            (lambda t, e: solved_turn_targets(t, 0), "is not always 0"),
            (
                lambda t, e: solved_turn_targets(
                    [
                        (role, [token for _, ids in part for token in ids])
                        for role, part in groupby(t, key=lambda turn: turn[0])
                    ],
                    e,
                ),
                "got one end",
            ),
            (of_role(lambda n, role, is_end, of: role == "assistant", shift=0), "just read"),
        ],
    ),
    "wilson_interval": (
        solved_wilson_interval,
        [
            (wald, "30 right of 30 would be certain for ever"),
            (
                lambda r, n, z: (max(0.0, wald(r, n, z)[0]), min(1.0, wald(r, n, z)[1])),
                "cut off at 0 and 1",
            ),
            (lambda r, n, z: solved_wilson_interval(r, n, 1.96), "was ignored"),
            (lambda r, n, z: solved_wilson_interval(r, n, z)[::-1], "exchanged"),
            (
                changed(
                    solved_wilson_interval,
                    lambda i, r, n, z: ((i[0] + i[1]) / 2, (i[1] - i[0]) / 2),
                ),
                "half the width",
            ),
            (
                changed(
                    solved_wilson_interval,
                    lambda i, r, n, z: (r / n - (i[1] - i[0]) / 2, r / n + (i[1] - i[0]) / 2),
                ),
                "not the share itself",
            ),
        ],
    ),
    "is_right": (
        solved_is_right,
        [
            (lambda w, a: w == a, "letter by letter"),
            (lambda w, a: w.lower() in " ".join(a.lower().split()), "somewhere in the answer"),
            (lambda w, a: w.casefold().split() == a.casefold().split(), "full stop counts"),
            (
                lambda w, a: re.findall(r"\w+", w.lower()) == re.findall(r"\w+", a.lower()),
                "all marks are forgiven",
            ),
            (
                lambda w, a: (
                    sorted(re.sub(r"[,\s]+", " ", w.lower().strip(". \n")).split())
                    == sorted(re.sub(r"[,\s]+", " ", a.lower().strip().removesuffix(".")).split())
                ),
                "order",
            ),
            (
                lambda w, a: (
                    re.sub(r"\b[A-Z]", lambda m: m[0].lower(), w.strip().removesuffix(".")).split()
                    == re.sub(
                        r"\b[A-Z]", lambda m: m[0].lower(), a.strip().removesuffix(".")
                    ).split()
                ),
                "first letter",
            ),
            (
                lambda w, a: (
                    Counter(w.lower().strip().removesuffix(".").split())
                    == Counter(a.lower().strip().removesuffix(".").split())
                ),
                "if the marks are the same",
            ),
            (
                lambda w, a: (
                    set(w.lower().strip().removesuffix(".").split())
                    == set(a.lower().strip().removesuffix(".").split())
                ),
                "nor number",
            ),
            (
                lambda w, a: (
                    w.lower().replace(".", " ").split() == a.lower().replace(".", " ").split()
                ),
                "behind any word",
            ),
            (
                lambda w, a: (
                    w.lower().strip().rstrip(".").split() == a.lower().strip().rstrip(".").split()
                ),
                "any number",
            ),
            (
                lambda w, a: (
                    w.strip(" \n").removesuffix(".").lower()
                    == a.strip(" \n").removesuffix(".").lower()
                ),
                "white space",
            ),
        ],
    ),
    "greedy_answer": (
        solved_greedy_answer,
        [
            (greedy_without_end, "never stops"),
            (lambda f, p, e, n: [*p, *solved_greedy_answer(f, p, e, n)], "the prompt came back"),
            (
                changed(solved_greedy_answer, lambda r, f, p, e, n: r if len(r) == n else [*r, e]),
                "is part of this answer",
            ),
            (
                lambda f, p, e, n: ended(greedy_without_end(f, p, e, n, lambda ids: ids[-1:]), e),
                "last token alone",
            ),
            (
                lambda f, p, e, n: ended(
                    greedy_without_end(f, p, e, n, lambda ids: ids[: len(p)]), e
                ),
                "the prompt alone",
            ),
            (lambda f, p, e, n: solved_greedy_answer(f, p, e, n + 1), "too many"),
            (lambda f, p, e, n: [], "begins with it"),
            (lambda f, p, e, n: solved_greedy_answer(f, p, e, n or 1), "nothing is to be written"),
            (lambda f, p, e, n: solved_greedy_answer(f, p, 0, n), "is not always 0"),
        ],
    ),
}


class TestExercises(ExerciseTests, MistakeTests, HintTests):
    checks, exercises, notebook = checks, EXERCISES, NOTEBOOK


# --- What the text says of the data ---------------------------------------------------------------


def test_a_split_by_source_leaks_nothing_and_one_by_dice_does():
    entries = make_entries(600, seed=4)
    train, validation, test = split(entries)
    assert not {source_of(entry) for entry in train} & {
        source_of(entry) for entry in test + validation
    }
    assert solved_leaked(test, train, source_of) == []
    assert len(solved_leaked(load_entries()[::9], load_entries(), source_of)) == len(
        load_entries()[::9]
    )


# --- The logs of the long runs --------------------------------------------------------------------


def log(name):
    head, *rows = map(
        json.loads,
        (FOLDER / "experiments" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines(),
    )
    assert head["command"].startswith("python ") and head["machine"]
    return rows


def check_result(result, kinds):
    """An exact score over all kinds: its sum and its interval belong to the scores by kind."""
    right, total = (sum(scores[n] for scores in kinds) for n in (0, 1))
    assert [result["right"], result["of"]] == [right, total]
    torch.testing.assert_close(list(result["interval"]), list(wilson(right, total)))


def check_summary(summary):
    for name in ("before", "after"):
        check_result(summary[name], [scores[name] for scores in summary["kinds"].values()])


def test_part_a_meets_its_figure_in_the_log():
    for row in log("part-a"):
        check_summary(row)
        assert row["after"]["of"] >= 300 and len(row["kinds"]) == 17 and row["seconds"] <= 6 * 60
        assert row["before"]["share"] <= 0.05 and row["after"]["share"] >= 0.80
        assert row["valid_share_after"] > 0.5


def test_the_log_of_part_b_is_whole():
    base, *taught = log("part-b")
    assert base["seed"] is None and len({row["seed"] for row in taught}) == len(taught) >= 3
    for row in (base, *taught):
        check_result(row["alpaca"], row["kinds"].values())
        assert set(row["kinds"]) == set(base["kinds"])
    assert all(row["alpaca"]["share"] > base["alpaca"]["share"] for row in taught)


def test_the_responses_are_those_of_part_b_to_the_test_split():
    rows = json.loads((FOLDER / "instruction-data-with-response.json").read_text(encoding="utf-8"))
    assert [{field: row[field] for field in FIELDS} for row in rows] == split(load_entries())[2]
    kept = next(row["answers"] for row in log("part-b") if row["seed"] == 1)
    assert [row["model_response"] for row in rows[: len(kept)]] == kept


def test_the_log_of_the_variants_is_whole():
    rows = log("variants")
    seeds = {
        row["variant"]: {other["seed"] for other in rows if other["variant"] == row["variant"]}
        for row in rows
    }
    assert (
        set(seeds) == set(experiments.VARIANTS[:5])
        and len(set(map(frozenset, seeds.values()))) == 1
    )
    for row in rows:
        check_summary(row["summary"])
