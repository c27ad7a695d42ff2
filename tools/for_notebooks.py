"""What the notebooks share and no chapter teaches: their first cell, and logs of runs that were
made once.

The first cell of every notebook is `FIRST_CELL` with the notebook's own folder, so that a notebook
works wherever its kernel starts: in its folder, elsewhere in the course, elsewhere on a machine
where the course is installed, or on Colab and Kaggle, where it fetches the course. Its metadata
collapse it in JupyterLab and Colab; VS Code keeps no such thing in a notebook's file.
`python tools/for_notebooks.py` writes it into all notebooks.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

FIRST_CELL = """\
# @title Find the course; on Colab and Kaggle, fetch it
REPOSITORY = ""  # only there: the address of your copy of the course, ending in .git

import runpy
import subprocess
from pathlib import Path

around = [Path.cwd(), *Path.cwd().parents, Path("scratch-llm").resolve()]
found = [place for place in around if (place / "tools/for_notebooks.py").exists()]
if REPOSITORY and not found:
    subprocess.run(["git", "clone", "--depth", "1", REPOSITORY, "scratch-llm"], check=True)
    found = around[-1:]
for course in found[:1]:
    runpy.run_path(str(course / "conftest.py"))  # this copy, even where another one is installed
try:
    from scratch_llm_tools.for_notebooks import enter
except ModuleNotFoundError:
    raise FileNotFoundError(f"the course is neither around {Path.cwd()} nor installed: start "
        "Jupyter in its folder, or give the address of your copy as REPOSITORY") from None
enter("FOLDER", REPOSITORY)"""
COLLAPSED = {"cellView": "form", "jupyter": {"source_hidden": True}}


def enter(folder, fetched=""):
    """Bring the kernel into a notebook's folder, such as "ch03/01_main-chapter-code", and make the
    modules there importable.

    `fetched`: not empty on a machine that was lent; what the course needs is installed there.
    Raises FileNotFoundError where the course that was found has no such folder.
    """
    place, before = ROOT / folder, Path.cwd()
    if not place.is_dir():
        raise FileNotFoundError(f"the course in {ROOT} has no {folder}: is it another version?")
    if fetched:
        install = [sys.executable, "-m", "pip", "install", "-q", "-r", "requirements.txt"]
        subprocess.run(install, cwd=ROOT, check=True)
    os.chdir(place)
    sys.path[:] = [str(place), *(entry for entry in sys.path if entry != str(place))]
    if not before.samefile(place):
        print(f"This notebook works in {place}, where its files lie.")


def read_log(file):
    """The rows of a log, one dictionary for each line. Where the first line tells how the log was
    made, it is printed and is no row.
    """
    rows = [json.loads(line) for line in Path(file).read_text(encoding="utf-8").split("\n") if line]
    if "command" in rows[0]:
        print(f"from the log of `{rows[0]['command']}`, made once on {rows[0]['machine']}\n")
        rows = rows[1:]
    return rows


def first_cell(notebook):
    """The source of the first code cell of the notebook with this path."""
    folder = Path(notebook).resolve().parent.relative_to(ROOT).as_posix()
    return FIRST_CELL.replace("FOLDER", folder)


def write_first_cells():
    """Write the first cell into every notebook of the course that has another one."""
    from scratch_llm_tools.notebooks import find_notebooks, normalise, read, write

    for path in find_notebooks():
        nb = read(path)
        cell = next(cell for cell in nb.cells if cell.cell_type == "code")
        if (cell.source, dict(cell.metadata)) != (first_cell(path), COLLAPSED):
            cell.source, cell.metadata = first_cell(path), COLLAPSED
            write(path, normalise(nb))


if __name__ == "__main__":
    write_first_cells()
