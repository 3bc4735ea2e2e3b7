"""A month of requests: worked examples by hand, and what must hold whatever is priced."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.cost import load_prices
from simulator.cost.beside import ITEM_BYTES, Beside, logs_cost_usd, response_cache_cost_usd
from simulator.cost.monthly import CostReport, Standing, monthly_cost
from simulator.cost.resampling import interval, resampled_means
from simulator.cost.sides import ALL_PARTS, Assumed, Numbers, Side, Terms, side_of_numbers, side_of_trace
from simulator.errors import ParameterError
from simulator.importers import ImportOptions, import_trace
from simulator.trace import Trace, TraceMetadata, make_trace

PRICES = load_prices()
BARE = Terms(PRICES, beside=Beside(log_bytes=0))
"""Without logs, as the worked examples are reckoned."""
SONNET = "global.anthropic.claude-sonnet-4-5-20250929-v1:0"
HAIKU_3 = "anthropic.claude-3-haiku-20240307-v1:0"
NOVA = "amazon.nova-lite-v1:0"
GB_SECOND_USD = 0.0000166667
MACHINE_USD = 734.0


def month(*sides: Side, monthly: float = 1e6, **options: float | int | None) -> CostReport:
    return monthly_cost([(side, Standing()) for side in sides], monthly, prices=PRICES, **options)  # type: ignore[arg-type]


def recorded(trace_rows: int, **columns: object) -> Trace:
    frame = pl.DataFrame(
        {
            "arrival_s": [float(row) for row in range(trace_rows)],
            "memory_mb": [1024] * trace_rows,
            "input_tokens": [100] * trace_rows,
            "output_tokens": [100] * trace_rows,
            **columns,
        }
    )
    return make_trace(frame, TraceMetadata(models={"": NOVA}))


class TestWorkedExamples:
    def test_ten_seconds_of_sonnet_against_a_machine(self) -> None:
        """512 MB, 10 s, 3,000 tokens in at 3 USD a million and 2,000 out at 15."""
        side = side_of_numbers(Numbers(SONNET, 512, 10_000, 3_000, 2_000), "now", BARE)
        report = month(side, monthly=1_000, machine_usd=MACHINE_USD)
        per_request = 5.0 * GB_SECOND_USD + 0.2e-6 + 1e-6 + 0.009 + 0.030
        assert report.first.per_request["total"].value == pytest.approx(per_request, rel=1e-9)
        assert round(per_request, 2) == 0.04
        assert report.first.month.value == pytest.approx(39.0, abs=0.1)
        assert report.first.break_even is not None
        assert report.first.break_even.value == pytest.approx(MACHINE_USD / per_request)
        assert report.first.break_even.value == pytest.approx(18_800, abs=50)
        assert report.first.break_even.low is None, "numbers have no interval"

    def test_claude_3_haiku_to_nova_lite_as_it_was_recorded(self, shared_data: Path) -> None:
        """The recording of 2025-12-30: times are measured, tokens (which it lacks) are those of the demo's prompts."""
        trace = import_trace(
            shared_data / "lambda_bedrock_2025-12-30.csv",
            "csv",
            ImportOptions(
                spacing_s=10.0,
                models={"baseline": HAIKU_3, "optimized": NOVA},
                mapping={"duration_ms": "coalesce(duration_ms, handler_ms)", "cold": "start = 'cold'"},
            ),
        )
        assumed = Assumed(input_tokens=60, output_tokens=100)
        sides = [
            side_of_trace(trace.select(pl.col("variant") == name), name, BARE, assumed)
            for name in ("baseline", "optimized")
        ]
        report = month(*sides)
        assert report.second is not None
        assert report.saved_usd is not None
        assert report.saved_share is not None
        # Billed where it was logged, else the handler's time rounded up to a millisecond, INIT of two (one) in eleven.
        billed_s = {"baseline": 8.200, "optimized": 4.510}
        tokens = {"baseline": (0.25, 1.25), "optimized": (0.06, 0.24)}
        for name, one in {"baseline": report.first, "optimized": report.second}.items():
            usd_in, usd_out = tokens[name]
            by_hand = billed_s[name] / 11 * 1023 / 1024 * GB_SECOND_USD + 1.2e-6 + (60 * usd_in + 100 * usd_out) / 1e6
            assert one.per_request["total"].value == pytest.approx(by_hand, rel=1e-6)
            assert one.side.rows == 11
            assert one.month.low is not None
            assert one.month.high is not None
            assert one.month.low < one.month.value < one.month.high
        # What the README says of the demo, with its interval.
        assert report.first.per_request["total"].value * 1000 == pytest.approx(0.15, abs=0.01)
        assert report.second.per_request["total"].value * 1000 == pytest.approx(0.035, abs=0.003)
        assert report.saved_share.value == pytest.approx(0.77, abs=0.01)
        assert report.saved_share.low is not None
        assert report.saved_share.high is not None
        assert 0.7 < report.saved_share.low < report.saved_share.value < report.saved_share.high < 0.85


