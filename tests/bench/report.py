"""How benchmarks report: a table to read, and ``build/bench/NAME.json`` to compare.

The file holds, by name of the figure, ``{"value": …, "unit": …, "target": …, "met": …}``; ``target`` and ``met`` are
null for a figure that is only reported.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.table import Table

from simulator.files import write_text

FOLDER = Path("build/bench")


@dataclass(frozen=True)
class Figure:
    """One measured figure, and what it is held to."""

    value: float
    unit: str
    target: float | None = None
    """None: reported only."""
    better: Literal["lower", "higher"] = "lower"
    """On which side of the target the figure has to lie."""

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None where there is none."""
        if self.target is None:
            return None
        return self.value <= self.target if self.better == "lower" else self.value >= self.target


def write_report(name: str, figures: Mapping[str, Figure], folder: Path = FOLDER) -> Path:
    """Print a benchmark's figures and write them, whole or not at all, to ``folder/NAME.json``."""
    table = Table(title=name)
    for heading in ("figure", "value", "target", "met"):
        table.add_column(heading, justify="left" if heading == "figure" else "right")
    for title, figure in figures.items():
        sign = "≤" if figure.better == "lower" else "≥"
        target = "" if figure.target is None else f"{sign} {figure.target:g} {figure.unit}"
        met = "" if figure.met is None else ("yes" if figure.met else "NO")
        table.add_row(title, f"{figure.value:.4g} {figure.unit}", target, met)
    Console().print(table)
    document = {
        title: {"value": figure.value, "unit": figure.unit, "target": figure.target, "met": figure.met}
        for title, figure in figures.items()
    }
    return write_text(folder / f"{name}.json", json.dumps(document, indent=2) + "\n")
