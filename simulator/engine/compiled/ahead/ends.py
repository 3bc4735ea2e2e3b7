"""When each request of a block would end in a warm environment."""

from __future__ import annotations

from typing import Final

from simulator.engine.clock import TICKS_PER_MS, TICKS_PER_SECOND
from simulator.engine.compiled.attempts import weight_of_first
from simulator.engine.compiled.draws import rounded
from simulator.engine.compiled.jit import FINGERPRINT, entry
from simulator.engine.compiled.layout import STOPPED
from simulator.engine.compiled.records import version_at

PLACE_BITS: Final = 14
BLOCK_REQUESTS: Final = 1 << PLACE_BITS
"""So many requests at once at most; a key is an end and, below it, the request's place in the block."""
PLACE_MASK: Final = BLOCK_REQUESTS - 1

_PER_MS: Final = float(TICKS_PER_MS)
_PER_SECOND: Final = float(TICKS_PER_SECOND)


def _build(fingerprint: str):  # type: ignore[no-untyped-def]
    def write_ends(runs, arrival_s, route, handler_ms, sent, busy, version, flags, keys):  # type: ignore[no-untyped-def]
        """Write down when each request is sent, to which version, how long it takes, and the key of its end.

        Ends count from the first arrival, which is given back: a key has room for eight years of them.
        """
        fingerprint  # noqa: B018
        run = runs[0]
        first = rounded(arrival_s[0] * _PER_SECOND)
        for place in range(arrival_s.shape[0]):
            arrival = arrival_s[place]
            now = rounded(arrival * _PER_SECOND)
            own = 1 if route[place] < weight_of_first(run, arrival) else 0
            handler = rounded(handler_ms[own, place] * _PER_MS)
            timeout = version_at(run, own).timeout
            work = min(handler, timeout)
            sent[place] = now
            busy[place] = work
            version[place] = own
            flags[place] = STOPPED if handler > timeout else 0
            keys[place] = ((now - first + work) << PLACE_BITS) | place
        return first

    return entry(write_ends)


write_ends = _build(FINGERPRINT)
