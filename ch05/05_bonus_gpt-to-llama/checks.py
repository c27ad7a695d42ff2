"""Self-checks for the exercises of gpt-to-llama.ipynb.

How a check works is told in chapter 2's checks.py.
"""

import torch
import torch.nn.functional as F

from ch05_01_main_chapter_code.previous_chapters import (
    answer,
    exercise_check,
    hint,
    judge,
    normal,
    predict,
    show_progress,
)

__all__ = ["answer", "hint", "predict", "show_progress"]  # for the notebook, with every check


def rms(x, weight, eps, centre=False, root=True, mean=True, inside=True):
    if centre:
        x = x - x.mean(-1, keepdim=True)
    square = (x**2).mean(-1, keepdim=True) if mean else (x**2).sum(-1, keepdim=True)
    below = (square + eps) if inside else square
    below = below**0.5 if root else below
    return x / (below if inside else below + eps) * weight


RMS_NORM_MISTAKES = {
    "the mean was subtracted: this is LayerNorm, and RMSNorm leaves it where it is": lambda *given: (
        rms(*given, centre=True)
    ),
    "the root is missing": lambda *given: rms(*given, root=False),
    "the squares were added up; take their mean": lambda *given: rms(*given, mean=False),
    "eps stands outside the root; it belongs inside": lambda *given: rms(*given, inside=False),
    "eps is missing": lambda x, w, eps: rms(x, w, 0.0),
    "the weight is missing": lambda x, w, eps: rms(x, torch.ones_like(w), eps),
    "the weight was added; it multiplies": lambda x, w, eps: rms(x, torch.ones_like(w), eps) + w,
    "the mean went over the tokens; it goes over the numbers of a token": lambda x, w, eps: (
        x / ((x**2).mean(1, keepdim=True) + eps) ** 0.5 * w
    ),
    "multiplied by the root; divide by it": lambda x, w, eps: (
        x * ((x**2).mean(-1, keepdim=True) + eps) ** 0.5 * w
    ),
}


@exercise_check(
    "rms_norm",
    hints=(
        "what does the size of a vector have to do with its mean?",
        "square the numbers of each token, take their mean and its root, and divide by that; nothing is "
        "subtracted, and there is no bias.",
        "`x / ((x**2).mean(dim=-1, keepdim=True) + eps) ** 0.5 * weight`",
    ),
)
def check_rms_norm(attempt):
    """rms_norm(x, weight, eps): (batch, tokens, emb_dim) to the same shape."""
    shapes = [((2, 5, 4), 1e-5), ((1, 3, 7), 0.5), ((4, 2, 6), 0.1)]
    inputs = [
        (1 + normal(n, *shape), normal(n + 9, shape[-1]), eps)
        for n, (shape, eps) in enumerate(shapes)
    ]
    judge(attempt, rms, inputs, RMS_NORM_MISTAKES)


def turned(x, angles, signs=(-1, 1)):
    a, b = x.chunk(2, dim=-1)
    cos, sin = angles.cos(), angles.sin()
    return torch.cat([a * cos + signs[0] * b * sin, b * cos + signs[1] * a * sin], dim=-1)


def turned_neighbours(x, angles):
    a, b = x[..., 0::2], x[..., 1::2]
    cos, sin = angles.cos(), angles.sin()
    return torch.stack([a * cos - b * sin, b * cos + a * sin], dim=-1).flatten(-2)


