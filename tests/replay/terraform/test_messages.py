"""Reading Terraform's JSON lines, and turning a failure into one line."""

from __future__ import annotations

import json
from typing import Any

import pytest

from replay.terraform.messages import Diagnostic, Listener, PlanSummary, failure_line


def listen(*messages: dict[str, Any] | str) -> tuple[Listener, list[str]]:
    progress: list[str] = []
    listener = Listener(progress.append)
    for message in messages:
        listener.line(message if isinstance(message, str) else json.dumps(message))
    return listener, progress


def hook(kind: str, action: str, address: str, seconds: int) -> dict[str, Any]:
    return {"type": kind, "hook": {"resource": {"addr": address}, "action": action, "elapsed_seconds": seconds}}


def test_resources_are_reported_as_they_are_done() -> None:
    listener, progress = listen(
        {"type": "version", "terraform": "1.11.4"},
        hook("apply_complete", "read", "data.aws_partition.current", 0),
        hook("apply_progress", "create", "aws_lambda_function.this", 10),
        hook("apply_complete", "create", "aws_lambda_function.this", 12),
        hook("apply_complete", "delete", "aws_lambda_alias.x", 0),
        "not JSON, as a provider's panic is",
        "7",
    )
    assert progress == [
        "still working on aws_lambda_function.this (10 s)",
        "created aws_lambda_function.this (12 s)",
        "deleted aws_lambda_alias.x (0 s)",
    ]
    assert listener.completed == 2


def test_planned_changes_make_the_summary() -> None:
    change = {"resource": {"addr": "module.a.aws_x.y"}, "action": "replace"}
    listener, _ = listen({"type": "planned_change", "change": change})
    assert str(PlanSummary(tuple(listener.planned))) == "replace module.a.aws_x.y"
    assert str(PlanSummary()) == "no changes"


def test_warnings_are_not_errors() -> None:
    listener, _ = listen(
        {"type": "diagnostic", "diagnostic": {"severity": "warning", "summary": "old"}},
        {"type": "diagnostic", "diagnostic": {"severity": "error", "summary": "new", "address": "a.b"}},
    )
    assert [error.summary for error in listener.errors()] == ["new"]


@pytest.mark.parametrize(
    ("diagnostic", "line"),
    [
        (
            Diagnostic("error", "creating Lambda", "operation error:\n  nope\n", "aws_lambda_function.this"),
            "terraform apply: aws_lambda_function.this: creating Lambda: operation error: nope (and 1 more)",
        ),
        (
            Diagnostic("error", "No valid credential sources found", ""),
            "terraform apply: No valid credential sources found "
            "(give credentials: `aws configure`, `aws sso login`, or AWS_PROFILE) (and 1 more)",
        ),
    ],
)
def test_a_failure_is_one_line_with_a_hint(diagnostic: Diagnostic, line: str) -> None:
    assert failure_line("apply", [diagnostic, diagnostic], "") == line


def test_an_endless_detail_is_cut() -> None:
    line = failure_line("apply", [Diagnostic("error", "s", "x" * 5000)], "")
    assert len(line) < 700
    assert "\n" not in line


def test_a_failure_before_any_message_shows_what_stderr_said() -> None:
    stderr = "╷\n│ Error: Required plugins are not installed\n│ \n│ details\n╵\n"
    assert failure_line("plan", [], stderr).startswith("terraform plan: Error: Required plugins are not installed")
    assert failure_line("plan", [], "") == "terraform plan: it gave no reason"
