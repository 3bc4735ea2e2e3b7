"""One side of a cost comparison: what its requests cost part by part, from a trace or from numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import polars as pl

from simulator.checks import above, at_least
from simulator.cost.beside import Beside, logs_cost_usd, response_cache_cost_usd
from simulator.cost.prices import Prices
from simulator.cost.request import FloatArray, lambda_cost_usd
from simulator.cost.trace import PARTS, Unpriced, trace_cost
from simulator.errors import ParameterError
from simulator.trace import Trace, TraceMetadata, make_trace

ALL_PARTS: Final = (*PARTS, "response_cache", "logs_ingested", "logs_stored")
"""What a request's cost is made of, logs and response cache with it."""
HIT_MS: Final = 20.0
"""What an answer from the response cache takes in Lambda, about."""
_TOKEN_PARTS: Final = tuple(part for part in PARTS if part.endswith("_tokens"))


@dataclass(frozen=True)
class Terms:
    """By what both sides are priced."""

    prices: Prices
    architecture: str = "x86_64"
    gateway: str = "http_api"
    beside: Beside = field(default_factory=Beside)
    cache_hits: float = 0.0
    """Share of requests that the response cache would answer, of those that did ask the model. Needs a cache."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.cache_hits <= 1.0:
            raise ParameterError(f"cache_hits={self.cache_hits!r} must be a share from 0 to 1")
        if self.cache_hits and not self.beside.response_cache:
            raise ParameterError(f"cache_hits={self.cache_hits!r} needs a response cache; switch it on")


@dataclass(frozen=True)
class Assumed:
    """What is taken for a row that does not record it; None leaves it unknown."""

    model: str | None = None
    """In place of the trace's own, too: "the same requests on another model"."""
    memory_mb: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None


@dataclass(frozen=True)
class Side:
    """What the requests of one side cost."""

    name: str
    model: str | None
    parts: Mapping[str, FloatArray]
    """One of :data:`ALL_PARTS` → USD, shape ``(rows,)``, all finite."""
    memory_mb: float | None
    """The most common, for provisioned concurrency."""
    measured: bool
    """Rows of a trace; else worked out from numbers, which have no interval."""
    unpriced: tuple[Unpriced, ...] = ()
    rows_left_out: int = 0
    notes: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """How many priced requests it rests on."""
        return int(next(iter(self.parts.values())).size)


def side_of_trace(trace: Trace, name: str, terms: Terms, assumed: Assumed | None = None) -> Side:
    """Price the rows of ``trace``; those that cannot be priced are left out and counted.

    Raises
    ------
    ParameterError
        No row can be priced; the message says why.
    """
    filled, notes = _filled(trace, assumed or Assumed())
    cost = trace_cost(filled, prices=terms.prices, architecture=terms.architecture, gateway=terms.gateway)
    priced = np.isfinite(cost.total_usd)
    if not priced.any():
        reasons = "; ".join(one.reason for one in cost.unpriced)
        raise ParameterError(
            f"{name}: no row can be priced: {reasons}; what it does not record (model, memory, tokens) can be given"
        )
    output_tokens = filled.frame["output_tokens"].cast(pl.Float64).fill_null(0.0).to_numpy()
    parts = dict(cost.parts) | _beside(cost.ran, output_tokens, terms)
    if terms.cache_hits:
        parts = _with_hits(parts, cost.ran & (output_tokens > 0), filled, terms)
    memory = filled.frame["memory_mb"].drop_nulls().mode()
    return Side(
        name=name,
        model=_models(filled),
        parts={part: parts[part][priced] for part in ALL_PARTS},
        memory_mb=float(memory.max()) if len(memory) else None,  # type: ignore[arg-type]  # Polars types a column's figure as anything
        measured=True,
        unpriced=cost.unpriced,
        rows_left_out=int((~priced).sum()),
        notes=tuple(notes),
    )


@dataclass(frozen=True)
class Numbers:
    """A request described by numbers instead of a trace.

    Raises
    ------
    ParameterError
        A number outside its range.
    """

    model: str | None
    memory_mb: float
    duration_ms: float
    """The handler, INIT apart."""
    input_tokens: float = 0.0
    output_tokens: float = 0.0
    cache_read_tokens: float = 0.0
    cache_write_tokens: float = 0.0
    cold_share: float = 0.0
    init_ms: float = 0.0
    provisioned: bool = False
    """Whether warm requests run in provisioned concurrency, at its lower rate; cold ones are spill-over."""

    def __post_init__(self) -> None:
        above("memory_mb", self.memory_mb)
        for name in ("duration_ms", "init_ms", *_TOKEN_PARTS):
            at_least(name, getattr(self, name), 0.0)
        if not 0.0 <= self.cold_share <= 1.0:
            raise ParameterError(f"cold_share={self.cold_share!r} must be a share from 0 to 1")
        if self.model is None and any(getattr(self, name) > 0 for name in _TOKEN_PARTS):
            raise ParameterError("tokens are given, and no model; name it with --model")


