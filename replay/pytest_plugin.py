"""The pytest plugin that comes with tailcast: real functions, recorded traces and latency objectives in tests.

Fixtures
    ``local_cloud``         a local cloud for the whole session; override ``local_cloud_config`` to set it up
    ``replay_trace``        replays a recorded trace against a deployed API, an alias, a handler or the simulator

Marker
    ``@pytest.mark.slo("p99 < 1500 ms", "error_rate < 1%", inconclusive="estimate")``
        judges what the test replayed. Each figure has a 95 % interval, and so a verdict: pass (all of the interval
        keeps the objective), fail (none of it does), or inconclusive (too few requests to tell). What inconclusive
        means for the test is said by ``inconclusive``: ``estimate`` (the default) lets the figure itself decide,
        ``pass``, ``fail`` or ``skip``. Each verdict stands in the summary at the end of the run.

Only pytest and the standard library are imported here; the rest is imported when a test first uses it, so that an
unused plugin costs a test run nothing.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from replay.cloud import CloudConfig, LocalCloud
    from replay.slo import Judgement
    from replay.testing import TraceReplayer
    from simulator.objective import Objective

_FIXTURE: Final = "replay_trace"
_POLICIES: Final = ("estimate", "pass", "fail", "skip")
_JUDGED: Final = pytest.StashKey[list[tuple[str, str]]]()


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, so that ``--strict-markers`` knows it."""
    config.addinivalue_line(
        "markers",
        'slo(*objectives, inconclusive="estimate"): judge the replayed traces of this test, '
        'for example slo("p99 < 1500 ms", "error_rate < 1%")',
    )
    config.stash[_JUDGED] = []


@pytest.fixture(scope="session")
def local_cloud_config() -> CloudConfig:
    """Give the settings of ``local_cloud``. Override it in a conftest.py to change them."""
    from replay.cloud import CloudConfig

    return CloudConfig()


@pytest.fixture(scope="session")
def local_cloud(local_cloud_config: CloudConfig) -> Iterator[LocalCloud]:
    """Give a local cloud that lives as long as the test session: ``endpoint_url``, ``client("lambda")``, ….

    The environment of the tests is left alone: hand ``environment()`` to subprocesses, ``client()`` to code.
    """
    if importlib.util.find_spec("moto") is None:
        pytest.fail("local_cloud: the local cloud is not installed; pip install 'tailcast[cloud]'", pytrace=False)
    from replay.cloud import LocalCloud

    with LocalCloud(local_cloud_config) as cloud:
        yield cloud


@pytest.fixture
def replay_trace() -> TraceReplayer:
    """Give a callable: ``replay_trace(trace, against)`` replays a recorded trace, see :class:`TraceReplayer`."""
    from replay.testing import TraceReplayer

    return TraceReplayer()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Judge what the test replayed, once its own assertions hold."""
    markers = list(item.iter_markers("slo"))
    if not markers:
        return (yield)
    objectives = [(objective, policy) for marker in markers for objective, policy in _objectives(item, marker)]
    if _FIXTURE not in getattr(item, "fixturenames", ()):
        pytest.fail(f"{item.name}: the marker slo judges what {_FIXTURE} replayed; use that fixture", pytrace=False)
    result = yield
    _judge(item, objectives)
    return result


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print a line for each objective: a passed test can still rest on too few requests."""
    judged = config.stash.get(_JUDGED, [])
    if judged:
        terminalreporter.section("tailcast objectives")
        for name, line in judged:
            terminalreporter.write_line(f"{name}: {line}")


def _objectives(item: pytest.Item, marker: pytest.Mark) -> list[tuple[Objective, str]]:
    from simulator.errors import ParameterError
    from simulator.objective import parse_objectives

    policy = marker.kwargs.get("inconclusive", "estimate")
    unknown = sorted(set(marker.kwargs) - {"inconclusive"})
    if unknown or policy not in _POLICIES:
        wrong = f"unknown argument {unknown[0]!r}" if unknown else f"inconclusive={policy!r}"
        pytest.fail(
            f"{item.name}: marker slo: {wrong}; inconclusive may be one of {', '.join(_POLICIES)}", pytrace=False
        )
    if not marker.args or not all(isinstance(text, str) for text in marker.args):
        pytest.fail(f'{item.name}: marker slo: give objectives as text, such as "p99 < 1500 ms"', pytrace=False)
    try:
        return [(objective, policy) for text in marker.args for objective in parse_objectives(text)]
    except ParameterError as error:
        pytest.fail(f"{item.name}: marker slo: {error}", pytrace=False)


def _judge(item: pytest.Item, objectives: list[tuple[Objective, str]]) -> None:
    from replay.errors import ReplayError
    from replay.slo import judge
    from simulator.errors import SimulatorError

    replayer: TraceReplayer = item.funcargs[_FIXTURE]  # type: ignore[attr-defined]  # a function's item has them
    missed: list[Judgement] = []
    skipped: list[Judgement] = []
    try:
        trace = replayer.judged()
        judgements = [(judge(objective, trace), policy) for objective, policy in objectives]
    except (ReplayError, SimulatorError) as error:
        pytest.fail(f"{item.name}: marker slo: {error}", pytrace=False)
    for judgement, policy in judgements:
        _note(item, judgement, policy)
        if judgement.verdict == "fail":
            missed.append(judgement)
        elif judgement.verdict == "inconclusive":
            if policy == "skip":
                skipped.append(judgement)
            elif policy == "fail" or (policy == "estimate" and not judgement.met_by_figure):
                missed.append(judgement)
    if missed:
        pytest.fail(_failure(missed), pytrace=False)
    if skipped:
        pytest.skip("; ".join(str(judgement) for judgement in skipped))


def _note(item: pytest.Item, judgement: Judgement, policy: str) -> None:
    """Keep a verdict for the summary and for machine-readable reports."""
    line = str(judgement)
    if judgement.verdict == "inconclusive" and policy == "estimate":
        line += "; judged by the figure itself"
    item.config.stash[_JUDGED].append((item.nodeid, line))
    # As text: reports such as JUnit's hold nothing else.
    item.user_properties.append(("slo", json.dumps(judgement.to_json())))


def _failure(missed: list[Judgement]) -> str:
    lines = [f"objective missed: {judgement}" for judgement in missed]
    if any(judgement.verdict == "inconclusive" for judgement in missed):
        lines.append(
            "(inconclusive: the interval holds values on both sides of the bound; more requests would settle it)"
        )
    measured = {"client_ms": "as the caller saw it", "execution_ms": "INIT and handler"}[missed[0].latency]
    lines.append(f"slowest requests, {measured}:")
    lines += [f"  {request}" for request in missed[0].slowest]
    return "\n".join(lines)
