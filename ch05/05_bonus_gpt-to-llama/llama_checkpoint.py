"""A Llama on disk: a Hugging Face Llama directory, read and written with chapter 4's checkpoint
code.

    config.json          the numbers of the architecture
    model.safetensors    the weights, under Hugging Face's names, with a checksum for each matrix
    tokenizer.json       the tokenizer
"""

from pathlib import Path

import torch

from ch02_01_main_chapter_code.tokenizer_files import find_tokenizer
from ch04_01_main_chapter_code.checkpoint import (
    Pretrained,
    checked,
    checksum,
    find_checkpoint,
    open_weights,
    read_settings,
    write_checkpoint,
)
from ch05_05_bonus_gpt_to_llama.partial_bpe import PartialBPETokenizer

# Our module names and Hugging Face's; nothing is transposed.
OUTER_NAMES = {"tok_emb": "model.embed_tokens", "final_norm": "model.norm"}
BLOCK_NAMES = {
    "norm1": "input_layernorm",
    "attention.query": "self_attn.q_proj",
    "attention.key": "self_attn.k_proj",
    "attention.value": "self_attn.v_proj",
    "attention.proj": "self_attn.o_proj",
    "norm2": "post_attention_layernorm",
    "feed_forward.gate": "mlp.gate_proj",
    "feed_forward.expand": "mlp.up_proj",
    "feed_forward.proj": "mlp.down_proj",
}

# Settings of a Llama config.json that change what is computed, and the one value of each that our
# Llama computes.
FIXED_SETTINGS = {
    "hidden_act": "silu",
    "attention_bias": False,
    "mlp_bias": False,
    "rope_interleaved": False,
    "rope_scaling": None,
    "quantization_config": None,
}


class PretrainedLlama(Pretrained):
    """What a Llama knows of files."""

    @classmethod
    def from_pretrained(cls, name_or_folder):
        """Read a Hugging Face Llama folder, or `smollm2-135m`, which is fetched if need be.

        Returns the model in evaluation mode, in fp32, on the CPU, with its `tokenizer`. Raises
        FileNotFoundError where there is no checkpoint, ValueError where it is damaged or of another
        kind.
        """
        from ch05_05_bonus_gpt_to_llama.llama import (
            LlamaConfig,
        )  # llama.py needs this module, so not at the top

        folder = Path(name_or_folder).expanduser()
        if str(name_or_folder) == "smollm2-135m" and not folder.exists():
            from ch05_05_bonus_gpt_to_llama.smollm2 import load_smollm2

            return load_smollm2()
        settings = read_settings(find_checkpoint(folder))
        config = LlamaConfig(**config_from_settings(settings, folder))
        model = cls.with_weights(config, read_weights(folder, config), folder / "model.safetensors")
        model.tokenizer = read_tokenizer(folder / "tokenizer.json")
        return model

    @classmethod
    def with_weights(cls, config, tensors, source):
        """A model from {Hugging Face's name: tensor}, in evaluation mode, in fp32. `source` is
        named in errors.
        """
        with torch.device(
            "meta"
        ):  # no memory and no random numbers for weights that are replaced at once
            model = cls(config)
        expected = {name: tuple(parameter.shape) for name, parameter in model.state_dict().items()}
        state = {}
        for ours, theirs in name_pairs(config):
            if theirs not in tensors:
                raise ValueError(f"{source}: the matrix {theirs} is missing")
            state |= checked(source, ours, theirs, tensors[theirs], False, expected)
        unknown = set(tensors) - {theirs for _, theirs in name_pairs(config)}
        if unknown:
            raise ValueError(
                f"{source}: unknown matrix {min(unknown)}; is config.json that of another model?"
            )
        if config.tie_weights:
            state["head.weight"] = state["tok_emb.weight"]
        model.load_state_dict(state, strict=True, assign=True)
        if config.tie_weights:
            model.head.weight = model.tok_emb.weight
        return model.eval()

    def save_pretrained(self, folder, tokenizer=None, metadata=None):
        """Write the checkpoint folder, with `tokenizer` or the model's own; `metadata` as in
        chapter 4's GPT.
        """
        tokenizer = tokenizer or self.tokenizer
        settings = settings_from_config(self.config, tokenizer)
        write_checkpoint(Path(folder), settings, hugging_face_weights(self), tokenizer, metadata)


# --- config.json ----------------------------------------------------------------------------------


