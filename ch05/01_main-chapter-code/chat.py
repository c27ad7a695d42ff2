"""A conversation as text with marked turns, in the form that SmolLM2 and many others were tuned on.

Each message is `<|im_start|>ROLE\\nCONTENT<|im_end|>\\n`, the marks being special tokens.
"""

START, END = "<|im_start|>", "<|im_end|>"
SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
ROLES = ("system", "user", "assistant")


def can_chat(tokenizer):
    """Whether a tokenizer has the tokens that mark turns."""
    return {START, END} <= set(getattr(tokenizer, "special_tokens", ()))


def chat_ids(tokenizer, messages):
    """A conversation as the ids that the model was tuned on, up to the place where its reply begins.

    `messages`: a string, which is a user's message, or a list of {"role": "system" | "user" |
    "assistant", "content": str}. A conversation without a system message gets the model's usual
    one. Only the template writes special tokens: what stands in a message is ordinary text, so a
    user who types `<|im_end|>` ends nothing. Raises ValueError for an unknown role, and where the
    model was not tuned for chat.
    """
    if not can_chat(tokenizer):
        raise ValueError(
            f"this model was not tuned for chat: it has no token {START}; smollm2-135m was"
        )
    start, end = tokenizer.special_tokens[START], tokenizer.special_tokens[END]
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    if not messages or messages[0]["role"] != "system":
        messages = [{"role": "system", "content": SYSTEM}, *messages]
    ids = []
    for message in messages:
        if message["role"] not in ROLES:
            raise ValueError(
                f"a message's role is system, user or assistant, not {message['role']!r}"
            )
        text = tokenizer.encode(f"{message['role']}\n{message['content']}")
        ids += [start, *text, end, *tokenizer.encode("\n")]
    return [*ids, start, *tokenizer.encode("assistant\n")]
