"""Exact probabilities of tokens: those of all tales of a small grammar written out, those of the
dice counted over many tales, and refusals.
"""

import math
import random
from collections import Counter, defaultdict
from types import SimpleNamespace

import pytest

if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__]))

import torch

from ch02_01_main_chapter_code.tokenizer import SimpleTokenizer
from ch05_01_main_chapter_code import tale_probabilities, tale_walk
from ch05_01_main_chapter_code.gpt_generate import TALES_GPT
from ch05_01_main_chapter_code.previous_chapters import BPETokenizer, gpt2_tokenizer
from ch05_01_main_chapter_code.tales import (
    make_tales,
    next_token_probs,
    parse_tale,
    token_log_probs,
)

GPT4_PATTERN = (
    r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@pytest.fixture(scope="module")
def tokenizer():
    return BPETokenizer.load(TALES_GPT / "tokenizer.json")


# --- The sum, and the two functions beside each other ---------------------------------------------


def test_the_tokens_of_a_tale_have_together_the_probability_of_the_tale(tokenizer):
    for story in make_tales(2000, seed=21):
        logs = token_log_probs(story, tokenizer)
        assert logs.shape == (len(tokenizer.encode(story)) + 1,) and logs.dtype == torch.float64
        assert logs.max() <= 0
        assert logs.sum().item() == pytest.approx(parse_tale(story).log_prob, abs=1e-9)


@pytest.mark.parametrize("kind", ["bpe", "gpt2", "letters", "whole texts"])
def test_both_functions_say_the_same_at_each_token(kind, tokenizer):
    story = make_tales(1, seed=22)[0]
    other = {
        "bpe": tokenizer,
        "gpt2": gpt2_tokenizer(),
        "letters": BPETokenizer.train("", 257),
        "whole texts": BPETokenizer.train(make_tales(50, seed=1), 500, pattern="(?s).+"),
    }[kind]
    ids = [*other.encode(story), other.end_of_text]
    logs = token_log_probs(story, other)
    every = 1 if kind == "bpe" else 7
    for number in [*range(0, len(ids), every), len(ids) - 1]:
        probs = next_token_probs(other.decode(ids[:number]), other)
        assert probs.shape == (other.n_vocab,) and probs.min() >= 0
        assert probs.sum().item() == pytest.approx(1, abs=1e-9)
        assert probs[ids[number]].item() == pytest.approx(math.exp(logs[number]), abs=1e-12)


def test_what_cannot_be_otherwise_has_the_probability_one_exactly(tokenizer):
    logs = token_log_probs(make_tales(1, seed=7)[0], tokenizer)
    assert (logs == 0).float().mean() > 0.7 and not ((logs < 0) & (logs > -0.05)).any()


def test_the_floor_is_their_mean(tokenizer):
    stories = make_tales(100, seed=3)
    logs = torch.cat([token_log_probs(story, tokenizer) for story in stories])
    floor = -sum(parse_tale(story).log_prob for story in stories) / len(logs)
    assert -logs.mean().item() == pytest.approx(floor, abs=1e-12)


# --- Against all tales of a small grammar ---------------------------------------------------------

SMALL_PLOTS = {
    "one": {
        "tables": {"thing": ("hat", "hatbox", "hats", "egg", "eggs", "owl", "umbrella")},
        "steps": [
            "[{hero} saw|{hero} sawed at] {thing.a}[.|, twice.| and more.| and ran.]",
            [
                '"[Yes|No]," said {hero}[.|, "and {thing.a}."]',
                "Then [the {thing}|the]re was {hero}.",
            ],
        ],
    },
    "two": {  # one tale can be the beginning of another, and the same text have two readings
        "tables": {"thing": ("hat", "egg", "owls"), "more": ("ear", "hear", "heart", "art")},
        "steps": [
            "{hero} saw {thing.a}[.| {more}s.| {more}.]",
            ["The end.", "The end. Or so {hero} sa[w|wed|ng]."],
        ],
    },
}


@pytest.fixture
def small_tales(monkeypatch):
    """All tales of the small grammar with their probabilities."""
    for module in (tale_probabilities, tale_walk):
        monkeypatch.setattr(module, "PLOTS", SMALL_PLOTS)
    monkeypatch.setattr(tale_walk, "TABLES", {"hero": ("Pip", "Mia", "Piper")})
    for cached in (tale_walk.plot_nodes, tale_walk.spell):
        cached.cache_clear()
    found, todo = Counter(), tale_probabilities._branches()
    while todo:
        branch = todo.pop()
        if branch.nodes is None:
            found[branch.written] += math.exp(-branch.nats)
        todo += [] if branch.nodes is None else tale_probabilities._ways_on(branch)
    assert sum(found.values()) == pytest.approx(1) and len(found) > 1000
    yield found
    for cached in (tale_walk.plot_nodes, tale_walk.spell):
        cached.cache_clear()


def letters_that_count_words(texts):
    """A token for each letter, another one behind an odd number of spaces: what stands behind a
    space cannot be encoded by itself."""
    letters = sorted(set("".join(texts)))

    def encode(text):
        return [
            2 * letters.index(letter) + text[:place].count(" ") % 2
            for place, letter in enumerate(text)
        ]

    def decode(ids):
        return "".join([*letters, "<end>"][number // 2] for number in ids)

    end = 2 * len(letters)
    return SimpleNamespace(encode=encode, decode=decode, n_vocab=end + 1, end_of_text=end)


def some_tokenizer(kind, texts):
    if kind == "gpt2":
        return gpt2_tokenizer()
    if kind == "counting":
        return letters_that_count_words(texts)
    name, size = kind.split()
    patterns = {  # "behind": the space belongs to the word before it
        "whole": {"pattern": "(?s).+"},
        "sentences": {"pattern": r"[^.]+\.?|\."},
        "behind": {"pattern": r"\S+\s?|\s+"},
        "gpt4": {"pattern": GPT4_PATTERN},
        "words": {},
    }
    return BPETokenizer.train(texts, int(size), **patterns[name])


KINDS = (
    "words 257|words 275|words 320|words 400|behind 290|gpt4 300|sentences 320|whole 290|whole 400"
)


@pytest.mark.parametrize("kind", [*KINDS.split("|"), "gpt2", "counting"])
def test_they_are_those_of_all_tales_written_out(kind, small_tales):
    """At every kind of place: at no word's end, inside tokens, behind a whole tale."""
    rng, texts = random.Random(1), list(small_tales)
    other = some_tokenizer(kind, texts)
    ids = {text: (*other.encode(text), other.end_of_text) for text in texts}
    behind = defaultdict(Counter)  # tokens so far -> next token -> probability
    for text, probability in small_tales.items():
        for number, token in enumerate(ids[text]):
            behind[ids[text][:number]][token] += probability
    prefixes = sorted({text[:end] for text in texts for end in range(len(text) + 1)})
    refused = 0
    for prefix in ["", texts[0], *rng.sample(prefixes, 30 if kind == "gpt2" else 150)]:
        tokens = tuple(other.encode(prefix))
        if tokens not in behind:  # it ends where no token of a tale ends
            refused += 1
            with pytest.raises(ValueError, match="no tale has the token"):
                next_token_probs(prefix, other)
            continue
        wanted = torch.zeros(other.n_vocab, dtype=torch.float64)
        for token, probability in behind[tokens].items():
            wanted[token] = probability / behind[tokens].total()
        assert torch.allclose(next_token_probs(prefix, other), wanted, rtol=0, atol=1e-12), prefix
    assert (refused > 0) == (kind not in ("words 257", "counting"))
    for text in rng.sample(texts, 5 if kind == "gpt2" else 30):
        logs = [
            math.log(behind[ids[text][:number]][token] / behind[ids[text][:number]].total())
            for number, token in enumerate(ids[text])
        ]
        assert token_log_probs(text, other).tolist() == pytest.approx(logs, abs=1e-12)


# --- Against the dice -----------------------------------------------------------------------------


def without_word_ends(prefix, tokenizer):
    """The tempting wrong form: the share of tales that go on with the letters of a token. " a"
    takes what belongs to " an"."""

    def begin_with(text):
        try:
            partings = tale_probabilities._partings(text)
        except ValueError:
            return 0.0
        return sum(math.exp(-branch.nats) for place, branch in partings if place == len(text))

    share = [begin_with(prefix + tokenizer.decode([number])) for number in range(tokenizer.n_vocab)]
    return torch.tensor(share, dtype=torch.float64) / begin_with(prefix)


def next_tokens_counted(stories, tokenizer, least, words=6):
    """{tokens: {next token: how often}} for all beginnings within the first words of the stories
    that occur at least so often."""
    beginnings = Counter(tuple(story.split(" ", words + 1)[: words + 1]) for story in stories)
    counts = defaultdict(Counter)
    for parts, count in beginnings.items():
        ids = tokenizer.encode(" ".join(parts))
        inside = len(tokenizer.encode(" ".join(parts[:words])))
        for number in range(inside + 1):
            counts[tuple(ids[:number])][ids[number]] += count
    return {tokens: row for tokens, row in counts.items() if row.total() >= least}


def chance(counted, probs):
    """The probability that the dice deviate from `probs` at least as much as `counted` does:
    Pearson's chi-squared test. Tokens that are expected less than five times count as one."""
    total = counted.total()
    if any(not probs[token] for token in counted):
        return 0.0  # what cannot happen has happened
    cells = [
        (counted[token], total * probs[token].item())
        for token in probs.nonzero().flatten().tolist()
    ]
    rare = [cell for cell in cells if cell[1] < 5]
    cells = [cell for cell in cells if cell[1] >= 5]
    cells += [tuple(map(sum, zip(*rare, strict=True)))] if rare else []
    chi_squared = sum((seen - expected) ** 2 / expected for seen, expected in cells)
    if len(cells) == 1:
        return 1.0 if chi_squared < 1e-9 else 0.0
    half = torch.tensor([(len(cells) - 1) / 2, chi_squared / 2], dtype=torch.float64)
    return torch.special.gammaincc(*half).item()


def chances(stories, tokenizer, least, probabilities):
    """How probable the counts are at each frequent beginning: {beginning: chance}."""
    counted = next_tokens_counted(stories, tokenizer, least)
    texts = {tokens: tokenizer.decode(tokens) for tokens in counted}
    return {
        texts[tokens]: chance(row, probabilities(texts[tokens], tokenizer))
        for tokens, row in counted.items()
    }


def test_they_are_those_of_the_dice(tokenizer, record_property):
    """At every beginning within the first six words that 1,000 of 200,000 tales have."""
    found = chances(make_tales(200_000, seed=4), tokenizer, 1000, next_token_probs)
    lowest = min(found, key=found.get)
    below = sum(value < 0.05 for value in found.values()) / len(found)
    told = f"the least probable count {found[lowest]:.2g}; a chance below 0.05: {below:.1%}"
    record_property("measured", f"200,000 tales, {len(found)} beginnings: {told}")
    assert len(found) > 150 and found[lowest] > 0.01 / len(found), (lowest, found[lowest])


def test_without_word_ends_the_dice_disagree(tokenizer):
    """ "On" would take what belongs to "One"."""
    found = chances(make_tales(3000, seed=4), tokenizer, 2500, without_word_ends)
    assert list(found) == [""] and found[""] < 1e-9
    assert chances(make_tales(3000, seed=4), tokenizer, 2500, next_token_probs)[""] > 0.001


# --- What is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize("function", [next_token_probs, token_log_probs])
@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("Once upon a time", "beyond character 2: after 'On' comes 'ce upon a '"),
        (" On a sunny", "beyond character 0"),
        ("Mia was a shy foy", "beyond character 16: after 'Mia was a shy fo'"),
        ("On a win", "token ' win' at character 4"),
        ("On a ", "token ' ' at character 4"),
        ("On a sunny <|endoftext|>", "beyond character 11"),
        ("On a sünny", "beyond character 6"),
    ],
)
def test_a_text_that_is_no_beginning_is_refused_at_its_place(function, text, place):
    with pytest.raises(ValueError) as error:
        function(text, gpt2_tokenizer())
    assert place in str(error.value)


def test_a_contradiction_is_refused_where_it_stands(tokenizer):
    """One wrong pronoun, words behind the end."""
    story = make_tales(1, seed=7)[0]
    for wrong, place in (
        (story.replace(" she ", " he ", 1), story.index(" she ") + 1),
        (story + " The end.", len(story)),
    ):
        for function in (next_token_probs, token_log_probs):
            with pytest.raises(ValueError, match=f"beyond character {place}:"):
                function(wrong, tokenizer)


def test_a_beginning_has_probabilities_but_no_end(tokenizer):
    story = make_tales(1, seed=7)[0]
    half = " ".join(story.split(" ")[:12])
    logs, whole = token_log_probs(half, tokenizer), token_log_probs(story, tokenizer)
    assert logs[-1] == -math.inf and torch.equal(logs[:-1], whole[: len(logs) - 1])
    assert next_token_probs(story, tokenizer)[tokenizer.end_of_text] == 1
    assert token_log_probs("", tokenizer).tolist() == [-math.inf]


def test_tokenizers_without_exact_probabilities_are_refused():
    stories = make_tales(50, seed=1)
    with pytest.raises(ValueError, match="put together, are not the text"):
        next_token_probs("Mia was", SimpleTokenizer.train(" ".join(stories)))
    pairs_of_words = BPETokenizer.train(stories, 400, pattern=r"\S+\s\S+\s?|\S+|\s+")
    with pytest.raises(ValueError, match="when more follows"):
        next_token_probs("Mia was", pairs_of_words)
