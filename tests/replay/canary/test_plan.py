"""The plan file: what it takes, and what it says about what it does not take."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from replay.canary.plan import ObjectiveSpec, Plan, Step, objective
from replay.canary.plan_file import plan_from_document, plan_to_document, read_plan
from replay.canary.presets import PRESETS, preset
from replay.errors import InputError

FULL = """
name: nova-lite
steps:
  - {weight: 10%, at_least: 5m, at_most: 2h, requests_per_arm: 300}
  - {weight: 0.5, at_least: 90s, at_most: 1h}
  - {weight: 100%, at_least: 5m, at_most: 30m}
objectives:
  - {metric: error_rate, tolerance: 0%, margin: 100%, max: 2%, share: 3}
  - {metric: p99, max: 1.5s, tolerance: 10%, margin: 40%}
  - {metric: ttft_p95, max: 800ms}
  - {metric: cost_usd_per_1000, max: 0.9 usd}
  - {metric: cold_share}
alpha: 1%
beta: 0.05
look_every: 10s
inconclusive: pause
on_crash: rollback
advance: evidence
history: 30m
source: logs
alarms: [api-5xx]
smoke: {requests: 2, timeout: 10s}
gates:
  - {name: office hours, command: "date"}
  - {name: change board, url: "http://127.0.0.1:1/ok", timeout: 2s}
