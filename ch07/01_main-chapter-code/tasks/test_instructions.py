"""The instructions: what is committed is true, varied and free of leaks, and the grader accepts
what is right alone.
"""

import json
import random
import re
import subprocess
import sys
from collections import Counter, defaultdict
from datetime import datetime
from pathlib import Path

import pytest

if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__]))

from ch02_01_main_chapter_code.bpe import BPETokenizer
from ch05_01_main_chapter_code.tales import make_tale, parse_tale
from ch07_01_main_chapter_code.instructions import (
    DATA_FILE,
    DATA_SEED,
    KINDS,
    PLAIN_KINDS,
    TALE_KINDS,
    WRITTEN_KINDS,
    grade,
    load_entries,
    main,
    make_entries,
    prompt_of,
    save_entries,
    source_of,
    split,
)
from ch07_01_main_chapter_code.previous_chapters import SHE, TABLES
from ch07_01_main_chapter_code.tasks import words
from ch07_01_main_chapter_code.tasks.kinds import folded, unquoted
from ch07_01_main_chapter_code.tasks.tale_kinds import (
    FOLLOWING,
    exchange,
    fill,
    options,
    passage_with,
    questions_about,
    rename,
    retold,
    told_in,
)
from ch07_01_main_chapter_code.tasks.tale_lines import ASKED, ASKED_OF_ALL, TOLD
from scratch_llm_tools.measuring import CpuTime, measured_line

TALES_GPT = Path(__file__).parents[3] / "ch05" / "01_main-chapter-code" / "tales-gpt"
WHOLE_TALES = ("tale-write",)
MADE = [name for name, kind in KINDS.items() if kind.make]


@pytest.fixture(scope="module")
def entries():
    return load_entries()


@pytest.fixture(scope="module")
def fresh():
    return make_entries(2150, seed=99)  # 50 of each kind


def of_kind(entries, *kinds):
    return [entry for entry in entries if entry["kind"] in kinds]


def sentences_in(text):
    return len(re.findall(r"[.!?]+[\"”]?(?: |$)", text))


# --- The committed file ---------------------------------------------------------------------------


def test_the_file_has_1100_entries_of_many_kinds_at_least_half_of_them_checkable(entries):
    assert len(entries) == 1100
    assert {entry["kind"] for entry in entries} == set(KINDS) and len(KINDS) >= 25
    assert min(Counter(entry["kind"] for entry in entries).values()) >= 12
    checkable = sum(grade(entry, entry["output"]) is not None for entry in entries)
    assert checkable >= 550
    assert len(of_kind(entries, *TALE_KINDS)) >= 0.15 * len(entries)


def test_the_file_is_small_and_has_one_entry_on_a_line():
    lines = DATA_FILE.read_text(encoding="utf-8").splitlines()
    assert DATA_FILE.stat().st_size < 600_000
    assert lines[0] == "[" and lines[-1] == "]" and len(lines) == 1102
    assert all(isinstance(json.loads(line.removesuffix(",")), dict) for line in lines[1:-1])


def test_no_prompt_and_no_fact_occurs_twice(entries):
    prompts = Counter(re.sub(r"\W+", " ", prompt_of(entry)) for entry in entries)
    assert [prompt for prompt, count in prompts.items() if count > 1] == []
    sources = Counter(
        (entry["kind"], source_of(entry)) for entry in entries if entry["kind"] != "reading"
    )
    assert [source for source, count in sources.items() if count > 1] == []


def test_free_answers_differ_and_every_answer_has_a_sensible_length(entries):
    free = Counter(entry["output"] for entry in entries if not KINDS[entry["kind"]].grade)
    assert max(free.values()) == 1
    for entry in entries:
        limit = 130 if entry["kind"] in WHOLE_TALES else 60
        assert 1 <= len(entry["output"].split()) <= limit, entry
        assert (
            entry["output"] == entry["output"].strip() and entry["input"] == entry["input"].strip()
        )


def test_instructions_are_worded_in_several_ways(entries):
    for kind in KINDS:
        assert len({entry["instruction"] for entry in of_kind(entries, kind)}) >= 2, kind


