"""One contract for all tokenizers of the course: the same calls, the same results, the same
refusals.
"""

import copy
import json
import pickle
import string
import sys
from dataclasses import replace

import pytest

if __name__ == "__main__":  # before the imports below: pytest gives the chapters their import names
    raise SystemExit(pytest.main([__file__, *sys.argv[1:]]))

import numpy as np
import torch
from torch.utils.data import DataLoader

from ch02_01_main_chapter_code import bpe
from ch02_01_main_chapter_code.bpe import BPETokenizer
from ch02_01_main_chapter_code.tokenizer import (
    END_OF_TEXT,
    SimpleTokenizer,
    gpt2_tokenizer,
    needed_end_of_text,
)
from ch04_01_main_chapter_code.gpt import GPT, GPTConfig
from ch05_05_bonus_gpt_to_llama.partial_bpe import PartialBPETokenizer

CORPUS = "the fox saw the moon, and the moon saw 12 foxes. " * 3


def partial():
    """A tokenizer like SmolLM2's: three bytes missing, digits one by one, special tokens first."""
    learned = BPETokenizer.train(CORPUS, 300, ())
    tokens = [token for token in learned.vocab if token not in (b"\x04", b"\xc0", b"\xff")]
    vocab = {token: 2 + i for i, token in enumerate(tokens)}
    special = {END_OF_TEXT: 0, "<|im_end|>": 1}
    return PartialBPETokenizer(vocab, learned.merges, special, end_of_text=1)


MAKERS = {
    "SimpleTokenizer": lambda: SimpleTokenizer.train(CORPUS),
    "gpt2_tokenizer": gpt2_tokenizer,
    "BPETokenizer": lambda: BPETokenizer.train(CORPUS, 300, (END_OF_TEXT, "<|user|>")),
    "PartialBPETokenizer": partial,
}


@pytest.fixture(params=MAKERS)
def tokenizer(request):
    return MAKERS[request.param]()


def test_special_strings_are_text_unless_they_are_allowed(tokenizer):
    text = f"the fox{END_OF_TEXT} saw"
    end = tokenizer.encode(END_OF_TEXT, END_OF_TEXT)
    assert len(end) == 1
    for nothing in ((), [], set(), frozenset()):
        assert end[0] not in tokenizer.encode(text, nothing)
    expected = [*tokenizer.encode("the fox"), *end, *tokenizer.encode(" saw")]
    for allowed in ("all", END_OF_TEXT, [END_OF_TEXT], {END_OF_TEXT}, (END_OF_TEXT,)):
        assert tokenizer.encode(text, allowed) == tokenizer.encode(text, allowed_special=allowed)
        assert tokenizer.encode(text, allowed) == expected, allowed


@pytest.mark.parametrize("allowed", ["<|nothing|>", ["<|nothing|>"], "al", "", [END_OF_TEXT, "x"]])
def test_a_string_that_is_not_special_cannot_be_allowed(tokenizer, allowed):
    with pytest.raises(ValueError, match="no special tokens here; these are"):
        tokenizer.encode("the fox", allowed)


def test_ids_may_come_as_a_list_an_array_or_a_tensor(tokenizer):
    ids = tokenizer.encode("the fox saw the moon")
    text = tokenizer.decode(ids)
    assert text == "the fox saw the moon"
    for kind in (
        tuple,
        iter,
        np.array,
        torch.tensor,
        lambda ids: np.array(ids, dtype=np.uint16),
        lambda ids: torch.tensor(ids, dtype=torch.int32),
        lambda ids: [np.int64(number) for number in ids],
        lambda ids: list(torch.tensor(ids)),
    ):
        assert tokenizer.decode(kind(ids)) == text
    assert tokenizer.decode([]) == tokenizer.decode(torch.tensor([], dtype=torch.long)) == ""
    with pytest.raises(TypeError):
        tokenizer.decode([1.5])


