"""The models of the local Bedrock: what ListFoundationModels says of each, and the figures that pace it."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from replay.errors import InputError

PROFILE_PREFIXES: Final = ("us", "us-gov", "eu", "apac", "jp", "au", "ca", "global")
"""What a system-defined inference profile's id starts with (Bedrock user guide, "Supported cross-Region profiles")."""

LATENCIES: Final = ("standard", "optimized")


@dataclass(frozen=True)
class Model:
    """One model: its place in the catalogue and its figures. All times in milliseconds.

    Either ``ttft_ms`` and ``decode_ms`` are given, or ``total_ms`` and ``ttft_share``.

    Raises
    ------
    InputError
        A figure outside its range, or neither or both of the two ways to say how long an answer takes.
    """

    model_id: str
    name: str = ""
    provider: str = "unknown"
    lifecycle: str = "ACTIVE"
    regions: tuple[str, ...] = ()
    """Where it can be called by its own id; empty: only through an inference profile."""
    profiles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Prefix of a cross-region profile → regions it can route to."""
    streaming: bool = True
    cache_minimum_tokens: int | None = None
    """Shortest prefix that is cached; None: the model refuses cache points."""
    latency_optimized: bool = False
    ttft_ms: tuple[float, ...] = ()
    """Recorded times to first token; each draw is one of them."""
    ttft_quantiles_ms: tuple[tuple[float, float], ...] = ()
    """Or their quantile function, for draws between: pairs of level and time, from level 0 to level 1."""
    first_ttft_ms: float | None = None
    """Of the first request after ``idle_s``; None: it is like any other."""
    decode_ms: float | None = None
    """From the first token of ``answer_tokens`` to the end."""
    total_ms: tuple[float, ...] = ()
    """Recorded whole calls; drawn from by an interpolated quantile function."""
    ttft_share: float | None = None
    """Share of a whole call until its first token."""
    measured_through_profile: bool = False
    """Whether ``ttft_ms`` already hold ``cross_region_ms``."""
    slots: int | None = None
    """Requests served at once; the others wait their turn. None: no limit."""
    reasoning_tokens: int = 0
    """Reasoning deltas that come before the answer's first token, in the time before it."""
    reference_input_tokens: int = 672
    answer_tokens: int = 40
    prefill_ms_per_token: float = 0.0
    cached_prefill_share: float = 1.0
    cross_region_ms: float = 0.0
    connection_setup_ms: float = 0.0
    idle_s: float = math.inf
    optimized_factor: float = 1.0
    tier_factors: Mapping[str, float] = field(default_factory=lambda: {"default": 1.0})

    def __post_init__(self) -> None:
        where = f"bedrock catalogue: model {self.model_id!r}"
        split = bool(self.ttft_ms or self.ttft_quantiles_ms) and self.decode_ms is not None
        whole = bool(self.total_ms) and self.ttft_share is not None
        if split == whole:
            raise InputError(f"{where}: give ttft_ms and decode_ms, or total_ms and ttft_share, and not both")
        for name in _NOT_NEGATIVE:
            value = getattr(self, name)
            for number in value if isinstance(value, tuple) else (value,):
                if number is not None and not (_is_number(number) and number >= 0):
                    raise InputError(f"{where}: {name} {number!r} must be a number, 0 or more")
        if self.ttft_share is not None and not (_is_number(self.ttft_share) and 0 < self.ttft_share <= 1):
            raise InputError(f"{where}: ttft_share {self.ttft_share!r} must be above 0 and at most 1")
        levels = [level for level, _ in self.ttft_quantiles_ms]
        times = [time_ms for _, time_ms in self.ttft_quantiles_ms]
        if levels and (levels[0] != 0 or levels[-1] != 1 or sorted(levels) != levels or sorted(times) != times):
            raise InputError(f"{where}: ttft_quantiles_ms must ascend from level 0 to level 1")
        for name, value in (("answer_tokens", self.answer_tokens), ("slots", self.slots)):
            if value is not None and not (isinstance(value, int) and value >= 1):
                raise InputError(f"{where}: {name} {value!r} must be at least 1")
        for tier, factor in self.tier_factors.items():
            if not (_is_number(factor) and factor >= 0):
                raise InputError(f"{where}: tier_factors {tier} = {factor!r} must be a number, 0 or more")

    def destinations(self, prefix: str | None, source_region: str) -> tuple[str, ...]:
        """Give the regions that a call can be served in; empty: it cannot be called this way from there."""
        if prefix is None:
            return (source_region,) if source_region in self.regions else ()
        return tuple(self.profiles.get(prefix, ()))


_NOT_NEGATIVE: Final = (
    "ttft_ms",
    "first_ttft_ms",
    "decode_ms",
    "total_ms",
    "reasoning_tokens",
    "reference_input_tokens",
    "prefill_ms_per_token",
    "cached_prefill_share",
    "cross_region_ms",
    "connection_setup_ms",
    "idle_s",
    "optimized_factor",
    "cache_minimum_tokens",
)


