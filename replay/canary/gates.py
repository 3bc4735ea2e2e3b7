"""Gates (a command or URL to ask before each shift) and the plan's CloudWatch alarms."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any

from replay.aws import cloud_errors
from replay.canary.plan import Gate
from replay.errors import CloudError, InputError


class Gates:
    """See :class:`replay.canary.ports.Gatekeeper`.

    Parameters
    ----------
    gates
        Asked in order; all must agree.
    alarms
        Names of CloudWatch alarms.
    cloudwatch
        A boto3 ``cloudwatch`` client; None where there are no alarms.
    """

    def __init__(self, gates: Sequence[Gate], alarms: Sequence[str], cloudwatch: Any) -> None:
        self._gates = tuple(gates)
        self._alarms = tuple(alarms)
        self._cloudwatch = cloudwatch

    def refusals(self) -> Sequence[str]:
        """Ask every gate; give why those refuse that do."""
        return [text for gate in self._gates if (text := ask(gate)) is not None]

    def firing(self) -> Sequence[str]:
        """Give the plan's alarms that fire now."""
        return tuple(sorted(name for name, state in self._states().items() if state == "ALARM"))

    def unknown_alarms(self) -> Sequence[str]:
        """Give the plan's alarms that do not exist: they would never roll anything back."""
        known = self._states()
        return tuple(name for name in self._alarms if name not in known)

    def _states(self) -> dict[str, str]:
        if not self._alarms:
            return {}
        # A page holds 50 alarms, and a plan may name more.
        with cloud_errors("DescribeAlarms"):
            pages = list(
                self._cloudwatch.get_paginator("describe_alarms").paginate(
                    AlarmNames=list(self._alarms), AlarmTypes=_KINDS
                )
            )
        found = [
            alarm for page in pages for kind in ("MetricAlarms", "CompositeAlarms") for alarm in page.get(kind, ())
        ]
        return {str(alarm["AlarmName"]): str(alarm["StateValue"]) for alarm in found}


_KINDS = ["MetricAlarm", "CompositeAlarm"]


def ask(gate: Gate) -> str | None:
    """Ask one gate; None where it agrees, else why it does not."""
    return _run(gate, gate.command) if gate.command is not None else _get(gate, gate.url or "")


def _run(gate: Gate, command: str) -> str | None:
    # The plan's author writes a shell line, as in a Makefile; its group is ended with it.
    process = subprocess.Popen(  # noqa: S602  (the operator's own command)
        command,
        shell=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        code = process.wait(gate.timeout_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return f"gate {gate.name}: no answer in {gate.timeout_s:g} s"
    return None if code == 0 else f"gate {gate.name}: exit code {code}"


def _get(gate: Gate, url: str) -> str | None:
    if not url.lower().startswith(("http://", "https://")):
        raise InputError(f"gate {gate.name}: url {url!r} must begin with http:// or https://")
    try:
        with urllib.request.urlopen(url, timeout=gate.timeout_s) as answer:  # noqa: S310  (the scheme is checked)
            return None if 200 <= answer.status < 300 else f"gate {gate.name}: HTTP {answer.status}"
    except urllib.error.HTTPError as error:
        with error:
            return f"gate {gate.name}: HTTP {error.code}"
    except (OSError, ValueError, http.client.HTTPException) as error:
        return f"gate {gate.name}: {' '.join(str(error).split())}"


def alarms_now(gates: Gates) -> tuple[str, ...]:
    """Give the alarms that fire before the rollout: they are not its doing. Raises CloudError."""
    unknown = gates.unknown_alarms()
    if unknown:
        raise CloudError(f"alarm {unknown[0]!r} does not exist; it would never roll anything back: correct the plan")
    return tuple(gates.firing())
