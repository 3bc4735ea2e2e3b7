"""A real rollout put together: clients, evidence, journal, preflight, and the record that an abort needs."""

from __future__ import annotations

import getpass
import json
import os
import secrets
import signal
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from replay.aws import make_client
from replay.canary.assembler import Invocation
from replay.canary.controller import World
from replay.canary.errors import CanaryError, EvidenceDownError, StoppedError
from replay.canary.gates import Gates
from replay.canary.journal import DynamoJournal, FileJournal, Journal
from replay.canary.live_alias import LambdaAlias, quick_client
from replay.canary.log_evidence import LogEvidence
from replay.canary.metric_evidence import MetricEvidence
from replay.canary.notify import Notifications
from replay.canary.plan import COST, Plan
from replay.canary.ports import Clock, EvidenceSource
from replay.canary.preflight import Target
from replay.canary.promotion import AliasPromotion, QuietVersion, TerraformPromotion
from replay.deploy import DeployRequest
from replay.errors import InputError
from replay.record import function_log_group
from simulator.cost import load_prices, trace_cost_usd
from simulator.files import write_text
from simulator.trace import TraceMetadata, make_trace

_NOTICE_S: Final = 0.25
_EVIDENCE_READ_S: Final = 6.0
_EVIDENCE_ATTEMPTS: Final = 2
"""A CloudWatch that does not answer must not keep the controller from commands, alarms and its lease: the next look
tries again."""
_TELL_ATTEMPTS: Final = 2
_LOGS_UP_TO_RPS: Final = 200.0
"""Above it there are more lines than CloudWatch Logs gives between two looks (10,000 a page, some pages a second)."""


