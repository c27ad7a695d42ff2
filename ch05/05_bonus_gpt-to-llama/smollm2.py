"""SmolLM2-135M: a model that others pretrained, from a file inside a pip package.

    model = load_smollm2()
    print(generate(model, "The capital of France is", max_tokens=20, temperature=0))
    print(chat(model, "What is the capital of France?"))

`smollm2_file.py` finds, fetches and reads the file.
"""

from ch05_01_main_chapter_code.chat import chat_ids
from ch05_01_main_chapter_code.gpt_generate import stream
from ch05_05_bonus_gpt_to_llama.llama import Llama
from ch05_05_bonus_gpt_to_llama.smollm2_file import (
    CHECK_TEXT,
    fetch_smollm2,
    find_smollm2,
    open_gguf,
    read_smollm2,
)

__all__ = [  # also what the notebook takes from here, though it lives elsewhere
    "CHECK_TEXT",
    "chat",
    "chat_ids",
    "fetch_smollm2",
    "find_smollm2",
    "load_smollm2",
    "open_gguf",
]


def load_smollm2(path=None):
    """The model in evaluation mode, in fp32, on the CPU, with its tokenizer; see `read_smollm2`."""
    return read_smollm2(Llama, path)


def chat(model, messages, max_tokens=200, temperature=0, **sampling):
    """The model's reply to a message or a conversation (see `chat_ids`), as text. `sampling` as in
    `generate`.
    """
    ids = chat_ids(model.tokenizer, messages)
    return "".join(stream(model, ids, max_tokens, temperature, **sampling))