def test_the_made_entries_of_the_file_can_be_made_again(entries):
    made = [entry for entry in entries if KINDS[entry["kind"]].make]
    again = make_entries(len(made), DATA_SEED)
    assert sorted(made, key=prompt_of) == sorted(again, key=prompt_of)


def test_answers_about_a_text_stand_in_the_text(entries):
    for entry in of_kind(entries, "reading"):
        assert folded(entry["output"]).removeprefix("because ") in entry["input"].lower(), entry


def test_written_answers_do_what_they_are_asked_to_do(entries):
    """Lengths, lines and words that an instruction asks for can be counted, even where a reader
    must judge the rest.
    """
    checked = Counter()
    for entry in of_kind(entries, *WRITTEN_KINDS):
        instruction, output, lines = (
            entry["instruction"],
            entry["output"],
            entry["output"].split("\n"),
        )
        asked = {
            "at most five words": len(output.split()) <= 5,
            "at most ten words": len(output.split()) <= 10,
            "in one sentence": sentences_in(output) == 1,
            "summary of two sentences": sentences_in(output) == 2,
            "haiku": len(lines) == 3,
            "limerick": len(lines) == 5,
            "wo rhyming lines": len(lines) == 2,
            "our rhyming lines": len(lines) == 4,
            "dialogue of four lines": len(lines) == 4,
            "with all three words": all(
                word in output.lower() for word in entry["input"].lower().split(", ")
            ),
            "question with both words": output.endswith("?")
            and all(w in output for w in entry["input"].split(", ")),
            "two different meanings": len(re.findall(rf"\b{entry['input']}\b", output.lower()))
            == 2,
            "Answer with a number": output.isdigit(),
            "Answer with one word.": len(output.split()) == 1,
            "Answer with two words.": len(output.split()) == 2,
        }
        for words_asked, holds in asked.items():
            if words_asked in instruction:
                assert holds, entry
                checked[words_asked] += 1
    assert set(checked) == set(asked)
    feelings = of_kind(entries, "feeling")
    assert all(re.search(rf"\b{entry['output']}\b", entry["instruction"]) for entry in feelings)


# --- Grading --------------------------------------------------------------------------------------


def checkable(entries):
    return [entry for entry in entries if KINDS[entry["kind"]].grade]


def test_right_answers_are_right_in_any_coat(entries, fresh):
    for entry in checkable(entries + fresh):
        right = entry["output"]
        coats = [right, f"  {right}\n"] + (
            [f'"{right}"', f"“{right}”"] if not re.search('["“”]', right) else []
        )
        if KINDS[entry["kind"]].grade.__name__ == "same_words":
            coats += [right.upper(), right.removesuffix("."), right.removesuffix(".") + "."]
        assert all(grade(entry, coat) is True for coat in coats), entry


def damaged(text, rng):
    """Wrong answers that resemble the right one."""
    at = rng.randrange(len(text))
    while not text[at].isalnum():
        at = rng.randrange(len(text))
    parts = text.split()
    yield text[:at] + text[at + 1 :]  # a letter is missing
    yield text[:at] + ("7" if text[at] != "7" else "3") + text[at + 1 :]  # a letter is wrong
    yield f"{text} {parts[-1]}"  # a word too many
    yield f"Sure! The answer is: {text}"
    yield f"{text}\n\nI hope that this helps."
    if len(parts) > 1:
        yield " ".join(parts[:-1])
        swapped = [parts[1], parts[0], *parts[2:]]
        if swapped != parts:
            yield " ".join(swapped)


def test_wrong_answers_are_wrong(entries, fresh):
    rng = random.Random(5)
    rejected = Counter()
    for entry in checkable(entries + fresh):
        for answer in ("", " ", "?", ".", '""', *damaged(entry["output"], rng)):
            assert grade(entry, answer) is False, (entry, answer)
            rejected[entry["kind"]] += 1
    assert (
        set(rejected) == {kind for kind in KINDS if KINDS[kind].grade}
        and min(rejected.values()) > 100
    )


