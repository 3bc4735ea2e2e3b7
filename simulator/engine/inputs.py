"""What every engine asks of its arguments before it starts."""

from __future__ import annotations

from simulator.draws import Draws
from simulator.errors import ParameterError
from simulator.platform import Platform
from simulator.rollout import Rollout


def check_rollout(platform: Platform, rollout: Rollout) -> None:
    """Refuse a weight for a version that the platform does not have. Raises ParameterError."""
    if len(platform.versions) == 1 and any(stage.weight > 0 for stage in rollout.stages):
        raise ParameterError("the rollout gives weight to a second version, but the platform has one version only")


def check_draws(draws: Draws, platform: Platform) -> None:
    """Refuse draws that lack what the platform's policies need.

    Raises
    ------
    ParameterError
        Too few versions or attempts, or no jitter, tokens or SDK attempts where a policy asks for them.
    """
    if draws.versions < len(platform.versions):
        raise ParameterError(f"draws for {draws.versions} version(s), but the platform has {len(platform.versions)}")
    client = platform.client
    if draws.attempts < client.max_attempts:
        raise ParameterError(f"draws for {draws.attempts} attempt(s), but client.max_attempts={client.max_attempts}")
    if client.max_attempts > 1 and client.jitter != "none" and draws.client_jitter is None:
        raise ParameterError(f"client.jitter={client.jitter!r} needs client_jitter among the draws")
    tries = sdk_attempts(platform)
    if not tries:
        return
    if draws.model is None:
        raise ParameterError("a version calls a model that has a quota, but the draws have no model part")
    if draws.model.sdk_jitter.shape[1] < tries:
        raise ParameterError(f"draws for {draws.model.sdk_jitter.shape[1]} SDK attempt(s), but retries have {tries}")


def sdk_attempts(platform: Platform) -> int:
    """Give the most attempts that the SDK of any version makes, 0 where no version has a quota to meet."""
    calls = [settings.model for settings in platform.versions.values()]
    return max((call.retries.attempts for call in calls if call is not None), default=0)
