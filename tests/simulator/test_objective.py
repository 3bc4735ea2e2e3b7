"""Objectives: what is read, what is refused, and how an interval is judged."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.errors import ParameterError
from simulator.objective import Objective, parse_objective, parse_objectives


@pytest.mark.parametrize(
    ("text", "metric", "comparator", "threshold"),
    [
        ("p99 < 1500 ms", "p99", "<", 1500.0),
        ("p99.9<=1.5s", "p99.9", "<=", 1500.0),
        ("MEAN < 800 MS", "mean", "<", 800.0),
        ("error_rate <= 1%", "error_rate", "<=", 0.01),
        ("cold_share < 0.05", "cold_share", "<", 0.05),
        ("p50 > 10 ms", "p50", ">", 10.0),
        ("p99 < 1234.5678 ms", "p99", "<", 1234.5678),
        ("p99 < 1000 s", "p99", "<", 1e6),
        ("error_rate < 0.00003%", "error_rate", "<", 3e-7),
    ],
)
def test_reads(text: str, metric: str, comparator: str, threshold: float) -> None:
    objective = parse_objective(text)
    assert (objective.metric, objective.comparator) == (metric, comparator)
    assert objective.threshold == pytest.approx(threshold)
    assert parse_objective(str(objective)) == objective


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("p99", "cannot be read"),
        ("p99 = 5 ms", "cannot be read"),
        ("p99 < -5 ms", "cannot be read"),
        ("p100 < 5 ms", "cannot be read"),
        ("p0 < 5 ms", "between p0 and p100"),
        ("p99 < 1500", "ms or s"),
        ("p99 < 5 %", "ms or s"),
        ("error_rate < 5 ms", "a percentage"),
        ("error_rate < 5", "above 1"),
        ("latency < 5 ms", "none of p50"),
        ("", "cannot be read"),
    ],
)
def test_refuses_in_one_line(text: str, why: str) -> None:
    with pytest.raises(ParameterError, match=why) as caught:
        parse_objective(text)
    assert repr(text) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_several() -> None:
    read = parse_objectives("p50 < 400 ms, p99 < 1.5 s and error_rate < 1%; cold_share < 5%")
    assert [objective.metric for objective in read] == ["p50", "p99", "error_rate", "cold_share"]


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (100.0, 200.0, "pass"),
        (100.0, 300.0, "inconclusive"),
        (300.0, 400.0, "fail"),
        (250.0, 400.0, "fail"),
        (100.0, math.nan, "inconclusive"),
        (math.nan, 100.0, "pass"),
        (400.0, math.nan, "fail"),
    ],
)
def test_judges_an_interval(low: float, high: float, verdict: str) -> None:
    assert parse_objective("p99 < 250 ms").judge(low, high) == verdict


@given(
    threshold=st.floats(0, 1e4),
    ends=st.tuples(st.floats(0, 1e4), st.floats(0, 1e4)).map(sorted),
    comparator=st.sampled_from(["<", "<=", ">", ">="]),
)
def test_a_verdict_agrees_with_every_point_of_the_interval(
    threshold: float, ends: list[float], comparator: str
) -> None:
    objective = Objective("p99", comparator, threshold)  # type: ignore[arg-type]
    verdict = objective.judge(*ends)
    met = [objective.met_by(value) for value in (*ends, sum(ends) / 2)]
    if verdict == "pass":
        assert all(met)
    elif verdict == "fail":
        assert not any(met)
    else:
        assert len({objective.met_by(value) for value in ends}) == 2
