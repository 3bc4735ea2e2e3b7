"""Arrivals of a closed loop whose recording has no times: they follow from the latencies and the number of clients."""

from __future__ import annotations

import heapq
from collections.abc import Iterable

import polars as pl

from simulator.errors import ParameterError
from simulator.importers.base import US_PER_S


def closed_loop_arrivals_us(latencies_ms: Iterable[float | None], clients: int) -> pl.Series:
    """Give when each request was sent, in microseconds since the first, if ``clients`` each wait for their answer.

    The requests are taken in the order of the recording, each by the client that is free first. A request without a
    latency takes no time.

    Raises
    ------
    ParameterError
        Fewer than one client.
    """
    if clients < 1:
        raise ParameterError(f"clients={clients!r}: a closed loop needs at least one")
    free_us = [0] * clients
    arrivals = []
    for latency_ms in latencies_ms:
        start_us = free_us[0]
        arrivals.append(start_us)
        heapq.heapreplace(free_us, start_us + round((latency_ms or 0.0) * US_PER_S / 1000.0))
    return pl.Series(arrivals, dtype=pl.Int64)


def closed_loop_note(clients: int) -> dict[str, str]:
    """Say in the metadata that the arrivals are made, not measured."""
    return {"arrivals": f"not recorded; reconstructed as a closed loop of {clients} client{'s' if clients > 1 else ''}"}
