"""A Llama on disk: a Hugging Face Llama directory, read and written with chapter 4's checkpoint
code.

    config.json          the numbers of the architecture
    model.safetensors    the weights, under Hugging Face's names
    tokenizer.json       the tokenizer
    manifest.json        size and hash of each of ours
"""

from pathlib import Path

import torch

from ch02_01_main_chapter_code.tokenizer_files import find_tokenizer
from ch04_01_main_chapter_code.checkpoint import (
    Pretrained,
    check_checkpoint,
    checked_weight,
    compare_sizes,
    find_checkpoint,
    write_checkpoint,
)
from ch04_01_main_chapter_code.foreign_settings import (
    COMMON_FIXED,
    COMMON_HARMLESS,
    COMMON_KINDS,
    COUNT,
    POSITIVE,
    build_config,
    common_fields,
    common_settings,
    is_whole_number,
    load_settings,
    or_null,
    refuse_other_settings,
    refuse_other_type,
)
from ch04_01_main_chapter_code.weight_files import open_matrices
from ch05_05_bonus_gpt_to_llama.llama_names import BLOCK_NAMES, OUTER_NAMES
from ch05_05_bonus_gpt_to_llama.partial_bpe import PartialBPETokenizer
from ch05_05_bonus_gpt_to_llama.smollm2_file import read_smollm2

# Hugging Face's names of our sizes, and what a Llama config.json may say, as in chapter 4's lists for
# GPT-2: settings that we read, settings of which our Llama computes one value (or what the values
# after it say in other words), and settings that change no output.
SIZES = {
    "vocab_size": "vocab_size",
    "max_position_embeddings": "context_length",
    "hidden_size": "emb_dim",
    "num_attention_heads": "n_heads",
    "num_hidden_layers": "n_layers",
    "intermediate_size": "hidden_dim",
}
KINDS = COMMON_KINDS | dict.fromkeys(SIZES, COUNT) | {"num_key_value_heads": or_null(COUNT)}
KINDS |= dict.fromkeys(("rope_theta", "rms_norm_eps"), POSITIVE)
KINDS |= {"rope_parameters": or_null(("{name: value}", lambda value: isinstance(value, dict)))}
FIXED_SETTINGS = {
    "hidden_act": ("silu", "swish"),
    "attention_bias": (False, None),
    "mlp_bias": (False, None),
    "rope_interleaved": (False, None),
    "rope_scaling": (None, {"rope_type": "default"}, {"type": "default"}),
    "quantization_config": (None,),
}
FIXED_ROPE = {
    "rope_type": ("default", None),
    "type": ("default", None),
    "partial_rotary_factor": (1.0, None),
}
FIXED = COMMON_FIXED | FIXED_SETTINGS | FIXED_ROPE | {"attention_dropout": (0.0, None)}
HARMLESS = COMMON_HARMLESS | {"pretraining_tp", "is_llama_config"}


class PretrainedLlama(Pretrained):
    """What a Llama knows of files."""

    @classmethod
    def from_pretrained(cls, name_or_folder):
        """Read a Hugging Face Llama folder, or `smollm2-135m`, which is fetched if need be.

        Returns the model in evaluation mode, in fp32, on the CPU, with its `tokenizer`. Raises
        FileNotFoundError where there is no checkpoint, ValueError where it is damaged or of another
        kind.
        """
        folder = Path(name_or_folder).expanduser()
        if str(name_or_folder) == "smollm2-135m" and not folder.exists():
            return read_smollm2(cls)
        check_checkpoint(find_checkpoint(folder))
        source = folder / "config.json"
        settings = load_settings(source)
        config = build_config(cls.config_class, config_from_settings(settings, source), source)
        model = cls.with_weights(config, *read_weights(folder, config))
        model.tokenizer = read_tokenizer(folder / "tokenizer.json", settings.get("eos_token_id"))
        return model

    @classmethod
    def with_weights(cls, config, tensors, source):
        """A model from {Hugging Face's name: tensor}, in evaluation mode, in fp32. `source` is
        named in errors.
        """
        with torch.device("meta"):  # no memory and no random numbers for what is replaced
            model = cls(config)
        expected = {name: tuple(parameter.shape) for name, parameter in model.state_dict().items()}
        state = {}
        for ours, theirs in name_pairs(config):
            if theirs not in tensors:
                raise ValueError(f"{source}: the matrix {theirs} is missing")
            state |= checked_weight(source, ours, theirs, tensors[theirs], False, expected)
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

    def save_pretrained(self, folder, tokenizer=None, metadata=None, beside=None, remove=()):
        """Write the checkpoint folder, with `tokenizer` or the model's own; the rest as in chapter
        4's GPT.
        """
        tokenizer = tokenizer or self.tokenizer
        settings = settings_from_config(self.config, tokenizer)
        tensors = hugging_face_weights(self)
        write_checkpoint(folder, settings, tensors, tokenizer, metadata, beside, remove)


