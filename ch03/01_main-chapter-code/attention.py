"""Attention, from one head to many [Vaswani et al. 2017, arXiv:1706.03762].

    attention(Q, K, V) = softmax(Q Kᵀ / √head_dim) V

The first three classes write the formula out; `MultiHeadAttention`, which the model uses, leaves it
to torch's `scaled_dot_product_attention`, which never stores the (tokens, tokens) matrix [Dao et
al. 2022, arXiv:2205.14135].
"""

import torch
import torch.nn.functional as F
from torch import nn


class SelfAttention(nn.Module):
    """One head in which every token looks at every token: (batch, tokens, emb_dim) to (batch,
    tokens, head_dim).
    """

    def __init__(self, emb_dim, head_dim, qkv_bias=False):
        super().__init__()
        self.query = nn.Linear(emb_dim, head_dim, bias=qkv_bias)
        self.key = nn.Linear(emb_dim, head_dim, bias=qkv_bias)
        self.value = nn.Linear(emb_dim, head_dim, bias=qkv_bias)

    def forward(self, x):
        queries, keys, values = (
            self.query(x),
            self.key(x),
            self.value(x),
        )  # (batch, tokens, head_dim) each
        scores = queries @ keys.transpose(-2, -1) / keys.shape[-1] ** 0.5  # (batch, tokens, tokens)
        return scores.softmax(dim=-1) @ values  # (batch, tokens, head_dim)


class CausalAttention(nn.Module):
    """One head in which a token looks at itself and the tokens before it, with dropout on the
    weights.
    """

    def __init__(self, emb_dim, head_dim, context_length, drop_rate=0.0, qkv_bias=False):
        super().__init__()
        self.query = nn.Linear(emb_dim, head_dim, bias=qkv_bias)
        self.key = nn.Linear(emb_dim, head_dim, bias=qkv_bias)
        self.value = nn.Linear(emb_dim, head_dim, bias=qkv_bias)
        self.dropout = nn.Dropout(drop_rate)
        future = torch.ones(context_length, context_length, dtype=torch.bool).triu(diagonal=1)
        self.register_buffer("future", future, persistent=False)

    def forward(self, x):
        tokens = x.shape[-2]
        queries, keys, values = (
            self.query(x),
            self.key(x),
            self.value(x),
        )  # (batch, tokens, head_dim) each
        scores = queries @ keys.transpose(-2, -1) / keys.shape[-1] ** 0.5  # (batch, tokens, tokens)
        scores = scores.masked_fill(
            self.future[:tokens, :tokens], -torch.inf
        )  # before the softmax: rows sum to 1
        return self.dropout(scores.softmax(dim=-1)) @ values  # (batch, tokens, head_dim)


class MultiHeadAttentionWrapper(nn.Module):
    """Many heads the obvious way: one `CausalAttention` each, their outputs side by side."""

    def __init__(self, emb_dim, head_dim, context_length, drop_rate=0.0, n_heads=1, qkv_bias=False):
        super().__init__()
        self.heads = nn.ModuleList(
            [
                CausalAttention(emb_dim, head_dim, context_length, drop_rate, qkv_bias)
                for _ in range(n_heads)
            ]
        )

    def forward(self, x):
        return torch.cat(
            [head(x) for head in self.heads], dim=-1
        )  # (batch, tokens, n_heads * head_dim)


class KVCache:
    """Keys and values of all tokens seen so far, so that the next token computes only its own.

    One cache serves a whole model: each layer keeps its own buffers, under its number. They grow by
    doubling, so a token costs no copy of the past. Where the model gets an `attention_mask`, it
    covers the cached tokens too.
    """

    def __init__(self):
        self.buffers = {}  # layer -> (keys, values), (batch, heads, room, head_dim) each
        self.lengths = {}  # layer -> tokens in use

    @property
    def length(self):
        """How many tokens every layer has seen."""
        return min(self.lengths.values(), default=0)

    def update(self, keys, values, layer=0):
        """Append (batch, heads, tokens, head_dim) keys and values; return all of them, the past
        included.
        """
        past = self.lengths.get(layer, 0)
        total = past + keys.shape[2]
        if layer not in self.buffers or self.buffers[layer][0].shape[2] < total:
            grown = [
                new.new_empty(*new.shape[:2], max(64, 2 * total), new.shape[3])
                for new in (keys, values)
            ]
            for old, new in zip(self.buffers.get(layer, ()), grown, strict=False):
                new[:, :, :past] = old[:, :, :past]
            self.buffers[layer] = grown
        for buffer, new in zip(self.buffers[layer], (keys, values), strict=True):
            buffer[:, :, past:total] = new
        self.lengths[layer] = total
        return tuple(buffer[:, :, :total] for buffer in self.buffers[layer])


