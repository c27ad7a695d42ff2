"""Which model is exported or served, and what it was taught."""

from pathlib import Path

from ch07_01_main_chapter_code.gpt_instruction_finetuning import find_instruct, load_instruct
from ch07_01_main_chapter_code.previous_chapters import (
    TALES_GPT,
    can_chat,
    load_model,
    newest_run,
    tokenizer_of,
)


def open_model(name=None, device="cpu"):
    """A model by the name of its run, by folder or published name, and the name to call it by.

    None is the newest model that follows instructions, else the newest run, else `tales-gpt`. The
    model has its `tokenizer` and its `style`, None if it was taught no instructions. Raises
    FileNotFoundError, ValueError or RuntimeError as `load_model` does.
    """
    try:
        folder = find_instruct(name)
    except FileNotFoundError:
        place = name or newest_run() or TALES_GPT
        model = load_model(place, device).eval()
        model.tokenizer = tokenizer_of(model)
        model.style = "chat" if can_chat(model.tokenizer) else None
    else:
        place, model = folder, load_instruct(folder, device)
    return model, Path(place).expanduser().resolve().name


def style_of(model):
    """The style of the prompts that a model was taught, or None for a model that was taught no
    instructions.
    """
    return getattr(model, "style", None)
