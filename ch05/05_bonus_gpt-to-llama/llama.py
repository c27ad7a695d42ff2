"""Llama on two pages: what changed in the GPT between 2019 and now [Touvron et al. 2023,
arXiv:2302.13971, 2307.09288].

`Llama` has the outward face of chapter 4's `GPT` (config, forward, trunk, tok_emb, blocks,
final_norm, head, tokenizer, from_pretrained, save_pretrained), so whatever generates, trains or
fine-tunes the one does it with the other. Its checkpoints are Hugging Face Llama directories.
"""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import nn

from ch03_01_main_chapter_code.attention import allowed_pairs
from ch05_05_bonus_gpt_to_llama.llama_checkpoint import PretrainedLlama


@dataclass(frozen=True)
class LlamaConfig:
    """The numbers that make a Llama; the defaults are SmolLM2-135M's [Allal et al. 2025,
    arXiv:2502.02737].

    `hidden_dim` is the width inside the feed-forward layer; `n_kv_heads` keys and values serve
    `n_heads` queries; `rope_base` sets the slowest rotation. Raises ValueError for numbers that
    make no model.
    """

    vocab_size: int = 49_152
    context_length: int = 8192
    emb_dim: int = 576
    n_heads: int = 9
    n_kv_heads: int = 3
    n_layers: int = 30
    hidden_dim: int = 1536
    rope_base: float = 100_000.0
    norm_eps: float = 1e-5
    tie_weights: bool = True
    init_std: float = 0.02
    embedding_std: float | None = None  # None: as all other weights

    def __post_init__(self):
        for name in (
            "vocab_size",
            "context_length",
            "emb_dim",
            "n_heads",
            "n_kv_heads",
            "n_layers",
            "hidden_dim",
        ):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, not {value!r}")
        if self.emb_dim % (2 * self.n_heads):
            raise ValueError(
                f"emb_dim ({self.emb_dim}) must be divisible by 2 · n_heads ({2 * self.n_heads}): each head gets an "
                "equal share, and turns it in pairs"
            )
        if self.n_heads % self.n_kv_heads:
            raise ValueError(
                f"n_heads ({self.n_heads}) must be divisible by n_kv_heads ({self.n_kv_heads})"
            )
        for name in ("rope_base", "norm_eps", "init_std", "embedding_std"):
            if getattr(self, name) is not None and not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, not {getattr(self, name)!r}")

    @classmethod
    def preset(cls, name, **changes):
        """A named model, `smollm2-135m` or `tales`, with some fields changed if you like.

        >>> LlamaConfig.preset("tales", n_kv_heads=1).emb_dim
        128
        """
        if name not in PRESETS:
            raise ValueError(f"no preset is called {name!r}; there are {', '.join(PRESETS)}")
        return replace(PRESETS[name], **changes)


PRESETS = {
    "smollm2-135m": LlamaConfig(),
    # As large as the GPT of that name: three matrices of 344 in place of two of 512.
    "tales": LlamaConfig(
        2048,
        192,
        128,
        n_heads=4,
        n_kv_heads=2,
        n_layers=2,
        hidden_dim=344,
        rope_base=10_000.0,
        init_std=0.05,
        embedding_std=0.4,
    ),
}


class RMSNorm(nn.Module):
    """Each token's vector to a root mean square of 1, then scaled [Zhang & Sennrich 2019,
    arXiv:1910.07467].

    y = x / √(mean(x²) + eps) · weight
    """

    def __init__(self, emb_dim, eps=1e-5):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(emb_dim))

    def forward(self, x):
        return F.rms_norm(x, self.weight.shape, self.weight, self.eps)


