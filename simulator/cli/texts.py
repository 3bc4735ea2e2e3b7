"""Options that may be repeated, and hold blanks: an environment variable separates them by semicolons."""

from __future__ import annotations

from typing import Final

import click


class _Texts(click.types.StringParamType):
    envvar_list_splitter = ";"
    """click's own would be any blank, and cut an objective in pieces."""


TEXTS: Final = _Texts()
