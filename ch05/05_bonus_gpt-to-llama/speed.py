"""How fast is SmolLM2 here? `python speed.py` prints the rows of the table in README.md.

Writing one token reads every weight once, so the memory's bandwidth is an upper limit: tokens/s ×
bytes of weights per token cannot exceed it. Each speed is the best of several runs, since other
programs can only make a run slower.
"""

import argparse
import resource
import sys
import tempfile
import time

import torch

from ch03_01_main_chapter_code.attention import KVCache
from ch04_01_main_chapter_code.gpt import count_parameters
from ch05_01_main_chapter_code.arguments import run_script
from ch05_05_bonus_gpt_to_llama.against_llama_cpp import LlamaCpp
from ch05_05_bonus_gpt_to_llama.llama import Llama
from ch05_05_bonus_gpt_to_llama.smollm2 import fetch_smollm2, find_smollm2, load_smollm2

PROMPT, NEW = 512, 32  # tokens


def seconds(run, repeats=1):
    """The shortest of `repeats` runs, and what the last one returned."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = run()
        times.append(time.perf_counter() - start)
    return min(times), result


@torch.inference_mode()
def read_prompt(model, ids, cache=None):
    return model.head(model.trunk(ids, cache)[:, -1])


@torch.inference_mode()
def write_tokens(model, ids):
    """The seconds for each of `NEW` tokens after a short prompt, greedily, with a cache."""
    cache = KVCache()
    token, times = read_prompt(model, ids, cache).argmax(-1, keepdim=True), []
    for _ in range(NEW):
        start = time.perf_counter()
        token = read_prompt(model, token, cache).argmax(-1, keepdim=True)
        times.append(time.perf_counter() - start)
    return sorted(times)


def bandwidth(n_bytes=500_000_000):
    """GB/s of reading a matrix once for a product with a vector, which is what writing a token
    consists of.
    """
    matrix, vector = torch.ones(n_bytes // 4 // 4096, 4096), torch.ones(4096)
    return matrix.numel() * 4 / 1e9 / seconds(lambda: matrix @ vector, repeats=10)[0]


def main():
    """Measure, and print a Markdown table."""
    parser = argparse.ArgumentParser(description="Measure SmolLM2 on this machine.")
    parser.add_argument("--threads", type=int, default=2, help="(default: %(default)s)")
    torch.set_num_threads(parser.parse_args().threads)
    path = find_smollm2() or fetch_smollm2()
    load_seconds, model = seconds(lambda: load_smollm2(path))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        again = seconds(lambda: Llama.from_pretrained(folder), repeats=3)[0]
    ids = torch.arange(PROMPT)[None] + 1000
    prompt_seconds = seconds(lambda: read_prompt(model, ids), repeats=5)[0]
    times = write_tokens(model, ids[:, :16])
    weights, limit = count_parameters(model) * 4 / 1e9, bandwidth()
    rate = 1 / times[NEW // 4]  # the first quartile: a quiet moment, but no lucky one
    other = LlamaCpp(path, parser.parse_args().threads).speed(ids[0].tolist(), NEW)
    print("| what | measured |\n|---|---|")
    print(f"| loading the file | {load_seconds:.1f} s |")
    print(f"| loading it after `save_pretrained`, 538 MB | {again:.1f} s |")
    print(f"| most memory in use while loading | {peak / 1e6:,.0f} MB |")
    print(f"| reading a prompt of {PROMPT} tokens | {PROMPT / prompt_seconds:,.0f} tokens/s |")
    print(f"| writing | {rate:.1f} tokens/s |")
    print(
        f"| … that is, weights read ({weights * 1000:.0f} MB per token) | {rate * weights:.1f} GB/s |"
    )
    print(f"| the limit: a matrix-vector product of 500 MB | {limit:.1f} GB/s |")
    print(
        f"| llama.cpp, same file as it is ({path.stat().st_size / 1e6:.0f} MB): prompt | {other[0]:,.0f} tokens/s |"
    )
    print(f"| llama.cpp: writing | {other[1]:.1f} tokens/s |")


if __name__ == "__main__":
    run_script(main)