ROTATE_MISTAKES = {
    "these pairs are neighbours, as in llama.cpp's files; here number i goes with number i + head_dim / "
    "2": turned_neighbours,
    "turned the other way: the first number gets minus sin times the second": lambda x, angles: (
        turned(x, angles, (1, -1))
    ),
    "both signs are plus: that is no turn, and lengths change": lambda x, angles: turned(
        x, angles, (1, 1)
    ),
    "both signs are minus: that is no turn, and lengths change": lambda x, angles: turned(
        x, angles, (-1, -1)
    ),
    "cos and sin are exchanged": lambda x, angles: turned(x, torch.pi / 2 - angles),
    "the halves are exchanged in the result": lambda x, angles: turned(x, angles).roll(
        x.shape[-1] // 2, -1
    ),
    "only cos was used: the numbers were shortened, not turned": lambda x, angles: (
        x * torch.cat([angles, angles], -1).cos()
    ),
    "all tokens were turned by the first token's angles": lambda x, angles: turned(
        x, angles[:1].expand_as(angles)
    ),
    "only the first half was turned": lambda x, angles: torch.cat(
        [turned(x, angles).chunk(2, -1)[0], x.chunk(2, -1)[1]], -1
    ),
    "the angle was used twice": lambda x, angles: turned(x, 2 * angles),
}


@exercise_check(
    "turn_pairs",
    hints=(
        "which two numbers are the two coordinates of one hand of a clock?",
        "cut each vector into halves; a number and its partner in the other half turn together, by the "
        "rule for a point in the plane.",
        "`torch.cat([a * angles.cos() - b * angles.sin(), b * angles.cos() + a * angles.sin()], dim=-1)`",
    ),
)
def check_turn_pairs(attempt):
    """turn_pairs(x, angles): (batch, heads, tokens, head_dim), (tokens, head_dim / 2); the same shape."""
    shapes = [(2, 3, 5, 4), (1, 2, 3, 8), (3, 1, 4, 6)]
    inputs = [
        (normal(n, *shape), 2 * normal(n + 5, shape[2], shape[3] // 2))
        for n, shape in enumerate(shapes)
    ]
    judge(attempt, turned, inputs, ROTATE_MISTAKES)


def gated(x, gate, up, down, bend=F.silu):
    return (bend(x @ gate.T) * (x @ up.T)) @ down.T


SWIGLU_MISTAKES = {
    "the gate and the other branch are exchanged: only the gate is bent": lambda x, gate, up, down: (
        gated(x, up, gate, down)
    ),
    "the bend is missing": lambda *given: gated(*given, bend=lambda h: h),
    "the two branches were added; they multiply": lambda x, gate, up, down: (
        (F.silu(x @ gate.T) + x @ up.T) @ down.T
    ),
    "there is no second branch": lambda x, gate, up, down: F.silu(x @ gate.T) @ down.T,
    "there is no gate": lambda x, gate, up, down: (x @ up.T) @ down.T,
    "this is a sigmoid; SiLU is x · sigmoid(x)": lambda *given: gated(*given, bend=torch.sigmoid),
    "this is GELU; Llama has SiLU": lambda *given: gated(*given, bend=F.gelu),
    "this is ReLU; Llama has SiLU": lambda *given: gated(*given, bend=F.relu),
    "the product was bent; only the gate is": lambda x, gate, up, down: (
        F.silu((x @ gate.T) * (x @ up.T)) @ down.T
    ),
    "both branches were bent; only the gate is": lambda x, gate, up, down: (
        (F.silu(x @ gate.T) * F.silu(x @ up.T)) @ down.T
    ),
    "the way back is missing: multiply by `down.T`": lambda x, gate, up, down: (
        F.silu(x @ gate.T) * (x @ up.T)
    ),
}


@exercise_check(
    "swiglu",
    hints=(
        "two matrices lead up: what does each of them say about a hidden number?",
        "one branch says how much may pass, after its bend; the other says what; they multiply number by "
        "number, and the third matrix leads back.",
        "`(F.silu(x @ gate.T) * (x @ up.T)) @ down.T`",
    ),
)
def check_swiglu(attempt):
    """swiglu(x, gate, up, down): (batch, tokens, emb_dim), two (hidden, emb_dim), (emb_dim, hidden)."""
    inputs = []
    for seed, (batch, tokens, d, hidden) in enumerate([(2, 3, 4, 7), (1, 5, 6, 3), (3, 2, 5, 8)]):
        matrices = normal(10 + seed, 2, hidden, d)
        inputs.append((normal(seed, batch, tokens, d), *matrices, normal(20 + seed, d, hidden)))
    judge(attempt, gated, inputs, SWIGLU_MISTAKES)