class SystemClock:
    """The machine's clock."""

    def __init__(self) -> None:
        self._stopped_by: signal.Signals | None = None

    def stop(self, by: signal.Signals) -> None:
        """Let the sleep that is under way, or the next one, end with :class:`StoppedError`; for signal handlers."""
        self._stopped_by = by

    def now_s(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Wait. Raises StoppedError where the controller was told to stop: no step of its is under way then."""
        until_s = time.monotonic() + seconds
        while True:
            if self._stopped_by is not None:
                raise StoppedError(self._stopped_by)
            left_s = until_s - time.monotonic()
            if left_s <= 0:
                return
            time.sleep(min(left_s, _NOTICE_S))


@dataclass(frozen=True)
class Place:
    """Which cloud, and where this machine keeps what an abort needs.

    Parameters
    ----------
    region, endpoint_url
        None for what the environment says.
    journal
        ``dynamodb`` or ``dynamodb:TABLE``, or a folder.
    folder
        For the record of running rollouts.
    may_create
        Whether a start may make the journal's table where there is none: not where Terraform has one.
    """

    region: str | None
    endpoint_url: str | None
    journal: str
    folder: Path
    may_create: bool = True


def open_journal(place: Place, target: Target, *, create: bool = False) -> Journal:
    """Open the journal; with ``create``, a table that does not exist is made where that is allowed.

    Raises
    ------
    JournalDownError
        DynamoDB does not answer, or has no such table.
    """
    kind, _, name = place.journal.partition(":")
    scope = f"{target.function}:{target.alias}"
    if kind != "dynamodb":
        return FileJournal(Path(place.journal) / f"{target.function}-{target.alias}")
    client = quick_client("dynamodb", region=place.region, endpoint_url=place.endpoint_url)
    journal = DynamoJournal(client, scope, name) if name else DynamoJournal(client, scope)
    journal.ensure_table(create=create and place.may_create)
    return journal


def live_alias(place: Place, target: Target) -> LambdaAlias:
    """Give the alias with clients that answer in time for a rollback."""
    client = quick_client("lambda", region=place.region, endpoint_url=place.endpoint_url)
    return LambdaAlias(client, target.function, target.alias, target.baseline, target.candidate)


def evidence_for(place: Place, target: Target, plan: Plan) -> EvidenceSource:
    """Choose the source of the evidence: logs, or at high rates metrics."""
    functions = make_client("lambda", region=place.region, endpoint_url=place.endpoint_url)
    metrics = MetricEvidence(
        _evidence_client(place, "cloudwatch"),
        target.function,
        target.alias,
        baseline=target.baseline,
        candidate=target.candidate,
        objectives=plan.objectives,
        history_s=plan.history_s,
    )
    if plan.source == "metrics":
        return metrics
    if plan.source == "auto":
        try:
            if metrics.reference(time.time()).requests_per_s > _LOGS_UP_TO_RPS:
                return metrics
        except EvidenceDownError:
            # The logs alone will do; if they do not answer either, that is said when they are read.
            pass
    return LogEvidence(
        _evidence_client(place, "logs"),
        function_log_group(functions, target.function),
        baseline=target.baseline,
        candidate=target.candidate,
        objectives=plan.objectives,
        history_s=plan.history_s,
        price=price if any(spec.metric == COST for spec in plan.objectives) else None,
    )


def _evidence_client(place: Place, service: str) -> Any:
    return quick_client(
        service,
        region=place.region,
        endpoint_url=place.endpoint_url,
        read_timeout_s=_EVIDENCE_READ_S,
        attempts=_EVIDENCE_ATTEMPTS,
    )


def live_world(
    place: Place,
    target: Target,
    plan: Plan,
    journal: Journal,
    evidence: EvidenceSource,
    deployment: DeployRequest | None,
    say: Callable[[str, Mapping[str, object]], None],
    clock: Clock,
) -> World:
    """Put the controller's world together.

    Parameters
    ----------
    deployment
        Where the function was deployed from, so that a promotion moves Terraform's pins; None without Terraform.
    say
        Shows what happens.
    clock
        What the controller waits with.
    """

    def client(service: str) -> Any:
        return make_client(service, region=place.region, endpoint_url=place.endpoint_url)

    cloudwatch = _evidence_client(place, "cloudwatch")
    quiet = QuietVersion(cloudwatch, target.function, target.alias, target.baseline, clock)
    promotion = (
        TerraformPromotion(deployment, target.candidate, quiet)
        if deployment is not None
        else AliasPromotion(client("lambda"), target.function, target.candidate, target.baseline, quiet)
    )
    sns = None
    if any(each.sns for each in plan.notify):
        # A rollback that Lambda refuses is told before it is tried again.
        sns = quick_client("sns", region=place.region, endpoint_url=place.endpoint_url, attempts=_TELL_ATTEMPTS)
    return World(
        live_alias(place, target),
        evidence,
        journal,
        Gates(plan.gates, plan.alarms, cloudwatch),
        promotion,
        Notifications(plan.notify, sns, say),
        clock,
    )


def price(found: Sequence[Invocation]) -> NDArray[np.float64]:
    """Give the variable cost of requests in USD: Lambda, gateway and tokens; NaN where something is not known."""
    if not found:
        return np.empty(0)
    rows = []
    models: dict[str, str] = {}
    for one in found:
        report, record = one.report, one.record
        variant = one.executed_version or ""
        if record is not None and record.model:
            models[variant] = record.model
        rows.append(
            {
                "arrival_s": 0.0,
                "variant": variant,
                "cold": one.init_ms > 0,
                "provisioned": record.provisioned if record else None,
                "init_ms": one.init_ms or None,
                "duration_ms": report.duration_ms if report else None,
                "billed_ms": report.billed_ms if report else None,
                "memory_mb": report.memory_mb if report else None,
                "input_tokens": record.input_tokens if record else None,
                "output_tokens": record.output_tokens if record else None,
                "cache_read_tokens": record.cache_read_tokens if record else None,
                "cache_write_tokens": record.cache_write_tokens if record else None,
                "status": one.status,
            }
        )
    trace = make_trace(pl.DataFrame(rows, infer_schema_length=None), TraceMetadata(models=models), origin="evidence")
    return np.asarray(trace_cost_usd(trace, prices=load_prices()), dtype=np.float64)


# ---- names -----------------------------------------------------------------------------------------------------------


def rollout_id(now_s: float) -> str:
    """Name a rollout: its time, so that ids sort, and something random."""
    return f"{datetime.fromtimestamp(now_s, UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


def holder() -> str:
    """Name this controller: who, where, which process, and something random, since process ids come again."""
    return f"{who()}/{os.getpid()}/{secrets.token_hex(2)}"


def who() -> str:
    """Name whoever runs this."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "unknown"
    return f"{user}@{socket.gethostname()}"


# ---- what an abort needs ---------------------------------------------------------------------------------------------


def remember(place: Place, target: Target, rollout: str) -> Path:
    """Write down which version is the good one, so that an abort needs nothing but Lambda."""
    path = _record(place, target.function, target.alias)
    document = {**asdict(target), "rollout": rollout, "region": place.region, "endpoint_url": place.endpoint_url}
    write_text(path, json.dumps(document, indent=2) + "\n")
    return path


def recall(place: Place, function: str, alias: str) -> dict[str, Any] | None:
    """Read what :func:`remember` wrote; None where there is nothing."""
    path = _record(place, function, alias)
    if not path.is_file():
        return None
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CanaryError(f"{path}: damaged; name the version to go back to with --to-version") from error
    if not isinstance(document, dict) or "baseline" not in document:
        raise CanaryError(f"{path}: damaged; name the version to go back to with --to-version")
    return document


def _record(place: Place, function: str, alias: str) -> Path:
    if "/" in function or "/" in alias:
        raise InputError(f"function {function!r}: give its name, not a path")
    return place.folder / f"{function.replace(':', '_')}-{alias}.json"
