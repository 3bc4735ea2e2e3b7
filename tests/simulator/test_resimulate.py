"""One simulated run of a recorded function."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from simulator.arrivals import poisson, replay
from simulator.errors import FitError, ParameterError
from simulator.platform import Platform, VersionSettings
from simulator.resimulate import resimulate
from simulator.trace import Trace, make_trace


def recorded(requests: int = 600, **columns: object) -> Trace:
    rng = np.random.default_rng(7)
    client_ms = rng.lognormal(np.log(400.0), 0.2, requests)
    return make_trace(
        pl.DataFrame(
            {
                "arrival_s": np.sort(rng.uniform(0.0, 120.0, requests)),
                "client_ms": client_ms,
                "duration_ms": client_ms - 3.0,
                "cold": [False] * requests,
                "variant": ["optimized"] * requests,
                **columns,
            }
        )
    )


def test_under_its_own_arrivals_it_is_as_it_was() -> None:
    trace = recorded()
    again = resimulate(trace, replay(trace), seed=1)
    assert again.variants() == ["optimized"]
    assert again.frame["arrival_s"].to_list() == pytest.approx(
        (trace.frame["arrival_s"] - trace.frame["arrival_s"][0]).to_list()
    )
    warm = again.frame.filter(~pl.col("cold"))["client_ms"]
    for level in (0.5, 0.9):
        assert warm.quantile(level) == pytest.approx(trace.frame["client_ms"].quantile(level), rel=0.08)


def test_one_seed_one_trace() -> None:
    trace = recorded()
    one, same, other = (resimulate(trace, poisson(5.0, 60.0), seed=seed) for seed in (1, 1, 2))
    assert one.frame.equals(same.frame)
    assert not one.frame.equals(other.frame)


def test_on_another_platform() -> None:
    trace = recorded()
    ready = Platform(versions={"optimized": VersionSettings(provisioned=50)})
    assert resimulate(trace, replay(trace), platform=ready).frame["cold"].sum() == 0
    assert resimulate(trace, replay(trace)).frame["cold"].sum() > 0


def test_refuses() -> None:
    both = Platform(versions={"baseline": VersionSettings(), "optimized": VersionSettings()})
    with pytest.raises(ParameterError):
        resimulate(recorded(), poisson(5.0, 60.0), platform=both)
    with pytest.raises(ParameterError, match="no variant 'other'"):
        resimulate(
            recorded(4, variant=["a", "b", "a", "b"]),
            poisson(5.0, 60.0),
            platform=Platform(versions={"other": VersionSettings()}),
        )
    with pytest.raises(FitError, match="4 warm requests"):
        resimulate(recorded(4), poisson(5.0, 60.0))
