"""LoRA from scratch: learn a small correction beside each large matrix [Hu et al. 2021,
arXiv:2106.09685].

A matrix W, (out, in), stays as it is; beside it grow A, (rank, in), and B, (out, rank), which alone
are trained:

    y = W x + (alpha / rank) · B A x

B begins as zeros, so the model begins as it was. Afterwards B A can be added to W, and nothing
remains that costs time. Adapters are kept in the files of the `peft` package, which reads ours, as
we read its.
"""

import json
from functools import partial
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from ch06_01_main_chapter_code.previous_chapters import (
    COUNT,
    NUMBER,
    SHARE,
    check_files,
    check_finite,
    load_settings,
    refuse_other_settings,
    write_files,
)


class LoRALinear(nn.Module):
    """An `nn.Linear` that is frozen, and its correction of low rank: (…, in) to (…, out)."""

    def __init__(self, linear, rank=8, alpha=16, drop_rate=0.0):
        super().__init__()
        self.linear = linear
        self.scale = alpha / rank
        self.dropout = nn.Dropout(drop_rate)
        self.A = nn.Parameter(linear.weight.new_empty(rank, linear.in_features))
        self.B = nn.Parameter(linear.weight.new_zeros(linear.out_features, rank))
        nn.init.kaiming_uniform_(
            self.A, a=5**0.5
        )  # numbers up to ±1/√in, as nn.Linear itself begins
        linear.requires_grad_(False)

    def forward(self, x):
        correction = self.dropout(x) @ self.A.T @ self.B.T  # (…, in) to (…, rank) to (…, out)
        return self.linear(x) + self.scale * correction

    @torch.no_grad()
    def merged(self):
        """The plain `nn.Linear` that computes the same."""
        self.linear.weight += self.scale * self.B @ self.A
        return self.linear


def apply_lora(model, rank=8, alpha=16, drop_rate=0.0, targets=None):
    """Freeze a model and put a `LoRALinear` in the place of every linear layer in its blocks;
    returns the model.

    `targets`: only layers whose name ends so, such as "attention.qkv". Raises ValueError where
    nothing is found, for a rank that is no rank, and for a model that has adapters already.
    """
    if rank < 1:
        raise ValueError(f"the rank must be at least 1, not {rank}")
    refuse_adapters(model)
    found = linear_layers(model, targets)
    if not found:
        raise ValueError(
            f"no linear layer of the blocks ends in {targets!r}; there are {', '.join(linear_layers(model))}"
        )
    model.requires_grad_(False)
    for name, linear in found.items():
        replace_module(model, name, LoRALinear(linear, rank, alpha, drop_rate))
    model.lora = {"rank": rank, "alpha": alpha, "targets": sorted(found)}
    return model


def refuse_adapters(model):
    """Raise ValueError for a model that has adapters already."""
    if lora_layers(model):
        raise ValueError("the model has adapters already; merge them with merge_lora first")


def merge_lora(model):
    """Add every correction to its matrix: the same outputs, and no adapters any more. Returns the
    model.
    """
    for name, layer in lora_layers(model).items():
        replace_module(model, name, layer.merged())
    model.lora = None
    return model


def linear_layers(model, targets=None):
    """{name: nn.Linear} of a model's blocks, those whose whole name, or its end, is one of
    `targets`.
    """
    ends = None if targets is None else tuple(f".{target}" for target in targets)
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
        and name.startswith("blocks.")
        and (ends is None or f".{name}".endswith(ends))
    }


def choose_adapters_or_all(model, train, rank, alpha, seed):
    """What every way of fine-tuning begins with: adapters where `train` is `lora`, all weights with
    `all`, and else none yet. The adapters begin the same whatever was done before.
    """
    if train != "lora":
        model.requires_grad_(train == "all")
        return
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        apply_lora(model, rank, alpha)


def lora_layers(model):
    """{name: LoRALinear} of a model."""
    return {
        name: module for name, module in model.named_modules() if isinstance(module, LoRALinear)
    }


def replace_module(model, name, module):
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, module)


def trained_share(model):
    """(numbers that are trained, all numbers of the model)."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    return sum(size for size, trained in sizes if trained), sum(size for size, _ in sizes)


def trained_in_words(model):
    """What a model is, where it computes, and how much of it is trained, in a line."""
    trained, total = trained_share(model)
    return (
        f"{type(model).__name__} on {model.head.weight.device}: {trained:,} of {total:,} numbers are "
        f"trained ({100 * trained / total:.2f} %)"
    )


# --- Adapters on disk, as peft writes them --------------------------------------------------------

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."

# What an adapter_config.json may say: settings that we read, settings of which we compute one value
# (or what the values after it say in other words), and settings that change no output of a model
# that is read.
TARGETS = (
    "a list of names of layers, or a text",
    lambda value: (
        isinstance(value, str)
        or (isinstance(value, list) and all(isinstance(name, str) for name in value))
    ),
)
KINDS = {"r": COUNT, "lora_alpha": NUMBER, "lora_dropout": SHARE, "target_modules": TARGETS}
FIXED_SETTINGS = {
    "peft_type": ("LORA",),
    "bias": ("none",),
    "modules_to_save": (None, [], ["head"]),
    # With other names than these, W itself was changed before the training.
    "init_lora_weights": (True, False, "gaussian"),
    "rank_pattern": ({}, None),
    "alpha_pattern": ({}, None),
    "loftq_config": ({}, None),
    "target_parameters": (None, []),
    "use_bdlora": (None, False),
}
NEVER_SET = """
    exclude_modules layers_to_transform layers_pattern megatron_config trainable_token_indices
    eva_config corda_config lora_ga_config velora_config monteclora_config kasa_config arrow_config
    alora_invocation_tokens layer_replication
