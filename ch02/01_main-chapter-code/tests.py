"""Tests of chapter 2: the tokenizers, the data loader, the checks of the exercises, the notebook's
code.
"""

import sys

import pytest

if (
    __name__ == "__main__"
):  # before the imports below: pytest gives the chapters their import names (conftest.py)
    raise SystemExit(pytest.main([__file__, *sys.argv[1:]]))

import ast
import doctest
import importlib
import json
import random
import runpy
import socket
import tracemalloc
import unicodedata
from collections import Counter
from pathlib import Path

import numpy as np
import regex
import torch

from ch02_01_main_chapter_code import bpe, checks, streams
from ch02_01_main_chapter_code.bpe import BPETokenizer
from ch02_01_main_chapter_code.dataloader import TokenDataset, create_dataloader
from ch02_01_main_chapter_code.tokenizer import (
    END_OF_TEXT,
    GPT2_PATTERN,
    UNKNOWN,
    SimpleTokenizer,
    gpt2_tokenizer,
)
from ch02_01_main_chapter_code.tokenizer_files import DIGITS_PATTERN, from_printable, printable
from scratch_llm_tools.exercises import (
    ExerciseTests,
    HintTests,
    MistakeTests,
    exercises_of,
    module_beside,
)
from scratch_llm_tools.notebook_code import assert_same_code, notebook_definitions

FOLDER = Path(__file__).parent
STORY = (FOLDER / "the-verdict.txt").read_text(encoding="utf-8")
TALES = (FOLDER / "tiny-tales.txt").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def gpt2():
    return gpt2_tokenizer()


@pytest.fixture(scope="module")
def ours():
    return BPETokenizer.from_gpt2()


@pytest.fixture(scope="module")
def trained():
    return BPETokenizer.train(STORY, vocab_size=600, special_tokens=(END_OF_TEXT, "<|user|>"))


# -------------------------------------------------------------------------------------------------
# SimpleTokenizer
# -------------------------------------------------------------------------------------------------


def test_simple_tokenizer_numbers_words_alphabetically_and_the_specials_last():
    tokenizer = SimpleTokenizer.train("the owl saw the fox.")
    assert tokenizer.vocab == {
        ".": 0,
        "fox": 1,
        "owl": 2,
        "saw": 3,
        "the": 4,
        UNKNOWN: 5,
        END_OF_TEXT: 6,
    }
    assert tokenizer.n_vocab == 7 and tokenizer.end_of_text == 6
    assert tokenizer.encode("the fox saw the owl.") == [4, 1, 3, 4, 2, 0]


def test_simple_tokenizer_gives_unknown_words_the_unknown_token():
    tokenizer = SimpleTokenizer.train("the owl saw the fox.")
    ids = tokenizer.encode("the dragon, saw.")
    assert ids == [4, 5, 5, 3, 0]
    assert tokenizer.decode(ids) == "the <|unk|> <|unk|> saw."


def test_simple_tokenizer_takes_special_strings_as_text_unless_they_are_allowed():
    tokenizer = SimpleTokenizer.train("a fox")
    text = f"a{END_OF_TEXT}fox"
    assert tokenizer.end_of_text not in tokenizer.encode(text)
    assert tokenizer.encode(text, allowed_special=(END_OF_TEXT,)) == [0, tokenizer.end_of_text, 1]


def test_simple_tokenizer_keeps_ids_that_a_vocabulary_brings():
    tokenizer = SimpleTokenizer({"fox": 7, UNKNOWN: 3})
    assert (
        tokenizer.encode("fox owl") == [7, 3]
        and tokenizer.end_of_text == 8
        and tokenizer.n_vocab == 9
    )


def test_simple_tokenizer_brings_the_story_back_but_for_spaces():
    tokenizer = SimpleTokenizer.train(STORY)
    ids = tokenizer.encode(STORY)
    assert tokenizer.vocab[UNKNOWN] not in ids
    assert tokenizer.encode(tokenizer.decode(ids)) == ids
    assert "Mrs. Augusta Pomfret, who had sat" in tokenizer.decode(ids)


# -------------------------------------------------------------------------------------------------
# GPT-2's tokenizer
# -------------------------------------------------------------------------------------------------


def test_gpt2_tokenizer_equals_known_ids_and_needs_no_network(monkeypatch, tmp_path):
    def refuse(*arguments, **options):
        raise AssertionError("the network was used")

    for name in ("socket", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)
    monkeypatch.setenv(
        "TIKTOKEN_CACHE_DIR", str(tmp_path)
    )  # empty: nothing fetched before can help
    tokenizer = gpt2_tokenizer()
    assert tokenizer.encode("Hello, world!") == [15496, 11, 995, 0]
    assert tokenizer.n_vocab == 50_257 and tokenizer.end_of_text == 50_256
    assert tokenizer.decode([15496, 11, 995, 0]) == "Hello, world!"


def test_gpt2_tokenizer_takes_special_strings_as_text_unless_they_are_allowed(gpt2):
    assert 50_256 not in gpt2.encode(f"a{END_OF_TEXT}b")
    assert gpt2.encode(f"a{END_OF_TEXT}b", allowed_special=(END_OF_TEXT,)) == [64, 50_256, 65]


# -------------------------------------------------------------------------------------------------
# BPETokenizer with GPT-2's merges against tiktoken
# -------------------------------------------------------------------------------------------------

SCRIPTS = {
    "latin": (0x20, 0x250),
    "greek": (0x370, 0x400),
    "cyrillic": (0x400, 0x500),
    "hebrew": (0x590, 0x600),
    "arabic": (0x600, 0x700),
    "devanagari": (0x900, 0x980),
    "thai": (0xE00, 0xE80),
    "hangul": (0xAC00, 0xB000),
    "kana": (0x3040, 0x3100),
    "han": (0x4E00, 0x5200),
    "emoji": (0x1F300, 0x1FAF0),
    "joiners": (0x2000, 0x2070),
    "control": (0x00, 0x20),
    "c1": (0x7F, 0xA1),
    "math": (0x1D400, 0x1D800),
    "private": (0xE000, 0xE100),
    "tags": (0xE0000, 0xE0080),
    "marks": (0x300, 0x370),
    "numbers": (0x2150, 0x2190),
    "last": (0x10FF00, 0x110000),
}
NASTY = [
    "",
    " ",
    "  ",
    "\n",
    "\r\n",
    "\t \n ",
    " a",
    "a ",
    "  a  b  ",
    "\u00a0a\u2003b\u3000",
    "\x00\x01\x7f",
    "\ufeffBOM",
    "I'll you're he'd DON'T 'S 'll''s",
    "x = 1\n\n    if y:\n\t\tz += 2\n",
    "3.14159 1,000,000 ½ ² Ⅷ ٣",
    "...!?!?--_--",
    "naïve na\u0131ve e\u0301 é \u1e9e",
    "👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽 🇩🇪🇫🇷",
    "مرحبا בעולם नमस्ते สวัสดี 你好 こんにちは 안녕",
    "\ud800",
    "a\udfffb",
    "\ud83d\ude00 \ude00\ud83d",
    "<|endoftext|>",
    "<|endoftext",
    "<|endoftext|><|endoftext|>",
    "<|<|endoftext|>|>",
    "ﬁ ﬂ Å Å ſ",
    "\u202eright to left\u202c",
    "Z̸̡͝a̴l̷g̵o̶",
    "\U0010ffff\ufffd\ufffe",
]


