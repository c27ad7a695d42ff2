"""Who imports whom, over all modules of the course, and the rules that hold there: no circles, no
bonus folder behind a main chapter, no re-export that nobody uses.

An import counts as made at load, or as made later: inside a function, or under
`if __name__ == "__main__"`.
"""

import ast
import tomllib
from typing import NamedTuple

from scratch_llm_tools.form import without
from scratch_llm_tools.repository import (
    LAZY_EXCEPTION,
    MAIN,
    chapter_of,
    in_main_code,
    is_test,
    shown,
    trees_of,
)

DOOR = "previous_chapters.py"
HEAVY = {"torch", "transformers", "tensorflow", "pandas"}
# The one function of a main chapter that may ask for a bonus folder: the Llama, when a model is one.
BONUS_EXCEPTION = ("ch05/01_main-chapter-code/gpt_generate.py", "llama_bonus")

# What offended when the rules were made; these lists only shrink.
CIRCLES = set()
BONUS_BEHIND_MAIN = set()


class Import(NamedTuple):
    """One import of a file by a file, as paths relative to the root; `name` is what is taken out of
    it ("" for the whole module); `function` is "" at load, else who imports it later."""

    source: str
    target: str
    name: str
    function: str


class Course:
    """The modules of the course, as they name each other."""

    def __init__(self, root, files):
        self.root = root
        self.python = {shown(path, root): path for path in files if path.suffix == ".py"}
        self.notebooks = {shown(path, root): path for path in files if path.suffix == ".ipynb"}
        settings = root / "pyproject.toml"
        table = tomllib.loads(settings.read_text(encoding="utf-8")) if settings.is_file() else {}
        self.folders = table.get("tool", {}).get("setuptools", {}).get("package-dir", {})

    def file_of(self, module, source):
        """The file of a module that the file `source` names, or None if it is not of the course."""
        first, _, rest = module.partition(".")
        beside = source.rpartition("/")[0]
        if first in self.folders:
            path = "/".join([self.folders[first], *filter(None, rest.split("."))])
        else:
            path = f"{beside}/{module.replace('.', '/')}"
        return next((p for p in (f"{path}.py", f"{path}/__init__.py") if p in self.python), None)

    def module_of(self, file):
        """The name under which a file of a named folder is imported."""
        for name, folder in self.folders.items():
            if file.startswith(f"{folder}/"):
                return name + file[len(folder) : -len(".py")].replace("/", ".")
        raise KeyError(file)

    def imports_of(self, source):
        """The Imports of one file, module or notebook."""
        path = self.python.get(source) or self.notebooks[source]
        found = []
        for _, tree in trees_of(path):
            for node, function in import_statements(tree):
                for module, name in named(node):
                    found += self.resolve(source, module, name, function)
        return found

    def resolve(self, source, module, name, function):
        """An import statement's part as Imports: `from package import module` takes a module."""
        whole = self.file_of(f"{module}.{name}", source) if name else None
        if whole:
            return [Import(source, whole, "", function)]
        target = self.file_of(module, source)
        return [Import(source, target, name, function)] if target else []

    def modules(self):
        """The files whose imports make the house: no tests, no scripts that draw figures."""
        return [name for name, path in self.python.items() if not is_test(path)]


def import_statements(tree):
    """All import statements of a syntax tree as (node, function that makes it or "")."""
    found = []

    def visit(node, function):
        if isinstance(node, ast.Import | ast.ImportFrom):
            found.append((node, function))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            function = function or getattr(node, "name", "lambda")
        if isinstance(node, ast.If) and "__name__" in ast.unparse(node.test):
            function = function or "__main__"
        for child in ast.iter_child_nodes(node):
            visit(child, function)

    visit(tree, "")
    return found


def named(node):
    """What an import statement names, as (module, name taken out of it or "")."""
    if isinstance(node, ast.Import):
        return [(alias.name, "") for alias in node.names]
    return [(node.module, alias.name) for alias in node.names] if not node.level else []


def reach(graph, start):
    """Everything that is reached from `start` in a graph {node: set of nodes}, itself only where a
    way leads back."""
    found, left = set(), [start]
    while left:
        for node in graph.get(left.pop(), ()):
            if node not in found:
                found.add(node)
                left.append(node)
    return found


def edges_in_circles(imports):
    """The Imports that lie on a circle: from their target a way leads back to their source."""
    graph = {}
    for one in imports:
        graph.setdefault(one.source, set()).add(one.target)
    reached = {node: reach(graph, node) for node in graph}
    return [one for one in imports if one.source in reached.get(one.target, ())]


