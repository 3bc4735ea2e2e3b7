"""Money: what a request may cost at most, what it did cost, and a limit that is not passed."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from typing import Final

from replay.bench.arms import Arm
from replay.bench.targets import Target, rates_of
from replay.errors import InputError
from simulator.cost import Prices, TokenRates

TIER_FACTORS: Final[Mapping[str, float]] = {"default": 1.0, "priority": 1.75, "flex": 0.5, "reserved": 1.0}
"""A service tier's price, in units of the standard tier's (Bedrock pricing page: priority 75 % more, flex half).
Reserved capacity is paid for by the month; its tokens are counted at the standard price."""
OPTIMIZED_FACTOR: Final = 1.25
"""Of latency-optimized inference (Bedrock pricing page: Nova Pro 1.00 for 0.80 USD a million tokens, Claude 3.5 Haiku
alike). No list tells it by model; some models cost the same."""


def price_factor(arm: Arm) -> float:
    """Give what an arm's tokens cost, in units of the standard price."""
    return TIER_FACTORS[arm.tier] * (OPTIMIZED_FACTOR if arm.latency == "optimized" else 1.0)


class PriceList:
    """Token prices of the targets, for the arms' tiers.

    Parameters
    ----------
    prices
        From :func:`simulator.cost.load_prices`.
    targets
        What is going to be measured.
    """

    def __init__(self, prices: Prices, targets: tuple[Target, ...]) -> None:
        self._rates: dict[str, TokenRates | None] = {
            target.label: rates_of(target.price_model or target.model_id, prices) for target in targets
        }

    def unknown(self) -> list[str]:
        """Name the targets without a price."""
        return [label for label, rates in self._rates.items() if rates is None]

    def at_most_usd(self, target: str, arm: Arm) -> float | None:
        """Give what a request costs if every token is the dearest kind, with a tenth of margin for the tokenizer."""
        rates = self._rates[target]
        if rates is None:
            return None
        dearest = max(rates.input, rates.cache_write)
        # A tier that is not to be had is served, and charged, as standard.
        factor = max(price_factor(arm), 1.0)
        return factor * (arm.input_tokens * 1.1 * dearest + arm.output_tokens * rates.output) / 1e6

    def expected_usd(self, target: str, arm: Arm) -> float | None:
        """Give what a request costs if it goes as planned."""
        rates = self._rates[target]
        if rates is None:
            return None
        rate = {"write": rates.cache_write, "read": rates.cache_read}.get(arm.cache, rates.input)
        return price_factor(arm) * (arm.input_tokens * rate + arm.output_tokens * rates.output) / 1e6

    def actual_usd(
        self, target: str, arm: Arm, input_tokens: int, output_tokens: int, cache_read: int, cache_write: int
    ) -> float | None:
        """Give what a request did cost, if the tier that was asked for served it."""
        rates = self._rates[target]
        if rates is None:
            return None
        parts = (
            input_tokens * rates.input,
            output_tokens * rates.output,
            cache_read * rates.cache_read,
            cache_write * rates.cache_write,
        )
        return price_factor(arm) * sum(parts) / 1e6


class SpendLimit:
    """A limit on money that holds whatever is under way: a request reserves its highest cost before it leaves.

    Parameters
    ----------
    limit_usd
        None: there is none.

    Raises
    ------
    InputError
        A limit that is not above 0.
    """

    def __init__(self, limit_usd: float | None) -> None:
        if limit_usd is not None and not (math.isfinite(limit_usd) and limit_usd > 0):
            raise InputError(f"spend limit {limit_usd!r} must be above 0 USD")
        self._limit = limit_usd
        self._spent = 0.0
        self._reserved = 0.0
        self._lock = threading.Lock()

    @property
    def spent_usd(self) -> float:
        """What was spent so far."""
        return self._spent

    def reserve(self, usd: float) -> bool:
        """Set money aside; say whether the limit allows it."""
        with self._lock:
            if self._limit is not None and self._spent + self._reserved + usd > self._limit:
                return False
            self._reserved += usd
            return True

    def settle(self, reserved_usd: float, spent_usd: float) -> None:
        """Give back what was set aside and note what was spent."""
        with self._lock:
            self._reserved -= reserved_usd
            self._spent += spent_usd
