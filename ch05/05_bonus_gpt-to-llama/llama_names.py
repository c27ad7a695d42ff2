"""What a Llama's modules are called: by us, by Hugging Face, and by llama.cpp. Nothing is transposed."""

OUTER_NAMES = (
    ("tok_emb", "model.embed_tokens", "token_embd"),
    ("final_norm", "model.norm", "output_norm"),
)
BLOCK_NAMES = (
    ("norm1", "input_layernorm", "attn_norm"),
    ("attention.query", "self_attn.q_proj", "attn_q"),
    ("attention.key", "self_attn.k_proj", "attn_k"),
    ("attention.value", "self_attn.v_proj", "attn_v"),
    ("attention.proj", "self_attn.o_proj", "attn_output"),
    ("norm2", "post_attention_layernorm", "ffn_norm"),
    ("feed_forward.gate", "mlp.gate_proj", "ffn_gate"),
    ("feed_forward.expand", "mlp.up_proj", "ffn_up"),
    ("feed_forward.proj", "mlp.down_proj", "ffn_down"),
)
