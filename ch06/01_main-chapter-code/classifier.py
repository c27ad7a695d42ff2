"""A classifier: a language model with another head, and its files.

    classifier.json          the classes, the architecture, the base, and what was trained
    classifier.safetensors   the trained weights; or all weights, if the base has no name by which
                             anybody can get it
    tokenizer.json           in that case, too

None of these is called model.safetensors: a classifier is no language model, and no script takes it
for one.
"""

import copy
from dataclasses import asdict
from functools import partial

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from ch06_01_main_chapter_code.lora import choose_adapters_or_all, lora_layers, merge_lora
from ch06_01_main_chapter_code.previous_chapters import (
    GPT,
    PUBLISHED,
    BPETokenizer,
    GPTConfig,
    check_files,
    find_folder,
    gpt2_tokenizer,
    llama_bonus,
    load_model,
    shallow_copy,
)
from ch06_01_main_chapter_code.tuned_files import check_base, crc, read_about, write_about

# How strongly a step may change what the model computes: see chapter 5's `suited_rate`.
STRENGTHS = {"head": 1.28, "last-block": 0.256, "lora": 0.256, "all": 0.128}


# --- A language model becomes a classifier --------------------------------------------------------


def to_classifier(model, classes, train="last-block", seed=0, rank=8, alpha=16):
    """Give a language model a new head, one output per class, in place of one per token; returns
    the same model.

    `train` says what will learn: the `head` alone, the `last-block` (with the final norm and the
    head), `all`, or `lora` (adapters of this `rank` in all blocks, and the head). Raises ValueError
    for another word, and for fewer than two classes.
    """
    if len(classes) < 2:
        raise ValueError(f"a classifier needs two classes or more, not {len(classes)}")
    generator = torch.Generator().manual_seed(seed)
    config, old = model.config, model.head.weight
    model.head = nn.Linear(config.emb_dim, len(classes), bias=False, device=old.device)
    with torch.no_grad():
        model.head.weight.copy_(
            torch.randn(model.head.weight.shape, generator=generator) * config.init_std
        )
    model.classes = tuple(classes)
    return set_trained(model, train, seed, rank, alpha)


def set_trained(model, train, seed=0, rank=8, alpha=16):
    """Say which weights of a classifier learn: see `to_classifier`. Returns the model."""
    if train not in STRENGTHS:
        raise ValueError(f"what can be trained is {', '.join(STRENGTHS)}, not {train!r}")
    choose_adapters_or_all(model, train, rank, alpha, seed)
    if train == "last-block":
        model.blocks[-1].requires_grad_(True)
        model.final_norm.requires_grad_(True)
    model.head.requires_grad_(True)
    model.trained = train
    return model


def is_classifier(model):
    return model.classes is not None


def as_language_model(model):
    """The classifier as the language model that it was, with the head that shares the token
    embedding's matrix: the same weights, not a copy. Raises ValueError where head and embedding
    were not tied."""
    if not model.config.tie_weights:
        raise ValueError(
            "the head for the next token is gone: only tied models have it in their token embedding"
        )
    twin = shallow_copy(model)
    twin.head = nn.Linear(1, 1, bias=False, device="meta")
    twin.head.weight = model.tok_emb.weight
    twin.classes = None
    return twin


# --- On disk --------------------------------------------------------------------------------------

FILES = ("classifier.json", "classifier.safetensors")
FIELDS = ("classes", "trained", "base", "kind", "config", "end_of_text", "lora", "crc32")


