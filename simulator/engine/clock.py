"""The clock: whole microseconds, so that times add up exactly and a tie is a tie in every engine, and a rule for ties.

At one instant, things happen in the order of :class:`Kind`, and those of one kind in the order of their **slot**: the
attempt's number times the number of requests, plus the request's (for what belongs to no attempt: see its kind). Slot
and kind are the whole key, so an engine that keeps the same key in a heap of its own meets the same order.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Any, Final

import numpy as np
import simpy

from simulator.draws import IntArray
from simulator.quantiles import FloatArray

TICKS_PER_SECOND: Final = 1_000_000
TICKS_PER_MS: Final = TICKS_PER_SECOND // 1000
NEVER: Final = 2**62
_SLOT_BITS: Final = 40
"""A million million slots."""


class Kind(IntEnum):
    """What can happen, in the order in which it happens at one instant: what frees something first, callers last."""

    SETTLE = 0
    """A model call ends, and its quota gets back what was reserved in vain."""
    RELEASE = 1
    """An environment ends its work, or is ended."""
    READY = 2
    """An environment of provisioned concurrency has ended its INIT; the slot is its number."""
    PROVISION = 3
    """Provisioned concurrency is set anew, or a minute of target tracking ends; the slot numbers them."""
    CALL = 4
    """A handler asks its model."""
    ANSWER = 5
    """A caller has his answer, or has given up, and decides whether to try again."""
    GIVE_UP = 6
    """The gateway's or the caller's patience with a handler ends whose end is not yet known."""
    ARRIVAL = 7
    """An attempt reaches the gateway."""


class Later(simpy.Event):
    """Something that happens at ``at_tick``: ``callback`` is called with it."""

    __slots__ = ("slot", "subject", "tick")

    def __init__(
        self,
        clock: simpy.Environment,
        at_tick: int,
        kind: Kind,
        slot: int,
        callback: Callable[[Any], None],
        subject: Any = None,
    ) -> None:
        # What simpy.Event's own constructor does, without a second call: there are several events a request.
        self.env = clock
        self.callbacks = [callback]
        self.slot = slot
        self.tick = at_tick
        self.subject = subject
        """What it is about, besides the slot: an environment, a call, a change."""
        self._ok = True
        self._value = None
        # Any whole number is a priority to SimPy; its type only names the usual two.
        priority: Any = (kind << _SLOT_BITS) + slot
        clock.schedule(self, priority=priority, delay=at_tick - clock.now)


def ticks(values: FloatArray, per_unit: int) -> IntArray:
    """Round ``values``, of which one is ``per_unit`` ticks, to whole ticks; any shape."""
    return np.rint(values * per_unit).astype(np.int64)
