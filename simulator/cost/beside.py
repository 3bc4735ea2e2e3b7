"""What a request costs beside Lambda, gateway and model: its log lines, and the response cache.

Both grow with the requests. What is there whatever comes (provisioned concurrency, custom metrics) is in
:mod:`simulator.cost.monthly`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from simulator.checks import at_least
from simulator.cost.prices import Prices
from simulator.cost.request import FloatArray

BYTES_PER_GB: Final = 2.0**30
DAYS_A_MONTH: Final = 730.0 / 24.0
LOG_BYTES: Final = 2_300.0
"""Of a request of the deployed function: its record with metrics (1.4 KB) and Lambda's start, runtimeDone and report
events in the JSON format (0.6 KB), as the local cloud writes them, and the gateway's access log (0.3 KB)."""
ITEM_BYTES: Final = 110.0
"""Of a cached answer besides its text: a digest of 64 characters, an expiry, and three attribute names."""
BYTES_PER_TOKEN: Final = 4.0
_WRITE_UNIT_BYTES: Final = 1024.0
_READ_UNIT_BYTES: Final = 4096.0
_EVENTUALLY_CONSISTENT: Final = 0.5


@dataclass(frozen=True)
class Beside:
    """What stands beside the requests.

    Raises
    ------
    ParameterError
        A negative number.
    """

    log_bytes: float = LOG_BYTES
    """What a request leaves in the log."""
    log_retention_days: float = 14.0
    """How long logs are kept."""
    response_cache: bool = False
    """Whether answers are kept in DynamoDB: each request reads, each that asked the model writes."""
    cache_ttl_days: float = 1.0
    """How long an answer is kept."""

    def __post_init__(self) -> None:
        for name in ("log_bytes", "log_retention_days", "cache_ttl_days"):
            at_least(name, getattr(self, name), 0.0)


def logs_cost_usd(beside: Beside, *, prices: Prices) -> tuple[float, float]:
    """Give what one request's log lines cost: to take in, and to keep for as long as they are kept."""
    gb = beside.log_bytes / BYTES_PER_GB
    kept = gb * prices.logs_stored_share * beside.log_retention_days / DAYS_A_MONTH
    return gb * prices.logs_ingested_gb_usd, kept * prices.logs_stored_gb_month_usd


def response_cache_cost_usd(
    output_tokens: ArrayLike, asked_model: ArrayLike, beside: Beside, *, prices: Prices
) -> FloatArray:
    """Price the response cache's part in requests: a look-up, and for those that asked the model a write and its keep.

    A look-up that finds nothing is billed as the smallest one. One that finds an answer reads that answer, whose length
    is taken as the mean of those that were written.

    Parameters
    ----------
    output_tokens
        Of each request, shape ``(n,)``; 0 where the cache answered.
    asked_model
        Truth values of the same shape.
    beside
        How long answers are kept.
    prices
        From :func:`~simulator.cost.prices.load_prices`.
    """
    tokens = np.asarray(output_tokens, dtype=np.float64)
    asked = np.asarray(asked_model, dtype=np.bool_)
    item_bytes = np.where(asked, tokens * BYTES_PER_TOKEN + ITEM_BYTES, 0.0)
    mean_bytes = float(item_bytes[asked].mean()) if asked.any() else ITEM_BYTES
    read_bytes = np.where(asked, 0.0, mean_bytes)
    reads = _EVENTUALLY_CONSISTENT * np.maximum(1.0, np.ceil(read_bytes / _READ_UNIT_BYTES))
    writes = np.ceil(item_bytes / _WRITE_UNIT_BYTES)
    kept = item_bytes / BYTES_PER_GB * beside.cache_ttl_days / DAYS_A_MONTH
    return np.asarray(
        reads * prices.dynamodb_read_units_per_million_usd / 1e6
        + writes * prices.dynamodb_write_units_per_million_usd / 1e6
        + kept * prices.dynamodb_stored_gb_month_usd,
        dtype=np.float64,
    )
