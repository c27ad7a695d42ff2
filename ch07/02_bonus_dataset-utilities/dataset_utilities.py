"""Look at an instruction file before you train on it: its numbers, its near-duplicates, and what
leaks between files.

    python dataset_utilities.py stats FILE python dataset_utilities.py duplicates FILE [--by
    prompt|input|output|all] [--threshold 0.8] [--exact] [--out FILE] python dataset_utilities.py
    leaks TRAIN TEST [MORE …] [--by …] [--threshold 0.8]

A file is a JSON list of entries, or one entry on each line: {"instruction": …, "input": …,
"output": …}. `input` may be missing; other fields, such as Alpaca's `text` or the `kind` of this
course, may be there.
"""

import argparse
import re
import unicodedata
from collections import Counter, defaultdict
from pathlib import Path

from near_duplicates import duplicate_groups, exact_pairs, near_pairs, nearest_before, normal

try:
    from ch02_01_main_chapter_code.tokenizer import gpt2_tokenizer
    from ch05_01_main_chapter_code.arguments import run_script
    from ch05_01_main_chapter_code.corpora import read_values
    from ch05_01_main_chapter_code.json_lines import write_json_list
except ModuleNotFoundError as error:
    raise SystemExit(
        f"{error}: install the course with `pip install -r requirements.txt` in its main folder"
    ) from None

FIELDS = ("instruction", "input", "output")
COMPARED = {
    "prompt": lambda entry: f"{entry['instruction']}\n{entry['input']}",
    "input": lambda entry: entry["input"],
    "output": lambda entry: entry["output"],
    "all": lambda entry: "\n".join(entry[field] for field in FIELDS),
}
DAMAGE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffd\ud800-\udfff]|[ÃÂ][\u0080-\u00bf]|â€"
)
END_MARKS = tuple(".!?…\"'”’)]}:;`|>*")
LONG_ANSWER = 20  # words: a longer answer without an end mark was probably cut off

# --- Reading --------------------------------------------------------------------------------------


def read_entries(path):
    """The entries of a file, each with the three FIELDS as strings, and whatever else it has.

    Raises ValueError, with one sentence that says what is wrong where.
    """
    entries = read_values(path)
    if not isinstance(entries, list) or not entries:
        raise ValueError(
            f"{path} must hold a list of entries, [{{…}}, {{…}}], or one entry on each line; it has none"
        )
    for number, entry in enumerate(entries, start=1):
        problem = problem_of(entry)
        if problem:
            raise ValueError(f"{path}, entry {number}: {problem}")
    return [{"input": ""} | entry for entry in entries]


def problem_of(entry):
    """Why this is no entry, or None."""
    if not isinstance(entry, dict):
        return f'an entry looks like {{"instruction": …, "output": …}}; this is a {type(entry).__name__}'
    missing = [field for field in ("instruction", "output") if field not in entry]
    if missing:
        return f"it has no {missing[0]}; its fields are {', '.join(map(str, entry)) or 'none'}"
    wrong = [field for field in (*FIELDS, "kind") if not isinstance(entry.get(field, ""), str)]
    return (
        f"its {wrong[0]} must be a string, not {type(entry[wrong[0]]).__name__}" if wrong else None
    )


# --- Statistics -----------------------------------------------------------------------------------


def lengths(texts, tokenizer):
    """The number of tokens of each text."""
    return [len(tokenizer.encode(printable(text))) for text in texts]


def script_of(character):
    """The script of a letter: LATIN, GREEK, CYRILLIC, CJK, … None for what is no letter.

    >>> script_of("ä"), script_of("ж"), script_of("7")
    ('LATIN', 'CYRILLIC', None)
    """
    return (
        unicodedata.name(character, "UNNAMED").split()[0].split("-")[0]
        if character.isalpha()
        else None
    )


def scripts_of(text):
    """How many letters of each script a text has, the most frequent first: a dict."""
    counts = Counter()
    for character, count in Counter(text).items():
        script = script_of(character)
        if script:
            counts[script] += count
    return dict(counts.most_common())


def repeats_prompt(entry):
    """True where the answer contains the whole instruction, or begins with the input and goes on."""
    answer, instruction, about = (
        normal(entry[field]) for field in ("output", "instruction", "input")
    )
    whole_instruction = len(instruction.split()) >= 3 and instruction in answer
    return whole_instruction or (
        len(about.split()) >= 3 and answer.startswith(about) and answer != about
    )


