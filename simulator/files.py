"""Files that are whole or absent: written beside their place, then renamed onto it."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

_POLARS_OS_ERROR: Final = re.compile(r"\(os error (\d+)\)")
"""In Polars' words a full disk is an error of the file's format, with the system's number in its text."""


@contextmanager
def written_beside(target: Path) -> Iterator[Path]:
    """Yield a temporary path in ``target``'s folder, and rename it onto ``target`` if the block succeeds.

    A reader sees the old file or the new one, never half of one; a crash leaves the old one. The folder is made
    where it is missing. Raises OSError, which names ``target``, where nothing can be written there.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = target.parent / f".{target.name}.{secrets.token_hex(4)}"
        # Readable by whom the user's umask lets read it: settings may be in it that are nobody else's business.
        os.close(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    except OSError as error:
        raise type(error)(error.errno, error.strerror, str(target)) from error
    try:
        yield beside
        with beside.open("rb") as written:
            os.fsync(written.fileno())
        beside.replace(target)
    except BaseException as error:
        with suppress(FileNotFoundError):
            beside.unlink()
        number = _os_error(error, str(beside))
        if number is not None:
            raise OSError(number, os.strerror(number), str(target)) from error
        raise


def _os_error(error: BaseException, beside: str) -> int | None:
    """Give the operating system's number of an error of writing ``beside``; None of any other error."""
    if isinstance(error, OSError) and error.errno is not None:
        # A full disk names no file, and a rename the one that nobody knows of.
        return error.errno if str(error.filename or beside) == beside else None
    told = _POLARS_OS_ERROR.search(str(error)) if isinstance(error, Exception) else None
    return int(told[1]) if told is not None else None


def write_text(target: Path, text: str) -> Path:
    """Write ``text`` (UTF-8) to ``target``, whole or not at all."""
    with written_beside(target) as beside:
        beside.write_text(text, encoding="utf-8")
    return target
