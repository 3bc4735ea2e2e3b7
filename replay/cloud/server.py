"""The local cloud's server: one loopback port that answers every service.

Run as ``python -m replay.cloud.server``; :mod:`replay.cloud.launcher` does that. The settings come as one line of JSON
on standard input, the port goes as one line of JSON to standard output. Where standard input ends, the server does.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import logging
import os
import re
import shutil
import signal
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from replay.cloud.admin import AdminApi
from replay.cloud.bedrock.api import BedrockApi
from replay.cloud.bedrock.streaming.service import StreamingBedrock
from replay.cloud.browsers import refusal
from replay.cloud.config import ACCOUNT_ID, CloudConfig
from replay.cloud.control_plane.catalog import MotoCatalog
from replay.cloud.control_plane.function_urls import URL_PATH
from replay.cloud.control_plane.install import install
from replay.cloud.control_plane.logs import MotoLogSink
from replay.cloud.control_plane.metrics import MotoMetricSink
from replay.cloud.control_plane.wsgi import WsgiBridge
from replay.cloud.gateway.function_url import HOST, FunctionUrlGateway
from replay.cloud.gateway.http_api import Gateway
from replay.cloud.http import aws_error
from replay.cloud.lambda_api import INVOKE_PATH, STREAM_PATH, InvokeApi
from replay.cloud.lambda_plane.plane import LambdaPlane
from replay.cloud.lambda_plane.settings import RECORDED_INIT_MS, PlaneSettings
from replay.cloud.launcher import STAY
from replay.cloud.precise_loop import new_event_loop
from replay.cloud.service_faults import FaultyServices
from replay.errors import InputError, ReplayError
from simulator.errors import SimulatorError
from simulator.trace import read_trace

INVOKE_DEADLINE_S: Final = 905.0
"""The longest function time-out, and a little."""
_EXECUTE_API_PATH: Final = "/_aws/execute-api/"
_EXECUTE_API_HOST: Final = re.compile(r"(?P<api>[a-z0-9]+)\.execute-api\.")
_MODEL_PATH: Final = re.compile(r"/model/(?P<model>[^/]+)/(?P<action>[a-z-]+)")

_log = logging.getLogger("tailcast.cloud")


class Server:
    """Everything behind the port, and the routing to it."""

    def __init__(self, config: CloudConfig, endpoint_url: str, work_dir: Path) -> None:
        catalog = MotoCatalog(ACCOUNT_ID, config.region)
        logs, metrics = MotoLogSink(ACCOUNT_ID, config.region), MotoMetricSink(ACCOUNT_ID, config.region)
        self.plane = LambdaPlane(catalog, logs, metrics, plane_settings(config, endpoint_url, work_dir))
        self._loop = asyncio.get_running_loop()
        self._background: set[asyncio.Future[Any]] = set()
        self._faulty = FaultyServices(config.seed)
        application = install(
            self.plane,
            self._run_function,
            endpoint_url=endpoint_url,
            account_concurrency=config.account_concurrency,
            visible_after_s=self._faulty.visible_after_s,
        )
        self._control_plane = WsgiBridge(application)
        self._invoke = InvokeApi(self.plane)
        self._gateway = Gateway(self.plane, catalog, logs, metrics, config)
        self._function_urls = FunctionUrlGateway(self.plane, catalog, metrics, config)
        self._bedrock = BedrockApi(config)
        self._streams = StreamingBedrock(
            seed=config.seed,
            region=config.region,
            account=ACCOUNT_ID,
            catalogue=self._bedrock.catalogue,
            meter=self._bedrock.meter,
        )
        self._admin = AdminApi(self.plane, self._bedrock, self._faulty)

    async def start(self) -> None:
        """Start what runs on its own."""
        await self.plane.start()

    async def stop(self) -> None:
        """End everything."""
        await self.plane.stop()
        self._control_plane.close()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request: by path first, then by host; what nobody claims is moto's."""
        path = request.rel_url.raw_path
        if (reason := refusal(request.headers, for_pages=_is_for_pages(request, path))) is not None:
            _log.warning("%s %s: %s", request.method, path, reason)
            refused = aws_error(403, "AccessDeniedException", reason, "")
            refused.force_close()  # its body is left unread
            return refused
        if StreamingBedrock.serves(request.method, path):
            return await self._streams.handle(request)
        if path.startswith("/_"):
            if path.startswith(_EXECUTE_API_PATH):
                api, _, rest = path[len(_EXECUTE_API_PATH) :].partition("/")
                return await self._gateway.handle(request, api, f"/{rest}")
            if path.startswith(URL_PATH):
                url, _, rest = path[len(URL_PATH) :].partition("/")
                return await self._function_urls.handle(request, url, f"/{rest}")
            if path.startswith("/_tailcast/"):
                return await self._admin.handle(request, path)
        if (failed := await self._faulty.strike(request)) is not None:
            return failed
        if host := _EXECUTE_API_HOST.match(request.host):
            return await self._gateway.handle(request, host["api"], path)
        if host := HOST.match(request.host):
            return await self._function_urls.handle(request, host["url"], path)
        if request.method == "POST":
            if invoke := INVOKE_PATH.fullmatch(path):
                return await self._invoke.handle(request, invoke["function"])
            if stream := STREAM_PATH.fullmatch(path):
                return await self._invoke.stream(request, stream["function"])
            if model := _MODEL_PATH.fullmatch(path):
                return await self._bedrock.handle(request, model["model"], model["action"])
        return await self._control_plane.handle(request)

    def _run_function(self, function: str, qualifier: str, event: bytes) -> tuple[bytes, bool]:
        """Invoke for one of moto's event sources, from any thread."""
        call = self.plane.invoke(function, qualifier, event)
        try:
            on_loop = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            on_loop = False
        if on_loop:
            # A log line that goes to a function by subscription: waiting for it here would wait for ourselves.
            task = self._loop.create_task(call)
            self._background.add(task)
            task.add_done_callback(self._background.discard)
            return b"null", False
        invocation = asyncio.run_coroutine_threadsafe(call, self._loop).result(INVOKE_DEADLINE_S)
        return invocation.payload, invocation.function_error is not None


