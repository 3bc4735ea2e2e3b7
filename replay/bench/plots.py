"""Pictures of a run: ECDF, box, TTFT against input tokens, timeline. SVG and PNG through matplotlib, an optional extra.

matplotlib is 30 MB with what it needs and draws what no terminal library does: log axes, many series, files for a
report. Whoever only wants figures need not install it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from replay.bench.arms import varying_fields
from replay.bench.records import Measurement, Run
from replay.bench.summary import METRICS, by_cell, values_of
from simulator.files import written_beside

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

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
        "ttft_by_input": lambda axes: _by_input(axes, run),
        "timeline": lambda axes: _timeline(axes, run),
    }
    written: list[Path] = []
    for name, draw in drawings.items():
        figure = Figure(figsize=(11, 5), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        draw(axes)
        _legend(figure, axes)
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
            shares = np.arange(values.size + 1) / values.size
            axes.step(np.concatenate([values[:1], values]), shares, where="post", label=f"{label} (n={values.size})")
    axes.set(ylabel="share of the requests", ylim=(0, 1.01))
    axes.set_title(f"{METRICS[metric].capitalize()}: share of the requests that were at least as fast")
    _log_ms(axes, metric)


def _box(axes: Axes, groups: Groups, metric: str) -> None:
    samples = {label: values_of(rows, metric) for label, rows in groups.items()}
    samples = {label: values for label, values in samples.items() if values.size}
    if samples:
        # Whiskers reach Tukey's fences; what lies beyond is drawn, not dropped.
        axes.boxplot(list(samples.values()), orientation="horizontal", tick_labels=list(samples))
    axes.invert_yaxis()
    axes.set_title(f"{METRICS[metric].capitalize()}: quartiles, and points beyond 1.5 times their distance")
    _log_ms(axes, metric)


def _by_input(axes: Axes, run: Run) -> None:
    """Draw every request, and a line through the medians of arms that differ in nothing but the prompt's length."""
    lines: dict[str, dict[int, list[float]]] = {}
    for (target, label, load), rows in by_cell(run.measured()).items():
        alike = replace(run.arms[label], input_tokens=1).label([n for n in _varying(run) if n != "input_tokens"])
        name = " · ".join([target, *([alike] if alike != "standard" else []), *([load] if len(run.loads) > 1 else [])])
        for m in rows:
            if m.status == "ok" and m.input_tokens is not None and m.ttft_ms is not None:
                tokens = m.input_tokens + (m.cache_read_tokens or 0) + (m.cache_write_tokens or 0)
                lines.setdefault(name, {}).setdefault(tokens, []).append(m.ttft_ms)
    for index, (name, by_tokens) in enumerate(lines.items()):
        lengths = sorted(by_tokens)
        colour = f"C{index % 10}"
        axes.scatter(
            [tokens for tokens in lengths for _ in by_tokens[tokens]],
            [time_ms for tokens in lengths for time_ms in by_tokens[tokens]],
            s=12,
            alpha=0.4,
            color=colour,
        )
        axes.plot(
            lengths, [float(np.median(by_tokens[t])) for t in lengths], "o-", markersize=4, color=colour, label=name
        )
    axes.set(xlabel="input tokens, cached ones included", ylabel="time to first token, ms", ylim=(0, None))
    axes.set_title("Time to first token against the prompt's length; lines join medians")
    axes.grid(visible=True, alpha=0.3)


def _timeline(axes: Axes, run: Run) -> None:
    for index, (cell, rows) in enumerate(by_cell(run.measurements).items()):
        colour = f"C{index % 10}"
        for measured in (True, False):
            answered = [m for m in rows if m.ttft_ms is not None and (m.phase == "measured") is measured]
            axes.scatter(
                [m.intended_s for m in answered],
                [m.ttft_ms or 0.0 for m in answered],
                s=14 if measured else 40,
                alpha=0.7,
                facecolors=colour if measured else "none",
                edgecolors=colour,
                label=run.label(cell) if measured else None,
            )
    failed = [m.intended_s for m in run.measurements if m.status != "ok"]
    if failed:
        axes.plot(failed, [0.0] * len(failed), "x", color="red", clip_on=False, label="not answered")
    axes.set(xlabel="intended start, seconds since the run's start", ylabel="time to first token, ms", ylim=(0, None))
    axes.set_title("Every request; rings are first requests and warm-ups, which are in no figure")
    axes.grid(visible=True, alpha=0.3)


def _varying(run: Run) -> list[str]:
    return varying_fields(list(run.arms.values()))


def _log_ms(axes: Axes, metric: str) -> None:
    """Make the horizontal axis one of milliseconds, logarithmic, with plain numbers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set(xscale="log", xlabel=f"{METRICS[metric]}, ms")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}" if value >= 1 else f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(visible=True, which="both", alpha=0.3)


def _legend(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    if labels:
        # Beside the picture: inside, it hides what it names.
        figure.legend(handles[:_LARGEST_LEGEND], labels[:_LARGEST_LEGEND], fontsize="small", loc="outside right upper")
