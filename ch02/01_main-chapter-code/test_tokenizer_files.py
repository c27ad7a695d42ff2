"""Tests of chapter 2's reading of other people's tokenizer files: what is read gives the ids of the
package `tokenizers`, and everything else is refused by name.
"""

import copy
import json
import random
import sys
from pathlib import Path

import pytest

if __name__ == "__main__":  # before the imports below: pytest gives the chapters their import names
    raise SystemExit(pytest.main([__file__, *sys.argv[1:]]))

from ch02_01_main_chapter_code.bpe import BPETokenizer
from ch02_01_main_chapter_code.tokenizer import END_OF_TEXT, gpt2_tokenizer
from ch02_01_main_chapter_code.tokenizer_files import bytes_to_unicode, check_pattern

tokenizers = pytest.importorskip("tokenizers", reason="needs requirements-dev.txt")

STORY = (Path(__file__).parent / "the-verdict.txt").read_text(encoding="utf-8")[:20_000]
ODD = [
    "",
    " ",
    "\n\n\n  the end \t\t\n",
    "the fox saw",
    "  two  spaces   and\u00a0more\u3000",
    "I'll YOU'RE he'D don\u2019t 's''ll 'ſ 'K",
    "x = 1\r\n\r\n    if y:\n\t\tz += 2\n",
    "3.14159 1,000,000 12345678 ½ ² Ⅷ ٣٤٥ a1b22c333",
    "...!?!?--_--a_b $5 <b>&amp;</b>\n!\n\n?",
    "naïve e\u0301 é \u1e9e ﬁ ﬂ Å Å ſt",
    "👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽 🇩🇪",
    "مرحبا בעולם नमस्ते สวัสดี 你好 こんにちは 안녕",
    f"a{END_OF_TEXT}b <|user|>{END_OF_TEXT}{END_OF_TEXT} <|<|user|>|>",
    f"a  {END_OF_TEXT}  b [PAD][PAD]x  [PAD] y[PAD]",
    "\x00\x01\x7f\u202eabc\u202c\ufeff",
    "a" * 300 + " " * 40 + "\n" * 30 + "7" * 50,
]


def odd_texts(count, seed=0):
    rng = random.Random(seed)
    pieces = [*ODD, *STORY.split(" ")[:300], *"aZé你👍1½ \n\t\r'._-$\u00a0\u0301"]
    return ODD + ["".join(rng.choices(pieces, k=rng.randint(1, 8))) for _ in range(count)]


def save(data, path):
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


def differences(ours, theirs, texts):
    """The texts that two tokenizers turn into other ids, or the ids into other texts."""
    different = []
    for text in texts:
        ids = theirs.encode(text).ids
        back = theirs.decode(ids, skip_special_tokens=False)
        if ours.encode(text, "all") != ids or ours.decode(ids) != back:
            different.append(text)
    return different


# --- The shapes of published files ----------------------------------------------------------------

PATTERNS = {
    "GPT-4 and Llama 3": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "Qwen 2": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "words only": r"\p{L}+",
    "words and nothing": r"\p{L}*",
    "a group": r"(\p{L})(\p{L}+)|\p{N}",
    "pairs of letters": r"\p{Lu}\p{Ll}|[^a-f\s]{2}",
}


def trained(kind):
    """A file like those on the hub, learned in a moment by `tokenizers`, as a dictionary."""
    parts = tokenizers.pre_tokenizers
    to_bytes = parts.ByteLevel(add_prefix_space=False, use_regex=kind not in PATTERNS)
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = to_bytes
    if kind == "SmolLM2":
        made.pre_tokenizer = parts.Sequence([parts.Digits(individual_digits=True), to_bytes])
    elif kind in PATTERNS:
        split = parts.Split(tokenizers.Regex(PATTERNS[kind]), "isolated")
        made.pre_tokenizer = parts.Sequence([split, to_bytes])
    made.decoder = tokenizers.decoders.ByteLevel()
    special = [END_OF_TEXT, "<|user|>"] if kind != "GPT-2" else []
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=special,  # first, as in SmolLM2
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator([STORY], trainer)
    if kind == "GPT-2":  # behind the words
        made.add_special_tokens([END_OF_TEXT, "<|user|>"])
        made.post_processor = tokenizers.processors.ByteLevel(trim_offsets=False)
    data = json.loads(made.to_str())
    if kind == "GPT-2":  # as it lies on the hub
        data["model"] |= {"continuing_subword_prefix": "", "end_of_word_suffix": ""}
        data["model"]["merges"] = [" ".join(pair) for pair in data["model"]["merges"]]
        del data["model"]["type"], data["pre_tokenizer"]["use_regex"]
    return data


