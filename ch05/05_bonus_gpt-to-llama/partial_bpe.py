"""A `BPETokenizer` that gets along with a vocabulary in which some bytes are missing, as in
SmolLM2's.

Chapter 2's tokenizer has a token for each of the 256 bytes, so it can write anything. SmolLM2's
vocabulary kept only the bytes that its training text held; 21 never came up (some control
characters, and bytes that no UTF-8 contains). Where a text has one of these, every program that
uses the vocabulary drops it, and so does this one.
"""

from ch02_01_main_chapter_code.bpe import BPETokenizer
from ch02_01_main_chapter_code.tokenizer_files import DIGITS_PATTERN

NO_TOKEN = -1


class PartialBPETokenizer(BPETokenizer):
    """Byte-level BPE over fewer than 256 bytes; `missing` holds the bytes that it drops."""

    def __init__(self, vocab, merges, special_tokens, pattern=DIGITS_PATTERN, end_of_text=None):
        self.missing = bytes(byte for byte in range(256) if bytes([byte]) not in vocab)
        stand_ins = {bytes([byte]): NO_TOKEN for byte in self.missing}
        super().__init__(vocab | stand_ins, merges, special_tokens, pattern, end_of_text)
        self.vocab = vocab
        self.tokens.pop(NO_TOKEN, None)

    def _merge_word(self, word):
        return super()._merge_word(_Bytes(word.encode("utf-8").translate(None, self.missing)))


class _Bytes(bytes):
    """A word that is encoded already: without some of its bytes it may be no text any more."""

    def encode(self, encoding):
        return self
