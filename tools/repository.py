"""The rules that hold for the whole repository. Each function takes files and gives one line for
each offence.

`root` is the repository's folder, `files` a list of absolute paths below it
(`notebooks.repository_files`).
"""

import ast
import re
import tomllib
from pathlib import Path

from scratch_llm_tools.links import mark_blocks
from scratch_llm_tools.notebook_code import cells_of, definitions, notebook_trees
from scratch_llm_tools.notebooks import NotebookError, read, stored_problems

MAIN = "01_main-chapter-code"
NO_ROOMS = ("figures", "experiments")  # folders of scripts, which tests import at most
MAX_CELL_LINES = 40
MAX_BYTES = 2_000_000
MAX_BYTES_OF = {
    f"ch05/{MAIN}/tales-gpt/model.safetensors": 8_000_000
}  # the one checkpoint that is committed

# Folders of a person or of a machine. Places that are the same for everyone, such as /content on
# Colab, are no offence.
MACHINE_PATH = re.compile(
    r"(?<![\w.~/$}-])/(?:home|root|Users)/[\w.~-]+|(?<![\w.~/-])/tmp/ipykernel_\d"
    r"|\b[A-Za-z]:[\\/]{1,4}Users[\\/]",
    re.IGNORECASE,
)
CHAPTER_PACKAGE = re.compile(r"ch(\d\d)_\w+")
LAZY_EXCEPTION = (
    f"ch04/{MAIN}/checkpoint.py",
    5,
)  # GPT.from_pretrained("gpt2") asks chapter 5's downloader

# Names that several main-chapter modules may define, because each has its own meaning there.
SHARED_NAMES = {
    "main",  # every script has one
    "build_parser",  # and its command line
    "fine_tune",  # chapter 6: a classifier; chapter 7: instructions
    "evaluate",  # chapter 5: a loss; chapter 6: accuracy and its kin
}


def shown(path, root):
    """A path as a person types it at the root, with slashes on every system."""
    return Path(path).relative_to(root).as_posix()


def chapter_of(path, root):
    """The number of the chapter that a file belongs to, or None."""
    match = re.fullmatch(r"ch(\d\d)", Path(path).relative_to(root).parts[0])
    return int(match[1]) if match else None


def is_test(path):
    """True for files that pytest collects."""
    return path.name == "tests.py" or path.name.startswith("test_") or path.name == "conftest.py"


def in_main_code(path, root):
    """True for what lies in chNN/01_main-chapter-code or below."""
    parts = Path(path).relative_to(root).parts
    return chapter_of(path, root) is not None and len(parts) > 2 and parts[1] == MAIN


def trees_of(path):
    """The syntax trees of a module or of a notebook's code cells, as (place, tree) pairs; other
    files have none.
    """
    if path.suffix == ".py":
        return [("", ast.parse(path.read_text(encoding="utf-8"), filename=str(path)))]
    if path.suffix == ".ipynb":
        return [(f", cell {number}", tree) for number, tree in notebook_trees(path)]
    return []


# -------------------------------------------------------------------------------------------------
# Files
# -------------------------------------------------------------------------------------------------


def size_problems(root, files):
    """Files over 2 MB; Tiny Tales' checkpoint may have 8 MB."""
    problems = []
    for path in files:
        size, limit = path.stat().st_size, MAX_BYTES_OF.get(shown(path, root), MAX_BYTES)
        if size >= limit:
            problems.append(
                f"{shown(path, root)} has {size / 1e6:.1f} MB; the limit is {limit / 1e6:.0f} MB"
            )
    return problems


def package_problems(root, files):
    """Folders that pyproject.toml gives a name and that hold no module: `pip install -e .` would
    stop there. And rooms, subfolders of such a folder with modules that are imported by name, that
    `packages` leaves out: an installation that copies would lack them.
    """
    settings = [path for path in files if shown(path, root) == "pyproject.toml"]
    table = (
        tomllib.loads(settings[0].read_text(encoding="utf-8"))["tool"]["setuptools"]
        if settings
        else {}
    )
    folders, packages = dict(table.get("package-dir", {})), table.get("packages", [])
    with_modules = {shown(path.parent, root) for path in files if path.suffix == ".py"}
    problems = []
    for name in packages:
        chapter, *room = name.split(".")
        if chapter not in folders:
            problems.append(f"pyproject.toml: {name} is in packages, but not in package-dir")
        elif room:
            folders[name] = "/".join((folders[chapter], *room))
    problems += [
        f"pyproject.toml: {name} is {folder}, where there is no module"
        for name, folder in folders.items()
        if folder not in with_modules
    ]
    return problems + [
        f"pyproject.toml: the room {name} is imported, but not in packages"
        for name in sorted(imported_rooms(files, folders) - set(packages))
    ]


