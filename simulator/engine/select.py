"""Which engine runs: the readable one that is the specification, or the compiled one that does the same faster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, get_args

from simulator.checks import one_of
from simulator.draws import Draws
from simulator.engine.outcomes import Outcomes
from simulator.platform import Platform
from simulator.rollout import Rollout

EngineName = Literal["auto", "reference", "compiled"]
ENGINES: Final[tuple[EngineName, ...]] = get_args(EngineName)

Simulate = Callable[[Draws, Platform, Rollout], Outcomes]
"""A pure function: what an engine makes of draws on a platform under a rollout."""


def engine(name: EngineName = "auto") -> Simulate:
    """Give the engine called ``name``; its code is imported here, not with this module.

    Parameters
    ----------
    name
        ``reference`` is SimPy's, the specification; ``compiled`` gives the same, attempt by attempt, in a small part of
        the time. ``auto`` is the latter.

    Raises
    ------
    ParameterError
        There is no engine of that name.
    """
    one_of("engine", name, ENGINES)
    if name == "reference":
        from simulator.engine import reference

        return reference.simulate
    from simulator.engine import compiled

    return compiled.simulate
