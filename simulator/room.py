"""Whether runs fit into this machine's memory: better told before than by a process that is killed."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from simulator.errors import ParameterError
from simulator.parallel import InProcess, Processes, Threads, Workers

BYTES_AN_ATTEMPT: Final = 400
"""What drawing, simulating and looking at one attempt takes at the peak: 300 measured at the defaults, more with prices
and a fitted keep-alive."""

_MEMINFO: Final = Path("/proc/meminfo")
_CGROUP: Final = Path("/sys/fs/cgroup")


def check_room(requests: float, attempts: int, at_once: int) -> None:
    """Refuse runs that this machine cannot hold.

    Parameters
    ----------
    requests
        Expected of one run, history and all steps.
    attempts
        Of each at most.
    at_once
        How many runs go on at one time.

    Raises
    ------
    ParameterError
        They would take more memory than is free, as far as the machine tells.
    """
    free, needed = free_bytes(), requests * attempts * BYTES_AN_ATTEMPT * at_once
    if free is not None and needed > free:
        raise ParameterError(
            f"a run of about {requests:,.0f} requests, {at_once} at a time, would take {needed / 1e9:,.1f} GB, "
            f"and {free / 1e9:,.1f} GB are free; shorten the steps (--duration), lower --rate or --scale, or use one "
            "process (--workers 1)"
        )


def check_room_for(workers: Workers | None, requests: float, attempts: int, parts: int) -> None:
    """Refuse runs that this machine cannot hold where they are run on it: ``parts`` of them, by ``workers``.

    Raises
    ------
    ParameterError
        As :func:`check_room`.
    """
    if parts and (workers is None or isinstance(workers, InProcess | Threads | Processes)):
        check_room(requests, attempts, min(1 if workers is None else workers.count, parts))


def free_bytes() -> int | None:
    """Give the memory that a process may still take, here and in its container; None where the system does not tell."""
    try:
        fields = dict(line.split(":", 1) for line in _MEMINFO.read_text(encoding="ascii").splitlines())
        free = int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None
    try:
        limit, used = (int((_CGROUP / name).read_text(encoding="ascii")) for name in ("memory.max", "memory.current"))
        return min(free, max(0, limit - used))
    except (OSError, ValueError):  # no such container, or "max"
        return free
