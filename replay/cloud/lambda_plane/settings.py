"""What one data plane is told when it starts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from replay.errors import InputError

RECORDED_INIT_MS: Final = (498.71, 475.23, 512.8, 532.17, 495.16)
"""Init Durations of a Python 3.12 function that builds one boto3 client (1,023 MB, us-east-1, 2025-12-30)."""

INIT_MODES: Final = ("real", "replayed")


@dataclass(frozen=True)
class PlaneSettings:
    """Limits and manners of the data plane; every default is AWS's own unless its docstring says otherwise.

    Raises
    ------
    InputError
        A value outside its range.
    """

    keep_alive_s: float = 600.0
    """How long an on-demand environment idles before it ends. Undocumented on AWS: seen between 6 and 60 minutes."""
    init: str = "real"
    """``real``: every environment starts an interpreter and imports the handler. ``replayed``: environments are forked
    from a process that has imported it, and the plane waits out an INIT drawn from ``init_ms``."""
    init_ms: tuple[float, ...] = RECORDED_INIT_MS
    """The recorded INIT durations that ``replayed`` draws from."""
    seed: int = 0
    """Of the alias draws and the replayed INITs."""
    account_concurrency: int = 1_000
    scale_out_burst: int = 1_000
    """New environments that one function may start at once ..."""
    scale_out_per_s: float = 100.0
    """... and how fast that allowance refills: 1,000 per 10 s (Lambda developer guide, "Concurrency scaling rate")."""
    init_limit_s: float = 10.0
    """Longest INIT; after it, INIT runs again within the first invocation, under the function's time-out."""
    event_retry_delays_s: tuple[float, ...] = (60.0, 120.0)
    """Pauses before the retries of an asynchronous invocation whose function failed."""
    region: str = "us-east-1"
    account: str = "123456789012"
    endpoint_url: str | None = None
    """Given to functions as ``AWS_ENDPOINT_URL``."""
    work_dir: Path | None = None
    """Where the plane makes its own folder, removed at stop; None: the system's temporary folder."""

    def __post_init__(self) -> None:
        if self.init not in INIT_MODES:
            raise InputError(f"lambda plane: init {self.init!r} is not one of {', '.join(INIT_MODES)}")
        if self.init == "replayed" and not self.init_ms:
            raise InputError(
                "lambda plane: init_ms is empty; init = 'replayed' draws from it, give at least one figure"
            )
        for value in self.init_ms:
            if not (math.isfinite(value) and value >= 0):
                raise InputError(f"lambda plane: init_ms holds {value!r}; give finite milliseconds, 0 or more")
        for name in ("keep_alive_s", "init_limit_s", "scale_out_per_s"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise InputError(f"lambda plane: {name} {value!r} must be a finite number above 0")
        for name in ("account_concurrency", "scale_out_burst"):
            if getattr(self, name) < 1:
                raise InputError(f"lambda plane: {name} {getattr(self, name)!r} must be at least 1")
