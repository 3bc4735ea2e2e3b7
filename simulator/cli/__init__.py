"""The commands that need files only.

``COMMANDS`` maps a command's name to where it lives, ``module:attribute``; the module is imported when the command is
used, so that ``tailcast --help`` does not pay for Polars.
"""

from __future__ import annotations

from typing import Final

from simulator.cli.lazy import Table

COMMANDS: Final[Table] = {
    "trace": ("simulator.cli.trace:trace", "Look into recorded traces."),
    "explain": ("simulator.cli.explain:explain_command", "Say where a trace's latency comes from."),
    "forecast": (
        "simulator.cli.forecast:forecast_command",
        "Forecast the tail and the cost of a rollout from traces.",
    ),
    "compare": (
        "simulator.cli.compare:compare_command",
        "Hold two traces side by side, with the chance that one is better.",
    ),
    "advise": (
        "simulator.cli.advise:advise_command",
        "Find the cheapest settings that meet an objective.",
    ),
    "cost": ("simulator.cli.cost:cost_command", "Price a request and a month of them, with a machine beside it."),
    "sweep": (
        "simulator.cli.sweep:sweep_command",
        "Forecast every combination of settings over the same random numbers.",
    ),
    "backtest": (
        "simulator.cli.backtest:backtest_command",
        "Hold the forecast against the end of a recording.",
    ),
}