@pytest.mark.parametrize("beyond", [0, 10**12, None])
def test_an_id_that_no_token_has_is_one_clear_error(tokenizer, beyond):
    number = -1 if beyond is None else tokenizer.n_vocab + beyond
    for ids in ([number], torch.tensor([0, number]), np.array([number])):
        with pytest.raises(ValueError, match=f"no token has the id {number}; ids go from 0 to"):
            tokenizer.decode(ids)


def copies(tokenizer):
    yield copy.copy(tokenizer)
    yield copy.deepcopy(tokenizer)
    yield pickle.loads(pickle.dumps(tokenizer))


def test_copies_and_pickles_are_the_same_tokenizer_also_after_use(tokenizer):
    text = f"the fox saw 12 moons{END_OF_TEXT}"
    expected = tokenizer.encode(text, "all")
    for other in copies(tokenizer):
        assert other.encode(text, "all") == expected and other.decode(expected) == (
            tokenizer.decode(expected)
        )
        assert (other.n_vocab, other.end_of_text) == (tokenizer.n_vocab, tokenizer.end_of_text)
        assert type(other) is type(tokenizer)


def test_workers_that_are_spawned_have_their_tokenizer():
    tokenizer = MAKERS["BPETokenizer"]()
    texts = ["the fox", "saw the moon"]
    expected = [tokenizer.encode(text) for text in texts]
    loader = DataLoader(
        texts,
        batch_size=None,
        collate_fn=tokenizer.encode,
        num_workers=1,
        multiprocessing_context="spawn",
    )
    assert list(loader) == expected


def test_a_model_is_saved_whole_with_its_tokenizer(tokenizer, tmp_path):
    model = GPT(GPTConfig(tokenizer.n_vocab, 16, 8, n_heads=1, n_layers=1))
    model.tokenizer = tokenizer
    ids = tokenizer.encode("the fox")
    torch.save(model, tmp_path / "model.pt")
    again = torch.load(tmp_path / "model.pt", weights_only=False)
    assert again.tokenizer.encode("the fox") == ids
    assert torch.equal(again(torch.tensor([ids])), model(torch.tensor([ids])))
    assert copy.deepcopy(model).tokenizer.decode(ids) == "the fox"


def test_a_million_white_spaces_are_no_problem(tokenizer):
    for text in (" " * 1_000_000, "x" + "\n \t" * 300_000 + "y z"):
        ids = tokenizer.encode(text)
        if not isinstance(tokenizer, SimpleTokenizer):
            assert tokenizer.decode(ids) == text


def test_white_space_is_cut_as_before_by_tiktoken():
    ours, theirs = BPETokenizer.from_gpt2(), gpt2_tokenizer()
    for count in (1, 2, 3, 999, 1000, 1001, 1002, 2001):
        for space in (" ", "\n", "\t\u00a0"):
            for text in (space * count, f"a{space * count}b", f"{space * count} b\n{space}"):
                assert ours.encode(text) == theirs.encode(text), (count, text[:20])


def test_the_memory_for_words_is_bounded_in_bytes(monkeypatch):
    tokenizer = MAKERS["BPETokenizer"]()
    before = len(pickle.dumps(tokenizer.__dict__))
    tokenizer.encode("x" * 1_000_000)  # as in a prompt that is refused for its length
    assert len(pickle.dumps(tokenizer.__dict__)) < before + 10_000
    monkeypatch.setattr(bpe, "CACHE_BYTES", 50_000)
    for number in range(3000):
        word = "".join(string.ascii_letters[(number >> shift) % 52] for shift in range(0, 40, 3))
        assert tokenizer.decode(tokenizer.encode(word)) == word
        words = tokenizer._cache
        size = sum(sys.getsizeof(word) + sys.getsizeof(ids) for word, ids in words.items())
        assert size < 50_000
    assert len(words) > 10


def test_who_needs_an_end_of_text_asks_for_it_in_one_sentence(tokenizer):
    assert needed_end_of_text(tokenizer) == tokenizer.end_of_text
    tokenizer.end_of_text = None
    with pytest.raises(ValueError, match="which of its tokens ends a text; name it"):
        needed_end_of_text(tokenizer)


