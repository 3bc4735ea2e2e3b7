"""Profiles, draws, quotas, the prompt cache and faults, each on its own."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.cloud.bedrock.cache import PromptCache
from replay.cloud.bedrock.draws import uniform
from replay.cloud.bedrock.faults import Faults
from replay.cloud.bedrock.models import ModelTable, base_id
from replay.cloud.bedrock.profiles import load_profile
from replay.cloud.bedrock.prompt import CachePoint, Prompt, filler
from replay.cloud.bedrock.quota import QuotaMeter
from replay.cloud.config import DEFAULT_MODELS, BedrockQuota
from replay.errors import InputError
from simulator.trace import make_trace, write_trace

# --- draws --------------------------------------------------------------------------------------------------------


def test_a_draw_depends_on_what_it_is_for_and_nothing_else() -> None:
    first = [uniform(1, "m", "latency", index) for index in range(50)]
    backwards = [uniform(1, "m", "latency", index) for index in reversed(range(50))]

    assert first == backwards[::-1]
    for other in ((2, "m", "latency"), (1, "n", "latency"), (1, "m", "length")):
        assert uniform(*other, 0) != first[0]


def test_draws_are_uniform_and_independent() -> None:
    draws = np.array([uniform(3, "m", "latency", index) for index in range(5_000)])

    # Kolmogorov-Smirnov at 0.1 %, and correlation within 4 standard errors.
    distance = np.abs(np.sort(draws) - (np.arange(5_000) + 0.5) / 5_000).max()
    assert distance < 1.95 / np.sqrt(5_000)
    assert abs(np.corrcoef(draws[:-1], draws[1:])[0, 1]) < 4 / np.sqrt(5_000)


# --- profiles -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["claude-3-haiku", "nova-lite"])
def test_shipped_profiles_are_the_recorded_figures(shared_data: Path, model: str) -> None:
    with (shared_data / "lambda_bedrock_2025-12-30.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["model"] == model]
    recorded = sorted(float(row["inference_ms"] or row["handler_ms"]) for row in rows)

    assert load_profile(model).inference_ms.tolist() == recorded


@given(st.floats(0, 1))
def test_latencies_are_quantiles_of_the_recording(share: float) -> None:
    profile = load_profile("claude-3-haiku")

    assert profile.latency_ms(share) == pytest.approx(np.quantile(profile.inference_ms, share))


@given(st.floats(0, 1, exclude_max=True))
def test_answer_lengths_stay_within_the_profile(share: float) -> None:
    profile = load_profile("nova-lite")

    assert profile.output_tokens[0] <= profile.answer_tokens(share) <= profile.output_tokens[1]


def test_a_trace_is_a_profile(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {"arrival_s": [0.0, 1.0, 2.0], "inference_ms": [300.0, None, 100.0], "output_tokens": [5, 9, 7]}
    )
    path = write_trace(make_trace(frame), tmp_path / "model.parquet")

    profile = load_profile(str(path))

    assert profile.inference_ms.tolist() == [100.0, 300.0]
    assert profile.output_tokens == (5, 9)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"name": "a", "source": "b", "inference_ms": []}, "inference_ms is empty"),
        ({"name": "a", "source": "b", "inference_ms": [1, -2]}, "holds -2.0"),
        ({"name": "a", "source": "b", "inference_ms": ["nan"]}, "holds nan"),
        ({"name": "a", "inference_ms": [1]}, "KeyError: 'source'"),
        ({"name": "a", "source": "b", "inference_ms": [1], "output_tokens": [5, 2]}, "output_tokens [5, 2]"),
        ([], "not a latency profile"),
    ],
)
def test_a_bad_profile_is_named(tmp_path: Path, document: Any, message: str) -> None:
    path = tmp_path / "p.json"
    path.write_text(json.dumps(document))

    with pytest.raises(InputError) as caught:
        load_profile(str(path))

    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_profile_that_is_no_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_bytes(b"\xff\xfe{")

    with pytest.raises(InputError, match=r"p\.json: not a latency profile"):
        load_profile(str(path))


@pytest.mark.parametrize("reference", ["unknown", "missing.json", "missing.parquet"])
def test_a_missing_profile_is_named(reference: str) -> None:
    with pytest.raises(InputError, match=reference):
        load_profile(reference)


# --- models -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model_id", "base"),
    [
        ("anthropic.claude-3-haiku-20240307-v1:0", "anthropic.claude-3-haiku-20240307-v1:0"),
        ("us.amazon.nova-lite-v1:0", "amazon.nova-lite-v1:0"),
        ("global.anthropic.claude-haiku-4-5-20251001-v1:0", "anthropic.claude-haiku-4-5-20251001-v1:0"),
        ("arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0", "amazon.nova-lite-v1:0"),
        (
            "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-lite-v1:0",
            "amazon.nova-lite-v1:0",
        ),
    ],
)
def test_ids_profiles_and_arns_name_the_same_model(model_id: str, base: str) -> None:
    assert base_id(model_id) == base
    found = ModelTable(DEFAULT_MODELS).find(model_id)
    assert found is not None
    assert found.name == base


def test_an_unknown_model_is_none() -> None:
    assert ModelTable(DEFAULT_MODELS).find("acme.model-v1") is None


# --- quotas -------------------------------------------------------------------------------------------------------


def test_requests_are_metered_by_the_minute() -> None:
    meter = QuotaMeter(BedrockQuota(requests_per_minute=2), 0.0)

    answers = [meter.reserve(1, 1, at_s) for at_s in (0.0, 0.0, 0.0, 29.0, 30.0, 30.0)]

    assert [answer is None for answer in answers] == [True, True, False, False, True, False]


def test_input_and_max_tokens_are_reserved_and_the_rest_given_back() -> None:
    meter = QuotaMeter(BedrockQuota(tokens_per_minute=1_000), 0.0)

    assert meter.reserve(100, 800, 0.0) is None
    assert meter.reserve(100, 100, 0.0) == "Too many tokens, please wait before trying again."
    meter.settle(800, 50, 5.0, 0.0)  # 250 quota tokens used of 800
    assert meter.reserve(100, 550, 0.0) is None
    assert meter.reserve(1, 0, 0.0) is not None


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(1, 400), st.integers(1, 400), st.floats(0, 1)), max_size=80))
def test_no_minute_uses_more_than_twice_the_quota(requests: list[tuple[float, int, int, float]]) -> None:
    """A bucket that starts full lets a quota through at once, and another one over the minute."""
    quota = 1_000
    meter = QuotaMeter(BedrockQuota(tokens_per_minute=quota), 0.0)
    now_s, used = 0.0, []
    for gap_s, given_tokens, max_tokens, share in requests:
        now_s += gap_s
        if meter.reserve(given_tokens, max_tokens, now_s) is None:
            output = int(share * max_tokens)
            meter.settle(max_tokens, output, 1.0, now_s)
            used.append((now_s, given_tokens + output))

    for start_s, _ in used:
        assert sum(tokens for at_s, tokens in used if start_s <= at_s < start_s + 60) <= 2 * quota


# --- prompt cache -------------------------------------------------------------------------------------------------


def prompt(*points: tuple[str, int], total: int = 5_000, ttl_s: float = 300.0) -> Prompt:
    return Prompt(total, None, tuple(CachePoint(digest, tokens, ttl_s) for digest, tokens in points))


def test_a_prefix_is_written_once_then_read_until_it_is_forgotten() -> None:
    cache = PromptCache(min_tokens=1_024)

    assert cache.read(prompt(("a", 2_000)), 0.0) == (0, 2_000)
    assert cache.read(prompt(("a", 2_000)), 299.0) == (2_000, 0)
    assert cache.read(prompt(("a", 2_000)), 598.0) == (2_000, 0), "a hit keeps it"
    assert cache.read(prompt(("a", 2_000)), 899.0) == (0, 2_000)


def test_a_longer_prefix_reads_the_known_part_and_writes_the_rest() -> None:
    cache = PromptCache(min_tokens=1_024)
    cache.read(prompt(("a", 2_000)), 0.0)

    assert cache.read(prompt(("a", 2_000), ("ab", 3_000)), 1.0) == (2_000, 1_000)
    assert cache.read(prompt(("a", 2_000), ("ab", 3_000)), 2.0) == (3_000, 0)


def test_what_is_too_short_or_has_no_cache_is_silently_left_out() -> None:
    assert PromptCache(4_096).read(prompt(("a", 4_095)), 0.0) == (0, 0)
    assert PromptCache(None).read(prompt(("a", 9_000)), 0.0) == (0, 0)


# --- faults and filler --------------------------------------------------------------------------------------------


def test_a_draw_decides_the_fault() -> None:
    faults = Faults(throttled_share=0.1, timeout_share=0.1, error_share=0.1, unavailable_share=0.1)

    kinds = [faults.kind(draw) for draw in (0.05, 0.15, 0.25, 0.35, 0.45)]

    assert kinds == ["throttled", "timeout", "error", "unavailable", None]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"throttled_share": -0.1}, "throttled_share -0.1"),
        ({"throttled_share": "x"}, "throttled_share 'x'"),
        ({"throttled_share": 0.6, "error_share": 0.6}, "add up to 1.2"),
        ({"latency": 1}, "unknown key 'latency'"),
        ([1], "give a JSON object"),
    ],
)
def test_bad_faults_are_named(document: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Faults.from_document(document)


@given(st.integers(0, 10_000), st.integers(1, 500))
def test_answers_are_about_as_long_as_they_say_and_repeat(prompt_tokens: int, tokens: int) -> None:
    text = filler(prompt_tokens, tokens)

    assert abs(len(text) - 4 * tokens) <= 1
    assert text == filler(prompt_tokens, tokens)
