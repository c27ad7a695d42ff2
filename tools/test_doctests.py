"""The examples in the docstrings of all modules give what they say."""

import doctest
import importlib
import importlib.util
import sys
import tomllib

import pytest

from scratch_llm_tools.notebooks import ROOT, repository_files
from scratch_llm_tools.repository import is_test, shown

FOLDERS = {
    folder: name
    for name, folder in tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))[
        "tool"
    ]["setuptools"]["package-dir"].items()
}
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
MODULES = [
    path
    for path in repository_files(ROOT)
    if path.suffix == ".py" and not is_test(path) and ">>> " in path.read_text(encoding="utf-8")
]


def load(path):
    """The module of a file: under its name in the course, or, in a bonus folder without one, by its
    place, with its neighbours in reach."""
    for folder, name in FOLDERS.items():
        if path.is_relative_to(ROOT / folder):
            inner = path.relative_to(ROOT / folder).with_suffix("").parts
            return importlib.import_module(".".join([name, *inner]))
    sys.path.insert(0, str(path.parent))
    try:
        spec = importlib.util.spec_from_file_location(f"examples_of_{path.stem}", path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module  # where dataclasses look for it
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(path.parent))
    return module


def run_examples(module):
    """How many examples a module has, and what the wrong ones print."""
    printed, runner = [], doctest.DocTestRunner(optionflags=FLAGS)
    for test in doctest.DocTestFinder(exclude_empty=True).find(module):
        runner.run(test, out=printed.append)
    return runner.summarize(verbose=False).attempted, "".join(printed)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: shown(path, ROOT))
def test_the_examples_of_a_module_are_right(path):
    attempted, wrong = run_examples(load(path))
    assert attempted and not wrong, wrong


def test_a_wrong_example_is_found(tmp_path):
    file = tmp_path / "wrong.py"
    for result, right in (("3", True), ("4", False)):
        file.write_text(f'"""\n>>> 1 + 2\n{result}\n"""\n')
        attempted, wrong = run_examples(load(file.rename(tmp_path / f"wrong_{result}.py")))
        assert attempted == 1 and (wrong == "") == right
