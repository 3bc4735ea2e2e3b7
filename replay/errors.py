"""The error tree of everything that touches the world.

::

    ReplayError               the operation failed; the command line exits with 4
    ├── InputError            the caller's mistake: a bad file, option or name; exits with 2
    ├── DeployError           packaging or Terraform failed
    ├── CloudError            the cloud (AWS or the local one) refused or did not answer in time
    └── LocalCloudError       the local cloud could not start, or died

Every message is one line: what was being done, the value at fault, the reason, and what to do next.
"""

from __future__ import annotations


class ReplayError(Exception):
    """Base of every error that this package raises on purpose."""

    exit_code = 4


class InputError(ReplayError):
    """The caller's mistake."""

    exit_code = 2


class DeployError(ReplayError):
    """Packaging, or Terraform, failed."""


class CloudError(ReplayError):
    """AWS, or what stands in for it, refused a call or did not answer in time."""


class LocalCloudError(ReplayError):
    """The local cloud could not start, or died."""
