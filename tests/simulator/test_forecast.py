from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from simulator.arrivals import poisson, replay
from simulator.backtest import Comparison, compare
from simulator.cost import load_prices
from simulator.errors import FitError, ParameterError
from simulator.figures import METRICS, Figure, observe
from simulator.fitted import fit_recordings, rows_of
from simulator.forecast import Forecast, forecast, verdict
from simulator.importers import import_trace
from simulator.keep_alive import fit_keep_alive
from simulator.objective import parse_objective
from simulator.platform import Platform, VersionSettings
from simulator.provisioned import ProvisionedChange
from simulator.timeline import PlannedStep
from simulator.trace import Trace, TraceMetadata
from tests.simulator.worlds import Recorded, World, wandering

FEW = 60


@pytest.fixture(scope="module")
def recorded() -> Recorded:
    return World().record(1)


@pytest.fixture(scope="module")
def found(recorded: Recorded) -> Forecast:
    return forecast(
        recorded.baseline,
        recorded.candidate,
        recorded.steps,
        World().platform,
        replications=FEW,
        prices=load_prices(),
        objectives=[parse_objective("p99.9 < 30 s"), parse_objective("mean < 1 ms"), parse_objective("p50 < 500 ms")],
    )


def test_who_forecasts_several_times_fits_once(recorded: Recorded, found: Forecast) -> None:
    fitted = fit_recordings(recorded.baseline, recorded.candidate, World().platform.names, prices=load_prices())
    again = forecast(
        recorded.baseline,
        recorded.candidate,
        recorded.steps,
        World().platform,
        replications=FEW,
        prices=load_prices(),
        fitted=fitted,
    )
    assert again.figures == found.figures
    assert again.fits == found.fits


def test_a_scheduled_change_counts_from_the_first_step(recorded: Recorded) -> None:
    """Before it there is the history of the recordings, in which it would be over long since."""
    platform = Platform(
        versions={
            "baseline": VersionSettings(provisioned_changes=(ProvisionedChange(60.0, 50),)),
            "optimized": VersionSettings(),
        },
        keep_alive_s=0.5,
        provisioning_s=10.0,
    )
    steps = [PlannedStep("before", 0.0, poisson(2.0, 60.0)), PlannedStep("after", 0.0, poisson(2.0, 60.0), 15.0)]
    found = forecast(recorded.baseline, recorded.candidate, steps, platform, replications=40)
    cold = {
        figure.step: figure.estimate
        for figure in found.figures
        if figure.metric == "cold_share" and figure.variant == "all"
    }
    assert cold["before"] is not None
    assert cold["before"] > 0.2
    assert cold["after"] == 0.0


def test_every_step_and_variant_has_every_figure(found: Forecast) -> None:
    rows = [(figure.step, figure.variant) for figure in found.figures if figure.metric == "p50_ms"]
    assert rows == [
        *((step, variant) for step in ("10%", "50%") for variant in ("all", "baseline", "optimized")),
        ("100%", "all"),
        ("100%", "optimized"),
    ]
    assert len(found.figures) == len(rows) * len(METRICS)
    for figure in found.figures:
        assert figure.low is not None
        assert figure.estimate is not None
        assert figure.high is not None
        assert figure.low <= figure.estimate <= figure.high
        assert figure.requests > 0


def test_the_same_seed_gives_the_same_forecast_and_another_another(recorded: Recorded) -> None:
    def run(seed: int) -> Forecast:
        return forecast(
            recorded.baseline, recorded.candidate, recorded.steps, World().platform, replications=40, seed=seed
        )

    assert json.dumps(run(3).to_json()) == json.dumps(run(3).to_json())
    assert run(3).figures != run(4).figures


def test_an_objective_has_a_probability_by_step_and_in_all(found: Forecast) -> None:
    assert found.probability(parse_objective("p99.9 < 30 s")) == 1.0
    assert found.probability(parse_objective("mean < 1 ms")) == 0.0
    # The median is the baseline's at 10 % and the candidate's at 100 %: the joint probability is that of the worst.
    median = parse_objective("p50 < 500 ms")
    by_step = [found.probability(median, step) for step in found.steps]
    assert by_step[0] == 0.0
    assert by_step[-1] == 1.0
    assert found.probability(median) == 0.0
    with pytest.raises(ParameterError, match="no forecast of error_rate"):
        found.probability(parse_objective("error_rate < 1%"))
    assert [verdict(p) for p in (0.95, 0.5, 0.05)] == ["pass", "inconclusive", "fail"]


