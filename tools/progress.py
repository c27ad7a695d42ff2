"""What a reader has solved, tried and left open: where it is kept, and how it is shown.

    python tools/progress.py            # all chapters, and where to go on
    python tools/progress.py ch02       # every exercise of chapter 2, with its link

In a notebook, `show_progress()` draws the same, with links to that notebook's exercises.

The checks and `predict` write one line for each thing that becomes known into data/progress.jsonl
of the course, which git ignores. Lines are only ever appended, so that two notebooks at once lose
nothing; a line that cannot be read is left out, told of, and left where it is. To begin anew,
delete the file. SCRATCH_LLM_PROGRESS names another file, or `off`: then nothing is stored, as in
the tests and in tools/notebooks.py.
"""

import argparse
import json
import os
import re
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SETTING = "SCRATCH_LLM_PROGRESS"
STATES = "open", "tried", "solved"
KINDS = *STATES[1:], "predicted"


# --- The file -------------------------------------------------------------------------------------

_not_stored = []  # entries of this session that no file holds
_told = set()  # what was said once in this session


def progress_file():
    """The file where progress is kept, or None if it is not."""
    chosen = os.environ.get(SETTING, "")
    if chosen == "off":
        return None
    return Path(chosen).expanduser() if chosen else ROOT / "data" / "progress.jsonl"


def store_nothing():
    """Keep what happens in this session out of the file, as in a notebook full of solutions."""
    os.environ[SETTING] = "off"


def folder_of(path):
    """A folder as the entries name it, such as "ch02/01_main-chapter-code"; "" outside the course."""
    path = Path(path).resolve()
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else ""


def entries():
    """All entries, the oldest first: {"folder", "name", "kind", and for a prediction "guess"}.

    `kind` is "tried", "solved" or "predicted". A file or a line that cannot be read is told once.
    """
    file, found = progress_file(), []
    if file is None or not file.exists():
        return list(_not_stored)
    try:
        lines = file.read_bytes().split(b"\n")
    except OSError as error:
        _tell_once(f"your progress cannot be read: {error}; nothing was changed")
        lines = []
    damaged = []
    for number, line in enumerate(lines, start=1):
        entry = _entry(line)
        if entry is not None:
            found.append(entry)
        elif line.strip():
            damaged.append(number)
    if damaged:
        places = ", ".join(map(str, damaged[:5])) + ", …" * (len(damaged) > 5)
        _tell_once(
            f"{file} cannot be read in line {places}, which is left out and left as it is: mend or "
            "delete it"
        )
    return found + _not_stored


def _entry(line):
    """The entry that a line of the file holds, or None."""
    try:
        entry = json.loads(line)
    except ValueError:  # also bytes that are no UTF-8
        return None
    if not isinstance(entry, dict) or entry.get("kind") not in KINDS:
        return None
    named = all(isinstance(entry.get(key), str) for key in ("folder", "name"))
    return entry if named and ("guess" in entry) == (entry["kind"] == "predicted") else None


def record(folder, name, kind, **more):
    """Append an entry to the file; where that is impossible, say so once and keep it in memory."""
    entry = {"folder": folder, "name": name, "kind": kind, **more}
    file = progress_file()
    if file is not None:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with open(file, "a+b", buffering=0) as stream:
                size = stream.seek(0, os.SEEK_END)
                stream.seek(max(size - 1, 0))
                torn = size and stream.read(1) != b"\n"  # somebody's line did not get to its end
                stream.write(b"\n" * bool(torn) + json.dumps(entry).encode() + b"\n")
            return
        except OSError as error:
            _tell_once(f"your progress is not stored: {error}")
    _not_stored.append(entry)


def record_exercise(folder, name, solved):
    """Note that an exercise was tried or solved; what was solved once stays so."""
    states = {STATES.index(entry["kind"]) for entry in _entries_of(folder, name, STATES)}
    if STATES.index("solved" if solved else "tried") > max(states, default=0):
        record(folder, name, "solved" if solved else "tried")


def first_guess(folder, name):
    """What a reader predicted first, or None."""
    return next((e["guess"] for e in _entries_of(folder, name, ("predicted",))), None)


def _entries_of(folder, name, kinds):
    return [
        entry
        for entry in entries()
        if (entry["folder"], entry["name"]) == (folder, name) and entry["kind"] in kinds
    ]


def _tell_once(line):
    if line not in _told:
        _told.add(line)
        print(line)


# --- What there is to do --------------------------------------------------------------------------


@dataclass(frozen=True)
class Exercise:
    """An exercise or a prediction, and the heading of its notebook under which it stands."""

    folder: str
    name: str
    notebook: str  # the file's name
    title: str
    predicted: bool = False  # it asks for a prediction

    @property
    def link(self):
        """Its place as JupyterLab understands it, from the course's main folder. JupyterLab compares
        what stands behind the # with its headings as it is, so only what ends a link is encoded.
        """
        anchor = self.title.replace(" ", "-").replace("<", "%3C").replace(">", "%3E")
        return f"{self.folder}/{self.notebook}#{anchor}"


def find_exercises(root=ROOT):
    """All exercises and predictions of the course's notebooks, in their order. Solutions are none."""
    found = {}
    notebooks = sorted(Path(root).glob("ch0*/**/*.ipynb"), key=_in_order)
    for path in notebooks:
        hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
        if path.name != "exercise-solutions.ipynb" and not hidden:
            for exercise in _exercises_in(path, root):
                key = exercise.folder, exercise.name, exercise.predicted
                found.setdefault(key, exercise)  # a reader's copy of the notebook comes later
    return list(found.values())


