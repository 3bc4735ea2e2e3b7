"""Lambda's actions over HTTP: those that moto lacks, and those whose parameters it drops."""

from __future__ import annotations

import json
from typing import Any, cast
from urllib.parse import unquote

from moto.awslambda.exceptions import InvalidParameterValueException
from moto.awslambda.responses import LambdaResponse
from moto.core.common_types import TYPE_RESPONSE

from replay.cloud.control_plane.aliases import additional_weights
from replay.cloud.control_plane.lambda_backend import ExtendedLambdaBackend


class ExtendedLambdaResponse(LambdaResponse):
    """Moto's Lambda actions with ours."""

    @property
    def _extended(self) -> ExtendedLambdaBackend:
        return cast("ExtendedLambdaBackend", self.backend)

    def _part(self, index: int) -> str:
        """Give a decoded part of the path, counted from its end."""
        return unquote(self.path.rstrip("/").split("/")[index])

    def _query(self, name: str) -> str | None:
        return cast("str | None", self.querystring.get(name, [None])[0])

    # --- revisions --------------------------------------------------------------------------------------------

    def update_alias(self) -> TYPE_RESPONSE:
        """``UpdateAlias`` with ``RevisionId``."""
        params = self.json_body
        alias = self._extended.update_alias(
            name=self._part(-1),
            function_name=self._part(-3),
            function_version=params.get("FunctionVersion"),
            description=params.get("Description"),
            routing_config=params.get("RoutingConfig"),
            revision_id=params.get("RevisionId"),
        )
        return _answer(alias.to_json())

    def get_alias(self) -> TYPE_RESPONSE:
        """``GetAlias`` (moto answers 201)."""
        alias = self._extended.get_alias(name=self._part(-1), function_name=self._part(-3))
        return _answer(alias.to_json())

    def delete_alias(self) -> TYPE_RESPONSE:
        """``DeleteAlias`` (moto answers 201)."""
        self._extended.delete_alias(name=self._part(-1), function_name=self._part(-3))
        return _answer(None, 204)

    def list_aliases(self) -> TYPE_RESPONSE:
        """``ListAliases`` with ``FunctionVersion``."""
        version = self._query("FunctionVersion")
        aliases = [
            alias.to_json()
            for alias in self._extended.list_aliases(self._part(-2))
            if version is None
            or version in (alias.function_version, *additional_weights(cast("Any", alias.routing_config)))
        ]
        return _answer({"Aliases": aliases})

    def publish_version(self) -> TYPE_RESPONSE:
        """``PublishVersion`` with ``RevisionId`` and ``CodeSha256``."""
        params = self.json_body if self.body else {}
        version = self._extended.publish_version(
            self._part(-2), params.get("Description"), params.get("CodeSha256"), params.get("RevisionId")
        )
        return _answer(version.get_configuration(), 201)

    def remove_permission(self) -> TYPE_RESPONSE:
        """``RemovePermission`` with ``Qualifier`` and ``RevisionId``."""
        self._extended.remove_permission(
            self._part(-3), self._part(-1), self._query("RevisionId"), self._query("Qualifier")
        )
        return _answer(None, 204)

    # --- provisioned concurrency ------------------------------------------------------------------------------

    def put_provisioned_concurrency_config(self) -> TYPE_RESPONSE:
        """``PutProvisionedConcurrencyConfig``."""
        name, qualifier = self._provisioned_target()
        with self._extended.lock:
            version, weights = self._pointed_at(name, qualifier)
            count = int(self.json_body["ProvisionedConcurrentExecutions"])
            document = self._extended.provisioned.put(name, qualifier, version, weights, count)
        return _answer(document, 202)

    def get_provisioned_concurrency_config(self) -> TYPE_RESPONSE:
        """``GetProvisionedConcurrencyConfig``."""
        name, qualifier = self._provisioned_target()
        self._pointed_at(name, qualifier)
        return _answer(self._extended.provisioned.get(name, qualifier))

    def list_provisioned_concurrency_configs(self) -> TYPE_RESPONSE:
        """``ListProvisionedConcurrencyConfigs``."""
        function = self._extended.get_function(self._part(-2))
        configs = self._extended.provisioned.list_of(function.function_name, function.function_arn)
        return _answer({"ProvisionedConcurrencyConfigs": configs})

    def delete_provisioned_concurrency_config(self) -> TYPE_RESPONSE:
        """``DeleteProvisionedConcurrencyConfig``."""
        name, qualifier = self._provisioned_target()
        with self._extended.lock:
            self._extended.provisioned.delete(name, qualifier)
        return _answer(None, 204)

    def _provisioned_target(self) -> tuple[str, str]:
        function = self._extended.get_function(self._part(-2))
        qualifier = self._query("Qualifier")
        if not qualifier:
            raise InvalidParameterValueException("Qualifier must be a version number or an alias name")
        return function.function_name, qualifier

    def _pointed_at(self, function: str, qualifier: str) -> tuple[str, dict[str, float]]:
        """Give the version a qualifier points at, and its additional weights. Raises where it does not exist."""
        if qualifier == "$LATEST" or qualifier.isdigit():
            return str(self._extended.get_function(function, qualifier).version), {}
        alias = self._extended.get_alias(qualifier, function)
        return alias.function_version, additional_weights(cast("Any", alias.routing_config))

    # --- Function URLs ----------------------------------------------------------------------------------------

    def create_function_url_config(self) -> TYPE_RESPONSE:
        """``CreateFunctionUrlConfig`` with ``Qualifier``."""
        made = self._extended.create_url(self._part(-2), self._query("Qualifier"), self.json_body)
        return _answer(made.to_document(), 201)

    def get_function_url_config(self) -> TYPE_RESPONSE:
        """``GetFunctionUrlConfig`` with ``Qualifier``."""
        return _answer(self._extended.get_url(self._part(-2), self._query("Qualifier")).to_document())

    def update_function_url_config(self) -> str:
        """``UpdateFunctionUrlConfig`` with ``Qualifier``."""
        changed = self._extended.update_url(self._part(-2), self._query("Qualifier"), self.json_body)
        return json.dumps(changed.to_document())

    def delete_function_url_config(self) -> TYPE_RESPONSE:
        """``DeleteFunctionUrlConfig`` with ``Qualifier``."""
        self._extended.delete_url(self._part(-2), self._query("Qualifier"))
        return _answer(None, 204)

    def list_function_url_configs(self) -> TYPE_RESPONSE:
        """``ListFunctionUrlConfigs``."""
        return _answer({"FunctionUrlConfigs": [url.to_document() for url in self._extended.list_urls(self._part(-2))]})

    # --- the account ------------------------------------------------------------------------------------------

    def get_account_settings(self) -> TYPE_RESPONSE:
        """``GetAccountSettings``."""
        functions = list(self._extended.list_functions())
        reserved = sum(int(function.reserved_concurrency or 0) for function in functions)
        total = self._extended.account_concurrency
        limits = {
            "TotalCodeSize": 80_530_636_800,
            "CodeSizeUnzipped": 262_144_000,
            "CodeSizeZipped": 52_428_800,
            "ConcurrentExecutions": total,
            "UnreservedConcurrentExecutions": total - reserved,
        }
        usage = {"TotalCodeSize": sum(function.code_size for function in functions), "FunctionCount": len(functions)}
        return _answer({"AccountLimit": limits, "AccountUsage": usage})


def _answer(document: Any, status: int = 200) -> TYPE_RESPONSE:
    """Answer JSON; moto takes the status from a header of that name."""
    return status, {"status": status}, "" if document is None else json.dumps(document)
