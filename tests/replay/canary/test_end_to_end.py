"""The whole canary on the local cloud, under load: real processes, real logs, real weights, a journal in DynamoDB."""

from __future__ import annotations

import json
import os
import signal
import time

import pytest

from replay.canary.journal import DynamoJournal
from replay.canary.state import fold
from tests.replay.canary.support import HISTORY, PLAN, Load

SLOWLY = PLAN.replace("at_least: 2s", "at_least: 50s")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("candidate", "outcome", "because"),
    [
        ({}, "promoted", ""),
        ({"SLEEP_S": "0.2"}, "rolled_back", "p50"),
        ({"FAIL": "0.6"}, "rolled_back", "error_rate"),
        ({"EXIT": "1"}, "rolled_back", "cold_share"),
    ],
    ids=["good", "slow", "erroring", "cold-storming"],
)
def test_candidates_meet_what_they_deserve(cloud, make_canary, candidate, outcome, because):
    canary = make_canary(**candidate)
    with Load(cloud, canary.function) as load:
        load.wait_for(HISTORY)
        result = canary.invoke(canary.start_arguments())
        at_end = canary.weights()
        served = load.answered
        load.wait_for(served + 10)
    document = json.loads(result.stdout)
    assert document["outcome"] == outcome, result.output
    assert because in document["text"]
    assert at_end == ({canary.candidate: 1.0} if outcome == "promoted" else {"1": 1.0})
    assert result.exit_code == (0 if outcome == "promoted" else 1)
    assert load.unserved == []
    if outcome == "rolled_back":
        assert document["rollback_took_s"] <= 5
    else:
        alias = cloud.client("lambda").get_alias(FunctionName=canary.function, Name="baseline")
        assert alias["FunctionVersion"] == canary.candidate
    assert [row["outcome"] for row in json.loads(canary.run("history").stdout)] == [outcome]
    assert json.loads(canary.run("status").stdout)["state"] == outcome
    assert "error_rate" in canary.invoke(canary.arguments("status")).stdout


KILLER = """
import os, signal, sys
from replay.canary.journal import DynamoJournal
from replay.canary.state import fold
skip, when = int(sys.argv[1]), sys.argv[2]
append, seen = DynamoJournal.append, []
def killing(self, lease, line):
    mine = line.kind not in ("look", "note") and len(seen) == skip
    if mine and when == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    append(self, lease, line)
    if mine:
        os.kill(os.getpid(), signal.SIGKILL)
    if line.kind not in ("look", "note"):
        seen.append(line)
DynamoJournal.append = killing
from replay.cli import main
main(sys.argv[3:])
"""


@pytest.mark.slow
@pytest.mark.parametrize("first", ["before", "after"] if os.environ.get("TAILCAST_KILLS") == "all" else ["before"])
def test_kill_9_at_every_line(cloud, make_canary, project, first):
    """One rollout, twelve dead controllers: SIGKILL at each line that is no look, before and after it by turns.

    Each is followed by `resume`. ``TAILCAST_KILLS=all`` takes the turns the other way round as well; the simulated test
    kills at looks too, and on both sides of every line.
    """
    canary = make_canary()
    scope = f"{canary.function}:live"
    with Load(cloud, canary.function, rate_rps=20) as load:
        load.wait_for(HISTORY)
        command, skip, when, kills = canary.start_arguments(), 0, first, 0
        for _ in range(40):
            process = canary.process(project, command, KILLER, str(skip), when)
            _, stderr = process.communicate(timeout=120)
            if process.returncode != -signal.SIGKILL:
                break
            kills += 1
            journal = DynamoJournal(cloud.client("dynamodb"), scope)
            if kills == 1 and when == "before":
                # Nothing is written, so nothing may have happened.
                assert canary.weights() == {"1": 1.0}
                assert journal.rollouts() == []
                time.sleep(2.1)
                skip, when = 1, "after"
                continue
            time.sleep(2.1)
            command = canary.arguments("resume", "--json")
            # A line that was not written is the next controller's; it dies after the one that follows.
            skip, when = (1, "after") if when == "before" else (0, "before")
    # The last one ran to the end; or it was killed after its last line, and nobody had anything left to do.
    assert process.returncode == 0 or "has ended" in stderr, stderr
    journal = DynamoJournal(cloud.client("dynamodb"), scope)
    lines = journal.lines(journal.rollouts()[-1])
    assert fold(lines).outcome == "promoted"
    assert canary.weights() == {canary.candidate: 1.0}
    assert load.unserved == []
    assert [line.number for line in lines] == list(range(len(lines)))
    assert [line.token for line in lines] == sorted(line.token for line in lines)
    kinds = [line.kind for line in lines if line.kind not in ("look", "note", "resumed")]
    assert kills >= len(kinds) - 1
    assert kinds.count("finished") == kinds.count("started") == 1


