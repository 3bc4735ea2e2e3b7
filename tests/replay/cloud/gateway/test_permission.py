"""Policies: which statement lets API Gateway in."""

from __future__ import annotations

from typing import Any

import pytest

from replay.cloud.gateway.permission import allows

SOURCE = "arn:aws:execute-api:us-east-1:123456789012:abc/$default/POST/genai"
ACCOUNT = "123456789012"


def statement(**changes: Any) -> dict[str, Any]:
    return {
        "Effect": "Allow",
        "Action": "lambda:InvokeFunction",
        "Principal": {"Service": "apigateway.amazonaws.com"},
        "Condition": {"ArnLike": {"AWS:SourceArn": "arn:aws:execute-api:us-east-1:123456789012:abc/*/*"}},
        **changes,
    }


@pytest.mark.parametrize(
    ("changes", "allowed"),
    [
        ({}, True),
        ({"Condition": None}, True),
        ({"Action": "lambda:*"}, True),
        ({"Principal": "*"}, True),
        ({"Principal": {"Service": ["s3.amazonaws.com", "apigateway.amazonaws.com"]}}, True),
        ({"Condition": {"ArnLike": {"AWS:SourceArn": "arn:aws:execute-api:*:*:abc/*/POST/genai"}}}, True),
        ({"Condition": {"StringEquals": {"AWS:SourceAccount": ACCOUNT}}}, True),
        ({"Condition": {"StringEquals": {"AWS:SourceAccount": "210987654321"}}}, False),
        ({"Condition": {"ArnLike": {"AWS:SourceArn": "arn:aws:execute-api:us-east-1:123456789012:xyz/*"}}}, False),
        ({"Condition": {"ArnLike": {"AWS:SourceArn": "arn:aws:execute-api:*:*:abc/*/GET/*"}}}, False),
        ({"Condition": {"NumericLessThan": {"AWS:SourceAccount": "1"}}}, False),
        ({"Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-1"}}}, False),
        ({"Action": "lambda:GetFunction"}, False),
        ({"Principal": {"Service": "events.amazonaws.com"}}, False),
        ({"Principal": {"AWS": "arn:aws:iam::123456789012:root"}}, False),
        ({"Effect": "Deny"}, False),
    ],
)
def test_one_statement(changes: dict[str, Any], allowed: bool) -> None:
    assert allows([statement(**changes)], SOURCE, ACCOUNT) is allowed


def test_a_denial_wins() -> None:
    assert not allows([statement(), statement(Effect="Deny")], SOURCE, ACCOUNT)


def test_nothing_allows_nothing() -> None:
    assert not allows([], SOURCE, ACCOUNT)
