from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from replay.cli import main
from simulator.cli.forecast import parse_weights
from simulator.errors import ParameterError
from simulator.trace import write_trace
from tests.simulator.worlds import World


@pytest.fixture(scope="module")
def traces(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("traces")
    recorded = World().record(2)
    write_trace(recorded.baseline, folder / "baseline.parquet")
    write_trace(recorded.candidate, folder / "candidate.parquet")
    return ["--baseline", str(folder / "baseline.parquet"), "--candidate", str(folder / "candidate.parquet")]


QUICK = ["--replications", "40", "--step-duration", "10", "--keep-alive", "60"]


def run(*arguments: str) -> tuple[int, str, str]:
    found = CliRunner().invoke(main, ["forecast", *arguments], catch_exceptions=False)
    return found.exit_code, found.stdout, found.stderr


def test_a_table_with_every_step(traces: list[str]) -> None:
    code, out, _ = run(*traces, *QUICK)
    assert code == 0
    for word in ("10%", "50%", "100%", "baseline", "optimized", "p99 ms", "95 % intervals of 40 runs"):
        assert word in out
    assert "* extrapolated" in out


@pytest.mark.parametrize(
    ("objective", "code", "word"),
    [("p99 < 25 s", 0, "pass"), ("p50 < 100 ms", 1, "fail"), ("p95 < 860 ms", 3, "inconclusive")],
)
def test_the_exit_code_is_the_verdict(traces: list[str], objective: str, code: int, word: str) -> None:
    found, out, _ = run(*traces, *QUICK, "--objective", objective)
    assert f": {word} (" in out
    assert found == code


def test_json_goes_to_stdout_and_the_same_to_a_file(traces: list[str], tmp_path: Path) -> None:
    target = tmp_path / "deep" / "forecast.json"
    code, out, _ = run(
        *traces, *QUICK, "--weights", "50", "--json", "--out", str(target), "--objective", "p99 < 25 s", "--seed", "7"
    )
    document = json.loads(out)
    assert code == 0
    assert document == json.loads(target.read_text())
    assert (document["seed"], document["verdict"], document["replications"]) == (7, "pass", 40)
    assert document["objectives"][0]["steps"]["50%"]["probability"] == 1.0
    assert {figure["variant"] for figure in document["figures"]} == {"all", "baseline", "optimized"}


def test_a_weight_that_comes_again_has_a_label_of_its_own(traces: list[str]) -> None:
    _, out, _ = run(*traces, *QUICK, "--weights", "10,0,10", "--json")
    assert list(dict.fromkeys(figure["step"] for figure in json.loads(out)["figures"])) == ["10%", "0%", "10% #2"]


def test_recorded_arrivals_are_replayed(traces: list[str]) -> None:
    _, out, _ = run(*traces, *QUICK[:2], "--weights", "0", "--arrivals", traces[1], "--json")
    figures = json.loads(out)["figures"]
    assert figures[0]["requests"] == len(World().record(2).baseline)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--weights", "10,101"], "--weights '10,101': 101 is outside 0 to 100"),
        (["--weights", "ten"], "'ten' is no number"),
        (["--weights", "0.1,0.5,1"], "--weights '0.1,0.5,1' are percentages, none of them above 1"),
        (["--rate", "-1"], "rate_rps=-1.0 must be 0 or more"),
        (["--rate", "0"], "--rate 0 sends no request"),
        (["--weight", "0.1", "--weights", "5,10"], "--weight and --weights exclude each other"),
        (["--step-duration", "0"], "duration_s=0.0 must be above 0"),
        (["--objective", "p99 is fine"], "objective 'p99 is fine' cannot be read"),
        (["--pc-optimized", "-1"], "provisioned=-1 must be 0 or more"),
        (["--pc-optimized", "2000"], "above account_concurrency=1000"),
        (["--gateway-timeout", "0"], "gateway_timeout_s=0.0 must be above 0"),
        (["--seed", "-1"], "seed=-1 is outside"),
        (["--seed", "-1", "--prompts", "baseline"], "seed=-1 must be 0 or more"),
        (["--replications", "3"], "replications=3 must be 40 or more"),
        (["--candidate", "nowhere.parquet"], "nowhere.parquet: no such trace file"),
        (["--prices", "nowhere.toml"], "nowhere.toml: cannot read the prices"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    traces: list[str], arguments: list[str], message: str, tmp_path: Path
) -> None:
    target = tmp_path / "forecast.json"
    code, out, err = run(*traces, "--out", str(target), *arguments)
    assert code == 2
    assert message in err
    assert err.count("\n") == 1
    assert out == ""
    assert not target.exists()


def test_arrivals_and_rate_exclude_each_other(traces: list[str]) -> None:
    code, _, err = run(*traces, "--arrivals", traces[1], "--rate", "3")
    assert (code, "leave out --rate" in err) == (2, True)


def test_the_document_answers_for_the_whole_rollout(traces: list[str]) -> None:
    code, out, _ = run(*traces, *QUICK, "--weights", "10,50", "--json", "--slo", "p99<25s")
    document = json.loads(out)
    assert code == 0
    assert set(document["forecast"]) == {"live", "baseline", "optimized"}
    for group in document["forecast"].values():
        assert set(group["p99_ms"]) == {"median", "lo", "hi"}
        assert group["p50_ms"]["lo"] <= group["p50_ms"]["median"] <= group["p50_ms"]["hi"]
    # The rollout in all lies between its versions.
    medians = {name: group["p50_ms"]["median"] for name, group in document["forecast"].items()}
    assert medians["optimized"] < medians["live"] <= medians["baseline"] * 1.05
    assert document["difference"]["p50_ms"]["chance_lower"] == 1.0
    assert document["difference"]["p50_ms"]["hi"] < 0
    assert set(document["steps"]) == {"10%", "50%"}
    assert document["timeout_margin"]["median"] == pytest.approx(
        30_000 / document["forecast"]["live"]["p99.9_ms"]["median"], rel=0.05
    )
    assert document["burst_amplification"]["factor"] == 5.0
    assert document["retry_amplification"] == {"median": 1.0, "lo": 1.0, "hi": 1.0}
    assert document["throttled_share"]["hi"] == 0.0
    assert document["cost_per_1k_usd"]["median"] > 0
    assert document["samples_needed"]["optimized"]["needed"]["p99_ms"] == 368
    assert document["samples_needed"]["optimized"]["missing"] > 0
    assert (document["verdict"], isinstance(document["warnings"], list)) == ("pass", True)


def test_a_time_out_below_the_tail_shows_as_no_margin_and_failures(traces: list[str]) -> None:
    _, out, _ = run(*traces, *QUICK, "--weight", "0", "--timeout", "0.7", "--json", "--burst", "0")
    document = json.loads(out)
    assert document["timeout_margin"]["median"] < 1.0
    assert document["timeout_margin"]["chance"]["median"] > 0.2
    _, out, _ = run(*traces, *QUICK, "--weight", "0", "--timeout", "0.01", "--burst", "0")
    assert "100 % [100–100] of the requests hit it" in out
    assert document["burst_amplification"] is None


def test_a_rollout_file_names_weights_lengths_and_rates(traces: list[str], tmp_path: Path) -> None:
    steps = tmp_path / "steps.yaml"
    steps.write_text(
        "steps:\n  - {weight: 5%, duration: 20s}\n  - {weight: 0.5, duration: 1m, rate: 20, gap: 5s}\n"
        "  - {weight: 1, duration: 20s, gap: 0}\n"
    )
    _, out, _ = run(*traces, *QUICK[:2], "--rollout", str(steps), "--json", "--burst", "0")
    document = json.loads(out)
    requests = {row["step"]: row["requests"] for row in document["figures"] if row["variant"] == "all"}
    assert requests["50%"] == pytest.approx(1200, rel=0.1)
    assert list(requests) == ["5%", "50%", "100%"]


def test_a_step_that_names_no_length_lasts_as_long_as_the_option_says(traces: list[str], tmp_path: Path) -> None:
    steps = tmp_path / "steps.yaml"
    steps.write_text("- {weight: 50%, rate: 20}\n- {weight: 1, rate: 20, duration: 30s}\n")
    arguments = [*traces, *QUICK[:2], "--rollout", str(steps), "--duration", "60", "--json", "--burst", "0"]
    document = json.loads(run(*arguments)[1])
    requests = {row["step"]: row["requests"] for row in document["figures"] if row["variant"] == "all"}
    assert requests == {"50%": pytest.approx(1200, rel=0.1), "100%": pytest.approx(600, rel=0.1)}


def test_a_step_without_requests_has_no_chance_and_the_document_is_json(traces: list[str], tmp_path: Path) -> None:
    steps = tmp_path / "steps.yaml"
    steps.write_text("- {weight: 5%, duration: 1s, rate: 0.0001}\n- {weight: 50%, duration: 20s}\n")
    rollout = [*QUICK[:2], "--rollout", str(steps), "--slo", "p99 < 25 s", "--burst", "0"]
    _, out, _ = run(*traces, *rollout, "--json")
    document = json.loads(out, parse_constant=pytest.fail)
    by_step = document["objectives"][0]["steps"]
    assert {label: one["probability"] for label, one in by_step.items()} == {"5%": None, "50%": 1.0}
    assert by_step["5%"]["verdict"] == "inconclusive"
    assert "by step: 5% –, 50% > 99 %" in " ".join(run(*traces, *rollout)[1].split())


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("steps: 3", "steps is no list of steps"),
        ("- {weight: 2}", "step 1: weight '2' is no weight"),
        ("- {weight: 10%, duration: soon}", "step 1: duration 'soon' is no duration"),
        ("- {weight: 10%, speed: 3}", "step 1: unknown field 'speed'"),
        ("- {weight: 10%, rate: fast}", "step 1: rate 'fast' is no number"),
        ("- [", "not YAML"),
        ("- {weight: 10%, duration: 2026-13-45}", "not YAML (month must be in 1..12)"),
    ],
)
def test_a_bad_rollout_file_is_one_line(traces: list[str], tmp_path: Path, written: str, message: str) -> None:
    steps = tmp_path / "steps.yaml"
    steps.write_text(written)
    code, _, err = run(*traces, "--rollout", str(steps))
    assert (code, err.count("\n")) == (2, 1)
    assert f"{steps}: " in err
    assert message in err


