"""Which route takes a request."""

from __future__ import annotations

import pytest

from replay.cloud.gateway.routes import select

KEYS = [
    "$default",
    "ANY /{proxy+}",
    "GET /pets/{id}",
    "ANY /pets/{id}",
    "GET /pets/mine",
    "POST /genai",
    "GET /a/{x}/c",
    "GET /a/b/{rest+}",
    "GET /",
]


@pytest.mark.parametrize(
    ("method", "path", "key", "parameters"),
    [
        ("POST", "/genai", "POST /genai", {}),
        ("POST", "/genai/", "POST /genai", {}),
        ("GET", "/genai", "ANY /{proxy+}", {"proxy": "genai"}),
        ("GET", "/pets/mine", "GET /pets/mine", {}),
        ("GET", "/pets/7", "GET /pets/{id}", {"id": "7"}),
        ("DELETE", "/pets/7", "ANY /pets/{id}", {"id": "7"}),
        ("GET", "/pets/a%20b", "GET /pets/{id}", {"id": "a b"}),
        ("GET", "/pets/7/tags", "ANY /{proxy+}", {"proxy": "pets/7/tags"}),
        ("GET", "/a/b/c", "GET /a/b/{rest+}", {"rest": "c"}),
        ("GET", "/a/z/c", "GET /a/{x}/c", {"x": "z"}),
        ("GET", "/", "GET /", {}),
        ("POST", "/", "$default", {}),
    ],
)
def test_the_most_specific_route_wins(method: str, path: str, key: str, parameters: dict[str, str]) -> None:
    assert select(KEYS, method, path) == (key, parameters)
    assert select(reversed(KEYS), method, path) == (key, parameters), "whatever the order of the routes"


def test_no_route() -> None:
    assert select(["POST /genai"], "GET", "/genai") is None
    assert select(["POST /genai"], "POST", "/Genai") is None
    assert select([], "POST", "/") is None
