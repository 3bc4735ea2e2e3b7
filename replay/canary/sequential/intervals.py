"""Confidence sequences: intervals that hold at all times at once, so that they may be read at any look.

The beta-binomial mixture martingale for a rate p after x events in n requests is

    M(p) = B(a + x, b + n − x) / (B(a, b) · p^x · (1 − p)^(n − x)),

and {p : M(p) < 1/α} holds the true rate at every n with probability at least 1 − α. For a quantile, let x be the
number of observations at or under a value: at the p-quantile it counts events of rate p, so the ranks x that M(p) does
not exclude bound the quantile between two order statistics.

Source: Howard & Ramdas, "Sequential estimation of quantiles with applications to A/B testing and best-arm
identification" (Bernoulli 28, 2022), section 3.3 (beta-binomial bound); Robbins (1970).
"""

from __future__ import annotations

import math
from collections.abc import Callable

from simulator.errors import ParameterError

_CONCENTRATION = 40.0
"""Prior requests' worth of weight around the asked rate; tunes for some hundred to some thousand requests."""


def rate_interval(events: int, requests: int, alpha: float) -> tuple[float, float]:
    """Give the confidence sequence of a rate after ``requests`` requests; (0, 1) before any.

    Parameters
    ----------
    events, requests
        Counts so far.
    alpha
        Probability that the sequence ever leaves out the true rate.
    """
    _check(events, requests, alpha)
    if requests == 0:
        return 0.0, 1.0
    # Half an event of prior weight keeps the interval tight where events are rare (Jeffreys).
    a = b = 0.5
    log_evidence = _log_beta(a + events, b + requests - events) - _log_beta(a, b)
    limit = -math.log(alpha)

    def excess(rate: float) -> float:
        return log_evidence - _log_likelihood(events, requests, rate) - limit

    centre = events / requests
    low = 0.0 if events == 0 else _bisect(excess, 0.0, centre)
    high = 1.0 if events == requests else _bisect(excess, 1.0, centre)
    return low, high


def quantile_ranks(probability: float, requests: int, alpha: float) -> tuple[int | None, int | None]:
    """Ranks (from 1) of the order statistics between which a quantile lies, at all times at once.

    Parameters
    ----------
    probability
        Which quantile, in (0, 1).
    requests
        Number of observations so far.
    alpha
        Probability that the sequence ever leaves out the true quantile.

    Returns
    -------
    tuple
        (lower rank, upper rank); None where the sample is too small to bound that side.
    """
    if not 0 < probability < 1:
        raise ParameterError(f"probability {probability} must lie in (0, 1)")
    _check(0, requests, alpha)
    if requests == 0:
        return None, None
    a, b = _CONCENTRATION * probability, _CONCENTRATION * (1 - probability)
    limit = -math.log(alpha)
    offset = _log_beta(a, b)

    def excluded(below: int) -> bool:
        evidence = _log_beta(a + below, b + requests - below) - offset
        return evidence - _log_likelihood(below, requests, probability) >= limit

    centre = round(probability * requests)
    if excluded(0):
        out, inside = 0, centre
        while inside - out > 1:
            middle = (inside + out) // 2
            out, inside = (middle, inside) if excluded(middle) else (out, middle)
        smallest = inside
    else:
        smallest = 0
    if excluded(requests):
        inside, out = centre, requests
        while out - inside > 1:
            middle = (inside + out) // 2
            out, inside = (middle, inside) if excluded(middle) else (out, middle)
        largest = inside
    else:
        largest = requests
    # The number of observations at or under the quantile lies in [smallest, largest]: the quantile is at or above the
    # `smallest`-th order statistic and at or below the one after the `largest`-th.
    return (smallest if smallest >= 1 else None, largest + 1 if largest < requests else None)


def _check(events: int, requests: int, alpha: float) -> None:
    if not 0 <= events <= requests:
        raise ParameterError(f"counts {events}/{requests}: events must lie between 0 and the number of requests")
    if not 0 < alpha < 1:
        raise ParameterError(f"alpha {alpha} must lie in (0, 1)")


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def _log_likelihood(events: int, requests: int, rate: float) -> float:
    first = events * math.log(rate) if events and rate > 0 else (-math.inf if events else 0.0)
    rest = requests - events
    second = rest * math.log1p(-rate) if rest and rate < 1 else (-math.inf if rest else 0.0)
    return first + second


def _bisect(excess: Callable[[float], float], outside: float, inside: float) -> float:
    for _ in range(60):
        middle = (outside + inside) / 2
        outside, inside = (middle, inside) if excess(middle) >= 0 else (outside, middle)
    return outside
