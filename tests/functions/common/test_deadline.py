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
    assert 0.09 < time.monotonic() - started < 5


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
    assert time.monotonic() - started < 5


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
    assert time.monotonic() - started < 5
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


def test_another_reason_ends_the_call_too() -> None:
    asked: list[float] = []

    def watch() -> Exception | None:
        asked.append(time.monotonic())
        return ConnectionError("the caller has left") if len(asked) == 3 else None

    started = time.monotonic()
    with pytest.raises(ConnectionError, match="the caller has left"):
        call_within(60, lambda: time.sleep(60), watch)
    assert time.monotonic() - started < 30
    assert len(asked) == 3


def test_a_watch_that_finds_nothing_leaves_the_call_its_time() -> None:
    started = time.monotonic()
    assert call_within(60, lambda: time.sleep(0.3) or "done", lambda: None) == "done"
    with pytest.raises(CallExpiredError):
        call_within(0.2, lambda: time.sleep(60), lambda: None)
    assert 0.5 < time.monotonic() - started < 30


def test_a_reason_that_a_finaliser_swallows_is_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)
    reasons = [ConnectionError("the caller has left")]

    class Slow:
        def __del__(self) -> None:
            time.sleep(60)

    def call() -> None:
        Slow()
        time.sleep(60)

    with pytest.raises(ConnectionError):
        call_within(60, call, lambda: reasons.pop() if reasons else None)


def test_outside_the_main_thread_the_call_runs_unguarded() -> None:
    results = []

    def slow() -> str:
        time.sleep(0.05)
        return "done"

    thread = threading.Thread(target=lambda: results.append(call_within(0.01, slow)))
    thread.start()
    thread.join(5)
    assert results == ["done"]
