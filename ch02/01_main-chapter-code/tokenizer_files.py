"""Tokenizers of others on disk: what is understood of their files, and what is refused by name.

A folder has its tokenizer in Hugging Face's `tokenizer.json`, or in the older pair of GPT-2's,
`vocab.json` and `merges.txt`; which token ends a text, `tokenizer_config.json`,
`special_tokens_map.json` or `config.json` beside them say. A setting that is read over changes the
ids in silence, so each one must be in the tables below, with a value that changes nothing: whatever
is read here gives the ids that the package `tokenizers` gives.
"""

import json
import os
from functools import lru_cache
from pathlib import Path

import regex

# From the encoder.py of OpenAI's GPT-2 (2019): short forms such as 's and 'll, then letters,
# numbers or other signs with at most one space before them, then white space.
GPT2_PATTERN = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
END_OF_TEXT = "<|endoftext|>"
# Every digit is a word of its own, so that all numbers are written in the same way; for the rest
# GPT-2's pattern. White space before a digit is cut as at the end of a text: the digits are taken
# out first, then the pieces are cut.
DIGITS_PATTERN = r"\p{N}|'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?[^\s\p{L}\p{N}]+|\s+(?![^\s\p{N}])|\s+"

PAIRS = (("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe"))  # the hub's names, OpenAI's
OTHER_KINDS = ("tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "vocab.txt")

# --- Bytes as text --------------------------------------------------------------------------------


@lru_cache
def bytes_to_unicode():
    """GPT-2's printable stand-in for each byte, in GPT-2's order: {33: "!", ..., 32: "Ġ", ...}.

    Vocabulary files are JSON text, and most byte strings are no text: bytes that print stand for
    themselves, the other 68 move up to the characters from 256 on.
    """
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {
        byte: chr(256 + i) for i, byte in enumerate(hidden)
    }


@lru_cache
def _unicode_to_bytes():
    return {character: byte for byte, character in bytes_to_unicode().items()}


def printable(token):
    """A byte string as it stands in a vocabulary file.

    >>> printable(b" fox")
    'Ġfox'
    """
    return "".join(bytes_to_unicode()[byte] for byte in token)


def from_printable(text):
    """The byte string that `text` stands for. Raises ValueError where it stands for none."""
    try:
        return bytes(_unicode_to_bytes()[character] for character in text)
    except KeyError as error:
        raise ValueError(f"its token {text!r} has the letter {error}, which is no byte") from None


# --- What is understood ---------------------------------------------------------------------------

ANYTHING = object()  # changes nothing, or is looked at elsewhere
FILE = {"version": ("1.0",), "truncation": (None,), "padding": (None,), "normalizer": (None,)} | {
    name: ANYTHING
    for name in ("added_tokens", "pre_tokenizer", "post_processor", "decoder", "model")
}
MODEL = {
    "type": ("BPE",),
    "dropout": (None, 0),
    "unk_token": (None,),
    "continuing_subword_prefix": (None, ""),
    "end_of_word_suffix": (None, ""),
    "fuse_unk": (False,),
    "byte_fallback": (False,),
    "ignore_merges": (False,),
    "vocab": ANYTHING,
    "merges": ANYTHING,
}
# With a token for each byte nothing is unknown, so what becomes of the unknown does not matter.
MODEL_OF_ALL_BYTES = MODEL | dict.fromkeys(("unk_token", "fuse_unk", "byte_fallback"), ANYTHING)
ADDED_TOKEN = {
    "id": ANYTHING,
    "content": ANYTHING,
    "single_word": (False,),
    "lstrip": (False,),
    "rstrip": (False,),
    "normalized": (False, True),  # there is no normalizer
    "special": (True,),
}
SPLIT = {"type": ("Split",), "pattern": ANYTHING, "behavior": ("Isolated",), "invert": (False,)}
DIGITS = {"type": ("Digits",), "individual_digits": (True,)}
TO_BYTES = {
    "type": ("ByteLevel",),
    "add_prefix_space": (False,),
    "trim_offsets": ANYTHING,
    "use_regex": (True,),
}
TO_BYTES_ONLY = TO_BYTES | {"use_regex": (False,)}
AFTERWARDS = dict.fromkeys(("add_prefix_space", "trim_offsets", "use_regex"), ANYTHING) | {
    "type": ("ByteLevel",)  # it moves offsets only
}
TOKENIZER_CONFIG = {
    name: (False, None)
    for name in ("add_prefix_space", "add_bos_token", "add_eos_token", "do_lower_case")
}
GPT2_CLASSES = ("GPT2Tokenizer", "GPT2TokenizerFast", None)

# The parts of a regular expression that Oniguruma, which cuts in `tokenizers`, and `regex`, which
# cuts here, read alike. They differ about \w, \b, \h, ^, $, (?m: and sets in sets, for example.
ESCAPE = r"\\[pP]\{\^?(?:[CLMNPSZ][a-z]?|Han|Latin)\}|\\[sSdDrnt]|\\[][(){}.*+?|^$\\/-]"
CLASS = rf"\[\^?(?:{ESCAPE}|[^\\\[\]&^])+\]"
SHORT_FORMS = r"\(\?i:(?:'s\|'t\|'re\|'ve\|'m\|'ll\|'d|\[sdmt\]\|ll\|ve\|re)\)"
GROUP = r"\((?!\?)|\(\?(?:[:=!>]|<[=!])|\)|\|"
REPEATS = r"[*+?][+?]?|\{\d+(?:,\d*)?\}(?![+?])"
READ_ALIKE = regex.compile(
    rf"(?:{ESCAPE}|{CLASS}|{SHORT_FORMS}|{GROUP}|{REPEATS}|[^\\\[\](){{}}^$*+?|])*+"
)


def understood(settings, table, where):
    """Raises ValueError for the first setting that `table` does not know, or with another value."""
    if not isinstance(settings, dict):
        raise ValueError(f"{where} is {settings!r:.60}, which holds no settings")
    for name, value in settings.items():
        values = table.get(name, (None,))
        if values is not ANYTHING and value not in values:
            known = " or ".join(map(repr, values)) if name in table else "nothing of that name"
            raise ValueError(f"{where} says {name} = {value!r:.60}; understood is {known}")


def check_pattern(pattern):
    """Raises ValueError for a regular expression that is none, or that `tokenizers` reads in
    another way than we do.
    """
    read = READ_ALIKE.match(pattern).end()
    if read < len(pattern):
        raise ValueError(
            f"its pattern {pattern!r:.60} has {pattern[read : read + 8]!r} at {read}, which "
            "`tokenizers` and `regex` do not read in the same way"
        )
    try:
        regex.compile(pattern)
    except regex.error as error:
        raise ValueError(f"its pattern {pattern!r:.60} is no regular expression: {error}") from None


# --- tokenizer.json -------------------------------------------------------------------------------


def read_json(path):
    """The settings in a JSON file. Raises ValueError where it is damaged."""
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path.name} is damaged: {error}") from None
    if not isinstance(settings, dict):
        raise ValueError(f"{path.name} is damaged: it holds no settings")
    return settings


