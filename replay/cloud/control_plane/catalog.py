"""The functions as the data plane sees them: names resolved, weights read, versions ready to run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, cast

from moto.awslambda.exceptions import LambdaClientError
from moto.awslambda.models import lambda_backends

from replay.cloud.control_plane.functions import DeployedFunction
from replay.cloud.control_plane.lambda_backend import ExtendedLambdaBackend
from replay.cloud.lambda_plane.ports import FunctionVersion, Route, UnknownFunctionError

_NAME: Final = re.compile(
    r"(?:(?:arn:[^:]+:lambda:[^:]+:)?\d{12}:function:|function:)?(?P<name>[\w-]+)(?::(?P<qualifier>\$LATEST|[\w-]+))?"
)
"""Name, partial ARN or ARN, with or without a qualifier (API reference, Invoke, ``FunctionName``)."""


@dataclass(frozen=True)
class MotoCatalog:
    """Implements :class:`replay.cloud.lambda_plane.ports.FunctionCatalog` on moto's Lambda backend."""

    account: str
    region: str

    @property
    def backend(self) -> ExtendedLambdaBackend:
        """The extended backend of this account and region."""
        return cast("ExtendedLambdaBackend", lambda_backends[self.account][self.region])

    def route(self, function: str, qualifier: str | None) -> Route:
        """Resolve a name or ARN and a qualifier to versions with their weights. Raises UnknownFunctionError."""
        match = _NAME.fullmatch(function)
        if match is None:
            raise UnknownFunctionError(f"Function not found: {self._arn(function)}")
        name, qualifier = match["name"], match["qualifier"] or qualifier or None
        arn = self._arn(name)
        if qualifier is None or qualifier == "$LATEST" or qualifier.isdigit():
            version = qualifier or "$LATEST"
            self._function(name, version)
            invoked = arn if qualifier is None else f"{arn}:{qualifier}"
            return Route(name, version, invoked, {version: 1.0})
        split = self.backend.split(name, qualifier)
        if split is None:
            raise UnknownFunctionError(f"Function not found: {arn}:{qualifier}")
        return Route(name, qualifier, f"{arn}:{qualifier}", split)

    def version(self, function_name: str, version: str) -> FunctionVersion:
        """Give one version. Raises UnknownFunctionError."""
        return self._function(function_name, version).snapshot()

    def reserved_concurrency(self, function_name: str) -> int | None:
        """Give a function's reserved concurrency, None where it has none."""
        reserved = self._function(function_name, "$LATEST").reserved_concurrency
        return None if reserved is None else int(reserved)

    def account_reserved(self) -> Mapping[str, int]:
        """Give every function that has reserved concurrency."""
        return self.backend.reservations()

    def _function(self, name: str, version: str) -> DeployedFunction:
        try:
            return cast("DeployedFunction", self.backend.get_function(name, version))
        except LambdaClientError as error:
            arn = self._arn(name)
            where = arn if version == "$LATEST" else f"{arn}:{version}"
            raise UnknownFunctionError(f"Function not found: {where}") from error

    def _arn(self, name: str) -> str:
        return f"arn:aws:lambda:{self.region}:{self.account}:function:{name}"
