"""The settings of one local cloud, and how they are read from TOML."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final

from replay.errors import InputError

ACCOUNT_ID: Final = "123456789012"
"""The one account of a local cloud; moto's default."""

ACCESS_KEY_ID: Final = "local"
SECRET_ACCESS_KEY: Final = "local"  # noqa: S105  (open to everybody on this machine, as the port is)
"""The key of the account's root, which every tool of this project uses; IAM's own keys are known too."""

INIT_MODES: Final = ("real", "replayed")
STREAM_DISCONNECTS: Final = ("stop", "run_on")

DEFAULT_MODELS: Final[Mapping[str, str]] = {
    "anthropic.claude-3-haiku-*": "claude-3-haiku",
    # No recording of this model is published; its predecessor's latencies stand in for it.
    "anthropic.claude-haiku-4-5-*": "claude-3-haiku",
    "amazon.nova-lite-*": "nova-lite",
}
"""Model-id pattern (shell wildcards; a region prefix such as ``us.`` is taken off first) → latency profile."""


@dataclass(frozen=True)
class BedrockQuota:
    """On-demand quotas of one model; None: not limited."""

    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value is not None and not (_is_number(value) and value > 0):
                raise InputError(f"cloud config: bedrock quota {name} {value!r} must be a number above 0")


@dataclass(frozen=True)
class CloudConfig:
    """The settings of one local cloud. Limits default to AWS's own.

    Raises
    ------
    InputError
        A value outside its range: one line with the field and the value.
    """

    port: int = 0
    """Loopback port; 0 takes a free one."""
    region: str = "us-east-1"
    seed: int = 0
    """Of every draw: alias weights, replayed INITs, model latencies."""
    keep_alive_s: float = 600.0
    """How long an idle environment lives."""
    init: str = "real"
    """``real``: environments start an interpreter and import the handler; ``replayed``: they fork from a preloaded
    process and wait out an INIT drawn from a recording."""
    init_trace: str | None = None
    """Trace (Parquet) whose ``init_ms`` are replayed; None: the recorded day of the shipped figures."""
    account_concurrency: int = 1_000
    scale_out_burst: int = 1_000
    """New environments a function may start at once ..."""
    scale_out_per_s: float = 100.0
    """... and how many more each second: 1,000 in 10 s (Lambda developer guide, "Concurrency scaling rate")."""
    gateway_rate_rps: float = 10_000.0
    """Account-wide request rate of the gateway (API Gateway quotas)."""
    gateway_burst: int = 5_000
    """Account-wide burst of the gateway (API Gateway quotas)."""
    stream_disconnect: str = "stop"
    """What a caller who leaves a streamed response does to the function. ``stop``: its runtime's connection breaks.
    ``run_on``: nothing, which is what AWS does today (Lambda developer guide, "Response streaming")."""
    bedrock_models: Mapping[str, str] = field(default_factory=lambda: dict(DEFAULT_MODELS))
    """Model-id pattern → name of a shipped profile, or path of a profile (JSON) or trace (Parquet). The first pattern
    that fits wins; entries from a TOML file come before the defaults."""
    bedrock_catalogue: str | None = None
    """TOML file with streaming models of one's own, beside or instead of the shipped ones (docs/bench.md)."""
    bedrock_quotas: Mapping[str, BedrockQuota] = field(default_factory=dict)
    """Model-id pattern → quota."""
    state_dir: Path | None = None
    """Folder for the server's log and temporary files; None: a temporary one, removed at the end."""

    def __post_init__(self) -> None:
        checks: tuple[tuple[str, bool, str], ...] = (
            ("port", _is_whole(self.port) and 0 <= self.port <= 65_535, "must be a port, 0 to 65535 (0: any free one)"),
            ("region", isinstance(self.region, str) and bool(self.region), "must be the name of an AWS region"),
            ("seed", _is_whole(self.seed) and self.seed >= 0, "must be a whole number, 0 or more"),
            ("init", self.init in INIT_MODES, f"is not one of {', '.join(INIT_MODES)}"),
            (
                "stream_disconnect",
                self.stream_disconnect in STREAM_DISCONNECTS,
                f"is not one of {', '.join(STREAM_DISCONNECTS)}",
            ),
            *(
                (name, _is_number(getattr(self, name)) and getattr(self, name) > 0, "must be a number above 0")
                for name in ("keep_alive_s", "scale_out_per_s", "gateway_rate_rps")
            ),
            *(
                (name, _is_whole(getattr(self, name)) and getattr(self, name) > 0, "must be a whole number above 0")
                for name in ("account_concurrency", "scale_out_burst", "gateway_burst")
            ),
        )
        for name, holds, why in checks:
            if not holds:
                raise InputError(f"cloud config: {name} {getattr(self, name)!r} {why}")

    def to_json(self) -> str:
        """Write every field as JSON, for :meth:`from_json` in another process."""
        document = asdict(self)
        document["state_dir"] = None if self.state_dir is None else str(self.state_dir)
        return json.dumps(document)

    @classmethod
    def from_json(cls, document: str) -> CloudConfig:
        """Read what :meth:`to_json` wrote."""
        values: dict[str, Any] = json.loads(document)
        values["bedrock_quotas"] = {
            pattern: BedrockQuota(**quota) for pattern, quota in values["bedrock_quotas"].items()
        }
        values["state_dir"] = None if values["state_dir"] is None else Path(values["state_dir"])
        return cls(**values)