class TestParts:
    def test_init_stands_apart_and_nothing_is_counted_twice(self) -> None:
        trace = recorded(
            3,
            cold=[True, True, False],
            init_ms=[500.0, None, None],
            duration_ms=[600.5, 600.5, 600.5],
            billed_ms=[1101.0, 1101.0, 601.0],
        )
        side = side_of_trace(trace, "now", BARE)
        assert side.parts["lambda_init"] == pytest.approx([0.5 * GB_SECOND_USD, 0.5 * GB_SECOND_USD, 0.0])
        total = side.parts["lambda_init"] + side.parts["lambda_handler"]
        assert total == pytest.approx([1.101 * GB_SECOND_USD, 1.101 * GB_SECOND_USD, 0.601 * GB_SECOND_USD])

    def test_logs_are_paid_to_come_in_and_to_stay(self) -> None:
        # 1 GB of log a request, kept for two months: 0.50 to take in, 0.15 of it kept at 0.03 a month.
        taken_in, kept = logs_cost_usd(Beside(log_bytes=2**30, log_retention_days=730 / 12), prices=PRICES)
        assert taken_in == pytest.approx(0.50)
        assert kept == pytest.approx(0.15 * 0.03 * 2)

    def test_a_miss_reads_half_a_unit_and_writes_by_the_kilobyte(self) -> None:
        beside = Beside(response_cache=True, cache_ttl_days=0)
        tokens = [0, 100, (1024 * 9 - ITEM_BYTES) / 4, 1024 * 9 / 4]
        usd = response_cache_cost_usd(tokens, [False, True, True, True], beside, prices=PRICES) * 1e6
        mean_bytes = (100 + tokens[2] + tokens[3]) / 3 * 4 + ITEM_BYTES
        hit_units = 0.5 * math.ceil(mean_bytes / 4096)
        assert usd == pytest.approx([hit_units * 0.125, 0.0625 + 0.625, 0.0625 + 9 * 0.625, 0.0625 + 10 * 0.625])

    def test_an_answer_of_a_gigabyte_is_kept_for_two_months(self) -> None:
        tokens = [(2**30 - ITEM_BYTES) / 4]
        usd = [
            response_cache_cost_usd(tokens, [True], Beside(response_cache=True, cache_ttl_days=days), prices=PRICES)
            for days in (0, 730 / 12)
        ]
        assert usd[1] - usd[0] == pytest.approx(2 * 0.25)

    def test_a_cache_that_answers_all_leaves_no_tokens(self) -> None:
        terms = Terms(PRICES, beside=Beside(response_cache=True), cache_hits=1.0)
        side = side_of_trace(recorded(8, billed_ms=[900.0] * 8), "now", terms)
        assert (side.parts["input_tokens"] == 0).all()
        assert (side.parts["output_tokens"] == 0).all()
        assert side.parts["lambda_handler"] == pytest.approx([0.020 * GB_SECOND_USD] * 8)
        assert side.parts["response_cache"] == pytest.approx([0.0625e-6] * 8)

    def test_what_took_less_than_an_answer_from_the_cache_does_not_get_dearer(self) -> None:
        terms = Terms(PRICES, beside=Beside(response_cache=True), cache_hits=1.0)
        side = side_of_trace(recorded(8, billed_ms=[5.0] * 8), "now", terms)
        assert side.parts["lambda_handler"] == pytest.approx([0.005 * GB_SECOND_USD] * 8)

    def test_the_gateway_has_its_price(self) -> None:
        side = side_of_trace(recorded(8, billed_ms=[5.0] * 8), "now", Terms(PRICES, gateway="rest_api"))
        assert side.parts["gateway"] == pytest.approx([3.5e-6] * 8)

    def test_the_architecture_sets_the_price_of_a_gigabyte_second(self) -> None:
        trace = recorded(8, billed_ms=[1000.0] * 8)
        arm = Terms(PRICES, "arm64", beside=Beside(log_bytes=0))
        assert side_of_trace(trace, "now", arm).parts["lambda_handler"] == pytest.approx([0.0000133334] * 8)
        hits = Terms(PRICES, "arm64", beside=Beside(response_cache=True), cache_hits=1.0)
        assert side_of_trace(trace, "now", hits).parts["lambda_handler"] == pytest.approx([0.02 * 0.0000133334] * 8)

    def test_a_throttled_request_costs_the_same_with_a_cache_that_answers(self) -> None:
        trace = recorded(
            2,
            status=["ok", "throttled"],
            billed_ms=[900.0, None],
            **{name: [100, None] for name in ("memory_mb", "input_tokens", "output_tokens")},
        )
        terms = Terms(PRICES, beside=Beside(response_cache=True), cache_hits=1.0)
        side = side_of_trace(trace, "now", terms)
        assert sum(usd[1] for usd in side.parts.values()) == pytest.approx(1e-6)
        assert side.parts["lambda_handler"][0] > 0.0

    @settings(max_examples=20)
    @given(share=st.floats(0, 1))
    def test_the_more_the_cache_answers_the_cheaper_the_model(self, share: float) -> None:
        trace = recorded(4, billed_ms=[900.0] * 4)
        usd = [
            float(sum(side.parts[part].sum() for part in ALL_PARTS))
            for hits in (0.0, share, 1.0)
            for side in [side_of_trace(trace, "x", Terms(PRICES, beside=Beside(response_cache=True), cache_hits=hits))]
        ]
        assert usd[1] == pytest.approx(usd[0] + share * (usd[2] - usd[0]))

    def test_provisioned_concurrency_is_paid_for_the_month_and_works_at_its_own_rate(self) -> None:
        side = side_of_numbers(Numbers(None, 1024, 1_000, provisioned=True), "now", BARE)
        assert side.parts["lambda_handler"] == pytest.approx([0.0000097222])
        spilled = side_of_numbers(Numbers(None, 1024, 1_000, provisioned=True, cold_share=1.0), "now", BARE)
        assert spilled.parts["lambda_handler"] == pytest.approx([GB_SECOND_USD]), "cold: not its own environments"
        standing = Standing(provisioned=2, memory_mb=1024, provisioned_hours=100, custom_metrics=26)
        report = monthly_cost([(side, standing)], 10.0, prices=PRICES, machine_usd=1.0)
        assert report.first.standing["provisioned_concurrency"] == pytest.approx(2 * 100 * 3600 * 0.0000041667)
        assert report.first.standing["custom_metrics"] == pytest.approx(7.80)
        assert report.first.break_even is not None
        assert report.first.break_even.value == 0, "what stands costs more than the machine already"

    def test_cold_starts_of_numbers_are_weighed_in(self) -> None:
        side = side_of_numbers(Numbers(None, 1024, 1_000, cold_share=0.25, init_ms=400), "now", BARE)
        assert side.parts["lambda_init"] == pytest.approx([0.1 * GB_SECOND_USD])

    def test_what_a_trace_lacks_can_be_given_and_is_said(self) -> None:
        trace = recorded(10, billed_ms=[100.0] * 10, input_tokens=[None] * 9 + [5], output_tokens=[None] * 10)
        side = side_of_trace(trace, "now", BARE, Assumed(model=HAIKU_3, input_tokens=40, output_tokens=20))
        assert side.parts["input_tokens"][:9] == pytest.approx([40 * 0.25e-6] * 9)
        assert side.parts["input_tokens"][9] == pytest.approx(5 * 0.25e-6), "what is recorded stays"
        assert side.parts["output_tokens"][9] == 0
        assert side.model == HAIKU_3
        assert side.notes == (
            "input_tokens = 40 taken for 9 of 10 rows that record none",
            "output_tokens = 20 taken for 9 of 10 rows that record none",
        )

    def test_rows_without_a_price_are_left_out_and_counted(self) -> None:
        side = side_of_trace(recorded(3, billed_ms=[100.0, None, 100.0]), "now", BARE)
        assert (side.rows, side.rows_left_out) == (2, 1)
        with pytest.raises(ParameterError, match=r"now: no row can be priced: billed_ms .* is not recorded"):
            side_of_trace(recorded(2, billed_ms=[None, None]), "now", BARE)


