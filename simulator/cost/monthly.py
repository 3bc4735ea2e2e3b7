"""A month of requests: each side with intervals, their difference, and where a fixed-price machine would break even."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from simulator.checks import above, at_least
from simulator.cost.prices import Prices
from simulator.cost.request import FloatArray, provisioned_idle_usd_per_hour
from simulator.cost.resampling import MIN_ROWS, RESAMPLES, interval, resampled_means
from simulator.cost.sides import ALL_PARTS, Side
from simulator.errors import ParameterError
from simulator.intervals import Estimate
from simulator.objective import Verdict

HOURS_A_MONTH: Final = 730.0


@dataclass(frozen=True)
class Standing:
    """What a month costs whatever comes.

    Raises
    ------
    ParameterError
        A negative number, or more hours than a month has.
    """

    provisioned: float = 0.0
    """Environments of provisioned concurrency."""
    memory_mb: float | None = None
    """Of each of them; needed where there are some."""
    provisioned_hours: float = HOURS_A_MONTH
    """For how long in the month they are asked for."""
    custom_metrics: float = 0.0
    """Names with dimensions that the function sends, all month."""

    def __post_init__(self) -> None:
        at_least("provisioned", self.provisioned, 0.0)
        at_least("custom_metrics", self.custom_metrics, 0.0)
        if not 0.0 <= self.provisioned_hours <= HOURS_A_MONTH:
            raise ParameterError(
                f"provisioned_hours={self.provisioned_hours!r} must lie between 0 and {HOURS_A_MONTH:g}"
            )
        if self.provisioned and not self.memory_mb:
            raise ParameterError(
                f"provisioned={self.provisioned:g} needs the memory of an environment; give it with --memory"
            )

    def usd(self, prices: Prices, architecture: str) -> dict[str, float]:
        """Price the month, part by part."""
        idle = 0.0
        if self.provisioned and self.memory_mb:
            idle = provisioned_idle_usd_per_hour(
                self.provisioned, self.memory_mb, prices=prices, architecture=architecture
            )
        return {
            "provisioned_concurrency": idle * self.provisioned_hours,
            "custom_metrics": self.custom_metrics * prices.custom_metric_month_usd,
        }


@dataclass(frozen=True)
class SideMonth:
    """One side's month, in USD."""

    side: Side
    per_request: Mapping[str, Estimate]
    """One of :data:`~simulator.cost.sides.ALL_PARTS`, and ``total``."""
    standing: Mapping[str, float]
    month: Estimate
    break_even: Estimate | None
    """Requests a month above which the machine is cheaper; infinite where requests cost nothing, None without one."""

    def to_json(self, monthly: float) -> dict[str, Any]:
        """Give plain values."""
        return {
            "model": self.side.model,
            "source": "trace" if self.side.measured else "numbers",
            "requests": self.side.rows if self.side.measured else None,
            "requests_left_out": self.side.rows_left_out,
            "per_request_usd": {part: _plain(one) for part, one in self.per_request.items()},
            "per_1000_usd": _plain(self.per_request["total"], 1000.0),
            "standing_month_usd": dict(self.standing),
            "month_usd": _plain(self.month),
            "month_parts_usd": {part: one.value * monthly for part, one in self.per_request.items() if part != "total"}
            | dict(self.standing),
            "break_even_requests": None if self.break_even is None else _plain(self.break_even),
            "unpriced": [{"reason": one.reason, "rows": one.rows} for one in self.side.unpriced],
            "notes": list(self.side.notes),
        }


@dataclass(frozen=True)
class CostReport:
    """Both sides of a month; the second is None where there is only one."""

    monthly: float
    machine_usd: float | None
    first: SideMonth
    second: SideMonth | None
    saved_usd: Estimate | None
    """First minus second, a month."""
    saved_share: Estimate | None
    """Of the first's month."""

    def verdict(self, budget_usd: float) -> Verdict:
        """Say whether the month of the last side stays within a budget; its interval has to lie on one side of it."""
        month = (self.second or self.first).month
        low = month.value if month.low is None else month.low
        high = month.value if month.high is None else month.high
        if month.refused and month.needed is not None:
            return "inconclusive"
        if high <= budget_usd:
            return "pass"
        return "fail" if low > budget_usd else "inconclusive"

    def to_json(self) -> dict[str, Any]:
        """Give plain values."""
        sides = [self.first] if self.second is None else [self.first, self.second]
        return {
            "monthly_requests": self.monthly,
            "machine_usd_per_month": self.machine_usd,
            "sides": {one.side.name: one.to_json(self.monthly) for one in sides},
            "saved_month_usd": None if self.saved_usd is None else _plain(self.saved_usd),
            "saved_share": None if self.saved_share is None else _plain(self.saved_share),
        }