def test_the_answer_to_another_question_is_wrong(entries, fresh):
    rng = random.Random(6)
    by_kind, compared = defaultdict(list), Counter()
    for entry in checkable(entries + fresh):
        by_kind[entry["kind"]].append(entry)
    for kind, group in by_kind.items():
        for entry in group:
            other = rng.choice(group)["output"]
            if folded(other) != folded(entry["output"]):
                # A tale may happen to end just as another one does; only the grammar can tell.
                fits = kind == "tale-finish" and parse_tale(f"{entry['input']} {other}") is not None
                assert grade(entry, other) is fits, (entry, other)
                compared[kind] += not fits
    assert min(compared[kind] for kind in by_kind) >= 20


def test_where_writing_is_the_task_capitals_and_marks_count():
    entry = {
        "instruction": "Add capitals.",
        "input": "why is ada late",
        "output": "Why is Ada late?",
        "kind": "capitals",
    }
    assert grade(entry, "Why is Ada late?") and grade(entry, '"Why is Ada late?"')
    assert not grade(entry, "why is ada late?") and not grade(entry, "Why is Ada late")


def test_a_quotation_inside_an_answer_is_no_coat():
    assert unquoted('"Swap?" said Gus. "Swap!"') == '"Swap?" said Gus. "Swap!"'
    assert (
        unquoted(' "the mill" ') == "the mill" and unquoted('"') == '"' and unquoted('""') == '""'
    )


def test_json_may_be_laid_out_in_another_way():
    entry = {
        "instruction": "As JSON.",
        "input": "a",
        "output": '{"name": "Ida", "age": 8}',
        "kind": "format",
    }
    assert grade(entry, '{"age":8,\n "name":"Ida"}')
    assert not grade(entry, '{"age": "8", "name": "Ida"}') and not grade(
        entry, '```{"name": "Ida", "age": 8}```'
    )


def test_kinds_that_only_a_reader_can_judge_are_not_graded(entries):
    free = [entry for entry in entries if not KINDS[entry["kind"]].grade]
    assert len(free) >= 250
    assert all(grade(entry, answer) is None for entry in free for answer in ("", entry["output"]))


# --- Truth of what is made ------------------------------------------------------------------------


def test_sums_products_and_shares_are_right(fresh):
    checked = Counter()
    for entry in of_kind(make_entries(300, 4, ["arithmetic"]) + fresh, "arithmetic"):
        numbers = [int(number) for number in re.findall(r"\d+", entry["instruction"])]
        if entry["input"]:
            result = eval(
                entry["input"], {"__builtins__": {}}
            )  # "19 + 4 * 3": Python knows what comes first
        elif "away" in entry["instruction"]:
            result = numbers[0] - numbers[1]
        elif "shared" in entry["instruction"]:
            result = numbers[0] / numbers[1]
        else:
            result = numbers[0] * numbers[1] if "boxes" in entry["instruction"] else sum(numbers)
        assert result == int(entry["output"]) >= 0, entry
        checked[entry["instruction"].split()[-1]] += 1
    assert len(checked) >= 5


def test_numbers_and_numerals_agree():
    roman = dict(I=1, V=5, X=10, L=50, C=100, D=500, M=1000)

    def value(text):
        digits = [roman[letter] for letter in text]
        return sum(-a if a < b else a for a, b in zip(digits, [*digits[1:], 0], strict=True))

    spoken = {
        "one": 1,
        "eleven": 11,
        "forty-two": 42,
        "ninety": 90,
        "two hundred": 200,
        "three hundred and seven": 307,
        "nine hundred and ninety-nine": 999,
        "five hundred and eighteen": 518,
    }
    seen = {}
    for entry in make_entries(1500, 2, ["numeral"]):
        given, written = entry["input"], entry["output"]
        number, other = (given, written) if given.isdigit() else (written, given)
        if re.fullmatch("[IVXLCDM]+", other):
            assert value(other) == int(number) and not re.search(r"IIII|XXXX|CCCC|VV|LL|DD", other)
        else:
            seen[other] = int(number)
    assert len(seen) == len(set(seen.values())) > 300
    assert all(seen[text] == number for text, number in spoken.items() if text in seen)


