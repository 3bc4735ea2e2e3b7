"""HTTP connections whose every moment is known: when it was opened, sent on, and when each byte came.

boto3 builds, signs and parses the calls; only the bytes travel here, handed over in botocore's ``before-send`` hook
(:mod:`replay.bench.sdk`). Two things are not to be had otherwise: whether a request opens a connection or reuses one
is decided by us, not by a pool; and moments are those at which bytes arrive (:mod:`replay.bench.arrival`), before they
are read or parsed.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from botocore.awsrequest import AWSPreparedRequest
from botocore.httpsession import get_cert_path

from replay.bench.arrival import ArrivalSocket, ArrivalTlsSocket, arrival_of, connect

_READ_BYTES: Final = 65_536


@dataclass
class Moments:
    """What happened to one request, in seconds of :func:`time.perf_counter`; None: it did not come so far."""

    sent_s: float | None = None
    """Just before the first byte left, or before the connection was opened for it."""
    connected_s: float | None = None
    """The connection stood (TCP, and TLS where there is any); None where one was reused."""
    tcp_connected_s: float | None = None
    headers_s: float | None = None
    """Status line and headers were there."""
    arrival_s: float = 0.0
    """The latest bytes of the body came."""


@dataclass
class Connection:
    """One connection to one host, used by one request at a time."""

    host: str
    port: int
    tls: ssl.SSLContext | None
    timeout_s: float
    """How long an answer may be silent."""
    connect_timeout_s: float
    """How long each step of opening it may take: TCP, a proxy's tunnel, TLS."""
    aborted: bool = False
    """It was broken on purpose."""
    _http: _HeldHttp | _HeldHttps | None = None

    @property
    def is_open(self) -> bool:
        """Whether a request on it would find the connection standing."""
        return self._http is not None and self._http.sock is not None

    def open(self, moments: Moments) -> None:
        """Open the connection and note when it stood.

        Raises
        ------
        OSError
            It cannot be opened in time.
        """
        http_ = self._made()
        moments.sent_s = moments.sent_s or time.perf_counter()
        try:
            http_.connect()
        except BaseException:
            self.close()  # a handshake that failed leaves a socket behind that looks open
            raise
        http_.sock.settimeout(self.timeout_s)
        moments.connected_s = time.perf_counter()
        moments.tcp_connected_s = http_.tcp_connected_s if self.tls else moments.connected_s

    def prepare(self, request: AWSPreparedRequest) -> None:
        """Write a request down, ready to leave as one piece; nothing is sent, and no connection opened."""
        target = urlsplit(request.url)
        path = target.path + (f"?{target.query}" if target.query else "")
        body = bytes(request.body) if isinstance(request.body, bytes | bytearray) else None
        headers = {name: _text(value) for name, value in request.headers.items()}
        self._made().write_down(request.method, path, body, headers)

    def send(self, moments: Moments) -> ArrivingResponse:
        """Send what was prepared and wait for the head of its answer.

        Raises
        ------
        OSError, http.client.HTTPException
            The connection broke, or no answer came in time.
        """
        if not self.is_open:
            self.open(moments)
        http_ = self._made()
        moments.sent_s = moments.sent_s or time.perf_counter()
        http_.release()
        response = http_.getresponse()
        moments.headers_s = moments.arrival_s = arrival_of(http_.sock)
        return ArrivingResponse(response, self, http_.sock, moments)

    def _made(self) -> _HeldHttp | _HeldHttps:
        if self._http is None:
            plain = self.tls is None
            self._http = _HeldHttp(self.host, self.port, timeout=self.connect_timeout_s) if plain else self._made_tls()
        return self._http

    def _made_tls(self) -> _HeldHttps:
        made = _HeldHttps(self.host, self.port, timeout=self.connect_timeout_s, context=self.tls)
        proxy = _proxy(self.host)
        if proxy is not None:
            made.host, made.port = proxy
            made.set_tunnel(self.host, self.port)
        return made

    def close(self) -> None:
        """Close it; closing twice is nothing."""
        if self._http is not None:
            self._http.close()
            self._http = None

    def abort(self) -> None:
        """Break it from another thread: whoever reads from it gets an error now."""
        self.aborted = True
        connection = self._http
        sock = connection.sock if connection is not None else None
        if sock is not None:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                return


class ArrivingResponse:
    """The body of an answer, as botocore's stream parsers want it, with the moment of its latest bytes."""

    def __init__(
        self, response: http.client.HTTPResponse, connection: Connection, sock: socket.socket, moments: Moments
    ) -> None:
        self.status = response.status
        self.headers = response.headers
        self._response = response
        self._sock = sock
        self._connection = connection
        self._moments = moments

    def stream(self, amt: int = _READ_BYTES, decode_content: bool | None = None) -> Iterator[bytes]:  # noqa: ARG002  (urllib3's)
        """Yield the body as it arrives (the signature is urllib3's)."""
        while True:
            data = self._response.read1(amt)
            if not data:
                break
            self._moments.arrival_s = arrival_of(self._sock)
            yield data
        if self._response.length:
            self._connection.close()
            raise http.client.IncompleteRead(b"", self._response.length)
        # A body of known length does not end the response by itself when it is read piece by piece.
        self._response.close()
        if self._response.will_close:
            self._connection.close()

    def close(self) -> None:
        """Give up the rest: the connection cannot be used again."""
        if not self._response.isclosed():
            self._connection.close()