def monthly_cost(
    sides: list[tuple[Side, Standing]],
    monthly: float,
    *,
    prices: Prices,
    architecture: str = "x86_64",
    machine_usd: float | None = None,
    seed: int = 0,
) -> CostReport:
    """Price a month of ``monthly`` requests on one side or two.

    The intervals (95 %) are those of the mean request: they say how well the rows know it. Chance adds nothing to it
    over a month, and drift of the traffic from what was recorded is not in them.

    Parameters
    ----------
    sides
        One, or baseline and candidate, each with what stands beside it all month.
    monthly
        Requests a month.
    prices, architecture
        Of what stands.
    machine_usd
        What a machine of a fixed price costs a month, or None.
    seed
        Of the resampling.

    Raises
    ------
    ParameterError
        A volume or price that is not above 0, or a side named twice.
    """
    above("monthly", monthly)
    if machine_usd is not None:
        above("machine_usd", machine_usd)
    if len({side.name for side, _ in sides}) != len(sides):
        raise ParameterError(f"both sides are called {sides[0][0].name!r}; give them names of their own")
    months: list[SideMonth] = []
    drawn: list[FloatArray | None] = []
    for number, (side, standing) in enumerate(sides):
        rng = np.random.default_rng([seed, number])
        month, totals = _month(side, standing.usd(prices, architecture), monthly, machine_usd, rng)
        months.append(month)
        drawn.append(totals)
    if len(months) == 1:
        return CostReport(monthly, machine_usd, months[0], None, None, None)
    saved_usd, saved_share = _saved(months, drawn)
    return CostReport(monthly, machine_usd, months[0], months[1], saved_usd, saved_share)


def _month(
    side: Side, standing: Mapping[str, float], monthly: float, machine_usd: float | None, rng: np.random.Generator
) -> tuple[SideMonth, FloatArray | None]:
    """Give a side's month, and its resampled monthly totals; None where no resampling tells anything."""
    parts = np.stack([side.parts[part] for part in ALL_PARTS])
    means = parts.mean(axis=1)
    fixed = sum(standing.values())
    total = float(means.sum())
    resampled = resampled_means(parts, rng) if side.measured and side.rows >= MIN_ROWS else None
    totals = None if resampled is None else resampled.sum(axis=1)
    per_request = {
        part: _estimate(float(means[index]), None if resampled is None else resampled[:, index], side)
        for index, part in enumerate(ALL_PARTS)
    }
    per_request["total"] = _estimate(total, totals, side)
    month_totals = None if totals is None else totals * monthly + fixed
    month = _estimate(total * monthly + fixed, month_totals, side)
    break_even = None
    if machine_usd is not None:
        left = max(0.0, machine_usd - fixed)
        break_even = _estimate(
            left / total if total else math.inf,
            None if totals is None or not (totals > 0).all() else left / totals,
            side,
        )
    return SideMonth(side, per_request, standing, month, break_even), month_totals


def _saved(months: list[SideMonth], drawn: list[FloatArray | None]) -> tuple[Estimate, Estimate]:
    first, second = months
    value = first.month.value - second.month.value
    share = value / first.month.value if first.month.value else math.nan
    measured = [one.side for one in months if one.side.measured]
    # A side from numbers is certain: the other's rows alone decide.
    spread = [
        draws if draws is not None else None if one.side.measured else np.full(RESAMPLES, one.month.value)
        for one, draws in zip(months, drawn, strict=True)
    ]
    rows = min((side.rows for side in measured), default=0)
    if not measured or spread[0] is None or spread[1] is None:
        needed = MIN_ROWS if measured else None
        return Estimate(value, None, None, rows, needed), Estimate(share, None, None, rows, needed)
    difference = spread[0] - spread[1]
    low, high = interval(difference, rows)
    share_low, share_high = interval(difference / spread[0], rows)
    return Estimate(value, low, high, rows), Estimate(share, share_low, share_high, rows)


def _estimate(value: float, resampled: FloatArray | None, side: Side) -> Estimate:
    if not side.measured:
        return Estimate(value, None, None, 0)
    if resampled is None:
        return Estimate(value, None, None, side.rows, MIN_ROWS if side.rows < MIN_ROWS else None)
    low, high = interval(resampled, side.rows)
    return Estimate(value, low, high, side.rows)


def _plain(estimate: Estimate, scale: float = 1.0) -> dict[str, float | None]:
    def finite(value: float | None) -> float | None:
        return None if value is None or not math.isfinite(value) else value * scale

    return {"estimate": finite(estimate.value), "low": finite(estimate.low), "high": finite(estimate.high)}
