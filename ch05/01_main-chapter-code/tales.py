"""Tiny Tales: stories made by a known sequence of random choices, so that the best possible loss is
known exactly.

`tale_grammar.py` holds a grammar whose slots remember. Walking through it at random writes a story;
walking through it with a finished story in hand finds the choices again, and with them the exact
probability of that story:

    >>> story = make_tales(1, seed=7)[0]
    >>> round(parse_tale(story).log_prob, 2)  # ln of the probability of this very text
    -30.52
    >>> wrong = story.replace(" she ", " he ", 1)  # one wrong pronoun …
    >>> wrong == story, parse_tale(wrong)  # … and it is no Tiny Tale any more
    (False, None)

The entropy of the corpus, minus the mean of these, is a floor under every validation loss [Shannon
1948, A Mathematical Theory of Communication].
"""

import math
import random
import re
from dataclasses import dataclass
from functools import cache

from ch05_01_main_chapter_code.tale_grammar import PLOTS, RULES, SHE, TABLES

PRONOUNS = {"he": ("he", "she"), "him": ("him", "her"), "his": ("his", "her")}


@dataclass(frozen=True)
class Tale:
    """A story and the choices it was made of. `log_prob` is in nats; `facts` maps slots to words,
    as in `{"hero": "Pip", "hero.kind": "fox", "place": "mill", ...}`."""

    text: str
    plot: str
    facts: dict[str, str]
    log_prob: float


# --- The grammar: a line becomes a tuple of nodes; a node is a str, a Slot or a OneOf -------------


@dataclass(frozen=True)
class Slot:
    """A place where a chosen word stands: the variable it belongs to and the form in which it
    appears.
    """

    variable: str
    form: str


@dataclass(frozen=True)
class OneOf:
    """A choice among lines, all equally likely."""

    options: tuple
    nats: float


def _one_of(lines):
    return OneOf(tuple(_nodes(line) for line in lines), math.log(len(lines)))


@cache
def _nodes(line):
    """Compile a line of the grammar (syntax: see tale_grammar.py)."""
    nodes = []
    for part in re.split(r"(\{[^}]+\}|\[[^\]]+\]|<\w+>)", line):
        if part.startswith("{"):
            variable, _, form = part[1:-1].partition(".")
            nodes.append(
                Slot(f"{variable}.kind", "word")
                if form == "kind"
                else Slot(variable, form or "word")
            )
        elif part.startswith("["):
            nodes.append(_one_of(part[1:-1].split("|")))
        elif part.startswith("<"):
            nodes.append(_one_of(RULES[part[1:-1]]))
        elif part:
            nodes.append(part)
    return tuple(nodes)


@cache
def _plot_nodes(plot):
    nodes = []
    for step in PLOTS[plot]["steps"]:
        lines = [step] if isinstance(step, str) else step
        nodes += [" ", *(_nodes(lines[0]) if len(lines) == 1 else [_one_of(lines)])]
    return tuple(nodes[1:])


def _candidates(plot, variable):
    """The words that `variable` can become."""
    return PLOTS[plot]["tables"].get(variable) or TABLES[variable]


@cache
def _spell(plot, variable, word, form):
    """How `word` is written in a slot of this form: `{hero.His}` of Mia is "Her", `{thing.a}` of
    umbrella "an umbrella".
    """
    small = form[0].lower() + form[1:]
    if small == "word":
        written = word
    elif small in PRONOUNS:
        written = PRONOUNS[small][word in SHE]
    elif small == "a":
        written = f"an {word}" if word[0] in "aeiou" else f"a {word}"
    else:
        written = PLOTS[plot]["tables"][variable][word][small]
    return written if form == small else written[0].upper() + written[1:]


# --- Writing --------------------------------------------------------------------------------------


def make_tale(rng):
    """Write one story with the choices of `rng` (a `random.Random`) and return it as a `Tale`."""
    plot = rng.choice(list(PLOTS))
    log_prob, bound, words = -math.log(len(PLOTS)), {}, []
    todo = list(reversed(_plot_nodes(plot)))
    while todo:
        node = todo.pop()
        if isinstance(node, str):
            words.append(node)
        elif isinstance(node, OneOf):
            todo += reversed(rng.choice(node.options))
            log_prob -= node.nats
        else:
            if node.variable not in bound:
                candidates = _candidates(plot, node.variable)
                bound[node.variable] = rng.choice(list(candidates))
                log_prob -= math.log(len(candidates))
            words.append(_spell(plot, node.variable, bound[node.variable], node.form))
    return Tale("".join(words), plot, bound, log_prob)


def make_tales(count, seed=0):
    """Return `count` stories as strings; the same seed gives the same stories.

    >>> make_tales(2, seed=1) == make_tales(3, seed=1)[:2]
    True
    """
    rng = random.Random(seed)
    return [make_tale(rng).text for _ in range(count)]


# --- Reading --------------------------------------------------------------------------------------


def parse_tale(text):
    """Recover the choices behind a story: return its `Tale`, or None if no sequence of choices
    makes this text.

    `log_prob` is the logarithm of the probability that `make_tale` writes exactly this text.
    """
    text = text.strip()
    readings = [reading for plot in PLOTS for reading in _readings(text, plot)]
    if not readings:
        return None
    plot, facts, _ = readings[0]
    # The grammar gives each text one reading (a test says so); if it gave two, their probabilities
    # would add up.
    return Tale(text, plot, facts, math.log(sum(math.exp(log_prob) for _, _, log_prob in readings)))


def _readings(text, plot):
    """All ways in which `plot` can produce `text`, as (plot, facts, log_prob). Depth first over the
    choices.

    The nodes still to come are a linked list, (node, rest), so that two branches share their common
    rest.
    """
    found = []
    todo = [(0, _linked(_plot_nodes(plot), None), {}, -math.log(len(PLOTS)))]
    while todo:
        at, nodes, bound, log_prob = todo.pop()
        if nodes is None:
            if at == len(text):
                found.append((plot, bound, log_prob))
            continue
        node, rest = nodes
        if isinstance(node, str):
            if text.startswith(node, at):
                todo.append((at + len(node), rest, bound, log_prob))
        elif isinstance(node, OneOf):
            todo += [
                (at, _linked(option, rest), bound, log_prob - node.nats) for option in node.options
            ]
        else:
            known = node.variable in bound
            candidates = [bound[node.variable]] if known else _candidates(plot, node.variable)
            cost = 0.0 if known else math.log(len(candidates))
            for word in candidates:
                written = _spell(plot, node.variable, word, node.form)
                if text.startswith(written, at):
                    choice = bound if known else {**bound, node.variable: word}
                    todo.append((at + len(written), rest, choice, log_prob - cost))
    return found


def _linked(nodes, rest):
    for node in reversed(nodes):
        rest = (node, rest)
    return rest
