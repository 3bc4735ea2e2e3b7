"""How the engine reads draws: by column, version, attempt and request, from the window of those still needed."""

from __future__ import annotations

from typing import Any

import numpy as np

from simulator.engine.clock import TICKS_PER_MS, TICKS_PER_SECOND
from simulator.engine.compiled.jit import part
from simulator.engine.compiled.records import column_at, draw_at

_PER_MS = float(TICKS_PER_MS)
_PER_SECOND = float(TICKS_PER_SECOND)


@part
def rounded(value: float) -> int:
    """Round to a whole number, half to even, as Python and NumPy do."""
    return int(np.rint(value))


@part
def drawn(run: Any, column: int, request: int) -> float:
    """Give the value of a column, counted over all versions and attempts."""
    place = column_at(run, column)
    return draw_at(run, place.begin + (request & place.mask)).value


@part
def drawn_ms(run: Any, columns: int, version: int, attempt: int, request: int) -> int:
    """Give the ticks of a value in milliseconds that is drawn for each version and attempt."""
    column = columns + version * run.attempts + attempt
    return rounded(drawn(run, column, request) * _PER_MS)


@part
def drawn_s(run: Any, column: int, request: int) -> int:
    """Give the ticks of a value in seconds."""
    return rounded(drawn(run, column, request) * _PER_SECOND)
