"""Consoles that lack letters, and names that are no names: every script that people type, in the
encodings of old consoles."""

import ast
import os
import subprocess
import sys

import pytest

from scratch_llm_tools import console
from scratch_llm_tools.notebooks import ROOT, repository_files

OLD_CONSOLES = ("ascii", "cp437", "cp1252")


def typed_scripts():
    """Every tracked module with a command line of its own: it calls argparse, or a module's
    function that does, and has a block for `__main__`.
    """
    scripts = []
    for path in repository_files():
        if path.suffix == ".py" and not path.name.startswith(("test", "conftest")):
            text = path.read_text(encoding="utf-8")
            if '__name__ == "__main__"' in text and "arg" in text and "figures" not in path.parts:
                scripts.append(path.relative_to(ROOT).as_posix())
    return scripts


def asks_for_help(script, encoding):
    """The process of `python SCRIPT --help`, on a console with this encoding."""
    environment = os.environ | {"PYTHONIOENCODING": encoding, "OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = ""
    command = [sys.executable, str(ROOT / script), "--help"]
    return subprocess.run(command, capture_output=True, env=environment, stdin=subprocess.DEVNULL)


def parses_arguments(script):
    """False for a script that only ever does one thing, such as one that checks a room's answers."""
    names = {
        getattr(node, "attr", getattr(node, "id", ""))
        for node in ast.walk(ast.parse((ROOT / script).read_text(encoding="utf-8")))
    }
    return bool(names & {"ArgumentParser", "run_script", "parse_args"})


SCRIPTS = [script for script in typed_scripts() if parses_arguments(script)]


def test_the_scripts_are_found():
    assert len(SCRIPTS) > 25
    for name in ("ch01/training_cost.py", "ch04/01_main-chapter-code/gpt.py", "tools/notebooks.py"):
        assert name in SCRIPTS


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_is_no_traceback_on_old_consoles(script):
    """One encoding per script and process is enough where the help is plain ASCII: then all give the
    same bytes."""
    pytest.importorskip("scratch_llm_tools")
    done = asks_for_help(script, "ascii")
    assert done.returncode == 0 and b"usage:" in done.stdout, done.stderr.decode()
    if b"?" in done.stdout:  # something was replaced, or is a question
        for encoding in OLD_CONSOLES[1:]:
            again = asks_for_help(script, encoding)
            assert again.returncode == 0 and b"usage:" in again.stdout, again.stderr.decode()


@pytest.mark.parametrize("encoding", OLD_CONSOLES)
def test_what_a_console_lacks_is_a_question_mark(encoding):
    code = "from scratch_llm_tools.console import open_console; open_console(); print('a 狐 b')"
    environment = os.environ | {"PYTHONIOENCODING": encoding, "PYTHONPATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, env=environment, cwd=ROOT
    )
    assert done.stdout.split() == [b"a", b"?", b"b"]


def test_a_stream_that_cannot_be_set_is_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", object())
    console.open_console()


@pytest.mark.parametrize(
    "text, shown",
    [
        ("spam", "spam"),
        ("line\n\tline", "line\n\tline"),
        ("\x1b[2J\x07", r"\x1b[2J\x07"),
        ("a\rb", r"a\rb"),
        ("\x9b31m", r"\x9b31m"),
        ("abc\u202etxt.exe", r"abc\u202etxt.exe"),
        ("\ud800", r"\ud800"),
        ("狐 é 👩‍🚀", "狐 é 👩‍🚀"),
    ],
)
def test_control_codes_are_written_out(text, shown):
    assert console.printable(text) == shown
