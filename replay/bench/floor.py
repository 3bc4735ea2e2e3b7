"""Where the time to first token goes: parts that two arms differ by, and what is left.

A part is a difference of medians between cells that differ in that one condition, with its interval; it is not guessed
where the arms for it were not measured.

::

    network           one round trip: opening TCP, of the cold arm
    connection        cold - reused
    routing           cross-region profile - regional call of the same model
    prefill           slope of TTFT over input tokens (Theil-Sen) x tokens of the prompt; without a cache
    cache             off - read, what a cached prompt saves
    queue             highest load - lowest load
    rest              median TTFT - the parts above that lie in it: scheduling, and the model's own fixed cost; its
                      interval takes the parts as independent, which makes it wider than it need be
    decode            (total - TTFT) / (output tokens - 1)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Final

import numpy as np
from scipy.stats import theilslopes

from replay.bench.arms import Arm
from replay.bench.records import Measurement, Run
from replay.bench.summary import Cell, by_cell, values_of
from replay.bench.targets import base_model_id
from simulator.intervals import Estimate, difference_estimate, quantile_estimate
from simulator.quantiles import CONFIDENCE, FloatArray

_OTHER_LENGTH: Final = 1.5
"""A prompt this many times as long as another one was meant to be longer."""
_SLOPES_OF: Final = 2_000
"""Requests whose slopes are taken, chosen by the run's seed: all pairs of them fill an array of 32 MB."""


@dataclass(frozen=True)
class Part:
    """One part of the time to first token of one target, in milliseconds."""

    target: str
    name: str
    estimate: Estimate | None
    """None: the arms for it were not measured."""
    how: str
    """From which cells it was taken, or what to add to a run so that it can be."""
    in_ttft: bool = True
    """Whether it is a part of the reference cell's TTFT, so that the rest is without it."""


def decompose(run: Run) -> list[Part]:
    """Take the TTFT of each target's reference cell apart.

    The reference is the cell with the first arm that reuses its connection, without a cache, at the lowest load.
    """
    groups = by_cell(run.measured())
    parts: list[Part] = []
    for target in run.targets:
        cells = {cell: rows for cell, rows in groups.items() if cell[0] == target.label}
        reference = _reference(cells, run)
        if reference is not None:
            parts += _decompose_target(target.label, reference, cells, groups, run)
    return parts


def _decompose_target(
    target: str,
    reference: Cell,
    cells: Mapping[Cell, Sequence[Measurement]],
    groups: Mapping[Cell, Sequence[Measurement]],
    run: Run,
) -> list[Part]:
    arm = run.arms[reference[1]]
    base = _median(cells[reference])
    parts = [
        _network(target, cells),
        _difference(
            target, "connection", cells, run, reference, replace(arm, connection="cold"), "--connection cold,reused"
        ),
        _routing(target, reference, groups, run),
        _prefill(target, reference, cells, run),
        _queue(target, reference, cells, run),
    ]
    saved = _difference(target, "cache", cells, run, reference, replace(arm, cache="read"), "--cache off,read")
    if saved.estimate is not None:
        saved = replace(saved, estimate=_negated(saved.estimate), how=f"{saved.how}, sign turned: what it saves")
    rest = base
    for part in parts:
        if part.in_ttft and part.estimate is not None:
            rest = difference_estimate(rest, part.estimate)
    whole = Part(target, "median TTFT", base, f"cell {reference[1]}, {reference[2]}", in_ttft=False)
    left = Part(target, "rest: scheduling and fixed cost", rest, "median TTFT less the parts in it", in_ttft=False)
    return [whole, *parts, replace(saved, in_ttft=False), left, _decode(target, cells[reference])]


def _reference(cells: Mapping[Cell, Sequence[Measurement]], run: Run) -> Cell | None:
    order = [(label, load) for load, (label, arm) in product(run.loads, run.arms.items()) if arm.cache == "off"]
    reused = [(label, load) for label, load in order if run.arms[label].connection == "reused"]
    for label, load in [*reused, *order]:
        for cell, rows in cells.items():
            if cell[1:] == (label, load) and values_of(rows, "ttft_ms").size:
                return cell
    return None


def _network(target: str, cells: Mapping[Cell, Sequence[Measurement]]) -> Part:
    trips = [m.tcp_ms for rows in cells.values() for m in rows if m.tcp_ms is not None]
    if not trips:
        return Part(target, "network", None, "add --connection cold: opening a connection takes one round trip")
    return Part(target, "network", quantile_estimate(trips, 0.5), f"{len(trips)} connections opened: one round trip")


