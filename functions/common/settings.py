"""The configuration of the inference function: environment variables, read once, at INIT.

Baseline and optimized are the same code; only these differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from functions.common import variables
from functions.common.errors import ConfigurationError
from functions.common.tiers import MAX_TOKENS_LIMIT, Tier, read_tiers


@dataclass(frozen=True)
class CacheSettings:
    """Where answers are kept."""

    table: str
    ttl_s: int
    timeout_ms: int
    """What a look-up, and again a write, may take of a request's time."""


@dataclass(frozen=True)
class Settings:
    """Validated settings; the variable of each field is its name in capitals, unless its docstring says otherwise."""

    variant: str
    """What this configuration is called in records and metrics."""
    tiers: Mapping[str, Tier]
    """``TIERS``, and ``MODEL_ID`` and ``MAX_TOKENS`` for the default one."""
    default_tier: str
    """The tier of a request that names none; it is the one that baseline and optimized are about."""
    temperature: float | None
    """Of [0, 1]; None leaves it to the model."""
    max_prompt_chars: int
    """Longer prompts are rejected."""
    max_body_bytes: int
    """Longer bodies are rejected unread."""
    system_prompt: str
    """Sent ahead of every prompt that brings none of its own; empty for none."""
    allow_system: bool
    """``ALLOW_SYSTEM``, 1 or 0: whether a caller may send a system prompt of their own."""
    model_max_attempts: int
    """Tries of the SDK in all, within the request's deadline."""
    deadline_margin_ms: int
    """What is kept back of the function's remaining time, to answer in."""
    breaker_failures: int
    """Failures in a row after which a model with a fallback is left alone."""
    breaker_cooldown_s: int
    """For how long."""
    cache: CacheSettings | None
    """``CACHE_TABLE``, ``CACHE_TTL_S``, ``CACHE_TIMEOUT_MS``; None without a table."""
    rate_table: str
    """Table in which the rates of API keys are kept; empty for none."""
    rate_timeout_ms: int
    """What counting a request may take of its time, before it passes uncounted."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Read and validate. Raises ConfigurationError with one line that names variable and value."""
        default_tier = variables.text(environment, "DEFAULT_TIER", "standard")
        max_prompt_chars = variables.whole(environment, "MAX_PROMPT_CHARS", 20_000, low=1, high=1_000_000)
        table = variables.text(environment, "CACHE_TABLE", "")
        variant = variables.text(environment, "VARIANT")
        return cls(
            variant=variant,
            tiers=read_tiers(
                variables.text(environment, "TIERS", ""),
                default_tier,
                variables.text(environment, "MODEL_ID"),
                variables.whole(environment, "MAX_TOKENS", 512, low=1, high=MAX_TOKENS_LIMIT),
            ),
            default_tier=default_tier,
            temperature=variables.number(environment, "TEMPERATURE", None, low=0.0, high=1.0),
            max_prompt_chars=max_prompt_chars,
            max_body_bytes=variables.whole(environment, "MAX_BODY_BYTES", 1_048_576, low=1_024, high=6_291_456),
            system_prompt=_system_prompt(environment, max_prompt_chars),
            allow_system=bool(variables.whole(environment, "ALLOW_SYSTEM", 1, low=0, high=1)),
            model_max_attempts=variables.whole(environment, "MODEL_MAX_ATTEMPTS", 2, low=1, high=10),
            deadline_margin_ms=variables.whole(environment, "DEADLINE_MARGIN_MS", 500, low=50, high=10_000),
            breaker_failures=variables.whole(environment, "BREAKER_FAILURES", 3, low=1, high=100),
            breaker_cooldown_s=variables.whole(environment, "BREAKER_COOLDOWN_S", 30, low=1, high=3_600),
            cache=CacheSettings(
                table=table,
                ttl_s=variables.whole(environment, "CACHE_TTL_S", 86_400, low=1, high=2_592_000),
                timeout_ms=variables.whole(environment, "CACHE_TIMEOUT_MS", 100, low=1, high=5_000),
            )
            if table
            else None,
            rate_table=variables.text(environment, "RATE_TABLE", ""),
            rate_timeout_ms=variables.whole(environment, "RATE_TIMEOUT_MS", 100, low=1, high=5_000),
        )


def _system_prompt(environment: Mapping[str, str], limit_chars: int) -> str:
    text = variables.text(environment, "SYSTEM_PROMPT", "")
    if len(text) > limit_chars:
        raise ConfigurationError(
            f"environment variable SYSTEM_PROMPT has {len(text)} characters; MAX_PROMPT_CHARS allows {limit_chars}"
        )
    return text
