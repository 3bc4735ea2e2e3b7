"""A deployment's state in a bucket: finding it, bringing a folder's state there, and releasing what was left locked."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from replay.deploy.bucket import BucketState
from replay.deploy.model import PACKAGE_VARIABLES, DeployRequest
from replay.deploy.pins import PINS_FILE, VARIABLES_FILE, parse_pins
from replay.deploy.state import STATE_FILE, FolderState, folder_lock
from replay.deploy.target import Target
from replay.errors import InputError


def bucket_of(request: DeployRequest) -> BucketState:
    """Give the state of a request that names a bucket.

    Raises
    ------
    InputError
        It names none, or an endpoint that is no address.
    CloudError
        Nothing answers at the endpoint.
    """
    if request.state_bucket is None:
        raise InputError("--state-bucket is missing; name the bucket that keeps the state")
    target = Target(request.endpoint_url)
    target.check()
    client = target.client("s3", request.region or "us-east-1")
    return BucketState(client, request.state_bucket, f"{request.state_prefix}/{request.env}", request.progress)


def shared_paths(variables: Mapping[str, Any], folder: Path, env: str) -> dict[str, Any]:
    """Give variables with the paths of packages as the copied configuration sees them: alike on every machine."""
    root = folder / "configuration" / "environments" / env
    shared = dict(variables)
    if "package_path" in shared:
        shared["package_path"] = os.path.relpath(shared["package_path"], root)
    for name in PACKAGE_VARIABLES:
        if package := shared.get(name):
            shared[name] = {**package, "path": os.path.relpath(package["path"], root)}
    return shared


def migrate(request: DeployRequest) -> str:
    """Bring a state folder's state, pins and variables into the request's bucket; give the place.

    What was brought keeps lying in the folder under other names. Killed halfway it is finished by running it again.

    Raises
    ------
    InputError
        No bucket is named, it does not exist, or the folder holds no state, or that of another cloud.
    DeployError
        The bucket holds another state already, or is locked, or the folder's pins are damaged.
    CloudError
        S3 refuses or does not answer.
    """
    with folder_lock(request.state_dir):
        state = bucket_of(request)
        folder = request.state_dir.resolve()
        if not (folder / STATE_FILE).is_file():
            raise InputError(f"{folder}: no {STATE_FILE} to bring to {state.place}")
        local = FolderState(folder)
        parse_pins(local.read(PINS_FILE), Target(request.endpoint_url).name, str(folder))
        state.region()
        with state.hold("bring a local state"):
            state.bring((folder / STATE_FILE).read_bytes())
            for name in (PINS_FILE, VARIABLES_FILE):
                if (document := local.read(name)) is not None:
                    shared = shared_paths(document, folder, request.env) if name == VARIABLES_FILE else document
                    state.write(name, shared)
        for name in (PINS_FILE, VARIABLES_FILE, STATE_FILE):
            if (folder / name).is_file():
                (folder / name).replace(folder / f"{name}.migrated")
    return state.place


def force_unlock(request: DeployRequest, lock_id: str) -> str:
    """Release a lock that a killed deployment left in the request's bucket; give a line on what was released.

    Raises
    ------
    InputError
        No bucket is named, it does not exist, or no lock has this id.
    CloudError
        S3 refuses or does not answer.
    """
    state = bucket_of(request)
    state.region()
    return state.force_unlock(lock_id)