def test_arrivals_can_be_drawn_anew_and_scaled(traces: list[str]) -> None:
    def requests(*more: str) -> int:
        _, out, _ = run(*traces, *QUICK[:2], "--weight", "0", "--burst", "0", "--json", *more)
        return int(json.loads(out)["figures"][0]["requests"])

    replayed = requests("--arrivals", traces[1])
    assert requests("--arrivals", traces[1], "--scale", "2") == replayed
    fitted = requests("--arrivals", traces[1], "--arrivals-as", "fitted")
    assert fitted == pytest.approx(replayed, rel=0.15)
    assert requests("--rate", "5", "--duration", "40", "--scale", "3") == pytest.approx(600, rel=0.1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--weight", "7"], "--weight '7' is no weight"),
        (["--weight", "0.1", "--rollout", "x.yaml"], "--weight and --rollout exclude each other"),
        (["--arrivals-as", "fitted"], "--arrivals-as fitted needs --arrivals"),
        (["--scale", "0"], "--scale 0.0 must be above 0"),
        (["--burst", "0.5"], "--burst 0.5 must be above 1"),
        (["--prompts", "arrivals"], "--prompts arrivals needs --arrivals"),
        (["--prompts", "baseline"], "a fit by tokens needs 20"),
        (["--platform", "nowhere.yaml"], "nowhere.yaml"),
    ],
)
def test_options_that_make_no_sense_are_one_line(traces: list[str], arguments: list[str], message: str) -> None:
    code, _, err = run(*traces, *arguments)
    assert (code, err.count("\n")) == (2, 1)
    assert message in err


