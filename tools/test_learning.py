"""Tests of predictions, hints and the reader's progress."""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from scratch_llm_tools import learning, progress
from scratch_llm_tools.notebook_code import notebook_trees
from scratch_llm_tools.notebooks import find_notebooks

ROOT = Path(__file__).resolve().parents[1]
HERE = "ch02/01_main-chapter-code"


@pytest.fixture(autouse=True)
def fresh_session(monkeypatch):
    """Each test is a session of its own, in the folder of chapter 2."""
    monkeypatch.chdir(ROOT / HERE)
    new_session()
    yield
    new_session()


@pytest.fixture
def file(tmp_path, monkeypatch):
    """A progress file of its own, which is not there yet."""
    path = tmp_path / "new folder" / "progress.jsonl"
    monkeypatch.setenv(progress.SETTING, str(path))
    return path


def new_session():
    progress._not_stored.clear()
    progress._told.clear()
    learning._given.clear()


def said(capsys):
    return capsys.readouterr().out


# --- Predictions ----------------------------------------------------------------------------------


def test_tests_and_executed_notebooks_store_nothing():
    from scratch_llm_tools.notebooks import kernel_environment

    assert os.environ[progress.SETTING] == kernel_environment()[progress.SETTING] == "off"
    assert progress.progress_file() is None


def test_the_readers_file_is_the_courses_own(monkeypatch):
    monkeypatch.delenv(progress.SETTING)
    monkeypatch.setenv("SCRATCH_LLM_DATA", "/elsewhere")
    assert progress.progress_file() == ROOT / "data" / "progress.jsonl"
    ignored = subprocess.run(["git", "check-ignore", "data/progress.jsonl"], cwd=ROOT)
    assert ignored.returncode in (0, 128)  # 128: a copy without git


def test_untouched_nothing_is_locked_and_the_answer_is_quiet(file, capsys):
    learning.predict("share", ...)
    assert said(capsys) == "… share: not predicted yet. Put a number in place of the ...\n"
    learning.predict("order", ..., ["the same", "different"])
    assert 'Put one of "the same", "different" in place' in said(capsys)
    learning.answer("share", 25.2)
    assert said(capsys) == "" and not file.exists()


@pytest.mark.parametrize("later_session", [False, True])
def test_the_first_guess_is_locked(file, capsys, later_session):
    learning.predict("share", 40)
    assert said(capsys) == "locked: share = 40.\n"
    if later_session:
        new_session()
    learning.predict("share", 40)
    assert said(capsys) == "locked: share = 40.\n"  # the same cell again
    learning.predict("share", 25)
    assert said(capsys) == "locked before, and kept: share = 40; 25 does not count.\n"
    learning.answer("share", 25.2)
    assert "you predicted 40, it is 25.2: 14.8 too high, a factor of 1.6." in said(capsys)


def test_a_guess_is_locked_where_nothing_is_stored(capsys):
    learning.predict("share", 40)
    learning.predict("share", 25)
    assert "40; 25 does not count" in said(capsys)


@pytest.mark.parametrize(
    "guess, truth, words",
    [
        (24, 24, "you predicted 24, it is 24: exactly."),
        (24.0, 24, ": exactly."),
        (1000, 1200, "you predicted 1,000, it is 1,200: 200 too low, a factor of 1.2."),
        (100, 101, "1 too low, less than 5 % off."),
        (-1, 2.5, "3.5 too low."),
        (-1.34, -1.3416, "0.0016 too high, less than 5 % off."),
        (-2, -1, "1 too low, a factor of 2."),
        (10, 1025, "1,015 too low, a factor of 102."),
        (0, 3, "3 too low."),
        (np.float64(0.5), torch.tensor(0.25), "you predicted 0.5, it is 0.25: 0.25 too high, a"),
        (np.int64(3), np.array([3]), ": exactly."),
    ],
)
def test_the_answer_says_how_far_off_the_guess_was(capsys, guess, truth, words):
    learning.predict("n", guess)
    said(capsys)
    learning.answer("n", truth)
    assert words in said(capsys)


def test_one_of_several_is_predicted(capsys):
    options = ["the same", "different"]
    learning.predict("order", "equal", options)
    assert said(capsys) == (
        '✗ order: \'equal\' is none of "the same", "different"; nothing is locked.\n'
    )
    learning.predict("order", "different", options)
    said(capsys)
    learning.answer("order", "the same")
    assert said(capsys) == "→ order: you predicted “different”, it is “the same”: another one.\n"


