"""The prompt cache: which prefix was seen where, and until when.

As Bedrock's: a prefix ends at a ``cachePoint`` block; one shorter than the model's minimum is silently not cached; an
entry lives for its time to live (5 minutes, or 1 hour where asked for) from its last use; and each region has a cache
of its own, so that a request which a cross-region profile routes elsewhere misses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

TTL_S: Final = {"5m": 300.0, "1h": 3600.0}
MAX_CACHE_POINTS: Final = 4
"""A request may hold no more (Bedrock user guide, "Prompt caching")."""


@dataclass(frozen=True)
class Prefix:
    """All that stands before one cache point."""

    text: str
    tokens: int
    ttl: str = "5m"


@dataclass(frozen=True)
class Use:
    """What a request took from the cache and put into it, in tokens."""

    read_tokens: int = 0
    write_tokens: int = 0


class PromptCache:
    """The caches of all regions.

    Parameters
    ----------
    clock
        Gives seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._until_s: dict[tuple[str, str, bytes], float] = {}

    def use(self, model_id: str, region: str, prefixes: Sequence[Prefix], minimum_tokens: int) -> Use:
        """Look up a request's prefixes (ascending in length), and remember them.

        The longest prefix found is read; a longer one that was not there is written, less what was read.
        """
        now_s = self._clock()
        self._forget(now_s)
        read = 0
        longest = 0
        for prefix in prefixes:
            if prefix.tokens < minimum_tokens:
                continue
            key = (model_id, region, blake2b(prefix.text.encode(), digest_size=16).digest())
            if key in self._until_s:
                read = max(read, prefix.tokens)
            longest = max(longest, prefix.tokens)
            self._until_s[key] = now_s + TTL_S[prefix.ttl]
        return Use(read, max(longest - read, 0))

    def clear(self) -> None:
        """Forget everything."""
        self._until_s.clear()

    def _forget(self, now_s: float) -> None:
        # Cheap enough at every use: a benchmark holds hundreds of prefixes, not millions.
        for key in [key for key, until_s in self._until_s.items() if until_s <= now_s]:
            del self._until_s[key]
