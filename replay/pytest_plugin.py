"""The pytest plugin that comes with tailcast: real functions, recorded traces and latency objectives in tests.

Only pytest and the standard library are imported here; the rest is imported when a test first uses it, so that an
unused plugin costs a test run nothing.
"""

from __future__ import annotations

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, so that ``--strict-markers`` knows it."""
    config.addinivalue_line(
        "markers",
        'slo(objective, ...): judge the replayed traces of this test, for example slo("p99 < 1500 ms")',
    )
