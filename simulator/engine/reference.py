"""The reference engine: SimPy, written to be read. What it does is the specification; docs/model.md says why.

This file takes an attempt from the gateway through its environment to its answer. What it asks on the way has files of
its own: ``pools`` (environments and concurrency), ``model_calls``, ``bedrock`` and ``sdk`` (quotas and retries inside
the handler), ``caller`` (time-outs and retries outside), ``provisioning`` (provisioned concurrency over time),
``clock`` (ticks, and what comes first at one instant) and ``ledger`` (what became of it all).
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Final

import numpy as np
import simpy

from simulator.draws import Draws
from simulator.engine.buckets import TokenBucket
from simulator.engine.caller import Caller
from simulator.engine.clock import TICKS_PER_MS, TICKS_PER_SECOND, Kind, Later, ticks
from simulator.engine.inputs import check_draws, check_rollout
from simulator.engine.ledger import UNANSWERED, Ledger
from simulator.engine.model_calls import ModelCalls
from simulator.engine.outcomes import Outcomes, Refusal, Status
from simulator.engine.pools import Environment, Pools
from simulator.engine.provisioning import Provisioner
from simulator.platform import INIT_LIMIT_S, Platform
from simulator.quantiles import FloatArray
from simulator.rollout import Rollout

__all__ = ["TICKS_PER_SECOND", "simulate"]

_INIT_LIMIT_TICKS: Final = round(INIT_LIMIT_S * TICKS_PER_SECOND)
# Plain numbers: an enum's member is slow to look up, and these are written for every request.
_OK: Final = int(Status.OK)
_THROTTLED: Final = int(Status.THROTTLED)
_TIMEOUT: Final = int(Status.TIMEOUT)
_NONE: Final = int(Refusal.NONE)


def simulate(draws: Draws, platform: Platform, rollout: Rollout) -> Outcomes:
    """Send every request of ``draws`` through ``platform`` and say what became of it.

    A pure function: equal arguments give equal outcomes, and nothing in here is random.

    Parameters
    ----------
    draws
        Everything random; versions in the order of ``platform.versions``.
    platform
        Limits and policies.
    rollout
        Share of the second version over time; where the platform has one version only, every weight must be 0.

    Raises
    ------
    ParameterError
        Draws that lack what the platform's policies need (versions, attempts, jitter, tokens), or a weight for a
        version that the platform does not have.
    """
    check_rollout(platform, rollout)
    check_draws(draws, platform)
    run = ReferenceRun(draws, platform, rollout)
    run.go()
    return run.outcomes()


class ReferenceRun:
    """The state of one simulation; ``event_log`` watches it from a subclass."""

    calls = ModelCalls
    """What takes a handler through its model."""

    def __init__(self, draws: Draws, platform: Platform, rollout: Rollout) -> None:
        self._draws = draws
        self._platform = platform
        self._n = draws.requests
        self._clock = simpy.Environment()
        self._ledger = Ledger(self._n, platform.client.max_attempts)
        self._arrival_ticks = ticks(draws.arrival_s, TICKS_PER_SECOND).tolist()
        self._to_second = (draws.route[0] < rollout.weights_at(draws.arrival_s)).astype(np.int64).tolist()
        self._route = draws.route
        self._stage_s = [stage.start_s for stage in rollout.stages]
        self._stage_weight = [stage.weight for stage in rollout.stages]

        # By version and slot: attempt a of request r has slot a·n + r.
        self._handler_ticks = _by_slot(draws.handler_ms)
        self._cold_handler_ticks = _by_slot(draws.cold_handler_ms)
        self._init_ticks = _by_slot(draws.init_ms)
        self._setup_ticks = _by_slot(draws.setup_ms)
        self._overhead_ticks = _by_slot(draws.overhead_ms)
        self._keep_alive_ticks = ticks(draws.keep_alive_s, TICKS_PER_SECOND).ravel().tolist()
        lifetime_s = draws.lifetime_s
        self._lifetime_ticks = None if lifetime_s is None else ticks(lifetime_s, TICKS_PER_SECOND).ravel().tolist()

        settings = list(platform.versions.values())
        self._timeout_ticks = [round(one.timeout_s * TICKS_PER_SECOND) for one in settings]
        self._gateway_timeout_ticks = round(platform.gateway_timeout_s * TICKS_PER_SECOND)
        self._suppressed_init = platform.suppressed_init
        self._gateway = TokenBucket(platform.gateway_burst, platform.gateway_rate_rps, TICKS_PER_SECOND)
        self._pools = Pools(platform)
        last_tick = self._arrival_ticks[-1] if self._arrival_ticks else 0
        self._provisioner = Provisioner(self._clock, self._pools, platform, last_tick)
        self._caller = Caller(self._clock, self._ledger, draws, platform.client, self._arrive)
        self._models = self.calls(self._clock, draws, platform, self._finish)
        self._has_quota = [self._models.quota_of(version) for version in range(len(settings))]
        self._patience_ticks = min(self._caller.patience_ticks, self._gateway_timeout_ticks)

    def go(self) -> None:
        """Let everything happen."""
        if self._n:
            Later(self._clock, self._arrival_ticks[0], Kind.ARRIVAL, 0, self._arrive)
        self._clock.run()

    def outcomes(self) -> Outcomes:
        """Give what became of it all."""
        if self._models.any:
            self._ledger.model_tries = self._models.tries
        return self._ledger.outcomes(self._draws, self._patience_ticks, self._provisioner.histories())

    # ---- one attempt, from the gateway to its environment --------------------------------------------------------

    def _arrive(self, arrival: Later) -> None:
        """Take one attempt from the gateway to its environment, or refuse it."""
        slot, now = arrival.slot, arrival.tick
        if slot + 1 < self._n:
            # First attempts come one after the other; further ones are sent by the caller.
            Later(self._clock, self._arrival_ticks[slot + 1], Kind.ARRIVAL, slot + 1, self._arrive)
        self._ledger.sent_tick[slot] = now
        if not self._gateway.take(now):
            self._refuse(slot, 0, Refusal.GATEWAY_RATE)
            return
        version = self._to_second[slot] if slot < self._n else self._draw_version(slot, now)
        self._ledger.version[slot] = version
        taken = self._pools.take(version, now)
        if isinstance(taken, Environment):
            self._serve(slot, now, taken)
        else:
            self._refuse(slot, version, taken)

    def _draw_version(self, slot: int, now: int) -> int:
        """Draw the version of a further attempt, with the weight of its own moment."""
        stage = bisect_right(self._stage_s, now / TICKS_PER_SECOND) - 1
        attempt, request = divmod(slot, self._n)
        return int(self._route[attempt, request] < self._stage_weight[max(stage, 0)])

    def _refuse(self, slot: int, version: int, refusal: Refusal) -> None:
        self._conclude(slot, version, 0, _THROTTLED, int(refusal))

    def _serve(self, slot: int, now: int, environment: Environment) -> None:
        """Let ``environment`` work on the attempt."""
        version = environment.version
        cold = environment.fresh or environment.reset
        before = init = 0
        if not cold:
            handler = self._handler_ticks[version][slot]
        else:
            handler = self._cold_handler_ticks[version][slot]
            again = self._init_ticks[version][slot]
            if environment.fresh:
                environment.fresh = False
                before, init, again = self._setup_ticks[version][slot], again, 0
                if self._lifetime_ticks is not None:
                    environment.ends_at_tick = now + self._lifetime_ticks[slot]
                if init > _INIT_LIMIT_TICKS:
                    # Lambda gives up, and runs INIT again as part of the first invocation, under its time-out.
                    again, init = init, _INIT_LIMIT_TICKS
            environment.reset = False
            environment.ready_tick = now + before + init + again
            handler += again

        ledger = self._ledger
        ledger.environment[slot] = environment.number
        if cold:
            ledger.cold[slot] = True
            ledger.init_ticks[slot] = init
        if environment.provisioned:
            ledger.provisioned[slot] = True
        if self._provisioner.tracking:
            self._provisioner.observe(version)
        start = now + before + init
        if self._has_quota[version]:
            self._expect_end(slot, version, now)
            self._models.begin(slot, environment, start, handler, start + self._timeout_ticks[version])
        else:
            self._finish(slot, environment, start + handler, start + self._timeout_ticks[version], _NONE)

    # ---- and back ------------------------------------------------------------------------------------------------

    def _finish(self, slot: int, environment: Environment, end: int, deadline: int, refusal: int) -> None:
        """Let the handler end at ``end``, or be stopped at ``deadline`` if that comes before."""
        ledger = self._ledger
        version = environment.version
        stopped = end > deadline
        if stopped:
            end = deadline
        ledger.end_tick[slot] = end
        ledger.duration_ticks[slot] = end - deadline + self._timeout_ticks[version]
        Later(self._clock, end, Kind.RELEASE, slot, self._stop if stopped else self._release, environment)
        if ledger.client_ticks[slot] == UNANSWERED:
            status = _TIMEOUT if stopped else _OK if refusal == _NONE else _THROTTLED
            self._conclude(slot, version, end - ledger.sent_tick[slot], status, refusal)

    def _expect_end(self, slot: int, version: int, now: int) -> None:
        """Remember when patience ends with a handler whose end is not known yet; only who tries again must know."""
        if self._caller.retrying:
            patience = self._gateway_timeout_ticks + self._overhead_ticks[version][slot]
            at_tick = now + min(patience, self._caller.patience_ticks)
            Later(self._clock, at_tick, Kind.GIVE_UP, slot, self._give_up, version)

    def _give_up(self, event: Later) -> None:
        if self._ledger.client_ticks[event.slot] == UNANSWERED:
            self._conclude(event.slot, event.subject, self._gateway_timeout_ticks + 1, _TIMEOUT, _NONE)

    def _conclude(self, slot: int, version: int, busy: int, status: int, refusal: int) -> None:
        """Write down what the caller gets, and when: the gateway waits for the work, the caller for the gateway."""
        if busy > self._gateway_timeout_ticks:
            busy, status = self._gateway_timeout_ticks, _TIMEOUT
        waited = busy + self._overhead_ticks[version][slot]
        if waited > self._caller.patience_ticks:
            waited, status = self._caller.patience_ticks, _TIMEOUT
        ledger = self._ledger
        ledger.client_ticks[slot] = waited
        if status != _OK:
            ledger.status[slot] = status
            if status == _THROTTLED:
                ledger.refusal[slot] = refusal
        if self._caller.retrying:
            self._caller.expect(slot)

    def _release(self, end: Later) -> None:
        """Put the environment among the idle ones."""
        self._pools.release(end.subject, end.tick, self._keep_alive_ticks[end.slot])

    def _stop(self, end: Later) -> None:
        """Stop an environment at the function's time-out: it is reset or ends; a provisioned one is replaced."""
        environment, slot, now = end.subject, end.slot, end.tick
        environment.sdk = None
        if self._suppressed_init and not environment.provisioned:
            environment.reset = True
            self._pools.release(environment, now, self._keep_alive_ticks[slot])
            return
        replacement = self._pools.end(environment, now)
        if replacement is not None:
            version = environment.version
            replacement.ready_tick = now + self._setup_ticks[version][slot] + self._init_ticks[version][slot]
            Later(self._clock, replacement.ready_tick, Kind.READY, replacement.number, self._provide, replacement)

    def _provide(self, ready: Later) -> None:
        self._pools.provide(ready.subject, ready.tick)


def _by_slot(values_ms: FloatArray) -> list[list[int]]:
    """Give the ticks of each version by slot, from shape (versions, attempts, n)."""
    by_slot: list[list[int]] = ticks(values_ms, TICKS_PER_MS).reshape(values_ms.shape[0], -1).tolist()
    return by_slot