def test_options_come_from_the_environment_too(traces: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAILCAST_FORECAST_OBJECTIVES", "p99 < 25 s; error_rate < 50%")
    monkeypatch.setenv("TAILCAST_FORECAST_SEED", "7")
    code, out, _ = run(*traces, *QUICK, "--weights", "50", "--burst", "0", "--json")
    document = json.loads(out)
    assert [one["objective"] for one in document["objectives"]] == ["p99 < 25000 ms", "error_rate < 50%"]
    assert (code, document["seed"]) == (0, 7)


def test_weights_are_percentages() -> None:
    assert parse_weights("5, 50%,100") == (0.05, 0.5, 1.0)
    with pytest.raises(ParameterError, match="-1 is outside"):
        parse_weights("-1")


def test_explain_tells_every_event_of_chosen_requests(traces: list[str], tmp_path: Path) -> None:
    code, out, _ = run(*traces, *QUICK, "--explain", "0,500", "--seed", "3")
    assert code == 0
    for word in ("Run 0 of seed 3", "request 0, before the first step: ok", "request 500, ", "starts an environment"):
        assert word in out
    target = tmp_path / "log.json"
    code, out, _ = run(*traces, *QUICK, "--explain", "slowest:4", "--json", "-o", str(target), "--explain-run", "1")
    document = json.loads(out)
    assert document == json.loads(target.read_text())
    assert document["run"] == 1
    waited_ms = [one["client_ms"] for one in document["requests"]]
    assert len(waited_ms) == 4
    assert waited_ms == sorted(waited_ms, reverse=True)
    for one in document["requests"]:
        events = [event["event"] for event in one["events"]]
        assert one["step"] in ("10%", "50%", "100%")
        assert events[0] == "arrives"
        assert {"routed", "handler_ends", "answered", "free"} <= set(events)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--explain", "all"), "'all' names no requests; write their numbers, 12,40, or slowest, or slowest:10"),
        (("--explain", "slowest:0"), "0 requests to explain; ask for 1 to 100"),
        (("--explain", "99999"), "request 99999 is outside 0 to "),
        (("--explain", "1", "--explain-run", "40"), "run 40 is outside 0 to 39, the runs of this forecast"),
    ],
)
def test_what_cannot_be_explained(traces: list[str], options: tuple[str, ...], message: str) -> None:
    code, _, err = run(*traces, *QUICK, *options)
    assert code == 2
    assert message in err


