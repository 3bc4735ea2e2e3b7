"""The whole path once on the local cloud: deploy, drive, record, forecast, shift, and compare."""

from __future__ import annotations

from replay.demo.demo import STEPS, Demo, StepFailedError
from replay.demo.plan import DemoPlan
from replay.demo.results import DemoResults

__all__ = ["STEPS", "Demo", "DemoPlan", "DemoResults", "StepFailedError"]
