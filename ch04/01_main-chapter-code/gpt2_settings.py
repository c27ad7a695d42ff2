"""What a GPT-2 config.json may say, and what it means for a `GPTConfig`."""

from ch04_01_main_chapter_code.foreign_settings import (
    COMMON_FIXED,
    COMMON_HARMLESS,
    COUNT,
    IDS,
    POSITIVE,
    SHARE,
    YES_OR_NO,
    is_whole_number,
    or_null,
    refuse_other_settings,
    refuse_other_type,
)

# Settings that we read, settings of which our GPT computes one
# value (the others given with it are names of the same function), and, with the common ones,
# settings that change no output. Dropout acts in training only, and our GPT has one rate for all.
KINDS = {
    "vocab_size": COUNT,
    "n_positions": COUNT,
    "n_embd": COUNT,
    "n_head": COUNT,
    "n_layer": COUNT,
    "embd_pdrop": SHARE,
    "attn_pdrop": SHARE,
    "resid_pdrop": SHARE,
    "tie_word_embeddings": YES_OR_NO,
    "qkv_bias": YES_OR_NO,
    "initializer_range": POSITIVE,
    "embedding_std": or_null(POSITIVE),
    "bos_token_id": IDS,
    "eos_token_id": IDS,
}
NEEDED = ("vocab_size", "n_positions", "n_embd", "n_head", "n_layer")
FIXED_SETTINGS = {
    "activation_function": ("gelu_new", "gelu_pytorch_tanh", "gelu_fast", "gelu_accurate"),
    "layer_norm_epsilon": (1e-5,),
    "scale_attn_weights": (True,),
    "scale_attn_by_inverse_layer_idx": (False,),
    "add_cross_attention": (False,),
    "n_inner": (None,),
}
HARMLESS = COMMON_HARMLESS | {"n_ctx", "n_special", "predict_special_tokens"}
HARMLESS |= {"reorder_and_upcast_attn"}  # the same product in another precision


def settings_from_config(config, tokenizer):
    """A `GPTConfig` as the content of a Hugging Face config.json."""
    end_of_text = None if tokenizer is None else tokenizer.end_of_text
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "vocab_size": config.vocab_size,
        "n_positions": config.context_length,
        "n_embd": config.emb_dim,
        "n_head": config.n_heads,
        "n_layer": config.n_layers,
        "embd_pdrop": config.drop_rate,
        "attn_pdrop": config.drop_rate,
        "resid_pdrop": config.drop_rate,
        "tie_word_embeddings": config.tie_weights,
        "qkv_bias": config.qkv_bias,  # Hugging Face has no such setting: its zeros compute the same
        "initializer_range": config.init_std,
        "embedding_std": config.embedding_std,
        "bos_token_id": end_of_text,
        "eos_token_id": end_of_text,
    } | {name: values[0] for name, values in FIXED_SETTINGS.items()}


def config_from_settings(settings, source):
    """The fields of a `GPTConfig` from the settings in the file `source`.

    Raises ValueError for a model that computes something else than our GPT, and for values that are
    none.
    """
    refuse_other_type(settings, "gpt2", source)
    width = settings.get("n_embd")
    fixed = COMMON_FIXED | FIXED_SETTINGS
    if is_whole_number(width):
        fixed["n_inner"] = (None, 4 * width)
    refuse_other_settings(settings, source, "our GPT", KINDS, fixed, HARMLESS, NEEDED)
    return {
        "vocab_size": settings["vocab_size"],
        "context_length": settings["n_positions"],
        "emb_dim": settings["n_embd"],
        "n_heads": settings["n_head"],
        "n_layers": settings["n_layer"],
        "drop_rate": settings.get("resid_pdrop", 0.1),
        "tie_weights": settings.get("tie_word_embeddings", True),
        "qkv_bias": settings.get("qkv_bias", True),
        "init_std": settings.get("initializer_range", 0.02),
        "embedding_std": settings.get("embedding_std"),
    }
