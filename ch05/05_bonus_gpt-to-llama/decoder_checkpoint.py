"""A decoder on disk: a Hugging Face folder of one of `FAMILIES`, read and written with chapter 4's
checkpoint code.
"""

import re
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
from ch04_01_main_chapter_code.foreign_settings import build_config, load_settings
from ch04_01_main_chapter_code.weight_files import open_matrices
from ch05_05_bonus_gpt_to_llama.families import (
    FAMILIES,
    HIDDEN_NAMES,
    config_from_settings,
    settings_from_config,
)
from ch05_05_bonus_gpt_to_llama.llama_checkpoint import read_tokenizer

# What the matrices are called: {ours: theirs}.
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
LATENT_NAMES = {
    "attention.query_down": "self_attn.q_a_proj",
    "attention.query_norm": "self_attn.q_a_layernorm",
    "attention.query_up": "self_attn.q_b_proj",
    "attention.down": "self_attn.kv_a_proj_with_mqa",
    "attention.norm": "self_attn.kv_a_layernorm",
    "attention.up": "self_attn.kv_b_proj",
    "feed_forward.shared.gate": "mlp.shared_experts.gate_proj",
    "feed_forward.shared.expand": "mlp.shared_experts.up_proj",
    "feed_forward.shared.proj": "mlp.shared_experts.down_proj",
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
    if ours.endswith(".feed_forward.balance"):
        layer = ours.split(".")[1]
        return f"model.layers.{layer}.mlp.gate.e_score_correction_bias"
    if module.endswith(".attention"):  # of a weight that is no layer of its own
        return ours.replace("blocks", "model.layers").replace("attention", "self_attn")
    _, layer, inside = module.split(".", 2)
    names, experts = BLOCK_NAMES | NORM_NAMES[config.norms], FAMILIES[config.family].experts
    names |= LATENT_NAMES if config.latent else {}
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
            matrices = wanted(matrices, config)
            sizes = {"model.embed_tokens.weight": (config.vocab_size, config.emb_dim)}
            last = f"model.layers.{config.n_layers - 1}.self_attn.o_proj.weight"
            value_dim = config.latent.value_dim if config.latent else config.head_dim
            sizes[last] = (config.emb_dim, config.n_heads * value_dim)
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


def wanted(matrices, config):
    """{name with its prefix: matrix} of those that belong to the model, experts one by one."""
    found = {
        name if name.startswith("lm_head.") else f"model.{name}": matrix
        for name, matrix in matrices.items()
        if not name.endswith("rotary_emb.inv_freq")
    }
    if config.family == "gpt_oss":
        return single_experts(found, config.n_experts)
    if config.family == "deepseek_v3":  # its layers behind the last guess further tokens
        beyond = re.compile(r"model\.layers\.(\d+)\.")
        layers = {name: int(match[1]) for name in found if (match := beyond.match(name))}
        found = {name: m for name, m in found.items() if layers.get(name, 0) < config.n_layers}
    return found


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
