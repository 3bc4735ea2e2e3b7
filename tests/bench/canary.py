"""What the canary finds, how fast and at what price, beside what teams use today; all on the same traffic.

Every run is a whole rollout of the controller in simulated time, with a look every 10 s. ``TAILCAST_BENCH_RUNS``
sets the number of runs of each scenario (1,000).

It goes piece by piece, and a piece that is done is kept in ``build/bench/canary/`` until the code that decides changes.
``TAILCAST_BENCH_SECONDS`` stops it after so long, with exit code 3; the next start goes on from there.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from replay.canary.plan import Plan, Step
from replay.canary.presets import careful
from replay.canary.rehearse.peers import held, peers
from replay.canary.rehearse.run import Rehearsal, Summary, rehearse, summarise
from replay.canary.rehearse.scenario import Scenario, standard
from replay.canary.rehearse.world import SimulatedEvidence, Traffic
from simulator.files import write_text
from tests.bench.report import FOLDER, Figure, write_report

RUNS = int(os.environ.get("TAILCAST_BENCH_RUNS", "1000"))
SEED = 20_000
HELD_S = 7200.0
ROLLOUT_S = 4 * 3600.0
PIECE_RUNS = 100
SECONDS = float(os.environ.get("TAILCAST_BENCH_SECONDS", "inf"))
PIECES = FOLDER / "canary"
_CANARY = Path(__file__).parents[2] / "replay" / "canary"
_DECIDING = (
    "sequential", "rehearse/peers.py", "rehearse/run.py", "rehearse/scenario.py", "rehearse/world.py", "batch.py",
    "judge.py", "objective_tests.py", "plan.py", "presets.py", "reference.py", "requests.py",
)  # fmt: skip
"""What a figure depends on: a change in here makes every piece old."""
_PEERS_TOO = ("sound", "errors × 2", "errors × 3", "errors × 5", "p99 × 1.2", "p99 × 1.5", "p99 × 2")


def held_plan() -> Plan:
    """Stay at 10 % for two hours, whatever the evidence: 720 looks at one weight."""
    plan = careful()
    return replace(plan, steps=(Step(0.10, HELD_S, HELD_S), Step(1.0, 0.0, 0.0)))


@dataclass(frozen=True)
class Piece:
    """Some of the runs of one scenario: ``whole`` rollouts, ``held`` at 10 %, or the ``peers`` on the same traffic."""

    kind: str
    scenario: Scenario
    first: int
    runs: int

    @property
    def path(self) -> Path:
        """Where its result is kept."""
        name = "".join(c if c.isascii() and c.isalnum() else "-" for c in self.scenario.name)
        return PIECES / f"{self.kind}-{name}-{self.first:05d}-{self.runs}-{_digest()}.json"

    @property
    def seeds(self) -> range:
        """Seeds of its runs."""
        return range(SEED + self.first, SEED + self.first + self.runs)


@cache
def _digest() -> str:
    files = [path for name in _DECIDING for path in sorted((_CANARY / name).glob("*.py")) or [_CANARY / name]]
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:12]


def _pieces() -> Iterator[Piece]:
    for kind in ("whole", "held", "peers"):
        for scenario in standard():
            if kind != "whole" and scenario.name not in _PEERS_TOO:
                continue
            for first in range(0, RUNS, PIECE_RUNS):
                yield Piece(kind, scenario, first, min(PIECE_RUNS, RUNS - first))


def _run(piece: Piece) -> list[Any]:
    scenario = piece.scenario
    if piece.kind == "whole":
        return [asdict(rehearse(careful(), scenario, seed=seed, at_most_s=ROLLOUT_S)) for seed in piece.seeds]
    if piece.kind == "held":
        return [asdict(rehearse(held_plan(), scenario, seed=seed, at_most_s=HELD_S + 30)) for seed in piece.seeds]
    found = []
    for seed in piece.seeds:
        reference = SimulatedEvidence(Traffic(scenario, seed), held_plan()).reference(0.0)
        data = held(scenario, reference, weight=0.10, duration_s=HELD_S, seed=seed)
        times = {name: decide(data) for name, decide in peers(HELD_S, held_plan().look_every_s).items()}
        # JSON knows no infinity: null is "not found".
        found.append({name: at_s if math.isfinite(at_s) else None for name, at_s in times.items()})
    return found


def _work(task: tuple[Piece, float]) -> bool:
    """Do one piece, unless the time is up; True where it is done."""
    piece, until_s = task
    if piece.path.exists():
        return True
    if time.time() >= until_s:
        return False
    write_text(piece.path, json.dumps(_run(piece)))
    return True


def _results(kind: str, scenario: Scenario) -> list[Any]:
    mine = [piece for piece in _pieces() if piece.kind == kind and piece.scenario.name == scenario.name]
    return [one for piece in mine for one in json.loads(piece.path.read_text(encoding="utf-8"))]


def _summary(kind: str, scenario: Scenario) -> Summary:
    return summarise(scenario, [Rehearsal(**one) for one in _results(kind, scenario)])


def _peer_times(scenario: Scenario) -> list[dict[str, float]]:
    return [
        {name: math.inf if at_s is None else at_s for name, at_s in one.items()} for one in _results("peers", scenario)
    ]


def _minutes(seconds: float | None) -> float:
    return math.inf if seconds is None else seconds / 60


def _median_min(times: Sequence[float]) -> float:
    return float(np.quantile(np.array(times), 0.5, method="higher")) / 60


def main() -> None:
    """Run what is missing; print the tables and write ``build/bench/canary.json``."""
    pieces = list(_pieces())
    until_s = time.time() + SECONDS
    with ProcessPoolExecutor(max_workers=os.cpu_count(), mp_context=get_context("forkserver")) as pool:
        done = sum(
            _shown(index, len(pieces), ok)
            for index, ok in enumerate(pool.map(_work, [(piece, until_s) for piece in pieces]))
        )
    if done < len(pieces):
        print(f"{done} of {len(pieces)} pieces are done; start it again to go on", file=sys.stderr)
        sys.exit(3)
    figures: dict[str, Figure] = {}
    whole = Table(
        title=f"The plan 'careful' (10 %, 50 %, 100 %), {RUNS} rollouts each, 10 requests/s, a look every 10 s"
    )
    for heading in ("scenario", "rolled back", "promoted", "before 100 %", "median min", "p90 min", "harmed (median)"):
        whole.add_column(heading, justify="left" if heading == "scenario" else "right")
    side = Table(title=f"Held at 10 % for {HELD_S / 60:.0f} min: rolled back, median minutes")
    for heading in ("scenario", "tailcast", *peers(1.0, 1.0)):
        side.add_column(heading, justify="left" if heading == "scenario" else "right")
    for scenario in standard():
        summary = _summary("whole", scenario)
        whole.add_row(
            scenario.name,
            f"{summary.rolled_back:.1%}",
            f"{summary.promoted:.1%}",
            f"{summary.before_full:.1%}",
            f"{_minutes(summary.median_s):.1f}",
            f"{_minutes(summary.p90_s):.1f}",
            f"{summary.harmed_median:.0f}",
        )
        figures |= _of_whole(scenario.name, summary)
        if scenario.name in _PEERS_TOO:
            mine, others = _summary("held", scenario), _peer_times(scenario)
            figures |= _of_held(scenario.name, mine, others)
            side.add_row(
                scenario.name,
                f"{mine.rolled_back:.1%}, {_minutes(mine.median_s):.1f}",
                *(
                    f"{np.mean([math.isfinite(one[name]) for one in others]):.1%}, "
                    f"{_median_min([one[name] for one in others]):.1f}"
                    for name in others[0]
                ),
            )
    # JSON knows no infinity: a regression that most runs did not find has a share found, and no median.
    figures = {name: figure for name, figure in figures.items() if math.isfinite(figure.value)}
    Console().print(whole)
    Console().print(side)
    write_report("canary", figures)


def _shown(index: int, total: int, done: bool) -> bool:
    if done:
        Console(stderr=True).print(f"  piece {index + 1} of {total}", style="dim")
    return done


_TARGET_MIN = {"errors × 2": 23.0, "errors × 3": 9.0, "errors × 5": 4.0}


def _of_whole(name: str, summary: Summary) -> dict[str, Figure]:
    median = Figure(_minutes(summary.median_s), "min", _TARGET_MIN.get(name))
    if name == "sound":
        return {
            "false rollbacks, whole rollouts": Figure(summary.rolled_back, "share", 0.01),
            "sound candidates promoted": Figure(summary.promoted, "share"),
        }
    if name == "low traffic, sound":
        return {"false rollbacks, low traffic": Figure(summary.rolled_back, "share", 0.01)}
    if name == "p99 × 1.5":
        return {
            "p99 × 1.5 found before 100 %": Figure(summary.before_full, "share", 0.95, "higher"),
            "p99 × 1.5, median to rollback": median,
        }
    if name.startswith("7 of 10"):
        return {
            "7 of 10 are 100 × slower: found": Figure(summary.before_full, "share", 1.0, "higher"),
            # The first slow answer shows when the function's time-out ends it, after 29 s.
            "7 of 10 are 100 × slower, median to rollback": Figure(_minutes(summary.median_s), "min", 1.0),
            "7 of 10 are 100 × slower, requests harmed": Figure(summary.harmed_median, "requests"),
        }
    return {
        f"{name}: found": Figure(summary.rolled_back, "share"),
        f"{name}, median to rollback": median,
        f"{name}, requests harmed": Figure(summary.harmed_median, "requests"),
    }


def _of_held(name: str, mine: Summary, others: Sequence[dict[str, float]]) -> dict[str, Figure]:
    sound = name == "sound"
    title = "false rollbacks" if sound else f"{name}, found"
    found = {f"held at 10 %, {title}: tailcast": Figure(mine.rolled_back, "share", 0.01 if sound else None)}
    for peer in others[0]:
        found[f"held at 10 %, {title}: {peer}"] = Figure(
            float(np.mean([math.isfinite(x[peer]) for x in others])), "share"
        )
        if not sound:
            found[f"held at 10 %, {name}, median: {peer}"] = Figure(_median_min([x[peer] for x in others]), "min")
    return found


if __name__ == "__main__":
    main()
