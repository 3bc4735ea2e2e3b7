"""One simulated run of a recorded function: its own service, under other arrivals or on another platform."""

from __future__ import annotations

import numpy as np

from simulator.arrivals import ArrivalPlan
from simulator.draws import Randomness, Use
from simulator.engine.select import engine
from simulator.figures import Latency
from simulator.fitted import rows_of
from simulator.keep_alive import fit_keep_alive
from simulator.platform import BASELINE, Platform, VersionSettings
from simulator.rollout import Rollout, Stage
from simulator.run_draws import draw_run, with_environment_levels
from simulator.service import fit_services
from simulator.simulated import trace_of
from simulator.trace import Trace


def resimulate(trace: Trace, arrivals: ArrivalPlan, *, platform: Platform | None = None, seed: int = 0) -> Trace:
    """Fit the service of ``trace`` and send ``arrivals`` once through ``platform``, which begins without environments.

    One run is one draw: for an interval use :func:`simulator.forecast.forecast`.

    Parameters
    ----------
    trace
        A recording of one variant.
    arrivals
        When the requests come.
    platform
        One version, whose keep-alive holds. None: AWS's defaults for the variant that was recorded, with how long its
        environments lived, idle and at all, fitted where the trace shows it.
    seed
        The same seed gives the same trace.

    Raises
    ------
    ParameterError
        A platform of more than one version, or a trace of several variants of which none is the platform's.
    FitError
        Too few warm requests in ``trace``.
    """
    told = platform is not None
    if platform is None:
        platform = Platform(versions={(trace.variants() or [BASELINE])[0]: VersionSettings()})
    name = platform.names[0]
    rows = rows_of(trace, name)
    keep_alive = None if told else fit_keep_alive(rows)
    # As in a forecast: what the caller saw where most rows have it, else what Lambda reported.
    recorded = float(rows.frame["client_ms"].is_not_null().mean() or 0.0)  # type: ignore[arg-type]  # Polars types a column's figure as anything
    latency: Latency = "client_ms" if recorded >= 0.5 else "execution_ms"
    fit = fit_services({name: rows}, latency=latency, token_usd={name: np.zeros(len(rows))})[name]
    randomness = Randomness(seed)
    arrival_s = arrivals.draw(randomness.generator(Use.ARRIVAL))
    # Its drift is taken as of the recording's end: what comes next.
    end_s = float(rows.frame["arrival_s"][-1])
    service = fit.prepare(end_s, end_s + arrivals.duration_s)
    draws, _, log_sds = draw_run([service], platform, keep_alive, randomness, arrival_s, [-end_s])
    outcomes = engine()(draws, platform, Rollout((Stage(0.0, 0.0),)))
    return trace_of(with_environment_levels(outcomes, randomness, log_sds), platform)
