"""What a deployment remembers, and where."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from replay.deploy.pins import PINS_FILE, Pin, Pins, parse_pins, to_document
from replay.deploy.state import STATE_FILE, FolderState
from replay.errors import DeployError, InputError


def read(folder: Path) -> Pins:
    return parse_pins(FolderState(folder).read(PINS_FILE), "AWS", str(folder))


def test_pins_survive_being_written(tmp_path: Path) -> None:
    pins = Pins("AWS", "optimized").with_pin("baseline", Pin("1", "a")).with_pin("optimized", Pin("2", "b"))
    FolderState(tmp_path).write(PINS_FILE, to_document(pins))
    assert read(tmp_path) == pins
    assert (pins.version("baseline"), pins.versions()) == ("1", {"1", "2"})


def test_a_new_folder_has_none(tmp_path: Path) -> None:
    pins = read(tmp_path)
    assert (pins, pins.version("baseline")) == (Pins("AWS"), "")
    assert FolderState(tmp_path).outputs() == {}


def test_the_state_of_another_cloud_is_refused(tmp_path: Path) -> None:
    FolderState(tmp_path).write(PINS_FILE, to_document(Pins("http://127.0.0.1:1")))
    with pytest.raises(InputError, match=r"holds the state of http://127.0.0.1:1, not of AWS; give another"):
        read(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": 9}', '{"format": 1, "target": "AWS", "pins": 3}'])
def test_a_damaged_file_is_refused_with_its_place(tmp_path: Path, text: str) -> None:
    (tmp_path / PINS_FILE).write_text(text)
    with pytest.raises(DeployError, match=PINS_FILE):
        read(tmp_path)


def test_outputs_come_from_terraforms_state(tmp_path: Path) -> None:
    (tmp_path / STATE_FILE).write_text(json.dumps({"version": 4, "outputs": {"region": {"value": "eu-west-1"}}}))
    assert FolderState(tmp_path).outputs() == {"region": "eu-west-1"}
    (tmp_path / STATE_FILE).write_text("[]")
    with pytest.raises(DeployError, match=r"terraform\.tfstate: not a Terraform state"):
        FolderState(tmp_path).outputs()
