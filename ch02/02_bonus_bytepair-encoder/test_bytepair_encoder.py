"""The claims of bytepair-encoder.ipynb: all encoders give the same ids, and trainers differ at ties
only.
"""

import sys

import pytest

if (
    __name__ == "__main__"
):  # before the imports below: pytest gives the chapters their import names (conftest.py)
    raise SystemExit(pytest.main([__file__, *sys.argv[1:]]))

import ast
import random
from collections import Counter
from pathlib import Path

import regex

from ch02_01_main_chapter_code.bpe import BPETokenizer
from ch02_01_main_chapter_code.tokenizer import GPT2_PATTERN
from ch02_01_main_chapter_code.tokenizer_files import bytes_to_unicode
from scratch_llm_tools.notebook_code import notebook_definitions

FOLDER = Path(__file__).parent
TALES = (FOLDER.parent / "01_main-chapter-code" / "tiny-tales.txt").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def ours():
    return BPETokenizer.from_gpt2()


@pytest.fixture(scope="module")
def functions(ours):
    """The notebook's own functions."""
    found = notebook_definitions(FOLDER / "bytepair-encoder.ipynb")
    names = ["plain_word", "plain_encode", "rust_merges"]
    ranks = {pair: rank for rank, pair in enumerate(ours.merges)}
    space = {"regex": regex, "GPT2_PATTERN": GPT2_PATTERN, "ours": ours, "ranks": ranks}
    exec(
        compile(ast.Module([found[name] for name in names], type_ignores=[]), "notebook", "exec"),
        space,
    )
    return space


def test_the_plain_encoder_gives_the_same_ids(functions, ours):
    rng = random.Random(0)
    characters = "aabcdeo  \n.,'0é狐🦊"
    texts = ["".join(rng.choices(characters, k=rng.randint(0, 40))) for _ in range(500)] + [
        TALES[:5000],
        "moo" * 100,
    ]
    for text in texts:
        assert functions["plain_encode"](text) == ours.encode(text), repr(text)


def test_the_rust_trainer_learns_the_same_merges_up_to_a_tie(functions):
    pytest.importorskip("tokenizers")
    tales = [tale.strip() for tale in TALES.split("<|endoftext|>")]
    printable = bytes_to_unicode()
    merges = BPETokenizer.train(tales, 400, special_tokens=()).merges
    mine = [tuple("".join(printable[byte] for byte in token) for token in pair) for pair in merges]
    theirs = functions["rust_merges"](tales, 400)
    first = next(i for i, pair in enumerate(mine) if pair != theirs[i])
    assert first > 5
    words = Counter(word for tale in tales for word in regex.findall(GPT2_PATTERN, tale))
    counts = Counter()
    for word, count in words.items():
        tokens = [bytes([byte]) for byte in word.encode()]
        for left, right in merges[:first]:
            i = 0
            while i + 1 < len(tokens):
                if (tokens[i], tokens[i + 1]) == (left, right):
                    tokens[i : i + 2] = [left + right]
                i += 1
        for pair in zip(tokens, tokens[1:], strict=False):
            counts[tuple("".join(printable[byte] for byte in token) for token in pair)] += count
    assert counts[mine[first]] == counts[theirs[first]] == max(counts.values())
