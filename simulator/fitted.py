"""What a forecast learns from the recordings of two variants, whatever is planned then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from simulator.cost import Prices
from simulator.errors import ParameterError
from simulator.figures import Latency
from simulator.replication import CostModel
from simulator.service import ServiceFit, fit_services
from simulator.trace import Trace


@dataclass(frozen=True)
class Fitted:
    """What a forecast learns from the two recordings, whatever is planned then."""

    traces: Mapping[str, Trace]
    """Variant → its own rows."""
    latency: Latency
    costs: CostModel
    fits: Mapping[str, ServiceFit]


def fit_recordings(
    baseline: Trace,
    candidate: Trace,
    names: Sequence[str],
    *,
    prices: Prices | None = None,
    architecture: str = "x86_64",
) -> Fitted:
    """Fit the models of both variants, which are called ``names``.

    Parameters and errors are those of :func:`~simulator.forecast.forecast`.
    """
    check_two(names)
    traces = {names[0]: rows_of(baseline, names[0]), names[1]: rows_of(candidate, names[1])}
    latency = shared_latency(traces)
    costs = CostModel.fit(traces, prices, architecture)
    return Fitted(traces, latency, costs, fit_services(traces, latency=latency, token_usd=costs.token_usd))


def check_two(names: Sequence[str]) -> None:
    """Refuse a platform of one version, or of three. Raises ParameterError."""
    if len(names) != 2:
        raise ParameterError(f"the platform has {len(names)} version(s); a rollout is between two")


def rows_of(trace: Trace, variant: str) -> Trace:
    """Give the rows of ``variant``; a trace of one variant only, or of none named, is taken whole.

    Raises
    ------
    ParameterError
        The trace names several variants, and this is none of them.
    """
    found = trace.variants()
    if variant in found:
        return trace.select(pl.col("variant") == variant) if len(found) > 1 else trace
    if len(found) <= 1:
        return trace
    raise ParameterError(f"the trace has no variant {variant!r}; it has {', '.join(found)}")


def shared_latency(traces: Mapping[str, Trace]) -> Latency:
    """Give the latency that a forecast of ``traces`` is of: what the caller saw, where most rows of each have it."""
    seen = [trace.frame["client_ms"].is_not_null().mean() or 0.0 for trace in traces.values()]
    return "client_ms" if all(float(share) >= 0.5 for share in seen) else "execution_ms"  # type: ignore[arg-type]  # Polars types a column's figure as anything