def random_strings(count, seed):
    """Strings of mixed scripts, with words, runs of one character, lone surrogates and special
    strings among them.

    Without characters that Unicode has not assigned yet: whether such a one is a letter depends on
    the Unicode version that `regex` and tiktoken were built with, and these differ.
    """
    rng = random.Random(seed)
    words = STORY.split(" ")

    def any_of(low, high):
        while unicodedata.category(character := chr(rng.randrange(low, high))) == "Cn":
            pass
        return character

    def piece():
        kind = rng.randrange(9)
        if kind < 4:
            low, high = SCRIPTS[rng.choice(list(SCRIPTS))]
            return "".join(any_of(low, high) for _ in range(rng.randint(1, 8)))
        if kind < 6:
            return rng.choice(words)
        if kind < 7:
            return rng.choice(" \n\tae0.'-\u00e9\u4f60") * rng.randint(2, 60)
        if kind < 8:
            return rng.choice(
                [END_OF_TEXT, "'s", "'LL", "\r\n", "\ud801", "\udc00", "<|", "\u200d"]
            )
        return rng.choice([any_of(0, 0x110000), any_of(0, 256)])

    return [
        rng.choice(["", " ", "  "]).join(piece() for _ in range(rng.randint(1, 12)))
        for _ in range(count)
    ]


def first_difference(strings, ours, theirs, allowed=()):
    """The first string that two tokenizers encode differently, or None."""
    different = (s for s in strings if ours.encode(s, allowed) != list(theirs.encode(s, allowed)))
    return next(different, None)


@pytest.mark.parametrize(
    "allowed", [(), (END_OF_TEXT,)], ids=["special strings are text", "special strings allowed"]
)
def test_gpt2_merges_equal_tiktoken_on_random_and_nasty_strings(ours, gpt2, allowed):
    strings = NASTY + random_strings(4000, seed=len(allowed)) + [STORY, TALES]
    assert first_difference(strings, ours, gpt2, allowed) is None


@pytest.mark.parametrize("character", ["a", " ", "\n", "0", "!", "é", "你", "😀", "\x00", "\u0301"])
def test_gpt2_merges_equal_tiktoken_on_ten_thousand_times_the_same_character(ours, gpt2, character):
    assert (
        first_difference([character * 10_000, "x" + character * 10_000 + "y"], ours, gpt2) is None
    )


def test_decode_brings_every_valid_text_back(ours, trained):
    for text in NASTY + random_strings(1000, seed=5):
        valid = not any(0xD800 <= ord(character) < 0xE000 for character in text)
        for tokenizer in (ours, trained):
            back = tokenizer.decode(tokenizer.encode(text))
            assert back == (
                text
                if valid
                else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
            )


def test_decode_of_half_a_character_and_of_an_unknown_id(ours, gpt2):
    half = ours.encode("😀")[:1]
    assert ours.decode(half) == gpt2.decode(half) == "\ufffd"
    assert ours.decode(torch.tensor([15496, 50_256])) == f"Hello{END_OF_TEXT}"
    with pytest.raises(ValueError, match="50257.*0 to 50256"):
        ours.decode([50_257])


STREAM_PATTERNS = {
    "GPT-2": GPT2_PATTERN,
    "GPT-4": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "every digit a word": DIGITS_PATTERN,
    "looks far behind": r"moon over the (?=mill)|\p{L}|(?<=\p{N}) |x",
    "whole text": r"(?s).+",
    "matches of nothing": r"\p{L}*",
}


def cut_anywhere(text, rng, longest):
    """The text in pieces of 0 to `longest` characters."""
    pieces, start = [], 0
    while start < len(text):
        length = rng.randint(0, longest)
        pieces.append(text[start : start + length])
        start += length
    return pieces


@pytest.mark.parametrize("allowed", [(), "all"], ids=["special strings are text", "allowed"])
@pytest.mark.parametrize("pattern", STREAM_PATTERNS.values(), ids=STREAM_PATTERNS)
def test_a_text_in_pieces_has_the_ids_of_the_whole(pattern, allowed, monkeypatch):
    special = (END_OF_TEXT, "<|endoftext|><|user|>", "<|user|>")
    tokenizer = BPETokenizer.train(STORY[:20_000], 400, special, pattern)
    rng = random.Random(5)
    monkeypatch.setattr(streams, "CHUNK", 7)  # so that words are given out early
    tricky = [
        "   \n \n  x",
        "we'll they've I'",
        "moon over the mill, moon over the hill",
        "1 2 12345",
    ]
    texts = [*NASTY, *tricky, *random_strings(60, seed=6), STORY[:3000], *special]
    for _ in range(80):
        text = "".join(rng.sample(texts, 4))
        want = tokenizer.encode(text, allowed)
        for longest in (1, 3, 200):
            pieces = cut_anywhere(text, rng, longest)
            assert list(tokenizer.encode_iterable(pieces, allowed)) == want, pieces


def test_a_text_in_pieces_of_the_usual_size_has_the_ids_of_the_whole(ours):
    rng, text = random.Random(7), STORY + TALES * 3
    for longest in (1000, 200_000):
        pieces = cut_anywhere(text, rng, longest)
        assert list(ours.encode_iterable(pieces, "all")) == ours.encode(text, "all")


def test_a_stream_is_read_in_bounded_memory_and_gives_ids_before_it_ends(trained):
    trained.encode(STORY)  # its words are remembered before the measurement
    read = 0

    def stories(count):
        nonlocal read
        for _ in range(count):
            read += 1
            yield STORY

    next(trained.encode_iterable(stories(1000)))
    assert read < 20
    peaks = []
    for count in (20, 60):
        tracemalloc.start()
        n_ids = sum(1 for _ in trained.encode_iterable(stories(count)))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert n_ids == len(trained.encode(STORY * count))
    assert peaks[1] < 1.2 * peaks[0] and peaks[1] < len(STORY) * 60


def test_a_stream_refuses_an_allowed_string_that_is_none(trained):
    with pytest.raises(ValueError, match="no special tokens here"):
        list(trained.encode_iterable(["a"], ("<|nobody|>",)))


def test_allowing_a_special_string_that_is_none_is_an_error(ours):
    with pytest.raises(ValueError, match="<|user|>"):
        ours.encode("hello", allowed_special=("<|user|>",))


# -------------------------------------------------------------------------------------------------
# Training, against a reference that counts everything anew for each merge
# -------------------------------------------------------------------------------------------------


def naive_merges(texts, n_merges, pattern=GPT2_PATTERN):
    words = [
        [bytes([b]) for b in word.encode()]
        for text in texts
        for word in regex.findall(pattern, text)
    ]
    merges = []
    while len(merges) < n_merges:
        counts = Counter(pair for word in words for pair in zip(word, word[1:], strict=False))
        if not counts:
            break
        best = max(counts, key=lambda pair: (counts[pair], pair))
        merges.append(best)
        for word in words:
            i = 0
            while i + 1 < len(word):
                if (word[i], word[i + 1]) == best:
                    word[i : i + 2] = [best[0] + best[1]]
                i += 1
    return merges


def random_words(seed, alphabet, longest):
    rng = random.Random(seed)
    return " ".join("".join(rng.choices(alphabet, k=rng.randint(1, longest))) for _ in range(60))