# mm, g, ml, seconds, pieces and months in each unit
IN_SMALL_UNITS = dict(
    km=1e6,
    m=1e3,
    cm=10,
    mm=1,
    kg=1e3,
    g=1,
    t=1e6,
    l=1e3,
    ml=1,
    minutes=60,
    seconds=1,
    hours=3600,
    days=86400,
    weeks=604800,
    dozen=12,
    pieces=1,
    years=12,
    months=1,
)


def test_times_dates_and_units_agree():
    for entry in make_entries(300, 3, ["time"]):
        clocks = [
            int(h) * 60 + int(m)
            for h, m in re.findall(r"(\d\d):(\d\d)", entry["instruction"] + " " + entry["output"])
        ]
        length = re.search(r"(\d+) minutes", entry["instruction"] + f" {entry['output']} minutes")
        if "oven" in entry["instruction"]:
            assert clocks[0] - clocks[1] == int(length[1])
        elif clocks:
            assert clocks[1] - clocks[0] == int(length[1])
    forms = ("%Y-%m-%d", "%d.%m.%Y", "%d %B %Y", "%B %d, %Y")
    for entry in make_entries(200, 3, ["date"]):
        days = set()
        for text in (entry["input"], entry["output"]):
            for form in forms:
                try:
                    days.add(datetime.strptime(text, form))
                except ValueError:
                    continue
        assert len(days) == 1 and entry["input"] != entry["output"]
    for entry in make_entries(200, 3, ["units"]):
        sizes = [
            float(number) * IN_SMALL_UNITS[unit]
            for number, unit in (entry["input"].split(), entry["output"].split())
        ]
        assert (
            sizes[0] == pytest.approx(sizes[1])
            and entry["output"].split()[1] in entry["instruction"]
        )


def test_lists_letters_and_counts_are_right():
    for entry in make_entries(300, 8, ["sorting"]):
        given, sorted_ = entry["input"].split(", "), entry["output"].split(", ")
        key = int if given[0].isdigit() else str
        assert (
            sorted_ == sorted(given, key=key, reverse="largest to" in entry["instruction"])
            and len(set(given)) >= 4
        )
    for entry in make_entries(300, 8, ["counting"]):
        quoted, listed = (
            re.findall(r'"(\w+)"', entry["instruction"]),
            re.findall(r"\w+", entry["input"]),
        )
        if "letters has" in entry["instruction"]:
            count = len(quoted[0])
        elif "occur" in entry["instruction"]:
            count = quoted[1].count(quoted[0])
        else:
            count = sum(word.startswith(quoted[0]) for word in listed) if quoted else len(listed)
        assert count == int(entry["output"]) > 0
    for entry in make_entries(300, 8, ["sequence"]):
        row = [int(number) for number in f"{entry['input']}, {entry['output']}".split(", ")]
        steps = [b - a for a, b in zip(row, row[1:], strict=False)]
        ratio = {b / a for a, b in zip(row, row[1:], strict=False)}
        assert len(row) >= 5 and (
            len({b - a for a, b in zip(steps, steps[1:], strict=False)}) == 1 or ratio == {2.0}
        )


def test_tables_hold_no_fact_twice_and_no_word_in_two_groups():
    for rows in (words.PLURALS, words.COMPARISON, words.OPPOSITES, words.SYNONYMS):
        cells = [word for row in rows for word in dict.fromkeys(row)]
        assert [word for word, count in Counter(cells).items() if count > 1] == []
    for groups in (words.CATEGORIES.values(), words.RHYMES):
        members = [word for group in groups for word in group]
        assert [word for word, count in Counter(members).items() if count > 1] == []
    assert [
        row for row in words.ACTIONS if sum(row[4] in other[4] for other in words.ACTIONS) != 1
    ] == []
    for relation in words.ANALOGIES:
        asked = [first for first, _ in relation]
        assert len(asked) == len(set(asked)) >= 4
    for row in words.SPELLING + words.GRAMMAR:
        assert re.fullmatch(r"[^()/]*\([^()/]+/[^()/]+\)[^()/]*", row) and row.endswith(
            (".", "?")
        ), row