class SwiGLU(nn.Module):
    """Feed-forward with a gate: one half decides how much of the other passes [Shazeer 2020,
    arXiv:2002.05202].

    y = proj(silu(gate(x)) · expand(x)), where silu(z) = z · sigmoid(z). (batch, tokens, emb_dim) to
    the same shape.
    """

    def __init__(self, emb_dim, hidden_dim, bias=False):
        super().__init__()
        self.gate = nn.Linear(emb_dim, hidden_dim, bias=bias)
        self.expand = nn.Linear(emb_dim, hidden_dim, bias=bias)
        self.proj = nn.Linear(hidden_dim, emb_dim, bias=bias)

    def forward(self, x):
        return self.proj(F.silu(self.gate(x)) * self.expand(x))


def rotary_angles(positions, head_dim, base):
    """Cosine and sine of the angles by which each position turns [Su et al. 2021,
    arXiv:2104.09864].

    Pair i turns by position · base^(−2i / head_dim): pair 0 by one radian a token, the last one
    hardly at all. `positions`: (tokens,) or (batch, tokens); returns two tensors of one more
    dimension, head_dim / 2.
    """
    exponents = torch.arange(0, head_dim, 2, device=positions.device) / head_dim  # (head_dim / 2,)
    angles = positions[..., None] * (1 / base**exponents)  # (…, tokens, head_dim / 2)
    return angles.cos(), angles.sin()


def rotate(x, angles):
    """Turn each pair (x[i], x[i + head_dim / 2]) of queries or keys, (batch, heads, tokens,
    head_dim).

    `angles`: what `rotary_angles` gives, for (tokens,) or (batch, tokens) positions.
    """
    cos, sin = (part.unsqueeze(-3).to(x.dtype) for part in angles)  # the same for all heads
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


def token_positions(past, total, attention_mask, device):
    """Positions of the tokens `past` … `total` − 1. They count real tokens only, so padding on the
    left moves nothing.

    Returns (tokens,), or (batch, tokens) where there is an `attention_mask`.
    """
    if attention_mask is None:
        return torch.arange(past, total, device=device)
    return (attention_mask.long().cumsum(dim=1) - 1).clamp(min=0)[:, past:]


class LlamaAttention(nn.Module):
    """Causal attention whose queries share keys and values in groups [Ainslie et al. 2023,
    arXiv:2305.13245], with rotary positions. (batch, tokens, emb_dim) to the same shape; `layer` is
    this module's number in a `KVCache`, which holds `n_kv_heads` heads of rotated keys and of
    values.
    """

    def __init__(self, emb_dim, n_heads, n_kv_heads, rope_base=10_000.0, bias=False, layer=0):
        super().__init__()
        self.head_dim = emb_dim // n_heads
        self.rope_base = rope_base
        self.layer = layer
        self.query = nn.Linear(emb_dim, n_heads * self.head_dim, bias=bias)
        self.key = nn.Linear(emb_dim, n_kv_heads * self.head_dim, bias=bias)
        self.value = nn.Linear(emb_dim, n_kv_heads * self.head_dim, bias=bias)
        self.proj = nn.Linear(emb_dim, emb_dim, bias=bias)

    def forward(self, x, cache=None, attention_mask=None, angles=None):
        """`angles`: the rotation of these tokens, where the model has computed it once for all
        layers.
        """
        batch, tokens, emb_dim = x.shape
        if angles is None:
            past = 0 if cache is None else cache.lengths.get(self.layer, 0)
            positions = token_positions(past, past + tokens, attention_mask, x.device)
            angles = rotary_angles(positions, self.head_dim, self.rope_base)
        parts = [
            made.view(batch, tokens, -1, self.head_dim)
            for made in (self.query(x), self.key(x), self.value(x))
        ]
        queries, keys, values = (
            part.transpose(1, 2) for part in parts
        )  # (batch, n_heads or n_kv_heads, tokens, head_dim)
        queries, keys = rotate(queries, angles), rotate(keys, angles)
        if cache is not None:
            keys, values = cache.update(keys, values, self.layer)
        allowed = allowed_pairs(tokens, keys.shape[2], attention_mask, x.device)
        causal = allowed is None and tokens > 1
        out = F.scaled_dot_product_attention(
            queries, keys, values, allowed, is_causal=causal, enable_gqa=True
        )
        return self.proj(out.transpose(1, 2).reshape(batch, tokens, emb_dim))


