"""Conservation with everything on: retries, quotas, changing provisioned concurrency, time-outs, ties."""

from __future__ import annotations

import dataclasses

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.client_policy import ClientPolicy, RetryBudget
from simulator.draws import Draws
from simulator.engine.outcomes import AttemptLog, Refusal, Status
from simulator.engine.usage import concurrency_peak, provisioned_use, throttled_shares
from simulator.model_policy import ModelCall, ModelQuota, SdkRetries
from simulator.platform import Platform, VersionSettings
from simulator.provisioned import ProvisionedChange, TargetTracking
from simulator.rollout import Rollout, Stage
from tests.simulator.engine.both import simulate
from tests.simulator.worlds import draws

ATTEMPTS = 3
# Times from a coarse grid, so that ties are common; sums of tenths of a second and backoffs of 0.1 s meet again.
SPREAD_S = st.sampled_from([5.0, 300.0])
TENTHS_MS = st.integers(0, 40).map(lambda tenths: tenths * 100.0)
UNIFORMS = st.sampled_from([0.0, 0.5, 0.75])


@st.composite
def all_draws(draw: st.DrawFn) -> Draws:
    spread_s = draw(SPREAD_S)
    arrival_s = sorted(draw(st.lists(st.integers(0, 50).map(lambda part: part / 50 * spread_s), max_size=30)))
    n = len(arrival_s)

    def table(values: st.SearchStrategy[float]) -> np.ndarray:
        flat = draw(st.lists(values, min_size=ATTEMPTS * n, max_size=ATTEMPTS * n))
        return np.array(flat, dtype=np.float64).reshape(ATTEMPTS, n)

    return draws(
        arrival_s,
        attempts=ATTEMPTS,
        handler_ms=table(TENTHS_MS),
        cold_handler_ms=table(TENTHS_MS),
        init_ms=table(TENTHS_MS),
        setup_ms=table(st.sampled_from([0.0, 100.0])),
        overhead_ms=table(st.sampled_from([0.0, 100.0])),
        keep_alive_s=table(st.sampled_from([0.5, 2.0, 600.0])),
        route=table(UNIFORMS),
        client_jitter=table(UNIFORMS),
        inference_ms=table(TENTHS_MS),
        input_tokens=draw(st.sampled_from([0.0, 100.0])),
        output_tokens=draw(st.sampled_from([0.0, 50.0])),
        sdk_jitter=draw(UNIFORMS),
    )


retries = st.sampled_from(
    [SdkRetries("off"), SdkRetries(), SdkRetries("adaptive", 5), SdkRetries("legacy"), SdkRetries("legacy", 2)]
)


@st.composite
def versions(draw: st.DrawFn) -> VersionSettings:
    provisioned = draw(st.integers(0, 2))
    changes: tuple[ProvisionedChange, ...] = ()
    tracking = None
    if draw(st.booleans()):
        changes = (ProvisionedChange(2.0, draw(st.integers(0, 3))), ProvisionedChange(4.0, draw(st.integers(0, 3))))
    elif provisioned and draw(st.booleans()):
        tracking = TargetTracking(1, 3, draw(st.sampled_from([0.1, 0.7])))
    most = max([provisioned, 3 if tracking else 0, *(change.provisioned for change in changes)])
    return VersionSettings(
        provisioned=provisioned,
        provisioned_changes=changes,
        target_tracking=tracking,
        timeout_s=draw(st.sampled_from([1.0, 3.0, 30.0])),
        concurrency_limit=draw(st.one_of(st.none(), st.integers(most, most + 3))),
        model=draw(st.one_of(st.none(), st.builds(ModelCall, st.just("m"), st.just(100), retries, st.just(100.0)))),
    )


