"""The grammar of the Tiny Tales as nodes to walk along: what `tales.py` writes and reads with, and
`tale_probabilities.py` weighs.
"""

import math
import re
from dataclasses import dataclass
from functools import cache

from ch05_01_main_chapter_code.tale_grammar import PLOTS, RULES, SHE, TABLES

PRONOUNS = {"he": ("he", "she"), "him": ("him", "her"), "his": ("his", "her")}

# --- A line becomes a tuple of nodes; a node is a str, a Slot or a OneOf --------------------------


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
def plot_nodes(plot):
    nodes = []
    for step in PLOTS[plot]["steps"]:
        lines = [step] if isinstance(step, str) else step
        nodes += [" ", *(_nodes(lines[0]) if len(lines) == 1 else [_one_of(lines)])]
    return tuple(nodes[1:])


def candidates(plot, variable):
    """The words that `variable` can become."""
    return PLOTS[plot]["tables"].get(variable) or TABLES[variable]


@cache
def spell(plot, variable, word, form):
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


# --- Walking --------------------------------------------------------------------------------------


def linked(nodes, rest=None):
    """The nodes as a linked list, (node, rest): two branches share the rest that they have in
    common."""
    for node in reversed(nodes):
        rest = (node, rest)
    return rest


def next_steps(plot, nodes, bound):
    """Every way past the first of the linked `nodes`, `bound` being the words that are chosen
    already: (written, rest, bound, nats) each, where `nats` is −ln of the probability of this way.
    """
    node, rest = nodes
    if isinstance(node, str):
        return [(node, rest, bound, 0.0)]
    if isinstance(node, OneOf):
        return [("", linked(option, rest), bound, node.nats) for option in node.options]
    if node.variable in bound:
        written = spell(plot, node.variable, bound[node.variable], node.form)
        return [(written, rest, bound, 0.0)]
    words = candidates(plot, node.variable)
    nats = math.log(len(words))
    return [
        (spell(plot, node.variable, word, node.form), rest, {**bound, node.variable: word}, nats)
        for word in words
    ]
