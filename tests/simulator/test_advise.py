from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from replay.cli import main
from simulator.advise import advise_steps, advise_version, question_about
from simulator.arrivals import poisson
from simulator.cost import load_prices
from simulator.errors import ParameterError
from simulator.objective import parse_objectives
from simulator.platform import Platform, VersionSettings
from simulator.provisioned import ProvisionedChange, TargetTracking
from simulator.quantiles import samples_to_bound
from simulator.trace import make_trace, write_trace
from tests.simulator.worlds import Recorded, World


@pytest.fixture(scope="module")
def recorded() -> Recorded:
    return World().record(3)


def asked(recorded: Recorded, slo: str, *, keep_alive_s: float = 3.0, rate_rps: float = 2.0):  # type: ignore[no-untyped-def]
    return question_about(
        recorded.baseline, recorded.candidate, poisson(rate_rps, 120.0), Platform(keep_alive_s=keep_alive_s),
        parse_objectives(slo), keep_alive=None, prices=load_prices(), architecture="x86_64", replications=40, seed=0,
    )  # fmt: skip


def test_the_least_provisioned_concurrency_is_one_that_fewer_do_not_do(recorded: Recorded) -> None:
    # Environments that live three seconds idle: a p95 below a cold start needs some that stay.
    found = advise_version(asked(recorded, "cold_share < 2%"), "baseline", most=16)
    assert found.provisioned is not None
    assert found.provisioned >= 1
    assert found.tried[found.provisioned] >= 0.95
    assert found.tried[found.provisioned - 1] < 0.95
    assert found.verdict == "pass"
    assert found.probability == found.tried[found.provisioned]
    # 1 GB for an hour, each.
    assert found.idle_usd_per_hour == pytest.approx(found.provisioned * 3600 * 0.0000041667)


def test_none_is_bought_where_none_is_needed_and_none_found_where_none_helps(recorded: Recorded) -> None:
    assert advise_version(asked(recorded, "p99 < 25 s"), "optimized").provisioned == 0
    hopeless = advise_version(asked(recorded, "p50 < 100 ms"), "optimized", most=4)
    assert (hopeless.provisioned, hopeless.verdict, sorted(hopeless.tried)) == (None, "fail", [0, 1, 2, 4])


def test_how_long_a_step_must_last_does_not_hang_on_the_seed(recorded: Recorded) -> None:
    few = {
        name: trace.select(pl.int_range(pl.len()) < 500) for name, trace in asked(recorded, "p99 < 1 s").traces.items()
    }
    question = replace(asked(recorded, "p99 < 1500 ms"), traces=few)
    lasts_s = [advise_steps(question, [0.5], seed=seed)[0].regression_s for seed in range(6)]
    assert max(lasts_s) < 1.8 * min(lasts_s)


@pytest.mark.parametrize(("limit", "tried"), [(3, [0, 1, 2, 3]), (0, [0])])
def test_no_more_is_tried_than_the_platform_has(recorded: Recorded, limit: int, tried: list[int]) -> None:
    question = replace(asked(recorded, "p50 < 100 ms"), platform=Platform(reserved_concurrency=limit))
    found = advise_version(question, "baseline", most=8)
    assert (found.provisioned, sorted(found.tried)) == (None, tried)
    json.loads(json.dumps(found.to_json()), parse_constant=pytest.fail)


@pytest.mark.parametrize(
    "settings",
    [
        VersionSettings(provisioned=2, target_tracking=TargetTracking(2, 5)),
        VersionSettings(provisioned_changes=(ProvisionedChange(0.0, 5),)),
    ],
)
def test_provisioned_concurrency_that_the_platform_has_is_not_kept(
    recorded: Recorded, settings: VersionSettings
) -> None:
    question = asked(recorded, "cold_share < 2%")
    versions = {"baseline": settings, "optimized": VersionSettings()}
    found = advise_version(replace(question, platform=replace(question.platform, versions=versions)), "baseline")
    assert found.tried == advise_version(question, "baseline").tried


def test_all_objectives_have_to_be_met(recorded: Recorded) -> None:
    found = advise_version(asked(recorded, "p99 < 25 s, p50 < 100 ms"), "baseline", most=1)
    assert (found.provisioned, found.verdict) == (None, "fail")


def test_no_time_out_outlasts_the_gateway(recorded: Recorded) -> None:
    slow = recorded.baseline.frame.with_columns(
        *(pl.col(name) * 60.0 for name in ("client_ms", "duration_ms")), max_memory_mb=pl.lit(200)
    )
    question = asked(recorded, "p99 < 100 s")
    found = advise_version(
        replace(question, traces={**question.traces, "baseline": make_trace(slow)}), "baseline", most=1
    )
    assert found.timeout_s == 29.0
    # It is told how long they would take if nobody gave up.
    assert 45.0 < float(found.timeout_note.split("may reach ")[1].split(" s")[0]) < 300.0
    assert found.memory["peak_mb"] == 200
    assert "200 MB of" in found.memory["note"]


