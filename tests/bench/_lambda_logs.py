"""Lambda logs of any size, byte for byte the same for a seed: what the trace benchmark imports.

A request leaves what it leaves in CloudWatch: START, the function's own record, END and REPORT, and INIT_START where it
was cold; in the text format or in Lambda's JSON format. Lines are in the order of their times, each after its time and
its stream, as ``aws logs tail`` prints them, so that requests overlap.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

import numpy as np
import polars as pl

LogFormat = Literal["text", "json"]

_T0_US: Final = 1_795_176_000_000_000  # 2026-11-20T12:00:00Z
_CHUNK: Final = 100_000
_RATE_RPS: Final = 50.0
_ENVIRONMENTS: Final = 60
_RENEWED_EVERY: Final = 20_000
"""Requests after which all environments are new ones, cold at their first request."""
_MODELS: Final = {"baseline": "us.anthropic.claude-haiku-4-5-20251001-v1:0", "optimized": "us.amazon.nova-lite-v1:0"}
_UNITS: Final = {"TotalMs": "Milliseconds", "InferenceMs": "Milliseconds", "CostUsd": "None"} | dict.fromkeys(
    ("Errors", "Throttles", "Timeouts", "InputTokens", "OutputTokens", "Fallbacks"), "Count"
)
_METRICS: Final = (
    ',"CloudWatchMetrics":[{"Namespace":"tailcast","Dimensions":[["function","variant","version"]],"Metrics":['
    + ",".join(f'{{"Name":"{name}","Unit":"{unit}"}}' for name, unit in _UNITS.items())
    + "]}]},"
)


def write_log(path: Path, form: LogFormat, *, at_least_bytes: int, seed: int = 1) -> tuple[int, int]:
    """Write a log of ``at_least_bytes`` (and less than a chunk more); give (requests, lines)."""
    requests = lines = written = 0
    with path.open("wb") as out:
        while written < at_least_bytes:
            chunk = _chunk(requests, _CHUNK, np.random.default_rng((seed, requests)), form)
            text = "\n".join(chunk.to_list()).encode() + b"\n"
            out.write(text)
            requests += _CHUNK
            lines += len(chunk)
            written += len(text)
    return requests, lines


def sample_lines(form: LogFormat, requests: int = 2, seed: int = 1) -> list[str]:
    """Give the lines of the first few requests, without a line end."""
    lines: list[str] = _chunk(0, requests, np.random.default_rng((seed, 0)), form).to_list()
    return lines


def _chunk(first: int, count: int, rng: np.random.Generator, form: LogFormat) -> pl.Series:
    number = np.arange(first, first + count)
    start_us = _T0_US + (number / _RATE_RPS * 1e6).astype(np.int64) + rng.integers(0, 15_000, count)
    generation, place = number // _RENEWED_EVERY, number % _ENVIRONMENTS
    cold = number % _RENEWED_EVERY < _ENVIRONMENTS
    duration_ms = np.round(rng.lognormal(6.4, 0.3, count), 2)
    init_ms = np.round(rng.normal(500.0, 20.0, count), 2)
    end_us = start_us + (duration_ms * 1000.0).astype(np.int64)
    high, low = rng.integers(0, 2**63, (2, count), dtype=np.uint64)
    base = pl.DataFrame(
        {
            "id": [_uuid(f"{a:016x}{b:016x}") for a, b in zip(high.tolist(), low.tolist(), strict=True)],
            "stream": [f"2026/11/20/[{7 + p % 2}]{g:08x}{p:024x}" for g, p in zip(generation, place, strict=True)],
            "version": [str(7 + p % 2) for p in place],
            "variant": ["optimized" if p % 2 else "baseline" for p in place],
            "cold": cold,
            "duration": duration_ms,
            "billed": np.ceil(duration_ms + np.where(cold, init_ms, 0.0)).astype(np.int64),
            "init": init_ms,
            "start_us": start_us,
            "end_us": end_us,
            "inference": np.round(duration_ms * 0.97, 3),
            "input": rng.integers(200, 900, count),
            "output": rng.integers(20, 300, count),
            "used": rng.integers(80, 120, count),
        }
    ).with_columns(pl.col("variant").replace_strict(_MODELS).alias("model"))
    kinds = [
        base.filter(pl.col("cold")).select(
            (pl.col("start_us") - (pl.col("init") * 1000).cast(pl.Int64)).alias("at"), "stream", _init_start(form)
        ),
        base.select(pl.col("start_us").alias("at"), "stream", _start(form)),
        base.select((pl.col("end_us") - 300).alias("at"), "stream", _record(form)),
        base.select(pl.col("end_us").alias("at"), "stream", _end(form)),
        base.select(pl.col("end_us").alias("at"), "stream", _report(form)),
    ]
    stamp = pl.col("at").cast(pl.Datetime("us")).dt.strftime("%Y-%m-%dT%H:%M:%S%.6f+00:00")
    lines = pl.concat(kinds).sort("at", maintain_order=True)
    return lines.select(pl.format("{} {} {}", stamp, "stream", "message")).to_series()


def _uuid(digits: str) -> str:
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _time(column: str) -> pl.Expr:
    return pl.col(column).cast(pl.Datetime("us")).dt.strftime("%Y-%m-%dT%H:%M:%S%.3fZ")


def _init_start(form: LogFormat) -> pl.Expr:
    if form == "text":
        return _message(
            "INIT_START Runtime Version: python:3.12.v40\tRuntime Version ARN: arn:aws:lambda:us-east-1::runtime"
        )
    return _event("start_us", "platform.initStart", '"initializationType":"on-demand","phase":"init"')


def _start(form: LogFormat) -> pl.Expr:
    if form == "text":
        return _message("START RequestId: ", pl.col("id"), " Version: ", pl.col("version"))
    return _event("start_us", "platform.start", '"requestId":"', pl.col("id"), '","version":"', pl.col("version"), '"')


def _record(form: LogFormat) -> pl.Expr:
    record = (
        '{"tailcast":"inference","request_id":"', pl.col("id"), '","function":"tailcast-dev-inference","variant":"',
        pl.col("variant"), '","model":"', pl.col("model"), '","version":"', pl.col("version"), '","environment_id":"',
        pl.col("stream"), '","cold":', pl.col("cold"), ',"initialization_type":"on-demand","status":"ok",',
        '"http_status":200,"total_ms":', pl.col("duration"), ',"inference_ms":', pl.col("inference"),
        ',"model_attempts":1,"input_tokens":', pl.col("input"), ',"output_tokens":', pl.col("output"),
        ',"cache_read_tokens":0,"cache_write_tokens":0,"cost_usd":0.000172,"tier":"standard","fallback_from":null,',
        '"response_cache":null,"prompt_cache":null,"error":null,"_aws":{"Timestamp":', pl.col("end_us") // 1000,
        _METRICS, '"TotalMs":', pl.col("duration"), ',"InferenceMs":', pl.col("inference"),
        ',"Errors":0,"Throttles":0,"Timeouts":0,"InputTokens":', pl.col("input"), ',"OutputTokens":', pl.col("output"),
        ',"CostUsd":0.000172,"Fallbacks":0}',
    )  # fmt: skip
    if form == "text":
        return _message(*record)
    return _message('{"timestamp":"', _time("end_us"), '","level":"INFO","requestId":"', pl.col("id"), '","message":',
                    *record, "}")  # fmt: skip


def _end(form: LogFormat) -> pl.Expr:
    if form == "text":
        return _message("END RequestId: ", pl.col("id"))
    return _event("end_us", "platform.runtimeDone", '"requestId":"', pl.col("id"), '","status":"success","metrics":{',
                  '"durationMs":', pl.col("duration"), ',"producedBytes":412}')  # fmt: skip


def _report(form: LogFormat) -> pl.Expr:
    if form == "text":
        return _message(
            *("REPORT RequestId: ", pl.col("id"), "\tDuration: ", pl.col("duration"), " ms\tBilled Duration: "),
            *(pl.col("billed"), " ms\tMemory Size: 1024 MB\tMax Memory Used: ", pl.col("used"), " MB\t"),
            pl.when("cold").then(pl.format("Init Duration: {} ms\t", "init")).otherwise(pl.lit("")),
        )
    return _event(
        *("end_us", "platform.report", '"requestId":"', pl.col("id"), '","metrics":{"durationMs":', pl.col("duration")),
        *(',"billedDurationMs":', pl.col("billed"), ',"memorySizeMB":1024,"maxMemoryUsedMB":', pl.col("used")),
        pl.when("cold").then(pl.format(',"initDurationMs":{}', "init")).otherwise(pl.lit("")),
        '},"status":"success"',
    )


def _event(at: str, kind: str, *record: str | pl.Expr) -> pl.Expr:
    return _message('{"time":"', _time(at), f'","type":"{kind}","record":{{', *record, "}}")


def _message(*parts: str | pl.Expr) -> pl.Expr:
    return pl.concat_str([pl.lit(part) if isinstance(part, str) else part.cast(pl.String) for part in parts]).alias(
        "message"
    )


def _time(column: str) -> pl.Expr:
    return pl.col(column).cast(pl.Datetime("us")).dt.strftime("%Y-%m-%dT%H:%M:%S%.3fZ")
