"""What a state folder remembers between deployments: which version serves which variant, and whose cloud it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from replay.deploy.model import VARIANTS, Variant
from replay.errors import DeployError, InputError
from simulator.files import write_text

PINS_FILE: Final = "pins.json"
VARIABLES_FILE: Final = "deploy.tfvars.json"
_FORMAT: Final = 1


@dataclass(frozen=True)
class Pin:
    """The published version of a variant, and the digest of what it was published from."""

    version: str
    fingerprint: str


@dataclass(frozen=True)
class Pins:
    """Variant → pin; written before Terraform acts on it, so that a killed deployment is finished by the next one."""

    target: str
    """The cloud that the state belongs to: ``AWS`` or a local cloud's address."""
    latest: Variant | None = None
    """Variant whose configuration the function's ``$LATEST`` has."""
    pins: Mapping[str, Pin] = field(default_factory=dict)

    def version(self, variant: Variant) -> str:
        """Give the pinned version, empty where there is none."""
        pin = self.pins.get(variant)
        return pin.version if pin else ""

    def with_pin(self, variant: Variant, pin: Pin) -> Pins:
        """Give the pins after ``variant`` moved."""
        return replace(self, pins={**self.pins, variant: pin})

    def versions(self) -> set[str]:
        """Give the versions that are pinned."""
        return {pin.version for pin in self.pins.values()}


def read_pins(folder: Path, target: str) -> Pins:
    """Read the pins of a state folder; empty ones where there are none yet.

    Raises
    ------
    InputError
        The folder holds the state of another cloud.
    DeployError
        The file is damaged.
    """
    path = folder / PINS_FILE
    if not path.is_file():
        return Pins(target)
    document = read_json(path)
    try:
        if document["format"] != _FORMAT:
            raise DeployError(f"{path}: format {document['format']!r} is not {_FORMAT}; upgrade tailcast")
        pins = Pins(
            target=str(document["target"]),
            latest=document["latest"],
            pins={name: Pin(**document["pins"][name]) for name in VARIANTS if name in document["pins"]},
        )
    except (KeyError, TypeError):
        raise DeployError(f"{path}: damaged; restore it, or use another state folder") from None
    if pins.target != target:
        raise InputError(f"{folder}: holds the state of {pins.target}, not of {target}; give another state folder")
    return pins


def write_pins(folder: Path, pins: Pins) -> None:
    """Write the pins, whole or not at all."""
    write_text(folder / PINS_FILE, json.dumps({"format": _FORMAT, **asdict(pins)}, indent=2) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object that a deployment wrote. Raises DeployError where it is damaged."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DeployError(f"{path}: cannot be read ({error}); restore it, or use another state folder") from None
    if not isinstance(document, dict):
        raise DeployError(f"{path}: holds no JSON object; restore it, or use another state folder")
    return document
