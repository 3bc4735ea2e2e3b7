"""What a run used, and what it used in vain: figures that need every attempt, taken from outcomes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from simulator.engine.outcomes import Outcomes, ProvisionedHistory, Refusal, Status

BILLING_PERIOD_S: Final = 300.0
"""Provisioned concurrency is billed from when it is asked for until it is taken away, rounded up to five minutes
(AWS Lambda pricing)."""


def retry_amplification(outcomes: Outcomes) -> float:
    """Give the attempts that reached the gateway per request, 1 without retries; NaN without requests."""
    return outcomes.log.size / outcomes.requests if outcomes.requests else math.nan


def model_amplification(outcomes: Outcomes) -> float:
    """Give how often the model was asked per handler that asked it; NaN where no version has a quota to meet."""
    tries = outcomes.log.model_tries
    asked = tries > 0
    return float(tries[asked].mean()) if asked.any() else math.nan


def throttled_shares(outcomes: Outcomes) -> dict[Refusal, float]:
    """Give the share of all attempts that each limit refused, for the limits that refused any."""
    log = outcomes.log
    throttled = log.refusal[log.status == Status.THROTTLED]
    return {
        reason: float((throttled == reason).sum()) / log.size
        for reason in Refusal
        if reason != Refusal.NONE and (throttled == reason).any()
    }


def billed_in_vain_share(outcomes: Outcomes) -> float:
    """Give the share of the billed time that was worked after the caller or the gateway had given up."""
    billed_ms = float(outcomes.log.billed_ms.sum())
    return float(outcomes.log.billed_late_ms.sum()) / billed_ms if billed_ms else 0.0


def concurrency_peak(outcomes: Outcomes, rows: NDArray[np.bool_] | None = None) -> int:
    """Give the most attempts that environments worked on at one time, of those of the log that ``rows`` picks.

    At one instant ends come before starts, as in the engine.
    """
    log = outcomes.log
    served = log.environment >= 0
    if rows is not None:
        served &= rows
    times_s = np.concatenate([log.end_s[served], log.start_s[served]])
    change = np.repeat([-1, 1], int(served.sum()))
    # An end before a start of the same instant; but work that takes no time does not end before it starts.
    no_time = np.tile(log.end_s[served] == log.start_s[served], 2)
    change[no_time] = 0
    order = np.lexsort((change, times_s))
    return int(np.cumsum(change[order]).max(initial=0))


@dataclass(frozen=True)
class ProvisionedUse:
    """Provisioned concurrency of one version in a span of time, in environment-seconds.

    Parameters
    ----------
    allotted_s
        What there was: environments × time.
    used_s
        What worked, INIT of replacements not counted.
    """

    allotted_s: float
    used_s: float

    @property
    def idle_s(self) -> float:
        """What only stood ready; more than was allotted can work while a removed environment ends its request."""
        return max(0.0, self.allotted_s - self.used_s)


def provisioned_use(outcomes: Outcomes, version: int, from_s: float, to_s: float) -> ProvisionedUse:
    """Give the use of a version's provisioned concurrency between two moments of the run."""
    history, log = outcomes.provisioned_history[version], outcomes.log
    starts_s = np.clip(history.from_s, from_s, to_s)
    ends_s = np.clip(np.append(history.from_s[1:], np.inf), from_s, to_s)
    rows = log.provisioned & (log.version == version)
    worked_s = np.clip(log.end_s[rows], from_s, to_s) - np.clip(log.start_s[rows], from_s, to_s)
    return ProvisionedUse(float(((ends_s - starts_s) * history.allotted).sum()), float(worked_s.sum()))


def provisioned_billed_s(history: ProvisionedHistory, to_s: float) -> float:
    """Give the environment-seconds that are billed until ``to_s``, when all is taken away.

    Each environment of the allotment is billed for itself, rounded up (ours: AWS documents the rounding, but not what a
    changed number does to it).
    """
    billed_s = 0.0
    for unit in range(1, int(history.allotted.max(initial=0)) + 1):
        since_s: float | None = None
        for from_s, allotted in zip(history.from_s.tolist(), history.allotted.tolist(), strict=True):
            if from_s >= to_s:
                break
            if allotted >= unit and since_s is None:
                since_s = from_s
            elif allotted < unit and since_s is not None:
                billed_s += _rounded_up(from_s - since_s)
                since_s = None
        if since_s is not None:
            billed_s += _rounded_up(to_s - since_s)
    return billed_s


def _rounded_up(duration_s: float) -> float:
    return math.ceil(duration_s / BILLING_PERIOD_S) * BILLING_PERIOD_S
