"""From the moments of a call to its measurement."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from replay.bench.budget import PriceList
from replay.bench.plan import Item
from replay.bench.records import Measurement, Phase
from replay.bench.sdk import Outcome


def make_measurement(
    item: Item, phase: Phase, load: str, outcome: Outcome, start_s: float, run_start_s: float, prices: PriceList
) -> Measurement:
    """Turn an outcome into a measurement.

    Parameters
    ----------
    item, phase, load
        What was planned.
    outcome
        What came of it.
    start_s
        Intended start, of perf_counter; every latency counts from it.
    run_start_s
        The run's start.
    prices
        Of the targets.
    """
    moments, usage = outcome.moments, outcome.usage

    def since_start(moment_s: float | None) -> float | None:
        return None if moment_s is None else (moment_s - start_s) * 1000.0

    def since_sent(moment_s: float | None) -> float | None:
        return None if moment_s is None or moments.sent_s is None else (moment_s - moments.sent_s) * 1000.0

    deltas = outcome.deltas_s
    tokens = {
        "input": usage.get("inputTokens"),
        "output": usage.get("outputTokens"),
        "read": usage.get("cacheReadInputTokens", 0) if usage else None,
        "write": usage.get("cacheWriteInputTokens", 0) if usage else None,
    }
    connection = "reused"
    if outcome.opened:
        connection = "cold" if item.arm.connection == "cold" else "opened"
    planned = {
        name: float(outcome.headers[f"x-tailcast-{name}-ms"])
        for name in ("ttft", "total")
        if f"x-tailcast-{name}-ms" in outcome.headers
    }
    return Measurement(
        sequence=item.sequence,
        target=item.target.label,
        arm=item.arm_label,
        load=load,
        phase=phase,
        intended_s=max(start_s - run_start_s, 0.0),
        dispatch_delay_ms=max(since_start(moments.sent_s) or 0.0, 0.0),
        sdk_ms=None if outcome.built_s is None else (outcome.built_s - outcome.called_s) * 1000.0,
        connection=connection,
        tcp_ms=since_sent(moments.tcp_connected_s),
        connect_ms=since_sent(moments.connected_s),
        headers_ms=since_start(moments.headers_s),
        reasoning_ttft_ms=since_start(outcome.reasoning_s),
        ttft_ms=since_start(deltas[0]) if deltas else None,
        total_ms=since_start(outcome.last_s),
        inter_token_ms=tuple((later - earlier) * 1000.0 for earlier, later in pairwise(deltas)),
        server_ms=outcome.server_ms,
        input_tokens=tokens["input"],
        output_tokens=tokens["output"],
        cache_read_tokens=tokens["read"],
        cache_write_tokens=tokens["write"],
        attempts=outcome.attempts,
        status=outcome.status,
        error=outcome.error,
        stop_reason=outcome.stop_reason,
        cost_usd=_cost_usd(item, tokens, outcome, prices),
        region=outcome.headers.get("x-tailcast-region"),
        request_id=outcome.request_id,
        **_of_function(outcome),
        planned_ttft_ms=planned.get("ttft"),
        planned_total_ms=planned.get("total"),
    )


def _of_function(outcome: Outcome) -> dict[str, Any]:
    """Give what a function's log says, where it was one."""
    report, record = outcome.report, outcome.record
    found: dict[str, Any] = {"version": outcome.version}
    if report is not None:
        names = ("init_ms", "duration_ms", "billed_ms", "memory_mb", "max_memory_mb")
        found |= {name: getattr(report, name) for name in names}
        # Environments of provisioned concurrency report their INIT with their first request, which did not wait.
        waited = record is None or not record.provisioned
        found["cold"] = report.init_ms is not None and waited
    if record is not None:
        found["inference_ms"] = record.inference_ms
    return found


def _cost_usd(item: Item, tokens: dict[str, int | None], outcome: Outcome, prices: PriceList) -> float | None:
    """Price a request, where the service did not.

    A stream that broke off was paid for too, but says no token counts: its highest cost stands.
    """
    if outcome.cost_usd is not None:
        return outcome.cost_usd
    if tokens["input"] is not None and tokens["output"] is not None:
        return prices.actual_usd(
            item.target.label,
            item.arm,
            tokens["input"],
            tokens["output"],
            tokens["read"] or 0,
            tokens["write"] or 0,
        )
    if outcome.status == "ok" or outcome.deltas_s:
        return prices.at_most_usd(item.target.label, item.arm)
    return 0.0
