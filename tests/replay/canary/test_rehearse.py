"""Rehearsals: the controller's figures at a size that CI can afford; `make bench NAME=canary` has the thousand."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from replay.canary.presets import careful, preset
from replay.canary.rehearse.peers import Held, held, mann_whitney, peers, repeated_z_test, threshold_alarm
from replay.canary.rehearse.run import rehearse, rehearse_many
from replay.canary.rehearse.scenario import LatencyModel, Scenario, standard
from replay.canary.rehearse.world import EPOCH_S, SimulatedEvidence, Traffic
from replay.cli import main
from simulator.errors import ParameterError
from simulator.trace import make_trace, write_trace


def _scenario(text: str) -> Scenario:
    return next(each for each in standard() if each.name.startswith(text))


def test_the_same_seed_is_the_same_rehearsal():
    one = rehearse(careful(), _scenario("errors × 3"), seed=11, at_most_s=7200)
    assert rehearse(careful(), _scenario("errors × 3"), seed=11, at_most_s=7200) == one
    assert rehearse(careful(), _scenario("errors × 3"), seed=12, at_most_s=7200) != one


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "median_min", "share"),
    [
        ("errors × 2", 30.0, 0.9),
        ("errors × 3", 12.0, 0.95),
        ("errors × 5", 6.0, 1.0),
        ("p99 × 1.5", 20.0, 0.95),
        ("7 of 10", 1.0, 1.0),
        ("cold storm", 2.0, 1.0),
    ],
)
def test_regressions_are_found(name, median_min, share):
    """Limits with room for the noise of 60 runs; the benchmark holds the real ones."""
    summary = rehearse_many(careful(), _scenario(name), runs=60, seed=100, at_most_s=3 * 3600)
    assert summary.before_full >= share
    assert summary.median_s is not None
    assert summary.median_s / 60 <= median_min


@pytest.mark.slow
def test_sound_candidates_are_promoted():
    summary = rehearse_many(careful(), _scenario("sound"), runs=60, seed=100, at_most_s=5 * 3600)
    # P(more than 3 of 60 | 1 %) is under 0.3 %.
    assert summary.rolled_back <= 3 / 60
    assert summary.promoted >= 0.9


def test_a_clock_driven_plan_is_promoted_in_its_time():
    plan = preset("LambdaCanary10Percent5Minutes")
    assert plan is not None
    found = rehearse(plan, _scenario("sound"), seed=5, at_most_s=3600)
    assert found.outcome == "promoted"
    assert found.after_s == pytest.approx(300 + 300 + plan.drain_s, abs=60)


def test_the_tail_is_stretched_where_it_is_meant_to_be():
    model = LatencyModel()
    levels = np.array([0.5, 0.9, 0.99])
    assert model.at(levels, 1.5) / model.at(levels) == pytest.approx([1.0, 1.0, 1.5])
    with pytest.raises(ParameterError, match="ascend"):
        LatencyModel((0.0, 0.5, 1.0), (10.0, 5.0, 20.0))
    with pytest.raises(ParameterError, match="errors 0"):
        Scenario("x", errors=0)


def test_every_request_of_the_traffic_shows_once():
    plan, scenario = careful(), Scenario("s", rate_rps=5.0, slow_share=0.3, slow_factor=20.0)
    traffic = Traffic(scenario, 3)
    evidence = SimulatedEvidence(traffic, plan)
    reference = evidence.reference(0)
    from replay.canary.ports import StepSpan

    spans = [StepSpan(0, EPOCH_S)]
    seen = 0
    for look in range(1, 361):
        batch = evidence.look(spans, reference, 0, EPOCH_S + 10 * look)
        seen += batch.requests(candidate=True) + batch.requests(candidate=False)
    requests, arrival = traffic.between(EPOCH_S, EPOCH_S + 3600, 0.1, 0, EPOCH_S)
    assert seen == int((arrival + requests.latencies_ms["execution_ms"] / 1000 < EPOCH_S + 3600).sum())


def _data(rng: np.random.Generator, n: int, errors: float) -> Held:
    candidate = rng.random(n) < 0.3
    failed = rng.random(n) < np.where(candidate, 0.02 * errors, 0.02)
    return Held(np.sort(rng.random(n)) * 3600, candidate, failed, np.full(n, 100.0) + rng.random(n), 150.0, 0.02)


def test_peers_find_gross_errors_and_z_tests_cry_wolf():
    rng = np.random.default_rng(1)
    bad = _data(rng, 36_000, 10.0)
    for decide in peers(3600.0, 10.0).values():
        assert math.isfinite(decide(bad))
    sound = [_data(rng, 36_000, 1.0) for _ in range(100)]
    wolf = np.mean([math.isfinite(repeated_z_test(data, look_every_s=10, duration_s=3600)) for data in sound])
    assert 0.03 <= wolf <= 0.4
    assert np.mean([math.isfinite(mann_whitney(data, duration_s=3600)) for data in sound]) <= 0.2
    assert not any(math.isfinite(threshold_alarm(data, duration_s=3600, multiple=5.0)) for data in sound)


def test_peers_see_the_traffic_that_the_controller_sees():
    scenario = _scenario("sound")
    traffic = Traffic(scenario, 9)
    reference = SimulatedEvidence(traffic, careful()).reference(0)
    data = held(scenario, reference, weight=0.1, duration_s=600.0, seed=9)
    _, arrival_s = traffic.between(EPOCH_S, EPOCH_S + 600, 0.1, 0, EPOCH_S)
    assert len(data.ended_s) == len(arrival_s)
    assert np.all(np.diff(data.ended_s) >= 0)


def test_the_command(tmp_path):
    run = CliRunner().invoke(main, ["canary", "rehearse", "--runs", "2", "--scenario", "errors × 5", "--json"])
    assert run.exit_code == 0, run.output
    document = json.loads(run.stdout)
    assert document["plan"] == "careful"
    assert {each["scenario"] for each in document["scenarios"]} == {"errors × 5", "low traffic, errors × 5"}
    table = CliRunner().invoke(main, ["canary", "rehearse", "--runs", "1", "--scenario", "7 of 10"])
    assert "7 of" in table.stdout
    rng = np.random.default_rng(0)
    frame = pl.DataFrame({"arrival_s": np.arange(50.0), "duration_ms": rng.lognormal(5, 0.2, 50), "cold": [False] * 50})
    path = write_trace(make_trace(frame), tmp_path / "base.parquet")
    own = CliRunner().invoke(
        main, ["canary", "rehearse", "--runs", "1", "--scenario", "× 5", "--baseline-trace", str(path), "--json"]
    )
    assert own.exit_code == 0, own.output


def test_bad_input_is_one_line():
    for arguments, says in (
        (["--plan", "nowhere.yaml"], "no such plan file"),
        (["--scenario", "earthquake"], "none of sound"),
        (["--rate", "0"], "must be above 0"),
        (["--baseline-trace", "nowhere.parquet", "--runs", "1"], "no such trace file"),
    ):
        result = CliRunner().invoke(main, ["canary", "rehearse", *arguments])
        assert result.exit_code == 2, result.output
        assert says in result.stderr
        assert result.stderr.count("\n") == 1
    assert replace(_scenario("sound")).harmful is False
