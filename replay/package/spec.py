"""What a function's ``package.toml`` says."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from replay.errors import InputError


@dataclass(frozen=True)
class PackageSpec:
    """The contents of one deployment package."""

    function: str
    folder: Path
    handler: str
    """Lambda's handler string: ``module.path.function``, or the path of a script that starts an application."""
    sources: tuple[str, ...]
    """Files and folders, relative to the project; they lie at the same place in the zip."""
    sdk_services: tuple[str, ...]
    """AWS services whose models botocore keeps."""
    requirements: Path
    """Exact and hashed, in pip's format."""


def read_spec(project: Path, function: str) -> PackageSpec:
    """Read ``functions/<function>/package.toml``.

    Raises
    ------
    InputError
        No such function, or a missing, unknown or wrongly typed key; one line that names file and key.
    """
    folder = project / "functions" / function
    path = folder / "package.toml"
    if not path.is_file():
        raise InputError(f"{path}: no such file; is {function!r} the name of a folder in {project / 'functions'}?")
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid TOML: {error}") from None
    unknown = sorted(set(table) - {"handler", "sources", "sdk_services"})
    if unknown:
        raise InputError(f"{path}: unknown key {unknown[0]!r}; known are handler, sources, sdk_services")
    requirements = folder / "requirements.txt"
    if not requirements.is_file():
        raise InputError(f"{requirements}: no such file; a function without dependencies has an empty one")
    handler = table.get("handler")
    if not isinstance(handler, str) or "." not in handler:
        raise InputError(f"{path}: handler={handler!r} must be text such as 'functions.{function}.handler.handle'")
    return PackageSpec(
        function=function,
        folder=folder,
        handler=handler,
        sources=_texts(path, table, "sources"),
        sdk_services=_texts(path, table, "sdk_services"),
        requirements=requirements,
    )


def _texts(path: Path, table: dict[str, Any], key: str) -> tuple[str, ...]:
    value = table.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        raise InputError(f"{path}: {key}={value!r} must be a list of texts")
    return tuple(value)
