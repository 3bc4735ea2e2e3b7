"""What the engine's stories share: a platform of one version, and a run told in a line a request."""

from __future__ import annotations

from typing import Any

from simulator.engine.outcomes import Outcomes, Refusal, Status
from simulator.platform import Platform, VersionSettings
from simulator.rollout import Rollout

STABLE = Rollout.constant(0.0)


def platform(*, limit: int | None = None, **more: Any) -> Platform:
    """Build a platform of one version; fields of the version and of the platform side by side."""
    of_version = {name: more.pop(name) for name in list(more) if name in VersionSettings.__dataclass_fields__}
    return Platform(versions={"baseline": VersionSettings(concurrency_limit=limit, **of_version)}, **more)


def ends(outcomes: Outcomes) -> list[str]:
    """How each request ended, or which limit refused it."""
    return [
        Refusal(int(refusal)).name if status == Status.THROTTLED else Status(int(status)).name
        for status, refusal in zip(outcomes.status, outcomes.refusal, strict=True)
    ]