@st.composite
def platforms(draw: st.DrawFn) -> Platform:
    both = {"baseline": draw(versions()), "optimized": draw(versions())}
    least = max(1, sum(one.most_provisioned for one in both.values()))
    account = draw(st.integers(least, least + 6))
    budget = draw(st.sampled_from([None, RetryBudget(2, 0.5)]))
    return Platform(
        versions=both,
        gateway_rate_rps=draw(st.sampled_from([2.0, 10_000.0])),
        gateway_burst=draw(st.sampled_from([2, 5_000])),
        gateway_timeout_s=draw(st.sampled_from([1.5, 30.0])),
        account_concurrency=account,
        reserved_concurrency=draw(st.one_of(st.none(), st.integers(least, account))),
        scale_out_environments=draw(st.sampled_from([1, 3, 1000])),
        requests_per_concurrency=draw(st.sampled_from([None, 1.0, 10.0])),
        suppressed_init=draw(st.booleans()),
        provisioning_s=draw(st.sampled_from([0.0, 1.0])),
        quotas={"m": draw(st.sampled_from([ModelQuota(3), ModelQuota(60, 600, 5), ModelQuota(None, 200)]))},
        client=ClientPolicy(
            timeout_s=draw(st.sampled_from([None, 0.5, 2.0])),
            max_attempts=draw(st.integers(1, ATTEMPTS)),
            backoff_base_s=draw(st.sampled_from([0.0, 0.1])),
            jitter=draw(st.sampled_from(["none", "equal", "full"])),
            retry_on=draw(st.sampled_from([("throttled",), ("timeout",), ("throttled", "timeout")])),
            budget=budget,
        ),
    )


rollouts = st.sampled_from([Rollout.constant(0.0), Rollout.constant(0.6), Rollout((Stage(0.0, 0.1), Stage(3.0, 1.0)))])


@settings(max_examples=150, deadline=None)
@given(all_draws(), platforms(), rollouts)
def test_everything_is_conserved(given_draws: Draws, platform: Platform, rollout: Rollout) -> None:
    run = simulate(given_draws, platform, rollout)
    log, n = run.log, run.requests
    _every_attempt_ends_once(log)
    _environments_serve_one_at_a_time(log)

    # Every request has its attempts, one after the other, and its last one's end is its own.
    assert run.attempts.sum() == log.size
    assert ((run.attempts >= 1) & (run.attempts <= platform.client.max_attempts)).all()
    retried = {Status[name.upper()] for name in platform.client.retry_on}
    answered_s = log.sent_s + log.client_ms / 1000.0
    for request in range(n):
        rows = np.flatnonzero(log.request == request)
        assert log.attempt[rows].tolist() == list(range(rows.size))
        assert all(Status(int(status)) in retried for status in log.status[rows[:-1]])
        assert (log.sent_s[rows[1:]] >= answered_s[rows[:-1]] - 1e-6).all()
        assert run.status[request] == log.status[rows[-1]]
        np.testing.assert_allclose(
            run.client_ms[request] / 1000.0, answered_s[rows[-1]] - log.sent_s[rows[0]], atol=2e-6
        )
        last_failed = Status(int(run.status[request])) in retried
        if platform.client.budget is None:
            assert not last_failed or rows.size == platform.client.max_attempts

    # No limit is exceeded.
    in_all = platform.account_concurrency if platform.reserved_concurrency is None else platform.reserved_concurrency
    assert concurrency_peak(run) <= in_all
    for version, one in enumerate(platform.versions.values()):
        of_version = log.version == version
        if one.concurrency_limit is not None:
            assert concurrency_peak(run, of_version) <= one.concurrency_limit
        assert concurrency_peak(run, of_version & log.provisioned) <= one.most_provisioned
        allotted = run.provisioned_history[version].allotted
        assert ((allotted >= 0) & (allotted <= one.most_provisioned)).all()
        if not one.provisioned_changes:
            use = provisioned_use(run, version, 0.0, 1e6)
            assert use.used_s <= use.allotted_s + 1e-6
    if platform.client.timeout_s is not None:
        assert (log.client_ms <= platform.client.timeout_s * 1000.0 + 1e-6).all()
    passed_s = np.sort(log.sent_s[log.refusal != Refusal.GATEWAY_RATE])
    for first in range(passed_s.size):
        allowed = platform.gateway_burst + platform.gateway_rate_rps * (passed_s[first:] - passed_s[first])
        assert (np.arange(1, passed_s.size - first + 1) <= allowed + 1e-3).all()
    assert sum(throttled_shares(run).values()) * log.size == (log.status == Status.THROTTLED).sum() or np.isclose(
        sum(throttled_shares(run).values()) * log.size, (log.status == Status.THROTTLED).sum()
    )


