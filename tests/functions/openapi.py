"""docs/openapi.yaml as something that answers can be held against."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "openapi.yaml"


@cache
def document() -> Mapping[str, Any]:
    """The parsed document."""
    loaded: Mapping[str, Any] = yaml.safe_load(DOCUMENT.read_text(encoding="utf-8"))
    return loaded


@cache
def validator(name: str) -> Draft202012Validator:
    """A validator of one of the document's schemas."""
    schema = {"$ref": f"#/components/schemas/{name}", "components": document()["components"]}
    return Draft202012Validator(schema)


@cache
def answers(path: str, status: int) -> Draft202012Validator | None:
    """A validator of what ``POST path`` answers with ``status``; None where the document does not know that status."""
    response = document()["paths"][path]["post"]["responses"].get(str(status))
    if response is None:
        return None
    if "$ref" in response:
        response = document()["components"]["responses"][response["$ref"].rpartition("/")[2]]
    schema = {**response["content"]["application/json"]["schema"], "components": document()["components"]}
    return Draft202012Validator(schema)


def check(path: str, status: int, body: object) -> None:
    """Fail where an answer is not one that the document has."""
    found = answers(path, status)
    assert found is not None, f"{status} is not in the document"
    error = next(found.iter_errors(body), None)
    assert error is None, f"{status} {body!r}: {error.message if error else ''}"
