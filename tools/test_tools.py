"""Proves that the tools catch what they are there to catch, and let pass what is well.

The tests that start a kernel (one to three seconds each) carry the marker `notebook`.
"""

import base64
import json
import os
import signal
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import pytest
from nbformat import v4

from scratch_llm_tools import form, imports, measuring, notebooks, repository
from scratch_llm_tools.links import link_problems, links_in, markdown_anchors
from scratch_llm_tools.notebook_code import assert_same_code, notebook_definitions, plain_python
from scratch_llm_tools.notebooks import compare_exact, compare_outputs, compare_trained
from scratch_llm_tools.processes import ended, run_without

TOOL = Path(notebooks.__file__)
PACKAGES = "[tool.setuptools]\npackages = ['{}']\n[tool.setuptools.package-dir]\na = 'tools'\n"
ROOM = PACKAGES.format("a.room")
HOME = "/" + "home/someone/course"  # in two parts, because no file may hold such a path


def code(source, *outputs, tags=(), count=None):
    """A code cell; a str among the outputs is printed text."""
    outputs = [
        v4.new_output("stream", name="stdout", text=o) if isinstance(o, str) else o for o in outputs
    ]
    return v4.new_code_cell(
        source, outputs=outputs, execution_count=count, metadata={"tags": list(tags)}
    )


def markdown(text):
    return v4.new_markdown_cell(text)


def executed(*cells):
    """A normalised notebook of these cells, as if it had been executed."""
    return notebooks.normalise(v4.new_notebook(cells=list(cells)))


def save(path, *cells):
    """Store a normalised notebook and return its path."""
    notebooks.write(path, executed(*cells))
    return path


def stderr(text):
    return v4.new_output("stream", name="stderr", text=text)


def shown(data, kind="display_data", **metadata):
    return v4.new_output(kind, data=data, metadata=metadata)


# -------------------------------------------------------------------------------------------------
# Comparing texts
# -------------------------------------------------------------------------------------------------

EQUAL = [
    ("loss 1.5000", "loss 1.5014"),  # 0.1 %
    ("[[ 0.9990, -2.0]]", "[[ 1.0003, -2.0]]"),
    ("a  b   1.5", "a b 1.5"),  # columns
    ("| 9.995 |", "|10.004 |"),  # a wider number takes the blank
    ("maximum difference 1.2e-07", "maximum difference 0.0"),
    ("maximum difference 3e-08", "maximum difference 9.5e-05"),
    ("[-0.00001]", "[ 0.00001]"),  # noise changes its sign
    ("tensor([1., 0.])", "tensor([1.0000, 0.0000])"),
    ("cost −1.5 ± .25", "cost -1.5 ± 0.25"),
    ("1,024.5 bytes", "1,024.9 bytes"),
    ("nan and -inf", "nan and -inf"),
    ("", ""),
]
DIFFERENT = [
    ("loss 1.500", "loss 1.506"),  # 0.4 %
    ("loss 1.5", "loss -1.5"),
    ("the cat", "the dog"),
    ("the cat 1.5", "the dog 1.5"),
    ("token 15496", "token 15497"),  # integers are equal or they are not
    ("124,439,808 parameters", "124,439,809 parameters"),
    ("shape (2, 3)", "shape (2, 3, 1)"),
    ("gpt2", "gpt3"),  # a name, no number
    ("640x480", "640x481"),
    ("0.00002", "0.0002"),  # only one of them is tiny
    ("1.0", "nan"),
    ("one\ntwo", "one"),
    ("one", "one\ntwo"),
    ("12", "1 2"),
]


@pytest.mark.parametrize(("stored", "fresh"), EQUAL)
def test_equal_texts(stored, fresh):
    assert compare_exact(stored, fresh) is None
    assert compare_exact(fresh, stored) is None


@pytest.mark.parametrize(("stored", "fresh"), DIFFERENT)
def test_different_texts(stored, fresh):
    assert compare_exact(stored, fresh) is not None
    assert compare_exact(fresh, stored) is not None


def test_a_difference_names_the_line_and_both_versions():
    difference = str(compare_exact("first\nloss 1.50", "first\nloss 1.60"))
    assert "line 2" in difference and "6.25%" in difference
    assert "stored: loss 1.50" in difference and "fresh:  loss 1.60" in difference


TRAINED_EQUAL = [
    ("step 10  loss 2.00", "step 10  loss 2.15"),  # 7 %
    ("87 of 100 right", "92 of 100 right"),
    ("loss 2.0\nThe fox has 3 eggs.", "loss 2.1\nA hen slept."),  # a sample that the model wrote
    ("once upon", "a time"),
    ("step 1 loss 4.0\nstep 2 loss 2.0", "step 1 loss 4.2\nstep 2 loss 1.9"),
]
TRAINED_DIFFERENT = [
    ("loss 2.00", "loss 2.50"),
    ("step 1 loss 4.0\nstep 2 loss 2.0", "step 1 loss 4.0\nstep 2 loss 3.0"),
    ("loss 2.0\nloss 1.0", "loss 2.0"),  # a step is missing
    ("train loss 2.0", "validation loss 2.0"),  # nothing is left to compare
    ("loss 2.0", ""),
]


@pytest.mark.parametrize(("stored", "fresh"), TRAINED_EQUAL)
def test_trained_texts_that_agree(stored, fresh):
    assert compare_trained(stored, fresh) is None


