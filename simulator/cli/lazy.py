"""Commands that are imported when they are used, so that ``--help`` pays for click alone."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click
from click.shell_completion import CompletionItem

Table = Mapping[str, tuple[str, str]]
"""Command → (``module:attribute``, one line for the list of commands), in the order of the list."""


class LazyGroup(click.Group):
    """A group whose commands live in a table; listing and completing them imports none.

    Parameters
    ----------
    table
        What the group holds.
    attrs
        As of :class:`click.Group`.
    """

    def __init__(self, *args: Any, table: Table, **attrs: Any) -> None:
        super().__init__(*args, **attrs)
        self.table = table
        with_paragraphs(self)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  (click's signature)
        """Name the commands, in the order of the table."""
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  (click's signature)
        """Import and give one command."""
        if cmd_name not in self.table:
            return None
        module, _, attribute = self.table[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return with_paragraphs(command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  (click's signature)
        """List the commands from the table."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self.table.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete a command's name from the table, an option's from the group itself."""
        named = [
            CompletionItem(name, help=text) for name, (_, text) in self.table.items() if name.startswith(incomplete)
        ]
        return [*named, *click.Command.shell_complete(self, ctx, incomplete)]


class LazyModule:
    """Stands for a module that is imported when something of it is first used."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(importlib.import_module(self._name), attribute)


def with_paragraphs(command: click.Command) -> click.Command:
    r"""Turn ``\b`` in raw docstrings into the character by which click keeps a paragraph's line breaks."""
    if command.help:
        command.help = command.help.replace("\\b\n", "\b\n")
    for each in getattr(command, "commands", {}).values():
        with_paragraphs(each)
    return command
