"""Deploying an environment: package, publish, provision, point the aliases."""

from __future__ import annotations

from replay.deploy.model import VARIANTS, Deployment, DeployRequest, Variant

__all__ = ["VARIANTS", "DeployRequest", "Deployment", "Variant"]
