"""Arms and the order of requests."""

from __future__ import annotations

from collections import Counter

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.bench.arms import Arm, factorial, parse_arm, unique, varying_fields
from replay.bench.plan import Load, make_plan
from replay.bench.prompts import make_prompt
from replay.bench.records import arm_labels
from replay.bench.targets import Target, base_model_id, cache_minimum, parse_target
from replay.errors import InputError
from simulator.trace import make_trace

TARGETS = (Target("a.model", "us-east-1"), Target("b.model", "us-east-1"))
ARMS = arm_labels(factorial(connection=["cold", "reused"], cache=["off", "write"]))


def test_arms_combine_and_are_labelled_by_what_differs() -> None:
    assert list(ARMS) == [
        "connection=cold, cache=off",
        "connection=cold, cache=write",
        "connection=reused, cache=off",
        "connection=reused, cache=write",
    ]
    assert varying_fields([Arm()]) == []
    assert unique([Arm(), Arm(), Arm(tier="flex")]) == [Arm(), Arm(tier="flex")]
    assert parse_arm("connection=cold, input=1100") == Arm(connection="cold", input_tokens=1100)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("connection=warm", "connection 'warm' is not one of reused, cold"),
        ("colour=red", "'colour=red' is not KEY=VALUE"),
        ("input=many", "input 'many' must be a whole number"),
        ("output=0", "output_tokens 0 must be at least 1"),
    ],
)
def test_an_arm_that_is_wrong_says_why(text: str, why: str) -> None:
    with pytest.raises(InputError, match=why):
        parse_arm(text)


@given(st.integers(0, 1000), st.integers(1, 12))
def test_every_round_holds_every_cell_once(seed: int, requests: int) -> None:
    (stage,) = make_plan(TARGETS, ARMS, [Load(concurrency=3)], requests=requests, seed=seed)
    cells = [item.cell for item in stage.items]
    size = len(TARGETS) * len(ARMS)
    for start in range(0, len(cells), size):
        assert len(set(cells[start : start + size])) == size
    assert [item.target.label for item in stage.firsts] == ["a.model", "b.model"]
    sequences = [item.sequence for item in (*stage.firsts, *stage.items)]
    assert sequences == list(range(len(sequences)))


def test_the_order_is_random_and_the_seeds() -> None:
    def order(seed: int) -> list[tuple[str, str]]:
        (stage,) = make_plan(TARGETS, ARMS, [Load(concurrency=1)], requests=5, seed=seed)
        return [item.cell for item in stage.items]

    assert order(1) == order(1)
    assert order(1) != order(2)
    assert order(1)[:8] != order(1)[8:16]


def test_several_loads_alternate_and_count_alike() -> None:
    stages = make_plan(TARGETS, ARMS, [Load(concurrency=1), Load(rate_rps=5)], requests=7, seed=0)
    assert len(stages) == 4
    counts = Counter(stage.load.label for stage in stages for _ in stage.items)
    assert counts["1 at once"] == counts["5/s"] == 7 * 8
    assert sum(len(stage.firsts) for stage in stages) == 2


def test_open_loop_arrivals_are_poisson() -> None:
    (stage,) = make_plan(TARGETS[:1], arm_labels([Arm()]), [Load(rate_rps=10)], requests=2000, seed=3)
    gaps = np.diff([item.intended_s for item in stage.items if item.intended_s is not None])
    assert gaps.mean() == pytest.approx(0.1, rel=0.1)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.1)


def test_a_replayed_trace_brings_its_arrivals_and_sizes() -> None:
    trace = make_trace(
        pl.DataFrame({"arrival_s": [5.0, 5.5, 7.0], "input_tokens": [100, 200, None], "output_tokens": [7, 8, 9]})
    )
    (stage,) = make_plan(TARGETS[:1], arm_labels([Arm()]), [Load(trace=trace, speed=2)], requests=4, seed=0)
    assert [item.intended_s for item in stage.items] == pytest.approx([0.0, 0.25, 1.0, 1.5])
    assert [item.arm.input_tokens for item in stage.items] == [100, 200, 672, 100]
    assert [item.arm.output_tokens for item in stage.items] == [7, 8, 9, 7]


@pytest.mark.parametrize(
    "load",
    [{}, {"concurrency": 0}, {"rate_rps": -1.0}, {"concurrency": 1, "rate_rps": 1.0}, {"rate_rps": float("nan")}],
)
def test_a_load_that_is_none_is_refused(load: dict[str, float]) -> None:
    with pytest.raises(InputError, match="load: "):
        Load(**load)  # type: ignore[arg-type]


def test_prompts_share_a_beginning_by_key_and_keep_their_length() -> None:
    arm = Arm(cache="read", input_tokens=1100, output_tokens=20)
    one, same = (make_prompt(arm, key="k", cache_minimum_tokens=1024) for _ in range(2))
    other = make_prompt(arm, key="l", cache_minimum_tokens=1024)
    assert one.system == same.system
    assert other.system[:8] != one.system[:8]
    assert (len(one.system) + len(one.user)) / 4 == pytest.approx(1100, abs=1)
    assert len(one.system) / 4 > 1024
    below = make_prompt(Arm(cache="below", input_tokens=1100), key="k", cache_minimum_tokens=1024)
    assert len(below.system) / 4 <= 512
    assert below.cache_point
    assert not make_prompt(Arm(), key="k", cache_minimum_tokens=None).cache_point


def test_targets_are_read_and_known_for_what_they_are() -> None:
    assert parse_target("micro=us.amazon.nova-micro-v1:0@us-west-2", "us-east-1") == Target(
        "us.amazon.nova-micro-v1:0", "us-west-2", "micro"
    )
    api = parse_target("https://x.example/genai?a=b", "us-east-1")
    assert (api.kind, api.region, api.label) == ("http", "us-east-1", "https://x.example/genai?a=b")
    assert parse_target("lambda:genai:optimized", "eu-west-1").kind == "lambda"
    assert base_model_id("us.amazon.nova-micro-v1:0") == "amazon.nova-micro-v1:0"
    assert base_model_id("amazon.nova-micro-v1:0") == "amazon.nova-micro-v1:0"
    assert cache_minimum("global.anthropic.claude-haiku-4-5-20251001-v1:0") == 4096
    assert cache_minimum("openai.gpt-oss-20b-1:0") is None
    with pytest.raises(InputError, match="write"):
        parse_target("@us-east-1", "us-east-1")
