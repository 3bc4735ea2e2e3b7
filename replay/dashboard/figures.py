"""What the dashboard shows: the metrics and statistics of terraform/modules/observability, which a test compares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

Subject = Literal["version", "resource", "function", "log", "api"]
"""Whose metric it is: a version's own records, a version as Lambda names it, the function, its log, the API."""
Over = Literal["sum", "mean", "highest"]
"""How the periods of a window become one figure. Percentiles of periods cannot be joined, so the highest stands."""

OWN_NAMESPACE: Final = "tailcast"
LAMBDA_NAMESPACE: Final = "AWS/Lambda"
API_NAMESPACE: Final = "AWS/ApiGateway"
INIT_PERIOD_S: Final = 300


@dataclass(frozen=True)
class Figure:
    """One line of the dashboard."""

    key: str
    title: str
    unit: str
    """``ms``, ``USD``, ``%`` (of shares), or empty for counts."""
    subject: Subject
    metric: str
    statistic: str
    over: Over
    part_of: str | None = None
    """A share: the sum of ``metric`` over the sum of this metric."""
    period_s: int | None = None
    """The shortest period that it is shown in, where that is not the dashboard's."""

    @property
    def scale(self) -> float:
        """What the metric's values are multiplied by to be shown."""
        return 100.0 if self.unit == "%" else 1.0


FIGURES: Final = (
    Figure("requests", "requests", "", "version", "TotalMs", "SampleCount", "sum"),
    Figure("duration_p50_ms", "duration p50", "ms", "version", "TotalMs", "p50", "highest"),
    Figure("duration_p95_ms", "duration p95", "ms", "version", "TotalMs", "p95", "highest"),
    Figure("duration_p99_ms", "duration p99", "ms", "version", "TotalMs", "p99", "highest"),
    Figure("inference_p50_ms", "model call p50", "ms", "version", "InferenceMs", "p50", "highest"),
    Figure("inference_p99_ms", "model call p99", "ms", "version", "InferenceMs", "p99", "highest"),
    Figure("inference_share", "inference share", "%", "version", "InferenceMs", "Sum", "mean", part_of="TotalMs"),
    Figure("ttft_p50_ms", "first token p50", "ms", "version", "TtftMs", "p50", "highest"),
    Figure("ttft_p95_ms", "first token p95", "ms", "version", "TtftMs", "p95", "highest"),
    Figure("pause_p50_ms", "longest pause in a stream p50", "ms", "version", "InterTokenMaxMs", "p50", "highest"),
    Figure("pause_p95_ms", "longest pause in a stream p95", "ms", "version", "InterTokenMaxMs", "p95", "highest"),
    Figure("input_tokens", "tokens in", "", "version", "InputTokens", "Sum", "sum"),
    Figure("output_tokens", "tokens out", "", "version", "OutputTokens", "Sum", "sum"),
    Figure("cost_usd", "cost of tokens", "USD", "version", "CostUsd", "Sum", "sum"),
    Figure("response_cache_hits", "response cache hits", "%", "version", "ResponseCacheHits", "Average", "mean"),
    Figure("response_cache_errors", "response cache errors", "", "version", "ResponseCacheErrors", "Sum", "sum"),
    Figure("prompt_cache_hits", "prompt cache hits", "%", "version", "PromptCacheHits", "Average", "mean"),
    Figure("prompt_cache_skipped", "prompt cache skipped", "%", "version", "PromptCacheSkipped", "Average", "mean"),
    Figure("errors", "errors", "", "version", "Errors", "Sum", "sum"),
    Figure("model_throttles", "throttled by the model", "", "version", "Throttles", "Sum", "sum"),
    Figure("timeouts", "deadlines hit", "", "version", "Timeouts", "Sum", "sum"),
    Figure("disconnects", "callers who left a stream", "", "version", "Disconnects", "Sum", "sum"),
    Figure("fallbacks", "answered by a stand-in", "", "version", "Fallbacks", "Sum", "sum"),
    Figure("pc_use", "PC use", "%", "resource", "ProvisionedConcurrencyUtilization", "Maximum", "highest"),
    Figure("pc_spillover", "PC spill-over", "", "resource", "ProvisionedConcurrencySpilloverInvocations", "Sum", "sum"),
    Figure("init_mean_ms", "INIT mean", "ms", "log", "InitMs", "Average", "mean", period_s=INIT_PERIOD_S),
    Figure("init_max_ms", "INIT max", "ms", "log", "InitMs", "Maximum", "highest", period_s=INIT_PERIOD_S),
    Figure("concurrency", "concurrency", "", "function", "ConcurrentExecutions", "Maximum", "highest"),
    Figure("lambda_throttles", "throttled by Lambda", "", "function", "Throttles", "Sum", "sum"),
    Figure("api_requests", "API requests", "", "api", "Count", "Sum", "sum"),
    Figure("api_4xx", "API refusals (4xx)", "", "api", "4xx", "Sum", "sum"),
    Figure("api_5xx", "API failures (5xx)", "", "api", "5xx", "Sum", "sum"),
)


def address(
    figure: Figure, function: str, version: str | None, api_id: str | None
) -> tuple[str, Mapping[str, str]] | None:
    """Give namespace and dimensions of a figure's metric; None where its subject is not known."""
    if figure.subject == "version":
        return None if version is None else (OWN_NAMESPACE, {"function": function, "version": version})
    if figure.subject == "resource":
        if version is None:
            return None
        return LAMBDA_NAMESPACE, {"FunctionName": function, "Resource": f"{function}:{version}"}
    if figure.subject == "function":
        return LAMBDA_NAMESPACE, {"FunctionName": function}
    if figure.subject == "log":
        return f"{OWN_NAMESPACE}/{function}", {}
    return None if api_id is None else (API_NAMESPACE, {"ApiId": api_id})
