"""What touches the world: alias, metrics, gates, notifications; against the local cloud and plain sockets."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace
from typing import Any

import pytest

from replay.canary.abort import abort_now
from replay.canary.errors import EvidenceDownError, ForeignChangeError, JournalDownError
from replay.canary.gates import Gates, alarms_now, ask
from replay.canary.journal import FileJournal, Line
from replay.canary.live import Place, evidence_for, live_alias, live_world, open_journal, recall, remember
from replay.canary.live_alias import LambdaAlias, quick_client
from replay.canary.metric_evidence import MetricEvidence
from replay.canary.notify import Notifications
from replay.canary.plan import Gate, Notify, Plan, Smoke, Step, objective
from replay.canary.plan_file import plan_to_document
from replay.canary.ports import StepSpan
from replay.canary.preflight import Target, check, smoke
from replay.canary.promotion import AliasPromotion, QuietVersion
from replay.canary.reference import Reference
from replay.canary.rehearse.world import Nobody, SimulatedClock
from replay.canary.state import Start, start_to_json
from replay.cloud import CloudConfig, LocalCloud
from replay.errors import CloudError, InputError
from tests.replay.canary.support import Load, deploy_pair, weights


@pytest.fixture(scope="module")
def cloud() -> Iterator[LocalCloud]:
    with LocalCloud(CloudConfig(keep_alive_s=120, seed=7, init="replayed")) as running:
        yield running


@pytest.fixture
def credentials(cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in cloud.environment().items():
        monkeypatch.setenv(name, value)


def _alias(cloud: LocalCloud, function: str, version: str) -> LambdaAlias:
    return LambdaAlias(cloud.client("lambda"), function, "live", "1", version)


def test_the_alias_takes_weights_only_on_the_revision_it_shows(cloud):
    function, version = deploy_pair(cloud)
    alias = _alias(cloud, function, version)
    first = alias.read()
    second = alias.set_weight(0.25, first.revision_id)
    assert weights(cloud, function) == {"1": 0.75, version: 0.25}
    with pytest.raises(ForeignChangeError, match="somebody else"):
        alias.set_weight(0.5, first.revision_id)
    touched = alias.touch(second.revision_id)
    assert touched.revision_id != second.revision_id
    assert touched.weights == second.weights
    with pytest.raises(ForeignChangeError):
        alias.set_weight(0.5, second.revision_id)
    whole = alias.set_weight(1.0, touched.revision_id)
    assert whole.weights == {version: 1.0}
    assert alias.roll_back().weights == {"1": 1.0}


def test_a_rollback_that_nobody_answers_fails_within_its_deadline():
    client = quick_client("lambda", region="us-east-1", endpoint_url="http://127.0.0.1:9")
    began = time.monotonic()
    with pytest.raises(CloudError, match="alias f:live"):
        LambdaAlias(client, "f", "live", "1", "2").roll_back()
    assert time.monotonic() - began < 4


def test_the_preflight_finds_nothing_on_a_sound_pair_and_leaves_the_weights(cloud):
    function, version = deploy_pair(cloud)
    alias = _alias(cloud, function, version)
    before = alias.read()
    target = Target(function, "live", "1", version)
    assert check(cloud.client("lambda"), alias, target) == []
    after = alias.read()
    assert after.weights == before.weights
    # It proved the right to change the alias by writing what was there.
    assert after.revision_id != before.revision_id
    alias.set_weight(0.2, after.revision_id)
    assert "not wholly at the baseline" in check(cloud.client("lambda"), alias, target)[0].text


def test_the_smoke_test_asks_the_candidate_once_each_and_waits_as_long_as_it_is_told(cloud, credentials):
    slow, version = deploy_pair(cloud, SLEEP_S="1.5")
    lambdas = [
        quick_client("lambda", region="us-east-1", endpoint_url=cloud.endpoint_url, read_timeout_s=limit_s)
        for limit_s in (10.0, 0.5)
    ]
    target = Target(slow, "live", "1", version)
    assert smoke(lambdas[0], target, Smoke(requests=2)) == []
    (late,) = smoke(lambdas[1], target, Smoke(requests=2))
    assert late.severity == "refuse"
    assert f"smoke test 1 of 2 of version {version}" in late.text
    failing, version = deploy_pair(cloud, FAIL="1.0")
    (bad,) = smoke(lambdas[0], replace(target, function=failing, candidate=version), Smoke())
    assert bad.text.endswith("HTTP status 502")


def test_provisioned_concurrency_belongs_to_versions(cloud):
    function, version = deploy_pair(cloud)
    client = cloud.client("lambda")
    client.put_provisioned_concurrency_config(FunctionName=function, Qualifier="1", ProvisionedConcurrentExecutions=1)
    target = Target(function, "live", "1", version)
    findings = check(client, _alias(cloud, function, version), target)
    assert [finding.severity for finding in findings] == ["warn"]
    assert "will start cold" in findings[0].text
    promotion = AliasPromotion(
        client,
        function,
        version,
        "1",
        QuietVersion(cloud.client("cloudwatch"), function, "live", "1", SimulatedClock()),
    )
    promotion.pin()
    assert client.get_alias(FunctionName=function, Name="baseline")["FunctionVersion"] == version
    for _ in range(2):
        promotion.release()
    assert client.list_provisioned_concurrency_configs(FunctionName=function)["ProvisionedConcurrencyConfigs"] == []


@pytest.mark.slow
def test_metrics_by_version_count_what_the_versions_did(cloud):
    """Real invocations at two weights; what CloudWatch adds up by version must agree with them."""
    function, version = deploy_pair(cloud, SLEEP_S="0.06")
    alias = _alias(cloud, function, version)
    alias.set_weight(0.5, alias.read().revision_id)
    with Load(cloud, function, rate_rps=40) as load:
        while load.answered < 200:
            time.sleep(0.05)
    cloud.flush_logs()
    objectives = (objective("error_rate"), objective("p50"), objective("cold_share"))
    source = MetricEvidence(
        cloud.client("cloudwatch"), function, "live",
        baseline="1", candidate=version, objectives=objectives, history_s=600,
    )  # fmt: skip
    now_s = time.time()
    reference = source.reference(now_s + 60)
    assert reference.unseen == ("cold_share",)
    assert 15 <= reference.threshold_ms["p50"] <= 45
    spans = [StepSpan(0, now_s - 600)]
    # CloudWatch is five minutes late: nothing to see yet, which is said; what comes then is counted then.
    cloud.control("PUT", "/_tailcast/faults", {"monitoring": {"visible_after_s": 300}})
    late = source.look(spans, reference, now_s - 600, now_s + 230)
    cloud.control("PUT", "/_tailcast/faults", {})
    assert late.tallies == {}
    assert "nothing newer than" in str(late.note)
    batch = source.look(spans, reference, now_s - 600, now_s + 240)
    seen = {arm: batch.requests(candidate=arm) for arm in (False, True)}
    assert sum(seen.values()) == load.answered
    assert abs(seen[True] - load.answered / 2) < 4 * (load.answered * 0.25) ** 0.5
    tallies = {key.candidate: tally for key, tally in batch.tallies.items()}
    # The candidate sleeps three times as long: nearly all of it is over the baseline's p50 and its tolerance.
    slow, n = tallies[True].counts["p50>tolerance"]
    assert slow >= 0.9 * n
    assert 0.3 <= tallies[False].counts["p50>base"][0] / tallies[False].requests <= 0.7
    # A minute is counted once.
    assert source.look(spans, reference, now_s, now_s + 250).tallies == {}


def test_metrics_that_do_not_answer_are_said():
    client = quick_client("cloudwatch", region="us-east-1", endpoint_url="http://127.0.0.1:9")
    source = MetricEvidence(
        client, "f", "live", baseline="1", candidate="2", objectives=(objective("error_rate"),), history_s=60
    )
    with pytest.raises(EvidenceDownError, match="CloudWatch"):
        source.reference(time.time())


class _HalfAnswering:
    """A CloudWatch that knows how many requests there were, and could not read how many failed."""

    def get_paginator(self, action: str) -> Any:
        return self if action == "get_metric_data" else SimpleNamespace(paginate=lambda **_: [{"Metrics": []}])

    def paginate(self, **request: Any) -> Any:
        at = [request["StartTime"]]
        for query in request["MetricDataQueries"]:
            known = query["MetricStat"]["Metric"]["MetricName"] == "Invocations"
            result = {"Timestamps": at, "Values": [600.0]} if known else {"Timestamps": [], "Values": []}
            code = "Complete" if known else "InternalError"
            yield {"MetricDataResults": [{"Id": query["Id"], "StatusCode": code, **result}]}


def test_a_metric_that_could_not_be_read_is_not_a_zero():
    source = MetricEvidence(
        _HalfAnswering(), "f", "live", baseline="1", candidate="2", objectives=(objective("error_rate"),), history_s=60
    )
    with pytest.raises(EvidenceDownError, match="InternalError"):
        source.look([StepSpan(0, 0.0)], Reference(), 0.0, 600.0)


class _Server(HTTPServer):
    """Answers what it is told, and keeps what it is sent."""

    status = 200
    posted: list[Any]


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self) -> None:
        self.server.posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.do_GET()

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture
def server() -> Iterator[_Server]:
    running = _Server(("127.0.0.1", 0), _Handler)
    running.posted = []
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    yield running
    running.shutdown()
    thread.join()
    running.server_close()


def test_gates(server, tmp_path):
    url = f"http://127.0.0.1:{server.server_port}/ok"
    assert ask(Gate("open", url=url)) is None
    server.status = 503
    assert ask(Gate("shut", url=url)) == "gate shut: HTTP 503"
    assert "gate nobody" in str(ask(Gate("nobody", url="http://127.0.0.1:9/")))
    assert ask(Gate("yes", command="true")) is None
    assert ask(Gate("no", command="exit 7")) == "gate no: exit code 7"
    marker = tmp_path / "survived"
    began = time.monotonic()
    assert "no answer in 0.3 s" in str(ask(Gate("slow", command=f"sleep 1; touch {marker}", timeout_s=0.3)))
    assert time.monotonic() - began < 1
    time.sleep(1)
    assert not marker.exists()
    with pytest.raises(InputError, match="must begin with http"):
        ask(Gate("file", url="file:///etc/passwd"))


def test_a_gate_that_does_not_speak_http_refuses_and_ends_no_rollout():
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def greet() -> None:
            accepted, _ = listening.accept()
            with accepted:
                accepted.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")

        thread = threading.Thread(target=greet, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/"
        assert ask(Gate("board", url=url)) == "gate board: SSH-2.0-OpenSSH_9.2"
        thread.join(10)
    assert "control characters" in str(ask(Gate("board", url="http://127.0.0.1:9/change board")))


def test_notifications_reach_who_can_be_reached(server, cloud, capsys):
    sns = cloud.client("sns")
    topic = sns.create_topic(Name="rollouts")["TopicArn"]
    targets = (
        Notify(webhook="http://127.0.0.1:9/services/T0/s3cr3t"),
        Notify(webhook="http://127.0.0.2:9/services/T0/s3cr3t and more"),
        Notify(sns=topic),
        Notify(webhook=f"http://127.0.0.1:{server.server_port}/"),
    )
    Notifications(targets, sns).tell("f:live rolled back", {"why": "error_rate 5 % → too many"})
    assert server.posted == [{"subject": "f:live rolled back", "why": "error_rate 5 % → too many"}]
    said = capsys.readouterr().err
    assert "the webhook of 127.0.0.1:9 was not told" in said
    assert "the webhook of 127.0.0.2:9 was not told" in said
    assert "s3cr3t" not in said  # whoever knows a webhook's path may post to it


@pytest.mark.slow
def test_a_topic_that_does_not_answer_keeps_nobody_for_long(credentials, tmp_path, capsys):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        place = Place("us-east-1", f"http://127.0.0.1:{silent.getsockname()[1]}", str(tmp_path), tmp_path)
        plan = Plan("p", (Step(1.0, 1, 2),), (objective("error_rate"),), notify=(Notify(sns="arn:aws:sns:topic"),))
        target = Target("f", "live", "1", "2")
        world = live_world(
            place, target, plan, open_journal(place, target), Nobody(), None, lambda *_: None, SimulatedClock()
        )  # type: ignore[arg-type]
        began = time.monotonic()
        world.notifier.tell("f:live rolling back is refused", {"why": "x"})
        assert time.monotonic() - began < 12
    assert "was not told" in capsys.readouterr().err


def test_alarms_that_do_not_exist_are_refused(cloud):
    cloudwatch = cloud.client("cloudwatch")
    cloudwatch.put_metric_alarm(
        AlarmName="canary-test", Namespace="x", MetricName="y", Statistic="Sum", Period=60, EvaluationPeriods=1,
        Threshold=1.0, ComparisonOperator="GreaterThanThreshold",
    )  # fmt: skip
    cloudwatch.set_alarm_state(AlarmName="canary-test", StateValue="ALARM", StateReason="test")
    assert alarms_now(Gates((), ("canary-test",), cloudwatch)) == ("canary-test",)
    with pytest.raises(CloudError, match="'nowhere' does not exist"):
        alarms_now(Gates((), ("canary-test", "nowhere"), cloudwatch))
    assert alarms_now(Gates((), (), None)) == ()


def test_what_an_abort_needs_is_remembered(cloud, credentials, tmp_path):
    function, version = deploy_pair(cloud)
    place = Place("us-east-1", cloud.endpoint_url, "dynamodb:canary-test", tmp_path)
    target = Target(function, "live", "1", version)
    assert recall(place, function, "live") is None
    remember(place, target, "r1")
    found = recall(place, function, "live")
    assert found is not None
    assert (found["baseline"], found["rollout"]) == ("1", "r1")
    assert live_alias(place, target).read().weights == {"1": 1.0}
    with pytest.raises(JournalDownError, match="there is no such table"):
        open_journal(replace(place, journal="dynamodb:absent"), target)
    with pytest.raises(JournalDownError, match="there is no such table"):
        open_journal(replace(place, journal="dynamodb:absent", may_create=False), target, create=True)
    assert list(open_journal(place, target, create=True).rollouts()) == []
    plan = Plan("p", (Step(1.0, 1, 2),), (objective("error_rate"),), source="metrics")
    assert isinstance(evidence_for(place, target, plan), MetricEvidence)


def test_an_abort_does_not_go_back_to_the_baseline_of_a_rollout_of_old(cloud, credentials, tmp_path):
    """This machine rolled 1 → 2 out; from another one 2 → 3 is under way, and 2 is the good version."""
    function, _ = deploy_pair(cloud)
    client = cloud.client("lambda")
    client.update_function_configuration(FunctionName=function, Environment={"Variables": {"NOTE": "third"}})
    assert client.publish_version(FunctionName=function)["Version"] == "3"
    place = Place("us-east-1", cloud.endpoint_url, str(tmp_path / "journal"), tmp_path)
    remember(place, Target(function, "live", "1", "2"), "old")
    client.update_alias(
        FunctionName=function, Name="live", FunctionVersion="2", RoutingConfig={"AdditionalVersionWeights": {"3": 0.4}}
    )
    with pytest.raises(InputError, match="no rollout is known; name the version to go back to with --to-version"):
        abort_now(place, function, "live", None)
    assert weights(cloud, function) == {"2": pytest.approx(0.6), "3": 0.4}
    # Its journal is here all the same: whoever aborts with a version of their own writes the end of the rollout.
    journal = FileJournal(tmp_path / "journal" / f"{function}-live")
    start = Start(
        "new", Plan("p", (Step(1.0, 1, 2),), (objective("error_rate"),)), function, "live", "2", "3", Reference()
    )
    lease = journal.acquire("another", 60.0, 0.0)
    journal.append(
        lease, Line("new", 0, 1.0, lease.token, "started", start_to_json(start, plan_to_document(start.plan)))
    )
    done = abort_now(place, function, "live", "2")
    assert (done.facts["version"], done.facts["journal"]) == ("2", "new is written down as rolled back")
    assert weights(cloud, function) == {"2": 1.0}
