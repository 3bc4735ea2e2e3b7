"""Provisioned concurrency that changes, request rates, and INIT after a time-out, written out."""

from __future__ import annotations

import numpy as np
import pytest

from simulator.engine.outcomes import ProvisionedHistory
from simulator.engine.provisioning import Tracker
from simulator.engine.usage import concurrency_peak, provisioned_billed_s, provisioned_use
from simulator.errors import ParameterError
from simulator.platform import Platform, VersionSettings
from simulator.provisioned import ProvisionedChange, TargetTracking
from tests.simulator.engine.both import simulate
from tests.simulator.engine.stories import STABLE, ends, platform
from tests.simulator.worlds import draws


def test_added_environments_serve_after_their_preparation() -> None:
    run = simulate(
        draws([0.0, 99.9, 100.0, 100.1], handler_ms=100, keep_alive_s=0.001),
        platform(provisioned_changes=(ProvisionedChange(10.0, 1),), provisioning_s=90.0),
        STABLE,
    )
    # At 100.0 the environment is ready, and ends come before arrivals; at 100.1 it has just become free.
    assert run.provisioned.tolist() == [False, False, True, True]
    assert run.cold.tolist() == [True, True, False, False]


def test_removed_environments_end_when_they_are_free() -> None:
    run = simulate(
        draws([0.0, 1.0, 2.5, 2.6], handler_ms=[3000, 100, 100, 100], keep_alive_s=0.001),
        platform(provisioned=2, provisioned_changes=(ProvisionedChange(2.0, 0),)),
        STABLE,
    )
    # The one at work since 0 ends its request; the free one is gone at once.
    assert run.provisioned.tolist() == [True, True, False, False]
    assert run.end_s[0] == 3.0


def test_what_is_removed_gives_its_concurrency_back_and_what_is_added_takes_it_when_asked_for() -> None:
    run = simulate(
        draws([0.0, 0.0, 10.0, 10.0, 20.0, 20.0], handler_ms=1000),
        platform(
            provisioned=1,
            account_concurrency=2,
            provisioned_changes=(ProvisionedChange(5.0, 0), ProvisionedChange(15.0, 1)),
        ),
        STABLE,
    )
    assert ends(run) == ["OK", "OK", "OK", "OK", "OK", "ACCOUNT_CONCURRENCY"]
    assert run.provisioned.tolist() == [True, False, False, False, False, False]


def test_a_schedule_may_change_it_every_quarter_of_an_hour_for_days() -> None:
    changes = tuple(ProvisionedChange(900.0 * place, place % 2) for place in range(1, 300))
    run = simulate(draws([0.0, 1000.0, 2000.0]), platform(provisioned_changes=changes), STABLE)
    assert run.provisioned.tolist() == [False, True, False]
    assert run.provisioned_history[0].allotted.tolist() == [0, *(change.provisioned for change in changes)]


def test_target_tracking_needs_three_minutes_to_scale_out_and_fifteen_to_scale_in() -> None:
    tracker = Tracker(TargetTracking(minimum=2, maximum=20, target=0.7))

    def minute(utilization: float | None, allotted: int) -> int:
        if utilization is not None:
            tracker.observe(utilization)
        return tracker.end_period(allotted)

    assert [minute(0.98, 5) for _ in range(3)] == [5, 5, 7]
    # A minute at the target is none above it, and a minute without invocations says nothing.
    assert [minute(u, 7) for u in (0.9, 0.9, 0.7, 0.9, None, 0.9, 0.9)] == [7, 7, 7, 7, 7, 7, 9]
    assert [minute(0.35, 10) for _ in range(15)] == [10] * 14 + [5]
    assert [minute(0.01, 5) for _ in range(15)][-1] == 2
    assert [minute(1.0, 20) for _ in range(3)][-1] == 20


def test_the_average_misses_a_burst_that_the_maximum_sees() -> None:
    def after_three_minutes(statistic: str) -> int:
        tracker = Tracker(TargetTracking(1, 50, 0.7, statistic))  # type: ignore[arg-type]
        wanted = 10
        for _ in range(3):
            for utilization in [0.1] * 50 + [1.0]:
                tracker.observe(utilization)
            wanted = tracker.end_period(10)
        return wanted

    assert (after_three_minutes("average"), after_three_minutes("maximum")) == (10, 15)


def test_target_tracking_follows_the_load_of_a_run() -> None:
    # Four at a time, for ten minutes, on two environments: fully used, so that three minutes ask for ⌈2/0.7⌉ = 3,
    # three more for 5, and then four of five is 0.8: ⌈5 · 0.8/0.7⌉ = 6.
    arrival_s = np.repeat(np.arange(0.0, 600.0, 2.0), 4)
    run = simulate(
        draws(arrival_s, handler_ms=1900, init_ms=10),
        platform(
            provisioned=2,
            target_tracking=TargetTracking(minimum=2, maximum=10, statistic="maximum"),
            provisioning_s=1.0,
        ),
        STABLE,
    )
    history = run.provisioned_history[0]
    assert history.from_s.tolist() == [0.0, 180.0, 360.0, 540.0]
    assert history.allotted.tolist() == [2, 3, 5, 6]


def test_provisioned_concurrency_is_billed_by_environment_in_five_minutes() -> None:
    history = ProvisionedHistory(np.array([0.0, 100.0, 700.0, 1000.0]), np.array([2, 5, 1, 2]))
    # One through all of 1,200 s; the second 700 → 900 and again 200 → 300; three for 600 s.
    assert provisioned_billed_s(history, 1200.0) == 1200 + 900 + 300 + 3 * 600
    assert provisioned_billed_s(history, 1.0) == 600