def test_choices_offer_the_right_word_once(fresh):
    for entry in of_kind(fresh, "synonym", "opposite", "rhyme", "odd-one-out"):
        assert (
            entry["input"].split(", ").count(entry["output"]) == 1
            and len(set(entry["input"].split(", "))) == 4
        )
    for entry in of_kind(fresh, "category"):
        assert (
            entry["output"] in entry["instruction"]
            and entry["input"] in words.CATEGORIES[entry["output"]]
        )


# --- Tiny Tales -----------------------------------------------------------------------------------


def test_answers_about_a_tale_stand_in_the_tale(fresh):
    for entry in of_kind(
        fresh, "tale-who", "tale-what", "tale-where", "tale-when", "tale-like", "tale-said"
    ):
        tale = parse_tale(entry["input"])
        facts = {folded(fact) for fact in tale.facts.values()}
        last = re.sub(r"'s$", "", folded(entry["output"])).split()[-1]
        assert last in facts or last in entry["input"].lower() or last in ("day", "night"), entry


def test_every_question_and_every_sentence_turns_up_in_some_tale():
    rng = random.Random(3)
    asked, told = set(), set()
    for _ in range(900):
        tale = make_tale(rng)
        told.update(told_in(tale))
        for kind, *row in ASKED[tale.plot]:
            for question, answer, evidence in options(*row):
                if fill(evidence, tale.facts) in tale.text:
                    asked.add((tale.plot, question, answer))
                    assert (
                        fill(question, tale.facts),
                        fill(answer, tale.facts),
                    ) in questions_about(tale, kind)
    rows = {
        (plot, *chosen[:2])
        for plot, rows in ASKED.items()
        for _, *row in rows
        for chosen in options(*row)
    }
    assert rows - asked == set()
    assert [line for line in TOLD for (chosen,) in options(line) if chosen not in told] == []
    for plot, rows in ASKED.items():
        assert {"who", "what", "where", "why"} <= {row[0] for row in rows}, plot
    assert {row[0] for row in ASKED_OF_ALL} == {"who", "what", "when", "like"}


def test_a_sentence_in_another_tense_or_by_another_speaker_is_another_sentence():
    rng = random.Random(4)
    for _ in range(200):
        tale = make_tale(rng)
        for line in told_in(tale):
            past, present = retold(line, tale.facts), retold(line, tale.facts, "present")
            assert past in tale.text and past != present
            by_hero = retold(line, tale.facts, hero_tells=True)
            speaks = re.search(r"\b(I|me|my|My)\b", by_hero) is not None
            assert speaks == bool(re.search(r"\{(I|me|[Hh]e|him|[Hh]is)\}", line))


def test_a_changed_passage_has_one_word_exchanged_and_what_must_follow_it(fresh):
    tables = {
        "tale-animal": ("hero.kind", "friend.kind"),
        "tale-name": ("hero",),
        "tale-place": ("place",),
    }
    seen = Counter()
    for entry in of_kind(make_entries(600, 12, tables) + fresh, *tables):
        words = {word for slot in tables[entry["kind"]] for word in TABLES[slot]}
        before, after = (
            re.findall(r"[A-Za-z]+|[^A-Za-z]+", entry[field]) for field in ("input", "output")
        )
        assert len(before) == len(after) and sentences_in(entry["input"]) >= 2, entry
        changed = {(one, two) for one, two in zip(before, after, strict=True) if one != two}
        exchanged = {pair for pair in changed if pair[0] in words}
        ((old, new),) = exchanged
        assert new in words and new in entry["instruction"] and old not in after, entry
        assert all({one.lower(), two.lower()} <= FOLLOWING for one, two in changed - exchanged), (
            entry
        )
        seen[entry["kind"]] += 1
    assert min(seen.values()) >= 200


