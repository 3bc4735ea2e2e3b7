"""The state of a deployment in an S3 bucket, which a team shares.

``s3://BUCKET/PREFIX/ENV/`` holds Terraform's state (its S3 backend, with a lock file of its own for each apply), the
pins and the variables. A deployment is more than one apply, and moves pins in between: so it holds ``deploy.lock`` from
its beginning to its end. The lock is an object that is written only where there is none (``If-None-Match: *``), and the
documents are written only over what was read (``If-Match``): a deployment that lost its lock by force cannot undo
another's pins.
"""

from __future__ import annotations

import getpass
import hashlib
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final
from uuid import uuid4

from botocore.exceptions import ClientError

from replay.aws import cloud_errors, error_code
from replay.deploy.model import Progress, silent
from replay.deploy.state import STATE_FILE, outputs_in, parse_object, to_json
from replay.errors import CloudError, DeployError, InputError

LOCK_FILE: Final = "deploy.lock"
_TERRAFORM_LOCK: Final = f"{STATE_FILE}.tflock"
_TAKEN: Final = ("PreconditionFailed", "ConditionalRequestConflict")
_ABSENT: Final = ("NoSuchKey", "404")


class BucketState:
    """State in a bucket; see :class:`replay.deploy.state.DeploymentState`.

    Parameters
    ----------
    client
        boto3's S3 client.
    bucket, prefix
        ``s3://BUCKET/PREFIX`` with this environment's objects right below it.
    progress
        Told where a lock could not be given back.
    """

    def __init__(self, client: Any, bucket: str, prefix: str, progress: Progress = silent) -> None:
        self._client = client
        self.bucket = bucket
        self._prefix = prefix
        self._progress = progress
        self._read: dict[str, str | None] = {}
        """Document → the ETag that it was read or written with, None where there was none."""

    @property
    def place(self) -> str:
        """``s3://BUCKET/PREFIX/ENV``."""
        return f"s3://{self.bucket}/{self._prefix}"

    @property
    def state_key(self) -> str:
        """Key of Terraform's state."""
        return f"{self._prefix}/{STATE_FILE}"

    def region(self) -> str:
        """Give the bucket's region.

        Raises
        ------
        InputError
            There is no such bucket.
        CloudError
            S3 refuses or does not answer.
        """
        try:
            with cloud_errors(f"state bucket {self.bucket}"):
                try:
                    found = self._client.head_bucket(Bucket=self.bucket)
                except ClientError as error:
                    if error_code(error) not in ("404", "NoSuchBucket"):
                        raise
                    raise InputError(
                        f"state bucket {self.bucket!r} does not exist; make it first (docs/deployment.md says how)"
                    ) from None
        except CloudError as error:
            raise CloudError(f"{error}; may these credentials list it?") from error
        headers = found["ResponseMetadata"]["HTTPHeaders"]
        return str(headers.get("x-amz-bucket-region") or self._client.meta.region_name)

    @contextmanager
    def hold(self, doing: str) -> Iterator[None]:
        """Hold the deployment's lock. Raises DeployError with who holds it, CloudError."""
        lock = {
            "id": str(uuid4()),
            "who": _who(),
            "doing": doing,
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        text = to_json(lock)
        try:
            self._put(LOCK_FILE, text, None)
        except _TakenError:
            found = self._get(LOCK_FILE)
            holder = parse_object(found[0], f"{self.place}/{LOCK_FILE}") if found else {}
            # A first try may have reached S3 though its answer did not reach us.
            if holder.get("id") != lock["id"]:
                raise DeployError(f"{self.place}: {_held_by(holder)}") from None
        try:
            yield
        finally:
            self._release(str(lock["id"]))

    def outputs(self) -> dict[str, Any]:
        """See :class:`DeploymentState`."""
        found = self._get(STATE_FILE)
        return {} if found is None else outputs_in(found[0], f"{self.place}/{STATE_FILE}")

    def read(self, name: str) -> dict[str, Any] | None:
        """See :class:`DeploymentState`."""
        found = self._get(name)
        self._read[name] = None if found is None else found[1]
        return None if found is None else parse_object(found[0], f"{self.place}/{name}")

    def write(self, name: str, document: Mapping[str, Any]) -> None:
        """Write over what was read. Raises DeployError where somebody else wrote meanwhile, CloudError."""
        if name not in self._read:
            self.read(name)
        text = to_json(document)
        try:
            self._read[name] = self._put(name, text, self._read[name])
        except _TakenError:
            found = self._get(name)
            if found is None or found[0] != text.encode():
                raise DeployError(
                    f"{self.place}/{name}: somebody else wrote it meanwhile, so this deployment's lock was released by "
                    "force; run the deployment again"
                ) from None
            self._read[name] = found[1]

    def remove(self, name: str) -> None:
        """See :class:`DeploymentState`."""
        with cloud_errors(f"{self.place}/{name}: cannot be removed"):
            self._client.delete_object(Bucket=self.bucket, Key=f"{self._prefix}/{name}")
        self._read[name] = None

    def holds(self, state: bytes) -> bool:
        """Say whether Terraform's state here is ``state``."""
        found = self._get(STATE_FILE)
        return found is not None and found[0] == state

    def bring(self, state: bytes) -> None:
        """Put a Terraform state where there is none.

        Raises
        ------
        DeployError
            Another state is there.
        CloudError
            S3 refuses or does not answer.
        """
        try:
            self._put(STATE_FILE, state.decode(), None)
        except _TakenError:
            if not self.holds(state):
                raise DeployError(f"{self.place}/{STATE_FILE}: a state is here already; nothing was changed") from None

    def force_unlock(self, lock_id: str) -> str:
        """Release the lock ``lock_id``, a deployment's or Terraform's; give a line on what was released.

        With a deployment's lock goes that of the Terraform which it ran, since nobody else could take one meanwhile.

        Raises
        ------
        InputError
            No lock has this id.
        CloudError
            S3 refuses or does not answer.
        """
        locks: dict[str, dict[str, Any]] = {}
        for name in (LOCK_FILE, _TERRAFORM_LOCK):
            if (found := self._get(name)) is not None:
                locks[name] = parse_object(found[0], f"{self.place}/{name}")
        deployment, terraform = locks.get(LOCK_FILE, {}), locks.get(_TERRAFORM_LOCK, {})
        if lock_id not in (deployment.get("id"), terraform.get("ID")):
            held = [_held_by(deployment)] if deployment else []
            held += [_terraform_held(terraform)] if terraform else []
            raise InputError(f"{self.place}: no lock has the id {lock_id!r}: {'; '.join(held) or 'nothing is locked'}")
        released = []
        if terraform:
            self.remove(_TERRAFORM_LOCK)
            released.append(f"Terraform's lock {terraform.get('ID')} of {terraform.get('Who')}")
        if lock_id == deployment.get("id"):
            self.remove(LOCK_FILE)
            released.append(f"the deployment's lock {lock_id} of {deployment.get('who')} ({deployment.get('doing')})")
        return f"{self.place}: released {' and '.join(released)}"

    def _release(self, lock_id: str) -> None:
        try:
            found = self._get(LOCK_FILE)
            if found is not None and parse_object(found[0], LOCK_FILE).get("id") == lock_id:
                self.remove(LOCK_FILE)
        except (CloudError, DeployError) as error:
            self._progress(f"the lock could not be released ({error}); tailcast deploy --force-unlock {lock_id} does")

    def _get(self, name: str) -> tuple[bytes, str] | None:
        """Give an object and its ETag, None where there is none."""
        with cloud_errors(f"{self.place}/{name}: cannot be read"):
            try:
                found = self._client.get_object(Bucket=self.bucket, Key=f"{self._prefix}/{name}")
                return found["Body"].read(), str(found["ETag"])
            except ClientError as error:
                if error_code(error) not in _ABSENT:
                    raise
                return None

    def _put(self, name: str, text: str, over: str | None) -> str:
        """Write an object over the one with the ETag ``over``, or where there is none; give its ETag."""
        condition = {"IfNoneMatch": "*"} if over is None else {"IfMatch": over}
        body = text.encode()
        with cloud_errors(f"{self.place}/{name}: cannot be written"):
            try:
                written = self._client.put_object(
                    Bucket=self.bucket,
                    Key=f"{self._prefix}/{name}",
                    Body=body,
                    ContentType="application/json",
                    **condition,
                )
            except ClientError as error:
                if error_code(error) in _TAKEN:
                    raise _TakenError from None
                if over is not None and error_code(error) in _ABSENT:  # removed meanwhile
                    raise _TakenError from None
                raise
        return str(written.get("ETag") or f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"')


class _TakenError(Exception):
    """A conditional write found its condition false."""


def _held_by(lock: Mapping[str, Any]) -> str:
    return (
        f"locked since {lock.get('since')} by {lock.get('who')} ({lock.get('doing')}); wait for it to end, or, where "
        f"it was killed, release it: tailcast deploy --force-unlock {lock.get('id')}"
    )


def _terraform_held(lock: Mapping[str, Any]) -> str:
    return f"Terraform of {lock.get('Who')} holds {lock.get('ID')} since {lock.get('Created')}"


def _who() -> str:
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a container without an entry for its user
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}, process {os.getpid()}"
