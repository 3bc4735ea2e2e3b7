"""The configuration of the inference function: environment variables, read once, at INIT.

Baseline and optimized are the same code; only these differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from functions.common import variables


@dataclass(frozen=True)
class Settings:
    """Validated settings; the variable of each field is its name in capitals."""

    model_id: str
    """Bedrock model or inference-profile id."""
    variant: str
    """What this configuration is called in records and metrics."""
    max_tokens: int
    """Upper limit of the answer. Bedrock reserves input + this much of the quota up front, so it is always sent."""
    temperature: float | None
    """Of [0, 1]; None leaves it to the model."""
    max_prompt_chars: int
    """Longer prompts are rejected."""
    system_prompt: str
    """Sent ahead of every prompt; empty for none."""
    model_max_attempts: int
    """Tries of the SDK in all, within the request's deadline."""
    deadline_margin_ms: int
    """What is kept back of the function's remaining time, to answer in."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Read and validate. Raises ConfigurationError with one line that names variable and value."""
        return cls(
            model_id=variables.text(environment, "MODEL_ID"),
            variant=variables.text(environment, "VARIANT"),
            max_tokens=variables.whole(environment, "MAX_TOKENS", 512, low=1, high=65_536),
            temperature=variables.number(environment, "TEMPERATURE", None, low=0.0, high=1.0),
            max_prompt_chars=variables.whole(environment, "MAX_PROMPT_CHARS", 20_000, low=1, high=1_000_000),
            system_prompt=variables.text(environment, "SYSTEM_PROMPT", ""),
            model_max_attempts=variables.whole(environment, "MODEL_MAX_ATTEMPTS", 2, low=1, high=10),
            deadline_margin_ms=variables.whole(environment, "DEADLINE_MARGIN_MS", 500, low=50, high=10_000),
        )
