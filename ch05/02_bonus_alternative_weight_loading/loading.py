"""Ways to bring a file of weights into a GPT, and what each costs: `python loading.py FOLDER WAY …`
measures them.

FOLDER is a GPT-2 directory with `config.json`, `model.safetensors` and, for the ways that read a
pickle, the same weights in `pytorch_model.bin`. The result is a line of JSON for each way, in MB
and seconds. Each is measured in a process of its own, because what one way leaves behind, the next
one would find.
"""

import argparse
import json
import multiprocessing
import runpy
import sys
import time
import warnings
from functools import partial
from importlib.util import find_spec
from pathlib import Path

if (
    find_spec("ch04_01_main_chapter_code") is None
):  # not installed: register the chapters' names here
    runpy.run_path(str(Path(__file__).parents[2] / "conftest.py"))

import torch
from safetensors import safe_open
from safetensors.torch import load_file

from ch04_01_main_chapter_code.checkpoint import bare, name_pairs, read_settings
from ch04_01_main_chapter_code.gpt import GPT, GPTConfig
from ch04_01_main_chapter_code.gpt2_settings import config_from_settings
from scratch_llm_tools.console import open_console

# --- From their names to ours ---------------------------------------------------------------------


def read_config(folder):
    source, settings = read_settings(folder)
    return GPTConfig(**config_from_settings(settings, source))


def to_ours(tensors, config):
    """{their name: tensor} as {our name: tensor}. Nothing is copied: a transposed matrix is a view
    of the same numbers.
    """
    state = {}
    for ours, theirs, transposed in name_pairs(config):
        tensor = (
            tensors[theirs] if theirs in tensors else tensors[bare(theirs)]
        )  # with "transformer." or without
        state[ours] = tensor.T if transposed else tensor
    if config.tie_weights:
        state["head.weight"] = state["tok_emb.weight"]
    return state


# --- The ways -------------------------------------------------------------------------------------


def copied(folder, tensors):
    """A model with random weights first; then every number is written over."""
    config = read_config(folder)
    model = GPT(config).eval()
    model.load_state_dict(to_ours(tensors, config))
    return model


def assigned(folder, tensors):
    """A model without memory, whose parameters then *are* the tensors that were read."""
    config = read_config(folder)
    with torch.device("meta"):
        model = GPT(config).eval()
    model.load_state_dict(to_ours(tensors, config), assign=True)
    if config.tie_weights:
        model.head.weight = model.tok_emb.weight
    return model


def read_pickle(folder, mmap=False):
    return torch.load(folder / "pytorch_model.bin", weights_only=True, mmap=mmap)


def read_safetensors(folder):
    return load_file(folder / "model.safetensors")


def one_by_one(folder):
    """Memory for the model, no numbers in it; then one matrix at a time from the file."""
    config = read_config(folder)
    with torch.device("meta"):
        model = GPT(config).eval()
    model.to_empty(device="cpu")
    if config.tie_weights:
        model.head.weight = (
            model.tok_emb.weight
        )  # to_empty gave each of the two a memory of its own
    with safe_open(folder / "model.safetensors", framework="pt") as file, torch.no_grad():
        names = {bare(name): name for name in file.keys()}
        for ours, theirs, transposed in name_pairs(config):
            tensor = file.get_tensor(names[bare(theirs)])
            model.get_parameter(ours).copy_(tensor.T if transposed else tensor)
    return model


def gpt2_of_transformers():
    """Hugging Face's class, without its progress bars."""
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="IProgress not found"
        )  # it would draw them with widgets
        from transformers import GPT2LMHeadModel
        from transformers.utils import logging
    logging.disable_progress_bar()
    return GPT2LMHeadModel


def through_transformers(folder, dtype=torch.float32):
    """Hugging Face's model first, and its parameters for ours."""
    return assigned(
        folder, gpt2_of_transformers().from_pretrained(folder, dtype=dtype).state_dict()
    )


WAYS = {
    "pickle, copied": lambda folder: copied(folder, read_pickle(folder)),
    "pickle, assigned": lambda folder: assigned(folder, read_pickle(folder)),
    "pickle, mapped": lambda folder: assigned(folder, read_pickle(folder, mmap=True)),
    "safetensors, copied": lambda folder: copied(folder, read_safetensors(folder)),
    "safetensors, assigned": lambda folder: assigned(folder, read_safetensors(folder)),
    "safetensors, one by one": one_by_one,
    "GPT.from_pretrained": GPT.from_pretrained,
    "transformers": through_transformers,
    "transformers, bf16": partial(through_transformers, dtype=torch.bfloat16),
}

# --- What they cost -------------------------------------------------------------------------------


def memory():
    """This process in MB: `peak`, and on Linux `anonymous` (its own numbers) and `file` (pages of
    mapped files).

    macOS tells the peak alone, Windows nothing in a way that Python brings along: there the result
    is empty.
    """
    status = Path("/proc/self/status")
    if status.exists():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        names = {"peak": "VmHWM", "anonymous": "RssAnon", "file": "RssFile"}
        return {ours: int(lines[name].split()[0]) * 1024 / 1e6 for ours, name in names.items()}
    try:
        import resource
    except ImportError:
        return {}
    return {
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    }  # macOS counts in bytes


def forget_peak():
    """Let the peak begin anew, where the system can (Linux): the imports had one, too."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pass


def warm_up(way):
    """Import what a way needs: that is not the loading."""
    with torch.device("meta"):  # its first use imports parts of torch, 80 MB of them
        GPT(GPTConfig(vocab_size=8, context_length=8, emb_dim=8, n_heads=2, n_layers=1))
    if "transformers" in way:
        gpt2_of_transformers()


@torch.inference_mode()
def measure(way, folder):
    """Load, and compute the first logits, for which every weight is read. Returns what memory and
    time it took.
    """
    torch.set_num_threads(1)
    warm_up(way)
    forget_peak()
    before, start = memory(), time.perf_counter()
    model = WAYS[way](folder)
    loaded = time.perf_counter() - start
    model(torch.arange(8)[None] % model.config.vocab_size)
    took = {name: round(value - before[name], 1) for name, value in memory().items()}
    return took | {
        "seconds": round(loaded, 3),
        "with logits": round(time.perf_counter() - start, 3),
    }


def measure_all(ways, folder):
    """What each way took, one after the other, each in a new process. On Linux it is a fork, with
    all imports done.
    """
    if sys.platform == "linux":
        for way in ways:
            warm_up(way)
    processes = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    with processes.Pool(1, maxtasksperchild=1) as pool:
        yield from pool.imap(partial(measure, folder=folder), ways)


if __name__ == "__main__":
    open_console()
    parser = argparse.ArgumentParser(
        description="Load a GPT-2 directory in some ways and say what each took."
    )
    parser.add_argument(
        "folder", type=Path, help="with config.json, model.safetensors and pytorch_model.bin"
    )
    parser.add_argument(
        "ways", nargs="+", choices=WAYS, metavar="WAY", help=f"one of: {'; '.join(WAYS)}"
    )
    options = parser.parse_args()
    try:
        for cost in measure_all(options.ways, options.folder):
            print(json.dumps(cost), flush=True)
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        raise SystemExit(f"loading.py: {' '.join(str(error).split())}") from None
