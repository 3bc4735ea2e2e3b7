"""The way back to the caller: a response that is sent piece by piece, and whether anybody still listens."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from functions.common.errors import DisconnectedError
from functions.stream.events import HEARTBEAT, event

_STREAM_HEADERS: Final = {"content-type": "text/event-stream", "cache-control": "no-store"}
_GONE: Final = "the caller has left"


class Connection:
    """One response on one connection, which ends with it.

    Parameters
    ----------
    peer
        The connection: Lambda Web Adapter's.
    heartbeat_s
        See :class:`functions.stream.settings.StreamSettings`.
    """

    def __init__(self, peer: socket.socket, heartbeat_s: float) -> None:
        self._peer = peer
        self._heartbeat_s = heartbeat_s
        self._poll = select.poll()
        self._poll.register(peer, select.POLLIN)
        self._sending = False
        self._last_s = 0.0
        self._waiting = b""
        self.streaming = False
        """Whether a stream has begun: from then on a failure is an event."""

    def watch(self) -> DisconnectedError | None:
        """Look whether the caller is still there, and send a heartbeat where one is due.

        Called by a signal, in the middle of anything; so it sends nothing where something else is being sent.
        """
        try:
            # Nothing more is to come from the caller: what can be read is the end.
            if self._poll.poll(0) and self._peer.recv(1, socket.MSG_PEEK) == b"":
                return DisconnectedError(_GONE)
        except OSError:
            return DisconnectedError(_GONE)
        if self.streaming and not self._sending and time.monotonic() - self._last_s >= self._heartbeat_s:
            try:
                self._send(_chunk(HEARTBEAT))
            except DisconnectedError as error:
                return error
        return None

    def begin(self, request_id: str, data: Mapping[str, object]) -> None:
        """Begin a stream with its ``start`` event; it leaves together with the first piece."""
        head = [f"{name}: {value}" for name, value in {**_STREAM_HEADERS, "x-request-id": request_id}.items()]
        lines = ["HTTP/1.1 200 OK", *head, "transfer-encoding: chunked", "connection: close", "", ""]
        self._waiting = "\r\n".join(lines).encode("latin-1") + _chunk(event("start", data))
        # Silence counts from here: a heartbeat that overtook what waits would stand before the head.
        self._last_s = time.monotonic()
        self.streaming = True

    def emit(self, name: str, data: Mapping[str, object]) -> None:
        """Send one event. Raises DisconnectedError."""
        waiting, self._waiting = self._waiting, b""
        self._send(waiting + _chunk(event(name, data)))

    def end(self) -> None:
        """End the stream. Raises DisconnectedError."""
        self._send(b"0\r\n\r\n")

    def answer(self, http_status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Send a whole answer, where no stream has begun. Raises DisconnectedError."""
        phrase = HTTPStatus(http_status).phrase
        head = [f"{name}: {value}" for name, value in headers.items()]
        lines = [f"HTTP/1.1 {http_status} {phrase}", *head, f"content-length: {len(body)}", "connection: close", "", ""]
        self._send("\r\n".join(lines).encode("latin-1") + body)

    def _send(self, data: bytes) -> None:
        self._sending = True
        try:
            self._peer.sendall(data)
        except OSError as error:
            raise DisconnectedError(_GONE) from error
        finally:
            self._sending = False
            self._last_s = time.monotonic()


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)
