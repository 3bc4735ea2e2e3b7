"""Built-in plans: one that decides on evidence, and AWS CodeDeploy's for those who come from there.

CodeDeploy's predefined Lambda configurations (AWS CodeDeploy user guide, "Deployment configurations on an AWS Lambda
compute platform") shift by the clock and roll back on alarms. Here the same clock runs, and the evidence is looked at
too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from replay.canary.plan import ObjectiveSpec, Plan, Step, objective

_MINUTE_S: Final = 60.0
_BAKE_S: Final = 300.0
"""CodeDeploy is done when the last shift is made; here the candidate is watched a little longer."""


def _objectives() -> tuple[ObjectiveSpec, ...]:
    return (objective("error_rate"), objective("p99"), objective("cold_share"))


def careful() -> Plan:
    """10 %, 50 %, 100 %: each step lasts until the candidate is shown to be sound."""
    return Plan(
        name="careful",
        steps=(
            Step(0.10, at_least_s=5 * _MINUTE_S, at_most_s=180 * _MINUTE_S, requests_per_arm=300),
            Step(0.50, at_least_s=5 * _MINUTE_S, at_most_s=60 * _MINUTE_S, requests_per_arm=300),
            Step(1.00, at_least_s=_BAKE_S, at_most_s=30 * _MINUTE_S, requests_per_arm=300),
        ),
        objectives=_objectives(),
        inconclusive="pause",
    )


def _codedeploy(name: str, weights: tuple[float, ...], minutes: float) -> Plan:
    between_s = minutes * _MINUTE_S
    steps = tuple(Step(weight, at_least_s=between_s, at_most_s=between_s) for weight in weights)
    last = Step(1.0, at_least_s=_BAKE_S, at_most_s=_BAKE_S)
    return Plan(name=name, steps=(*steps, last), objectives=_objectives(), advance="time")


_CANARY_MINUTES: Final = (5, 10, 15, 30)
_LINEAR_MINUTES: Final = (1, 2, 3, 10)


def _table() -> dict[str, Callable[[], Plan]]:
    plans: dict[str, Callable[[], Plan]] = {"careful": careful}
    for minutes in _CANARY_MINUTES:
        name = f"LambdaCanary10Percent{minutes}Minutes"
        plans[name] = partial(_codedeploy, name, (0.1,), minutes)
    tenths = tuple(tenth / 10 for tenth in range(1, 10))
    for minutes in _LINEAR_MINUTES:
        name = f"LambdaLinear10PercentEvery{minutes}Minute{'s' if minutes > 1 else ''}"
        plans[name] = partial(_codedeploy, name, tenths, minutes)
    plans["LambdaAllAtOnce"] = partial(_codedeploy, "LambdaAllAtOnce", (), 0)
    return plans


PRESETS: Final[Mapping[str, Callable[[], Plan]]] = _table()


def preset(name: str) -> Plan | None:
    """Give the built-in plan of that name, None where there is none; ``CodeDeployDefault.`` may stand before it."""
    make = PRESETS.get(re.sub(r"^CodeDeployDefault\.", "", name))
    return make() if make else None