def test_provisioned_concurrency_takes_cold_starts_away(recorded: Recorded) -> None:
    def cold_share(platform: Platform) -> float:
        found = forecast(recorded.baseline, recorded.candidate, recorded.steps, platform, replications=40, history=())
        return float(np.mean(found.samples["10%", "optimized", "cold_share"]))

    assert cold_share(Platform(keep_alive_s=60.0)) > 4 * cold_share(World().platform) > 0


def test_history_warms_what_a_cold_beginning_does_not(recorded: Recorded) -> None:
    def cold_share(history: tuple[PlannedStep, ...] | None) -> float:
        found = forecast(
            recorded.baseline, recorded.candidate, recorded.steps, Platform(), replications=40, history=history
        )
        return float(np.mean(found.samples["10%", "baseline", "cold_share"]))

    assert cold_share(None) < 0.005 < cold_share(())


def test_a_short_recording_says_that_its_tail_is_extrapolated(recorded: Recorded, found: Forecast) -> None:
    notes = {(figure.step, figure.variant, figure.metric): figure.note for figure in found.figures}
    warm = recorded.candidate.frame.filter(~pl.col("cold")).height
    assert notes["10%", "optimized", "p99_ms"] == f"extrapolated from {warm} recorded requests; 368 would settle it"
    assert notes["10%", "optimized", "p50_ms"] is None
    assert notes["10%", "all", "p99_ms"] == notes["10%", "optimized", "p99_ms"], "the weaker of the two"
    assert any("p99 is extrapolated" in warning for warning in found.warnings)


def test_a_run_without_a_figure_in_one_step_is_judged_by_the_others() -> None:
    nan = float("nan")
    samples = {("a", "all", "p50_ms"): np.array([1.0, nan, 9.0, nan]), ("b", "all", "p50_ms"): np.array([1, 1, 1, nan])}
    figures = tuple(Figure(step, "all", "p50_ms", 1.0, 1.0, 9.0, 5) for step in "ab")
    found = Forecast(figures, (), {}, 4, 0, "client_ms", samples)
    median = parse_objective("p50 < 5 ms")
    assert found.probability(median, "a") == 0.5
    assert found.probability(median) == pytest.approx(2 / 3), "and one without any figure is left out"


def test_what_the_forecast_rests_on_is_said(recorded: Recorded) -> None:
    def warnings(baseline: Trace, candidate: Trace) -> str:
        plan = [PlannedStep("step", 0.5, poisson(5.0, 5.0))]
        return "\n".join(forecast(baseline, candidate, plan, World().platform, replications=40).warnings)

    warm = [trace.select(~pl.col("cold")) for trace in (recorded.baseline, recorded.candidate)]
    said = warnings(*warm)
    assert "baseline: no cold start recorded; INIT and setup are taken from published figures" in said
    assert "optimized: its cold starts are too few on their own" in warnings(recorded.baseline, warm[1])
    refused = recorded.candidate.frame.with_columns(
        status=pl.when(pl.int_range(pl.len()) % 10 == 0).then(pl.lit("throttled")).otherwise(pl.lit("ok"))
    )
    count = int((refused["status"] == "throttled").sum())
    said = warnings(recorded.baseline, Trace(refused, recorded.candidate.metadata))
    assert f"optimized: {count} recorded requests did not end ok ({count} throttled)" in said
    assert "drifts" not in said
    assert "client_ms" not in said
    drifting = World(baseline=wandering(650.0, 0.05, drift_log_sd=0.2, correlation_s=20.0)).record(1)
    assert "baseline: the recorded level drifts by about" in warnings(drifting.baseline, drifting.candidate)


