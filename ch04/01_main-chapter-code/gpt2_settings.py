"""What a GPT-2 config.json may say, and what it means for a `GPTConfig`."""

from ch04_01_main_chapter_code.foreign_settings import (
    COMMON_FIXED,
    COMMON_HARMLESS,
    COMMON_KINDS,
    COUNT,
    SHARE,
    YES_OR_NO,
    common_fields,
    common_settings,
    is_whole_number,
    refuse_other_settings,
    refuse_other_type,
)

# Hugging Face's names of our sizes; a file without one of them says too little.
SIZES = {
    "vocab_size": "vocab_size",
    "n_positions": "context_length",
    "n_embd": "emb_dim",
    "n_head": "n_heads",
    "n_layer": "n_layers",
}
DROPOUT = ("embd_pdrop", "attn_pdrop", "resid_pdrop")  # in training only; ours has one for all

# Settings that we read, settings of which our GPT computes one value (the others given with it are
# names of the same function), and, with the common ones, settings that change no output.
KINDS = COMMON_KINDS | dict.fromkeys(SIZES, COUNT) | dict.fromkeys(DROPOUT, SHARE)
KINDS |= {"qkv_bias": YES_OR_NO}  # ours: for Hugging Face's GPT-2 zeros compute the same
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
    settings = {"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2"}
    settings |= common_settings(config, SIZES, tokenizer)
    settings |= dict.fromkeys(DROPOUT, config.drop_rate) | {"qkv_bias": config.qkv_bias}
    return settings | {name: values[0] for name, values in FIXED_SETTINGS.items()}


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
    refuse_other_settings(settings, source, "our GPT", KINDS, fixed, HARMLESS, SIZES)
    return common_fields(settings, SIZES, tied=True) | {
        "drop_rate": settings.get("resid_pdrop", 0.1),
        "qkv_bias": settings.get("qkv_bias", True),
    }
