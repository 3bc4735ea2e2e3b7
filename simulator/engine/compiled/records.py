"""How compiled code reaches the records: by their addresses, which the record of the run holds.

A function takes the run's record, a mere pointer, and asks for others by index. Arrays as arguments would cost more
than the simulation: each is a structure of seven words with a reference count that is moved, atomically, whenever one
is handed on. The price: nobody checks an index, and :meth:`simulator.engine.compiled.world.World.bind` must have
written the addresses of arrays that are still alive.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numba
import numpy as np
from numba.core import types
from numba.extending import intrinsic

from simulator.engine.compiled import layout
from simulator.engine.compiled.jit import part

Record = Any
"""A record in compiled code; its fields are those of its type in ``layout``."""
Pointer = Callable[[int, int], Record]


def pointer_to(dtype: np.dtype[np.void]) -> Pointer:
    """Give the function of address and index that points to a record of ``dtype``."""
    record = numba.from_dtype(dtype)

    @intrinsic
    def pointer(_typing: Any, address: Any, index: Any) -> Any:  # noqa: ARG001  (numba reads their names)
        def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            base, place = arguments
            size = context.get_constant(types.int64, dtype.itemsize)
            at = builder.add(base, builder.mul(place, size))
            return builder.inttoptr(at, context.get_value_type(record))

        return record(types.int64, types.int64), generate

    return cast(Pointer, pointer)


_version = pointer_to(layout.VERSION)
_bucket = pointer_to(layout.BUCKET)
_quota = pointer_to(layout.QUOTA)
_environment = pointer_to(layout.ENVIRONMENT)
_sdk = pointer_to(layout.SDK)
_event = pointer_to(layout.EVENT)
_settlement = pointer_to(layout.SETTLEMENT)
_change = pointer_to(layout.CHANGE)
_stage = pointer_to(layout.STAGE)
_column = pointer_to(layout.COLUMN)
_draw = pointer_to(layout.DRAW)
_row = pointer_to(layout.ROW)
_figures = pointer_to(layout.FIGURES)
_count = pointer_to(layout.COUNT)


@part
def version_at(run: Record, index: int) -> Record:
    """Point to a version."""
    return _version(run.versions_at, index)


@part
def bucket_at(run: Record, index: int) -> Record:
    """Point to a token bucket."""
    return _bucket(run.buckets_at, index)


@part
def quota_at(run: Record, index: int) -> Record:
    """Point to a model's quota."""
    return _quota(run.quotas_at, index)


@part
def environment_at(run: Record, index: int) -> Record:
    """Point to an environment."""
    return _environment(run.environments_at, index)


@part
def sdk_at(run: Record, index: int) -> Record:
    """Point to the SDK's client of an environment."""
    return _sdk(run.sdks_at, index)


@part
def event_at(run: Record, index: int) -> Record:
    """Point to a pending event; the first one is at 0."""
    return _event(run.events_at, index)


@part
def settlement_at(run: Record, index: int) -> Record:
    """Point to what a quota gets back."""
    return _settlement(run.settlements_at, index)


@part
def change_at(run: Record, index: int) -> Record:
    """Point to a scheduled change of provisioned concurrency."""
    return _change(run.changes_at, index)


@part
def history_at(run: Record, index: int) -> Record:
    """Point to a change that happened."""
    return _change(run.history_at, index)


@part
def stage_at(run: Record, index: int) -> Record:
    """Point to a stage of the rollout."""
    return _stage(run.stages_at, index)


@part
def backoff_at(run: Record, attempt: int) -> Record:
    """Point to the caller's wait after an attempt, in seconds, before jitter."""
    return _draw(run.backoff_at, attempt)


@part
def column_at(run: Record, index: int) -> Record:
    """Point to a column of draws."""
    return _column(run.columns_at, index)


@part
def draw_at(run: Record, index: int) -> Record:
    """Point to a draw."""
    return _draw(run.draws_at, index)


@part
def row_at(run: Record, index: int) -> Record:
    """Point to an attempt's row."""
    return _row(run.rows_at, index)


@part
def figures_at(run: Record, version: int) -> Record:
    """Point to a version's figures; −1 for those without a version."""
    return _figures(run.figures_at, version + 1)


@part
def refusals_at(run: Record, version: int, refusal: int) -> Record:
    """Point to the count of a version's attempts that a limit refused."""
    return _count(run.refusals_at, (version + 1) * layout.REFUSALS + refusal)


@part
def latencies_at(run: Record, place: int) -> Record:
    """Point to the count of requests whose latency lies in a bin; see :func:`latency_place`."""
    return _count(run.latencies_at, place)


@part
def latency_place(version: int, place: int) -> int:
    """Give the place of a bin among those of all versions."""
    return (version + 1) * layout.LATENCY_BINS + place


@part
def recent_at(run: Record, index: int) -> Record:
    """Point to a latency that is not counted yet; it is the place of its bin."""
    return _count(run.recent_at, index)
