"""The Runtime API against a plain HTTP client: order, request ids, and what it refuses."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import pytest

from replay.cloud.lambda_plane.runtime_api import Event, RuntimeApi

BASE = "/2018-06-01/runtime"


def event(request_id: str = "r1") -> Event:
    return Event(request_id, b'{"a": 1}', 123, "arn:aws:lambda:::f", "Root=1")


@dataclass
class Session:
    api: RuntimeApi
    http: aiohttp.ClientSession

    def next(self) -> asyncio.Task[tuple[int, dict[str, str], bytes]]:
        async def get() -> tuple[int, dict[str, str], bytes]:
            async with self.http.get(f"{BASE}/invocation/next") as response:
                return response.status, dict(response.headers), await response.read()

        return asyncio.create_task(get())

    async def post(self, path: str, body: bytes = b"{}", **headers: str) -> int:
        async with self.http.post(f"{BASE}/{path}", data=body, headers=headers) as response:
            return response.status


@pytest.fixture
async def session() -> AsyncIterator[Session]:
    api = RuntimeApi()
    address = await api.open()
    timeout = aiohttp.ClientTimeout(total=5)
    async with aiohttp.ClientSession(f"http://{address}", timeout=timeout) as http:
        yield Session(api, http)
        await api.close()


async def test_an_event_goes_out_and_its_answer_comes_back(session: Session) -> None:
    asked = session.next()
    await session.api.polling.wait()
    due = session.api.deliver(event())
    status, headers, body = await asked
    assert (status, body) == (200, b'{"a": 1}')
    assert headers["Lambda-Runtime-Aws-Request-Id"] == "r1"
    assert headers["Lambda-Runtime-Deadline-Ms"] == "123"
    assert not session.api.polling.is_set()
    assert await session.post("invocation/r1/response", b"42") == 202
    answer = await due
    assert (answer.payload, answer.error_type) == (b"42", None)


async def test_only_the_answer_that_is_due_is_taken(session: Session) -> None:
    assert await session.post("invocation/r1/response") == 400  # nothing delivered yet
    asked = session.next()
    await session.api.polling.wait()
    due = session.api.deliver(event())
    await asked
    assert await session.post("invocation/other/response") == 400
    assert await session.post("invocation/r1/error", b'{"errorType": "E"}') == 202
    assert (await due).error_type == "E"
    assert await session.post("invocation/r1/response") == 400  # stale: answered already
    assert await session.post("invocation/r1/error") == 400


async def test_a_second_next_and_a_late_init_error_are_refused(session: Session) -> None:
    asked = session.next()
    await session.api.polling.wait()
    assert (await session.next())[0] == 403
    session.api.deliver(event())
    await asked
    assert await session.post("init/error") == 403


async def test_an_init_error_is_told_by_its_header(session: Session) -> None:
    header = {"Lambda-Runtime-Function-Error-Type": "Runtime.X"}
    assert await session.post("init/error", b'{"errorMessage": "m"}', **header) == 202
    assert (await session.api.init_error).error_type == "Runtime.X"


async def test_an_unknown_path_is_not_found(session: Session) -> None:
    assert await session.post("invocation/r1/else") == 404
    assert await session.post("invocation/next") == 404


async def test_delivering_to_a_runtime_that_does_not_wait_is_our_mistake(session: Session) -> None:
    with pytest.raises(RuntimeError, match="r1"):
        session.api.deliver(event())


async def test_closing_does_not_wait_for_a_request_that_is_under_way() -> None:
    api = RuntimeApi()
    address = await api.open()
    host, _, port = address.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"POST {BASE}/invocation/r/response HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\nhalf".encode())
    await asyncio.sleep(0.05)
    async with asyncio.timeout(3):
        await api.close()
    assert await reader.read() in (b"", b"HTTP/1.1 400 Bad Request\r\n")
    writer.close()


async def test_giving_up_while_it_opens_leaves_no_port() -> None:
    for turns in range(9):
        api = RuntimeApi()
        opening = asyncio.create_task(api.open())
        for _ in range(turns):
            await asyncio.sleep(0)
        opening.cancel()
        await asyncio.gather(opening, return_exceptions=True)
        await api.close()
    del api, opening
    gc.collect()  # a socket left open would warn here, and a warning is an error