def findings(entries):
    """What deserves a look: {what: numbers of the entries, counted from 1}, in the order of
    reading.
    """
    outputs_of = defaultdict(set)
    for entry in entries:
        outputs_of[normal(COMPARED["prompt"](entry))].add(normal(entry["output"]))
    seen, found = set(), defaultdict(list)
    for number, entry in enumerate(entries, start=1):
        whole, prompt = COMPARED["all"](entry), normal(COMPARED["prompt"](entry))
        checks = {
            "the instruction is empty": not entry["instruction"].strip(),
            "the answer is empty": not entry["output"].strip(),
            "the prompt was there before": prompt in seen,
            "the prompt has several answers": len(outputs_of[prompt]) > 1,
            "the answer repeats the prompt": repeats_prompt(entry),
            "the answer is the input": bool(normal(entry["output"]))
            and normal(entry["output"]) == normal(entry["input"]),
            "a long answer without an end": len(entry["output"].split()) > LONG_ANSWER
            and not entry["output"].rstrip().endswith(END_MARKS),
            "letters of several scripts": len(scripts_of(whole)) > 1,
            "damaged characters": DAMAGE.search(whole) is not None,
        }
        seen.add(prompt)
        for what, is_so in checks.items():
            found[what] += [number] if is_so else []
    return dict(found)


def statistics(entries, tokenizer):
    """All that `stats` shows, as a dict."""
    first_words = Counter(
        (normal(entry["instruction"]).split() or [""])[0].strip(".,:;!?\"'") for entry in entries
    )
    return {
        "entries": len(entries),
        "tokens": {
            field: lengths([entry[field] for entry in entries], tokenizer) for field in FIELDS
        },
        "kinds": dict(Counter(entry["kind"] for entry in entries if "kind" in entry).most_common()),
        "first words": dict(first_words.most_common()),
        "answers": dict(Counter(normal(entry["output"]) for entry in entries).most_common()),
        "scripts": scripts_of("".join(COMPARED["all"](entry) for entry in entries)),
        "findings": findings(entries),
    }


# --- Duplicates and leaks -------------------------------------------------------------------------


def find_duplicates(entries, by="prompt", threshold=0.8, exact=False):
    """(groups, pairs) of entries that are nearly equal, numbered from 0; see `duplicate_groups`."""
    texts = [COMPARED[by](entry) for entry in entries]
    return duplicate_groups(texts, threshold, pairs_of=exact_pairs if exact else near_pairs)


def without_copies(entries, groups):
    """The entries, of each group only the first."""
    dropped = {number for group in groups for number in group[1:]}
    return [entry for number, entry in enumerate(entries) if number not in dropped]


def find_leaks(parts, by="prompt", threshold=0.8, exact=False):
    """What each part has from an earlier one: {(p, q): {entry of part q: (the nearest entry of part
    p, Jaccard)}}, p < q.

    `parts` is a list of lists of entries; all are numbered from 0.
    """
    texts = [[COMPARED[by](entry) for entry in part] for part in parts]
    leaks = {}
    for q in range(len(parts)):
        for p in range(q):
            border = len(texts[p])
            found = nearest_before(
                texts[p] + texts[q], border, threshold, exact_pairs if exact else near_pairs
            )
            leaks[p, q] = {number - border: nearest for number, nearest in sorted(found.items())}
    return leaks


# --- Command line ---------------------------------------------------------------------------------


def printable(text):
    """Without halves of surrogate pairs, which JSON allows and no output can show."""
    return text.encode("utf-8", "replace").decode("utf-8")


def short(text, width=90):
    """A text on one line of at most so many characters."""
    line = printable(" ".join(text.split()))
    return line if len(line) <= width else line[: width - 1] + "…"


def numbered(numbers, count=8):
    """`3, 17, 20 …`"""
    return ", ".join(map(str, numbers[:count])) + (" …" if len(numbers) > count else "")


def shares(counts, count):
    """`Latin 99.1 %, Greek 0.9 %`: the largest of a dict of counts."""
    total = sum(counts.values())
    listed = [
        f"{short(name, 30)} {100 * n / total:.1f} %" for name, n in list(counts.items())[:count]
    ]
    return ", ".join(listed) + (
        f", and {len(counts) - count:,} others" if len(counts) > count else ""
    )