def imported_rooms(files, folders):
    """The import names of the subfolders from which some file imports a module of the course."""
    chapters = {name for name in folders if "." not in name}
    modules = {
        module
        for path in files
        for _, tree in trees_of(path)
        for node in ast.walk(tree)
        for module in imported_modules(node)
    }
    rooms = {module.rpartition(".")[0] for module in modules if module.count(".") > 1}
    return {
        room
        for room in rooms
        if room.split(".")[0] in chapters and room.split(".")[1] not in NO_ROOMS
    }


def machine_path_problems(root, files):
    """Lines of text files that name a folder of somebody's machine."""
    problems = []
    for path in files:
        raw = path.read_bytes()
        if b"\0" in raw[:8192]:
            continue  # no text
        for number, line in enumerate(raw.decode("utf-8", errors="replace").splitlines(), start=1):
            found = MACHINE_PATH.search(line)
            if found:
                problems.append(
                    f"{shown(path, root)}, line {number}: the path {found[0]} exists on one machine only"
                )
    return problems


def command_problems(root, files):
    """Commands `python FILE` in the code blocks of a README whose FILE exists neither beside it nor
    at the root.
    """
    problems = []
    for path in files:
        if path.name == "README.md":
            problems += [
                f"{shown(path, root)}: `python {name}` names no file of the repository"
                for name, places in commands_in(path, root)
                if not places & set(files)
            ]
    return problems


def commands_in(path, root):
    """The files that a README's code blocks run with Python: (name, the places where it may lie).

    A block is meant to be typed in the README's folder or at the root; `cd FOLDER` in it counts.
    """
    commands, current, folders = [], 0, []
    for line, block in mark_blocks(path.read_text(encoding="utf-8")):
        if block != current:
            current, folders = block, [path.parent, Path(root)]
        words = line.replace("$ ", "", 1).split() if block else []
        if len(words) < 2:
            continue
        if words[0] == "cd":
            folders = [folder / words[1] for folder in folders]
        elif words[0] in ("python", "python3") and not words[1].startswith("-"):
            commands.append((words[1], {(folder / words[1]).resolve() for folder in folders}))
    return commands


def room_problems(root, files):
    """Folders of a chapter, and folders in these, for which the chapter's README has no line of its
    own in a list."""
    problems = []
    for readme in files:
        if readme.name != "README.md" or readme.parent.parent != Path(root):
            continue
        lines = re.findall(r"^ *[-|] .*", readme.read_text(encoding="utf-8"), flags=re.MULTILINE)
        inside = [
            path.relative_to(readme.parent).parts for path in files if readme.parent in path.parents
        ]
        rooms = {parts[:depth] for parts in inside for depth in (1, 2) if len(parts) > depth}
        problems += [
            f"{shown(readme, root)}: no line of a list tells what {'/'.join(room)}/ is"
            for room in sorted(rooms)
            if not any(re.search(rf"[`[]{re.escape(room[-1])}/[`\]]", line) for line in lines)
        ]
    return problems


# -------------------------------------------------------------------------------------------------
# Notebooks
# -------------------------------------------------------------------------------------------------


def cell_length_problems(root, files):
    """Code cells of more than 40 lines."""
    problems = []
    for path in files:
        for number, source, _ in cells_of(path, "code") if path.suffix == ".ipynb" else []:
            lines = len(source.splitlines())
            if lines > MAX_CELL_LINES:
                problems.append(
                    f"{shown(path, root)}, cell {number} has {lines} lines; the limit is {MAX_CELL_LINES}"
                )
    return problems


