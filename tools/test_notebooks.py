"""Executes every notebook of the repository: outputs as stored, and within the time that a reader
has.

The budgets are for two CPU cores; SCRATCH_LLM_TIME_FACTOR (default 2) stretches them on slower or
busy machines.
"""

import os
import re

import pytest

from scratch_llm_tools.notebooks import ROOT, check_notebook, find_notebooks

NOTEBOOKS = find_notebooks()
NAMES = [path.relative_to(ROOT).as_posix() for path in NOTEBOOKS]


def budget(name):
    """The seconds that a notebook may take, from its path relative to the root.

    The chapter itself: 60 in chapters 2 to 4, 300 in chapters 5 to 7. Solutions and bonus
    notebooks: 60, in chapters 5 to 7 120. Any other: 60.
    """
    chapter, late = re.match(r"ch0[1-7]", name), re.match(r"ch0[5-7]/", name)
    if chapter and re.fullmatch(rf"{chapter[0]}/01_main-chapter-code/{chapter[0]}\.ipynb", name):
        return 300 if late else 60
    aside = name.endswith("/exercise-solutions.ipynb") or re.match(r"ch0\d/\d\d_bonus", name)
    return 120 if late and aside else 60


def allowed_seconds(name):
    """The budget, stretched by SCRATCH_LLM_TIME_FACTOR."""
    return budget(name) * float(os.environ.get("SCRATCH_LLM_TIME_FACTOR", "2"))


if NOTEBOOKS:  # an empty parametrisation would be reported as a skipped test

    @pytest.mark.notebook
    @pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
    def test_notebook(path, capsys, record_property):
        name, report = path.relative_to(ROOT).as_posix(), check_notebook(path)
        record_property("seconds", round(report.seconds, 1))
        with capsys.disabled():
            print(f"\n{name}: {report.seconds:.0f} s, budget {budget(name)} s")
        assert not report.problems, "\n" + "\n".join(report.problems)
        assert report.seconds <= allowed_seconds(name), (
            f"{name} took {report.seconds:.0f} s; its budget is {budget(name)} s, here {allowed_seconds(name):.0f} s"
        )
