"""What holds for every run, whatever the platform and the draws."""

from __future__ import annotations

import dataclasses

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.draws import Draws
from simulator.engine.outcomes import Outcomes, Refusal, Status
from simulator.platform import Platform, VersionSettings
from simulator.rollout import Rollout, Stage
from tests.simulator.engine.both import simulate
from tests.simulator.worlds import draws

# Times from a coarse grid, so that ties are common.
TENTHS = st.integers(0, 100).map(lambda tenths: tenths / 10.0)
DURATIONS_MS = st.integers(0, 40).map(lambda tenths: tenths * 100.0)


@st.composite
def all_draws(draw: st.DrawFn) -> Draws:
    arrival_s = sorted(draw(st.lists(TENTHS, min_size=0, max_size=40)))
    n = len(arrival_s)

    def column(values: st.SearchStrategy[float]) -> list[float]:
        return draw(st.lists(values, min_size=n, max_size=n))

    return draws(
        arrival_s,
        handler_ms=column(DURATIONS_MS),
        cold_handler_ms=column(DURATIONS_MS),
        init_ms=column(DURATIONS_MS),
        setup_ms=column(DURATIONS_MS),
        overhead_ms=column(st.sampled_from([0.0, 10.0])),
        keep_alive_s=column(st.sampled_from([0.5, 2.0, 600.0])),
        route=column(st.floats(0, 1, exclude_max=True)),
    )


@st.composite
def platforms(draw: st.DrawFn) -> Platform:
    def version() -> VersionSettings:
        provisioned = draw(st.integers(0, 2))
        limit = draw(st.one_of(st.none(), st.integers(provisioned, 6)))
        return VersionSettings(
            provisioned=provisioned, timeout_s=draw(st.sampled_from([1.0, 3.0, 30.0])), concurrency_limit=limit
        )

    versions = {"baseline": version(), "optimized": version()}
    least = sum(one.provisioned for one in versions.values())
    account = draw(st.integers(max(least, 1), 12))
    return Platform(
        versions=versions,
        gateway_rate_rps=draw(st.sampled_from([2.0, 10_000.0])),
        gateway_burst=draw(st.sampled_from([2, 5_000])),
        gateway_timeout_s=draw(st.sampled_from([1.5, 30.0])),
        account_concurrency=account,
        reserved_concurrency=draw(st.one_of(st.none(), st.integers(least, account))),
        scale_out_environments=draw(st.sampled_from([1, 3, 1000])),
        requests_per_concurrency=draw(st.sampled_from([None, 0.5, 10.0])),
        suppressed_init=draw(st.booleans()),
    )


rollouts = st.sampled_from(
    [Rollout.constant(0.0), Rollout.constant(0.4), Rollout((Stage(0.0, 0.1), Stage(3.0, 0.9), Stage(6.0, 1.0)))]
)


@given(all_draws(), platforms(), rollouts)
def test_every_request_ends_exactly_once(given_draws: Draws, platform: Platform, rollout: Rollout) -> None:
    run = simulate(given_draws, platform, rollout)
    assert run.requests == given_draws.requests
    served, refused = run.environment >= 0, run.status == Status.THROTTLED
    assert (served != refused).all()
    assert ((run.refusal != Refusal.NONE) == refused).all()
    assert (run.billed_ms[refused] == 0).all()
    assert (run.client_ms >= 0).all()
    # What the caller waited for never exceeds what the environment took, nor the gateway's patience.
    overhead_ms = given_draws.overhead_ms[np.maximum(run.version, 0), 0, np.arange(run.requests)]
    waited_ms = run.client_ms - overhead_ms
    busy_ms = (run.end_s - run.start_s) * 1000.0
    assert (waited_ms[served] <= busy_ms[served] + 1e-6).all()
    assert (waited_ms <= platform.gateway_timeout_s * 1000.0 + 1e-6).all()
    assert (run.billed_ms[served] >= run.duration_ms[served]).all()
    assert (run.cold <= served).all()
    assert not (run.cold & run.provisioned).any()


@given(all_draws(), platforms(), rollouts)
def test_an_environment_serves_one_request_at_a_time_and_one_version(
    given_draws: Draws, platform: Platform, rollout: Rollout
) -> None:
    run = simulate(given_draws, platform, rollout)
    for number in set(run.environment[run.environment >= 0].tolist()):
        rows = np.flatnonzero(run.environment == number)
        assert len(set(run.version[rows].tolist())) == 1
        assert (run.start_s[rows][1:] >= run.end_s[rows][:-1] - 1e-9).all()
        timed_out = run.duration_ms[rows] >= 1000.0 * list(platform.versions.values())[run.version[rows[0]]].timeout_s
        killed = timed_out & (run.status[rows] == Status.TIMEOUT)
        if platform.suppressed_init and not run.provisioned[rows[0]]:
            assert not (run.cold[rows][1:] & ~killed[:-1]).any(), "only the first one, or after a time-out, is cold"
            continue
        assert not run.cold[rows][1:].any(), "only the first request of an environment is cold"
        assert not killed[:-1].any() or _may_be_exact(given_draws, run, rows), "nothing is served after a time-out"


