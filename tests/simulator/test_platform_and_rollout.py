from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from simulator.errors import ParameterError
from simulator.platform import Platform, VersionSettings
from simulator.rollout import Rollout, Stage


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gateway_timeout_s": 0}, "gateway_timeout_s=0 must be above 0"),
        ({"gateway_rate_rps": -1}, "gateway_rate_rps=-1 must be above 0"),
        ({"keep_alive_s": float("nan")}, "keep_alive_s=nan must be above 0"),
        ({"account_concurrency": 0}, "account_concurrency=0 must be 1 or more"),
        # Microseconds that 64 bits do not hold: taken as they were, every environment would be gone at once.
        ({"keep_alive_s": 1e13}, r"keep_alive_s=10000000000000\.0 must be 1e\+12 or less"),
        ({"gateway_timeout_s": 1e13}, r"gateway_timeout_s=10000000000000\.0 must be 1e\+12 or less"),
        ({"account_concurrency": 10**400}, r"account_concurrency=10+ must be 1e\+12 or less"),
        ({"reserved_concurrency": 2000}, "reserved_concurrency=2000 is above account_concurrency=1000"),
        ({"versions": {}}, "takes one or two"),
        ({"versions": {name: VersionSettings() for name in "abc"}}, "3 given"),
        (
            {"versions": {"a": VersionSettings(provisioned=8)}, "reserved_concurrency": 5},
            "provisioned concurrency of 8 is above reserved_concurrency=5",
        ),
        (
            {"versions": {"a": VersionSettings(provisioned=8)}, "account_concurrency": 7},
            "provisioned concurrency of 8 is above account_concurrency=7",
        ),
    ],
)
def test_a_platform_that_cannot_be_is_refused_with_the_reason(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        Platform(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"provisioned": -1}, "provisioned=-1 must be 0 or more"),
        ({"timeout_s": 901}, "above Lambda's limit of 900"),
        ({"memory_mb": 64}, "outside Lambda's 128 to 10240"),
        ({"provisioned": 3, "concurrency_limit": 2}, "above concurrency_limit=2; lower it"),
    ],
)
def test_version_settings_that_cannot_be_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        VersionSettings(**settings)


def test_weights_follow_the_stages_and_the_first_reaches_back() -> None:
    rollout = Rollout((Stage(10.0, 0.1), Stage(20.0, 0.5)))
    np.testing.assert_array_equal(
        rollout.weights_at(np.array([0.0, 10.0, 19.9, 20.0, 99.0])), [0.1, 0.1, 0.1, 0.5, 0.5]
    )


@pytest.mark.parametrize("weight", [-0.1, 1.1, float("nan")])
def test_a_weight_is_a_probability(weight: float) -> None:
    with pytest.raises(ParameterError, match="outside 0 to 1"):
        Stage(0.0, weight)


def test_stages_start_one_after_the_other() -> None:
    with pytest.raises(ParameterError, match="each must start after"):
        Rollout((Stage(1.0, 0.0), Stage(1.0, 0.5)))
    with pytest.raises(ParameterError, match="at least one stage"):
        Rollout(())
