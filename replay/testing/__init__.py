"""What the pytest plugin gives to tests: replaying a recorded trace against a target, and judging what came of it."""

from __future__ import annotations

from replay.testing.in_process import Handler, InProcessContext, InProcessTarget
from replay.testing.replayer import TraceReplayer

__all__ = ["Handler", "InProcessContext", "InProcessTarget", "TraceReplayer"]
