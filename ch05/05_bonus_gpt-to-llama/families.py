"""The open models that `decoder.py` computes: what their config.json says.

Each family is a `Family`: which settings it has beyond those that all have, what they mean, and
which choices it never names because it has no other. A setting that is not in its lists, or a value
that our decoder does not compute, is refused by name: other logits are worse than none.
"""

import math
from dataclasses import dataclass, field, replace

from ch04_01_main_chapter_code.foreign_settings import (
    COMMON_FIXED,
    COMMON_HARMLESS,
    COMMON_KINDS,
    COUNT,
    NUMBER,
    POSITIVE,
    YES_OR_NO,
    common_fields,
    common_settings,
    is_whole_number,
    or_null,
    refuse_other_settings,
    shown,
)
from ch05_05_bonus_gpt_to_llama.decoder_config import Latent, Rotation

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

# Beside what changes no output of any model: how others keep their cache and their code, how the
# model was trained, and numbers that stand there twice.
HARMLESS = COMMON_HARMLESS | set(
    """
    cache_implementation auto_map pretraining_tp aux_loss_alpha seq_aux ep_size
    initial_context_length experts_per_token
    """.split()
)

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
    `says`: {setting: (kind, value where it is not said)} beyond what all say; `fixed`: settings
    with one value that is computed; `missing`: what is meant where a common setting is not said;
    `qkv_bias`: None where `attention_bias` decides; `two_ropes`: `rope_parameters` has a table for
    each kind of layer; `experts`: what the matrices of experts are called, "each" with a place for
    the number.
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
METHODS = (
    "greedy or group_limited_greedy",
    lambda value: value in ("greedy", "group_limited_greedy"),
)
DEEPSEEK_SAYS = EXPERTS_SAY | {
    "q_lora_rank": (or_null(COUNT), 1536),
    "kv_lora_rank": (COUNT, 512),
    "qk_nope_head_dim": (COUNT, 128),
    "qk_rope_head_dim": (COUNT, 64),
    "qk_head_dim": (COUNT, None),
    "v_head_dim": (COUNT, 128),
    "n_routed_experts": (COUNT, 256),
    "n_shared_experts": (COUNT, 1),
    "moe_intermediate_size": (COUNT, 2048),
    "routed_scaling_factor": (POSITIVE, 1.0),
    "n_group": (or_null(COUNT), None),
    "topk_group": (or_null(COUNT), None),
}
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
    "llama": Family("LlamaForCausalLM", says={"mlp_bias": (or_null(YES_OR_NO), False)}, fixed=SILU),
    "mistral": Family(
        "MistralForCausalLM", says={"sliding_window": WINDOWS["sliding_window"]}, fixed=SILU
    ),
    "qwen2": Family(
        "Qwen2ForCausalLM", says=SWITCHED, fixed=SILU | {"use_mrope": (False,)}, qkv_bias=True
    ),
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
            "max_window_layers": (NUMBER, 28),
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
    "deepseek_v2": Family(
        "DeepseekV2ForCausalLM",
        {"renormalised": False},
        says=DEEPSEEK_SAYS
        | {"topk_method": (METHODS, "greedy"), "first_k_dense_replace": (NUMBER, 0)},
        fixed=SILU
        | {"norm_topk_prob": (False, None), "mlp_bias": (False, None)}
        | {"scoring_func": ("softmax",), "moe_layer_freq": (1,)},
        experts=expert_names("mlp.gate", *HIDDEN_NAMES),
    ),
    "deepseek_v3": Family(
        "DeepseekV3ForCausalLM",
        {"independent_scores": True},
        says=DEEPSEEK_SAYS
        | {"norm_topk_prob": (YES_OR_NO, True), "rope_interleave": (YES_OR_NO, True)}
        | {"first_k_dense_replace": (NUMBER, 3), "num_nextn_predict_layers": (NUMBER, 1)},
        fixed=SILU
        | {"topk_method": ("noaux_tc",), "scoring_func": ("sigmoid",), "moe_layer_freq": (1,)},
        experts=expert_names("mlp.gate", *HIDDEN_NAMES),
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
    refuse_other_settings(settings, source, what, kinds, FIXED | family.fixed, HARMLESS, SIZES)
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
    if "kv_lora_rank" in family.says:
        fields |= latent_of(said, settings["num_attention_heads"], source)
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
    names = ("num_local_experts", "num_experts", "n_routed_experts")
    count = next(said[name] for name in names if said.get(name))
    every, dense = said.get("decoder_sparse_step", 1), said.get("mlp_only_layers") or ()
    first = said.get("first_k_dense_replace", 0)
    dense = [i for i in range(n_layers) if i in dense or (i + 1) % every or i < first]
    return {
        "n_experts": count,
        "experts_per_token": said["num_experts_per_tok"],
        "expert_dim": said.get("moe_intermediate_size", settings["intermediate_size"]),
        "renormalised": said.get("norm_topk_prob", True),
        "dense_layers": tuple(dense),
        "n_shared": said.get("n_shared_experts", 0),
        "expert_scale": said.get("routed_scaling_factor", 1.0),
    }


def latent_of(said, heads, source):
    """DeepSeek's fields on latent attention and on groups of experts. What its longer rotation
    stretches, it stretches in the scores.
    """
    if said.get("num_key_value_heads") not in (None, heads):
        raise ValueError(
            f"{source}: all heads share one latent, so num_key_value_heads must be {heads}"
        )
    plain, turning = said["qk_nope_head_dim"], said["qk_rope_head_dim"]
    rope = said.get("rope_parameters") or said.get("rope_scaling") or {}
    stretch = mscale(rope.get("factor", 1.0), rope.get("mscale_all_dim") or 0)
    sizes = Latent(said["kv_lora_rank"], plain, turning, said["v_head_dim"], said["q_lora_rank"])
    grouped = said.get("topk_method") != "greedy" and said["n_group"]
    return {
        "latent": replace(sizes, neighbours=said.get("rope_interleave", True)),
        "head_dim": turning,
        "score_scale": (plain + turning) ** -0.5 * stretch**2,
        "groups": said["n_group"] if grouped else None,
        "groups_per_token": said["topk_group"] if grouped else None,
    }


def mscale(factor, strength):
    """How much longer a context of `factor` times the length makes the scores [arXiv:2309.00071]."""
    return 0.1 * strength * math.log(factor) + 1 if factor > 1 else 1.0


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
    if kind == "yarn":
        known |= {"truncate": YES_OR_NO, "mscale": POSITIVE, "mscale_all_dim": POSITIVE}
    optional = ("attention_factor", "mscale", "mscale_all_dim", *YARN_DEFAULTS)
    needed = [name for name in known if name not in optional]
    fixed = {"partial_rotary_factor": (1.0,)}
    what = f"our decoder for rope_type {kind}"
    refuse_other_settings(table, source, what, known, fixed, (), needed)
    if kind == "yarn":
        scales = table.pop("mscale", None), table.pop("mscale_all_dim", None)
        ours, all_dim = scales if all(scales) else (1.0, 0.0)
        stretch = mscale(table["factor"], ours) / mscale(table["factor"], all_dim)
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
    if config.latent:
        settings |= latent_settings(config)
    table = rope_table(config.rotation)
    if config.latent and config.rotation.factor > 1:  # the stretch of the scores, in their words
        sizes = config.latent
        stretch = (config.score_scale * (sizes.plain_dim + sizes.rope_dim) ** 0.5) ** 0.5
        strength = (stretch - 1) / (0.1 * math.log(config.rotation.factor))
        table |= {"mscale_all_dim": strength} if strength > 0 else {}
    if family.two_ropes:
        local = rope_table(config.window_rotation or config.rotation)
        table = {"full_attention": table, "sliding_attention": local}
    return settings | {"rope_parameters": table}


def latent_settings(config):
    """What DeepSeek's config.json says of latent attention and of its experts."""
    sizes, every = config.latent, "topk_method" in FAMILIES[config.family].says
    method = "group_limited_greedy" if config.groups else "greedy"
    return {
        "q_lora_rank": sizes.query_rank,
        "kv_lora_rank": sizes.rank,
        "qk_nope_head_dim": sizes.plain_dim,
        "qk_rope_head_dim": sizes.rope_dim,
        "v_head_dim": sizes.value_dim,
        "n_routed_experts": config.n_experts,
        "n_shared_experts": config.n_shared,
        "routed_scaling_factor": config.expert_scale,
        "n_group": config.groups,
        "topk_group": config.groups_per_token,
        "first_k_dense_replace": len(config.dense_layers),
    } | ({"topk_method": method} if every else {"rope_interleave": sizes.neighbours})


def whole(score_scale):
    """What the scale is one over the root of: a whole number in all models that say it."""
    return None if score_scale is None else round(score_scale**-2)


def rope_table(rotation):
    """A `Rotation` as a table of settings."""
    found = {theirs: getattr(rotation, ROPE_NAMES[theirs]) for theirs in ROPE_KINDS[rotation.kind]}
    return {"rope_type": rotation.kind, "rope_theta": rotation.base} | found