def test_use_and_idleness_of_provisioned_concurrency() -> None:
    run = simulate(
        draws([0.0, 10.0], handler_ms=[4000, 6000]),
        platform(provisioned=2, provisioned_changes=(ProvisionedChange(12.0, 1),)),
        STABLE,
    )
    use = provisioned_use(run, 0, 0.0, 20.0)
    assert (use.allotted_s, use.used_s, use.idle_s) == (2 * 12 + 8, 10.0, 22.0)
    use = provisioned_use(run, 0, 11.0, 13.0)
    assert (use.allotted_s, use.used_s) == (3.0, 2.0)


def test_requests_a_second_are_ten_times_the_concurrency() -> None:
    # Two of concurrency: twenty requests at once pass, one after the other; then twenty a second.
    at_once = [0.0] * 22
    run = simulate(draws([*at_once, 0.05], handler_ms=0, init_ms=0), platform(account_concurrency=2), STABLE)
    assert ends(run) == ["OK"] * 20 + ["REQUEST_RATE"] * 2 + ["OK"]


def test_requests_above_ten_times_the_provisioned_concurrency_spill_over() -> None:
    run = simulate(draws([0.0] * 12, handler_ms=0), platform(provisioned=1), STABLE)
    assert run.provisioned.tolist() == [True] * 10 + [False] * 2


def test_after_a_time_out_init_runs_again_unreported_within_the_next_attempt() -> None:
    run = simulate(
        draws(
            [0.0, 10.0, 20.0], handler_ms=[5000, 100, 100], cold_handler_ms=[5000, 120, 120], init_ms=500, setup_ms=40
        ),
        platform(timeout_s=3.0),
        STABLE,
    )
    assert run.environment.tolist() == [0, 0, 0]
    assert run.cold.tolist() == [True, True, False]
    assert run.init_ms.tolist() == [500.0, 0.0, 0.0]
    assert run.duration_ms.tolist() == [3000.0, 620.0, 100.0]


def test_an_init_that_never_fits_into_the_time_out_fails_each_time() -> None:
    # An INIT of 2 s is no trouble at first, but does not fit into a time-out of 1 s with the next attempt.
    run = simulate(draws([0.0, 10.0, 20.0], handler_ms=[5000, 10, 10], init_ms=2000), platform(timeout_s=1.0), STABLE)
    assert ends(run) == ["TIMEOUT"] * 3
    assert run.duration_ms.tolist() == [1000.0] * 3


def test_the_peak_of_concurrency() -> None:
    run = simulate(draws([0.0, 0.3, 0.4, 5.0, 5.1], handler_ms=100, init_ms=200), platform(), STABLE)
    assert concurrency_peak(run) == 1
    run = simulate(draws([0.0, 0.1, 0.2], handler_ms=1000), platform(), STABLE)
    assert concurrency_peak(run) == 3
    assert concurrency_peak(run, run.log.request < 2) == 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"provisioned": 1, "provisioned_changes": (ProvisionedChange(1, 9),), "concurrency_limit": 5},
            "provisioned=9 is above concurrency_limit=5",
        ),
        ({"provisioned_changes": (ProvisionedChange(2, 1), ProvisionedChange(2, 3))}, "must come after the one before"),
        (
            {
                "provisioned": 1,
                "provisioned_changes": (ProvisionedChange(1, 2),),
                "target_tracking": TargetTracking(1, 2),
            },
            "exclude each other; keep one",
        ),
        ({"provisioned": 9, "target_tracking": TargetTracking(1, 2)}, "outside target_tracking's 1 to 2"),
    ],
)
def test_contradictions_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        VersionSettings(**settings)  # type: ignore[arg-type]


def test_a_change_above_the_reserved_concurrency_is_refused_but_two_that_never_meet_are_not() -> None:
    with pytest.raises(ParameterError, match="provisioned concurrency of 9 is above reserved_concurrency=5"):
        platform(reserved_concurrency=5, provisioned_changes=(ProvisionedChange(1, 9),))
    # The one's falls when the other's rises: never more than five.
    falling = VersionSettings(provisioned=4, provisioned_changes=(ProvisionedChange(10, 1),))
    rising = VersionSettings(provisioned=1, provisioned_changes=(ProvisionedChange(10, 4),))
    Platform(versions={"baseline": falling, "optimized": rising}, reserved_concurrency=5)
    with pytest.raises(ParameterError, match=r"target_tracking\.target=0\.95 is outside AWS's 0\.1 to 0\.9"):
        TargetTracking(1, 2, 0.95)


def test_concurrency_that_is_carved_out_anew_serves_only_when_what_used_it_has_ended() -> None:
    # Two in all. Both are at work on demand from 0 to 10; the environment asked for at 1 is ready at once, but would be
    # a third.
    run = simulate(
        draws([0.0, 0.0, 2.0, 10.0], handler_ms=[10_000, 10_000, 100, 100], init_ms=0),
        platform(account_concurrency=2, provisioned_changes=(ProvisionedChange(1.0, 1),), provisioning_s=0.0),
        STABLE,
    )
    assert ends(run) == ["OK", "OK", "ACCOUNT_CONCURRENCY", "OK"]
    assert run.provisioned.tolist() == [False, False, False, True]