"""
NEVER_TRUE = "fan_in_fan_out use_rslora use_dora use_qalora lora_bias ensure_weight_tying"
FIXED_SETTINGS |= dict.fromkeys(NEVER_SET.split(), (None,))
FIXED_SETTINGS |= dict.fromkeys(NEVER_TRUE.split(), (False,))
HARMLESS = set(
    """
    task_type auto_mapping peft_version base_model_name_or_path revision inference_mode
    megatron_core qalora_group_size runtime_config
    """.split()
)


def save_adapters(model, folder, base=None):
    """Write the adapters, and the head if it is trained, to `folder`: a small part of the model.
    `base` is noted.

    Raises ValueError for a model without adapters, and for numbers that are not finite.
    """
    folder = Path(folder)
    layers = lora_layers(model)
    if not layers:
        raise ValueError("the model has no adapters to save; apply_lora puts them in")
    tensors = {}
    for name, layer in layers.items():
        tensors[f"{PREFIX}{name}.lora_A.weight"] = layer.A.detach().cpu().contiguous()
        tensors[f"{PREFIX}{name}.lora_B.weight"] = layer.B.detach().cpu().contiguous()
    with_head = model.head.weight.requires_grad
    if with_head:
        tensors[f"{PREFIX}head.weight"] = model.head.weight.detach().cpu().contiguous()
    check_finite(tensors, folder)
    settings = {
        "peft_type": "LORA",
        "base_model_name_or_path": base,
        "r": model.lora["rank"],
        "lora_alpha": model.lora["alpha"],
        "target_modules": model.lora["targets"],
        "modules_to_save": ["head"] if with_head else None,
        "lora_dropout": next(iter(layers.values())).dropout.p,
        "bias": "none",
        "task_type": None,
        "inference_mode": True,
    }
    text = json.dumps(settings, indent=2) + "\n"
    writers = {
        CONFIG: lambda path: path.write_bytes(text.encode()),
        WEIGHTS: partial(save_file, tensors, metadata={"format": "pt"}),
    }
    write_files(folder, writers)


def load_adapters(model, folder):
    """Put the adapters in `folder` into a model without any, and the head if they bring one;
    returns the model.

    Raises FileNotFoundError and ValueError, naming what is missing, unknown or of another shape;
    then the model is as it was.
    """
    folder = Path(folder)
    refuse_adapters(model)
    settings, tensors = read_adapters(folder)
    expected = expected_shapes(model, settings, tensors, folder)
    if set(tensors) != set(expected):
        odd = min(set(tensors) ^ set(expected))
        reason = "fits no layer of this model" if odd in tensors else "is missing"
        raise ValueError(f"{folder}: the adapter {odd} {reason}, going by target_modules")
    for name, tensor in tensors.items():
        check_tensor(tensor, expected[name], f"{folder}: {name.removeprefix(PREFIX)}")
    names = [name for name in linear_layers(model) if f"{PREFIX}{name}.lora_A.weight" in tensors]
    apply_lora(
        model, settings["r"], settings["lora_alpha"], settings.get("lora_dropout", 0.0), names
    )
    with torch.no_grad():
        for name, layer in lora_layers(model).items():
            layer.A.copy_(tensors[f"{PREFIX}{name}.lora_A.weight"])
            layer.B.copy_(tensors[f"{PREFIX}{name}.lora_B.weight"])
        if settings.get("modules_to_save"):
            model.head.weight.copy_(tensors[f"{PREFIX}head.weight"])
            model.head.requires_grad_(True)
    return model


def expected_shapes(model, settings, tensors, folder):
    """{name in the file: shape} of the adapters that belong to these settings, and of the head.

    A list of targets names layers by their ends. A text is a pattern for peft; the file has
    adapters of all layers that it met.
    """
    targets = settings["target_modules"]
    layers = linear_layers(model, None if isinstance(targets, str) else targets)
    if isinstance(targets, str):
        layers = {
            name: layer
            for name, layer in layers.items()
            if f"{PREFIX}{name}.lora_A.weight" in tensors
        }
    if not layers:
        raise ValueError(f"{folder}: target_modules names no linear layer of this model's blocks")
    shapes = {}
    for name, layer in layers.items():
        shapes[f"{PREFIX}{name}.lora_A.weight"] = (settings["r"], layer.in_features)
        shapes[f"{PREFIX}{name}.lora_B.weight"] = (layer.out_features, settings["r"])
    if settings.get("modules_to_save"):
        if model.head.weight is model.tok_emb.weight:
            raise ValueError(
                f"{folder} brings a head (modules_to_save), and this model's head is its token embedding"
            )
        shapes[f"{PREFIX}head.weight"] = tuple(model.head.weight.shape)
    return shapes


def read_adapters(folder):
    """The settings and the tensors of an adapter folder."""
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder} holds no adapters: {name} not found")
    check_files(folder, (CONFIG, WEIGHTS))
    settings = load_settings(folder / CONFIG)
    required = ("peft_type", "r", "lora_alpha", "target_modules")
    source = folder / CONFIG
    refuse_other_settings(settings, source, "our LoRA", KINDS, FIXED_SETTINGS, HARMLESS, required)
    try:
        return settings, load_file(folder / WEIGHTS)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{folder / WEIGHTS} is damaged or cut off: {error}") from None


def check_tensor(tensor, shape, name):
    """Raise ValueError unless a tensor has the shape and holds finite fractions."""
    if tuple(tensor.shape) != shape:
        raise ValueError(f"{name} has the shape {tuple(tensor.shape)}, expected {shape}")
    if not tensor.is_floating_point() or not torch.isfinite(tensor.float()).all():
        raise ValueError(f"{name} holds numbers that are no finite fractions")
