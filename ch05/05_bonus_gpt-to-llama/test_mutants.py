"""Answers to the exercises of gpt-to-llama.ipynb.

They are nearly right, or right in an unusual way.
"""

from pathlib import Path

import torch
import torch.nn.functional as F

from scratch_llm_tools.exercises import (
    ExerciseTests,
    HintTests,
    MistakeTests,
    exercises_of,
    module_beside,
)
from scratch_llm_tools.mutants import MutantTests

checks = module_beside(__file__, "checks")

MUTANTS = {
    "rms_norm": (
        """
def rms_norm(x, weight, eps):
    square = x.pow(2).mean(dim=-1, keepdim=True)
    return x * torch.rsqrt(square + eps) * weight
""",
        [
            (
                "the mean was subtracted",
                "    square",
                "    x = x - x.mean(-1, keepdim=True)\n    square",
            ),
            ("the root is missing", "x * torch.rsqrt(square + eps)", "x / (square + eps)"),
            ("added up", ".mean(", ".sum("),
            ("eps stands outside", "x * torch.rsqrt(square + eps)", "x / (square.sqrt() + eps)"),
            ("eps is missing", "square + eps", "square"),
            ("the weight is missing", " * weight", ""),
            ("the weight was added", " * weight", " + weight"),
            ("over the tokens", "dim=-1", "dim=1"),
            ("multiplied by the root", "torch.rsqrt", "torch.sqrt"),
            ("", " * weight", " * weight * 2"),
        ],
        [
            ("x * torch.rsqrt(square + eps) * weight", "F.rms_norm(x, weight.shape, weight, eps)"),
            ("x * torch.rsqrt(square + eps)", "x / (square + eps) ** 0.5"),
        ],
    ),
    "turn_pairs": (
        """
def turn_pairs(x, angles):
    half = x.shape[-1] // 2
    a, b = x[..., :half], x[..., half:]
    cos, sin = angles.cos(), angles.sin()
    return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)
""",
        [
            (
                "these pairs are neighbours",
                "x[..., :half], x[..., half:]",
                "x[..., ::2], x[..., 1::2]",
                "torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)",
                "torch.stack([a * cos - b * sin, b * cos + a * sin], dim=-1).flatten(-2)",
            ),
            ("the other way", "a * cos - b", "a * cos + b", "b * cos + a", "b * cos - a"),
            ("both signs are plus", "a * cos - b", "a * cos + b"),
            ("both signs are minus", "b * cos + a", "b * cos - a"),
            (
                "cos and sin are exchanged",
                "angles.cos(), angles.sin()",
                "angles.sin(), angles.cos()",
            ),
            (
                "the halves are exchanged",
                "[a * cos - b * sin, b * cos + a * sin]",
                "[b * cos + a * sin, a * cos - b * sin]",
            ),
            ("only cos was used", "a * cos - b * sin, b * cos + a * sin", "a * cos, b * cos"),
            ("by the first token's angles", "    half", "    angles = angles[:1]\n    half"),
            ("only the first half", "b * cos + a * sin", "b"),
            (
                "the angle was used twice",
                "angles.cos(), angles.sin()",
                "(2 * angles).cos(), (2 * angles).sin()",
            ),
            ("", "angles.cos(), angles.sin()", "(3 * angles).cos(), (3 * angles).sin()"),
        ],
        [
            (
                "    return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)",
                "    z = torch.complex(a, b) * torch.complex(cos, sin)\n    "
                "return torch.cat([z.real, z.imag], dim=-1)",
            ),
            (
                "    return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)",
                "    return x * cos.repeat(1, 2) + torch.cat([-b, a], dim=-1) * sin.repeat(1, 2)",
            ),
        ],
    ),
    "swiglu": (
        """
def swiglu(x, gate, up, down):
    opened = F.silu(F.linear(x, gate))
    return F.linear(opened * F.linear(x, up), down)
""",
        [
            ("only the gate is bent", "(x, gate)", "(x, up)", "(x, up), down", "(x, gate), down"),
            ("the bend is missing", "F.silu(F.linear(x, gate))", "F.linear(x, gate)"),
            ("were added", "opened * F", "opened + F"),
            ("no second branch", " * F.linear(x, up)", ""),
            ("no gate", "opened * ", ""),
            ("this is a sigmoid", "F.silu", "torch.sigmoid"),
            ("this is GELU", "F.silu", "F.gelu"),
            ("this is ReLU", "F.silu", "F.relu"),
            (
                "the product was bent",
                "F.silu(F.linear(x, gate))",
                "F.linear(x, gate)",
                "opened * F.linear(x, up)",
                "F.silu(opened * F.linear(x, up))",
            ),
            (
                "both branches were bent",
                "opened * F.linear(x, up)",
                "opened * F.silu(F.linear(x, up))",
            ),
            (
                "the way back",
                "F.linear(opened * F.linear(x, up), down)",
                "opened * F.linear(x, up)",
            ),
            ("", "F.silu", "torch.tanh"),
        ],
        [
            (
                "F.silu(F.linear(x, gate))",
                "F.linear(x, gate) / (1 + torch.exp(-F.linear(x, gate)))",
            ),
            (
                "F.linear(opened * F.linear(x, up), down)",
                "torch.einsum('bth,dh->btd', opened * (x @ up.T), down)",
            ),
        ],
    ),
}
NAMES = {"F": F, "torch": torch}


class TestMutants(MutantTests):
    checks, mutants, names = checks, MUTANTS, NAMES


class TestExercises(ExerciseTests, MistakeTests, HintTests):
    checks, exercises = checks, exercises_of(MUTANTS, NAMES)
    notebook = Path(__file__).with_name("gpt-to-llama.ipynb")
    sources = {name: right for name, (right, _, _) in MUTANTS.items()}
