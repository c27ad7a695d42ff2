"""One small decoder whose config names what is to be compared. With the settings that it has by
default it is chapter 4's GPT, weight for weight; each switch changes one thing.

`LabConfig(**asdict(config), positions="rotary")` is any `GPTConfig` with that change.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from ch03_01_main_chapter_code.attention import allowed_pairs
from ch04_01_main_chapter_code.gpt import GELU, GPTConfig, LayerNorm
from ch05_05_bonus_gpt_to_llama.llama import RMSNorm, SwiGLU, init_weights, rotary_angles, rotate

WORDS = {
    "positions": ("learned", "none", "sinusoidal", "rotary", "alibi"),
    "norm": ("layer", "rms", "none"),
    "norm_place": ("before", "after"),
    "activation": ("gelu", "relu", "relu2", "swiglu"),
}


@dataclass(frozen=True)
class LabConfig(GPTConfig):
    """A `GPTConfig` with switches. `biases`: of all linear layers in the blocks. Raises ValueError
    for what makes no model.
    """

    positions: str = "learned"
    norm: str = "layer"
    norm_place: str = "before"
    activation: str = "gelu"
    biases: bool = True

    def __post_init__(self):
        super().__post_init__()
        for name, words in WORDS.items():
            if getattr(self, name) not in words:
                raise ValueError(
                    f"{name} must be one of {', '.join(words)}, not {getattr(self, name)!r}"
                )
        if self.positions == "rotary" and self.emb_dim % (2 * self.n_heads):
            raise ValueError(
                f"rotary positions turn pairs: emb_dim ({self.emb_dim}) must be divisible by "
                f"2 · n_heads ({2 * self.n_heads})"
            )


# --- Positions ------------------------------------------------------------------------------------


def sinusoids(n_positions, emb_dim):
    """A position as waves of different lengths, (n_positions, emb_dim): sines in the even places,
    cosines in the odd ones [Vaswani et al. 2017, arXiv:1706.03762, section 3.5].
    """
    cos, sin = rotary_angles(torch.arange(n_positions), emb_dim, 10_000.0)
    return torch.stack([sin, cos], dim=-1).flatten(1)[:, :emb_dim]


def alibi(n_heads, tokens, total, device=None):
    """What each head adds to its scores: minus its slope times the distance; the future gets −∞.
    (n_heads, tokens, total) for the last `tokens` of `total` [Press et al. 2022, arXiv:2108.12409].

    The slopes are 2^(−8/n), 2^(−16/n), …, 2^(−8): the first head hardly looks back, the last one far.
    """
    slopes = 2 ** (-8 * torch.arange(1, n_heads + 1, device=device) / n_heads)
    places = torch.arange(total, device=device)
    distance = places[total - tokens :, None] - places  # (tokens, total), negative for the future
    bias = -slopes[:, None, None] * distance
    return bias.masked_fill(distance < 0, -torch.inf)


# --- The parts of a block -------------------------------------------------------------------------


class LabAttention(nn.Module):
    """Causal attention of all heads at once; here rotary positions and ALiBi come in. (batch,
    tokens, emb_dim) to the same shape.
    """

    def __init__(self, config, layer=0):
        super().__init__()
        self.config, self.layer = config, layer
        self.qkv = nn.Linear(
            config.emb_dim, 3 * config.emb_dim, bias=config.qkv_bias and config.biases
        )
        self.proj = nn.Linear(config.emb_dim, config.emb_dim, bias=config.biases)

    def forward(self, x, cache=None):
        config, (batch, tokens, emb_dim) = self.config, x.shape
        head_dim = emb_dim // config.n_heads
        qkv = self.qkv(x).view(batch, tokens, 3, config.n_heads, head_dim)
        queries, keys, values = qkv.permute(2, 0, 3, 1, 4)  # (batch, heads, tokens, head_dim) each
        if config.positions == "rotary":
            past = 0 if cache is None else cache.lengths.get(self.layer, 0)
            places = torch.arange(past, past + tokens, device=x.device)
            angles = rotary_angles(places, head_dim, 10_000.0)
            queries, keys = rotate(queries, angles), rotate(keys, angles)
        if cache is not None:
            keys, values = cache.update(keys, values, self.layer)
        if config.positions == "alibi":
            mask = alibi(config.n_heads, tokens, keys.shape[2], x.device)
        else:
            mask = allowed_pairs(tokens, keys.shape[2], None, x.device)
        drop_rate = config.drop_rate if self.training else 0.0
        causal = mask is None and tokens > 1
        out = F.scaled_dot_product_attention(
            queries, keys, values, mask, drop_rate, is_causal=causal
        )
        return self.proj(out.transpose(1, 2).reshape(batch, tokens, emb_dim))


class ScaleAndShift(nn.Module):
    """What a norm learns, without the norm: y = x · weight + bias."""

    def __init__(self, emb_dim):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(emb_dim))
        self.bias = nn.Parameter(torch.zeros(emb_dim))

    def forward(self, x):
        return x * self.weight + self.bias


def relu_squared(x):
    """max(0, x)² [So et al. 2021, arXiv:2109.08668]."""
    return F.relu(x).square()


NORMS = {"layer": LayerNorm, "rms": RMSNorm, "none": ScaleAndShift}
ACTIVATIONS = {"gelu": GELU(), "relu": F.relu, "relu2": relu_squared}


class LabFeedForward(nn.Module):
    """Each token by itself: four times as wide, bent, and back. (batch, tokens, emb_dim) to the
    same shape.
    """

    def __init__(self, config):
        super().__init__()
        self.expand = nn.Linear(config.emb_dim, 4 * config.emb_dim, bias=config.biases)
        self.proj = nn.Linear(4 * config.emb_dim, config.emb_dim, bias=config.biases)
        self.activation = ACTIVATIONS[config.activation]

    def forward(self, x):
        return self.proj(self.activation(self.expand(x)))


def make_feed_forward(config):
    """A feed-forward layer. SwiGLU has three matrices in place of two, so it is a third narrower."""
    if config.activation == "swiglu":
        return SwiGLU(config.emb_dim, round(8 / 3 * config.emb_dim), bias=config.biases)
    return LabFeedForward(config)


class LabBlock(nn.Module):
    """Attention, then feed-forward, each beside a shortcut. The norm stands before them, on the way
    in, or after the sum, on the shortcut itself, as in the first transformer.
    """

    def __init__(self, config, layer=0):
        super().__init__()
        self.norm_place = config.norm_place
        self.norm1 = NORMS[config.norm](config.emb_dim)
        self.attention = LabAttention(config, layer)
        self.norm2 = NORMS[config.norm](config.emb_dim)
        self.feed_forward = make_feed_forward(config)
        self.dropout = nn.Dropout(config.drop_rate)

    def forward(self, x, cache=None):
        if self.norm_place == "after":
            x = self.norm1(x + self.dropout(self.attention(x, cache)))
            return self.norm2(x + self.dropout(self.feed_forward(x)))
        x = x + self.dropout(self.attention(self.norm1(x), cache))
        return x + self.dropout(self.feed_forward(self.norm2(x)))


# --- The model ------------------------------------------------------------------------------------


class LabModel(nn.Module):
    """Token ids in, logits of the next token out, with the face of chapter 4's GPT; but rows are
    padded on the right only, so there is no attention mask.
    """

    tokenizer = None

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.tok_emb = nn.Embedding(config.vocab_size, config.emb_dim)
        if config.positions == "learned":
            self.pos_emb = nn.Embedding(config.context_length, config.emb_dim)
        elif config.positions == "sinusoidal":  # as large, beside the tokens, as in the paper
            waves = sinusoids(config.context_length, config.emb_dim)
            scale = config.embedding_std or config.init_std
            self.register_buffer("waves", scale * waves, persistent=False)
        self.dropout = nn.Dropout(config.drop_rate)
        self.blocks = nn.ModuleList([LabBlock(config, layer) for layer in range(config.n_layers)])
        self.final_norm = NORMS[config.norm](config.emb_dim)
        self.head = nn.Linear(config.emb_dim, config.vocab_size, bias=False)
        if config.tie_weights:
            self.head.weight = self.tok_emb.weight
        init_weights(self)

    def forward(self, idx, cache=None, attention_mask=None):
        """`idx`: (batch, tokens) ids. Returns logits, (batch, tokens, vocab)."""
        return self.head(self.trunk(idx, cache, attention_mask))

    def trunk(self, idx, cache=None, attention_mask=None):
        """The last hidden states, (batch, tokens, emb_dim). Raises ValueError for an attention mask,
        and for tokens that do not fit into the context.
        """
        if attention_mask is not None:
            raise ValueError("the laboratory's model has no attention mask; pad on the right")
        past = 0 if cache is None else cache.length
        total = past + idx.shape[1]
        if total > self.config.context_length:
            raise ValueError(
                f"{total} tokens do not fit into a context of {self.config.context_length}"
            )
        x = self.tok_emb(idx)  # (batch, tokens, emb_dim)
        if self.config.positions == "learned":
            x = x + self.pos_emb(torch.arange(past, total, device=idx.device))
        elif self.config.positions == "sinusoidal":
            x = x + self.waves[past:total]
        x = self.dropout(x)
        for block in self.blocks:
            x = block(x, cache)
        return self.final_norm(x)