def test_a_passage_stands_in_its_tale_and_whole_tales_change_as_passages_do():
    rng = random.Random(4)
    for _ in range(200):
        tale = make_tale(rng)
        for slot in ("hero", "hero.kind", "place"):
            text = passage_with(tale.facts[slot], tale, rng)
            assert text is None or (text in tale.text and tale.facts[slot] in text)
        new = next(place for place in TABLES["place"] if place != tale.facts["place"])
        moved = parse_tale(exchange(tale.text, tale.facts["place"], new))
        assert moved.facts == {**tale.facts, "place": new}
        old = tale.facts["hero"]
        name = next(
            name for name in TABLES["hero"] if name != old and (name in SHE) == (old in SHE)
        )
        assert parse_tale(rename(tale.text, old, name)).facts == {**tale.facts, "hero": name}


def test_a_tale_can_be_finished_in_every_way_that_the_grammar_allows(fresh):
    for entry in of_kind(fresh, "tale-finish"):
        assert grade(
            entry, f"{entry['input']} {entry['output']}"
        )  # the whole tale is an answer, too
        assert not grade(entry, entry["input"]) and parse_tale(entry["input"]) is None
        tale = parse_tale(f"{entry['input']} {entry['output']}")
        other = "owl" if tale.facts["friend.kind"] != "owl" else "frog"
        if f" {tale.facts['friend.kind']}" in entry["output"]:
            assert not grade(entry, exchange(entry["output"], tale.facts["friend.kind"], other))
            endings = ["laughing", "arguing", "singing"]
            if any(word in entry["output"].split()[-3:] for word in endings):
                assert all(
                    grade(entry, re.sub("|".join(endings), ending, entry["output"]))
                    for ending in endings
                )


def test_a_tale_that_is_asked_for_has_the_hero_the_thing_and_the_place(fresh):
    for entry in of_kind(fresh, "tale-write"):
        tale = parse_tale(entry["output"])
        friend = next(kind for kind in ("frog", "mole") if kind != tale.facts["friend.kind"])
        assert grade(
            entry, exchange(entry["output"], tale.facts["friend.kind"], friend)
        )  # nobody asked about the friend
        assert not grade(entry, entry["output"] + " The end.")
        for slot, others in (("hero.kind", ("fox", "bear")), ("place", ("mill", "pond"))):
            wrong = next(word for word in others if word != tale.facts[slot])
            changed = re.sub(rf"\b{tale.facts[slot]}\b", wrong, entry["output"])
            assert parse_tale(changed) and not grade(entry, changed)


def test_tale_entries_fit_a_context_of_352_tokens_and_leave_room_for_a_template(fresh):
    tokenizer = BPETokenizer.load(TALES_GPT / "tokenizer.json")
    lengths = {}
    for entry in of_kind(fresh, *TALE_KINDS):
        length = len(
            tokenizer.encode(f"{entry['instruction']}\n{entry['input']}\n{entry['output']}")
        )
        lengths[entry["kind"]] = max(length, lengths.get(entry["kind"], 0))
    assert set(lengths) == set(TALE_KINDS) and max(lengths.values()) <= 320, lengths
    assert all(length <= 200 for kind, length in lengths.items() if kind not in WHOLE_TALES)


# --- Splitting ------------------------------------------------------------------------------------


def test_the_split_is_fixed_and_leaves_nothing_out(entries):
    parts = split(entries)
    assert sorted(sum(parts, []), key=prompt_of) == sorted(entries, key=prompt_of)
    assert split(list(reversed(entries)))[2] == parts[2][::-1]
    train, validation, test = map(len, parts)
    assert 900 <= train <= 960 and 45 <= validation <= 65 and 95 <= test <= 130
    assert len({entry["kind"] for entry in parts[0]}) == len(KINDS)
    assert len({entry["kind"] for entry in parts[2]}) >= len(KINDS) - 5


def test_no_story_text_or_fact_is_on_two_sides(entries, fresh):
    sides = [{source_of(entry) for entry in part} for part in split(entries + fresh)]
    assert not sides[0] & sides[1] and not sides[0] & sides[2] and not sides[1] & sides[2]
    train, _, test = split(of_kind(entries + fresh, *TALE_KINDS, "reading", "summarising"))
    stories = {entry["input"] for entry in train} - {""}
    assert not stories & {entry["input"] for entry in test}


