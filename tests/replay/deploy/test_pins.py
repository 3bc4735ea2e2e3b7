"""What a state folder remembers."""

from __future__ import annotations

from pathlib import Path

import pytest

from replay.deploy.pins import PINS_FILE, Pin, Pins, read_pins, write_pins
from replay.errors import DeployError, InputError


def test_pins_survive_being_written(tmp_path: Path) -> None:
    pins = Pins("AWS", "optimized").with_pin("baseline", Pin("1", "a")).with_pin("optimized", Pin("2", "b"))
    write_pins(tmp_path, pins)
    assert read_pins(tmp_path, "AWS") == pins
    assert (pins.version("baseline"), pins.versions()) == ("1", {"1", "2"})


def test_a_new_folder_has_none(tmp_path: Path) -> None:
    pins = read_pins(tmp_path, "AWS")
    assert (pins, pins.version("baseline")) == (Pins("AWS"), "")


def test_the_state_of_another_cloud_is_refused(tmp_path: Path) -> None:
    write_pins(tmp_path, Pins("http://127.0.0.1:1"))
    with pytest.raises(InputError, match=r"holds the state of http://127.0.0.1:1, not of AWS; give another"):
        read_pins(tmp_path, "AWS")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": 9}', '{"format": 1, "target": "AWS", "pins": 3}'])
def test_a_damaged_file_is_refused_with_its_place(tmp_path: Path, text: str) -> None:
    (tmp_path / PINS_FILE).write_text(text)
    with pytest.raises(DeployError, match=PINS_FILE):
        read_pins(tmp_path, "AWS")