KINDS = ["GPT-2", "SmolLM2", *PATTERNS]


@pytest.fixture(scope="module")
def published():
    return {kind: trained(kind) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_files_in_the_shapes_of_published_ones_give_the_ids_of_tokenizers(
    published, kind, tmp_path
):
    ours = BPETokenizer.load(save(published[kind], tmp_path / "tokenizer.json"))
    theirs = tokenizers.Tokenizer.from_str(json.dumps(published[kind]))
    assert differences(ours, theirs, [*odd_texts(300), STORY]) == []
    assert ours.end_of_text == theirs.token_to_id(END_OF_TEXT)
    ours.save(tmp_path / "again.json")
    again = BPETokenizer.load(tmp_path / "again.json")
    assert differences(again, theirs, odd_texts(50)) == []


def test_what_the_pattern_leaves_out_is_not_lost(published, tmp_path):
    ours = BPETokenizer.load(save(published["words only"], tmp_path / "tokenizer.json"))
    assert ours.decode(ours.encode("the fox saw")) == "the fox saw"


# --- Every setting --------------------------------------------------------------------------------

VALUES = [None, True, False, 0, 1, 0.5, "", "x", "</w>", "Ġ", END_OF_TEXT, [], {}, ["a"], {"a": 1}]
SETTINGS = {
    "normalizer": [{"type": name} for name in ("NFC", "NFKC", "Lowercase", "BertNormalizer")]
    + [{"type": "Sequence", "normalizers": []}, {"type": "Prepend", "prepend": "x"}],
    "truncation": [
        {"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0}
    ],
    "padding": [
        {
            "strategy": {"Fixed": 9},
            "direction": "Right",
            "pad_to_multiple_of": None,
            "pad_id": 0,
            "pad_type_id": 0,
            "pad_token": "x",
        }
    ],
    "post_processor": [
        {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        {"type": "BertProcessing", "sep": ["<|user|>", 1], "cls": ["<|user|>", 1]},
        {
            "type": "TemplateProcessing",
            "single": [
                {"SpecialToken": {"id": END_OF_TEXT, "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}},
            ],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}],
            "special_tokens": {
                END_OF_TEXT: {"id": END_OF_TEXT, "ids": [0], "tokens": [END_OF_TEXT]}
            },
        },
    ],
    "decoder": [{"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always"}],
    "pre_tokenizer": [
        {"type": "Whitespace"},
        {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
        {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}]},
    ],
    "behavior": ["Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous", "Isolated"],
    "pattern": [{"String": " "}, {"Regex": "("}, {"Regex": r"\w+"}, {"Regex": r"^\p{L}+"}],
    "version": ["2.0"],
}


def places(settings, path=()):
    """The path of every setting in a file; of vocabulary and merges only the whole."""
    keys = settings if isinstance(settings, dict) else range(len(settings))
    for key in keys:
        yield (*path, key)
        if isinstance(settings[key], dict | list) and key not in ("vocab", "merges"):
            yield from places(settings[key], (*path, key))


def mutations(data):
    """Each setting replaced by other values, left out, and joined by a stranger: (what, file)."""
    for path in places(data):
        *before, last = path
        values = [*VALUES, *SETTINGS.get(last, [])]
        for value in values:
            changed = copy.deepcopy(data)
            inner = changed
            for key in before:
                inner = inner[key]
            inner[last] = value
            yield (path, value), changed
            if isinstance(inner, dict) and value is values[0]:
                del inner[last]
                yield (path, "left out"), changed
                inner["stranger"] = True
                yield (path, "a stranger in its place"), changed


@pytest.mark.parametrize("kind", ["GPT-2", "SmolLM2", "Qwen 2"])
def test_every_setting_is_refused_or_gives_the_ids_of_tokenizers(published, kind, tmp_path):
    read = 0
    for what, data in mutations(published[kind]):
        try:
            ours = BPETokenizer.load(save(data, tmp_path / "tokenizer.json"))
        except ValueError as error:
            assert "tokenizer.json is no byte-level BPE" in str(error), what
            continue
        try:
            theirs = tokenizers.Tokenizer.from_str(json.dumps(data))
        except Exception as error:  # what they cannot read they cannot read otherwise than we do
            assert "error" in repr(error).lower() or "line" in str(error), what
            continue
        read += 1
        assert differences(ours, theirs, ODD) == [], what
    assert read > 10


REFUSED = {
    "ignore_merges": (("model", "ignore_merges"), True),
    "normalizer": (("normalizer",), {"type": "NFC"}),
    "end_of_word_suffix": (("model", "end_of_word_suffix"), "</w>"),
    "continuing_subword_prefix": (("model", "continuing_subword_prefix"), "##"),
    "dropout": (("model", "dropout"), 0.1),
    "special": (("added_tokens", 0, "special"), False),
    "lstrip": (("added_tokens", 1, "lstrip"), True),
    "rstrip": (("added_tokens", 1, "rstrip"), True),
    "single_word": (("added_tokens", 1, "single_word"), True),
    "add_prefix_space": (("pre_tokenizer", "pretokenizers", 1, "add_prefix_space"), True),
    "use_regex": (("pre_tokenizer", "pretokenizers", 1, "use_regex"), False),
    "individual_digits": (("pre_tokenizer", "pretokenizers", 0, "individual_digits"), False),
    "post_processor": (("post_processor",), {"type": "TemplateProcessing", "single": []}),
    "truncation": (("truncation",), {"max_length": 3}),
    "padding": (("padding",), {"pad_id": 0}),
    "decoder": (("decoder",), {"type": "Metaspace"}),
    "version": (("version",), "9.0"),
    "invented": (("model", "invented"), 7),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_named_with_its_value(published, name, tmp_path):
    path, value = REFUSED[name]
    data = copy.deepcopy(published["SmolLM2"])
    inner = data
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    with pytest.raises(ValueError, match=f"tokenizer.json is .*{name}") as caught:
        BPETokenizer.load(save(data, tmp_path / "tokenizer.json"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["unk_token", "fuse_unk", "byte_fallback"])
def test_where_bytes_are_missing_it_matters_what_becomes_of_them(published, name, tmp_path):
    data = copy.deepcopy(published["SmolLM2"])
    data["model"][name] = END_OF_TEXT if name == "unk_token" else True
    ours = BPETokenizer.load(save(data, tmp_path / "tokenizer.json"))
    theirs = tokenizers.Tokenizer.from_str(json.dumps(data))
    assert differences(ours, theirs, ODD) == []
    for byte in (0, 1, 127):
        del data["model"]["vocab"][bytes_to_unicode()[byte]]
    with pytest.raises(ValueError, match=name):
        BPETokenizer.load(save(data, tmp_path / "tokenizer.json"))


def damaged_vocabularies(data):
    model = data["model"]
    words = list(model["vocab"])
    yield "two tokens with one id", {words[300]: model["vocab"][words[301]]}, []
    yield "an id that is text", {words[300]: "300"}, []
    yield "an id below zero", {words[300]: -1}, []
    yield "an id that is true", {words[300]: True}, []
    yield "a letter that is no byte", {"▁the": 999}, []
    yield "another id for a special token", {END_OF_TEXT: 777}, []
    yield "a merge without its token", {}, [["z", "Q"]]
    yield "a merge of three", {}, [["a", "b", "c"]]
    yield "a merge that is a number", {}, [5]


def test_a_vocabulary_that_does_not_fit_together_is_refused(published, tmp_path):
    for what, vocab, merges in damaged_vocabularies(published["GPT-2"]):
        data = copy.deepcopy(published["GPT-2"])
        data["model"]["vocab"] |= vocab
        data["model"]["merges"] += merges
        with pytest.raises(ValueError, match="tokenizer.json is no byte-level BPE"):
            BPETokenizer.load(save(data, tmp_path / "tokenizer.json"))
            pytest.fail(what)


def test_a_file_nested_without_end_is_refused(tmp_path):
    (tmp_path / "tokenizer.json").write_text("[" * 200_000)
    with pytest.raises(ValueError, match="damaged"):
        BPETokenizer.load(tmp_path / "tokenizer.json")


# --- Patterns -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pattern",
    [
        "(",
        "[",
        "*",
        r"\w+",
        r"\b",
        r"\h",
        "^a",
        "a$",
        r"(?m:.)",
        r"(?i:ss)",
        r"[a-z&&[^b]]",
        r"a{2}+",
        r"(a)\1",
        r"\p{Nonsense}",
        r"[[:alpha:]]",
    ],
)
def test_patterns_that_two_engines_read_differently_are_refused(pattern, tmp_path):
    with pytest.raises(ValueError, match="pattern"):
        check_pattern(pattern)
    if pattern == r"\w+":  # so it is not written either
        with pytest.raises(ValueError, match="pattern"):
            BPETokenizer.train("a", 257, pattern=pattern).save(tmp_path / "tokenizer.json")
        assert not list(tmp_path.iterdir())


PARTS = [r"\p{L}", r"\p{^N}", r"\P{Lu}", r"\s", r"\S", r"\d", r"\D", ".", "a", "'", " ", r"\.", "-"]
PARTS += [r"[a-f]", r"[^\s\p{L}]", r"[\r\n]", r"\p{Han}", "(?i:'s|'t|'re|'ve|'m|'ll|'d)", r"\t"]
BEHIND = ["", "", "", "+", "*", "?", "+?", "*?", "++", "*+", "?+", "{2}", "{1,3}", "{2,}"]
AROUND = ["{}", "{}", "(?:{})", "({})", "(?={})", "(?!{})", "(?<!{})", "(?<=a{})", "(?>{})"]


def random_pattern(rng):
    def part():
        return rng.choice(AROUND).format(rng.choice(PARTS)) + rng.choice(BEHIND)

    return "|".join("".join(part() for _ in range(rng.randint(1, 3))) for _ in range(2))


def test_patterns_that_are_read_cut_as_in_tokenizers():
    vocab = {bytes([byte]): byte for byte in range(256)}
    texts = [text for text in odd_texts(40, seed=2) if text]
    rng, checked = random.Random(1), 0
    for _ in range(1200):
        pattern = random_pattern(rng)
        try:
            check_pattern(pattern)
            split = tokenizers.pre_tokenizers.Split(tokenizers.Regex(pattern), "isolated")
        except Exception:  # one of the two cannot use it, so nobody is given other ids
            continue
        cut = BPETokenizer(vocab, [], {}, pattern)._cut
        for text in texts:
            theirs = [piece for piece, _ in split.pre_tokenize_str(text)]
            assert cut(text) == theirs, pattern
        checked += 1
    assert checked > 150


# --- vocab.json and merges.txt --------------------------------------------------------------------


def write_pair(folder, data, names=("vocab.json", "merges.txt"), **files):
    folder.mkdir(exist_ok=True)
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in data["model"]["merges"]]
    vocab = data["model"]["vocab"] | {
        token["content"]: token["id"] for token in data["added_tokens"]
    }
    save(vocab, folder / names[0])
    (folder / names[1]).write_text("#version: 0.2\n" + "\n".join(merges) + "\n", encoding="utf-8")
    for name, content in files.items():
        save(content, folder / f"{name}.json")
    return folder


@pytest.mark.parametrize("names", [("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe")])
def test_a_pair_of_files_gives_the_ids_of_tokenizers(published, names, tmp_path):
    folder = write_pair(tmp_path, published["GPT-2"], names)
    theirs = tokenizers.Tokenizer(
        tokenizers.models.BPE.from_file(*(str(folder / name) for name in names))
    )
    theirs.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    theirs.decoder = tokenizers.decoders.ByteLevel()
    theirs.add_special_tokens([END_OF_TEXT])
    ours = BPETokenizer.load(folder)
    assert differences(ours, theirs, [*odd_texts(300), STORY]) == []
    assert ours.end_of_text == theirs.token_to_id(END_OF_TEXT)


def test_gpt2s_own_pair_is_gpt2s_tokenizer():
    ours, theirs = BPETokenizer.from_gpt2(), gpt2_tokenizer()
    assert all(ours.encode(text, "all") == theirs.encode(text, "all") for text in odd_texts(100))


def test_transformers_reads_a_pair_in_the_same_way(published, tmp_path):
    transformers = pytest.importorskip("transformers", reason="needs requirements-dev.txt")
    names = {"eos_token": "<|user|>", "bos_token": "<|user|>", "unk_token": "<|user|>"}
    config = names | {"tokenizer_class": "GPT2Tokenizer", "add_prefix_space": False}
    folder = write_pair(tmp_path, published["GPT-2"], tokenizer_config=config)
    theirs, ours = transformers.AutoTokenizer.from_pretrained(folder), BPETokenizer.load(folder)
    assert ours.end_of_text == theirs.eos_token_id
    for text in [STORY, *(text for text in odd_texts(100) if END_OF_TEXT not in text)]:
        assert ours.encode(text, ["<|user|>"]) == theirs.encode(text), repr(text)


@pytest.mark.parametrize(
    "files, end",
    [
        ({}, END_OF_TEXT),
        ({"tokenizer_config": {"eos_token": "<|user|>"}}, "<|user|>"),
        ({"tokenizer_config": {"eos_token": {"content": "<|user|>"}}}, "<|user|>"),
        ({"special_tokens_map": {"eos_token": {"content": "<|user|>"}}}, "<|user|>"),
        ({"config": {"eos_token_id": 601}, "special_tokens_map": {"pad_token": "<|user|>"}}, 601),
        ({"config": {"eos_token_id": [601]}, "special_tokens_map": {"x_token": "<|user|>"}}, 601),
        ({"config": {"eos_token_id": 50_256}}, END_OF_TEXT),  # transformers' default: no token
        ({"config": {"eos_token_id": 65}}, END_OF_TEXT),  # a word
        (
            {"special_tokens_map": {"eos_token": "<|user|>"}, "config": {"eos_token_id": 600}},
            "<|user|>",
        ),
    ],
)
@pytest.mark.parametrize("form", ["pair", "tokenizer.json"])
def test_the_end_of_a_text_comes_from_the_files(published, files, end, form, tmp_path):
    write_pair(tmp_path, published["GPT-2"], **files)
    if form == "tokenizer.json":
        save(published["GPT-2"], tmp_path / "tokenizer.json")
    tokenizer = BPETokenizer.load(tmp_path)
    assert tokenizer.end_of_text == tokenizer.special_tokens.get(end, end)
    if form == "tokenizer.json":
        assert BPETokenizer.load(tmp_path / "tokenizer.json").end_of_text == tokenizer.end_of_text


def test_the_usual_names_of_the_end_are_known_and_others_are_asked_for():
    assert BPETokenizer.train("a", 258, special_tokens=("</s>",)).end_of_text == 256
    assert BPETokenizer.train("a", 258, special_tokens=("<|user|>",)).end_of_text is None


TOKEN = {"content": "[PAD]", "lstrip": False, "rstrip": False, "single_word": False}
TOKEN |= {"normalized": False, "special": True}


@pytest.mark.parametrize(
    "files",
    [
        {"added_tokens": {"[PAD]": 602}, "special_tokens_map": {"pad_token": "[PAD]"}},
        {"tokenizer_config": {"added_tokens_decoder": {"602": TOKEN}}},
    ],
)
def test_tokens_that_were_added_to_a_pair_are_read(published, files, tmp_path):
    tokenizer = BPETokenizer.load(write_pair(tmp_path, published["GPT-2"], **files))
    assert tokenizer.encode("x[PAD]", "all")[-1] == 602 == tokenizer.n_vocab - 1
    assert 602 not in tokenizer.encode("x[PAD]")


@pytest.mark.parametrize(
    "files, words",
    [
        ({"tokenizer_config": {"add_prefix_space": True}}, "add_prefix_space = True"),
        ({"tokenizer_config": {"add_bos_token": True}}, "add_bos_token = True"),
        ({"tokenizer_config": {"do_lower_case": True}}, "do_lower_case = True"),
        ({"tokenizer_config": {"tokenizer_class": "CLIPTokenizer"}}, "CLIPTokenizer"),
        ({"tokenizer_config": {"eos_token": "</s>"}}, "'</s>' there, which the tokenizer lacks"),
        ({"added_tokens": {"<tool>": 602}}, "<tool>.*not said to be special"),
        (
            {"tokenizer_config": {"added_tokens_decoder": {"602": TOKEN | {"lstrip": True}}}},
            "lstrip",
        ),
        (
            {"tokenizer_config": {"added_tokens_decoder": {"602": TOKEN | {"special": False}}}},
            "special = False",
        ),
    ],
)
def test_settings_beside_a_pair_that_change_the_ids_are_refused(published, files, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        BPETokenizer.load(write_pair(tmp_path, published["GPT-2"], **files))


def test_half_a_pair_and_no_tokenizer_are_refused(published, tmp_path):
    write_pair(tmp_path, published["GPT-2"])
    (tmp_path / "merges.txt").unlink()
    with pytest.raises(ValueError, match="half a tokenizer"):
        BPETokenizer.load(tmp_path)
    (tmp_path / "vocab.json").unlink()
    with pytest.raises(ValueError, match="there is no tokenizer.json"):
        BPETokenizer.load(tmp_path)
    (tmp_path / "tokenizer.model").write_bytes(b"sentencepiece")
    with pytest.raises(ValueError, match="tokenizer.model"):
        BPETokenizer.load(tmp_path)
