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
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from ch06_01_main_chapter_code.previous_chapters import write_atomically


class LoRALinear(nn.Module):
    """An `nn.Linear` that is frozen, and its correction of low rank: (…, in) to (…, out)."""

    def __init__(self, linear, rank=8, alpha=16, drop_rate=0.0):
        super().__init__()
        self.linear = linear
        self.scale = alpha / rank
        self.dropout = nn.Dropout(drop_rate)
        self.A = nn.Parameter(torch.empty(rank, linear.in_features, device=linear.weight.device))
        self.B = nn.Parameter(torch.zeros(linear.out_features, rank, device=linear.weight.device))
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
    if lora_layers(model):
        raise ValueError("the model has adapters already; merge them with merge_lora first")
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


# --- Adapters on disk, as peft writes them --------------------------------------------------------

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."


def save_adapters(model, folder, base=None):
    """Write the adapters, and the head if it is trained, to `folder`: a small part of the model.
    `base` is noted.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
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
    write_atomically(folder / CONFIG, lambda path: path.write_text(text, encoding="utf-8"))
    write_atomically(folder / WEIGHTS, partial(save_file, tensors, metadata={"format": "pt"}))


def load_adapters(model, folder):
    """Put the adapters in `folder` into a model without any, and the head if they bring one;
    returns the model.

    Raises FileNotFoundError and ValueError, naming what is missing, unknown or of another shape.
    """
    settings, tensors = read_adapters(Path(folder))
    targets = settings["target_modules"]
    names = linear_layers(model, [targets] if isinstance(targets, str) else targets)
    expected = {f"{PREFIX}{name}.lora_{part}.weight" for name in names for part in "AB"}
    head = tensors.pop(f"{PREFIX}head.weight", None)
    if set(tensors) != expected:
        odd = min(set(tensors) ^ expected)
        raise ValueError(
            f"{folder}: the adapter {odd} {'fits no layer of this model' if odd in tensors else 'is missing'}"
        )
    apply_lora(
        model, settings["r"], settings["lora_alpha"], settings.get("lora_dropout", 0.0), names
    )
    for name, layer in lora_layers(model).items():
        for part in ("A", "B"):
            put_in(
                getattr(layer, part),
                tensors[f"{PREFIX}{name}.lora_{part}.weight"],
                f"{folder}: {name}, {part}",
            )
    if head is not None:
        put_in(model.head.weight, head, f"{folder}: the head")
        model.head.requires_grad_(True)
    return model


def read_adapters(folder):
    """The settings and the tensors of an adapter folder."""
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder} holds no adapters: {name} not found")
    try:
        settings = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        with safe_open(folder / WEIGHTS, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (json.JSONDecodeError, SafetensorError) as error:
        raise ValueError(f"{folder} is damaged: {error}") from None
    for name, usual in {
        "peft_type": "LORA",
        "bias": "none",
        "use_dora": False,
        "use_rslora": False,
    }.items():
        if settings.get(name, usual) != usual:
            raise ValueError(
                f"{folder}: {name} is {settings[name]!r}; our LoRA computes {usual!r} only"
            )
    return settings, tensors


@torch.no_grad()
def put_in(parameter, tensor, name):
    if parameter.shape != tensor.shape:
        raise ValueError(
            f"{name} has the shape {tuple(tensor.shape)}, expected {tuple(parameter.shape)}"
        )
    parameter.copy_(tensor)
