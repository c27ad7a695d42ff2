"""Wrong answers to the exercises of chapter 7, each with the mistake that its reader must be told,
and right answers of unusual form. What the tables mean is told in tools/mutants.py.
"""

import math
import re

import numpy as np
import torch
import torch.nn.functional as F

from ch07_01_main_chapter_code import checks
from scratch_llm_tools.mutants import MutantTests

ROOT = "math.sqrt(p * (1 - p) / total + z**2 / (4 * total**2))"
UNDER = "p * (1 - p) / total + z**2 / (4 * total**2)"
SAME = "plain(wanted) == plain(answer)"
LOSS = "-p.gather(-1, targets[kept][:, None]).mean()"
EXCHANGED = """if entry["input"]:
        entry = {"instruction": entry["input"], "input": entry["instruction"]}
    lines = ["""
BEGUN = """        row += said
        learned = role == "assistant" or not begun
        begun = begun or role == "assistant"
"""
BY_ROWS = (
    "torch.stack([-q[k].gather(-1, t[k][:, None]).mean()"
    " for q, t, k in zip(logits.log_softmax(-1), targets, kept)])"
)

MUTANTS = {
    "letter_prompt": (
        """
def letter_prompt(entry):
    lines = [f"Task: {entry['instruction']}"]
    if entry["input"]:
        lines.append(f"Text: {entry['input']}")
    lines.append("Answer:")
    return "\\n".join(lines)
""",
        [
            ("a Text line with nothing in it", 'if entry["input"]:', "if True:"),
            ("the answer stands in the prompt", '"Answer:"', "f\"Answer: {entry['output']}\""),
            ("a space stands at the end", '"Answer:"', '"Answer: "'),
            ("a line break stands at the end", '"Answer:"', '"Answer:\\n"'),
            ("the input was left out", 'if entry["input"]:', "if False:"),
            ("the text stands before the task", 'lines.append(f"Text', 'lines.insert(0, f"Text'),
            (
                "Text and Answer are missing",
                "Task: ",
                "",
                "Text: ",
                "",
                '    lines.append("Answer:")\n',
                "",
            ),
            ("`Answer:` is missing", '    lines.append("Answer:")\n', ""),
            ("no space follows", "Task: ", "Task:", "Text: ", "Text:"),
            ("begin with capitals", "Task: ", "task: ", "Text: ", "text: ", "Answer:", "answer:"),
            ("lost its colon", "Answer:", "Answer"),
            ("stand in one line", '"\\n".join', '" ".join'),
            ("an empty line between", '"\\n".join', '"\\n\\n".join'),
            ("before `Answer:`", '"Answer:"', '"\\nAnswer:"'),
            (
                "in the place of its Text line",
                '    lines.append("Answer',
                '    else:\n        lines.append("")\n    lines.append("Answer',
            ),
            ("are exchanged", "lines = [", EXCHANGED),
            ("as a list", '"\\n".join(lines)', "lines"),
            ("of another style", "Task: ", "Instruction: ", "Text: ", "Input: "),
            ("no part of the prompt's text", "Answer:", "Answer:<|endoftext|>"),
            (
                "of the instruction was changed",
                "{entry['instruction']}",
                "{entry['instruction'].rstrip('.? ').lower()}",
            ),
            ("`entry` itself", "    if entry", "    entry['instruction'] = ''\n    if entry"),
            ("", "Answer:", "Reply:"),
        ],
        [
            ('"\\n".join(lines)', "'''\n'''.join(lines)"),
            ('    if entry["input"]:\n', '    if len(entry["input"]) > 0:\n'),
            (
                '    lines.append("Answer:")\n    return "\\n".join(lines)',
                '    return "".join(line + "\\n" for line in lines) + "Answer:"',
            ),
        ],
    ),
    "masked_row": (
        """
def masked_row(prompt, answer, end, length):
    row = prompt + answer + [end]
    inputs = row[:-1]
    targets = [-100] * (len(prompt) - 1) + answer + [end]
    fill = length - len(inputs)
    return inputs + [end] * fill, targets + [-100] * fill
""",
        [
            (
                "nothing was shifted: the inputs are the row",
                "row[:-1]",
                "row",
                "(len(prompt) - 1)",
                "len(prompt)",
            ),
            (
                "nothing was shifted: the inputs are right",
                "(len(prompt) - 1)",
                "len(prompt)",
                "targets + [-100] * fill",
                "(targets + [-100] * length)[:length]",
            ),
            (
                "it is the place that counts",
                "answer + [end]\n    fill",
                "[-100 if i in prompt else i for i in answer] + [end]\n    fill",
            ),
            (
                "looked for by its first id",
                "(len(prompt) - 1)",
                "(row.index(answer[0]) - 1)",
                "+ answer + [end]\n    fill",
                "+ row[row.index(answer[0]) :]\n    fill",
            ),
            ("not always 0", "    row", "    end = 0\n    row"),
            ("padding is a target", "targets + [-100] * fill", "targets + [end] * fill"),
            (
                "the end-of-text token is no target",
                "answer + [end]\n    fill",
                "answer + [-100]\n    fill",
            ),
            (
                "the model has just read; a target",
                "(len(prompt) - 1) + answer + [end]",
                "len(prompt) + answer",
            ),
            (
                "two tokens ahead",
                "[-100] * (len(prompt) - 1) + answer + [end]",
                "[-100 if i < len(prompt) - 2 else t for i, t in enumerate([*row[2:], -100])]",
            ),
            (
                "the first token of the answer is masked",
                "answer + [end]\n    fill",
                "[-100] + answer[1:] + [end]\n    fill",
            ),
            ("the prompt counts; only", "[-100] * (len(prompt) - 1) + answer + [end]", "row[1:]"),
            (
                "one token of the prompt counts",
                "[-100] * (len(prompt) - 1) + answer + [end]",
                "[-100] * (len(prompt) - 2) + row[max(1, len(prompt) - 1) :]",
            ),
            (
                "padding stands on the left",
                "inputs + [end] * fill, targets + [-100] * fill",
                "[end] * fill + inputs, [-100] * fill + targets",
            ),
            (
                "nothing was padded",
                "inputs + [end] * fill, targets + [-100] * fill",
                "inputs, targets",
            ),
            (
                "stands in the inputs as well",
                "return inputs + [end] * fill",
                "return row + [end] * (length - len(row))",
            ),
            (
                "shifted the wrong way",
                "(len(prompt) - 1)",
                "(len(prompt) + 1)",
                "targets + [-100] * fill",
                "(targets + [-100] * length)[:length]",
            ),
            ("lost their first id", "inputs = row[:-1]", "inputs = row[1:]"),
            ("padded with −100", "inputs + [end] * fill", "inputs + [-100] * fill"),
            ("padded with 0", "inputs + [end] * fill", "inputs + [0] * fill"),
            (
                "masked places have −1",
                "[-100] * (",
                "[-1] * (",
                "targets + [-100]",
                "targets + [-1]",
            ),
            (
                "masked places have `end`",
                "[-100] * (",
                "[end] * (",
                "targets + [-100]",
                "targets + [end]",
            ),
            (
                "masked in the inputs as well",
                "inputs = row[:-1]",
                "inputs = [-100] * len(prompt) + answer",
            ),
            (
                "the answer is masked and the prompt",
                "[-100] * (len(prompt) - 1) + answer + [end]",
                "prompt[1:] + [-100] * (len(answer) + 1)",
            ),
            (
                "the two lists are exchanged",
                "inputs + [end] * fill, targets + [-100] * fill",
                "targets + [-100] * fill, inputs + [end] * fill",
            ),
            ("only the targets came back", "inputs + [end] * fill, targets", "targets"),
            (
                "only the answer's first token",
                "answer + [end]\n    fill",
                "answer[:1] + [-100] * len(answer)\n    fill",
            ),
            ("`answer` itself", "    fill", "    answer.append(end)\n    fill"),
            ("", "[end] * fill", "[end + 1] * fill"),
        ],
        [
            (
                "[-100] * (len(prompt) - 1) + answer + [end]",
                "[-100 if i < len(prompt) else t for i, t in enumerate(row)][1:]",
            ),
            (
                "inputs + [end] * fill, targets + [-100] * fill",
                "torch.tensor(inputs + [end] * fill), np.array(targets + [-100] * fill)",
            ),
            (
                "inputs + [end] * fill, targets + [-100] * fill",
                "[inputs + [end] * fill, targets + [-100] * fill]",
            ),
        ],
    ),
    "loss_on_answers": (
        """
def loss_on_answers(logits, targets):
    kept = targets != -100
    p = logits.log_softmax(dim=-1)[kept]
    return -p.gather(-1, targets[kept][:, None]).mean()
""",
        [
            ("divided by all places", ".mean()", ".sum() / targets.numel()"),
            ("a mean of means", LOSS, f"{BY_ROWS}.mean()"),
            (
                "read as the id 0",
                "    kept = targets != -100\n",
                "    targets = targets.clamp(min=0)\n    kept = targets > -1\n",
            ),
            ("this is a sum", ".mean()", ".sum()"),
            ("divided by the number of rows", ".mean()", ".sum() / len(logits)"),
            ("the softmax is missing", ".log_softmax(dim=-1)", ""),
            ("the minus sign", "-p.gather", "p.gather"),
            ("rounded a small probability", "log_softmax(dim=-1)", "softmax(dim=-1).log()"),
            (
                "all targets at every place",
                "p.gather(-1, targets[kept][:, None])",
                "p[:, targets[kept]]",
            ),
            (
                "shifted once more",
                "    kept",
                "    logits, targets = logits[:, :-1], targets[:, 1:]\n    kept",
            ),
            (
                "log_softmax subtracts",
                "log_softmax(dim=-1)",
                "exp()",
                "[kept]\n",
                "[kept]\n    p = (p / p.sum(-1, keepdim=True)).log()\n",
            ),
            ("went along the tokens", "dim=-1", "dim=1"),
            ("the softmax came before", "logits.log_softmax", "logits.softmax(dim=-1).log_softmax"),
            ("the id 0 were left out", "targets != -100", "targets > 0"),
            ("these are bits", ".mean()", ".mean() / math.log(2)"),
            ("the perplexity", LOSS, "(-p.gather(-1, targets[kept][:, None]).mean()).exp()"),
            (
                "only the last target of each row",
                "    kept",
                "    logits, targets = logits[:, -1:], targets[:, -1:]\n    kept",
            ),
            (
                "only the first row",
                "    kept",
                "    logits, targets = logits[:1], targets[:1]\n    kept",
            ),
            ("over the whole vocabulary", LOSS, "-p.mean()"),
            (
                "losses of each place",
                LOSS,
                "-logits.log_softmax(-1).gather(-1, targets.clamp(min=0)[..., None])[..., 0] * kept",
            ),
            ("the mean of each row", LOSS, BY_ROWS),
            (
                "`gather` cannot take it",
                LOSS,
                "-logits.log_softmax(-1).gather(-1, targets[..., None]).mean()",
            ),
            ("without the logarithm", LOSS, "p.gather(-1, targets[kept][:, None]).exp().mean()"),
            ("cuts it off", ".mean()", ".mean().detach()"),
            (
                "`cross_entropy` did the work",
                LOSS,
                "F.cross_entropy(logits.flatten(0, 1), targets.flatten())",
            ),
            ("", ".mean()", ".median()"),
        ],
        [
            (LOSS, "F.nll_loss(p, targets[kept])"),
            (LOSS, "-p[range(len(p)), targets[kept]].double().mean()"),
            (LOSS, "-(p * F.one_hot(targets[kept], p.shape[-1])).sum() / kept.sum()"),
        ],
    ),
    "turn_targets": (
        """
def turn_targets(turns, end):
    row, targets = [], []
    for role, ids in turns:
        said = ids + [end] if role == "assistant" else ids
        row += said
        targets += said if role == "assistant" else [-100] * len(said)
    return row[:-1], targets[1:]
""",
        [
            (
                "only the last answer counts",
                "for role, ids in turns:",
                "for number, (role, ids) in enumerate(turns):",
                'said if role == "assistant" else',
                'said if role == "assistant" and number == len(turns) - 1 else',
            ),
            ("put before the talk", "row, targets = [], []", "row, targets = [end], [-100]"),
            (
                "shifted by itself",
                "row += said",
                "row += said[:-1]",
                'said if role == "assistant" else [-100] * len(said)',
                '(said if role == "assistant" else [-100] * len(said))[1:]',
                "row[:-1], targets[1:]",
                "row, targets",
            ),
            (
                "only the first answer counts",
                'said if role == "assistant" else',
                'said if role == "assistant" and not any(t >= 0 for t in targets) else',
            ),
            (
                "the user's words count as well",
                'said if role == "assistant" else [-100] * len(said)',
                "said",
            ),
            (
                "the ends of the answers are no targets",
                'said if role == "assistant" else',
                'ids + [-100] if role == "assistant" else',
            ),
            (
                "two turns of the assistant in a row",
                "for role, ids in turns:",
                "for number, (role, ids) in enumerate(turns):",
                'ids + [end] if role == "assistant" else ids',
                'ids + [end] if role == "assistant" and [r for r, _ in '
                "turns[number + 1 : number + 2]] != [role] else ids",
            ),
            (
                "every second turn",
                "for role, ids in turns:",
                'for number, (_, ids) in enumerate(turns):\n        role = ("user", "assistant")[number % 2]',
            ),
            ("not always 0", "    row, targets", "    end = 0\n    row, targets"),
            ("the model has just read", "row[:-1], targets[1:]", "row[:-1], targets[:-1]"),
            ("nothing was shifted", "row[:-1], targets[1:]", "row, targets"),
            (
                "only the last answer is ended",
                "for role, ids in turns:",
                "for number, (role, ids) in enumerate(turns):",
                'ids + [end] if role == "assistant" else ids',
                "ids + [end] if number == len(turns) - 1 else ids",
            ),
            (
                "the user's turns got an end token",
                'ids + [end] if role == "assistant" else ids',
                "ids + [end]",
            ),
            (
                "the first token of each answer",
                'said if role == "assistant" else',
                '[-100] + said[1:] if role == "assistant" else',
            ),
            (
                "the roles are exchanged",
                'said if role == "assistant" else',
                'said if role == "user" else',
            ),
            (
                "the assistant's first token of the talk",
                'targets += said if role == "assistant"',
                "targets += ([-100] + said[1:] if max(targets, "
                'default=-1) < 0 else said) if role == "assistant"',
            ),
            ("masked places have −1", "[-100] * len(said)", "[-1] * len(said)"),
            ("an end stands before", "ids + [end]", "[end] + ids"),
            (
                "up to the first answer",
                "    row, targets = [], []\n",
                "    row, targets, begun = [], [], False\n",
                "        row += said\n",
                BEGUN,
                'said if role == "assistant" else [',
                "said if learned else [",
            ),
            (
                "the inputs were masked, too",
                "row[:-1], targets[1:]",
                "[i if t >= 0 else -100 for i, t in zip(row[:-1], targets[1:])], targets[1:]",
            ),
            ("shifted by two", "row[:-1], targets[1:]", "row[:-2], targets[2:]"),
            ("the two lists are exchanged", "row[:-1], targets[1:]", "targets[1:], row[:-1]"),
            ("only the targets came back", "row[:-1], targets[1:]", "targets[1:]"),
            ("the row lacks the ends", 'ids + [end] if role == "assistant" else ids', "ids"),
            (
                "`turns` itself",
                'said = ids + [end] if role == "assistant" else ids',
                'said = ids\n        if role == "assistant":\n            said += [end]',
            ),
            ("", "row[:-1], targets[1:]", "row[:-1], targets[1:] + [-100]"),
        ],
        [
            ("row += said", "row.extend(said)"),
            ("row[:-1], targets[1:]", "torch.tensor(row[:-1]), torch.tensor(targets[1:])"),
            ("row[:-1], targets[1:]", "[row[:-1], targets[1:]]"),
        ],
    ),
    "leaked": (
        """
def leaked(test, train, source):
    known = [source(entry) for entry in train]
    return [place for place, entry in enumerate(test) if source(entry) in known]
""",
        [
            ("the same in all fields", "source(entry) in known", "entry in train"),
            (
                "compares instruction and input",
                "source(entry) in known",
                "(entry['instruction'], entry['input']) in [(e['instruction'], e['input']) for e in train]",
            ),
            (
                "as it is written",
                "source(entry) in known",
                "entry['input'] in [e['input'] for e in train]",
            ),
            (
                "`index` finds the first",
                "[place for place, entry in enumerate(test)",
                "[test.index(entry) for entry in test",
            ),
            (
                "one source within another",
                "source(entry) in known",
                "any(source(entry) in one for one in known)",
            ),
            ("that are clean", "in known", "not in known"),
            (
                "these are places in `train`",
                "    known",
                "    test, train = train, test\n    known",
            ),
            ("these are the entries; their", "[place for", "[entry for"),
            (
                "this is their number",
                "[place for place, entry in enumerate(test) if source(entry) in known]",
                "sum(source(entry) in known for entry in test)",
            ),
            (
                "share an instruction",
                "source(entry) in known",
                "entry['instruction'] in [e['instruction'] for e in train]",
            ),
            ("count from 0", "enumerate(test)", "enumerate(test, start=1)"),
            (
                "True and False",
                "[place for place, entry in enumerate(test) if source(entry) in known]",
                "[source(entry) in known for entry in test]",
            ),
            ("the order is turned round", "enumerate(test)", "reversed(list(enumerate(test)))"),
            ("only the first leak", "in known]", "in known][:1]"),
            (
                "for one leak only",
                "source(entry) in known]",
                "source(entry) in known and (known.remove(source(entry)) or True)]",
            ),
            (
                "at the same place",
                "source(entry) in known]",
                "source(entry) in known[place : place + 1]]",
            ),
            ("only the last entry", "in train]", "in train[-1:]]"),
            ("only the first entry", "in train]", "in train[:1]]"),
            (
                "compares the answers",
                "source(entry) in known",
                "entry['output'] in [e['output'] for e in train]",
            ),
            ("twice", "if source(entry) in known]", "for one in known if source(entry) == one]"),
            ("these are the sources", "[place for", "[source(entry) for"),
            ("`test` itself", "    return", "    test.sort(key=source)\n    return"),
            ("", "in known]", "in known][::2]"),
        ],
        [
            ("[source(entry) for entry in train]", "{source(entry) for entry in train}"),
            (
                "[place for place, entry in enumerate(test) if source(entry) in known]",
                "np.flatnonzero([source(entry) in known for entry in test])",
            ),
            (
                "[place for place, entry in enumerate(test) if source(entry) in known]",
                "tuple(i for i in range(len(test)) if known.count(source(test[i])))",
            ),
        ],
    ),
    "wilson_interval": (
        """
def wilson_interval(right, total, z):
    p, below = right / total, 1 + z**2 / total
    middle = (p + z**2 / (2 * total)) / below
    half = z / below * math.sqrt(p * (1 - p) / total + z**2 / (4 * total**2))
    return middle - half, middle + half
""",
        [
            (
                "30 right of 30 would be",
                "middle - half, middle + half",
                "p - z * math.sqrt(p * (1 - p) / total), p + z * math.sqrt(p * (1 - p) / total)",
            ),
            (
                "cut off at 0 and 1",
                "middle - half, middle + half",
                "max(0.0, p - z * math.sqrt(p * (1 - p) / total)), "
                "min(1.0, p + z * math.sqrt(p * (1 - p) / total))",
            ),
            ("drawn towards one half", "middle - half, middle + half", "p - half, p + half"),
            ("is missing below the line", "1 + z**2 / total", "1"),
            ("the middle was not divided", "(2 * total)) / below", "(2 * total))"),
            ("/ 2 * total` multiplies", "(2 * total)", "2 * total"),
            ("/ 4 * total**2` multiplies", "(4 * total**2)", "4 * total**2"),
            ("z²/(4 total²) is missing", " + z**2 / (4 * total**2)", ""),
            ("not z²/total²", "(4 * total**2)", "total**2"),
            ("only half as wide", "z / below", "z / below / 2"),
            ("the middle and half", "middle - half, middle + half", "middle, half"),
            (
                "the ends are exchanged",
                "middle - half, middle + half",
                "middle + half, middle - half",
            ),
            ("`z` was ignored", "    p, below", "    z = 1.96\n    p, below"),
            ("the root was not divided", "z / below", "z"),
            (
                "everywhere but before",
                "1 + z**2",
                "1 + z",
                "p + z**2",
                "p + z",
                "/ total + z**2 /",
                "/ total + z /",
            ),
            ("z is not squared beside", "p + z**2", "p + z"),
            ("z is not squared below", "1 + z**2", "1 + z"),
            ("z is not squared under", "/ total + z**2 /", "/ total + z /"),
            ("total is not squared", "total**2", "total"),
            ("z before the root was squared", "z / below", "z**2 / below"),
            ("z before the root is missing", "z / below", "1 / below"),
            ("the root itself is missing", ROOT, f"({UNDER})"),
            ("is divided by total under", "(1 - p) / total", "(1 - p)"),
            ("beside the share stands z²/(2 total)", "(2 * total)", "total"),
            ("is missing beside the share", "(p + z**2 / (2 * total))", "p"),
            ("the share was taken for", "p * (1 - p)", "p"),
            (
                "whole per cents",
                "middle - half, middle + half",
                "round(middle - half, 2), round(middle + half, 2)",
            ),
            ("only the low end", "middle - half, middle + half", "middle - half"),
            ("", "middle - half, middle + half", "middle - 2 * half, middle + 2 * half"),
        ],
        [
            ("middle - half, middle + half", "np.array([middle - half, middle + half])"),
            (
                "middle - half, middle + half",
                "[torch.tensor(middle - half, dtype=torch.double), middle + half]",
            ),
            ("half = z / below * " + ROOT, "half = math.sqrt(middle**2 - p * p / below)"),
        ],
    ),
    "is_right": (
        """
def is_right(wanted, answer):
    def plain(text):
        text = text.strip().casefold()
        return " ".join(text.removesuffix(".").split())

    return plain(wanted) == plain(answer)
""",
        [
            (
                "only the first letter of a word",
                ".casefold()",
                "",
                'text.removesuffix(".").split()',
                '(w[:1].lower() + w[1:] for w in text.removesuffix(".").split())',
            ),
            ("behind any word", 'text.removesuffix(".")', 'text.replace(".", " ")'),
            ("any number of full stops", 'text.removesuffix(".")', 'text.rstrip(".")'),
            (
                "with a space before it",
                '" ".join(text.removesuffix(".").split())',
                '" ".join(text.split()).removesuffix(".")',
            ),
            ("looked for before the white space", "text.strip().casefold()", "text.casefold()"),
            ("capitals count here", ".casefold()", ""),
            ("the final full stop counts", '.removesuffix(".")', ""),
            ("the wanted words stand somewhere", SAME, "plain(wanted) in plain(answer)"),
            ("begins right", SAME, "plain(answer).startswith(plain(wanted))"),
            (
                "all marks are forgiven",
                '" ".join(text.removesuffix(".").split())',
                '"".join(c for c in text if c.isalnum() or c.isspace()).split()',
            ),
            ("also behind a space", 'text.removesuffix(".")', 'text.rstrip(".!?")'),
            (
                "if the marks are the same",
                SAME,
                "sorted(plain(wanted).split()) == sorted(plain(answer).split())",
            ),
            (
                "neither order nor number",
                SAME,
                "set(plain(wanted).split()) == set(plain(answer).split())",
            ),
            (
                "white space inside",
                '" ".join(text.removesuffix(".").split())',
                'text.removesuffix(".")',
            ),
            ("two words become one", '" ".join(', '"".join('),
            ("letter by letter", SAME, "wanted == answer"),
            ("ends right", SAME, "plain(answer).endswith(plain(wanted))"),
            ("a part of the wanted words", SAME, "plain(answer) in plain(wanted)"),
            (
                "only the first words",
                SAME,
                "plain(wanted).split()[:1] == plain(answer).split()[:1]",
            ),
            (
                "only the last words",
                SAME,
                "plain(wanted).split()[-1:] == plain(answer).split()[-1:]",
            ),
            (
                "only the number of words",
                SAME,
                "len(plain(wanted).split()) == len(plain(answer).split())",
            ),
            ("of `wanted` counts", SAME, '" ".join(wanted.casefold().split()) == plain(answer)'),
            ("of `answer` counts", SAME, 'plain(wanted) == " ".join(answer.casefold().split())'),
            (
                "`wanted` keeps its capitals",
                SAME,
                '" ".join(wanted.strip().removesuffix(".").split()) == plain(answer)',
            ),
            ("commas are forgiven", "text.strip()", 'text.replace(",", "").strip()'),
            (
                "an exclamation mark",
                'text.removesuffix(".")',
                'text.removesuffix("!").removesuffix(".")',
            ),
            ("every answer is right", SAME, "True"),
            ("every answer is wrong", SAME, "False"),
            ("right and wrong are exchanged", "plain(wanted) ==", "plain(wanted) !="),
            ("", SAME, "plain(wanted)[:2] == plain(answer)[:2]"),
        ],
        [
            ("casefold", "lower"),
            (
                '" ".join(text.removesuffix(".").split())',
                're.sub(r"\\.?$", "", text, count=1).split()',
            ),
            (SAME, "np.bool_(plain(wanted) == plain(answer))"),
        ],
    ),
    "greedy_answer": (
        """
def greedy_answer(next_logits, prompt, end, max_tokens):
    answer = []
    while len(answer) < max_tokens:
        token = next_logits(prompt + answer).argmax().item()
        if token == end:
            break
        answer.append(token)
    return answer
""",
        [
            (
                "is part of this answer",
                "            break\n        answer.append(token)",
                "            return answer + [end]\n        answer.append(token)",
            ),
            ("never stops before", "        if token == end:\n            break\n", ""),
            (
                "whether the last id is `end`",
                "< max_tokens",
                "< max_tokens and (prompt + answer)[-1] != end",
                "        if token == end:\n            break\n",
                "",
            ),
            ("the prompt came back", "return answer", "return prompt + answer"),
            ("its last token alone", "prompt + answer)", "(prompt + answer)[-1:])"),
            ("the prompt alone", "prompt + answer)", "prompt)"),
            ("one token too many", "< max_tokens", "<= max_tokens"),
            ("one token too few", "< max_tokens", "< max_tokens - 1"),
            ("with max_tokens = 0", "< max_tokens", "< max(1, max_tokens)"),
            ("not always 0", "token == end", "token == 0"),
            ("the least likely", "argmax", "argmin"),
            (
                "end-of-text is in the prompt",
                "    answer = []\n",
                "    answer = []\n    if end in prompt:\n        return answer\n",
            ),
            (
                "fed to the model twice",
                "prompt + answer)",
                "prompt + answer + (answer or prompt)[-1:])",
            ),
            ("the first id of the prompt", "prompt + answer)", "prompt[1:] + answer)"),
            ("did not see the last id", "prompt + answer)", "(prompt + answer)[:-1])"),
            ("without the prompt", "prompt + answer)", "answer or prompt)"),
            ("the second likeliest", "argmax().item()", "topk(2).indices[1].item()"),
            ("not the prompt's", "while len(answer) <", "while len(prompt) + len(answer) <"),
            ("the last id of the answer is missing", "return answer", "return answer[:-1]"),
            ("only the last id", "return answer", "return (answer or [end])[-1]"),
            ("backwards", "return answer", "return answer[::-1]"),
            ("`prompt` itself", "    return answer", "    prompt += answer\n    return answer"),
            ("", "argmax().item()", "topk(3).indices[2].item()"),
        ],
        [
            (".item()", ""),
            ("return answer", "return torch.tensor(answer)"),
            (
                "next_logits(prompt + answer).argmax().item()",
                "int(np.argmax(next_logits([*prompt, *answer]).numpy()))",
            ),
        ],
    ),
}


class TestMutants(MutantTests):
    checks, mutants = checks, MUTANTS
    names = {"torch": torch, "F": F, "math": math, "np": np, "re": re}
