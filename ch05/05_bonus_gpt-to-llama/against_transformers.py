"""Every family of `decoder.py` beside `transformers`' own class, on random weights: nothing is
downloaded. `python against_transformers.py` prints the largest differences.
"""

import tempfile

import torch

from ch05_05_bonus_gpt_to_llama.decoder import Decoder

SIZES = dict(
    vocab_size=97,
    hidden_size=48,
    intermediate_size=80,
    num_hidden_layers=5,
    num_attention_heads=6,
    num_key_value_heads=2,
    max_position_embeddings=64,
    bos_token_id=1,
    eos_token_id=2,
    pad_token_id=0,
)
LLAMA3 = dict(
    rope_type="llama3",
    rope_theta=500_000.0,
    factor=8.0,
    low_freq_factor=1.0,
    high_freq_factor=4.0,
    original_max_position_embeddings=16,
)
YARN = dict(rope_type="yarn", rope_theta=10_000.0, factor=4.0, original_max_position_embeddings=16)
LINEAR = dict(rope_type="linear", rope_theta=10_000.0, factor=2.0)
PLAIN = dict(rope_type="default", rope_theta=10_000.0)
MIXED = ["full_attention", "sliding_attention", "sliding_attention", "full_attention"]


def slides(window, first_layer=0):
    return dict(use_sliding_window=True, sliding_window=window, max_window_layers=first_layer)


DEEPSEEK = dict(
    num_key_value_heads=6,
    n_routed_experts=6,
    n_shared_experts=2,
    num_experts_per_tok=2,
    moe_intermediate_size=20,
    first_k_dense_replace=1,
    q_lora_rank=16,
    kv_lora_rank=12,
    qk_rope_head_dim=4,
    qk_nope_head_dim=6,
    v_head_dim=10,
)
CASES = {
    "llama": ("llama", {}),
    "llama, one head, biases, llama3": (
        "llama",
        dict(num_key_value_heads=1, attention_bias=True, mlp_bias=True, rope_parameters=LLAMA3)
        | dict(head_dim=10, tie_word_embeddings=True),
    ),
    "llama, yarn": ("llama", dict(rope_parameters=YARN)),
    "llama, linear": ("llama", dict(rope_parameters=LINEAR)),
    "mistral": ("mistral", dict(sliding_window=7)),
    "mistral, no window": ("mistral", dict(sliding_window=None, num_key_value_heads=6)),
    "qwen2": ("qwen2", {}),
    "qwen2, window": ("qwen2", slides(5, 2)),
    "qwen3": ("qwen3", dict(head_dim=14)),
    "qwen3, window": (
        "qwen3",
        dict(attention_bias=True, head_dim=8, tie_word_embeddings=True) | slides(6, 3),
    ),
    "gemma2": ("gemma2", dict(head_dim=12, sliding_window=6, query_pre_attn_scalar=20)),
    "gemma2, no caps": (
        "gemma2",
        dict(head_dim=8, attn_logit_softcapping=None, final_logit_softcapping=None),
    ),
    "gemma3": ("gemma3_text", dict(head_dim=12, sliding_window=6, query_pre_attn_scalar=20)),
    "gemma3, scaled": (
        "gemma3_text",
        dict(head_dim=8, sliding_window=4, layer_types=[*MIXED, "sliding_attention"])
        | dict(rope_parameters={"full_attention": LINEAR, "sliding_attention": PLAIN}),
    ),
    "olmo2": ("olmo2", {}),
    "olmo2, biases": ("olmo2", dict(attention_bias=True, num_key_value_heads=3)),
    "olmo3": ("olmo3", dict(sliding_window=5)),
    "olmo3, yarn": (
        "olmo3",
        dict(sliding_window=5)
        | dict(rope_parameters={"full_attention": YARN, "sliding_attention": PLAIN}),
    ),
    "mixtral": ("mixtral", dict(num_local_experts=4, num_experts_per_tok=2, sliding_window=9)),
    "qwen3, experts": (
        "qwen3_moe",
        dict(num_experts=5, num_experts_per_tok=3, moe_intermediate_size=20, head_dim=8)
        | dict(decoder_sparse_step=2, mlp_only_layers=[3]),
    ),
    "qwen3, experts, renormalised": (
        "qwen3_moe",
        dict(num_experts=4, num_experts_per_tok=2, moe_intermediate_size=24, head_dim=10)
        | dict(norm_topk_prob=True, sliding_window=6, use_sliding_window=True),
    ),
    "gpt-oss": (
        "gpt_oss",
        dict(num_local_experts=4, num_experts_per_tok=2, head_dim=8, sliding_window=5)
        | dict(rope_parameters=YARN | {"truncate": False}),
    ),
    "deepseek v2": ("deepseek_v2", DEEPSEEK),
    "deepseek v2, groups": (
        "deepseek_v2",
        DEEPSEEK
        | dict(q_lora_rank=None, n_group=3, topk_group=2, topk_method="group_limited_greedy")
        | dict(first_k_dense_replace=2, routed_scaling_factor=3.0, attention_bias=True),
    ),
    "deepseek v3": ("deepseek_v3", DEEPSEEK | dict(n_group=2, topk_group=1)),
    "deepseek v3, yarn": (
        "deepseek_v3",
        DEEPSEEK
        | dict(n_group=3, topk_group=2, norm_topk_prob=False, rope_interleave=False)
        | dict(rope_parameters=YARN | {"mscale": 0.7, "mscale_all_dim": 1.0}),
    ),
    "smollm3": ("smollm3", {}),
    "smollm3, window": (
        "smollm3",
        dict(no_rope_layer_interval=2, mlp_bias=True, attention_bias=True) | slides(6),
    ),
}


def random_model(name, **changes):
    """A small model of `transformers` with weights large enough that every part of it matters."""
    import transformers

    kind, settings = CASES[name]
    torch.manual_seed(len(name))
    config = transformers.AutoConfig.for_model(kind, **(SIZES | settings | changes))
    build = transformers.AutoModelForCausalLM.from_config
    model = build(config, attn_implementation="eager").eval()
    for parameter in model.parameters():
        parameter.data *= 2
        parameter.data += 0.1 * torch.randn_like(parameter)
    for name, buffer in model.named_buffers():
        if name.endswith("correction_bias"):
            buffer += 0.3 * torch.randn_like(buffer)
    return model


def some_ids(batch=3, tokens=33, seed=5):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(3, 97, (batch, tokens), generator=generator)


def far_apart(a, b):
    """The largest difference, as a share of the largest number."""
    return float((a - b).detach().abs().max() / b.detach().abs().max())


@torch.no_grad()
def main():
    """Print a row of a table for each case: the largest difference of a logit, as a share of the
    largest logit.
    """
    import transformers
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    print(
        f"| transformers {transformers.__version__} | ours | our folder, opened there |\n|---|---|---|"
    )
    for name in CASES:
        model, ids = random_model(name), some_ids()
        with tempfile.TemporaryDirectory() as folder:
            model.save_pretrained(f"{folder}/theirs")
            decoder = Decoder.from_pretrained(f"{folder}/theirs")
            decoder.save_pretrained(f"{folder}/ours")
            again = type(model).from_pretrained(f"{folder}/ours", attn_implementation="eager")
            expected = model(ids).logits
            there = far_apart(again.eval()(ids).logits, expected)
            print(f"| {name} | {far_apart(decoder(ids), expected):.1e} | {there:.1e} |")


if __name__ == "__main__":
    main()
