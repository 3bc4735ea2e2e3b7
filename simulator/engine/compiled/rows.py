"""The rows of a run, 48 bytes an attempt, and how they become outcomes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from simulator.engine.clock import TICKS_PER_MS, TICKS_PER_SECOND
from simulator.engine.compiled.jit import FINGERPRINT, entry
from simulator.engine.compiled.layout import COLD, PROVISIONED
from simulator.engine.outcomes import AttemptLog, Outcomes, ProvisionedHistory
from simulator.quantiles import FloatArray


@dataclass(frozen=True, eq=False)
class CompactOutcomes:
    """What became of each attempt, in 48 bytes: what :class:`Outcomes` says, exactly, in whole microseconds.

    Parameters
    ----------
    rows
        Records of :data:`simulator.engine.compiled.layout.ROW`: first attempts in order of the requests, then further
        ones as they were sent.
    requests
        How many requests there were.
    late_after_ticks
        After so many ticks nobody waits for an attempt any more.
    provisioned_history
        Of each version, in the platform's order.
    """

    rows: NDArray[np.void] = field(repr=False)
    requests: int
    late_after_ticks: int
    provisioned_history: tuple[ProvisionedHistory, ...] = field(repr=False)

    @property
    def bytes_per_request(self) -> float:
        """Give the memory of the rows for each request; 48 where nobody tries again."""
        return self.rows.nbytes / max(self.requests, 1)

    def outcomes(self, arrival_s: FloatArray) -> Outcomes:
        """Give everything as arrays of numbers of 64 bits; ``arrival_s``, shape ``(n,)``, as it was drawn."""
        n, rows = self.requests, self.rows
        further = rows[n:]
        order = np.lexsort((further["request"], further["attempt"]))
        log = _log(rows if not order.size else np.concatenate([rows[:n], further[order]]), self.late_after_ticks)
        log["sent_s"][:n] = arrival_s
        attempts = np.ones(n, dtype=np.int64)
        if order.size:
            last, client_ms = np.arange(n), log["client_ms"][:n].copy()
            last_attempts(rows, n, order, attempts, last, client_ms)
            own = {name: values[last] for name, values in log.items()} | {"client_ms": client_ms}
        else:
            own = log
        return Outcomes(
            arrival_s=arrival_s,
            attempts=attempts,
            log=AttemptLog(**log),
            provisioned_history=self.provisioned_history,
            **{name: own[name] for name in _OF_REQUEST},
        )


_OF_REQUEST: Final = (
    "version",
    "environment",
    "cold",
    "provisioned",
    "status",
    "refusal",
    "start_s",
    "end_s",
    "init_ms",
    "duration_ms",
    "billed_ms",
    "client_ms",
)


def _log(rows: NDArray[np.void], late_after_ticks: int) -> dict[str, Any]:
    def floats() -> FloatArray:
        return np.empty(len(rows))

    def integers() -> NDArray[np.int64]:
        return np.empty(len(rows), dtype=np.int64)

    log: dict[str, Any] = {
        "request": integers(),
        "attempt": integers(),
        "sent_s": floats(),
        "version": integers(),
        "environment": integers(),
        "cold": np.empty(len(rows), dtype=np.bool_),
        "provisioned": np.empty(len(rows), dtype=np.bool_),
        "status": integers(),
        "refusal": integers(),
        "start_s": floats(),
        "end_s": floats(),
        "init_ms": floats(),
        "duration_ms": floats(),
        "billed_ms": floats(),
        "billed_late_ms": floats(),
        "client_ms": floats(),
        "model_tries": integers(),
    }
    unpack(rows, late_after_ticks, *log.values())
    return log


def _build_unpack(fingerprint: str):  # type: ignore[no-untyped-def]
    def unpack(  # type: ignore[no-untyped-def]
        rows,
        late_after,
        request,
        attempt,
        sent_s,
        version,
        environment,
        cold,
        provisioned,
        status,
        refusal,
        start_s,
        end_s,
        init_ms,
        duration_ms,
        billed_ms,
        billed_late_ms,
        client_ms,
        model_tries,
    ):
        """Write the rows into columns, as the ledger of the reference engine does."""
        fingerprint  # noqa: B018
        for i in range(rows.shape[0]):
            row = rows[i]
            request[i], attempt[i] = row.request, row.attempt
            sent_s[i] = row.sent / TICKS_PER_SECOND
            version[i], environment[i] = row.version, row.environment
            cold[i], provisioned[i] = row.flags & COLD != 0, row.flags & PROVISIONED != 0
            status[i], refusal[i] = row.status, row.refusal
            billed = np.int64(row.init) + np.int64(row.duration)
            late = 0
            if row.environment >= 0:
                start_s[i] = row.sent / TICKS_PER_SECOND
                end_s[i] = (row.sent + row.busy) / TICKS_PER_SECOND
                late = min(max(row.busy - late_after, 0), billed)
            else:
                start_s[i] = np.nan
                end_s[i] = np.nan
            init_ms[i], duration_ms[i] = row.init / TICKS_PER_MS, row.duration / TICKS_PER_MS
            billed_ms[i] = (billed + TICKS_PER_MS - 1) // TICKS_PER_MS
            billed_late_ms[i] = late / TICKS_PER_MS
            client_ms[i] = row.client / TICKS_PER_MS
            model_tries[i] = row.tries

    return entry(unpack)


def _build_last(fingerprint: str):  # type: ignore[no-untyped-def]
    def last_attempts(rows, n, order, attempts, last, client_ms):  # type: ignore[no-untyped-def]
        """Find the last attempt of each request in the log, and how long its caller waited in all."""
        fingerprint  # noqa: B018
        for place in range(order.shape[0]):
            row = rows[n + order[place]]
            attempts[row.request] += 1
            last[row.request] = n + place
            client_ms[row.request] = (row.sent + row.client - rows[row.request].sent) / TICKS_PER_MS

    return entry(last_attempts)


unpack = _build_unpack(FINGERPRINT)
last_attempts = _build_last(FINGERPRINT)
