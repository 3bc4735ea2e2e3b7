"""What a state folder remembers between deployments: which version serves which variant, and whose cloud it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

from replay.deploy.model import VARIANTS, Variant
from replay.errors import DeployError, InputError

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


def parse_pins(document: Mapping[str, Any] | None, target: str, place: str) -> Pins:
    """Read the pins out of their document; empty ones where there is none yet.

    Parameters
    ----------
    document
        What lies in the pins file.
    target
        The cloud that is deployed to.
    place
        Where the document lies, for messages.

    Raises
    ------
    InputError
        It belongs to another cloud.
    DeployError
        It is damaged.
    """
    if document is None:
        return Pins(target)
    try:
        if document["format"] != _FORMAT:
            raise DeployError(f"{place}/{PINS_FILE}: format {document['format']!r} is not {_FORMAT}; upgrade tailcast")
        pins = Pins(
            target=str(document["target"]),
            latest=document["latest"],
            pins={name: Pin(**document["pins"][name]) for name in VARIANTS if name in document["pins"]},
        )
    except (KeyError, TypeError):
        raise DeployError(f"{place}/{PINS_FILE}: damaged; restore it, or use another place for the state") from None
    if pins.target != target:
        raise InputError(
            f"{place}: holds the state of {pins.target}, not of {target}; give another place for the state"
        )
    return pins


def to_document(pins: Pins) -> dict[str, Any]:
    """Give the pins as they are written."""
    return {"format": _FORMAT, **asdict(pins)}
