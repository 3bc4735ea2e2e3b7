"""Reading what Terraform says with ``-json``: one message a line.

Format: https://developer.hashicorp.com/terraform/internals/machine-readable-ui
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

_DONE: Final = {"create": "created", "update": "updated", "delete": "deleted"}
HINTS: Final = (
    ("No valid credential sources found", "give credentials: `aws configure`, `aws sso login`, or AWS_PROFILE"),
    ("ExpiredToken", "the credentials have expired; log in again"),
    ("InvalidClientTokenId", "the credentials are not valid for this account; check AWS_PROFILE"),
    ("AccessDenied", "the credentials may not do this; the action stands in the message"),
    ("Error acquiring the state lock", "another deployment works on this state; wait for it to end"),
    ("connection refused", "nothing answers at the endpoint; is the local cloud up?"),
    ("Failed to query available provider packages", "the registry is out of reach; give a provider mirror"),
)
"""What Terraform's text holds → what to do about it."""


@dataclass(frozen=True)
class Diagnostic:
    """An error or warning of Terraform's."""

    severity: str
    summary: str
    detail: str = ""
    address: str = ""
    """Resource, empty where it concerns none."""

    def one_line(self) -> str:
        """Give it as one line, with a hint where one is known."""
        parts = [part for part in (self.address, self.summary, " ".join(self.detail.split())) if part]
        text = ": ".join(parts)
        if len(text) > 600:
            text = text[:599] + "…"
        hint = next((hint for mark, hint in HINTS if mark in f"{self.summary} {self.detail}"), None)
        return f"{text} ({hint})" if hint else text


@dataclass(frozen=True)
class PlanSummary:
    """What a plan would do: one line a resource, such as ``create module.api.aws_apigatewayv2_api.this``."""

    changes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n".join(self.changes) if self.changes else "no changes"


class Listener:
    """Takes Terraform's lines, reports progress, and keeps diagnostics and planned changes.

    Parameters
    ----------
    progress
        Gets one line a resource that is done, and one every ten seconds for one that takes long.
    """

    def __init__(self, progress: Callable[[str], None]) -> None:
        self._progress = progress
        self.diagnostics: list[Diagnostic] = []
        self.planned: list[str] = []
        self.completed = 0

    def line(self, line: str) -> None:
        """Take one line; what is not a message of Terraform's is passed over."""
        try:
            message = json.loads(line)
        except ValueError:
            return
        if not isinstance(message, dict):
            return
        kind = message.get("type")
        if kind == "diagnostic":
            self._diagnostic(message.get("diagnostic", {}))
        elif kind == "planned_change":
            change = message.get("change", {})
            self.planned.append(f"{change.get('action', '?')} {_address(change)}")
        elif kind in ("apply_complete", "apply_progress"):
            hook = message.get("hook", {})
            action, address = hook.get("action", ""), _address(hook)
            if action not in _DONE:  # reading a data source changes nothing
                return
            seconds = hook.get("elapsed_seconds", 0)
            if kind == "apply_complete":
                self.completed += 1
                self._progress(f"{_DONE[action]} {address} ({seconds} s)")
            else:
                self._progress(f"still working on {address} ({seconds} s)")

    def errors(self) -> list[Diagnostic]:
        """Give the diagnostics that are errors."""
        return [diagnostic for diagnostic in self.diagnostics if diagnostic.severity == "error"]

    def _diagnostic(self, raw: dict[str, Any]) -> None:
        self.diagnostics.append(
            Diagnostic(
                severity=str(raw.get("severity", "error")),
                summary=str(raw.get("summary", "")),
                detail=str(raw.get("detail", "")),
                address=str(raw.get("address", "")),
            )
        )


def failure_line(command: str, errors: Sequence[Diagnostic], stderr: str) -> str:
    """Give one line for a failed command: its first error, and how many there are."""
    if errors:
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        return f"terraform {command}: {errors[0].one_line()}{more}"
    lines = [line.strip(" │╷╵") for line in stderr.splitlines()]
    said = next((line for line in lines if line), "it gave no reason")
    return f"terraform {command}: {Diagnostic('error', said, stderr).one_line() if len(stderr) < 400 else said}"


def _address(change: dict[str, Any]) -> str:
    return str(change.get("resource", {}).get("addr", "?"))
