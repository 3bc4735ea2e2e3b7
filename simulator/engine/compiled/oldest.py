"""Which draws may still be needed: whatever is under way has an event pending, and the event names its request."""

from __future__ import annotations

from simulator.engine.compiled.jit import FINGERPRINT, entry
from simulator.engine.compiled.layout import KIND_BITS, PROVISION, READY, REQUEST_MASK


def _build(fingerprint: str):  # type: ignore[no-untyped-def]
    def oldest_request(runs, events):  # type: ignore[no-untyped-def]
        """Give the first request that a pending event belongs to; where there is none, the next one to arrive."""
        fingerprint  # noqa: B018
        run = runs[0]
        oldest = run.next_request
        for place in range(run.events):
            key = events[place].key
            kind = key >> KIND_BITS
            if kind != READY and kind != PROVISION:
                oldest = min(oldest, key & REQUEST_MASK)
        return oldest

    return entry(oldest_request)


oldest_request = _build(FINGERPRINT)
