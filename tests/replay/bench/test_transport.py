"""The bytes of a benchmark: when they came, whatever the reading thread did meanwhile; over TCP and TLS."""

from __future__ import annotations

import datetime
import socket
import ssl
import sys
import threading
import time
from pathlib import Path

import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSRequest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from replay.bench.arrival import on_perf_counter
from replay.bench.calls import LiveCaller
from replay.bench.clients import Endpoint
from replay.bench.targets import Target
from replay.bench.transport import ConnectionPool, Moments

LATE_S = 0.2


class Server:
    """Answers one request in two pieces, and keeps what came."""

    def __init__(self, certificate: Path | None) -> None:
        self.sent_s: list[float] = []
        self.request = b""
        self.context: ssl.SSLContext | None = None
        if certificate is not None:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(certificate)
        self.listening = socket.create_server(("127.0.0.1", 0))
        scheme = "http" if self.context is None else "https"
        self.url = f"{scheme}://localhost:{self.listening.getsockname()[1]}/path?q=1"
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self) -> None:
        accepted, _ = self.listening.accept()
        sock = accepted if self.context is None else self.context.wrap_socket(accepted, server_side=True)
        with sock, self.listening:
            sock.settimeout(30)
            self.request = sock.recv(65_536)
            for piece in (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", b"first", b"later"):
                self.sent_s.append(time.perf_counter())
                sock.sendall(piece)
                time.sleep(LATE_S / 4)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "certificate.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


def request_to(url: str) -> AWSPreparedRequest:
    prepared: AWSPreparedRequest = AWSRequest("POST", url, headers={"Host": "localhost"}, data=b"hello").prepare()
    return prepared


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux stamps arrivals")
@pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
def test_moments_are_those_of_the_bytes_not_of_the_reader(certificate: Path, *, tls: bool) -> None:
    server = Server(certificate if tls else None)
    pool = ConnectionPool(timeout_s=30, verify=str(certificate))
    connection = pool.take(server.url, fresh=True)
    moments = Moments()
    connection.prepare(request_to(server.url))
    assert not connection.is_open  # written down, and nothing sent
    response = connection.send(moments)
    assert moments.sent_s is not None
    assert moments.connected_s is not None
    assert moments.tcp_connected_s is not None
    assert moments.sent_s < moments.tcp_connected_s <= moments.connected_s
    pieces = response.stream(5)
    assert next(pieces) == b"first"
    arrivals = [moments.arrival_s]
    server.thread.join(30)  # both pieces are on their way, or here
    time.sleep(LATE_S)  # a reader that is busy elsewhere
    asked_s = time.perf_counter()
    assert next(pieces) == b"later"
    arrivals.append(moments.arrival_s)
    assert list(pieces) == []
    assert server.request.startswith(b"POST /path?q=1 HTTP/1.1\r\n")
    assert server.request.endswith(b"\r\n\r\nhello")  # head and body in one piece
    for came_s, sent_s in zip(arrivals, server.sent_s[1:], strict=True):
        assert sent_s <= came_s + 1e-3
    assert arrivals[-1] <= asked_s - LATE_S + 1e-3
    pool.give(connection, keep=True)
    pool.close()


def test_a_connection_whose_handshake_failed_is_not_kept() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def refuse() -> None:
            accepted, _ = listening.accept()
            with accepted:
                accepted.sendall(b"no TLS here\r\n")

        thread = threading.Thread(target=refuse, daemon=True)
        thread.start()
        target = Target(f"https://127.0.0.1:{listening.getsockname()[1]}/x", "us-east-1")
        caller = LiveCaller(Endpoint(connect_timeout_s=30, read_timeout_s=30))
        caller.prepare(target)
        assert "SSL" in (caller.open_connection(target) or "")
        assert caller.idle_connections(caller.host(target)) == 0
        thread.join(10)


def test_a_server_that_accepts_and_says_nothing_is_given_up_when_connecting_may_take_no_longer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        target = Target(f"https://127.0.0.1:{listening.getsockname()[1]}/x", "us-east-1")
        caller = LiveCaller(Endpoint(connect_timeout_s=0.5, read_timeout_s=60))
        caller.prepare(target)
        began_s = time.perf_counter()
        assert "timed out" in (caller.open_connection(target) or "")
        assert time.perf_counter() - began_s < 20


def test_a_moment_of_the_wall_clock_is_found_on_the_other_clock() -> None:
    before_s = time.perf_counter()
    found = on_perf_counter(time.time_ns())
    assert found is not None
    assert before_s - 1e-3 <= found <= time.perf_counter() + 1e-3
    assert on_perf_counter(time.time_ns() + 10**9) is None  # the clock was set back meanwhile
    assert on_perf_counter(time.time_ns() - 3600 * 10**9) is None


def test_a_proxy_of_the_environment_is_gone_through(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(certificate)
    listening = socket.create_server(("127.0.0.1", 0))
    asked: list[bytes] = []

    def proxy() -> None:
        inner, _ = listening.accept()
        asked.append(inner.recv(65_536))
        outer = socket.create_connection(("127.0.0.1", server.listening.getsockname()[1]), 30)
        inner.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        back = threading.Thread(target=pump, args=(outer, inner), daemon=True)
        back.start()
        pump(inner, outer)
        back.join(30)
        inner.close()
        outer.close()

    def pump(source: socket.socket, target: socket.socket) -> None:
        while data := source.recv(65_536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)

    thread = threading.Thread(target=proxy, daemon=True)
    thread.start()
    for name in ("NO_PROXY", "no_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{listening.getsockname()[1]}")
    pool = ConnectionPool(timeout_s=30, verify=str(certificate))
    connection = pool.take(server.url, fresh=True)
    connection.prepare(request_to(server.url))
    assert b"".join(connection.send(Moments()).stream()) == b"firstlater"
    assert asked[0].startswith(b"CONNECT localhost:")
    assert server.request.endswith(b"\r\n\r\nhello")
    pool.give(connection, keep=False)
    thread.join(30)
    listening.close()
