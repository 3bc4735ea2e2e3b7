"""Means of a bounded quantity, such as a request's cost: of two arms against each other, or of one against a limit.

Betting: with batch means c and b of a quantity in [0, cap] and an allowed ratio r, the payoff g = c − r·b lies in
[−r·cap, cap] and has conditional mean ≤ 0 under the null. Multiplying the wealth by 1 + λ g / (r·cap) for a fixed λ in
[0, 1) is then a test supermartingale; a mixture over a few λ needs no tuning. For "at least", the payoff's sign is
turned. One arm against a limit m is the same with g = c − m in [−m, cap − m].

Source: Waudby-Smith & Ramdas, "Estimating means of bounded random variables by betting" (JRSS B 86, 2024), section 4.
"""

from __future__ import annotations

import math

from replay.canary.sequential.mixture import log_sum_exp
from simulator.errors import ParameterError

_STAKES = (0.01, 0.03, 0.1, 0.3, 0.7)


class MeanTest:
    """An e-process against "the candidate's mean is at most (at least) ``limit`` times the baseline's".

    Parameters
    ----------
    limit
        Allowed ratio of the means (> 0).
    cap
        Upper bound of the quantity (> 0), fixed before the data. Larger values are cut to it, on both arms: the test
        then speaks of the mean of the cut quantity.
    worse
        True tests "at most", False tests "at least".
    """

    def __init__(self, limit: float, cap: float, *, worse: bool = True) -> None:
        if not (limit > 0 and cap > 0 and math.isfinite(limit) and math.isfinite(cap)):
            raise ParameterError(f"limit {limit} and cap {cap} must be positive and finite")
        self._limit = limit
        self._cap = cap
        self._sign = 1.0 if worse else -1.0
        self._worst = limit * cap if worse else cap
        self._log_wealth = [-math.log(len(_STAKES))] * len(_STAKES)
        self._waiting = (0.0, 0, 0.0, 0)

    @property
    def log_e(self) -> float:
        """Logarithm of the e-process now."""
        return log_sum_exp(self._log_wealth)

    def update(
        self, candidate_sum: float, candidate_requests: int, baseline_sum: float, baseline_requests: int
    ) -> float:
        """Take one batch (sums of the cut quantity); give the new log e-value.

        Raises
        ------
        ParameterError
            A sum outside [0, cap × requests].
        """
        for total, requests in ((candidate_sum, candidate_requests), (baseline_sum, baseline_requests)):
            if not -1e-9 <= total <= self._cap * requests * (1 + 1e-9):
                raise ParameterError(f"sum {total} over {requests} requests must lie in [0, cap × requests]")
        waited = self._waiting
        candidate_sum, candidate_requests = candidate_sum + waited[0], candidate_requests + waited[1]
        baseline_sum, baseline_requests = baseline_sum + waited[2], baseline_requests + waited[3]
        if candidate_requests == 0 or baseline_requests == 0:
            self._waiting = (candidate_sum, candidate_requests, baseline_sum, baseline_requests)
            return self.log_e
        self._waiting = (0.0, 0, 0.0, 0)
        payoff = self._sign * (candidate_sum / candidate_requests - self._limit * baseline_sum / baseline_requests)
        gain = max(payoff / self._worst, -1.0)
        self._log_wealth = [
            wealth + math.log1p(stake * gain) for wealth, stake in zip(self._log_wealth, _STAKES, strict=True)
        ]
        return self.log_e


class LimitTest:
    """An e-process against "the candidate's mean is at most (at least) ``limit``".

    Parameters
    ----------
    limit
        Allowed mean, in (0, ``cap``).
    cap
        Upper bound of the quantity, fixed before the data; see :class:`MeanTest`. A cut quantity's mean is at most the
        whole one's, so what is shown to be over the limit is over it; what is shown to be under it is so but for the
        part that was cut.
    worse
        True tests "at most", False tests "at least".
    """

    def __init__(self, limit: float, cap: float, *, worse: bool = True) -> None:
        if not (0 < limit < cap and math.isfinite(cap)):
            raise ParameterError(f"limit {limit} must lie between 0 and cap {cap}, which must be finite")
        self._limit = limit
        self._cap = cap
        self._sign = 1.0 if worse else -1.0
        self._worst = limit if worse else cap - limit
        self._log_wealth = [-math.log(len(_STAKES))] * len(_STAKES)

    @property
    def log_e(self) -> float:
        """Logarithm of the e-process now."""
        return log_sum_exp(self._log_wealth)

    def update(self, total: float, requests: int) -> float:
        """Take one batch (sum of the cut quantity); give the new log e-value.

        Raises
        ------
        ParameterError
            A sum outside [0, cap × requests].
        """
        if not -1e-9 <= total <= self._cap * requests * (1 + 1e-9):
            raise ParameterError(f"sum {total} over {requests} requests must lie in [0, cap × requests]")
        if requests:
            gain = max(self._sign * (total / requests - self._limit) / self._worst, -1.0)
            self._log_wealth = [
                wealth + math.log1p(stake * gain) for wealth, stake in zip(self._log_wealth, _STAKES, strict=True)
            ]
        return self.log_e