def test_the_two_directions_of_a_fact_are_on_one_side(fresh):
    pairs = [
        ("plural", "Write the plural.", "mouse", "mice"),
        ("units", "Convert this to m.", "2 km", "2000 m"),
    ]
    for kind, instruction, one, other in pairs:
        there = {"instruction": instruction, "input": one, "output": other, "kind": kind}
        back = {"instruction": "The other way.", "input": other, "output": one, "kind": kind}
        assert source_of(there) == source_of(back)
    for entry in of_kind(fresh, "tense", "voice", "question", "negation"):
        assert (
            source_of(entry)[1] in entry["input"].lower()
            and source_of(entry)[1] in entry["output"].lower()
        )
    past, present, mine = "Ivy felt her ear.", "Ivy feels her ear.", "I felt my ear."
    rows = [
        ("tale-tense", "Change it to the present.", past, present),
        ("tale-tense", "Change it to the past.", present, past),
        ("tale-speaker", "Let Ivy tell it.", past, mine),
        ("tale-speaker", "Ivy is I. Tell it about Ivy.", mine, past),
    ]
    assert (
        len(
            {
                source_of({"kind": kind, "instruction": text, "input": one, "output": other})
                for kind, text, one, other in rows
            }
        )
        == 1
    )


def five_grams(entry):
    found = re.findall(r"[a-z0-9']+", f"{entry['input']} {entry['output']}".lower())
    return {tuple(found[i : i + 5]) for i in range(len(found) - 4)}


def test_test_texts_share_hardly_any_five_words_with_train_texts(entries, record_property):
    """Tales come from one grammar and share its phrases; but no test tale is covered by the train
    part.
    """
    train, _, test = split(entries)
    known = set().union(*(five_grams(entry) for entry in train))
    for name, kinds, limit in (
        ("written", WRITTEN_KINDS, 0.005),
        ("plain", PLAIN_KINDS, 0.05),
        ("tales", TALE_KINDS, 0.7),
    ):
        grams = [five_grams(entry) for entry in of_kind(test, *kinds) if five_grams(entry)]
        share = sum(len(found & known) for found in grams) / sum(map(len, grams))
        record_property(f"five words in a row known from train: {name}", share)
        assert share <= limit, (name, share)
        assert all(found - known for found in grams if len(found) > 5)


# --- Making ---------------------------------------------------------------------------------------


def test_the_same_seed_makes_the_same_entries_and_another_seed_others():
    assert make_entries(200, 1) == make_entries(400, 1)[:200]
    first, second = (
        {prompt_of(entry) for entry in make_entries(300, seed, TALE_KINDS)} for seed in (1, 2)
    )
    assert len(first) == len(second) == 300 and len(first & second) < 30
    assert make_entries(0, 1) == []


def test_kinds_take_turns_and_no_prompt_comes_twice():
    made = make_entries(len(MADE) * 8, 3)
    assert set(Counter(entry["kind"] for entry in made).values()) == {8}
    assert len({prompt_of(entry) for entry in made}) == len(made)
    assert {entry["kind"] for entry in make_entries(10, 3, ["plural", "tale-why"])} == {
        "plural",
        "tale-why",
    }


def test_a_kind_that_runs_dry_leaves_its_turns_to_the_others():
    made = make_entries(900, 5, ["comparison", "tale-who"])
    counts = Counter(entry["kind"] for entry in made)
    assert (
        counts["comparison"] <= 2 * len(words.COMPARISON)
        and counts["tale-who"] == 900 - counts["comparison"]
    )
    with pytest.raises(ValueError, match="of the 900 entries could be made"):
        make_entries(900, 5, ["comparison"])


@pytest.mark.parametrize("kinds", [["poem"], ["tale-who", "songs"], []])
def test_kinds_that_cannot_be_made_are_refused_with_the_list_of_those_that_can(kinds):
    with pytest.raises(
        ValueError, match="cannot make .*; the kinds that can be made are spelling, grammar"
    ):
        make_entries(5, 1, kinds)


