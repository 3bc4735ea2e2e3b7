"""Evidence: requests put together from lines that come late, twice, in any order or never; batches that add up."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import astuple
from typing import Any

import numpy as np
import pytest
from botocore.exceptions import ClientError
from hypothesis import given, settings
from hypothesis import strategies as st

from replay.canary.assembler import LATE_S, Assembler
from replay.canary.batch import Batch, Key, Tally, merge
from replay.canary.errors import EvidenceDownError
from replay.canary.figures import figure_of
from replay.canary.histogram import buckets_of, value_at_rank
from replay.canary.log_evidence import LogEvidence
from replay.canary.plan import objective
from replay.canary.ports import StepSpan
from replay.canary.reference import Reference, reference_of
from replay.canary.requests import Requests, reduce_requests
from replay.errors import InputError
from replay.record.collect import LogLine
from simulator.errors import ParameterError

START_S = 1_800_000_000.0
OBJECTIVES = (objective("error_rate"), objective("p95"), objective("cold_share"))


def _lines(
    request_id: str, version: str, at_s: float, *, status: str = "ok", init_ms: float | None = None,
    duration_ms: float = 100.0, crashed: bool = False, provisioned: bool = False,
) -> list[LogLine]:  # fmt: skip
    """What Lambda and the function write about one request that arrived at ``at_s``."""
    end_ms = int(at_s * 1000 + duration_ms + (init_ms or 0))
    init = f"\tInit Duration: {init_ms} ms" if init_ms else ""
    ended = "\tStatus: timeout" if crashed else ""
    report = (
        f"REPORT RequestId: {request_id}\tDuration: {duration_ms} ms\tBilled Duration: 101 ms\t"
        f"Memory Size: 512 MB\tMax Memory Used: 80 MB{init}{ended}"
    )
    record = json.dumps(
        {
            "tailcast": "inference", "request_id": request_id, "version": version, "status": status,
            "initialization_type": "provisioned-concurrency" if provisioned else "on-demand",
        }
    )  # fmt: skip
    stream = f"2027/01/15/[{version}]abc"
    texts = [f"START RequestId: {request_id} Version: {version}", record, report]
    if crashed:
        del texts[1]
    return [LogLine(f"{request_id}-{n}", stream, end_ms, text) for n, text in enumerate(texts)]


class FakeLogs:
    """FilterLogEvents over lines that become visible some time after they were written."""

    def __init__(self) -> None:
        self.events: list[tuple[float, LogLine]] = []
        self.now_s = START_S
        self.error: str | None = None
        self.page = 7
        self.page_takes_s = 0.0
        self.spent_s = 0.0

    def put(self, lines: Sequence[LogLine], visible_after_s: float = 0.0) -> None:
        self.events += [(line.timestamp_ms / 1000 + visible_after_s, line) for line in lines]

    def filter_log_events(self, **request: Any) -> dict[str, Any]:
        self.spent_s += self.page_takes_s
        if request["startTime"] > request["endTime"]:
            raise ClientError({"Error": {"Code": "InvalidParameterException", "Message": "no"}}, "FilterLogEvents")
        if self.error:
            raise ClientError({"Error": {"Code": self.error, "Message": "no"}}, "FilterLogEvents")
        shown = [
            line
            for visible_s, line in self.events
            if visible_s <= self.now_s and request["startTime"] <= line.timestamp_ms <= request["endTime"]
        ]
        first = int(request.get("nextToken", 0))
        page = shown[first : first + self.page]
        answer: dict[str, Any] = {
            "events": [
                {
                    "eventId": line.event_id,
                    "logStreamName": line.stream,
                    "timestamp": line.timestamp_ms,
                    "message": line.message,
                }
                for line in page
            ]
        }
        if first + self.page < len(shown):
            answer["nextToken"] = str(first + self.page)
        return answer


def _source(logs: FakeLogs) -> LogEvidence:
    return LogEvidence(logs, "/aws/lambda/f", baseline="1", candidate="2", objectives=OBJECTIVES, history_s=600)


REFERENCE = Reference(1000, {"p95": 150.0})
SPANS = (StepSpan(0, START_S), StepSpan(1, START_S + 100))


def _look(source: LogEvidence, logs: FakeLogs, at_s: float, spans: Sequence[StepSpan] = SPANS) -> Batch:
    logs.now_s = at_s
    return source.look(spans, REFERENCE, START_S, at_s)


@settings(deadline=None)
@given(seed=st.integers(0, 10_000))
def test_every_request_is_counted_once_whatever_the_order(seed):
    """Lines shuffled, repeated, and visible up to five minutes late: in the end each request counts exactly once."""
    rng = random.Random(seed)
    logs = FakeLogs()
    failures = {True: 0, False: 0}
    total = {True: 0, False: 0}
    for number in range(60):
        candidate = rng.random() < 0.4
        failed = rng.random() < 0.3
        at_s = START_S + rng.uniform(0, 200)
        lines = _lines(f"r{number}", "2" if candidate else "1", at_s, status="error" if failed else "ok")
        rng.shuffle(lines)
        together_s = rng.choice([0, 0, 1, 20, 300])
        for line in lines:
            logs.put([line], together_s + rng.choice([0, 0, 1, 20, 60]))
        if rng.random() < 0.3:
            logs.put(
                [LogLine(f"again-{number}", lines[0].stream, lines[0].timestamp_ms, lines[0].message)], together_s + 65
            )
        total[candidate] += 1
        failures[candidate] += failed
    source = _source(logs)
    batches = [_look(source, logs, START_S + at) for at in range(10, 700, 10)]
    for candidate in (True, False):
        tally = merge([t for batch in batches for key, t in batch.tallies.items() if key.candidate == candidate])
        assert tally.requests == total[candidate]
        assert tally.counts.get("error_rate", (0, 0)) == (failures[candidate], total[candidate])


@pytest.mark.parametrize("every_s", [10, 300, 600])
def test_lines_ten_minutes_late_are_taken_however_far_apart_the_looks_are(every_s):
    logs = FakeLogs()
    for number in range(300):
        logs.put(_lines(f"r{number}", "1", START_S + 10 * number), visible_after_s=600 if number % 3 else 0)
    source, spans = _source(logs), (StepSpan(0, START_S),)
    looks = [_look(source, logs, START_S + at_s, spans) for at_s in range(every_s, 4801, every_s)]
    assert sum(batch.requests(candidate=False) for batch in looks) == 300


def test_a_request_belongs_to_the_step_in_which_it_arrived():
    logs = FakeLogs()
    logs.put(_lines("early", "1", START_S + 99.95, duration_ms=5000))
    logs.put(_lines("late", "2", START_S + 100.05))
    logs.put(_lines("before", "1", START_S - 1))
    batch = _look(_source(logs), logs, START_S + 120)
    assert set(batch.tallies) == {Key(0, False, False), Key(1, False, True)}
    assert batch.late == 1


def test_cold_is_what_the_caller_waited_for():
    logs = FakeLogs()
    logs.put(_lines("cold", "2", START_S + 10, init_ms=500.0))
    logs.put(_lines("ready", "2", START_S + 10, init_ms=500.0, provisioned=True))
    batch = _look(_source(logs), logs, START_S + 20)
    assert batch.tallies[Key(0, True, True)].requests == 1
    assert batch.tallies[Key(0, False, True)].counts["p95>tolerance"] == (0, 1)
    assert batch.tallies[Key(0, True, True)].counts["p95>tolerance"] == (1, 1)


def test_a_crash_leaves_no_record_and_counts_at_once():
    logs = FakeLogs()
    logs.put(_lines("dead", "2", START_S + 5, crashed=True))
    batch = _look(_source(logs), logs, START_S + 6)
    tally = batch.tallies[Key(0, False, True)]
    assert tally.counts["error_rate"] == (1, 1)
    # An answer that never came is slower than any limit.
    assert tally.counts["p95>margin"] == (1, 1)


def test_a_missing_record_is_waited_for_and_then_shown():
    logs = FakeLogs()
    logs.put([line for line in _lines("half", "1", START_S + 5) if "tailcast" not in line.message])
    source = _source(logs)
    assert _look(source, logs, START_S + 10).tallies == {}
    late = _look(source, logs, START_S + 195)
    assert late.requests(candidate=False) == 1
    assert late.incomplete == 1


def test_where_records_are_the_rule_a_late_one_is_waited_for_longer():
    """A REPORT says that the handler returned; only the record says that it answered 502."""
    logs = FakeLogs()
    logs.put(_lines("whole", "1", START_S + 1))
    failed = _lines("failed", "2", START_S + 5, status="error")
    logs.put([line for line in failed if "tailcast" not in line.message])
    logs.put([line for line in failed if "tailcast" in line.message], visible_after_s=60)
    source = _source(logs)
    early = [_look(source, logs, START_S + at) for at in (10, 30, 50)]
    assert sum(batch.requests(candidate=True) for batch in early) == 0
    assert _look(source, logs, START_S + 70).tallies[Key(0, False, True)].counts["error_rate"] == (1, 1)


def test_a_report_that_never_comes_is_given_up():
    assembler = Assembler()
    assembler.add(_lines("lost", "1", START_S)[:2], START_S)
    assert assembler.complete(START_S + LATE_S) == []
    assert assembler.complete(START_S + LATE_S + 1) == []
    assert assembler.incomplete == 1


def test_what_was_seen_long_ago_is_forgotten_however_much_comes_between_two_looks():
    assembler = Assembler()
    lines = [LogLine(f"e{number}", "s", 0, "something else") for number in range(25_000)]
    assembler.add(lines, START_S)
    assembler.complete(START_S + 2 * LATE_S + 1)
    assert not assembler._events


@pytest.mark.parametrize(("requests", "given"), [(200, 200), (199, 0)])
def test_a_function_that_writes_no_records_is_not_waited_for_once_that_is_known(requests, given):
    assembler = Assembler()
    for number in range(requests):
        assembler.add([line for line in _lines(f"r{number}", "1", START_S) if "tailcast" not in line.message], START_S)
    assert assembler.complete(START_S + 15) == []
    assert len(assembler.complete(START_S + 16)) == given
    assert len(assembler.complete(START_S + 181)) == requests - given


def test_a_line_that_comes_again_is_counted_as_one():
    assembler = Assembler()
    lines = _lines("twice", "1", START_S)
    again = [LogLine(f"again-{line.event_id}", *astuple(line)[1:]) for line in lines]
    assembler.add([*lines, *again, *lines], START_S)
    assert len(assembler.complete(START_S + 1)) == 1
    assert assembler.duplicates == 2, "record and REPORT"
    assembler.add([LogLine("once-more", *astuple(lines[2])[1:])], START_S + 2)
    assert (assembler.complete(START_S + 3), assembler.duplicates) == ([], 3)


def test_what_was_given_long_ago_is_forgotten_and_not_before():
    assembler = Assembler()
    lines = [line for number in range(50) for line in _lines(f"r{number}", "1", START_S)]
    assembler.add(lines, START_S)
    assert len(assembler.complete(START_S)) == 50
    for at_s, kept in ((2 * LATE_S, 50), (2 * LATE_S + 1, 0)):
        assembler.complete(START_S + at_s)
        assert (len(assembler._given), len(assembler._events)) == (kept, 3 * kept)


@pytest.mark.parametrize("without", ["tailcast", "START"])
def test_the_version_is_known_without_the_streams_name(without):
    assembler = Assembler()
    lines = [LogLine(line.event_id, "mine", line.timestamp_ms, line.message) for line in _lines("one", "7", START_S)]
    assembler.add([line for line in lines if without not in line.message], START_S)
    (one,) = assembler.complete(START_S + 181)
    assert one.executed_version == "7"


def test_a_restored_environment_is_a_cold_one():
    logs = FakeLogs()
    lines = _lines("restored", "2", START_S + 10, init_ms=500.0)
    logs.put([LogLine(*astuple(x)[:3], x.message.replace("Init Duration", "Restore Duration")) for x in lines])
    batch = _look(_source(logs), logs, START_S + 20)
    assert batch.tallies[Key(0, True, True)].counts["p95>tolerance"] == (1, 1)


def test_other_versions_and_refused_requests_are_no_evidence():
    logs = FakeLogs()
    logs.put(_lines("other", "7", START_S + 5))
    logs.put(_lines("refused", "2", START_S + 5, status="rejected"))
    assert _look(_source(logs), logs, START_S + 20).tallies == {}


def test_a_resumed_controller_does_not_count_again():
    logs = FakeLogs()
    logs.put(_lines("old", "1", START_S + 5))
    logs.put(_lines("new", "1", START_S + 25))
    source = _source(logs)
    logs.now_s = START_S + 30
    batch = source.look(SPANS, REFERENCE, START_S + 20, START_S + 30)
    assert batch.requests(candidate=False) == 1


def test_throttled_or_absent_logs_are_said_and_nothing_is_lost():
    logs = FakeLogs()
    logs.put(_lines("one", "1", START_S + 5))
    source = _source(logs)
    logs.error = "ThrottlingException"
    with pytest.raises(EvidenceDownError, match="ThrottlingException"):
        _look(source, logs, START_S + 20)
    logs.error = None
    assert _look(source, logs, START_S + 400).requests(candidate=False) == 1


def test_more_lines_than_can_be_read_in_time_do_not_blind_it_for_good(monkeypatch):
    logs = FakeLogs()
    monkeypatch.setattr("replay.canary.log_evidence.time.monotonic", lambda: logs.spent_s)
    logs.page, logs.page_takes_s = 30, 1.0
    for number in range(600):
        logs.put(_lines(f"r{number}", "1", START_S + number))
    source = _source(logs)
    spans = (StepSpan(0, START_S),)
    seen = [_look(source, logs, START_S + at_s, spans).requests(candidate=False) for at_s in range(10, 620, 10)]
    # A minute is 6 pages and is read; the quarter of an hour is up to 60, and is not, whenever its turn comes.
    assert sum(seen) == 600
    logs.page_takes_s = 5.0
    with pytest.raises(EvidenceDownError, match="more lines than can be read in 8 s; set 'source: metrics'"):
        _look(source, logs, START_S + 620, spans)


def test_after_an_outage_it_catches_up_with_what_one_look_cannot_read(monkeypatch):
    logs = FakeLogs()
    monkeypatch.setattr("replay.canary.log_evidence.time.monotonic", lambda: logs.spent_s)
    logs.page, logs.page_takes_s = 30, 1.0
    for number in range(900):
        logs.put(_lines(f"r{number}", "1", START_S + number))
    source, spans, seen = _source(logs), (StepSpan(0, START_S),), 0
    logs.error = "ServiceUnavailable"
    for at_s in range(10, 920, 10):
        logs.error = "ServiceUnavailable" if 100 < at_s < 500 else None
        try:
            seen += _look(source, logs, START_S + at_s, spans).requests(candidate=False)
        except EvidenceDownError:
            continue
    assert seen == 900


def test_after_an_outage_of_an_hour_nothing_is_asked_for_backwards():
    logs = FakeLogs()
    logs.put(_lines("one", "1", START_S + 90))
    source = _source(logs)
    for at_s in range(10, 70, 10):
        _look(source, logs, START_S + at_s)
    assert _look(source, logs, START_S + 3600).requests(candidate=False) == 1


def test_the_history_may_take_its_time(monkeypatch):
    logs = FakeLogs()
    monkeypatch.setattr("replay.canary.log_evidence.time.monotonic", lambda: logs.spent_s)
    logs.page, logs.page_takes_s = 30, 1.0
    for number in range(500):
        logs.put(_lines(f"r{number}", "1", START_S + number))
    logs.now_s = START_S + 500
    assert _source(logs).reference(START_S + 500).requests == 500
    assert logs.spent_s > 40


def test_the_history_fixes_thresholds_and_effect_sizes():
    logs = FakeLogs()
    rng = np.random.default_rng(0)
    for number in range(400):
        at_s = START_S - 500 + number
        status = "error" if number % 50 == 0 else "ok"
        logs.put(_lines(f"h{number}", "1", at_s, duration_ms=float(rng.lognormal(5, 0.3)), status=status))
    logs.page = 500
    logs.now_s = START_S
    reference = _source(logs).reference(START_S)
    assert reference.requests == 400
    assert reference.rates["error_rate"] == pytest.approx(0.02)
    assert reference.requests_per_s == pytest.approx(400 / 500, rel=0.01)
    assert reference.threshold_ms["p95"] == pytest.approx(np.exp(5 + 0.3 * 1.645), rel=0.1)
    assert reference.effect_odds["p95"] > 1.5
    assert 0 < reference.sound_odds["p95"] < 0.5
    assert Reference.from_json(json.loads(json.dumps(reference.to_json()))) == reference


def test_a_history_without_a_latency_is_not_judged():
    reference = reference_of((objective("ttft_p95", max=800.0),), {}, {}, requests=10, requests_per_s=1.0)
    assert reference.unseen == ("ttft_p95",)
    assert "not judged" in reference.notes[0]


@given(
    st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans(), st.floats(1, 1e4)), min_size=1, max_size=60),
    st.integers(1, 5),
)
def test_batches_of_looks_add_up_to_one(rows, looks):
    """Split over looks or taken at once: the same counts; and JSON keeps every one of them."""
    n = len(rows)
    columns = [np.array([row[i] for row in rows]) for i in range(4)]
    requests = Requests(
        np.zeros(n, dtype=np.int64), columns[0], columns[1], columns[2], np.zeros(n, bool), np.zeros(n, bool),
        {"execution_ms": columns[3]},
    )  # fmt: skip
    whole = reduce_requests(requests, OBJECTIVES, REFERENCE)[0]
    look = np.arange(n) % looks
    parts = reduce_requests(requests, OBJECTIVES, REFERENCE, look=look, looks=looks)
    for key, tally in whole.tallies.items():
        assert merge([part.tallies[key] for part in parts if key in part.tallies]) == tally
    assert Batch.from_json(json.loads(json.dumps(whole.to_json()))) == whole
    for pooled in (True, False):
        seen = sum(c.requests + b.requests for _, c, b in whole.strata(pooled=pooled))
        assert seen == n


def test_bad_batches_are_refused():
    with pytest.raises(InputError, match="cannot be read"):
        Batch.from_json({"cells": [[1, 2]], "late": 0, "duplicates": 0, "incomplete": 0, "note": None})
    with pytest.raises(ParameterError, match="candidate has 1"):
        Requests(*(np.zeros(2 if i != 1 else 1, dtype=bool) for i in range(6)))  # type: ignore[arg-type]


@given(st.lists(st.floats(0.01, 1e6), min_size=1, max_size=300), st.floats(0.01, 1))
def test_histogram_ranks_are_exact_and_values_within_a_percent(values, share):
    rank = max(1, int(share * len(values)))
    found = value_at_rank(buckets_of(np.array(values)), rank)
    true = sorted(values)[rank - 1]
    assert true * (1 - 1e-6) <= found <= true * 1.01 * (1 + 1e-6)


def test_figures_of_a_tally():
    sample = np.random.default_rng(1).lognormal(5, 0.3, 2000)
    tally = Tally(2000, {"error_rate": (20, 2000)}, {}, {"execution_ms": buckets_of(sample)})
    rate = figure_of(objective("error_rate"), tally, REFERENCE)
    assert rate is not None
    assert rate.low is not None
    assert rate.high is not None
    assert rate.low < 0.01 < rate.high
    assert "1 %" in str(rate)
    p95 = figure_of(objective("p95"), tally, REFERENCE)
    assert p95 is not None
    assert p95.low is not None
    assert p95.high is not None
    assert p95.low < float(np.quantile(sample, 0.95)) < p95.high
    p999 = figure_of(objective("p99.9"), Tally(50, {}, {}, {"execution_ms": buckets_of(sample[:50])}), REFERENCE)
    assert p999 is not None
    assert p999.high is None
    assert "?" in str(p999)
    assert figure_of(objective("p95"), Tally(0), REFERENCE) is None