CORPORA = {
    "story": ([STORY[:6000]], 90),
    "tales": (TALES[:6000].split(END_OF_TEXT), 90),
    "ties": (["ab cd ef gh ij ba dc"], 12),
    "ties of different lengths": (["abc abd bcd aabb bbaa abab baba"], 15),
    "runs": (["aaaaaaa aaaa aaa aa a bbbbbbbb", "ababababab"], 20),
    "scripts": (["नमस्ते नमस्ते दुनिया", "你好你好世界", "😀😀😃 😀😃"], 60),
    "nothing left to merge": (["ab", "cd"], 50),
    "empty": ([""], 5),
    "without spaces": (["".join(random.Random(0).choices("abcdefgh", k=2000))], 120),
    "one letter": (["a" * 1000, "a" * 77], 20),
    **{f"two letters, seed {seed}": ([random_words(seed, "ab", 14)], 120) for seed in range(6)},
    **{f"three letters, seed {seed}": ([random_words(seed, "aab", 9)], 80) for seed in range(6)},
}


@pytest.mark.parametrize("name", CORPORA)
def test_training_equals_recounting_everything(name):
    texts, n_merges = CORPORA[name]
    tokenizer = BPETokenizer.train(texts, vocab_size=256 + 1 + n_merges)
    assert tokenizer.merges == naive_merges(texts, n_merges)
    made = {left + right for left, right in tokenizer.merges}
    assert (
        len(made) == len(tokenizer.merges) == tokenizer.n_vocab - 257
    )  # each merge makes a new token
    assert sorted(tokenizer.tokens) == list(range(tokenizer.n_vocab))


