"""Frames as botocore's own parser reads them."""

from __future__ import annotations

import json

import pytest
from botocore.eventstream import ChecksumMismatch, EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from replay.cloud.bedrock.streaming.frames import encode_frame, event_frame, exception_frame, with_broken_checksum

HEADER = st.text(min_size=1, max_size=40).filter(lambda text: 0 < len(text.encode()) < 128)


def parse(data: bytes) -> list[tuple[dict[str, str], bytes]]:
    buffer = EventStreamBuffer()
    buffer.add_data(data)
    return [(event.headers, event.payload) for event in buffer]


@given(st.dictionaries(HEADER, st.text(max_size=200), max_size=5), st.binary(max_size=2000))
def test_a_frame_comes_back_as_it_was(headers: dict[str, str], payload: bytes) -> None:
    assert parse(encode_frame(headers, payload)) == [(headers, payload)]


@given(st.lists(st.binary(max_size=100), min_size=1, max_size=5))
def test_frames_in_a_row_stay_apart(payloads: list[bytes]) -> None:
    data = b"".join(encode_frame({":event-type": "chunk"}, payload) for payload in payloads)
    assert [payload for _, payload in parse(data)] == payloads


def test_events_and_exceptions_carry_their_types() -> None:
    (headers, payload), (error, _) = parse(
        event_frame("messageStart", {"role": "assistant"}) + exception_frame("throttlingException", "slow down")
    )
    assert (headers[":message-type"], headers[":event-type"]) == ("event", "messageStart")
    assert json.loads(payload) == {"role": "assistant"}
    assert (error[":message-type"], error[":exception-type"]) == ("exception", "throttlingException")


def test_a_broken_checksum_is_one() -> None:
    with pytest.raises(ChecksumMismatch):
        parse(with_broken_checksum(event_frame("messageStop", {"stopReason": "end_turn"})))
