"""What is published comes out of the shipped catalogue, and each condition moves the time as it says."""

from __future__ import annotations

import csv
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from statistics import mean

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.cloud.bedrock.streaming.catalogue import Model, load_catalogue, read_catalogue, shipped_catalogue
from replay.cloud.bedrock.streaming.recorded import whole_call_profile
from replay.cloud.bedrock.streaming.timing import Conditions, schedule
from replay.errors import InputError
from simulator.trace import make_trace, write_trace

AT_RECORDING = Conditions(
    input_tokens=672,
    cache_read_tokens=0,
    output_tokens=40,
    through_profile=False,
    new_connection=False,
    first_after_idle=False,
    optimized=False,
)
IDS = {
    "nova-micro": "us.amazon.nova-micro-v1:0",
    "gpt-oss-20b": "openai.gpt-oss-20b-1:0",
    "minimax-m2.5": "minimax.minimax-m2.5",
    "qwen3-next-80b": "qwen.qwen3-next-80b-a3b",
    "claude-haiku-4.5": "us.anthropic.claude-haiku-4-5-20251001-v1:0",
    "deepseek-v3.2": "deepseek.v3.2",
}


def test_the_shipped_figures_are_the_published_ones(shared_data: Path) -> None:
    runs: dict[str, list[dict[str, str]]] = defaultdict(list)
    with (shared_data / "bedrock_ttft_2026.csv").open() as file:
        for row in csv.DictReader(file):
            runs[row["model"]].append(row)
    for name, rows in runs.items():
        found = shipped_catalogue().find(IDS[name])
        assert found is not None, name
        model, prefix = found
        published = sorted(float(row["ttft_ms"]) for row in rows)
        first = [model.first_ttft_ms] if model.first_ttft_ms is not None else []
        assert sorted([*model.ttft_ms, *first]) == published, name
        assert (prefix is not None) == (rows[0]["cris"] == "yes")
        assert (model.cache_minimum_tokens is not None) == (rows[0]["prompt_cache"] != "no")
        if name != "claude-haiku-4.5":  # its published total lies below its published TTFT
            assert mean(published) + (model.decode_ms or 0) == pytest.approx(float(rows[0]["mean_total_ms"]), abs=0.01)


def test_the_extreme_draws_give_the_extreme_recordings() -> None:
    model = shipped_catalogue().models["openai.gpt-oss-20b-1:0"]
    assert schedule(model, AT_RECORDING, 0.0).ttft_ms == pytest.approx(429)
    assert schedule(model, AT_RECORDING, 0.5).ttft_ms == pytest.approx(456)
    assert schedule(model, AT_RECORDING, 1.0).ttft_ms == pytest.approx(540)
    assert schedule(model, AT_RECORDING, 0.5).total_ms == pytest.approx(456 + 822)


def test_each_condition_moves_the_time_as_the_catalogue_says() -> None:
    micro = shipped_catalogue().models["amazon.nova-micro-v1:0"]
    through = replace(AT_RECORDING, through_profile=True)

    def ttft(conditions: Conditions) -> float:
        return schedule(micro, conditions, 0.0).ttft_ms

    assert ttft(through) == pytest.approx(334)
    assert ttft(AT_RECORDING) == pytest.approx(334 - 50)
    assert ttft(replace(through, new_connection=True)) == pytest.approx(334 + 111)
    assert ttft(replace(through, first_after_idle=True)) == pytest.approx(549)
    assert ttft(replace(through, input_tokens=1672)) == pytest.approx(334 + 150)
    assert ttft(replace(through, input_tokens=672, cache_read_tokens=1000)) == pytest.approx(334 + 15)
    assert ttft(replace(through, tier="priority")) == pytest.approx(334 * 0.85)


def test_a_recorded_call_is_split_but_not_changed() -> None:
    haiku = shipped_catalogue().models["anthropic.claude-3-haiku-20240307-v1:0"]
    planned = schedule(haiku, AT_RECORDING, 1.0)
    assert planned.total_ms == pytest.approx(859.97)
    assert planned.ttft_ms == pytest.approx(859.97 * 0.6)


