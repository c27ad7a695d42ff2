"""The open models that `decoder.py` computes: what their config.json says, and what their matrices
are called.

Each family is a `Family`: which settings it has beyond those that all have, what they mean, and
which choices it never names because it has no other. A setting that is not in its lists, or a value
that our decoder does not compute, is refused by name: other logits are worse than none.
"""

import math
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch

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
    NUMBER,
    POSITIVE,
    YES_OR_NO,
    build_config,
    common_fields,
    common_settings,
    is_whole_number,
    load_settings,
    or_null,
    refuse_other_settings,
    shown,
)
from ch04_01_main_chapter_code.weight_files import open_matrices
from ch05_05_bonus_gpt_to_llama.decoder_config import Rotation
from ch05_05_bonus_gpt_to_llama.llama_checkpoint import read_tokenizer

# --- What all families say ------------------------------------------------------------------------

SIZES = {
    "vocab_size": "vocab_size",
    "max_position_embeddings": "context_length",
    "hidden_size": "emb_dim",
    "num_attention_heads": "n_heads",
    "num_hidden_layers": "n_layers",
    "intermediate_size": "hidden_dim",
}
TABLE = or_null(("{name: value}", lambda value: isinstance(value, dict)))
LAYERS = or_null(
    (
        "a list of full_attention and sliding_attention",
        lambda value: (
            isinstance(value, list)
            and all(item in ("full_attention", "sliding_attention") for item in value)
        ),
    )
)
NUMBERS = or_null(
    (
        "a list of whole numbers",
        lambda value: isinstance(value, list) and all(is_whole_number(item) for item in value),
    )
)
FLAGS = (
    "a list of 0 and 1",
    lambda value: isinstance(value, list) and all(item in (0, 1) for item in value),
)
KINDS = COMMON_KINDS | dict.fromkeys(SIZES, COUNT)
KINDS |= {"num_key_value_heads": or_null(COUNT), "head_dim": or_null(COUNT)}
KINDS |= {"rms_norm_eps": POSITIVE, "attention_bias": or_null(YES_OR_NO)}
KINDS |= {"rope_theta": POSITIVE, "rope_scaling": TABLE, "rope_parameters": TABLE}
FIXED = COMMON_FIXED | {"attention_dropout": (0.0, None), "rope_interleaved": (False, None)}

# Of a `Rotation`: {Hugging Face's name: ours}; what each kind of rotation says, in order.
ROPE_NAMES = {
    "factor": "factor",
    "low_freq_factor": "low",
    "high_freq_factor": "high",
    "original_max_position_embeddings": "original",
    "beta_slow": "low",
    "beta_fast": "high",
    "attention_factor": "stretch",
    "truncate": "whole_pairs",
}
ROPE_KINDS = {
    "default": (),
    "linear": ("factor",),
    "llama3": ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"),
    "yarn": (
        "factor",
        "original_max_position_embeddings",
        "beta_slow",
        "beta_fast",
        "attention_factor",
        "truncate",
    ),
}
YARN_DEFAULTS = {"beta_slow": 1.0, "beta_fast": 32.0, "truncate": True}


# --- The families ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Family:
    """One `model_type`. `choices`: fields of `DecoderConfig` that are the same for all its models;
    `says`: {setting: (kind, value where it is not said)} beyond what all say, read by `meaning`
    into fields; `fixed`: settings with one value that is computed; `missing`: what is meant where a
    common setting is not said; `qkv_bias`: None where `attention_bias` decides; `two_ropes`:
    `rope_parameters` has a table for each kind of layer; `experts`: what the matrices of experts
    are called, "each" with a place for the number.
    """

    architecture: str
    choices: dict = field(default_factory=dict)
    says: dict = field(default_factory=dict)
    fixed: dict = field(default_factory=dict)
    missing: dict = field(default_factory=dict)
    theta: float = 10_000.0
    qkv_bias: bool | None = None
    experts: dict | None = None
    two_ropes: bool = False
    tied: bool = False


def expert_names(router, gate, expand, proj, each="mlp.experts.{}"):
    return dict(router=router, gate=gate, expand=expand, proj=proj, each=each)