def test_training_on_text_without_spaces_takes_steps_in_proportion_to_the_text(monkeypatch):
    """Counted in steps, not in seconds: how many places are looked at for all merges together."""
    looked_at = []
    pair = bpe._Words.pair
    monkeypatch.setattr(bpe._Words, "pair", lambda *given: looked_at.append(1) or pair(*given))

    def steps(length):
        looked_at.clear()
        text = "".join(random.Random(length).choices("abcdefghijklmnopqrstuvwxyz", k=length))
        BPETokenizer.train(text, vocab_size=257 + length // 4)
        return len(looked_at)

    assert steps(8000) < 2.5 * steps(4000) and steps(8000) < 12 * 8000


def test_of_equally_frequent_pairs_the_greater_byte_strings_come_first():
    # every pair once: z+y > y+x > b+a as byte strings
    assert BPETokenizer.train("ba zy yx", vocab_size=256 + 3, special_tokens=()).merges[0] == (
        b"z",
        b"y",
    )
    # (b"a", b"b") and (b"aa", b"b") tie after the first merge in this text; the longer left side is
    # the greater
    texts = ["aa aa aab ab"]
    assert BPETokenizer.train(texts, vocab_size=260, special_tokens=()).merges == naive_merges(
        texts, 4
    )


def test_the_vocabulary_is_bytes_then_merges_then_special_tokens(trained):
    assert trained.n_vocab == 600
    assert [trained.tokens[i] for i in (0, 65, 255)] == [b"\x00", b"A", b"\xff"]
    assert trained.tokens[256] == b"".join(trained.merges[0])
    assert (
        trained.special_tokens == {END_OF_TEXT: 598, "<|user|>": 599} and trained.end_of_text == 598
    )


def test_a_vocabulary_without_room_for_the_bytes_is_an_error():
    with pytest.raises(ValueError, match="at least 257"):
        BPETokenizer.train("a text", vocab_size=256)
    assert BPETokenizer.train("a text", vocab_size=257).merges == []


def test_several_texts_do_not_touch():
    assert BPETokenizer.train(["xy", "xy"], 258).merges == BPETokenizer.train("xy xy", 258).merges
    assert (b"y", b"x") not in BPETokenizer.train(["xy", "xy"], 300).merges


def test_special_strings_in_the_text_are_borders_and_are_not_learned():
    merges = BPETokenizer.train(f"xy{END_OF_TEXT}xy{END_OF_TEXT}xy", 300).merges
    assert merges == [(b"x", b"y")]
    assert b"<|" in {
        a + b for a, b in BPETokenizer.train(END_OF_TEXT * 3, 300, special_tokens=()).merges
    }


def test_a_longer_special_string_wins_over_its_beginning():
    tokenizer = BPETokenizer.train("x", 300, special_tokens=("<a>", "<a><b>"))
    assert tokenizer.encode("<a><b>", ("<a>", "<a><b>")) == [tokenizer.special_tokens["<a><b>"]]
    assert len(tokenizer.encode("<a><b>", ("<a>",))) == 1 + len("<b>")


# -------------------------------------------------------------------------------------------------
# Files
# -------------------------------------------------------------------------------------------------


def test_save_and_load_give_the_same_tokenizer(trained, tmp_path):
    trained.save(tmp_path / "tokenizer.json")
    again = BPETokenizer.load(tmp_path / "tokenizer.json")
    for name in (
        "vocab",
        "merges",
        "special_tokens",
        "pattern",
        "tokens",
        "n_vocab",
        "end_of_text",
    ):
        assert getattr(again, name) == getattr(trained, name), name
    assert (
        first_difference(
            NASTY + random_strings(300, seed=1), again, trained, (END_OF_TEXT, "<|user|>")
        )
        is None
    )


@pytest.mark.parametrize("which", ["gpt2", "trained", "two letters"])
def test_the_saved_file_encodes_the_same_in_tokenizers(ours, trained, tmp_path, which):
    tokenizers = pytest.importorskip("tokenizers")
    corpus = random_words(0, "ab", 14)
    two_letters = BPETokenizer.train(corpus, 257 + 120)
    tokenizer = {"gpt2": ours, "trained": trained, "two letters": two_letters}[which]
    path = tmp_path / "tokenizer.json"
    tokenizer.save(path)
    theirs = tokenizers.Tokenizer.from_file(str(path))
    assert theirs.get_vocab_size() == tokenizer.n_vocab
    strings = [s for s in NASTY + random_strings(800, seed=2) if s.isprintable() or s.isascii()]
    for text in [*(s for s in strings if not regex.search(r"\p{Cs}", s)), STORY[:3000], corpus]:
        # tokenizers always takes special strings for special tokens, so ours is told to
        assert theirs.encode(text).ids == tokenizer.encode(text, tuple(tokenizer.special_tokens)), (
            repr(text)
        )
        assert theirs.decode(theirs.encode(text).ids, skip_special_tokens=False) == text


def test_gpt2s_object_saves_the_same_file(gpt2, ours, tmp_path):
    gpt2.save(tmp_path / "a.json")
    ours.save(tmp_path / "b.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_a_gpt2_file_in_the_form_of_the_hub_loads(ours, tmp_path):
    """There merges are strings, ByteLevel stands alone and cuts by GPT-2's pattern, and the model
    has no type.
    """
    ours.save(tmp_path / "ours.json")
    data = json.loads((tmp_path / "ours.json").read_text(encoding="utf-8"))
    data["pre_tokenizer"] = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    data["model"]["merges"] = [" ".join(pair) for pair in data["model"]["merges"]]
    del data["model"]["type"]
    (tmp_path / "hub.json").write_text(json.dumps(data), encoding="utf-8")
    hub = BPETokenizer.load(tmp_path / "hub.json")
    assert (hub.vocab, hub.merges, hub.end_of_text) == (ours.vocab, ours.merges, 50_256)
    assert first_difference(NASTY, hub, ours) is None


def change(path, **parts):
    data = json.loads(path.read_text(encoding="utf-8"))
    data["model"] |= parts.pop("model", {})
    path.write_text(json.dumps(data | parts), encoding="utf-8")


DAMAGE = {
    "half a file": lambda path: path.write_bytes(path.read_bytes()[:1000]),
    "not json": lambda path: path.write_text("merges"),
    "bytes": lambda path: path.write_bytes(bytes(range(256))),
    "a list": lambda path: path.write_text("[1, 2]"),
    "a number as model": lambda path: path.write_text(
        '{"model": 3, "pre_tokenizer": {}, "added_tokens": []}'
    ),
    "no pre_tokenizer": lambda path: change(path, pre_tokenizer=None),
    "cut by spaces": lambda path: change(path, pre_tokenizer={"type": "Whitespace"}),
    "WordPiece": lambda path: change(path, model={"type": "WordPiece"}),
    "a byte is missing": lambda path: change(path, model={"vocab": {"a": 0}}),
    "a merge of three": lambda path: change(path, model={"merges": [["a", "b", "c"]]}),
    "a merge without its token": lambda path: change(
        path, model={"merges": [["\u0120", "\u0120"], ["q", "Z"]]}
    ),
    "a prefix space": lambda path: change(
        path, pre_tokenizer={"type": "ByteLevel", "add_prefix_space": True}
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_an_error_that_names_it(trained, tmp_path, damage):
    path = tmp_path / "tokenizer.json"
    trained.save(path)
    DAMAGE[damage](path)
    with pytest.raises(ValueError, match="tokenizer.json is no byte-level BPE"):
        BPETokenizer.load(path)


def test_a_failed_save_leaves_the_old_file(trained, ours, tmp_path, monkeypatch):
    path = tmp_path / "tokenizer.json"
    trained.save(path)
    before = path.read_bytes()

    def half(self, text, **options):
        with open(self, "w", encoding="utf-8") as file:
            file.write(text[:100])
        raise OSError("the disk is full")

    monkeypatch.setattr(Path, "write_text", half)
    with pytest.raises(OSError, match="full"):
        ours.save(path)
    assert path.read_bytes() == before


# -------------------------------------------------------------------------------------------------
# TokenDataset
# -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "length, stride", [(4, None), (4, 1), (4, 2), (4, 7), (1, 1), (19, None), (19, 5)]
)
def test_windows_are_all_that_fit_and_targets_are_one_token_later(length, stride):
    data = TokenDataset(list(range(100, 120)), length, stride)
    step = stride or length
    starts = [start for start in range(0, 20, step) if start + length + 1 <= 20]
    assert len(data) == len(starts)
    for (inputs, targets), start in zip(data, starts, strict=True):
        assert inputs.tolist() == list(range(100 + start, 100 + start + length))
        assert targets.tolist() == list(range(101 + start, 101 + start + length))
        assert inputs.dtype == targets.dtype == torch.int64


@pytest.mark.parametrize(
    "kind", ["list", "tuple", "tensor", "int32 tensor", "array", "read-only array", "memory map"]
)
def test_every_kind_of_array_gives_the_same_windows(kind, tmp_path, recwarn):
    numbers = [5, 60_000, 7, 8, 9, 10, 11]
    tokens = {
        "list": lambda: numbers,
        "tuple": lambda: tuple(numbers),
        "tensor": lambda: torch.tensor(numbers),
        "int32 tensor": lambda: torch.tensor(numbers, dtype=torch.int32),
        "array": lambda: np.array(numbers, dtype=np.uint16),
        "read-only array": lambda: np.frombuffer(
            np.array(numbers).tobytes(), dtype=np.array(numbers).dtype
        ),
        "memory map": lambda: on_disk(tmp_path / "tokens.bin", numbers),
    }[kind]()
    pairs = [(a.tolist(), b.tolist()) for a, b in TokenDataset(tokens, 2)]
    assert pairs == [([5, 60_000], [60_000, 7]), ([7, 8], [8, 9]), ([9, 10], [10, 11])]
    assert {a.dtype for a, _ in TokenDataset(tokens, 2)} == {torch.int64}
    assert not recwarn.list


def on_disk(path, numbers):
    np.array(numbers, dtype=np.uint16).tofile(path)
    return np.memmap(path, dtype=np.uint16, mode="r")


def test_starts_say_where_windows_begin():
    data = TokenDataset(torch.arange(10), 3, starts=[0, 5, 6])
    assert [pair[0].tolist() for pair in data] == [[0, 1, 2], [5, 6, 7], [6, 7, 8]]
    assert TokenDataset(torch.arange(10), 3, starts=torch.tensor([6, 1]))[-1][1].tolist() == [
        2,
        3,
        4,
    ]


def test_windows_of_a_tensor_are_views_of_it():
    tokens = torch.arange(1000)
    data = TokenDataset(tokens, 10, stride=5)
    inputs, targets = data[3]
    assert (
        inputs.data_ptr() == tokens[15:].data_ptr() and targets.data_ptr() == tokens[16:].data_ptr()
    )
    tokens[16] = -1
    assert inputs[1] == targets[0] == -1


def test_a_billion_tokens_on_disk_take_no_memory(tmp_path):
    with open(
        tmp_path / "tokens.bin", "wb"
    ) as file:  # a sparse file: zeros that take no room, and five tokens
        file.seek(2 * (1_000_000_000 - 5))
        file.write(np.array([1, 2, 3, 4, 65_535], dtype=np.uint16).tobytes())
    tokens = np.memmap(tmp_path / "tokens.bin", dtype=np.uint16, mode="r")
    tracemalloc.start()
    data = TokenDataset(tokens, 1024, stride=1)
    inputs, targets = data[len(data) - 1]
    for index in range(0, len(data), len(data) // 30):
        data[index]
    batch, _ = next(iter(create_dataloader(tokens, 8, 1024, shuffle=False)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert data.tokens is tokens and len(data) == 1_000_000_000 - 1024
    assert inputs[-4:].tolist() == [1, 2, 3, 4] and targets[-4:].tolist() == [2, 3, 4, 65_535]
    assert batch.shape == (8, 1024)
    assert peak < 1_000_000, f"{peak:,} bytes"


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(tokens=[1, 2, 3], context_length=3), "3 tokens are too few.*at most 2"),
        (dict(tokens=[], context_length=3), "0 tokens are too few"),
        (
            dict(tokens=[[1, 2], [3, 4]], context_length=1),
            r"one row .* not int64 of shape \(2, 2\)",
        ),
        (dict(tokens=torch.ones(2, 4).long(), context_length=1), r"torch.int64 of shape \(2, 4\)"),
        (dict(tokens=np.ones((2, 4), int), context_length=1), r"int64 of shape \(2, 4\)"),
        (dict(tokens=np.int64(3), context_length=1), r"shape \(\)"),
        (dict(tokens=[1.0, 2.5, 3.0], context_length=1), "whole numbers, not float64"),
        (dict(tokens=torch.rand(9), context_length=1), "whole numbers, not torch.float32"),
        (dict(tokens=np.ones(9, np.float16), context_length=1), "whole numbers, not float16"),
        (dict(tokens=[1, None, 3], context_length=1), "whole numbers, not object"),
        (dict(tokens=torch.ones(9).bool(), context_length=1), "whole numbers, not torch.bool"),
        (dict(tokens=[1, 2, 3], context_length=0), "must be at least 1"),
        (dict(tokens=[1, 2, 3], context_length=2, stride=0), "must be at least 1"),
        (dict(tokens=[1, 2, 3], context_length=1, stride=1, starts=[0]), "not both"),
        (dict(tokens=[1, 2, 3], context_length=2, starts=[0, 1]), "between 0 and 0"),
        (dict(tokens=[1, 2, 3], context_length=1, starts=[-1]), "between 0 and 1"),
        (dict(tokens=[1, 2, 3], context_length=1, starts=[]), "at least one"),
    ],
)
def test_windows_that_cannot_be_are_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        TokenDataset(**arguments)


def test_an_index_behind_the_last_window_is_an_error():
    data = TokenDataset([1, 2, 3, 4], 1)
    assert len(data) == 3 and data[-3][0].tolist() == [1]
    for index in (3, -4):
        with pytest.raises(IndexError):
            data[index]


# -------------------------------------------------------------------------------------------------
# create_dataloader
# -------------------------------------------------------------------------------------------------


def order(loader):
    """The first token of every row of an epoch."""
    return [row[0].item() for inputs, _ in loader for row in inputs]


def test_batches_have_the_shape_and_targets_follow_inputs():
    batches = list(
        create_dataloader(list(range(41)), batch_size=3, context_length=4, shuffle=False)
    )
    assert [inputs.shape for inputs, _ in batches] == [
        (3, 4)
    ] * 3  # ten windows make three batches of three
    for inputs, targets in batches:
        assert torch.equal(targets, inputs + 1)


def test_without_shuffling_windows_come_in_order_and_with_it_each_comes_once():
    in_order = create_dataloader(list(range(401)), 8, 4, shuffle=False, drop_last=False)
    shuffled = create_dataloader(list(range(401)), 8, 4, seed=3, drop_last=False)
    assert order(in_order) == list(range(0, 400, 4))
    assert order(shuffled) != order(in_order) and sorted(order(shuffled)) == order(in_order)


def test_the_seed_fixes_the_order_and_epochs_differ():
    one, same, other = (create_dataloader(list(range(401)), 8, 4, seed=seed) for seed in (3, 3, 4))
    torch.manual_seed(0)
    first, second = order(one), order(one)
    torch.manual_seed(1)  # the seed of the loader counts, not torch's own
    assert [order(same), order(same)] == [first, second]
    assert first != second and order(other) != first


def test_drop_last_leaves_out_the_batch_that_is_not_full():
    sizes = {
        drop: [
            len(inputs) for inputs, _ in create_dataloader(list(range(41)), 4, 4, drop_last=drop)
        ]
        for drop in (True, False)
    }
    assert sizes == {True: [4, 4], False: [4, 4, 2]}


def test_stride_and_starts_reach_the_dataset():
    assert order(create_dataloader(list(range(11)), 2, 4, stride=2, shuffle=False)) == [0, 2, 4, 6]
    assert order(create_dataloader(list(range(11)), 2, 4, starts=[6, 1], shuffle=False)) == [6, 1]


def test_not_even_one_batch_is_an_error():
    with pytest.raises(ValueError, match="10 windows make no batch of 11"):
        create_dataloader(list(range(41)), 11, 4)
    assert len(create_dataloader(list(range(41)), 11, 4, drop_last=False)) == 1


# -------------------------------------------------------------------------------------------------
# The machinery of the checks
# -------------------------------------------------------------------------------------------------


@checks.exercise_check("double")
def check_double(attempt):
    checks.judge(
        attempt,
        lambda x: 2 * x,
        [(2,), (5,)],
        {"it squares": lambda x: x * x, "it stops": lambda x: 1 / 0},
    )


def left_empty(x):
    """Twice x."""
    ...


def not_implemented(x):
    raise NotImplementedError


def returns_ellipsis(x):
    result = ...
    return result


def without_return(x):
    x * 2


@pytest.mark.parametrize(
    "attempt", [None, ..., left_empty, not_implemented, returns_ellipsis, lambda x: None]
)
def test_an_untouched_cell_is_not_attempted(attempt, capsys):
    verdict = check_double(attempt)
    assert not verdict and verdict.message == "… double: not attempted yet."
    assert capsys.readouterr().out == verdict.message + "\n"


@pytest.mark.parametrize(
    "attempt, passed, message",
    [
        (lambda x: x + x, True, "✓ double: right."),
        (
            lambda x: x * x,
            False,
            "✗ double: for (5) the result is 25, expected 10. Likely mistake: it squares.",
        ),
        (
            lambda x: 1 + x if x == 2 else 2 * x,
            False,
            "✗ double: for (2) the result is 3, expected 4.",
        ),
        (
            lambda x: 1 / 0,
            False,
            "✗ double: for (2) it stops with ZeroDivisionError: division by zero. Likely mistake: it stops.",
        ),
        (lambda: 4, False, "✗ double: for (2) it stops with TypeError: "),
        (without_return, False, "✗ double: your function gives back None: is a `return` missing?"),
        (7, False, "✗ double: for (2) it stops with TypeError: 'int' object is not callable."),
        (lambda x: "4", False, "✗ double: for (2) the result is '4', expected 4."),
    ],
)
def test_a_check_prints_one_line_and_never_raises(attempt, passed, message, capsys):
    verdict = check_double(attempt)
    assert bool(verdict) is passed and verdict.message.startswith(message)
    assert capsys.readouterr().out == verdict.message + "\n" and "\n" not in verdict.message
    assert verdict.message.endswith(".") or "TypeError" in message or "?" in message


def test_a_check_may_look_at_a_class_and_may_itself_stop():
    @checks.exercise_check("owl")
    def check_owl(attempt):
        if attempt().hoot() != "hoo":
            raise checks.Mistake("an owl says hoo")

    class Untouched:
        def hoot(self): ...

    class Wrong:
        def hoot(self):
            return "moo"

    class Broken:
        def hoot(self):
            return self.voice

    assert check_owl(Untouched).message == "… owl: not attempted yet."
    assert check_owl(Wrong).message == "✗ owl: an owl says hoo"
    assert check_owl(Broken).message.startswith(
        "✗ owl: your code stops with AttributeError: 'Broken' object"
    )


def test_attempts_cannot_change_the_inputs_of_a_check():
    @checks.exercise_check("last")
    def check_last(attempt):
        checks.judge(attempt, lambda items: items[-1], [([1, 2],)], {})

    assert check_last(lambda items: items.pop())


def test_a_verdict_shows_nothing_as_the_last_line_of_a_cell():
    formatter = pytest.importorskip("IPython.core.formatters").DisplayFormatter()
    assert formatter.format(checks.Verdict(True, "✓")) == ({}, {})


@pytest.mark.parametrize(
    "got, want, words",
    [
        ([1, 2], [1, 2], None),
        ((1, 2), [1, 2], None),
        ([1, 3], [1, 2], "the result[1] is 3, expected 2"),
        ([1], [1, 2], "the result has 1 items, expected 2"),
        (5, [1, 2], "the result is a int, expected a list"),
        ([[1], [2, 4]], [[1], [2, 3]], "the result[1][1] is 4, expected 3"),
        ({"a": 1}, {"a": 1}, None),
        ({"a": 2}, {"a": 1}, "the result['a'] is 2, expected 1"),
        ({}, {"a": 1}, "the result lacks 'a': 1"),
        ({"a": 1, "b": 0}, {"a": 1}, "the result has 'b': 0 too many"),
        (0.1 + 0.2, 0.3, None),
        (3, 3.0, None),
        (3.0, 3, "the result is 3.0: the right number, but a float, expected 3"),
        (3.5, 3, "the result is 3.5, expected 3"),
        (torch.tensor(3), 3, None),
        (torch.tensor(3.0), 3, "the result is 3.0: the right number, but a float, expected 3"),
        (torch.tensor([0.5]), 0.5, None),
        (np.float32(0.5), 0.5, None),
        (np.bool_(True), True, None),
        (float("nan"), float("nan"), None),
        (float("nan"), 0.5, "the result is nan, expected 0.5"),
        ("3", 3.0, "the result is '3', expected 3.0"),
        (np.array([1, 2]), [1, 2], None),
        (np.ones(2), torch.ones(2), None),
        (np.ones(2) * 2, torch.ones(2), "the result[0] is 2, expected 1"),
        (1.0, torch.tensor(1.0), "the result is a float, expected a tensor of shape ()"),
        ([[1, 1], [1, 2]], torch.ones(2, 2), "the result[1, 1] is 2, expected 1"),
        (
            [[1], [1, 2]],
            torch.ones(2, 2),
            "the result is a list, expected a tensor of shape (2, 2)",
        ),
        ("owl", torch.ones(1), "the result is a str, expected a tensor of shape (1,)"),
        (ValueError("a"), ValueError("a"), None),
        (
            ValueError("a"),
            ValueError("b"),
            "the result is ValueError('a'), expected ValueError('b')",
        ),
        (np.int64(3), 3, None),
        (torch.ones(2) + 1e-7, torch.ones(2), None),
        ([1.0, 1.0], torch.ones(2), None),
        (torch.tensor([1, 2]), [1, 2], None),
        (torch.ones(2), (torch.ones(1), torch.ones(1)), "the result is a Tensor, expected a tuple"),
        (torch.ones(2, 1), torch.ones(2), "the result has the shape (2, 1), expected (2,)"),
        (
            torch.ones(2).long(),
            torch.ones(2),
            "the result has the dtype torch.int64, expected torch.float32",
        ),
        (
            torch.tensor([[1.0, 2], [3, 5]]),
            torch.tensor([[1.0, 2], [3, 4]]),
            "the result[1, 1] is 5, expected 4",
        ),
        (torch.tensor([float("nan")]), torch.ones(1), "the result[0] is nan, expected 1"),
        (torch.tensor([1.0, 7, 1, 9]), torch.ones(4), "the result[1] is 7, expected 1"),
        ([1, 7, 1, 9], [1, 1, 1, 1], "the result[1] is 7, expected 1"),
    ],
)
def test_difference_names_the_first_wrong_place(got, want, words):
    assert checks.difference(got, want) == words


# -------------------------------------------------------------------------------------------------
# The exercises: right solutions pass, typical wrong ones are told what is wrong
# -------------------------------------------------------------------------------------------------


def frequent_vocab(words, size):
    ranked = sorted(Counter(words).items(), key=lambda item: (-item[1], item[0]))[:size]
    vocab = {word: number for number, (word, _) in enumerate(ranked)}
    return vocab | {UNKNOWN: len(vocab)}


def join_documents(documents, tokenizer):
    return [
        number for text in documents for number in [*tokenizer.encode(text), tokenizer.end_of_text]
    ]


def bytes_per_token(text, ids):
    return len(text.encode("utf-8")) / len(ids)


def merge_pair(tokens, pair):
    merged, i = [], 0
    while i < len(tokens):
        if i + 1 < len(tokens) and (tokens[i], tokens[i + 1]) == pair:
            merged.append(pair[0] + pair[1])
            i += 2
        else:
            merged.append(tokens[i])
            i += 1
    return merged


def count_pairs(tokens):
    return Counter(zip(tokens, tokens[1:], strict=False))


def count_changes(tokens, pair):
    before, after = count_pairs(tokens), count_pairs(merge_pair(tokens, pair))
    return {
        other: after[other] - before[other]
        for other in before | after
        if after[other] != before[other]
    }


def count_windows(n_tokens, context_length, stride):
    return max(0, (n_tokens - context_length - 1) // stride + 1)


def document_starts(ids, end_of_text, context_length):
    starts = [0] + [place + 1 for place, token in enumerate(ids) if token == end_of_text]
    return [start for start in starts if start + context_length < len(ids)]


def embed(ids, token_table, position_table):
    return token_table[ids] + position_table[: ids.shape[1]]


def table_gradient(ids, upstream, vocab_size):
    gradient = torch.zeros(vocab_size, upstream.shape[-1])
    return gradient.index_add(0, ids.flatten(), upstream.flatten(0, 1))


SOLUTIONS = [
    frequent_vocab,
    join_documents,
    bytes_per_token,
    count_changes,
    count_windows,
    document_starts,
    embed,
    table_gradient,
]


def first_seen(words, size):
    vocab = {}
    for word, _ in Counter(words).most_common(size):
        vocab[word] = len(vocab)
    vocab[UNKNOWN] = len(vocab)
    return vocab


def joined_with_specials(documents, tokenizer):
    return tokenizer.encode(
        END_OF_TEXT.join(documents) + END_OF_TEXT, allowed_special=(END_OF_TEXT,)
    )


def separated(documents, tokenizer):
    ids = tokenizer.encode(documents[0])
    for text in documents[1:]:
        ids += [tokenizer.end_of_text] + tokenizer.encode(text)
    return ids


def only_appeared(tokens, pair):
    before, after = count_pairs(tokens), count_pairs(merge_pair(tokens, pair))
    return dict(after - before)


def subtracted(tokens, pair):
    change = count_pairs(merge_pair(tokens, pair))
    change.subtract(count_pairs(tokens))
    return dict(change)


def without_the_pair_itself(tokens, pair):
    change = count_changes(tokens, pair)
    change.pop(pair, None)
    return change


def by_assignment(ids, upstream, vocab_size):
    gradient = torch.zeros(vocab_size, upstream.shape[-1])
    for row in range(ids.shape[0]):
        for place in range(ids.shape[1]):
            gradient[ids[row, place]] = upstream[row, place]
    return gradient


def index_add_thrown_away(ids, upstream, vocab_size):
    gradient = torch.zeros(vocab_size, upstream.shape[-1])
    gradient.index_add(0, ids.flatten(), upstream.flatten(0, 1))
    return gradient


def only_neighbours(tokens, pair):
    change, glued = Counter(), pair[0] + pair[1]
    for i in range(len(tokens) - 1):
        if tokens[i : i + 2] == pair:
            change[pair] -= 1
            if i > 0:
                change[tokens[i - 1], pair[0]] -= 1
                change[tokens[i - 1], glued] += 1
            if i + 2 < len(tokens):
                change[pair[1], tokens[i + 2]] -= 1
                change[glued, tokens[i + 2]] += 1
    return {other: n for other, n in change.items() if n}


def averaged(ids, upstream, vocab_size):
    total, counts = (
        table_gradient(ids, upstream, vocab_size),
        torch.bincount(ids.flatten(), minlength=vocab_size),
    )
    return total / counts.clamp(min=1)[:, None]


def one_hot(ids, vocab_size):
    return torch.nn.functional.one_hot(ids, vocab_size).float()


WRONG = {
    "frequent_vocab": [
        (first_seen, "alphabetical order, not in the order in which they appear"),
        (
            lambda words, size: {w: i + 1 for w, i in frequent_vocab(words, size).items()},
            "ids begin at 1",
        ),
        (
            lambda words, size: {
                w: i for w, i in frequent_vocab(words, size).items() if w != UNKNOWN
            },
            "is missing",
        ),
        (lambda words, size: frequent_vocab(words, size - 1), "on top of the `size` words"),
        (lambda words, size: frequent_vocab(words, len(words)), "all words were kept"),
        (
            lambda words, size: {
                w: i
                for i, w in enumerate([*sorted(list(frequent_vocab(words, size))[:-1]), UNKNOWN])
            },
            "alphabetical order; the most frequent one must get 0",
        ),
        (lambda words, size: frequent_vocab(words, size) | {UNKNOWN: size}, "the next free id"),
        (
            lambda words, size: {i: w for w, i in frequent_vocab(words, size).items()},
            "wrong way round",
        ),
    ],
    "join_documents": [
        (separated, "the last document has no end-of-text token"),
        (
            lambda documents, t: [i for d in documents for i in [t.end_of_text, *t.encode(d)]],
            "must stand behind it",
        ),
        (lambda documents, t: [t.encode(d) + [t.end_of_text] for d in documents], "one flat list"),
        (
            lambda documents, t: [i for d in documents for i in t.encode(d + END_OF_TEXT)],
            "encoded as ordinary text",
        ),
        (joined_with_specials, "a document that talks about <|endoftext|> ends there"),
        (lambda documents, t: t.encode(END_OF_TEXT.join(documents)), "put between the documents"),
        (
            lambda documents, t: [part for d in documents for part in (t.encode(d), t.end_of_text)],
            "`append` puts",
        ),
        (
            lambda documents, t: sum((t.encode(d) for d in documents), []) + [t.end_of_text],
            "only the last document",
        ),
    ],
    "bytes_per_token": [
        (lambda text, ids: len(text) / len(ids), "characters were counted"),
        (lambda text, ids: len(ids) / len(text.encode()), "upside down"),
        (lambda text, ids: len(text.encode()) // len(ids), "cuts off the fraction"),
        (lambda text, ids: len(text.split()) / len(ids), "words were counted"),
        (lambda text, ids: len(text.encode()) / len(set(ids)), "each place in the list is a token"),
    ],
    "count_changes": [
        (subtracted, "leave the zeros out"),
        (only_appeared, "only what appears was counted"),
        (without_the_pair_itself, "the merged pair itself is missing"),
        (
            lambda tokens, pair: {p: -n for p, n in count_changes(tokens, pair).items()},
            "signs are turned round",
        ),
        (
            lambda tokens, pair: dict(count_pairs(merge_pair(tokens, pair))),
            "counts after the merge, not the changes",
        ),
        (only_neighbours, "may itself have been merged"),
        (
            lambda tokens, pair: {
                p: n // abs(n)
                for p, n in count_changes(tokens, pair).items()
                if (p in count_pairs(tokens)) != (p in count_pairs(merge_pair(tokens, pair)))
            },
            "each pair was counted once",
        ),
    ],
    "count_windows": [
        (
            lambda n, length, stride: max(0, (n - length) // stride + 1),
            "the target of its last position",
        ),
        (lambda n, length, stride: max(0, (n - length - 1) // stride), "one window is missing"),
        (lambda n, length, stride: (n - length - 1) // stride + 1, "not a negative number"),
        (lambda n, length, stride: max(0, n - length), "the stride was ignored"),
        (
            lambda n, length, stride: n - length,
            "the stride was ignored; and a text that is too short",
        ),
        (
            lambda n, length, stride: (n - length) // stride + 1,
            "the target of its last position, was forgotten; and a text",
        ),
        (
            lambda n, length, stride: (n - length) // stride + 1 if n >= length else 0,
            "last position, was forgotten.",
        ),
        (
            lambda n, length, stride: (n - length) // stride + 1 if n > length else 0,
            "not only behind the first",
        ),
        (
            lambda n, length, stride: (n - length) // stride,
            "round up; and a text that is too short",
        ),
        (lambda n, length, stride: max(0, (n - length) // stride), "round up"),
        (lambda n, length, stride: (n - length) / stride, "`/` gives a float"),
        (lambda n, length, stride: max(0, (n - length - 1) / stride + 1), "a fraction of a window"),
        (lambda n, length, stride: len([s for s in range(0, n, stride)]), "no longer fit"),
    ],
    "document_starts": [
        (
            lambda ids, end, length: (
                [0] + [i for i, t in enumerate(ids) if t == end and i + length < len(ids)]
            ),
            "the document begins one place behind",
        ),
        (
            lambda ids, end, length: [s for s in document_starts(ids, end, length) if s],
            "begins at 0",
        ),
        (
            lambda ids, end, length: [i for i in range(len(ids) - length) if ids[i - 1] == end],
            "last id for i = 0",
        ),
        (
            lambda ids, end, length: [i for i in range(len(ids) - length) if ids[i] == end],
            "every other one place",
        ),
        (
            lambda ids, end, length: [i + 1 for i in range(len(ids) - length) if ids[i] == end],
            "needs room",
        ),
        (
            lambda ids, end, length: [
                s for s in document_starts(ids, end, length) if end not in ids[s : s + length]
            ],
            "run on into the next document",
        ),
        (
            lambda ids, end, length: document_starts(ids, end, length - 1),
            "the last start leaves no room",
        ),
        (
            lambda ids, end, length: [0] + [i + 1 for i, t in enumerate(ids) if t == end],
            "must be left out",
        ),
    ],
    "embed": [
        (lambda ids, table, places: table[ids], "the positions are missing"),
        (lambda ids, table, places: table[ids] + places[ids], "chosen by the token id"),
        (lambda ids, table, places: table[ids] * places[: ids.shape[1]], "multiplied"),
        (lambda ids, table, places: table[ids] + places, "take its first `tokens` rows only"),
        (
            lambda ids, table, places: torch.cat(
                [table[ids], places[: ids.shape[1]].expand(*ids.shape, -1)], dim=-1
            ),
            "side by side",
        ),
        (
            lambda ids, table, places: table[ids] + places[: len(ids)].unsqueeze(1),
            "the rows of the batch",
        ),
        (
            lambda ids, table, places: table[ids] + places[: len(ids)],
            "the number of places is `ids.shape[1]`",
        ),
        (
            lambda ids, table, places: table(ids) + places(torch.arange(ids.shape[1])),
            "do not call them",
        ),
    ],
    "table_gradient": [
        (by_assignment, "keeps only its last gradient"),
        (averaged, "averaged"),
        (lambda ids, upstream, rows: one_hot(ids, rows).mT @ upstream, "the batch is missing"),
        (
            lambda ids, upstream, rows: table_gradient(ids, upstream, rows).T,
            "turned round: one row",
        ),
        (
            lambda ids, upstream, rows: table_gradient(ids[0], upstream[0][None], rows),
            "first row of the batch",
        ),
        (index_add_thrown_away, "`index_add_` changes"),
        (
            lambda ids, upstream, rows: table_gradient(ids, upstream, rows) / ids.numel(),
            "divided by the number of tokens",
        ),
    ],
}


EXERCISES = {solution.__name__: (solution, WRONG[solution.__name__]) for solution in SOLUTIONS}

MUTANTS = module_beside(__file__, "test_mutants")  # those of the notebook beside the chapter's
EXERCISES |= exercises_of(
    {name: table for name, table in MUTANTS.MUTANTS.items() if name not in EXERCISES}, MUTANTS.NAMES
)


class TestExercises(ExerciseTests, MistakeTests, HintTests):
    checks, exercises, notebook = checks, EXERCISES, FOLDER / "ch02.ipynb"


# -------------------------------------------------------------------------------------------------
# The notebook and the modules
# -------------------------------------------------------------------------------------------------

NOTEBOOK = FOLDER / "ch02.ipynb"


def test_the_notebook_teaches_this_very_code():
    assert_same_code(NOTEBOOK, FOLDER / "tokenizer.py", ["SimpleTokenizer", "gpt2_tokenizer"])
    assert_same_code(NOTEBOOK, FOLDER / "tokenizer_files.py", ["GPT2_PATTERN"])
    assert_same_code(NOTEBOOK, FOLDER / "dataloader.py", ["TokenDataset", "create_dataloader"])


@pytest.fixture(scope="module")
def plain():
    """The notebook's plain byte-pair encoding, as an object with its functions."""
    found = notebook_definitions(NOTEBOOK)
    names = [
        "GPT2_PATTERN",
        "count_pairs",
        "merge_pair",
        "split_words",
        "train_bpe",
        "encode_word",
        "encode_text",
        "decode_tokens",
    ]
    tree = ast.Module([found[name] for name in names], type_ignores=[])
    functions = {"Counter": Counter, "regex": regex}
    exec(compile(tree, str(NOTEBOOK), "exec"), functions)
    return type("Plain", (), {name: staticmethod(functions[name]) for name in names[1:]})


@pytest.mark.parametrize(
    "name", ["story", "ties", "runs", "scripts", "nothing left to merge", "two letters, seed 1"]
)
def test_the_notebooks_plain_bpe_gives_the_same_results(plain, name):
    texts, n_merges = CORPORA[name]
    fast = BPETokenizer.train(texts, vocab_size=257 + n_merges)
    merges = [pair for pair, _ in plain.train_bpe(texts, n_merges)]
    assert merges == fast.merges
    for text in [*texts, STORY[6000:7000], "moon moon mood 狐狸 🦊", "aaaaaaa"]:
        tokens = plain.encode_text(text, merges)
        assert [fast.tokens[i] for i in fast.encode(text)] == tokens
        assert plain.decode_tokens(tokens) == text


@pytest.fixture(scope="module")
def solved():
    """The functions of the tokenizer that the notebook of solutions builds, by their names."""
    found = notebook_definitions(FOLDER / "exercise-solutions.ipynb")
    names = ["bytes_to_ids", "split_text", "text_to_ids", "token_bytes", "ids_to_text", "glue"]
    names += ["pair_counts", "learn_merges", "merges_to_text", "text_to_merges"]
    functions = {
        "Counter": Counter,
        "regex": regex,
        "GPT2_PATTERN": GPT2_PATTERN,
        "printable": printable,
        "from_printable": from_printable,
    }
    tree = ast.Module([found[name] for name in names], type_ignores=[])
    exec(compile(tree, "exercise-solutions.ipynb", "exec"), functions)
    return functions


def test_the_tokenizer_of_the_solutions_equals_tiktoken_on_3000_random_texts(solved, capsys):
    halves = regex.compile(r"\p{Cs}")  # no UTF-8 can hold them
    texts = [halves.sub("", text) for text in random_strings(3000, seed=11)]
    assert checks.hold_against_tiktoken(solved["text_to_ids"], texts) is None
    assert capsys.readouterr().out == "✓ tiktoken's ids for all 3,000 texts.\n"


def test_a_tokenizer_that_forgets_the_order_of_merges_is_held_against_tiktoken(solved, capsys):
    def from_the_left(text, merges, specials):
        return [i for word in solved["split_text"](text) for i in merged(word.encode(), merges)]

    def merged(data, merges):
        ids = tuple(data)
        while found := [pair for pair in zip(ids, ids[1:], strict=False) if pair in merges]:
            ids = solved["glue"](ids, found[0], merges[found[0]])
        return ids

    text = "the moon over the lighthouse"
    assert checks.hold_against_tiktoken(from_the_left, ["the", text]) is not None
    assert capsys.readouterr().out.startswith("✗ text ")
    checks.hold_against_tiktoken(lambda *given: ..., [text])
    assert "not attempted" in capsys.readouterr().out


def test_the_tokenizer_of_the_solutions_comes_back_from_its_file_and_from_its_ids(solved):
    words = Counter(tuple(word.encode()) for word in regex.findall(GPT2_PATTERN, STORY[:8000]))
    merges = solved["learn_merges"](words, 60)
    assert len(merges) == 60
    assert solved["text_to_merges"](solved["merges_to_text"](merges)) == merges
    ids = solved["text_to_ids"](STORY, merges, {})
    assert solved["ids_to_text"](ids, merges) == STORY


def test_the_speed_of_training_is_told_and_nothing_fails_for_being_slow(solved, capsys):
    words = {(1, 2, 3): 2, (2, 3): 1}
    checks.merges_per_second(solved["learn_merges"], words, n_merges=2, wanted=10**12)
    assert "merges per second, wanted are 1000000000000: slow" in capsys.readouterr().out
    checks.merges_per_second(solved["learn_merges"], words, n_merges=2, wanted=1e-9)
    assert "fast enough" in capsys.readouterr().out
    checks.merges_per_second(lambda *given: ..., words)
    assert "not attempted" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["tokenizer", "tokenizer_files", "bpe", "dataloader", "checks"])
def test_the_examples_in_the_documentation_are_true(name):
    module = importlib.import_module(f"ch02_01_main_chapter_code.{name}")
    failed, attempted = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert attempted > 0 and failed == 0


def test_the_tales_are_separate_documents_and_begin_with_the_running_example():
    tales = [tale.strip() for tale in TALES.split(END_OF_TEXT)]
    assert len(tales) == len(set(tales)) == 200 and all(tales)
    assert tales[0].startswith("One misty night Mia the fox saw the moon")


def test_the_drawings_show_the_ids_of_the_tokenizer_trained_on_the_tales():
    tales = [tale.strip() for tale in TALES.split(END_OF_TEXT)]
    shown = runpy.run_path(str(FOLDER / "figures" / "draw.py"))
    tokenizer = BPETokenizer.train(tales, vocab_size=768)
    ids = tokenizer.encode("Mia the fox saw the moon")
    assert ids == shown["IDS"]
    assert [tokenizer.decode([i]).strip() for i in ids] == shown["PIECES"]
