"""What the commands read alike: weights, steps, arrivals and the platform."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import yaml

from simulator.arrivals import ArrivalPlan, ReplayedArrivals, poisson, replay
from simulator.bursty import ArrivalsFit, fit_arrivals
from simulator.cli.sources import load
from simulator.errors import ParameterError
from simulator.fitted import rows_of
from simulator.keep_alive import KeepAliveFit, fit_keep_alive
from simulator.platform import BASELINE, KEEP_ALIVE_S, OPTIMIZED, Platform, VersionSettings
from simulator.timeline import PlannedStep
from simulator.trace import Trace

STEP_S: Final = 300.0
_TIMES: Final = ("arrival_s",)
"""Columns of a trace whose arrivals alone are taken."""
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|min|h|)")
_SECONDS: Final = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
DEFAULT_WEIGHTS: Final = "10,50,100"
_STEP_KEYS: Final = ("weight", "duration", "rate", "gap", "name")


def parse_weights(text: str) -> tuple[float, ...]:
    """Read percentages such as ``10,50,100`` as shares.

    Raises
    ------
    ParameterError
        Something that is no number, or lies outside 0 to 100, or that looks like shares.
    """
    shares = []
    for part in text.split(","):
        try:
            percent = float(part.strip().removesuffix("%"))
        except ValueError as error:
            raise ParameterError(
                f"--weights {text!r}: {part.strip()!r} is no number; give percentages such as 10,50,100"
            ) from error
        if not 0.0 <= percent <= 100.0:
            raise ParameterError(
                f"--weights {text!r}: {percent:g} is outside 0 to 100; give percentages such as 10,50,100"
            )
        shares.append(percent / 100.0)
    if "%" not in text and 0.0 < max(shares) <= 0.01 and any(0.0 < share < 0.01 for share in shares):
        raise ParameterError(
            f"--weights {text!r} are percentages, none of them above 1; give them such as 10,50,100, or with their "
            "sign (0.5%) where that is meant"
        )
    return tuple(shares)


def parse_weight(value: object, where: str = "--weight") -> float:
    """Read one weight: a share from 0 to 1, or a percentage with its sign (``10%``).

    Raises
    ------
    ParameterError
        Anything else.
    """
    text = str(value).strip()
    try:
        share = float(text.removesuffix("%")) / (100.0 if text.endswith("%") else 1.0)
    except ValueError:
        share = -1.0
    if not 0.0 <= share <= 1.0:
        raise ParameterError(f"{where} {text!r} is no weight; give a share from 0 to 1, or a percentage such as 10%")
    return share


def parse_duration_s(value: object, where: str, *, or_none: bool = False) -> float:
    """Read a duration: seconds, or with a unit (``90``, ``5m``, ``1 h``).

    Raises
    ------
    ParameterError
        Anything else, or a duration of nothing where that is not allowed (``or_none``).
    """
    match = _DURATION.fullmatch(str(value).strip())
    length_s = float(match[1]) * _SECONDS[match[2]] if match else -1.0
    if length_s < 0.0 or (length_s == 0.0 and not or_none):
        least = "0 or more" if or_none else "above 0"
        raise ParameterError(f"{where} {value!r} is no duration {least}; write seconds, or 90s, 5m, 1h")
    return length_s


def plan_steps(options: Mapping[str, Any], baseline: Trace, fit: ArrivalsFit | None = None) -> list[PlannedStep]:
    """Make the steps from ``--weight``, ``--rollout`` or ``--weights``, and the arrivals options.

    Raises
    ------
    ParameterError
        Options that exclude each other, or values outside their range.
    """
    chosen = [f"--{name}" for name in ("weight", "weights", "rollout") if options.get(name) is not None]
    if len(chosen) > 1:
        raise ParameterError(f"{' and '.join(chosen)} exclude each other; keep one (a rollout file names its weights)")
    if options.get("rollout") is not None:
        return _rollout_steps(options, baseline, fit)
    shares = (
        (parse_weight(options["weight"]),)
        if options.get("weight") is not None
        else parse_weights(options.get("weights") or DEFAULT_WEIGHTS)
    )
    plan = plan_arrivals(options, baseline, fit)
    labels = _distinct([f"{100.0 * share:g}%" for share in shares])
    return [
        PlannedStep(label, share, plan, gap_before_s=options["gap"])
        for label, share in zip(labels, shares, strict=True)
    ]


def make_platform(
    options: Mapping[str, Any], baseline: Trace, base: Platform | None = None
) -> tuple[Platform, KeepAliveFit | None]:
    """Make the platform: a file's (``base``) or AWS's defaults, under what the options say; and fit the keep-alive.

    The keep-alive is the option's, else the file's where it departs from the default, else fitted to the baseline.
    """
    platform = base or Platform()
    if tuple(platform.versions) != (BASELINE, OPTIMIZED):
        raise ParameterError(
            f"the platform's versions are {', '.join(platform.versions)}; a forecast needs {BASELINE} and {OPTIMIZED}"
        )
    versions: dict[str, VersionSettings] = {}
    for name, settings in platform.versions.items():
        ready = options.get(f"pc_{name}")
        ready = options.get("pc") if ready is None else ready
        changes: dict[str, Any] = {} if ready is None else {"provisioned": ready}
        if options.get("timeout") is not None:
            changes["timeout_s"] = options["timeout"]
        versions[name] = replace(settings, **changes)
    others: dict[str, Any] = {"versions": versions}
    if options.get("gateway_timeout") is not None:
        others["gateway_timeout_s"] = options["gateway_timeout"]
    if options.get("keep_alive") is not None:
        others["keep_alive_s"] = options["keep_alive"]
    platform = replace(platform, **others)
    told = options.get("keep_alive") is not None or platform.keep_alive_s != KEEP_ALIVE_S
    return platform, None if told else fit_keep_alive(baseline)


def scaled(plan: ArrivalPlan, factor: float) -> ArrivalPlan:
    """Give ``plan`` under ``factor`` times the load: each request ``factor`` times as early.

    A Poisson plan keeps its length and gets more requests; a replayed one keeps its requests and gets shorter.

    Raises
    ------
    ParameterError
        A factor that is not above 0.
    """
    if not 0.0 < factor < float("inf"):
        raise ParameterError(f"--scale {factor!r} must be above 0; 2 doubles the load")
    return plan.scaled(factor)


def fitted_arrivals(options: Mapping[str, Any]) -> ArrivalsFit | None:
    """Fit the process of ``--arrivals`` where ``--arrivals-as fitted`` asks for it.

    Raises
    ------
    ParameterError
        Something to fit, but no ``--arrivals``.
    """
    if options["arrivals"] is None:
        if options["arrivals_as"] != "replay":
            raise ParameterError(
                f"--arrivals-as {options['arrivals_as']} needs --arrivals, the trace to take them from"
            )
        return None
    return fit_arrivals(load(options["arrivals"], _TIMES)) if options["arrivals_as"] == "fitted" else None


def plan_arrivals(
    options: Mapping[str, Any], baseline: Trace, fit: ArrivalsFit | None, duration_s: float | None = None
) -> ArrivalPlan:
    """Make the arrivals of one step; ``duration_s`` is the step's own length, where its file says it.

    Raises
    ------
    ParameterError
        Options that exclude each other.
    """
    rate_rps, given_s, factor = options["rate"], options["step_duration"], options["scale"]
    length_s = next((each for each in (duration_s, given_s) if each is not None), None)
    if rate_rps == 0.0:
        raise ParameterError("--rate 0 sends no request; give a rate above 0")
    if options["arrivals"] is None:
        rate_rps = recorded_rate_rps(baseline) if rate_rps is None else rate_rps
        plan: ArrivalPlan = poisson(rate_rps, STEP_S if length_s is None else length_s)
    elif rate_rps is not None:
        raise ParameterError("--arrivals brings its own rate; leave out --rate, or scale it with --scale")
    elif options["arrivals_as"] == "replay":
        if given_s is not None:
            raise ParameterError(
                "--arrivals brings its own rate and duration; leave out --rate and --step-duration, "
                "or draw them anew with --arrivals-as fitted"
            )
        plan = replay(load(options["arrivals"], _TIMES))
    elif fit is not None:
        plan = fit.process if length_s is None else fit.process.lasting(length_s)
    else:
        recorded = load(options["arrivals"], _TIMES)
        plan = poisson(_rate_rps(recorded, "--arrivals"), recorded.duration_s if length_s is None else length_s)
    return plan if factor is None else scaled(plan, factor)


def recorded_rate_rps(baseline: Trace) -> float:
    """Give the baseline's recorded rate.

    Raises
    ------
    ParameterError
        A recording of no length.
    """
    return _rate_rps(rows_of(baseline, BASELINE), "the baseline's trace")


def _rate_rps(trace: Trace, what: str) -> float:
    if trace.duration_s <= 0:
        raise ParameterError(f"--rate is missing, and {what} is too short to tell one; give --rate")
    return (len(trace) - 1) / trace.duration_s


def _distinct(labels: Sequence[str]) -> list[str]:
    # A weight may come twice (up, back, up again): number the later ones.
    seen: dict[str, int] = {}
    found = []
    for label in labels:
        seen[label] = seen.get(label, 0) + 1
        found.append(label if seen[label] == 1 else f"{label} #{seen[label]}")
    return found


def _rollout_steps(options: Mapping[str, Any], baseline: Trace, fit: ArrivalsFit | None) -> list[PlannedStep]:
    path = Path(options["rollout"])
    written = _read_steps(path)
    shares = [parse_weight(step.get("weight"), f"{path}: step {place}: weight") for place, step in written]
    labels = _distinct(
        [str(step.get("name", f"{100.0 * share:g}%")) for (_, step), share in zip(written, shares, strict=True)]
    )
    replayed = options["arrivals"] is not None and options["arrivals_as"] == "replay"
    recorded = plan_arrivals(options, baseline, fit) if replayed else None
    usual_s = STEP_S if options["step_duration"] is None else options["step_duration"]
    steps, now_s = [], 0.0
    for (place, step), label, share in zip(written, labels, shares, strict=True):
        length_s = parse_duration_s(step.get("duration", usual_s), f"{path}: step {place}: duration")
        gap_s = options["gap"]
        if "gap" in step:
            gap_s = parse_duration_s(step["gap"], f"{path}: step {place}: gap", or_none=True)
        if recorded is not None:
            if "rate" in step:
                raise ParameterError(f"{path}: step {place}: rate {step['rate']!r} and --arrivals exclude each other")
            plan: ArrivalPlan = _part(recorded, now_s, length_s, f"{path}: step {place}")
            now_s += length_s
        else:
            plan = plan_arrivals({**options, "rate": step.get("rate", options["rate"])}, baseline, fit, length_s)
        steps.append(PlannedStep(label, share, plan, gap_before_s=gap_s))
    return steps


def _read_steps(path: Path) -> list[tuple[int, dict[str, Any]]]:
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ParameterError(f"{path}: cannot read the rollout ({error})") from error
    except (ValueError, yaml.YAMLError) as error:  # also a date that there is not
        raise ParameterError(f"{path}: not YAML ({' '.join(str(error).split())})") from error
    steps = document.get("steps") if isinstance(document, dict) else document
    if not isinstance(steps, list) or not steps or not all(isinstance(step, dict) for step in steps):
        raise ParameterError(f"{path}: steps is no list of steps; write '- {{weight: 10%, duration: 5m}}', one a line")
    for place, step in enumerate(steps, 1):
        for key in step:
            if key not in _STEP_KEYS:
                raise ParameterError(f"{path}: step {place}: unknown field {key!r}; known are {', '.join(_STEP_KEYS)}")
        rate = step.get("rate", 0.0)
        if isinstance(rate, bool) or not isinstance(rate, int | float):
            raise ParameterError(f"{path}: step {place}: rate {rate!r} is no number of requests a second")
    return list(enumerate(steps, 1))


def _part(plan: ArrivalPlan, from_s: float, length_s: float, where: str) -> ReplayedArrivals:
    arrival_s = plan.draw(np.random.default_rng(0))  # a recording: nothing in it is random
    if from_s + length_s > plan.duration_s * (1.0 + 1e-9):
        raise ParameterError(f"{where}: the recorded arrivals end after {plan.duration_s:.0f} s; shorten the steps")
    inside = (arrival_s >= from_s) & (arrival_s < from_s + length_s)
    return ReplayedArrivals(arrival_s[inside] - from_s, length_s)
