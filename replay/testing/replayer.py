"""The object behind the fixture ``replay_trace``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from replay.api_headers import api_headers
from replay.drive import BUILT_IN_PROMPTS, HttpTarget, LambdaTarget, Target, drive, parse_target
from replay.errors import InputError
from replay.testing.in_process import Handler, InProcessTarget
from simulator.arrivals import replay
from simulator.platform import Platform
from simulator.resimulate import resimulate
from simulator.trace import Trace, TraceMetadata, read_trace

if TYPE_CHECKING:
    from replay.cloud import LocalCloud

SIMULATOR: Final = "simulator"
Against = str | Handler | HttpTarget | LambdaTarget | InProcessTarget | Platform


@dataclass
class TraceReplayer:
    """Replays recorded traces and remembers what came of them, for the marker ``slo`` to judge."""

    traces: list[Trace] = field(default_factory=list)
    """What was replayed or observed so far, in order."""

    def __call__(
        self,
        trace: Trace | str | Path,
        against: Against,
        *,
        cloud: LocalCloud | None = None,
        speed: float = 1.0,
        first: int | None = None,
        prompts: Sequence[str] = BUILT_IN_PROMPTS,
        deadline_s: float = 35.0,
        seed: int = 0,
    ) -> Trace:
        """Send the recorded arrivals of ``trace`` to ``against``, open loop, and give what the caller saw.

        Parameters
        ----------
        trace
            A trace, or the path of its Parquet file.
        against
            An address, ``lambda:FUNCTION:ALIAS``, a Lambda handler to call in this process, or a target. Or
            ``simulator``, or a :class:`simulator.platform.Platform` of one version: the service is fitted from
            ``trace`` and its arrivals go through the simulator, once, from a cold begin.
        cloud
            The local cloud that ``lambda:…`` lives in; None for AWS.
        speed
            2 sends the same requests in half the time.
        first
            Only the first so many requests.
        prompts, deadline_s, seed
            See :func:`replay.drive.drive`.

        Raises
        ------
        InputError, SimulatorError
            An ``against`` that is none of these, a trace that cannot be read or replayed, or one from which no
            service can be fitted.
        CloudError
            Nothing reached the target.
        """
        recorded = trace if isinstance(trace, Trace) else read_trace(trace)
        if first is not None:
            if first < 1:
                raise InputError(f"first={first!r} must be at least 1")
            recorded = replace(recorded, frame=recorded.frame.head(first))
        arrivals = replay(recorded, speed=speed)
        if against == SIMULATOR or isinstance(against, Platform):
            platform = against if isinstance(against, Platform) else None
            return self.observe(resimulate(recorded, arrivals, platform=platform, seed=seed))
        target = _target(against, cloud)
        result = drive(target, arrivals.arrival_s, prompts=prompts, deadline_s=deadline_s, seed=seed)
        if result.interrupted:
            raise KeyboardInterrupt
        return self.observe(result.trace)

    def observe(self, trace: Trace) -> Trace:
        """Hand in a trace that the test recorded itself; give it back."""
        self.traces.append(trace)
        return trace

    def judged(self) -> Trace:
        """Give all traces of this test as one, for the marker; latencies keep their requests.

        Raises
        ------
        InputError
            There is none.
        """
        if not self.traces:
            raise InputError("nothing was replayed; call replay_trace(trace, against) in the test")
        if len(self.traces) == 1:
            return self.traces[0]
        import polars as pl

        frame = pl.concat([trace.frame for trace in self.traces]).sort("arrival_s", maintain_order=True)
        return Trace(frame, TraceMetadata(source="replay"))


def _target(against: str | Handler | HttpTarget | LambdaTarget | InProcessTarget, cloud: LocalCloud | None) -> Target:
    if isinstance(against, str):
        headers = api_headers(os.environ)
        if cloud is None:
            return parse_target(against, headers=headers)
        target = parse_target(against, region=cloud.config.region, endpoint_url=cloud.endpoint_url, headers=headers)
        if isinstance(target, LambdaTarget):
            environment = cloud.environment()
            target.static_keys = (environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"])
        return target
    if isinstance(against, HttpTarget | LambdaTarget | InProcessTarget):
        return against
    if callable(against):
        return InProcessTarget(against)
    raise InputError(f"against={against!r} is no address, no lambda:FUNCTION:ALIAS, no handler and not 'simulator'")