def read_config(path: str | Path | None, **overrides: Any) -> CloudConfig:
    """Read a TOML file (None: the defaults); ``overrides`` that are not None win over it.

    The keys are the fields of :class:`CloudConfig`, except that Bedrock has tables of its own::

        init = "replayed"
        keep_alive_s = 300

        [bedrock.models]
        "mistral.*" = "recordings/mistral.parquet"

        [bedrock.quotas."anthropic.claude-*"]
        requests_per_minute = 100

    Raises
    ------
    InputError
        The file is missing, is not TOML, or holds an unknown key or a value out of range.
    """
    wanted = {name: value for name, value in overrides.items() if value is not None}
    if path is None:
        return replace(CloudConfig(), **wanted)
    source = Path(path)
    try:
        document = tomllib.loads(source.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{source}: no such cloud config file") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{source}: not a readable TOML file ({error})") from error
    try:
        return replace(_config_from(document, source.parent), **wanted)
    except InputError as error:
        raise InputError(f"{source}: {error}") from None


def _config_from(document: dict[str, Any], folder: Path) -> CloudConfig:
    bedrock = _table(document.pop("bedrock", {}), "bedrock")
    known = [f.name for f in fields(CloudConfig) if not f.name.startswith("bedrock_")]
    _refuse_unknown(document, known, "cloud config")
    _refuse_unknown(bedrock, ["catalogue", "models", "quotas"], "cloud config, table [bedrock]")
    values: dict[str, Any] = dict(document)
    if "state_dir" in values:
        values["state_dir"] = folder / str(values["state_dir"])
    if values.get("init_trace"):
        values["init_trace"] = str(folder / str(values["init_trace"]))
    if "catalogue" in bedrock:
        values["bedrock_catalogue"] = str(folder / str(bedrock["catalogue"]))
    named = _table(bedrock.get("models", {}), "bedrock.models")
    models = {pattern: _profile_reference(name, folder) for pattern, name in named.items()}
    values["bedrock_models"] = {**models, **{k: v for k, v in DEFAULT_MODELS.items() if k not in models}}
    quotas: dict[str, BedrockQuota] = {}
    for pattern, found in _table(bedrock.get("quotas", {}), "bedrock.quotas").items():
        quota = _table(found, f"bedrock.quotas.{json.dumps(pattern)}")
        _refuse_unknown(quota, [f.name for f in fields(BedrockQuota)], f"cloud config, quota {pattern!r}")
        quotas[pattern] = BedrockQuota(**quota)
    values["bedrock_quotas"] = quotas
    return CloudConfig(**values)


def _profile_reference(name: Any, folder: Path) -> str:
    """Give a profile's name, or the path of its file relative to the config's folder."""
    if not isinstance(name, str):
        raise InputError(f"cloud config: bedrock model profile {name!r} must be a name or a path, in quotes")
    return str(folder / name) if name.endswith((".json", ".parquet")) else name


def _table(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"cloud config: {name} must be a table, [{name}], not {value!r}")
    return value


def _refuse_unknown(table: Mapping[str, Any], known: list[str], where: str) -> None:
    for name in table:
        if name not in known:
            raise InputError(f"{where}: unknown key {name!r}; known: {', '.join(known)}")


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