class LlamaBlock(nn.Module):
    """Attention, then feed-forward, each behind a norm and beside a shortcut: the plan of the GPT
    block, as it was.
    """

    def __init__(self, config, layer=0):
        super().__init__()
        self.norm1 = RMSNorm(config.emb_dim, config.norm_eps)
        heads = config.n_heads, config.n_kv_heads
        self.attention = LlamaAttention(config.emb_dim, *heads, config.rope_base, layer=layer)
        self.norm2 = RMSNorm(config.emb_dim, config.norm_eps)
        self.feed_forward = SwiGLU(config.emb_dim, config.hidden_dim)

    def forward(self, x, cache=None, attention_mask=None, angles=None):
        x = x + self.attention(self.norm1(x), cache, attention_mask, angles)
        return x + self.feed_forward(self.norm2(x))


def init_weights(model):
    """The numbers that training begins with, as in chapter 4's GPT: normal ones, smaller where 2 ·
    n_layers outputs add up in each token's vector; and with larger embeddings a final norm that
    keeps the first logits small."""
    config = model.config
    for name, parameter in model.named_parameters():
        if parameter.dim() == 2:
            shrink = (2 * config.n_layers) ** 0.5 if name.endswith("proj.weight") else 1
            nn.init.normal_(parameter, std=config.init_std / shrink)
        elif name.endswith("bias"):
            nn.init.zeros_(parameter)
    if config.embedding_std is not None:
        nn.init.normal_(model.tok_emb.weight, std=config.embedding_std)
        nn.init.constant_(model.final_norm.weight, config.init_std / config.embedding_std)


class Llama(PretrainedLlama, nn.Module, config_class=LlamaConfig):
    """Token ids in, logits of the next token out. No position embedding: the attention turns
    queries and keys.
    """

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.tok_emb = nn.Embedding(config.vocab_size, config.emb_dim)
        self.blocks = nn.ModuleList([LlamaBlock(config, layer) for layer in range(config.n_layers)])
        self.final_norm = RMSNorm(config.emb_dim, config.norm_eps)
        self.head = nn.Linear(config.emb_dim, config.vocab_size, bias=False)
        if config.tie_weights:  # one matrix reads tokens and writes them
            self.head.weight = self.tok_emb.weight
        if (
            not self.tok_emb.weight.is_meta
        ):  # weights that come from a file need no random numbers first
            init_weights(self)

    def forward(self, idx, cache=None, attention_mask=None):
        """`idx`: (batch, tokens) ids; `cache`: a `KVCache` that holds the tokens before them;
        `attention_mask`: (batch, tokens), True for real tokens, padding left or right; with a cache
        it covers the cached tokens too.

        Returns logits, (batch, tokens, vocab). Raises ValueError if the tokens do not fit into the
        context.
        """
        return self.head(self.trunk(idx, cache, attention_mask))

    def trunk(self, idx, cache=None, attention_mask=None):
        """The last hidden states, (batch, tokens, emb_dim), after the final norm and before the
        head.
        """
        past = 0 if cache is None else cache.length
        total = past + idx.shape[1]
        if total > self.config.context_length:
            raise ValueError(
                f"{total} tokens do not fit into a context of {self.config.context_length}"
            )
        positions = token_positions(past, total, attention_mask, idx.device)
        angles = rotary_angles(
            positions, self.config.emb_dim // self.config.n_heads, self.config.rope_base
        )
        x = self.tok_emb(idx)  # (batch, tokens, emb_dim)
        for block in self.blocks:
            x = block(x, cache, attention_mask, angles)
        return self.final_norm(x)
