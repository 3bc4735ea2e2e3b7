"""Whole runs against a local Bedrock over real connections."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from replay.bench.arms import Arm
from replay.bench.benchmark import expect, run_benchmark
from replay.bench.budget import PriceList, SpendLimit
from replay.bench.calls import LiveCaller
from replay.bench.floor import decompose
from replay.bench.plan import Load
from replay.bench.records import Run, read_run, write_run
from replay.bench.runner import Progress, Runner
from replay.bench.summary import summarise, values_of
from replay.errors import InputError
from simulator.cost import load_prices
from simulator.trace import read_trace
from tests.replay.bench.conftest import QUICK, RunningStreams, benchmark

SHORT = Arm(input_tokens=60, output_tokens=5)
CACHER = {**QUICK, "cache_minimum_tokens": 100, "prefill_ms_per_token": 0.1, "reference_input_tokens": 0}


def ok_share(run: Run) -> float:
    return float(np.mean([m.status == "ok" for m in run.measured()]))


def test_what_was_planned_is_what_is_measured(streams: RunningStreams) -> None:
    streams.put({"models": {"quick.model": {**QUICK, "connection_setup_ms": 0}}})
    run = run_benchmark(benchmark(streams, SHORT, requests=20))
    assert run.ended == "complete"
    assert len(run.measured()) == 20
    assert ok_share(run) == 1.0
    late_ms = []
    for m in run.measurements:
        assert m.ttft_ms is not None
        assert m.total_ms is not None
        assert m.planned_ttft_ms is not None
        assert m.planned_total_ms is not None
        assert m.planned_ttft_ms <= m.ttft_ms
        late_ms.append(m.ttft_ms - m.planned_ttft_ms)
        assert m.planned_total_ms <= m.total_ms
        assert (m.output_tokens, m.stop_reason, m.attempts) == (5, "max_tokens", 1)
        assert len(m.inter_token_ms) == 4
        assert m.server_ms == round(m.planned_total_ms)
        assert m.sdk_ms is not None
        assert m.headers_ms is not None
        assert m.headers_ms <= m.ttft_ms
    assert min(late_ms) < 25  # the median would be the machine's


def test_connections_are_cold_or_reused_as_the_arm_says(streams: RunningStreams) -> None:
    streams.put({"models": {"quick.model": {**QUICK, "ttft_ms": [20], "connection_setup_ms": 200}}})
    run = run_benchmark(benchmark(streams, SHORT, replace(SHORT, connection="cold"), requests=10))
    by_arm = {label: [m for m in run.measured() if m.arm == label] for label in run.arms}
    cold, reused = by_arm["connection=cold"], by_arm["connection=reused"]
    assert {m.connection for m in cold} == {"cold"}
    assert {m.connection for m in reused} == {"reused"}
    assert all(m.connect_ms is not None and m.tcp_ms is not None for m in cold)
    assert all(m.connect_ms is None for m in reused)
    assert {m.planned_ttft_ms for m in cold} == {220.0}
    assert {m.planned_ttft_ms for m in reused} == {20.0}
    assert min(values_of(reused, "ttft_ms")) < 220 <= min(values_of(cold, "ttft_ms"))


def test_the_prompt_cache_is_off_written_read_or_not_reached(streams: RunningStreams) -> None:
    streams.put({"models": {"amazon.nova-test": {**CACHER, "cache_minimum_tokens": 1024}}})
    long = Arm(input_tokens=1200, output_tokens=5)
    arms = [replace(long, cache=use) for use in ("off", "write", "read", "below")]
    run = run_benchmark(benchmark(streams, *arms, targets=("amazon.nova-test",), requests=4))
    found = {
        label: {(bool(m.cache_read_tokens), bool(m.cache_write_tokens)) for m in run.measured() if m.arm == label}
        for label in run.arms
    }
    assert found == {
        "cache=off": {(False, False)},
        "cache=write": {(False, True)},
        "cache=read": {(True, False)},
        "cache=below": {(False, False)},
    }
    assert sum(m.phase == "warmup" for m in run.measurements) == 1
    cells = {cell.arm: cell for cell in summarise(run).cells}
    assert cells["cache=read"].cache_hit_share == 1.0


def test_a_second_run_of_one_seed_sends_prefixes_never_sent_before(streams: RunningStreams) -> None:
    streams.put({"models": {"amazon.nova-test": {**CACHER, "cache_minimum_tokens": 1024}}})
    writing = benchmark(
        streams, Arm(cache="write", input_tokens=1200, output_tokens=5), targets=("amazon.nova-test",), requests=3
    )
    for _ in range(2):
        assert [m.cache_read_tokens for m in run_benchmark(writing).measured()] == [0, 0, 0]


def test_each_arm_that_reads_the_cache_has_a_prefix_that_was_written(streams: RunningStreams) -> None:
    streams.put({"models": {"amazon.nova-test": {**CACHER, "cache_minimum_tokens": 1024}}})
    arms = [Arm(cache="read", input_tokens=tokens, output_tokens=5) for tokens in (1200, 2000)]
    run = run_benchmark(benchmark(streams, *arms, targets=("amazon.nova-test",), requests=4))
    assert [(m.arm, m.cache_read_tokens) for m in run.measured() if not m.cache_read_tokens] == []
    assert {cell.cache_hit_share for cell in summarise(run).cells} == {1.0}


def test_first_requests_stand_apart(streams: RunningStreams) -> None:
    streams.put({"models": {"quick.model": {**QUICK, "first_ttft_ms": 400}}})
    run = run_benchmark(benchmark(streams, SHORT))
    (first,) = [m for m in run.measurements if m.phase == "first"]
    assert first.ttft_ms is not None
    assert first.ttft_ms >= 400
    assert {m.planned_ttft_ms for m in run.measured()} <= {20.0, 30.0}
    (cell,) = summarise(run).cells
    assert cell.first is not None
    assert cell.first.is_spike
    assert any("stands apart" in note for note in summarise(run).notes)


def test_an_open_loop_sees_the_queue_that_a_closed_one_hides(streams: RunningStreams) -> None:
    # One slot of 40 ms serves 25 a second; 20 a second leave queues between them.
    model = {**QUICK, "ttft_ms": [30], "decode_ms": 10, "slots": 1, "connection_setup_ms": 0}
    streams.put({"models": {"quick.model": model}})
    closed = replace(benchmark(streams, SHORT, requests=25), loads=(Load(concurrency=1),))
    opened = replace(closed, loads=(Load(rate_rps=20),), requests=60)
    # What the service itself says, its queue counted: that does not hang on how busy this machine is.
    hidden = [m.planned_ttft_ms or 0.0 for m in run_benchmark(closed).measured()]
    run = run_benchmark(opened)
    seen = [m.planned_ttft_ms or 0.0 for m in run.measured()]
    assert np.median(hidden) < 35
    assert np.quantile(seen, 0.9) > 1.5 * 30
    late = values_of(run.measured(), "ttft_ms") - np.array(seen)
    assert np.all(late >= 0)
    assert np.min(late) < 10


def test_the_floor_is_the_lightest_loads_however_they_were_asked_for(streams: RunningStreams) -> None:
    streams.put({"models": {"quick.model": QUICK}})
    wanted = benchmark(streams, SHORT, requests=4)
    run = run_benchmark(replace(wanted, loads=(Load(concurrency=3), Load(concurrency=1))))
    assert run.loads == ("1 at once", "3 at once")
    parts = {part.name: part for part in decompose(run)}
    assert "1 at once" in parts["median TTFT"].how
    assert parts["queue"].how == "medians: 3 at once - 1 at once"


def test_what_a_model_refuses_is_said_and_the_rest_measured(streams: RunningStreams) -> None:
    streams.put({"models": {"quick.model": QUICK, "silent.model": {**QUICK, "streaming": False}}})
    arms = (SHORT, replace(SHORT, cache="write"))
    run = run_benchmark(benchmark(streams, *arms, targets=("quick.model", "silent.model"), requests=8))
    answered = [m for m in run.measured() if m.status == "ok"]
    assert {(m.target, m.arm) for m in answered} == {("quick.model", "cache=off")}
    assert len(answered) == 8
    text = "\n".join(run.warnings)
    assert "silent.model" in text
    assert "unsupported for streaming" in text
    assert "quick.model, cache=write: given up after 3 refusals" in text
    refused = [m for m in run.measured() if m.status == "rejected"]
    assert len(refused) < 20  # given up on, not tried to the end


@pytest.mark.parametrize(
    ("fault", "status", "why"),
    [
        ("throttle", "throttled", "ThrottlingException"),
        ("server_error", "error", "InternalServerException"),
        ("exception", "error", "modelStreamErrorException"),
        ("cut", "error", "IncompleteRead"),
        ("malformed", "error", "Checksum"),
    ],
)
def test_a_share_of_failures_leaves_the_others_measured(
    streams: RunningStreams, fault: str, status: str, why: str
) -> None:
    streams.put({"models": {"quick.model": QUICK}, "faults": {fault: 0.4}})
    run = run_benchmark(benchmark(streams, SHORT, requests=24))
    assert run.ended == "complete"
    assert len(run.measured()) == 24
    failed = [m for m in run.measured() if m.status != "ok"]
    assert 2 <= len(failed) <= 18
    assert {m.status for m in failed} == {status}
    assert all(m.error is not None and why in m.error for m in failed), failed[0].error
    (cell,) = summarise(run).cells
    assert cell.metrics["ttft_ms"].mean.samples == 24 - len(failed)
    assert cell.failures.value == pytest.approx(len(failed) / 24)


def test_an_answer_that_does_not_come_in_time_is_one(streams: RunningStreams) -> None:
    streams.put({"models": {"slow.model": {**QUICK, "ttft_ms": [60_000]}}})
    wanted = benchmark(streams, SHORT, targets=("slow.model",), requests=3)
    run = run_benchmark(replace(wanted, endpoint=replace(wanted.endpoint, read_timeout_s=0.5)))
    assert run.ended == "complete"
    assert [(m.status, m.ttft_ms) for m in run.measured()] == [("timeout", None)] * 3
    assert all("no byte in time" in (m.error or "") for m in run.measured())
    assert any("3 timeout of 3; the figures are of the 0 answered" in note for note in summarise(run).notes)


def test_expired_credentials_are_said_once_and_end_it_soon(
    streams: RunningStreams, monkeypatch: pytest.MonkeyPatch
) -> None:
    streams.put({"models": {"quick.model": QUICK}, "faults": {"expired_access_keys": ["OLD"]}})
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "OLD")
    run = run_benchmark(benchmark(streams, SHORT, requests=30))
    assert [(m.phase, m.status) for m in run.measurements] == [("first", "rejected")]
    assert run.ended == "the credentials expired; 30 requests were not sent"
    assert "renew the credentials" in (run.measurements[0].error or "")


def test_credentials_that_expire_in_the_middle_end_it_and_keep_what_was_measured(streams: RunningStreams) -> None:
    streams.put({"models": {"quick.model": QUICK}})
    wanted = benchmark(streams, SHORT, requests=4000)

    def expire(progress: Progress) -> None:
        if progress.done == 6:
            streams.put({"faults": {"expired_access_keys": ["test"]}})

    run = run_benchmark(wanted, on_progress=expire)
    assert run.ended.startswith("the credentials expired; 39")
    statuses = [m.status for m in run.measured()]
    assert statuses.count("ok") >= 5
    assert 1 <= statuses.count("rejected") <= 2  # what was under way
    assert any("the credentials expired" in note for note in summarise(run).notes)


def test_the_spend_limit_is_not_passed(streams: RunningStreams) -> None:
    model = "openai.gpt-oss-20b-1:0"
    streams.put({"models": {model: QUICK}})
    wanted = benchmark(streams, Arm(input_tokens=600, output_tokens=5), targets=(model,), requests=60)
    whole = expect(wanted)
    assert whole.expected_usd is not None
    assert whole.at_most_usd is not None
    assert whole.expected_usd <= whole.at_most_usd
    limit = whole.expected_usd / 3
    run = run_benchmark(replace(wanted, spend_limit_usd=limit))
    assert run.ended.startswith("spend limit reached")
    spent = run.spent_usd()
    assert spent is not None
    assert 0.5 * limit < spent <= limit
    assert run.spent_usd() == pytest.approx(whole.expected_usd * len(run.measurements) / whole.requests, rel=0.05)


def test_a_dearer_tier_reaches_the_limit_sooner(streams: RunningStreams) -> None:
    model = "amazon.nova-pro-v1:0"
    streams.put({"models": {model: {**QUICK, "latency_optimized": True}}})
    costs = {}
    for arm in (
        SHORT,
        replace(SHORT, tier="priority"),
        replace(SHORT, tier="flex"),
        replace(SHORT, latency="optimized"),
    ):
        (m,) = run_benchmark(benchmark(streams, arm, targets=(model,), requests=1)).measured()
        costs[arm.tier, arm.latency] = m.cost_usd or 0.0
    standard = costs["default", "standard"]
    assert costs["priority", "standard"] == pytest.approx(1.75 * standard)
    assert costs["flex", "standard"] == pytest.approx(0.5 * standard)
    assert costs["default", "optimized"] == pytest.approx(1.25 * standard)


def test_a_spend_limit_needs_prices(streams: RunningStreams) -> None:
    with pytest.raises(InputError, match=r"no token price is known for quick\.model"):
        expect(replace(benchmark(streams), spend_limit_usd=1.0))
    with pytest.raises(InputError, match="must be above 0"):
        SpendLimit(0.0)


def test_an_interrupted_run_keeps_what_it_has(streams: RunningStreams) -> None:
    streams.put({"models": {"quick.model": QUICK}})
    wanted = benchmark(streams, SHORT, requests=4000)

    def interrupt_soon(progress: Progress) -> None:
        if progress.done >= 6:
            runner.interrupt()

    caller = LiveCaller(wanted.endpoint)
    runner = Runner(caller, PriceList(load_prices(), wanted.targets), SpendLimit(None), on_progress=interrupt_soon)
    ended = runner.run(wanted.stages())
    caller.close()
    assert ended.reason == "interrupted"
    assert 6 <= len(ended.measurements) < 20
    assert {m.status for m in ended.measurements} == {"ok"}


def test_a_request_that_an_interrupt_finds_half_noted_counts_once(streams: RunningStreams) -> None:
    streams.put({"models": {"quick.model": QUICK}})
    wanted = benchmark(streams, SHORT, requests=40)

    def interrupt_once(progress: Progress) -> None:
        if progress.done == 6:
            raise KeyboardInterrupt

    run = run_benchmark(wanted, on_progress=interrupt_once)
    assert run.ended == "interrupted"
    sequences = [m.sequence for m in run.measurements]
    assert 6 <= len(sequences) < 40
    assert len(set(sequences)) == len(sequences)


def test_an_interrupted_run_breaks_what_hangs(streams: RunningStreams) -> None:
    streams.put({"models": {"slow.model": {**QUICK, "ttft_ms": [60_000]}}})
    hanging = benchmark(streams, SHORT, targets=("slow.model",), requests=4)
    caller = LiveCaller(replace(hanging.endpoint, read_timeout_s=90))
    runner = Runner(caller, PriceList(load_prices(), hanging.targets), SpendLimit(None))
    (stage,) = hanging.stages()

    def interrupt_when_under_way() -> None:
        while streams.service._draws.get("slow.model", 0) < 2:
            time.sleep(0.02)
        runner.interrupt()

    thread = threading.Thread(target=interrupt_when_under_way, daemon=True)
    thread.start()
    started = time.monotonic()
    ended = runner.run([replace(stage, firsts=())])
    assert time.monotonic() - started < 45  # and not the 60 s of an answer
    thread.join(5)
    assert [m.status for m in ended.measurements] == ["error", "error"]
    caller.close()


def test_a_run_comes_back_from_its_folder(streams: RunningStreams, tmp_path: Path) -> None:
    streams.put({"models": {"quick.model": QUICK}})
    run = run_benchmark(benchmark(streams, SHORT, replace(SHORT, connection="cold")))
    write_run(run, tmp_path)
    again = read_run(tmp_path)
    assert again == run
    names = sorted(path.stem for path in (tmp_path / "traces").iterdir())
    assert names == ["quick.model_connection-cold_2-at-once", "quick.model_connection-reused_2-at-once"]
    trace = read_trace(tmp_path / "traces" / f"{names[1]}.parquet")
    assert len(trace) == 6
    assert trace.frame["ttft_ms"].null_count() == 0
    assert trace.frame["output_tokens"].to_list() == [5] * 6
    assert trace.metadata.models == {"quick.model": "quick.model"}
    with pytest.raises(InputError, match="no benchmark run here"):
        read_run(tmp_path / "nowhere")
