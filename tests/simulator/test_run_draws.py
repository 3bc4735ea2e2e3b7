from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from simulator.arrivals import poisson
from simulator.errors import ParameterError
from simulator.forecast import PlannedStep, forecast
from simulator.model_policy import ModelCall, ModelQuota
from simulator.platform import BASELINE, OPTIMIZED, Platform, VersionSettings
from simulator.trace import make_trace


@pytest.mark.parametrize("missing", ["input_tokens", "output_tokens"])
def test_a_quota_cannot_be_met_by_requests_whose_tokens_are_not_known(missing: str) -> None:
    columns = {"arrival_s": np.arange(20.0), "client_ms": np.full(20, 300.0), "variant": [BASELINE] * 20}
    tokens = {"input_tokens": [100] * 20, "output_tokens": [100] * 20, missing: [100] * 19 + [None]}
    trace = make_trace(pl.DataFrame({**columns, **tokens}))
    platform = Platform(
        versions={BASELINE: VersionSettings(model=ModelCall("haiku", 512)), OPTIMIZED: VersionSettings()},
        quotas={"haiku": ModelQuota(tokens_per_minute=10_000)},
    )
    with pytest.raises(ParameterError, match=r"'baseline' has the quota 'haiku' to meet, .* no input_tokens or output"):
        forecast(trace, trace, [PlannedStep("10%", 0.1, poisson(1.0, 10.0))], platform, replications=40)
