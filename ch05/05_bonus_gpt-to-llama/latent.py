"""Latent attention, DeepSeek's: what the cache keeps of a token is one short vector, from which the
keys and values of all heads are made again [DeepSeek-V2 2024, arXiv:2405.04434].
"""

import torch
import torch.nn.functional as F
from torch import nn

from ch03_01_main_chapter_code.attention import allowed_pairs
from ch05_05_bonus_gpt_to_llama.frequencies import angles_of
from ch05_05_bonus_gpt_to_llama.llama import token_positions

NORM_EPS = 1e-6  # of the norms inside, whatever the model's


class LatentAttention(nn.Module):
    """Causal attention, (batch, tokens, emb_dim) to the same shape. `layer` is this module's number
    in a `KVCache`, which holds the latents (batch, 1, tokens, rank) in place of keys, and the
    rotated keys that all heads share (batch, 1, tokens, rope_dim) in place of values.

    A score has two parts: of plain_dim numbers, made of the latent, which know no position; and of
    rope_dim numbers, which turn, and which cannot be made of a latent that was stored unturned.
    """

    def __init__(self, config, layer=0):
        super().__init__()
        self.config, self.layer, sizes = config, layer, config.latent
        heads, width, bias = config.n_heads, config.emb_dim, config.proj_bias
        query_dim = heads * (sizes.plain_dim + sizes.rope_dim)
        if sizes.query_rank is None:
            self.query = nn.Linear(width, query_dim, bias=False)
        else:
            self.query_down = nn.Linear(width, sizes.query_rank, bias=bias)
            self.query_norm = nn.RMSNorm(sizes.query_rank, NORM_EPS)
            self.query_up = nn.Linear(sizes.query_rank, query_dim, bias=False)
        self.down = nn.Linear(width, sizes.rank + sizes.rope_dim, bias=bias)
        self.norm = nn.RMSNorm(sizes.rank, NORM_EPS)
        self.up = nn.Linear(sizes.rank, heads * (sizes.plain_dim + sizes.value_dim), bias=False)
        self.proj = nn.Linear(heads * sizes.value_dim, width, bias=bias)

    def forward(self, x, cache=None, attention_mask=None, angles=None):
        """`angles`: the rotation of these tokens, where the model has computed it for all layers."""
        batch, tokens, _ = x.shape
        sizes = self.config.latent
        if angles is None:
            angles = self.angles(cache, attention_mask, x)
        plain, turning = self.queries(x).split([sizes.plain_dim, sizes.rope_dim], dim=-1)
        latents, shared = self.down(x)[:, None].split([sizes.rank, sizes.rope_dim], dim=-1)
        latents = self.norm(latents)  # (batch, 1, tokens, rank)
        queries = torch.cat([plain, self.turned(turning, angles)], dim=-1)
        shared = self.turned(shared, angles)  # (batch, 1, tokens, rope_dim)
        if cache is not None:
            latents, shared = cache.update(latents, shared, self.layer)
        keys, values = self.expanded(latents, shared)
        allowed = allowed_pairs(tokens, keys.shape[2], attention_mask, x.device)
        causal = allowed is None and tokens > 1
        scale = self.config.score_scale
        out = F.scaled_dot_product_attention(
            queries, keys, values, allowed, is_causal=causal, scale=scale
        )
        return self.proj(out.transpose(1, 2).reshape(batch, tokens, -1))

    def queries(self, x):
        """(batch, n_heads, tokens, plain_dim + rope_dim)."""
        if self.config.latent.query_rank is None:
            queries = self.query(x)
        else:
            queries = self.query_up(self.query_norm(self.query_down(x)))
        return queries.unflatten(-1, (self.config.n_heads, -1)).transpose(1, 2)

    def expanded(self, latents, shared):
        """Keys and values of all heads, made of what the cache holds."""
        sizes, heads = self.config.latent, self.config.n_heads
        both = self.up(latents[:, 0]).unflatten(-1, (heads, -1)).transpose(1, 2)
        plain, values = both.split([sizes.plain_dim, sizes.value_dim], dim=-1)
        return torch.cat([plain, shared.expand(-1, heads, -1, -1)], dim=-1), values

    def angles(self, cache, attention_mask, x):
        past = 0 if cache is None else cache.lengths.get(self.layer, 0)
        positions = token_positions(past, past + x.shape[1], attention_mask, x.device)
        return angles_of(self.config.rotation, positions, self.config.head_dim)

    def turned(self, x, angles):
        """Each pair turned; the pairs are neighbours here, or as in a Llama the halves."""
        cos, sin = (part.unsqueeze(-3).to(x.dtype) for part in angles)
        if self.config.latent.neighbours:
            first, second = x[..., ::2], x[..., 1::2]
        else:
            first, second = x.chunk(2, dim=-1)
        return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)
