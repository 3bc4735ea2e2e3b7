"""Two arms: compare the means of a bounded quantity, such as a request's cost.

Betting: with batch means c and b of a quantity in [0, cap] and an allowed ratio r, the payoff g = c − r·b lies in
[−r·cap, cap] and has conditional mean ≤ 0 under the null. Multiplying the wealth by 1 + λ g / (r·cap) for a fixed λ in
[0, 1) is then a test supermartingale; a mixture over a few λ needs no tuning. For "at least", the payoff's sign is
turned.

Source: Waudby-Smith & Ramdas, "Estimating means of bounded random variables by betting" (JRSS B 86, 2024), section 4.
"""

from __future__ import annotations

import math

import numpy as np

from replay.canary.sequential.mixture import log_sum_exp
from simulator.errors import ParameterError

_STAKES = np.array([0.01, 0.03, 0.1, 0.3, 0.7])


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
        self._log_wealth = np.full(len(_STAKES), -math.log(len(_STAKES)))
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
        self._log_wealth = self._log_wealth + np.log1p(_STAKES * max(payoff / self._worst, -1.0))
        return self.log_e
