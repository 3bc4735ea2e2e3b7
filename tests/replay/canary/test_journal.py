"""The journal's promises, the same for every kind of it: memory, a folder, DynamoDB over the wire."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import tracemalloc
from dataclasses import replace
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ReadTimeoutError

from replay.canary.errors import JournalDownError, LeaseHeldError, LeaseLostError
from replay.canary.journal import Command, DynamoJournal, FileJournal, Journal, Lease, Line, MemoryJournal
from replay.cloud import LocalCloud

NOW = 1_800_000_000.0


@pytest.fixture(scope="module")
def dynamodb(local_cloud: LocalCloud) -> Any:
    return local_cloud.client("dynamodb")


@pytest.fixture(params=["memory", "file", "dynamodb"])
def journal(request, tmp_path) -> Journal:
    if request.param == "memory":
        return MemoryJournal()
    if request.param == "file":
        return FileJournal(tmp_path / "journal")
    found = DynamoJournal(request.getfixturevalue("dynamodb"), f"f:{tmp_path.name}")
    found.ensure_table()
    assert found.ensure_table() is False
    return found


def _line(number: int, lease: Lease, kind: str = "note", **data: object) -> Line:
    return Line("20270115T080000Z-a", number, NOW + number, lease.token, kind, data)  # type: ignore[arg-type]


def test_lines_come_back_in_order(journal):
    lease = journal.acquire("a", 60, NOW)
    written = [_line(n, lease, "look" if n % 2 else "note", batch={"x": [n, 0.1]}) for n in range(12)]
    for line in written:
        journal.append(lease, line)
    assert list(journal.lines("20270115T080000Z-a")) == written
    assert list(journal.lines("20270115T080000Z-a", looks=False)) == written[::2]
    assert list(journal.rollouts()) == ["20270115T080000Z-a"]
    assert list(journal.lines("nothing")) == []


def test_rollouts_are_told_by_their_first_lines_alone(dynamodb, tmp_path):
    """Old rollouts have tens of thousands of looks; whoever asks for the newest must not read them all."""
    read = []

    class Counting:
        def __getattr__(self, name: str) -> Any:
            return getattr(dynamodb, name)

        def query(self, **request: Any) -> Any:
            answer = dynamodb.query(**request)
            read.append(answer["ScannedCount"])
            return answer

    journal = DynamoJournal(Counting(), f"many:{tmp_path.name}")
    journal.ensure_table()
    lease = journal.acquire("a", 60, NOW)
    names = ["20270115T080000Z-a", "20270115T080000Z-b", "20270116T080000Z-a"]
    for name in (*reversed(names), "20270117T080000Z-a"):
        for number in range(1 if name.startswith("20270117") else 0, 8):
            journal.append(lease, replace(_line(number, lease, "look"), rollout_id=name))
    assert list(journal.rollouts()) == names
    assert sum(read) <= 4


def test_a_place_is_taken_once(journal):
    lease = journal.acquire("a", 60, NOW)
    journal.append(lease, _line(0, lease))
    with pytest.raises(LeaseLostError, match="line 0"):
        journal.append(lease, _line(0, lease, who="else"))
    assert len(journal.lines("20270115T080000Z-a")) == 1


def test_one_holder_at_a_time_and_tokens_only_grow(journal):
    first = journal.acquire("a", 60, NOW)
    with pytest.raises(LeaseHeldError, match="a runs this rollout"):
        journal.acquire("b", 60, NOW + 59)
    again = journal.acquire("a", 60, NOW + 1)
    second = journal.acquire("b", 60, NOW + 100)
    assert first.token < again.token < second.token
    journal.release(second)
    assert journal.holder(NOW + 101) is None
    assert journal.acquire("c", 60, NOW + 101).token > second.token


def test_the_fence_holds_against_a_controller_that_slept(journal):
    old = journal.acquire("a", 60, NOW)
    journal.append(old, _line(0, old))
    new = journal.acquire("b", 60, NOW + 61)
    with pytest.raises(LeaseLostError, match="taken over"):
        journal.append(old, _line(1, old))
    with pytest.raises(LeaseLostError):
        journal.renew(old, 60, NOW + 62)
    journal.release(old)
    assert journal.holder(NOW + 62) == new
    journal.append(new, _line(1, new))
    assert [line.token for line in journal.lines("20270115T080000Z-a")] == [old.token, new.token]


def test_renewing_extends(journal):
    lease = journal.acquire("a", 10, NOW)
    renewed = journal.renew(lease, 60, NOW + 5)
    assert renewed.token == lease.token
    assert renewed.until_s == NOW + 65
    with pytest.raises(LeaseHeldError):
        journal.acquire("b", 10, NOW + 20)


def test_commands_wait_for_the_controller(journal):
    journal.post("r", Command("pause", NOW, "me"))
    journal.post("r", Command("resume", NOW + 1, "me"))
    assert [c.name for c in journal.commands("r", 0)] == ["pause", "resume"]
    assert [c.name for c in journal.commands("r", NOW)] == ["resume"]
    assert list(journal.commands("other", 0)) == []


def test_many_takers_one_winner(journal):
    """Eight threads want the lease at once; exactly one gets it."""
    won: list[Lease] = []
    barrier = threading.Barrier(8)

    def take(name: str) -> None:
        barrier.wait()
        try:
            won.append(journal.acquire(name, 60, NOW))
        except LeaseHeldError:
            return

    threads = [threading.Thread(target=take, args=(f"t{i}",)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1


def test_a_line_cut_short_by_a_crash_is_no_line(tmp_path):
    journal = FileJournal(tmp_path)
    lease = journal.acquire("a", 60, NOW)
    journal.append(lease, _line(0, lease))
    path = tmp_path / "20270115T080000Z-a.jsonl"
    whole = path.read_bytes()
    for cut in (1, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole + whole[:cut])
        assert len(journal.lines("20270115T080000Z-a")) == 1
        journal.append(lease, _line(1, lease))
        assert [line.number for line in journal.lines("20270115T080000Z-a")] == [0, 1]
        path.write_bytes(whole)


@pytest.mark.parametrize("size", [10, 20_000, 100_000])
def test_a_line_of_any_length_is_written_after_the_last_one(tmp_path, size):
    journal = FileJournal(tmp_path)
    lease = journal.acquire("a", 60, NOW)
    lines = [_line(number, lease, text="x" * size) for number in range(3)]
    for line in lines:
        journal.append(lease, line)
    # Its answer was lost: it is there once, and nobody else's.
    journal.append(lease, lines[-1])
    assert list(journal.lines("20270115T080000Z-a")) == lines
    with pytest.raises(LeaseLostError, match="line 4"):
        journal.append(lease, _line(4, lease))


def test_a_long_journal_takes_a_line_without_being_read(tmp_path):
    """At a look every ten seconds a rollout of three days has 26,000 lines: some thirty megabytes."""
    journal = FileJournal(tmp_path)
    lease = journal.acquire("a", 60, NOW)
    journal.append(lease, _line(0, lease))
    path = tmp_path / "20270115T080000Z-a.jsonl"
    path.write_bytes(b" " * 30_000_000 + b"\n" + path.read_bytes())
    tracemalloc.start()
    journal.append(lease, _line(1, lease))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 1_000_000
    assert path.read_bytes().endswith(b'"number":1,"at_s":1800000001.0,"token":1,"kind":"note","data":{}}\n')


def test_a_command_cut_short_by_a_crash_does_not_spoil_the_next(tmp_path):
    journal = FileJournal(tmp_path)
    journal.post("r", Command("pause", NOW, "me"))
    path = tmp_path / "r.commands"
    path.write_bytes(path.read_bytes() + b'{"name": "resu')
    journal.post("r", Command("abort", NOW + 1, "me"))
    assert [command.name for command in journal.commands("r", 0)] == ["pause", "abort"]


@pytest.mark.parametrize("left", [b"", b'{"rollout_id": "2027'])
def test_a_rollout_without_a_whole_first_line_never_began(tmp_path, left):
    """A controller that is killed while it writes its first line must not keep the next one from starting."""
    journal = FileJournal(tmp_path)
    (tmp_path / "20270115T080000Z-a.jsonl").write_bytes(left)
    assert list(journal.rollouts()) == []


@pytest.mark.parametrize("damaged", [b"not JSON", b"[]", b'{"rollout_id": "20270115T080000Z-a"}'])
def test_a_damaged_line_is_named(tmp_path, damaged):
    journal = FileJournal(tmp_path)
    lease = journal.acquire("a", 60, NOW)
    journal.append(lease, _line(0, lease))
    with (tmp_path / "20270115T080000Z-a.jsonl").open("ab") as file:
        file.write(damaged + b"\n")
    with pytest.raises(JournalDownError, match=r"20270115T080000Z-a\.jsonl: line 2 is damaged"):
        journal.lines("20270115T080000Z-a")


WRITER = """
import sys
from pathlib import Path
from replay.canary.journal import FileJournal, Line
journal = FileJournal(Path(sys.argv[1]))
lease = journal.acquire("writer", 1e9, 0.0)
for n in range(100000):
    journal.append(lease, Line("r", n, float(n), lease.token, "note", {"filler": "x" * 2000}))
    print(n, flush=True)