notify: [{sns: "arn:aws:sns:us-east-1:123456789012:rollouts"}, {webhook: "http://127.0.0.1:1/"}]
drain: 2m
lease: 12s
patience: 10m
"""


def _write(folder: Path, text: str) -> Path:
    path = folder / "plan.yaml"
    path.write_text(text)
    return path


def test_every_field(tmp_path):
    plan = read_plan(_write(tmp_path, FULL))
    assert [step.label for step in plan.steps] == ["10%", "50%", "100%"]
    assert plan.steps[0] == Step(0.1, 300.0, 7200.0, 300)
    p99 = plan.objectives[1]
    assert (p99.max, p99.tolerance, p99.margin, p99.probability, p99.column) == (1500.0, 0.1, 0.4, 0.99, "execution_ms")
    assert plan.objectives[2].column == "ttft_ms"
    assert plan.objectives[4] == objective("cold_share")
    assert sum(plan.budget(spec) for spec in plan.objectives) == pytest.approx(1)
    assert plan.budget(plan.objectives[0]) == pytest.approx(3 / 7)
    assert plan.smoke is not None
    assert plan.smoke.requests == 2
    assert plan.gates[1].timeout_s == 2.0
    assert (plan.lease_s, plan.patience_s) == (12.0, 600.0)


def test_the_journal_can_hold_it(tmp_path):
    for plan in (read_plan(_write(tmp_path, FULL)), *(make() for make in PRESETS.values())):
        document = json.loads(json.dumps(plan_to_document(plan)))
        assert plan_from_document(document) == plan


def test_a_preset_is_a_base_for_ones_own(tmp_path):
    plan = read_plan(
        _write(
            tmp_path, "preset: LambdaCanary10Percent5Minutes\nalarms: [api-5xx]\nobjectives: [{metric: p95, max: 2s}]\n"
        )
    )
    assert [step.weight for step in plan.steps] == [0.1, 1.0]
    assert plan.steps[0].at_least_s == plan.steps[0].at_most_s == 300
    assert plan.alarms == ("api-5xx",)
    assert plan.objectives == (ObjectiveSpec("p95", max=2000.0),)
    assert plan.name == "plan"


def test_codedeploy_users_find_their_plans():
    for name in (
        "LambdaCanary10Percent5Minutes",
        "LambdaCanary10Percent30Minutes",
        "LambdaLinear10PercentEvery1Minute",
        "LambdaLinear10PercentEvery10Minutes",
        "LambdaAllAtOnce",
        "CodeDeployDefault.LambdaLinear10PercentEvery3Minutes",
    ):
        plan = preset(name)
        assert plan is not None
        assert plan.advance == "time"
        assert plan.steps[-1].weight == 1
    linear = preset("LambdaLinear10PercentEvery1Minute")
    assert linear is not None
    assert [step.weight for step in linear.steps] == pytest.approx([x / 10 for x in range(1, 11)])
    assert read_plan("careful").name == "careful"


GOOD_STEPS = "steps: [{weight: 100%, at_least: 1m, at_most: 2m}]\n"
GOOD_OBJECTIVES = "objectives: [{metric: error_rate}]\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "the plan is None, not a mapping"),
        ("steps: [", "line 1"),
        ("name: a\nname: b\n", "'name' stands twice"),
        ("name: {{ name }}\n", "line 1, column 8: found unhashable key"),
        (GOOD_OBJECTIVES, "steps: missing"),
        (GOOD_STEPS, "objectives: missing"),
        ("preset: nonsense\n", "no built-in plan 'nonsense'"),
        (GOOD_STEPS + GOOD_OBJECTIVES + "lease: 0.5s\n", "lease 0.5 s must lie between 1 s and"),
        (GOOD_STEPS + GOOD_OBJECTIVES + "patience: 1s\n", "patience 1 s must be at least 5 s"),
        (GOOD_STEPS + GOOD_OBJECTIVES + "color: red\n", "color: unknown field"),
        (GOOD_STEPS + GOOD_OBJECTIVES + "alpha: lots\n", "alpha: 'lots' is not a share"),
        (GOOD_STEPS + GOOD_OBJECTIVES + "alpha: 0\n", "alpha 0.0 must lie in (0, 0.5)"),
        (GOOD_STEPS + GOOD_OBJECTIVES + "look_every: 10\n", "look_every: 10 is not a duration"),
        (
            GOOD_STEPS + GOOD_OBJECTIVES + "inconclusive: panic\n",
            "inconclusive: 'panic' is none of wait, pause, rollback",
        ),
        (GOOD_STEPS + GOOD_OBJECTIVES + "alarms: [3]\n", "alarms[0]: 3 is not a text"),
        (GOOD_STEPS + GOOD_OBJECTIVES + "gates: [{name: x}]\n", "gates[0]: gate 'x': give either command or url"),
        (GOOD_STEPS + GOOD_OBJECTIVES + "gates: [{url: x}]\n", "gates[0].name: missing"),
        (GOOD_STEPS + "objectives: [{metric: p100}]\n", "none of p50"),
        (GOOD_STEPS + "objectives: [{metric: speed}]\n", "metric 'speed' is none of p50"),
        (GOOD_STEPS + "objectives: [{max: 3}]\n", "objectives[0].metric: missing"),
        (GOOD_STEPS + "objectives: [{metric: p99, max: fast}]\n", "objectives[0].max: 'fast' is not a duration"),
        (GOOD_STEPS + "objectives: [{metric: cost_usd_per_1000, max: 1 EUR}]\n", "[0].max: '1 EUR' is not a number"),
        (GOOD_STEPS + "objectives: [{metric: p99, tolerance: 10%}]\n", "give tolerance and margin together"),
        (GOOD_STEPS + "objectives: [{metric: p99, tolerance: 50%, margin: 10%}]\n", "0 ≤ tolerance < margin"),
        (GOOD_STEPS + "objectives: [{metric: p99}, {metric: p99}]\n", "p99 stands twice"),
        (GOOD_STEPS + "objectives: [{metric: p99, max: 1s, negligible: 1%}]\n", "is for rates only"),
        (GOOD_STEPS + "objectives: []\n", "a plan needs at least one"),
        ("steps: []\n" + GOOD_OBJECTIVES, "a plan needs at least one"),
        ("steps: [{weight: 150%, at_least: 1m, at_most: 2m}]\n" + GOOD_OBJECTIVES, "steps[0]: weight 1.5 must lie in"),
        (
            "steps: [{weight: nan, at_least: 1m, at_most: 2m}]\n" + GOOD_OBJECTIVES,
            "steps[0].weight: 'nan' is not a share",
        ),
        ("steps: [{weight: 50%, at_least: 1m, at_most: 2m}]\n" + GOOD_OBJECTIVES, "ascend and end at 100%, found 50%"),
        ("steps: [{weight: 100%, at_least: 3m, at_most: 2m}]\n" + GOOD_OBJECTIVES, "not above at_most"),
        ("steps: [{weight: 100%, at_least: 3m}]\n" + GOOD_OBJECTIVES, "steps[0].at_most: missing"),
        ("steps: {weight: 1}\n" + GOOD_OBJECTIVES, "is not a list"),
    ],
)
def test_a_mistake_is_one_line_with_file_and_field(tmp_path, text, says):
    path = _write(tmp_path, text)
    with pytest.raises(InputError) as caught:
        read_plan(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert says in message
    assert "\n" not in message
    assert caught.value.exit_code == 2


def test_no_such_file_names_the_built_in_plans(tmp_path):
    with pytest.raises(InputError, match="no built-in plan of that name"):
        read_plan(tmp_path / "nowhere.yaml")


def test_plan_needs_ascending_weights():
    with pytest.raises(InputError, match="ascend"):
        Plan("x", (Step(0.5, 1, 2), Step(0.1, 1, 2), Step(1.0, 1, 2)), (objective("p99"),))