def _may_be_exact(given_draws: Draws, run: Outcomes, rows: np.ndarray) -> bool:
    """A handler of exactly the time-out ends in time; its request can still be given up by the gateway."""
    versions = run.version[rows]
    handler_ms = np.where(
        run.cold[rows], given_draws.cold_handler_ms[versions, 0, rows], given_draws.handler_ms[versions, 0, rows]
    )
    return bool((handler_ms[:-1] <= run.duration_ms[rows][:-1] + 1e-9).all())


@given(all_draws(), platforms(), rollouts)
def test_concurrency_never_exceeds_its_limits(given_draws: Draws, platform: Platform, rollout: Rollout) -> None:
    run = simulate(given_draws, platform, rollout)
    in_all = platform.reserved_concurrency or platform.account_concurrency
    assert _most_at_once(run, run.environment >= 0) <= max(in_all, 0)
    for version, one in enumerate(platform.versions.values()):
        of_version = (run.environment >= 0) & (run.version == version)
        if one.concurrency_limit is not None:
            assert _most_at_once(run, of_version) <= one.concurrency_limit
        assert _most_at_once(run, of_version & run.provisioned) <= one.provisioned


def _most_at_once(run: Outcomes, rows: np.ndarray) -> int:
    # In microseconds, and ends before starts at one instant, as the engine has them; a stay of no time counts for
    # nothing.
    starts = np.rint(run.start_s[rows] * 1e6)
    ends = np.rint(run.end_s[rows] * 1e6)
    events = sorted(
        [(tick, 1) for tick in starts] + [(tick, -1) for tick in ends], key=lambda event: (event[0], event[1])
    )
    now = most = 0
    for _, change in events:
        now += change
        most = max(most, now)
    return most


@given(all_draws(), platforms(), rollouts)
def test_the_same_draws_give_the_same_outcomes(given_draws: Draws, platform: Platform, rollout: Rollout) -> None:
    first, second = (simulate(given_draws, platform, rollout) for _ in range(2))
    assert_equal(first, second)
    assert_equal(first.log, second.log)


def assert_equal(first: object, second: object) -> None:
    for field in dataclasses.fields(first):  # type: ignore[arg-type]
        one, other = getattr(first, field.name), getattr(second, field.name)
        if isinstance(one, np.ndarray):
            np.testing.assert_array_equal(one, other)


@given(all_draws(), rollouts)
def test_reuse_takes_the_most_recently_used_environment(given_draws: Draws, rollout: Rollout) -> None:
    run = simulate(given_draws, Platform(), rollout)
    for i in np.flatnonzero((run.environment >= 0) & ~run.cold):
        earlier = np.arange(run.requests) < i
        idle = earlier & (run.version == run.version[i]) & (run.environment >= 0) & (run.end_s <= run.start_s[i] + 1e-9)
        last_end_s = max(run.end_s[idle & (run.environment == run.environment[i])])
        for other in set(run.environment[idle].tolist()) - {int(run.environment[i])}:
            rows = np.flatnonzero((run.environment == other) & earlier)
            busy = (run.end_s[rows] > run.start_s[i] + 1e-9).any()
            keep_alive_s = given_draws.keep_alive_s[0, rows[-1]]
            alive = run.end_s[rows[-1]] + keep_alive_s > run.start_s[i]
            killed = run.status[rows[-1]] == Status.TIMEOUT
            if not busy and alive and not killed:
                assert run.end_s[rows[-1]] <= last_end_s + 1e-9


@settings(max_examples=200)
@given(st.lists(TENTHS, min_size=1, max_size=40), st.integers(0, 4), st.data())
def test_more_provisioned_concurrency_never_means_more_cold_starts(
    arrivals: list[float], provisioned: int, data: st.DataObject
) -> None:
    # Where a cold start takes as long as a warm one, so that both runs have the same requests in flight.
    handler_ms = data.draw(st.lists(DURATIONS_MS, min_size=len(arrivals), max_size=len(arrivals)))
    one = draws(sorted(arrivals), handler_ms=handler_ms, init_ms=0, keep_alive_s=2.0, versions=1)
    colds = [
        int(simulate(one, Platform(versions={"v": VersionSettings(provisioned=n)}), Rollout.constant(0)).cold.sum())
        for n in (provisioned, provisioned + 1)
    ]
    assert colds[1] <= colds[0]
