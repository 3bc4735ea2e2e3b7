"""Embedded metric format: what is extracted, and that nothing a function prints can break the extraction."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.cloud.lambda_plane.embedded_metrics import embedded_metrics
from replay.cloud.lambda_plane.ports import LogEvent


def extracted(document: Any) -> list[tuple[str, float, dict[str, str]]]:
    message = document if isinstance(document, str) else json.dumps(document)
    return [(datum.name, datum.value, dict(datum.dimensions)) for datum in embedded_metrics(LogEvent(5, message))]


def document(directive: dict[str, Any], **values: Any) -> dict[str, Any]:
    return {"_aws": {"Timestamp": 1, "CloudWatchMetrics": [{"Namespace": "n", **directive}]}, **values}


def test_without_dimensions_a_metric_has_none() -> None:
    assert extracted(document({"Metrics": [{"Name": "m"}]}, m=1)) == [("m", 1.0, {})]


def test_a_dimension_set_with_a_missing_value_is_dropped() -> None:
    directive = {"Dimensions": [["a"], ["b"]], "Metrics": [{"Name": "m"}]}
    assert extracted(document(directive, m=2, a="x")) == [("m", 2.0, {"a": "x"})]


def test_the_log_s_time_stands_in_for_a_missing_timestamp() -> None:
    line = document({"Metrics": [{"Name": "m"}]}, m=1)
    del line["_aws"]["Timestamp"]
    (datum,) = embedded_metrics(LogEvent(77, json.dumps(line)))
    assert datum.timestamp_ms == 77


@pytest.mark.parametrize(
    "line",
    [
        "plain text",
        '{"CloudWatchMetrics": ',
        {"_aws": 3, "x": "CloudWatchMetrics"},
        {"_aws": {"CloudWatchMetrics": [3, {"Namespace": 4}]}},
        document({"Metrics": [{"Name": "m"}, 3, {}]}, n=1),
        document({"Metrics": [{"Name": "m"}]}, m="text"),
        document({"Metrics": [{"Name": "m"}]}, m=True),
        document({"Dimensions": ["a", 3], "Metrics": [{"Name": "m"}]}, m=1),
        document({"Dimensions": 3, "Metrics": [{"Name": "m"}]}, m=1),
        document({"Metrics": 3}, m=1),
        document({"Metrics": [{"Name": "m"}]}, m=10**400),
        document({"Metrics": [{"Name": "m"}]}, m=float("inf")),
        document({"Metrics": [{"Name": ["m"]}]}, m=1),
        '["CloudWatchMetrics"]',
    ],
)
def test_what_breaks_the_specification_yields_nothing(line: Any) -> None:
    assert extracted(line) == []


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(directives=_JSON, metrics=_JSON, dimensions=_JSON, value=_JSON)
def test_no_document_breaks_the_extraction(directives: Any, metrics: Any, dimensions: Any, value: Any) -> None:
    for header in (directives, [{"Namespace": "n", "Metrics": metrics, "Dimensions": dimensions}]):
        line = {"_aws": {"CloudWatchMetrics": header}, "m": value, "": value}
        assert all(isinstance(datum[1], float) for datum in extracted(line))
