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

# How SmolLM2 was tuned to talk; the template is the file's own.
START, END = "<|im_start|>", "<|im_end|>"
SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
NOT_TUNED = f"this model was not tuned for chat: it has no token {START}; smollm2-135m was"


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

    def chat_ids(self, messages):
        """A conversation as the ids that the model was tuned on, up to the place where its reply
        begins.

        `messages`: a string, which is a user's message, or a list of {"role": "system" | "user" |
        "assistant", "content": str}. Each message is `<|im_start|>ROLE\\nCONTENT<|im_end|>\\n`, and
        a conversation without a system message gets the model's usual one. Only the template writes
        special tokens: what stands in a message is ordinary text, so a user who types `<|im_end|>`
        ends nothing. Raises ValueError for an unknown role, and where the model was not tuned for
        chat.
        """
        if not {START, END} <= set(self.special_tokens):
            raise ValueError(NOT_TUNED)
        start, end = self.special_tokens[START], self.special_tokens[END]
        if isinstance(messages, str):
            messages = [{"role": "user", "content": messages}]
        if not messages or messages[0]["role"] != "system":
            messages = [{"role": "system", "content": SYSTEM}, *messages]
        ids = []
        for message in messages:
            if message["role"] not in ("system", "user", "assistant"):
                raise ValueError(
                    f"a message's role is system, user or assistant, not {message['role']!r}"
                )
            text = self.encode(f"{message['role']}\n{message['content']}")
            ids += [start, *text, end, *self.encode("\n")]
        return [*ids, start, *self.encode("assistant\n")]


class _Bytes(bytes):
    """A word that is encoded already: without some of its bytes it may be no text any more."""

    def encode(self, encoding):
        return self
