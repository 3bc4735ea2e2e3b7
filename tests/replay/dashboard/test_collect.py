"""The board's figures from metrics that a test puts there, and from functions that really ran."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from click.testing import CliRunner

from replay.aws import make_client
from replay.cli import main
from replay.cloud import LocalCloud
from replay.dashboard import FIGURES, Board, Scope, Window, collect, scope_of
from replay.dashboard.show import print_board
from replay.errors import CloudError, InputError
from simulator.terminal import console
from tests.replay.cloud.support import change, deploy, unique

NOW = datetime.now(UTC).replace(second=0, microsecond=0)
WINDOW = Window(NOW - timedelta(minutes=10), NOW + timedelta(minutes=1))


def put(
    cloud: LocalCloud, namespace: str, name: str, dimensions: dict[str, str], values: dict[int, list[float]]
) -> None:
    """Put values by minutes ago."""
    cloud.client("cloudwatch").put_metric_data(
        Namespace=namespace,
        MetricData=[
            {
                "MetricName": name,
                "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions.items()],
                "Timestamp": NOW - timedelta(minutes=minutes),
                "Values": some,
            }
            for minutes, some in values.items()
        ],
    )


def test_periods_become_one_figure_each_in_its_way(local_cloud: LocalCloud) -> None:
    function = unique("f")
    own = {"function": function, "version": "3"}
    put(local_cloud, "tailcast", "TotalMs", own, {5: [100.0, 200.0, 300.0], 2: [900.0]})
    put(local_cloud, "tailcast", "InferenceMs", own, {5: [80.0, 160.0, 240.0], 2: [720.0]})
    put(local_cloud, "tailcast", "ResponseCacheHits", own, {5: [1.0, 0.0, 0.0], 2: [1.0]})
    put(local_cloud, "tailcast", "CostUsd", own, {5: [0.25, 0.25], 2: [0.5]})
    put(local_cloud, f"tailcast/{function}", "InitMs", {}, {5: [300.0, 500.0]})
    put(local_cloud, "AWS/ApiGateway", "5xx", {"ApiId": function}, {2: [0.0, 1.0]})
    board = collect(local_cloud.client("cloudwatch"), Scope(function, {"3": ["live"]}, function), WINDOW)
    lines = {line.figure.key: line for line in board.lines}
    # Whole numbers of requests; percentiles and maxima of the highest period; means weighed by what they are of.
    assert (lines["requests"].over, lines["requests"].last) == (4, 1)
    assert lines["duration_p50_ms"].over == 900
    assert list(lines["duration_p50_ms"].points.values()) == [200, 900]
    assert lines["inference_share"].over == pytest.approx(80)
    assert lines["response_cache_hits"].over == pytest.approx(50)
    assert lines["response_cache_hits"].last == 100
    assert lines["cost_usd"].over == 1.0
    assert (lines["init_mean_ms"].over, lines["init_max_ms"].over) == (400, 500)
    assert lines["init_max_ms"].period_s == 300
    assert lines["api_5xx"].over == 1
    assert lines["ttft_p50_ms"].over is None
    missing = {one["key"] for one in board.to_json()["missing"]}
    assert missing == {key for key, line in lines.items() if not line.points}
    assert "ttft_p50_ms" in missing
    assert set(lines) == {figure.key for figure in FIGURES}


def test_a_share_counts_only_periods_that_have_both(local_cloud: LocalCloud) -> None:
    function = unique("f")
    own = {"function": function, "version": "1"}
    put(local_cloud, "tailcast", "TotalMs", own, {5: [100.0], 2: [50.0]})
    put(local_cloud, "tailcast", "InferenceMs", own, {5: [50.0]})
    board = collect(local_cloud.client("cloudwatch"), Scope(function, {"1": []}, None), WINDOW)
    (share,) = [line for line in board.lines if line.figure.key == "inference_share"]
    assert (share.over, len(share.points)) == (50, 1)


def test_versions_are_those_that_aliases_route_to(local_cloud: LocalCloud) -> None:
    client, function = local_cloud.client("lambda"), deploy(local_cloud)
    assert scope_of(client, function).roles == {}
    for note in ("2", "3"):
        change(local_cloud, function, note)
    client.create_alias(FunctionName=function, Name="baseline", FunctionVersion="1")
    client.create_alias(
        FunctionName=function, Name="live", FunctionVersion="1", RoutingConfig={"AdditionalVersionWeights": {"3": 0.1}}
    )
    assert scope_of(client, function).roles == {"1": ["baseline", "live 90%"], "3": ["live 10%"]}


RECORDING = """
import json, time

