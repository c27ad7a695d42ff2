"""One decoder for the open models of today: what they do differently is a field of its config.

A GPT-2 of 2019 and a Gemma 3, Qwen 3 or OLMo 3 are the same plan: attention and feed-forward, each
beside a shortcut. What changed is where the norms stand, what they divide, how positions are told,
how far a layer looks back, and what bends in between. `families.py` says which model is which
config, and reads and writes their folders.

`Decoder` has the outward face of chapter 4's `GPT`, so whatever generates, trains or fine-tunes the
one does it with the other.
"""

import torch
import torch.nn.functional as F
from torch import nn

from ch03_01_main_chapter_code.attention import allowed_pairs
from ch05_05_bonus_gpt_to_llama.decoder_checkpoint import PretrainedDecoder
from ch05_05_bonus_gpt_to_llama.decoder_config import DecoderConfig
from ch05_05_bonus_gpt_to_llama.frequencies import angles_of
from ch05_05_bonus_gpt_to_llama.latent import LatentAttention
from ch05_05_bonus_gpt_to_llama.llama import init_weights, rotate, token_positions

# --- The parts ------------------------------------------------------------------------------------


class Norm(nn.Module):
    """RMSNorm [arXiv:1910.07467] over the last dimension; Gemma's multiplies by 1 + weight, so that
    weight decay pulls towards doing nothing.
    """

    def __init__(self, size, eps, plus_one=False):
        super().__init__()
        self.eps, self.plus_one = eps, plus_one
        self.weight = nn.Parameter(torch.zeros(size) if plus_one else torch.ones(size))

    def forward(self, x):
        weight = 1 + self.weight if self.plus_one else self.weight
        return F.rms_norm(x, weight.shape, weight, self.eps)


class GatedFeedForward(nn.Module):
    """proj(bend(gate(x)) · expand(x)): SwiGLU, or GeGLU [Shazeer 2020, arXiv:2002.05202], or the
    clipped form of gpt-oss. `hidden`: the width inside.
    """

    def __init__(self, config, hidden):
        super().__init__()
        width, bias = config.emb_dim, config.mlp_bias
        self.activation = config.activation
        self.gate = nn.Linear(width, hidden, bias=bias)
        self.expand = nn.Linear(width, hidden, bias=bias)
        self.proj = nn.Linear(hidden, width, bias=bias)

    def forward(self, x):
        return self.proj(ACTIVATIONS[self.activation](self.gate(x), self.expand(x)))


def clipped_swiglu(gate, other):
    """gpt-oss's gate: nothing beyond 7, a steeper sigmoid, and a gate that adds what it lets pass
    to a 1 [arXiv:2508.10925].
    """
    gate, other = gate.clamp(max=7.0), other.clamp(-7.0, 7.0)
    return (other + 1) * gate * torch.sigmoid(1.702 * gate)


ACTIVATIONS = {  # of (gate, other), (…, hidden) each
    "silu": lambda gate, other: F.silu(gate) * other,
    "gelu": lambda gate, other: F.gelu(gate, approximate="tanh") * other,
    "clipped": clipped_swiglu,
}


class Experts(nn.Module):
    """Many feed-forwards, of which a router gives each token a few [Jiang et al. 2024,
    arXiv:2401.04088]. (batch, tokens, emb_dim) to the same shape.
    """

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.router = nn.Linear(config.emb_dim, config.n_experts, bias=config.router_bias)
        self.experts = nn.ModuleList(
            GatedFeedForward(config, config.expert_dim) for _ in range(config.n_experts)
        )
        if config.n_shared:
            self.shared = GatedFeedForward(config, config.n_shared * config.expert_dim)
        if config.independent_scores:  # moved by hand in training, not by a gradient
            self.register_buffer("balance", torch.zeros(config.n_experts))

    def forward(self, x):
        tokens = x.flatten(0, -2)  # (all tokens, emb_dim)
        weights, picked = self.route(tokens)
        out = self.shared(tokens) if self.config.n_shared else torch.zeros_like(tokens)
        for number, expert in enumerate(self.experts):
            row, place = torch.where(picked == number)
            if len(row):
                out.index_add_(0, row, weights[row, place, None] * expert(tokens[row]))
        return out.view_as(x)

    def route(self, tokens):
        """The weights of each token's experts and their numbers, (tokens, experts_per_token) each."""
        config, scores = self.config, self.router(tokens)  # (tokens, n_experts)
        scores = scores.sigmoid() if config.independent_scores else scores.softmax(dim=-1)
        liked = scores + self.balance if config.independent_scores else scores
        if config.groups:
            liked = self.within_groups(liked)
        picked = liked.topk(config.experts_per_token, dim=-1).indices
        weights = scores.gather(1, picked)
        if config.renormalised:
            weights = weights / weights.sum(dim=-1, keepdim=True)
        return weights * config.expert_scale, picked

    def within_groups(self, liked):
        """The scores of the best groups, and −∞ elsewhere: a group counts by its best expert, or
        where scores are independent by its best two.
        """
        grouped = liked.unflatten(-1, (self.config.groups, -1))
        best = grouped.topk(2 if self.config.independent_scores else 1, dim=-1).values.sum(dim=-1)
        kept = best.topk(self.config.groups_per_token, dim=-1).indices
        out = torch.ones_like(best, dtype=torch.bool).scatter(1, kept, False)
        return grouped.masked_fill(out[..., None], -torch.inf).flatten(1)


