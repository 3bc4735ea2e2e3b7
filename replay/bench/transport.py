"""HTTP connections whose every moment is known: when it was opened, sent on, and when each byte came.

boto3 builds, signs and parses the calls; only the bytes travel here, handed over in botocore's ``before-send`` hook
(:mod:`replay.bench.sdk`). Two things are not to be had otherwise: whether a request opens a connection or reuses one
is decided by us, not by a pool; and moments are taken as bytes arrive, before they are parsed.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from botocore.awsrequest import AWSPreparedRequest
from botocore.httpsession import get_cert_path

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
    aborted: bool = False
    """It was broken on purpose."""
    _http: http.client.HTTPConnection | None = None

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
        moments.sent_s = moments.sent_s or time.perf_counter()
        connection = _TimedTls(self.host, self.port, self.timeout_s, self.tls) if self.tls else None
        self._http = connection or http.client.HTTPConnection(self.host, self.port, timeout=self.timeout_s)
        proxy = _proxy(self.host) if self.tls else None
        if proxy is not None:
            self._http.host, self._http.port = proxy
            self._http.set_tunnel(self.host, self.port)
        self._http.connect()
        moments.connected_s = time.perf_counter()
        moments.tcp_connected_s = connection.tcp_connected_s if connection else moments.connected_s

    def send(self, request: AWSPreparedRequest, moments: Moments) -> ArrivingResponse:
        """Send a request and wait for the head of its answer.

        Raises
        ------
        OSError, http.client.HTTPException
            The connection broke, or no answer came in time.
        """
        if not self.is_open:
            self.open(moments)
        assert self._http is not None  # noqa: S101  (opened above)
        target = urlsplit(request.url)
        path = target.path + (f"?{target.query}" if target.query else "")
        moments.sent_s = moments.sent_s or time.perf_counter()
        body = request.body if isinstance(request.body, bytes | bytearray | str) else None
        headers = {name: _text(value) for name, value in request.headers.items()}
        self._http.request(request.method, path, body=body, headers=headers)
        response = self._http.getresponse()
        moments.headers_s = moments.arrival_s = time.perf_counter()
        return ArrivingResponse(response, self, moments)

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

    def __init__(self, response: http.client.HTTPResponse, connection: Connection, moments: Moments) -> None:
        self.status = response.status
        self.headers = response.headers
        self._response = response
        self._connection = connection
        self._moments = moments

    def stream(self, amt: int = _READ_BYTES, decode_content: bool | None = None) -> Iterator[bytes]:  # noqa: ARG002
        """Yield the body as it arrives (the signature is urllib3's)."""
        while True:
            data = self._response.read1(amt)
            if not data:
                break
            self._moments.arrival_s = time.perf_counter()
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
        return Connection(host, port, self._tls if secure else None, self.timeout_s)


class _TimedTls(http.client.HTTPSConnection):
    """An HTTPS connection that notes when TCP stood, before the TLS handshake."""

    def __init__(self, host: str, port: int, timeout_s: float, context: ssl.SSLContext | None) -> None:
        super().__init__(host, port, timeout=timeout_s, context=context)
        self.tcp_connected_s: float | None = None
        self._create_connection = self._connect_tcp

    def _connect_tcp(self, *args: object, **more: object) -> socket.socket:
        sock = socket.create_connection(*args, **more)  # type: ignore[arg-type]
        self.tcp_connected_s = time.perf_counter()
        return sock


def _proxy(host: str) -> tuple[str, int] | None:
    """Give the proxy of the environment (HTTPS_PROXY, NO_PROXY) for a host."""
    address = getproxies().get("https")
    if not address or proxy_bypass(host):
        return None
    parts = urlsplit(address if "//" in address else f"//{address}")
    return (parts.hostname or "", parts.port or 3128)


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value
