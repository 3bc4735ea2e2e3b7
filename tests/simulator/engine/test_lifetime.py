"""The most that an environment may live: seen in recordings as cold starts of a version that was never idle."""

from __future__ import annotations

import numpy as np
import pytest

from simulator.draws import Draws
from simulator.errors import ParameterError
from simulator.platform import Platform
from simulator.rollout import Rollout
from tests.simulator.engine.both import simulate
from tests.simulator.worlds import draws


def aged(arrival_s: list[float], lifetime_s: float, **others: float) -> Draws:
    plain = draws(arrival_s, **others)  # type: ignore[arg-type]
    return Draws(**{**vars(plain), "lifetime_s": np.full((1, len(arrival_s)), lifetime_s)})


def cold(given: Draws) -> list[bool]:
    return simulate(given, Platform(), Rollout.constant(0.0)).cold.tolist()


def test_an_environment_that_is_never_idle_for_long_still_ends_with_age() -> None:
    every_minute = [60.0 * minute for minute in range(10)]
    assert cold(aged(every_minute, 250.0)) == [True, False, False, False, False] * 2
    assert cold(draws(every_minute)) == [True] + [False] * 9


def test_what_it_serves_when_its_time_is_up_it_still_ends() -> None:
    found = simulate(aged([0.0, 1.0, 3.0], 1.5, handler_ms=1000.0), Platform(), Rollout.constant(0.0))
    # 0.5 s of INIT and 1 s of handler end at 1.5 s, at its age: so it is gone for the request at 3 s.
    assert found.duration_ms.tolist() == [1000.0] * 3
    assert found.cold.tolist() == [True, True, True]


def test_lifetimes_are_as_many_as_requests() -> None:
    plain = draws([0.0, 1.0])
    with pytest.raises(ParameterError, match=r"lifetime_s has shape \(1, 3\), not \(1, 2\)"):
        Draws(**{**vars(plain), "lifetime_s": np.ones((1, 3))})
