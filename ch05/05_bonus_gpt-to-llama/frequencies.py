"""How fast queries and keys turn, for a `Rotation` of any kind."""

import math

import torch


def frequencies(rotation, head_dim):
    """By how many radians each pair turns from token to token, (head_dim / 2,) float32."""
    exponents = torch.arange(0, head_dim, 2).float() / head_dim
    plain = 1 / rotation.base**exponents
    slow = plain / rotation.factor
    if rotation.kind == "default":
        return plain
    if rotation.kind == "linear":
        return slow
    if rotation.kind == "llama3":
        turns = rotation.original * plain / (2 * math.pi)  # within the original context
        kept = ((turns - rotation.low) / (rotation.high - rotation.low)).clamp(0, 1)
        return (1 - kept) * slow + kept * plain
    first, last = (pair_with(turns, rotation, head_dim) for turns in (rotation.high, rotation.low))
    if rotation.whole_pairs:
        first, last = math.floor(first), math.ceil(last)
    first, last = max(first, 0), min(last, head_dim - 1)
    steps = torch.arange(head_dim // 2).float() - first
    slowed = (steps / (last - first or 0.001)).clamp(0, 1)
    return slowed * slow + (1 - slowed) * plain


def pair_with(turns, rotation, head_dim):
    """Which pair turns so many times within the original context; a fraction, as pairs are few."""
    length = rotation.original / (turns * 2 * math.pi)
    return head_dim * math.log(length) / (2 * math.log(rotation.base))


def angles_of(rotation, positions, head_dim):
    """Cosine and sine of the angles at `positions`, (tokens,) or (batch, tokens): two tensors of
    one more dimension, head_dim / 2; or None where nothing turns.
    """
    if rotation is None:
        return None
    speeds = frequencies(rotation, head_dim).to(positions.device)
    angles = positions[..., None].float() * speeds
    return angles.cos() * rotation.stretch, angles.sin() * rotation.stretch
