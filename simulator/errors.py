"""The simulator's error tree.

::

    SimulatorError            a mistake in what the caller handed in; the command line exits with 2
    ├── TraceError            a trace file or frame that is not what it should be
    ├── ParameterError        a value outside its range (a weight of 1.5, a negative rate)
    └── FitError              data from which a model cannot be fitted

Every message is one line that names the place (file, row, column or parameter), the value found there, and what to
do about it, so that a caller may print it as it stands.
"""

from __future__ import annotations


class SimulatorError(Exception):
    """Base of every error that the simulator raises on purpose."""


class TraceError(SimulatorError):
    """A trace that cannot be read, or holds a value that a trace cannot hold."""


class ParameterError(SimulatorError):
    """A parameter outside its range."""


class FitError(SimulatorError):
    """Data from which the asked-for model cannot be fitted."""
