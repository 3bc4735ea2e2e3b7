"""A streamed answer and its caller, who may leave: what the function is told then."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import ClientSession, web

from replay.cloud.gateway.streamed_answer import StreamedAnswer
from replay.cloud.lambda_plane.response_sink import HTTP_CONTENT_TYPE, PRELUDE_END, CallerGoneError

HEAD = json.dumps(
    {
        "statusCode": 201,
        "headers": {"x-a": "1", "content-length": "9", "connection": "close"},
        "cookies": ["a=1", "b=2"],
    }
).encode()


async def serve(handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]) -> tuple[web.ServerRunner, str]:
    runner = web.ServerRunner(web.Server(handler))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    return runner, f"http://{host}:{port}/"


async def test_status_headers_and_cookies_come_first_however_they_are_cut() -> None:
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        answer = StreamedAnswer(request, {"x-b": "2"}, stops=True)
        answer.begin(HTTP_CONTENT_TYPE)
        for byte in HEAD + PRELUDE_END:
            await answer.write(bytes([byte]))
        await answer.write(b"body")
        return await answer.finish(whole=True)

    runner, url = await serve(handler)
    async with ClientSession() as session, session.get(url) as got:
        assert (got.status, await got.read()) == (201, b"body")
        assert (got.headers["x-a"], got.headers["x-b"]) == ("1", "2")
        assert got.headers.getall("Set-Cookie") == ["a=1", "b=2"]
        assert "Content-Length" not in got.headers
    await runner.cleanup()


@pytest.mark.parametrize(
    "head",
    [b"no json", b'{"statusCode": 99}', b"[]", b'{"statusCode": "x"}', b'{"headers": {"x-a": "two\\nlines"}}'],
)
async def test_what_is_no_head_is_a_problem(head: bytes) -> None:
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        answer = StreamedAnswer(request, {}, stops=True)
        answer.begin(HTTP_CONTENT_TYPE)
        with pytest.raises(CallerGoneError):
            await answer.write(head + PRELUDE_END + b"body")
        return web.Response(text=str(answer.problem))

    runner, url = await serve(handler)
    async with ClientSession() as session, session.get(url) as got:
        assert "must be" in await got.text() or "no HTTP status" in await got.text()
    await runner.cleanup()


@pytest.mark.parametrize("stops", [True, False])
async def test_a_caller_who_leaves_stops_the_function_where_that_is_wanted(stops: bool) -> None:
    outcome: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    left = asyncio.Event()

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        answer = StreamedAnswer(request, {}, stops=stops)
        told: list[str] = []
        answer.stop = lambda: told.append("stop")
        answer.begin("application/octet-stream")
        await answer.write(b"first")
        await left.wait()
        async with asyncio.timeout(20):
            while not answer.left:
                answer.look()
                await asyncio.sleep(0.01)
        try:
            await answer.write(b"to nobody")
        except CallerGoneError:
            told.append("gone")
        outcome.set_result(" ".join(told))
        return await answer.finish(whole=True)

    runner, url = await serve(handler)
    async with ClientSession() as session:
        got = await session.get(url)
        assert await got.content.readany() == b"first"
        got.close()
        left.set()
        assert await outcome == ("stop gone" if stops else "")
    await runner.cleanup()
