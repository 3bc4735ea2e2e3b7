"""The process that forks execution environments."""

from __future__ import annotations

import errno
import os
import socket

import pytest

from replay.cloud.lambda_plane.guest import fork_server


def test_a_start_that_the_system_refuses_is_a_process_that_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> int:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(fork_server.os, "fork", refuse)
    ours, theirs = socket.socketpair()
    log_read, log_write = os.pipe()
    with ours, theirs:
        server = fork_server.ForkServer(theirs, lambda _: None)
        server._spawn({"op": "spawn", "id": 7}, [log_write])
        event, _ = fork_server.receive(ours)
    assert event is not None
    assert (event["event"], event["id"], os.waitstatus_to_exitcode(event["status"])) == ("exited", 7, 127)
    assert b"Resource temporarily unavailable" in os.read(log_read, 1_000)
    assert os.read(log_read, 1) == b""
    os.close(log_read)
