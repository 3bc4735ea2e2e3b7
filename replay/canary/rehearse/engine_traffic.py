"""A rehearsal's requests, each through the simulator's own engine: environments, keep-alive, limits, cold starts.

The engine is a pure function of draws, platform and rollout, and nothing that comes later changes what came before. So
a controller that decides as it goes needs no engine of its own: at each shift the rollout gets one stage more, and the
same draws go through the engine again from the beginning. What had been seen stays, to the last request.

What is wrong with the candidate is done to its draws: a longer tail, slow answers that hold their environments for as
long, environments that do not live. Failures are laid over the outcomes; an answer that fails takes as long as another.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from replay.canary.rehearse.run import MakeTraffic
from replay.canary.rehearse.scenario import LatencyModel, Scenario
from replay.canary.rehearse.world import EPOCH_S, LONGEST_REQUEST_S
from replay.canary.requests import Requests
from simulator.draws import Draws, ModelDraws, Randomness, Use
from simulator.engine.outcomes import Outcomes, Status
from simulator.engine.select import Simulate
from simulator.errors import ParameterError
from simulator.fitted import rows_of
from simulator.platform import BASELINE, Platform
from simulator.quantiles import FloatArray
from simulator.rollout import Rollout, Stage
from simulator.run_draws import model_draws
from simulator.service import ServiceFit, fit_services
from simulator.trace import Trace, make_trace

Bools = NDArray[np.bool_]

_WARM_UP_S: Final = 300.0
"""The baseline's pool fills for so long before its history is looked at."""
_FIRST_S: Final = 1200.0
"""How far the first run goes; each further one goes twice as far, or as far as is asked for."""
_FOR_EVER_S: Final = 1e9


def service_of(trace: Trace) -> ServiceFit:
    """Fit the baseline's service to a recorded trace, as a forecast does.

    Raises
    ------
    FitError
        Too few warm requests.
    """
    name = (trace.variants() or [BASELINE])[0]
    rows = rows_of(trace, name)
    return fit_services({name: rows}, latency="execution_ms", token_usd={name: np.zeros(len(rows))})[name]


