"""Start the local cloud's server as a process of its own, and end it."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, cast

from replay.cloud.config import CloudConfig
from replay.errors import LocalCloudError

START_DEADLINE_S: Final = 60.0
"""How long a server may take to listen. It takes 2 s on an idle machine; this allows for one that is busy."""
STOP_DEADLINE_S: Final = 15.0
LOG_NAME: Final = "server.log"
STAY: Final = b"stay\n"
"""What a detached server is told on its standard input before that ends."""


@dataclass(frozen=True)
class Running:
    """A server that answers."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def endpoint_url(self) -> str:
        """The address of every service."""
        return f"http://127.0.0.1:{self.port}"


def start_server(config: CloudConfig, folder: Path, *, detached: bool = False, temporary: bool = False) -> Running:
    """Start a server and wait until it answers.

    Parameters
    ----------
    config
        Its settings.
    folder
        Where its log lies, and what its functions are unpacked to.
    detached
        Whether it can outlive this process: from :func:`let_go` on. Otherwise, and until then, it ends when this
        process does, however that ends: its standard input is a pipe from here, and it leaves at the pipe's end.
    temporary
        Whether it removes ``folder`` when it ends, for the case that nobody else is there to do it.

    Raises
    ------
    LocalCloudError
        It did not answer in time, or died: with the last lines of its log.
    """
    # Functions start in folders of their own, from where a relative path leads nowhere.
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / LOG_NAME
    command = [sys.executable, "-m", "replay.cloud.server", "--folder", str(folder)]
    command += ["--detached"] * detached + ["--temporary"] * temporary
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            # A Ctrl-C in the terminal belongs to the caller, who then ends the server in order.
            start_new_session=True,
        )
    stdin, stdout = cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stdout)
    try:
        with suppress(BrokenPipeError):
            stdin.write(config.to_json().encode() + b"\n")
            stdin.flush()
        port = _await_port(process, stdout, log)
        running = Running(process, port, log)
        _await_health(running)
    except BaseException:
        stop_process(process)
        raise
    return running


def stop_process(process: subprocess.Popen[bytes]) -> None:
    """End a server in order (SIGTERM), and by force when it does not leave in time."""
    try:
        if process.poll() is None:
            process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_DEADLINE_S)
        if process.poll() is None:
            process.kill()
            process.wait()
    finally:
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()


def let_go(process: subprocess.Popen[bytes]) -> None:
    """Stop looking after a detached server: it ends by :func:`replay.cloud.named.down`, not with this process."""
    with suppress(OSError):
        cast("IO[bytes]", process.stdin).write(STAY)
        cast("IO[bytes]", process.stdin).flush()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    # Else Popen warns, when it is collected, of a child that nobody waited for.
    process.returncode = 0


