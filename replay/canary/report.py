"""What a journal tells: where a rollout stands, and what was decided why."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from replay.canary.batch import Batch
from replay.canary.journal.model import Journal, Line
from replay.canary.judge import Judge
from replay.canary.state import fold
from replay.errors import InputError


def report(journal: Journal, rollout_id: str, now_s: float) -> dict[str, Any]:
    """Give everything about one rollout as JSON types; the evidence is judged anew from the journaled looks."""
    lines = journal.lines(rollout_id)
    state = fold(lines)
    start = state.start
    if start is None:
        return {"rollout": rollout_id, "state": "unknown"}
    judge = Judge(start.plan, start.reference, start.expected)
    seen = {"late": 0, "duplicates": 0, "incomplete": 0, "looks": 0, "blind": 0}
    for line in lines:
        if line.kind == "done" and line.data["action"] == "weight":
            judge.begin_step(int(line.data["step"]))
        elif line.kind == "look":
            batch = Batch.from_json(line.data["batch"])
            judge.take(batch, float(line.data["elapsed_s"]))
            seen["looks"] += 1
            seen["blind"] += batch.note is not None
            for name in ("late", "duplicates", "incomplete"):
                seen[name] += getattr(batch, name)
    holder = journal.holder(now_s)
    running = state.outcome is None
    return {
        "rollout": rollout_id,
        "state": state.outcome or ("paused" if state.paused else "running" if holder else "without a controller"),
        "why": state.why if not running else state.paused,
        "plan": start.plan.name,
        "function": start.function,
        "alias": start.alias,
        "baseline": start.baseline,
        "candidate": start.candidate,
        "started": _time(lines[0].at_s),
        "forced": list(start.forced),
        "step": start.plan.steps[state.step].label if state.spans else None,
        "step_elapsed_s": (now_s if running else lines[-1].at_s) - state.spans[-1].start_s if state.spans else None,
        "weight": state.weight,
        "requests": {
            "baseline": judge.requests(candidate=False),
            "candidate": judge.requests(candidate=True),
        },
        "objectives": [each.to_json() for each in judge.statuses()] if state.spans else [],
        "split_is_off": judge.split_is_off,
        "surprises": judge.surprises() if state.spans else [],
        "evidence": seen,
        "controller": holder.holder if holder else None,
        "decisions": [
            _row(line) for line in lines if line.kind in ("decision", "paused", "resumed", "note", "finished")
        ],
    }


def listing(journal: Journal, rollout_id: str | None, *, looks: bool) -> list[dict[str, Any]]:
    """Give all rollouts, one row each; or the lines of one. Raises InputError where there is no such one."""
    if rollout_id is not None:
        lines = journal.lines(rollout_id, looks=looks)
        if not lines:
            raise InputError(f"rollout {rollout_id!r}: the journal has none of that name; `tailcast canary history`")
        return [_row(line) for line in lines]
    found = []
    for name in journal.rollouts():
        lines = journal.lines(name)
        state = fold(lines)
        if state.start is not None:
            found.append(
                {
                    "rollout": name,
                    "started": _time(lines[0].at_s),
                    "plan": state.start.plan.name,
                    "baseline": state.start.baseline,
                    "candidate": state.start.candidate,
                    "outcome": state.outcome or "unfinished",
                    "lasted_s": lines[-1].at_s - lines[0].at_s,
                    "why": state.why,
                }
            )
    return found


def _row(line: Line) -> dict[str, Any]:
    data = line.data
    if line.kind == "look":
        batch = Batch.from_json(data["batch"])
        what = f"{batch.requests(candidate=False)} + {batch.requests(candidate=True)} requests"
    elif line.kind == "started":
        what = f"plan {data['plan']['name']}: version {data['baseline']} → {data['candidate']}"
    elif line.kind in ("intent", "done"):
        what = f"{data['action']}" + (f" {data['weight']:.0%}" if "weight" in data else "")
    else:
        what = str(data.get("why") or data.get("text") or "")
    label = str(data.get("decision") or data.get("outcome") or "")
    return {"number": line.number, "at": _time(line.at_s), "kind": line.kind, "decision": label, "what": what}


def _time(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
