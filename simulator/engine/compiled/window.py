"""The window of draws: those of the requests that may still need them, in one array, column by column.

A request's place in its column is its index modulo the window's size. What is one value for all requests takes one
place. Blocks of requests are fed one after the other; draws that no pending event can ask for any more are overwritten.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from simulator.draws import Draws
from simulator.engine.inputs import sdk_attempts
from simulator.platform import Platform
from simulator.quantiles import FloatArray

LEAST_REQUESTS: Final = 1 << 10


class Window:
    """Columns of draws for a platform.

    Parameters
    ----------
    platform
        Says which draws are needed: versions, attempts of caller and SDK.
    requests
        Room to begin with; rounded up to a power of two.
    """

    def __init__(self, platform: Platform, requests: int) -> None:
        versions, attempts = len(platform.versions), platform.client.max_attempts
        tries = sdk_attempts(platform)
        shapes: dict[str, tuple[int, ...]] = {
            "arrival_s": (),
            "route": (attempts,),
            "handler_ms": (versions, attempts),
            "cold_handler_ms": (versions, attempts),
            "init_ms": (versions, attempts),
            "setup_ms": (versions, attempts),
            "overhead_ms": (versions, attempts),
            "keep_alive_s": (attempts,),
            "lifetime_s": (attempts,),
            "client_jitter": (attempts,),
        }
        if tries:
            shapes |= {
                "inference_ms": (versions, attempts),
                "input_tokens": (versions,),
                "output_tokens": (versions,),
                "sdk_jitter": (attempts, tries),
            }
        self._shapes = shapes
        self.first: dict[str, int] = {}
        """Name of a draw → its first column."""
        columns = 0
        for name, shape in shapes.items():
            self.first[name] = columns
            columns += int(np.prod(shape, dtype=np.int64))
        self.sdk_tries = tries
        self.size = LEAST_REQUESTS
        while self.size < requests:
            self.size *= 2
        self._data = np.empty((columns, self.size))
        self._constant = np.ones(columns, dtype=np.bool_)
        self._known = np.zeros(columns, dtype=np.bool_)
        self._columns = np.zeros((columns, 2), dtype=np.int64)
        self._place_columns()

    @property
    def columns(self) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
        """Begin and mask of each column within :attr:`draws`, shape ``(columns, 2)``."""
        return self._columns

    @property
    def draws(self) -> FloatArray:
        """All columns, one after the other."""
        return self._data.reshape(-1)

    def grow(self, oldest: int, requests: int) -> None:
        """Double the window, whose draws from request ``oldest`` to ``requests`` are kept."""
        kept = np.arange(oldest, requests)
        old, old_mask = self._data, self.size - 1
        self.size *= 2
        self._data = np.empty((old.shape[0], self.size))
        # One column after the other: all at once would take a third copy.
        for column, constant in enumerate(self._constant):
            if constant:
                self._data[column, 0] = old[column, 0]
            else:
                self._data[column, kept & (self.size - 1)] = old[column, kept & old_mask]
        self._place_columns()

    def feed(self, draws: Draws, begin: int, end: int, at: int) -> None:
        """Take over requests ``begin`` to ``end`` of ``draws``, the first of which is number ``at`` of the run."""
        model = draws.model
        parts: dict[str, FloatArray | None] = {name: getattr(draws, name, None) for name in self._shapes}
        if self.sdk_tries and model is not None:
            parts |= {name: getattr(model, name) for name in ("inference_ms", "input_tokens", "output_tokens")}
            parts["sdk_jitter"] = model.sdk_jitter
        for name, shape in self._shapes.items():
            values = parts[name]
            if values is not None:
                own = tuple(slice(0, size) for size in shape)
                self._feed_columns(self.first[name], values[(*own, slice(begin, end))], at)
        self._place_columns()

    def _feed_columns(self, first: int, values: FloatArray, at: int) -> None:
        """Take over the columns from ``first`` on; the last dimension of ``values`` is that of the requests."""
        requests = values.shape[-1]
        columns = slice(first, first + values.size // requests)
        rows = self._data[columns].reshape(*values.shape[:-1], self.size)
        if self._constant[first]:
            if values.strides[-1] == 0 and (not self._known[first] or np.array_equal(rows[..., 0], values[..., 0])):
                rows[..., 0] = values[..., 0]
                self._known[columns] = True
                return
            if self._known[first]:
                rows[...] = rows[..., :1]
            self._constant[columns] = False
        place = at & (self.size - 1)
        until_end = self.size - place
        rows[..., place : place + requests] = values[..., :until_end]
        if requests > until_end:
            rows[..., : requests - until_end] = values[..., until_end:]

    def _place_columns(self) -> None:
        self._columns[:, 0] = np.arange(self._data.shape[0]) * self.size
        self._columns[:, 1] = np.where(self._constant, 0, self.size - 1)
