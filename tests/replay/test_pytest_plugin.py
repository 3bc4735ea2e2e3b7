"""The pytest plugin, in test runs of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

# Imported here because pytester forgets what an inner run imported, and each run would import it anew.
import replay.slo
import replay.testing  # noqa: F401

pytest_plugins = ["pytester"]

PREAMBLE = """
import time
import polars as pl
import pytest
from simulator.trace import make_trace

RECORDED = make_trace(pl.DataFrame({"arrival_s": [number / 200 for number in range(60)]}))

def answer(event, context):
    assert set(event) == {"prompt"}
    assert context.get_remaining_time_in_millis() > 20_000
    time.sleep(0.01)
    return {"statusCode": 200, "body": "{}"}
"""


def run(pytester: pytest.Pytester, body: str) -> pytest.RunResult:
    pytester.makeini("[pytest]\nfilterwarnings = error\nasyncio_default_fixture_loop_scope = function\n")
    pytester.makepyfile(PREAMBLE + body)
    # Plain assertions: the inner run shares this process, and would rewrite the product's modules at every run.
    return pytester.runpytest_inprocess("--strict-markers", "--assert=plain")


def test_an_objective_that_holds(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
@pytest.mark.slo("p50 < 2 s", "error_rate < 50%")
def test_it(replay_trace):
    seen = replay_trace(RECORDED, answer)
    assert len(seen) == 60
    assert seen.frame["client_ms"].min() >= 10.0
""",
    )
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*tailcast objectives*", "*test_it: p50 < 2000 ms: pass; p50 = * n = 60)"])


def test_a_run_of_its_own_with_warnings_as_errors(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    pytester.makepyfile(
        PREAMBLE
        + """
@pytest.mark.slo("p50 < 2 s")
def test_it(replay_trace):
    replay_trace(RECORDED, answer, speed=3)
"""
    )
    result = pytester.runpytest_subprocess("-W", "error", "--strict-markers", timeout=60)
    result.assert_outcomes(passed=1)


def test_a_missed_objective_shows_figure_interval_and_the_slowest(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
@pytest.mark.slo("p50 < 5 ms")
def test_it(replay_trace):
    replay_trace(RECORDED, answer)
""",
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "objective missed: p50 < 5 ms: fail; p50 = * (95% interval * to *, n = 60)",
            "slowest requests, as the caller saw it:",
            "* ms at * s, start unknown, ok, *",
        ]
    )
    result.stdout.no_fnmatch_line("*Traceback*")


@pytest.mark.parametrize(
    ("policy", "bound_ms", "outcome"),
    [
        ("estimate", 5_000, "passed"),
        ("estimate", 5, "failed"),
        ("pass", 5, "passed"),
        ("fail", 5_000, "failed"),
        ("skip", 5_000, "skipped"),
    ],
)
def test_too_few_requests(pytester: pytest.Pytester, policy: str, bound_ms: int, outcome: str) -> None:
    """Sixty requests cannot bound a p99: the policy decides, and the summary says so."""
    result = run(
        pytester,
        f"""
@pytest.mark.slo("p99 < {bound_ms} ms", inconclusive="{policy}")
def test_it(replay_trace):
    replay_trace(RECORDED, answer)
""",
    )
    result.assert_outcomes(**{outcome: 1})
    result.stdout.fnmatch_lines(["*p99 < *: inconclusive; * 368 are needed)*"])


@pytest.mark.parametrize("raised", ["ValueError", "SystemExit(1)"])
def test_a_failing_handler(pytester: pytest.Pytester, raised: str) -> None:
    result = run(
        pytester,
        f"""
@pytest.mark.slo("error_rate < 1%")
def test_it(replay_trace):
    def broken(event, context):
        raise {raised}
    replay_trace(RECORDED, broken, first=10, speed=2.0)
""",
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["objective missed: error_rate < 1%: fail; error_rate = 100.00% *n = 10)"])


def test_against_the_simulator(pytester: pytest.Pytester) -> None:
    """A recording of 100 ms requests, replayed at the same and at a platform that throttles."""
    result = run(
        pytester,
        """
import numpy as np
from simulator.platform import Platform, VersionSettings

WARM = make_trace(pl.DataFrame({
    "arrival_s": np.arange(400) * 0.05, "client_ms": np.random.default_rng(1).uniform(90.0, 110.0, 400),
    "cold": [False] * 400, "variant": ["baseline"] * 400}))

@pytest.mark.slo("p50 < 130 ms", "error_rate < 1%")
def test_as_it_is(replay_trace):
    seen = replay_trace(WARM, "simulator", seed=3)
    assert seen.metadata.source == "simulated"
    assert len(seen) == 400
    assert 1 <= seen.frame["cold"].sum() <= 30  # the first second: nothing is warm yet

@pytest.mark.slo("error_rate < 1%")
def test_where_it_throttles(replay_trace):
    replay_trace(WARM, Platform(versions={"baseline": VersionSettings(concurrency_limit=1)}))
""",
    )
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["objective missed: error_rate < 1%: fail; *n = 400)"])


def test_an_own_trace_is_judged(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
@pytest.mark.slo("mean < 1 s and cold_share < 50%")
def test_it(replay_trace):
    replay_trace.observe(make_trace(pl.DataFrame(
        {"arrival_s": [0.0] * 20, "client_ms": [2000.0 + n for n in range(20)], "cold": [False] * 20})))
""",
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["objective missed: mean < 1000 ms: fail; *"])


def test_assertions_of_the_test_come_first(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
@pytest.mark.slo("p50 < 5 ms")
def test_it(replay_trace):
    assert 1 == 2
""",
    )
    result.assert_outcomes(failed=1)
    result.stdout.no_fnmatch_line("*objective missed*")


@pytest.mark.parametrize(
    ("marker", "arguments", "why"),
    [
        ('"p99 < 5 ms"', "", "*use that fixture*"),
        ('"p99 < 5 ms"', "replay_trace", "*nothing was replayed*"),
        ('"p99 < 5"', "replay_trace", "*ms or s*"),
        ("", "replay_trace", "*give objectives as text*"),
        ("5", "replay_trace", "*give objectives as text*"),
        ('"p99 < 5 ms", inconclusive="maybe"', "replay_trace", "*inconclusive='maybe'*"),
        ('"p99 < 5 ms", strict=True', "replay_trace", "*unknown argument 'strict'*"),
    ],
)
def test_misuse_is_said(pytester: pytest.Pytester, marker: str, arguments: str, why: str) -> None:
    result = run(
        pytester,
        f"""
@pytest.mark.slo({marker})
def test_it({arguments}):
    pass
""",
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([why])


def test_what_cannot_be_replayed_against(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
@pytest.mark.parametrize("against", ["nowhere", 5])
def test_it(replay_trace, against):
    with pytest.raises(Exception, match="lambda:FUNCTION:ALIAS"):
        replay_trace(RECORDED, against)
""",
    )
    result.assert_outcomes(passed=2)


def test_unused_it_costs_next_to_nothing() -> None:
    """Loaded by its entry point in a fresh interpreter: none of the heavy packages, with warnings as errors."""
    code = (
        "import sys, replay.pytest_plugin;"
        "heavy = {'moto', 'boto3', 'botocore', 'polars', 'numpy', 'aiohttp', 'scipy', 'rich'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=60)
