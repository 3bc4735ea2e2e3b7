"""Pictures of a run: ECDF, box, TTFT against input tokens, timeline. SVG and PNG through matplotlib, an optional extra.

matplotlib is 30 MB with what it needs and draws what no terminal library does: log axes, many series, files for a
report. Whoever only wants figures need not install it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from replay.bench.records import Measurement, Run
from replay.bench.summary import METRICS, by_cell, values_of
from simulator.files import written_beside

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MISSING: Final = "plots left out: matplotlib is not installed; pip install 'tailcast[plots]'"
_LARGEST_LEGEND: Final = 12

Groups = Mapping[str, Sequence[Measurement]]
"""Label of a cell → its measurements."""


def write_plots(run: Run, folder: Path, formats: Sequence[str] = ("svg",)) -> list[Path] | None:
    """Draw the pictures into ``folder``; None where matplotlib is not installed.

    Parameters
    ----------
    run
        What was measured.
    folder
        Made where it is missing.
    formats
        ``svg``, ``png`` or both.
    """
    try:
        from matplotlib import rc_context
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return None
    groups = {run.label(cell): rows for cell, rows in by_cell(run.measured()).items()}
    drawings: dict[str, Callable[[Axes], None]] = {
        "ecdf_ttft": lambda axes: _ecdf(axes, groups, "ttft_ms"),
        "ecdf_total": lambda axes: _ecdf(axes, groups, "total_ms"),
        "box_ttft": lambda axes: _box(axes, groups, "ttft_ms"),
        "ttft_by_input": lambda axes: _by_input(axes, groups),
        "timeline": lambda axes: _timeline(axes, run),
    }
    written: list[Path] = []
    for name, draw in drawings.items():
        figure = Figure(figsize=(9, 5), layout="constrained")
        FigureCanvasAgg(figure)
        draw(figure.add_subplot())
        for kind in formats:
            target = folder / f"{name}.{kind}"
            # Without a date, and with names for its parts that do not change, the same run draws the same bytes.
            with written_beside(target) as beside, rc_context({"svg.hashsalt": "tailcast"}):
                metadata: dict[str, Any] = {"Date": None} if kind == "svg" else {}
                figure.savefig(beside, format=kind, metadata=metadata, dpi=120)
            written.append(target)
    return written


def _ecdf(axes: Axes, groups: Groups, metric: str) -> None:
    for label, rows in groups.items():
        values = np.sort(values_of(rows, metric))
        if values.size:
            axes.step(values, np.arange(1, values.size + 1) / values.size, where="post", label=label)
    axes.set(xscale="log", xlabel=f"{METRICS[metric]}, ms", ylabel="share of the requests", ylim=(0, 1.01))
    axes.grid(visible=True, which="both", alpha=0.3)
    _legend(axes)


def _box(axes: Axes, groups: Groups, metric: str) -> None:
    samples = {label: values_of(rows, metric) for label, rows in groups.items()}
    samples = {label: values for label, values in samples.items() if values.size}
    if samples:
        # Whiskers reach Tukey's fences; what lies beyond is drawn, not dropped.
        axes.boxplot(list(samples.values()), orientation="horizontal", tick_labels=list(samples))
    axes.set(xscale="log", xlabel=f"{METRICS[metric]}, ms")
    axes.grid(visible=True, axis="x", which="both", alpha=0.3)


def _by_input(axes: Axes, groups: Groups) -> None:
    for label, rows in groups.items():
        points = [
            (m.input_tokens + (m.cache_read_tokens or 0) + (m.cache_write_tokens or 0), m.ttft_ms)
            for m in rows
            if m.status == "ok" and m.input_tokens is not None and m.ttft_ms is not None
        ]
        if points:
            tokens, times = zip(*points, strict=True)
            axes.scatter(tokens, times, s=12, alpha=0.6, label=label)
    axes.set(xlabel="input tokens, cached ones included", ylabel="time to first token, ms", ylim=(0, None))
    axes.grid(visible=True, alpha=0.3)
    _legend(axes)


def _timeline(axes: Axes, run: Run) -> None:
    for cell, rows in by_cell(run.measurements).items():
        answered = [m for m in rows if m.ttft_ms is not None]
        if answered:
            times = [m.intended_s for m in answered]
            axes.scatter(times, [m.ttft_ms or 0.0 for m in answered], s=12, alpha=0.6, label=run.label(cell))
    failed = [m.intended_s for m in run.measurements if m.status != "ok"]
    if failed:
        axes.plot(failed, [0.0] * len(failed), "x", color="red", label="not answered")
    axes.set(xlabel="seconds since the run's start", ylabel="time to first token, ms", ylim=(0, None))
    axes.grid(visible=True, alpha=0.3)
    _legend(axes)


def _legend(axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    if labels:
        axes.legend(handles[:_LARGEST_LEGEND], labels[:_LARGEST_LEGEND], fontsize="x-small")
