"""What a model's tokens cost: the user's own prices first, then those that genai-prices carries offline."""

from __future__ import annotations

from datetime import UTC, datetime, time
from decimal import Decimal
from functools import lru_cache

from simulator.cost.prices import Prices, TokenRates
from simulator.errors import ParameterError

_MILLION = Decimal(1_000_000)


def token_rates(model: str, prices: Prices) -> tuple[TokenRates, ...]:
    """Give the rates of ``model``, one entry a price tier, ascending in ``above_input_tokens`` (the first has 0).

    Parameters
    ----------
    model
        A Bedrock model or inference-profile id (``us.amazon.nova-lite-v1:0``), or a key of ``prices.models``.
    prices
        Their date picks among the prices that a model had over time.

    Raises
    ------
    ParameterError
        Neither knows the model; the message says where to put its price.
    """
    if model in prices.models:
        return (prices.models[model],)
    return _packaged_rates(model, datetime.combine(prices.as_of, time(), tzinfo=UTC))


@lru_cache(maxsize=256)
def _packaged_rates(model: str, as_of: datetime) -> tuple[TokenRates, ...]:
    # Imported here: it takes 0.2 s, which `tailcast --help` and a trace without a model should not pay.
    from genai_prices import Usage, calc_price
    from genai_prices.types import TieredPrices

    def usd(**tokens: int) -> Decimal:
        return calc_price(Usage(**tokens), model, provider_id="aws", genai_request_timestamp=as_of).total_price

    try:
        found = calc_price(Usage(), model, provider_id="aws", genai_request_timestamp=as_of)
    except LookupError as error:
        raise ParameterError(
            f"model {model!r}: no token price known; add a table [models.{model!r}] with input and output "
            "(USD per million tokens) to a TOML file and pass it with --prices"
        ) from error
    tiered = [price for price in vars(found.model_price).values() if isinstance(price, TieredPrices)]
    starts = sorted({0, *(tier.start for price in tiered for tier in price.tiers)})
    rates = []
    # Asked for by difference, so that a price which the model lacks (Nova has none for cache writes) falls back as
    # genai-prices has it: to that of plain input. A cached token counts as input there.
    for start in starts:
        length = start + 1
        base = usd(input_tokens=length)
        rates.append(
            TokenRates(
                input=float(base / length * _MILLION),
                output=float((usd(input_tokens=length, output_tokens=1) - base) * _MILLION),
                cache_read=float((usd(input_tokens=length, cache_read_tokens=1) - base + base / length) * _MILLION),
                cache_write=float((usd(input_tokens=length, cache_write_tokens=1) - base + base / length) * _MILLION),
                above_input_tokens=start,
            )
        )
    return tuple(rates)