def trace_of(model: LatencyModel, *, requests: int = 4000, init_ms: float = 500.0) -> Trace:
    """Write a latency model down as a trace: its quantiles one after the other in a mixed order, and twenty starts."""
    levels = np.random.default_rng(0).permutation((np.arange(requests) + 0.5) / requests)
    cold = np.arange(requests) % (requests // 20) == 0
    frame = pl.DataFrame(
        {
            "arrival_s": np.arange(requests) / 10,
            "duration_ms": model.at(levels),
            "cold": cold,
            "init_ms": np.where(cold, init_ms, np.nan),
        }
    ).with_columns(pl.col("init_ms").fill_nan(None))
    return make_trace(frame, origin="latency model")


@dataclass(frozen=True)
class EngineSettings:
    """What every rehearsal shares.

    Parameters
    ----------
    service
        The baseline's; the candidate's is the same but for what the scenario does to it.
    platform
        Two versions.
    history_s
        How much of the past the controller looks at.
    at_most_s
        Longest rollout.
    simulate
        The engine.
    """

    service: ServiceFit
    platform: Platform
    history_s: float
    at_most_s: float
    simulate: Simulate

    def __post_init__(self) -> None:
        if len(self.platform.versions) != 2:
            raise ParameterError(f"platform: {len(self.platform.versions)} version(s); a rollout is between two")

    def traffic(self) -> MakeTraffic:
        """Give what makes the traffic of a scenario and a seed."""
        return lambda scenario, seed: EngineTraffic(scenario, seed, self)


class EngineTraffic:
    """See :class:`replay.canary.rehearse.world.TrafficSource`.

    Parameters
    ----------
    scenario
        Its rate, failures and what is wrong with the candidate; latencies and cold starts are the service's and the
        engine's.
    seed
        Of everything.
    settings
        What every rehearsal shares.
    """

    def __init__(self, scenario: Scenario, seed: int, settings: EngineSettings) -> None:
        self.scenario = scenario
        self._settings = settings
        # The engine's clock begins with the past; the rollout begins at this moment of it.
        self._past_s = settings.history_s + _WARM_UP_S
        self._stages = [Stage(0.0, 0.0)]
        self._known_s = 0.0
        randomness = Randomness(seed)
        length_s = self._past_s + settings.at_most_s + LONGEST_REQUEST_S
        arrivals = randomness.generator(Use.ARRIVAL)
        n = int(arrivals.poisson(scenario.rate_rps * length_s))
        self._arrival_s = np.sort(arrivals.random(n)) * length_s
        generator = np.random.default_rng(np.random.SeedSequence([seed, 0x656E67696E65]))
        self._fail, self._slow = generator.random(n), generator.random(n)
        self._life = generator.exponential(size=n)
        self._level = randomness.uniforms(Use.HANDLER, n)
        self._draw(randomness)
        self._outcomes = self._run(self._past_s + min(_FIRST_S, settings.at_most_s))

    def history(self, duration_s: float) -> tuple[FloatArray, Bools]:
        """Give latency (ms) and failure of the baseline's requests in ``duration_s`` before the rollout."""
        requests, _ = self._between(max(self._past_s - duration_s, 0.0), self._past_s, 0)
        return requests.latencies_ms["execution_ms"], requests.failed

    def between(
        self, start_s: float, end_s: float, weight: float, step: int, step_s: float
    ) -> tuple[Requests, FloatArray]:
        """Give the requests that arrive in [``start_s``, ``end_s``), and when."""
        begins_s, until_s = self._engine_s(step_s), self._engine_s(end_s)
        last_s = self._past_s + self._settings.at_most_s
        if begins_s > self._stages[-1].start_s:
            self._stages.append(Stage(begins_s, weight))
            self._outcomes = self._run(max(until_s, min(begins_s + _FIRST_S, last_s)))
        elif until_s > self._known_s:
            self._outcomes = self._run(max(until_s, min(begins_s + 2 * (until_s - begins_s), last_s)))
        return self._between(self._engine_s(start_s), until_s, step)

    def _engine_s(self, time_s: float) -> float:
        return time_s - EPOCH_S + self._past_s

    # ---- the engine ------------------------------------------------------------------------------------------------

    def _draw(self, randomness: Randomness) -> None:
        """Draw everything, for both versions alike; then do to the candidate's what the scenario says."""
        settings, scenario, n = self._settings, self.scenario, self._arrival_s.size
        end_s = float(self._arrival_s[-1]) if n else 0.0
        # Version 0 twice: the candidate is the baseline, with the same doubts, unless something is done to it.
        service = settings.service.prepare(0.0, end_s + 1.0)
        drawn = service.draw(randomness, self._arrival_s, version=0)
        begun = self._arrival_s >= self._past_s + scenario.from_s
        factor = np.where(begun, 1 + (scenario.tail - 1) * np.clip((self._level - 0.90) / 0.09, 0, 1), 1.0)
        factor = factor * np.where(begun & (self._slow < scenario.slow_share), scenario.slow_factor, 1.0)

        def both(values: FloatArray, candidate: FloatArray | float = 1.0) -> FloatArray:
            return np.stack([values, values * candidate])[:, None, :]

        slower = replace(drawn, inference_ms=drawn.inference_ms * factor)
        self._draws = Draws(
            arrival_s=self._arrival_s,
            route=randomness.uniforms(Use.ROUTE, n)[None, :],
            handler_ms=both(drawn.handler_ms, factor),
            cold_handler_ms=both(drawn.cold_handler_ms, factor),
            init_ms=both(drawn.init_ms),
            setup_ms=both(drawn.setup_ms),
            overhead_ms=both(drawn.overhead_ms),
            keep_alive_s=np.full((1, n), settings.platform.keep_alive_s),
            model=model_draws((service, service), ((drawn,), (slower,)), settings.platform, randomness),
        )
        self._mean_s = float(drawn.handler_ms.mean()) / 1000 if n else 1.0

    def _run(self, until_s: float) -> Outcomes:
        """Send what arrives up to ``until_s``, and a little beyond, through the engine under the stages so far."""
        self._known_s = until_s
        n = int(np.searchsorted(self._arrival_s, until_s + LONGEST_REQUEST_S))
        rollout = Rollout(tuple(self._stages))
        draws, model = self._draws, self._draws.model
        return self._settings.simulate(
            Draws(
                arrival_s=draws.arrival_s[:n],
                route=draws.route[:, :n],
                handler_ms=draws.handler_ms[:, :, :n],
                cold_handler_ms=draws.cold_handler_ms[:, :, :n],
                init_ms=draws.init_ms[:, :, :n],
                setup_ms=draws.setup_ms[:, :, :n],
                overhead_ms=draws.overhead_ms[:, :, :n],
                keep_alive_s=draws.keep_alive_s[:, :n],
                lifetime_s=self._lifetime_s(rollout, n),
                model=None if model is None else ModelDraws(**{k: v[..., :n] for k, v in vars(model).items()}),
            ),
            self._settings.platform,
            rollout,
        )

    def _lifetime_s(self, rollout: Rollout, n: int) -> FloatArray | None:
        """Let a storming candidate's environments end so early that ``cold_share × cold`` of its requests are cold.

        A version that serves λ requests a second of s seconds each keeps m = λ s environments busy, and uses
        about m + 1.5 √m in turn; where they live T seconds, (m + 1.5 √m) / (λ T) of its requests start one. A rule of
        thumb: within a third of what it aims at from 1 to 100 requests a second.
        """
        scenario = self.scenario
        if scenario.cold == 1.0:
            return None
        arrival_s = self._arrival_s[:n]
        weight = rollout.weights_at(arrival_s)
        storming = (self._draws.route[0, :n] < weight) & (arrival_s >= self._past_s + scenario.from_s)
        share = min(scenario.cold_share * scenario.cold, 1.0)
        rate_rps = np.maximum(scenario.rate_rps * weight, 1e-9)
        busy = rate_rps * self._mean_s
        mean_life_s = (busy + 1.5 * np.sqrt(busy)) / rate_rps / share
        lifetime_s: FloatArray = np.where(storming, mean_life_s * self._life[:n], _FOR_EVER_S)[None, :]
        return lifetime_s

    def _between(self, start_s: float, end_s: float, step: int) -> tuple[Requests, FloatArray]:
        low, high = np.searchsorted(self._arrival_s, (start_s, end_s))
        rows = slice(int(low), int(high))
        out, scenario = self._outcomes, self.scenario
        arrival_s = self._arrival_s[rows]
        # What Lambda refuses reaches no version, and no version's log.
        ran = out.environment[rows] >= 0
        candidate = out.version[rows] == 1
        begun = candidate & (arrival_s >= self._past_s + scenario.from_s)
        timed_out = out.status[rows] == Status.TIMEOUT
        # Those that ran and were refused all the same met their model's quota.
        throttled = out.status[rows] == Status.THROTTLED
        error = self._fail[rows] < scenario.base_error_rate * np.where(begun, scenario.errors, 1.0)
        requests = Requests(
            np.full(arrival_s.size, step, dtype=np.int64),
            candidate,
            out.cold[rows],
            (error & ~throttled) | timed_out,
            timed_out,
            throttled,
            {"execution_ms": out.init_ms[rows] + out.duration_ms[rows]},
        )
        return requests.picked(ran), arrival_s[ran] - self._past_s + EPOCH_S
