"""The driver against real servers on loopback: time counts from the intended start, and nothing is waited for."""

from __future__ import annotations

import asyncio
import json
import os
import re
import resource
import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest
from aiohttp import web

from replay.api_headers import api_headers, headers_to
from replay.drive import (
    BUILT_IN_PROMPTS,
    HttpTarget,
    LambdaTarget,
    Lateness,
    Progress,
    Reply,
    drive,
    drive_async,
    parse_target,
    read_prompts,
)
from replay.drive.targets import status_of
from replay.errors import CloudError, InputError
from replay.function_urls import is_function_url

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@pytest.fixture
async def serve() -> AsyncIterator[Callable[[Handler], Awaitable[str]]]:
    """Start a real HTTP server on a free port for a handler of POST requests; give its address."""
    runners: list[web.AppRunner] = []

    async def start(handler: Handler) -> str:
        app = web.Application()
        app.router.add_post("/{path:.*}", handler)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        runners.append(runner)
        return f"http://127.0.0.1:{runner.addresses[0][1]}"

    yield start
    for runner in runners:
        await runner.cleanup()


async def test_measures_each_request_and_keeps_its_id(serve: Callable[[Handler], Awaitable[str]]) -> None:
    seen: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        body = await request.json()
        seen.append(body["prompt"])
        request_id = f"id-{len(seen)}"
        await asyncio.sleep(0.05)
        return web.json_response({"response": "…"}, headers={"x-request-id": request_id})

    progress: list[Progress] = []
    arrivals_s = np.linspace(0.0, 0.4, 30)
    url = await serve(answer)
    result = await drive_async(HttpTarget(url + "/genai"), arrivals_s, variant="baseline", progress=progress.append)

    frame = result.trace.frame
    assert result.status_counts() == {"ok": 30}
    assert frame["arrival_s"].to_list() == pytest.approx(arrivals_s.tolist())
    assert frame["client_ms"].min() >= 50.0  # type: ignore[operator]
    assert frame["client_ms"].median() < 150.0  # type: ignore[operator]
    assert frame["variant"].unique().to_list() == ["baseline"]
    assert sorted(frame["request_id"].to_list()) == sorted(f"id-{number}" for number in range(1, 31))
    assert set(seen) <= set(BUILT_IN_PROMPTS)
    assert len(set(seen)) > 3
    assert 0.0 <= result.lateness.p50_ms <= result.lateness.p99_ms <= result.lateness.max_ms
    assert (progress[-1].sent, progress[-1].ended, progress[-1].planned) == (30, 30, 30)
    assert json.dumps(result.to_json(), allow_nan=False)


async def test_a_stalled_server_does_not_stop_the_load(serve: Callable[[Handler], Awaitable[str]]) -> None:
    """Coordinated omission: the server answers nobody before the twentieth request, which a closed loop never sends."""
    released = asyncio.Event()
    arrived = 0

    async def answer(request: web.Request) -> web.Response:
        nonlocal arrived
        await request.read()
        arrived += 1
        if arrived == 20:
            asyncio.get_running_loop().call_later(0.3, released.set)
        await released.wait()
        return web.Response()

    result = await drive_async(HttpTarget(await serve(answer)), np.linspace(0.0, 0.4, 20), deadline_s=5.0)
    assert result.status_counts() == {"ok": 20}
    client_ms = result.trace.frame["client_ms"].to_numpy()
    # Meant to leave over 0.4 s and all released together: the wait falls by 400 ms from the first to the last.
    assert client_ms[-1] >= 295.0
    assert client_ms[0] - client_ms[-1] == pytest.approx(400.0, abs=100.0)


async def test_latency_counts_from_the_intended_start() -> None:
    """A driver held up for 200 ms owns up to it: in the latency and in its lateness."""

    class Blocking:
        label = "blocking"
        calls = 0

        async def open(self) -> None: ...

        async def close(self) -> None: ...

        async def send(self, prompt: str) -> Reply:
            self.calls += 1
            if self.calls == 1:
                threading.Event().wait(0.2)  # holds the event loop, as a slow collector or a busy core would
            return Reply("ok")

    result = await drive_async(Blocking(), np.array([0.0, 0.01, 0.02, 0.5]))
    client_ms = result.trace.frame["client_ms"].to_numpy()
    assert client_ms[1] > 150.0
    assert client_ms[3] < 50.0
    assert result.lateness.max_ms > 150.0
    assert "the driver was late" in result.warnings()[0]


