"""Latency profiles: how long a model takes, as recorded."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from replay.errors import InputError
from simulator.errors import TraceError
from simulator.trace import read_trace

DEFAULT_OUTPUT_TOKENS: Final = (40, 160)
"""Answer length of a recording without token counts: our assumption, a short paragraph."""


@dataclass(frozen=True)
class LatencyProfile:
    """An empirical distribution of model-call latencies.

    Latency is drawn apart from the answer's length: the recordings at hand do not relate the two.
    """

    name: str
    source: str
    """Where the figures come from."""
    inference_ms: npt.NDArray[np.float64] = field(repr=False)
    """Ascending, at least one."""
    output_tokens: tuple[int, int] = DEFAULT_OUTPUT_TOKENS
    """Shortest and longest answer; lengths are drawn evenly between."""

    def latency_ms(self, uniform: float) -> float:
        """Give the quantile ``uniform`` (0..1), interpolated between neighbouring observations.

        The smallest observation is quantile 0 and the largest quantile 1 (Hyndman & Fan's type 7): nothing beyond
        what was seen is made up.
        """
        at = np.linspace(0.0, 1.0, len(self.inference_ms)) if len(self.inference_ms) > 1 else np.array([0.0])
        return float(np.interp(uniform, at, self.inference_ms))

    def answer_tokens(self, uniform: float) -> int:
        """Give the length of an answer for a draw on [0, 1)."""
        low, high = self.output_tokens
        return low + int(uniform * (high - low + 1))


def load_profile(reference: str) -> LatencyProfile:
    """Load a profile.

    Parameters
    ----------
    reference
        The name of a shipped profile, or the path of a profile (``.json``) or of a trace (``.parquet``, whose column
        ``inference_ms`` is taken, and ``output_tokens`` where it is there).

    Raises
    ------
    InputError
        There is no such profile, or it holds no usable latency.
    """
    if reference.endswith(".parquet"):
        return _from_trace(reference)
    if reference.endswith(".json"):
        path = Path(reference)
        if not path.is_file():
            raise InputError(f"{reference}: no such latency profile file")
        return _from_document(path.read_bytes(), reference)
    shipped = resources.files(__package__) / "profiles"
    names = sorted(item.name.removesuffix(".json") for item in shipped.iterdir() if item.name.endswith(".json"))
    if reference not in names:
        raise InputError(
            f"latency profile {reference!r} is not shipped; there are {', '.join(names)}, or give a file's path"
        )
    return _from_document((shipped / f"{reference}.json").read_bytes(), reference)


def _from_document(text: bytes, origin: str) -> LatencyProfile:
    try:
        document: dict[str, Any] = json.loads(text)
        values = [float(value) for value in document["inference_ms"]]
        low, high = document.get("output_tokens", DEFAULT_OUTPUT_TOKENS)
        name, source = str(document["name"]), str(document["source"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{origin}: not a latency profile ({type(error).__name__}: {error}); it needs name, source and inference_ms"
        ) from error
    return LatencyProfile(name, source, _checked(values, origin), _checked_lengths(low, high, origin))


def _from_trace(path: str) -> LatencyProfile:
    try:
        frame = read_trace(path).frame
    except TraceError as error:
        raise InputError(str(error)) from error
    values = frame["inference_ms"].drop_nulls().to_list()
    tokens = frame["output_tokens"].drop_nulls()
    lengths = (tokens.min(), tokens.max()) if len(tokens) else DEFAULT_OUTPUT_TOKENS
    low, high = (int(str(length)) for length in lengths)
    return LatencyProfile(Path(path).stem, path, _checked(values, path), _checked_lengths(low, high, path))


def _checked(values: list[float], origin: str) -> npt.NDArray[np.float64]:
    if not values:
        raise InputError(f"{origin}: inference_ms is empty; a latency profile needs at least one figure")
    for value in values:
        if not (math.isfinite(value) and value >= 0):
            raise InputError(f"{origin}: inference_ms holds {value!r}; give finite milliseconds, 0 or more")
    return np.sort(np.asarray(values, dtype=np.float64))


def _checked_lengths(low: Any, high: Any, origin: str) -> tuple[int, int]:
    if not (isinstance(low, int) and isinstance(high, int) and 1 <= low <= high):
        raise InputError(f"{origin}: output_tokens [{low!r}, {high!r}] must be two whole numbers, 1 ≤ first ≤ second")
    return low, high
