"""Every command shows how it is used, and every command line that is shown, there or in the docs, can be typed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from replay.cli import main

_NUMBER = re.compile(r"-\d.*")  # --since -1d


def _walk(command: click.Command, path: tuple[str, ...], parent: click.Context | None) -> Iterator[_Command]:
    context = click.Context(command, info_name=path[-1], parent=parent)
    yield path, command
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from _walk(found, (*path, name), context)


_Command = tuple[tuple[str, ...], click.Command]
COMMANDS = list(_walk(main, ("tailcast",), None))


def _lines(text: str) -> list[str]:
    """Give the lines that call tailcast; one that ends with a backslash goes on."""
    joined = re.sub(r"\\\n\s*", " ", text)
    stripped = [line.strip().removeprefix("$ ") for line in joined.splitlines()]
    return [line for line in stripped if line.startswith("tailcast ")]


def _documented() -> Iterator[tuple[str, str]]:
    for path, command in COMMANDS:
        _, _, examples = (command.help or "").partition("Example")
        for line in _lines(examples):
            yield " ".join(path), line
    root = Path(__file__).parents[1]
    for file in (root / "README.md", *sorted((root / "docs").glob("*.md"))):
        for block in re.findall(r"^```.*?^```", file.read_text(), re.MULTILINE | re.DOTALL):
            for line in _lines(block):
                yield file.name, line


def _refused(line: str) -> str | None:
    """Say what in ``line`` no command knows."""
    words = shlex.split(line, comments=True)[1:]
    command: click.Command = main
    context = click.Context(main)
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        if "|" in words[1:2]:  # `pause | resume`: several at once
            return None
        found = command.get_command(context, words[0])
        if found is None:
            return words[0]
        command, words = found, words[1:]
    known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
    known |= set(command.get_help_option_names(context))
    asked = [word.partition("=")[0] for word in words if word.startswith("-") and not _NUMBER.fullmatch(word)]
    return next((word for word in asked if word not in known), None)


@pytest.mark.parametrize(("path", "command"), COMMANDS, ids=[" ".join(path) for path, _ in COMMANDS])
def test_every_command_shows_an_example_and_answers_in_json(path: tuple[str, ...], command: click.Command) -> None:
    assert "\b\n" in (command.help or "")
    assert any(line.startswith(" ".join(path)) for line in _lines((command.help or "").partition("Example")[2]))
    if not isinstance(command, click.Group):
        assert any("--json" in option.opts for option in command.params)


def test_every_line_that_is_shown_can_be_typed() -> None:
    lines = list(_documented())
    assert len(lines) > 120
    assert {place for place, _ in lines} >= {"README.md", "canary.md"}
    assert [(place, line, word) for place, line in lines if (word := _refused(line)) is not None] == []