def side_of_numbers(numbers: Numbers, name: str, terms: Terms) -> Side:
    """Price the request that ``numbers`` describe: a warm and a cold row, weighed by the share of cold ones.

    Raises
    ------
    ParameterError
        A model without a price.
    """
    tokens = {kind: round(getattr(numbers, kind)) for kind in _TOKEN_PARTS} if numbers.model else {}
    rows = pl.DataFrame(
        {
            "arrival_s": [0.0, 1.0],
            "cold": [False, True],
            "provisioned": [numbers.provisioned, False],
            "init_ms": [None, numbers.init_ms],
            "duration_ms": [numbers.duration_ms] * 2,
            "memory_mb": [round(numbers.memory_mb)] * 2,
            **{kind: [count] * 2 for kind, count in tokens.items()},
        }
    )
    models = {name: numbers.model} if numbers.model else {}
    side = side_of_trace(make_trace(rows, TraceMetadata(models=models)), name, terms)
    share = np.array([1.0 - numbers.cold_share, numbers.cold_share])
    parts = {part: np.array([float(usd @ share)]) for part, usd in side.parts.items()}
    return replace(side, parts=parts, measured=False)


def _filled(trace: Trace, assumed: Assumed) -> tuple[Trace, list[str]]:
    """Put what is assumed where the trace has nothing, and say how often."""
    frame = trace.frame
    notes: list[str] = []
    # A request that failed without tokens used none; one that was answered has used some.
    answered = pl.col("status") == "ok"
    uncounted = answered & pl.all_horizontal(pl.col(*_TOKEN_PARTS).is_null())
    for column, value, where in [
        ("memory_mb", assumed.memory_mb, pl.col("memory_mb").is_null()),
        *((kind, getattr(assumed, kind), uncounted) for kind in _TOKEN_PARTS),
    ]:
        if value is None:
            continue
        rows = int(trace.frame.select(where.sum()).item())
        if rows:
            new = pl.when(pl.lit(trace.frame.select(where).to_series())).then(pl.lit(value, pl.Int64))
            frame = frame.with_columns(new.otherwise(pl.col(column)).alias(column))
            notes.append(f"{column} = {value} taken for {rows:,} of {len(trace):,} rows that record none")
    metadata = trace.metadata
    if assumed.model is not None:
        variants = frame["variant"].fill_null("").unique().to_list()
        metadata = replace(metadata, models=dict.fromkeys(variants, assumed.model))
    return replace(trace, frame=frame, metadata=metadata), notes


def _models(trace: Trace) -> str | None:
    names = trace.variants()
    models = trace.metadata.models
    found = [models[name] for name in names if name in models] if names else models.values()
    return ", ".join(dict.fromkeys(found)) or None


def _beside(ran: np.ndarray[tuple[int], np.dtype[np.bool_]], tokens: FloatArray, terms: Terms) -> dict[str, FloatArray]:
    taken_in, kept = logs_cost_usd(terms.beside, prices=terms.prices)
    cache = np.zeros(len(ran))
    if terms.beside.response_cache:
        cache = response_cache_cost_usd(tokens, ran & (tokens > 0), terms.beside, prices=terms.prices) * ran
    return {
        "response_cache": cache,
        "logs_ingested": np.where(ran, taken_in, 0.0),
        "logs_stored": np.where(ran, kept, 0.0),
    }


def _with_hits(
    parts: dict[str, FloatArray], asked: np.ndarray[tuple[int], np.dtype[np.bool_]], trace: Trace, terms: Terms
) -> dict[str, FloatArray]:
    """Let the cache answer a share of the requests that asked the model: no tokens, no write, little time."""
    memory_mb = trace.frame["memory_mb"].cast(pl.Float64).fill_null(np.nan).to_numpy()
    hit_usd = lambda_cost_usd(HIT_MS, memory_mb, prices=terms.prices, architecture=terms.architecture)
    tokens = trace.frame["output_tokens"].cast(pl.Float64).fill_null(0.0).to_numpy()
    mean = np.full(1, tokens[asked].mean() if asked.any() else 0.0)
    # A hit reads what a miss has written, and is the cache's cost without the write.
    size = response_cache_cost_usd(np.append(mean, 0.0), np.array([True, False]), terms.beside, prices=terms.prices)[1]
    of_hit: dict[str, FloatArray | float] = {
        **dict.fromkeys(_TOKEN_PARTS, 0.0),
        "response_cache": float(size),
        "lambda_handler": np.minimum(hit_usd, parts["lambda_handler"]),
    }
    mixed = dict(parts)
    hits = terms.cache_hits
    for part, usd in of_hit.items():
        # Of a row that asked nobody (a throttled one) memory, and with it the price of a hit, may not be known.
        mixed[part] = np.where(asked, parts[part] * (1.0 - hits) + usd * hits, parts[part])
    return mixed
