"""A streamed run in a process of its own, for its memory: ``python -m tests.bench._engine_memory REQUESTS``."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from simulator.engine.compiled.stream import stream
from simulator.engine.compiled.warm import warm
from tests.bench._engine_work import AT_REST, plain_blocks, plain_platform


def main(requests: int) -> None:
    warm()
    started = time.process_time()
    found = stream(plain_blocks(requests, 100.0), plain_platform(), AT_REST).all
    seconds = time.process_time() - started
    peak_mb = _peak_mb()
    print(
        json.dumps(
            {
                "requests": found.requests,
                "seconds": seconds,
                "peak_mb": peak_mb,
                "p99_ms": found.latency.quantile_ms(0.99),
                "cold": found.cold,
            }
        )
    )


def _peak_mb() -> float:
    """Give the most memory this process held; ``ru_maxrss`` would begin with that of the process that started it."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024.0
    raise RuntimeError("/proc/self/status has no VmHWM")


if __name__ == "__main__":
    main(int(sys.argv[1]))