@pytest.mark.parametrize("guess", ["a lot", True, None, [1, 2], torch.ones(2)])
def test_what_is_no_number_is_told_and_not_locked(file, capsys, guess):
    learning.predict("share", guess)
    line = said(capsys)
    assert "a number is asked for" in line and line.count("\n") == 1 and not file.exists()


# --- Hints ----------------------------------------------------------------------------------------


def test_each_call_gives_the_next_hint(monkeypatch, capsys):
    monkeypatch.setattr(learning, "_hints", {})
    learning.hint()
    assert "nothing here" in said(capsys)
    learning.offer_hints("owl", HERE, ("Who?", "Night.", "`hoot()`"))
    learning.hint()
    assert 'hint("owl") gives a question, then the idea, then the line' in said(capsys)
    for _ in range(4):
        learning.hint("owl")
    lines = said(capsys).splitlines()
    assert lines[0] == "hint 1 of 3 for owl, a question: Who?"
    assert lines[1] == "hint 2 of 3 for owl, the idea: Night."
    assert lines[2] == lines[3] == "hint 3 of 3 for owl, the line: `hoot()`"
    learning.hint("fox")
    assert said(capsys) == "there is no hint for 'fox'; there are hints for owl.\n"
    with pytest.raises(ValueError, match="owl needs 3 hints"):
        learning.offer_hints("owl", HERE, ("Who?",))


# --- The file -------------------------------------------------------------------------------------


def kinds(name):
    return [entry["kind"] for entry in progress.entries() if entry["name"] == name]


def test_what_was_solved_stays_solved(file):
    for solved in (False, False, True, False, True):
        progress.record_exercise(HERE, "embed", solved)
    assert kinds("embed") == ["tried", "solved"] and file.read_bytes().count(b"\n") == 2


def test_notebooks_at_once_lose_nothing(file):
    code = (
        "from scratch_llm_tools.progress import record_exercise\n"
        "import sys\n"
        f"for n in range(50): record_exercise({HERE!r}, sys.argv[1] + str(n), True)"
    )
    register = f"import runpy; runpy.run_path({str(ROOT / 'conftest.py')!r})\n"
    command = [sys.executable, "-c", register + code]
    running = [subprocess.Popen([*command, letter]) for letter in "abc"]
    assert [process.wait() for process in running] == [0, 0, 0]
    names = {entry["name"] for entry in progress.entries()}
    assert names == {letter + str(n) for letter in "abc" for n in range(50)}


DAMAGED = [
    b'{"folder": "ch02", "na',
    b"\xff\xfe",
    b"[]",
    b'"text"',
    b'{"folder": "ch02", "name": "x", "kind": "eaten"}',
    b'{"folder": 2, "name": "x", "kind": "solved"}',
    b'{"folder": "ch02", "name": "x", "kind": "predicted"}',
]


@pytest.mark.parametrize("line", DAMAGED)
@pytest.mark.parametrize("end", [b"", b"\n"])
def test_a_damaged_line_is_told_and_nothing_is_lost(file, capsys, line, end):
    progress.record_exercise(HERE, "first", True)
    damaged = file.read_bytes() + line + end
    file.write_bytes(damaged)
    progress.record_exercise(HERE, "second", False)
    told = said(capsys)
    assert told.count("\n") == 1 and f"{file} cannot be read in line 2" in told
    assert (kinds("first"), kinds("second")) == (["solved"], ["tried"])
    assert file.read_bytes().startswith(damaged) and said(capsys) == ""  # told once