@given(st.floats(0, 1), st.integers(1, 500), st.integers(1, 5000))
def test_tokens_leave_in_order_from_the_first_to_the_end(draw: float, output: int, tokens: int) -> None:
    model = shipped_catalogue().models["deepseek.v3.2"]
    planned = schedule(model, replace(AT_RECORDING, output_tokens=output, input_tokens=tokens), draw)
    moments = [planned.token_ms(index) for index in range(output)]
    assert moments == sorted(moments)
    assert moments[0] == pytest.approx(planned.ttft_ms)
    assert moments[-1] == pytest.approx(planned.total_ms)
    assert planned.ttft_ms > 0


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[models.a]\nttft_ms = [1]", "give ttft_ms and decode_ms, or total_ms and ttft_share"),
        ("[models.a]\nttft_ms = [-1]\ndecode_ms = 5", "ttft_ms -1 must be a number, 0 or more"),
        ("[models.a]\nttft_ms = [1]\ndecode_ms = 5\nttf = 3", "unknown key 'ttf'"),
        ("[models.a]\nttft_quantiles_ms = [[0, 9], [1, 3]]\ndecode_ms = 5", "must ascend from level 0 to level 1"),
        ("[models.a]\nttft_ms = [1]\ndecode_ms = 5\nslots = 0", "slots 0 must be at least 1"),
        ("[models.a]\nttft_ms = [1]\ndecode_ms = 5\nslots = '3'", "slots '3' must be at least 1"),
        ("[models.a]\nttft_ms = 1\ndecode_ms = 5", "ttft_ms must be a list, not 1"),
        ("[models.a]\nttft_ms = [1]\ndecode_ms = 5\nregions = 'us-east-1'", "regions must be a list, not 'us-east-1'"),
        ("[models.a]\nttft_quantiles_ms = [1, 2]\ndecode_ms = 5", "each of ttft_quantiles_ms must be a list, not 1"),
        ("[models.a]\nttft_quantiles_ms = [[0], [1]]\ndecode_ms = 5", "must be pairs of level and time"),
        ("[models.a]\ntotal_ms = [1]\nttft_share = 'x'", "ttft_share 'x' must be above 0"),
        ("[models.a]\nttft_ms = [1]\ndecode_ms = 5\ntier_factors = {flex = 'x'}", "tier_factors flex = 'x' must be"),
        ("[models.a]\nttft_ms = [1]\ndecode_ms = 5\nprofiles = {us = 'x'}", "profiles must be a list, not 'x'"),
        ("models = 5", "models must be a table, not 5"),
        ("[models]\na = 5", "model 'a' must be a table, not 5"),
        ("[models", "not TOML"),
    ],
)
def test_a_catalogue_that_is_wrong_says_where(text: str, why: str) -> None:
    with pytest.raises(InputError, match=why.replace("(", r"\(")):
        read_catalogue(text)


def test_a_model_is_found_by_id_profile_and_arn() -> None:
    catalogue = shipped_catalogue()

    def prefix(name: str) -> str | None:
        found: tuple[Model, str | None] | None = catalogue.find(name)
        assert found is not None
        return found[1]

    assert prefix("amazon.nova-micro-v1:0") is None
    assert prefix("us.amazon.nova-micro-v1:0") == "us"
    assert prefix("arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-micro-v1:0") == "us"
    assert prefix("arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-micro-v1:0") is None
    assert catalogue.find("eu.amazon.nova-micro-v1:0") is None
    assert catalogue.find("nobody.model") is None


def test_a_models_figures_come_from_a_recording_of_it(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "arrival_s": [0.0, 1.0, 2.0],
            "ttft_ms": [100.0, 200.0, 400.0],
            "inference_ms": [160.0, 260.0, 460.0],
            "input_tokens": [900, 1000, 1100],
            "output_tokens": [30, 30, 30],
        }
    )
    write_trace(make_trace(frame), tmp_path / "own.parquet")
    (tmp_path / "own.toml").write_text('[models."own.model"]\ntrace = "own.parquet"\nregions = ["us-east-1"]\n')
    catalogue = load_catalogue(str(tmp_path / "own.toml"))
    assert "amazon.nova-micro-v1:0" in catalogue.models
    own = catalogue.models["own.model"]
    assert (own.answer_tokens, own.reference_input_tokens, own.decode_ms) == (30, 1000, 60.0)
    conditions = replace(AT_RECORDING, input_tokens=1000, output_tokens=30)
    assert schedule(own, conditions, 0.25).ttft_ms == pytest.approx(150)
    assert schedule(own, conditions, 0.75).total_ms == pytest.approx(360)
    assert whole_call_profile(own).latency_ms(0.5) == pytest.approx(260)
    (tmp_path / "bad.toml").write_text('[models."own.model"]\ntrace = "nowhere.parquet"\n')
    with pytest.raises(InputError, match=r"bad\.toml: .*nowhere\.parquet"):
        load_catalogue(str(tmp_path / "bad.toml"))
    (tmp_path / "bad.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"bad\.toml: bedrock catalogue: not TOML"):
        load_catalogue(str(tmp_path / "bad.toml"))
    with pytest.raises(InputError, match="cannot read the bedrock catalogue"):
        load_catalogue(str(tmp_path / "absent.toml"))
