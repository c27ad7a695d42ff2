"""The claims of dataset-utilities.ipynb: MinHash estimates Jaccard, LSH finds what comparing all
pairs finds, leaks and findings are the planted ones, and bad input costs one line."""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

if (
    __name__ == "__main__"
):  # before the imports below: pytest gives the chapters their import names (conftest.py)
    raise SystemExit(pytest.main([__file__, *sys.argv[1:]]))

sys.path.insert(0, str(Path(__file__).parent))  # the modules of this folder

import dataset_utilities
import near_duplicates
import numpy as np
from dataset_utilities import find_duplicates, find_leaks, findings, read_entries, without_copies
from near_duplicates import (
    chance,
    choose_bands,
    exact_pairs,
    groups,
    jaccard,
    minhash,
    near_pairs,
    shingles,
)
from planted_duplicates import WAYS, plant

from ch02_01_main_chapter_code.tokenizer import gpt2_tokenizer
from scratch_llm_tools.notebook_code import assert_same_code

FOLDER = Path(__file__).parent
DATA = FOLDER.parent / "01_main-chapter-code" / "instruction-data.json"
NOTEBOOK = FOLDER / "dataset-utilities.ipynb"
TAUGHT = [
    "normal",
    "shingles",
    "jaccard",
    "exact_pairs",
    "minhash",
    "chance",
    "choose_bands",
    "candidates",
    "near_pairs",
]


def test_the_notebook_teaches_this_very_code():
    assert_same_code(NOTEBOOK, FOLDER / "near_duplicates.py", TAUGHT)


# --- Near-duplicates ------------------------------------------------------------------------------


def entry(instruction, given="", output="yes", **more):
    return {"instruction": instruction, "input": given, "output": output, **more}


def test_shingles():
    assert shingles("A  fox", width=3) == {"a f", " fo", "fox"}
    assert shingles("fox") == {"fox"} and shingles(" \n ") == set()
    assert shingles("ABCDEF") == shingles("abcdef\n")
    assert (
        jaccard({1, 2, 3}, {2, 3, 4}) == 0.5
        and jaccard(set(), set()) == 0
        and jaccard({1}, {1}) == 1
    )


@pytest.mark.parametrize("shared", [5, 50, 90, 100])
def test_agreement_of_signatures_estimates_jaccard(shared):
    """1,024 hashes: the standard error is at most 0.016, five of them are allowed."""
    a = {f"both {i}" for i in range(shared)} | {f"only a {i}" for i in range(100 - shared)}
    b = {f"both {i}" for i in range(shared)} | {f"only b {i}" for i in range(100 - shared)}
    first, second = minhash([a, b], n_hashes=1024, seed=3)
    assert np.mean(first == second) == pytest.approx(jaccard(a, b), abs=0.08)


def test_hashes_do_not_overflow():
    """With Python's whole numbers the same signature."""
    sets = [shingles("the cat sat on the mat"), shingles("zebra")]
    factor, shift = np.random.default_rng(5).integers(1, near_duplicates.PRIME, (2, 16, 1)).tolist()
    for elements, row in zip(sets, minhash(sets, 16, seed=5), strict=True):
        numbers = [
            near_duplicates.zlib.crc32(element.encode()) % near_duplicates.PRIME
            for element in elements
        ]
        expected = [
            min((a * x + b) % near_duplicates.PRIME for x in numbers)
            for (a,), (b,) in zip(factor, shift, strict=True)
        ]
        assert row.tolist() == expected


def family(seed, count=40):
    """Texts and ever more changed copies of them: pairs of every similarity."""
    rng, texts = random.Random(seed), []
    for _ in range(count):
        letters = [rng.choice("abcdefgh ") for _ in range(120)]
        for changes in (0, 1, 2, 4, 8, 16):
            copy = list(letters)
            for place in rng.sample(range(120), changes):
                copy[place] = rng.choice("xyz")
            texts.append("".join(copy))
    return texts + [text.upper() for text in texts[:3]]


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7, 0.8, 0.95, 1.0])
def test_lsh_finds_what_all_pairs_finds(threshold):
    sets = [shingles(text) for text in family(seed=1)]
    exact = exact_pairs(sets, threshold)
    assert near_pairs(sets, threshold) == exact
    assert len(exact) > (20 if threshold < 0.9 else 0)


