"""Where the checkout is: functions and Terraform code are deployed from there."""

from __future__ import annotations

from pathlib import Path

from replay.errors import InputError


def find_project(start: Path) -> Path:
    """Give the checkout that holds ``start``: the nearest folder with ``terraform/environments`` and ``functions``.

    Raises
    ------
    InputError
        ``start`` is not in a checkout of tailcast.
    """
    start = start.resolve()
    for folder in (start, *start.parents):
        if (folder / "terraform" / "environments").is_dir() and (folder / "functions").is_dir():
            return folder
    raise InputError(f"{start}: not in a tailcast checkout (no terraform/environments and functions); give --project")
