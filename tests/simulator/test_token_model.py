from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.stats import ks_2samp

from simulator.errors import FitError
from simulator.importers import import_trace
from simulator.token_model import _same_law, fit_tokens, other_prompts, retarget
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
    if first_token:
        assert moved.frame["ttft_ms"].median() == pytest.approx(120.0 + 0.2 * 1500, rel=0.08)
    assert (moved.frame["billed_ms"] >= moved.frame["duration_ms"]).all()
    assert (moved.frame["billed_ms"] == moved.frame["billed_ms"].ceil()).all()
    assert (moved.frame["client_ms"] > moved.frame["duration_ms"]).all()


def _client_ms() -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return served(1500, 150, 20_000, 4).frame["client_ms"].to_numpy()


def test_half_of_the_recorded_times_lie_above_the_fitted_ones() -> None:
    rng = np.random.default_rng(8)
    frame = served(800, 100, 400, 8, first_token=False).frame
    frame = frame.with_columns(inference_ms=pl.col("inference_ms") * np.exp(0.6 * rng.standard_normal(400)))
    part = fit_tokens(Trace(frame, make_trace(frame).metadata)).parts["inference"]
    tokens = {name: frame[f"{name}_tokens"].cast(pl.Float64).to_numpy() for name in ("input", "output")}
    assert np.median(frame["inference_ms"].to_numpy() / part.at(tokens)) == pytest.approx(1.0, rel=0.01)


def test_what_cannot_be_moved_stays_as_it_was_recorded() -> None:
    measured = served(300, 60, 300, 2).frame.with_columns(
        cold=pl.int_range(300) % 10 == 0,
        status=pl.when(pl.int_range(300) % 10 == 1).then(pl.lit("error")).otherwise(pl.lit("ok")),
    )
    moved = retarget(make_trace(measured), served(1500, 150, 300, 3), name="optimized").trace.frame
    kept = measured["cold"] | (measured["status"] == "error")
    columns = ["client_ms", "ttft_ms", "billed_ms", "input_tokens", "output_tokens"]
    assert moved.filter(kept).select(columns).equals(measured.filter(kept).select(columns))
    assert (moved.filter(~kept)["input_tokens"] != measured.filter(~kept)["input_tokens"]).mean() > 0.9


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
    assert other_prompts(served(300, 60, 19, 1), served(900, 60, 200, 2)) is None, "too few to tell"


@pytest.mark.parametrize("sizes", [(40, 60), (500, 300)])
def test_prompts_are_told_apart_by_the_test_of_kolmogorov_and_smirnov(sizes: tuple[int, int]) -> None:
    rng = np.random.default_rng(9)
    for shift in (0.0, 0.3, 0.6):
        first, second = (
            np.round(100 * rng.standard_normal(n) + 100 * by) for n, by in zip(sizes, (0, shift), strict=True)
        )
        assert _same_law(first, second) == pytest.approx(ks_2samp(first, second).pvalue, rel=0.15, abs=0.02)


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
