"""The line in the log."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from functions.common.record import Record, to_line

FIELDS: dict[str, Any] = {
    "kind": "inference",
    "request_id": "r",
    "function": "f",
    "variant": "baseline",
    "model": "m",
    "version": "1",
    "environment_id": "e",
    "cold": False,
    "initialization_type": "on-demand",
}


@given(
    text=st.text(),
    status=st.sampled_from(["ok", "throttled", "timeout", "error", "rejected"]),
    inference_ms=st.none() | st.floats(0, 1e9),
)
def test_it_is_one_line_of_json_whose_metrics_all_have_numbers(
    text: str, status: str, inference_ms: float | None
) -> None:
    record = Record(
        **{**FIELDS, "request_id": text, "error": text},
        status=status,
        http_status=200,
        total_ms=1.0,
        inference_ms=inference_ms,
    )
    line = to_line(record, 1)
    assert len(line.splitlines()) == 1
    document = json.loads(line)
    assert document["request_id"] == text
    for metric in document["_aws"]["CloudWatchMetrics"][0]["Metrics"]:
        assert isinstance(document[metric["Name"]], (int, float))
    for dimension in document["_aws"]["CloudWatchMetrics"][0]["Dimensions"][0]:
        assert isinstance(document[dimension], str)
    assert sum(document[name] for name in ("Errors", "Throttles", "Timeouts")) == (
        status in ("error", "throttled", "timeout")
    )
