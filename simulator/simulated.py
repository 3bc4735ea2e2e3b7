"""A simulated run as a trace, so that whatever reads a recording reads a simulation too."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from simulator.engine.outcomes import Outcomes, Status
from simulator.platform import Platform
from simulator.trace import Trace, TraceMetadata, make_trace


def trace_of(outcomes: Outcomes, platform: Platform) -> Trace:
    """Write ``outcomes`` down as a recorder would: what never ran has no times, and a warm start has no INIT.

    ``arrival_s`` counts from the first arrival.
    """
    served = outcomes.environment >= 0
    variants = np.array([*platform.names, None], dtype=object)
    memory_mb = np.array([*(settings.memory_mb for settings in platform.versions.values()), 0])
    start_s = float(outcomes.arrival_s[0]) if outcomes.requests else 0.0
    frame = pl.DataFrame(
        {
            "arrival_s": outcomes.arrival_s - start_s,
            # −1 (no version drawn) picks the last entry: no variant.
            "variant": pl.Series(variants[outcomes.version], dtype=pl.String),
            "version": pl.Series([str(v + 1) if v >= 0 else None for v in outcomes.version.tolist()], dtype=pl.String),
            "environment_id": pl.Series(
                [f"environment-{number}" if number >= 0 else None for number in outcomes.environment.tolist()],
                dtype=pl.String,
            ),
            "provisioned": _where(served, outcomes.provisioned),
            "cold": _where(served, outcomes.cold),
            "init_ms": _where(served & outcomes.cold, outcomes.init_ms),
            "duration_ms": _where(served, outcomes.duration_ms),
            "billed_ms": _where(served, outcomes.billed_ms),
            "client_ms": outcomes.client_ms,
            "status": [Status(status).name.lower() for status in outcomes.status.tolist()],
            "memory_mb": _where(served, memory_mb[outcomes.version]),
            "request_id": [f"simulated-{index}" for index in range(outcomes.requests)],
        }
    )
    return make_trace(frame, TraceMetadata(source="simulated"), origin="simulation")


def _where(known: NDArray[np.bool_], values: NDArray[Any]) -> pl.Series:
    return pl.Series(np.where(known, values, 0)).cast(pl.Series(values).dtype).set(pl.Series(~known), None)
