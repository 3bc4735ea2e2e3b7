"""Where the role's credentials come from: variables, or for SnapStart an address on this machine."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from functions.common.credentials import REFRESH_BEFORE_S, Credentials, credential_source
from functions.common.errors import ConfigurationError


@dataclass
class Agent:
    """What gives credentials, and what it was asked with."""

    address: str = ""
    status: int = 200
    body: object = None
    asked: list[tuple[str, str]] = field(default_factory=list)

    def give(self, key: str, lasts_s: float) -> None:
        expires = datetime.fromtimestamp(time.time() + lasts_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self.body = {"AccessKeyId": key, "SecretAccessKey": "hush", "Token": "t", "Expiration": expires}


@pytest.fixture
def agent() -> Iterator[Agent]:
    state = Agent()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.asked.append((self.path, self.headers.get("Authorization", "")))
            self.send_response(state.status)
            self.end_headers()
            self.wfile.write(json.dumps(state.body).encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Keep quiet."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    state.address = f"http://127.0.0.1:{server.server_port}/v1/credentials?a=b"
    yield state
    server.shutdown()
    server.server_close()
    thread.join(5)


def test_variables_are_taken_and_never_shown() -> None:
    source = credential_source({"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "hush", "AWS_SESSION_TOKEN": "hush"})
    assert source() == Credentials("a", "hush", "hush")
    assert "hush" not in repr(source())


def test_fetched_ones_are_kept_until_they_are_about_to_expire(agent: Agent) -> None:
    source = credential_source(
        {"AWS_CONTAINER_CREDENTIALS_FULL_URI": agent.address, "AWS_CONTAINER_AUTHORIZATION_TOKEN": "secret"}
    )
    assert agent.asked == []
    agent.give("first", REFRESH_BEFORE_S + 3600)
    assert source().access_key == source().access_key == "first"
    assert agent.asked == [("/v1/credentials?a=b", "secret")]

    fresh = credential_source({"AWS_CONTAINER_CREDENTIALS_FULL_URI": agent.address})
    agent.give("second", REFRESH_BEFORE_S - 5)
    assert fresh().access_key == "second"
    agent.give("third", REFRESH_BEFORE_S + 3600)
    assert fresh().access_key == "third"


@pytest.mark.parametrize(("status", "body"), [(403, {}), (200, {}), (200, []), (200, {"Expiration": "soon"})])
def test_what_is_no_credentials_is_a_failed_call(agent: Agent, status: int, body: object) -> None:
    agent.status, agent.body = status, body
    with pytest.raises(http.client.HTTPException, match="credentials: "):
        credential_source({"AWS_CONTAINER_CREDENTIALS_FULL_URI": agent.address})()


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        ({}, "there are no credentials: neither AWS_ACCESS_KEY_ID"),
        ({"AWS_ACCESS_KEY_ID": "a"}, "there are no credentials: neither AWS_ACCESS_KEY_ID"),
        (
            {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://example.com/"},
            "'http://example.com/' is not an address on this",
        ),
        (
            {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "file:///etc/passwd"},
            "'file:///etc/passwd' is not an address on this",
        ),
    ],
)
def test_without_any_init_fails_with_a_line(environment: dict[str, str], line: str) -> None:
    with pytest.raises(ConfigurationError, match=line):
        credential_source(environment)
