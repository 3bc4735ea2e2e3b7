"""Randomness by address: a draw is a function of the seed and of what it is for, never of what was drawn before."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b


def uniform(seed: int, *address: str | int) -> float:
    """Give the uniform draw in [0, 1) that belongs to ``address``.

    Concurrent requests can come in any order; a sequential generator would then give each another number in every run.
    Hashing the address gives 53 independent bits per draw, whatever the order.
    """
    digest = blake2b(repr((seed, *address)).encode(), digest_size=8).digest()
    return (int.from_bytes(digest) >> 11) * 2.0**-53


def pick(weights: Mapping[str, float], drawn: float) -> str:
    """Give the name whose share of [0, 1) holds ``drawn``; ``weights`` sum to 1, but for rounding."""
    total = 0.0
    for name, weight in weights.items():
        total += weight
        if drawn < total:
            return name
    return name
