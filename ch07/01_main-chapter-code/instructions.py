"""Instructions and their answers: 1,100 entries written for this course, more from a seed, and an
exact grader.

    python instructions.py                                    lists the kinds
    python instructions.py --make 500 --seed 3 --out mine.json

An entry is a dict of four strings:

    >>> entry = {"instruction": "Write the plural.", "input": "mouse", "output": "mice", "kind": "plural"}
    >>> grade(entry, " Mice. "), grade(entry, "The plural is mice.")
    (True, False)

Kinds that only a reader can judge (`rewriting`, `explaining`, …) are graded None.
"""

import argparse
import hashlib
import random
from collections import Counter
from itertools import cycle
from pathlib import Path

from ch07_01_main_chapter_code.previous_chapters import read_values, run_script, write_json_list
from ch07_01_main_chapter_code.tasks.kinds import Kind, from_material, same_words
from ch07_01_main_chapter_code.tasks.plain_kinds import PLAIN_KINDS
from ch07_01_main_chapter_code.tasks.tale_kinds import TALE_KINDS

DATA_FILE = Path(__file__).parent / "instruction-data.json"
FIELDS = ("instruction", "input", "output", "kind")
DATA_SEED = 7  # of the made entries of DATA_FILE
TEST_PERCENT, VALIDATION_PERCENT = 10, 5
SPLIT_SALT = (
    7733  # of the hash that splits; with this one the test part of DATA_FILE has nearly every kind
)

WRITTEN_KINDS = {
    "fact": Kind("a short fact, in one or a few words", same_words, None, from_material),
    "reading": Kind(
        "a question about a given text, answered in its words", same_words, None, from_material
    ),
    "saying": Kind("complete a proverb with one word", same_words, None, from_material),
    "feeling": Kind("which of three feelings a sentence shows", same_words, None, from_material),
    "rewriting": Kind("say it politely, plainly, formally, kindly", None, None, from_material),
    "summarising": Kind("the gist of a text in one sentence", None, None, from_material),
    "explaining": Kind("why or how something is so", None, None, from_material),
    "defining": Kind("what a word means", None, None, from_material),
    "comparing": Kind("what two things share, and where they differ", None, None, from_material),
    "how-to": Kind("the steps of a small task", None, None, from_material),
    "ideas": Kind("three suggestions", None, None, from_material),
    "advice": Kind("what to do in a small trouble", None, None, from_material),
    "message": Kind("a short letter, note or invitation", None, None, from_material),
    "describing": Kind("a picture in words", None, None, from_material),
    "sentence": Kind("a sentence with given words", None, None, from_material),
    "headline": Kind("a headline for a piece of news", None, None, from_material),
    "poem": Kind("a few lines of verse", None, None, from_material),
    "dialogue": Kind("two people talk", None, None, from_material),
}
KINDS = WRITTEN_KINDS | PLAIN_KINDS | TALE_KINDS


# --- Grading --------------------------------------------------------------------------------------


def grade(entry, answer):
    """True if `answer` (a string) is right for this entry, False if not, None if its kind cannot be
    checked exactly.

    Capitals, white space and quotation marks around the answer and a final full stop are forgiven
    where they are not what the task is about; anything else that is more, less or different is
    wrong.
    """
    compare = KINDS[entry["kind"]].grade
    return None if compare is None else compare(entry, answer)


# --- Making ---------------------------------------------------------------------------------------


def prompt_of(entry):
    """Instruction and input in small letters and single spaces: what must not occur twice."""
    return " ".join(f"{entry['instruction']}\n{entry['input']}".casefold().split())


def source_of(entry):
    """What the entry was made from: a story, a text, a fact, a row of a table. Hashable."""
    return KINDS[entry["kind"]].source(entry)


def make_entries(n, seed, kinds=None):
    """Make `n` entries of checkable kinds, the same for the same seed, with no prompt twice.

    `kinds`: names that `KINDS` can make (default: all, of which two in five are Tiny Tales). Each
    gets its turn; a kind that has nothing new to ask is left out from then on. Raises ValueError
    for other names, and if all kinds run dry.
    """
    makers = [name for name, kind in KINDS.items() if kind.make]
    names = makers if kinds is None else list(dict.fromkeys(kinds))
    if not names or not set(names) <= set(makers):
        unknown = ", ".join(sorted(set(names) - set(makers))) or "nothing"
        raise ValueError(
            f"cannot make {unknown}; the kinds that can be made are {', '.join(makers)}"
        )
    rngs = {name: random.Random(f"{seed} {name}") for name in names}
    entries, prompts, sources, dry = [], set(), set(), set()
    for name in cycle(names):
        if len(entries) >= n:
            return entries
        entry = None if name in dry else _new_entry(name, rngs[name], prompts, sources)
        if entry is None:
            dry.add(name)
        else:
            entries.append(entry)
            prompts.add(prompt_of(entry))
            sources.add((name, source_of(entry)))
        if len(dry) == len(names):
            raise ValueError(
                f"only {len(entries)} of the {n} entries could be made; name fewer, or more kinds"
            )


