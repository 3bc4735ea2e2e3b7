"""What a sweep found: the best scenario, a table with a row for each, and a map over two of its axes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl

from simulator.errors import ParameterError
from simulator.figures import ALL
from simulator.files import written_beside
from simulator.objective import Verdict
from simulator.sweep.grid import Axis
from simulator.sweep.run import IDLE_USD, TOTAL_COST

Row = Mapping[str, Any]
"""A scenario's result, as :func:`simulator.sweep.run.run_batch` gives it."""
TABLES: Final = (".csv", ".parquet")


def overall(rows: Sequence[Row]) -> Verdict | None:
    """Judge the sweep: pass where a scenario passes, fail where all fail; None without objectives."""
    verdicts = {row["verdict"] for row in rows}
    if verdicts == {None}:
        return None
    if "pass" in verdicts:
        return "pass"
    return "fail" if verdicts == {"fail"} else "inconclusive"


def ranked(rows: Sequence[Row]) -> list[Row]:
    """Give the rows, best first: those that pass by cost, then the others by probability, then by cost.

    Without objectives all of them by cost. A cost that cannot be told comes last.
    """

    def order(row: Row) -> tuple[bool, float, float, int]:
        cost = figure(row, TOTAL_COST)
        passes = row["verdict"] in (None, "pass")
        chance = 0.0 if passes else -(row["probability"] or 0.0)
        return not passes, chance, math.inf if cost is None else cost, row["scenario"]

    return sorted(rows, key=order)


def figure(row: Row, metric: str, variant: str = ALL, end: str = "median") -> float | None:
    """Give one figure of a row, or an end of its interval (``lo``, ``hi``)."""
    found = row["figures"].get(variant, {}).get(metric)
    return None if found is None else found[end]


def frame_of(rows: Sequence[Row]) -> pl.DataFrame:
    """Give one row a scenario: settings, probabilities, and each figure with ``_lo``, ``_hi`` and its requests."""
    flat = []
    for row in sorted(rows, key=lambda one: int(one["scenario"])):
        cells: dict[str, Any] = {"scenario": row["scenario"], **row["settings"]}
        cells |= {"replications": row["replications"], "verdict": row["verdict"], "probability": row["probability"]}
        cells |= {f"probability of {name}": chance for name, chance in row["objectives"].items()}
        cells[IDLE_USD] = row[IDLE_USD]
        for variant, figures in row["figures"].items():
            for metric, found in figures.items():
                name = metric if variant == ALL else f"{variant}_{metric}"
                cells |= {name: found["median"], f"{name}_lo": found["lo"], f"{name}_hi": found["hi"]}
            name = "requests" if variant == ALL else f"{variant}_requests"
            cells[name] = figures["cold_share"]["requests"]
        flat.append(cells)
    return pl.DataFrame(flat, infer_schema_length=None)


def write_table(rows: Sequence[Row], target: Path) -> None:
    """Write :func:`frame_of` to ``target``: CSV or Parquet, by its suffix.

    Raises
    ------
    ParameterError
        Another suffix, or a place that cannot be written.
    """
    check_table(target)
    frame = frame_of(rows)
    try:
        with written_beside(target) as beside:
            if target.suffix == ".csv":
                frame.write_csv(beside)
            else:
                frame.write_parquet(beside)
    except OSError as error:
        raise ParameterError(f"{target}: cannot write the table ({error.strerror}); choose another place") from error


def check_table(target: Path) -> None:
    """Refuse a table of an unknown kind before any work. Raises ParameterError."""
    if target.suffix not in TABLES:
        raise ParameterError(f"{target}: a table is written as {' or '.join(TABLES)}; change the suffix")


@dataclass(frozen=True)
class HeatMap:
    """One figure over two axes, where all other axes stand at one scenario's values.

    Parameters
    ----------
    rows, columns
        The axes; the one with more values runs across.
    values
        Column by column of each row; None where there is no figure.
    fixed
        Axis → its value, of the axes that the map does not show.
    what
        The figure: ``probability``, or a metric.
    """

    rows: Axis
    columns: Axis
    values: tuple[tuple[float | None, ...], ...]
    fixed: Mapping[str, float]
    what: str


def heat_map(axes: Sequence[Axis], rows: Sequence[Row], around: Row) -> HeatMap | None:
    """Map the two axes with the most values; the others stand where ``around`` has them. None with fewer than two.

    The figure is the probability of meeting the objectives, or the p99 where there are none.
    """
    varying = sorted((axis for axis in axes if len(axis.values) > 1), key=lambda axis: -len(axis.values))
    if len(varying) < 2:
        return None
    columns, down = varying[0], varying[1]
    fixed = {axis.name: float(around["settings"][axis.fields[0]]) for axis in varying[2:]}
    what = "p99_ms" if around["verdict"] is None else "probability"
    cells: dict[tuple[float, float], float | None] = {}
    for row in rows:
        settings = row["settings"]
        if all(settings[axis.fields[0]] == fixed[axis.name] for axis in varying[2:]):
            at = float(settings[down.fields[0]]), float(settings[columns.fields[0]])
            cells[at] = row["probability"] if what == "probability" else figure(row, what)
    values = tuple(tuple(cells.get((float(y), float(x))) for x in columns.values) for y in down.values)
    return HeatMap(down, columns, values, fixed, what)
