"""The environments of a version, idle and busy."""

from __future__ import annotations

from typing import Any, cast

from replay.cloud.lambda_plane.pool import VersionPool
from replay.cloud.lambda_plane.variables import PROVISIONED


class Provisioned:
    """As much of an environment as a pool looks at."""

    initialization_type = PROVISIONED
    alive = True
    retired = False


def test_a_provisioned_environment_that_is_found_dead_is_cleared_up() -> None:
    ended: list[Any] = []
    pool = VersionPool(60.0, ended.append)
    environment = Provisioned()
    pool.add(cast("Any", environment))
    pool.give_back(cast("Any", environment))
    environment.alive = False
    assert pool.take_provisioned() is None
    assert (ended, len(pool)) == ([environment], 0)
