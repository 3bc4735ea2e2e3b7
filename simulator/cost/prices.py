"""Prices: the shipped, dated table, and the user's own laid over it."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from simulator.errors import ParameterError

ARCHITECTURES: Final = ("x86_64", "arm64")
GATEWAYS: Final = ("http_api", "rest_api", "none")
"""What stands before the function. ``none``: a Function URL or a direct invocation, which cost nothing themselves."""


@dataclass(frozen=True)
class TokenRates:
    """What one model's tokens cost, in USD per million, above a number of input tokens."""

    input: float
    output: float
    cache_read: float
    cache_write: float
    above_input_tokens: int = 0
    """These rates hold for a whole request whose input (cached tokens counted) is longer than this; 0 for all."""


@dataclass(frozen=True)
class Prices:
    """Everything that a request is paid by, in USD. Mappings go from architecture (:data:`ARCHITECTURES`) to price."""

    as_of: date
    region: str
    lambda_gb_second_usd: Mapping[str, float]
    lambda_requests_per_million_usd: float
    provisioned_gb_second_usd: Mapping[str, float]
    """Provisioned concurrency kept ready, idle or not."""
    provisioned_duration_gb_second_usd: Mapping[str, float]
    """Work done in provisioned concurrency, on top of keeping it ready."""
    http_api_per_million_usd: float
    http_api_unit_kb: float
    rest_api_per_million_usd: float
    dynamodb_write_units_per_million_usd: float
    dynamodb_read_units_per_million_usd: float
    dynamodb_stored_gb_month_usd: float
    logs_ingested_gb_usd: float
    logs_stored_gb_month_usd: float
    logs_stored_share: float
    """What compression leaves of a log, which its storage is billed by."""
    custom_metric_month_usd: float
    models: Mapping[str, TokenRates] = field(default_factory=dict)
    """The user's own token prices by model id; they win over those of genai-prices."""


def load_prices(path: str | Path | None = None) -> Prices:
    """Read the shipped prices, with those of the TOML file at ``path`` laid over them.

    Parameters
    ----------
    path
        A file with any of the keys of ``simulator/cost/prices.toml``; the other prices stay as shipped.

    Raises
    ------
    ParameterError
        The file cannot be read, is not TOML, or holds an unknown key or a price that is not a number ≥ 0.
    """
    if path is None:
        return _shipped()
    source = Path(path)
    try:
        own = tomllib.loads(source.read_text(encoding="utf-8"))
    except OSError as error:
        raise ParameterError(f"{source}: cannot read the prices ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ParameterError(f"{source}: the prices are not TOML ({error})") from error
    own_models = own.pop("models", {})
    if not isinstance(own_models, Mapping):
        raise ParameterError(f"{source}: 'models' is {own_models!r}; give each model a table, such as [models.\"ID\"]")
    table = _shipped_table()
    return _prices(_laid_over(table, own, str(source)), own_models, str(source))


@lru_cache(maxsize=1)
def _shipped() -> Prices:
    return _prices(_shipped_table(), {}, "the shipped prices")


def _shipped_table() -> dict[str, Any]:
    return tomllib.loads((files("simulator.cost") / "prices.toml").read_text(encoding="utf-8"))


def _laid_over(table: Mapping[str, Any], own: Mapping[str, Any], origin: str, prefix: str = "") -> dict[str, Any]:
    merged = dict(table)
    for key, value in own.items():
        name = f"{prefix}{key}"
        if key not in table:
            raise ParameterError(f"{origin}: {name!r} is not a price; known here: {', '.join(table)}")
        below = table[key]
        if isinstance(below, Mapping) != isinstance(value, Mapping):
            raise ParameterError(f"{origin}: {name!r} is {value!r}; it must be shaped as in the shipped prices.toml")
        merged[key] = _laid_over(below, value, origin, f"{name}.") if isinstance(below, Mapping) else value
    return merged


def _prices(table: Mapping[str, Any], models: Mapping[str, Any], origin: str) -> Prices:
    def usd(section: str, key: str) -> float:
        return _amount(table[section][key], f"{section}.{key}", origin)

    def by_architecture(key: str) -> dict[str, float]:
        return {name: _amount(table["lambda"][key][name], f"lambda.{key}.{name}", origin) for name in ARCHITECTURES}

    as_of = table["as_of"]
    if isinstance(as_of, datetime) or not isinstance(as_of, date):
        raise ParameterError(f"{origin}: 'as_of' is {as_of!r}; give a date without quotes, such as 2026-11-01")
    unit_kb = usd("gateway", "http_api_unit_kb")
    if unit_kb == 0:
        raise ParameterError(f"{origin}: 'gateway.http_api_unit_kb' is 0; AWS counts units of 512 KB")
    return Prices(
        as_of=as_of,
        region=str(table["region"]),
        lambda_gb_second_usd=by_architecture("gb_second"),
        lambda_requests_per_million_usd=usd("lambda", "requests_per_million"),
        provisioned_gb_second_usd=by_architecture("provisioned_gb_second"),
        provisioned_duration_gb_second_usd=by_architecture("provisioned_duration_gb_second"),
        http_api_per_million_usd=usd("gateway", "http_api_per_million"),
        http_api_unit_kb=unit_kb,
        rest_api_per_million_usd=usd("gateway", "rest_api_per_million"),
        dynamodb_write_units_per_million_usd=usd("dynamodb", "write_units_per_million"),
        dynamodb_read_units_per_million_usd=usd("dynamodb", "read_units_per_million"),
        dynamodb_stored_gb_month_usd=usd("dynamodb", "stored_gb_month"),
        logs_ingested_gb_usd=usd("logs", "ingested_gb"),
        logs_stored_gb_month_usd=usd("logs", "stored_gb_month"),
        logs_stored_share=usd("logs", "stored_share"),
        custom_metric_month_usd=usd("metrics", "custom_month"),
        models={str(name): _token_rates(str(name), values, origin) for name, values in models.items()},
    )


def _token_rates(model: str, values: Any, origin: str) -> TokenRates:
    place = f'models."{model}"'
    known = ("input", "output", "cache_read", "cache_write")
    if not isinstance(values, Mapping) or not {"input", "output"} <= values.keys() <= set(known):
        raise ParameterError(f"{origin}: {place} needs input and output (and may have cache_read and cache_write)")
    rates = {key: _amount(value, f"{place}.{key}", origin) for key, value in values.items()}
    return TokenRates(
        input=rates["input"],
        output=rates["output"],
        cache_read=rates.get("cache_read", rates["input"]),
        cache_write=rates.get("cache_write", rates["input"]),
    )


def _amount(value: Any, name: str, origin: str) -> float:
    usable = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
    if not usable:
        raise ParameterError(f"{origin}: {name!r} is {value!r}; a price is a number ≥ 0, in USD")
    return float(value)
