"""The forecast: what a planned rollout will show, figure by figure, with the doubt of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from simulator.arrivals import ArrivalPlan
from simulator.errors import ParameterError
from simulator.figures import Figure, Latency
from simulator.objective import Objective
from simulator.platform import Platform
from simulator.quantiles import FloatArray
from simulator.rollout import check_weight
from simulator.trace import Trace

if TYPE_CHECKING:
    from simulator.cost import Prices

DEFAULT_REPLICATIONS = 400
"""Enough for the ends of a 95 % interval to rest on ten replications each."""

Progress = Callable[[int, int], None]
"""Called with (replications done, replications in all)."""


@dataclass(frozen=True)
class PlannedStep:
    """One stretch of the rollout.

    Parameters
    ----------
    label
        Name of the step in every figure: ``10%``.
    weight
        Share of the requests that goes to the candidate, 0 to 1.
    arrivals
        When the requests come, and for how long.
    gap_before_s
        Idle time between the end of the step before (or of the history) and this one's start.
    """

    label: str
    weight: float
    arrivals: ArrivalPlan
    gap_before_s: float = 0.0

    def __post_init__(self) -> None:
        check_weight(self.weight)
        if not self.gap_before_s >= 0:
            raise ParameterError(f"step {self.label!r}: gap_before_s={self.gap_before_s!r} must be 0 or more")


@dataclass(frozen=True)
class Forecast:
    """The forecast figures, and what they rest on.

    Parameters
    ----------
    figures
        In the order of the steps; within a step first ``all``, then each variant that gets traffic.
    warnings
        What a reader must know before believing them, one sentence each.
    fits
        Variant → how its model was fitted, as JSON types.
    replications, seed
        How many runs, from which seed.
    latency
        Which latency the quantiles are of.
    samples
        (step, variant, metric) → the figure in each replication, shape ``(replications,)``; NaN where one has none.
    """

    figures: tuple[Figure, ...]
    warnings: tuple[str, ...]
    fits: Mapping[str, Mapping[str, Any]]
    replications: int
    seed: int
    latency: Latency
    samples: Mapping[tuple[str, str, str], FloatArray] = field(repr=False, compare=False)

    def to_json(self) -> dict[str, Any]:
        """Give everything but the samples as JSON types."""
        return {
            "figures": [figure.to_json() for figure in self.figures],
            "warnings": list(self.warnings),
            "fits": {variant: dict(fit) for variant, fit in self.fits.items()},
            "replications": self.replications,
            "seed": self.seed,
            "latency": self.latency,
        }


def forecast(
    baseline: Trace,
    candidate: Trace,
    steps: Sequence[PlannedStep],
    platform: Platform,
    *,
    replications: int = DEFAULT_REPLICATIONS,
    seed: int = 0,
    history: Sequence[PlannedStep] | None = None,
    prices: Prices | None = None,
    architecture: str = "x86_64",
    objectives: Sequence[Objective] = (),
    progress: Progress | None = None,
) -> Forecast:
    """Forecast each of ``steps``.

    Parameters
    ----------
    baseline, candidate
        Recorded traces of the two variants. Rows of the variant named ``baseline`` (``optimized``) are used; a trace
        without variant names is used whole.
    steps
        What is planned, in order; one run goes through all of them, so that each step starts with the environments
        that the one before left warm.
    platform
        Limits and settings of the variants ``baseline`` and ``optimized``.
    history
        What happens before the first step and warms environments. None means the two recordings, one after the
        other; an empty sequence means a cold start.
    prices
        What things cost; None leaves the cost out.
    objectives
        Further figures to keep samples of, for :meth:`Forecast.probability`.
    progress
        Called after each replication.

    Raises
    ------
    ParameterError, FitError
        A parameter outside its range; a trace from which no model can be fitted.
    """
    raise NotImplementedError("the forecast is being built; its interface stands")
