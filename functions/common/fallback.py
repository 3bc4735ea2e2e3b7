"""Which model answers: the tier's own, or the tier that stands in for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from functions.common.circuit import Circuit
from functions.common.errors import DeadlineError, ServiceError, ThrottledError, UnavailableError
from functions.common.request import InferenceRequest
from functions.common.settings import Settings
from functions.common.tiers import Tier, fallbacks

PRIMARY_SHARE: Final = 0.6
"""Part of the time left that a model with a fallback may take; a model that hangs must leave the other one some."""

Result = TypeVar("Result")


@dataclass
class Trail:
    """What happened on the way, kept up to date so that a request that fails leaves it too. Unknown is ``None``."""

    tier: Tier | None = None
    """The one that was asked last."""
    fallback_from: str | None = None
    """The tier that was asked for, where another one answered."""
    inference_ms: float | None = None
    response_cache: str | None = None
    """``hit``, ``miss``, ``error`` (asked as if it were not there), ``bypass`` (the caller's wish, or a
    caller whom nothing tells from others), or None: off."""
    prompt_cache: str | None = None
    key_rate: str | None = None


class Chains:
    """The tiers with their stand-ins and breakers; one an environment."""

    def __init__(self, settings: Settings) -> None:
        self._tiers: Mapping[str, Tier] = settings.tiers
        self._circuits = {
            tier.name: Circuit(settings.breaker_failures, settings.breaker_cooldown_s)
            for tier in settings.tiers.values()
            if tier.fallback is not None
        }

    def ask(
        self, request: InferenceRequest, end_s: float, trail: Trail, call: Callable[[Tier, float], Result]
    ) -> Result:
        """Give what ``call`` gives for the request's tier, or for the first stand-in that answers.

        Parameters
        ----------
        request
            What is asked.
        end_s
            When it must have answered, on the monotonic clock.
        trail
            Told which tier is asked.
        call
            Asks a tier within a number of seconds.

        Raises
        ------
        ThrottledError, DeadlineError, UnavailableError, UpstreamError
            As the last model that was asked failed.
        """
        chain = fallbacks(request.tier, self._tiers)
        failure: ServiceError | None = None
        for tier in chain:
            last = tier is chain[-1]
            circuit = self._circuits.get(tier.name)
            now_s = time.monotonic()
            if circuit is not None and not circuit.lets_pass(now_s):
                continue
            if failure is not None and now_s >= end_s:
                raise failure
            trail.tier = tier
            trail.fallback_from = None if tier is request.tier else request.tier.name
            limit_s = (end_s - now_s) * (1.0 if last else PRIMARY_SHARE)
            try:
                result = call(tier, limit_s)
            except (ThrottledError, DeadlineError, UnavailableError) as error:
                if circuit is not None:
                    circuit.failed(time.monotonic())
                if last:
                    raise
                failure = error
                continue
            if circuit is not None:
                circuit.succeeded()
            return result
        raise AssertionError("the last of a chain has no circuit, so it was asked")
