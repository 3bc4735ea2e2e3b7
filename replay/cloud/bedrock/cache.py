"""The prompt cache: which prefixes a model has read lately."""

from __future__ import annotations

from replay.cloud.bedrock.prompt import Prompt


class PromptCache:
    """Prefixes of one model with the time at which each is forgotten. A hit keeps a prefix for another TTL."""

    def __init__(self, min_tokens: int | None) -> None:
        self._min_tokens = min_tokens
        self._until_s: dict[str, float] = {}

    def read(self, prompt: Prompt, now_s: float) -> tuple[int, int]:
        """Give how many of a prompt's tokens are read from the cache, and how many are written to it.

        A prefix below the model's minimum is silently left out, as on Bedrock.
        """
        if self._min_tokens is None or not prompt.cache_points:
            return 0, 0
        self._until_s = {digest: until for digest, until in self._until_s.items() if until > now_s}
        points = [point for point in prompt.cache_points if point.tokens >= self._min_tokens]
        read = max((point.tokens for point in points if point.digest in self._until_s), default=0)
        longest = max((point.tokens for point in points), default=0)
        for point in points:
            self._until_s[point.digest] = now_s + point.ttl_s
        return read, longest - read
