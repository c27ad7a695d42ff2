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
from dataclasses import dataclass

from ch05_01_main_chapter_code.tale_grammar import PLOTS
from ch05_01_main_chapter_code.tale_probabilities import (
    next_token_probs,
    split_gap,
    token_log_probs,
)
from ch05_01_main_chapter_code.tale_walk import (
    PRONOUNS,
    OneOf,
    candidates,
    linked,
    next_steps,
    plot_nodes,
    spell,
)

__all__ = [  # with what lives elsewhere and is had by way of this file
    "PRONOUNS",
    "Tale",
    "make_tale",
    "make_tales",
    "next_token_probs",
    "parse_tale",
    "split_gap",
    "token_log_probs",
]


@dataclass(frozen=True)
class Tale:
    """A story and the choices it was made of. `log_prob` is in nats; `facts` maps slots to words,
    as in `{"hero": "Pip", "hero.kind": "fox", "place": "mill", ...}`."""

    text: str
    plot: str
    facts: dict[str, str]
    log_prob: float


# --- Writing --------------------------------------------------------------------------------------


def make_tale(rng):
    """Write one story with the choices of `rng` (a `random.Random`) and return it as a `Tale`."""
    plot = rng.choice(list(PLOTS))
    log_prob, bound, words = -math.log(len(PLOTS)), {}, []
    todo = list(reversed(plot_nodes(plot)))
    while todo:
        node = todo.pop()
        if isinstance(node, str):
            words.append(node)
        elif isinstance(node, OneOf):
            todo += reversed(rng.choice(node.options))
            log_prob -= node.nats
        else:
            if node.variable not in bound:
                choices = list(candidates(plot, node.variable))
                bound[node.variable] = rng.choice(choices)
                log_prob -= math.log(len(choices))
            words.append(spell(plot, node.variable, bound[node.variable], node.form))
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
    """
    found = []
    todo = [(0, linked(plot_nodes(plot)), {}, -math.log(len(PLOTS)))]
    while todo:
        at, nodes, bound, log_prob = todo.pop()
        if nodes is None:
            if at == len(text):
                found.append((plot, bound, log_prob))
            continue
        for written, rest, choices, nats in next_steps(plot, nodes, bound):
            if text.startswith(written, at):
                todo.append((at + len(written), rest, choices, log_prob - nats))
    return found