def _is_for_pages(request: web.BaseRequest, path: str) -> bool:
    """Say whether a request goes to an API or a Function URL, and so to what a page may call."""
    if path.startswith("/_"):
        return path.startswith((_EXECUTE_API_PATH, URL_PATH))
    return bool(_EXECUTE_API_HOST.match(request.host) or HOST.match(request.host))


def plane_settings(config: CloudConfig, endpoint_url: str, work_dir: Path) -> PlaneSettings:
    """Give the data plane's settings. Raises InputError where the INIT trace holds no INIT."""
    init_ms = RECORDED_INIT_MS
    if config.init_trace is not None:
        init_ms = tuple(read_trace(config.init_trace).frame["init_ms"].drop_nulls().to_list())
        if not init_ms:
            raise InputError(f"{config.init_trace}: column 'init_ms' is empty; record cold starts to replay them")
    return PlaneSettings(
        keep_alive_s=config.keep_alive_s,
        init=config.init,
        init_ms=init_ms,
        seed=config.seed,
        account_concurrency=config.account_concurrency,
        scale_out_burst=config.scale_out_burst,
        scale_out_per_s=config.scale_out_per_s,
        region=config.region,
        account=ACCOUNT_ID,
        endpoint_url=endpoint_url,
        work_dir=work_dir,
    )


async def serve(config: CloudConfig, folder: Path, *, detached: bool) -> None:
    """Run a server until it is told to end; what it unpacks lies in a folder of its own within ``folder``."""
    listener = _listen(config.port)
    port = int(listener.getsockname()[1])
    work_dir = Path(tempfile.mkdtemp(prefix="plane-", dir=folder))
    try:
        server = Server(config, f"http://127.0.0.1:{port}", work_dir)
        ending = asyncio.Event()
        _end_on_signals(ending)
        _end_with_parent(ending, may_stay=detached)
        await server.start()
        runner = web.ServerRunner(
            # The client that opened a connection closes it: no race between our closing it and its next request.
            # Bodies are passed on as they came; moto unpacks them itself.
            web.Server(server.handle, access_log=None, keepalive_timeout=3_600, auto_decompress=False),
            handle_signals=False,
            shutdown_timeout=1.0,
        )
        try:
            await runner.setup()
            await web.SockSite(runner, listener, backlog=1_024).start()
            # What is loaded by now stays for good; collecting garbage among it costs milliseconds.
            gc.collect()
            gc.freeze()
            _say({"port": port, "pid": os.getpid()})
            await ending.wait()
        finally:
            await runner.cleanup()
            await server.stop()
    finally:
        listener.close()
        shutil.rmtree(work_dir, ignore_errors=True)


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        listener.close()
        raise InputError(
            f"local cloud: port {port} cannot be taken ({error.strerror}); choose another, or 0 for any"
        ) from None
    return listener


def _end_on_signals(ending: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, ending.set)


def _end_with_parent(ending: asyncio.Event, *, may_stay: bool) -> None:
    """End when standard input does: the parent holds its other end, and lets go however it dies.

    A server that may stay does so once it is told to.
    """
    loop = asyncio.get_running_loop()
    descriptor = sys.stdin.fileno()

    def readable() -> None:
        read = os.read(descriptor, 4_096)
        if not read:
            loop.remove_reader(descriptor)
            ending.set()
        elif may_stay and read.startswith(STAY):
            loop.remove_reader(descriptor)

    loop.add_reader(descriptor, readable)


def _say(document: dict[str, Any]) -> None:
    """Write the one line that the launcher waits for; a launcher that has gone does not matter."""
    with contextlib.suppress(OSError):
        sys.stdout.write(json.dumps(document) + "\n")
        sys.stdout.flush()


def _read_line() -> str:
    """Read one line of standard input, and not a byte more: what follows is the sign that the parent is gone."""
    line = bytearray()
    while not line.endswith(b"\n"):
        byte = os.read(sys.stdin.fileno(), 1)
        if not byte:
            break
        line += byte
    return line.decode()


def main() -> int:
    """Run the server; give its exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # Threads of the control plane hand the interpreter back to the event loop after 1 ms, not 5.
    sys.setswitchinterval(0.001)
    parent = os.getppid()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="where to unpack functions")
    parser.add_argument("--temporary", action="store_true", help="remove the folder at the end")
    parser.add_argument("--detached", action="store_true", help="stay, once told to, when standard input ends")
    options = parser.parse_args()
    try:
        config = CloudConfig.from_json(_read_line())
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(serve(config, options.folder, detached=options.detached))
    except (ReplayError, SimulatorError) as error:
        print(error, file=sys.stderr)  # noqa: T201  (the launcher shows it)
        return 2
    finally:
        # Only what a dead parent cannot remove: a living one still wants to show the log.
        if options.temporary and os.getppid() != parent:
            shutil.rmtree(options.folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
