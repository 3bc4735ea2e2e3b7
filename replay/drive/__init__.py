"""Open-loop load: requests leave when they are meant to, whether or not earlier ones were answered."""

from __future__ import annotations

from replay.drive.driver import Progress, drive, drive_async
from replay.drive.prompts import BUILT_IN_PROMPTS, read_prompts
from replay.drive.result import DriveResult, Lateness
from replay.drive.targets import HttpTarget, LambdaTarget, Reply, Target, parse_target

__all__ = [
    "BUILT_IN_PROMPTS",
    "DriveResult",
    "HttpTarget",
    "LambdaTarget",
    "Lateness",
    "Progress",
    "Reply",
    "Target",
    "drive",
    "drive_async",
    "parse_target",
    "read_prompts",
]
