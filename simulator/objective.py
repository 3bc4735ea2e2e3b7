"""Latency and failure objectives as one writes them down: ``p99 < 1500 ms``, ``error_rate <= 1%``.

::

    objective  = metric comparator value
    metric     = "p" percent | "mean" | "error_rate" | "cold_share"
    comparator = "<" | "<=" | ">" | ">="
    value      = number unit          ms or s for a latency; % or nothing (a share of 1) for a rate

Several stand beside each other with a comma, a semicolon or ``and`` between them.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final, Literal, cast

from simulator.errors import ParameterError

Verdict = Literal["pass", "fail", "inconclusive"]
Comparator = Literal["<", "<=", ">", ">="]

_OBJECTIVE: Final = re.compile(
    r"\s*(?P<metric>p\d{1,2}(?:\.\d+)?|[a-z_]+)\s*(?P<comparator><=|>=|<|>)\s*(?P<value>\d+(?:\.\d+)?)\s*(?P<unit>ms|s|%|)\s*",
    re.IGNORECASE,
)
_SEPARATOR: Final = re.compile(r"\s*(?:[,;]|\band\b)\s*", re.IGNORECASE)
_SHARES: Final = ("error_rate", "cold_share")
_LATENCY_UNITS_MS: Final = {"ms": 1.0, "s": 1000.0}
_SHARE_UNITS: Final = {"%": 0.01, "": 1.0}
_EXAMPLE: Final = "write it like 'p99 < 1500 ms', 'mean < 0.8 s' or 'error_rate <= 1%'"


@dataclass(frozen=True)
class Objective:
    """One bound on one figure. Build it with :func:`parse_objective`."""

    metric: str
    """``p50`` … ``p99.9``, ``mean``, ``error_rate`` or ``cold_share``."""
    comparator: Comparator
    threshold: float
    """Milliseconds for a latency, a share between 0 and 1 for a rate."""

    @property
    def is_latency(self) -> bool:
        """Whether the figure is in milliseconds (else it is a share)."""
        return self.metric not in _SHARES

    @property
    def level(self) -> float | None:
        """The quantile's level (0.99 for ``p99``), None where the metric is no quantile."""
        return float(self.metric[1:]) / 100.0 if self.metric.startswith("p") else None

    def met_by(self, value: float) -> bool:
        """Say whether ``value`` (ms or share) keeps the objective."""
        return {
            "<": value < self.threshold,
            "<=": value <= self.threshold,
            ">": value > self.threshold,
            ">=": value >= self.threshold,
        }[self.comparator]

    def judge(self, low: float, high: float) -> Verdict:
        """Judge an interval of the figure: all of it keeps the objective, none of it, or the data cannot tell.

        An end that is NaN is unknown, and taken for the worst.
        """
        low = -math.inf if math.isnan(low) else low
        high = math.inf if math.isnan(high) else high
        met = (self.met_by(low), self.met_by(high))
        if all(met):
            return "pass"
        return "inconclusive" if any(met) else "fail"

    def format_value(self, value: float) -> str:
        """Write ``value`` in the unit of this objective's figure."""
        if math.isnan(value) or math.isinf(value):
            return "unknown"
        return f"{value:.0f} ms" if self.is_latency else f"{value:.2%}"

    def __str__(self) -> str:
        """Write the objective the way it is read."""
        value, unit = (self.threshold, " ms") if self.is_latency else (self.threshold * 100.0, "%")
        # Without an exponent, which the grammar does not have.
        return f"{self.metric} {self.comparator} {f'{value:.10f}'.rstrip('0').rstrip('.')}{unit}"


def parse_objective(text: str) -> Objective:
    """Read one objective.

    Raises
    ------
    ParameterError
        Text that is not in the grammar above, an unknown metric, a unit that does not fit it, a share above 1, or p0.

    Examples
    --------
    >>> parse_objective("p99 < 1.5 s")
    Objective(metric='p99', comparator='<', threshold=1500.0)
    """
    match = _OBJECTIVE.fullmatch(text)
    if match is None:
        raise ParameterError(f"objective {text!r} cannot be read; {_EXAMPLE}")
    metric, unit = match["metric"].lower(), match["unit"].lower()
    is_quantile = metric.startswith("p") and metric[1:2].isdigit()
    if not (is_quantile or metric == "mean" or metric in _SHARES):
        raise ParameterError(f"objective {text!r}: {metric!r} is none of p50 … p99.9, mean, {', '.join(_SHARES)}")
    if is_quantile and float(metric[1:]) <= 0.0:
        raise ParameterError(f"objective {text!r}: a quantile lies between p0 and p100, both excluded")
    units = _SHARE_UNITS if metric in _SHARES else _LATENCY_UNITS_MS
    if unit not in units:
        wanted = "a share (0.01) or a percentage (1%)" if metric in _SHARES else "ms or s"
        raise ParameterError(f"objective {text!r}: {metric} is measured in {wanted}, not {unit or 'a bare number'}")
    threshold = float(match["value"]) * units[unit]
    if metric in _SHARES and threshold > 1.0:
        raise ParameterError(f"objective {text!r}: a share of {threshold:g} is above 1; write 5% or 0.05")
    return Objective(metric, cast("Comparator", match["comparator"]), threshold)


def parse_objectives(text: str) -> tuple[Objective, ...]:
    """Read one objective or several, see the module's text.

    Raises
    ------
    ParameterError
        As :func:`parse_objective`.
    """
    return tuple(parse_objective(part) for part in _SEPARATOR.split(text.strip()))
