"""Prices and what is made of them, held against figures worked out by hand or printed on AWS's pages."""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.cost import (
    Prices,
    lambda_cost_usd,
    load_prices,
    provisioned_idle_usd_per_hour,
    request_cost_usd,
    token_cost_usd,
    token_rates,
    trace_cost,
    trace_cost_usd,
)
from simulator.errors import ParameterError
from simulator.trace import TraceMetadata, make_trace

HAIKU = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
NOVA = "us.amazon.nova-lite-v1:0"


@pytest.fixture(scope="module")
def prices() -> Prices:
    return load_prices()


def own(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "prices.toml"
    path.write_text(text, encoding="utf-8")
    return path


class TestPrices:
    def test_shipped_prices_are_dated(self, prices: Prices) -> None:
        assert prices.as_of == date(2026, 11, 1)
        assert prices.lambda_gb_second_usd == {"x86_64": 0.0000166667, "arm64": 0.0000133334}

    def test_own_prices_lie_over_the_shipped_ones(self, tmp_path: Path, prices: Prices) -> None:
        mine = load_prices(own(tmp_path, "as_of = 2027-01-02\n[lambda.gb_second]\narm64 = 0.5\n"))
        assert mine.as_of == date(2027, 1, 2)
        assert mine.lambda_gb_second_usd == {"x86_64": prices.lambda_gb_second_usd["x86_64"], "arm64": 0.5}
        assert mine.rest_api_per_million_usd == prices.rest_api_per_million_usd

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("[lambda]\nrequest = 1", "'lambda.request' is not a price; known here: gb_second"),
            ("[lambda]\nrequests_per_million = -1", "'lambda.requests_per_million' is -1; a price is a number ≥ 0"),
            ("[lambda]\nrequests_per_million = nan", "'lambda.requests_per_million' is nan"),
            ("[lambda]\nrequests_per_million = true", "'lambda.requests_per_million' is True"),
            ("[lambda]\ngb_second = 1.0", "'lambda.gb_second' is 1.0; it must be shaped"),
            ("lambda = 3", "'lambda' is 3; it must be shaped"),
            ("as_of = '2026-01-01'", "'as_of' is '2026-01-01'; give a date without quotes"),
            ("[gateway]\nhttp_api_unit_kb = 0", "'gateway.http_api_unit_kb' is 0"),
            ("[models.x]\ninput = 1", 'models."x" needs input and output'),
            ("[models.x]\ninput = 1\noutput = 'free'", "'models.\"x\".output' is 'free'"),
            ("[models]\nx = 1", 'models."x" needs input and output'),
            ("models = 3", "'models' is 3; give each model a table"),
            ("[[models]]\ninput = 1\noutput = 2", "'models' is [{'input': 1, 'output': 2}]; give each model a table"),
            ("= 3", "the prices are not TOML"),
        ],
    )
    def test_a_bad_file_is_named(self, tmp_path: Path, text: str, message: str) -> None:
        path = own(tmp_path, text)
        with pytest.raises(ParameterError) as caught:
            load_prices(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(ParameterError, match=r"nowhere\.toml: cannot read the prices \(No such file"):
            load_prices(tmp_path / "nowhere.toml")


class TestRequest:
    def test_gb_seconds_by_hand(self, prices: Prices) -> None:
        # 1 s at 1 GB is one GB-s
        assert lambda_cost_usd(1000, 1024, prices=prices) == pytest.approx(0.0000166667)
        assert lambda_cost_usd(1000, 1024, prices=prices, architecture="arm64") == pytest.approx(0.0000133334)
        assert lambda_cost_usd(500, 2048, prices=prices, provisioned=True) == pytest.approx(0.0000097222)

    def test_arrays(self, prices: Prices) -> None:
        cost = lambda_cost_usd([100, 200], [1024, 512], provisioned=[False, True], prices=prices)
        assert cost == pytest.approx([0.1 * 0.0000166667, 0.1 * 0.0000097222])

    def test_requests_by_hand(self, prices: Prices) -> None:
        assert request_cost_usd(prices=prices) == pytest.approx(1.20e-6)
        assert request_cost_usd(prices=prices, request_kb=512) == pytest.approx(1.20e-6)
        assert request_cost_usd(prices=prices, request_kb=513) == pytest.approx(2.20e-6)
        assert request_cost_usd(prices=prices, gateway="rest_api") == pytest.approx(3.70e-6)
        assert request_cost_usd(prices=prices, gateway="none") == pytest.approx(0.20e-6)

    def test_an_http_api_of_another_price(self, tmp_path: Path) -> None:
        mine = load_prices(own(tmp_path, "[gateway]\nhttp_api_per_million = 3\n"))
        assert request_cost_usd(prices=mine, request_kb=513) == pytest.approx(6.20e-6)

    def test_provisioned_concurrency_kept_ready(self, prices: Prices) -> None:
        # AWS's own example rate: 0.0000041667 a GB-s; ten environments of 1 GB for an hour
        assert provisioned_idle_usd_per_hour(10, 1024, prices=prices) == pytest.approx(0.0000041667 * 36_000)

    def test_bad_values(self, prices: Prices) -> None:
        with pytest.raises(ParameterError, match="architecture 'riscv' is not one of x86_64, arm64"):
            lambda_cost_usd(1, 1, prices=prices, architecture="riscv")
        with pytest.raises(ParameterError, match="gateway 'alb' is not one of"):
            request_cost_usd(prices=prices, gateway="alb")
        with pytest.raises(ParameterError, match="negative"):
            request_cost_usd(prices=prices, request_kb=-1)
        with pytest.raises(ParameterError, match="provisioned concurrency -1 is negative"):
            provisioned_idle_usd_per_hour(-1, 128, prices=prices)


class TestTokens:
    def test_published_prices(self, prices: Prices) -> None:
        # us. profile of Claude Haiku 4.5: 10 % above the global price of 1 / 5 USD per million; Nova Lite 0.06 / 0.24
        assert token_cost_usd(HAIKU, 1000, 100, prices=prices) == pytest.approx((1100 + 550) / 1e6)
        assert token_cost_usd(NOVA, 1000, 100, prices=prices) == pytest.approx((60 + 24) / 1e6)
        assert token_cost_usd("global." + HAIKU[3:], 1000, 0, prices=prices) == pytest.approx(1000 / 1e6)

    def test_cached_tokens(self, prices: Prices) -> None:
        # reading is a tenth and writing 1.25 times the input price; Nova has no price for writing: that of input holds
        assert token_cost_usd(HAIKU, 0, 0, 1000, 0, prices=prices) == pytest.approx(110 / 1e6)
        assert token_cost_usd(HAIKU, 0, 0, 0, 1000, prices=prices) == pytest.approx(1375 / 1e6)
        assert token_cost_usd(NOVA, 0, 0, 1000, 1000, prices=prices) == pytest.approx((15 + 60) / 1e6)

    def test_a_tier_holds_for_the_whole_request(self, prices: Prices) -> None:
        tiers = token_rates("us.anthropic.claude-haiku-5-5", prices)
        assert len(tiers) > 1, "the model of this test no longer has price tiers; pick another"
        start = tiers[1].above_input_tokens
        at, above = token_cost_usd("us.anthropic.claude-haiku-5-5", [start, start - 9], 1, [0, 10], prices=prices) * 1e6
        assert at == pytest.approx(start * tiers[0].input + tiers[0].output)
        assert above == pytest.approx((start - 9) * tiers[1].input + tiers[1].output + 10 * tiers[1].cache_read)

    @given(
        plain=st.integers(0, 400_000),
        output=st.integers(0, 9_000),
        read=st.integers(0, 100_000),
        write=st.integers(0, 9_000),
        model=st.sampled_from([HAIKU, NOVA, "us.anthropic.claude-haiku-5-5", "openai.gpt-oss-120b-1:0"]),
    )
    def test_agrees_with_genai_prices(self, plain: int, output: int, read: int, write: int, model: str) -> None:
        from datetime import UTC, datetime

        from genai_prices import Usage, calc_price

        prices = load_prices()
        usage = Usage(
            input_tokens=plain + read + write, output_tokens=output, cache_read_tokens=read, cache_write_tokens=write
        )
        day = prices.as_of
        when = datetime(day.year, day.month, day.day, tzinfo=UTC)
        truth = calc_price(usage, model, provider_id="aws", genai_request_timestamp=when).total_price
        ours = token_cost_usd(model, plain, output, read, write, prices=prices)
        assert float(ours) == pytest.approx(float(truth), rel=1e-9, abs=1e-15)

    def test_unknown_model_says_where_its_price_goes(self, prices: Prices) -> None:
        with pytest.raises(ParameterError, match=r"model 'nope': no token price known; add a table \[models.'nope'\]"):
            token_cost_usd("nope", 1, 1, prices=prices)

    def test_own_price_wins(self, tmp_path: Path) -> None:
        text = f'[models."{NOVA}"]\ninput = 2\noutput = 3\n[models.nope]\ninput = 4\noutput = 5\ncache_read = 1\n'
        mine = load_prices(own(tmp_path, text))
        assert token_cost_usd(NOVA, 1e6, 1e6, 1e6, prices=mine) == pytest.approx(2 + 3 + 2)
        assert token_cost_usd("nope", 1e6, 0, 1e6, prices=mine) == pytest.approx(4 + 1)

    def test_importing_costs_nothing(self) -> None:
        code = "import sys, simulator.cost; sys.exit('genai_prices' in sys.modules)"
        assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


class TestTrace:
    def test_rows_by_hand(self, prices: Prices) -> None:
        frame = pl.DataFrame(
            {
                "arrival_s": [0.0, 1.0, 2.0, 3.0, 4.0],
                "variant": ["baseline", "baseline", "optimized", "optimized", "baseline"],
                "cold": [True, False, False, False, None],
                "provisioned": [False, None, True, False, None],
                "init_ms": [495.16, None, None, None, None],
                "duration_ms": [619.03, 660.68, 100.2, None, None],
                "billed_ms": [None, 661.0, None, None, None],
                "memory_mb": [1024] * 4 + [None],
                "input_tokens": [1000, 0, 1000, None, None],
                "output_tokens": [100, 100, 100, None, None],
                "status": ["ok", "ok", "ok", "ok", "throttled"],
            }
        )
        metadata = TraceMetadata(models={"baseline": HAIKU, "optimized": NOVA})
        cost = trace_cost(make_trace(frame, metadata), prices=prices)
        rate = 0.0000166667
        assert cost.lambda_usd[:3] == pytest.approx([1.115 * rate, 0.661 * rate, 0.101 * 0.0000097222])
        assert np.isnan(cost.lambda_usd[3])
        assert cost.lambda_usd[4] == 0
        assert cost.request_usd == pytest.approx([1.2e-6] * 4 + [1e-6])
        assert cost.token_usd[:3] == pytest.approx([1650e-6, 550e-6, 84e-6])
        assert {(each.reason, each.rows) for each in cost.unpriced} == {
            ("billed_ms (or duration_ms, with init_ms where cold) is not recorded", 1),
            (f"no tokens are recorded for 'optimized' ({NOVA})", 1),
        }
        assert cost.mean_usd() == pytest.approx(np.nanmean(cost.total_usd))

    def test_what_was_billed_is_split_into_init_and_handler_and_nothing_is_invented(self, prices: Prices) -> None:
        frame = pl.DataFrame(
            {
                "arrival_s": [0.0, 1.0, 2.0],
                # Ready before it was asked; from when INIT was free; a function that was refused by its model.
                "cold": [True, True, False],
                "provisioned": [True, False, False],
                "init_ms": [500.0, 500.0, None],
                "billed_ms": [601.0, 400.0, 100.0],
                "memory_mb": [1024] * 3,
                "status": ["ok", "ok", "throttled"],
            }
        )
        cost = trace_cost(make_trace(frame), prices=prices)
        rate = 0.0000166667
        assert cost.parts["lambda_init"] == pytest.approx([0.0, 0.4 * rate, 0.0])
        assert cost.parts["lambda_handler"] == pytest.approx([0.601 * 0.0000097222, 0.0, 0.1 * rate])
        assert cost.parts["lambda_requests"] == pytest.approx([0.2e-6] * 3)

    def test_another_architecture_has_another_price(self, prices: Prices) -> None:
        trace = make_trace(pl.DataFrame({"arrival_s": [0.0], "billed_ms": [1000.0], "memory_mb": [1024]}))
        usd = trace_cost_usd(trace, prices=prices, gateway="none", architecture="arm64")
        assert usd == pytest.approx([0.0000133334 + 0.2e-6])

    def test_models_without_price_and_variants_without_model_are_reasons(self, prices: Prices) -> None:
        frame = pl.DataFrame(
            {
                "arrival_s": [0.0, 1.0],
                "variant": ["a", "b"],
                "billed_ms": [1.0, 1.0],
                "memory_mb": [128, 128],
                "input_tokens": [1, 1],
            }
        )
        cost = trace_cost(make_trace(frame, TraceMetadata(models={"a": "nope"})), prices=prices)
        assert np.isnan(cost.token_usd).all()
        reasons = [each.reason for each in cost.unpriced]
        assert reasons[0].startswith("model 'nope': no token price known")
        assert reasons[1] == "the trace's metadata name no model for 'b'"
        assert cost.mean_usd() is None

    def test_a_trace_without_model_or_tokens_called_none(self, prices: Prices) -> None:
        frame = pl.DataFrame({"arrival_s": [0.0], "billed_ms": [1000.0], "memory_mb": [1024]})
        usd = trace_cost_usd(make_trace(frame), prices=prices, gateway="none")
        assert usd == pytest.approx([0.0000166667 + 0.2e-6])
