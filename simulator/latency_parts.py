"""Each request's latency split into gateway, INIT, handler overhead and inference.

The parts of one request, in milliseconds, add up to its latency:

=====================  ==================================================================================
``gateway``            what the caller waited beyond Lambda: network and gateway
``init``               the cold start: INIT, and what the platform does before it (in no REPORT line)
``handler_overhead``   the handler without the model call
``inference``          the model call
=====================  ==================================================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from simulator.figures import ANSWERED
from simulator.quantiles import FloatArray
from simulator.trace import Trace

PARTS: Final = ("gateway", "init", "handler_overhead", "inference")


@dataclass(frozen=True)
class SplitLatency:
    """The latency of the requests of a trace, split into parts."""

    measure: str
    """``client_ms``, or ``execution_ms`` where the caller's side was not recorded."""
    names: tuple[str, ...]
    """The parts that were recorded."""
    parts: FloatArray
    """Shape ``(requests, len(names))``, milliseconds, in the order of arrival."""
    unsplit: int
    """Answered requests that could not be split: a part, or the whole, was not recorded."""
    measured_inference_ms: FloatArray
    measured_duration_ms: FloatArray
    """Inference and duration of the requests that have both, as measured."""
    cold_share: float
    notes: tuple[str, ...]
    """What was taken for what, where the trace does not say it."""


def split_latency(trace: Trace) -> SplitLatency | None:
    """Split every answered request that says enough; None where none does."""
    answered = trace.frame.filter(pl.col("status").is_in(ANSWERED)).with_columns(
        pl.col("cold").fill_null(value=False).alias("is_cold")
    )
    executed = pl.col("duration_ms").is_not_null()
    by_client = answered.filter(executed & pl.col("client_ms").is_not_null())
    if by_client.height * 2 >= max(answered.filter(executed).height, 1):
        split = _executed(by_client, has_client=True)
    elif answered.filter(executed).height:
        # A cold start whose INIT nobody recorded would count as one without.
        known = executed & (pl.col("is_cold").not_() | pl.col("init_ms").is_not_null())
        split = _executed(answered.filter(known), has_client=False)
    else:
        split = _called(answered.filter(pl.col("client_ms").is_not_null() & pl.col("inference_ms").is_not_null()))
    if split is None:
        return None
    columns, notes, used = split
    both = answered.drop_nulls(["duration_ms", "inference_ms"])
    return SplitLatency(
        measure="client_ms" if used["client_ms"].null_count() == 0 else "execution_ms",
        names=tuple(columns),
        parts=np.column_stack(list(columns.values())),
        unsplit=answered.height - used.height,
        # A call cannot take longer than the handler that waits for it; clocks may say so by a hair.
        measured_inference_ms=np.minimum(both["inference_ms"].to_numpy(), both["duration_ms"].to_numpy()),
        measured_duration_ms=both["duration_ms"].to_numpy(),
        cold_share=float(used["is_cold"].to_numpy().mean()),
        notes=tuple(notes),
    )


_Parts = tuple[dict[str, FloatArray], list[str], pl.DataFrame]
"""Part → its time in each row, what was taken for what, and the rows."""


def _executed(rows: pl.DataFrame, *, has_client: bool) -> _Parts | None:
    if rows.height == 0:
        return None
    notes: list[str] = []
    if not has_client:
        rows = rows.with_columns(pl.lit(None, dtype=pl.Float64).alias("client_ms"))
        notes.append("the caller's side is not recorded: gateway and network are left out")
    duration_ms = rows["duration_ms"].to_numpy()
    cold = rows["is_cold"].to_numpy()
    columns: dict[str, FloatArray] = {}
    init_ms = np.where(cold, rows["init_ms"].fill_null(0.0).to_numpy(), 0.0)
    if has_client:
        # Clocks differ and duration is rounded: never less than nothing.
        outside_ms = np.maximum(rows["client_ms"].to_numpy() - duration_ms, 0.0)
        gateway_ms = np.maximum(outside_ms - init_ms, 0.0)
        if cold.any() and not cold.all():
            # What a cold request waited outside beyond the usual way is the platform's start, reported or not.
            usual_ms = float(np.median(outside_ms[~cold]))
            gateway_ms = np.where(cold, np.minimum(usual_ms, gateway_ms), gateway_ms)
            notes.append(
                f"of a cold request's time outside the handler, {usual_ms:,.0f} ms (the warm median) is gateway"
            )
        elif cold.any():
            notes.append("no request is warm: what the platform does before INIT cannot be told from the gateway")
        init_ms = np.where(cold, outside_ms - gateway_ms, 0.0)
        columns["gateway"] = gateway_ms
    inference_ms = _inference_ms(rows, notes)
    columns["init"] = init_ms
    columns["handler_overhead"] = duration_ms if inference_ms is None else duration_ms - inference_ms
    if inference_ms is not None:
        columns["inference"] = inference_ms
    return columns, notes, rows


def _called(rows: pl.DataFrame) -> _Parts | None:
    """Split what a caller of a model recorded: there is no Lambda in it."""
    if rows.height == 0:
        return None
    inference_ms = np.minimum(rows["inference_ms"].to_numpy(), rows["client_ms"].to_numpy())
    rest_ms = rows["client_ms"].to_numpy() - inference_ms
    notes = ["no handler was recorded: all that is not inference counts as gateway"]
    return {"gateway": rest_ms, "inference": inference_ms}, notes, rows


def _inference_ms(rows: pl.DataFrame, notes: list[str]) -> FloatArray | None:
    measured = rows.drop_nulls("inference_ms")
    duration_ms = rows["duration_ms"].to_numpy()
    if measured.height == 0:
        notes.append("no inference_ms is recorded: the handler is not divided, and counts as its own work")
        return None
    if measured.height < rows.height:
        overhead_ms = float((measured["duration_ms"] - measured["inference_ms"]).median())  # type: ignore[arg-type]  # Polars types a column's figure as anything
        notes.append(
            f"inference_ms is recorded for {measured.height:,} of {rows.height:,} requests; the others are taken to "
            f"have the same overhead in the handler ({overhead_ms:,.1f} ms, the median)"
        )
        rows = rows.with_columns(pl.col("inference_ms").fill_null(pl.col("duration_ms") - overhead_ms))
    return np.asarray(np.clip(rows["inference_ms"].to_numpy(), 0.0, duration_ms), dtype=np.float64)
