"""A table that stays readable on a narrow terminal: intervals go under their values before any number is cut in two."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

_ANY_WIDTH: Final = 10_000


class FittingTable(Table):
    """A table whose cells may hold ``661 [640–702]`` or ``661 (needs 368)``; used as :class:`rich.table.Table` is.

    Where it is too wide for the console, what is in brackets goes to a line of its own; where that is not enough, an
    interval's ends go to two; then the columns move together. Only what is too wide then is folded by rich, anywhere.
    """

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it as the first of these forms that fits."""
        free = options.update(max_width=_ANY_WIDTH)
        drawn: Table = self
        for drawn in self._forms():
            if Table.__rich_measure__(drawn, console, free).maximum <= options.max_width:
                break
        yield from Table.__rich_console__(drawn, console, options)

    def _forms(self) -> Iterator[Table]:
        yield self
        yield self._with_cells(bracket_below)
        yield self._with_cells(ends_below)
        closer = self._with_cells(ends_below)
        closer.padding = (0, 0)
        yield closer

    def _with_cells(self, fold: Callable[[Text], Text]) -> Table:
        other = copy.copy(self)
        other.columns = [
            replace(column, _cells=[_folded(cell, fold) for cell in column.cells], no_wrap=False, overflow="fold")
            for column in self.columns
        ]
        return other


def bracket_below(cell: Text) -> Text:
    """Put what stands in brackets behind a number under it."""
    for bracket in (" [", " ("):
        place = cell.plain.find(bracket)
        if place > 0 and cell.plain[place - 1].isdigit():
            return Text.assemble(cell[:place], "\n", cell[place + 1 :], justify=cell.justify)
    return cell


def ends_below(cell: Text) -> Text:
    """Put an interval's ends under each other too."""
    cell = bracket_below(cell)
    bracket = cell.plain.find("[")
    place = cell.plain.find("–", bracket)
    return cell if bracket < 0 or place < 0 else Text.assemble(cell[: place + 1], "\n", cell[place + 1 :])


def _folded(cell: RenderableType, fold: Callable[[Text], Text]) -> RenderableType:
    if isinstance(cell, str):
        return fold(Text.from_markup(cell))
    return fold(cell) if isinstance(cell, Text) else cell