def test_what_making_costs(record_property):
    with CpuTime() as cost:
        made = make_entries(1000, 17)
    assert len(made) == 1000
    record_property("measured", measured_line("1,000 instructions made", cost.seconds))


# --- Files and the command line -------------------------------------------------------------------


GOOD = {"instruction": "Write the plural.", "input": "ox", "output": "oxen", "kind": "plural"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[", "is no JSON: "),
        (b"\xff\xfe\x00", "looks like UTF-16"),
        ("[" * 100_000, "nested too deeply"),
        ("{}", "must hold a list of entries"),
        ("[]", "must hold a list of entries"),
        ([GOOD, "ox"], "entry 2: an entry has exactly the fields"),
        (
            [{"instruction": "Write.", "output": "x", "kind": "fact"}],
            "entry 1: an entry has exactly the fields",
        ),
        ([{**GOOD, "answer": "oxen"}], "entry 1: an entry has exactly the fields"),
        ([{**GOOD, "input": None}], "entry 1: input must be a string, not NoneType"),
        ([{**GOOD, "output": 7}], "entry 1: output must be a string, not int"),
        ([{**GOOD, "output": " "}], "entry 1: output is empty"),
        ([{**GOOD, "kind": "plurals"}], "entry 1: there is no kind 'plurals'"),
        ([GOOD, {**GOOD, "input": " OX"}], "entry 2: the same instruction and input as entry 1"),
    ],
)
def test_a_bad_file_is_refused_in_one_line(tmp_path, content, message):
    file = tmp_path / "bad.json"
    file.write_bytes(
        content
        if isinstance(content, bytes)
        else (content if isinstance(content, str) else json.dumps(content)).encode()
    )
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        load_entries(file)
    assert "\n" not in str(caught.value) and str(file) in str(caught.value)


def test_what_is_saved_is_loaded_again_and_never_overwritten(tmp_path):
    file = tmp_path / "mine.json"
    made = make_entries(60, 3)
    save_entries(made, file)
    assert load_entries(file) == made
    with pytest.raises(FileExistsError, match="choose another name"):
        save_entries(made[:5], file)
    assert load_entries(file) == made


def test_the_list_shows_every_kind(capsys):
    main([])
    printed = capsys.readouterr().out
    assert all(re.search(rf"^ *\d+  {kind} ", printed, re.MULTILINE) for kind in KINDS)
    assert f"1100 entries of {len(KINDS)} kinds" in printed and "\r" not in printed


def test_make_writes_a_file_that_can_be_loaded(tmp_path, capsys):
    file = tmp_path / "new.json"
    main(["--make", "30", "--seed", "4", "--kinds", "tale-who", "plural", "--out", str(file)])
    assert load_entries(file) == make_entries(30, 4, ["tale-who", "plural"])
    assert "30 entries of 2 kinds" in capsys.readouterr().out


def test_mistakes_on_the_command_line_are_one_line(tmp_path):
    file = tmp_path / "kept.json"
    file.write_text("mine")
    script = Path(__file__).parents[1] / "instructions.py"
    for arguments, message in (
        (["--make", "3", "--out", str(file)], "exists already"),
        (["--make", "0", "--out", str(tmp_path / "a.json")], "at least 1"),
        (["--make", "3"], "--out FILE"),
        (["--out", "b.json"], "belong to --make"),
        (["--make", "3", "--kinds", "song", "--out", str(tmp_path / "c.json")], "cannot make song"),
    ):
        with pytest.raises((ValueError, FileExistsError), match=message) as caught:
            main(arguments)
        assert "\n" not in str(caught.value)
    run = subprocess.run(
        [sys.executable, script, "--make", "3", "--out", file], capture_output=True, text=True
    )
    assert run.returncode == 1 and re.fullmatch(
        r"instructions\.py: .* exists already; .*\n", run.stderr
    ), run.stderr
    assert file.read_text() == "mine" and list(tmp_path.iterdir()) == [file]