def test_saved_and_loaded_they_are_the_same(tmp_path):
    for name in ("BPETokenizer", "PartialBPETokenizer"):
        tokenizer = MAKERS[name]()
        tokenizer.save(tmp_path / "tokenizer.json")
        (tmp_path / "config.json").write_text(json.dumps({"eos_token_id": tokenizer.end_of_text}))
        again = type(tokenizer).load(tmp_path)
        assert again.end_of_text == tokenizer.end_of_text
        assert again.encode(CORPUS, "all") == tokenizer.encode(CORPUS, "all")


def test_a_model_padded_to_a_round_number_never_chooses_what_has_no_token(tokenizer):
    from ch05_01_main_chapter_code.gpt_generate import (
        generate,
        generate_ids,
        sample_stories,
        stream,
    )

    size = tokenizer.n_vocab + 47
    model = GPT(GPTConfig(size, 16, 8, n_heads=1, n_layers=1, tie_weights=False))
    torch.nn.init.zeros_(model.head.weight)
    model.head.weight.data[tokenizer.n_vocab :] = model.final_norm.bias.data + 1
    torch.nn.init.ones_(
        model.final_norm.bias
    )  # so the ids without a token are the likeliest by far
    model.tokenizer = tokenizer
    ids = tokenizer.encode("the fox")
    bare = copy.copy(model)
    bare.tokenizer = None
    assert generate_ids(bare, [ids], 3, temperature=0)[0][0] >= tokenizer.n_vocab
    for temperature in (0, 1.0):
        new = generate_ids(model, [ids], 20, temperature=temperature)[0]
        assert max(new) < tokenizer.n_vocab
        assert generate(model, "the fox", 20, temperature)
        assert "".join(stream(model, "the fox", 20, temperature)) is not None
        assert generate(bare, "the fox", 20, temperature, tokenizer=tokenizer)
    assert len(sample_stories(model, tokenizer, 2, 20)) == 2
    assert len(sample_stories(bare, tokenizer, 2, 20)) == 2


def test_a_token_that_the_model_has_no_row_for_is_harmless_or_one_line():
    from ch05_01_main_chapter_code.gpt_generate import generate, generate_ids, sample_stories

    tokenizer = MAKERS["BPETokenizer"]()
    model = GPT(GPTConfig(tokenizer.n_vocab, 16, 8, n_heads=1, n_layers=1))
    padded = BPETokenizer(
        tokenizer.vocab, tokenizer.merges, tokenizer.special_tokens | {"[PAD]": tokenizer.n_vocab}
    )
    model.tokenizer = padded
    assert generate(model, "the fox [PAD]", 5).startswith("the fox [PAD]")
    with pytest.raises(ValueError, match=f"has the id {tokenizer.n_vocab}, and the model knows"):
        generate_ids(model, [padded.encode("the fox [PAD]", "all")], 5)
    with pytest.raises(ValueError, match="no tokens"):
        generate_ids(model, [[]], 5)
    padded.end_of_text = padded.special_tokens["[PAD]"]
    with pytest.raises(ValueError, match="the model knows the ids 0 to"):
        sample_stories(model, padded, 1, 5)
    padded.end_of_text = None
    with pytest.raises(ValueError, match="ends a text"):
        sample_stories(model, padded, 1, 5)


def test_generation_stops_at_whatever_string_ends_a_text():
    from ch05_01_main_chapter_code.gpt_generate import generate, stream

    tokenizer = BPETokenizer.train(CORPUS, 300, ("</s>",))
    config = GPTConfig(300, 16, 8, n_heads=1, n_layers=1, tie_weights=False)
    model = GPT(replace(config, drop_rate=0.0))
    torch.nn.init.zeros_(model.head.weight)
    torch.nn.init.ones_(model.final_norm.bias)
    model.head.weight.data[tokenizer.special_tokens["</s>"]] = 1
    model.tokenizer = tokenizer
    assert generate(model, "the fox", 20, temperature=0) == "the fox"
    assert list(stream(model, "the fox", 20, temperature=0)) == [""]
