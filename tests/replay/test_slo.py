"""Objectives held against traces."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from replay.slo import judge
from simulator.errors import ParameterError
from simulator.objective import parse_objective
from simulator.trace import Trace, make_trace


def trace_of(client_ms: list[float], **columns: list[object]) -> Trace:
    return make_trace(
        pl.DataFrame({"arrival_s": [float(n) for n in range(len(client_ms))], "client_ms": client_ms} | columns)
    )


def test_a_quantile_with_its_interval() -> None:
    sample = np.random.default_rng(1).exponential(100.0, 2_000).tolist()
    judgement = judge(parse_objective("p95 < 500 ms"), trace_of(sample))
    assert judgement.verdict == "pass"
    assert judgement.estimate.low is not None
    assert judgement.estimate.high is not None
    assert judgement.estimate.low < judgement.estimate.value < judgement.estimate.high
    assert judge(parse_objective("p95 < 100 ms"), trace_of(sample)).verdict == "fail"
    assert (
        judge(parse_objective(f"p95 < {judgement.estimate.value:.3f} ms"), trace_of(sample)).verdict == "inconclusive"
    )
    assert "95% interval" in str(judgement)
    assert "n = 2000" in str(judgement)


def test_too_few_requests_for_a_tail() -> None:
    judgement = judge(parse_objective("p99 < 1500 ms"), trace_of([100.0] * 20))
    assert judgement.verdict == "inconclusive"
    assert judgement.met_by_figure
    assert "368 are needed" in str(judgement)
    assert judgement.to_json()["low"] is None


def test_refusals_are_errors_and_no_latencies() -> None:
    trace = trace_of([100.0, 100.0, 1.0, 9_000.0], status=["ok", "ok", "throttled", "timeout"])
    assert judge(parse_objective("mean < 1 s"), trace).estimate.value == pytest.approx(9_200.0 / 3)
    assert judge(parse_objective("error_rate < 1%"), trace).estimate.value == 0.5


def test_cold_share_and_the_slowest() -> None:
    trace = trace_of(
        [100.0, 900.0, 110.0],
        cold=[False, True, None],
        init_ms=[None, 500.0, None],
        request_id=["a", "b", None],
    )
    judgement = judge(parse_objective("cold_share < 90%"), trace)
    assert (judgement.estimate.value, judgement.estimate.samples) == (0.5, 2)
    assert [slow.request_id for slow in judgement.slowest] == ["b", None, "a"]
    assert str(judgement.slowest[0]) == "     900 ms at 1.000 s, cold, ok, INIT 500 ms, b"


def test_execution_time_where_no_caller_measured() -> None:
    trace = make_trace(
        pl.DataFrame({"arrival_s": [0.0] * 10, "duration_ms": [100.0] * 10, "init_ms": [None] * 9 + [500.0]})
    )
    judgement = judge(parse_objective("mean < 1 s"), trace)
    assert (judgement.latency, judgement.estimate.value) == ("execution_ms", pytest.approx(150.0))


@pytest.mark.parametrize(("objective", "why"), [("p50 < 1 s", "no latency"), ("cold_share < 1%", "no start")])
def test_refuses_what_the_trace_does_not_hold(objective: str, why: str) -> None:
    with pytest.raises(ParameterError, match=why):
        judge(parse_objective(objective), make_trace(pl.DataFrame({"arrival_s": [0.0]})))