@pytest.mark.parametrize(
    ("http_status", "waited_s", "status"),
    [
        (200, 0.1, "ok"),
        (204, 0.1, "ok"),
        (302, 0.1, "error"),
        (400, 0.1, "rejected"),
        (403, 0.1, "rejected"),
        (429, 0.1, "throttled"),
        (500, 0.1, "error"),
        (502, 0.1, "error"),
        (503, 0.1, "error"),
        (503, 30.0, "timeout"),
        (504, 30.0, "timeout"),
    ],
)
async def test_statuses(
    serve: Callable[[Handler], Awaitable[str]], http_status: int, waited_s: float, status: str
) -> None:
    assert status_of(http_status, waited_s) == status
    if waited_s > 1:
        return

    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=http_status)

    result = await drive_async(HttpTarget(await serve(answer)), np.array([0.0]))
    assert result.status_counts() == {status: 1}
    assert result.failures == ({} if status == "ok" else {f"HTTP {http_status}": 1})


async def test_a_deadline_ends_a_request(serve: Callable[[Handler], Awaitable[str]]) -> None:
    async def answer(request: web.Request) -> web.Response:
        await asyncio.sleep(5.0)
        return web.Response()

    result = await drive_async(HttpTarget(await serve(answer)), np.array([0.0, 0.01]), deadline_s=0.2)
    assert result.status_counts() == {"timeout": 2}
    assert result.trace.frame["client_ms"].to_list() == pytest.approx([200.0, 200.0], abs=40.0)
    assert result.failures == {"no answer within 0.2 s": 2}


async def test_a_lost_connection_is_an_error(serve: Callable[[Handler], Awaitable[str]]) -> None:
    async def answer(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    result = await drive_async(HttpTarget(await serve(answer)), np.array([0.0]))
    assert result.status_counts() == {"error": 1}


async def test_what_cannot_be_sent_is_counted(serve: Callable[[Handler], Awaitable[str]]) -> None:
    async def answer(request: web.Request) -> web.Response:
        await asyncio.sleep(0.3)
        return web.Response()

    result = await drive_async(HttpTarget(await serve(answer)), np.linspace(0, 0.1, 10), max_in_flight=3)
    assert (len(result.trace), result.unsent) == (3, 7)
    assert "7 of 10 requests were not sent" in " ".join(result.warnings())


async def test_open_files_do_not_bound_what_is_in_flight(serve: Callable[[Handler], Awaitable[str]]) -> None:
    """A soft limit of the system's below it, as is usual, is raised; it is this machine's and not the target's."""

    async def answer(request: web.Request) -> web.Response:
        await asyncio.sleep(0.5)
        return web.Response()

    url = await serve(answer)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(list(Path("/dev/fd").iterdir())) + 40, before[1]))
    try:
        result = await drive_async(HttpTarget(url), np.linspace(0.0, 0.1, 100))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert result.status_counts() == {"ok": 100}


async def test_connections_are_used_again(serve: Callable[[Handler], Awaitable[str]]) -> None:
    peers: set[object] = set()

    async def answer(request: web.Request) -> web.Response:
        assert request.transport is not None
        peers.add(request.transport.get_extra_info("peername"))
        return web.Response()

    await drive_async(HttpTarget(await serve(answer)), np.linspace(0.0, 0.5, 10))
    assert len(peers) == 1


def test_nobody_there_ends_early(free_port: int) -> None:
    target = HttpTarget(f"http://127.0.0.1:{free_port}/genai")
    with pytest.raises(CloudError, match=rf"none of \d+ requests reached http://127.0.0.1:{free_port}.*is it up"):
        drive(target, np.linspace(0.0, 60.0, 6_000))


