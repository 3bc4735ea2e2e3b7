"""What the controller needs from the world: the same controller runs on AWS, on the local cloud, and in rehearsals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from replay.canary.batch import Batch
from replay.canary.reference import Reference
from replay.shift import AliasState


class Clock(Protocol):
    """Time, so that a rehearsal can have its own."""

    def now_s(self) -> float:
        """Seconds since the epoch."""
        ...

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        ...


class LiveAlias(Protocol):
    """The weighted alias. Every method raises CloudError where Lambda refuses or does not answer in time."""

    def read(self) -> AliasState:
        """Give where it points now."""
        ...

    def set_weight(self, weight: float, revision_id: str) -> AliasState:
        """Send ``weight`` of the requests to the candidate. Raises ForeignChangeError where the revision is gone."""
        ...

    def touch(self, revision_id: str) -> AliasState:
        """Change nothing but the revision, so that nobody else's older one is good any more."""
        ...

    def roll_back(self) -> AliasState:
        """Send everything to the baseline: one call, whatever the alias was."""
        ...


@dataclass(frozen=True)
class StepSpan:
    """When a step began: a request that arrives from then on belongs to it."""

    index: int
    start_s: float


class EvidenceSource(Protocol):
    """Where batches come from. Raises EvidenceDownError where the source does not answer."""

    def reference(self, now_s: float) -> Reference:
        """Fix the thresholds from the baseline's recent history."""
        ...

    def look(self, spans: Sequence[StepSpan], reference: Reference, since_s: float, now_s: float) -> Batch:
        """Give what became visible since the last look.

        Parameters
        ----------
        spans
            The steps so far; the last one runs.
        reference
            Thresholds.
        since_s
            End of the last look that was journaled and not blind; a resumed controller must not count again what came
            before.
        now_s
            Now.
        """
        ...


class Gatekeeper(Protocol):
    """Gates and alarms."""

    def refusals(self) -> Sequence[str]:
        """Ask every gate; give why those refuse that do."""
        ...

    def firing(self) -> Sequence[str]:
        """Give the plan's alarms that fire now."""
        ...


class Promotion(Protocol):
    """What follows the last step."""

    def pin(self) -> None:
        """Make the candidate's version the baseline, in a way that leaves Terraform with nothing to plan."""
        ...

    def busy(self) -> bool:
        """Say whether the old version still runs requests."""
        ...

    def release(self) -> None:
        """Give up the old version's provisioned concurrency."""
        ...


class Notifier(Protocol):
    """Tells people. Never raises: a broken webhook must not stop a rollback."""

    def tell(self, subject: str, facts: Mapping[str, object]) -> None:
        """Say something happened."""
        ...