def environment(endpoint_url: str, region: str) -> dict[str, str]:
    """Give the variables that point the AWS SDKs, the AWS CLI and Terraform at a local cloud."""
    return {
        "AWS_ENDPOINT_URL": endpoint_url,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        # Nothing here gets better by being asked again; a missing action should show at once.
        "AWS_MAX_ATTEMPTS": "2",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


class LocalCloud:
    """A local cloud for the length of a ``with`` block.

    Examples
    --------
    >>> with LocalCloud(CloudConfig(init="replayed")) as cloud:  # doctest: +SKIP
    ...     cloud.client("lambda").list_functions()["Functions"]
    []
    """

    def __init__(self, config: CloudConfig | None = None) -> None:
        self.config = config or CloudConfig()
        self._running: Running | None = None
        self._temporary: Path | None = None
        self._clients: dict[str, Any] = {}

    def __enter__(self) -> LocalCloud:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server. Raises LocalCloudError where it does not come up."""
        if self._running is not None:
            raise LocalCloudError(f"local cloud: already running at {self.endpoint_url}; stop it first")
        folder = self.config.state_dir
        if folder is None:
            folder = self._temporary = Path(tempfile.mkdtemp(prefix="tailcast-cloud-"))
        try:
            self._running = start_server(self.config, folder, temporary=self._temporary is not None)
        except BaseException:
            self._remove_temporary()
            raise

    def stop(self) -> None:
        """End the server and every process of its functions. Stopping twice is no error."""
        running, self._running = self._running, None
        try:
            for client in self._clients.values():
                client.close()
            self._clients.clear()
            if running is not None:
                stop_process(running.process)
        finally:
            self._remove_temporary()

    @property
    def endpoint_url(self) -> str:
        """The address of every service. Raises LocalCloudError where the cloud is not running."""
        return self._started().endpoint_url

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self._started().process.pid

    @property
    def log(self) -> Path:
        """The server's log file."""
        return self._started().log

    def environment(self) -> dict[str, str]:
        """Give the variables that point a subprocess's AWS SDK, CLI or Terraform at this cloud."""
        return environment(self.endpoint_url, self.config.region)

    def client(self, service: str) -> Any:
        """Give a boto3 client of this cloud with deadlines and without retries; one per service, kept."""
        if service not in self._clients:
            self._clients[service] = make_client(service, self.endpoint_url, self.config.region)
        return self._clients[service]

    def flush_logs(self) -> None:
        """Return once the log lines and metrics of every answered invocation can be read."""
        self.control("POST", "/_tailcast/flush")

    def control(self, method: str, path: str, document: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Call one of the server's own addresses (``/_tailcast/...``) and give its JSON answer.

        Raises
        ------
        LocalCloudError
            The server refused, or did not answer.
        """
        return control(self.endpoint_url, method, path, document)

    def _started(self) -> Running:
        if self._running is None:
            raise LocalCloudError("local cloud: not running; use it inside `with LocalCloud() as cloud:`")
        return self._running

    def _remove_temporary(self) -> None:
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)
            self._temporary = None


def make_client(service: str, endpoint_url: str, region: str) -> Any:
    """Make a boto3 client of a local cloud: its own session, dummy keys, deadlines, no retries."""
    # Imported here: half a second that starting and ending a cloud does not need.
    import boto3
    from botocore.config import Config

    session = boto3.session.Session(aws_access_key_id="local", aws_secret_access_key="local", region_name=region)  # noqa: S106  (the local cloud takes any)
    return session.client(
        cast("Any", service),
        endpoint_url=endpoint_url,
        config=Config(
            connect_timeout=5,
            # Longer than a function may run.
            read_timeout=910 if service == "lambda" else 60,
            retries={"mode": "standard", "total_max_attempts": 1},
            max_pool_connections=64,
        ),
    )


def control(
    endpoint_url: str, method: str, path: str, document: Mapping[str, Any] | None = None, timeout_s: float = 30.0
) -> dict[str, Any]:
    """Call an address of a server's own and give its JSON answer. Raises LocalCloudError."""
    body = None if document is None else json.dumps(document).encode()
    request = urllib.request.Request(f"{endpoint_url}{path}", data=body, method=method)  # noqa: S310  (loopback)
    try:
        with _NO_PROXY.open(request, timeout=timeout_s) as answer:
            return cast("dict[str, Any]", json.load(answer))
    except urllib.error.HTTPError as error:
        with error:
            text = error.read().decode(errors="replace")[:500]
        raise LocalCloudError(f"local cloud: {method} {path} answered {error.code}: {text}") from None
    except (OSError, ValueError) as error:
        raise LocalCloudError(f"local cloud: {method} {endpoint_url}{path} failed ({error}); is it running?") from None


# A proxy from the environment has no way to this loopback address.
_NO_PROXY: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _await_port(process: subprocess.Popen[bytes], stdout: IO[bytes], log: Path) -> int:
    """Read the line with which the server says where it listens."""
    deadline = time.monotonic() + START_DEADLINE_S
    line = b""
    while not line.endswith(b"\n"):
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise LocalCloudError(f"local cloud: not listening after {START_DEADLINE_S:.0f} s{_last_lines(log)}")
        if not select.select([stdout], [], [], left_s)[0]:
            continue
        read = os.read(stdout.fileno(), 4096)
        if not read:
            code = process.wait(STOP_DEADLINE_S)
            raise LocalCloudError(f"local cloud: the server ended with exit code {code}{_last_lines(log)}")
        line += read
    return int(json.loads(line)["port"])


def _await_health(running: Running) -> None:
    """Ask the server once: it listens, so it has to answer."""
    try:
        control(running.endpoint_url, "GET", "/_tailcast/health", timeout_s=START_DEADLINE_S)
    except LocalCloudError as error:
        raise LocalCloudError(f"{error}{_last_lines(running.log)}") from None


def _last_lines(log: Path, count: int = 15) -> str:
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-count:]
    except OSError:
        return ""
    return ":\n  " + "\n  ".join(lines) if lines else " (it wrote no log)"
