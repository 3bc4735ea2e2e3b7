"""What a failure of the SDK means to a caller, and so whether another model answers."""

from __future__ import annotations

import pytest
from botocore.exceptions import (
    BotoCoreError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ReadTimeoutError,
    SSLError,
)

from functions.common.bedrock import to_service_error
from functions.common.errors import DeadlineError, ServiceError, UnavailableError, UpstreamError

AT = {"endpoint_url": "https://bedrock-runtime.us-east-1.amazonaws.com"}


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        (EndpointConnectionError(**AT), UnavailableError),
        (SSLError(**AT, error="handshake"), UnavailableError),
        (ConnectionClosedError(**AT), UnavailableError),
        (ConnectTimeoutError(**AT), DeadlineError),
        (ReadTimeoutError(**AT), DeadlineError),
        (NoCredentialsError(), UpstreamError),
    ],
)
def test_a_model_out_of_reach_is_one_that_another_may_stand_in_for(
    error: BotoCoreError, meaning: type[ServiceError]
) -> None:
    found = to_service_error(error)
    assert type(found) is meaning
    assert found.cause == type(error).__name__
