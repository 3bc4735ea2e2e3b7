"""Two arms: compare how frequent an event is on the candidate and on the baseline.

Each request is sent to an arm by an independent draw, so where the arms do not differ, *which* of a batch's requests
were the candidate's says nothing about *which* of them failed: given the four margins of the batch (requests of each
arm, events, non-events) the candidate's events are hypergeometric, whatever the error rate was at that moment, however
it drifts, and however the requests depend on each other. With an odds ratio ψ between the arms they follow Fisher's
noncentral hypergeometric law

    P(x) ∝ C(n_c, x) · C(n_b, m − x) · ψ^x.

The product over batches of P_ψ1(x) / P_ψ0(x) is a test martingale for ψ = ψ0; the ratio is monotone in x, and x is
stochastically monotone in ψ, so for ψ1 > ψ0 it is a test supermartingale for every ψ ≤ ψ0 too. A mixture over ψ1
stays one. The weight itself never enters, so weights that change, and requests that are lost on both arms alike, do no
harm.

Sources: Lindon & Malek, "Anytime-valid inference for multinomial count data" (NeurIPS 2022): conditioning on the events
removes the time-varying rate; Turner & Grünwald, "Safe sequential testing and effect estimation in stratified count
data" (AISTATS 2023): e-variables multiply over strata; Fisher, "The logic of inductive inference" (JRSS 98, 1935).
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from replay.canary.sequential.mixture import Mixture, Wealth
from simulator.errors import ParameterError

_FEW = 12
"""Up to so many steps between the fewest and the most events that an arm can have, a loop beats arrays."""
_log_factorials: NDArray[np.float64] = np.zeros(1)


def _log_factorial(up_to: int) -> NDArray[np.float64]:
    global _log_factorials
    if up_to >= len(_log_factorials):
        size = max(1024, 2 * up_to)
        _log_factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, size + 1)))])
    return _log_factorials


def hypergeometric_log_ratio(
    candidate_events: int,
    candidate_requests: int,
    baseline_events: int,
    baseline_requests: int,
    log_odds: Sequence[float],
    null_log_odds: float = 0.0,
) -> list[float]:
    """Log likelihood ratio of each odds ratio against the null one, given the margins of one batch.

    Parameters
    ----------
    candidate_events, candidate_requests, baseline_events, baseline_requests
        The batch: ``0 <= events <= requests`` on both arms.
    log_odds
        Logarithms of the k alternatives' odds ratios.
    null_log_odds
        Logarithm of the null's odds ratio.

    Returns
    -------
    list
        k values. All zero where the margins leave no freedom (no event, only events, or an empty arm).

    Raises
    ------
    ParameterError
        A negative count, or more events than requests.
    """
    if not (0 <= candidate_events <= candidate_requests and 0 <= baseline_events <= baseline_requests):
        raise ParameterError(
            f"counts {candidate_events}/{candidate_requests} and {baseline_events}/{baseline_requests}: "
            "events must lie between 0 and the number of requests"
        )
    events = candidate_events + baseline_events
    low = max(0, events - baseline_requests)
    high = min(events, candidate_requests)
    if low == high:
        return [0.0] * len(log_odds)
    if high - low <= _FEW:
        return _ratio_of_few(
            candidate_events, candidate_requests, baseline_requests, events, low, high, log_odds, null_log_odds
        )
    table = _log_factorial(max(candidate_requests, baseline_requests, events))
    support = np.arange(low, high + 1)
    # The factorials of the margins cancel between the two laws, so only those that depend on x are needed.
    log_ways = -(
        table[support]
        + table[candidate_requests - support]
        + table[events - support]
        + table[baseline_requests - events + support]
    )
    log_ways -= log_ways.max()
    tilts = np.concatenate([log_odds, [null_log_odds]])
    exponents = log_ways + np.multiply.outer(tilts, support)
    tops = exponents.max(axis=1)
    log_normalisers = tops + np.log(np.exp(exponents - tops[:, None]).sum(axis=1))
    ratios = candidate_events * (tilts[:-1] - null_log_odds) - (log_normalisers[:-1] - log_normalisers[-1])
    return [float(ratio) for ratio in ratios]


def _ratio_of_few(
    candidate_events: int,
    candidate_requests: int,
    baseline_requests: int,
    events: int,
    low: int,
    high: int,
    log_odds: Sequence[float],
    null_log_odds: float,
) -> list[float]:
    """Give the same for a batch with few events, as most are: the law's terms one after the other."""
    ways, term = [1.0], 1.0
    for x in range(low, high):
        # C(n_c, x + 1) C(n_b, m − x − 1) over C(n_c, x) C(n_b, m − x).
        term *= (candidate_requests - x) * (events - x) / ((x + 1) * (baseline_requests - events + x + 1))
        ways.append(term)
    # Terms of a few events lie within the range of floats by far; the scale cancels.
    null = _log_sum(ways, null_log_odds)
    moved = candidate_events - low
    return [moved * (each - null_log_odds) - (_log_sum(ways, each) - null) for each in log_odds]


def _log_sum(ways: Sequence[float], log_odds: float) -> float:
    odds = math.exp(log_odds)
    total, power = 0.0, 1.0
    for each in ways:
        total += each * power
        power *= odds
    return math.log(total)


class OddsTest:
    """An e-process against "the candidate's odds of the event are at most (at least) ``limit`` times the baseline's".

    Parameters
    ----------
    mixture
        Alternatives *relative to the limit*: all above 1 tests "at most", all below 1 tests "at least".
    limit
        The null's odds ratio (> 0). For rare events it is the ratio of the rates.
    reserve
        See :class:`Wealth`.

    Notes
    -----
    Batches come in strata (a step of the rollout, cold or warm). A stratum's counts wait until both arms have a request
    in it; that depends on the numbers of requests only, never on their outcomes, so it does not bend the test.
    """

    def __init__(self, mixture: Mixture, limit: float = 1.0, reserve: float = 0.0) -> None:
        if not (limit > 0 and math.isfinite(limit)):
            raise ParameterError(f"limit {limit} must be a positive odds ratio")
        self._wealth = Wealth(mixture, reserve)
        self._null_log_odds = math.log(limit)
        self._log_odds = [each + self._null_log_odds for each in self._wealth.log_odds]
        self._waiting: dict[Hashable, tuple[int, int, int, int]] = {}

    @property
    def log_e(self) -> float:
        """Logarithm of the e-process now."""
        return self._wealth.log_e

    def update(
        self,
        candidate_events: int,
        candidate_requests: int,
        baseline_events: int,
        baseline_requests: int,
        stratum: Hashable = None,
    ) -> float:
        """Take one batch of a stratum; give the new log e-value."""
        waiting = self._waiting.pop(stratum, None)
        if waiting is not None:
            candidate_events += waiting[0]
            candidate_requests += waiting[1]
            baseline_events += waiting[2]
            baseline_requests += waiting[3]
        if candidate_requests == 0 or baseline_requests == 0:
            if candidate_requests or baseline_requests:
                self._waiting[stratum] = (candidate_events, candidate_requests, baseline_events, baseline_requests)
            return self.log_e
        if candidate_events + baseline_events:
            self._wealth.multiply(
                hypergeometric_log_ratio(
                    candidate_events,
                    candidate_requests,
                    baseline_events,
                    baseline_requests,
                    self._log_odds,
                    self._null_log_odds,
                )
            )
        return self.log_e

    def bet_anew(self, share: float) -> None:
        """See :meth:`Wealth.bet_anew`."""
        self._wealth.bet_anew(share)
