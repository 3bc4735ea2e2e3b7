"""How an extension takes the place of one of moto's backends.

Moto finds a backend's addresses in the module ``urls`` beside the backend's class. An extension is a subclass in a
package of its own, so it names its addresses itself: moto's, answered by the extension's response class.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import ModuleType, SimpleNamespace
from typing import Any


def addresses(
    module: ModuleType, original: type, replacement: type, added: Mapping[str, Callable[..., Any]] | None = None
) -> SimpleNamespace:
    """Give moto's address table of a service, with ``replacement`` in the place of the response class ``original``."""
    paths: dict[str, Callable[..., Any]] = {}
    for path, handler in module.url_paths.items():
        bound_to = getattr(handler, "__self__", None)
        paths[path] = getattr(replacement, handler.__name__) if bound_to is original else handler
    return SimpleNamespace(url_bases=module.url_bases, url_paths={**paths, **(added or {})})