def show_statistics(options):
    entries = read_entries(options.files[0])
    found = statistics(entries, gpt2_tokenizer())
    total = sum(sum(counts) for counts in found["tokens"].values())
    print(f"{options.files[0]}: {len(entries):,} entries, {total:,} tokens of GPT-2's tokenizer")
    print(
        f"\n{'tokens':12}{'empty':>8}{'shortest':>10}{'median':>8}{'90 %':>8}{'longest':>9}{'together':>10}"
    )
    for field, counts in found["tokens"].items():
        filled = sorted(
            count for count, entry in zip(counts, entries, strict=True) if entry[field].strip()
        ) or [0]
        middle, most = filled[len(filled) // 2], filled[len(filled) * 9 // 10]
        empty = sum(not entry[field].strip() for entry in entries)
        print(
            f"{field:12}{empty:8,}{filled[0]:10,}{middle:8,}{most:8,}{filled[-1]:9,}{sum(filled):10,}"
        )
    if found["kinds"]:
        print(f"\n{len(found['kinds'])} kinds: {shares(found['kinds'], 6)}")
    print(f"\nthe instruction begins with: {shares(found['first words'], 6)}")
    print(f"most frequent answers: {shares(found['answers'], 4)}")
    print(f"letters: {shares(found['scripts'], 6) if found['scripts'] else 'none'}")
    print("\nworth a look (entries are counted from 1):")
    for what, numbers in found["findings"].items():
        print(f"{len(numbers):8,}  {what}{': ' + numbered(numbers) if numbers else ''}")


def show_duplicates(options):
    if options.out and Path(options.out).exists():
        raise ValueError(f"{options.out} exists already; choose another name")
    path = options.files[0]
    entries = read_entries(path)
    found, pairs = find_duplicates(entries, options.by, options.threshold, options.exact)
    members = sum(map(len, found))
    print(
        f"{path}: {len(entries):,} entries; {members:,} are in {len(found):,} groups of near-duplicates "
        f"({options.by}, at least {options.threshold:g})"
    )
    for group in sorted(found, key=len, reverse=True)[: options.show]:
        values = [value for (i, _), value in pairs.items() if i in group]
        print(f"\n{len(group)} entries, pairs alike to {min(values):.2f} … {max(values):.2f}")
        for number in group[: options.show]:
            print(f"  {number + 1:6,}  {short(COMPARED[options.by](entries[number]))}")
    if options.out:
        kept = without_copies(entries, found)
        save(kept, options.out)
        print(f"\n{len(kept):,} entries, of each group the first, in {options.out}")


def save(entries, path):
    """Write entries as JSON, one on a line; an existing file is refused."""
    write_json_list(path, entries)


def show_leaks(options):
    parts = [read_entries(path) for path in options.files]
    for (p, q), found in find_leaks(parts, options.by, options.threshold, options.exact).items():
        print(
            f"{options.files[q]}: {len(found):,} of {len(parts[q]):,} entries have a near-duplicate in {options.files[p]} "
            f"({options.by}, at least {options.threshold:g})"
        )
        for number, (nearest, value) in list(found.items())[: options.show]:
            print(
                f"  {value:.2f}  {number + 1:6,}  {short(COMPARED[options.by](parts[q][number]))}"
            )
            print(f"        {nearest + 1:6,}  {short(COMPARED[options.by](parts[p][nearest]))}")


def add_comparison_flags(command):
    """How entries are compared, and how many are shown."""
    command.add_argument(
        "--by",
        choices=COMPARED,
        default="prompt",
        help="what is compared; prompt is instruction and input (default: %(default)s)",
    )
    command.add_argument(
        "--threshold",
        type=float,
        default=0.8,
        help="0.1 … 1; 1 is the same set (default: %(default)s)",
    )
    command.add_argument(
        "--show", type=int, default=5, metavar="N", help="so many examples (default: %(default)s)"
    )
    command.add_argument(
        "--exact",
        action="store_true",
        help="compare all pairs: certain, and slow from 10,000 entries on",
    )


def build_parser():
    parser = argparse.ArgumentParser(
        description="Statistics, near-duplicates and leaks of instruction files."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    stats = commands.add_parser("stats", help="lengths, kinds, scripts, and what is worth a look")
    duplicates = commands.add_parser(
        "duplicates", help="groups of entries that are nearly the same"
    )
    leaks = commands.add_parser(
        "leaks", help="entries of a file that an earlier file has as well, or nearly"
    )
    stats.set_defaults(show_it=show_statistics)
    duplicates.set_defaults(show_it=show_duplicates)
    leaks.set_defaults(show_it=show_leaks)
    for command in (stats, duplicates):
        command.add_argument(
            "files", nargs=1, metavar="FILE", help="JSON, or one entry on each line"
        )
    leaks.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="at least two: what is learned from, then what tests it",
    )
    for command in (duplicates, leaks):
        add_comparison_flags(command)
    duplicates.add_argument(
        "--out",
        metavar="FILE",
        help="write the entries without the copies; an existing file is refused",
    )
    return parser


def main(options):
    if options.command != "stats" and not 0.1 <= options.threshold <= 1:
        raise ValueError(f"the threshold must be between 0.1 and 1, not {options.threshold:g}")
    if options.command != "stats" and options.show < 0:
        raise ValueError(f"--show must not be negative, as {options.show} is")
    if options.command == "leaks" and len(options.files) < 2:
        raise ValueError("a leak is between two files; give at least two")
    options.show_it(options)


if __name__ == "__main__":
    run_script(main, build_parser().parse_args())
