"""From GPT to Llama one change at a time: each function takes a chapter-4 GPT and changes one of
its parts.

`python changes.py` trains the model after each change on the Tiny Tales, with the same budget, and
writes the losses to `changes.jsonl`. The notebook shows these, and makes the same changes in the
same order.
"""

import argparse
import time
from pathlib import Path

from torch import nn

from ch04_01_main_chapter_code.gpt import GPT, GPTConfig, count_parameters
from ch05_01_main_chapter_code.arguments import TrainConfig, run_script
from ch05_05_bonus_gpt_to_llama.llama import (
    LlamaAttention,
    LlamaConfig,
    RMSNorm,
    SwiGLU,
    init_weights,
)

TALES = LlamaConfig.preset(
    "tales"
)  # the numbers that a GPT has not: hidden_dim, n_kv_heads, rope_base


class NoPositions(nn.Module):
    """Stands where GPT's position embedding was, and adds nothing."""

    def forward(self, positions):
        return 0.0


def use_rms_norm(model):
    """Change 1: no mean is subtracted and nothing is added."""
    for block in model.blocks:
        block.norm1, block.norm2 = RMSNorm(model.config.emb_dim), RMSNorm(model.config.emb_dim)
    model.final_norm = RMSNorm(model.config.emb_dim)


def use_rotary_positions(model):
    """Change 2: positions turn queries and keys, and are no longer added to the tokens."""
    model.pos_emb = NoPositions()
    for layer, block in enumerate(model.blocks):
        heads = model.config.n_heads
        block.attention = LlamaAttention(
            model.config.emb_dim, heads, heads, TALES.rope_base, bias=True, layer=layer
        )


def use_swiglu(model):
    """Change 3: a gate in the feed-forward layer, which is made narrower so that it has as many
    weights as before.
    """
    for block in model.blocks:
        block.feed_forward = SwiGLU(model.config.emb_dim, TALES.hidden_dim, bias=True)


def share_keys_and_values(model):
    """Change 4: two query heads look at the same keys and values."""
    for layer, block in enumerate(model.blocks):
        heads = model.config.n_heads, TALES.n_kv_heads
        block.attention = LlamaAttention(
            model.config.emb_dim, *heads, TALES.rope_base, bias=True, layer=layer
        )


def drop_biases(model):
    """Change 5: matrices only; what is left is a Llama."""
    for layer, block in enumerate(model.blocks):
        heads = model.config.n_heads, TALES.n_kv_heads
        block.attention = LlamaAttention(model.config.emb_dim, *heads, TALES.rope_base, layer=layer)
        block.feed_forward = SwiGLU(model.config.emb_dim, TALES.hidden_dim)


CHANGES = {
    "RMSNorm": use_rms_norm,
    "rotary positions": use_rotary_positions,
    "SwiGLU": use_swiglu,
    "grouped queries": share_keys_and_values,
    "no biases": drop_biases,
}


def changed_gpt(n_changes, **sizes):
    """An untrained GPT of the preset `tales` with the first `n_changes` changes made; `sizes` as in
    GPTConfig.
    """
    model = GPT(GPTConfig.preset("tales", **sizes))
    for change in list(CHANGES.values())[:n_changes]:
        change(model)
    init_weights(model)
    return model


# --- The long comparison --------------------------------------------------------------------------


def compare(steps, seeds, log):
    """Train the GPT after 0 … 5 changes with each seed, and write one line each to `log`, a path."""
    import torch

    from ch05_01_main_chapter_code.gpt_generate import TALES_GPT, load_model
    from ch05_01_main_chapter_code.gpt_train import evaluate, prepare, train
    from ch05_01_main_chapter_code.json_lines import write_json_lines

    tokenizer = load_model(TALES_GPT).tokenizer
    corpus = prepare(TrainConfig(), TALES.context_length, TALES.vocab_size, tokenizer)
    lines = [{"steps": steps, "floor": corpus.floor, "threads": torch.get_num_threads()}]
    for seed in seeds:
        for number, name in enumerate(["GPT", *CHANGES]):
            torch.manual_seed(seed)
            model, start = changed_gpt(number, vocab_size=tokenizer.n_vocab), time.perf_counter()
            losses = train(model, corpus.train, TrainConfig(steps=steps, seed=seed))
            seconds = time.perf_counter() - start
            means = [
                sum(part) / len(part) for part in (losses[i : i + 25] for i in range(0, steps, 25))
            ]
            row = {
                "changes": number,
                "name": name,
                "seed": seed,
                "parameters": count_parameters(model),
            }
            row |= {
                "val_loss": round(evaluate(model, corpus.validation)[0], 4),
                "seconds": round(seconds, 1),
            }
            lines.append(row | {"train_loss_of_25": [round(mean, 3) for mean in means]})
            print(
                f"seed {seed}  {name:17} {row['parameters']:,} parameters  validation loss {row['val_loss']:.4f}"
            )
            write_json_lines(log, lines)


def main(arguments=None):
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description="Train the model after each change with the same budget."
    )
    parser.add_argument(
        "--steps", type=int, default=300, help="of 16 stories each (default: %(default)s)"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="(default: 1 2 3)")
    parser.add_argument(
        "--log",
        type=Path,
        default=Path(__file__).parent / "changes.jsonl",
        help="(default: %(default)s)",
    )
    options = parser.parse_args(arguments)
    compare(options.steps, options.seeds, options.log)


if __name__ == "__main__":
    run_script(main)
