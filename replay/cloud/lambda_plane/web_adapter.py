"""Functions that are HTTP applications behind Lambda Web Adapter: what says so, and how their processes start.

On AWS the adapter is a program in a layer: the variable ``AWS_LAMBDA_EXEC_WRAPPER=/opt/bootstrap`` starts the handler,
a script of the package, as an HTTP application in the place of the runtime, and the adapter passes requests to it. Here
``guest/web_adapter.py`` stands in for that program (a Rust binary that no package registry for Python carries).
"""

from __future__ import annotations

import re
from typing import Final

from replay.cloud.lambda_plane.ports import FunctionVersion

WRAPPER_VARIABLE: Final = "AWS_LAMBDA_EXEC_WRAPPER"
WRAPPER: Final = "/opt/bootstrap"
LAYER: Final = re.compile(r"arn:[^:]+:lambda:[^:]+:\d{12}:layer:LambdaAdapterLayer(?:X86|Arm64):\d+")
"""The adapter's layers (Lambda Web Adapter guide, "Zip Packages")."""


def uses_adapter(version: FunctionVersion) -> bool:
    """Say whether a version is an application behind the adapter."""
    return version.environment.get(WRAPPER_VARIABLE) == WRAPPER


def wrapper_problem(version: FunctionVersion) -> str | None:
    """Say why the wrapper that a version names cannot be run; None where it can, or there is none."""
    wrapper = version.environment.get(WRAPPER_VARIABLE)
    if not wrapper:
        return None
    if wrapper != WRAPPER:
        return f"{WRAPPER_VARIABLE}={wrapper}: the local cloud runs {WRAPPER} of Lambda Web Adapter only"
    if not any(LAYER.fullmatch(layer) for layer in version.layers):
        return f"{wrapper}: no such file; attach the layer LambdaAdapterLayerX86 or LambdaAdapterLayerArm64"
    return None
