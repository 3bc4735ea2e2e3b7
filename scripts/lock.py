"""Print the installed versions of everything tailcast needs, as pip constraints.

``make lock`` writes constraints.txt with it. Only what pyproject.toml asks for, directly or by way of another
package, is printed, so a tool that a developer installed by hand does not leak into the lock.
"""

from __future__ import annotations

import re
import sys
from importlib import metadata

_NAME = re.compile(r"[A-Za-z0-9._-]+")


def closure(root: str, extras: frozenset[str]) -> dict[str, str]:
    """Give name → version of all that ``root`` with ``extras`` requires on this interpreter."""
    from packaging.requirements import Requirement

    found: dict[str, str] = {}
    queue: list[tuple[str, frozenset[str]]] = [(root, extras)]
    seen: set[tuple[str, frozenset[str]]] = set()
    while queue:
        name, wanted = queue.pop()
        if (name, wanted) in seen:
            continue
        seen.add((name, wanted))
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        canonical = re.sub(r"[-_.]+", "-", name).lower()
        if name != root:
            found[canonical] = distribution.version
        for line in distribution.requires or []:
            requirement = Requirement(line)
            environments = [{"extra": extra} for extra in (wanted or {""})]
            if requirement.marker is None or any(requirement.marker.evaluate(e) for e in environments):
                queue.append((requirement.name, frozenset(requirement.extras)))
    return found


def main() -> None:
    """Print the constraints, sorted."""
    locked = closure("tailcast", frozenset({"cloud", "dev"}))
    if not locked:
        print("error: tailcast is not installed here; run `make setup` first", file=sys.stderr)
        raise SystemExit(1)
    print("# Written by `make lock`: the versions that CI runs. pyproject.toml holds the ranges that users get.")
    for name, version in sorted(locked.items()):
        print(f"{name}=={version}")


if __name__ == "__main__":
    main()