def _new_entry(name, rng, prompts, sources, tries=100):
    """An entry with a new prompt, and of a new source if one turns up within `tries`; None if no
    prompt is new.
    """
    second_best = None
    for _ in range(tries):
        entry = dict(zip(FIELDS, (*KINDS[name].make(rng), name), strict=True))
        if prompt_of(entry) not in prompts:
            if (name, source_of(entry)) not in sources:
                return entry
            second_best = entry
    return second_best


# --- Splitting ------------------------------------------------------------------------------------


def split(entries):
    """Return (train, validation, test), about 85, 5 and 10 in a hundred, in the order of `entries`.

    Each source has its side for good, by a hash of it: whatever `make_entries` makes from whichever
    seed, no story, text or fact of a test part is in the train part of these or of other entries.
    """
    parts = [], [], []
    for entry in entries:
        digest = hashlib.sha256(f"{SPLIT_SALT} {source_of(entry)}".encode()).hexdigest()
        place = int(digest, 16) % 100
        parts[
            2 if place < TEST_PERCENT else 1 if place < TEST_PERCENT + VALIDATION_PERCENT else 0
        ].append(entry)
    return parts


# --- Files ----------------------------------------------------------------------------------------


def load_entries(path=DATA_FILE):
    """Read a file of entries; raises ValueError with one sentence that says what is wrong with
    which entry.
    """
    entries = read_values(path)
    if not isinstance(entries, list) or not entries:
        raise ValueError(f"{path} must hold a list of entries, [{{…}}, {{…}}], and at least one")
    first = {}
    for number, entry in enumerate(entries, start=1):
        where = f"{path}, entry {number}"
        problem = _problem_of(entry)
        if problem:
            raise ValueError(f"{where}: {problem}")
        earlier = first.setdefault(prompt_of(entry), number)
        if earlier != number:
            raise ValueError(f"{where}: the same instruction and input as entry {earlier}")
    return entries


def _problem_of(entry):
    """What is wrong with an entry by itself, or None."""
    if not isinstance(entry, dict) or set(entry) != set(FIELDS):
        return f"an entry has exactly the fields {', '.join(FIELDS)}"
    for field in FIELDS:
        if not isinstance(entry[field], str):
            return f"{field} must be a string, not {type(entry[field]).__name__}"
        if not entry[field].strip() and field != "input":
            return f"{field} is empty"
    return None if entry["kind"] in KINDS else f"there is no kind {entry['kind']!r}"


def save_entries(entries, path):
    """Write entries as JSON, one on a line; raises FileExistsError rather than overwrite a file."""
    write_json_list(path, entries)


# --- Command line ---------------------------------------------------------------------------------


def show_kinds(entries):
    """Print how many entries of each kind there are, how they are graded, and an example of each."""
    counts = Counter(entry["kind"] for entry in entries)
    examples = {entry["kind"]: entry for entry in reversed(entries)}
    for name, kind in KINDS.items():
        graded = "graded" if kind.grade else "read"
        print(
            f"{counts[name]:4d}  {name:13s} {graded:7s} {'made   ' if kind.make else 'written'}  "
            f"{kind.description}"
        )
        example = examples.get(name)
        if example:
            text = " / ".join(
                " ".join(example[field].split())
                for field in ("instruction", "input")
                if example[field]
            )
            output = " ".join(example["output"].split())
            print(
                f"      {text if len(text) < 100 else text[:97] + '…'} -> "
                f"{output if len(output) < 60 else output[:57] + '…'}"
            )
    train, validation, test = split(entries)
    print(
        f"{len(entries)} entries of {len(counts)} kinds: {len(train)} train, {len(validation)} "
        f"validation, {len(test)} test"
    )


def build_parser():
    parser = argparse.ArgumentParser(
        description="Lists the kinds of instructions, or makes entries of checkable kinds."
    )
    parser.add_argument(
        "--make", type=int, metavar="N", help="make N entries instead of listing the kinds"
    )
    parser.add_argument(
        "--seed", type=int, default=1, help="of the entries made (default: %(default)s)"
    )
    parser.add_argument(
        "--kinds", nargs="+", metavar="KIND", help="only these (default: all that can be made)"
    )
    parser.add_argument(
        "--out", metavar="FILE", help="where the entries go; an existing file is refused"
    )
    return parser


def main(argv=None):
    args = build_parser().parse_args(argv)
    if args.make is None:
        if args.out or args.kinds:
            raise ValueError("--out and --kinds belong to --make N")
        show_kinds(load_entries())
        return
    if args.make < 1 or not args.out:
        raise ValueError("--make needs a number of at least 1, and --out FILE")
    entries = make_entries(args.make, args.seed, args.kinds)
    save_entries(entries, args.out)
    print(
        f"{len(entries)} entries of {len({entry['kind'] for entry in entries})} kinds in {args.out}"
    )


if __name__ == "__main__":
    run_script(main)