@dataclass(frozen=True)
class Catalogue:
    """All models of one local Bedrock."""

    models: Mapping[str, Model]

    def find(self, model_or_profile_id: str) -> tuple[Model, str | None] | None:
        """Give the model of an id or ARN, and the profile's prefix where it names a profile; None: there is none."""
        name = model_or_profile_id.rsplit("/", 1)[-1] if model_or_profile_id.startswith("arn:") else model_or_profile_id
        if name in self.models:
            return self.models[name], None
        prefix, _, rest = name.partition(".")
        if prefix in PROFILE_PREFIXES and rest in self.models and prefix in self.models[rest].profiles:
            return self.models[rest], prefix
        return None

    def extended(self, table: Mapping[str, Any]) -> Catalogue:
        """Give this catalogue with the models of ``table`` (as in the TOML file) added or replaced.

        Raises
        ------
        InputError
            As :func:`read_catalogue`.
        """
        return Catalogue({**self.models, **_models(table, _shipped_table()["defaults"])})


def read_catalogue(text: str, folder: Path | None = None) -> Catalogue:
    """Read a catalogue in TOML, of the form of the shipped ``catalogue.toml``; its defaults fill what is left out.

    A model may name a recording instead of figures: ``trace = "micro.parquet"``.

    Parameters
    ----------
    text
        The TOML.
    folder
        What the paths of traces are relative to.

    Raises
    ------
    InputError
        It is not TOML, has an unknown key, or a value outside its range; or a trace holds no figures.
    """
    # Imported here: it needs Polars, which the shipped catalogue does not.
    from replay.cloud.bedrock.streaming.recorded import figures_from_trace

    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"bedrock catalogue: not TOML ({error})") from error
    models = {}
    for model_id, values in _table(table.get("models", {}), "models").items():
        own = dict(_table(values, f"model {model_id!r}"))
        trace = own.pop("trace", None)
        models[model_id] = own if trace is None else {**figures_from_trace((folder or Path()) / str(trace)), **own}
    return Catalogue(_models(models, {**_shipped_table()["defaults"], **_table(table.get("defaults", {}), "defaults")}))


def load_catalogue(path: str | None) -> Catalogue:
    """Give the shipped models, with those of the TOML file at ``path`` (None: no file) added or replaced.

    Raises
    ------
    InputError
        As :func:`read_catalogue`, or the file cannot be read.
    """
    if path is None:
        return shipped_catalogue()
    source = Path(path)
    try:
        own = read_catalogue(source.read_text(encoding="utf-8"), source.parent)
    except OSError as error:
        raise InputError(f"{source}: cannot read the bedrock catalogue ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{source}: bedrock catalogue: not TOML ({error})") from error
    except InputError as error:
        raise InputError(f"{source}: {error}") from None
    return Catalogue({**shipped_catalogue().models, **own.models})


@lru_cache(maxsize=1)
def shipped_catalogue() -> Catalogue:
    """Give the models that ship with tailcast."""
    table = _shipped_table()
    return Catalogue(_models(table["models"], table["defaults"]))


def _models(table: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Model]:
    return {
        model_id: _model(model_id, {**defaults, **_table(values, f"model {model_id!r}")})
        for model_id, values in _table(table, "models").items()
    }


def _model(model_id: str, values: dict[str, Any]) -> Model:
    known = {f.name for f in fields(Model)} - {"model_id"}
    unknown = sorted(set(values) - known)
    if unknown:
        raise InputError(f"bedrock catalogue: model {model_id!r}: unknown key {unknown[0]!r}")
    where = f"model {model_id!r}: "
    for name in ("regions", "ttft_ms", "total_ms"):
        values[name] = _tuple(values.get(name, []), where + name)
    quantiles = _tuple(values.get("ttft_quantiles_ms", []), f"{where}ttft_quantiles_ms")
    pairs = [_tuple(pair, f"{where}each of ttft_quantiles_ms") for pair in quantiles]
    if not all(len(pair) == 2 and all(map(_is_number, pair)) for pair in pairs):
        raise InputError(f"bedrock catalogue: {where}ttft_quantiles_ms must be pairs of level and time")
    values["ttft_quantiles_ms"] = tuple((float(level), float(time_ms)) for level, time_ms in pairs)
    profiles = _table(values.get("profiles", {}), f"{where}profiles")
    values["profiles"] = {prefix: _tuple(regions, f"{where}profiles") for prefix, regions in profiles.items()}
    if "tier_factors" in values:
        _table(values["tier_factors"], f"{where}tier_factors")
    values["name"] = values.get("name") or model_id
    return Model(model_id=model_id, **values)


def _table(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InputError(f"bedrock catalogue: {name} must be a table, not {value!r}")
    return value


def _tuple(value: Any, name: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise InputError(f"bedrock catalogue: {name} must be a list, not {value!r}")
    return tuple(value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@lru_cache(maxsize=1)
def _shipped_table() -> dict[str, Any]:
    return tomllib.loads(files(__package__).joinpath("catalogue.toml").read_text(encoding="utf-8"))
