"""Both engines at once: what one of them gives is given only where the other one agrees."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest

from simulator.draws import Draws
from simulator.engine import compiled, reference
from simulator.engine.outcomes import Outcomes
from simulator.errors import ParameterError
from simulator.platform import Platform
from simulator.rollout import Rollout


def simulate(draws: Draws, platform: Platform, rollout: Rollout) -> Outcomes:
    """Run the reference and the compiled engine, and hold one against the other."""
    try:
        expected = reference.simulate(draws, platform, rollout)
    except ParameterError as refused:
        with pytest.raises(ParameterError, match=re.escape(str(refused))):
            compiled.simulate(draws, platform, rollout)
        raise
    found = compiled.simulate(draws, platform, rollout)
    assert differences(expected, found) == []
    return expected


def differences(expected: Outcomes, found: Outcomes) -> list[str]:
    """Name the arrays that are not the same in both, in kind, shape and every value."""
    named = _differing(expected, found) + [f"log.{name}" for name in _differing(expected.log, found.log)]
    for expected_one, found_one in zip(expected.provisioned_history, found.provisioned_history, strict=True):
        named += [f"provisioned_history.{name}" for name in _differing(expected_one, found_one)]
    return named


def _differing(expected: object, found: object) -> list[str]:
    pairs = {
        field.name: (getattr(expected, field.name), getattr(found, field.name))
        for field in dataclasses.fields(expected)  # type: ignore[arg-type]
    }
    return [name for name, (one, other) in pairs.items() if isinstance(one, np.ndarray) and not _same(one, other)]


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
