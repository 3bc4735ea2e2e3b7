"""Calls of AWS without the SDK: addresses, retries, one connection, and TLS that is checked."""

from __future__ import annotations

import datetime
import http.server
import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from functions.common import aws_call
from functions.common.aws_call import AwsCaller, AwsCallError
from functions.common.errors import ConfigurationError
from tests.functions.bedrock_server import FakeBedrock, Reply, refusal

KEYS = {"AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
JSON = {"content-type": "application/json"}


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the caller would have slept."""
    slept: list[float] = []
    monkeypatch.setattr(aws_call.time, "sleep", slept.append)
    return slept


@pytest.fixture
def endpoint(bedrock: FakeBedrock) -> str:
    return os.environ["AWS_ENDPOINT_URL"]


def caller(endpoint: str | None, max_attempts: int = 3, **environment: str) -> AwsCaller:
    known = {**KEYS, **({} if endpoint is None else {"AWS_ENDPOINT_URL": endpoint}), **environment}
    return AwsCaller(
        "bedrock", "bedrock-runtime", known, max_attempts=max_attempts, connect_timeout_s=2, read_timeout_s=0.3
    )


@pytest.mark.parametrize(
    ("environment", "host"),
    [
        ({}, "bedrock-runtime.us-east-1.amazonaws.com"),
        ({"AWS_REGION": "", "AWS_DEFAULT_REGION": "eu-west-1"}, "bedrock-runtime.eu-west-1.amazonaws.com"),
        ({"AWS_REGION": "cn-north-1"}, "bedrock-runtime.cn-north-1.amazonaws.com.cn"),
        ({"AWS_ENDPOINT_URL": "http://localhost:5000"}, "localhost"),
        (
            {"AWS_ENDPOINT_URL": "http://no", "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": "https://vpce-1.example"},
            "vpce-1.example",
        ),
    ],
)
def test_addresses_are_the_sdks(environment: dict[str, str], host: str) -> None:
    assert caller(None, **environment)._connection.host == host


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        ({"AWS_REGION": ""}, "environment variable AWS_REGION is missing"),
        ({"AWS_ACCESS_KEY_ID": ""}, "there are no credentials: neither AWS_ACCESS_KEY_ID"),
        ({"AWS_ENDPOINT_URL": "localhost"}, "endpoint 'localhost' is not an address"),
        ({"AWS_ENDPOINT_URL": "http://localhost:port"}, "endpoint 'http://localhost:port' is not an address"),
        ({"AWS_ENDPOINT_URL": "http://[::1"}, "endpoint 'http://\\[::1' is not an address"),
    ],
)
def test_a_bad_environment_fails_init_with_a_line(environment: dict[str, str], line: str) -> None:
    with pytest.raises(ConfigurationError, match=line):
        caller(None, **environment)


def test_one_connection_serves_and_is_replaced_where_it_was_closed(bedrock: FakeBedrock, endpoint: str) -> None:
    calls = caller(endpoint)
    for _ in range(3):
        assert calls.post("/model/m/converse", JSON, {}).attempts == 1
    assert bedrock.connections == 1
    bedrock.replies = [Reply(drop=True)]
    assert calls.post("/model/m/converse", JSON, {}).attempts == 2
    assert bedrock.connections == 2
    calls.close()


def test_a_connection_that_was_closed_while_it_waited_costs_no_try(endpoint: str, bedrock: FakeBedrock) -> None:
    calls = caller(endpoint, max_attempts=1)
    bedrock.replies = [Reply(headers={"connection": "keep-alive"})]
    calls.post("/model/m/converse", JSON, {})
    calls._connection.sock.shutdown(socket.SHUT_RD)  # reads as closed, as after the other side's FIN
    assert calls.post("/model/m/converse", JSON, {}).attempts == 1
    calls.close()


def test_throttles_and_faults_are_tried_again_after_growing_pauses(
    bedrock: FakeBedrock, endpoint: str, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aws_call._RANDOM, "random", lambda: 1.0)
    no = refusal(429, "ThrottlingException", "no")
    bedrock.replies = [no, no, refusal(503, "ServiceUnavailableException", "no")]
    calls = caller(endpoint, max_attempts=4)
    assert calls.post("/model/m/converse", JSON, {}).attempts == 4
    assert pauses == [1.0, 2.0, 0.2]
    bedrock.replies = [refusal(429, "ThrottlingException", "no", x_amz_retry_after="2500")]
    calls.post("/model/m/converse", JSON, {})
    bedrock.replies = [refusal(429, "ThrottlingException", "no", x_amz_retry_after="99000")]
    calls.post("/model/m/converse", JSON, {})
    assert pauses[3:] == [2.5, 6.0]
    calls.close()


@pytest.mark.parametrize(
    ("reply", "code", "status"),
    [
        (refusal(400, "ValidationException", "no"), "ValidationException", 400),
        (refusal(403, "com.amazonaws#AccessDeniedException:http://x", "no"), "AccessDeniedException", 403),
        (Reply(404, {"__type": "com.amazon.coral#ResourceNotFoundException"}), "ResourceNotFoundException", 404),
        (Reply(418, raw=b"<html>"), "HTTP418", 418),
        (Reply(400, {"__type": "a prompt, perhaps"}), "HTTP400", 400),
        (Reply(200, raw=b"[]"), "MalformedAnswer", 200),
    ],
)
def test_what_another_try_would_not_mend_is_tried_once(
    bedrock: FakeBedrock, endpoint: str, pauses: list[float], reply: Reply, code: str, status: int
) -> None:
    bedrock.replies = [reply] * 3
    calls = caller(endpoint)
    with pytest.raises(AwsCallError) as caught:
        calls.post("/model/m/converse", JSON, {})
    assert (caught.value.code, caught.value.http_status, pauses) == (code, status, [])
    calls.close()


def test_an_environment_that_only_fails_stops_trying_again(
    bedrock: FakeBedrock, endpoint: str, pauses: list[float]
) -> None:
    """As the SDK's retry quota: 500 tokens, 14 a failure; a service that is down is not asked twice as often."""
    bedrock.replies = [refusal(503, "ServiceUnavailableException", "no")] * 200
    calls = caller(endpoint, max_attempts=2)
    for _ in range(40):
        with pytest.raises(AwsCallError):
            calls.post("/model/m/converse", JSON, {})
    assert len(pauses) == 500 // 14
    assert len(bedrock.requests) == 40 + 500 // 14
    calls.close()


def test_a_time_out_is_told_as_one(bedrock: FakeBedrock, endpoint: str) -> None:
    bedrock.replies = [Reply(hang_before_headers=True)]
    calls = caller(endpoint, max_attempts=1)
    with pytest.raises(AwsCallError) as caught:
        calls.post("/model/m/converse", JSON, {})
    assert caught.value.timed_out
    assert caught.value.http_status is None


def test_an_answer_without_end_is_given_up(
    bedrock: FakeBedrock, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aws_call, "MAX_ANSWER_BYTES", 50)
    calls = caller(endpoint, max_attempts=1)
    with pytest.raises(AwsCallError, match="HTTPException"):
        calls.post("/model/m/converse", JSON, {})
    calls.close()


@pytest.fixture
def tls_server(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """A server with a certificate for ``localhost``, and the file of whoever signed it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    own, chain = tmp_path / "key.pem", tmp_path / "ca.pem"
    own.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    chain.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            body = b'{"tls": "good"}'
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Keep quiet."""

    class Server(http.server.HTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            """A client that trusts nobody hangs up."""

    server = Server(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, own)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield server.server_port, chain
    server.shutdown()
    server.server_close()
    thread.join(5)


def test_certificates_are_checked(tls_server: tuple[int, Path]) -> None:
    port, chain = tls_server
    address = f"https://localhost:{port}"
    with pytest.raises(AwsCallError, match="SSLCertVerificationError"):
        caller(address, max_attempts=1).post("/", JSON, {})
    trusting = caller(address, max_attempts=1, AWS_CA_BUNDLE=str(chain))
    assert trusting.post("/", JSON, {}).document == {"tls": "good"}
    trusting.close()
    with pytest.raises(AwsCallError, match="SSLCertVerificationError"):
        caller(f"https://127.0.0.1:{port}", max_attempts=1, AWS_CA_BUNDLE=str(chain)).post("/", JSON, {})


def test_the_functions_own_imports_leave_the_sdk_alone() -> None:
    code = (
        "import sys, functions.inference.completion, functions.inference.response_cache, functions.inference.answering"
    )
    code += "; print([m for m in ('boto3', 'botocore', 'urllib3', 'aiohttp') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
