"""How long a lease lasts, and how it is kept during a call that takes longer."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from replay.canary.errors import JournalDownError, LeaseLostError
from replay.canary.journal.model import Journal, Lease
from replay.canary.plan import Plan
from replay.canary.ports import Clock

SHORTEST_LEASE_S: Final = 20.0
_LEASE_LOOKS: Final = 6.0


def lease_s(plan: Plan) -> float:
    """Give how long a lease lasts: six looks, unless the plan says; a dead controller can be replaced after it."""
    if plan.lease_s is not None:
        return plan.lease_s
    return max(SHORTEST_LEASE_S, _LEASE_LOOKS * plan.look_every_s)


@contextmanager
def heartbeat(journal: Journal, lease: Lease, lasts_s: float, clock: Clock) -> Iterator[None]:
    """Keep ``lease`` from another thread while this one waits for Terraform."""
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(lasts_s / 3):
            try:
                journal.renew(lease, lasts_s, clock.now_s())
            except JournalDownError:
                continue
            except LeaseLostError:
                # The next line that is written finds out.
                return

    thread = threading.Thread(target=beat, name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