@pytest.mark.parametrize(("stored", "fresh"), TRAINED_DIFFERENT)
def test_trained_texts_that_do_not(stored, fresh):
    assert compare_trained(stored, fresh) is not None


def test_pictures_are_compared_by_presence():
    one, other = (
        shown({"image/png": pixels, "text/plain": "<Figure>"}) for pixels in ("AAAA", "BBBB")
    )
    assert compare_outputs([one], [other]) is None
    assert compare_outputs([one], [other], compare_trained) is None
    gone = compare_outputs([one], [shown({"text/plain": "<Figure>"})])
    assert "image/png" in gone.stored and "image/png" not in gone.fresh
    assert compare_outputs([one], []) is not None
    assert compare_outputs([one], [one, one], compare_trained) is not None


def test_tables_and_errors_are_compared_as_text():
    tables = [[shown({"text/html": f"<td>{value}</td>"})] for value in ("0.500", "0.501", "0.520")]
    assert compare_outputs(tables[0], tables[1]) is None
    assert compare_outputs(tables[0], tables[2]) is not None
    errors = [
        [v4.new_output("error", ename=name, evalue="no", traceback=[])]
        for name in ("KeyError", "ValueError")
    ]
    assert compare_outputs(errors[0], errors[0]) is None
    assert compare_outputs(errors[0], errors[1]) is not None


def changed_cells(*pairs):
    """Which of the cells (tags, stored text, fresh text) are reported, counted from 1."""
    stored, fresh = (
        executed(*(code("print()", pair[side], tags=pair[0]) for pair in pairs)) for side in (1, 2)
    )
    return [int(problem.split()[1]) for problem in notebooks.compare_notebooks(stored, fresh)]


def test_tags_choose_how_a_cell_is_compared(monkeypatch):
    monkeypatch.setattr(notebooks, "AVAILABLE", {"sms": lambda: True, "smollm2": lambda: False})
    small, large, words = ("loss 2.0", "loss 2.1"), ("loss 2.0", "loss 3.0"), ("one", "two")
    changes = [
        ((), *small),
        (["trained"], *small),
        (["trained"], *large),
        (["random-output"], *words),
        (["needs:sms"], *words),
        (["needs:smollm2"], *words),
        (["needs:sms", "trained"], *small),
        (["trained", "needs:smollm2"], *large),
    ]
    assert changed_cells(*changes) == [1, 3, 5]


# -------------------------------------------------------------------------------------------------
# Normalising, reading, writing
# -------------------------------------------------------------------------------------------------


def png(*chunks):
    """A PNG file with the given chunks, as base64."""
    packed = [
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    ]
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"".join(packed)).decode()


def test_a_png_keeps_its_picture_and_loses_its_text():
    picture = [(b"IHDR", b"0" * 13), (b"pHYs", b"1" * 9), (b"IDAT", b"pixels"), (b"IEND", b"")]
    described = [
        picture[0],
        (b"tEXt", b"Software\0plotter 3"),
        *picture[1:3],
        (b"tIME", b"1234567"),
        picture[3],
    ]
    assert notebooks.strip_png(png(*described)) == png(*picture)
    assert notebooks.strip_png(png(*picture)) == png(*picture)


def test_outputs_are_normalised():
    widget = shown({notebooks.WIDGET_VIEW: {"model_id": "1f"}, "text/plain": "0%"})
    table = shown(
        {"text/html": "<b>"},
        **{"image/png": {"width": 300, "needs_background": "light"}, "other": 1},
    )
    error = v4.new_output("error", ename="ValueError", evalue="no", traceback=[f"{HOME}/gpt.py"])
    text = [
        v4.new_output("stream", name="stdout", text=part)
        for part in ("one\n", "two\r\n", "3 %\r100 %\n")
    ]
    result = shown({"text/plain": "7"}, "execute_result")
    got = notebooks.normalise_outputs(
        [text[0], stderr("warning"), *text[1:], widget, table, error, result], 5
    )
    assert [notebooks.kinds_of(output) for output in got] == [
        "stdout",
        "text/html",
        "error",
        "text/plain",
    ]
    assert got[0].text == "one\ntwo\n100 %\n"
    assert got[1].metadata == {"image/png": {"width": 300}}
    assert got[2].traceback == ["ValueError: no"]
    assert got[3].execution_count == 5


def test_a_notebook_is_normalised():
    first, empty, last = (
        code("1", count=7),
        code("  ", "left over", count=8),
        code("2", count=9, tags=["trained"]),
    )
    first.metadata.update(scrolled=True, ExecuteTime={"start": "now"})
    nb = v4.new_notebook(
        cells=[markdown("# Title"), first, empty, last],
        metadata={"kernelspec": {"name": "conda-env", "display_name": "mine"}, "colab": {}},
    )
    ids = [cell.id for cell in nb.cells]
    notebooks.normalise(nb)
    assert [cell.get("execution_count") for cell in nb.cells] == [None, 1, None, 2]
    assert [cell.id for cell in nb.cells] == ids
    assert nb.cells[1].metadata == {"tags": []} and nb.cells[3].metadata == {"tags": ["trained"]}
    assert nb.cells[2].outputs == []
    assert nb.metadata.kernelspec.name == "python3" and "version" not in nb.metadata.language_info
    assert set(nb.metadata) == {"kernelspec", "language_info"}


def test_missing_cell_ids_are_filled_in_the_same_way_each_time(tmp_path):
    path = tmp_path / "old.ipynb"
    cells = [{"cell_type": "markdown", "metadata": {}, "source": [word]} for word in "ab"]
    path.write_text(
        json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 4})
    )
    ids = [[cell.id for cell in notebooks.normalise(notebooks.read(path)).cells] for _ in range(2)]
    assert ids[0] == ids[1] and len(set(ids[0])) == 2