HIDDEN_NAMES = ("gate_proj", "up_proj", "down_proj")
EXPERTS_SAY = {  # that the router is trained to share out evenly changes no output
    "num_experts_per_tok": (COUNT, 2),
    "router_aux_loss_coef": (NUMBER, 0.0),
    "output_router_logits": (YES_OR_NO, False),
}
WINDOWS = {"sliding_window": (or_null(COUNT), None), "layer_types": (LAYERS, None)}
SWITCHED = WINDOWS | {"use_sliding_window": (YES_OR_NO, False), "max_window_layers": (NUMBER, 28)}
SILU, GELU = {"hidden_act": ("silu", "swish")}, {"hidden_activation": ("gelu_pytorch_tanh",)}
GEMMA_CHOICES = {"norms": "around", "norm_plus_one": True, "activation": "gelu"}
GEMMA_SAYS = WINDOWS | {
    "query_pre_attn_scalar": (POSITIVE, 256),
    "final_logit_softcapping": (or_null(POSITIVE), None),
    "attn_logit_softcapping": (or_null(POSITIVE), None),
}
GEMMA_FIXED = GELU | {"hidden_act": GELU["hidden_activation"]}
GEMMA_FIXED |= {"use_bidirectional_attention": (False, None)}
OLMO_CHOICES = {"norms": "after", "head_norm": "all"}

FAMILIES = {
    "llama": Family(
        "LlamaForCausalLM",
        says={"mlp_bias": (or_null(YES_OR_NO), False)},
        fixed=SILU | {"pretraining_tp": (1, None)},
    ),
    "mistral": Family(
        "MistralForCausalLM", says={"sliding_window": WINDOWS["sliding_window"]}, fixed=SILU
    ),
    "qwen2": Family("Qwen2ForCausalLM", says=SWITCHED, fixed=SILU, qkv_bias=True),
    "qwen3": Family(
        "Qwen3ForCausalLM",
        {"head_norm": "each"},
        says=SWITCHED,
        fixed=SILU,
        missing={"head_dim": 128},
    ),
    "gemma2": Family(
        "Gemma2ForCausalLM",
        GEMMA_CHOICES,
        says=GEMMA_SAYS
        | {
            "final_logit_softcapping": (or_null(POSITIVE), 30.0),
            "attn_logit_softcapping": (or_null(POSITIVE), 50.0),
            "sliding_window": (or_null(COUNT), 4096),
        },
        fixed=GEMMA_FIXED,
        missing={"head_dim": 256},
        tied=True,
    ),
    "gemma3_text": Family(
        "Gemma3ForCausalLM",
        GEMMA_CHOICES | {"head_norm": "each"},
        says=GEMMA_SAYS
        | {
            "sliding_window": (or_null(COUNT), 4096),
            "sliding_window_pattern": (COUNT, 6),
            "_sliding_window_pattern": (COUNT, 6),
            "rope_local_base_freq": (POSITIVE, 10_000.0),
        },
        fixed=GEMMA_FIXED,
        missing={"head_dim": 256},
        theta=1_000_000.0,
        two_ropes=True,
        tied=True,
    ),
    "olmo2": Family("Olmo2ForCausalLM", OLMO_CHOICES, fixed=SILU, missing={"rms_norm_eps": 1e-5}),
    "olmo3": Family(
        "Olmo3ForCausalLM",
        OLMO_CHOICES,
        says=WINDOWS | {"sliding_window": (or_null(COUNT), 4096)},
        fixed=SILU,
        missing={"rms_norm_eps": 1e-5},
        theta=500_000.0,
        two_ropes=True,
    ),
    "mixtral": Family(
        "MixtralForCausalLM",
        says=EXPERTS_SAY
        | {"num_local_experts": (COUNT, 8), "sliding_window": WINDOWS["sliding_window"]},
        fixed=SILU | {"router_jitter_noise": (0.0, None)},
        missing={"rms_norm_eps": 1e-5},
        theta=1_000_000.0,
        experts=expert_names(
            "block_sparse_moe.gate", "w1", "w3", "w2", "block_sparse_moe.experts.{}"
        ),
    ),
    "qwen3_moe": Family(
        "Qwen3MoeForCausalLM",
        {"head_norm": "each"},
        says=EXPERTS_SAY
        | WINDOWS
        | {
            "use_sliding_window": (YES_OR_NO, False),
            "num_experts": (COUNT, 128),
            "num_local_experts": (or_null(COUNT), None),
            "moe_intermediate_size": (COUNT, 768),
            "norm_topk_prob": (YES_OR_NO, False),
            "decoder_sparse_step": (COUNT, 1),
            "mlp_only_layers": (NUMBERS, None),
        },
        fixed=SILU,
        experts=expert_names("mlp.gate", *HIDDEN_NAMES),
    ),
    "gpt_oss": Family(
        "GptOssForCausalLM",
        {"sinks": True, "activation": "clipped", "router_bias": True, "mlp_bias": True},
        says=EXPERTS_SAY
        | WINDOWS
        | {"num_local_experts": (COUNT, 128), "sliding_window": (or_null(COUNT), 128)},
        fixed=SILU | {"swiglu_alpha": (1.702,), "swiglu_limit": (7.0,)},
        missing={"rms_norm_eps": 1e-5, "head_dim": 64},
        theta=150_000.0,
        qkv_bias=True,
        experts=expert_names("mlp.router", *HIDDEN_NAMES),
    ),
    "smollm3": Family(
        "SmolLM3ForCausalLM",
        says=SWITCHED
        | {
            "no_rope_layers": (or_null(FLAGS), None),
            "no_rope_layer_interval": (COUNT, 4),
            "mlp_bias": (YES_OR_NO, False),
        },
        fixed=SILU,
        theta=2_000_000.0,
        tied=True,
    ),
}


