"""What the driver asks: a built-in list, or a file of the user's. A prompt is sent and never logged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from replay.errors import InputError

BUILT_IN_PROMPTS: Final = (
    "Name three uses of a weighted alias.",
    "Summarise in two sentences why a cold start happens.",
    "Which is cheaper for a steady load of ten requests a second, and why: provisioned or on-demand capacity?",
    "Write a polite answer to a customer whose parcel is two days late and who asks for a refund.",
    "Translate into French: the meeting has moved to Thursday at ten.",
    "Explain to a new colleague what a p99 latency is, with an example from a supermarket queue.",
    "Give a title for an article about testing in production.",
    "List five questions to ask before a database migration, one line each, most important first.",
    "Turn this into a bullet list: the release adds retries, lowers the time-out and fixes the login page.",
    "What does it mean when two confidence intervals overlap?",
    "Draft a status update of at most forty words: the roll-out stands at ten percent and all figures are in range.",
    "Compare a queue and a stream in one paragraph for someone who knows relational databases but neither of the two.",
    "Suggest a name for a small tool that forecasts latency.",
    "Rewrite so that a child understands it: caching keeps the answer of an expensive question close at hand.",
    "Classify the mood of this review as good, mixed or bad: the room was clean, but the street was loud all night.",
    "How long is the coast of Norway?",
)
"""Short questions of the lengths that a chat feature sees; the words carry no meaning for a measurement."""


def read_prompts(path: str | Path) -> tuple[str, ...]:
    """Read prompts from a file: one a line, or JSON lines with the key ``prompt`` where the name ends in ``.jsonl``.

    Blank lines are left out.

    Raises
    ------
    InputError
        The file is missing, is not UTF-8, holds no prompt, or a JSON line that is no object with a text ``prompt``.
    """
    source = Path(path)
    try:
        # Not splitlines(): to that, a line ends at U+2028 and the like too, which JSON allows inside of a text.
        lines = source.read_text(encoding="utf-8-sig").split("\n")
    except FileNotFoundError as error:
        raise InputError(f"{source}: no such prompt file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{source}: cannot be read as UTF-8 text ({error})") from error
    is_json = source.suffix == ".jsonl"
    prompts = tuple(
        _prompt_of(line, f"{source}: line {number}") if is_json else line.strip()
        for number, line in enumerate(lines, start=1)
        if line.strip()
    )
    if not prompts:
        raise InputError(f"{source}: no prompt in it; write one a line")
    return prompts


def _prompt_of(line: str, origin: str) -> str:
    try:
        document = json.loads(line)
    except json.JSONDecodeError as error:
        raise InputError(f"{origin}: not JSON ({error.msg}); each line is an object with the key 'prompt'") from error
    prompt = document.get("prompt") if isinstance(document, dict) else None
    if not isinstance(prompt, str) or not prompt.strip():
        raise InputError(f"{origin}: the key 'prompt' with a text is missing")
    return prompt