WRONG_CELLS = '{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": 3}'


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"nbformat": 3}', WRONG_CELLS])
def test_what_is_no_notebook_is_refused_in_one_sentence(tmp_path, text):
    path = tmp_path / "broken.ipynb"
    path.write_text(text)
    with pytest.raises(notebooks.NotebookError, match="broken.ipynb"):
        notebooks.read(path)
    assert notebooks.check_notebook(path).problems and notebooks.run_notebook(path).problems
    assert path.read_text() == text


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = save(tmp_path / "a.ipynb", code("1"))
    before = path.read_bytes()

    def full(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="disk full"):
        notebooks.write(path, executed(code("2")))
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_writing_keeps_every_byte_of_what_was_read(tmp_path):
    cells = [
        markdown("Ümlaut\n\n| a |"),
        code("print(1)", "1\n"),
        code("2", shown({"text/plain": "2"})),
    ]
    path = save(tmp_path / "a.ipynb", *cells)
    before = path.read_bytes()
    notebooks.write(path, notebooks.normalise(notebooks.read(path)))
    assert path.read_bytes() == before


# -------------------------------------------------------------------------------------------------
# The stored notebook, the files, what is at hand
# -------------------------------------------------------------------------------------------------


def test_a_well_stored_notebook_has_no_problem():
    error = v4.new_output("error", ename="ValueError", evalue="no", traceback=[])
    nb = executed(
        markdown("# Title"),
        code("1", "1\n"),
        code(""),
        code("raise", error, tags=["raises-exception"]),
    )
    assert notebooks.stored_problems(nb) == []


def break_order(nb):
    nb.cells[1].execution_count = 1


def break_count(nb):
    nb.cells[0].execution_count = None


def break_tag(nb):
    nb.cells[0].metadata.tags = ["needs:gpu"]


def break_error(nb):
    nb.cells[0].outputs = [v4.new_output("error", ename="KeyError", evalue="'x'", traceback=[])]


def break_stderr(nb):
    nb.cells[0].outputs = [stderr("UserWarning: deprecated")]


def break_form(nb):
    nb.cells[1].metadata.scrolled = True


def break_metadata(nb):
    nb.metadata.language_info.version = "3.12.1"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (break_order, "cell 2 (In [2]) was executed as 1"),
        (break_count, "cell 1 (In [1]) was not executed"),
        (break_tag, "needs:smollm2"),
        (break_error, "KeyError: 'x'"),
        (break_stderr, "UserWarning"),
        (break_form, "cell 2 (In [2]): metadata"),
        (break_metadata, "the notebook's metadata"),
    ],
)
def test_a_badly_stored_notebook_is_caught_without_running_it(
    tmp_path, monkeypatch, damage, message
):
    monkeypatch.setattr(notebooks, "execute", None)
    nb = executed(code("1", "1\n"), code("2"))
    assert notebooks.stored_problems(nb) == []
    damage(nb)
    notebooks.write(tmp_path / "a.ipynb", nb)
    assert message in "\n".join(notebooks.check_notebook(tmp_path / "a.ipynb").problems)


def test_an_unknown_tag_is_refused_before_running(tmp_path, monkeypatch):
    monkeypatch.setattr(notebooks, "execute", None)
    path = save(tmp_path / "a.ipynb", code("1", tags=["slow"]))
    (problem,) = notebooks.run_notebook(path).problems
    assert "'slow'" in problem and all(
        tag in problem for tag in ("trained", "random-output", "needs:sms")
    )


def test_data_is_found_where_it_lies(tmp_path, monkeypatch):
    monkeypatch.setattr(notebooks, "ROOT", tmp_path / "clone")
    monkeypatch.setenv("SCRATCH_LLM_DATA", str(tmp_path / "data"))
    assert not notebooks.sms_at_hand() and not notebooks.smollm2_at_hand()
    for path in (
        "data/sms_spam_collection/SMSSpamCollection",
        "clone/data/a/b/SmolLM2-135M-Instruct.Q4_1.gguf",
    ):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text("")
    assert notebooks.sms_at_hand() and notebooks.smollm2_at_hand()
    monkeypatch.delenv("SCRATCH_LLM_DATA")
    assert not notebooks.sms_at_hand() and notebooks.smollm2_at_hand()


