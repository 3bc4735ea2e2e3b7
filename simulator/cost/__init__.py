"""What requests cost: dated, overridable prices, and functions from billed time, requests and tokens to dollars.

>>> prices = load_prices()
>>> round(float(lambda_cost_usd(1115, 1023, prices=prices)) * 1e6, 3)  # micro-dollars of one cold start
18.565
"""

from simulator.cost.prices import ARCHITECTURES, GATEWAYS, Prices, TokenRates, load_prices
from simulator.cost.request import lambda_cost_usd, provisioned_idle_usd_per_hour, request_cost_usd, token_cost_usd
from simulator.cost.tokens import token_rates
from simulator.cost.trace import TraceCost, Unpriced, trace_cost, trace_cost_usd

__all__ = [
    "ARCHITECTURES",
    "GATEWAYS",
    "Prices",
    "TokenRates",
    "TraceCost",
    "Unpriced",
    "lambda_cost_usd",
    "load_prices",
    "provisioned_idle_usd_per_hour",
    "request_cost_usd",
    "token_cost_usd",
    "token_rates",
    "trace_cost",
    "trace_cost_usd",
]
