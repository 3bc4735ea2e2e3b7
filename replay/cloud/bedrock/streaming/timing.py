"""When each token of an answer leaves: a pure function of the model, the request and the draw's number.

::

    TTFT  = connection set-up (a connection's first request) + way to another region
          + recorded TTFT: one of few runs, or a quantile of many
          + prefill of the tokens beyond (or short of) those of the recording; cached ones take a part of it
    total = TTFT + decode time × answer tokens / recorded answer tokens

All but the connection set-up is scaled by the service tier and by latency-optimized inference.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, replace
from typing import Final

from replay.cloud.bedrock.streaming.catalogue import Model

_SMALLEST_SHARE: Final = 0.2
"""A short prompt saves prefill, but never more than leaves this share of the recorded TTFT."""


@dataclass(frozen=True)
class Conditions:
    """What of a request decides its pace."""

    input_tokens: int
    """Not from the cache; those written to it count here."""
    cache_read_tokens: int
    output_tokens: int
    through_profile: bool
    new_connection: bool
    first_after_idle: bool
    optimized: bool
    tier: str = "default"


@dataclass(frozen=True)
class Schedule:
    """When an answer's tokens leave, in milliseconds after its request came in."""

    ttft_ms: float
    total_ms: float
    output_tokens: int
    reasoning_tokens: int

    def later(self, wait_ms: float) -> Schedule:
        """Give this schedule after a wait."""
        return replace(self, ttft_ms=self.ttft_ms + wait_ms, total_ms=self.total_ms + wait_ms)

    def token_ms(self, index: int) -> float:
        """Give the moment of token ``index`` (from 0); the last one leaves at ``total_ms``."""
        if self.output_tokens == 1:
            return self.ttft_ms
        return self.ttft_ms + (self.total_ms - self.ttft_ms) * index / (self.output_tokens - 1)

    def reasoning_ms(self, index: int) -> float:
        """Give the moment of reasoning delta ``index`` (from 0): the second half of the wait for the answer."""
        return self.ttft_ms * (0.5 + 0.5 * index / max(self.reasoning_tokens, 1))


def schedule(model: Model, conditions: Conditions, draw: float) -> Schedule:
    """Plan an answer.

    Parameters
    ----------
    model
        Whose figures to use.
    conditions
        The request's.
    draw
        Uniform in [0, 1).
    """
    recorded_ttft_ms, recorded_decode_ms = _recorded(model, draw)
    if conditions.first_after_idle and model.first_ttft_ms is not None:
        recorded_ttft_ms = model.first_ttft_ms
    prefill_tokens = conditions.input_tokens + model.cached_prefill_share * conditions.cache_read_tokens
    prefill_ms = model.prefill_ms_per_token * (prefill_tokens - model.reference_input_tokens)
    ttft_ms = max(recorded_ttft_ms + prefill_ms, _SMALLEST_SHARE * recorded_ttft_ms)
    if conditions.through_profile != model.measured_through_profile:
        ttft_ms += model.cross_region_ms if conditions.through_profile else -model.cross_region_ms
    factor = model.tier_factors.get(conditions.tier, 1.0) * (model.optimized_factor if conditions.optimized else 1.0)
    setup_ms = model.connection_setup_ms if conditions.new_connection else 0.0
    ttft_ms = setup_ms + factor * max(ttft_ms, 0.0)
    decode_ms = factor * recorded_decode_ms * conditions.output_tokens / model.answer_tokens
    if conditions.output_tokens <= 1:
        decode_ms = 0.0
    return Schedule(ttft_ms, ttft_ms + decode_ms, conditions.output_tokens, model.reasoning_tokens)


def _recorded(model: Model, draw: float) -> tuple[float, float]:
    if model.total_ms:
        total_ms = _quantile(model.total_ms, draw)
        ttft_ms = total_ms * (model.ttft_share or 1.0)
        return ttft_ms, total_ms - ttft_ms
    decode_ms = model.decode_ms or 0.0
    if model.ttft_quantiles_ms:
        return _interpolated(model.ttft_quantiles_ms, draw), decode_ms
    # One of the runs as it was: three runs are too few to draw between them, and interpolation would move their mean.
    return sorted(model.ttft_ms)[min(int(draw * len(model.ttft_ms)), len(model.ttft_ms) - 1)], decode_ms


def _quantile(samples: tuple[float, ...], level: float) -> float:
    """Give the quantile by linear interpolation between order statistics (type 7, as in simulator.quantiles)."""
    ordered = sorted(samples)
    place = level * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def _interpolated(points: tuple[tuple[float, float], ...], level: float) -> float:
    index = min(bisect_right([p for p, _ in points], level), len(points) - 1)
    (p0, ms0), (p1, ms1) = points[index - 1], points[index]
    return ms0 + (ms1 - ms0) * (level - p0) / (p1 - p0)