def tree(root, files):
    """Make files below a folder, {path: text or cells}, and return their paths, sorted."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            path.write_text(content, encoding="utf-8")
        else:
            save(path, *content)
    return sorted(root / name for name in files)


def names(paths, root):
    return [path.relative_to(root).as_posix() for path in paths]


def test_a_copy_without_git_is_taken_whole_but_for_downloads_and_caches(tmp_path):
    tree(
        tmp_path,
        dict.fromkeys(
            [
                "README.md",
                "ch02/a.py",
                "ch05/data/kept.txt",
                ".github/w.yml",
                ".gitignore",
                "data/big.txt",
                "runs/a/log",
                "ch02/__pycache__/a.pyc",
                ".venv/lib.py",
                "ch02/.ipynb_checkpoints/a.ipynb",
                "x.egg-info/PKG",
            ],
            "text",
        ),
    )
    assert names(notebooks.repository_files(tmp_path), tmp_path) == [
        ".github/w.yml",
        ".gitignore",
        "README.md",
        "ch02/a.py",
        "ch05/data/kept.txt",
    ]


def test_in_a_clone_what_git_tracks_counts(tmp_path):
    tree(tmp_path, {"a.ipynb": [code("1")], "b.ipynb": [code("1")], "gone.ipynb": [code("1")]})
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    subprocess.run(["git", "-C", str(tmp_path), "add", "a.ipynb", "gone.ipynb"], check=True)
    (tmp_path / "gone.ipynb").unlink()
    assert names(notebooks.find_notebooks(root=tmp_path), tmp_path) == ["a.ipynb"]
    assert names(notebooks.find_notebooks([tmp_path]), tmp_path) == ["a.ipynb", "b.ipynb"]


def test_wrong_usage_is_one_line(tmp_path, capsys):
    tree(tmp_path, {"script.py": ""})
    for path, message in (("missing.ipynb", "no such notebook"), ("script.py", "no .ipynb file")):
        assert notebooks.main(["check", str(tmp_path / path)]) == 2
        assert message in capsys.readouterr().err


def test_help_loads_nothing_that_is_slow(tmp_path):
    shown_help = run_without(
        tmp_path / "none", TOOL, "--help", packages=("nbclient", "nbformat", "numpy")
    )
    assert shown_help.returncode == 0 and "needs:smollm2" in shown_help.stdout
    refused = run_without(tmp_path / "none", "-c", "import nbformat", packages=("nbformat",))
    assert refused.returncode == 1 and "nbformat was loaded" in refused.stderr


@pytest.mark.parametrize(("code", "status", "err"), [("one line", 1, "one line\n"), (130, 130, "")])
def test_what_a_script_ends_with_is_seen_in_this_process(capsys, code, status, err):
    def call():
        print("out")
        sys.exit(code)

    assert ended(capsys, call) == (status, "out\n", err)
    with pytest.raises(AssertionError, match="did not say"):
        ended(capsys, lambda: None)


def test_what_is_measured_is_told_and_fails_nothing():
    with measuring.CpuTime() as cost:
        sum(number * number for number in range(3_000_000))
    assert cost.seconds > 0 and measuring.reference_product() > 0
    assert "12.0 CPU seconds, within the budget of 60; " in measuring.measured_line("a", 12, 60)
    assert "72.0 CPU seconds, over the budget of 60; " in measuring.measured_line("a", 72, 60)
    assert "budget" not in measuring.measured_line("a", 72)


def test_budgets_follow_the_chapters():
    from scratch_llm_tools.test_notebooks import budget

    assert budget("ch03/01_main-chapter-code/ch03.ipynb") == 60
    assert budget("ch05/01_main-chapter-code/ch05.ipynb") == 300
    assert budget("ch05/01_main-chapter-code/exercise-solutions.ipynb") == 120
    assert budget("ch03/01_main-chapter-code/exercise-solutions.ipynb") == 60
    assert (
        budget("ch06/02_bonus_additional/x.ipynb") == 120
        and budget("ch04/02_bonus_kv/x.ipynb") == 60
    )
    assert budget("ch07/01_main-chapter-code/load-finetuned-model.ipynb") == 60


# -------------------------------------------------------------------------------------------------
# With a kernel
# -------------------------------------------------------------------------------------------------

WHERE = """
import os, sys
import chapter_of_this_clone
print(os.path.samefile(sys.executable, os.environ["EXPECTED_PYTHON"]), os.path.basename(os.getcwd()), hash("text"))
"""
FIGURE = """
import matplotlib.pyplot as plt
plt.plot([1, 2]);
"""


@pytest.mark.notebook
def test_executing_twice_gives_the_same_bytes_and_passes_the_check(tmp_path, monkeypatch):
    # Another kernel is registered under the name python3, another plotting backend is chosen,
    # nothing is installed.
    kernel = {
        "argv": ["no-such-python", "-f", "{connection_file}"],
        "display_name": "other",
        "language": "python",
    }
    register = "import sys, types\nsys.modules['chapter_of_this_clone'] = types.ModuleType('chapter_of_this_clone')\n"
    tree(
        tmp_path, {"share/kernels/python3/kernel.json": json.dumps(kernel), "conftest.py": register}
    )
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "share"))
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.setenv("EXPECTED_PYTHON", sys.executable)
    monkeypatch.setattr(notebooks, "ROOT", tmp_path)

    cells = [
        markdown("# Title"),
        code(WHERE),
        code(FIGURE),
        code(""),
        code("{'b': 0.5}"),
        code("raise ValueError('on purpose')", tags=["raises-exception"]),
        code(
            "from tqdm import tqdm\nfor i in tqdm(range(3)):\n    print(i, flush=True)\n!python --version"
        ),
    ]
    (path,) = tree(tmp_path, {"ch02/a.ipynb": cells})
    assert notebooks.run_notebook(path).problems == []
    first = path.read_bytes()
    assert notebooks.run_notebook(path).problems == []
    assert path.read_bytes() == first
    assert notebooks.check_notebook(path).problems == []
    assert path.read_bytes() == first

    nb = notebooks.read(path)
    assert [cell.get("execution_count") for cell in nb.cells] == [None, 1, 2, None, 3, 4, 5]
    assert nb.cells[1].outputs[0].text.startswith("True ch02 ")
    assert "image/png" in nb.cells[2].outputs[0].data
    assert nb.cells[5].outputs[0].traceback == ["ValueError: on purpose"]
    assert (
        nb.cells[6].outputs[0].text.startswith("0\n1\n2\nPython 3.")
        and len(nb.cells[6].outputs) == 1
    )


@pytest.mark.notebook
def test_the_check_names_each_cell_whose_output_changed(tmp_path, capsys):
    loss = "print('loss 2.000')"
    cells = [
        code(loss, "loss 2.002\n"),
        code(loss, "loss 2.200\n"),
        code(loss, "cost 2.000\n"),
        code(loss, "loss 2.100\n", tags=["trained"]),
        code(loss, "loss 4.000\n", tags=["trained"]),
        code(loss, "anything", tags=["random-output"]),
        code(loss),
    ]
    path = save(tmp_path / "a.ipynb", *cells)
    before = path.read_bytes()
    assert notebooks.main(["check", str(path)]) == 1
    printed = capsys.readouterr().out
    assert [number for number in range(1, 8) if f"cell {number} " in printed] == [2, 3, 5, 7]
    assert "stored: loss 2.200" in printed and "fresh:  loss 2.000" in printed
    assert path.read_bytes() == before


@pytest.mark.notebook
def test_stderr_is_dropped_by_run_and_caught_by_check(tmp_path):
    path = save(tmp_path / "a.ipynb", code("import warnings\nwarnings.warn('old')\nprint('done')"))
    report = notebooks.run_notebook(path)
    assert report.problems == [] and "old" in report.notes[0]
    assert [output.name for output in notebooks.read(path).cells[0].outputs] == ["stdout"]
    (problem,) = notebooks.check_notebook(path).problems
    assert "cell 1 (In [1]) writes to stderr" in problem and "old" in problem


@pytest.mark.notebook
@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("raise KeyError('vocab')", "cell 2 (In [2]) raised KeyError: 'vocab'"),
        ("import time; time.sleep(60)", "cell 2 (In [2]) ran longer than 1 s"),
        ("import os; os._exit(1)", "cell 2 (In [2]) killed the kernel"),
    ],
)
def test_a_cell_that_fails_leaves_the_file_and_fails_both_commands(tmp_path, source, message):
    path = save(tmp_path / "a.ipynb", code("print(1)"), code(source))
    before = path.read_bytes()
    command = notebooks.check_notebook if "KeyError" in source else notebooks.run_notebook
    assert message in command(path, timeout=1).problems[0]
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


@pytest.mark.notebook
@pytest.mark.skipif(os.name != "posix", reason="signals are sent")
@pytest.mark.parametrize(
    ("sent", "status"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_a_run_that_is_ended_leaves_the_file(tmp_path, sent, status):
    waits = "open('started', 'w').close()\nimport time\ntime.sleep(120)"
    paths = [save(tmp_path / name, code(waits)) for name in ("a.ipynb", "b.ipynb")]
    before = [path.read_bytes() for path in paths]
    run = subprocess.Popen(
        [sys.executable, str(TOOL), "run", *map(str, paths)], stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "started").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    (tmp_path / "started").unlink()
    run.send_signal(sent)
    said = run.communicate(timeout=60)[1]
    assert run.returncode == status
    assert sent == signal.SIGKILL or "interrupted" in said and "Traceback" not in said
    assert [path.read_bytes() for path in paths] == before
    assert names(sorted(tmp_path.iterdir()), tmp_path) == [
        "a.ipynb",
        "b.ipynb",
    ]  # nor was the second one begun


# -------------------------------------------------------------------------------------------------
# The same code in notebook and module
# -------------------------------------------------------------------------------------------------

MODULE = '''
class Norm(Base):
    """A norm."""

    @torch.no_grad()
    def forward(self, x: int, eps=1e-5) -> float:
        """Doubles."""
        return x * 2  # why
'''
CELL = """%matplotlib inline
class Norm:
    # plain
    def forward(self, x: int, eps=1e-5) -> float:
        return (x*2)