"""


def test_kill_9_in_the_middle_of_writing(tmp_path, project):
    """What was acknowledged before SIGKILL is there, in order; nothing is half there."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=project
    )
    assert process.stdout is not None
    acknowledged = -1
    for text in process.stdout:
        acknowledged = int(text)
        if acknowledged == 40:
            os.kill(process.pid, signal.SIGKILL)
            break
    acknowledged = max([acknowledged, *(int(text) for text in process.stdout)])
    process.wait()
    process.stdout.close()
    numbers = [line.number for line in FileJournal(tmp_path).lines("r")]
    assert numbers == list(range(len(numbers)))
    assert len(numbers) >= acknowledged + 1


def test_a_table_that_does_not_answer_is_one_line():
    client = boto3.client(
        "dynamodb",
        endpoint_url="http://127.0.0.1:9",
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
        config=Config(connect_timeout=1, read_timeout=1, retries={"total_max_attempts": 1}),
    )
    with pytest.raises(JournalDownError, match="taking the lease") as caught:
        DynamoJournal(client, "f:live").acquire("a", 60, NOW)
    assert "\n" not in str(caught.value)


def test_a_line_that_was_written_but_whose_answer_was_lost_counts_once(dynamodb, tmp_path):
    """The SDK sends again after a lost answer: the second refusal is recognised as our own first success."""

    class SendsTwice:
        def __getattr__(self, name: str) -> Any:
            return getattr(dynamodb, name)

        def transact_write_items(self, **request: Any) -> Any:
            dynamodb.transact_write_items(**request)
            return dynamodb.transact_write_items(**request)

    journal = DynamoJournal(SendsTwice(), f"twice:{tmp_path.name}")
    journal.ensure_table()
    lease = journal.acquire("a", 60, NOW)
    journal.append(lease, _line(0, lease))
    assert len(journal.lines("20270115T080000Z-a")) == 1


def test_a_line_whose_answer_was_lost_may_be_written_again(dynamodb, tmp_path):
    """The controller's client tries once and the controller again: its own line is not another controller's."""

    class LosesAnswers:
        def __getattr__(self, name: str) -> Any:
            return getattr(dynamodb, name)

        def transact_write_items(self, **request: Any) -> Any:
            dynamodb.transact_write_items(**request)
            raise ReadTimeoutError(endpoint_url="dynamodb")

    scope = f"lost:{tmp_path.name}"
    journal = DynamoJournal(dynamodb, scope)
    journal.ensure_table()
    lease = journal.acquire("a", 60, NOW)
    line = _line(0, lease, batch={"x": [0.1]})
    with pytest.raises(JournalDownError, match="writing line 0"):
        DynamoJournal(LosesAnswers(), scope).append(lease, line)
    journal.append(lease, line)
    assert list(journal.lines("20270115T080000Z-a")) == [line]
