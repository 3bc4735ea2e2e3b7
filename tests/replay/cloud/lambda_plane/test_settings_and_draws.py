"""Settings out of range, and draws by address."""

from __future__ import annotations

from typing import Any

import pytest

from replay.cloud.lambda_plane.draws import uniform
from replay.cloud.lambda_plane.settings import PlaneSettings
from replay.errors import InputError


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("keep_alive_s", 0.0),
        ("keep_alive_s", float("nan")),
        ("init", "sometimes"),
        ("init_ms", (1.0, -1.0)),
        ("init_ms", (float("inf"),)),
        ("init_limit_s", -1.0),
        ("account_concurrency", 0),
        ("scale_out_burst", 0),
        ("scale_out_per_s", 0.0),
    ],
)
def test_a_value_out_of_range_is_named(name: str, value: Any) -> None:
    with pytest.raises(InputError, match=name) as caught:
        PlaneSettings(**{name: value})
    assert "\n" not in str(caught.value)


def test_replayed_needs_figures() -> None:
    with pytest.raises(InputError, match="init_ms is empty"):
        PlaneSettings(init="replayed", init_ms=())


def test_draws_are_uniform_and_independent_of_order() -> None:
    draws = [uniform(1, "route", "f", index) for index in range(20_000)]
    assert draws == [uniform(1, "route", "f", index) for index in reversed(range(20_000))][::-1]
    assert all(0 <= draw < 1 for draw in draws)
    # Kolmogorov–Smirnov distance; its 0.1 % quantile for n = 20,000 is 1.95 / sqrt(n) = 0.0138.
    distance = max(abs(draw - rank / len(draws)) for rank, draw in enumerate(sorted(draws)))
    assert distance < 0.0138
    assert uniform(1, "route", "f", 0) != uniform(2, "route", "f", 0) != uniform(1, "init", "f", 0)
