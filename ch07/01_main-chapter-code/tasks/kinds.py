"""What a kind of instruction is: how it is made, how an answer is graded, and what must stay on one
side of a split.

An entry is a dict of four strings: `instruction`, `input` (may be empty), `output`, `kind`.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass

QUOTES = ('""', "''", "“”", "‘’")


@dataclass(frozen=True)
class Kind:
    """`grade(entry, answer)` decides exactly, or is None where only a reader can; `make(rng)`
    returns a new (instruction, input, output), or is None for kinds whose entries are all written
    by hand; `source(entry)` is what the entry was made from: entries with one source never stand on
    two sides of a split."""

    description: str
    grade: Callable | None
    make: Callable | None
    source: Callable


# --- Grading: four ways to compare ----------------------------------------------------------------


def unquoted(text):
    """Without white space around it and without one pair of quotation marks around the whole.

    >>> unquoted(' "the mill" '), unquoted('"Swap?" said Gus. "Swap!"')
    ('the mill', '"Swap?" said Gus. "Swap!"')
    """
    text = text.strip()
    for opening, closing in QUOTES:
        inside = text[1:-1]
        if (
            len(text) > 2
            and text[0] == opening
            and text[-1] == closing
            and not {opening, closing} & set(inside)
        ):
            return inside.strip()
    return text


def folded(text):
    """The form in which words are compared: `unquoted`, small letters, single spaces, no full stop
    at the end.
    """
    return " ".join(unquoted(unquoted(text).removesuffix(".")).casefold().split())


def same_words(entry, answer):
    """Right words in the right order; capitals and a final full stop do not count."""
    return folded(answer) == folded(entry["output"])


def same_text(entry, answer):
    """Right to the letter, where writing is the task: capitals and marks count."""
    return unquoted(answer) == unquoted(entry["output"])


def same_json(entry, answer):
    """The same JSON value, whatever its white space."""
    try:
        return json.loads(answer) == json.loads(entry["output"])
    except ValueError:
        return False


def same_format(entry, answer):
    """JSON as `same_json`, everything else as `same_text`."""
    return (same_json if entry["output"].startswith(("{", "[")) else same_text)(entry, answer)


# --- Sources: what must not be on both sides ------------------------------------------------------


def material(entry):
    """What an entry asks about: its input, or what its instruction has in quotation marks, or else
    the instruction.
    """
    quoted = re.findall(r'"([^"]+)"', entry["instruction"])
    return folded(entry["input"] or " ".join(quoted) or entry["instruction"])


def from_material(entry):
    """One text, one list, one story: any question about it has the same source."""
    return entry["kind"], material(entry)


def from_pair(entry):
    """One fact in two directions (hot and cold, cold and hot) is one source."""
    return entry["kind"], *sorted((material(entry), folded(entry["output"])))


def from_numbers(entry):
    """The same numbers and the same result are one source, however the task is worded."""
    prompt = f"{entry['instruction']} {entry['input']}"
    return entry["kind"], *sorted(re.findall(r"\d+", prompt)), folded(entry["output"])
