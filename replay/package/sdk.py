"""Trimming the AWS SDK to the services that a function calls.

botocore carries the models of some 400 services, 20 MB of them; boto3 adds resource models that no client uses. At
INIT, building a client reads the endpoint table of all services (1.2 MB of JSON), so that is cut too.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Final

_BOTOCORE_DATA: Final = "botocore/data/"
_DROPPED: Final = ("boto3/data/", "boto3/examples/")
_ENDPOINTS: Final = _BOTOCORE_DATA + "endpoints.json"


def trim(path: str, content: bytes, services: Collection[str]) -> bytes | None:
    """Give what is kept of a dependency's file: itself, a smaller one, or None.

    Parameters
    ----------
    path
        Place in the zip.
    content
        The file.
    services
        botocore's names of the services to keep: ``bedrock-runtime``.
    """
    if path.startswith(_DROPPED):
        return None
    if path == _ENDPOINTS:
        return _trim_endpoints(content, services)
    if path.startswith(_BOTOCORE_DATA):
        service, slash, _ = path.removeprefix(_BOTOCORE_DATA).partition("/")
        if slash and service not in services:
            return None
    return content


def _trim_endpoints(content: bytes, services: Collection[str]) -> bytes:
    """Keep partitions and regions, and of the services those listed."""
    document = json.loads(content)
    for partition in document["partitions"]:
        partition["services"] = {name: value for name, value in partition["services"].items() if name in services}
    return json.dumps(document, separators=(",", ":")).encode()