class DecoderAttention(nn.Module):
    """Causal attention in groups, (batch, tokens, emb_dim) to the same shape. `layer` is this
    module's number in a `KVCache`, which holds n_kv_heads heads of rotated keys and of values.
    """

    def __init__(self, config, layer=0):
        super().__init__()
        self.config, self.layer, self.head_dim = config, layer, config.head_dim
        self.window = config.window if config.layers[layer] == "sliding" else None
        queries, keys = config.n_heads * config.head_dim, config.n_kv_heads * config.head_dim
        self.query = nn.Linear(config.emb_dim, queries, bias=config.qkv_bias)
        self.key = nn.Linear(config.emb_dim, keys, bias=config.qkv_bias)
        self.value = nn.Linear(config.emb_dim, keys, bias=config.qkv_bias)
        self.proj = nn.Linear(queries, config.emb_dim, bias=config.proj_bias)
        if config.head_norm:
            sizes = (queries, keys) if config.head_norm == "all" else (config.head_dim,) * 2
            options = config.norm_eps, config.norm_plus_one
            self.query_norm, self.key_norm = (Norm(size, *options) for size in sizes)
        if config.sinks:
            self.sinks = nn.Parameter(torch.zeros(config.n_heads))

    def forward(self, x, cache=None, attention_mask=None, angles=None):
        """`angles`: the rotation of these tokens, where the model has computed it for all layers."""
        batch, tokens, _ = x.shape
        queries, keys, values = self.heads(x)
        if angles is None:
            past = 0 if cache is None else cache.lengths.get(self.layer, 0)
            positions = token_positions(past, past + tokens, attention_mask, x.device)
            angles = angles_of(self.config.rotation_of(self.layer), positions, self.head_dim)
        if self.layer not in self.config.unrotated:
            queries, keys = rotate(queries, angles), rotate(keys, angles)
        if cache is not None:
            keys, values = cache.update(keys, values, self.layer)
        allowed = allowed_pairs(tokens, keys.shape[2], attention_mask, x.device)
        allowed = within_window(self.window, tokens, keys.shape[2], allowed, x.device)
        out = self.attend(queries, keys, values, allowed)
        return self.proj(out.transpose(1, 2).reshape(batch, tokens, -1))

    def heads(self, x):
        """Queries, keys and values, (batch, n_heads or n_kv_heads, tokens, head_dim) each."""
        parts = [self.query(x), self.key(x), self.value(x)]
        norms = (self.query_norm, self.key_norm) if self.config.head_norm else ()
        if self.config.head_norm == "all":
            parts[:2] = [norm(part) for norm, part in zip(norms, parts, strict=False)]
        parts = [part.unflatten(-1, (-1, self.head_dim)).transpose(1, 2) for part in parts]
        if self.config.head_norm == "each":
            parts[:2] = [norm(part) for norm, part in zip(norms, parts, strict=False)]
        return parts

    def attend(self, queries, keys, values, allowed):
        """The weighted values, (batch, n_heads, tokens, head_dim)."""
        causal = allowed is None and queries.shape[2] > 1
        scale = self.config.score_scale or self.head_dim**-0.5
        if not (self.config.score_cap or self.config.sinks):
            return F.scaled_dot_product_attention(
                queries, keys, values, allowed, is_causal=causal, scale=scale, enable_gqa=True
            )
        group = queries.shape[1] // keys.shape[1]
        keys, values = (part.repeat_interleave(group, dim=1) for part in (keys, values))
        scores = queries @ keys.transpose(-2, -1) * scale
        if self.config.score_cap:
            scores = capped(scores, self.config.score_cap)
        if causal:
            allowed = torch.ones_like(scores[0, 0], dtype=torch.bool).tril()
        if allowed is not None:
            scores = scores.masked_fill(~allowed, -torch.inf)
        if self.config.sinks:  # one more score in each row, whose value is nothing
            sinks = self.sinks[:, None, None].expand(*scores.shape[:-1], 1)
            scores = torch.cat([scores, sinks], dim=-1)
        return scores.softmax(dim=-1)[..., : keys.shape[2]] @ values


