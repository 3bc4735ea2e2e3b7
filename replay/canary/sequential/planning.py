"""How many requests a test needs to see a regression of a given size.

A sequential likelihood-ratio test grows by the Kullback–Leibler divergence per event (Wald, 1945), so it needs about
log(1 / (share · α)) / divergence events. The mixture spends its own part on the sizes that did not come true.
"""

from __future__ import annotations

import math

from simulator.errors import ParameterError


def requests_to_decide(
    base_rate: float, true_odds: float, null_odds: float, weight: float, log_threshold: float
) -> float:
    """Give the expected number of requests (of both arms) until a test of the odds ratio reaches its threshold.

    Parameters
    ----------
    base_rate
        The event's rate on the baseline, in (0, 1).
    true_odds
        The odds ratio that the candidate truly has.
    null_odds
        The odds ratio that the test wants to refute.
    weight
        The candidate's share of the requests, in (0, 1).
    log_threshold
        Logarithm of the e-value that decides, with the share of the budget and of the mixture counted in.

    Returns
    -------
    float
        Requests; infinite where truth and null agree.

    Notes
    -----
    Given an event, it is the candidate's with probability w·r / (w·r + 1 − w), r the ratio of rates.
    """
    if not (0 < base_rate < 1 and 0 < weight < 1 and true_odds > 0 and null_odds > 0):
        raise ParameterError(
            f"base rate {base_rate} and weight {weight} must lie in (0, 1), odds {true_odds}, {null_odds} be positive"
        )
    true_rate = base_rate * true_odds / (1 - base_rate + base_rate * true_odds)
    null_rate = base_rate * null_odds / (1 - base_rate + base_rate * null_odds)
    events_per_request = weight * true_rate + (1 - weight) * base_rate
    true_share = weight * true_rate / events_per_request
    null_share = weight * null_rate / (weight * null_rate + (1 - weight) * base_rate)
    divergence = true_share * math.log(true_share / null_share) + (1 - true_share) * math.log(
        (1 - true_share) / (1 - null_share)
    )
    if divergence <= 0:
        return math.inf
    return log_threshold / divergence / events_per_request
