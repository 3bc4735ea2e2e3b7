from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from simulator.errors import FitError
from simulator.importers import import_trace
from simulator.token_model import fit_tokens, other_prompts, retarget
from simulator.trace import Trace, make_trace


def served(input_median: float, output_median: float, requests: int, seed: int, *, first_token: bool = True) -> Trace:
    """A model of 120 ms + 0.2 ms a token of input, then 15 ms a token of output, each ± 10 %."""
    rng = np.random.default_rng(seed)
    tokens_in = np.round(input_median * np.exp(0.5 * rng.standard_normal(requests))).astype(int)
    tokens_out = np.round(output_median * np.exp(0.4 * rng.standard_normal(requests))).astype(int) + 1
    ttft_ms = (120.0 + 0.2 * tokens_in) * np.exp(0.1 * rng.standard_normal(requests))
    inference_ms = ttft_ms + 15.0 * tokens_out * np.exp(0.1 * rng.standard_normal(requests))
    return make_trace(
        pl.DataFrame(
            {
                "arrival_s": np.arange(requests, dtype=float),
                "client_ms": inference_ms + 20.0,
                "duration_ms": inference_ms + 2.0,
                "billed_ms": np.ceil(inference_ms + 2.0),
                "inference_ms": inference_ms,
                "ttft_ms": ttft_ms if first_token else [None] * requests,
                "input_tokens": tokens_in,
                "output_tokens": tokens_out,
            }
        )
    )


def test_what_a_token_costs_is_found() -> None:
    fit = fit_tokens(served(800, 100, 400, 1))
    assert fit.parts["ttft"].fixed_ms == pytest.approx(120.0, rel=0.15)
    assert fit.parts["ttft"].per_token_ms["input"] == pytest.approx(0.2, rel=0.1)
    assert fit.parts["decode"].per_token_ms["output"] == pytest.approx(15.0, rel=0.05)
    assert fit.parts["decode"].explained > 0.9
    whole = fit_tokens(served(800, 100, 400, 1, first_token=False)).parts["inference"]
    assert whole.per_token_ms["output"] == pytest.approx(15.0, rel=0.05)


@pytest.mark.parametrize("first_token", [True, False])
def test_a_candidate_measured_on_short_prompts_is_moved_to_long_ones(first_token: bool) -> None:
    measured, traffic = served(300, 60, 300, 2, first_token=first_token), served(1500, 150, 300, 3)
    moved = retarget(measured, traffic, name="optimized").trace
    for level in (0.5, 0.95):
        truth = float(np.quantile(_client_ms(), level))
        assert np.quantile(moved.frame["client_ms"].to_numpy(), level) == pytest.approx(truth, rel=0.08)
    assert moved.frame["input_tokens"].median() == pytest.approx(1500, rel=0.1)
    assert (moved.frame["billed_ms"] >= moved.frame["duration_ms"]).all()
    assert (moved.frame["client_ms"] > moved.frame["duration_ms"]).all()


def _client_ms() -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return served(1500, 150, 20_000, 4).frame["client_ms"].to_numpy()


def test_the_same_traffic_changes_nothing_in_distribution() -> None:
    measured = served(800, 100, 600, 5)
    moved = retarget(measured, measured, name="optimized")
    for level in (0.5, 0.95):
        before, after = (float(np.quantile(t.frame["client_ms"].to_numpy(), level)) for t in (measured, moved.trace))
        assert after == pytest.approx(before, rel=0.05)
    assert moved.warnings == ()


def test_what_tokens_do_not_explain_or_were_never_seen_is_said_aloud() -> None:
    measured = served(800, 100, 200, 6)
    shuffled = Trace(
        measured.frame.with_columns(pl.col("input_tokens").shuffle(1), pl.col("output_tokens").shuffle(2)),
        measured.metadata,
    )
    said = retarget(shuffled, measured, name="optimized").warnings
    assert any("tokens explain" in text and "hardly known" in text for text in said)
    far = retarget(measured, served(9000, 100, 200, 7), name="optimized").warnings
    assert any("lie outside" in text and "extrapolated" in text for text in far)


def test_other_prompts_are_noticed() -> None:
    assert other_prompts(served(300, 60, 200, 1), served(310, 60, 200, 2)) is None
    assert "at the median against" in str(other_prompts(served(300, 60, 200, 1), served(900, 60, 200, 2)))


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(FitError, match="19 requests with input_tokens"):
        fit_tokens(served(300, 60, 19, 1))
    with pytest.raises(FitError, match="the traffic has no request"):
        retarget(served(300, 60, 50, 1), make_trace(pl.DataFrame({"arrival_s": [0.0]})), name="optimized")


def test_a_public_recording(shared_data: Path) -> None:
    trace = import_trace(shared_data / "llmperf_bedrock_70b_c5_2023-12.csv", "llmperf")
    decode = fit_tokens(trace).parts["decode"]
    # Llama 2 70B on Bedrock at the end of 2023: some twenty tokens a second.
    assert 15 < decode.per_token_ms["output"] + decode.fixed_ms / 150 < 80