def save_classifier(model, folder, base=None):
    """Write a classifier to `folder`. With the name of a published `base`, only what was trained is
    kept.

    Adapters are kept as adapters where the base has a name, else merged into the weights. Raises
    ValueError for a language model, and for a base that does not have a published name.
    """
    if not is_classifier(model):
        raise ValueError("this is a language model; fine_tune makes a classifier of it")
    if base is not None and base not in PUBLISHED:
        raise ValueError(
            f"{base!r} is not the name of a published model: leave base out, and all weights are kept"
        )
    if base is None and lora_layers(model):
        model = merge_lora(copy.deepcopy(model))
    weights = weights_of(model)
    kept = {
        name: tensor for name, tensor in weights.items() if base is None or tensor.requires_grad
    }
    kept = {name: tensor.detach().cpu().contiguous() for name, tensor in kept.items()}
    frozen = [tensor for name, tensor in weights.items() if name not in kept]
    about = {
        "classes": model.classes,
        "trained": model.trained if base else "all",
        "base": base,
        "kind": type(model).__name__,
        "config": asdict(model.config),
        "end_of_text": None if model.tokenizer is None else model.tokenizer.end_of_text,
        "lora": model.lora if lora_layers(model) else None,
        "crc32": {"kept": crc(kept.values()), "frozen": crc(frozen)},
    }
    writers = {"classifier.safetensors": partial(save_file, kept)}
    if base is None and model.tokenizer is not None:
        writers["tokenizer.json"] = model.tokenizer.save
    write_about(folder, "classifier.json", about, writers)


def load_classifier(name_or_folder=None, device="cpu"):
    """A classifier by the name of its run or by its folder, in evaluation mode; None is the run
    that was saved last.

    Raises FileNotFoundError where there is none, ValueError where it is damaged or its base is
    another one by now.
    """
    folder = find_classifier(name_or_folder)
    about = read_about(folder, "classifier.json", FIELDS)
    check_files(folder, FILES)
    try:
        with safe_open(folder / "classifier.safetensors", framework="pt") as file:
            kept = {name: file.get_tensor(name) for name in file.keys()}
        model = model_about(about, folder)
        weights, crc32 = weights_of(model), about["crc32"]
        if crc(kept.values()) != crc32["kept"] or not kept.keys() <= weights.keys():
            raise ValueError("classifier.safetensors is not what classifier.json describes")
    except (ValueError, KeyError, TypeError, SafetensorError) as error:
        raise ValueError(f"{folder} is damaged: {error}") from None
    frozen = [tensor for name, tensor in weights.items() if name not in kept]
    check_base(frozen, crc32["frozen"], about["base"], folder)
    with torch.no_grad():
        for name, tensor in kept.items():
            weights[name].copy_(tensor)
    return model.to(device).eval()


def model_about(about, folder):
    """The classifier that a classifier.json describes, its own weights not read yet."""
    if about["base"]:
        model = load_model(about["base"])
    else:
        make, make_config = architecture(about["kind"])
        model = make(make_config(**about["config"]))
        model.tokenizer = saved_tokenizer(folder, model, about["end_of_text"])
    lora = about["lora"] or {"rank": 8, "alpha": 16}
    sizes = {"rank": lora["rank"], "alpha": lora["alpha"]}
    return to_classifier(model, tuple(about["classes"]), about["trained"], **sizes)


def architecture(kind):
    """The class of a model and that of its config, by the former's name."""
    if kind == "GPT":
        return GPT, GPTConfig
    llama = llama_bonus("llama")
    return {"Llama": (llama.Llama, llama.LlamaConfig)}[kind]


def find_classifier(name_or_folder=None):
    """The folder of a classifier. Raises FileNotFoundError."""
    return find_folder(name_or_folder, FILES, "classifier", "gpt_class_finetune.py")


def weights_of(model):
    """{name: parameter} of a model, in the order of the names."""
    return dict(sorted(model.named_parameters()))


def saved_tokenizer(folder, model, end_of_text):
    """The tokenizer of a classifier that was kept whole; GPT-2's is known by the size of its
    vocabulary.
    """
    path = folder / "tokenizer.json"
    if not isinstance(model, GPT):
        return llama_bonus("llama_checkpoint").read_tokenizer(path, end_of_text)
    if path.is_file():
        return BPETokenizer.load(path)
    return gpt2_tokenizer() if model.config.vocab_size == 50_257 else None
