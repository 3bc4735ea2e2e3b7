"""Validation: two small cases for real, and how a study counts what its cases found."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from replay.cli import main
from replay.errors import InputError
from replay.package import build_package
from replay.validate.cases import CASES, FAMILIES, Case, case_named
from replay.validate.experiment import FIGURES, JUDGED, Pace
from replay.validate.report import summarise, to_markdown
from replay.validate.study import Study


class Listener:
    def __init__(self) -> None:
        self.begun: list[str] = []

    def began(self, case: str, tried: int) -> None:
        self.begun.append(case)

    def said(self, case: str, text: str) -> None:
        pass

    def ended(self, case: str, document: dict[str, Any]) -> None:
        assert document["failed"] is None, document["failed"]


@pytest.mark.slow
def test_a_forecast_is_on_disk_before_its_case_happens_and_a_study_is_resumed(project: Path, tmp_path: Path) -> None:
    """Two cases with everything in them: PC and a burst; new versions with a short time-out."""
    cases = (case_named("burst 10x, PC 2").shortened(0.25), case_named("time-out 1 s").shortened(0.25))
    package = build_package("inference", project=project, out_dir=tmp_path / "package")
    pace = Pace(baseline_s=4.0, candidate_s=3.0, record_rps=10.0, gap_s=8.0, replications=60)
    # A loaded machine is no failure: what it spoils counts as busy, and one try is enough here.
    study = Study(cases, tmp_path / "study", package, seed=1, most_tries=1, pace=pace)
    listener = Listener()

    documents = study.run(listener)

    assert listener.begun == [case.name for case in cases]
    for document, folder in zip(documents, ("burst-10x-PC-2", "time-out-1-s"), strict=True):
        (result,) = document["tries"]
        home = tmp_path / "study" / folder / "try-1"
        written = json.loads((home / "forecast.json").read_text())
        assert datetime.fromisoformat(written["written_at"]) < datetime.fromisoformat(result["happened_from"])
        assert written["figures"].keys() == set(FIGURES)
        assert written["requests"] == result["requests"] > 10
        for name, figure in result["figures"].items():
            foreseen = written["figures"][name]
            assert (figure["lo"], figure["hi"]) == (foreseen["lo"], foreseen["hi"])
            assert figure["inside"] == (figure["lo"] <= figure["observed"] <= figure["hi"])
        assert sum(result["status"].values()) == result["requests"]
        assert not (home / "cloud").exists()
    # New versions begin cold, and a second cuts some calls off.
    assert documents[1]["tries"][0]["figures"]["cold_count"]["observed"] > 0
    summary = summarise(documents)
    assert summary["cases"] == 2
    assert summary["failed"] == []

    again = Listener()
    assert study.run(again) == documents
    assert again.begun == []
    with pytest.raises(InputError, match="holds a study with"):
        Study(cases, tmp_path / "study", package, seed=2, pace=pace).run(again)


def figure(inside: bool, certain: bool = False) -> dict[str, Any]:
    return {
        "observed": 5.0,
        "median": 6.0,
        "lo": 4.0 if inside else 5.5,
        "hi": 8.0,
        "error_pct": 20.0,
        "inside": inside,
        "certain": certain,
    }


def document(name: str, *, p99: bool = True, busy: str | None = None, failed: str | None = None) -> dict[str, Any]:
    figures = {one: figure(True, certain=one == "timeout_count") for one in FIGURES} | {"p99_ms": figure(p99)}
    return {
        "case": name,
        "family": "burst",
        "tries": [{"case": name, "requests": 100, "figures": figures, "busy": busy, "failed": failed}],
    }


def test_only_what_the_machine_kept_time_for_counts_and_the_rest_is_named() -> None:
    documents = [document(f"case {number}") for number in range(9)]
    documents += [document("missed", p99=False), document("late", busy="late by 80 ms"), document("dead", failed="no")]

    found = summarise(documents)

    assert (found["cases"], found["counted"]) == (12, 10)
    assert (found["figures"]["p99_ms"]["inside"], found["figures"]["p99_ms"]["checked"]) == (9, 10)
    assert found["figures"]["timeout_count"]["open"] == 0
    assert found["all_judged"] == 9
    assert found["met"]
    assert found["too_busy"] == ["late: late by 80 ms"]
    assert found["failed"] == ["dead: no"]
    table = to_markdown(documents, found)
    assert "| missed | 100 | 5 in 5.50–8 **out** |" in table
    assert "p99 ms: inside in 9 of 10 cases (90%" in table


def test_one_figure_below_nine_in_ten_is_enough_to_miss() -> None:
    documents = [document(f"case {number}", p99=number != 0) for number in range(9)]

    assert not summarise(documents)["met"]
    assert not summarise([])["met"]


def test_the_cases_are_those_of_the_promise() -> None:
    assert {case.family for case in CASES} == set(FAMILIES)
    bursts = [case for case in CASES if case.family == "burst"]
    assert len({(case.load[1][1] / case.load[0][1], case.provisioned) for case in bursts}) == 9
    assert {case.weight for case in CASES if case.family == "weight"} == {0.05, 0.1, 0.25, 0.5}
    assert len({case.name for case in CASES}) == len(CASES)
    assert set(JUDGED) < set(FIGURES)
    for case in CASES:
        assert Case.from_json(json.loads(json.dumps(case.to_json()))) == case


def test_a_name_that_no_case_has_is_refused() -> None:
    listed = CliRunner().invoke(main, ["validate", "--list", "--only", "quota"])
    assert listed.exit_code == 0
    assert "tokens quota, 2 tries" in listed.output.splitlines()

    refused = CliRunner().invoke(main, ["validate", "--only", "nothing of the kind"])
    assert refused.exit_code == 2
    assert "no case's name holds it" in refused.output
