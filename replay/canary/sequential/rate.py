"""One arm: hold how frequent an event is against an allowed rate.

Each request has the event with a conditional probability of at most (at least) ``limit`` given the past. The
likelihood ratio of the odds-tilted Bernoulli law p1 = p0 ψ / (1 − p0 + p0 ψ) against p0 is ψ^x / (1 − p0 + p0 ψ) for
each request; it is a test supermartingale for every p ≤ p0 when ψ > 1 and for every p ≥ p0 when ψ < 1. No independence
is assumed.

Source: Robbins, "Statistical methods related to the law of the iterated logarithm" (Ann. Math. Stat. 41, 1970);
Waudby-Smith & Ramdas, "Estimating means of bounded random variables by betting" (JRSS B 86, 2024).
"""

from __future__ import annotations

import math

from replay.canary.sequential.mixture import Floats, Mixture, Wealth
from simulator.errors import ParameterError


class RateTest:
    """An e-process against "the event's rate is at most (at least) ``limit``".

    Parameters
    ----------
    mixture
        Odds ratios against the limit: all above 1 tests "at most", all below 1 tests "at least".
    limit
        The allowed rate, in (0, 1).
    reserve
        See :class:`Wealth`.
    """

    def __init__(self, mixture: Mixture, limit: float, reserve: float = 0.0) -> None:
        if not 0 < limit < 1:
            raise ParameterError(f"limit {limit} must lie in (0, 1): it is a rate per request")
        self._wealth = Wealth(mixture, reserve)
        self._growth = _log_normaliser(limit, self._wealth.log_odds)

    @property
    def log_e(self) -> float:
        """Logarithm of the e-process now."""
        return self._wealth.log_e

    def update(self, events: int, requests: int) -> float:
        """Take one batch; give the new log e-value.

        Raises
        ------
        ParameterError
            A negative count, or more events than requests.
        """
        if not 0 <= events <= requests:
            raise ParameterError(f"counts {events}/{requests}: events must lie between 0 and the number of requests")
        if requests == 0:
            return self.log_e
        self._wealth.multiply(
            [
                events * log_odds - requests * growth
                for log_odds, growth in zip(self._wealth.log_odds, self._growth, strict=True)
            ]
        )
        return self.log_e

    def bet_anew(self, share: float) -> None:
        """See :meth:`Wealth.bet_anew`."""
        self._wealth.bet_anew(share)


def _log_normaliser(limit: float, log_odds: Floats) -> Floats:
    return tuple(math.log1p(limit * math.expm1(each)) for each in log_odds)
