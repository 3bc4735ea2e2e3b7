"""Tiers: what a caller chooses between (``fast``, ``standard``, ``reasoning``), and what each of them is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from functions.common.errors import ConfigurationError

MAX_TOKENS_LIMIT: Final = 65_536
LATENCIES: Final = ("standard", "optimized")
"""``performanceConfig.latency`` of Converse."""
SERVICE_TIERS: Final = ("default", "priority", "flex", "reserved")
"""``serviceTier.type`` of Converse."""
PRICE_KEYS: Final = ("input", "output", "cache_read", "cache_write")
_MILLION: Final = 1e6
_KEYS: Final = {
    "model_id",
    "max_tokens",
    "usd_per_million",
    "cache_minimum_tokens",
    "latency",
    "service_tier",
    "fallback",
}


@dataclass(frozen=True)
class Usage:
    """Tokens as Bedrock counted them; ``input_tokens`` excludes those read from or written to the cache."""

    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int


NO_TOKENS: Final = Usage(0, 0, 0, 0)


@dataclass(frozen=True)
class Prices:
    """USD per million tokens."""

    input: float
    output: float
    cache_read: float
    cache_write: float

    def cost_usd(self, usage: Usage) -> float:
        """Give what one answer costs, in USD."""
        return (
            self.input * usage.input_tokens
            + self.output * usage.output_tokens
            + self.cache_read * usage.cache_read_tokens
            + self.cache_write * usage.cache_write_tokens
        ) / _MILLION


@dataclass(frozen=True)
class Tier:
    """One tier; absent is ``None``."""

    name: str
    model_id: str
    """Bedrock model or inference-profile id."""
    max_tokens: int
    """Most that a caller may ask for, and what is sent where none is asked for."""
    prices: Prices | None = None
    cache_minimum_tokens: int | None = None
    """Prefixes shorter than this are not cached by the model; None where it has no prompt cache."""
    latency: str | None = None
    """One of :data:`LATENCIES`; None leaves it to Bedrock."""
    service_tier: str | None = None
    """One of :data:`SERVICE_TIERS`; None leaves it to Bedrock."""
    fallback: str | None = None
    """Tier that answers where this one's model throttles or is down."""

    def cost_usd(self, usage: Usage) -> float | None:
        """Give what ``usage`` costs in USD; None where no price is configured."""
        return None if self.prices is None else self.prices.cost_usd(usage)


def read_tiers(raw: str, default: str, model_id: str, max_tokens: int) -> dict[str, Tier]:
    """Read the table of tiers.

    Parameters
    ----------
    raw
        JSON, ``{name: {model_id, max_tokens, usd_per_million, …}}``; empty for one tier alone.
    default
        The tier of a request that names none. It belongs to the variant: its model and limit are the two below, so
        its entry leaves them out or repeats them.
    model_id, max_tokens
        Of the default tier.

    Raises
    ------
    ConfigurationError
        One line that names tier, field and value.
    """
    try:
        table = json.loads(raw) if raw else {}
    except ValueError:
        raise ConfigurationError("environment variable TIERS is not valid JSON") from None
    if not isinstance(table, dict) or not all(isinstance(entry, dict) for entry in table.values()):
        raise ConfigurationError('environment variable TIERS must be JSON such as {"fast": {"model_id": "…"}}')
    own = table.get(default, {})
    if own.get("model_id", model_id) != model_id:
        raise ConfigurationError(
            f"TIERS: tier {default!r}: model_id={own['model_id']!r} is not MODEL_ID={model_id!r}; leave it out"
        )
    table = {**table, default: {"max_tokens": max_tokens, **own, "model_id": model_id}}
    tiers = {name: _tier(name, entry) for name, entry in table.items()}
    for tier in tiers.values():
        fallbacks(tier, tiers)
    return tiers


def fallbacks(tier: Tier, tiers: Mapping[str, Tier]) -> list[Tier]:
    """Give ``tier`` and those that stand in for it, in order.

    Raises
    ------
    ConfigurationError
        One of them does not exist, or they go in a circle.
    """
    chain = [tier]
    while (name := chain[-1].fallback) is not None:
        if name not in tiers:
            raise ConfigurationError(f"TIERS: tier {chain[-1].name!r}: fallback={name!r} is not a tier")
        if tiers[name] in chain:
            raise ConfigurationError(f"TIERS: tier {tier.name!r}: its fallbacks lead back to {name!r}")
        chain.append(tiers[name])
    return chain


def _tier(name: str, entry: Mapping[str, Any]) -> Tier:
    unknown = sorted(set(entry) - _KEYS)
    if unknown:
        raise ConfigurationError(f"TIERS: tier {name!r}: unknown field {unknown[0]!r}; known are {sorted(_KEYS)}")
    # Terraform writes every field of its objects, null where it has none.
    given = {key: value for key, value in entry.items() if value is not None}
    model_id = given.get("model_id")
    if not isinstance(model_id, str) or not model_id:
        raise ConfigurationError(f"TIERS: tier {name!r}: model_id={model_id!r} must be a model or profile id")
    prices = given.get("usd_per_million")
    return Tier(
        name=name,
        model_id=model_id,
        max_tokens=_whole(name, "max_tokens", given.get("max_tokens", 512), MAX_TOKENS_LIMIT),
        prices=None if prices is None else _prices(name, prices),
        cache_minimum_tokens=None
        if "cache_minimum_tokens" not in given
        else _whole(name, "cache_minimum_tokens", given["cache_minimum_tokens"], 1_000_000),
        latency=_one_of(name, "latency", given.get("latency"), LATENCIES),
        service_tier=_one_of(name, "service_tier", given.get("service_tier"), SERVICE_TIERS),
        fallback=given.get("fallback"),
    )


def _prices(name: str, value: object) -> Prices:
    if not isinstance(value, dict) or not {"input", "output"} <= set(value) <= set(PRICE_KEYS):
        raise ConfigurationError(f"TIERS: tier {name!r}: usd_per_million must have input and output, of {PRICE_KEYS}")
    given = {key: price for key, price in value.items() if price is not None}
    for key, price in given.items():
        if isinstance(price, bool) or not isinstance(price, (int, float)) or not 0 <= price <= 1e6:
            raise ConfigurationError(f"TIERS: tier {name!r}: usd_per_million.{key}={price!r} must be a price from 0")
    # A model without a price of its own for cached tokens charges them as plain input.
    plain = float(given["input"])
    return Prices(plain, float(given["output"]), given.get("cache_read", plain), given.get("cache_write", plain))


def _whole(name: str, key: str, value: object, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= high:
        raise ConfigurationError(f"TIERS: tier {name!r}: {key}={value!r} must be a whole number of [1, {high}]")
    return value


def _one_of(name: str, key: str, value: object, allowed: tuple[str, ...]) -> str | None:
    if value is None:
        return None
    if value not in allowed:
        raise ConfigurationError(f"TIERS: tier {name!r}: {key}={value!r} is not one of {', '.join(allowed)}")
    return str(value)
