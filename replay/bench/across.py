"""Two runs beside each other: what became faster or slower from one date to the next."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

from replay.bench.arms import varying_fields
from replay.bench.comparison import Difference, quantile_at
from replay.bench.comparison import mean as mean_statistic
from replay.bench.records import Run
from replay.bench.summary import LEVELS, METRICS, Cell, by_cell, values_of
from replay.bench.tables import Table, interval
from replay.errors import InputError
from simulator.intervals import difference_estimate
from simulator.quantiles import CONFIDENCE

_FIGURES: Final = ("mean", *LEVELS)
_WORDS: Final = {"lower": "faster", "higher": "slower", "unclear": "cannot be told", "too few": "too few samples"}


@dataclass(frozen=True)
class AcrossRuns:
    """The cells that two runs share, second less first; the intervals hold for all cells and figures together."""

    metric: str
    differences: dict[str, dict[str, Difference]]
    """Cell → figure → difference; ``first`` is the later run."""
    notes: tuple[str, ...]

    def tables(self) -> list[Table]:
        """Give one table."""
        rows = tuple((cell, *(_text(found[figure]) for figure in _FIGURES)) for cell, found in self.differences.items())
        title = f"Change in {METRICS[self.metric]}, ms, second run less first [95 %, all at once]"
        return [Table(title, ("cell", *_FIGURES), rows)]

    def to_json(self) -> dict[str, Any]:
        """Give the fields as JSON types."""
        cells = {
            cell: {
                figure: {
                    "difference_ms": None if math.isnan(each.estimate.value) else each.estimate.value,
                    "low": each.estimate.low,
                    "high": each.estimate.high,
                    "verdict": _WORDS[each.verdict],
                }
                for figure, each in found.items()
            }
            for cell, found in self.differences.items()
        }
        return {"metric": self.metric, "cells": cells, "notes": list(self.notes)}


def compare_runs(first: Run, second: Run, metric: str) -> AcrossRuns:
    """Compare the cells that both runs measured.

    Raises
    ------
    InputError
        They share none.
    """
    before, after = by_cell(first.measured()), by_cell(second.measured())
    shared = [cell for cell in before if cell in after]
    if not shared:
        raise InputError("the two runs share no cell (target, arm and load); name their targets alike with NAME=MODEL")
    each = 1.0 - (1.0 - CONFIDENCE) / (len(shared) * len(_FIGURES))
    found: dict[str, dict[str, Difference]] = {}
    for cell in shared:
        found[_label(cell)] = {}
        for figure in _FIGURES:
            statistic = mean_statistic() if figure == "mean" else quantile_at(LEVELS[figure])
            later, earlier = (statistic(values_of(rows[cell], metric), each) for rows in (after, before))
            found[_label(cell)][figure] = Difference("second", "first", difference_estimate(later, earlier))
    only = [cell for cell in {**before, **after} if cell not in shared]
    notes = [f"only one of the runs measured {_label(cell)}" for cell in only]
    models = {target.label: target.model_id for target in first.targets}
    notes += [
        f"{target.label} was {models[target.label]} in the first run, {target.model_id} in the second"
        for target in second.targets
        if models.get(target.label, target.model_id) != target.model_id
    ]
    # An arm's label names what differs within its run: the same one may stand for other conditions in another run.
    for label in dict.fromkeys(cell[1] for cell in shared):
        arms = first.arms[label], second.arms[label]
        then, now = (arm.label(varying_fields(arms)) for arm in arms)
        if then != now:
            notes.append(f"{label} was {then} in the first run, {now} in the second")
    return AcrossRuns(metric, found, tuple(notes))


def _text(difference: Difference) -> str:
    if difference.verdict == "too few":
        return interval(difference.estimate)
    mark = {"lower": " ↓", "higher": " ↑"}.get(difference.verdict, "")
    return interval(difference.estimate) + mark


def _label(cell: Cell) -> str:
    return " · ".join(cell)
