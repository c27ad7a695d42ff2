"""A model that follows instructions: what learns in it, and its files.

instruct.json      the style of the prompts, the base, and what was trained
a checkpoint       as save_pretrained writes it, adapters merged: every script can use it; or
adapters alone     where the base has a name by which anybody can get it, and was left as it was
"""

import copy
from dataclasses import replace

import torch
from torch import nn

from ch07_01_main_chapter_code.previous_chapters import (
    PUBLISHED,
    check_base,
    choose_adapters_or_all,
    crc,
    find_folder,
    frozen_of,
    load_adapters,
    load_model,
    lora_layers,
    merge_lora,
    read_about,
    save_adapters,
    tokenizer_of,
    write_about,
)

# How strongly a step may change what the model computes (see chapter 5's `suited_rate`): a model of
# the tales learns another skill, one that has read the web is only told how to use its own.
STRENGTHS = {"all": (0.384, 0.0288), "last-blocks": (0.384, 0.1152), "lora": (0.64, 0.288)}
LARGE = 10_000_000  # parameters, from which on the second one counts


def lengthen(model, context_length, seed=0):
    """Let a GPT read more tokens: its position table gets more rows, drawn like untrained ones.
    Returns the model.

    It computes the same as before on what it could read before; the new rows must be learned. A
    Llama has no table and is only told so. A shorter length than the model's own changes nothing.
    """
    old = model.config.context_length
    if context_length <= old:
        return model
    model.config = replace(model.config, context_length=context_length)
    if hasattr(model, "pos_emb"):
        generator = torch.Generator().manual_seed(seed)
        new = (
            torch.randn(context_length - old, model.config.emb_dim, generator=generator)
            * model.config.init_std
        )
        table = torch.cat([model.pos_emb.weight.detach(), new.to(model.pos_emb.weight.device)])
        model.pos_emb = nn.Embedding.from_pretrained(table, freeze=False)
        model.lengthened = True
    return model


def choose_trained(model, train="all", blocks=1, rank=8, alpha=16, seed=0):
    """Say which weights learn: `all`, the `last-blocks` (so many, and the final norm), or `lora`.
    Returns the model.

    New positions (`lengthen`) know nothing yet, so they learn in any case. Raises ValueError for
    another word.
    """
    if train not in STRENGTHS:
        raise ValueError(f"what can be trained is {', '.join(STRENGTHS)}, not {train!r}")
    if train == "last-blocks" and not 1 <= blocks <= len(model.blocks):
        raise ValueError(
            f"the model has {len(model.blocks)} blocks; {blocks} of them cannot be trained"
        )
    choose_adapters_or_all(model, train, rank, alpha, seed)
    if train == "last-blocks":
        model.blocks[-blocks:].requires_grad_(True)
        model.final_norm.requires_grad_(True)
    if model.lengthened:
        model.pos_emb.requires_grad_(True)
    model.trained = train
    return model


# --- On disk --------------------------------------------------------------------------------------


def save_instruct(model, folder, style, base=None):
    """Write a fine-tuned model to `folder`. Adapters on a published `base` are kept as adapters, a
    small file.
    """
    adapters = bool(lora_layers(model)) and base in PUBLISHED and not model.lengthened
    about = {"style": style, "base": base, "trained": model.trained, "adapters": adapters}
    if adapters:
        save_adapters(model, folder, base)
        about["crc32"] = crc(frozen_of(model))
    else:
        merge_lora(copy.deepcopy(model)).save_pretrained(folder, tokenizer_of(model))
    write_about(folder, "instruct.json", about)


def load_instruct(name_or_folder=None, device="cpu"):
    """A fine-tuned model by the name of its run or by its folder, with its `style`; None is the one
    saved last.

    Raises FileNotFoundError where there is none, ValueError where it is damaged or its base is
    another one by now.
    """
    folder = find_instruct(name_or_folder)
    about = read_about(folder, "instruct.json", ("style", "base", "trained", "adapters"))
    if about["adapters"]:
        model = load_adapters(load_model(about["base"]), folder)
        check_base(frozen_of(model), about.get("crc32"), about["base"], folder)
        merge_lora(model)
    else:
        model = load_model(folder)
    model.style = about["style"]
    return model.to(device).eval()


def find_instruct(name_or_folder=None):
    """The folder of a fine-tuned model. Raises FileNotFoundError."""
    what = "model that follows instructions"
    return find_folder(name_or_folder, ["instruct.json"], what, "gpt_instruction_finetuning.py")
