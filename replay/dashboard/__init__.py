"""The figures of a deployment's dashboard, read from CloudWatch metrics."""

from replay.dashboard.collect import Scope, Window, collect, scope_of
from replay.dashboard.figures import FIGURES, Figure
from replay.dashboard.result import Board, Line

__all__ = ["FIGURES", "Board", "Figure", "Line", "Scope", "Window", "collect", "scope_of"]