def test_ctrl_c_keeps_what_was_measured() -> None:
    class Quick:
        label = "quick"
        sent = 0

        async def open(self) -> None: ...

        async def close(self) -> None: ...

        async def send(self, prompt: str) -> Reply:
            self.sent += 1
            if self.sent == 20:
                os.kill(os.getpid(), signal.SIGINT)
            return Reply("ok")

    result = drive(Quick(), np.linspace(0.0, 30.0, 3_000))
    assert result.interrupted
    assert 5 < len(result.trace) < 100
    assert "interrupted" in result.warnings()[-1]


def test_ctrl_c_before_any_answer_is_an_interrupt() -> None:
    class Silent:
        label = "silent"

        async def open(self) -> None: ...

        async def close(self) -> None: ...

        async def send(self, prompt: str) -> Reply:
            asyncio.get_running_loop().call_later(0.1, os.kill, os.getpid(), signal.SIGINT)
            await asyncio.sleep(30)
            return Reply("ok")

    with pytest.raises(KeyboardInterrupt):
        drive(Silent(), np.array([0.0, 10.0]))


def test_a_signal_amid_the_requests_is_a_cancellation() -> None:
    """With a handler of the program's own that raises, and requests in whose tasks it would be raised."""
    calls: list[int] = []

    def stop(number: int, _frame: object) -> None:
        calls.append(number)
        raise KeyboardInterrupt

    class Busy:
        label = "busy"

        async def open(self) -> None: ...

        async def close(self) -> None: ...

        async def send(self, prompt: str) -> Reply:
            if prompt == "now":
                signal.raise_signal(signal.SIGTERM)
                signal.raise_signal(signal.SIGTERM)
            await asyncio.sleep(0.01)
            return Reply("ok")

    before = signal.signal(signal.SIGTERM, stop)
    try:
        result = drive(Busy(), np.linspace(0.0, 30.0, 600), prompts=["now", *["later"] * 20])
        assert signal.getsignal(signal.SIGTERM) is stop
    finally:
        signal.signal(signal.SIGTERM, before)
    assert result.interrupted
    assert set(calls) == {signal.SIGTERM}


async def test_a_defect_in_a_target_is_not_a_slow_network() -> None:
    class Broken:
        label = "broken"

        async def open(self) -> None: ...

        async def close(self) -> None: ...

        async def send(self, prompt: str) -> Reply:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await drive_async(Broken(), np.array([0.0, 0.1]))


async def test_one_seed_one_order_of_prompts() -> None:
    class Listening:
        label = "listening"

        def __init__(self) -> None:
            self.heard: list[str] = []

        async def open(self) -> None: ...

        async def close(self) -> None: ...

        async def send(self, prompt: str) -> Reply:
            self.heard.append(prompt)
            return Reply("ok")

    first, second, other = Listening(), Listening(), Listening()
    for target, seed in ((first, 1), (second, 1), (other, 2)):
        await drive_async(target, np.linspace(0.0, 0.1, 20), seed=seed)
    assert first.heard == second.heard
    assert first.heard != other.heard


@pytest.mark.parametrize(
    ("arrivals_s", "options", "why"),
    [
        ([], {}, "holds no request"),
        ([1.0, 0.5], {}, "ascending"),
        ([-1.0], {}, "ascending"),
        ([0.0], {"prompts": ()}, "prompts is empty"),
        ([0.0], {"deadline_s": 0.0}, "deadline_s=0.0"),
        ([0.0], {"deadline_s": float("nan")}, "deadline_s=nan"),
        ([0.0], {"max_in_flight": 0}, "max_in_flight=0"),
    ],
)
def test_refuses(arrivals_s: list[float], options: dict[str, object], why: str) -> None:
    with pytest.raises(InputError, match=why):
        drive(HttpTarget("http://127.0.0.1:1"), np.array(arrivals_s), **options)  # type: ignore[arg-type]


