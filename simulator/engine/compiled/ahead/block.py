"""A block of requests in compiled code: what is known of each, in columns, and the draws where they lie."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from simulator.draws import Draws
from simulator.engine.clock import TICKS_PER_MS, TICKS_PER_SECOND
from simulator.engine.compiled.draws import rounded
from simulator.engine.compiled.jit import part
from simulator.engine.compiled.records import Record, pointer_to
from simulator.quantiles import FloatArray

PLACE_BITS: Final = 14
BLOCK_REQUESTS: Final = 1 << PLACE_BITS
"""So many requests at once at most; a key is an end and, below it, the request's place in the block."""
PLACE_MASK: Final = BLOCK_REQUESTS - 1

COLUMNS: Final = {
    "key": "i8",  # a place's end, counted from the first arrival, above the place; sorted, so not in order of places
    "sent": "i8",
    "work": "i4",  # a warm handler, until its end or the function's time-out
    "item": "i4",  # the environment that works on it until its key's end; none where that is not its end
    "number": "i4",  # that environment's in the outcomes, or which limit refused it; not where only figures are kept
    "setup": "i8",  # what came before INIT; of cold ones only, as the next
    "init": "i4",
    "duration": "i4",
    "version": "i1",
    "flags": "i1",
}
_OF_REQUESTS: Final = ("arrival_s", "route", "keep_alive_s", "lifetime_s")
_OF_VERSIONS: Final = ("handler_ms", "cold_handler_ms", "init_ms", "setup_ms", "overhead_ms")

BLOCK = np.dtype(
    [
        ("first_request", "i8"),
        ("first_tick", "i8"),
        ("requests", "i8"),
        ("next_request", "i8"),  # the place of the next to arrive
        ("next_end", "i8"),  # of the sorted keys
        *((f"{name}_at", "i8") for name in COLUMNS),
        # Where a draw of the first request (and version) lies, and how many bytes on the next ones: 0 where it is one
        # value for all.
        *((f"{name}_{what}", "i8") for name in _OF_REQUESTS for what in ("at", "step")),
        *((f"{name}_{what}", "i8") for name in _OF_VERSIONS for what in ("at", "step", "version")),
    ]
)

_PLACES: Final = 2 * len(_OF_REQUESTS) + 3 * len(_OF_VERSIONS)

_PER_MS: Final = float(TICKS_PER_MS)
_PER_SECOND: Final = float(TICKS_PER_SECOND)

byte = pointer_to(np.dtype([("value", "i1")]))
half = pointer_to(np.dtype([("value", "i4")]))
whole = pointer_to(np.dtype([("value", "i8")]))
_draw = pointer_to(np.dtype([("value", "f8")]))


class Block:
    """Memory for blocks of up to some number of requests; :attr:`record` is what compiled code takes.

    Parameters
    ----------
    requests
        How many at most, not more than :data:`BLOCK_REQUESTS`.
    """

    def __init__(self, requests: int) -> None:
        self.requests = requests
        self.record = np.zeros(1, dtype=BLOCK)
        # One key more than there are requests: the largest that there is.
        self._columns = {name: np.empty(requests + 1, dtype=kind) for name, kind in COLUMNS.items()}
        for name, column in self._columns.items():
            self.record[f"{name}_at"] = _address(column)
        self.keys = self._columns["key"]
        # All at once, since a field by its name takes as long as a hundred requests.
        self._places = self.record.view(np.int64)[-_PLACES:]

    def look_at(self, draws: Draws, begin: int, end: int, first_request: int) -> None:
        """Begin a block with some of the requests of ``draws``, which must stay alive, and not move, to its end."""
        self.record["first_request"], self.record["requests"] = first_request, end - begin
        self.record["next_request"] = self.record["next_end"] = 0
        lifetime_s = draws.keep_alive_s if draws.lifetime_s is None else draws.lifetime_s
        places: list[int] = []
        for values in (draws.arrival_s, draws.route, draws.keep_alive_s, lifetime_s):
            step = values.strides[-1]
            places += (_address(values) + begin * step, step)
        for name in _OF_VERSIONS:
            values = getattr(draws, name)
            version, _, step = values.strides
            places += (_address(values) + begin * step, step, version)
        self._places[:] = places


def _address(values: FloatArray | np.ndarray[tuple[int, ...], np.dtype[Any]]) -> int:
    return int(values.__array_interface__["data"][0])


@part
def key_at(block: Record, place: int) -> Record:
    """Point to one of the sorted ends."""
    return whole(block.key_at, place)


@part
def sent_at(block: Record, place: int) -> Record:
    """Point to when a request is sent."""
    return whole(block.sent_at, place)


@part
def work_at(block: Record, place: int) -> Record:
    """Point to how long a warm environment works on it."""
    return half(block.work_at, place)


@part
def item_at(block: Record, place: int) -> Record:
    """Point to the environment that works on a request."""
    return half(block.item_at, place)


@part
def number_at(block: Record, place: int) -> Record:
    """Point to that environment's number, or which limit refused it."""
    return half(block.number_at, place)


@part
def setup_at(block: Record, place: int) -> Record:
    """Point to what came before its INIT."""
    return whole(block.setup_at, place)


@part
def init_at(block: Record, place: int) -> Record:
    """Point to its INIT."""
    return half(block.init_at, place)


@part
def duration_at(block: Record, place: int) -> Record:
    """Point to its handler's time."""
    return half(block.duration_at, place)


@part
def version_at(block: Record, place: int) -> Record:
    """Point to its version."""
    return byte(block.version_at, place)


@part
def flags_at(block: Record, place: int) -> Record:
    """Point to what else is to be said of it."""
    return byte(block.flags_at, place)


@part
def drawn(at: int, step: int, place: int) -> float:
    """Give a draw of a request."""
    return float(_draw(at + step * place, 0).value)


@part
def keep_alive_of(block: Record, place: int) -> int:
    """Give how long an environment that served the request stays idle, in ticks."""
    return rounded(drawn(block.keep_alive_s_at, block.keep_alive_s_step, place) * _PER_SECOND)


@part
def lifetime_of(block: Record, place: int) -> int:
    """Give how long one that it starts may live, in ticks."""
    return rounded(drawn(block.lifetime_s_at, block.lifetime_s_step, place) * _PER_SECOND)


@part
def handler_of(block: Record, version: int, place: int) -> int:
    """Give the handler in a warm environment of a version, in ticks."""
    at = block.handler_ms_at + block.handler_ms_version * version
    return rounded(drawn(at, block.handler_ms_step, place) * _PER_MS)


@part
def cold_handler_of(block: Record, version: int, place: int) -> int:
    """Give the handler in a cold environment, in ticks."""
    at = block.cold_handler_ms_at + block.cold_handler_ms_version * version
    return rounded(drawn(at, block.cold_handler_ms_step, place) * _PER_MS)


@part
def init_of(block: Record, version: int, place: int) -> int:
    """Give INIT, in ticks."""
    at = block.init_ms_at + block.init_ms_version * version
    return rounded(drawn(at, block.init_ms_step, place) * _PER_MS)


@part
def setup_of(block: Record, version: int, place: int) -> int:
    """Give what a cold start takes before INIT, in ticks."""
    at = block.setup_ms_at + block.setup_ms_version * version
    return rounded(drawn(at, block.setup_ms_step, place) * _PER_MS)


@part
def overhead_of(block: Record, version: int, place: int) -> int:
    """Give network and gateway, there and back, in ticks."""
    at = block.overhead_ms_at + block.overhead_ms_version * version
    return rounded(drawn(at, block.overhead_ms_step, place) * _PER_MS)
