"""Two models side by side: what their configs say, and what that costs.

python compare_models.py FOLDER OTHER      # folders with a config.json; no weights are needed
python compare_models.py FOLDER            # one, whole
"""

import argparse
from dataclasses import asdict
from pathlib import Path

import torch

from ch04_01_main_chapter_code.foreign_settings import build_config, load_settings
from ch05_01_main_chapter_code.arguments import run_script
from ch05_05_bonus_gpt_to_llama.decoder import Decoder, Experts
from ch05_05_bonus_gpt_to_llama.decoder_config import DecoderConfig
from ch05_05_bonus_gpt_to_llama.families import config_from_settings


def read_config(name):
    """The `DecoderConfig` of a folder, or of a config.json. Raises FileNotFoundError, ValueError."""
    path = Path(name).expanduser()
    path = path / "config.json" if path.is_dir() else path
    if not path.is_file():
        raise FileNotFoundError(f"{name} is no config.json and no folder with one")
    settings = load_settings(path)
    return build_config(DecoderConfig, config_from_settings(settings, path), path)


def costs(config, tokens=4096):
    """What a model costs: its parameters; those that one token meets; the bytes that a token leaves
    in the cache, at 2 bytes a number; and the operations for one token behind `tokens` others.

    Two operations for each weight of a matrix that a token meets, and for each earlier token that a
    layer looks at two for each number of a query and of a value in each head [Kaplan et al. 2020, arXiv:2001.08361].
    """
    with torch.device("meta"):
        model = Decoder(config)
    total = sum(parameter.numel() for parameter in model.parameters())
    idle = sum(
        parameter.numel() * (config.n_experts - config.experts_per_token) // config.n_experts
        for layer in model.modules()
        if isinstance(layer, Experts)
        for parameter in layer.experts.parameters()
    )
    table = 0 if config.tie_weights else model.tok_emb.weight.numel()  # looked up, not multiplied
    seen = sum(
        min(tokens, config.window) if kind == "sliding" else tokens for kind in config.layers
    )
    kept = 2 * config.n_kv_heads * config.head_dim
    dims = 2 * config.head_dim
    if config.latent:
        sizes = config.latent
        kept, dims = sizes.rank + sizes.rope_dim, sizes.plain_dim + sizes.rope_dim + sizes.value_dim
    return {
        "parameters": total,
        "met by a token": total - idle,
        "cache, bytes per token": 2 * config.n_layers * kept,
        f"operations per token, after {tokens:,}": 2 * (total - idle - table)
        + 2 * config.n_heads * dims * seen,
    }


def shown_layers(config):
    """The kinds of layers in few words."""
    count = config.layers.count("sliding")
    return "all full" if not count else f"{count} of {config.n_layers} slide"


def rows_of(config):
    """{what: value} of a config, for a table."""
    fields = asdict(config) | {"layers": shown_layers(config)}
    for name in ("rotation", "window_rotation"):
        turn = fields[name]
        fields[name] = turn and f"{turn['kind']}, base {turn['base']:,.0f}"
    return fields | {name: f"{value:,}" for name, value in costs(config).items()}


def side_by_side(names, tables, always=()):
    """The lines of a table with a column for each name: the rows in which they differ, and those
    that are `always` shown.
    """
    rows = [
        [row, *(str(table[row]) for table in tables)]
        for row in tables[0]
        if row in always or len(tables) == 1 or len({str(table[row]) for table in tables}) > 1
    ]
    rows = [["", *names], *rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(names) + 1)]
    for first, *others in rows:
        cells = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        yield "  ".join([first.ljust(widths[0]), *cells]).rstrip()


def main(options):
    """Print the table."""
    configs = [read_config(name) for name in options.models]
    tables = [rows_of(config) for config in configs]
    names = [Path(name).name for name in options.models]
    print("\n".join(side_by_side(names, tables, always=costs(configs[0]))))
    return 0


def parse(argv=None):
    parser = argparse.ArgumentParser(
        description="Two models side by side: what differs, and what it costs."
    )
    parser.add_argument("models", nargs="+", help="folders with a config.json, or such files")
    return parser.parse_args(argv)


if __name__ == "__main__":
    run_script(main, parse())
