"""What other memory does to a request, taken from a recording at one size.

Lambda allots CPU in proportion to memory; 1,769 MB are one vCPU (AWS Lambda developer guide, "Configure Lambda function
memory"). Of a handler's time the model's call is waiting, which no CPU shortens; the rest is taken for work of one
thread, which runs in inverse proportion to the CPU up to one vCPU and gains nothing beyond. So

    handler(M) = inference + own · min(M₀, 1769) ÷ min(M, 1769)

with M₀ the recorded size. INIT and setup stay as recorded: Lambda gives INIT more CPU than the size allots, by how much
it does not document. Ours, and an upper bound of the gain: whatever of the handler is not the model's call (parsing,
signing, TLS, waiting for a database) counts as CPU. A recording without ``inference_ms`` does not say what is waiting:
there memory changes the price only.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from simulator.draws import Randomness
from simulator.errors import ParameterError
from simulator.quantiles import FloatArray
from simulator.service import DrawnService, PreparedService
from simulator.trace import Trace

FULL_CPU_MB: Final = 1_769
"""Memory at which a function has one vCPU (AWS Lambda developer guide)."""


def own_factor(recorded_mb: float, memory_mb: float) -> float:
    """Give by what the handler's own time is multiplied at ``memory_mb`` (128 to 10,240)."""
    return min(recorded_mb, FULL_CPU_MB) / min(memory_mb, FULL_CPU_MB)


class AtMemory(PreparedService):
    """A service as it would be with other memory; the same draws, other handler times."""

    def __init__(self, recorded: PreparedService, memory_mb: float) -> None:
        super().__init__(recorded.fit, recorded.warm)
        if recorded.fit.memory_mb is None:
            raise ParameterError(f"variant {recorded.fit.variant!r}: memory was not recorded, so none can be compared")
        self._factor = own_factor(recorded.fit.memory_mb, memory_mb)

    def draw(self, randomness: Randomness, time_s: FloatArray, *, version: int, attempt: int = 0) -> DrawnService:
        """Draw one replication, see :meth:`PreparedService.draw`."""
        drawn = super().draw(randomness, time_s, version=version, attempt=attempt)

        def at_memory(handler_ms: FloatArray) -> FloatArray:
            own_ms = np.maximum(handler_ms - drawn.inference_ms, 0.0)
            return handler_ms + own_ms * (self._factor - 1.0)

        return replace(drawn, handler_ms=at_memory(drawn.handler_ms), cold_handler_ms=at_memory(drawn.cold_handler_ms))


def memory_notes(trace: Trace, variant: str, sizes_mb: list[int]) -> list[str]:
    """Say what the recording cannot tell about ``sizes_mb``.

    Raises
    ------
    ParameterError
        The recording does not name its memory, or used more than one of the sizes has.
    """
    frame = trace.frame
    recorded = sorted(int(size) for size in frame["memory_mb"].drop_nulls().unique())
    if not recorded:
        raise ParameterError(f"--memory: the trace of {variant!r} does not name its memory (memory_mb); leave it out")
    used = frame["max_memory_mb"].drop_nulls()
    peak_mb = int(used.max()) if len(used) else 0  # type: ignore[arg-type]  # Polars types a column's figure as anything
    if min(sizes_mb) < peak_mb:
        raise ParameterError(
            f"--memory {min(sizes_mb)}: {peak_mb} MB were used at most in the recording of {variant!r}; "
            f"give {peak_mb} or more"
        )
    if all(size == recorded[-1] for size in sizes_mb):
        return []
    known = bool(frame["inference_ms"].is_not_null().any())
    effect = (
        f"its own time (without the model's call) is taken to run in inverse proportion to CPU up to {FULL_CPU_MB} MB"
        if known
        else "inference_ms is not recorded, so memory changes the price only"
    )
    sizes = ", ".join(str(size) for size in recorded)
    return [f"{variant}: recorded at {sizes} MB; {effect}; record a run at the size you choose before you rely on it"]
