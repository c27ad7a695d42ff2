"""The first cells of the notebooks: all alike, collapsed, and at home wherever a kernel starts."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from scratch_llm_tools.for_notebooks import COLLAPSED, FIRST_CELL, enter, first_cell, read_log
from scratch_llm_tools.notebooks import ROOT, find_notebooks, read

NOTEBOOKS = find_notebooks()
NAMES = [path.relative_to(ROOT).as_posix() for path in NOTEBOOKS]
STYLE = ROOT / "tools" / "scratch-llm.mplstyle"
SHOW = "\nimport os, sys\nprint(os.getcwd())\nprint(sys.modules['scratch_llm_tools.for_notebooks'].__file__)"


def run_cell(source, folder, isolated=False):
    """Run a first cell in a process that starts in `folder`; `isolated`: where nothing of the
    course is installed.
    """
    settings = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, *(["-S"] if isolated else []), "-c", source + SHOW]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=settings)


@pytest.fixture
def small_course(tmp_path):
    """A copy of what a first cell touches, away from this clone."""
    course = tmp_path / "copy" / "scratch-llm"
    shutil.copytree(ROOT / "tools", course / "tools", ignore=shutil.ignore_patterns("__pycache__"))
    (course / "ch03" / "01_main-chapter-code" / "deep").mkdir(parents=True)
    for name in ("conftest.py", "pyproject.toml"):
        shutil.copy(ROOT / name, course)
    (course / "requirements.txt").write_text("")
    return course


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_every_notebook_begins_alike(path):
    cells = [cell for cell in read(path).cells if cell.cell_type == "code"]
    assert cells[0].source == first_cell(path), "python tools/for_notebooks.py writes it anew"
    assert dict(cells[0].metadata) == COLLAPSED and cells[0].outputs == []
    rest = "\n".join(cell.source for cell in cells[1:])
    assert "REPOSITORY" not in rest and "axes.spines" not in rest and "rcParams.update" not in rest
    if "matplotlib" in rest:
        styles = [line for line in rest.split("\n") if "plt.style.use" in line]
        assert len(styles) == 1 and (path.parent / styles[0].split('"')[1]).resolve() == STYLE


def test_the_style_is_one_that_matplotlib_reads(recwarn):
    from matplotlib import rc_params_from_file

    settings = rc_params_from_file(STYLE, use_default_template=False)
    assert settings["figure.figsize"] == [7.0, 3.5] and len(settings) == 7 and not recwarn.list


@pytest.mark.parametrize("start", [".", "ch05", "ch03/01_main-chapter-code", "tools"])
def test_a_kernel_elsewhere_in_the_course_finds_the_notebooks_folder(start):
    home = ROOT / "ch03" / "01_main-chapter-code"
    done = run_cell(first_cell(home / "ch03.ipynb") + "\nimport attention", ROOT / start)
    *told, place, module = done.stdout.splitlines()
    assert place == str(home) and module == str(ROOT / "tools" / "for_notebooks.py"), done.stderr
    moved = (ROOT / start).resolve() != home
    assert told == ([f"This notebook works in {home}, where its files lie."] if moved else [])


def test_the_course_around_comes_before_an_installed_one(small_course):
    home = small_course / "ch03" / "01_main-chapter-code"
    source = FIRST_CELL.replace("FOLDER", "ch03/01_main-chapter-code")
    for start in (home, home / "deep", small_course, small_course.parent):
        for isolated in (False, True):
            done = run_cell(source, start, isolated)
            assert str(small_course / "tools") in done.stdout.splitlines()[-1], done.stderr
            assert done.stdout.splitlines()[-2] == str(home)


def test_without_the_course_around_the_installed_one_is_used(tmp_path):
    installed = "import scratch_llm_tools.for_notebooks"
    if subprocess.run(
        [sys.executable, "-c", installed], cwd=tmp_path, capture_output=True
    ).returncode:
        pytest.skip("the course is not installed here")
    home = ROOT / "ch03" / "01_main-chapter-code"
    done = run_cell(first_cell(home / "ch03.ipynb"), tmp_path)
    assert done.stdout.splitlines()[-2] == str(home)


def test_where_there_is_no_course_the_cause_is_named(tmp_path):
    done = run_cell(FIRST_CELL, tmp_path, isolated=True)
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(f"FileNotFoundError: the course is neither around {tmp_path}")
    assert "REPOSITORY" in last and done.returncode == 1


def test_an_address_fetches_the_course_once(small_course, tmp_path):
    """On a machine that was lent: a clone, what it needs, and the same again when run twice."""
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@y", "-C", str(small_course)]
    shutil.rmtree(small_course / "ch03" / "01_main-chapter-code" / "deep")
    (small_course / "ch03" / "01_main-chapter-code" / "attention.py").write_text("")
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "x"]):
        subprocess.run([*git, *command], check=True)
    cell = FIRST_CELL.replace('REPOSITORY = ""', f'REPOSITORY = "{small_course.as_uri()}"')
    cell = cell.replace("FOLDER", "ch03/01_main-chapter-code")
    lent = tmp_path / "content"
    lent.mkdir()
    no_pip = "import subprocess as s; real = s.run\n"  # its requirements are empty, pip is slow
    no_pip += "s.run = lambda command, **more: 'pip' in command or real(command, **more)\n"
    done = run_cell(no_pip + cell + "\n" + cell, lent, isolated=True)
    place, module = done.stdout.splitlines()[-2:]
    assert place == str(lent / "scratch-llm" / "ch03" / "01_main-chapter-code"), done.stderr
    assert module == str(lent / "scratch-llm" / "tools" / "for_notebooks.py")


def test_another_version_of_the_course_is_told_apart():
    with pytest.raises(FileNotFoundError, match="has no ch09/01.*another version"):
        enter("ch09/01_main-chapter-code")


def test_logs_tell_how_they_were_made(tmp_path, capsys):
    file = tmp_path / "log.jsonl"
    rows = [{"text": "a line\u2028that goes on"}, {"loss": 1.5}]
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    file.write_text("".join(lines), encoding="utf-8")
    assert read_log(file) == rows and capsys.readouterr().out == ""
    head = json.dumps({"command": "python make.py", "machine": "two cores"}) + "\n"
    file.write_text(head + "".join(lines), encoding="utf-8")
    assert read_log(file) == rows
    assert capsys.readouterr().out == "from the log of `python make.py`, made once on two cores\n\n"
