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

import json
import re


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

    def test_every_exercise_is_posed_and_solved(self):
        posed, solved = (
            json.loads(path.read_text(encoding="utf-8"))["cells"]
            for path in (self.notebook, self.notebook.with_name("exercise-solutions.ipynb"))
        )
        cells = ["".join(cell["source"]) for cell in posed]
        outputs = [
            "".join(output.get("text", "")) for cell in solved for output in cell.get("outputs", [])
        ]
        for name in self.exercises:
            assert any(
                f"check_{name}({name})" in cell and "...  # your code" in cell for cell in cells
            ), name
            assert any(output.startswith(f"✓ {name}: right.") for output in outputs), name
            assert any(
                output.startswith(f"✗ {name}: ") and "Likely mistake" in output
                for output in outputs
            ), name
