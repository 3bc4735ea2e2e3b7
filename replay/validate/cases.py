"""The cases: what is recorded, and what then happens that the recordings did not show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

from replay.errors import InputError

FAMILIES: Final = ("burst", "weight", "quota", "time-out", "limit")

BURST_BASE_RPS: Final = 2.0
BURST_FACTORS: Final = (5, 10, 20)
PROVISIONED: Final = (0, 2, 5)
WEIGHTS: Final = (0.05, 0.1, 0.25, 0.5)


@dataclass(frozen=True)
class Latency:
    """What a model's calls take: a lognormal law that the local Bedrock replays; None for the shipped recording.

    Parameters
    ----------
    median_ms
        Its median.
    log_sd
        Standard deviation of the logarithm: with 0.35, one call in a hundred takes 2.3 times the median.
    """

    median_ms: float
    log_sd: float


@dataclass(frozen=True)
class Case:
    """One experiment.

    Parameters
    ----------
    name, family
        What it is called, and which of :data:`FAMILIES` it belongs to.
    load
        (seconds, requests a second) of each stretch of the load that is forecast.
    weight
        Share of the candidate.
    provisioned
        Provisioned concurrency of each version, also while it is recorded.
    reserved
        The function's reserved concurrency while the case runs; None for none.
    timeout_s
        Function time-out while the case runs. A whole number, as Lambda wants it. Another one than
        :data:`RECORDED_TIMEOUT_S` makes new versions, which begin without environments.
    sdk_attempts
        Tries of the SDK in all, inside the handler.
    requests_per_minute, tokens_per_minute
        Bedrock's quotas of each of the two models; None for none.
    latency
        Variant → the law of its model; a variant that is not named has the shipped recording.
    """

    name: str
    family: str
    load: tuple[tuple[float, float], ...]
    weight: float
    provisioned: int = 0
    reserved: int | None = None
    timeout_s: int = 30
    sdk_attempts: int = 2
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    latency: Mapping[str, Latency] = field(default_factory=dict)

    @property
    def duration_s(self) -> float:
        """How long its load lasts."""
        return sum(length_s for length_s, _ in self.load)

    @property
    def redeploys(self) -> bool:
        """Whether it runs on other versions than those recorded."""
        return self.timeout_s != RECORDED_TIMEOUT_S

    def shortened(self, factor: float) -> Case:
        """Give the case with stretches ``factor`` times as long, for a quick look."""
        return replace(self, load=tuple((length_s * factor, rate) for length_s, rate in self.load))

    def to_json(self) -> dict[str, Any]:
        """Give the fields as JSON types."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Case:
        """Read what :meth:`to_json` gave."""
        values = dict(document)
        values["load"] = tuple((float(length_s), float(rate)) for length_s, rate in values["load"])
        values["latency"] = {variant: Latency(**law) for variant, law in values["latency"].items()}
        return cls(**values)


RECORDED_TIMEOUT_S: Final = 30
"""Function time-out of the recorded versions: long enough to cut nothing off."""

_SPREAD: Final = {"baseline": Latency(560.0, 0.35), "optimized": Latency(420.0, 0.30)}
"""Twice as slow as the median once in 42 (45) calls."""
_WIDE: Final = {"baseline": Latency(700.0, 0.6), "optimized": Latency(500.0, 0.6)}


def _burst(factor: int) -> tuple[tuple[float, float], ...]:
    return ((8.0, BURST_BASE_RPS), (6.0, BURST_BASE_RPS * factor), (8.0, BURST_BASE_RPS))


def _cases() -> tuple[Case, ...]:
    found: list[Case] = []
    none: dict[str, Latency] = {}
    for row, factor in enumerate(BURST_FACTORS):
        for column, provisioned in enumerate(PROVISIONED):
            # Every weight meets every kind of burst once or twice; every third world has a longer tail.
            weight = WEIGHTS[(row + column + 1) % len(WEIGHTS)]
            latency = _SPREAD if (row + column) % 3 == 2 else none
            name = f"burst {factor}x, PC {provisioned}"
            found.append(Case(name, "burst", _burst(factor), weight, provisioned, latency=latency))
    for weight, rate_rps, latency in zip(WEIGHTS, (14.0, 6.0, 10.0, 8.0), (none, _SPREAD, none, _WIDE), strict=True):
        found.append(Case(f"weight {weight:g}", "weight", ((24.0, rate_rps),), weight, latency=latency))
    heavy = Case("", "quota", ((24.0, 16.0),), 0.25)
    found += [
        replace(heavy, name="requests quota, 1 try", sdk_attempts=1, requests_per_minute=150),
        replace(heavy, name="requests quota, 2 tries", weight=0.1, requests_per_minute=200),
        replace(heavy, name="requests quota, 3 tries", sdk_attempts=3, requests_per_minute=150, provisioned=2),
        replace(heavy, name="tokens quota, 2 tries", weight=0.1, tokens_per_minute=20_000),
        replace(heavy, name="tokens quota, 3 tries", sdk_attempts=3, tokens_per_minute=15_000, latency=_SPREAD),
    ]
    steady = ((24.0, 10.0),)
    found += [
        Case("time-out 1 s", "time-out", steady, 0.25, timeout_s=1, latency=_SPREAD),
        Case("time-out 1 s, PC 2", "time-out", steady, 0.1, 2, timeout_s=1, latency=_SPREAD),
        Case("time-out 1 s, burst 10x", "time-out", _burst(10), 0.5, timeout_s=1, latency=_SPREAD),
        Case("time-out 2 s, long tail", "time-out", steady, 0.25, timeout_s=2, latency=_WIDE),
        Case("reserved 8, burst 10x", "limit", _burst(10), 0.25, reserved=8),
        Case("reserved 10, burst 20x, PC 2", "limit", _burst(20), 0.1, 2, reserved=10),
    ]
    return tuple(found)


CASES: Final = _cases()
"""All cases, in the order in which they run."""


def case_named(name: str) -> Case:
    """Give the case called ``name``. Raises InputError where there is none."""
    for case in CASES:
        if case.name == name:
            return case
    raise InputError(f"no case {name!r}; there are: {'; '.join(case.name for case in CASES)}")
