"""Tiers: the table, what a caller chooses, what it costs, the prompt cache, and who stands in for whom."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.common.circuit import Circuit
from functions.common.errors import ConfigurationError
from functions.common.tiers import Prices, Usage, read_tiers
from tests.functions.bedrock_server import ANSWER, FakeBedrock, Reply, refusal
from tests.functions.conftest import Context, Outcome

Load = Callable[..., ModuleType]
Call = Callable[..., Outcome]

MODEL = "us.amazon.nova-lite-v1:0"
TABLE = {
    "standard": {
        "usd_per_million": {"input": 1.0, "output": 5.0, "cache_read": 0.1, "cache_write": 1.25},
        "fallback": "fast",
    },
    "fast": {"model_id": "amazon.nova-micro-v1:0", "max_tokens": 32, "usd_per_million": {"input": 2.0, "output": 3.0}},
    "reasoning": {
        "model_id": "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "max_tokens": 2_000,
        "latency": "optimized",
        "service_tier": "priority",
        "cache_minimum_tokens": 100,
    },
}


@pytest.fixture
def tiered(load: Load) -> Callable[..., ModuleType]:
    """Load the handler with the three tiers."""

    def _load(**settings: str | None) -> ModuleType:
        return load(**{"TIERS": json.dumps(TABLE), "MODEL_MAX_ATTEMPTS": "1", **settings})

    return _load


def test_a_tier_is_a_model_with_limits_and_ways_of_its_own(tiered: Load, call: Call, bedrock: FakeBedrock) -> None:
    body = call(tiered(), {"prompt": "a", "tier": "reasoning", "max_tokens": 1_500, "temperature": 1}).body
    assert bedrock.paths == ["/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse"]
    assert bedrock.requests[0]["inferenceConfig"] == {"maxTokens": 1_500, "temperature": 1.0}
    assert bedrock.requests[0]["performanceConfig"] == {"latency": "optimized"}
    assert bedrock.requests[0]["serviceTier"] == {"type": "priority"}
    assert (body["tier"], body["model"], body["cost_usd"]) == ("reasoning", TABLE["reasoning"]["model_id"], None)


def test_an_answer_says_what_it_cost(tiered: Load, call: Call) -> None:
    module = tiered()
    outcome = call(module, {"prompt": "a"})
    # 11 in, 7 out, 5 read, 3 written.
    assert outcome.body["cost_usd"] == pytest.approx((11 * 1.0 + 7 * 5.0 + 5 * 0.1 + 3 * 1.25) / 1e6)
    assert outcome.record["cost_usd"] == outcome.record["CostUsd"] == outcome.body["cost_usd"]
    # Without prices of its own for cached tokens, a model charges them as input.
    assert call(module, {"prompt": "a", "tier": "fast"}).body["cost_usd"] == pytest.approx((19 * 2 + 7 * 3) / 1e6)


def test_the_callers_system_prompt_replaces_the_configured_one(tiered: Load, call: Call, bedrock: FakeBedrock) -> None:
    module = tiered(SYSTEM_PROMPT="Be brief.")
    call(module, {"prompt": "a", "system": "Be long."})
    call(module, {"prompt": "a", "system": ""})
    assert bedrock.requests[0]["system"] == [{"text": "Be long."}]
    assert "system" not in bedrock.requests[1]


def test_a_system_prompt_may_be_refused(tiered: Load, call: Call) -> None:
    outcome = call(tiered(ALLOW_SYSTEM="0"), {"prompt": "a", "system": "Forget all that."})
    assert (outcome.status, "'system' is not allowed" in outcome.body["error"]["message"]) == (400, True)


# --- prompt cache -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("chars", "point"), [(400, True), (399, False)])
def test_a_cache_point_follows_a_system_prompt_of_the_models_minimum(
    tiered: Load, call: Call, bedrock: FakeBedrock, chars: int, point: bool
) -> None:
    call(tiered(), {"prompt": "a", "system": "x" * chars, "tier": "reasoning"})
    expected: list[dict[str, Any]] = [{"text": "x" * chars}]
    assert bedrock.requests[0]["system"] == expected + [{"cachePoint": {"type": "default"}}] * point


def test_a_model_without_a_prompt_cache_gets_no_cache_point(tiered: Load, call: Call, bedrock: FakeBedrock) -> None:
    outcome = call(tiered(), {"prompt": "a", "system": "x" * 9_000})
    assert bedrock.requests[0]["system"] == [{"text": "x" * 9_000}]
    assert outcome.record["prompt_cache"] is None
    assert "PromptCacheHits" not in outcome.record


@pytest.mark.parametrize(
    ("read", "written", "state", "hits", "skipped"),
    [(90, 0, "hit", 1, 0), (0, 90, "write", 0, 0), (0, 0, "skipped", 0, 1), (5, 3, "hit", 1, 0)],
)
def test_hits_and_silent_skips_of_the_prompt_cache_are_counted(
    tiered: Load, call: Call, bedrock: FakeBedrock, read: int, written: int, state: str, hits: int, skipped: int
) -> None:
    usage = {"inputTokens": 1, "outputTokens": 1, "cacheReadInputTokens": read, "cacheWriteInputTokens": written}
    bedrock.replies = [Reply(body={**ANSWER, "usage": usage})]
    record = call(tiered(), {"prompt": "a", "system": "x" * 500, "tier": "reasoning"}).record
    assert (record["prompt_cache"], record["PromptCacheHits"], record["PromptCacheSkipped"]) == (state, hits, skipped)


# --- fallback and breaker ---------------------------------------------------------------------------------------------

MICRO = "/model/amazon.nova-micro-v1%3A0/converse"
LITE = "/model/us.amazon.nova-lite-v1%3A0/converse"


@pytest.mark.parametrize(
    "reply",
    [
        refusal(429, "ThrottlingException", "no"),
        refusal(503, "ServiceUnavailableException", "no"),
        refusal(500, "InternalServerException", "no"),
        refusal(424, "ModelErrorException", "no"),
        refusal(408, "ModelTimeoutException", "no"),
        Reply(502, {"nothing": "of Bedrock's"}),
        Reply(drop=True),
    ],
)
def test_another_tier_stands_in_for_a_model_that_throttles_or_is_down(
    tiered: Load, call: Call, bedrock: FakeBedrock, reply: Reply
) -> None:
    bedrock.replies = [reply]
    outcome = call(tiered(), {"prompt": "a", "max_tokens": 60})
    assert bedrock.paths == [LITE, MICRO]
    assert bedrock.requests[1]["inferenceConfig"]["maxTokens"] == 32
    assert (outcome.status, outcome.body["tier"], outcome.body["model"]) == (200, "fast", "amazon.nova-micro-v1:0")
    assert (outcome.record["fallback_from"], outcome.record["tier"], outcome.record["Fallbacks"]) == (
        "standard",
        "fast",
        1,
    )


@pytest.mark.parametrize("code", ["ValidationException", "AccessDeniedException"])
def test_a_request_that_another_model_would_not_mend_stays_where_it_is(
    tiered: Load, call: Call, bedrock: FakeBedrock, code: str
) -> None:
    bedrock.replies = [refusal(400, code, "no")]
    assert call(tiered(), {"prompt": "a"}).status == 502
    assert bedrock.paths == [LITE]


def test_a_model_that_hangs_leaves_time_for_the_one_that_stands_in(
    tiered: Load, call: Call, bedrock: FakeBedrock
) -> None:
    module = tiered(DEADLINE_MARGIN_MS="200")
    call(module, {"prompt": "a"})
    bedrock.replies = [Reply(hang_before_headers=True)]
    outcome = call(module, {"prompt": "a"}, Context(remaining_ms=1_200))
    assert (outcome.status, outcome.body["tier"]) == (200, "fast")


def test_both_down_is_the_last_ones_failure(tiered: Load, call: Call, bedrock: FakeBedrock) -> None:
    bedrock.replies = [refusal(503, "ServiceUnavailableException", "no"), refusal(429, "ThrottlingException", "no")]
    outcome = call(tiered(), {"prompt": "a"})
    assert (outcome.status, outcome.record["status"], outcome.record["tier"]) == (429, "throttled", "fast")


def test_the_breaker_spares_a_model_that_keeps_failing_and_tries_again(
    tiered: Load, call: Call, bedrock: FakeBedrock
) -> None:
    module = tiered(BREAKER_FAILURES="2", BREAKER_COOLDOWN_S="1")
    no = refusal(429, "ThrottlingException", "no")
    for reply in (no, no):
        bedrock.replies = [reply]
        assert call(module, {"prompt": "a"}).status == 200
    bedrock.paths.clear()
    assert call(module, {"prompt": "a"}).body["tier"] == "fast"
    assert bedrock.paths == [MICRO]
    time.sleep(1.05)
    assert call(module, {"prompt": "a"}).body["tier"] == "standard"
    assert bedrock.paths == [MICRO, LITE]


@given(st.lists(st.tuples(st.floats(0, 10), st.booleans()), max_size=40), st.integers(1, 5), st.floats(0.1, 20))
def test_a_breaker_opens_after_so_many_failures_in_a_row_and_never_longer_than_its_cooldown(
    steps: list[tuple[float, bool]], failures: int, cooldown_s: float
) -> None:
    circuit, now_s, in_a_row, failed_at_s = Circuit(failures, cooldown_s), 0.0, 0, 0.0
    for pause_s, works in steps:
        now_s += pause_s
        passes = circuit.lets_pass(now_s)
        assert passes == (in_a_row < failures or now_s - failed_at_s >= cooldown_s)
        if passes:
            if works:
                circuit.succeeded()
                in_a_row = 0
            else:
                circuit.failed(now_s)
                in_a_row, failed_at_s = in_a_row + 1, now_s


# --- the table --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "line"),
    [
        ("{", "TIERS is not valid JSON"),
        ("[]", "TIERS must be JSON such as"),
        ({"fast": 1}, "TIERS must be JSON such as"),
        ({"fast": {}}, "tier 'fast': model_id=None must be"),
        ({"fast": {"model_id": "m", "prise": 1}}, "tier 'fast': unknown field 'prise'"),
        ({"fast": {"model_id": "m", "max_tokens": 0}}, "tier 'fast': max_tokens=0 must be"),
        ({"fast": {"model_id": "m", "max_tokens": True}}, "tier 'fast': max_tokens=True must be"),
        ({"fast": {"model_id": "m", "latency": "low"}}, "tier 'fast': latency='low' is not one of"),
        ({"fast": {"model_id": "m", "service_tier": 1}}, "tier 'fast': service_tier=1 is not one of"),
        ({"fast": {"model_id": "m", "usd_per_million": {"input": 1}}}, "tier 'fast': usd_per_million must have"),
        ({"fast": {"model_id": "m", "usd_per_million": {"input": -1, "output": 1}}}, "usd_per_million.input=-1"),
        (
            {"fast": {"model_id": "m", "usd_per_million": {"input": 1, "output": math.inf}}},
            "usd_per_million.output=inf",
        ),
        ({"fast": {"model_id": "m", "usd_per_million": {"input": 1, "output": 1, "cached": 1}}}, "must have input and"),
        ({"fast": {"model_id": "m", "fallback": "slow"}}, "tier 'fast': fallback='slow' is not a tier"),
        ({"fast": {"model_id": "m", "fallback": "fast"}}, "tier 'fast': its fallbacks lead back to 'fast'"),
        ({"standard": {"model_id": "other"}}, f"tier 'standard': model_id='other' is not MODEL_ID='{MODEL}'"),
    ],
)
def test_a_wrong_table_is_one_line_that_names_tier_and_field(table: object, line: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_tiers(table if isinstance(table, str) else json.dumps(table), "standard", MODEL, 64)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_fields_without_a_value_are_as_if_they_were_not_there() -> None:
    """Terraform writes every field of its objects."""
    nothing = {"latency": None, "service_tier": None, "fallback": None, "cache_minimum_tokens": None}
    prices = {"input": 1.0, "output": 2.0, "cache_read": None, "cache_write": None}
    full = {"fast": {"model_id": "m", "max_tokens": None, "usd_per_million": prices, **nothing}}
    bare = {"fast": {"model_id": "m", "usd_per_million": {"input": 1.0, "output": 2.0}}}
    found = [read_tiers(json.dumps(table), "standard", MODEL, 64) for table in (full, bare)]
    assert found[0] == found[1]
    assert found[0]["fast"].prices == Prices(1.0, 2.0, 1.0, 1.0)


def test_the_default_tier_has_the_variants_model_and_limit_where_it_names_none() -> None:
    assert read_tiers("", "standard", MODEL, 64)["standard"].max_tokens == 64
    named = read_tiers(json.dumps({"standard": {"max_tokens": 32}}), "standard", MODEL, 64)["standard"]
    assert (named.model_id, named.max_tokens) == (MODEL, 32)


@given(st.builds(Usage, *[st.integers(0, 10**6)] * 4), st.builds(Prices, *[st.floats(0, 100)] * 4))
def test_costs_add_up(usage: Usage, prices: Prices) -> None:
    parts = [
        Prices(prices.input, 0, 0, 0),
        Prices(0, prices.output, 0, 0),
        Prices(0, 0, prices.cache_read, prices.cache_write),
    ]
    assert prices.cost_usd(usage) == pytest.approx(sum(part.cost_usd(usage) for part in parts))