def read_tokenizer_json(path):
    """The arguments of a `BPETokenizer` from a tokenizer.json. Raises ValueError for whatever is
    not understood.
    """
    data = read_json(path)
    understood(data, FILE, "it")
    model = data["model"]
    vocab = model["vocab"]
    all_bytes = all(letter in vocab for letter in bytes_to_unicode().values())
    understood(model, MODEL_OF_ALL_BYTES if all_bytes else MODEL, "its model")
    understood(data["decoder"], AFTERWARDS, "its decoder")
    if data.get("post_processor") is not None:
        understood(data["post_processor"], AFTERWARDS, "its post_processor")
    pairs = [pair.split(" ") if isinstance(pair, str) else pair for pair in model["merges"]]
    pattern = read_pattern(data["pre_tokenizer"])
    return as_bytes(vocab, pairs, read_added_tokens(data["added_tokens"], vocab)) | {
        "pattern": pattern
    }


def write_tokenizer_json(path, vocab, merges, special_tokens, pattern=GPT2_PATTERN):
    """Write a tokenizer.json: {token as bytes: id}, pairs of byte strings, {special string: id}.
    Atomic: a whole file or none. Raises ValueError for a pattern that `tokenizers` would read in
    another way.
    """
    check_pattern(pattern)
    split = {
        "type": "Split",
        "pattern": {"Regex": pattern},
        "behavior": "Isolated",
        "invert": False,
    }
    to_bytes = {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": False,
    }
    flags = {
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "special": True,
    }
    data = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": i, "content": text} | flags for text, i in special_tokens.items()],
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, to_bytes]},
        "post_processor": None,
        "decoder": to_bytes,
        "model": {
            "type": "BPE",
            "vocab": {printable(token): i for token, i in vocab.items()} | special_tokens,
            "merges": [[printable(left), printable(right)] for left, right in merges],
        },
    }
    temporary = Path(f"{path}.tmp")
    temporary.write_text(json.dumps(data, ensure_ascii=False), encoding="utf-8")
    os.replace(temporary, path)


