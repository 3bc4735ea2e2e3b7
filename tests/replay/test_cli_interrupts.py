"""Signals that end a long command in order, and the one that may not."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from replay.cli.interrupts import signals_interrupt

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whatever the tests run under
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_interrupts_and_no_other_cuts_the_teardown_short(number: signal.Signals) -> None:
    torn_down = []

    def command() -> None:
        with signals_interrupt():
            try:
                signal.raise_signal(number)
            finally:
                for again in SIGNALS:
                    signal.raise_signal(again)
                torn_down.append(True)

    with pytest.raises(KeyboardInterrupt):
        command()
    assert torn_down


def test_a_command_under_nohup_outlives_its_terminal() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with signals_interrupt():
            signal.raise_signal(signal.SIGHUP)
    except KeyboardInterrupt:
        pytest.fail("interrupted")
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
