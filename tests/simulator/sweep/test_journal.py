from __future__ import annotations

import json
from pathlib import Path

import pytest

from simulator.errors import ParameterError
from simulator.sweep.journal import digest_of_trace, key_of, opened
from simulator.trace import TraceMetadata, make_trace
from tests.simulator.worlds import World

INPUTS = {"seed": 1, "scenarios": [{"weight": 0.1}]}


def test_what_was_written_is_there_again(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with opened(folder, INPUTS) as journal:
        assert journal.done == {}
        journal.write([{"scenario": 3, "p": 0.5}, {"scenario": 1, "p": None}])
    with opened(folder, INPUTS) as journal:
        assert journal.done == {3: {"scenario": 3, "p": 0.5}, 1: {"scenario": 1, "p": None}}
        journal.write([{"scenario": 2, "p": 1.0}])
        assert set(journal.done) == {1, 2, 3}
    assert len((folder / "results.jsonl").read_text().splitlines()) == 3
    assert json.loads((folder / "inputs.json").read_text()) == INPUTS


@pytest.mark.parametrize("torn", [b'{"scenario": 2, "p"', b"\xff", b" "])
def test_a_line_that_a_kill_cut_off_is_cut_away(tmp_path: Path, torn: bytes) -> None:
    with opened(tmp_path, INPUTS) as journal:
        journal.write([{"scenario": 1}])
    with (tmp_path / "results.jsonl").open("ab") as results:
        results.write(torn)
    with opened(tmp_path, INPUTS) as journal:
        assert set(journal.done) == {1}
        journal.write([{"scenario": 2}])
    assert (tmp_path / "results.jsonl").read_bytes() == b'{"scenario": 1}\n{"scenario": 2}\n'


def test_other_inputs_and_other_sweeps_are_kept_out(tmp_path: Path) -> None:
    with opened(tmp_path, INPUTS) as journal:
        journal.write([{"scenario": 1}])
        with pytest.raises(ParameterError, match="another sweep is at work"), opened(tmp_path, INPUTS):
            pass
    with pytest.raises(ParameterError, match="other inputs"), opened(tmp_path, {**INPUTS, "seed": 2}):
        pass
    with opened(tmp_path, {**INPUTS, "seed": 2}, fresh=True) as journal:
        assert journal.done == {}
    assert (tmp_path / "results.jsonl").read_bytes() == b""


def test_a_kill_while_a_sweep_begins_anew_leaves_no_results_of_other_inputs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path, INPUTS) as journal:
        journal.write([{"scenario": 1}])
    others = {**INPUTS, "seed": 2}

    def write_then_die(target: Path, text: str) -> None:
        target.write_text(text)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("simulator.sweep.journal.write_text", write_then_die)
        with pytest.raises(KeyboardInterrupt), opened(tmp_path, others, fresh=True):
            pass
    with opened(tmp_path, others) as journal:
        assert journal.done == {}


def test_a_whole_line_that_is_no_result_is_told_by_its_number(tmp_path: Path) -> None:
    with opened(tmp_path, INPUTS) as journal:
        journal.write([{"scenario": 1}])
    with (tmp_path / "results.jsonl").open("ab") as results:
        results.write(b"[1]\n")
    with pytest.raises(ParameterError, match=r"results\.jsonl: line 2 is no result"), opened(tmp_path, INPUTS):
        pass


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ParameterError, match="--run-dir"), opened(tmp_path / "file" / "run", INPUTS):
        pass


def test_the_key_changes_with_whatever_the_results_depend_on() -> None:
    trace = World().record(2).baseline
    assert key_of(INPUTS) == key_of(dict(reversed(INPUTS.items())))
    assert key_of(INPUTS) != key_of({**INPUTS, "seed": 2})
    assert digest_of_trace(trace) == digest_of_trace(make_trace(trace.frame.clone(), trace.metadata))
    assert digest_of_trace(trace) != digest_of_trace(make_trace(trace.frame[1:], trace.metadata))
    assert digest_of_trace(trace) != digest_of_trace(make_trace(trace.frame, TraceMetadata(source="other")))
