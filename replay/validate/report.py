"""What a study found: a row a case, and how often each figure lay inside its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.text import Text

from replay.validate.experiment import FIGURES, JUDGED
from simulator.fitting_table import FittingTable
from simulator.intervals import share_estimate
from simulator.terminal import number

TARGET: Final = 0.90
"""Share of the cases in which a figure has to lie inside its interval."""
_HEADINGS: Final[Mapping[str, str]] = {
    "p50_ms": "p50 ms",
    "p95_ms": "p95 ms",
    "p99_ms": "p99 ms",
    "cold_count": "cold starts",
    "throttled_count": "throttled",
    "timeout_count": "timed out",
}


def summarise(documents: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Give coverage by figure over the cases that count, and say openly which do not.

    ``inside`` and ``checked`` count the cases; ``open`` those whose interval was wider than a single value, and
    ``open_inside`` how many of these held: a forecast of no time-out at all where none can be is no achievement.
    ``all_judged`` counts the cases in which every judged figure held.
    """
    counted = [one["tries"][-1] for one in documents if _counts(one)]
    figures: dict[str, Any] = {}
    for name in FIGURES:
        rows = [one["figures"][name] for one in counted if name in one["figures"]]
        undecided = [row for row in rows if not row["certain"]]
        inside = sum(bool(row["inside"]) for row in rows)
        share = share_estimate(inside, len(rows))
        errors = [abs(row["error_pct"]) for row in rows if row["error_pct"] is not None]
        figures[name] = {
            "checked": len(rows),
            "inside": inside,
            "share": share.value if rows else None,
            "share_95": [share.low, share.high],
            "open": len(undecided),
            "open_inside": sum(bool(row["inside"]) for row in undecided),
            "mean_abs_error_pct": sum(errors) / len(errors) if errors else None,
            "judged": name in JUDGED,
        }
    tries = [attempt for one in documents for attempt in one["tries"]]
    met = bool(counted) and all(figures[name]["share"] >= TARGET for name in JUDGED)
    return {
        "cases": len(documents),
        "counted": len(counted),
        "tries": len(tries),
        "too_busy": [f"{one['case']}: {one['busy']}" for one in tries if one["busy"] is not None],
        "failed": [f"{one['case']}: {one['failed']}" for one in tries if one["failed"] is not None],
        "figures": figures,
        "all_judged": sum(all(one["figures"][name]["inside"] for name in JUDGED) for one in counted),
        "target": TARGET,
        "met": met,
    }


def print_study(documents: Sequence[Mapping[str, Any]], summary: Mapping[str, Any], out: Console) -> None:
    """Print a row a case and the shares."""
    table = FittingTable(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("case")
    table.add_column("requests", justify="right")
    for name in JUDGED:
        table.add_column(_HEADINGS[name], justify="right")
    for one in documents:
        last = one["tries"][-1]
        if not _counts(one):
            table.add_row(one["case"], "–", Text(f"{last['busy'] or last['failed']}", style="yellow"))
            continue
        table.add_row(one["case"], str(last["requests"]), *(_cell(last["figures"].get(name)) for name in JUDGED))
    out.print(table)
    for line in _lines(summary):
        out.print(Text(line))


def to_markdown(documents: Sequence[Mapping[str, Any]], summary: Mapping[str, Any]) -> str:
    """Give the table of docs/validation.md."""
    lines = [
        f"| case | requests | {' | '.join(_HEADINGS[name] for name in JUDGED)} |",
        f"| --- | ---: |{' ---: |' * len(JUDGED)}",
    ]
    for one in documents:
        last = one["tries"][-1]
        if not _counts(one):
            lines.append(f"| {one['case']} | – | {last['busy'] or last['failed']} |{' |' * (len(JUDGED) - 1)}")
            continue
        cells = [_cell(last["figures"].get(name)).plain.replace("OUT", "**out**") for name in JUDGED]
        lines.append(f"| {one['case']} | {last['requests']} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", *(f"- {line}" for line in _lines(summary)), ""])


def _lines(summary: Mapping[str, Any]) -> list[str]:
    found = []
    for name in FIGURES:
        one = summary["figures"][name]
        if one["share"] is None:
            continue
        low, high = one["share_95"]
        judged = "" if one["judged"] else " (beside, not judged)"
        error = "" if one["mean_abs_error_pct"] is None else f", mean absolute error {one['mean_abs_error_pct']:.1f} %"
        found.append(
            f"{_HEADINGS[name]}: inside in {one['inside']} of {one['checked']} cases ({one['share']:.0%}, "
            f"95 % interval {low:.0%}–{high:.0%}); {one['open_inside']} of the {one['open']} in doubt{error}{judged}"
        )
    found.append(
        f"all of {', '.join(_HEADINGS[name] for name in JUDGED)} inside: {summary['all_judged']} of "
        f"{summary['counted']} cases"
    )
    found.append(
        f"{summary['tries']} tries of {summary['cases']} cases; {len(summary['too_busy'])} did not count because the "
        f"machine was too busy, {len(summary['failed'])} failed"
    )
    return found


def _cell(figure: Mapping[str, Any] | None) -> Text:
    if figure is None:
        return Text("–")
    span = f"{number(figure['lo'])}–{number(figure['hi'])}"
    text = Text(f"{number(figure['observed'])} in {span}")
    if not figure["inside"]:
        text.append(" OUT", style="red")
    return text


def _counts(document: Mapping[str, Any]) -> bool:
    last = document["tries"][-1]
    return last["busy"] is None and last["failed"] is None
