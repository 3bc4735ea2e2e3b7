"""Rehearsals through the simulator's engine: the light world in distribution, and more than it in what follows."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from replay.canary.presets import careful
from replay.canary.rehearse.engine_traffic import EngineSettings, EngineTraffic, service_of, trace_of
from replay.canary.rehearse.run import rehearse, rehearse_many
from replay.canary.rehearse.scenario import LatencyModel, Scenario
from replay.canary.rehearse.world import EPOCH_S, Traffic
from replay.cli import main
from simulator.engine.select import engine
from simulator.errors import ParameterError
from simulator.model_policy import ModelCall, ModelQuota, SdkRetries
from simulator.platform import Platform, VersionSettings
from simulator.trace import make_trace

HISTORY_S = 300.0
PLAN = replace(careful(), history_s=HISTORY_S)


def _settings(at_most_s: float = 1800.0, platform: Platform | None = None) -> EngineSettings:
    # The reference: what is compared here is worlds, not engines, and nothing has to be compiled for it.
    service = service_of(trace_of(LatencyModel()))
    return EngineSettings(service, platform or Platform(), HISTORY_S, at_most_s, engine("reference"))


SETTINGS = _settings()


def test_what_was_seen_stays_when_a_step_begins():
    """The engine runs again from the beginning at each shift; not one request of the past may change by that."""
    traffic = EngineTraffic(Scenario("s", rate_rps=5.0, tail=1.5), 3, SETTINGS)
    before, arrival_s = traffic.between(EPOCH_S, EPOCH_S + 600, 0.1, 0, EPOCH_S)
    after, _ = traffic.between(EPOCH_S + 600, EPOCH_S + 900, 0.5, 1, EPOCH_S + 600)
    again, arrival_again_s = traffic.between(EPOCH_S, EPOCH_S + 600, 0.1, 0, EPOCH_S)
    assert np.array_equal(arrival_s, arrival_again_s)
    for name in ("candidate", "cold", "failed"):
        assert np.array_equal(getattr(before, name), getattr(again, name))
    assert np.array_equal(before.latencies_ms["execution_ms"], again.latencies_ms["execution_ms"])
    assert before.candidate.mean() == pytest.approx(0.1, abs=0.03)
    assert after.candidate.mean() == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize(("errors", "tail"), [(1.0, 1.0), (3.0, 2.0)])
def test_both_worlds_agree_in_distribution(errors, tail):
    """Warm latencies and failures of both arms: the light world's, up to the doubt of the engine's fitted law."""
    scenario = Scenario("s", rate_rps=5.0, base_error_rate=0.05, errors=errors, tail=tail)
    found: dict[tuple[str, bool], tuple[np.ndarray, float]] = {}
    for name, make in (("light", Traffic), ("engine", SETTINGS.traffic())):
        parts = [make(scenario, seed).between(EPOCH_S, EPOCH_S + 1200, 0.5, 0, EPOCH_S)[0] for seed in range(6)]
        for candidate in (False, True):
            rows = [part.picked(part.candidate == candidate) for part in parts]
            warm = np.concatenate([part.latencies_ms["execution_ms"][~part.cold] for part in rows])
            found[name, candidate] = warm, float(np.concatenate([part.failed for part in rows]).mean())
    for candidate in (False, True):
        light, light_failed = found["light", candidate]
        through, through_failed = found["engine", candidate]
        # 18,000 requests an arm, and six fits whose law is in doubt as much as their 4,000 rows leave it.
        for level, within in ((0.5, 0.03), (0.95, 0.012), (0.98, 0.007)):
            share = float((through > np.quantile(light, level)).mean())
            assert share == pytest.approx(1 - level, abs=within)
        assert through_failed == pytest.approx(light_failed, rel=0.15)
    assert found["engine", True][1] / found["engine", False][1] == pytest.approx(errors, rel=0.2)


@pytest.mark.slow
def test_both_worlds_find_the_same_regression_in_about_the_same_time():
    scenario = Scenario("errors", rate_rps=10.0, errors=6.0)
    light = rehearse_many(PLAN, scenario, runs=25, seed=50, at_most_s=900)
    through = rehearse_many(PLAN, scenario, runs=25, seed=50, at_most_s=900, make_traffic=_settings(900).traffic())
    assert light.before_full >= 0.95
    assert through.before_full >= 0.95
    assert light.median_s is not None
    assert through.median_s is not None
    # Medians of 25 runs whose times spread by half of themselves.
    assert 0.6 <= through.median_s / light.median_s <= 1.7


def test_a_storm_of_cold_starts_and_slow_answers_have_their_consequences():
    def cold_share(scenario: Scenario) -> float:
        requests, arrival_s = EngineTraffic(scenario, 5, SETTINGS).between(EPOCH_S, EPOCH_S + 900, 0.3, 0, EPOCH_S)
        settled = requests.picked(requests.candidate & (arrival_s > EPOCH_S + 120))
        return float(settled.cold.mean())

    assert cold_share(Scenario("s", rate_rps=10.0)) < 0.02
    # 0.4 % × 25.
    assert cold_share(Scenario("s", rate_rps=10.0, cold=25.0)) == pytest.approx(0.1, rel=0.4)
    # Answers that take a hundred times as long hold their environments, and others have to start.
    assert cold_share(Scenario("s", rate_rps=10.0, slow_share=0.7, slow_factor=100.0)) > 0.05


def test_a_sound_candidate_is_promoted_and_the_same_seed_is_the_same_rehearsal():
    scenario = Scenario("sound", rate_rps=10.0)
    make = _settings(3 * 3600.0).traffic()
    one = rehearse(PLAN, scenario, seed=1, at_most_s=3 * 3600.0, make_traffic=make)
    assert one.outcome == "promoted"
    assert rehearse(PLAN, scenario, seed=1, at_most_s=3 * 3600.0, make_traffic=make) == one


def test_what_lambda_refuses_is_no_evidence():
    """A concurrency limit under the load: refused requests reach no version, and no version's log."""
    versions = {"baseline": VersionSettings(concurrency_limit=3), "optimized": VersionSettings(concurrency_limit=3)}
    traffic = EngineTraffic(Scenario("s", rate_rps=20.0), 1, _settings(600.0, Platform(versions=versions)))
    requests, _ = traffic.between(EPOCH_S, EPOCH_S + 300, 0.5, 0, EPOCH_S)
    assert 0 < len(requests) < 0.8 * 20 * 300
    assert requests.latencies_ms["execution_ms"].min() > 0


