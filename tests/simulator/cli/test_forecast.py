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
        (["--rate", "-1"], "rate_rps=-1.0 must be 0 or more"),
        (["--step-duration", "0"], "duration_s=0.0 must be above 0"),
        (["--objective", "p99 is fine"], "objective 'p99 is fine' cannot be read"),
        (["--pc-optimized", "-1"], "provisioned=-1 must be 0 or more"),
        (["--pc-optimized", "2000"], "above account_concurrency=1000"),
        (["--gateway-timeout", "0"], "gateway_timeout_s=0.0 must be above 0"),
        (["--seed", "-1"], "seed=-1 is outside"),
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


def test_weights_are_percentages() -> None:
    assert parse_weights("5, 50%,100") == (0.05, 0.5, 1.0)
    with pytest.raises(ParameterError, match="-1 is outside"):
        parse_weights("-1")
