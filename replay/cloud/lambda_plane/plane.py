"""The Lambda data plane: from an ``Invoke`` to an execution environment and back."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from replay.cloud.lambda_plane.asynchronous import run_event
from replay.cloud.lambda_plane.attempt import Attempt, run_on
from replay.cloud.lambda_plane.code_store import CodePackageError, CodeStore, install_runtime
from replay.cloud.lambda_plane.draws import pick, uniform
from replay.cloud.lambda_plane.environment import Environment, EnvironmentGoneError
from replay.cloud.lambda_plane.forking import Keeper, raise_descriptor_limit
from replay.cloud.lambda_plane.guest.fork_server import remove_folder
from replay.cloud.lambda_plane.invocation import Invocation, ProvisionedStatus, ThrottledError
from replay.cloud.lambda_plane.launcher import Launcher
from replay.cloud.lambda_plane.limits import SCALE_OUT_EXCEEDED, ConcurrencyLedger, TokenBucket
from replay.cloud.lambda_plane.metrics import of_invocation, of_throttle
from replay.cloud.lambda_plane.platform_log import PlatformLog
from replay.cloud.lambda_plane.pool import VersionPool
from replay.cloud.lambda_plane.ports import (
    FunctionCatalog,
    FunctionVersion,
    LogSink,
    MetricSink,
    Route,
    UnknownFunctionError,
)
from replay.cloud.lambda_plane.provisioned import Key, ProvisionedFleets
from replay.cloud.lambda_plane.requests import Request, accept
from replay.cloud.lambda_plane.response_sink import ResponseSink
from replay.cloud.lambda_plane.settings import PlaneSettings
from replay.cloud.lambda_plane.telemetry import Telemetry
from replay.cloud.lambda_plane.variables import ON_DEMAND, PROVISIONED
from replay.errors import LocalCloudError

_PROVISIONED_INIT_LIMIT_S: Final = 130.0
"""INIT of a provisioned environment may take 130 s or the function's time-out, whichever is longer (Lambda developer
guide, "Lambda execution environment")."""
Result = TypeVar("Result")


@dataclass(frozen=True)
class _Placement:
    environment: Environment
    cold: bool
    provisioned: bool
    spilled: bool
    concurrent: int
    provisioned_use: float | None
    """Share of the version's provisioned environments that are busy, this one counted; None where it has none."""