def handler(event, context):
    line = {
        "function": context.function_name, "version": context.function_version, "variant": "v",
        "TotalMs": 20.0, "InferenceMs": 15.0, "OutputTokens": 7, "CostUsd": 0.001, "TtftMs": 9.0,
        "_aws": {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [{
            "Namespace": "tailcast", "Dimensions": [["function", "version"]],
            "Metrics": [{"Name": name} for name in ("TotalMs", "InferenceMs", "OutputTokens", "CostUsd", "TtftMs")],
        }]},
    }
    print(json.dumps(line))
    return {}
"""


def show(*arguments: str) -> Any:
    return CliRunner().invoke(main, ["dashboard", "show", *arguments])


def test_a_function_that_ran_is_shown(in_local_cloud: LocalCloud) -> None:
    """With provisioned concurrency on its version, and the filter that Terraform sets on its log."""
    cloud = in_local_cloud
    function = deploy(cloud, RECORDING, LoggingConfig={"LogFormat": "JSON"})
    client, logs = cloud.client("lambda"), cloud.client("logs")
    logs.create_log_group(logGroupName=f"/aws/lambda/{function}")
    logs.put_metric_filter(
        logGroupName=f"/aws/lambda/{function}",
        filterName="init",
        filterPattern='{ $.type = "platform.report" && $.record.metrics.initDurationMs > 0 }',
        metricTransformations=[
            {
                "metricName": "InitMs",
                "metricNamespace": f"tailcast/{function}",
                "metricValue": "$.record.metrics.initDurationMs",
            }
        ],
    )
    client.create_alias(FunctionName=function, Name="live", FunctionVersion="1")
    client.invoke(FunctionName=function, Qualifier="live", Payload=b"{}")  # cold, before there is any PC
    client.put_provisioned_concurrency_config(FunctionName=function, Qualifier="1", ProvisionedConcurrentExecutions=1)
    limit_s = time.monotonic() + 60
    while True:
        config = client.get_provisioned_concurrency_config(FunctionName=function, Qualifier="1")
        if config["Status"] == "READY" or time.monotonic() > limit_s:
            break
        time.sleep(0.05)
    for _ in range(3):
        client.invoke(FunctionName=function, Qualifier="live", Payload=b"{}")

    while True:
        result = show("--function", function, "--since", "-10m", "--json")
        assert result.exit_code == 0, result.output
        found = {(one["key"], one["version"]): one for one in json.loads(result.stdout)["figures"]}
        if found["requests", "1"]["window"]["value"] == 4 or time.monotonic() > limit_s:
            break
        time.sleep(0.05)
    assert found["requests", "1"]["window"]["value"] == 4
    assert found["inference_share", "1"]["window"]["value"] == pytest.approx(75)
    assert found["ttft_p95_ms", "1"]["window"]["value"] == 9
    assert found["output_tokens", "1"]["window"]["value"] == 28
    assert found["cost_usd", "1"]["window"]["value"] == pytest.approx(0.004)
    assert found["pc_use", "1"]["window"]["value"] == 100
    assert found["init_max_ms", None]["window"]["value"] > 1
    assert found["concurrency", None]["window"]["value"] == 1

    printed = show("--function", function, "--since", "-10m").output
    for text in (function, "version 1 (live)", "inference share", "75 %", "PC use", "INIT max", "no data: "):
        assert text in printed


def test_a_function_without_traffic_says_that_nothing_is_there(in_local_cloud: LocalCloud) -> None:
    function = deploy(in_local_cloud)
    document = json.loads(show("--function", function, "--json").stdout)
    assert document["notes"][0] == f"{function} has no alias, so no version is shown"
    assert document["notes"][-1].startswith("no metric has a value in this time")
    assert all(one["window"]["value"] is None for one in document["figures"])


def test_long_windows_are_joined_to_what_fits(local_cloud: LocalCloud, capsys: pytest.CaptureFixture[str]) -> None:
    function = unique("f")
    put(local_cloud, "AWS/Lambda", "Throttles", {"FunctionName": function}, {0: [3.0], 400: [1.0]})
    window = Window(NOW - timedelta(hours=12), NOW + timedelta(minutes=1))
    print_board(collect(local_cloud.client("cloudwatch"), Scope(function, {}, None), window), console())
    (row,) = [line for line in capsys.readouterr().out.splitlines() if "throttled by Lambda" in line]
    assert "sum" in row
    assert len(row) < 100


@pytest.mark.parametrize(("days", "least_s", "too_fine_s"), [(14, 840, None), (16, 1_200, 1_260), (70, 7_200, 4_500)])
def test_the_least_period_that_is_named_is_one_that_cloudwatch_keeps(
    days: int, least_s: int, too_fine_s: int | None
) -> None:
    """AWS: multiples of 300 s from 15 days on, of 3,600 s from 63 days on, or no value at all."""
    start = NOW - timedelta(days=days)
    with pytest.raises(InputError, match=f"give {least_s} or more$"):
        Window(start, NOW, 60)
    assert Window(start, NOW, least_s).period_s == least_s
    if too_fine_s is not None:
        with pytest.raises(InputError, match=f"--period {too_fine_s} must be a multiple of"):
            Window(start, NOW, too_fine_s)


def test_a_time_in_another_zone_is_told_in_utc(capsys: pytest.CaptureFixture[str]) -> None:
    start = datetime.fromisoformat("2026-11-21T10:00:00+05:00")
    end = datetime(2026, 11, 21, 6, 30, tzinfo=UTC)
    print_board(Board("f", None, start, end, {}, [], []), console())
    assert "f: 2026-11-21 05:00 to 06:30 UTC" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give --env or --function, one of the two"),
        (["--env", "dev", "--function", "f"], "give --env or --function, one of the two"),
        (["--function", "f", "--period", "45"], "--period 45 must be a multiple of 60 seconds"),
        (["--function", "f", "--since", "-9d"], "--period 60 makes 12,960 periods of the time since"),
        (["--function", "f", "--since", "2999-01-01"], "--since 2999-01-01T00:00:00+00:00 is not in the past"),
        (["--function", "f", "--since", "soon"], "time 'soon' cannot be read"),
        (["--function", "no-such-function"], "function 'no-such-function' does not exist here"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(in_local_cloud: LocalCloud, arguments: list[str], message: str) -> None:
    result = show(*arguments)
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith(f"error: {message}")


def test_a_cloud_that_does_not_answer_is_exit_code_4(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("replay.aws.ATTEMPTS", 1)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    client = make_client("cloudwatch", region="us-east-1", endpoint_url="http://127.0.0.1:9")
    with pytest.raises(CloudError, match="the dashboard's metrics cannot be read") as caught:
        collect(client, Scope("f", {"1": []}, None), WINDOW)
    assert isinstance(caught.value.__cause__, EndpointConnectionError)
    with pytest.raises(InputError):
        Window(NOW, NOW)


def test_terraform_shows_the_same_metrics(project: Path) -> None:
    """Every metric of the list stands in the module with its statistic; tests/functions compares what is deployed."""
    module = (project / "terraform" / "modules" / "observability" / "main.tf").read_text()
    for figure in FIGURES:
        assert figure.metric in module, f"{figure.metric} is not on Terraform's dashboard"
