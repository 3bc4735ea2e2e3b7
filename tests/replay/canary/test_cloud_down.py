"""A canary on the local cloud whose CloudWatch, or journal, is throttled, down, silent or late: for real, under load.

How late CloudWatch is here can be set: ``TAILCAST_LATE_S=300`` takes the five minutes that it can be on AWS.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from replay.canary.journal import DynamoJournal
from replay.cloud import LocalCloud
from tests.replay.canary.support import HISTORY, PLAN, Canary, Load, await_true

LATE_S = float(os.environ.get("TAILCAST_LATE_S", "12"))
DOWN = {"unavailable_share": 1.0}
SILENT = {"silent_share": 1.0, "silent_s": 120.0}

pytestmark = pytest.mark.slow


@pytest.fixture
def faults(cloud: LocalCloud) -> Iterator[Callable[..., None]]:
    def put(**services: dict[str, float]) -> None:
        cloud.control("PUT", "/_tailcast/faults", services)

    yield put
    put()


def _lines(canary: Canary) -> list[Any]:
    journal = DynamoJournal(canary.cloud.client("dynamodb"), f"{canary.function}:live")
    return list(journal.lines(journal.rollouts()[-1]))


def _looks(canary: Canary) -> list[Any]:
    return [line for line in _lines(canary) if line.kind == "look"]


def test_throttled_and_for_a_while_down_cloudwatch_holds_a_good_candidate_up_and_no_more(
    cloud, make_canary, project, faults
):
    canary = make_canary()
    with Load(cloud, canary.function) as load:
        load.wait_for(HISTORY)
        faults(logs={"throttled_share": 0.3}, monitoring={"throttled_share": 0.3})
        process = canary.process(project, canary.start_arguments())
        canary.await_shift(process)
        faults(logs=DOWN, monitoring=DOWN)
        # Looks go on and say that there is nothing to see; nothing is concluded from that.
        await_true(lambda: sum(bool(line.data["batch"]["note"]) for line in _looks(canary)) >= 4)
        at_step = canary.weights()
        faults(logs={"throttled_share": 0.3})
        stdout, stderr = process.communicate(timeout=120)
    assert at_step == {"1": pytest.approx(0.6), canary.candidate: 0.4}
    assert json.loads(stdout)["outcome"] == "promoted", stderr
    assert any(line.kind == "note" and "no evidence" in line.data["text"] for line in _lines(canary))
    # What came while it was down is counted when it is up again: every request of the first step once.
    counted = sum(cell[3] for line in _looks(canary) for cell in line.data["batch"]["cells"])
    assert counted >= 2 * 20
    assert cloud.control("GET", "/_tailcast/faults")["struck"]["logs"] > 0
    assert load.unserved == []


def test_late_cloudwatch_finds_a_regression_when_its_lines_show(cloud, make_canary, project, faults):
    canary = make_canary(PLAN.replace("at_most: 90s", "at_most: 900s"), FAIL="0.6")
    with Load(cloud, canary.function) as load:
        load.wait_for(HISTORY)
        process = canary.process(project, canary.start_arguments())
        canary.await_shift(process)
        began_s = time.monotonic()
        faults(logs={"visible_after_s": LATE_S}, monitoring={"visible_after_s": LATE_S})
        stdout, stderr = process.communicate(timeout=LATE_S + 120)
        took_s = time.monotonic() - began_s
    document = json.loads(stdout)
    assert document["outcome"] == "rolled_back", stderr
    assert "error_rate" in document["text"]
    assert document["rollback_took_s"] <= 5
    assert canary.weights() == {"1": 1.0}
    # Lines of the second before the fault may have been seen; a verdict takes more than those.
    assert took_s >= LATE_S - 5
    assert load.unserved == []


def test_abort_and_rollback_while_cloudwatch_and_the_journal_do_not_answer(cloud, make_canary, project, faults):
    canary = make_canary(PLAN.replace("at_least: 2s", "at_least: 80s"))
    with Load(cloud, canary.function, rate_rps=15) as load:
        load.wait_for(HISTORY)
        process = canary.process(project, canary.start_arguments())
        canary.await_shift(process)
        # Silence is harder than a refusal: every call waits for its deadline.
        faults(logs=SILENT, monitoring=SILENT, dynamodb=SILENT)
        aborted = canary.run("abort")
        document = json.loads(aborted.stdout)
        assert aborted.exit_code == 0, aborted.output
        assert document["took_s"] < 5
        assert "could not be told" in document["journal"]
        assert canary.weights() == {"1": 1.0}
        # The controller notices that somebody else moved the alias, and leaves it there.
        stdout, stderr = process.communicate(timeout=120)
    assert json.loads(stdout)["outcome"] == "stopped", stderr
    assert process.returncode == 1
    assert canary.weights() == {"1": 1.0}
    assert load.unserved == []


def test_a_bad_candidate_is_rolled_back_without_the_journal(cloud, make_canary, project, faults):
    canary = make_canary(FAIL="0.6")
    with Load(cloud, canary.function) as load:
        load.wait_for(HISTORY)
        process = canary.process(project, canary.start_arguments())
        canary.await_shift(process)
        faults(dynamodb=SILENT)
        stdout, stderr = process.communicate(timeout=120)
    document = json.loads(stdout)
    assert document["outcome"] == "rolled_back", stderr
    assert document["rollback_took_s"] <= 5
    assert canary.weights() == {"1": 1.0}
    assert load.unserved == []


def test_a_controller_whose_cloud_is_gone_gives_up_with_one_line(cloud, make_canary, project, faults):
    canary = make_canary(PLAN.replace("lease: 2s", "lease: 2s\npatience: 6s").replace("at_least: 2s", "at_least: 80s"))
    with Load(cloud, canary.function, rate_rps=15) as load:
        load.wait_for(HISTORY)
        process = canary.process(project, canary.start_arguments())
        canary.await_shift(process)
        before = canary.weights()
        faults(logs=DOWN, monitoring=DOWN, dynamodb=DOWN, **{"lambda": DOWN})
        stdout, stderr = process.communicate(timeout=120)
        faults()
    assert process.returncode == 4, stderr
    assert "did not answer for 0.1 min; the weights stay as they are" in stderr
    assert "Traceback" not in stdout + stderr
    assert canary.weights() == before
    assert load.unserved == []
