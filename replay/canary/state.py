"""Where a rollout stands: a fold over its journal, nothing else.

Lines and their data:

============  ======================================================================================================
``started``   plan, function, alias, baseline, candidate, reference, expected, firing (alarms at the start), forced
``intent``    action (``weight``, ``pin``, ``release``), step, weight, before (the alias's weights)
``done``      action, step, weight, at_s
``look``      step, elapsed_s, batch
``decision``  decision (``advance``, ``rollback``, ``promote``), why, step
``paused``    why, command_at_s (where a command asked for it)
``resumed``   why, command_at_s
``note``      text
``finished``  outcome (``promoted``, ``rolled_back``, ``stopped``), why
============  ======================================================================================================
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from replay.canary.journal.model import Line
from replay.canary.plan import Plan
from replay.canary.plan_file import plan_from_document
from replay.canary.ports import StepSpan
from replay.canary.reference import Reference
from replay.errors import InputError

Outcome = Literal["promoted", "rolled_back", "stopped"]


@dataclass(frozen=True)
class Start:
    """What does not change during a rollout."""

    rollout_id: str
    plan: Plan
    function: str
    alias: str
    baseline: str
    candidate: str
    reference: Reference
    expected: Mapping[tuple[str, str], tuple[float, float]] = field(default_factory=dict)
    """(step label, metric) → the forecast's 95 % interval."""
    firing: tuple[str, ...] = ()
    forced: tuple[str, ...] = ()
    """What the preflight would have refused."""


@dataclass(frozen=True)
class RolloutState:
    """A rollout after some of its journal.

    Parameters
    ----------
    start
        None before the first line.
    lines
        How many lines there are; the next one has this number.
    spans
        Steps that began, in order.
    intent
        What was about to be done and is not known to be done, or None.
    decided
        The last decision that has not been carried out wholly, or None.
    pinned
        Whether the candidate is the baseline in Terraform's eyes already.
    released
        Whether what kept the old version warm is given up already.
    paused
        Why, or None.
    seen_until_s
        End of the last look that was not blind.
    """

    start: Start | None = None
    lines: int = 0
    spans: tuple[StepSpan, ...] = ()
    intent: Mapping[str, Any] | None = None
    decided: str | None = None
    why: str = ""
    pinned: bool = False
    released: bool = False
    paused: str | None = None
    seen_until_s: float = 0.0
    commands_until_s: float = 0.0
    patience_from_s: float = 0.0
    """When somebody last said to go on: the step's longest time counts from then."""
    outcome: Outcome | None = None

    @property
    def step(self) -> int:
        """Index of the step that runs; -1 before the first."""
        return self.spans[-1].index if self.spans else -1

    @property
    def weight(self) -> float:
        """The candidate's weight as the journal has it."""
        if self.start is None or not self.spans or self.outcome == "rolled_back":
            return 0.0
        return self.start.plan.steps[self.step].weight


def advance(state: RolloutState, line: Line) -> RolloutState:
    """Give the state after one more line.

    Raises
    ------
    InputError
        A line that does not follow: another program's, or a damaged journal.
    """
    if line.number != state.lines:
        raise InputError(
            f"journal of {line.rollout_id}: line {state.lines} is missing; restore it, or abort the rollout"
        )
    data = line.data
    if state.start is not None and line.kind == "look":
        # What a look could not see is still to be seen, whoever takes over.
        batch = data["batch"]
        blind = batch["note"] is not None and not batch["cells"]
        return replace(state, lines=state.lines + 1, seen_until_s=state.seen_until_s if blind else line.at_s)
    state = replace(state, lines=state.lines + 1)
    if line.kind == "started":
        return replace(state, start=start_from_json(line.rollout_id, data), seen_until_s=line.at_s)
    if state.start is None:
        raise InputError(f"journal of {line.rollout_id}: it does not begin with 'started'")
    if line.kind == "intent":
        return replace(state, intent=data)
    if line.kind == "done":
        if data["action"] == "weight":
            spans = (*state.spans, StepSpan(int(data["step"]), float(data["at_s"])))
            # A shift is all of an advance, and a part of a promotion.
            decided = None if state.decided == "advance" else state.decided
            return replace(state, intent=None, decided=decided, spans=spans)
        return replace(
            state,
            intent=None,
            pinned=state.pinned or data["action"] == "pin",
            released=state.released or data["action"] == "release",
        )
    if line.kind == "decision":
        until_s = float(data.get("command_at_s", state.commands_until_s))
        return replace(state, decided=str(data["decision"]), why=str(data["why"]), commands_until_s=until_s)
    if line.kind == "paused":
        until_s = float(data.get("command_at_s", state.commands_until_s))
        return replace(state, paused=str(data["why"]), commands_until_s=until_s)
    if line.kind == "resumed":
        until_s = float(data.get("command_at_s", state.commands_until_s))
        # To advance is decided anew, on what the pause has shown; a rollback or promotion that is not done still is.
        decided = None if state.decided == "advance" else state.decided
        return replace(state, paused=None, decided=decided, commands_until_s=until_s, patience_from_s=line.at_s)
    if line.kind == "finished":
        return replace(state, outcome=data["outcome"], why=str(data["why"]), intent=None)
    return state


def fold(lines: Iterable[Line]) -> RolloutState:
    """Give the state after ``lines``."""
    state = RolloutState()
    for line in lines:
        state = advance(state, line)
    return state


def start_to_json(start: Start, plan_document: Mapping[str, Any]) -> dict[str, Any]:
    """Give the data of the ``started`` line."""
    return {
        "plan": dict(plan_document),
        "function": start.function,
        "alias": start.alias,
        "baseline": start.baseline,
        "candidate": start.candidate,
        "reference": start.reference.to_json(),
        "expected": [[*key, *interval] for key, interval in start.expected.items()],
        "firing": list(start.firing),
        "forced": list(start.forced),
    }


def start_from_json(rollout_id: str, data: Mapping[str, Any]) -> Start:
    """Read back what :func:`start_to_json` gave."""
    return Start(
        rollout_id,
        plan_from_document(data["plan"], origin=f"journal of {rollout_id}"),
        str(data["function"]),
        str(data["alias"]),
        str(data["baseline"]),
        str(data["candidate"]),
        Reference.from_json(data["reference"]),
        {(step, metric): (float(low), float(high)) for step, metric, low, high in data["expected"]},
        tuple(data["firing"]),
        tuple(data["forced"]),
    )
