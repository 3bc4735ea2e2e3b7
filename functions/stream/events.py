"""The server-sent events of a stream (WHATWG HTML, "Server-sent events").

======================  ============================================================================================
``start``               ``request_id``, ``model``, ``tier``; comes with the first piece
``token``               ``text``: the next piece of the answer
``reasoning``           ``text``: the next piece of what the model thinks aloud, where it does
``done``                ``stop_reason``, ``usage``, ``cost_usd`` and the times; nothing follows
``error``               ``code`` and ``message``, and ``request_id``; nothing follows
======================  ============================================================================================
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

HEARTBEAT: Final = b": still here\n\n"
"""A comment, which clients pass over."""


def event(name: str, data: Mapping[str, Any]) -> bytes:
    """Frame one event; JSON has no line breaks of its own, so one ``data`` line holds it."""
    return b"event: %s\ndata: %s\n\n" % (
        name.encode(),
        json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace"),
    )
