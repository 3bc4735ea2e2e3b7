"""Telling people: SNS topics and webhooks. What cannot be told is said on stderr, and never stops a rollout."""

from __future__ import annotations

import http.client
import json
import re
import sys
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from replay.canary.plan import Notify

_TIMEOUT_S: Final = 3.0
_HOST: Final = re.compile(r"https?://(?:[^/?#]*@)?([^/?#]+)", re.IGNORECASE)
_SUBJECT_CHARS: Final = 100
"""Longest subject that SNS takes."""


class Notifications:
    """See :class:`replay.canary.ports.Notifier`.

    Parameters
    ----------
    targets
        Topics and webhooks.
    sns
        A boto3 ``sns`` client; None where there is no topic.
    say
        Where everything is shown as well: the command line's progress.
    """

    def __init__(
        self, targets: Sequence[Notify], sns: Any, say: Callable[[str, Mapping[str, object]], None] | None = None
    ) -> None:
        self._targets = tuple(targets)
        self._sns = sns
        self._say = say

    def tell(self, subject: str, facts: Mapping[str, object]) -> None:
        """Tell every target; one that fails does not keep the others from being told."""
        if self._say is not None:
            self._say(subject, facts)
        for target in self._targets:
            try:
                if target.sns is not None:
                    self._sns.publish(
                        TopicArn=target.sns,
                        Subject=subject.encode("ascii", "replace").decode()[:_SUBJECT_CHARS],
                        Message=json.dumps(facts, indent=2, ensure_ascii=False),
                    )
                elif target.webhook is not None:
                    _post(target.webhook, {"subject": subject, **facts})
            except Exception as error:
                # Whatever it is, the rollout is more important; a controller's own output is where it is looked for.
                name = target.sns or _host_of(target.webhook or "")
                reason = " ".join(str(error).split())
                print(f"warning: {name} was not told '{subject}': {reason}", file=sys.stderr)  # noqa: T201  (stderr)


def _host_of(webhook: str) -> str:
    """Name a webhook by its host: with Slack and others whoever knows the path may post."""
    found = _HOST.match(webhook)
    return f"the webhook of {found[1]}" if found else "a webhook"


def _post(url: str, document: Mapping[str, object]) -> None:
    if urlsplit(url).scheme not in ("http", "https"):
        raise ValueError("a webhook must begin with http:// or https://")
    request = urllib.request.Request(  # noqa: S310  (the scheme is checked)
        url,
        data=json.dumps(document, ensure_ascii=False).encode(),
        headers={"Content-Type": "application/json"},
        method="POST",
    )
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S):  # noqa: S310  (the scheme is checked)
            return
    except http.client.InvalidURL:
        # Its text holds the path.
        raise ValueError("its address holds a character that none can have, or a port that is no number") from None
