"""Which route takes a request (API Gateway developer guide, "Create routes for HTTP APIs")."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote

DEFAULT_ROUTE = "$default"


@dataclass(frozen=True)
class RoutePattern:
    """A route key, taken apart."""

    key: str
    method: str
    segments: tuple[str, ...]

    @classmethod
    def parse(cls, key: str) -> RoutePattern:
        """Take ``"POST /genai"`` or ``"$default"`` apart."""
        if key == DEFAULT_ROUTE:
            return cls(key, "ANY", ())
        method, _, path = key.partition(" ")
        return cls(key, method.upper(), _split(path))

    def match(self, method: str, segments: tuple[str, ...]) -> dict[str, str] | None:
        """Give the path parameters of a request that fits, None for one that does not."""
        if self.method not in ("ANY", method):
            return None
        if self.key == DEFAULT_ROUTE:
            return {}
        parameters: dict[str, str] = {}
        for index, wanted in enumerate(self.segments):
            if wanted.startswith("{") and wanted.endswith("+}"):
                if index >= len(segments):
                    return None
                parameters[wanted[1:-2]] = unquote("/".join(segments[index:]))
                return parameters
            if index >= len(segments):
                return None
            if wanted.startswith("{") and wanted.endswith("}"):
                parameters[wanted[1:-1]] = unquote(segments[index])
            elif wanted != segments[index]:
                return None
        return parameters if len(segments) == len(self.segments) else None

    @property
    def rank(self) -> tuple[object, ...]:
        """Order of preference: written-out segments before variables before greedy ones, ``$default`` last.

        Among equals the named method comes before ``ANY``.
        """
        if self.key == DEFAULT_ROUTE:
            return (1, (), 1)
        kinds = tuple(2 if s.endswith("+}") else 1 if s.startswith("{") else 0 for s in self.segments)
        return (0, (*kinds, 3), int(self.method == "ANY"))


def select(keys: Iterable[str], method: str, path: str) -> tuple[str, dict[str, str]] | None:
    """Give the key of the most specific route that takes a request, with its path parameters; None where none does.

    Parameters
    ----------
    keys
        The API's route keys.
    method, path
        Of the request; the path without its stage, still percent-encoded.
    """
    segments = _split(path)
    for pattern in sorted(map(RoutePattern.parse, keys), key=lambda pattern: pattern.rank):
        parameters = pattern.match(method, segments)
        if parameters is not None:
            return pattern.key, parameters
    return None


def _split(path: str) -> tuple[str, ...]:
    stripped = path.strip("/")
    return tuple(stripped.split("/")) if stripped else ()
