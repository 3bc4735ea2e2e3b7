"""Which model answers, and how much of the time each may take. The clock is the test's."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from functions.common import fallback
from functions.common.errors import DeadlineError, ThrottledError, UpstreamError
from functions.common.fallback import Chains, Trail
from functions.common.request import InferenceRequest
from functions.common.settings import Settings
from functions.common.tiers import Tier

TABLE = {
    "first": {"fallback": "second"},
    "second": {"model_id": "m2", "fallback": "third"},
    "third": {"model_id": "m3"},
}
SETTINGS = Settings.from_environment(
    {
        "VARIANT": "baseline",
        "MODEL_ID": "m1",
        "MAX_TOKENS": "10",
        "TIERS": json.dumps(TABLE),
        "DEFAULT_TIER": "first",
        "BREAKER_FAILURES": "2",
        "BREAKER_COOLDOWN_S": "60",
    }
)
END_S = 110.0

Ask = Callable[..., tuple[str, Trail]]


class Models:
    """Answers as it is told: by tier, an error to raise; and takes its time."""

    def __init__(self, clock: SimpleNamespace) -> None:
        self.clock = clock
        self.fails: dict[str, Exception] = {}
        self.takes_s = 0.0
        self.asked: list[tuple[str, float]] = []

    def __call__(self, tier: Tier, limit_s: float) -> str:
        self.asked.append((tier.name, limit_s))
        self.clock.now += self.takes_s
        if tier.name in self.fails:
            raise self.fails[tier.name]
        return tier.name


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> Models:
    clock = SimpleNamespace(now=100.0, monotonic=lambda: clock.now)
    monkeypatch.setattr(fallback, "time", clock)
    return Models(clock)


@pytest.fixture
def ask(models: Models) -> Ask:
    chains = Chains(SETTINGS)

    def _ask(tier: str = "first") -> tuple[str, Trail]:
        trail = Trail()
        request = InferenceRequest("a", "", SETTINGS.tiers[tier], 10, None)
        return chains.ask(request, END_S, trail, models), trail

    return _ask


def test_each_leaves_the_next_one_time_and_the_last_may_use_all(models: Models, ask: Ask) -> None:
    models.fails = {"first": DeadlineError("slow"), "second": ThrottledError("no")}
    models.takes_s = 2.0
    answer, trail = ask()
    assert (answer, trail.tier.name, trail.fallback_from) == ("third", "third", "first")
    assert [name for name, _ in models.asked] == ["first", "second", "third"]
    # Of 10 s, then of the 8 that are left, then of 6.
    first_s, second_s, third_s = (limit_s for _, limit_s in models.asked)
    assert 0.5 * 10 <= first_s <= 0.75 * 10
    assert second_s == pytest.approx(first_s * 8 / 10)
    assert third_s == pytest.approx(6.0)


def test_without_time_for_another_the_first_ones_failure_is_told(models: Models, ask: Ask) -> None:
    models.fails = {"first": ThrottledError("no")}
    models.takes_s = 10.0
    with pytest.raises(ThrottledError):
        ask()
    assert [name for name, _ in models.asked] == ["first"]


def test_failures_with_an_answer_between_them_leave_a_model_in_use(models: Models, ask: Ask) -> None:
    for fails in (True, False, True, False):
        models.fails = {"first": ThrottledError("no")} if fails else {}
        ask()
    models.asked.clear()
    ask()
    assert [name for name, _ in models.asked] == ["first"]


def test_the_last_of_a_chain_is_asked_however_often_it_failed(models: Models, ask: Ask) -> None:
    models.fails = {name: ThrottledError("no") for name in TABLE}
    for _ in range(5):
        with pytest.raises(ThrottledError):
            ask()
    models.asked.clear()
    models.fails = {}
    assert ask()[0] == "third"
    assert [name for name, _ in models.asked] == ["third"], "the others are left alone"


def test_what_another_model_would_not_mend_is_told_at_once(models: Models, ask: Ask) -> None:
    models.fails = {"first": UpstreamError("refused")}
    with pytest.raises(UpstreamError):
        ask()
    assert [name for name, _ in models.asked] == ["first"]
