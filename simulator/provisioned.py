"""Provisioned concurrency over time: scheduled changes, and target tracking by Application Auto Scaling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from simulator.checks import at_least, one_of
from simulator.errors import ParameterError

Statistic = Literal["average", "maximum"]


@dataclass(frozen=True)
class ProvisionedChange:
    """From ``at_s`` on (seconds since the run's start), ``provisioned`` environments are asked for."""

    at_s: float
    provisioned: int

    def __post_init__(self) -> None:
        at_least("provisioned_changes.at_s", self.at_s, 0)
        at_least("provisioned_changes.provisioned", self.provisioned, 0)


@dataclass(frozen=True)
class TargetTracking:
    """Application Auto Scaling on ``LambdaProvisionedConcurrencyUtilization``.

    Each minute has one value, over the minute's invocations: busy provisioned environments ÷ allocated ones. Three
    minutes above the target ask for ⌈allocated · value ÷ target⌉; fifteen minutes below nine tenths of it ask for that
    too, which is fewer. A minute without invocations has no value and changes nothing: PC is not scaled in when the
    traffic stops altogether (Application Auto Scaling user guide, target tracking; Lambda developer guide,
    "Managing provisioned concurrency with Application Auto Scaling").

    Parameters
    ----------
    minimum, maximum
        Bounds of what is asked for.
    target
        Utilization to hold, between 0.1 and 0.9.
    statistic
        Of the minute's values: ``average`` is the default on AWS and misses short bursts.

    Raises
    ------
    ParameterError
        A value outside its range.
    """

    minimum: int
    maximum: int
    target: float = 0.7
    statistic: Statistic = "average"

    def __post_init__(self) -> None:
        # At zero there are no environments whose utilization could rise: AWS too would never leave it.
        at_least("target_tracking.minimum", self.minimum, 1)
        at_least("target_tracking.maximum", self.maximum, self.minimum)
        if not 0.1 <= self.target <= 0.9:
            raise ParameterError(f"target_tracking.target={self.target!r} is outside AWS's 0.1 to 0.9")
        one_of("target_tracking.statistic", self.statistic, get_args(Statistic))
