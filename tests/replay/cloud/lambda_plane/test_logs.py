"""What lands in CloudWatch: streams, order, REPORT lines in both formats, and embedded metrics."""

from __future__ import annotations

import asyncio
import base64
import json
import math
import re

from tests.replay.cloud.lambda_plane.conftest import World

REPORT = re.compile(
    r"REPORT RequestId: (?P<id>[0-9a-f-]{36})\tDuration: (?P<duration>\d+\.\d\d) ms\t"
    r"Billed Duration: (?P<billed>\d+) ms\tMemory Size: 128 MB\t"
    r"Max Memory Used: (?P<memory>\d+) MB\t(?:Init Duration: (?P<init>\d+\.\d\d) ms\t)?\n"
)

CHATTY = """
    import json, sys, time

    print("importing")

    def handle(event, context):
        for number in range(50):
            print(event, number)
            if number % 10 == 0:
                print(event, "aside", file=sys.stderr)
                time.sleep(0.005)
        sys.stdout.write("unfinished " + event)
"""


async def test_logs_of_concurrent_calls_do_not_mix(world: World) -> None:
    world.catalog.deploy("f", CHATTY)
    for _ in range(3):
        await asyncio.gather(*(world.answer("f", f"call-{number}") for number in range(8)))
    await world.plane.flush()
    streams = world.logs.of("f")
    assert len(streams) == 8
    assert all(re.fullmatch(r"\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}", name) for name in streams)
    for messages in streams.values():
        assert messages[0].startswith("INIT_START Runtime Version: python:3.11.")
        assert messages[1] == "importing"
        rest = messages[2:]
        assert len(rest) == 3 * 59  # START, 50 lines, 5 asides, 1 unfinished, END, REPORT
        for start in range(0, len(rest), 59):
            block = rest[start : start + 59]
            request = block[0].removeprefix("START RequestId: ").removesuffix(" Version: $LATEST\n")
            assert block[-2] == f"END RequestId: {request}\n"
            assert block[-1].startswith(f"REPORT RequestId: {request}\t")
            speakers = {line.split()[0] for line in block[1:-3]}
            assert len(speakers) == 1
            assert block[-3] == f"unfinished {speakers.pop()}"


async def test_report_lines_have_the_figures(world: World) -> None:
    world.catalog.deploy("f", "import time\n\ndef handle(event, context):\n    time.sleep(0.05)\n")
    invocations = [await world.call("f") for _ in range(3)]
    await world.plane.flush()
    reports = [REPORT.fullmatch(line) for line in world.logs.reports("f")]
    assert [report["id"] for report in reports if report] == [invocation.request_id for invocation in invocations]
    for number, report in enumerate(reports):
        assert report is not None
        duration_ms, billed_ms, init_ms = float(report["duration"]), int(report["billed"]), float(report["init"] or 0)
        assert 50 <= duration_ms < 2_000  # slept 50; the rest is the machine's
        assert abs(billed_ms - math.ceil(duration_ms + init_ms)) <= 1  # printed figures are rounded
        assert (init_ms > 0) == (number == 0)
        assert 8 <= int(report["memory"]) <= 100


async def test_json_format_writes_platform_events(world: World) -> None:
    world.catalog.deploy(
        "f",
        """
        import logging

        def handle(event, context):
            if event == "fail":
                raise ValueError("no")
            if event == "hang":
                import time
                time.sleep(9)
            logging.getLogger().warning("careful")
        """,
        log_format="JSON",
        timeout_s=0.5,
    )
    invocations = [await world.call("f", event) for event in (None, "fail", "hang")]
    await world.plane.flush()
    events = [json.loads(line) for line in world.logs.lines("f")]
    kinds = [event.get("type") for event in events]
    assert kinds[:2] == ["platform.initStart", "platform.start"]
    warning = next(event for event in events if event.get("message") == "careful")
    assert (warning["level"], warning["requestId"]) == ("WARN", invocations[0].request_id) or warning[
        "level"
    ] == "WARNING"
    reports = [event["record"] for event in events if event.get("type") == "platform.report"]
    assert [report["requestId"] for report in reports] == [invocation.request_id for invocation in invocations]
    assert [report["status"] for report in reports] == ["success", "success", "timeout"]
    assert "initDurationMs" in reports[0]["metrics"]
    assert "initDurationMs" not in reports[1]["metrics"]
    assert reports[2]["metrics"]["durationMs"] >= 500
    assert reports[0]["metrics"].keys() >= {"billedDurationMs", "memorySizeMB", "maxMemoryUsedMB"}