def test_a_models_quota_is_met_by_the_candidate_that_has_it():
    # 20 requests a second ask for 1,200 a minute; the candidate's model lets 300 through, of the 600 that it gets.
    quota = ModelCall("small", 100, SdkRetries("off"))
    versions = {"baseline": VersionSettings(), "optimized": VersionSettings(model=quota)}
    platform = Platform(versions=versions, quotas={"small": ModelQuota(300)})
    frame = trace_of(LatencyModel()).frame.with_columns(input_tokens=pl.lit(50), output_tokens=pl.lit(20))
    settings = replace(_settings(600.0, platform), service=service_of(make_trace(frame)))
    traffic = EngineTraffic(Scenario("s", rate_rps=20.0), 1, settings)
    requests, _ = traffic.between(EPOCH_S, EPOCH_S + 600, 0.5, 0, EPOCH_S)
    assert not requests.throttled[~requests.candidate].any()
    assert requests.throttled[requests.candidate].mean() == pytest.approx(0.5, abs=0.1)
    assert not requests.failed[requests.throttled].any()


def test_a_models_quota_needs_tokens():
    versions = {"baseline": VersionSettings(), "optimized": VersionSettings(model=ModelCall("small", 100))}
    platform = Platform(versions=versions, quotas={"small": ModelQuota(300)})
    with pytest.raises(ParameterError, match="have no input_tokens or output_tokens; record them"):
        EngineTraffic(Scenario("s", rate_rps=20.0), 1, _settings(600.0, platform))


def test_the_command_and_its_mistakes(tmp_path):
    arguments = ["canary", "rehearse", "--runs", "1", "--scenario", "errors × 5", "--hours", "0.5", "--json"]
    found = CliRunner().invoke(main, [*arguments, "--engine", "reference", "--rate", "4"])
    assert found.exit_code == 0, found.output
    assert json.loads(found.stdout)["scenarios"][0]["runs"] == 1
    platform = tmp_path / "platform.yaml"
    platform.write_text("versions: {only: {timeout: 5s}}\n")
    alone = CliRunner().invoke(main, [*arguments, "--engine", "reference", "--platform", str(platform)])
    assert (alone.exit_code, alone.stderr.count("\n")) == (2, 1)
    assert "a rollout is between two" in alone.stderr
    light = CliRunner().invoke(main, [*arguments, "--engine", "none", "--platform", str(platform)])
    assert light.exit_code == 2
    assert "only an engine has a platform" in light.stderr
    with pytest.raises(ParameterError, match="1 version"):
        _settings(platform=Platform(versions={"only": VersionSettings()}))
