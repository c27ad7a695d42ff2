"""Executes every notebook of the repository: outputs as stored. What each costs is measured, and
told at the end beside its budget; on a slow or busy machine nothing fails by that.

The budgets are in seconds of the processor, on two cores of a laptop.
"""

import re

import pytest

from scratch_llm_tools.measuring import measured_line
from scratch_llm_tools.notebooks import ROOT, check_notebook, find_notebooks

NOTEBOOKS = find_notebooks()
NAMES = [path.relative_to(ROOT).as_posix() for path in NOTEBOOKS]


def budget(name):
    """The CPU seconds that a notebook may take, from its path relative to the root.

    The chapter itself: 60 in chapters 2 to 4, 300 in chapters 5 to 7. Solutions and bonus
    notebooks: 60, in chapters 5 to 7 120. Any other: 60.
    """
    chapter, late = re.match(r"ch0[1-7]", name), re.match(r"ch0[5-7]/", name)
    if chapter and re.fullmatch(rf"{chapter[0]}/01_main-chapter-code/{chapter[0]}\.ipynb", name):
        return 300 if late else 60
    aside = name.endswith("/exercise-solutions.ipynb") or re.match(r"ch0\d/\d\d_bonus", name)
    return 120 if late and aside else 60


def cases():
    """The notebooks, each with its budget, by which long ones are begun first."""
    return [
        pytest.param(path, id=name, marks=pytest.mark.notebook(seconds=budget(name)))
        for path, name in zip(NOTEBOOKS, NAMES, strict=True)
    ]


if NOTEBOOKS:  # an empty parametrisation would be reported as a skipped test

    @pytest.mark.parametrize("path", cases())
    def test_notebook(path, record_property):
        name, report = path.relative_to(ROOT).as_posix(), check_notebook(path)
        record_property("measured", measured_line(name, report.seconds, budget(name)))
        assert not report.problems, "\n" + "\n".join(report.problems)