@pytest.mark.slow
def test_abort_needs_lambda_alone(cloud, make_canary):
    """A journal that does not answer, a controller that is gone: one call all the same."""
    canary = make_canary()
    cloud.client("lambda").update_alias(
        FunctionName=canary.function, Name="live", RoutingConfig={"AdditionalVersionWeights": {canary.candidate: 0.4}}
    )
    began = time.monotonic()
    result = canary.run("abort", "--journal", "/proc/nowhere", "--to-version", "1")
    assert time.monotonic() - began < 5
    assert result.exit_code == 0, result.output
    assert canary.weights() == {"1": 1.0}
    assert json.loads(result.stdout)["version"] == "1"


@pytest.mark.slow
@pytest.mark.parametrize("who", ["by hand", "abort"])
def test_weights_changed_by_hand_and_an_abort_from_elsewhere(cloud, make_canary, project, who):
    canary = make_canary(SLOWLY)
    with Load(cloud, canary.function, rate_rps=20) as load:
        load.wait_for(HISTORY)
        process = canary.process(project, canary.start_arguments())
        canary.await_shift(process)
        if who == "by hand":
            changed = {"AdditionalVersionWeights": {canary.candidate: 0.77}}
            cloud.client("lambda").update_alias(FunctionName=canary.function, Name="live", RoutingConfig=changed)
        else:
            aborted = canary.run("abort")
            assert json.loads(aborted.stdout)["took_s"] < 5
            assert canary.weights() == {"1": 1.0}
        stdout, stderr = process.communicate(timeout=90)
    assert process.returncode == 1, stderr
    hand = who == "by hand"
    # An abort moves the alias first and tells the controller then; one that looks in between sees another's hand.
    assert json.loads(stdout)["outcome"] in (("stopped",) if hand else ("rolled_back", "stopped"))
    assert canary.weights() == ({"1": pytest.approx(0.23), canary.candidate: 0.77} if hand else {"1": 1.0})


@pytest.mark.slow
def test_sigterm_gives_the_lease_back_and_another_controller_goes_on(cloud, make_canary, project):
    # A lease so long that only giving it back can explain who holds it afterwards.
    canary = make_canary(PLAN.replace("lease: 2s", "lease: 600s").replace("at_least: 2s", "at_least: 6s"))
    journal = DynamoJournal(cloud.client("dynamodb"), f"{canary.function}:live")
    with Load(cloud, canary.function, rate_rps=20) as load:
        load.wait_for(HISTORY)
        process = canary.process(project, canary.start_arguments())
        canary.await_shift(process)
        at_stop = canary.weights()
        # While it holds the lease a second controller must not act, but it may ask.
        assert "asked to go on" in canary.run("resume").output
        process.send_signal(signal.SIGTERM)
        _, stderr = process.communicate(timeout=60)
        assert process.returncode == 128 + signal.SIGTERM, stderr
        assert "resume` goes on" in stderr
        assert "Traceback" not in stderr
        assert journal.holder(time.time()) is None
        assert "SIGTERM" in journal.lines(journal.rollouts()[-1])[-1].data["text"]
        assert canary.weights() == at_stop
        resumed = canary.run("resume")
    assert json.loads(resumed.stdout)["outcome"] == "promoted", resumed.output
    assert load.unserved == []


@pytest.mark.slow
def test_the_preflight_refuses_what_would_fail_later(cloud, make_canary):
    canary = make_canary()
    nowhere = canary.invoke(canary.start_arguments("--candidate", "99"))
    assert nowhere.exit_code == 1
    assert "version 99" in nowhere.output
    assert "history cannot be read" in nowhere.output
    same = canary.invoke(canary.start_arguments("--candidate", "1"))
    assert "both version 1" in same.output
    cloud.client("lambda").add_permission(
        FunctionName=canary.function, StatementId="x", Action="lambda:InvokeFunction",
        Principal="apigateway.amazonaws.com",
    )  # fmt: skip
    unpermitted = canary.invoke(canary.start_arguments())
    assert "its alias live may not" in unpermitted.output
    crashing = make_canary(PLAN.replace("smoke: false", 'smoke: {requests: 1, payload: "{}"}'), FAIL="1.0")
    smoked = crashing.invoke(crashing.start_arguments())
    assert "smoke test 1 of 1" in smoked.output
    assert crashing.weights() == {"1": 1.0}
