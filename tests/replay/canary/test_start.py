"""Before the first step, on the local cloud: the forecast from the logs of both versions, and what follows from it."""

from __future__ import annotations

import json

import pytest

from replay.canary.journal import DynamoJournal
from replay.canary.live import Place, evidence_for
from replay.canary.log_evidence import LogEvidence
from replay.canary.metric_evidence import MetricEvidence
from replay.canary.preflight import Target
from replay.canary.rehearse.engine_traffic import trace_of
from replay.canary.rehearse.scenario import LatencyModel
from replay.canary.takeover import fold_start
from replay.canary.target_platform import is_local_cloud, target_platform
from replay.cloud import LocalCloud
from simulator.errors import ParameterError
from simulator.platform import REQUESTS_PER_CONCURRENCY
from simulator.trace import write_trace
from tests.replay.canary.support import PLAN, Canary, Load

MEASURED = 40


def _measure(cloud: LocalCloud, canary: Canary) -> None:
    """Let the candidate answer some requests of its own, as it would have before its rollout."""
    client = cloud.client("lambda")
    for _ in range(MEASURED):
        client.invoke(FunctionName=canary.function, Qualifier=canary.candidate, Payload=b'{"prompt": "Say hello."}')
    cloud.flush_logs()


@pytest.mark.slow
def test_a_forecast_good_enough_starts_the_rollout_and_stands_beside_its_figures(cloud, make_canary):
    canary = make_canary()
    with Load(cloud, canary.function) as load:
        load.wait_for(100)
        _measure(cloud, canary)
        result = canary.invoke(canary.start_arguments(forecast=True))
    document = json.loads(result.stdout)
    assert document["outcome"] == "promoted", result.output
    journal = DynamoJournal(cloud.client("dynamodb"), f"{canary.function}:live")
    start = fold_start(journal.lines(journal.rollouts()[-1]))
    assert start is not None
    assert start.forced == ()
    low, high = start.expected[("40%", "p50")]
    # The function sleeps 16 to 24 ms; INIT and a loaded machine lie on top, and cannot take it below.
    assert 15 <= low <= high
    assert ("100%", "cold_share") in start.expected
    assert "forecast" in document["text"]
    assert load.unserved == []


@pytest.mark.slow
def test_a_forecast_that_fails_the_plan_starts_nothing_unless_forced(cloud, make_canary):
    canary = make_canary(PLAN.replace("at_least: 2s", "at_least: 1s"), SLEEP_S="0.5")
    with Load(cloud, canary.function, rate_rps=15) as load:
        load.wait_for(100)
        _measure(cloud, canary)
        refused = canary.invoke(canary.start_arguments(forecast=True))
        assert refused.exit_code == 1
        assert "the forecast fails the plan at 40%: p50 forecast" in refused.output
        assert "the baseline's, beyond the margin of 2.50" in refused.output
        assert canary.weights() == {"1": 1.0}
        forced = canary.invoke(canary.start_arguments("--force", forecast=True))
    document = json.loads(forced.stdout)
    assert document["outcome"] == "rolled_back", forced.output
    journal = DynamoJournal(cloud.client("dynamodb"), f"{canary.function}:live")
    start = fold_start(journal.lines(journal.rollouts()[-1]))
    assert start is not None
    assert any("the forecast fails the plan" in why for why in start.forced)
    assert canary.weights() == {"1": 1.0}


def test_without_requests_of_the_candidate_there_is_no_forecast(cloud, make_canary):
    canary = make_canary()
    client = cloud.client("lambda")
    for _ in range(40):
        client.invoke(FunctionName=canary.function, Qualifier="live", Payload=b"{}")
    cloud.flush_logs()
    result = canary.invoke(canary.start_arguments(forecast=True))
    assert result.exit_code == 1
    assert f"no forecast: no request of version {canary.candidate}" in result.output
    assert canary.weights() == {"1": 1.0}


@pytest.mark.parametrize(("up_to_rps", "kind"), [(200.0, LogEvidence), (-1.0, MetricEvidence)])
def test_whoever_takes_over_goes_on_with_the_source_that_was_chosen(cloud, make_canary, monkeypatch, up_to_rps, kind):
    """At the start the baseline had all requests, later it has a share of them."""
    canary = make_canary()
    monkeypatch.setattr("replay.canary.live._LOGS_UP_TO_RPS", up_to_rps)
    monkeypatch.setattr("replay.cli.canary._run", lambda *_, **__: None)
    canary.invoke(canary.start_arguments("--force"))
    journal = DynamoJournal(cloud.client("dynamodb"), f"{canary.function}:live")
    start = fold_start(journal.lines(journal.rollouts()[-1]))
    assert start is not None
    monkeypatch.setattr("replay.canary.live._LOGS_UP_TO_RPS", -up_to_rps)
    place = Place("us-east-1", cloud.endpoint_url, "dynamodb", canary.folder)
    found = evidence_for(place, Target(canary.function, "live", "1", canary.candidate), start.plan)
    assert isinstance(found, kind)


def test_a_start_that_cannot_remember_the_good_version_starts_nothing(cloud, make_canary):
    canary = make_canary()
    result = canary.invoke(canary.start_arguments("--force", "--records", "/proc/nowhere"))
    assert result.exit_code == 2
    assert "/proc/nowhere" in result.output
    journal = DynamoJournal(cloud.client("dynamodb"), f"{canary.function}:live")
    assert list(journal.rollouts()) == []
    assert journal.holder(0.0) is None
    unknown = canary.run("history", "--rollout", "20260131T120000Z-1a2b3c")
    assert unknown.exit_code == 2
    assert "rollout '20260131T120000Z-1a2b3c': the journal has none" in unknown.output


def test_a_candidate_that_does_not_exist_is_refused_with_traces_too(cloud, make_canary, tmp_path):
    canary = make_canary()
    trace = str(write_trace(trace_of(LatencyModel(), requests=100), tmp_path / "trace.parquet"))
    more = ("--candidate", "99", "--baseline-trace", trace, "--candidate-trace", trace)
    result = canary.invoke(canary.start_arguments(*more, forecast=True))
    assert result.exit_code == 1
    assert "the candidate's version 99" in result.output
    assert "no forecast: function" in result.output


def test_the_platform_is_the_targets(cloud, make_canary, tmp_path):
    canary = make_canary()
    place = Place("us-east-1", cloud.endpoint_url, "dynamodb", tmp_path)
    target = Target(canary.function, "live", "1", canary.candidate)
    found = target_platform(place, target)
    # The local cloud ends an environment after a time-out, and has no rate rule; AWS keeps it, and has one.
    assert (found.suppressed_init, found.requests_per_concurrency) == (False, None)
    assert found.versions["baseline"].timeout_s == 10
    path = tmp_path / "platform.yaml"
    path.write_text(f"suppressed_init: true\nrequests_per_concurrency: {REQUESTS_PER_CONCURRENCY}\nkeep_alive: 5m\n")
    laid = target_platform(place, target, path)
    assert (laid.suppressed_init, laid.requests_per_concurrency, laid.keep_alive_s) == (True, 10.0, 300.0)
    assert laid.versions["baseline"].timeout_s == 10
    path.write_text("suppressed_inits: true\n")
    with pytest.raises(ParameterError, match="suppressed_inits"):
        target_platform(place, target, path)


def test_only_our_own_cloud_is_a_local_one(cloud):
    assert is_local_cloud(cloud.endpoint_url)
    assert not is_local_cloud("https://lambda.us-east-1.amazonaws.com")
    assert not is_local_cloud("http://127.0.0.1:9")
