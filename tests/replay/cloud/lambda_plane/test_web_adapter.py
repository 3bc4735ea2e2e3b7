"""HTTP applications behind the stand-in for Lambda Web Adapter: what arrives, what is streamed, and what breaks."""

from __future__ import annotations

import asyncio
import io
import json
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Callable
from typing import Any

from replay.cloud.lambda_plane.invocation import Invocation
from replay.cloud.lambda_plane.ports import FunctionVersion
from replay.cloud.lambda_plane.response_sink import HTTP_CONTENT_TYPE, PRELUDE_END, CallerGoneError
from tests.replay.cloud.lambda_plane.conftest import World

LAYER = "arn:aws:lambda:us-east-1:753240598075:layer:LambdaAdapterLayerArm64:26"
STREAMING = {
    "AWS_LAMBDA_EXEC_WRAPPER": "/opt/bootstrap",
    "AWS_LWA_INVOKE_MODE": "response_stream",
    "AWS_LWA_READINESS_CHECK_PATH": "/ready",
}
RUN = '#!/bin/sh\ncd "$LAMBDA_TASK_ROOT" && exec python3 -sSB app.py\n'
APP = """
    import json, os, time
    from http.server import BaseHTTPRequestHandler, HTTPServer

    class App(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def chunk(self, data):
            self.wfile.write(b"%x\\r\\n%s\\r\\n" % (len(data), data))

        def do_GET(self):
            self.send_response(200)
            self.send_header("content-length", "0")
            self.send_header("connection", "close")
            self.end_headers()

        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            command = json.loads(body)
            if "exit" in command:
                os._exit(3)
            self.send_response(command.get("status", 200))
            self.send_header("content-type", "text/plain")
            self.send_header("set-cookie", "a=1")
            self.send_header("set-cookie", "b=2")
            self.send_header("transfer-encoding", "chunked")
            self.send_header("connection", "close")
            self.end_headers()
            if command.get("echo"):
                told = {"path": self.path, "method": self.command, "headers": dict(self.headers), "body": command}
                self.chunk(json.dumps(told).encode())
            self.chunk(b"first ")
            try:
                for _ in range(command.get("ticks", 0)):
                    time.sleep(0.02)
                    self.chunk(b"tick ")
                if "sleep_s" in command:
                    time.sleep(command["sleep_s"])
            except OSError:
                print("stopped", flush=True)
                return
            if "cut" in command:
                return
            self.chunk(b"last")
            self.wfile.write(b"0\\r\\n\\r\\n")

        def log_message(self, *_):
            pass

    class Server(HTTPServer):
        def server_bind(self):
            self.socket.bind(self.server_address)

    server = Server(("127.0.0.1", int(os.environ["AWS_LWA_PORT"])), App)
    server.serve_forever()
"""


class Sink:
    """Takes a response as a caller does; may leave."""

    def __init__(self, leave_after: int | None = None) -> None:
        self.stop: Callable[[], None] | None = None
        self.content_type = ""
        self.pieces: list[bytes] = []
        self.arrived = asyncio.Event()
        self._leave_after = leave_after

    def begin(self, content_type: str) -> None:
        self.content_type = content_type

    async def write(self, piece: bytes) -> None:
        if self._leave_after is not None and len(self.pieces) >= self._leave_after:
            raise CallerGoneError
        self.pieces.append(piece)
        self.arrived.set()

    @property
    def prelude(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(b"".join(self.pieces).partition(PRELUDE_END)[0])
        return found

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces).partition(PRELUDE_END)[2]


def package(app: str = APP, run: str = RUN) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content, mode in (("app.py", textwrap.dedent(app), 0o644), ("run.sh", run, 0o755)):
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            archive.writestr(info, content)
    return buffer.getvalue()


def deploy(world: World, code_zip: bytes | None = None, **fields: Any) -> FunctionVersion:
    fields = {"handler": "run.sh", "layers": (LAYER,), "environment": STREAMING, "memory_mb": 256, **fields}
    return world.catalog.deploy("app", "", code_zip=code_zip or package(), **fields)


def event(command: dict[str, Any], path: str = "/stream") -> bytes:
    return json.dumps(
        {
            "version": "2.0",
            "rawPath": path,
            "rawQueryString": "a=1&b=%20",
            "headers": {"content-type": "application/json", "x-own": "é", "host": "x.lambda-url.us-east-1.on.aws"},
            "cookies": ["k=v"],
            "requestContext": {"http": {"method": "POST"}, "requestId": "outer"},
            "body": json.dumps(command),
            "isBase64Encoded": False,
        }
    ).encode()


async def ask(world: World, command: dict[str, Any], sink: Sink | None = None) -> Invocation:
    return await world.plane.invoke("app", None, event(command), sink=sink)


async def test_a_response_arrives_while_it_is_made(world: World) -> None:
    deploy(world)
    sink = Sink()
    asked = asyncio.create_task(ask(world, {"sleep_s": 1.0}, sink))
    async with asyncio.timeout(30):
        await sink.arrived.wait()
    assert not asked.done()
    assert sink.body == b"first "
    invocation = await asked
    assert (invocation.function_error, invocation.payload) == (None, b"")
    assert sink.body == b"first last"
    assert sink.content_type == HTTP_CONTENT_TYPE
    assert (sink.prelude["statusCode"], sink.prelude["cookies"]) == (200, ["a=1", "b=2"])
    assert sink.prelude["headers"]["content-type"] == "text/plain"
    await world.plane.flush()
    report = world.logs.reports("app")[0]
    assert "Init Duration" in report
    assert float(report.split("Duration: ")[1].split(" ms")[0]) >= 1000


