"""What the simulator's commands cannot do by themselves; their program's root puts it into click's ``obj``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

import click

from simulator.parallel import Workers


@dataclass(frozen=True)
class World:
    """The way out of the simulator.

    Parameters
    ----------
    storage_options
        Says where object storage lies; called only by a command that reads a trace from it.
    connect
        Gives the workers of the cluster at an address.
    """

    storage_options: Callable[[], Mapping[str, str]]
    connect: Callable[[str], AbstractContextManager[Workers]]


def the_world() -> World | None:
    """Give what the program's root knows; None where it is no such program."""
    context = click.get_current_context(silent=True)
    found = context.find_root().obj if context is not None else None
    return found if isinstance(found, World) else None