class MultiHeadAttention(nn.Module):
    """All heads at once, causal: (batch, tokens, emb_dim) to the same shape.

    One matrix makes queries, keys and values of all heads; a reshape deals them out. `layer` is
    this module's number in a `KVCache`. Raises ValueError if `emb_dim` is not divisible by
    `n_heads`.
    """

    def __init__(self, emb_dim, n_heads, drop_rate=0.0, qkv_bias=False, layer=0):
        super().__init__()
        if emb_dim % n_heads:
            raise ValueError(f"emb_dim ({emb_dim}) must be divisible by n_heads ({n_heads})")
        self.n_heads = n_heads
        self.drop_rate = drop_rate
        self.layer = layer
        self.qkv = nn.Linear(emb_dim, 3 * emb_dim, bias=qkv_bias)
        self.proj = nn.Linear(emb_dim, emb_dim)

    def forward(self, x, cache=None, attention_mask=None, return_weights=False):
        """`attention_mask`: (batch, tokens), True for real tokens; with a cache it covers the
        cached ones too.

        With `return_weights` the result is a pair: the output and the weights, (batch, heads,
        tokens, all tokens).
        """
        batch, tokens, emb_dim = x.shape
        qkv = self.qkv(x).view(batch, tokens, 3, self.n_heads, emb_dim // self.n_heads)
        queries, keys, values = qkv.permute(2, 0, 3, 1, 4)  # (batch, heads, tokens, head_dim) each
        if cache is not None:
            keys, values = cache.update(keys, values, self.layer)
        allowed = allowed_pairs(tokens, keys.shape[2], attention_mask, x.device)
        drop_rate = self.drop_rate if self.training else 0.0
        if return_weights:
            out, weights = explicit_attention(queries, keys, values, allowed, drop_rate)
        else:
            causal = allowed is None and tokens > 1  # torch's own causal mask is the fastest
            out = F.scaled_dot_product_attention(
                queries, keys, values, allowed, drop_rate, is_causal=causal
            )
        out = self.proj(out.transpose(1, 2).reshape(batch, tokens, emb_dim))
        return (out, weights) if return_weights else out


def allowed_pairs(tokens, total, attention_mask, device):
    """Which of the `total` keys each of the last `tokens` may look at, or None where the plain rule
    does: one new token looks at everything, a whole sequence at its own past."""
    if attention_mask is None and (tokens == 1 or tokens == total):
        return None
    allowed = torch.ones(tokens, total, dtype=torch.bool, device=device).tril(
        diagonal=total - tokens
    )
    if attention_mask is None:
        return allowed
    if attention_mask.shape[1] != total:
        raise ValueError(
            f"attention_mask covers {attention_mask.shape[1]} tokens, but there are {total}"
        )
    # A padding token may look at itself, or its softmax would be over nothing and give NaN.
    itself = torch.eye(total, dtype=torch.bool, device=device)[-tokens:]
    return allowed & (attention_mask[:, None, None, :].bool() | itself)  # (batch, 1, tokens, total)


def explicit_attention(queries, keys, values, allowed, drop_rate=0.0):
    """The formula, step by step, for looking at the weights, which are those before dropout.

    Queries, keys and values are (batch, heads, tokens, head_dim), `allowed` is what `allowed_pairs`
    gives.
    """
    tokens, total = queries.shape[2], keys.shape[2]
    if allowed is None:
        allowed = torch.ones(tokens, total, dtype=torch.bool, device=queries.device).tril(
            total - tokens
        )
    scores = (
        queries @ keys.transpose(-2, -1) / keys.shape[-1] ** 0.5
    )  # (batch, heads, tokens, total)
    weights = scores.masked_fill(~allowed, -torch.inf).softmax(dim=-1)
    return F.dropout(weights, drop_rate) @ values, weights