def _difference(
    target: str,
    name: str,
    cells: Mapping[Cell, Sequence[Measurement]],
    run: Run,
    reference: Cell,
    other: Arm,
    add: str,
) -> Part:
    label = next((label for label, arm in run.arms.items() if arm == other and other != run.arms[reference[1]]), None)
    rows = cells.get((target, label, reference[2])) if label is not None else None
    if not rows or not values_of(rows, "ttft_ms").size:
        return Part(target, name, None, f"add {add}", in_ttft=False)
    found = difference_estimate(_median(rows), _median(cells[reference]))
    return Part(target, name, found, f"medians: {label} - {reference[1]}", in_ttft=False)


def _routing(target: str, reference: Cell, groups: Mapping[Cell, Sequence[Measurement]], run: Run) -> Part:
    own = run.target_named(target)
    if not own.through_profile:
        return Part(target, "routing", Estimate(0.0, 0.0, 0.0, 0), "a regional call: none")
    for other in run.targets:
        rows = groups.get((other.label, *reference[1:]))
        same = base_model_id(other.model_id) == base_model_id(own.model_id) and other.region == own.region
        if same and not other.through_profile and rows and values_of(rows, "ttft_ms").size:
            found = difference_estimate(_median(groups[reference]), _median(rows))
            return Part(target, "routing", found, f"medians: this profile - {other.label}")
    return Part(target, "routing", None, f"add the regional model {base_model_id(own.model_id)} as a target")


def _prefill(target: str, reference: Cell, cells: Mapping[Cell, Sequence[Measurement]], run: Run) -> Part:
    arm = run.arms[reference[1]]
    asked: set[int] = set()
    tokens: list[float] = []
    times: list[float] = []
    for (_, label, load), rows in cells.items():
        if replace(run.arms[label], input_tokens=arm.input_tokens) != arm or load != reference[2]:
            continue
        for m in rows:
            if m.status == "ok" and m.ttft_ms is not None and m.input_tokens is not None:
                asked.add(run.arms[label].input_tokens)
                tokens.append(float(m.input_tokens))
                times.append(m.ttft_ms)
    # Prompts of one length still differ by a few tokens, and a slope over those is chance; a replayed trace's do not.
    if not tokens or max(tokens) <= min(tokens) * (1.0 if len(asked) > 1 else _OTHER_LENGTH):
        return Part(target, "prefill", None, "add a second length: --input-tokens 200,2000")
    shuffled = np.random.default_rng(run.seed).permutation(len(tokens))
    ends = [int(np.argmin(tokens)), int(np.argmax(tokens))]  # so that there are two lengths in any case
    chosen = np.unique(np.append(shuffled[:_SLOPES_OF], ends))
    slope, _, low, high = theilslopes(np.array(times)[chosen], np.array(tokens)[chosen], CONFIDENCE)
    typical = float(np.median([m.input_tokens for m in cells[reference] if m.input_tokens is not None]))
    estimate = Estimate(float(slope) * typical, float(low) * typical, float(high) * typical, chosen.size)
    return Part(target, "prefill", estimate, f"{slope:.3f} ms a token x {typical:.0f} tokens")


def _queue(target: str, reference: Cell, cells: Mapping[Cell, Sequence[Measurement]], run: Run) -> Part:
    others = [load for load in run.loads if load != reference[2] and (target, reference[1], load) in cells]
    if not others:
        return Part(target, "queue", None, "add a second load: --concurrency 1 --rate 10", in_ttft=False)
    medians = {load: _median(cells[(target, reference[1], load)]) for load in others}
    busiest = max(medians, key=lambda load: medians[load].value)
    found = difference_estimate(medians[busiest], _median(cells[reference]))
    return Part(target, "queue", found, f"medians: {busiest} - {reference[2]}", in_ttft=False)


def _decode(target: str, rows: Sequence[Measurement]) -> Part:
    each = np.asarray(list(_per_token(rows)))
    if not each.size:
        return Part(target, "decode, a token", None, "answers of at least two tokens are needed", in_ttft=False)
    return Part(
        target, "decode, a token", quantile_estimate(each, 0.5), "median of (total - TTFT) / (tokens - 1)", False
    )


def _per_token(rows: Sequence[Measurement]) -> Iterator[float]:
    for m in rows:
        if m.status == "ok" and m.ttft_ms is not None and m.total_ms is not None and (m.output_tokens or 0) > 1:
            yield (m.total_ms - m.ttft_ms) / ((m.output_tokens or 2) - 1)


def _median(rows: Sequence[Measurement]) -> Estimate:
    values: FloatArray = values_of(rows, "ttft_ms")
    return quantile_estimate(values, 0.5)


def _negated(estimate: Estimate) -> Estimate:
    low = None if estimate.high is None else -estimate.high
    high = None if estimate.low is None else -estimate.low
    return Estimate(-estimate.value, low, high, estimate.samples, estimate.needed)