def _every_attempt_ends_once(log: AttemptLog) -> None:
    served = log.environment >= 0
    throttled = log.status == Status.THROTTLED
    by_model = (log.refusal == Refusal.MODEL_REQUESTS) | (log.refusal == Refusal.MODEL_TOKENS)
    assert ((log.refusal != Refusal.NONE) == throttled).all()
    # A caller can give up on a refusal that is still on its way; everything else that nobody served was refused.
    assert (served | throttled | (log.status == Status.TIMEOUT)).all()
    assert (by_model <= served).all()
    assert not (served & throttled & ~by_model).any()
    assert (log.client_ms >= 0).all()
    assert (log.billed_ms[~served] == 0).all()
    assert ((log.billed_late_ms >= 0) & (log.billed_late_ms <= log.billed_ms)).all()
    assert (log.billed_ms[served] >= log.duration_ms[served]).all()
    assert np.isfinite(log.end_s[served]).all()
    assert (log.end_s[served] >= log.start_s[served]).all()
    assert (log.cold <= served).all()
    assert not (log.cold & log.provisioned).any()
    assert ((log.model_tries > 0) <= served).all()


def _environments_serve_one_at_a_time(log: AttemptLog) -> None:
    for number in set(log.environment[log.environment >= 0].tolist()):
        rows = np.flatnonzero(log.environment == number)
        # Of two that start at one instant, the one that takes no time comes first.
        rows = rows[np.lexsort((log.end_s[rows], log.start_s[rows]))]
        assert len(set(log.version[rows].tolist())) == 1
        assert len(set(log.provisioned[rows].tolist())) == 1
        assert (log.start_s[rows][1:] >= log.end_s[rows][:-1] - 1e-9).all()


@settings(max_examples=30, deadline=None)
@given(all_draws(), platforms(), rollouts)
def test_the_same_draws_give_the_same_outcomes(given_draws: Draws, platform: Platform, rollout: Rollout) -> None:
    first, second = (simulate(given_draws, platform, rollout) for _ in range(2))
    for field in dataclasses.fields(AttemptLog):
        np.testing.assert_array_equal(getattr(first.log, field.name), getattr(second.log, field.name))
    np.testing.assert_array_equal(first.client_ms, second.client_ms)


@settings(max_examples=60, deadline=None)
@given(all_draws(), platforms(), rollouts, st.data())
def test_what_has_not_happened_yet_changes_nothing(
    given_draws: Draws, platform: Platform, rollout: Rollout, data: st.DataObject
) -> None:
    # Leave out the last requests: what had ended before the first of them arrived is the same.
    n = given_draws.requests
    kept = data.draw(st.integers(0, n))
    model = given_draws.model
    assert model is not None
    shorter = Draws(
        **{
            name: None if values is None else values[..., :kept]
            for name, values in vars(given_draws).items()
            if name != "model"
        },
        model=type(model)(**{name: values[..., :kept] for name, values in vars(model).items()}),
    )
    whole, part = simulate(given_draws, platform, rollout), simulate(shorter, platform, rollout)
    before_s = given_draws.arrival_s[kept] if kept < n else np.inf
    ended = part.arrival_s + part.client_ms / 1000.0 < before_s - 1e-6
    np.testing.assert_array_equal(part.client_ms[ended], whole.client_ms[:kept][ended])
    np.testing.assert_array_equal(part.status[ended], whole.status[:kept][ended])
    np.testing.assert_array_equal(part.attempts[ended], whole.attempts[:kept][ended])
