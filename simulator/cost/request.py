"""The price of one request's parts. Each function takes scalars or arrays of one shape, and answers in that shape.

What stands beside a request (logs, the response cache, provisioned concurrency) is in :mod:`simulator.cost.beside`.
What both leave out: data transfer, ephemeral storage above 512 MB, the free tier and volume discounts. Each is small
beside tokens and GB-seconds, or belongs to an account rather than to a request.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simulator.cost.prices import ARCHITECTURES, GATEWAYS, Prices
from simulator.cost.tokens import token_rates
from simulator.errors import ParameterError

FloatArray = NDArray[np.float64]

TOKEN_KINDS: Final = ("input", "output", "cache_read", "cache_write")

_MB_PER_GB = 1024.0


def lambda_cost_usd(
    billed_ms: ArrayLike,
    memory_mb: ArrayLike,
    *,
    prices: Prices,
    provisioned: ArrayLike = False,
    architecture: str = "x86_64",
) -> FloatArray:
    """Price the GB-seconds of invocations: ``billed_ms / 1000 × memory_mb / 1024 × rate``.

    Parameters
    ----------
    billed_ms
        As the REPORT line has it: whole milliseconds, INIT included (since 2025-08-01 for every on-demand cold start).
    memory_mb
        Configured memory.
    prices
        From :func:`~simulator.cost.prices.load_prices`.
    provisioned
        Where true, the environment belongs to provisioned concurrency and works at its lower rate; that it is kept
        ready is paid apart (:func:`provisioned_idle_usd_per_hour`).
    architecture
        ``x86_64`` or ``arm64``.

    Raises
    ------
    ParameterError
        An unknown architecture.
    """
    _check_architecture(architecture)
    gb_seconds = np.asarray(billed_ms, dtype=np.float64) / 1000.0 * np.asarray(memory_mb, dtype=np.float64) / _MB_PER_GB
    rate = np.where(
        np.asarray(provisioned, dtype=np.bool_),
        prices.provisioned_duration_gb_second_usd[architecture],
        prices.lambda_gb_second_usd[architecture],
    )
    return np.asarray(gb_seconds * rate, dtype=np.float64)


def request_cost_usd(*, prices: Prices, gateway: str = "http_api", request_kb: float = 0.0) -> float:
    """Price what one request pays for being one: the invocation, and its way through the gateway.

    Parameters
    ----------
    prices
        From :func:`~simulator.cost.prices.load_prices`.
    gateway
        One of :data:`~simulator.cost.prices.GATEWAYS`.
    request_kb
        Size of its payload; an HTTP API counts each begun 512 KB as a request.

    Raises
    ------
    ParameterError
        An unknown gateway or a negative size.
    """
    if gateway not in GATEWAYS:
        raise ParameterError(f"gateway {gateway!r} is not one of {', '.join(GATEWAYS)}")
    if not request_kb >= 0:
        raise ParameterError(f"request size {request_kb!r} KB is negative; give the payload's size")
    invocation = prices.lambda_requests_per_million_usd / 1e6
    if gateway == "http_api":
        units = max(1, math.ceil(request_kb / prices.http_api_unit_kb))
        return invocation + units * prices.http_api_per_million_usd / 1e6
    return invocation + (prices.rest_api_per_million_usd / 1e6 if gateway == "rest_api" else 0.0)


def token_parts_usd(
    model: str,
    input_tokens: ArrayLike,
    output_tokens: ArrayLike,
    cache_read_tokens: ArrayLike = 0,
    cache_write_tokens: ArrayLike = 0,
    *,
    prices: Prices,
) -> dict[str, FloatArray]:
    """Price the tokens of requests to one model, each of :data:`TOKEN_KINDS` apart.

    Parameters
    ----------
    model
        A Bedrock model or inference-profile id, or a key of ``prices.models``.
    input_tokens
        Without those read from or written to the cache, as Bedrock's ``usage.inputTokens`` has them.
    output_tokens, cache_read_tokens, cache_write_tokens
        Of the same shape, or broadcast to it.
    prices
        From :func:`~simulator.cost.prices.load_prices`.

    Raises
    ------
    ParameterError
        A model without a known price.
    """
    tiers = token_rates(model, prices)
    counts = np.broadcast_arrays(
        *(
            np.asarray(tokens, dtype=np.float64)
            for tokens in (input_tokens, output_tokens, cache_read_tokens, cache_write_tokens)
        )
    )
    tokens = dict(zip(TOKEN_KINDS, counts, strict=True))
    length = tokens["input"] + tokens["cache_read"] + tokens["cache_write"]
    tier = np.searchsorted([rates.above_input_tokens for rates in tiers[1:]], length, side="left")

    def rate(kind: str) -> FloatArray:
        by_tier = np.asarray([getattr(rates, kind) for rates in tiers], dtype=np.float64)
        return np.asarray(by_tier[tier], dtype=np.float64)

    return {kind: np.asarray(count * rate(kind) / 1e6, dtype=np.float64) for kind, count in tokens.items()}


def token_cost_usd(
    model: str,
    input_tokens: ArrayLike,
    output_tokens: ArrayLike,
    cache_read_tokens: ArrayLike = 0,
    cache_write_tokens: ArrayLike = 0,
    *,
    prices: Prices,
) -> FloatArray:
    """Price the tokens of requests to one model, all kinds together: the sum of :func:`token_parts_usd`.

    Raises
    ------
    ParameterError
        A model without a known price.
    """
    parts = token_parts_usd(model, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, prices=prices)
    return np.asarray(sum(parts.values()), dtype=np.float64)


def provisioned_idle_usd_per_hour(
    count: float, memory_mb: float, *, prices: Prices, architecture: str = "x86_64"
) -> float:
    """Price an hour of keeping ``count`` environments of ``memory_mb`` ready, whether they work or not.

    AWS bills it from its request until it is disabled, rounded up to 5 minutes.

    Raises
    ------
    ParameterError
        A negative count or an unknown architecture.
    """
    _check_architecture(architecture)
    if not count >= 0:
        raise ParameterError(f"provisioned concurrency {count!r} is negative; give the number of environments")
    gb_seconds = count * memory_mb / _MB_PER_GB * 3600.0
    return gb_seconds * prices.provisioned_gb_second_usd[architecture]


def _check_architecture(architecture: str) -> None:
    if architecture not in ARCHITECTURES:
        raise ParameterError(f"architecture {architecture!r} is not one of {', '.join(ARCHITECTURES)}")