async def test_the_application_is_told_what_the_adapter_tells(world: World) -> None:
    deploy(world)
    sink = Sink()
    invocation = await ask(world, {"echo": True}, sink)
    told = json.loads(sink.body.removesuffix(b"first last"))
    headers = {name.lower(): value for name, value in told["headers"].items()}
    assert (told["method"], told["path"]) == ("POST", "/stream?a=1&b=%20")
    assert headers["cookie"] == "k=v"
    assert headers["host"] == "x.lambda-url.us-east-1.on.aws"
    context = json.loads(headers["x-amzn-lambda-context"])
    assert context["request_id"] == invocation.request_id
    assert context["deadline"] > 1_700_000_000_000
    assert context["env_config"]["function_name"] == "app"
    assert json.loads(headers["x-amzn-request-context"])["requestId"] == "outer"


async def test_without_anybody_who_streams_the_response_is_gathered_as_it_was_sent(world: World) -> None:
    deploy(world)
    invocation = await ask(world, {"ticks": 2})
    prelude, _, body = invocation.payload.partition(PRELUDE_END)
    assert json.loads(prelude)["statusCode"] == 200
    assert body == b"first tick tick last"


async def test_the_buffered_mode_answers_a_document(world: World) -> None:
    deploy(world, environment={**STREAMING, "AWS_LWA_INVOKE_MODE": "buffered"})
    answer = json.loads((await ask(world, {"status": 418}, Sink())).payload)
    assert (answer["statusCode"], answer["body"], answer["isBase64Encoded"]) == (418, "first last", False)
    assert answer["cookies"] == ["a=1", "b=2"]


async def test_a_caller_who_leaves_ends_the_application_s_response(world: World) -> None:
    deploy(world)
    invocation = await ask(world, {"ticks": 1_000}, Sink(leave_after=3))
    assert invocation.function_error is None
    sink = Sink()
    await ask(world, {}, sink)  # by the same environment, which takes it once it has stopped
    assert sink.body == b"first last"
    await world.plane.flush()
    assert "stopped" in "".join(world.logs.lines("app"))
    assert len(world.logs.of("app")) == 1


async def test_a_caller_who_is_known_to_have_left_ends_a_silent_response(world: World) -> None:
    deploy(world, package(APP.replace('time.sleep(command["sleep_s"])', "self.rfile.read(1)")))
    sink = Sink()
    asked = asyncio.create_task(ask(world, {"sleep_s": 1}, sink))
    async with asyncio.timeout(30):
        await sink.arrived.wait()
        assert sink.stop is not None
        sink.stop()
        assert (await asked).function_error is None


async def test_a_response_that_breaks_off_is_a_failure_in_its_trailers(world: World) -> None:
    deploy(world)
    for sink in (Sink(), None):
        invocation = await ask(world, {"cut": True}, sink)
        assert invocation.function_error == "Unhandled"
        assert json.loads(invocation.payload)["errorType"] == "WebAdapter.AppError"
    await world.plane.flush()
    assert world.metrics.values("Errors", FunctionName="app") == [1.0, 1.0]


async def test_an_application_that_ends_ends_its_environment(world: World) -> None:
    deploy(world)
    invocation = await ask(world, {"exit": True}, Sink())
    assert json.loads(invocation.payload)["errorType"] == "Runtime.ExitError"
    sink = Sink()
    await ask(world, {}, sink)
    assert sink.body == b"first last"


async def test_the_time_out_ends_a_stream(world: World) -> None:
    deploy(world, timeout_s=3.0)
    sink = Sink()
    invocation = await ask(world, {"sleep_s": 30}, sink)
    assert b"Task timed out after 3.00 seconds" in invocation.payload
    assert sink.body == b"first "
    await world.plane.flush()
    assert "Status: timeout" in world.logs.reports("app")[0]


async def test_what_cannot_start_says_why(world: World) -> None:
    deploy(world, layers=())
    assert b"attach the layer" in (await ask(world, {}, Sink())).payload
    deploy(world, environment={"AWS_LAMBDA_EXEC_WRAPPER": "/opt/other"})
    assert b"/opt/other" in (await ask(world, {}, Sink())).payload
    deploy(world, handler="missing.sh")
    assert json.loads((await ask(world, {}, Sink())).payload)["errorType"] == "Runtime.ExitError"
    await world.plane.flush()
    assert "missing.sh: No such file or directory" in "".join(world.logs.lines("app"))


async def test_replayed_init_takes_its_time_here_too(make_world: Any) -> None:
    world = await make_world(init="replayed", init_ms=(900.0,))
    deploy(world)
    sink = Sink()
    await ask(world, {}, sink)
    assert sink.body == b"first last"
    await world.plane.flush()
    assert float(world.logs.reports("app")[0].split("Init Duration: ")[1].split(" ms")[0]) >= 900


async def test_an_init_that_takes_too_long_is_done_again_within_the_invocation(make_world: Any) -> None:
    world = await make_world(init_limit_s=0.01)
    deploy(world, timeout_s=60.0)
    sink = Sink()
    invocation = await ask(world, {}, sink)
    assert invocation.function_error is None, invocation.payload
    assert sink.body == b"first last"


def test_no_two_adapters_are_given_one_port() -> None:
    """The application listens only some time after its port was chosen."""
    ask = (
        "from replay.cloud.lambda_plane.guest import web_adapter as w; w._PORTS = range(31_500, 31_520); "
        "print(w.free_port(), flush=True); input()"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", ask], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(12)
    ]
    ports = [one.stdout.readline() for one in running if one.stdout is not None]
    for one in running:
        one.communicate("\n", timeout=30)
    assert len(set(ports)) == 12