def all_imports(root, files):
    """The Imports of all modules, tests aside."""
    course = Course(root, files)
    return [one for source in course.modules() for one in course.imports_of(source)]


def load_circle_problems(root, files):
    """Modules that cannot be loaded without each other."""
    at_load = [one for one in all_imports(root, files) if not one.function]
    pairs = {tuple(sorted((one.source, one.target))) for one in edges_in_circles(at_load)}
    return [
        f"{one} and {other} cannot be loaded without each other" for one, other in sorted(pairs)
    ]


def circle_problems(root, files):
    """Modules that know each other, imports inside functions counted; the one exception is
    `GPT.from_pretrained`, which asks chapter 5's downloader."""
    place, chapter = LAZY_EXCEPTION
    imports = [
        one
        for one in all_imports(root, files)
        if not (one.source == place and one.target.startswith(f"ch{chapter:02}/"))
    ]
    found = {
        (one.source, one.target): f"{one.source} imports {one.target}"
        f" in {one.function}, from which a way leads back"
        for one in edges_in_circles(imports)
        if one.function  # of those made at load, `load_circle_problems` tells
    }
    return without(found, CIRCLES, root)


def bonus_problems(root, files):
    """Imports of a bonus folder by a main chapter: at load never, later in one function only."""
    found = {}
    for one in all_imports(root, files):
        main = in_main_code(root / one.source, root)
        inside = one.target.partition("/")[2].startswith(f"{MAIN}/")
        if not main or inside or chapter_of(root / one.target, root) is None:
            continue
        if (one.source, one.function) != BONUS_EXCEPTION:
            when = f"in {one.function}" if one.function else "at load"
            found[one.source, one.target] = f"{one.source} imports {one.target} {when}"
    return without(found, BONUS_BEHIND_MAIN, root)


def light_files(course):
    """The modules and notebooks that load no torch, by themselves or by what they load."""
    heavy, graph = set(), {}
    for source, path in course.python.items():
        at_load = [
            node for node, function in import_statements(trees_of(path)[0][1]) if not function
        ]
        names = {module.partition(".")[0] for node in at_load for module, _ in named(node)}
        if names & HEAVY:
            heavy.add(source)
        graph[source] = {one.target for one in course.imports_of(source) if not one.function}
    return {source for source in graph if not ({source} | reach(graph, source)) & heavy}


def past_the_door(course):
    """The Imports by which main code reaches an earlier chapter otherwise than through its
    previous_chapters.py."""
    root, found = course.root, []
    for source in [*course.modules(), *course.notebooks]:
        here = chapter_of(root / source, root)
        main = in_main_code(root / source, root) and not source.endswith(f"/{DOOR}")
        for one in course.imports_of(source) if main else []:
            there = chapter_of(root / one.target, root)
            if there and there < here:
                found.append(one)
    return found


def past_the_door_problems(root, files):
    """Imports of an earlier chapter that do not go through previous_chapters.py.

    Tests may do so, and a module that loads no torch: it answers `--help` and mistyped flags at
    once, and behind the door torch is loaded.
    """
    course = Course(root, files)
    light = light_files(course)
    heavy = {one for one in past_the_door(course) if one.source not in light}
    found = {f"{one.source}: {one.target} is to be reached through {DOOR}" for one in heavy}
    return sorted(found)


def unused_door_problems(root, files):
    """Names that a previous_chapters.py re-exports and that no module, test or notebook takes."""
    course = Course(root, files)
    used, loaded = {}, {}
    for source in [*course.python, *course.notebooks]:
        for one in course.imports_of(source):
            if one.target.endswith(f"/{DOOR}"):
                (used if one.name else loaded).setdefault(one.target, set()).add(one.name or source)
    problems = []
    for door in sorted(name for name in course.python if name.endswith(f"/{DOOR}")):
        text = "".join(course_text(course, source) for source in loaded.get(door, ()))
        for _, name in exported(course.python[door]):
            taken = name in used.get(door, ()) or f"previous_chapters.{name}" in text
            if not taken:
                problems.append(f"{door}: nobody takes {name}")
    return problems


def course_text(course, source):
    """The text of a module or notebook."""
    path = course.python.get(source) or course.notebooks[source]
    return path.read_text(encoding="utf-8")


def exported(door):
    """What a previous_chapters.py hands on: (module, name as its readers know it)."""
    return [
        (node.module, alias.asname or alias.name)
        for node, _ in import_statements(trees_of(door)[0][1])
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]
