"""Terraform as a library: python-terraform builds the command lines, this package runs them the way a tool needs it."""

from __future__ import annotations

from replay.terraform.cli import TerraformCli, Workspace
from replay.terraform.messages import PlanSummary

__all__ = ["PlanSummary", "TerraformCli", "Workspace"]
