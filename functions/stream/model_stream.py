"""One answer as the model gives it: ConverseStream's events, each read when it comes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from functions.common.bedrock import BedrockRuntime, attempts, to_service_error
from functions.common.converse import converse_arguments, read_usage
from functions.common.deadline import CallExpiredError, Watch, call_within
from functions.common.errors import DeadlineError, UnavailableError
from functions.common.request import InferenceRequest
from functions.common.tiers import Tier, Usage


@dataclass(frozen=True)
class Piece:
    """What a model sends at once: a token, or a few."""

    text: str
    reasoning: bool = False


@dataclass
class Pace:
    """When the pieces came."""

    started_s: float = field(default_factory=time.monotonic)
    ttft_ms: float | None = None
    pieces: int = 0
    gaps_ms: list[float] = field(default_factory=list)
    _last_s: float = 0.0

    def count(self) -> None:
        """Note that a piece has come."""
        now_s = time.monotonic()
        if self.ttft_ms is None:
            self.ttft_ms = round((now_s - self.started_s) * 1e3, 3)
        else:
            self.gaps_ms.append((now_s - self._last_s) * 1e3)
        self._last_s = now_s
        self.pieces += 1

    @property
    def gap_p50_ms(self) -> float | None:
        """Median time between two pieces; None for fewer than two."""
        return round(median(self.gaps_ms), 3) if self.gaps_ms else None

    @property
    def gap_max_ms(self) -> float | None:
        """Longest time between two pieces; None for fewer than two."""
        return round(max(self.gaps_ms), 3) if self.gaps_ms else None


@dataclass
class ModelStream:
    """An answer that has begun: its first piece is there.

    Its methods raise ServiceErrors only.
    """

    first: Piece | None
    """None for an answer without any text."""
    model_attempts: int
    usage: Usage | None = None
    """Known at the end."""
    stop_reason: str | None = None
    _events: Iterator[Mapping[str, Any]] = field(default_factory=lambda: iter(()), repr=False)
    _source: Any = field(default=None, repr=False)

    def next(self) -> Piece | None:
        """Wait for the next piece; None where the answer is complete."""
        try:
            for event in self._events:
                if (piece := self._read(event)) is not None:
                    return piece
        except (ClientError, BotoCoreError) as error:
            raise to_service_error(error) from error
        except Exception as error:  # urllib3's: a cut connection; botocore's parser's: a garbled frame
            raise UnavailableError("the model's answer broke off", cause=type(error).__name__) from error
        if self.usage is None:
            raise UnavailableError("the model's answer broke off", cause="IncompleteStream")
        return None

    def close(self) -> None:
        """End the connection to the model, which stops it where it has not ended."""
        if self._source is not None:
            with suppress(Exception):
                self._source.close()

    def _read(self, event: Mapping[str, Any]) -> Piece | None:
        delta = event.get("contentBlockDelta", {}).get("delta")
        if delta is not None:
            if text := delta.get("text"):
                return Piece(text)
            if text := delta.get("reasoningContent", {}).get("text"):
                return Piece(text, reasoning=True)
        elif "messageStop" in event:
            self.stop_reason = event["messageStop"].get("stopReason")
        elif "metadata" in event:
            self.usage = read_usage(event["metadata"].get("usage", {}))
        return None


def open_stream(
    request: InferenceRequest, tier: Tier, client: BedrockRuntime, limit_s: float, pace: Pace, watch: Watch
) -> ModelStream:
    """Ask the model of ``tier`` and wait, at most ``limit_s`` seconds, for the first piece of its answer.

    Raises
    ------
    ThrottledError, DeadlineError, UnavailableError, UpstreamError
        As the model call failed.
    ServiceError
        What ``watch`` gave.
    """
    arguments = converse_arguments(request, tier)
    opened: list[ModelStream] = []

    def begin() -> ModelStream:
        response = client.converse_stream(**arguments)
        source = response["stream"]
        stream = ModelStream(None, attempts(response), _events=iter(source), _source=source)
        opened.append(stream)
        stream.first = stream.next()
        if stream.first is not None:
            pace.count()
        return stream

    try:
        return call_within(limit_s, begin, watch)
    except BaseException as error:
        for stream in opened:
            stream.close()
        if isinstance(error, CallExpiredError):
            raise DeadlineError("the model cannot answer in time", cause="DeadlineExceeded") from None
        if isinstance(error, (ClientError, BotoCoreError)):
            raise to_service_error(error) from error
        raise