@pytest.mark.parametrize(
    "by, threshold", [("prompt", 0.8), ("prompt", 0.5), ("output", 0.6), ("all", 0.7)]
)
def test_lsh_finds_what_all_pairs_finds_in_the_courses_data(by, threshold):
    entries = read_entries(DATA)
    assert find_duplicates(entries, by, threshold) == find_duplicates(
        entries, by, threshold, exact=True
    )


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.8, 0.9, 1.0])
def test_the_bands_keep_their_promise(threshold):
    bands, rows = choose_bands(threshold)
    assert bands * rows <= near_duplicates.N_HASHES
    assert 1 - chance(threshold, bands, rows) <= near_duplicates.MISSED
    longer = rows + 1
    assert (
        threshold == 1
        or 1 - chance(threshold, near_duplicates.N_HASHES // longer, longer)
        > near_duplicates.MISSED
    )
    with pytest.raises(ValueError, match="too low"):
        choose_bands(0.01)


def test_chance_is_what_one_sees():
    """Pairs of one similarity, many random functions: as many share a bucket as the formula says."""
    a, b = {str(i) for i in range(100)}, {str(i) for i in range(40, 140)}
    similarity, (bands, rows) = jaccard(a, b), (5, 2)
    hits = [
        bool(near_duplicates.candidates(minhash([a, b], bands * rows, seed), bands, rows))
        for seed in range(600)
    ]
    assert np.mean(hits) == pytest.approx(chance(similarity, bands, rows), abs=0.08)


def test_groups():
    assert groups(6, [(0, 3), (3, 5), (1, 2)]) == [[0, 3, 5], [1, 2]]
    assert groups(4, []) == []
    assert groups(5, [(3, 4), (2, 3), (1, 2), (0, 1)]) == [[0, 1, 2, 3, 4]]


def test_many_copies_are_cheap():
    """Five thousand copies of one text are five thousand entries of one group, not twelve million
    pairs.
    """
    found, pairs = find_duplicates([entry("Say yes.")] * 5000 + [entry("")] * 5000)
    assert [len(group) for group in found] == [5000] and len(pairs) == 4999
    assert len(without_copies([entry("Say yes.")] * 5, [[0, 1, 2, 3, 4]])) == 1


def test_planted_copies_are_found_and_paraphrases_are_not():
    entries, planted = plant(read_entries(DATA))
    found, _ = find_duplicates(entries, threshold=0.6)
    group_of = {number: at for at, group in enumerate(found) for number in group}
    caught = {
        way: [group_of.get(i, -1) == group_of.get(j, -2) for i, j, w in planted if w == way]
        for way in WAYS
    }
    assert all(len(hits) == 20 for hits in caught.values())
    for way in ("capitals and spaces", "a letter missing", "a word more"):
        assert all(caught[way]), way
    assert not any(
        group_of.get(i, -1) == group_of.get(j, -2) for i, j, way in planted if way == "other words"
    )


# --- Leaks ----------------------------------------------------------------------------------------


def test_leaks_are_the_planted_ones():
    train = [
        entry("Name the capital city of the kingdom of Denmark."),
        entry("Sort these numbers.", "3, 1, 2"),
        entry(""),
    ]
    test = [
        entry("Describe a sunset."),
        entry("name  the capital city of the kingdom of denmark."),
        entry("Name the capital city of the kingdom of Denmark!"),
        entry(""),
    ]
    leaks = find_leaks([train, test])
    assert set(leaks[0, 1]) == {1, 2}
    assert leaks[0, 1][1] == (0, 1.0) and leaks[0, 1][2][0] == 0 and 0.8 <= leaks[0, 1][2][1] < 1
    assert find_leaks([train, test], exact=True) == leaks
    assert find_leaks([test, train])[0, 1].keys() == {0}
    assert find_leaks([train[:2], test[:1], test[1:]])[0, 2].keys() == {0, 1}


def test_a_leak_names_the_nearest():
    near = "Write one sentence about the old lighthouse on the island"
    train = [
        entry(f"{near} and the sea."),
        entry(f"{near}!"),
        entry(f"{near} and the ships and the sea."),
    ]
    assert find_leaks([train, [entry(f"{near}.")]], threshold=0.5)[0, 1][0][0] == 1


# --- Reading and statistics -----------------------------------------------------------------------


def test_findings_are_the_planted_ones():
    entries = [
        entry("Say what you see.", "", "I see a field."),
        entry("", "", "yes"),
        entry("Count to three.", "", " "),
        entry("say WHAT you  see.", "", "A river."),
        entry("Name a colour please.", "", "Name a colour please. Blue."),
        entry("Repeat it.", "Hello you there", "Hello you there"),
        entry("Tell me more.", "", "word " * 30),
        entry("Greet in Greek.", "", "Γειά"),
        entry("Fix the text.", "cafÃ©", "café"),
    ]
    found = findings(entries)
    assert found["the instruction is empty"] == [2] and found["the answer is empty"] == [3]
    assert found["the prompt was there before"] == [4] and found[
        "the prompt has several answers"
    ] == [1, 4]
    assert found["the answer repeats the prompt"] == [5] and found["the answer is the input"] == [6]
    assert found["a long answer without an end"] == [7]
    assert found["letters of several scripts"] == [8] and found["damaged characters"] == [9]


def test_statistics_count_what_is_there():
    entries = [
        entry("Write a poem.", "", "Roses are red.", kind="poem"),
        entry("Write!", "Привет", "no", kind="other"),
    ]
    found = dataset_utilities.statistics(entries, gpt2_tokenizer())
    assert (
        found["entries"] == 2
        and found["kinds"] == {"poem": 1, "other": 1}
        and found["first words"] == {"write": 2}
    )
    assert found["tokens"]["output"] == [5, 1] and found["tokens"]["input"][0] == 0
    assert found["scripts"]["CYRILLIC"] == 6
    assert dataset_utilities.scripts_of("ab 漢字 ж 12 β") == {
        "LATIN": 2,
        "CJK": 2,
        "CYRILLIC": 1,
        "GREEK": 1,
    }


def test_every_form_of_file_is_read(tmp_path):
    alpaca = [{"instruction": "Do it.", "input": "", "output": "Done.", "text": "Below is …"}]
    (tmp_path / "alpaca.json").write_text(json.dumps(alpaca))
    (tmp_path / "lines.jsonl").write_text(
        '{"instruction": "a", "output": "b"}\n\n{"instruction": "c", "output": "d"}\n'
    )
    (tmp_path / "bom.json").write_text(
        '\ufeff[{"instruction": "a", "output": "\\ud800"}]', encoding="utf-8"
    )
    assert read_entries(tmp_path / "alpaca.json") == alpaca
    assert [one["input"] for one in read_entries(tmp_path / "lines.jsonl")] == ["", ""]
    broken = read_entries(tmp_path / "bom.json")
    assert findings(broken)["damaged characters"] == [1]
    assert dataset_utilities.statistics(broken, gpt2_tokenizer())["entries"] == 1


BAD = {
    "nothing": ("", "no JSON"),
    "half": ('[{"instruction": "a", "out', "no JSON"),
    "prose": ("Dear reader,", "no JSON"),
    "empty list": ("[]", "it has none"),
    "a number": ("7", "must hold a list"),
    "strings": ('["a"]', "entry 1: an entry looks like"),
    "no output": (
        '[{"instruction": "a", "output": "b"}, {"instruction": "a"}]',
        "entry 2: it has no output",
    ),
    "number": ('[{"instruction": "a", "output": 3}]', "its output must be a string, not int"),
    "a bad line": ('{"instruction": "a", "output": "b"}\n{"instruction": ', "line 2 is no JSON"),
    "deep": ("[" * 100_000, "nested too deeply"),
}


def run(*arguments):
    command = [sys.executable, str(FOLDER / "dataset_utilities.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8")


@pytest.mark.parametrize("name", BAD)
def test_bad_files_cost_one_line(name, tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(BAD[name][0])
    with pytest.raises(ValueError, match=BAD[name][1]) as error:
        read_entries(path)
    assert "\n" not in str(error.value)[:50] and "mine.json" in str(error.value)


def test_the_command_line(tmp_path):
    result = run("stats", DATA)
    assert (
        result.returncode == 0 and "1,100 entries" in result.stdout and "61 kinds" in result.stdout
    )
    out = tmp_path / "kept.json"
    first, exact = run("duplicates", DATA, "--out", out), run("duplicates", DATA, "--exact")
    assert first.stdout.startswith(exact.stdout.rstrip("\n")) and first.returncode == 0
    assert 900 < len(read_entries(out)) < 1100
    before = out.read_bytes()
    refused = run("duplicates", DATA, "--out", out)
    assert (
        refused.returncode == 1
        and "exists already" in refused.stderr
        and out.read_bytes() == before
    )
    assert f"{len(read_entries(out)):,} of" in run("leaks", DATA, out, "--show", 0).stdout


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("stats", "no-such-file.json"), "no-such-file.json"),
        (("duplicates", DATA, "--threshold", "0"), "between 0.1 and 1"),
        (("duplicates", DATA, "--threshold", "nan"), "between 0.1 and 1"),
        (("leaks", DATA), "at least two"),
    ],
)
def test_bad_arguments_cost_one_line(arguments, message):
    result = run(*arguments)
    assert (
        result.returncode == 1
        and message in result.stderr
        and len(result.stderr.strip().splitlines()) == 1
    )
    assert "Traceback" not in result.stderr


def test_help_is_fast_because_torch_stays_out():
    code = "import sys, dataset_utilities; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], cwd=FOLDER).returncode == 0
    assert run("--help").returncode == 0
