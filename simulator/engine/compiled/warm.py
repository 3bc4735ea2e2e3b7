"""Compiling ahead: the first use of the engine on a machine takes seconds, so that somebody may want to say so."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np

from simulator.draws import Draws
from simulator.engine.compiled import kernel
from simulator.engine.compiled.jit import FINGERPRINT
from simulator.engine.compiled.run import Run
from simulator.platform import Platform, VersionSettings
from simulator.rollout import Rollout


def is_warm() -> bool:
    """Say whether this version of the engine has been compiled here before, and was kept."""
    marker = _marker()
    return marker is not None and marker.is_file()


def warm() -> None:
    """Compile what is not compiled yet, by running one request through it: both ways, with rows and without."""
    one, none = np.zeros(1), np.zeros((1, 1, 1))
    draws = Draws(one, one[None], none, none, none, none, none, one[None])
    platform = Platform(versions={"v": VersionSettings()})
    for requests, sort_ends in itertools.product((1, None), (True, False)):
        run = Run(platform, Rollout.constant(0.0), requests, sort_ends=sort_ends)
        run.feed(draws)
        run.finish()
        if requests is not None:
            run.compact().outcomes(draws.arrival_s)
    marker = _marker()
    if marker is not None:
        try:
            marker.touch()
        except OSError:
            # The compiled code could not be kept either.
            return


def _marker() -> Path | None:
    """Give the file that says so, beside the compiled code; None where that cannot be kept."""
    folder = kernel.advance.stats.cache_path
    return None if folder is None else Path(folder) / f"engine-{FINGERPRINT[:16]}.warm"