def test_a_file_that_cannot_be_written_stops_nobody(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(progress.SETTING, str(tmp_path / "file" / "progress.jsonl"))
    learning.predict("share", 40)
    learning.predict("share", 41)
    told = said(capsys).splitlines()
    assert told[0].startswith("your progress is not stored: ") and len(told) == 3
    assert "40; 41 does not count" in told[2]


def test_a_folder_in_the_files_place_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(progress.SETTING, str(tmp_path))
    assert progress.entries() == [] and said(capsys).startswith("your progress cannot be read: ")


def test_solutions_are_not_stored(file):
    progress.store_nothing()
    progress.record_exercise(HERE, "embed", True)
    assert not file.exists()


def test_every_notebook_of_solutions_stores_nothing():
    notebooks = sorted(ROOT.glob("ch0*/**/exercise-solutions.ipynb"))
    assert len(notebooks) >= 7
    for path in notebooks:
        code = "\n".join(sources(path, "code"))
        assert 0 < code.find("\nstore_nothing()") < code.find("\ncheck_"), path


def is_stub(node):
    """Whether a function waits for its body: `...`."""
    return len(node.body) == 1 and ast.unparse(node.body[0]) == "..."


@pytest.mark.parametrize("path", find_notebooks(), ids=lambda path: path.name)
def test_no_exercise_hides_what_the_notebook_taught(path):
    taught = set()
    for _, tree in notebook_trees(path):
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                assert not (is_stub(node) and node.name in taught), node.name
                taught.add(node.name)


# --- The page and the picture ---------------------------------------------------------------------


def sources(path, kind):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == kind]


def test_every_exercise_of_the_course_is_found_once():
    found = progress.find_exercises()
    keys = [(exercise.folder, exercise.name, exercise.predicted) for exercise in found]
    assert len(set(keys)) == len(keys) > 50
    names = [exercise.name for exercise in found if not exercise.predicted]
    assert len(set(names)) == len(names)  # `hint` knows an exercise by its name alone
    embed = next(exercise for exercise in found if exercise.name == "embed")
    assert embed.title.startswith("Exercise 2.8: embed")
    assert embed.link.startswith(f"{HERE}/ch02.ipynb#Exercise-2.8:-embed-(medium")


def test_broken_and_copied_notebooks_are_passed_over(tmp_path):
    folder = tmp_path / "ch01"
    folder.mkdir()
    cell = {"cell_type": "code", "source": 'check_fox(fox)\n# check_owl(owl)\npredict("n", ...)'}
    for name in ("a.ipynb", "a-Copy1.ipynb"):
        (folder / name).write_text(json.dumps({"cells": [cell]}))
    (folder / "half.ipynb").write_text('{"cells": [')
    (folder / "none.ipynb").write_text("{}")
    found = progress.find_exercises(tmp_path)
    assert [(e.name, e.notebook, e.predicted) for e in found] == [
        ("fox", "a.ipynb", False),
        ("n", "a.ipynb", True),
    ]


def test_the_page_shows_solved_tried_and_open(file, capsys):
    progress.record_exercise(HERE, "embed", True)
    progress.record_exercise(HERE, "count_windows", False)
    assert progress.main([]) == 0
    page = said(capsys)
    (row,) = (line for line in page.splitlines() if line.startswith("Chapter 2 "))
    assert row.split()[2:4] == ["1", "1"] and int(row.split()[4]) >= 6
    assert "✗ count_windows: Exercise 2.5: how many windows" in page and "✓" not in page
    assert "ch02.ipynb#Exercise-2.5" in page and str(file) in page
    assert progress.main(["ch02"]) == 0
    page = said(capsys)
    assert "✓ embed: Exercise 2.8: embed" in page and "… frequent_vocab: Exercise 2.1" in page
    assert progress.main(["ch99"]) == 2
    assert "there is no chapter 'ch99'; there are ch01, ch02" in capsys.readouterr().err


def test_the_picture_has_a_bar_for_each_state(file):
    pytest.importorskip("matplotlib").use("agg")
    progress.record_exercise(HERE, "embed", True)
    states = progress.state_of(progress.find_exercises())
    (ax,) = progress.draw_progress(states).axes
    widths = [[bar.get_width() for bar in bars] for bars in ax.containers]
    asked = sum(not exercise.predicted for exercise in states)
    assert [bars.get_label() for bars in ax.containers] == ["solved", "tried", "open"]
    assert [sum(row) for row in widths] == [1, 0, asked - 1]


def test_each_prediction_of_a_notebook_has_its_answer_below():
    for path in find_notebooks():
        code = "\n".join(sources(path, "code"))
        asked = re.findall(r'^ *predict\("([^"]+)"', code, flags=re.M)
        told = re.findall(r'^ *answer\("([^"]+)"', code, flags=re.M)
        assert sorted(asked) == sorted(told) and len(set(asked)) == len(asked), path
        for name in asked:
            assert code.index(f'predict("{name}"') < code.index(f'answer("{name}"'), (path, name)
        assert not re.findall(r'^ *predict\("[^"]+", (?!\.\.\.)', code, flags=re.M), path