async def test_the_log_tail_is_this_invocation_s(world: World) -> None:
    world.catalog.deploy("f", "def handle(event, context):\n    print('said', event)\n")
    await world.call("f", "before")
    invocation = await world.plane.invoke("f", None, b'"now"', log_tail=True)
    assert invocation.log_tail is not None
    tail = base64.b64decode(invocation.log_tail).decode()
    assert tail.startswith(f"START RequestId: {invocation.request_id}")
    assert "said now\n" in tail
    assert "before" not in tail
    assert "REPORT" in tail
    long = await world.plane.invoke("f", None, json.dumps("x" * 9_000).encode(), log_tail=True)
    assert long.log_tail is not None
    assert len(base64.b64decode(long.log_tail)) == 4_096


async def test_logs_arrive_soon_without_a_flush(world: World) -> None:
    world.catalog.deploy("f", "def handle(event, context):\n    print('hello')\n")
    await world.call("f")
    await world.until(lambda: len(world.logs.reports("f")) == 1)


async def test_a_flood_of_output_is_complete_and_in_order(world: World) -> None:
    world.catalog.deploy("f", "def handle(event, context):\n    for n in range(20000):\n        print(n, 'x' * 60)\n")
    await world.call("f")
    await world.plane.flush()
    numbers = [int(line.split()[0]) for line in world.logs.lines("f") if line[0].isdigit()]
    assert numbers == list(range(20_000))


async def test_embedded_metrics_are_extracted(world: World) -> None:
    world.catalog.deploy(
        "f",
        """
        import json, time

        def handle(event, context):
            print(json.dumps({
                "_aws": {"Timestamp": 1700000000000, "CloudWatchMetrics": [{
                    "Namespace": "app",
                    "Dimensions": [["version"], ["version", "model"]],
                    "Metrics": [{"Name": "inference", "Unit": "Milliseconds"}, {"Name": "tokens", "Unit": "Count"}],
                }]},
                "version": context.function_version, "model": "m", "inference": 12.5, "tokens": [3, 4],
            }))
        """,
        version="4",
    )
    await world.answer("f", None, "4")
    await world.plane.flush()
    assert world.metrics.values("inference", version="4") == [12.5]
    assert world.metrics.values("tokens", version="4", model="m") == [3.0, 4.0]
    (datum,) = [datum for datum in world.metrics.data if datum.dimensions == {"version": "4"} and datum.value == 12.5]
    assert (datum.namespace, datum.unit, datum.timestamp_ms) == ("app", "Milliseconds", 1_700_000_000_000)


async def test_metrics_by_function_resource_and_version(world: World) -> None:
    world.catalog.deploy("f", "def handle(event, context):\n    return 1 / event\n", version="3")
    world.catalog.aliases["f", "live"] = {"3": 1.0}
    await world.call("f", 1, "live")
    await world.call("f", 0, "live")
    await world.call("f", 1, "3")
    await world.plane.flush()
    assert world.metrics.values("Errors", FunctionName="f") == [0.0, 1.0, 0.0]
    assert world.metrics.values("Errors", FunctionName="f", Resource="f:live") == [0.0, 1.0]
    assert world.metrics.values("Errors", FunctionName="f", Resource="f:live", ExecutedVersion="3") == [0.0, 1.0]
    assert world.metrics.values("Errors", FunctionName="f", Resource="f:3") == [0.0]
    durations = world.metrics.values("Duration", FunctionName="f")
    assert len(durations) == 3
    assert all(0 < duration < 1_000 for duration in durations)
