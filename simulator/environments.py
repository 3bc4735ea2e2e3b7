"""What a cold start costs, fitted.

A cold start costs INIT, which Lambda reports, and *setup*, which it does not: fetching the code and starting the
sandbox, and the first request's own slowness. Traces hold few cold starts, so each part falls back: the variant's own
starts, those of both variants, published figures; ``source`` says which.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from scipy.special import ndtri

from simulator.quantiles import FloatArray
from simulator.sample import LONGEST_MS, DrawnSample, SampleFit, fit_sample

MIN_OWN_STARTS: Final = 8
"""Cold starts from which on their own distribution is used as it is."""
PUBLISHED_INIT_MS: Final = (498.71, 475.23, 512.8, 532.17, 495.16)
"""INIT of a Python 3.12 function that builds a Bedrock client, 1023 MB, us-east-1, 2025-12-30."""
PUBLISHED_SETUP_MS: Final = 133.0
"""Median time before INIT that no REPORT line shows (11,144 X-Ray cold starts, Simply Business, 2019)."""
_PRIOR_LOG_SD: Final = 0.1
_PRIOR_WEIGHT: Final = 2.0
_FOREIGN_LOG_SD: Final = 0.25
"""How far another function's published INIT may lie from this one's."""
_FOREIGN_SETUP_LOG_SD: Final = 0.6


@dataclass(frozen=True)
class LogNormalFit:
    """A lognormal law fitted to a few values, with the doubt about its centre and spread (Student's).

    Parameters
    ----------
    log_mean, log_sd
        Of the values; the spread is held up by a weak prior.
    values
        How many there were.
    foreign_log_sd
        Further doubt about the centre where the values were measured elsewhere.
    """

    log_mean: float
    log_sd: float
    values: int
    foreign_log_sd: float = 0.0

    def draw(self, rng: np.random.Generator) -> DrawnLogNormal:
        """Draw one version of the law."""
        degrees = _PRIOR_WEIGHT + self.values - 1.0
        log_sd = self.log_sd * math.sqrt(degrees / float(rng.chisquare(degrees)))
        centre_sd = math.hypot(log_sd / math.sqrt(self.values), self.foreign_log_sd)
        return DrawnLogNormal(self.log_mean + centre_sd * float(rng.standard_normal()), log_sd)


@dataclass(frozen=True)
class DrawnLogNormal:
    """One version of a lognormal law."""

    log_mean: float
    log_sd: float

    def at(self, uniforms: FloatArray) -> FloatArray:
        """Give the value at each of ``uniforms``."""
        log_value = np.minimum(self.log_mean + self.log_sd * _normal_quantile(uniforms), math.log(LONGEST_MS))
        return np.asarray(np.exp(log_value), dtype=np.float64)


def fit_log_normal(values: FloatArray, *, foreign_log_sd: float = 0.0) -> LogNormalFit:
    """Fit a lognormal law to ``values`` (above 0, at least one)."""
    logs = np.log(values)
    squares = _PRIOR_WEIGHT * _PRIOR_LOG_SD**2 + float(((logs - logs.mean()) ** 2).sum())
    degrees = _PRIOR_WEIGHT + values.size - 1.0
    return LogNormalFit(float(logs.mean()), math.sqrt(squares / degrees), int(values.size), foreign_log_sd)


@dataclass(frozen=True, eq=False)
class ColdRows:
    """The recorded cold starts of one variant, and what its warm requests take.

    Arrays have shape ``(starts,)``; ``init_ms`` is NaN where it was not recorded. ``total_ms`` is what the caller
    waited without INIT (or the handler alone where no caller was recorded).
    """

    total_ms: FloatArray = field(repr=False)
    handler_ms: FloatArray = field(repr=False)
    init_ms: FloatArray = field(repr=False)
    warm_total_ms: float
    warm_handler_ms: float
    warm_total_variance: float


@dataclass(frozen=True, eq=False)
class ColdFit:
    """What a cold start of one variant costs.

    Parameters
    ----------
    init
        INIT; None where starts were recorded without one (then it is part of the setup).
    own
        The variant's own starts without INIT, where there are enough.
    handler_share
        Share of the handler in each of ``own``'s rows.
    extra_ms, extra_sd_ms, extra_mean_sd_ms
        Otherwise: what a start takes beyond a warm request, INIT apart; its spread; the doubt about its mean.
    handler_extra_ms
        The handler's part of ``extra_ms``.
    starts
        Cold starts that the fit rests on.
    source
        ``own``, ``both variants`` or ``published``.
    """

    init: SampleFit | LogNormalFit | None
    own: SampleFit | None
    handler_share: FloatArray = field(repr=False)
    extra_ms: float
    extra_sd_ms: float
    extra_mean_sd_ms: float
    handler_extra_ms: float
    starts: int
    source: str
    init_source: str

    def draw(self, rng: np.random.Generator) -> DrawnCold:
        """Draw one version of it."""
        init = self.init.draw(rng) if isinstance(self.init, LogNormalFit) else None
        own_init = self.init.prepare(0.0, 0.0).draw(rng) if isinstance(self.init, SampleFit) else None
        own = self.own.prepare(0.0, 0.0).draw(rng) if self.own is not None else None
        mean_ms = self.extra_ms + self.extra_mean_sd_ms * float(rng.standard_normal())
        return DrawnCold(self, init or own_init, own, max(mean_ms, 0.0))


@dataclass(frozen=True, eq=False)
class DrawnCold:
    """One version of what a cold start costs."""

    fit: ColdFit
    init: DrawnSample | DrawnLogNormal | None
    own: DrawnSample | None
    extra_ms: float

    def init_ms(self, uniforms: FloatArray) -> FloatArray:
        """Give INIT at each of ``uniforms``, in milliseconds."""
        if self.init is None:
            return np.zeros(uniforms.size)
        if isinstance(self.init, DrawnLogNormal):
            return self.init.at(uniforms)
        return self.init.at(uniforms, np.zeros(uniforms.size))[0]

    def handler_and_setup_ms(
        self, uniforms: FloatArray, warm_handler_ms: FloatArray, overhead_ms: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Give handler and setup of a cold start at each of ``uniforms``, next to the same request served warm."""
        fit = self.fit
        if self.own is not None:
            total_ms, rows = self.own.at(uniforms, np.zeros(uniforms.size))
            handler_ms = total_ms * fit.handler_share[rows]
            return handler_ms, np.maximum(total_ms - handler_ms - overhead_ms, 0.0)
        extra_ms = np.maximum(self.extra_ms + fit.extra_sd_ms * _normal_quantile(uniforms), 0.0)
        handler_extra_ms = np.minimum(fit.handler_extra_ms, extra_ms)
        return warm_handler_ms + handler_extra_ms, extra_ms - handler_extra_ms


def fit_cold(own: ColdRows, both: Sequence[ColdRows], *, caller_recorded: bool) -> ColdFit:
    """Fit the cold start of one variant from its own rows and those of all variants (its own among them)."""
    init, init_source = _fit_init(own, both)
    starts = sum(rows.total_ms.size for rows in both)
    common = {"init": init, "init_source": init_source}
    if own.total_ms.size >= MIN_OWN_STARTS:
        share = np.minimum(own.handler_ms / own.total_ms, 1.0)
        return ColdFit(
            **common,  # type: ignore[arg-type]  # fields of several types in one mapping
            own=fit_sample(own.total_ms),
            handler_share=share,
            extra_ms=0.0,
            extra_sd_ms=0.0,
            extra_mean_sd_ms=0.0,
            handler_extra_ms=0.0,
            starts=int(own.total_ms.size),
            source="own",
        )
    if not starts:
        # Nothing recorded: the published setup where a caller waits for it, nothing where only execution is forecast.
        setup_ms = PUBLISHED_SETUP_MS if caller_recorded else 0.0
        return ColdFit(
            **common,  # type: ignore[arg-type]  # fields of several types in one mapping
            own=None,
            handler_share=np.empty(0),
            extra_ms=setup_ms,
            extra_sd_ms=0.0,
            extra_mean_sd_ms=setup_ms * _FOREIGN_SETUP_LOG_SD,
            handler_extra_ms=0.0,
            starts=0,
            source="published",
        )
    extras_ms = np.concatenate([rows.total_ms - rows.warm_total_ms for rows in both])
    handler_extras_ms = np.concatenate([rows.handler_ms - rows.warm_handler_ms for rows in both])
    prior_sd_ms = _PRIOR_LOG_SD * own.warm_total_ms
    squares = _PRIOR_WEIGHT * prior_sd_ms**2 + float(((extras_ms - extras_ms.mean()) ** 2).sum())
    variance = squares / (_PRIOR_WEIGHT + starts - 1.0)
    extra_ms = float(extras_ms.mean())
    return ColdFit(
        **common,  # type: ignore[arg-type]  # fields of several types in one mapping
        own=None,
        handler_share=np.empty(0),
        extra_ms=extra_ms,
        # A warm request varies by itself; only what the starts vary beyond that is the start's own.
        extra_sd_ms=math.sqrt(max(variance - own.warm_total_variance, 0.0)),
        extra_mean_sd_ms=math.sqrt(variance / starts),
        handler_extra_ms=float(np.clip(handler_extras_ms.mean(), 0.0, max(extra_ms, 0.0))),
        starts=starts,
        source="both variants" if starts > own.total_ms.size else "own",
    )


def _fit_init(own: ColdRows, both: Sequence[ColdRows]) -> tuple[SampleFit | LogNormalFit | None, str]:
    recorded = own.init_ms[own.init_ms > 0.0]
    if recorded.size >= MIN_OWN_STARTS:
        return fit_sample(recorded), "own"
    pooled = np.concatenate([rows.init_ms[rows.init_ms > 0.0] for rows in both])
    if pooled.size >= MIN_OWN_STARTS:
        return fit_sample(pooled), "both variants"
    if pooled.size:
        return fit_log_normal(pooled), "both variants" if pooled.size > recorded.size else "own"
    if sum(rows.total_ms.size for rows in both):
        return None, "part of the setup"
    return fit_log_normal(np.array(PUBLISHED_INIT_MS), foreign_log_sd=_FOREIGN_LOG_SD), "published"


def _normal_quantile(uniforms: FloatArray) -> FloatArray:
    # A uniform of exactly 0 is possible, and must not become minus infinity.
    return np.asarray(ndtri(np.clip(uniforms, 1e-12, 1.0 - 1e-12)), dtype=np.float64)
