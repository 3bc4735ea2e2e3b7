"""Figures of a streamed run are those of its outcomes, however it is cut into blocks."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.draws import Draws
from simulator.engine import reference
from simulator.engine.compiled.figures import latency_bin
from simulator.engine.compiled.run import BLOCK_REQUESTS, Run
from simulator.engine.compiled.sketch import LatencySketch, lows_ticks, middles_ticks
from simulator.engine.compiled.stream import RunFigures, stream
from simulator.engine.outcomes import Outcomes, Refusal, Status
from simulator.engine.usage import throttled_shares
from simulator.errors import ParameterError
from simulator.platform import Platform, VersionSettings
from simulator.quantiles import quantile
from simulator.rollout import Rollout
from tests.simulator.engine.compiled.random_worlds import random_world
from tests.simulator.engine.compiled.test_same import part_of
from tests.simulator.worlds import draws

PLAIN = Platform(versions={"v": VersionSettings()})


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 60), max_size=3).map(sorted))
def test_figures_are_those_of_the_outcomes(seed: int, cuts: list[int]) -> None:
    world = random_world(seed)
    n = world.draws.requests
    edges = [0, *(min(cut, n) for cut in cuts), n]
    blocks = [part_of(world.draws, begin, end) for begin, end in itertools.pairwise(edges)]
    expected = reference.simulate(world.draws, world.platform, world.rollout)
    found = stream(blocks, world.platform, world.rollout)
    for version, figures in enumerate(found.versions):
        _assert_those_of(figures, expected, expected.version == version, expected.log.version == version)
    _assert_those_of(found.undrawn, expected, expected.version < 0, expected.log.version < 0)
    everything = np.ones(n, dtype=np.bool_)
    _assert_those_of(found.all, expected, everything, np.ones(expected.log.size, dtype=np.bool_))
    refused = {reason: count / expected.log.size for reason, count in found.all.refused.items()}
    assert refused == throttled_shares(expected)
    for one, other in zip(found.provisioned_history, expected.provisioned_history, strict=True):
        np.testing.assert_array_equal(one.from_s, other.from_s)
        np.testing.assert_array_equal(one.allotted, other.allotted)


def _assert_those_of(figures: RunFigures, run: Outcomes, rows: np.ndarray, log_rows: np.ndarray) -> None:
    log = run.log
    answered = rows & (run.status != Status.THROTTLED)
    counts = {
        "requests": rows.sum(),
        "served": (rows & (run.environment >= 0)).sum(),
        "cold": (rows & run.cold).sum(),
        "ok": (rows & (run.status == Status.OK)).sum(),
        "throttled": (rows & (run.status == Status.THROTTLED)).sum(),
        "timed_out": (rows & (run.status == Status.TIMEOUT)).sum(),
        "attempts": log_rows.sum(),
        "billed_ms": log.billed_ms[log_rows].sum(),
        "provisioned_billed_ms": log.billed_ms[log_rows & log.provisioned].sum(),
        "asked_model": (log.model_tries[log_rows] > 0).sum(),
        "model_tries": log.model_tries[log_rows].sum(),
    }
    assert {name: getattr(figures, name) for name in counts} == counts
    np.testing.assert_allclose(figures.billed_late_ms, log.billed_late_ms[log_rows].sum(), atol=1e-6)
    np.testing.assert_allclose(figures.latency_sum_ms, run.client_ms[answered].sum(), atol=1e-6)
    assert figures.latency.size == answered.sum()
    if answered.any():
        for level in (0.0, 0.5, 0.99, 1.0):
            exact_ms = quantile(run.client_ms[answered], level)
            assert figures.latency.quantile_ms(level) == pytest.approx(exact_ms, rel=LatencySketch.RELATIVE_ERROR)


def test_memory_does_not_grow_with_the_run() -> None:
    def blocks(count: int) -> Iterator[Draws]:
        rng = np.random.default_rng(3)
        for block in range(count):
            arrival_s = 100.0 * block + np.sort(rng.random(BLOCK_REQUESTS)) * 100.0
            yield draws(arrival_s, handler_ms=rng.exponential(600.0, BLOCK_REQUESTS), versions=1)

    held = []
    for count in (3, 40):
        run = Run(PLAIN, Rollout.constant(0.0), None)
        for block in blocks(count):
            run.feed(block)
        run.finish()
        assert run.world.figures["requests"].sum() == count * BLOCK_REQUESTS
        held.append(sum(value.nbytes for value in vars(run.world).values()))
    assert held[0] == held[1]


def test_the_window_keeps_what_a_late_retry_needs() -> None:
    # The first request times out, and its caller waits so long that three blocks pass meanwhile.
    from simulator.client_policy import ClientPolicy

    n = 4 * BLOCK_REQUESTS
    arrival_s = np.concatenate([[0.0], np.linspace(1.0, 50.0, n - 1)])
    handler_ms = np.full((1, 2, n), 10.0)
    handler_ms[0, 0, 0], handler_ms[0, 1, 0] = 5_000.0, 1234.0
    given_draws = draws(arrival_s, handler_ms=handler_ms, init_ms=0, attempts=2, versions=1, client_jitter=1.0)
    platform = Platform(
        versions={"v": VersionSettings(timeout_s=1.0)},
        client=ClientPolicy(max_attempts=2, backoff_base_s=45.0, backoff_cap_s=45.0, retry_on=("timeout",)),
    )
    parts = [part_of(given_draws, at, at + BLOCK_REQUESTS) for at in range(0, n, BLOCK_REQUESTS)]
    found = stream(parts, platform, Rollout.constant(0.0))
    expected = reference.simulate(given_draws, platform, Rollout.constant(0.0))
    assert found.all.attempts == expected.log.size == n + 1
    assert found.all.latency.quantile_ms(1.0) == pytest.approx(expected.client_ms.max(), rel=2.0**-11)
    assert found.all.billed_ms == expected.log.billed_ms.sum()


def test_a_block_may_not_go_back_in_time() -> None:
    one = draws([5.0], versions=1)
    with pytest.raises(ParameterError, match="goes back in time between two blocks, from 5 to 4"):
        stream([one, draws([4.0], versions=1)], PLAIN, Rollout.constant(0.0))


def test_blocks_have_lifetimes_or_have_none() -> None:
    with_lifetimes = dataclasses.replace(draws([5.0], versions=1), lifetime_s=np.ones((1, 1)))
    with pytest.raises(ParameterError, match="some blocks have lifetime_s and some have none"):
        stream([draws([4.0], versions=1), with_lifetimes], PLAIN, Rollout.constant(0.0))


@given(st.integers(0, 2**36 - 1))
def test_a_latency_lies_in_its_bin(latency: int) -> None:
    place = latency_bin(latency)
    lows, middles = lows_ticks(), middles_ticks()
    assert lows[place] <= latency
    assert place + 1 == lows.size or latency < lows[place + 1]
    assert abs(middles[place] - latency) <= LatencySketch.RELATIVE_ERROR * latency


def test_what_lasts_for_days_falls_into_the_last_bin() -> None:
    assert latency_bin(2**50) == latency_bin(2**36 - 1) == lows_ticks().size - 1


def test_it_is_an_hdr_histogram() -> None:
    rng = np.random.default_rng(1)
    latency_ms = rng.lognormal(6.0, 0.5, 2000)
    counts = np.zeros(lows_ticks().size, dtype=np.int64)
    for tick in np.rint(latency_ms * 1000).astype(np.int64).tolist():
        counts[latency_bin(tick)] += 1
    sketch = LatencySketch(counts) + LatencySketch(counts)
    histogram = sketch.histogram()
    assert histogram.get_total_count() == sketch.size == 4000
    assert [histogram.get_count_at_value(int(tick)) for tick in latency_ms * 1000] == [
        int(sketch.counts[latency_bin(int(tick))]) for tick in latency_ms * 1000
    ]
    decoded = type(histogram).decode(histogram.encode())
    assert decoded.get_value_at_percentile(99.0) == pytest.approx(1000 * sketch.quantile_ms(0.99), rel=2.0**-10)


def test_a_sketch_of_nothing_has_no_quantiles() -> None:
    empty = stream([], PLAIN, Rollout.constant(0.0)).all
    assert np.isnan(empty.latency.quantile_ms(0.5))
    assert empty.requests == 0
    assert empty.refused == {}
    with pytest.raises(ParameterError, match=r"quantile 1\.5 is outside 0 to 1"):
        empty.latency.quantile_ms(1.5)
    assert Refusal.NONE not in empty.refused