def test_a_load_far_beyond_the_recorded_one_is_warned_of(recorded: Recorded) -> None:
    plan = [PlannedStep("rush", 0.5, poisson(100.0, 5.0))]
    found = forecast(recorded.baseline, recorded.candidate, plan, World().platform, replications=40)
    assert any("step rush: 100 requests a second is far beyond" in warning for warning in found.warnings)


def test_without_client_times_execution_is_forecast_and_said_so(recorded: Recorded) -> None:
    baseline, candidate = (
        Trace(trace.frame.with_columns(pl.lit(None, dtype=pl.Float64).alias("client_ms")), trace.metadata)
        for trace in (recorded.baseline, recorded.candidate)
    )
    found = forecast(baseline, candidate, recorded.steps, World().platform, replications=FEW)
    assert found.latency == "execution_ms"
    assert any("client_ms is not recorded" in warning for warning in found.warnings)
    observed = [
        figure
        for step, trace in zip(recorded.steps, recorded.happened, strict=True)
        for figure in observe(trace, step=step.label, latency="execution_ms")
    ]
    assert (compare(found.figures, observed).coverage or 0) > 0.8


def test_tokens_are_priced_by_the_variants_model(recorded: Recorded) -> None:
    def priced(trace: Trace, model: str) -> Trace:
        frame = trace.frame.with_columns(
            pl.lit(1000, dtype=pl.Int64).alias("input_tokens"), pl.lit(100, dtype=pl.Int64).alias("output_tokens")
        )
        variant = trace.variants()[0]
        return Trace(frame, TraceMetadata(models={variant: model}))

    found = forecast(
        priced(recorded.baseline, "us.anthropic.claude-haiku-4-5-20251001-v1:0"),
        priced(recorded.candidate, "us.amazon.nova-lite-v1:0"),
        recorded.steps,
        World().platform,
        replications=40,
        prices=load_prices(),
    )
    cost = {
        figure.variant: figure
        for figure in found.figures
        if figure.metric == "cost_usd_per_1000" and figure.step == "50%"
    }
    # Tokens alone: 1,000 × (1000 × 1.1 + 100 × 5.5) / 1e6 and 1,000 × (1000 × 0.06 + 100 × 0.24) / 1e6 USD.
    assert cost["baseline"].estimate == pytest.approx(1.65, rel=0.02)
    assert cost["optimized"].estimate == pytest.approx(0.084 + 0.006, rel=0.1)
    assert cost["baseline"].note is None


def test_what_cannot_be_fitted_is_refused(recorded: Recorded) -> None:
    def run(**changed: object) -> Forecast:
        arguments: dict[str, object] = {
            "baseline": recorded.baseline,
            "candidate": recorded.candidate,
            "steps": recorded.steps,
            "platform": World().platform,
            "replications": 40,
        }
        return forecast(**(arguments | changed))  # type: ignore[arg-type]

    with pytest.raises(FitError, match=r"variant 'optimized': 2 warm requests .* record at least 5"):
        run(candidate=recorded.candidate.select(pl.int_range(pl.len()) < 2))
    with pytest.raises(ParameterError, match="replications=5 must be 40 or more"):
        run(replications=5)
    with pytest.raises(ParameterError, match="has 1 version"):
        run(platform=Platform(versions={"baseline": World().platform.versions["baseline"]}))
    with pytest.raises(ParameterError, match="a step is called 'whole rollout', which stands for all steps"):
        run(steps=[PlannedStep("whole rollout", 0.1, poisson(1.0, 5.0))])


def test_a_trace_of_other_variants_is_refused_and_a_single_one_taken_whole(recorded: Recorded) -> None:
    both = Trace(pl.concat([recorded.baseline.frame, recorded.candidate.frame]).sort("arrival_s"), TraceMetadata())
    assert len(rows_of(both, "optimized")) == len(recorded.candidate)
    assert rows_of(recorded.candidate, "anything") is recorded.candidate
    with pytest.raises(ParameterError, match="no variant 'blue'; it has baseline, optimized"):
        rows_of(both, "blue")