def read_pattern(pre_tokenizer):
    """The one regular expression that cuts as a tokenizer.json's `pre_tokenizer` does."""
    parts = [pre_tokenizer]
    if pre_tokenizer["type"] == "Sequence":
        understood(pre_tokenizer, {"type": ANYTHING, "pretokenizers": ANYTHING}, "pre_tokenizer")
        parts = pre_tokenizer["pretokenizers"]
    kinds = [part["type"] for part in parts]
    tables = {
        ("ByteLevel",): [TO_BYTES],
        ("Digits", "ByteLevel"): [DIGITS, TO_BYTES],
        ("Split", "ByteLevel"): [SPLIT, TO_BYTES_ONLY],
    }.get(tuple(kinds))
    if tables is None:
        raise ValueError(f"it cuts text with {' + '.join(kinds)}, which is not understood")
    for part, table in zip(parts, tables, strict=True):
        understood({"use_regex": True} | part if part is parts[-1] else part, table, part["type"])
    if kinds[0] == "Split":
        understood(parts[0]["pattern"], {"Regex": ANYTHING}, "the pattern of Split")
        check_pattern(parts[0]["pattern"]["Regex"])
        return parts[0]["pattern"]["Regex"]
    return DIGITS_PATTERN if kinds[0] == "Digits" else GPT2_PATTERN


def read_added_tokens(tokens, vocab):
    """{special string: id} of a tokenizer.json's `added_tokens`."""
    special = {}
    for token in tokens:
        content = token["content"]
        understood(token, ADDED_TOKEN, f"its added token {content!r:.60}")
        free = max(len(vocab), max(special.values(), default=-1) + 1)  # what `tokenizers` gives
        if not content or content in special or token["id"] != vocab.get(content, free):
            raise ValueError(f"its added token {content!r:.60} has not the id {token['id']!r}")
        special[content] = token["id"]
    if len({token.get("normalized") for token in tokens}) > 1:  # these are looked for separately
        for one in special:
            for other in special:
                if one != other and any(one.endswith(other[:i]) for i in range(1, len(other))):
                    raise ValueError(f"its added tokens {one!r} and {other!r} overlap")
    return special


def as_bytes(vocab, pairs, special):
    """A vocabulary file's strings as byte strings: the arguments of a `BPETokenizer`. Raises
    ValueError where they do not fit together.
    """
    ids = [*vocab.values(), *(i for text, i in special.items() if text not in vocab)]
    if any(type(number) is not int or number < 0 for number in ids) or len(set(ids)) < len(ids):
        raise ValueError("its ids are not whole numbers from 0 on, each of them once")
    ours = {from_printable(text): i for text, i in vocab.items() if text not in special}
    merges, words = [], vocab.keys() - special.keys()
    for left, right in pairs:
        merges.append((from_printable(left), from_printable(right)))
        if not {left, right, left + right} <= words:
            raise ValueError(f"its merge of {left!r} and {right!r} needs a token that is not there")
    return {"vocab": ours, "merges": merges, "special_tokens": special}


# --- vocab.json and merges.txt --------------------------------------------------------------------


def read_pair(vocab_path, merges_path, special=(END_OF_TEXT,), added=()):
    """The arguments of a `BPETokenizer` from GPT-2's two files; `special`: the tokens that are no
    words, of which those count that have an id; `added`: {special string: id} behind the words.
    """
    vocab = json.loads(vocab_path.read_text(encoding="utf-8"))
    lines = merges_path.read_text(encoding="utf-8").split("\n")
    pairs = [line.rstrip("\r").split(" ") for line in lines if not line.startswith("#version")]
    pairs = [pair for pair in pairs if pair != [""]]
    ids = vocab | dict(added)
    if any(vocab.get(text, number) != number for text, number in ids.items()):
        raise ValueError("a token has one id among the words and another among the added tokens")
    if strange := set(added) - set(special):
        raise ValueError(f"its added tokens {sorted(strange)} are not said to be special")
    return as_bytes(vocab, pairs, {text: ids[text] for text in special if text in ids})