def stored_notebook_problems(root, files):
    """Notebooks that are not stored as `python tools/notebooks.py run` leaves them."""
    problems = []
    for path in files:
        if path.suffix == ".ipynb":
            try:
                problems += [
                    f"{shown(path, root)}: {problem}" for problem in stored_problems(read(path))
                ]
            except NotebookError as error:
                problems.append(str(error))
    return problems


# -------------------------------------------------------------------------------------------------
# Chapters
# -------------------------------------------------------------------------------------------------


def door_problems(root, files):
    """Statements of a previous_chapters.py that do more than re-export: see `only_exports`."""
    problems = []
    for path in files:
        if path.name == "previous_chapters.py":
            for statement in trees_of(path)[0][1].body:
                if not only_exports(statement):
                    first = ast.unparse(statement).splitlines()[0]
                    problems.append(
                        f"{shown(path, root)}, line {statement.lineno}: `{first}` does not re-export"
                    )
    return problems


def only_exports(statement):
    """True for imports, strings (docstring), `__all__ = …`, and imports in `try: … except
    ImportError: raise …`.
    """
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return True
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Constant)
    if isinstance(statement, ast.Assign):
        return [ast.unparse(target) for target in statement.targets] == ["__all__"]
    if isinstance(statement, ast.Try):
        caught = [
            ast.unparse(handler.type) if handler.type else "everything"
            for handler in statement.handlers
        ]
        return (
            all(name in ("ImportError", "ModuleNotFoundError") for name in caught)
            and not statement.orelse
            and not statement.finalbody
            and all(isinstance(line, ast.Import | ast.ImportFrom) for line in statement.body)
            and all(only_complains(line) for handler in statement.handlers for line in handler.body)
        )
    return False


def only_complains(statement):
    """True for `raise …`, a call such as `sys.exit(…)`, an import, and an `if` that holds nothing
    else.
    """
    if isinstance(statement, ast.If):
        return all(only_complains(line) for line in statement.body + statement.orelse)
    call = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call)
    return call or isinstance(statement, ast.Raise | ast.Import | ast.ImportFrom)


def chapter_imports(tree):
    """The chapters whose packages a syntax tree imports, as (number, line, inside a function)."""
    found = []

    def visit(node, lazy):
        for module in imported_modules(node):
            match = CHAPTER_PACKAGE.fullmatch(module.partition(".")[0])
            if match:
                found.append((int(match[1]), node.lineno, lazy))
        inside = lazy or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            visit(child, inside)

    visit(tree, False)
    return found


def imported_modules(node):
    """The absolute module names that one node imports, `import_module("…")` included."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and not node.level:
        return [node.module]
    if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        called = ast.unparse(node.func).rpartition(".")[2]
        if called in ("import_module", "__import__") and isinstance(node.args[0].value, str):
            return [node.args[0].value]
    return []


def import_problems(root, files):
    """Imports that break the order of the chapters.

    A chapter imports from earlier chapters only; the one exception is named at LAZY_EXCEPTION. By
    which door it reaches them, `imports.py` looks at.
    """
    problems = []
    for path in files:
        here = chapter_of(path, root)
        for place, tree in trees_of(path) if here else []:
            for there, line, lazy in chapter_imports(tree):
                where = f"{shown(path, root)}{place}, line {line}"
                if there > here and not (lazy and (shown(path, root), there) == LAZY_EXCEPTION):
                    problems.append(
                        f"{where}: chapter {here} imports from chapter {there}, a later one"
                    )
    return problems


def home_problems(root, files):
    """Public classes and functions that two main-chapter modules define.

    Modules in chNN/01_main-chapter-code and in its rooms count; tests, checks.py,
    previous_chapters.py and the scripts in `NO_ROOMS` do not, nor do names in SHARED_NAMES.
    """
    homes = {}
    for path in files:
        room = path.parent.name not in NO_ROOMS
        modules = path.suffix == ".py" and in_main_code(path, root) and room
        if not modules or is_test(path) or path.name in ("checks.py", "previous_chapters.py"):
            continue
        for name, statement in definitions(trees_of(path)[0][1]).items():
            defines = isinstance(statement, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            if defines and not name.startswith("_") and name not in SHARED_NAMES:
                homes.setdefault(name, []).append(shown(path, root))
    return [
        f"{name} is defined in {' and in '.join(sorted(places))}; one home for each concept"
        for name, places in sorted(homes.items())
        if len(places) > 1
    ]
