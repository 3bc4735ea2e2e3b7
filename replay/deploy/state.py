"""Where a deployment's state lies: Terraform's own, the pins, and the variables that it was last applied with.

By default all three lie in the state folder. A team keeps them in a bucket (:mod:`replay.deploy.bucket`), where every
member finds the same pins and none works at the same time as another.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Final, Protocol

from replay.errors import DeployError
from simulator.files import write_text

STATE_FILE: Final = "terraform.tfstate"


class DeploymentState(Protocol):
    """What a deployment reads and writes between its steps."""

    @property
    def place(self) -> str:
        """Name it in messages: a folder, or ``s3://BUCKET/PREFIX/ENV``."""
        ...

    def hold(self, doing: str) -> AbstractContextManager[None]:
        """Keep others out for as long as the block runs. Raises DeployError where somebody else is in."""
        ...

    def outputs(self) -> dict[str, Any]:
        """Give the values of Terraform's outputs; empty before the first apply. Raises DeployError, CloudError."""
        ...

    def read(self, name: str) -> dict[str, Any] | None:
        """Give a document, None where there is none. Raises DeployError, CloudError."""
        ...

    def write(self, name: str, document: Mapping[str, Any]) -> None:
        """Keep a document, whole or not at all. Raises DeployError, CloudError."""
        ...

    def remove(self, name: str) -> None:
        """Remove a document; one that is not there is no error. Raises CloudError."""
        ...


class FolderState:
    """State in a folder of this machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def place(self) -> str:
        """The folder."""
        return str(self._folder)

    def hold(self, doing: str) -> AbstractContextManager[None]:  # noqa: ARG002  (a bucket says what is being done)
        """Nothing to do: every deployment holds its folder."""
        return nullcontext()

    def outputs(self) -> dict[str, Any]:
        """Read the outputs from the state file: asking Terraform costs a second."""
        path = self._folder / STATE_FILE
        return outputs_in(path.read_bytes(), str(path)) if path.is_file() else {}

    def read(self, name: str) -> dict[str, Any] | None:
        """See :class:`DeploymentState`."""
        path = self._folder / name
        if not path.is_file():
            return None
        try:
            return parse_object(path.read_bytes(), str(path))
        except OSError as error:
            raise DeployError(f"{path}: cannot be read ({error})") from None

    def write(self, name: str, document: Mapping[str, Any]) -> None:
        """See :class:`DeploymentState`."""
        write_text(self._folder / name, to_json(document))

    def remove(self, name: str) -> None:
        """See :class:`DeploymentState`."""
        (self._folder / name).unlink(missing_ok=True)


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Hold a state folder; the system takes the lock back when this process ends, however that happens.

    Raises
    ------
    DeployError
        Another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "deploy.lock").open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DeployError(f"{folder}: another deployment works here; wait for it to end") from None
        yield


def outputs_in(state: bytes, place: str) -> dict[str, Any]:
    """Give the values of the outputs in a Terraform state. Raises DeployError where it is none."""
    try:
        document = json.loads(state)
        return {name: output["value"] for name, output in document["outputs"].items()}
    except (ValueError, KeyError, AttributeError, TypeError):
        raise DeployError(f"{place}: not a Terraform state; restore it from a backup") from None


def parse_object(text: bytes, place: str) -> dict[str, Any]:
    """Read a JSON object that a deployment wrote. Raises DeployError where it is damaged."""
    try:
        document = json.loads(text)
    except ValueError as error:
        raise DeployError(
            f"{place}: cannot be read ({error}); restore it, or use another place for the state"
        ) from None
    if not isinstance(document, dict):
        raise DeployError(f"{place}: holds no JSON object; restore it, or use another place for the state")
    return document


def to_json(document: Mapping[str, Any]) -> str:
    """Give a document as it is kept."""
    return json.dumps(document, indent=2, sort_keys=True) + "\n"
