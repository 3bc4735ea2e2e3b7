"""The frames of an answer: Converse's events, or a model family's own chunks for InvokeModelWithResponseStream."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Protocol

from replay.cloud.bedrock.streaming.frames import event_frame

_FILLER: Final = (
    "The tail of a latency distribution is where users wait and where budgets are spent so measure it before you "
    "change what serves them and hold each forecast against what happened afterwards"
)
_WORDS: Final = tuple(_FILLER.split())


def word(index: int) -> str:
    """Give token ``index`` of every answer: plain filler, the same each time."""
    return _WORDS[index % len(_WORDS)] + " "


@dataclass(frozen=True)
class Ending:
    """What is known when an answer is complete."""

    stop_reason: str
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    ttft_ms: float
    total_ms: float
    optimized: bool
    tier: str


class Dialect(Protocol):
    """How one operation frames an answer. Each method gives whole frames."""

    def start(self) -> bytes:
        """Before the first token."""
        ...

    def reasoning(self, text: str) -> bytes:
        """Frame one reasoning delta."""
        ...

    def token(self, text: str) -> bytes:
        """Frame one delta of the answer."""
        ...

    def end(self, ending: Ending) -> bytes:
        """After the last token."""
        ...


class ConverseDialect:
    """The events of ConverseStream."""

    def start(self) -> bytes:
        """Give ``messageStart``."""
        return _cached_event("messageStart", '{"role": "assistant"}')

    def reasoning(self, text: str) -> bytes:
        """Give a ``contentBlockDelta`` of reasoning."""
        delta = {"contentBlockIndex": 0, "delta": {"reasoningContent": {"text": text}}}
        return _cached_event("contentBlockDelta", json.dumps(delta))

    def token(self, text: str) -> bytes:
        """Give a ``contentBlockDelta`` of text."""
        return _cached_event("contentBlockDelta", json.dumps({"contentBlockIndex": 0, "delta": {"text": text}}))

    def end(self, ending: Ending) -> bytes:
        """Give ``contentBlockStop``, ``messageStop`` and ``metadata``."""
        metadata: dict[str, Any] = {
            "usage": _usage(ending),
            "metrics": {"latencyMs": round(ending.total_ms)},
            "serviceTier": {"type": ending.tier},
        }
        if ending.optimized:
            metadata["performanceConfig"] = {"latency": "optimized"}
        return b"".join(
            (
                _cached_event("contentBlockStop", '{"contentBlockIndex": 0}'),
                event_frame("messageStop", {"stopReason": ending.stop_reason}),
                event_frame("metadata", metadata),
            )
        )


class _ChunkDialect:
    """What the model families share: JSON documents as base64 in ``chunk`` events."""

    def reasoning(self, text: str) -> bytes:  # noqa: ARG002  (the protocol's signature)
        """Leave reasoning out: the families frame it too differently to pretend to one way."""
        return b""

    @staticmethod
    def _metrics(ending: Ending) -> dict[str, Any]:
        return {
            "inputTokenCount": ending.input_tokens,
            "outputTokenCount": ending.output_tokens,
            "invocationLatency": round(ending.total_ms),
            "firstByteLatency": round(ending.ttft_ms),
            "cacheReadInputTokenCount": ending.cache_read_tokens,
            "cacheWriteInputTokenCount": ending.cache_write_tokens,
        }


class NovaDialect(_ChunkDialect):
    """The chunks of Amazon's Nova models: Converse's events, each wrapped."""

    def start(self) -> bytes:
        """Give ``messageStart``."""
        return _chunk({"messageStart": {"role": "assistant"}})

    def token(self, text: str) -> bytes:
        """Give ``contentBlockDelta``."""
        return _chunk({"contentBlockDelta": {"delta": {"text": text}, "contentBlockIndex": 0}})

    def end(self, ending: Ending) -> bytes:
        """Give the block's and the message's end, and the metrics."""
        return (
            _chunk({"contentBlockStop": {"contentBlockIndex": 0}})
            + _chunk({"messageStop": {"stopReason": ending.stop_reason}})
            + _chunk(
                {
                    "metadata": {"usage": _usage(ending)},
                    "amazon-bedrock-invocationMetrics": self._metrics(ending),
                }
            )
        )


class AnthropicDialect(_ChunkDialect):
    """The chunks of Anthropic's Messages API."""

    def start(self) -> bytes:
        """Give ``message_start`` and ``content_block_start``."""
        message = {"type": "message", "role": "assistant", "content": [], "usage": {"input_tokens": 0}}
        block = {"type": "text", "text": ""}
        return _chunk({"type": "message_start", "message": message}) + _chunk(
            {"type": "content_block_start", "index": 0, "content_block": block}
        )

    def token(self, text: str) -> bytes:
        """Give ``content_block_delta``."""
        return _chunk({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}})

    def end(self, ending: Ending) -> bytes:
        """Give the block's and the message's end, and the metrics."""
        return (
            _chunk({"type": "content_block_stop", "index": 0})
            + _chunk(
                {
                    "type": "message_delta",
                    "delta": {"stop_reason": ending.stop_reason},
                    "usage": {"output_tokens": ending.output_tokens},
                }
            )
            + _chunk({"type": "message_stop", "amazon-bedrock-invocationMetrics": self._metrics(ending)})
        )


class ChatDialect(_ChunkDialect):
    """The chunks of OpenAI's chat completions, which the other open models on Bedrock use."""

    def start(self) -> bytes:
        """Give the role."""
        return _chunk({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]})

    def token(self, text: str) -> bytes:
        """Give a delta of content."""
        return _chunk({"choices": [{"index": 0, "delta": {"content": text}}]})

    def end(self, ending: Ending) -> bytes:
        """Give the finish reason and the metrics."""
        reason = "length" if ending.stop_reason == "max_tokens" else "stop"
        return _chunk({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}) + _chunk(
            {"choices": [], "amazon-bedrock-invocationMetrics": self._metrics(ending)}
        )


def invoke_dialect(model_id: str) -> Dialect:
    """Give the dialect of a model's family."""
    if model_id.startswith("amazon.nova"):
        return NovaDialect()
    if model_id.startswith("anthropic."):
        return AnthropicDialect()
    return ChatDialect()


def _usage(ending: Ending) -> dict[str, int]:
    usage = {
        "inputTokens": ending.input_tokens,
        "outputTokens": ending.output_tokens,
        "totalTokens": (
            ending.input_tokens + ending.output_tokens + ending.cache_read_tokens + ending.cache_write_tokens
        ),
    }
    if ending.cache_read_tokens or ending.cache_write_tokens:
        usage["cacheReadInputTokens"] = ending.cache_read_tokens
        usage["cacheWriteInputTokens"] = ending.cache_write_tokens
    return usage


def _chunk(document: Mapping[str, Any]) -> bytes:
    return _cached_chunk(json.dumps(document))


@lru_cache(maxsize=2048)
def _cached_chunk(document: str) -> bytes:
    return event_frame("chunk", {"bytes": b64encode(document.encode()).decode()})


@lru_cache(maxsize=2048)
def _cached_event(event_type: str, document: str) -> bytes:
    return event_frame(event_type, json.loads(document))
