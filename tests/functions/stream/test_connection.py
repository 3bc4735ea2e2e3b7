"""The way back to the caller, byte by byte."""

from __future__ import annotations

import socket

from functions.stream.connection import Connection


def test_no_heartbeat_goes_out_before_the_head_of_the_answer() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        connection = Connection(ours, heartbeat_s=15.0)
        connection.begin("req-1", {"request_id": "req-1"})
        assert connection.watch() is None
        connection.emit("token", {"text": "Hello"})
        assert theirs.recv(65_536).startswith(b"HTTP/1.1 200 OK\r\n")
