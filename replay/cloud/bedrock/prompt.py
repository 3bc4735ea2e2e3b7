"""A request for an answer, whatever API it came by, and the answer to it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Final

CHARS_PER_TOKEN: Final = 4.0
"""Rule of thumb for English text. Every model has its own tokenizer, none of them public here; a recording's token
counts are the truth, these only stand in for them."""
_CACHE_TTL_S: Final = {"5m": 300.0, "1h": 3_600.0}
_VOCABULARY: Final = (
    "latency tail request model answer token region cache queue burst sample median quantile deploy canary traffic "
    "version alias budget retry signal window margin reading forecast interval figure trace record"
)
_WORDS: Final = _VOCABULARY.split()


class BadRequestError(Exception):
    """400 ``ValidationException``; ``str()`` is its message."""


@dataclass(frozen=True)
class CachePoint:
    """A place up to which a prompt may be cached."""

    digest: str
    """Of everything before it."""
    tokens: int
    ttl_s: float


@dataclass(frozen=True)
class Prompt:
    """What a request costs and allows."""

    input_tokens: int
    """All of it, cached or not."""
    max_tokens: int | None
    """None where the request leaves it to the model."""
    cache_points: tuple[CachePoint, ...] = ()


@dataclass(frozen=True)
class Answer:
    """What the model says."""

    text: str
    input_tokens: int
    """Without those read from or written to the cache."""
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    cut_short: bool
    """It reached ``maxTokens``."""
    latency_ms: float

    @property
    def total_tokens(self) -> int:
        """All tokens, cached ones counted."""
        return self.input_tokens + self.output_tokens + self.cache_read_tokens + self.cache_write_tokens


class PromptReader:
    """Measures the parts of a prompt, in the order in which the model reads them."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._chars = 0
        self._points: list[CachePoint] = []

    def text(self, text: str) -> None:
        """Read a piece of text."""
        self._hash.update(text.encode(errors="surrogatepass"))
        self._chars += len(text)

    def other(self, block: Any) -> None:
        """Read a block that is not text (a tool's result, a document), by the length of its JSON."""
        self.text(json.dumps(block, sort_keys=True, default=str))

    def cache_point(self, point: Any) -> None:
        """Note that everything so far may be cached. Raises BadRequestError."""
        if not isinstance(point, dict):
            raise BadRequestError(f"Malformed input request: cache point {point!r} must be an object.")
        ttl = str(point.get("ttl", "5m"))
        if ttl not in _CACHE_TTL_S:
            raise BadRequestError(f"Cache point ttl '{ttl}' is not one of {', '.join(_CACHE_TTL_S)}.")
        self._points.append(CachePoint(self._hash.hexdigest(), self._tokens(), _CACHE_TTL_S[ttl]))

    def prompt(self, max_tokens: int | None) -> Prompt:
        """Give what was read."""
        return Prompt(max(1, self._tokens()), max_tokens, tuple(self._points))

    def _tokens(self) -> int:
        return round(self._chars / CHARS_PER_TOKEN)


def filler(prompt_tokens: int, tokens: int) -> str:
    """Make an answer of about ``tokens`` tokens: plausible in length, the same for prompts of the same length."""
    length = max(1, int(tokens * CHARS_PER_TOKEN))
    words: list[str] = []
    size = 0
    position = prompt_tokens
    while size < length:
        # A step that shares no factor with the number of words visits them all.
        position = (position + 7) % len(_WORDS)
        words.append(_WORDS[position])
        size += len(_WORDS[position]) + 1
    text = " ".join(words)[:length].rstrip()
    return text[:1].upper() + text[1:]