class TestIntervals:
    def test_they_hold_the_true_mean_as_often_as_they_say(self) -> None:
        """Skewed costs, 100 rows, 300 traces: 95 % give or take 3.5 points (2.8 standard errors)."""
        rng = np.random.default_rng(5)
        held = 0
        for _ in range(300):
            rows = rng.lognormal(0.0, 0.6, (1, 100))
            low, high = interval(resampled_means(rows, rng, 400)[:, 0], 100)
            held += low <= math.exp(0.18) <= high
        assert 0.915 <= held / 300 <= 0.985

    def test_runs_of_dear_requests_make_them_wider(self) -> None:
        rng = np.random.default_rng(6)
        steady = np.repeat(rng.lognormal(0.0, 0.6, 100), 10)[None, :]
        mixed = rng.permuted(steady, axis=1)
        widths = [np.ptp(interval(resampled_means(rows, rng)[:, 0], 1000)) for rows in (steady, mixed)]
        assert widths[0] > 1.8 * widths[1]

    def test_a_resample_of_equal_rows_is_those_rows(self) -> None:
        means = resampled_means(np.full((2, 50), 3.0), np.random.default_rng(0), 20)
        assert means == pytest.approx(np.full((20, 2), 3.0))

    @given(rows=st.integers(1, 60), seed=st.integers(0, 50))
    def test_parts_of_a_resample_stay_together(self, rows: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        parts = rng.random((2, rows))
        means = resampled_means(np.vstack([parts, parts.sum(axis=0)]), rng, 10)
        assert means[:, 2] == pytest.approx(means[:, 0] + means[:, 1])

    def test_too_few_rows_carry_none_and_say_so(self) -> None:
        report = month(side_of_trace(recorded(7, billed_ms=[1.0] * 7), "now", BARE))
        assert report.first.month.low is None
        assert report.first.month.needed == 8
        assert report.verdict(1e9) == "inconclusive"

    def test_the_same_seed_gives_the_same_and_both_sides_draw_apart(self) -> None:
        trace = recorded(40, billed_ms=[float(ms) for ms in range(100, 4100, 100)])
        one, other = (month(side_of_trace(trace, "a", BARE), side_of_trace(trace, "b", BARE), seed=3) for _ in range(2))
        assert one.to_json() == other.to_json()
        assert one.saved_usd is not None
        assert one.saved_usd.value == 0
        assert one.saved_usd.low is not None
        assert one.saved_usd.high is not None
        assert one.saved_usd.low < 0 < one.saved_usd.high

    def test_another_seed_draws_other_rows(self) -> None:
        side = side_of_trace(recorded(40, billed_ms=[float(ms) for ms in range(100, 4100, 100)]), "a", BARE)
        assert month(side, seed=3).first.month.low != month(side, seed=4).first.month.low

    def test_a_side_from_numbers_is_certain_and_the_other_ones_rows_carry_the_doubt(self) -> None:
        measured = side_of_trace(recorded(40, billed_ms=[float(ms) for ms in range(100, 4100, 100)]), "a", BARE)
        report = month(measured, side_of_numbers(Numbers(None, 1024, 1_900), "b", BARE))
        assert report.saved_usd is not None
        assert report.saved_usd.width == pytest.approx(report.first.month.width)
        assert report.saved_usd.low is not None
        assert report.saved_usd.high is not None
        assert report.saved_usd.low < report.saved_usd.value < report.saved_usd.high

    def test_more_requests_than_break_even_cost_more_than_the_machine(self) -> None:
        side = side_of_trace(recorded(40, billed_ms=[float(ms) for ms in range(100, 4100, 100)]), "a", BARE)
        found = month(side, machine_usd=MACHINE_USD).first.break_even
        assert found is not None
        for requests, end in ((found.low, "high"), (found.value, "value"), (found.high, "low")):
            # Where requests are dear, few of them come to the machine's price.
            assert getattr(month(side, monthly=requests).first.month, end) == pytest.approx(MACHINE_USD, rel=1e-3)

    def test_a_budget_is_for_the_side_that_is_wanted(self) -> None:
        dear, cheap = (side_of_numbers(Numbers(None, 1024, ms), str(ms), BARE) for ms in (1_000, 10))
        limit = month(cheap).first.month.value * 2
        assert month(dear, cheap).verdict(limit) == "pass"
        assert month(cheap, dear).verdict(limit) == "fail"

    def test_a_budget_inside_the_interval_is_inconclusive(self) -> None:
        report = month(side_of_trace(recorded(40, billed_ms=[float(ms) for ms in range(100, 4100, 100)]), "now", BARE))
        assert report.first.month.low is not None
        assert report.first.month.high is not None
        assert report.verdict(report.first.month.low - 1e-6) == "fail"
        assert report.verdict(report.first.month.value) == "inconclusive"
        assert report.verdict(report.first.month.high) == "pass"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Terms(PRICES, cache_hits=0.5), "cache_hits=0.5 needs a response cache"),
        (lambda: Terms(PRICES, beside=Beside(response_cache=True), cache_hits=2), "cache_hits=2 must be a share"),
        (lambda: Beside(log_bytes=-1), "log_bytes=-1 must be 0.0 or more"),
        (lambda: Numbers(None, 512, 10, output_tokens=5), "tokens are given, and no model"),
        (lambda: Numbers(None, 512, 10, cache_read_tokens=5), "tokens are given, and no model"),
        (lambda: Numbers(None, 0, 10), "memory_mb=0 must be above 0"),
        (lambda: Numbers(None, 512, math.nan), "duration_ms=nan must be 0.0 or more"),
        (lambda: Numbers(None, 512, 1, cold_share=1.5), "cold_share=1.5 must be a share"),
        (lambda: Standing(provisioned=1), "provisioned=1 needs the memory"),
        (lambda: Standing(provisioned_hours=800), "provisioned_hours=800 must lie between 0 and 730"),
        (lambda: month(side_of_numbers(Numbers(None, 128, 1), "a", BARE), monthly=0), "monthly=0 must be above 0"),
        (
            lambda: month(*[side_of_numbers(Numbers(None, 128, 1), "a", BARE)] * 2),
            "both sides are called 'a'",
        ),
    ],
)
def test_what_cannot_be_priced_is_one_line(make: object, message: str) -> None:
    with pytest.raises(ParameterError, match="^" + message.replace("(", r"\(")):
        make()  # type: ignore[operator]
