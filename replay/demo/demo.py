"""The seven steps, one after the other, and the teardown that follows whatever happens."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from replay.cloud import CloudConfig, LocalCloud
from replay.demo.deployed import read_architecture, read_platform
from replay.demo.display import Display
from replay.demo.measure import Measured, measure
from replay.demo.plan import LEAST_BASELINE, LEAST_CANDIDATE, DemoPlan
from replay.demo.results import DemoResults, summary, widths, write_json, write_picture
from replay.deploy import VARIANTS, Deployment, DeployRequest, deploy
from replay.drive import HttpTarget, LambdaTarget
from replay.errors import CloudError, ReplayError
from replay.shift import shift
from simulator.backtest import compare
from simulator.cost import Prices, load_prices
from simulator.errors import SimulatorError
from simulator.figures import Figure, observe
from simulator.forecast import Forecast, forecast
from simulator.platform import Platform
from simulator.quantiles import FloatArray
from simulator.trace import write_trace

STEPS: Final = (
    "start the local cloud",
    "deploy baseline, then optimized",
    "drive and record the baseline",
    "measure the candidate",
    "forecast the rollout",
    "shift live under load",
    "compare and tear down",
)
_LATE_S: Final = 2.0
"""A step that begins this much after its planned time is worth a warning: environments idled for longer."""


class StepFailedError(ReplayError):
    """A step of the demo failed; the message names step, reason and what to do."""


class Demo:
    """One run. Everything that it starts ends with :meth:`run`, whatever happens.

    Parameters
    ----------
    plan
        What to do when.
    project
        The checkout to deploy from.
    run_dir
        Folder for traces, results and the log; made here.
    display
        Where progress goes.
    keep
        Keep Terraform's state and the cloud's log in ``run_dir`` for a look afterwards.
    """

    def __init__(self, plan: DemoPlan, project: Path, run_dir: Path, display: Display, *, keep: bool = False) -> None:
        self.plan = plan
        self.project = project
        self.run_dir = run_dir
        self.display = display
        self.keep = keep
        self.warnings: list[str] = []
        self.began = datetime.now(UTC)
        self._measured: dict[str, Measured] = {}
        self._observed: list[Figure] = []
        self._failed = False
        self._log = logging.Logger("tailcast.demo")

    def run(self) -> DemoResults:
        """Go through all steps.

        Raises
        ------
        StepFailedError
            A step failed.
        KeyboardInterrupt
            Interrupted; everything is torn down.
        """
        actions = (
            self._start_cloud,
            self._deploy,
            self._baseline,
            self._candidate,
            self._forecast,
            self._shift,
            self._compare,
        )
        with ExitStack() as stack:
            self._open_run_dir(stack)
            self.display.start()
            stack.callback(self.display.stop)
            self._resources = stack.enter_context(ExitStack())
            stack.callback(self._tear_down)
            for number, action in enumerate(actions):
                self._step(number, action)
        return self._results

    def _step(self, number: int, action: Callable[[], str]) -> None:
        title = STEPS[number]
        self.display.begin(number)
        self._log.info("step %d of %d: %s", number + 1, len(STEPS), title)
        place = f"step {number + 1} of {len(STEPS)} ({title})"
        try:
            done = action()
        except KeyboardInterrupt:
            self._log.info("interrupted")
            self.display.fail("interrupted")
            raise
        except (ReplayError, SimulatorError, OSError) as error:
            self._fail()
            raise StepFailedError(f"demo: {place} failed: {error}; the log is {self._log_path}") from error
        except Exception as error:
            self._fail()
            raise StepFailedError(
                f"demo: {place} failed: {type(error).__name__}: {error}; this is a defect of tailcast's, "
                f"please report it with {self._log_path}"
            ) from error
        self._log.info("done: %s", done)
        self.display.end(done)

    def _fail(self) -> None:
        self._failed = True
        self._log.exception("failed")
        self.display.fail("failed")

    # --- the steps -------------------------------------------------------------------------------------------------

    def _start_cloud(self) -> str:
        config = CloudConfig(
            seed=self.plan.seed,
            init=self.plan.init,
            keep_alive_s=self.plan.keep_alive_s,
            state_dir=self._work_dir / "cloud",
        )
        self._cloud = self._resources.enter_context(LocalCloud(config))
        how = "INIT replayed from a recording" if self.plan.init == "replayed" else "INIT real"
        return f"{self._cloud.endpoint_url}, {how}"

    def _deploy(self) -> str:
        variants = {variant: {"model_id": model} for variant, model in self.plan.models.items()}
        for variant in VARIANTS:
            self.display.detail(f"{variant}: terraform")
            request = DeployRequest(
                env="dev",
                variant=variant,
                project=self.project,
                state_dir=self._work_dir / "deploy",
                endpoint_url=self._cloud.endpoint_url,
                # The environment lets a trickle through; the demo is about the function, not about its throttle.
                variables={"variants": variants, "throttle_rate_rps": 100, "throttle_burst": 200},
                progress=self._said(variant),
            )
            self._deployment: Deployment = deploy(request)
        lambda_client = self._cloud.client("lambda")
        gateway = self._cloud.client("apigatewayv2")
        self._platform: Platform = read_platform(lambda_client, gateway, self._deployment, self.plan.keep_alive_s)
        self._architecture = read_architecture(lambda_client, self._deployment)
        versions = ", ".join(f"{variant} = version {version}" for variant, version in self._deployment.versions.items())
        return f"{self._deployment.function_name}: {versions}"

    def _baseline(self) -> str:
        measured = self._measure("baseline", self._api(), self.plan.draw(self.plan.baseline_arrivals, 0))
        return self._recorded(measured, LEAST_BASELINE)

    def _candidate(self) -> str:
        environment = self._cloud.environment()
        target = LambdaTarget(
            self._deployment.function_name,
            self._deployment.alias_names["optimized"],
            region=self._deployment.region,
            endpoint_url=self._cloud.endpoint_url,
            static_keys=(environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"]),
        )
        measured = self._measure("candidate", target, self.plan.draw(self.plan.candidate_arrivals, 1))
        # The steps keep to this clock, on which the forecast is made: the candidate's last planned second, and a gap.
        self._next_start = _monotonic_at(measured.driven.started_at) + self.plan.candidate_s + self.plan.forecast_gap_s
        return self._recorded(measured, LEAST_CANDIDATE)

    def _forecast(self) -> str:
        self._prices: Prices = load_prices()
        found: Forecast = forecast(
            self._measured["baseline"].trace,
            self._measured["candidate"].trace,
            self.plan.steps,
            self._platform,
            replications=self.plan.replications,
            seed=self.plan.seed,
            prices=self._prices,
            architecture=self._architecture,
            progress=lambda done, planned: self.display.detail(f"{done} of {planned} simulated rollouts"),
        )
        self._foreseen = found
        self.warnings += found.warnings
        # On disk before the first request of the rollout: what is compared later is what was said before.
        self._forecast_sha256 = write_json(
            self.run_dir / "forecast.json", {"written_at": datetime.now(UTC).isoformat(), **found.to_json()}
        )
        return f"{len(found.figures)} figures written, sha256 {self._forecast_sha256[:12]}"

    def _shift(self) -> str:
        client = self._cloud.client("lambda")
        self._first_shift_at: datetime | None = None
        for index, step in enumerate(self.plan.steps):
            self.display.detail(f"live to {step.label}")
            done = shift(
                client,
                self._deployment.function_name,
                alias=self._deployment.alias_names["live"],
                from_version=self._deployment.versions["baseline"],
                to_version=self._deployment.versions["optimized"],
                weight=step.weight,
            )
            self._first_shift_at = self._first_shift_at or done.at
            self._log.info("live: %s", done.after.weights)
            self._wait_for_start(step.label)
            measured = self._measure(step.label, self._api(), self.plan.draw(step.arrivals, 2 + index))
            self._observed += observe(
                measured.trace, step=step.label, prices=self._prices, architecture=self._architecture
            )
            self._next_start += self.plan.step_s + self.plan.step_gap_s
        return (
            f"{', '.join(self.plan.labels)}: {sum(len(self._measured[one].trace) for one in self.plan.labels)} requests"
        )

    def _compare(self) -> str:
        comparison = compare(self._foreseen.figures, self._observed)
        write_json(self.run_dir / "observed.json", {"figures": [figure.to_json() for figure in self._observed]})
        write_json(self.run_dir / "comparison.json", comparison.to_json())
        ended = datetime.now(UTC)
        document: dict[str, Any] = {
            "plan": self.plan.to_json(),
            "started_at": self.began.isoformat(),
            "ended_at": ended.isoformat(),
            "elapsed_s": (ended - self.began).total_seconds(),
            "function": self._deployment.function_name,
            "versions": dict(self._deployment.versions),
            "forecast": {
                "file": "forecast.json",
                "sha256": self._forecast_sha256,
                "first_shift_at": self._first_shift_at.isoformat() if self._first_shift_at else None,
            },
            "phases": {name: measured.to_json() for name, measured in self._measured.items()},
            "checked": comparison.checked,
            "inside": comparison.inside,
            "coverage": comparison.coverage,
            "mean_width": widths(comparison),
            "mean_error": comparison.mean_error_share,
            "comparison": comparison.to_json()["rows"],
            "warnings": self.warnings,
        }
        write_json(self.run_dir / "results.json", document)
        self._results = DemoResults(self.run_dir, comparison, document, tuple(dict.fromkeys(self.warnings)))
        write_picture(self.run_dir / "comparison.svg", self._results)
        self._log.info("%s", summary(comparison))
        self._tear_down()
        return f"{comparison.inside} of {comparison.checked} figures inside their intervals"

    # --- what the steps share --------------------------------------------------------------------------------------

    def _api(self) -> HttpTarget:
        return HttpTarget(f"{self._deployment.api_endpoint}/genai")

    def _measure(self, name: str, target: HttpTarget | LambdaTarget, arrivals_s: FloatArray) -> Measured:
        measured = measure(
            target,
            arrivals_s,
            logs=self._cloud.client("logs"),
            log_group=self._deployment.log_group_name,
            function=self._deployment.function_name,
            seed=self.plan.seed,
            progress=lambda text: self.display.detail(f"{name}: {text}"),
        )
        self._measured[name] = measured
        file = f"step-{name.removesuffix('%')}.parquet" if name.endswith("%") else f"{name}.parquet"
        write_trace(measured.trace, self.run_dir / file)
        for warning in measured.warnings():
            self.warnings.append(f"{name}: {warning}")
            self._log.warning("%s: %s", name, warning)
        self._log.info("%s: %s", name, measured.to_json())
        return measured

    def _recorded(self, measured: Measured, least: int) -> str:
        joined = measured.joined
        if joined.matched < least:
            raise CloudError(
                f"only {joined.matched} requests were recorded with their log lines, {least} are needed; raise --rate"
            )
        late = measured.driven.lateness
        return f"{joined.matched} of {len(joined.trace)} requests recorded; driver late by {late.p99_ms:.1f} ms at p99"

    def _wait_for_start(self, label: str) -> None:
        left_s = self._next_start - time.monotonic()
        if left_s > 0:
            self.display.detail(f"{label}: waiting for its planned start")
            time.sleep(left_s)
        elif left_s < -_LATE_S:
            self.warnings.append(
                f"{label}: began {-left_s:.0f} s after its planned time; environments idled for longer than forecast"
            )
            # What follows keeps its distance from here.
            self._next_start = time.monotonic()

    def _said(self, variant: str) -> Callable[[str], None]:
        def take(line: str) -> None:
            self._log.info("%s: %s", variant, line)
            self.display.detail(f"{variant}: {line}")

        return take

    # --- begin and end ---------------------------------------------------------------------------------------------

    def _open_run_dir(self, stack: ExitStack) -> None:
        self._log_path = self.run_dir / "demo.log"
        self._work_dir = self.run_dir / "work"
        try:
            self._work_dir.mkdir(parents=True)
            handler = logging.FileHandler(self._log_path, encoding="utf-8")
        except OSError as error:
            raise StepFailedError(f"demo: {self.run_dir} cannot be written ({error}); give --run-dir") from error
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        self._log.addHandler(handler)
        stack.callback(handler.close)

    def _tear_down(self) -> None:
        """End the cloud and remove what only the run needed; of a failed run the logs stay.

        Nothing is destroyed with Terraform: the cloud that holds it all ends here, and the state goes with it.
        """
        self._resources.close()
        if self.keep:
            return
        if self._failed:
            _remove_all_but_logs(self._work_dir)
        else:
            shutil.rmtree(self._work_dir, ignore_errors=True)


def _remove_all_but_logs(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_symlink() or (path.is_file() and path.suffix != ".log"):
            path.unlink(missing_ok=True)
        elif path.is_dir():
            with suppress(OSError):  # it still holds a log
                path.rmdir()


def _monotonic_at(when: datetime) -> float:
    """Give the monotonic clock's value at the wall-clock time ``when``."""
    return time.monotonic() - (datetime.now(UTC) - when).total_seconds()