def _experiments(world: World, seeds: range) -> list[Comparison]:
    done = []
    for seed in seeds:
        recorded = world.record(seed)
        found = forecast(
            recorded.baseline, recorded.candidate, recorded.steps, world.platform, replications=80, seed=seed,
            prices=load_prices(),
        )  # fmt: skip
        observed = [
            figure
            for step, trace in zip(recorded.steps, recorded.happened, strict=True)
            for figure in observe(trace, step=step.label, prices=load_prices())
        ]
        done.append(compare(found.figures, observed))
    return done


def _perfect_widths(world: World) -> dict[tuple[str, str, str], float]:
    """Give the widths of one who knows the truth: the spread of each figure over many runs of the world itself."""
    seen: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for seed in range(1000, 1150):
        recorded = world.record(seed)
        for step, trace in zip(recorded.steps, recorded.happened, strict=True):
            for figure in observe(trace, step=step.label):
                if figure.estimate is not None:
                    seen[figure.step, figure.variant, figure.metric].append(figure.estimate)
    return {key: float(np.diff(np.quantile(values, [0.025, 0.975]))[0]) for key, values in seen.items()}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("world", "least", "most_wide"),
    [
        (World(), 0.92, 1.9),
        (
            World(
                baseline=wandering(650.0, 0.1, drift_log_sd=0.05, correlation_s=30.0),
                candidate=wandering(340.0, 0.1, drift_log_sd=0.05, correlation_s=30.0),
            ),
            0.88,
            1.9,
        ),
    ],
    ids=["still", "drifting"],
)
def test_intervals_hold_what_happens_and_are_not_wide(
    world: World, least: float, most_wide: float, record_property: Callable[[str, object], None]
) -> None:
    done = _experiments(world, range(100, 112))
    perfect = _perfect_widths(world)
    inside: dict[str, list[bool]] = defaultdict(list)
    widths: dict[str, list[float]] = defaultdict(list)
    for one in done:
        for row in one.rows:
            if row.inside is None:
                continue
            inside[row.metric].append(row.inside)
            key = (row.step, row.variant, row.metric)
            if row.metric.endswith("_ms") and row.width is not None:
                widths[row.metric].append(row.width / perfect[key])
    coverage = sum(sum(each) for each in inside.values()) / sum(len(each) for each in inside.values())
    by_metric = {metric: round(float(np.mean(each)), 3) for metric, each in inside.items()}
    times = {metric: round(float(np.mean(each)), 2) for metric, each in widths.items()}
    said = f"coverage {coverage:.3f} {by_metric}; width over that of perfect knowledge {times}"
    record_property("intervals", said)
    assert least <= coverage <= 0.995, said
    # An interval must not buy its coverage: what few samples and drift leave unknown may widen it, nothing else.
    assert all(each <= most_wide for each in times.values()), said


@pytest.mark.parametrize("name", ["2020-05-26_01-31-35", "2020-06-04_23-02-14"])
def test_the_second_half_of_a_real_recording_is_forecast_from_its_first(shared_data: Path, name: str) -> None:
    trace = import_trace(shared_data / f"pacslab_lambda_{name}.csv", "pacslab")
    middle_s = float(trace.frame["arrival_s"][0]) + trace.duration_s / 2
    first, second = trace.select(pl.col("arrival_s") < middle_s), trace.select(pl.col("arrival_s") >= middle_s)
    plan = PlannedStep("second", 0.0, replay(second))
    found = forecast(
        first,
        first,
        [plan],
        Platform(),
        replications=200,
        history=[PlannedStep("first", 0.0, replay(first))],
        keep_alive=fit_keep_alive(first),
    )
    rows = {
        row.metric: row for row in compare(found.figures, observe(second, step="second")).rows if row.variant == "all"
    }
    errors = {metric: abs(rows[metric].error_share or 0.0) for metric in ("p50_ms", "p95_ms", "p99_ms", "cold_share")}
    assert errors["p50_ms"] < 0.01
    assert errors["p95_ms"] < 0.03
    assert errors["p99_ms"] < 0.03
    assert errors["cold_share"] < 0.35
    assert rows["p95_ms"].inside
    assert rows["p99_ms"].inside
    assert rows["cold_share"].inside
    assert (rows["p99_ms"].width_share or 1.0) < 0.3
