"""The local cloud: an AWS on loopback that runs deployed functions for real."""

from __future__ import annotations

from replay.cloud.config import BedrockQuota, CloudConfig, read_config
from replay.cloud.launcher import LocalCloud

__all__ = ["BedrockQuota", "CloudConfig", "LocalCloud", "read_config"]
