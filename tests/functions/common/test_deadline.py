"""Ending a call in time, and nothing but the call."""

from __future__ import annotations

import signal
import socket
import sys
import threading
import time

import pytest

from functions.common.deadline import CallExpiredError, call_within


def test_a_call_in_time_gives_its_result() -> None:
    assert call_within(5, lambda: 7) == 7


@pytest.mark.parametrize("limit_s", [0, -1])
def test_no_time_means_no_call(limit_s: float) -> None:
    called = []
    with pytest.raises(CallExpiredError):
        call_within(limit_s, lambda: called.append(1))
    assert called == []


def test_a_sleep_is_ended() -> None:
    started = time.monotonic()
    with pytest.raises(CallExpiredError):
        call_within(0.1, lambda: time.sleep(10))
    assert 0.09 < time.monotonic() - started < 1


def test_a_read_is_ended() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(CallExpiredError):
        call_within(0.1, lambda: ours.recv(1))


def test_a_call_that_swallows_exceptions_is_ended_all_the_same() -> None:
    def stubborn() -> None:
        for _ in range(3):
            try:
                time.sleep(10)
            except Exception:  # as the SDK does, which then tries again
                continue

    started = time.monotonic()
    with pytest.raises(CallExpiredError):
        call_within(0.1, stubborn)
    assert time.monotonic() - started < 1


def test_an_alarm_that_a_finaliser_swallows_comes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    swallowed: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", swallowed.append)

    class Slow:
        def __del__(self) -> None:
            time.sleep(10)

    def call() -> None:
        Slow()
        time.sleep(10)

    started = time.monotonic()
    with pytest.raises(CallExpiredError):
        call_within(0.1, call)
    assert time.monotonic() - started < 1
    assert len(swallowed) == 1


def test_the_calls_own_error_comes_through_and_nothing_stays_armed() -> None:
    before = signal.getsignal(signal.SIGALRM)
    with pytest.raises(ZeroDivisionError):
        call_within(0.05, lambda: 1 // 0)
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGALRM) is before
    time.sleep(0.1)


def test_a_timer_around_the_edge_never_leaks_into_what_follows() -> None:
    """Calls that take about as long as they may: each ends in one of two ways, and nothing else is ever raised."""
    ended = set()
    for step in range(150):
        try:
            call_within(0.002, lambda: time.sleep(0.0015 + 0.00001 * step))  # noqa: B023
            ended.add("answered")
        except CallExpiredError:
            ended.add("expired")
    assert ended == {"answered", "expired"}


def test_outside_the_main_thread_the_call_runs_unguarded() -> None:
    results = []

    def slow() -> str:
        time.sleep(0.05)
        return "done"

    thread = threading.Thread(target=lambda: results.append(call_within(0.01, slow)))
    thread.start()
    thread.join(5)
    assert results == ["done"]