class LambdaPlane:
    """Runs deployed functions in processes of AWS's runtime client.

    Everything but :meth:`provision`, :meth:`provisioned`, :meth:`prepare` and :meth:`retire`, which any thread may
    call, belongs to the event loop in which :meth:`start` ran.

    Parameters
    ----------
    catalog, logs, metrics
        The control plane's side; see ``ports``.
    settings
        Limits and manners.
    clock
        Epoch seconds, for log timestamps and deadlines; durations come from the loop's monotonic clock.
    """

    def __init__(
        self,
        catalog: FunctionCatalog,
        logs: LogSink,
        metrics: MetricSink,
        settings: PlaneSettings,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._catalog = catalog
        self._settings = settings
        self._clock = clock
        self._telemetry = Telemetry(logs, metrics)
        self._ledger = ConcurrencyLedger(settings.account_concurrency)
        self._fleets = ProvisionedFleets(settings.account_concurrency, self._start_provisioned, self._retire_one)
        self._pools: dict[Key, VersionPool] = {}
        self._buckets: defaultdict[str, TokenBucket] = defaultdict(
            lambda: TokenBucket(settings.scale_out_burst, settings.scale_out_per_s)
        )
        self._routed: defaultdict[tuple[str, str], Any] = defaultdict(itertools.count)
        self._starts: defaultdict[Key, Any] = defaultdict(itertools.count)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._endings: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._keeper: Keeper | None = None
        self._launcher: Launcher | None = None
        self._folder: Path | None = None

    async def start(self) -> None:
        """Start the plane's helper process.

        Raises
        ------
        LocalCloudError
            The runtime client is not installed, or the helper did not come up.
        """
        self._loop = asyncio.get_running_loop()
        raise_descriptor_limit()
        self._folder = folder = Path(tempfile.mkdtemp(prefix="tailcast-lambda-", dir=self._settings.work_dir))
        self._keeper = await Keeper.start(folder)
        try:
            runtime = await asyncio.to_thread(install_runtime, folder / "runtime")
        except BaseException:
            await self._keeper.stop()
            raise
        self._launcher = Launcher(self._settings, self._keeper, CodeStore(folder / "code"), runtime)

    async def stop(self) -> None:
        """End every environment, write what is left of the logs, and remove the plane's folder."""
        if self._keeper is None:
            return
        await self._fleets.stop()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for pool in self._pools.values():
            pool.retire_all()
        self._pools.clear()
        await asyncio.gather(*self._endings, return_exceptions=True)
        if self._launcher is not None:
            self._launcher.close()
        keeper, self._keeper = self._keeper, None
        await keeper.stop()
        if self._folder is not None and self._folder.exists():  # the keeper was killed before it could
            await asyncio.to_thread(remove_folder, str(self._folder))
        self._telemetry.flush()

    async def flush(self) -> None:
        """Write out all log events and metrics of invocations that have been answered."""
        self._telemetry.flush()

    async def invoke(
        self,
        function: str,
        qualifier: str | None,
        payload: bytes,
        *,
        invocation_type: str = "RequestResponse",
        client_context: str | None = None,
        log_tail: bool = False,
        trace_id: str | None = None,
        sink: ResponseSink | None = None,
    ) -> Invocation:
        """Invoke a function.

        Parameters
        ----------
        function
            Name, ARN or partial ARN.
        qualifier
            Version or alias; None for the one in the ARN, or ``$LATEST``.
        payload
            The event, JSON; empty means ``{}``.
        invocation_type
            ``RequestResponse``, ``Event`` or ``DryRun``.
        client_context
            The header ``X-Amz-Client-Context`` as it came: base64 of JSON.
        log_tail
            Whether to answer with the last 4 KB of the log.
        trace_id
            The header ``X-Amzn-Trace-Id`` as it came.
        sink
            Where a response goes that the runtime streams; the payload that is given back is then empty. None gathers
            such a response as ``Invoke`` does.

        A caller that gives up (cancels) does not stop the function: as on AWS it runs on and is billed.

        Raises
        ------
        UnknownFunctionError
            No such function, version or alias.
        ThrottledError
            Over a concurrency limit or the scale-out rate.
        PayloadTooLargeError, InvalidRequestError
            See :func:`replay.cloud.lambda_plane.requests.accept`.
        LocalCloudError
            The plane does not run (any more).
        """
        route = self._catalog.route(function, qualifier)
        request = accept(route, self._draw_version(route), payload, invocation_type, client_context, trace_id, sink)
        if invocation_type == "DryRun":
            return Invocation(204, b"", request.request_id)
        if invocation_type == "Event":
            self._spawn(run_event(self._run, request, self._settings.event_retry_delays_s))
            return Invocation(202, b"", request.request_id)
        attempt = await asyncio.shield(self._spawn(self._run(request)))
        return Invocation(
            status_code=200,
            payload=attempt.payload,
            request_id=request.request_id,
            executed_version=request.version,
            function_error="Unhandled" if attempt.failed else None,
            log_tail=attempt.log_tail if log_tail else None,
        )

    def provision(self, function: str, version: str, count: int) -> None:
        """Ask for ``count`` provisioned environments of a version; 0 takes them away. Returns at once.

        Raises
        ------
        ProvisioningRefusedError
            More than the function's reservation or the account leaves.
        """
        self._fleets.request((function, version), count, dict(self._catalog.account_reserved()))
        self._from_any_thread(self._fleets.reconcile, (function, version))

    def provisioned(self, function: str, version: str) -> ProvisionedStatus | None:
        """Give the state of a version's provisioned concurrency, None where none was asked for."""
        return self._fleets.status((function, version))

    def prepare(self, function: str, version: str) -> None:
        """Get ready for the first start of a version (unpack it, preload it): called when it is published."""
        self._from_any_thread(lambda: self._spawn(self._prepare(function, version)))

    def retire(self, function: str, version: str | None) -> None:
        """End the environments of a version (None: of all), idle ones at once, busy ones after their answer."""
        self._from_any_thread(self._retire, function, version)

    # From a request to an environment

    def _draw_version(self, route: Route) -> str:
        if len(route.weights) == 1:
            return next(iter(route.weights))
        address = (route.function_name, route.qualifier)
        return pick(route.weights, uniform(self._settings.seed, "route", *address, next(self._routed[address])))

    async def _run(self, request: Request) -> Attempt:
        """Place and run a request; again where its environment died before it took it."""
        while True:
            version = self._catalog.version(request.route.function_name, request.version)
            placement = self._place(request, version)
            try:
                return await self._run_placed(request, placement)
            except EnvironmentGoneError:
                placement.environment.retired = True
            except BaseException:  # whatever state it is in, nothing else may run on it
                placement.environment.retired = True
                raise
            finally:
                self._leave(placement)

    async def _run_placed(self, request: Request, placement: _Placement) -> Attempt:
        attempt = await run_on(
            placement.environment,
            request,
            cold=placement.cold,
            init_limit_s=self._settings.init_limit_s,
            at_least_init_ms=self._draw_init_ms(placement.environment.version) if placement.cold else 0.0,
        )
        self._telemetry.measure(
            list(
                of_invocation(
                    request.route,
                    request.version,
                    attempt.report,
                    failed=attempt.failed,
                    concurrent=placement.concurrent,
                    provisioned=placement.provisioned,
                    spilled=placement.spilled,
                    provisioned_use=placement.provisioned_use,
                    timestamp_ms=int(self._clock() * 1000),
                )
            )
        )
        return attempt

    def _place(self, request: Request, version: FunctionVersion) -> _Placement:
        """Choose an environment: provisioned, else most recently used, else new.

        Raises
        ------
        ThrottledError
            No environment may be used, or started, now.
        """
        function = version.function_name
        pool = self._pool((function, version.version))
        environment = pool.take_provisioned()
        if environment is not None:
            self._ledger.enter_provisioned(function)
            return _Placement(environment, False, True, False, self._ledger.running(function), pool.provisioned_use())
        refused = self._ledger.acquire(function, self._fleets.by_function(), self._catalog.account_reserved())
        if refused is not None:
            raise self._throttled(request.route, refused)
        environment = pool.take_warm(version.revision)
        cold = environment is None
        if environment is None:
            if not self._buckets[function].take(asyncio.get_running_loop().time()):
                self._ledger.release(function)
                raise self._throttled(request.route, SCALE_OUT_EXCEEDED)
            environment = self._new_environment(version, ON_DEMAND)
            pool.add(environment)
        spilled = self._fleets.has((function, version.version))
        use = pool.provisioned_use() if spilled else None
        return _Placement(environment, cold, False, spilled, self._ledger.running(function), use)

    def _leave(self, placement: _Placement) -> None:
        function = placement.environment.version.function_name
        if placement.provisioned:
            self._ledger.leave_provisioned(function)
        else:
            self._ledger.release(function)
        self._pool((function, placement.environment.version.version)).give_back(placement.environment)

    def _throttled(self, route: Route, reason: str) -> ThrottledError:
        self._telemetry.measure(list(of_throttle(route, int(self._clock() * 1000))))
        return ThrottledError(reason)

    # Environments

    def _pool(self, key: Key) -> VersionPool:
        if key not in self._pools:
            self._pools[key] = VersionPool(self._settings.keep_alive_s, self._end)
        return self._pools[key]

    def _new_environment(self, version: FunctionVersion, initialization_type: str) -> Environment:
        if self._launcher is None or self._keeper is None or self._folder is None:
            raise LocalCloudError("local cloud: the Lambda data plane does not run; start it first")
        return Environment(
            version,
            initialization_type,
            launcher=self._launcher,
            telemetry=self._telemetry,
            platform_log=PlatformLog(version, self._settings.region),
            clock=self._clock,
            folder=self._folder / "tmp",
            on_end=self._on_process_end,
        )

    async def _start_provisioned(self, key: Key) -> Environment | None:
        try:
            version = self._catalog.version(*key)
            environment = self._new_environment(version, PROVISIONED)
        except (UnknownFunctionError, LocalCloudError):
            return None
        pool = self._pool(key)
        pool.add(environment)
        limit_s = max(_PROVISIONED_INIT_LIMIT_S, version.timeout_s)
        failed = True
        try:
            outcome = await environment.initialise(limit_s, at_least_ms=self._draw_init_ms(version))
            failed = outcome.failure is not None
            if outcome.failure is not None:
                line = environment.platform_log.init_report(
                    self._clock(), outcome.init_ms, "init", outcome.status, outcome.failure.error_type
                )
                environment.log(line)
        except (LocalCloudError, OSError) as error:
            environment.log(f"cannot start a process: {error}")
            return None
        finally:
            if failed:
                pool.discard(environment)
                self._end(environment)
        if failed:
            return None
        pool.give_back(environment)
        return environment

    def _draw_init_ms(self, version: FunctionVersion) -> float:
        """Draw the INIT of the version's next start; 0 where INIT is real."""
        if self._settings.init != "replayed":
            return 0.0
        samples = self._settings.init_ms
        key = (version.function_name, version.version)
        return samples[int(uniform(self._settings.seed, "init", *key, next(self._starts[key])) * len(samples))]

    def _on_process_end(self, environment: Environment) -> None:
        """Clear up after a process that ended while it was idle; a busy one is cleared up after its event."""
        key = (environment.version.function_name, environment.version.version)
        pool = self._pool(key)
        if pool.is_idle(environment):
            pool.discard(environment)
            self._end(environment)
        if environment.initialization_type == PROVISIONED and self._keeper is not None:
            self._fleets.lost(key, environment)

    def _end(self, environment: Environment) -> None:
        task = asyncio.create_task(environment.end())  # never cancelled: it frees a process, a port and a folder
        self._endings.add(task)
        task.add_done_callback(self._endings.discard)

    def _retire_one(self, environment: Environment) -> None:
        self._pool((environment.version.function_name, environment.version.version)).retire(environment)

    def _retire(self, function: str, version: str | None) -> None:
        for key in [key for key in self._pools if key[0] == function and version in (None, key[1])]:
            self._fleets.request(key, 0, {})
            self._fleets.reconcile(key)
            self._pools[key].retire_all()
            if not len(self._pools[key]):
                del self._pools[key]
        if self._launcher is not None:
            self._launcher.forget(function, version)

    async def _prepare(self, function: str, version: str) -> None:
        with contextlib.suppress(UnknownFunctionError, CodePackageError, LocalCloudError):
            if self._launcher is not None:
                await self._launcher.prepare(self._catalog.version(function, version), ON_DEMAND)

    # Tasks

    def _spawn(self, work: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # has been told to the caller, or the caller has gone

    def _from_any_thread(self, callback: Callable[..., object], *arguments: object) -> None:
        if self._loop is None:
            raise LocalCloudError("local cloud: the Lambda data plane does not run; start it first")
        self._loop.call_soon_threadsafe(callback, *arguments)
