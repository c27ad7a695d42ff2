"""The rules of form: short lines, functions that fit a screen, no comment that silences a tool where
a setting would do. Each gives one line for each offence, as in `repository.py`.

What offended when a rule was made is on its list of exceptions. The lists only shrink: an entry that
no longer offends is an offence itself.
"""

import ast
import re

from scratch_llm_tools.repository import is_test, shown, trees_of

MAX_COLUMNS = 110
MAX_LONG_SHARE = 0.01
MAX_FUNCTION_LINES = 45
SILENCING = re.compile(r"#\s*(fmt|noqa|type|pylint|pyright)\s*:", re.IGNORECASE)
SILENCING_ALLOWED = {
    # An import that is only tried, in a file where any other unused import is a mistake.
    "ch04/01_main-chapter-code/gpt.py": 1
}
LONG_FUNCTIONS = {}


def without(found, allowed, root):
    """The messages of `found`, a dictionary {key: message}, less those whose key is `allowed`; and a
    message for each key that is allowed in vain. A key begins with a path; without that file there
    is nothing to say (the rule is tried on other folders, too)."""
    idle = [key for key in allowed if key not in found and (root / key[0]).is_file()]
    return [message for key, message in found.items() if key not in allowed] + [
        f"{' '.join(map(str, key))} is on the list of exceptions and offends no more; take it off"
        for key in idle
    ]


def python_files(files):
    """The modules and tests among `files`."""
    return [path for path in files if path.suffix == ".py"]


def line_problems(root, files):
    """More than 1 % of all lines of modules and tests over 110 columns; named are the worst files."""
    long, total = {}, 0
    for path in python_files(files):
        lines = path.read_text(encoding="utf-8").splitlines()
        total += len(lines)
        long[shown(path, root)] = sum(len(line) > MAX_COLUMNS for line in lines)
    count = sum(long.values())
    if count <= MAX_LONG_SHARE * total:
        return []
    worst = sorted(long, key=long.get, reverse=True)[:5]
    return [
        f"{count} of {total} lines are over {MAX_COLUMNS} columns, more than {MAX_LONG_SHARE:.0%}: "
        + ", ".join(f"{long[name]} in {name}" for name in worst if long[name])
    ]


def functions_of(tree):
    """All functions of a syntax tree as (qualified name, number of lines), decorators aside."""
    found = []

    def visit(node, names):
        for child in ast.iter_child_nodes(node):
            inner = names
            if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                inner = [*names, child.name]
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                found.append((".".join(inner), child.end_lineno - child.lineno + 1))
            visit(child, inner)

    visit(tree, [])
    return found


def function_problems(root, files):
    """Functions of modules that are longer than 45 lines."""
    found = {}
    for path in python_files(files):
        if is_test(path):
            continue
        for name, lines in functions_of(trees_of(path)[0][1]):
            if lines > MAX_FUNCTION_LINES:
                place = shown(path, root)
                found[place, name] = (
                    f"{place}: {name} has {lines} lines; the limit is {MAX_FUNCTION_LINES}"
                )
    allowed = {(place, name) for place, names in LONG_FUNCTIONS.items() for name in names}
    return without(found, allowed, root)


def silencing_problems(root, files):
    """Comments that silence the formatter, the linter or a type checker: a setting in pyproject.toml
    does it, or the code can be written so that nothing need be silenced."""
    problems = []
    for path in python_files(files):
        text, place = path.read_text(encoding="utf-8"), shown(path, root)
        lines = [n for n, line in enumerate(text.splitlines(), start=1) if silences(line)]
        allowed = SILENCING_ALLOWED.get(place, 0)
        if len(lines) > allowed:
            problems.append(f"{place}, line {lines[-1]}: a setting in pyproject.toml can do this")
        elif len(lines) < allowed:
            problems.append(f"{place} silences less than the list of exceptions says; shorten it")
    return problems


def silences(line):
    """True where a comment of the line silences a tool; a pattern in a string is none."""
    return bool(SILENCING.search(line)) and "re.compile" not in line
