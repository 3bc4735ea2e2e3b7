"""What can go wrong while a canary runs; a branch of :mod:`replay.errors`.

::

    CanaryError               the rollout could not go on; exits with 4
    ├── RefusedError          the preflight found a reason not to start; exits with 1
    ├── LeaseHeldError        another controller runs this rollout
    ├── LeaseLostError        another controller took over: this one must not act any more
    ├── JournalDownError      the journal does not answer: nothing but a rollback may be done
    ├── EvidenceDownError     the evidence does not answer: nothing can be concluded from it
    ├── ForeignChangeError    somebody else changed the alias
    ├── GoneError             Lambda or the journal has been silent, or has refused, for longer than the plan's patience
    └── StoppedError          the controller was told to stop; exits with 128 and the signal's number
"""

from __future__ import annotations

import signal

from replay.errors import ReplayError


class CanaryError(ReplayError):
    """The rollout could not go on."""


class RefusedError(CanaryError):
    """The preflight found a reason not to start."""

    exit_code = 1


class LeaseHeldError(CanaryError):
    """Another controller runs this rollout."""


class LeaseLostError(CanaryError):
    """Another controller took over."""


class JournalDownError(CanaryError):
    """The journal does not answer."""


class EvidenceDownError(CanaryError):
    """The source of the evidence does not answer."""


class ForeignChangeError(CanaryError):
    """Somebody else changed the alias."""


class GoneError(CanaryError):
    """Lambda or the journal has been silent, or has refused, for longer than the plan's patience."""


class StoppedError(CanaryError):
    """The controller was told to stop."""

    def __init__(self, by: signal.Signals) -> None:
        super().__init__(f"told to stop ({by.name})")
        self.exit_code = 128 + by.value
