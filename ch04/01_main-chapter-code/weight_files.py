"""The matrices of a checkpoint folder, however they are packed.

    model.safetensors                  one file, which is what we write
    model.safetensors.index.json       says which matrix is in which of several files
    pytorch_model.bin                  pickled by PyTorch, read with `weights_only`: no program runs
    pytorch_model.bin.index.json       the same in several files

Wrappers leave prefixes in the names, `torch.compile` "_orig_mod." and parallel training "module.";
a whole model has one of its own, "transformer." or "model.", that its trunk alone lacks. All are
taken off.
"""

import zipfile
from collections import Counter
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open

from ch04_01_main_chapter_code.foreign_settings import load_settings, shown

LAYOUTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)


class StoredMatrix(NamedTuple):
    """A matrix that is still in its file."""

    shape: tuple
    read: object  # a function without arguments that gives the tensor


def weights_path(folder):
    """The file, or the index of the files, that holds a folder's weights; None without any."""
    return next((folder / name for name in LAYOUTS if (folder / name).is_file()), None)


def weight_files(folder):
    """The names of all files that hold the weights, the index included."""
    path = weights_path(folder)
    if path is None:
        return []
    return [path.name, *(sorted(set(read_index(path).values())) if path.suffix == ".json" else [])]


def read_index(path):
    """{name of a matrix: name of its file} of an index."""
    shards = load_settings(path).get("weight_map")
    if not isinstance(shards, dict) or not shards:
        raise ValueError(f"{path} is damaged: it has no weight_map")
    ending = path.name.removesuffix(".index.json").rpartition(".")[2]
    for name in shards.values():
        if not isinstance(name, str) or Path(name).name != name or not name.endswith(ending):
            raise ValueError(f"{path} is damaged: {shown(name)} is no name of a file beside it")
    for name in sorted(set(shards.values())):
        if not (path.parent / name).is_file():
            raise ValueError(f"{path} names {shown(name)}, which is not there")
    return shards


@contextmanager
def open_matrices(folder, prefix):
    """Open a folder's weights: gives the path to name in errors, and {Hugging Face's name without
    `prefix`: StoredMatrix}.

    Raises ValueError, in one line, for files that are damaged or hold something else.
    """
    path = weights_path(folder)
    with ExitStack() as stack:
        if path.suffix == ".json":
            matrices, shards = {}, read_index(path)
            for name in sorted(set(shards.values())):
                matrices |= open_file(folder / name, stack)
            if set(matrices) != set(shards):
                odd = min(set(matrices) ^ set(shards))
                raise ValueError(f"{path} and its files disagree about the matrix {shown(odd)}")
        else:
            matrices = open_file(path, stack)
        names = {name: plain_name(name, prefix) for name in matrices}
        for name, count in Counter(names.values()).items():
            if count > 1:
                raise ValueError(f"{path} holds the matrix {shown(name)} {count} times")
        try:
            yield path, {names[name]: matrix for name, matrix in matrices.items()}
        except SafetensorError as error:
            raise ValueError(f"{path} is damaged or cut off: {error}") from None


def plain_name(name, prefix):
    """A matrix's name without what wrappers put before it.

    >>> plain_name("module._orig_mod.transformer.h.0.ln_1.weight", "transformer.")
    'h.0.ln_1.weight'
    """
    name = name.replace("_orig_mod.", "")
    while name.startswith("module."):
        name = name.removeprefix("module.")
    return name.removeprefix(prefix)


def open_file(path, stack):
    """{name as it is stored: StoredMatrix} of one file."""
    return pickled(path) if path.suffix == ".bin" else safe(path, stack)


def safe(path, stack):
    """The matrices of a safetensors file, which `stack` closes; none is read yet."""
    try:
        file = stack.enter_context(safe_open(path, framework="pt"))
        names = file.keys()
        return {
            name: StoredMatrix(
                tuple(file.get_slice(name).get_shape()), partial(file.get_tensor, name)
            )
            for name in names
        }
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is damaged or cut off: {error}") from None


def pickled(path):
    """The matrices of a file that `torch.save` wrote."""
    try:
        content = torch.load(
            path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path)
        )
    except Exception as error:  # whatever a damaged pickle raises, which is nearly anything
        reason = (str(error).strip().splitlines() or [""])[0]
        raise ValueError(
            f"{path} is damaged, or holds more than weights: {type(error).__name__}: {reason}"
        ) from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds no dictionary of weights")
    for name, tensor in content.items():
        if not isinstance(name, str) or not isinstance(tensor, torch.Tensor):
            raise ValueError(f"{path} holds {shown(name)}, which is no matrix")
    return {
        name: StoredMatrix(tuple(tensor.shape), lambda tensor=tensor: tensor)
        for name, tensor in content.items()
    }
