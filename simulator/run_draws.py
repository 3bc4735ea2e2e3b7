"""Everything random in one replication, drawn from the fitted models; and what is laid over its outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from simulator.draws import Draws, KeptUniforms, ModelDraws, Randomness, Use, client_jitter, sdk_jitter
from simulator.engine.outcomes import Outcomes, Status
from simulator.errors import ParameterError
from simulator.keep_alive import KeepAliveFit
from simulator.platform import Platform
from simulator.quantiles import FloatArray
from simulator.service import DrawnService, PreparedService


def draw_run(
    services: Sequence[PreparedService],
    platform: Platform,
    keep_alive: KeepAliveFit | None,
    randomness: Randomness,
    arrival_s: FloatArray,
    recorded_at_s: Sequence[float],
) -> tuple[Draws, FloatArray, list[float]]:
    """Draw one replication.

    Parameters
    ----------
    services
        Of the platform's versions, in their order.
    platform
        Its caller says how many attempts need draws, and its quotas whether the model's calls do.
    keep_alive
        None: the platform's own.
    randomness
        The replication's numbers.
    arrival_s
        Shape ``(n,)``.
    recorded_at_s
        Where each version's recording has its 0 on the clock of ``arrival_s``.

    Returns
    -------
    tuple
        The draws; cost of each request's tokens on each version in USD, shape ``(versions, n)``; and by how much the
        environments of each version differ (log units).

    Raises
    ------
    ParameterError
        A quota to meet, but a recording without tokens.
    """
    requests, attempts = arrival_s.size, platform.client.max_attempts
    kept = KeptUniforms(randomness.seed, randomness.replication)
    drawn = [
        [service.draw(kept, arrival_s - zero_s, version=version, attempt=attempt) for attempt in range(attempts)]
        for version, (service, zero_s) in enumerate(zip(services, recorded_at_s, strict=True))
    ]

    def stacked(name: str) -> FloatArray:
        return np.stack([np.stack([getattr(one, name) for one in of_version]) for of_version in drawn])

    idle_s, lifetime_s = _lives(platform, keep_alive, randomness, requests, attempts)
    draws = Draws(
        arrival_s=arrival_s,
        route=np.stack([randomness.uniforms(Use.ROUTE, requests, attempt) for attempt in range(attempts)]),
        handler_ms=stacked("handler_ms"),
        cold_handler_ms=stacked("cold_handler_ms"),
        init_ms=stacked("init_ms"),
        setup_ms=stacked("setup_ms"),
        overhead_ms=stacked("overhead_ms"),
        keep_alive_s=idle_s,
        lifetime_s=lifetime_s,
        client_jitter=client_jitter(randomness, attempts, requests) if attempts > 1 else None,
        model=model_draws(services, drawn, platform, randomness),
    )
    token_usd = np.stack([of_version[0].token_usd for of_version in drawn])
    return draws, token_usd, [of_version[0].environment_log_sd for of_version in drawn]


def with_environment_levels(outcomes: Outcomes, randomness: Randomness, log_sds: Sequence[float]) -> Outcomes:
    """Let each execution environment serve warm requests at a level of its own.

    It differs by a few percent, which does not change who meets whom; so it is laid over the outcomes, and only over
    requests that were answered in time.
    """
    if not any(log_sds):
        return outcomes
    own = np.zeros(outcomes.requests)
    ours = (outcomes.environment >= 0) & ~outcomes.cold & (outcomes.status == Status.OK)
    for version, log_sd in enumerate(log_sds):
        rows = ours & (outcomes.version == version)
        if log_sd > 0.0 and rows.any():
            number = outcomes.environment[rows]
            normal = randomness.generator(Use.ENVIRONMENT, attempt=version).standard_normal(int(number.max()) + 1)
            own[rows] = outcomes.duration_ms[rows] * np.expm1(log_sd * normal[number])
    return replace(outcomes, client_ms=outcomes.client_ms + own, duration_ms=outcomes.duration_ms + own)


def _lives(
    platform: Platform, keep_alive: KeepAliveFit | None, randomness: Randomness, requests: int, attempts: int
) -> tuple[FloatArray, FloatArray | None]:
    """Draw how long environments live idle, and at all (None: for ever), in seconds, shape ``(attempts, requests)``."""
    if keep_alive is None:
        return np.full((attempts, requests), platform.keep_alive_s), None
    # The stream after those of the versions' doubts.
    law = keep_alive.draw(randomness.generator(Use.FIT, attempt=len(platform.versions)))
    idle_s = [law.at(randomness.uniforms(Use.KEEP_ALIVE, requests, attempt)) for attempt in range(attempts)]
    lifetime_s = [law.lifetime.at(randomness.uniforms(Use.LIFETIME, requests, attempt)) for attempt in range(attempts)]
    return np.stack(idle_s), np.stack(lifetime_s)


def model_draws(
    services: Sequence[PreparedService],
    drawn: Sequence[Sequence[DrawnService]],
    platform: Platform,
    randomness: Randomness,
) -> ModelDraws | None:
    """Take inference and tokens from the recorded rows that the requests resemble, where a quota has to be met.

    ``drawn`` holds, by version and attempt, what :meth:`PreparedService.draw` gave. None where no version has a quota.

    Raises
    ------
    ParameterError
        A quota to meet, but a recording without tokens.
    """
    calls = [settings.model for settings in platform.versions.values()]
    if not any(calls):
        return None
    for call, service in zip(calls, services, strict=True):
        if call is not None and np.isnan([service.fit.input_tokens, service.fit.output_tokens]).any():
            raise ParameterError(
                f"variant {service.fit.variant!r} has the quota {call.quota!r} to meet, but some of its recorded "
                "requests have no input_tokens or output_tokens; record them, or leave its model out of the platform"
            )
    requests, attempts = drawn[0][0].row.size, len(drawn[0])
    tries = max(call.retries.attempts for call in calls if call is not None)

    def tokens(name: str) -> FloatArray:
        rows = [getattr(s.fit, name)[one[0].row] for s, one in zip(services, drawn, strict=True)]
        return np.asarray(np.nan_to_num(np.stack(rows)), dtype=np.float64)

    inference_ms = np.stack([np.stack([one.inference_ms for one in of_version]) for of_version in drawn])
    return ModelDraws(
        inference_ms=inference_ms,
        input_tokens=tokens("input_tokens"),
        output_tokens=tokens("output_tokens"),
        sdk_jitter=sdk_jitter(randomness, attempts, tries, requests),
    )