# --- config.json ----------------------------------------------------------------------------------


def settings_from_config(config, tokenizer):
    """A `LlamaConfig` as the content of a Hugging Face config.json."""
    settings = {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}
    settings |= common_settings(config, SIZES, tokenizer)
    settings |= {"num_key_value_heads": config.n_kv_heads}
    settings |= {"rope_theta": config.rope_base, "rms_norm_eps": config.norm_eps}
    return settings | {name: values[0] for name, values in FIXED_SETTINGS.items()}


def config_from_settings(settings, source):
    """The fields of a `LlamaConfig` from the settings in the file `source`.

    Raises ValueError for a model that computes something else than our Llama, and for values that
    are none.
    """
    refuse_other_type(settings, "llama", source)
    fixed = FIXED | {"head_dim": (head_dim(settings), None)}
    refuse_other_settings(settings, source, "our Llama", KINDS, fixed, HARMLESS, SIZES)
    rope = settings.get("rope_parameters") or {}
    refuse_other_settings(rope, source, "our Llama", {"rope_theta": POSITIVE}, FIXED_ROPE, ())
    return common_fields(settings, SIZES, tied=False) | {
        "n_kv_heads": settings.get("num_key_value_heads") or settings["num_attention_heads"],
        "rope_base": rope.get("rope_theta", settings.get("rope_theta", 10_000.0)),
        "norm_eps": settings.get("rms_norm_eps", 1e-6),
    }


def head_dim(settings):
    """hidden_size / num_attention_heads, the only size of a head that our Llama has."""
    width, heads = settings.get("hidden_size"), settings.get("num_attention_heads")
    if is_whole_number(width) and is_whole_number(heads) and heads > 0:
        return width // heads
    return None


# --- model.safetensors ----------------------------------------------------------------------------


def name_pairs(config):
    """All (our name, Hugging Face's name) of a Llama with `config`."""
    modules = [(ours, theirs) for ours, theirs, _ in OUTER_NAMES]
    for layer in range(config.n_layers):
        modules += [
            (f"blocks.{layer}.{ours}", f"model.layers.{layer}.{theirs}")
            for ours, theirs, _ in BLOCK_NAMES
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
    """{Hugging Face's name: tensor} of a folder, and the path to name in errors.

    Raises ValueError if the file is damaged, or of other sizes than `config`, before a model of
    that size is built.
    """
    with open_matrices(folder, "model.") as (path, matrices):
        matrices = {
            name if name.startswith("lm_head.") else f"model.{name}": matrix
            for name, matrix in matrices.items()
            if not name.endswith("rotary_emb.inv_freq")
        }
        sizes = {
            "model.embed_tokens.weight": (config.vocab_size, config.emb_dim),
            "model.layers.0.mlp.gate_proj.weight": (config.hidden_dim, config.emb_dim),
        }
        layers = (f"model.layers.{i}.input_layernorm.weight" for i in range(config.n_layers))
        compare_sizes(path, matrices, sizes, layers)
        tensors = {name: matrix.read() for name, matrix in matrices.items()}
    if config.tie_weights:
        head = tensors.pop("lm_head.weight", None)
        if head is not None and not torch.equal(head, tensors["model.embed_tokens.weight"]):
            raise ValueError(
                f"{path}: lm_head.weight differs from embed_tokens, but config.json says that they are tied"
            )
    return tensors, path


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
