"""The importers on real public recordings: figures that their publishers print, or that a spreadsheet gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from simulator.importers import ImportOptions, import_trace
from simulator.summary import MEASURES
from simulator.trace import Trace


def column(trace: Trace, name: str) -> np.ndarray:  # type: ignore[type-arg]
    return trace.frame[name].drop_nulls().to_numpy()


def test_pacslab(shared_data: Path) -> None:
    path = shared_data / "pacslab_lambda_2020-05-26_01-31-35.csv"
    trace = import_trace(path, "pacslab")
    raw = pl.read_csv(path)
    assert len(trace) == raw.height == 1648
    assert trace.frame["arrival_s"].is_sorted()
    assert trace.frame["arrival_s"][0] == 0.0
    assert trace.duration_s == pytest.approx(raw["client_start_time"].max() - raw["client_start_time"].min(), abs=1e-5)  # type: ignore[operator]
    assert trace.frame["cold"].sum() == raw["is_cold"].sum()
    assert trace.frame["environment_id"].n_unique() == raw["exist_id"].n_unique()
    assert np.median(column(trace, "client_ms")) == pytest.approx(
        1000 * np.median(raw["client_elapsed_time"].to_numpy())
    )
    assert (column(trace, "billed_ms") >= column(trace, "duration_ms")).all(), "2020 billed in steps of 100 ms"
    assert trace.metadata.recorded_at is not None
    assert trace.metadata.recorded_at.startswith("2020-05-24T21:31:23.619940")
    assert trace.frame["init_ms"].null_count() == len(trace)


def test_llmperf(shared_data: Path) -> None:
    trace = import_trace(shared_data / "llmperf_bedrock_70b_c5_2023-12.csv", "llmperf", ImportOptions(clients=5))
    assert len(trace) == 150
    # error_code -100 is no failure
    assert trace.frame["status"].unique().to_list() == ["ok"]
    assert set(column(trace, "input_tokens")) == {550}
    assert (column(trace, "ttft_ms") < column(trace, "client_ms")).all()
    # never more than five at once, and five nearly always: the loop is closed
    starts = column(trace, "arrival_s")
    ends = starts + column(trace, "client_ms") / 1000.0
    running = [int(((starts <= at) & (ends > at + 1e-6)).sum()) for at in starts]
    assert max(running) == 5
    assert np.median(running) == 5
    assert trace.metadata.notes["arrivals"] == "not recorded; reconstructed as a closed loop of 5 clients"


def test_llmeter_sweep(shared_data: Path) -> None:
    path = shared_data / "llmeter_bedrock_gptoss120b_concurrency_sweep.csv"
    trace = import_trace(path, "llmeter")
    raw = pl.read_csv(path)
    assert set(trace.variants()) == {f"{clients} clients" for clients in (1, 3, 5, 10)}
    for clients in (1, 3, 5, 10):
        mine = trace.frame.filter(pl.col("variant") == f"{clients} clients")
        theirs = raw.filter(pl.col("clients") == clients)
        assert mine["client_ms"].to_list() == pytest.approx((theirs["ttlt_s"] * 1000).to_list())
        assert (mine["arrival_s"] == mine["arrival_s"][0]).sum() == clients, "all clients start at once"
    first, last = (trace.frame.filter(pl.col("variant") == f"{clients} clients")["arrival_s"] for clients in (1, 3))
    assert last[0] > first[-1], "the recordings follow each other"


def test_llmeter_prompt_cache(shared_data: Path) -> None:
    trace = import_trace(shared_data / "llmeter_bedrock_novalite_prompt_cache_ttft.csv", "llmeter")
    counts = dict(trace.frame["variant"].value_counts().iter_rows())
    assert counts == {"with-cache": 90, "without-cache": 90}
    assert trace.frame["client_ms"].null_count() == 180, "only the first token was timed"


def test_azure_llm(shared_data: Path) -> None:
    trace = import_trace(shared_data / "azure_llm_conv_2023-11-16.csv", "azure-llm")
    gaps_s = np.diff(column(trace, "arrival_s"))
    per_second = np.bincount(column(trace, "arrival_s").astype(int))
    # the figures of the recording's description: 58 min, 19,366 requests, 5.5/s, CV 1.09, busiest second 2.9 × mean
    assert len(trace) == 19_366
    assert trace.duration_s / 60 == pytest.approx(58, abs=0.5)
    assert 1 / gaps_s.mean() == pytest.approx(5.5, abs=0.05)
    assert gaps_s.std() / gaps_s.mean() == pytest.approx(1.09, abs=0.01)
    assert per_second.max() / per_second.mean() == pytest.approx(2.9, abs=0.05)
    assert trace.metadata.recorded_at == "2023-11-16T18:15:46.680590+00:00"
    assert "CC-BY-4.0" in trace.metadata.notes["attribution"]
    assert column(trace, "input_tokens")[:3].tolist() == [374, 396, 879]


def test_lambda_perf(shared_data: Path) -> None:
    trace = import_trace(shared_data / "lambda_perf_py313_zip_2026H1.csv", "lambda-perf")
    assert len(trace) == 5280
    assert trace.frame["cold"].all()
    assert "python3.13-zip-arm64-512" in trace.variants()
    assert column(trace, "init_ms")[0] == 81.74
    assert trace.frame["duration_ms"].null_count() == len(trace)
    assert trace.duration_s % 86_400 == 0


def test_xray(shared_data: Path) -> None:
    trace = import_trace(shared_data / "simplybusiness_xray_coldstart_2019-03.csv", "xray")
    assert len(trace) == 11_144
    setup_ms = trace.frame["client_ms"] - trace.frame["init_ms"] - trace.frame["duration_ms"]
    # the setup that no REPORT line shows is what INIT and handler leave
    raw = pl.read_csv(shared_data / "simplybusiness_xray_coldstart_2019-03.csv")
    assert sorted(setup_ms) == pytest.approx(sorted(raw["setup"]))
    assert set(column(trace, "memory_mb")) <= {128, 256, 512, 1024, 2048, 3008}


RECORDED_PAIR = ImportOptions(
    spacing_s=60.0,
    mapping={
        "cold": "start = 'cold'",
        "duration_ms": "coalesce(duration_ms, handler_ms)",
        "init_ms": "CASE WHEN start = 'cold' THEN coalesce(init_ms, billed_ms - duration_ms) END",
    },
)


def test_the_recorded_pair_by_mapping(shared_data: Path) -> None:
    trace = import_trace(shared_data / "lambda_bedrock_2025-12-30.csv", "csv", RECORDED_PAIR)
    execution = trace.frame.with_columns(MEASURES["execution_ms"].alias("execution_ms"))
    medians = {
        variant: execution.filter(pl.col("variant") == variant)["execution_ms"].median()
        for variant in ("baseline", "optimized")
    }
    # the published medians are 650 and 333; these ten each are the rows that came with the publication
    assert medians == {"baseline": pytest.approx(650, rel=0.02), "optimized": pytest.approx(333, rel=0.02)}
    assert trace.frame["init_ms"].drop_nulls().to_list() == pytest.approx([505.75, 495.16, 498.98])
    assert trace.frame["cold"].sum() == 3


def test_other_tables_by_mapping(shared_data: Path) -> None:
    functions = import_trace(
        shared_data / "azure_functions_2021_sample200.csv",
        "csv",
        ImportOptions(
            mapping={"arrival_s": "end_timestamp - duration", "duration_ms": "duration * 1000", "variant": "func"}
        ),
    )
    raw = pl.read_csv(shared_data / "azure_functions_2021_sample200.csv")
    assert len(functions) == raw.height
    assert sorted(column(functions, "duration_ms")) == pytest.approx(sorted((raw["duration"] * 1000).to_list()))
    first_tokens = import_trace(
        shared_data / "bedrock_ttft_2026.csv", "csv", ImportOptions(mapping={"variant": "model"}, spacing_s=1.0)
    )
    assert column(first_tokens, "ttft_ms").tolist()[:3] == [549, 334, 339]
    assert len(first_tokens.variants()) == 6