def added_ids(folder, config):
    """{special string: id} of the tokens that were added to a pair of files."""
    added = {}
    if (folder / "added_tokens.json").exists():
        added = read_json(folder / "added_tokens.json")
    for number, token in config.get("added_tokens_decoder", {}).items():
        understood(token, ADDED_TOKEN, f"the added token {number}")
        added[token["content"]] = int(number)
    return added


def stated_tokens(folder):
    """{role: special string} of tokenizer_config.json and special_tokens_map.json, such as
    {"eos_token": "</s>"}, and what tokenizer_config.json says besides.
    """
    config, stated = {}, {}
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        if (folder / name).exists():
            config = read_json(folder / name)
            for role, token in config.items():
                token = token.get("content") if isinstance(token, dict) else token
                if role.endswith("_token") and isinstance(token, str):
                    stated[role] = token
            for number, token in (config.get("added_tokens_decoder") or {}).items():
                stated[f"added {number}"] = token["content"]
            for i, token in enumerate(config.get("additional_special_tokens") or []):
                stated[f"additional {i}"] = token["content"] if isinstance(token, dict) else token
    return stated, config


def end_of_text_id(folder, stated, special):
    """The id of the special token that a folder names as the end of a text, or None. Raises
    ValueError where it names one that the tokenizer lacks.
    """
    if "eos_token" in stated:
        if stated["eos_token"] not in special:
            raise ValueError(
                f"the end of a text is {stated['eos_token']!r} there, which the tokenizer lacks"
            )
        return special[stated["eos_token"]]
    config = read_json(folder / "config.json") if (folder / "config.json").exists() else {}
    ends = config.get("eos_token_id")
    ends = ends if isinstance(ends, list) else [ends]
    return next((number for number in ends if number in special.values()), None)


def find_tokenizer(folder):
    """The files that hold a folder's tokenizer: [tokenizer.json], or a pair, or [] where the folder
    says nothing of one. Raises ValueError for half a pair and for a tokenizer of another kind.
    """
    if (folder / "tokenizer.json").exists():
        return [folder / "tokenizer.json"]
    for pair in PAIRS:
        there = [folder / name for name in pair if (folder / name).exists()]
        if len(there) == 2:
            return there
        if there:
            raise ValueError(
                f"{there[0]} is only half a tokenizer; {' and '.join(pair)} belong together"
            )
    for name in OTHER_KINDS:
        if (folder / name).exists():
            raise ValueError(
                f"{folder / name} is a tokenizer of a kind that is not read here; "
                "tokenizer.json, or vocab.json and merges.txt are"
            )
    stated, config = stated_tokens(folder)
    if config.get("tokenizer_class") not in GPT2_CLASSES or set(stated.values()) - {END_OF_TEXT}:
        raise ValueError(
            f"{folder} describes a tokenizer but does not hold it; tokenizer.json is missing, or "
            "vocab.json and merges.txt"
        )
    return []


def read_tokenizer_files(path):
    """The arguments of a `BPETokenizer` from a folder, or from a tokenizer.json and what stands
    beside it. Raises ValueError for whatever is not understood.
    """
    folder = path if path.is_dir() else path.parent
    found = find_tokenizer(folder) if path.is_dir() else [path]
    if not found:
        raise ValueError("there is no tokenizer.json, and no vocab.json and merges.txt")
    stated, config = stated_tokens(folder)
    understood(
        {name: config.get(name) for name in TOKENIZER_CONFIG},
        TOKENIZER_CONFIG,
        "tokenizer_config.json",
    )
    if len(found) == 1:
        arguments = read_tokenizer_json(found[0])
    else:
        kind = {"tokenizer_class": config.get("tokenizer_class")}
        understood(kind, {"tokenizer_class": GPT2_CLASSES}, "tokenizer_config.json")
        arguments = read_pair(*found, [*stated.values(), END_OF_TEXT], added_ids(folder, config))
    end_of_text = end_of_text_id(folder, stated, arguments["special_tokens"])
    return arguments | {"end_of_text": end_of_text}