def test_provisioned_concurrency_is_paid_apart_and_in_sum(traces: list[str]) -> None:
    quick = (*QUICK, "--rate", "5", "--weight", "10%", "--burst", "0", "--json")
    _, out, _ = run(*traces, *quick, "--pc", "0")
    without = json.loads(out)
    assert without["provisioned_per_1k_usd"] == {"median": 0.0, "lo": 0.0, "hi": 0.0}
    assert without["total_per_1k_usd"] == without["cost_per_1k_usd"]
    _, out, _ = run(*traces, *quick, "--pc-baseline", "3", "--pc-optimized", "1")
    document = json.loads(out)
    groups = document["forecast"]
    # Four environments of 1 GB for ten seconds, spread over some fifty requests.
    usd = 4 * 10.0 * 0.0000041667
    assert document["provisioned_per_1k_usd"]["median"] == pytest.approx(usd / 50 * 1000, rel=0.15)
    assert groups["live"]["provisioned_per_1k_usd"] == document["provisioned_per_1k_usd"]
    assert document["total_per_1k_usd"]["median"] == pytest.approx(
        document["cost_per_1k_usd"]["median"] + document["provisioned_per_1k_usd"]["median"], rel=0.02
    )
    # The candidate's one environment is spread over a tenth of the requests.
    assert (
        groups["optimized"]["provisioned_per_1k_usd"]["median"] > groups["baseline"]["provisioned_per_1k_usd"]["median"]
    )


def test_a_version_without_traffic_has_its_figures_and_none_is_known(traces: list[str]) -> None:
    _, out, _ = run(*traces, *QUICK, "--weight", "100%", "--burst", "0", "--json")
    groups = json.loads(out)["forecast"]
    assert groups["baseline"].keys() == groups["live"].keys()
    assert groups["baseline"]["p99_ms"] == {"median": None, "lo": None, "hi": None}


def test_a_place_that_cannot_be_written_is_one_line(traces: list[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    target = tmp_path / "file" / "forecast.json"
    code, _, err = run(*traces, *QUICK, "--weight", "0", "--burst", "0", "--out", str(target))
    assert code == 2
    assert err.startswith(f"error: {target}: ")
    assert err.count("\n") == 1
