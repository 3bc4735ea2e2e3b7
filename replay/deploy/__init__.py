"""Deploying an environment: package, publish, provision, point the aliases."""

from __future__ import annotations

from replay.deploy.model import VARIANTS, Deployment, DeployRequest, Variant
from replay.deploy.sharing import force_unlock, migrate
from replay.deploy.steps import default_state_dir, deploy, describe, destroy, promote

__all__ = [
    "VARIANTS",
    "DeployRequest",
    "Deployment",
    "Variant",
    "default_state_dir",
    "deploy",
    "describe",
    "destroy",
    "force_unlock",
    "migrate",
    "promote",
]
