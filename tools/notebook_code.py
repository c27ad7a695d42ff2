"""Proves that a notebook and a module hold the same code, statement for statement.

In a chapter's tests:

    from scratch_llm_tools.notebook_code import assert_same_code

    def test_the_notebook_teaches_this_very_code():
        assert_same_code(FOLDER / "ch04.ipynb", FOLDER / "gpt.py", ["LayerNorm", "GELU", "FeedForward"])

Code is compared as syntax trees, so comments and layout do not count. Docstrings, base classes and
decorators do not count either; signatures and annotations do.
"""

import ast
import copy
import difflib
import json
import re
from pathlib import Path

# Cell magics that run the rest of the cell as Python; below any other (%%bash, %%html, …) stands
# something else.
PYTHON_MAGICS = {"time", "timeit", "capture", "prun"}
MAX_DIFF_LINES = 40


def cells_of(path, kind):
    """The cells of one kind ("code", "markdown") of a notebook as (number, source, tags), cells
    counted from 1.

    Raises ValueError if the file is no notebook.
    """
    try:
        cells = json.loads(Path(path).read_text(encoding="utf-8"))["cells"]
        return [
            (number, "".join(cell["source"]), cell.get("metadata", {}).get("tags", []))
            for number, cell in enumerate(cells, start=1)
            if cell["cell_type"] == kind
        ]
    except (ValueError, KeyError, TypeError) as reason:
        raise ValueError(f"{path} is no notebook of format 4: {reason!r}") from reason


def plain_python(source):
    """The Python in a cell's source: magics and shell commands become `pass`, so that line numbers
    stay.

    >>> plain_python("%matplotlib inline\\nx = 1")
    'pass\\nx = 1'
    """
    magic = re.match(r"\s*%%(\w*)", source)
    if magic and magic[1] not in PYTHON_MAGICS:
        return ""
    # `%name`, not `% name`: that is an operator at the start of a line.
    return re.sub(r"^([ \t]*)(?:%%?[A-Za-z]|!|\?).*$", r"\1pass", source, flags=re.MULTILINE)


def notebook_trees(path):
    """The syntax tree of each code cell, as (cell number, ast.Module).

    A cell with the tag raises-exception may hold a syntax error and is passed over then. Raises
    ValueError, with the cell, for any other syntax error.
    """
    trees = []
    for number, source, tags in cells_of(path, "code"):
        try:
            trees.append((number, ast.parse(plain_python(source))))
        except SyntaxError as error:
            if "raises-exception" not in tags:
                raise ValueError(
                    f"{path}, cell {number}: {error.msg} in line {error.lineno}"
                ) from error
    return trees


def definitions(tree):
    """What a module or cell defines at top level: {name: statement}, of two equal names the last.

    Classes, functions, and names that are assigned (`x = …`, `x: int = …`; not `a, b = …`).
    """
    found = {}
    for statement in tree.body:
        if isinstance(statement, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found[statement.name] = statement
        elif isinstance(statement, ast.Assign):
            found.update(
                {
                    target.id: statement
                    for target in statement.targets
                    if isinstance(target, ast.Name)
                }
            )
        elif (
            isinstance(statement, ast.AnnAssign)
            and statement.value
            and isinstance(statement.target, ast.Name)
        ):
            found[statement.target.id] = statement
    return found


def notebook_definitions(path):
    """What the code cells of a notebook define at top level: {name: statement}, the last definition
    of each name.

    Raises ValueError if the file is no notebook or a cell is no Python.
    """
    found = {}
    for _, tree in notebook_trees(path):
        found.update(definitions(tree))
    return found


def module_definitions(path):
    """What a module defines at top level: {name: statement}. Raises SyntaxError if it is no Python."""
    return definitions(ast.parse(Path(path).read_text(encoding="utf-8"), filename=str(path)))


def bare(tree):
    """A copy of a syntax tree without docstrings, base classes and decorators."""
    tree = copy.deepcopy(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            node.bases, node.keywords = [], []
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.decorator_list = []
            if ast.get_docstring(node, clean=False) is not None:
                node.body = node.body[1:] or [ast.Pass()]
    return tree


def same_code(a, b):
    """True if two syntax trees are the same code but for docstrings, comments, base classes and
    decorators.
    """
    return ast.dump(bare(a)) == ast.dump(bare(b))


def code_diff(notebook_code, module_code, name):
    """A unified diff of two syntax trees, as they were compared, at most 40 lines long."""
    trees = [ast.fix_missing_locations(bare(tree)) for tree in (module_code, notebook_code)]
    old, new = (ast.unparse(tree).splitlines() for tree in trees)
    lines = list(
        difflib.unified_diff(
            old, new, f"{name} in the module", f"{name} in the notebook", lineterm="", n=2
        )
    )
    if len(lines) > MAX_DIFF_LINES:
        lines[MAX_DIFF_LINES:] = [f"... {len(lines) - MAX_DIFF_LINES} more lines"]
    return "\n".join(lines)


def assert_same_code(notebook, module_file, names):
    """Assert that the notebook's final version of each of `names` is the module's.

    Raises AssertionError with a diff for each name that differs, or naming the file that lacks it;
    ValueError if there are no names to compare, since that would prove nothing.
    """
    if isinstance(names, str) or not names:
        raise ValueError(f"names must be a list of at least one name, not {names!r}")
    ours, theirs = notebook_definitions(notebook), module_definitions(module_file)
    problems = []
    for name in names:
        lacking = [
            str(path)
            for path, found in ((notebook, ours), (module_file, theirs))
            if name not in found
        ]
        if lacking:
            problems.append(f"{name} is not defined at top level in {' and '.join(lacking)}")
        elif not same_code(ours[name], theirs[name]):
            problems.append(f"{name} differs:\n{code_diff(ours[name], theirs[name], name)}")
    if problems:
        raise AssertionError("\n\n".join(problems))
