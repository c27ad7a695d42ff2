"""What every chapter asks of its exercises: right answers pass, wrong ones are told their mistake,
and both are shown.

In a chapter's tests:

    from scratch_llm_tools.exercises import ExerciseTests

    class TestExercises(ExerciseTests):
        checks, exercises, notebook = checks, EXERCISES, FOLDER / "ch04.ipynb"

`exercises` is {name: (a right answer, [(a wrong answer, words of the message that names its
mistake), …])}, with a list of unusual right answers as a third where there are such; where the
check can only say that the result is another one, the words are "expected". `checks` is the module
with a check_NAME for each of them.
"""

import ast
import importlib.util
import inspect
import json
import re
from pathlib import Path

from scratch_llm_tools.learning import hints_of
from scratch_llm_tools.mutants import changed, compiled

SOLUTIONS = "exercise-solutions.ipynb"


def module_beside(test_file, name):
    """The module `name`.py in the folder of a test, for bonus folders, which have no import name."""
    path = Path(test_file).with_name(f"{name}.py")
    specification = importlib.util.spec_from_file_location(f"{path.parent.name}.{name}", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def exercises_of(mutants, names):
    """A table of mutants (see mutants.py) as `exercises`."""

    def answer(right, change):
        return compiled(changed(right, *change), names)

    return {
        name: (
            compiled(right, names),
            [(answer(right, change), words or "expected") for words, *change in wrong],
            [answer(right, change) for change in unusual],
        )
        for name, (right, wrong, unusual) in mutants.items()
    }


class ExerciseTests:
    """Tests for pytest, each of which runs once for every exercise that it asks for by `name`."""

    checks = exercises = notebook = None

    @classmethod
    def pytest_generate_tests(cls, metafunc):
        if "name" in metafunc.fixturenames:
            metafunc.parametrize("name", cls.exercises)

    def verdict(self, name, answer):
        return getattr(self.checks, f"check_{name}")(answer)

    def test_a_right_answer_passes_its_check(self, name, capsys):
        right, _, *unusual = self.exercises[name]
        for answer in [right, *sum(unusual, [])]:
            verdict = self.verdict(name, answer)
            assert verdict, verdict.message
            printed = capsys.readouterr().out
            assert printed == f"{verdict.message}\n" and verdict.message.count("\n") == 0

    def test_wrong_answers_are_told_their_mistake(self, name, capsys):
        wrong = self.exercises[name][1]
        assert sum(words != "expected" for _, words in wrong) >= 4
        for answer, words in wrong:
            verdict = self.verdict(name, answer)
            assert not verdict and words in verdict.message, (words, verdict.message)
            if (
                ", expected " in verdict.message
            ):  # the results differ, rather than that it stops or throws dice
                assert ("Likely mistake" in verdict.message) == (words != "expected"), (
                    verdict.message
                )
            shown = re.search(r" is (\S+), expected (\S+)\. Likely", verdict.message)
            assert not shown or shown[1] != shown[2], (
                verdict.message
            )  # a difference that the reader can see
            assert capsys.readouterr().out.count("\n") == 1  # one line

    def test_an_untouched_exercise_is_not_attempted(self, name):
        def raises(*arguments):
            raise NotImplementedError

        for untouched in (lambda *arguments: ..., lambda *arguments: None, raises, None, ...):
            verdict = self.verdict(name, untouched)
            assert not verdict and "not attempted yet" in verdict.message

    def test_every_check_of_the_chapter_is_tested(self):
        defined = {
            name.removeprefix("check_") for name in vars(self.checks) if name.startswith("check_")
        }
        assert defined == set(self.exercises)

    def test_every_exercise_is_posed(self):
        paths = [path for path in self.notebook.parent.glob("*.ipynb") if path.name != SOLUTIONS]
        cells = ["".join(cell["source"]) for path in paths for cell in cells_of(path)]
        for name in self.exercises:
            assert any(
                f"check_{name}({name})" in cell and "...  # your code" in cell for cell in cells
            ), name

    def test_every_exercise_is_solved_where_there_are_solutions(self):
        path = self.notebook.with_name(SOLUTIONS)
        outputs = [
            "".join(output.get("text", ""))
            for cell in cells_of(path)
            for output in cell.get("outputs", [])
        ]
        for name in self.exercises if path.exists() else ():
            assert any(output.startswith(f"✓ {name}: right.") for output in outputs), name
            assert any(
                output.startswith(f"✗ {name}: ") and "Likely mistake" in output
                for output in outputs
            ), name


class MistakeTests:
    """Beside ExerciseTests: each mistake that a check knows is made, and must be told as itself."""

    def test_each_known_mistake_is_told_apart(self, name, monkeypatch):
        judged = []
        monkeypatch.setattr(self.checks, "judge", lambda *arguments: judged.append(arguments))
        getattr(self.checks, f"check_{name}")(self.exercises[name][0])
        monkeypatch.undo()
        assert judged
        for _, reference, inputs, mistakes in judged:
            for words, mistake in mistakes.items():
                try:
                    self.checks.judge(mistake, reference, inputs, mistakes)
                except Exception as told:
                    assert str(told).endswith(f"Likely mistake: {words}."), (words, str(told))
                else:
                    raise AssertionError(f"taken for right: {words}")


class HintTests:
    """Beside ExerciseTests: each exercise has three hints, of which the first two give no code away.

    `sources`: {name: the source of a right answer}, where neither a notebook of solutions nor the
    tests' own functions have it.
    """

    sources = None

    def solution(self, name):
        """The syntax tree of the solution that the reader may read, or else of the tests' own."""
        path = self.notebook.with_name(SOLUTIONS)
        for cell in cells_of(path):
            source = "".join(cell["source"])
            if cell["cell_type"] == "code" and re.search(rf"^(def|class) {name}\b", source, re.M):
                return defined(ast.parse(source), name)
        if self.sources is not None:
            return ast.parse(self.sources[name])
        return ast.parse(inspect.getsource(self.exercises[name][0]))

    def test_the_first_two_hints_give_no_code_away(self, name):
        question, idea, _ = hints_of(name)
        assert "?" in question
        tree = self.solution(name)
        secret = names_in(tree) - given_names(tree) - {name}
        for step in (question, idea):
            told = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`]*)`", step))))
            assert not told & secret, (step, told & secret)
            for code in expressions(tree):
                assert code not in squeezed(step), (step, code)

    def test_the_last_hint_is_a_line_of_code(self, name):
        line = hints_of(name)[2]
        assert "\n" not in line
        for code in re.findall(r"`([^`]+)`", line):
            ast.parse(code)
        assert expressions(ast.parse(re.search(r"`([^`]+)`", line)[1])), line


def cells_of(path):
    """The cells of a notebook; none if it is not there."""
    return json.loads(path.read_text(encoding="utf-8"))["cells"] if path.exists() else []


def defined(tree, name):
    """The function or class of this name."""
    return next(node for node in ast.walk(tree) if getattr(node, "name", None) == name)


def given_names(tree):
    """The names of all arguments, which the exercise tells the reader."""
    return {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}


def names_in(tree):
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return names | {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


def squeezed(text):
    return re.sub(r"\s", "", text)


def expressions(tree):
    """Whatever is calculated there: calls, sums, comparisons, slices, without their blanks."""
    kinds = ast.Call, ast.BinOp, ast.Compare, ast.Subscript, ast.Attribute, ast.Dict, ast.ListComp
    found = (squeezed(ast.unparse(n)) for n in ast.walk(tree) if isinstance(n, kinds))
    return {code for code in found if len(code) > 3}
