"""Prompts of a wanted length, whose beginning is shared or unlike any other's: that is what a prompt cache sees."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from replay.bench.arms import Arm

CHARACTERS_PER_TOKEN: Final = 4
_BELOW_SHARE: Final = 0.5
"""A prefix that is to stay below the cache's minimum has this share of it: no tokenizer brings it above."""

_TEXT: Final = (
    "You answer questions about the operation of a public library. Opening hours are nine to six on working days and "
    "ten to two on Saturdays. Members borrow up to twelve items for four weeks and may renew twice unless someone "
    "waits. Late items cost ten cents a day. Rooms are booked a week ahead. Answer politely, in full sentences, "
    "and keep to what is written here. "
)


@dataclass(frozen=True)
class Prompt:
    """What goes into one request."""

    system: str
    user: str
    cache_point: bool
    """Whether one stands after the system prompt."""


def make_prompt(arm: Arm, *, key: str, cache_minimum_tokens: int | None) -> Prompt:
    """Make the prompt of one request.

    Parameters
    ----------
    arm
        Its lengths and its use of the cache.
    key
        Makes the beginning of the prompt: the same key, the same prefix. A ``read`` arm shares one over a run,
        ``write`` has one of its own for each request.
    cache_minimum_tokens
        The model's; only ``below`` needs it.
    """
    user = (
        f"Question {_short(key + arm.cache)}: how do I renew what I borrowed? "
        f"Write at least {arm.output_tokens} words, and do not stop before."
    )
    tokens = max(arm.input_tokens - -(-len(user) // CHARACTERS_PER_TOKEN), 1)
    if arm.cache == "below":
        tokens = min(tokens, int((cache_minimum_tokens or 1024) * _BELOW_SHARE))
    prefix = f"[{_short(key)}] "
    system = (prefix + _filler(tokens * CHARACTERS_PER_TOKEN))[: tokens * CHARACTERS_PER_TOKEN]
    return Prompt(system, user, cache_point=arm.cache != "off")


def converse_arguments(model_id: str, prompt: Prompt, arm: Arm) -> dict[str, Any]:
    """Give the arguments of ConverseStream. What is standard is left out, so that every model takes it."""
    system: list[dict[str, Any]] = [{"text": prompt.system}]
    if prompt.cache_point:
        system.append({"cachePoint": {"type": "default"}})
    arguments: dict[str, Any] = {
        "modelId": model_id,
        "system": system,
        "messages": [{"role": "user", "content": [{"text": prompt.user}]}],
        # Always set: Bedrock's quota reserves maxTokens up front.
        "inferenceConfig": {"maxTokens": arm.output_tokens},
    }
    if arm.latency != "standard":
        arguments["performanceConfig"] = {"latency": arm.latency}
    if arm.tier != "default":
        arguments["serviceTier"] = {"type": arm.tier}
    return arguments


def _short(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()


@lru_cache(maxsize=64)
def _filler(characters: int) -> str:
    return (_TEXT * (characters // len(_TEXT) + 1))[:characters]
