"""What policies decide."""

from __future__ import annotations

from typing import Any

import pytest

from replay.cloud.gateway.policy import Access, decide

ARN = "arn:aws:lambda:us-east-1:123456789012:function:f:live"
URL = Access(
    "lambda:InvokeFunctionUrl",
    ARN,
    ("arn:aws:iam::123456789012:user/ann", "123456789012"),
    {"lambda:functionurlauthtype": "AWS_IAM"},
)


def statement(**changes: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": "lambda:InvokeFunctionUrl", "Resource": ARN, **changes}


@pytest.mark.parametrize(
    ("changes", "decision"),
    [
        ({}, True),
        ({"Action": ["s3:GetObject", "LAMBDA:Invoke*"]}, True),
        ({"Action": "lambda:InvokeFunction"}, None),
        ({"Resource": ARN.removesuffix(":live")}, None),
        ({"Resource": ["arn:aws:lambda:*:*:function:f:?ive"]}, True),
        ({"Resource": []}, None),
        ({"Effect": "Deny"}, False),
        ({"Condition": {"StringEquals": {"lambda:FunctionUrlAuthType": "AWS_IAM"}}}, True),
        ({"Condition": {"StringEquals": {"lambda:FunctionUrlAuthType": "NONE"}}}, None),
        ({"Condition": {"Bool": {"aws:MultiFactorAuthPresent": "true"}}}, None),
        ({"Condition": {"NumericLessThan": {"lambda:FunctionUrlAuthType": "3"}}}, None),
        # What is not understood never opens a door: a Deny holds.
        ({"Effect": "Deny", "Condition": {"NumericLessThan": {"lambda:FunctionUrlAuthType": "3"}}}, False),
        ({"Effect": "Deny", "Condition": {"StringEquals": {"lambda:FunctionUrlAuthType": "NONE"}}}, None),
    ],
)
def test_a_statement_of_an_identity(changes: dict[str, Any], decision: bool | None) -> None:
    assert decide([statement(**changes)], URL) is decision


@pytest.mark.parametrize(
    ("principal", "decision"),
    [
        ("*", True),
        ({"AWS": "*"}, True),
        ({"AWS": ["arn:aws:iam::123456789012:user/bob", "arn:aws:iam::123456789012:user/ann"]}, True),
        ("123456789012", True),
        ({"AWS": "arn:aws:iam::123456789012:user/bob"}, None),
        ({"Service": "apigateway.amazonaws.com"}, None),
        (None, None),
    ],
)
def test_a_statement_of_a_resource_names_who_it_is_for(principal: Any, decision: bool | None) -> None:
    assert decide([statement(Principal=principal)], URL, of_resource=True) is decision


def test_one_deny_outweighs_every_allow() -> None:
    assert decide([statement(), statement(Effect="Deny", Action="*"), statement()], URL) is False
    assert decide([], URL) is None
