"""A caller's request, validated: pure Python, since a validation library would cost more at INIT than it saves here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from functions.common.errors import RejectedError
from functions.common.settings import Settings
from functions.common.tiers import Tier

FIELDS: Final = ("prompt", "system", "tier", "max_tokens", "temperature")


@dataclass(frozen=True)
class InferenceRequest:
    """One prompt, and how it is to be answered."""

    prompt: str
    system: str
    """The configured system prompt, or the caller's own; empty for none."""
    tier: Tier
    max_tokens: int
    temperature: float | None
    """Of [0, 1]; None leaves it to the model."""


def read_request(body: Mapping[str, Any], settings: Settings) -> InferenceRequest:
    """Validate ``body``. Raises RejectedError with one line that names field and value, never the prompt's text."""
    unknown = next((name for name in body if name not in FIELDS), None)
    if unknown is not None:
        # A misspelled limit that is silently ignored costs money.
        raise RejectedError(f"{_named(unknown)} is unknown; known are {', '.join(FIELDS)}")
    tier = _tier(body.get("tier"), settings)
    return InferenceRequest(
        prompt=_prompt(body, settings.max_prompt_chars),
        system=_system(body, settings),
        tier=tier,
        max_tokens=_max_tokens(body.get("max_tokens"), tier),
        temperature=_temperature(body.get("temperature"), settings.temperature),
    )


def _named(name: object) -> str:
    """Name an unknown field where it is a known one misspelled: any other text may be a prompt in the wrong place."""
    # Imported here: INIT need not pay for what only a refusal uses.
    from difflib import get_close_matches

    text = str(name)
    return f"field {text!r}" if len(text) <= 20 and get_close_matches(text.lower(), FIELDS, 1, 0.7) else "a field"


def _prompt(body: Mapping[str, Any], limit_chars: int) -> str:
    if "prompt" not in body:
        raise RejectedError("field 'prompt' is missing")
    prompt = _text("prompt", body["prompt"], limit_chars)
    if not prompt.strip():
        raise RejectedError("field 'prompt' is empty")
    return prompt


def _system(body: Mapping[str, Any], settings: Settings) -> str:
    if body.get("system") is None:
        return settings.system_prompt
    if not settings.allow_system:
        raise RejectedError("field 'system' is not allowed here; this API has a system prompt of its own")
    return _text("system", body["system"], settings.max_prompt_chars)


def _text(name: str, value: object, limit_chars: int) -> str:
    if not isinstance(value, str):
        raise RejectedError(f"field {name!r} must be text, not {type(value).__name__}")
    if len(value) > limit_chars:
        raise RejectedError(f"field {name!r} has {len(value)} characters; at most {limit_chars} are allowed")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise RejectedError(f"field {name!r} holds half of a surrogate pair, which is no text") from None
    return value


def _tier(value: object, settings: Settings) -> Tier:
    if value is None:
        return settings.tiers[settings.default_tier]
    if not isinstance(value, str) or value not in settings.tiers:
        raise RejectedError(f"field 'tier' must be one of {', '.join(sorted(settings.tiers))}")
    return settings.tiers[value]


def _max_tokens(value: object, tier: Tier) -> int:
    if value is None:
        return tier.max_tokens
    if isinstance(value, bool) or not isinstance(value, int):
        raise RejectedError(f"field 'max_tokens' must be a whole number, not {type(value).__name__}")
    if not 1 <= value <= tier.max_tokens:
        raise RejectedError(f"field 'max_tokens' must lie between 1 and {tier.max_tokens} for tier {tier.name!r}")
    return value


def _temperature(value: object, default: float | None) -> float | None:
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise RejectedError(f"field 'temperature' must be a number, not {type(value).__name__}")
    if not 0 <= value <= 1:  # NaN too: JSON as Python reads it can hold one
        raise RejectedError("field 'temperature' must lie between 0 and 1")
    return float(value)