def _in_order(path):
    return path.parent.as_posix(), len(path.name), path.name


def _exercises_in(path, root):
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    except (ValueError, KeyError):
        return  # half written, or a reader's file that is no notebook
    folder, title = path.parent.relative_to(root).as_posix(), ""
    for cell in cells:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            title = (re.findall(r"^#+ +(.+?) *$", source, flags=re.M) or [title])[-1]
        elif cell["cell_type"] == "code":
            for name in re.findall(r"^check_(\w+)\(", source, flags=re.M):
                yield Exercise(folder, name, path.name, title)
            for name in re.findall(r'^predict\("([^"]+)"', source, flags=re.M):
                yield Exercise(folder, name, path.name, title, predicted=True)


def state_of(exercises):
    """{exercise: "open", "tried" or "solved"}; a prediction that was locked counts as solved."""
    known = {}
    for entry in entries():
        key = entry["folder"], entry["name"], entry["kind"] == "predicted"
        state = "solved" if entry["kind"] == "predicted" else entry["kind"]
        known[key] = max(known.get(key, "open"), state, key=STATES.index)
    return {e: known.get((e.folder, e.name, e.predicted), "open") for e in exercises}


# --- Shown ----------------------------------------------------------------------------------------

MARKS = {"open": "…", "tried": "✗", "solved": "✓"}


def chapter_of(exercise):
    """Such as "ch02"."""
    return exercise.folder.split("/")[0]


def table(states):
    """The lines of a table: for each chapter how many are solved, tried, open, and predicted."""
    lines = [f"{'':12}{'solved':>8}{'tried':>8}{'open':>8}   predictions locked"]
    for chapter in sorted({chapter_of(exercise) for exercise in states}):
        mine = {e: state for e, state in states.items() if chapter_of(e) == chapter}
        counts = Counter(state for e, state in mine.items() if not e.predicted)
        locked = [state == "solved" for e, state in mine.items() if e.predicted]
        row = "".join(f"{counts[state]:8}" for state in reversed(STATES))
        lines.append(f"Chapter {int(chapter[2:]):<4}{row}   {sum(locked)} of {len(locked)}")
    return lines


def listing(states):
    """A line for each exercise: its mark, its heading and its link."""
    return [
        f"{MARKS[state]} {e.name}{' (a prediction)' * e.predicted}: {e.title}\n      {e.link}"
        for e, state in states.items()
    ]


def go_on(states):
    """What was tried and is not solved, and the first open exercise of each chapter."""
    left = {e: state for e, state in states.items() if not e.predicted and state != "solved"}
    first = {}
    for exercise, state in left.items():
        if state == "open":
            first.setdefault(chapter_of(exercise), exercise)
    return {e: s for e, s in left.items() if s == "tried" or e in first.values()}


def show_progress():
    """In a notebook: a picture of all chapters, and links to the exercises of this folder."""
    import matplotlib.pyplot as plt
    from IPython.display import Markdown, display

    states = state_of(find_exercises())
    draw_progress(states)
    plt.show()
    here = folder_of(Path.cwd())
    mine = {e: s for e, s in states.items() if e.folder == here and not e.predicted}
    links = (
        f"- {MARKS[state]} [{e.name}: {e.title}](<{e.link.removeprefix(here + '/')}>)"
        for e, state in mine.items()
    )
    display(Markdown("\n".join(links)))


def draw_progress(states):
    """A bar for each chapter: solved, tried, open. Returns the figure."""
    import matplotlib.pyplot as plt

    from scratch_llm_tools.drawing import GREEN, ORANGE

    chapters = sorted({chapter_of(exercise) for exercise in states}, reverse=True)
    figure, ax = plt.subplots(figsize=(7, 0.8 + 0.35 * len(chapters)))
    left = Counter()
    for state, color in zip(reversed(STATES), (GREEN, ORANGE, "#DDDDDD"), strict=True):
        counts = Counter(chapter_of(e) for e, s in states.items() if s == state and not e.predicted)
        widths = [counts[chapter] for chapter in chapters]
        bars = ax.barh(chapters, widths, left=[left[c] for c in chapters], color=color, label=state)
        ax.bar_label(bars, [n or "" for n in widths], label_type="center")
        left.update(counts)
    ax.set(xlabel="exercises", title="Your progress")
    ax.legend(ncols=3, loc="upper left", bbox_to_anchor=(0, -0.2))
    return figure


def main(arguments=None):
    """The command line. Returns the exit status: 0, or 2 for a chapter that is none."""
    from scratch_llm_tools.console import open_console

    open_console()
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("chapter", nargs="?", help="such as ch02: list all that it asks")
    chapter = parser.parse_args(arguments).chapter
    states = state_of(find_exercises())
    chapters = sorted({chapter_of(exercise) for exercise in states})
    if chapter and chapter not in chapters:
        print(f"there is no chapter {chapter!r}; there are {', '.join(chapters)}", file=sys.stderr)
        return 2
    if chapter:
        print("\n".join(listing({e: s for e, s in states.items() if chapter_of(e) == chapter})))
        return 0
    print("\n".join([*table(states), "", "Go on with", *listing(go_on(states))]))
    print(f"\nstored in {progress_file() or 'no file'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
