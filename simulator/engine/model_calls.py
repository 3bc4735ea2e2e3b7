"""The handler's call of its model, where a quota can refuse it: reserve, wait, try again (rules 16 to 18).

What the handler does itself comes before the call; the call that succeeds takes the drawn inference time and ends the
handler. A function that has used up its SDK's attempts answers that it was throttled, and is billed for the waiting.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import simpy

from simulator.draws import Draws
from simulator.engine.bedrock import QuotaMeter
from simulator.engine.clock import TICKS_PER_MS, TICKS_PER_SECOND, Kind, Later, ticks
from simulator.engine.outcomes import Refusal
from simulator.engine.pools import Environment
from simulator.engine.sdk import SdkClient
from simulator.model_policy import ModelCall
from simulator.platform import Platform

Finish = Callable[[int, Environment, int, int, int], None]
"""Called with slot, environment, when the handler would end, when it is stopped, and why the model refused, if so."""


@dataclass
class _Call:
    """One handler's call, under way; the event's subject."""

    environment: Environment
    deadline_tick: int
    """When the function's time-out stops the handler."""
    tries: int = 0
    """How often the model was asked."""
    held: bool = False
    """The SDK's send rate has been waited for."""


class ModelCalls:
    """Every call of every model that has a quota."""

    def __init__(self, clock: simpy.Environment, draws: Draws, platform: Platform, finish: Finish) -> None:
        self._clock = clock
        self._finish = finish
        self._requests = draws.requests
        self._calls = [settings.model for settings in platform.versions.values()]
        meters = {name: QuotaMeter(quota) for name, quota in platform.quotas.items()}
        self._meters = [None if call is None else meters[call.quota] for call in self._calls]
        model = draws.model
        self.any = any(call is not None for call in self._calls)
        if not self.any:
            return
        # The engine has checked it.
        assert model is not None  # noqa: S101  (for the type checker)
        versions = draws.versions
        self._inference_ticks = ticks(model.inference_ms, TICKS_PER_MS).reshape(versions, -1).tolist()
        self._input_tokens = model.input_tokens.tolist()
        self._output_tokens = model.output_tokens.tolist()
        self._jitter = model.sdk_jitter
        self.tries = [0] * (self._requests * draws.attempts)
        """By slot: how often the model was asked."""

    def quota_of(self, version: int) -> bool:
        """Say whether calls of ``version`` can be refused."""
        return self._calls[version] is not None

    def begin(self, slot: int, environment: Environment, handler_tick: int, handler_ticks: int, deadline: int) -> None:
        """Let a handler of ``handler_ticks`` start at ``handler_tick``; it is stopped at ``deadline``."""
        inference = self._inference_ticks[environment.version][slot] = min(
            self._inference_ticks[environment.version][slot], handler_ticks
        )
        at_tick = handler_tick + handler_ticks - inference
        self._next(slot, _Call(environment, deadline), at_tick)

    def _next(self, slot: int, call: _Call, at_tick: int) -> None:
        if at_tick > call.deadline_tick:
            self._finish(slot, call.environment, at_tick, call.deadline_tick, Refusal.NONE)
        else:
            Later(self._clock, at_tick, Kind.CALL, slot, self._ask, call)

    def _ask(self, event: Later) -> None:
        slot, call, now = event.slot, event.subject, event.tick
        environment = call.environment
        version = environment.version
        policy = self._calls[version]
        meter = self._meters[version]
        # begin() is called for versions with a quota only.
        assert policy is not None  # noqa: S101  (for the type checker)
        assert meter is not None  # noqa: S101  (for the type checker)
        sdk = environment.sdk
        if sdk is None:
            sdk = environment.sdk = SdkClient(policy.retries, environment.ready_tick / TICKS_PER_SECOND)
        if not call.held:
            call.held = True
            hold_s = sdk.hold_s(now / TICKS_PER_SECOND)
            if hold_s > 0:
                # Rounded up: what has to flow in first must have flowed in.
                self._next(slot, call, now - int(-hold_s * TICKS_PER_SECOND // 1))
                return
        call.tries += 1
        self.tries[slot] = call.tries
        request = slot % self._requests
        refusal = meter.reserve(now, self._input_tokens[version][request], policy.max_tokens)
        if refusal == Refusal.NONE:
            self._answer(slot, call, policy, meter, sdk, now)
        else:
            self._refused(slot, call, policy, sdk, refusal, now)

    def _answer(self, slot: int, call: _Call, policy: ModelCall, meter: QuotaMeter, sdk: SdkClient, now: int) -> None:
        version, request = call.environment.version, slot % self._requests
        end = now + self._inference_ticks[version][slot]
        output_tokens = self._output_tokens[version][request]

        def settle(_: Later) -> None:
            # Also where the function was stopped meanwhile: the model does not know that nobody listens.
            meter.settle(end, policy.max_tokens, output_tokens)

        Later(self._clock, end, Kind.SETTLE, slot, settle)
        sdk.answered(end / TICKS_PER_SECOND)
        self._finish(slot, call.environment, end, call.deadline_tick, Refusal.NONE)

    def _refused(self, slot: int, call: _Call, policy: ModelCall, sdk: SdkClient, refusal: Refusal, now: int) -> None:
        told = now + round(policy.refusal_ms * TICKS_PER_MS)
        attempt, request = divmod(slot, self._requests)
        uniform = float(self._jitter[attempt, call.tries - 1, request])
        wait_s = sdk.throttled(call.tries, told / TICKS_PER_SECOND, uniform)
        if wait_s is None:
            self._finish(slot, call.environment, told, call.deadline_tick, refusal)
            return
        call.held = False
        self._next(slot, call, told + round(wait_s * TICKS_PER_SECOND))
