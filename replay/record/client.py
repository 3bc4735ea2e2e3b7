"""Joining what the caller saw with what the logs say."""

from __future__ import annotations

from dataclasses import dataclass, replace

import polars as pl

from simulator.trace import SCHEMA, Trace, make_trace

_FROM_CLIENT = ("arrival_s", "client_ms", "attempts", "status")


@dataclass(frozen=True)
class ClientJoin:
    """A recording with the caller's view in it."""

    trace: Trace
    """A row for each request of the caller's, whether or not the logs know it."""
    matched: int
    client_only: int
    """Requests that no log knows: refused by the gateway, or their log lines are late or lost."""
    logs_only: int
    """Invocations that the caller did not send, or whose answer it never saw; left out."""


def join_client(recorded: Trace, driven: Trace) -> ClientJoin:
    """Put arrival, latency, attempts and status as the caller saw them into ``recorded``, by request id.

    The caller's status wins: a request that the gateway gave up on is a time-out, however well the function ended.

    Parameters
    ----------
    recorded
        From the logs.
    driven
        From the driver, on whose clock the joined trace runs.

    Raises
    ------
    TraceError
        Never for traces that :func:`simulator.trace.make_trace` let through.
    """
    client, logs = driven.frame, recorded.frame
    others = [name for name in SCHEMA if name not in (*_FROM_CLIENT, "request_id")]
    joined = client.join(
        logs.filter(pl.col("request_id").is_not_null())
        .unique("request_id", keep="first", maintain_order=True)
        .select("request_id", *others),
        on="request_id",
        how="left",
        suffix="_logs",
        maintain_order="left",
    ).with_columns(pl.coalesce(f"{name}_logs", name).alias(name) for name in others)
    known = logs.select("request_id").drop_nulls().unique()
    matched = client.join(known, on="request_id", how="semi").height
    metadata = replace(
        recorded.metadata,
        recorded_at=driven.metadata.recorded_at or recorded.metadata.recorded_at,
        notes={**recorded.metadata.notes, **driven.metadata.notes},
    )
    return ClientJoin(
        trace=make_trace(joined.select(*SCHEMA), metadata, origin="joined trace"),
        matched=matched,
        client_only=client.height - matched,
        logs_only=logs.height - matched,
    )