def test_a_time_out_lies_beyond_the_tail(recorded: Recorded) -> None:
    found = advise_version(asked(recorded, "p99 < 25 s"), "baseline")
    assert found.timeout_s is not None
    assert 1.5 < found.timeout_s < 10.0
    assert "1.5 × the upper end of the p99.9" in found.timeout_note
    assert "record another size" in found.memory["note"]
    frame = recorded.baseline.frame.with_columns(memory_mb=pl.lit(None, dtype=pl.Int64))
    unsaid = replace(recorded, baseline=replace(recorded.baseline, frame=frame))
    found = advise_version(asked(unsaid, "p99 < 25 s"), "baseline")
    assert found.memory["note"].startswith("memory was not recorded; memory also sets the CPU")


def test_small_weights_take_longer(recorded: Recorded) -> None:
    tenth, half, whole = advise_steps(asked(recorded, "p99 < 1500 ms"), [0.1, 0.5, 1.0])
    assert tenth.bound_s == pytest.approx(samples_to_bound(0.99) / (2.0 * 0.1))
    assert half.bound_s == pytest.approx(tenth.bound_s / 5)
    assert tenth.regression_s > half.regression_s > 0
    assert tenth.apart_s is not None
    # 650 against 340 ms is seen long before a tenth more.
    assert tenth.apart_s < tenth.regression_s
    assert whole.duration_s == max(whole.bound_s, whole.regression_s)
    with pytest.raises(ParameterError, match="no candidate to tell apart"):
        advise_steps(asked(recorded, "p99 < 1500 ms"), [0.0])


def test_how_long_a_step_lasts_is_that_of_a_test_of_two_medians(recorded: Recorded) -> None:
    rng = np.random.default_rng(1)
    traces = {
        name: make_trace(
            pl.DataFrame(
                {
                    "arrival_s": np.arange(5000.0),
                    "client_ms": ms * np.exp(sd * rng.standard_normal(5000)),
                    "cold": False,
                }
            )
        )
        for name, ms, sd in (("baseline", 650, 0.2), ("optimized", 340, 0.25))
    }
    found = advise_steps(replace(asked(recorded, "p50 < 1500 ms"), traces=traces), [0.5])[0]
    # A log-normal's median errs with 1.2533 σ / √n, either arm has half of 2 requests a second.
    variance = (1.2533 * 0.2 * 650) ** 2 + (1.2533 * 0.25 * 340) ** 2
    assert found.regression_s == pytest.approx((2.8 / 65) ** 2 * variance, rel=0.35)
    assert found.apart_s == pytest.approx((2.8 / 310) ** 2 * variance, rel=0.35)


def test_refusals_are_no_fast_answers(recorded: Recorded) -> None:
    question = asked(recorded, "p50 < 1500 ms")
    refused = recorded.baseline.frame.with_columns(
        status=pl.lit("throttled"), cold=pl.lit(None, dtype=pl.Boolean), client_ms=pl.lit(5.0)
    )
    both = make_trace(pl.concat([recorded.baseline.frame, refused]).sort("arrival_s", maintain_order=True))
    with_refusals = replace(question, traces={**question.traces, "baseline": both})
    assert advise_steps(with_refusals, [0.5]) == advise_steps(question, [0.5])


def test_the_command(recorded: Recorded, tmp_path: Path) -> None:
    files = [
        str(write_trace(t, tmp_path / f"{n}.parquet")) for n, t in enumerate((recorded.baseline, recorded.candidate))
    ]
    plain = ["advise", "--baseline", files[0], "--candidate", files[1], "--replications", "40", "--duration", "30"]
    found = CliRunner().invoke(main, [*plain, "--slo", "p99 < 25 s", "--json"], catch_exceptions=False)
    document = json.loads(found.stdout)
    assert (found.exit_code, document["verdict"]) == (0, "pass")
    assert document["versions"]["optimized"]["provisioned"] == 0
    assert [step["weight"] for step in document["steps"]] == [0.1, 0.5, 1.0]
    failed = CliRunner().invoke(main, [*plain, "--slo", "p50 < 100 ms", "--max-pc", "2"], catch_exceptions=False)
    assert failed.exit_code == 1
    assert "none found" in failed.stdout
    assert CliRunner().invoke(main, [*plain, "--slo", "fast"]).exit_code == 2