"""


def code_pair(folder, *cells, module=MODULE):
    """A notebook with these cells and a module, as paths."""
    return save(folder / "ch.ipynb", *map(code, cells)), tree(folder, {"gpt.py": module})[0]


def test_docstrings_comments_bases_and_decorators_do_not_count(tmp_path):
    assert_same_code(*code_pair(tmp_path, CELL), ["Norm"])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("(x*2)", "(x*3)"),
        ("1e-5", "1e-6"),
        ("-> float", "-> int"),
        ("x: int", "x"),
        ("return", "x = x\n        return"),
    ],
)
def test_any_other_change_counts(tmp_path, old, new):
    assert old in CELL
    with pytest.raises(AssertionError, match="Norm differs") as failure:
        assert_same_code(*code_pair(tmp_path, CELL.replace(old, new)), ["Norm"])
    changed = [line for line in str(failure.value).splitlines() if line.startswith("+  ")]
    assert changed and changed[0][1:] + "\n" not in MODULE


def test_the_last_definition_counts(tmp_path):
    wrong = CELL.replace("x*2", "x*3")
    assert_same_code(*code_pair(tmp_path, wrong, CELL), ["Norm"])
    with pytest.raises(AssertionError, match="Norm differs"):
        assert_same_code(*code_pair(tmp_path, CELL, wrong), ["Norm"])


def test_a_name_that_is_missing_is_an_error_and_so_is_no_name(tmp_path):
    pair = code_pair(tmp_path, CELL)
    with pytest.raises(AssertionError, match="GELU is not defined"):
        assert_same_code(*pair, ["Norm", "GELU"])
    for nothing in ([], "Norm"):
        with pytest.raises(ValueError, match="at least one name"):
            assert_same_code(*pair, nothing)


def test_names_functions_and_magics_in_a_notebook(tmp_path):
    cells = [
        code("%%bash\nls |"),
        code("%%time\nx = 1"),
        code("!pip list\ny: int = (7\n  % 4)"),
        markdown("def g"),
        code("def f(:", tags=["raises-exception"]),
        code("async def f():\n    !ls\na = b = 2"),
    ]
    path = save(tmp_path / "a.ipynb", *cells)
    assert sorted(notebook_definitions(path)) == ["a", "b", "f", "x", "y"]
    assert plain_python("if x:\n    %time y") == "if x:\n    pass"


def test_broken_python_in_a_notebook_names_the_cell(tmp_path):
    path = save(tmp_path / "a.ipynb", code("x = 1"), code("def f(:"))
    with pytest.raises(ValueError, match="cell 2"):
        notebook_definitions(path)


# -------------------------------------------------------------------------------------------------
# Links
# -------------------------------------------------------------------------------------------------

LINKED = {
    "ch02/README.md": "# What's new?\n\n## The `mask` in *use*\n",
    "ch02/figures/a b.svg": "<svg/>",
    "ch02/ch02.ipynb": [markdown("## Why divide by d?"), markdown('<a id="here"></a>')],
}
GOOD_LINKS = [
    "[text](ch02/README.md)",
    "[folder](ch02)",
    "[a](ch02/README.md#whats-new)",
    "[b](ch02/README.md#the-mask-in-use)",
    "[web](https://example.org/x)",
    "[mail](mailto:a@b.c)",
    "[top](#title)",
    '[t](ch02/README.md "with a title")',
    "[text][ref]\n\n[ref]: ch02/README.md",
    "[n](ch02/ch02.ipynb#Why-divide-by-d?)",
    "[n](ch02/ch02.ipynb#here)",
    "![p](ch02/figures/a%20b.svg)",
    "![p](<ch02/figures/a%20b.svg>)",
    "[![p](ch02/figures/a%20b.svg)](ch02/README.md)",
    '<img src="ch02/figures/a%20b.svg" width="300">',
    "![d](data:image/png;base64,AAAA)",
    "`[code](nowhere.md)`",
    "```\n[code](nowhere.md)\n```",
    "$f[i](x)$",
    "<!-- [later](nowhere.md) -->",
]
BAD_LINKS = [
    "[text](nowhere.md)",
    "[nothing]()",
    "[up](../other/README.md)",
    "[case](ch02/readme.md)",
    "[x](/ch02/README.md)",
    "[data](data/download.txt)",
    "| [a](ch02/README.md) | [b](nowhere.md) |",
    "[two\nlines](nowhere.md)",
    "[a](ch02/README.md#nothing)",
    "[top](#nothing)",
    "[n](ch02/ch02.ipynb#why-divide)",
    '<a href="nowhere.md">x</a>',
    "[text][ref]\n\n[ref]: nowhere.md",
    "![p][ref]\n\n[ref]: https://example.org/p.png",
    "![p](ch02/figures/b.svg)",
    "[![p](ch02/figures/b.svg)](ch02/README.md)",
    "[![p](ch02/figures/a%20b.svg)](nowhere.md)",
    "![p](https://example.org/p.png)",
    '<img src="https://example.org/p.png">',
]


def links_problems_of(text, root):
    tree(root, {"data/download.txt": "not part of the repository"})
    return link_problems(root, tree(root, {**LINKED, "README.md": f"# Title\n\n{text}\n"}))


@pytest.mark.parametrize("text", GOOD_LINKS)
def test_links_that_lead_somewhere(tmp_path, text):
    assert links_problems_of(text, tmp_path) == []


@pytest.mark.parametrize("text", BAD_LINKS)
def test_links_that_lead_nowhere(tmp_path, text):
    (problem,) = links_problems_of(text, tmp_path)
    assert problem.startswith("README.md, line ")


def test_a_dead_link_in_a_notebook_is_placed(tmp_path):
    files = tree(
        tmp_path,
        {"ch02/a.ipynb": [code("# [x](nowhere.md)"), markdown("ok\n\n![p](figures/none.svg)")]},
    )
    (problem,) = link_problems(tmp_path, files)
    assert (
        problem.startswith("ch02/a.ipynb, cell 2, line 3: ")
        and "figures/none.svg does not exist" in problem
    )


def test_headings_in_code_are_no_anchors():
    assert markdown_anchors("# A\n```\n# B\n```\n# A") == {"a", "a-1"}
    assert [link.line for link in links_in("one\n\n[a](b)\n```\n[c](d)\n```\n[e](f)")] == [3, 7]


# -------------------------------------------------------------------------------------------------
# The rules of the repository
# -------------------------------------------------------------------------------------------------

DOOR = '''"""What chapter 5 uses."""
try:
    from ch04_01_main_chapter_code.gpt import GPT
except ImportError as error:
    if not (error.name or "").startswith("ch0"):
        raise
    raise ImportError("install the project") from None
__all__ = ["GPT"]
'''


def rule_problems(rule, root, files):
    home = next(home for home in (repository, form, imports) if hasattr(home, rule))
    return getattr(home, rule)(root, tree(root, files))


def main_code(chapter, name):
    return f"ch0{chapter}/01_main-chapter-code/{name}"


LATER, LAZILY = (
    "from ch05_01_main_chapter_code import x",
    "def f():\n    from ch05_01_main_chapter_code import x",
)
CHECKPOINT, WEIGHTS = main_code(4, "checkpoint.py"), main_code(5, "tales-gpt/model.safetensors")
PRIVATE = "def main(): pass\ndef _f(): pass\nx = 1"

# (rule, {file: content} that it passes, {file: content} in which it finds one offence; {} where
# there is no such side)
RULES = [
    (
        "door_problems",
        {"ch05/previous_chapters.py": DOOR},
        {"ch05/previous_chapters.py": DOOR + "def f(): pass"},
    ),
    ("door_problems", {}, {"ch05/previous_chapters.py": DOOR + "x = 1"}),
    (
        "door_problems",
        {},
        {"ch05/previous_chapters.py": DOOR.replace("        raise", "        GPT = None")},
    ),
    (
        "door_problems",
        {},
        {"ch05/previous_chapters.py": DOOR.replace("except Import", "except Key")},
    ),
    (
        "door_problems",
        {},
        {"ch05/previous_chapters.py": DOOR.replace("__all__", "else:\n    x = 1\n__all__")},
    ),
    (
        "import_problems",
        {"ch05/02_bonus/a.py": "import ch04_01_main_chapter_code.gpt"},
        {"ch04/02_bonus/a.py": LAZILY},
    ),
    ("import_problems", {CHECKPOINT: LAZILY}, {CHECKPOINT: LATER}),
    ("import_problems", {}, {CHECKPOINT: LAZILY.replace("ch05", "ch06")}),
    ("import_problems", {}, {main_code(4, "gpt.py"): LAZILY}),
    ("import_problems", {}, {"ch04/a.py": "import_module('ch05_01_main_chapter_code.x')"}),
    (
        "import_problems",
        {main_code(5, "a.py"): "from ch05_01_main_chapter_code.previous_chapters import GPT"},
        {},
    ),
    (
        "home_problems",
        {main_code(2, "a.py"): "class A: pass", main_code(3, "a.py"): "class B: pass"},
        {main_code(2, "a.py"): "class A: pass", main_code(3, "a.py"): "class A: pass"},
    ),
    (
        "home_problems",
        {main_code(2, "a.py"): PRIVATE, main_code(2, "b.py"): PRIVATE},
        {main_code(2, "a.py"): "def f(): pass", main_code(2, "b.py"): "def f(): pass"},
    ),
    (
        "home_problems",
        {
            main_code(2, "a.py"): "class A: pass",
            main_code(2, "tests.py"): "class A: pass",
            main_code(2, "a.ipynb"): [code("class A: pass")],
            "ch02/02_b/a.py": "class A: pass",
            main_code(2, "figures/draw.py"): "class A: pass",
        },
        {},
    ),
    (
        "home_problems",
        {
            main_code(2, "room/a.py"): "def f(): pass",
            main_code(2, "room/test_a.py"): "def f(): pass",
        },
        {main_code(2, "room/a.py"): "def f(): pass", main_code(2, "b.py"): "def f(): pass"},
    ),
    (
        "cell_length_problems",
        {"a.ipynb": [code("x = 1\n" * 40)]},
        {"a.ipynb": [code("x = 1\n" * 41)]},
    ),
    ("size_problems", {"a.txt": "x" * 1_999_999}, {"a.txt": "x" * 2_000_000}),
    ("size_problems", {WEIGHTS: "x" * 7_000_000}, {WEIGHTS: "x" * 8_000_000}),
    (
        "package_problems",
        {"pyproject.toml": PACKAGES.format("a"), "tools/a.py": ""},
        {"pyproject.toml": PACKAGES.format("a")},
    ),
    ("package_problems", {}, {"pyproject.toml": PACKAGES.format("b"), "tools/a.py": ""}),
    (
        "package_problems",
        {"pyproject.toml": ROOM, "tools/b.py": "", "tools/room/c.py": ""},
        {"pyproject.toml": ROOM, "tools/b.py": ""},
    ),
    (
        "package_problems",
        {"pyproject.toml": ROOM, "tools/b.py": "import a.room.c", "tools/room/c.py": ""},
        {"pyproject.toml": PACKAGES.format("a"), "tools/b.py": "import a.room.c"},
    ),
    (
        "machine_path_problems",
        {"a.md": "~/course, /content, ../home/x, https://a.org/home/x, /tmp/x"},
        {"a.md": f"Look in {HOME}."},
    ),
    ("machine_path_problems", {"a.bin": f"\0{HOME}"}, {"a.py": "x = 'C:" + "\\\\Users\\\\me'"}),
    (
        "machine_path_problems",
        {"a.ipynb": [code("1", "fine\n")]},
        {"a.ipynb": [code("1", f"saved to {HOME}\n")]},
    ),
    (
        "command_problems",
        {
            "ch05/a.py": "",
            "ch05/README.md": "```bash\n$ python a.py\npython ch05/a.py\n```\npython b",
        },
        {"ch05/a.py": "", "ch05/README.md": "```bash\npip install x\npython b.py\n```"},
    ),
    (
        "command_problems",
        {"ch05/a.py": "", "README.md": "```\ncd ch05\npython a.py\npython -m pytest\n```"},
        {"ch05/a.py": "", "README.md": "```\ncd ch05\n```\n```\npython a.py\n```"},
    ),
    ("stored_notebook_problems", {"a.ipynb": [code("1")]}, {"a.ipynb": [code("1", tags=["slow"])]}),
    ("stored_notebook_problems", {}, {"a.ipynb": "no notebook"}),
]


COURSE = {
    "pyproject.toml": "[tool.setuptools.package-dir]\n"
    + "".join(f"ch0{n}_01_main_chapter_code = 'ch0{n}/01_main-chapter-code'\n" for n in (4, 5))
    + "ch05_05_bonus = 'ch05/05_bonus'\n"
}
INSIDE = "def f():\n    "
A_ASKS_B = "from ch05_01_main_chapter_code.tasks.b import x"
B_ASKS_A = "from ch05_01_main_chapter_code import a"
A, B = main_code(5, "a.py"), main_code(5, "tasks/b.py")
BONUS = "from ch05_05_bonus.llama import Llama"
DOOR5 = main_code(5, "previous_chapters.py")
USES = "from ch05_01_main_chapter_code.previous_chapters import GPT"
GPT_FILE, TORCH = main_code(4, "gpt.py"), "import torch\n"
TAKES_GPT = "from ch04_01_main_chapter_code.gpt import GPT"
SILENT = "x = [1,2]  # " + "fmt: skip"
ROOMS = {
    "ch05/01_main/a.py": "",
    "ch05/01_main/room/b.py": "",
    "ch05/README.md": "- `01_main/`: a\n",
}
RULES += [
    (
        "room_problems",
        {**ROOMS, "ch05/README.md": "- [`01_main/`](01_main): a\n  - `room/`: b\n"},
        ROOMS,
    ),
    ("line_problems", {"a.py": "x\n" * 99 + "y" * 120}, {"a.py": "x\n" * 98 + "y" * 120}),
    (
        "function_problems",
        {"a.py": "def f():\n" + "    x\n" * 44, "tests.py": "def f():\n" + "    x\n" * 45},
        {"a.py": "class A:\n  def f():\n" + "    x\n" * 45},
    ),
    ("silencing_problems", {"a.py": "x = 1  # the format: short"}, {"a.py": SILENT}),
    ("silencing_problems", {}, {"tests.py": "import a  # " + "NOQA: F401"}),
    (
        "load_circle_problems",
        {**COURSE, A: A_ASKS_B, B: INSIDE + B_ASKS_A},
        {**COURSE, A: A_ASKS_B, B: B_ASKS_A},
    ),
    (
        "circle_problems",
        {**COURSE, A: A_ASKS_B, B: "", main_code(5, "tests.py"): B_ASKS_A},
        {**COURSE, A: A_ASKS_B, B: INSIDE + B_ASKS_A},
    ),
    (
        "circle_problems",
        {**COURSE, CHECKPOINT: INSIDE + B_ASKS_A, A: "import ch04_01_main_chapter_code.checkpoint"},
        {**COURSE, "ch05/02_x/a.py": "import b", "ch05/02_x/b.py": INSIDE + "import a"},
    ),
    (
        "past_the_door_problems",
        {**COURSE, GPT_FILE: "", DOOR5: TORCH + DOOR, main_code(5, "room/a.py"): TORCH + USES},
        {**COURSE, GPT_FILE: TORCH, main_code(5, "room/a.py"): TAKES_GPT},
    ),
    (
        "past_the_door_problems",
        {
            **COURSE,
            GPT_FILE: "",
            DOOR5: TORCH + DOOR,
            A: DOOR,
            main_code(5, "tests.py"): TORCH + DOOR,
        },
        {**COURSE, GPT_FILE: "", A: TORCH + DOOR},
    ),
    (
        "past_the_door_problems",
        {**COURSE, GPT_FILE: "", DOOR5: TORCH + DOOR, A: USES},
        {**COURSE, GPT_FILE: TORCH, main_code(5, "a.ipynb"): [code("!ls\n" + DOOR)]},
    ),
    (
        "bonus_problems",
        {
            **COURSE,
            "ch05/05_bonus/llama.py": B_ASKS_A,
            main_code(5, "gpt_generate.py"): f"def llama_bonus():\n    {BONUS}",
        },
        {**COURSE, "ch05/05_bonus/llama.py": "", main_code(5, "gpt_generate.py"): INSIDE + BONUS},
    ),
    ("bonus_problems", {}, {**COURSE, "ch05/05_bonus/llama.py": "", A: BONUS}),
    (
        "unused_door_problems",
        {**COURSE, main_code(4, "gpt.py"): "", DOOR5: DOOR, "ch05/02_x/a.ipynb": [code(USES)]},
        {**COURSE, main_code(4, "gpt.py"): "", DOOR5: DOOR, A: "x = 'GPT'"},
    ),
]


def test_an_exception_that_offends_no_more_must_go(tmp_path):
    tree(tmp_path, {"a.py": "", "b.py": ""})
    allowed = {("a.py", "f"), ("b.py", "g"), ("of another tree.py", "h")}
    found = {("a.py", "f"): "f is long", ("a.py", "new"): "new is long"}
    messages = form.without(found, allowed, tmp_path)
    assert messages[0] == "new is long" and messages[1].startswith("b.py g is on the list")
    assert len(messages) == 2


@pytest.mark.parametrize(("rule", "good", "bad"), RULES)
def test_a_rule_passes_what_is_well_and_catches_what_is_not(tmp_path, monkeypatch, rule, good, bad):
    monkeypatch.setattr(imports, "CIRCLES", set())
    monkeypatch.setattr(imports, "BONUS_BEHIND_MAIN", set())
    assert rule_problems(rule, tmp_path / "good", good) == []
    assert len(rule_problems(rule, tmp_path / "bad", bad)) == bool(bad)