class TestLambdaTarget:
    """Signed invocations, against a server that answers as Lambda's API does."""

    @pytest.fixture(autouse=True)
    def credentials(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")

    @staticmethod
    async def invoke(
        serve: Callable[[Handler], Awaitable[str]], payload: object, *, status: int = 200, **headers: str
    ) -> tuple[Reply, web.Request]:
        requests: list[web.Request] = []

        async def answer(request: web.Request) -> web.Response:
            requests.append(request)
            await request.read()
            return web.json_response(
                payload,
                status=status,
                headers={"x-amzn-RequestId": "r-1"} | {k.replace("_", "-"): v for k, v in headers.items()},
            )

        target = LambdaTarget("genai", "optimized", "eu-west-1", await serve(answer))
        await target.open()
        try:
            return await target.send("hello"), requests[0]
        finally:
            await target.close()

    async def test_signs_and_names_the_qualifier(self, serve: Callable[[Handler], Awaitable[str]]) -> None:
        reply, request = await self.invoke(serve, {"statusCode": 200, "body": "{}"})
        assert reply == Reply("ok", "r-1")
        assert request.path == "/2015-03-31/functions/genai/invocations"
        assert request.query == {"Qualifier": "optimized"}
        assert "/eu-west-1/lambda/aws4_request" in request.headers["Authorization"]

    @pytest.mark.parametrize(
        ("payload", "headers", "status", "expected"),
        [
            ({"statusCode": 429}, {}, 200, Reply("throttled", "r-1", failure="HTTP 429")),
            ({"statusCode": 504}, {}, 200, Reply("timeout", "r-1", failure="HTTP 504")),
            ({"answer": 1}, {}, 200, Reply("ok", "r-1")),
            (
                {"errorMessage": "2026 r-1 Task timed out after 3.00 seconds"},
                {"X_Amz_Function_Error": "Unhandled"},
                200,
                Reply("timeout", "r-1", failure="Lambda time-out"),
            ),
            (
                {"errorMessage": "x", "errorType": "KeyError"},
                {"X_Amz_Function_Error": "Unhandled"},
                200,
                Reply("error", "r-1", failure="function error KeyError"),
            ),
            (
                {"Reason": "ConcurrentInvocationLimitExceeded"},
                {"x_amzn_ErrorType": "TooManyRequestsException:http://internal"},
                429,
                Reply("throttled", "r-1", failure="HTTP 429 TooManyRequestsException"),
            ),
        ],
    )
    async def test_reads_the_answer(
        self,
        serve: Callable[[Handler], Awaitable[str]],
        payload: object,
        headers: dict[str, str],
        status: int,
        expected: Reply,
    ) -> None:
        reply, _ = await self.invoke(serve, payload, status=status, **headers)
        assert reply == expected

    async def test_no_region_is_said(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("AWS_REGION", raising=False)
        monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
        monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
        with pytest.raises(InputError, match="region") as caught:
            await LambdaTarget("genai").open()
        # The variable that the message names is one that the SDK reads.
        named = re.search(r"set ([A-Z_]+)", str(caught.value))
        assert named is not None
        monkeypatch.setenv(named[1], "eu-west-1")
        target = LambdaTarget("genai")
        await target.open()
        await target.close()

    @pytest.mark.parametrize("target", ["lambda:genai", "https://abc.lambda-url.us-east-1.on.aws/stream"])
    async def test_credentials_that_cannot_be_had_are_one_line(
        self, target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An SSO profile without a sign-in: the SDK finds the profile, and fails when it needs the keys."""
        (tmp_path / "config").write_text(
            "[profile work]\nregion = us-east-1\nsso_session = s\nsso_account_id = 123456789012\nsso_role_name = r\n"
            "[sso-session s]\nsso_region = us-east-1\nsso_start_url = https://example.awsapps.com/start\n"
        )
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("AWS_PROFILE", "work")
        with pytest.raises(CloudError, match=r"^(lambda:genai|https://abc.*): no AWS credentials to be had: .*Token"):
            await parse_target(target).open()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://127.0.0.1:5/genai", HttpTarget("http://127.0.0.1:5/genai")),
        ("lambda:genai:live", LambdaTarget("genai", "live")),
        ("lambda:genai", LambdaTarget("genai")),
        (
            "lambda:arn:aws:lambda:us-east-1:1:function:genai:live",
            LambdaTarget("arn:aws:lambda:us-east-1:1:function:genai:live"),
        ),
    ],
)
def test_targets_are_read(text: str, expected: object) -> None:
    assert parse_target(text) == expected


async def test_an_api_that_wants_a_key_or_a_token_is_sent_it(serve: Callable[[Handler], Awaitable[str]]) -> None:
    seen: list[tuple[str | None, str | None]] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append((request.headers.get("x-api-key"), request.headers.get("Authorization")))
        return web.json_response({"response": "ok"})

    url = await serve(answer)
    for environment in ({"TAILCAST_API_KEY": "tc_a_b\n"}, {"TAILCAST_API_TOKEN": "t0ken"}, {}):
        target = parse_target(url, headers=api_headers(environment))
        await drive_async(target, np.array([0.0]))
        assert not any(secret.strip() in repr(target) for secret in environment.values())
    assert seen == [("tc_a_b", None), (None, "Bearer t0ken"), (None, None)]
    secret = {"x-api-key": "tc_a_b"}
    assert headers_to("https://abc.lambda-url.us-east-1.on.aws/stream", secret) == {}
    assert headers_to("http://127.0.0.1:5/_aws/lambda-url/abc/stream", secret) == {}
    for url in ("http://api.example.com/genai", "http://10.0.0.1/_aws/lambda-url/abc"):
        with pytest.raises(InputError, match="in the clear; use https"):
            parse_target(url, headers=secret)
        assert not is_function_url(url)
    with pytest.raises(InputError, match=r"^TAILCAST_API_KEY: holds characters that no header takes"):
        api_headers({"TAILCAST_API_KEY": "tc_a\nb"})


@pytest.mark.parametrize("text", ["", "genai", "ftp://x", "lambda:", "lambda:a:", "lambda:a:b:c", "http://"])
def test_targets_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="target"):
        parse_target(text)


class TestPrompts:
    def test_lines(self, tmp_path: Path) -> None:
        path = tmp_path / "prompts.txt"
        path.write_text("one\n\n  two \n", encoding="utf-8")
        assert read_prompts(path) == ("one", "two")

    def test_json_lines(self, tmp_path: Path) -> None:
        path = tmp_path / "prompts.jsonl"
        path.write_text('{"prompt": "one\\ntwo"}\n', encoding="utf-8")
        assert read_prompts(path) == ("one\ntwo",)

    @pytest.mark.parametrize(("name", "content"), [("a.txt", "one\n"), ("a.jsonl", '{"prompt": "one"}\n')])
    def test_a_byte_order_mark_is_no_part_of_a_prompt(self, tmp_path: Path, name: str, content: str) -> None:
        path = tmp_path / name
        path.write_text(content, encoding="utf-8-sig")
        assert read_prompts(path) == ("one",)

    def test_only_line_ends_end_a_line(self, tmp_path: Path) -> None:
        texts = ("one\u2028two", "three\x85four\x0cfive")
        plain, json_lines = tmp_path / "a.txt", tmp_path / "a.jsonl"
        plain.write_text("\r\n".join(texts), encoding="utf-8", newline="")
        json_lines.write_text(
            "\n".join(json.dumps({"prompt": text}, ensure_ascii=False) for text in texts), encoding="utf-8"
        )
        assert read_prompts(plain) == texts
        assert read_prompts(json_lines) == texts

    @pytest.mark.parametrize(
        ("name", "content", "why"),
        [
            ("a.txt", "\n", "no prompt in it"),
            ("a.jsonl", "{}\n", "line 1: the key 'prompt'"),
            ("a.jsonl", '{"prompt": "x"}\nnope\n', "line 2: not JSON"),
        ],
    )
    def test_refused(self, tmp_path: Path, name: str, content: str, why: str) -> None:
        path = tmp_path / name
        path.write_text(content, encoding="utf-8")
        with pytest.raises(InputError, match=why):
            read_prompts(path)

    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="no such prompt file"):
            read_prompts(tmp_path / "none.txt")


def test_lateness_of_nothing_is_unknown() -> None:
    assert np.isnan(Lateness.of(np.empty(0)).p99_ms)