def within_window(window, tokens, total, allowed, device):
    """`allowed` (see `allowed_pairs`) with only the last `window` tokens, the token itself one of
    them [Beltagy et al. 2020, arXiv:2004.05150]. A window of None, or one that reaches back to the
    first token, forbids nothing.
    """
    if window is None or total <= window:
        return allowed
    near = torch.ones(tokens, total, dtype=torch.bool, device=device)
    near = near.triu(total - tokens - window + 1)
    return near.tril(total - tokens) if allowed is None else near & allowed


def capped(z, cap):
    """z, bent so that it stays between −cap and cap [Gemma 2, arXiv:2408.00118]."""
    return cap * torch.tanh(z / cap)


class DecoderBlock(nn.Module):
    """Attention, then feed-forward, each beside a shortcut, with its norms before, after or around."""

    def __init__(self, config, layer=0):
        super().__init__()
        size = config.emb_dim, config.norm_eps, config.norm_plus_one
        before, after = config.norms != "after", config.norms != "before"
        self.norm1 = Norm(*size) if before else nn.Identity()
        self.attention = (LatentAttention if config.latent else DecoderAttention)(config, layer)
        self.norm1_after = Norm(*size) if after else nn.Identity()
        self.norm2 = Norm(*size) if before else nn.Identity()
        dense = not config.n_experts or layer in config.dense_layers
        self.feed_forward = (
            GatedFeedForward(config, config.hidden_dim) if dense else Experts(config)
        )
        self.norm2_after = Norm(*size) if after else nn.Identity()

    def forward(self, x, cache=None, attention_mask=None, angles=None):
        attended = self.attention(self.norm1(x), cache, attention_mask, angles)
        x = x + self.norm1_after(attended)
        return x + self.norm2_after(self.feed_forward(self.norm2(x)))


class Head(nn.Linear):
    """Hidden states to logits, (…, emb_dim) to (…, vocab)."""

    def __init__(self, config):
        super().__init__(config.emb_dim, config.vocab_size, bias=False)
        self.cap = config.logit_cap

    def forward(self, x):
        logits = super().forward(x)
        return capped(logits, self.cap) if self.cap else logits


# --- The model ------------------------------------------------------------------------------------


class Decoder(PretrainedDecoder, nn.Module, config_class=DecoderConfig):
    """Token ids in, logits of the next token out."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.tok_emb = nn.Embedding(config.vocab_size, config.emb_dim)
        self.blocks = nn.ModuleList(DecoderBlock(config, i) for i in range(config.n_layers))
        self.final_norm = Norm(config.emb_dim, config.norm_eps, config.norm_plus_one)
        self.head = Head(config)
        if config.tie_weights:
            self.head.weight = self.tok_emb.weight
        if not self.tok_emb.weight.is_meta:  # weights from a file need no random numbers first
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
        rotations = [self.config.rotation_of(layer) for layer in range(self.config.n_layers)]
        head_dim = self.config.head_dim
        angles = {kind: angles_of(kind, positions, head_dim) for kind in set(rotations)}
        x = self.tok_emb(idx) * self.config.embedding_scale  # (batch, tokens, emb_dim)
        for block, rotation in zip(self.blocks, rotations, strict=True):
            x = block(x, cache, attention_mask, angles[rotation])
        return self.final_norm(x)
