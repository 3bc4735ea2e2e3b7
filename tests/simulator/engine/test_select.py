"""One place picks the engine."""

from __future__ import annotations

from typing import Any

import pytest

from simulator.engine import compiled, reference
from simulator.engine.select import engine
from simulator.errors import ParameterError


def test_an_engine_has_a_name() -> None:
    assert engine("reference") is reference.simulate
    assert engine("compiled") is engine() is compiled.simulate


def test_an_unknown_name_is_refused() -> None:
    unknown: Any = "quantum"
    with pytest.raises(ParameterError, match="engine='quantum' is none of auto, reference, compiled"):
        engine(unknown)
