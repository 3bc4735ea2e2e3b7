"""Differences and ranks: right often enough together, and silent where nothing is there."""

from __future__ import annotations

import numpy as np

from replay.bench.comparison import beyond_fences, differences, mean, quantile_at, ranks


def test_arms_without_a_difference_rarely_show_one_in_any_pair() -> None:
    rng = np.random.default_rng(1)
    false_alarms = 0
    for _ in range(400):
        samples = {f"arm{i}": rng.lognormal(6.0, 0.4, 60) for i in range(6)}
        false_alarms += any(d.verdict in ("lower", "higher") for d in differences(samples, quantile_at(0.5)))
    assert false_alarms / 400 <= 0.07


def test_a_real_difference_is_found_and_signed() -> None:
    rng = np.random.default_rng(2)
    samples = {"slow": rng.normal(500, 40, 80), "fast": rng.normal(400, 40, 80)}
    (found,) = differences(samples, mean())
    assert found.verdict == "higher"
    assert found.estimate.holds(100.0)


def test_ranks_share_a_range_where_arms_cannot_be_told_apart() -> None:
    rng = np.random.default_rng(3)
    samples = {
        "last": rng.normal(900, 40, 60),
        "twin_a": rng.normal(500, 40, 60),
        "twin_b": rng.normal(500, 40, 60),
        "first": rng.normal(300, 40, 60),
    }
    found = {rank.arm: (rank.best, rank.worst) for rank in ranks(samples, quantile_at(0.5))}
    assert found == {"first": (1, 1), "twin_a": (2, 3), "twin_b": (2, 3), "last": (4, 4)}


def test_too_few_samples_rank_nobody() -> None:
    samples = {"a": np.array([1.0, 2.0]), "b": np.array([900.0, 901.0])}
    assert differences(samples, quantile_at(0.5))[0].verdict == "too few"
    assert {(rank.best, rank.worst) for rank in ranks(samples, quantile_at(0.5))} == {(1, 2)}


def test_outliers_are_pointed_at() -> None:
    values = np.array([400.0, 410, 395, 405, 402, 399, 4000, 401, 398])
    assert beyond_fences(values) == [6]
    assert beyond_fences(values[:7]) == []