def family_of(settings, source):
    """The `Family` of a config.json. Raises ValueError for one that is not among them."""
    kind = settings.get("model_type")
    if not isinstance(kind, str) or kind not in FAMILIES:
        raise ValueError(
            f"{source} is that of a model of type {shown(kind)}; known are {', '.join(FAMILIES)}"
        )
    return FAMILIES[kind]


def has_later_settings(settings):
    """Whether a Llama's settings ask for what came after the first ones: scaled rotation, biases,
    heads of a size of their own. `llama.py` computes the others."""
    rope = settings.get("rope_parameters") or settings.get("rope_scaling") or {}
    kind = rope.get("rope_type", rope.get("type", "default")) if isinstance(rope, dict) else None
    width, heads = settings.get("hidden_size"), settings.get("num_attention_heads")
    sizes = is_whole_number(width) and is_whole_number(heads) and heads > 0
    own_size = sizes and settings.get("head_dim") not in (None, width // heads)
    biases = settings.get("attention_bias") or settings.get("mlp_bias")
    return kind != "default" or bool(own_size or biases)


# --- config.json, read ----------------------------------------------------------------------------


def config_from_settings(settings, source):
    """The fields of a `DecoderConfig` from the settings in the file `source`.

    Raises ValueError for a model that computes something else than our decoder, and for values that
    are none.
    """
    family = family_of(settings, source)
    kinds = KINDS | {name: kind for name, (kind, _) in family.says.items()}
    what = f"our decoder for {settings['model_type']}"
    refuse_other_settings(
        settings, source, what, kinds, FIXED | family.fixed, COMMON_HARMLESS, SIZES
    )
    said = {name: value for name, (_, value) in family.says.items()} | settings
    said = {"head_dim": None, "rms_norm_eps": 1e-6} | family.missing | said
    fields = {"family": settings["model_type"]} | family.choices
    fields |= common_fields(settings, SIZES, family.tied)
    heads = settings.get("num_key_value_heads") or settings["num_attention_heads"]
    bias = bool(settings.get("attention_bias"))
    fields |= {"n_kv_heads": heads, "head_dim": said["head_dim"], "norm_eps": said["rms_norm_eps"]}
    fields |= {"qkv_bias": bias if family.qkv_bias is None else family.qkv_bias, "proj_bias": bias}
    if "mlp_bias" in family.says:
        fields["mlp_bias"] = bool(said["mlp_bias"])
    if family.experts:
        fields |= experts_of(said, fields["n_layers"], settings)
    if fields["family"].startswith("gemma"):
        fields |= {
            "embedding_scale": fields["emb_dim"] ** 0.5,
            "score_scale": said["query_pre_attn_scalar"] ** -0.5,
            "score_cap": said["attn_logit_softcapping"],
            "logit_cap": said["final_logit_softcapping"],
        }
    return fields | kinds_of_layers(said, fields) | rotations(said, family, source)


def experts_of(said, n_layers, settings):
    """The fields on experts. Qwen's have a width of their own, and layers without them."""
    count = said.get("num_local_experts") or said["num_experts"]
    every, dense = said.get("decoder_sparse_step", 1), said.get("mlp_only_layers") or ()
    dense = [i for i in range(n_layers) if i in dense or (i + 1) % every]
    return {
        "n_experts": count,
        "experts_per_token": said["num_experts_per_tok"],
        "expert_dim": said.get("moe_intermediate_size", settings["intermediate_size"]),
        "renormalised": said.get("norm_topk_prob", True),
        "dense_layers": tuple(dense),
    }


def kinds_of_layers(said, fields):
    """The fields on layers that look back a window only, or are told no positions."""
    count, name, window = fields["n_layers"], fields["family"], said.get("sliding_window")
    unrotated = ()
    if name == "smollm3":
        every, flags = said["no_rope_layer_interval"], said["no_rope_layers"]
        if flags is None:
            flags = [int((layer + 1) % every != 0) for layer in range(count)]
        unrotated = tuple(layer for layer, flag in enumerate(flags) if not flag)
    if "use_sliding_window" in said and not said["use_sliding_window"]:
        window = None
    layers = said.get("layer_types")
    if layers is None:
        layers = usual_layers(name, count, said, window, unrotated)
    layers = tuple(layer.removesuffix("_attention") for layer in layers)
    return {"layers": layers, "window": window, "unrotated": unrotated}


def usual_layers(name, count, said, window, unrotated):
    """Which layers slide where `layer_types` is not said."""
    if window is None:
        slides = [False] * count
    elif name in ("mistral", "mixtral", "qwen3_moe"):
        slides = [True] * count
    elif name == "smollm3":
        slides = [layer in unrotated for layer in range(count)]
    elif name in ("qwen2", "qwen3"):
        slides = [layer >= said["max_window_layers"] for layer in range(count)]
    else:
        every = {"gemma2": 2, "gpt_oss": 2, "olmo3": 4}.get(name)
        every = every or said.get("_sliding_window_pattern") or said["sliding_window_pattern"]
        slides = [(layer + 1) % every != 0 for layer in range(count)]
    return ["sliding" if slide else "full" for slide in slides]


def rotations(said, family, source):
    """The fields on how queries and keys turn, from the old words (`rope_theta`, `rope_scaling`) or
    the new ones (`rope_parameters`)."""
    new, theta = said.get("rope_parameters") or {}, said.get("rope_theta", family.theta)
    old = {"rope_theta": theta} | (said.get("rope_scaling") or {})
    if not family.two_ropes:
        return {"rotation": rotation(old | new, source)}
    local = {"rope_theta": said.get("rope_local_base_freq", theta)}
    unknown = set(new) - {"full_attention", "sliding_attention"}
    if unknown:
        raise ValueError(
            f"{source} says rope_parameters: {shown(min(unknown))}, a kind of layer "
            "that our decoder does not know"
        )
    return {
        "rotation": rotation(old | (new.get("full_attention") or {}), source),
        "window_rotation": rotation(local | (new.get("sliding_attention") or {}), source),
    }


def rotation(table, source):
    """The `Rotation` of one table of settings."""
    table = {name: value for name, value in table.items() if value is not None}
    kind = table.pop("rope_type", table.pop("type", "default"))
    table.pop("type", None)
    if kind not in ROPE_KINDS:
        raise ValueError(
            f"{source} says rope_type = {shown(kind)}; our decoder computes {', '.join(ROPE_KINDS)} only"
        )
    known = dict.fromkeys(ROPE_KINDS[kind], POSITIVE) | {"rope_theta": POSITIVE}
    known |= {"truncate": YES_OR_NO} if "truncate" in known else {}
    needed = [name for name in known if name not in ("attention_factor", *YARN_DEFAULTS)]
    fixed = {"partial_rotary_factor": (1.0,)}
    what = f"our decoder for rope_type {kind}"
    refuse_other_settings(table, source, what, known, fixed, (), needed)
    if kind == "yarn":
        stretch = 0.1 * math.log(table["factor"]) + 1 if table["factor"] > 1 else 1.0
        table = YARN_DEFAULTS | {"attention_factor": stretch} | table
    found = {ROPE_NAMES[name]: table[name] for name in ROPE_KINDS[kind]}
    return Rotation(kind=kind, base=float(table["rope_theta"]), **found)


# --- config.json, written -------------------------------------------------------------------------


def settings_from_config(config, tokenizer):
    """A `DecoderConfig` as the content of the config.json of its family."""
    family = FAMILIES[config.family]
    settings = {"architectures": [family.architecture], "model_type": config.family}
    settings |= common_settings(config, SIZES, tokenizer)
    settings |= {"num_key_value_heads": config.n_kv_heads, "head_dim": config.head_dim}
    settings |= {"rms_norm_eps": config.norm_eps, "attention_bias": config.proj_bias}
    settings |= {"pad_token_id": None}  # where it is not said, some classes have one of their own
    settings |= {name: values[0] for name, values in family.fixed.items()}
    flags = [int(layer not in config.unrotated) for layer in range(config.n_layers)]
    every = {
        "mlp_bias": config.mlp_bias,
        "sliding_window": config.window,
        "use_sliding_window": config.window is not None,
        "layer_types": [f"{layer}_attention" for layer in config.layers],
        "no_rope_layers": flags,
        "query_pre_attn_scalar": whole(config.score_scale),
        "attn_logit_softcapping": config.score_cap,
        "final_logit_softcapping": config.logit_cap,
        "num_local_experts": config.n_experts,
        "num_experts": config.n_experts,
        "num_experts_per_tok": config.experts_per_token,
        "moe_intermediate_size": config.expert_dim,
        "norm_topk_prob": config.renormalised,
        "mlp_only_layers": list(config.dense_layers),
    }
    settings |= {name: value for name, value in every.items() if name in family.says}
    table = rope_table(config.rotation)
    if family.two_ropes:
        local = rope_table(config.window_rotation or config.rotation)
        table = {"full_attention": table, "sliding_attention": local}
    return settings | {"rope_parameters": table}


def whole(score_scale):
    """What the scale is one over the root of: a whole number in all models that say it."""
    return None if score_scale is None else round(score_scale**-2)


def rope_table(rotation):
    """A `Rotation` as a table of settings."""
    found = {theirs: getattr(rotation, ROPE_NAMES[theirs]) for theirs in ROPE_KINDS[rotation.kind]}
    return {"rope_type": rotation.kind, "rope_theta": rotation.base} | found


# --- The matrices ---------------------------------------------------------------------------------

OUTER_NAMES = {"tok_emb": "model.embed_tokens", "final_norm": "model.norm", "head": "lm_head"}
BLOCK_NAMES = {
    "attention.query": "self_attn.q_proj",
    "attention.key": "self_attn.k_proj",
    "attention.value": "self_attn.v_proj",
    "attention.proj": "self_attn.o_proj",
    "attention.query_norm": "self_attn.q_norm",
    "attention.key_norm": "self_attn.k_norm",
    "feed_forward.gate": "mlp.gate_proj",
    "feed_forward.expand": "mlp.up_proj",
    "feed_forward.proj": "mlp.down_proj",
}
NORM_NAMES = {
    "before": {"norm1": "input_layernorm", "norm2": "post_attention_layernorm"},
    "after": {
        "norm1_after": "post_attention_layernorm",
        "norm2_after": "post_feedforward_layernorm",
    },
    "around": {
        "norm1": "input_layernorm",
        "norm1_after": "post_attention_layernorm",
        "norm2": "pre_feedforward_layernorm",
        "norm2_after": "post_feedforward_layernorm",
    },
}


def their_name(config, ours):
    """Hugging Face's name of a weight: 'blocks.3.attention.key.weight' is
    'model.layers.3.self_attn.k_proj.weight'."""
    module, _, kind = ours.rpartition(".")
    if not module.startswith("blocks."):
        return f"{OUTER_NAMES[module]}.{kind}"
    if module.endswith(".attention"):  # of a weight that is no layer of its own
        return ours.replace("blocks", "model.layers").replace("attention", "self_attn")
    _, layer, inside = module.split(".", 2)
    names, experts = BLOCK_NAMES | NORM_NAMES[config.norms], FAMILIES[config.family].experts
    if inside == "feed_forward.router":
        names[inside] = experts["router"]
    elif inside.startswith("feed_forward.experts."):
        _, _, number, part = inside.split(".")
        names[inside] = f"{experts['each'].format(number)}.{experts[part]}"
    return f"model.layers.{layer}.{names[inside]}.{kind}"


class PretrainedDecoder(Pretrained):
    """What a decoder knows of files."""

    @classmethod
    def from_pretrained(cls, folder):
        """Read a Hugging Face folder of one of `FAMILIES`, whole or in shards.

        Returns the model in evaluation mode, in fp32, on the CPU, with its `tokenizer`. Raises
        FileNotFoundError where there is no checkpoint, ValueError where it is damaged or of another
        kind.
        """
        folder = find_checkpoint(Path(folder).expanduser())
        check_checkpoint(folder)
        source = folder / "config.json"
        settings = load_settings(source)
        config = build_config(cls.config_class, config_from_settings(settings, source), source)
        model = cls.with_weights(config, folder)
        model.tokenizer = read_tokenizer(folder / "tokenizer.json", settings.get("eos_token_id"))
        return model

    @classmethod
    def with_weights(cls, config, folder):
        """A model with the weights in `folder`, in evaluation mode, in fp32."""
        with open_matrices(folder, "model.") as (path, matrices):
            matrices = {
                name if name.startswith("lm_head.") else f"model.{name}": matrix
                for name, matrix in matrices.items()
                if not name.endswith("rotary_emb.inv_freq")
            }
            if config.family == "gpt_oss":
                matrices = single_experts(matrices, config.n_experts)
            sizes = {"model.embed_tokens.weight": (config.vocab_size, config.emb_dim)}
            last = f"model.layers.{config.n_layers - 1}.self_attn.q_proj.weight"
            sizes[last] = (config.n_heads * config.head_dim, config.emb_dim)
            compare_sizes(path, matrices, sizes, ())
            with torch.device("meta"):  # no memory and no random numbers for what is replaced
                model = cls(config)
            state = read_state(model, path, matrices)
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
        tensors = {
            their_name(self.config, name): weight.detach().cpu().contiguous()
            for name, weight in self.state_dict().items()
            if not (name == "head.weight" and self.config.tie_weights)
        }
        if self.config.family == "gpt_oss":
            tensors = fused_experts(tensors, self.config)
        write_checkpoint(folder, settings, tensors, tokenizer, metadata, beside, remove)


# gpt-oss's files hold the experts of a layer in one block, turned, the rows of gate and up in turn.


class Part:
    """A stored matrix of which `pick` is wanted."""

    def __init__(self, matrix, pick):
        self.matrix, self.pick = matrix, pick

    def read(self):
        return self.pick(self.matrix.read())


def single_experts(matrices, count):
    """{name: matrix} with the blocks of experts taken apart."""
    found = {}
    for name, matrix in matrices.items():
        layer, experts, block = name.partition(".mlp.experts.")
        if not experts:
            found[name] = matrix
            continue
        what, kind = block.removesuffix("_bias"), "bias" if block.endswith("_bias") else "weight"
        parts = {"down_proj": [("down_proj", slice(None))]}
        parts["gate_up_proj"] = [("gate_proj", slice(0, None, 2)), ("up_proj", slice(1, None, 2))]
        for number in range(count):
            for part, rows in parts.get(what, [(block, slice(None))]):
                pick = partial(pick_expert, number=number, rows=rows)
                found[f"{layer}.mlp.experts.{number}.{part}.{kind}"] = Part(matrix, pick)
    return found


def pick_expert(block, number, rows):
    return block[number].T[rows] if block.dim() == 3 else block[number][rows]


def fused_experts(tensors, config):
    """The inverse of `single_experts`, for saving."""
    fused = {name: tensor for name, tensor in tensors.items() if ".mlp.experts." not in name}
    for layer in range(config.n_layers):
        start = f"model.layers.{layer}.mlp.experts."
        for kind in ("weight", "bias"):
            gate, up, down = (
                torch.stack([tensors[f"{start}{i}.{part}.{kind}"] for i in range(config.n_experts)])
                for part in HIDDEN_NAMES
            )
            both = torch.stack([gate, up], dim=2).flatten(1, 2)  # row by row in turn
            for name, block in (("gate_up_proj", both), ("down_proj", down)):
                ending = "" if kind == "weight" else "_bias"
                fused[f"{start}{name}{ending}"] = block.mT.contiguous() if not ending else block
    return fused


def read_state(model, path, matrices):
    """{our name: tensor} of all weights of the model. Raises ValueError for one that is missing,
    unknown, of another shape, or not finite.
    """
    expected = {name: tuple(weight.shape) for name, weight in model.state_dict().items()}
    state, unread = {}, dict(matrices)
    for ours in expected:
        theirs = their_name(model.config, ours)
        if ours == "head.weight" and model.config.tie_weights:
            continue
        if theirs not in unread:
            raise ValueError(f"{path}: the matrix {theirs} is missing")
        tensor = unread.pop(theirs).read()
        state |= checked_weight(path, ours, theirs, tensor, False, expected)
    head = unread.pop("lm_head.weight", None)
    if unread:
        raise ValueError(
            f"{path}: unknown matrix {min(unread)}; is config.json that of another model?"
        )
    if model.config.tie_weights:
        if head is not None and not torch.equal(head.read().float(), state["tok_emb.weight"]):
            raise ValueError(
                f"{path}: lm_head.weight differs from embed_tokens, but config.json says that they are tied"
            )
        state["head.weight"] = state["tok_emb.weight"]
    return state
