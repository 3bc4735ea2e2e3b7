from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.errors import ParameterError
from simulator.sweep.grid import MAX_SCENARIOS, Scenario, parse_axis, scenarios_of


@pytest.mark.parametrize(
    ("name", "text", "values"),
    [
        ("pc", "0:3", (0, 1, 2, 3)),
        ("pc", "0:20:5,7", (0, 5, 10, 15, 20, 7)),
        ("weight", "5%,0.1,10%", (0.05, 0.1)),
        ("weight", "0:0.3:0.1", (0.0, 0.1, 0.2, 0.3)),
        ("scale", "1:10:4", (1.0, 5.0, 9.0)),
        ("memory", "512, 1769", (512, 1769)),
    ],
)
def test_values_of_an_axis(name: str, text: str, values: tuple[float, ...]) -> None:
    assert parse_axis(name, text).values == values


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("pc", "1.5", "no whole number"),
        ("pc", "-1", "outside 0 or more"),
        ("pc", "a", "'a' is no number"),
        ("pc", "3:1", "'3:1' is empty"),
        ("pc", "0:10:0", "is empty"),
        ("pc", "0:1:2:3", "no range"),
        ("pc", "0:1000000", "larger step"),
        ("pc", "nan", "no number"),
        ("pc", "5%", "no number"),
        ("weight", "5", "5 is outside 0 to 1; write 5% or 0.05"),
        ("memory", "64", "outside 128 to 10240"),
        ("timeout", "901", "outside 0.001 to 900"),
        ("scale", "0", "outside"),
        ("pc", ",", "no number"),
    ],
)
def test_what_is_no_axis_is_refused_with_its_option(name: str, text: str, told: str) -> None:
    with pytest.raises(ParameterError, match=told) as refused:
        parse_axis(name, text)
    assert f"--{name}" in str(refused.value)


def test_every_combination_once_and_those_that_share_draws_together() -> None:
    axes = [parse_axis("pc", "0,1"), parse_axis("scale", "1,2"), parse_axis("weight", "0.1,1")]
    found = scenarios_of(axes)
    assert len(set(found)) == 8
    assert [one.scale for one in found] == [1.0] * 4 + [2.0] * 4
    assert all(one.provisioned_baseline == one.provisioned_optimized for one in found)
    assert scenarios_of([]) == (Scenario(),)


def test_axes_that_set_the_same_and_grids_too_large() -> None:
    with pytest.raises(ParameterError, match="--pc and --pc-optimized both set provisioned_optimized"):
        scenarios_of([parse_axis("pc-optimized", "1"), parse_axis("pc", "1")])
    with pytest.raises(ParameterError, match=f"more than {MAX_SCENARIOS:,}"):
        scenarios_of([parse_axis("pc", "0:999"), parse_axis("scale", "1:101")])


@given(st.lists(st.integers(0, 50), min_size=1, max_size=6), st.lists(st.integers(1, 9), min_size=1, max_size=6))
def test_as_many_scenarios_as_the_product_of_distinct_values(pc: list[int], scale: list[int]) -> None:
    axes = [parse_axis("pc", ",".join(map(str, pc))), parse_axis("scale", ",".join(map(str, scale)))]
    found = scenarios_of(axes)
    assert {(one.provisioned_optimized, one.scale) for one in found} == {(a, b) for a in pc for b in scale}
    assert len(found) == len(set(pc)) * len(set(scale))