@dataclass
class ConnectionPool:
    """Connections that stand and are idle, the last used first; and all that are in use, so that they can be broken."""

    timeout_s: float = 60.0
    connect_timeout_s: float = 10.0
    verify: str | None = None
    """File of trusted certificates; None: those that botocore brings."""
    _idle: dict[tuple[str, int], list[Connection]] = field(default_factory=dict)
    _busy: set[int] = field(default_factory=set)
    _all: dict[int, Connection] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _tls: ssl.SSLContext | None = None

    def take(self, url: str, *, fresh: bool) -> Connection:
        """Take a connection to the host of ``url``: an idle one, or one that is not open yet.

        Parameters
        ----------
        url
            Any address of that host.
        fresh
            Whether it must not have been used before.
        """
        parts = urlsplit(url)
        secure = parts.scheme == "https"
        host, port = parts.hostname or "", parts.port or (443 if secure else 80)
        with self._lock:
            idle = self._idle.get((host, port), [])
            connection = idle.pop() if idle and not fresh else self._new(host, port, secure=secure)
            self._busy.add(id(connection))
            self._all[id(connection)] = connection
            return connection

    def give(self, connection: Connection, *, keep: bool) -> None:
        """Give it back; it is closed where it is not to be kept, or not open any more."""
        with self._lock:
            self._busy.discard(id(connection))
            if keep and connection.is_open:
                self._idle.setdefault((connection.host, connection.port), []).append(connection)
                return
            self._all.pop(id(connection), None)
        connection.close()

    def idle_count(self, url: str) -> int:
        """Give how many connections to the host of ``url`` stand idle."""
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        with self._lock:
            return len(self._idle.get((parts.hostname or "", port), []))

    def abort(self) -> None:
        """Break every connection that is in use."""
        with self._lock:
            busy = [self._all[key] for key in self._busy]
        for connection in busy:
            connection.abort()

    def close(self) -> None:
        """Close every idle connection."""
        with self._lock:
            idle = [connection for connections in self._idle.values() for connection in connections]
            self._idle.clear()
        for connection in idle:
            connection.close()

    def _new(self, host: str, port: int, *, secure: bool) -> Connection:
        if secure and self._tls is None:
            # The certificates that botocore would use: AWS_CA_BUNDLE, or its own.
            bundle = self.verify if isinstance(self.verify, str) else get_cert_path(True)
            self._tls = ssl.create_default_context(cafile=bundle)
            self._tls.sslsocket_class = ArrivalTlsSocket
        return Connection(host, port, self._tls if secure else None, self.timeout_s, self.connect_timeout_s)


class _Held:
    """Mixed into http.client's connections: requests are written down first, and leave when they are released.

    So what Python takes to write one (more, when 50 threads share an interpreter) is part of no latency, and head and
    body leave as one piece.
    """

    tcp_connected_s: float | None = None
    """TCP stood, before the TLS handshake."""
    _ready: bytes = b""
    _parts: list[bytes] | None = None
    """Of the request that is being written down; None: what is sent is sent (a proxy's CONNECT)."""

    def write_down(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> None:
        """Write a request down without sending it."""
        self._parts = []
        try:
            # http.client's, of the connection class that this is mixed into.
            self.request(method, path, body=body, headers=headers)  # type: ignore[attr-defined]  # a mixin's
            self._ready = b"".join(self._parts)
        finally:
            self._parts = None

    def send(self, data: Any) -> None:
        """Keep a part of a request back, or send."""
        if self._parts is None:
            super().send(data)  # type: ignore[misc]  # likewise
        else:
            self._parts.append(data)

    def release(self) -> None:
        """Send what was written down."""
        self.send(self._ready)

    def _connect_tcp(self, address: tuple[str, int], timeout_s: float, *_: object) -> ArrivalSocket:
        sock = connect(address, timeout_s)
        self.tcp_connected_s = time.perf_counter()
        return sock


class _HeldHttp(_Held, http.client.HTTPConnection):
    """HTTP."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._create_connection = self._connect_tcp


class _HeldHttps(_Held, http.client.HTTPSConnection):
    """HTTPS."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._create_connection = self._connect_tcp


def _proxy(host: str) -> tuple[str, int] | None:
    """Give the proxy of the environment (HTTPS_PROXY, NO_PROXY) for a host."""
    address = getproxies().get("https")
    if not address or proxy_bypass(host):
        return None
    parts = urlsplit(address if "//" in address else f"//{address}")
    return (parts.hostname or "", parts.port or 3128)


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value