def settings_from_config(config, tokenizer):
    """A `LlamaConfig` as the content of a Hugging Face config.json."""
    end_of_text = None if tokenizer is None else tokenizer.end_of_text
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": config.vocab_size,
        "max_position_embeddings": config.context_length,
        "hidden_size": config.emb_dim,
        "num_attention_heads": config.n_heads,
        "num_key_value_heads": config.n_kv_heads,
        "num_hidden_layers": config.n_layers,
        "intermediate_size": config.hidden_dim,
        "rope_theta": config.rope_base,
        "rms_norm_eps": config.norm_eps,
        "tie_word_embeddings": config.tie_weights,
        "initializer_range": config.init_std,
        "embedding_std": config.embedding_std,
        "bos_token_id": end_of_text,
        "eos_token_id": end_of_text,
    } | FIXED_SETTINGS


def config_from_settings(settings, folder):
    """The fields of a `LlamaConfig` from a config.json; refuses models that compute something else
    than our Llama.
    """
    if settings.get("model_type") != "llama":
        raise ValueError(
            f"{folder} holds a model of type {settings.get('model_type')!r}; this class reads 'llama'"
        )
    rope = {"rope_theta": settings.get("rope_theta", 10_000.0)} | (
        settings.get("rope_parameters") or {}
    )
    try:
        fields = {
            "vocab_size": settings["vocab_size"],
            "context_length": settings["max_position_embeddings"],
            "emb_dim": settings["hidden_size"],
            "n_heads": settings["num_attention_heads"],
            "n_kv_heads": settings.get("num_key_value_heads") or settings["num_attention_heads"],
            "n_layers": settings["num_hidden_layers"],
            "hidden_dim": settings["intermediate_size"],
            "rope_base": rope["rope_theta"],
            "norm_eps": settings.get("rms_norm_eps", 1e-6),
            "tie_weights": settings.get("tie_word_embeddings", False),
            "init_std": settings.get("initializer_range", 0.02),
            "embedding_std": settings.get("embedding_std"),
        }
    except KeyError as error:
        raise ValueError(f"{folder}/config.json is damaged: it does not say {error}") from None
    refuse_other_models(settings, rope, folder)
    return fields


def refuse_other_models(settings, rope, folder):
    """Raise ValueError for a setting that asks for something that our Llama does not compute."""
    for name, wanted in (
        FIXED_SETTINGS | {"rope_type": "default", "partial_rotary_factor": 1.0}
    ).items():
        value = rope.get(name, settings.get(name))
        if value not in (None, wanted):
            raise ValueError(
                f"{folder}/config.json says {name} = {value!r}; our Llama computes {wanted!r} only"
            )
    head_dim = settings.get("head_dim")
    if (
        head_dim is not None
        and head_dim * settings["num_attention_heads"] != settings["hidden_size"]
    ):
        raise ValueError(
            f"{folder}/config.json says head_dim = {head_dim!r}; our Llama has hidden_size / num_attention_heads only"
        )


# --- model.safetensors ----------------------------------------------------------------------------


def name_pairs(config):
    """All (our name, Hugging Face's name) of a Llama with `config`."""
    modules = list(OUTER_NAMES.items())
    for layer in range(config.n_layers):
        modules += [
            (f"blocks.{layer}.{ours}", f"model.layers.{layer}.{theirs}")
            for ours, theirs in BLOCK_NAMES.items()
        ]
    if not config.tie_weights:
        modules.append(("head", "lm_head"))
    return [(f"{ours}.weight", f"{theirs}.weight") for ours, theirs in modules]


def hugging_face_weights(model):
    """{Hugging Face's name: tensor on the CPU} of a Llama."""
    state = model.state_dict()
    return {
        theirs: state[ours].detach().cpu().contiguous() for ours, theirs in name_pairs(model.config)
    }


def read_weights(folder, config):
    """{Hugging Face's name: tensor} of a model.safetensors. Raises ValueError if it is damaged."""
    with open_weights(folder) as (path, matrices, checksums):
        tensors = {
            name: read()
            for name, read in matrices.items()
            if not name.endswith("rotary_emb.inv_freq")
        }
    for name, tensor in tensors.items():
        if name in checksums and checksum(tensor) != checksums[name]:
            raise ValueError(f"{path}: the matrix {name} is damaged, its checksum is wrong")
    if config.tie_weights:
        head = tensors.pop("lm_head.weight", None)
        if head is not None and not torch.equal(
            head, tensors.get("model.embed_tokens.weight", head)
        ):
            raise ValueError(
                f"{path}: lm_head.weight differs from embed_tokens, but config.json says that they are tied"
            )
    return tensors


# --- tokenizer.json -------------------------------------------------------------------------------


def read_tokenizer(path, end_of_text=None):
    """The tokenizer in the folder of `path`, or None; `end_of_text`: the id that ends a text, where
    the folder does not say it.
    """
    if not find_tokenizer(path.parent):
        return None
    tokenizer = PartialBPETokenizer.load(path.parent)
    if end_of_text in tokenizer.special_tokens.values():
        tokenizer.end_of_text = end_of_text
    return tokenizer
