"""Nothing of a number is lost, or torn from the rest of it, on a narrow terminal."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console
from rich.table import Table
from rich.text import Text

from simulator.fitting_table import FittingTable, bracket_below, ends_below

CELLS = ("1,109 [1,086–1,124]", "1,597 (needs 72)", "-148 [-154–-142]", "42")


def _drawn(table: Table, width: int) -> str:
    out = io.StringIO()
    Console(file=out, width=width).print(table)
    return out.getvalue()


def _table() -> FittingTable:
    table = FittingTable()
    table.add_column("figure", no_wrap=True)
    for heading in ("A", "B", "B − A", "n"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_row("p95 ms", *(Text(cell) for cell in CELLS))
    return table


def test_where_there_is_room_it_is_an_ordinary_table() -> None:
    plain = Table()
    plain.add_column("figure", no_wrap=True)
    for heading in ("A", "B", "B − A", "n"):
        plain.add_column(heading, justify="right", no_wrap=True)
    plain.add_row("p95 ms", *CELLS)
    assert _drawn(_table(), 100) == _drawn(plain, 100)


@pytest.mark.parametrize(("width", "lines"), [(79, 1), (66, 2), (50, 3), (42, 3)])
def test_numbers_stay_whole(width: int, lines: int) -> None:
    drawn = _drawn(_table(), width)
    rows = [line for line in drawn.splitlines() if re.search(r"[0-9]", line) and "p95" not in line]
    assert len(rows) == lines - 1
    numbers = re.findall(r"-?[0-9][0-9,]*", drawn.replace("p95", ""))
    assert sorted(numbers) == sorted(number for cell in CELLS for number in re.findall(r"-?[0-9][0-9,]*", cell))
    assert "…" not in drawn


def test_what_is_no_number_is_left() -> None:
    assert bracket_below(Text("optimized (Nova Lite)")).plain == "optimized (Nova Lite)"
    assert ends_below(Text("from 1 – 2")).plain == "from 1 – 2"
    assert ends_below(Text("633 [628–638]")).plain == "633\n[628–\n638]"
