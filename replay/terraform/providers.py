"""Where Terraform gets its providers from: a mirror folder on this machine where there is one, else the registry.

A mirror serves machines without internet. It is a folder named after the registry, ``registry.terraform.io``, with
``hashicorp/aws/<version>/<platform>`` in it, as ``terraform providers mirror`` makes it.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from simulator.files import write_text

REGISTRY: Final = "registry.terraform.io"
_ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64"}


def own_configuration(environment: Mapping[str, str], home: Path) -> Path | None:
    """Give the CLI configuration that the user already has; it then stands as it is."""
    named = environment.get("TF_CLI_CONFIG_FILE")
    candidate = Path(named) if named else home / ".terraformrc"
    return candidate if candidate.is_file() else None


def usual_places(home: Path) -> list[Path]:
    """Give the folders in which a mirror may lie, or in a folder of which."""
    return [Path("/opt"), Path("/usr/share"), Path("/usr/local/share"), home, home / ".local" / "share"]


def find_mirrors(places: Iterable[Path]) -> list[Path]:
    """Give the folders that hold a ``registry.terraform.io``: the places themselves, and two levels below them."""
    found: list[Path] = []
    for place in places:
        for pattern in (REGISTRY, f"*/{REGISTRY}", f"*/*/{REGISTRY}", f".terraform.d/*/{REGISTRY}"):
            try:
                found += [path.parent for path in sorted(place.glob(pattern)) if path.is_dir()]
            except OSError:  # a folder that may not be read holds no mirror for us
                continue
    return list(dict.fromkeys(found))


def current_platform() -> str:
    """Give this machine as Terraform names it: ``linux_amd64``, ``darwin_arm64``."""
    machine = platform.machine().lower()
    return f"{sys.platform}_{_ARCHITECTURES.get(machine, machine)}"


def write_configuration(target: Path, mirrors: Iterable[Path], cache: Path) -> Path:
    """Write a CLI configuration to ``target`` that prefers ``mirrors``.

    What a mirror holds is not asked of the registry, since a registry out of reach would be an error even where the
    mirror has all. What none holds is downloaded, once, into ``cache``.
    """
    this_platform = current_platform()
    blocks: list[str] = []
    excluded: list[str] = []
    for mirror in mirrors:
        names = sorted(
            f"{REGISTRY}/{path.parent.name}/{path.name}"
            for path in (mirror / REGISTRY).glob("*/*")
            if any(path.glob(f"*/{this_platform}")) or any(path.glob(f"*_{this_platform}.zip"))
        )
        if names:
            excluded += names
            path, include = json.dumps(str(mirror)), json.dumps(names)
            blocks.append(f"  filesystem_mirror {{\n    path    = {path}\n    include = {include}\n  }}")
    cache.mkdir(parents=True, exist_ok=True)
    blocks.append(f"  direct {{\n    exclude = {json.dumps(sorted(set(excluded)))}\n  }}")
    text = (
        "disable_checkpoint = true\n"
        f"plugin_cache_dir   = {json.dumps(str(cache))}\n\n"
        "provider_installation {\n" + "\n".join(blocks) + "\n}\n"
    )
    return write_text(target, text)


def configuration_for(project: Path, target: Path) -> Path:
    """Give the CLI configuration to run with: the user's own, or one written to ``target``."""
    home = Path.home()
    own = own_configuration(os.environ, home)
    if own is not None:
        return own
    return write_configuration(target, find_mirrors(usual_places(home)), project / "build" / "terraform-plugins")
