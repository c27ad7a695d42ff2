"""Mutants: answers to an exercise that are made of a right one by changing a few words of it.

Each wrong one must be told its own mistake, each unusual right one must pass. In a chapter's tests:

    from scratch_llm_tools.mutants import MutantTests

    class TestMutants(MutantTests):
        checks, mutants, names = checks, MUTANTS, {"torch": torch}

`mutants` is {exercise: (source of a right answer, wrong ones, right ones)}. A wrong one is
(words of the mistake that it must be told, what is changed, into what, …), or (words, source) where
nothing of the right answer is left; a right one is the same without the words. The words are ""
where the check cannot know the cause and must not name one. `names` is what the sources use.

`python tools/mutants.py` counts them.
"""

import importlib
import importlib.util
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def changed(source, *words):
    """The source with each of `words[0::2]` replaced by the one behind it; each must stand in it
    once. A single word is a whole source.
    """
    if len(words) == 1:
        return words[0]
    for old, new in zip(words[::2], words[1::2], strict=True):
        if source.count(old) != 1:
            raise ValueError(f"{old!r} stands {source.count(old)} times in\n{source}")
        source = source.replace(old, new)
    return source


def compiled(source, names):
    """The last function that the source defines, with these names around it."""
    space = dict(names)
    exec(compile(source, "<answer>", "exec"), space)
    return space[re.findall(r"^def (\w+)", source, flags=re.M)[-1]]


def likely(message):
    """The mistake that a check names, or ""."""
    return message.partition("Likely mistake: ")[2].removesuffix(".")


class MutantTests:
    """Tests for pytest, which run once for every exercise of `mutants`."""

    checks = mutants = names = None

    @classmethod
    def pytest_generate_tests(cls, metafunc):
        if "exercise" in metafunc.fixturenames:
            metafunc.parametrize("exercise", cls.mutants)

    def verdict(self, exercise, *words):
        source = changed(self.mutants[exercise][0], *words)
        verdict = getattr(self.checks, f"check_{exercise}")(compiled(source, self.names))
        return verdict, f"{words}: {verdict.message}"

    def test_every_mutant_is_told_its_own_mistake(self, exercise):
        told = {}
        for words, *change in self.mutants[exercise][1]:
            verdict, shown = self.verdict(exercise, *change)
            assert not verdict and words in likely(verdict.message), (words, shown)
            assert bool(words) == bool(likely(verdict.message)), shown
            told.setdefault(words, set()).add(likely(verdict.message))
        assert len(set.union(*told.values())) == len(told)  # one name for each, and none for two

    def test_unusual_right_answers_pass(self, exercise):
        source, _, right = self.mutants[exercise]
        for change in [(source,), *right]:
            verdict, shown = self.verdict(exercise, *change)
            assert verdict, shown

    def test_every_check_has_mutants(self):
        checks = {name.removeprefix("check_") for name in vars(self.checks) if "check_" in name}
        assert checks - {"exercise_check"} == set(self.mutants)


def tables():
    """(file, `mutants`) of every file of mutants in the course."""
    for path in sorted(ROOT.glob("ch0*/**/test_mutants.py")):
        place = path.relative_to(ROOT)
        name = re.sub(r"\W", "_", place.with_suffix("").as_posix())
        specification = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(module)
        yield place, module.MUTANTS


def main():
    """Print how many mutants and unusual right answers there are for each exercise."""
    sys.path.insert(0, str(ROOT))
    importlib.import_module("conftest")
    wrong = right = 0
    for file, mutants in tables():
        print(f"\n{file}\n{'':24}{'wrong':>7}{'right':>7}")
        for exercise, (_, mine, good) in mutants.items():
            print(f"{exercise:24}{len(mine):7}{len(good) + 1:7}")
            wrong, right = wrong + len(mine), right + len(good) + 1
    print(f"\n{wrong} wrong answers, each told its mistake; {right} right ones")


if __name__ == "__main__":
    main()
