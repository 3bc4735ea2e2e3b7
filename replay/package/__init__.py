"""Deployment packages: deterministic, pure Python, trimmed, with bytecode.

The same inputs give the same bytes on every machine with the same Python version, so a digest says whether a function
changed, and Terraform publishes a version only if it did. Bytecode is packaged because deployed code lies on a
read-only disk: without it, every cold start compiles every module again.
"""

from __future__ import annotations

from replay.package.build import Package, build_package, target_python

__all__ = ["Package", "build_package", "target_python"]
