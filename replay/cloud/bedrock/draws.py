"""Indexed random draws: a draw depends on what it is for and on its number, never on what was drawn before."""

from __future__ import annotations

import hashlib

import numpy as np


def uniform(seed: int, model: str, use: str, index: int) -> float:
    """Give draw number ``index`` of a model for one use: uniform on [0, 1).

    Philox is counter-based: key and counter alone determine its output, so draw 1,000 needs none of the 999 before it.
    """
    digest = hashlib.blake2b(f"{seed}/{model}/{use}".encode(), digest_size=16).digest()
    generator = np.random.Philox(key=int.from_bytes(digest, "little"), counter=index)
    return float(np.random.Generator(generator).random())
