"""How much memory a process has used."""

from __future__ import annotations

from pathlib import Path


def peak_memory_mb(pid: int) -> int:
    """Give the peak resident memory of a process in MB.

    Reads ``VmHWM`` of ``/proc``; 0 where there is no such file (the process has ended, or the system has no ``/proc``).
    """
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    _, _, rest = text.partition("VmHWM:")
    return -(-int(rest.split(maxsplit=1)[0]) // 1024) if rest else 0
