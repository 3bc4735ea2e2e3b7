"""Lambda's control plane: moto's, with revisions, true versions, checked aliases and policies by qualifier.

Moto gives no public way to its functions by name; what is private there is read here and nowhere else, and the project
pins moto's minor version.
"""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, ClassVar, Protocol, cast

from moto.awslambda import urls as lambda_urls
from moto.awslambda.exceptions import (
    InvalidParameterValueException,
    LambdaClientError,
    PreconditionFailedException,
    UnknownFunctionException,
)
from moto.awslambda.models import LambdaAlias, LambdaBackend, LambdaFunction
from moto.awslambda.policy import Policy
from moto.awslambda.responses import LambdaResponse

from replay.cloud.control_plane.aliases import additional_weights, check_name, check_routing
from replay.cloud.control_plane.extension import addresses
from replay.cloud.control_plane.function_urls import FunctionUrl, FunctionUrls
from replay.cloud.control_plane.functions import DeployedFunction, new_revision
from replay.cloud.control_plane.provisioned_concurrency import ProvisionedConfigs, ProvisionedPlane

MIN_UNRESERVED = 100
"""Concurrency that an account keeps for functions without a reservation (Lambda quotas)."""


class Plane(ProvisionedPlane, Protocol):
    """What the control plane tells the data plane; any thread may call it."""

    def prepare(self, function: str, version: str) -> None:
        """Get ready for a version that was just published."""
        ...

    def retire(self, function: str, version: str | None) -> None:
        """End the environments of a version, or of all."""
        ...


class ConflictError(LambdaClientError):
    """409: what is there stands in the way."""

    code = 409

    def __init__(self, message: str) -> None:
        super().__init__("ResourceConflictException", message)


class ExtendedLambdaBackend(LambdaBackend):
    """Moto's Lambda, extended. One reentrant lock orders all changes: moto itself has none."""

    plane: ClassVar[Plane]
    account_concurrency: ClassVar[int] = 1_000
    endpoint_url: ClassVar[str] = ""
    """This server's address, for Function URLs."""

    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        self.lock = threading.RLock()
        self.provisioned = ProvisionedConfigs(self.plane)
        self.function_urls = FunctionUrls(self.endpoint_url)
        self._last_version: dict[str, int] = {}
        self._policies: dict[tuple[str, str], Policy] = {}
        self._splits: dict[tuple[str, str], Mapping[str, float]] = {}

    def split(self, function: str, alias: str) -> Mapping[str, float] | None:
        """Give the versions that an alias points at with their shares, which sum to 1; None where there is no alias.

        The data plane asks for each request, without the lock: a split is replaced as a whole, so that no request sees
        the new primary version with the old weights.
        """
        return self._splits.get((function, alias))

    def reservations(self) -> dict[str, int]:
        """Give every function with reserved concurrency. Asked for each request too, hence without the lock."""
        groups = list(self._lambdas._functions.values())  # noqa: SLF001  (moto's)
        return {
            group["latest"].function_name: int(group["latest"].reserved_concurrency)
            for group in groups
            if group["latest"].reserved_concurrency is not None
        }

    @property
    def _url_module(self) -> SimpleNamespace:
        from replay.cloud.control_plane.lambda_responses import ExtendedLambdaResponse

        functions = "{0}/(?P<api_version>[^/]+)/functions/(?P<function_name>[\\w_:%-]+)"
        added = {
            functions + "/provisioned-concurrency/?$": ExtendedLambdaResponse.dispatch,
            "{0}/(?P<api_version>[^/]+)/account-settings/?$": ExtendedLambdaResponse.dispatch,
            functions + "/urls/?$": ExtendedLambdaResponse.dispatch,
        }
        return addresses(lambda_urls, LambdaResponse, ExtendedLambdaResponse, added)

    # --- functions and versions -------------------------------------------------------------------------------

    def create_function(self, spec: dict[str, Any]) -> LambdaFunction:
        """Create a function, and its first version where ``Publish`` asks for it."""
        with self.lock:
            # Moto's own class leaves two methods for CloudFormation abstract; nothing enforces or calls them.
            function = DeployedFunction(self.account_id, spec, self.region_name)  # type: ignore[abstract]  # as moto itself does
            self._lambdas.put_function(function)
            if not spec.get("Publish"):
                return function
            published = self.publish_version(function.function_name)
            answer = copy.copy(function)
            answer.version = published.version
            answer.revision_id = published.revision_id
            return answer

    def publish_version(
        self,
        function_name: str,
        description: str | None = None,
        code_sha256: str | None = None,
        revision_id: str | None = None,
    ) -> DeployedFunction:
        """Publish ``$LATEST``; where nothing changed since the last version, give that one again.

        A number is never used twice, also when its version was deleted.
        """
        with self.lock:
            latest = cast("DeployedFunction", self._lambdas.get_function_by_name_or_arn_forbid_qualifier(function_name))
            check_revision(revision_id, latest.revision_id)
            if code_sha256 and code_sha256 != latest.code_sha_256:
                raise InvalidParameterValueException(
                    f"CodeSHA256 ({code_sha256}) is different from current CodeSHA256 in $LATEST "
                    f"({latest.code_sha_256}). Please try again with the CodeSHA256 in $LATEST."
                )
            name = latest.function_name
            versions: list[DeployedFunction] = self._lambdas._functions[name]["versions"]  # noqa: SLF001  (moto's)
            if versions and versions[-1].fingerprint() == latest.fingerprint():
                return versions[-1]
            number = self._last_version[name] = self._last_version.get(name, 0) + 1
            version = copy.copy(latest)
            version.set_version(number)
            if description:
                version.description = description
            versions.append(version)
            self._lambdas._arns[version.function_arn] = version  # noqa: SLF001  (moto's)
        self.plane.prepare(name, str(number))
        return version

    def update_function_code(
        self,
        function_name: str,
        qualifier: str | None,  # noqa: ARG002  (the action has none; moto passes it along)
        body: dict[str, Any],
    ) -> dict[str, Any]:
        """Change the code of ``$LATEST``, and publish where asked to."""
        with self.lock:
            function = self._latest(function_name)
            check_revision(body.get("RevisionId"), function.revision_id)
            function.update_function_code(body)
            changed = not body.get("DryRun")
            answer = function
            if changed and body.get("Publish"):
                answer = self.publish_version(function_name)
        if changed:
            self.plane.retire(function.function_name, "$LATEST")
        return answer.get_configuration()

    def update_function_configuration(
        self,
        function_name: str,
        qualifier: str | None,  # noqa: ARG002  (the action has none; moto passes it along)
        body: dict[str, Any],
    ) -> dict[str, Any]:
        """Change the configuration of ``$LATEST``."""
        with self.lock:
            function = self._latest(function_name)
            check_revision(body.get("RevisionId"), function.revision_id)
            configuration = function.update_configuration(body)
        self.plane.retire(function.function_name, "$LATEST")
        return configuration

    def delete_function(self, function_name: str, qualifier: str | None = None) -> None:
        """Delete a function, or one of its versions that no alias points at."""
        with self.lock:
            function = self.get_function(function_name, qualifier)
            name = function.function_name
            qualifier = qualifier or self._lambdas.split_function_arn(f":function:{function_name}")[2]
            if qualifier == "$LATEST":
                raise InvalidParameterValueException("$LATEST version cannot be deleted without deleting the function.")
            if qualifier is None:
                self.provisioned.forget(name)
                self.function_urls.forget(name)
                self._last_version.pop(name, None)
                for owned in (self._policies, self._splits):
                    for key in [key for key in owned if key[0] == name]:
                        del owned[key]
            else:
                users = [
                    alias.name
                    for alias in self.list_aliases(name)
                    if qualifier in (alias.function_version, *additional_weights(_routing(alias)))
                ]
                if users:
                    raise ConflictError(
                        f"Unable to delete version because the following aliases reference it: [{', '.join(users)}]"
                    )
                self.provisioned.forget(name, qualifier)
                self._policies.pop((name, qualifier), None)
            super().delete_function(function_name, qualifier)
        self.plane.retire(name, qualifier)

    def list_functions(self, func_version: str | None = None) -> list[LambdaFunction]:
        """List the functions, with every version where ``func_version`` is ``ALL``."""
        with self.lock:
            if func_version != "ALL":
                return list(self._lambdas.latest())
            names = list(self._lambdas._functions)  # noqa: SLF001  (moto's)
            return [version for name in names for version in self._lambdas.list_versions_by_function(name)]

    def put_function_concurrency(self, function_name: str, reserved_concurrency: str) -> str:
        """Reserve concurrency; the account keeps a part for functions that reserve none."""
        with self.lock:
            function = self._latest(function_name)
            reserved = int(reserved_concurrency)
            others = sum(count for name, count in self.reservations().items() if name != function.function_name)
            # 100 of an account's 1,000; a smaller account of a test keeps the same share.
            keep = min(MIN_UNRESERVED, self.account_concurrency // 10)
            if others + reserved > self.account_concurrency - keep:
                raise InvalidParameterValueException(
                    "Specified ReservedConcurrentExecutions for function decreases account's "
                    f"UnreservedConcurrentExecution below its minimum value of [{keep}]."
                )
            function.reserved_concurrency = reserved
        return cast("str", reserved)

    # --- aliases ----------------------------------------------------------------------------------------------

    def create_alias(
        self, name: str, function_name: str, function_version: str, description: str, routing_config: Any
    ) -> LambdaAlias:
        """Create an alias, its name and routing checked."""
        with self.lock:
            function = self._latest(function_name)
            check_name(name)
            if (function.function_name, name) in self._splits:
                raise ConflictError(f"Alias already exists: {function.function_arn}:{name}")
            check_routing(function_version, routing_config, self._versions(function_name))
            alias = super().create_alias(name, function_name, function_version, description, routing_config)
            self._remember_split(function.function_name, alias)
            return alias

    def update_alias(
        self,
        name: str,
        function_name: str,
        function_version: str | None,
        description: str | None,
        routing_config: Any,
        revision_id: str | None = None,
    ) -> LambdaAlias:
        """Change an alias. What is None stays; a routing configuration without weights takes them away."""
        with self.lock:
            alias = self.get_alias(name, function_name)
            check_revision(revision_id, alias.revision_id)
            version = function_version or alias.function_version
            routing = _routing(alias) if routing_config is None else routing_config
            if function_version is not None:
                self.get_function(function_name, function_version)
            check_routing(version, routing, self._versions(function_name))
            function = self.get_function(function_name).function_name
            self.provisioned.check_alias_change(function, name, routing)
            self.provisioned.alias_moved(function, name, version)  # it may refuse: before the alias is touched
            alias.update(description, version, cast("str", routing))
            alias.revision_id = new_revision()
            self._remember_split(function, alias)
            return alias

    def delete_alias(self, name: str, function_name: str) -> None:
        """Delete an alias and what hangs on it."""
        with self.lock:
            function = self.get_function(function_name).function_name
            self.provisioned.forget(function, name)
            self.function_urls.forget(function, name)
            self._policies.pop((function, name), None)
            self._splits.pop((function, name), None)
            super().delete_alias(name, function_name)

    # --- policies ---------------------------------------------------------------------------------------------

    def add_permission(self, function_name: str, qualifier: str | None, raw: str) -> dict[str, Any]:
        """Add a statement to the policy of a function, version or alias."""
        with self.lock:
            owner, name, qualifier = self._policy_owner(function_name, qualifier)
            request = json.loads(raw)
            check_revision(request.pop("RevisionId", None), owner.revision_id)
            policy = self._policies.setdefault((name, qualifier), Policy(self._latest(name)))
            statement_id = request.get("StatementId")
            if any(statement.get("Sid") == statement_id for statement in policy.statements):
                raise ConflictError(
                    f"The statement id ({statement_id}) provided already exists. Please provide a new statement id, "
                    "or remove the existing statement."
                )
            url_conditions = _url_conditions(request)
            statement, _ = policy.add_statement(json.dumps(request), qualifier or None)
            for operator, condition in url_conditions.items():
                statement.setdefault("Condition", {}).setdefault(operator, {}).update(condition)
            owner.revision_id = policy.revision = new_revision()
            return cast("dict[str, Any]", statement)

    def remove_permission(
        self, function_name: str, sid: str, revision: str | None = None, qualifier: str | None = None
    ) -> None:
        """Take a statement out of a policy."""
        with self.lock:
            owner, name, qualifier = self._policy_owner(function_name, qualifier)
            check_revision(revision, owner.revision_id)
            policy = self._policies.setdefault((name, qualifier), Policy(self._latest(name)))
            policy.del_statement(sid)
            owner.revision_id = policy.revision = new_revision()

    def get_policy(self, function_name: str, qualifier: str | None = None) -> str:
        """Give the policy of a function, version or alias."""
        with self.lock:
            owner, name, qualifier = self._policy_owner(function_name, qualifier)
            policy = self._policies.get((name, qualifier)) or Policy(self._latest(name))
            policy.revision = owner.revision_id
            return policy.wire_format()

    def statements(self, function: str, qualifier: str | None) -> list[dict[str, Any]]:
        """Give the statements that apply to an invocation under ``qualifier`` (None: unqualified)."""
        policy = self._policies.get((function, qualifier or ""))
        return [] if policy is None else list(policy.statements)

    # --- Function URLs ----------------------------------------------------------------------------------------

    def create_url(self, function_name: str, qualifier: str | None, settings: dict[str, Any]) -> FunctionUrl:
        """Give a function, or one of its aliases, a URL."""
        with self.lock:
            name, alias, arn = self._url_owner(function_name, qualifier)
            made = self.function_urls.create(name, alias, arn, settings)
            if made is None:
                raise ConflictError(
                    f"Failed to create function url config for [functionArn = {arn}]: it has one already"
                )
            return made

    def get_url(self, function_name: str, qualifier: str | None) -> FunctionUrl:
        """Give a URL."""
        with self.lock:
            return self.function_urls.get(*self._url_owner(function_name, qualifier)[:2])

    def update_url(self, function_name: str, qualifier: str | None, settings: dict[str, Any]) -> FunctionUrl:
        """Change a URL."""
        with self.lock:
            return self.function_urls.update(*self._url_owner(function_name, qualifier)[:2], settings)

    def delete_url(self, function_name: str, qualifier: str | None) -> None:
        """Take a URL away."""
        with self.lock:
            self.function_urls.delete(*self._url_owner(function_name, qualifier)[:2])

    def list_urls(self, function_name: str) -> list[FunctionUrl]:
        """List a function's URLs."""
        with self.lock:
            return self.function_urls.of_function(self.get_function(function_name).function_name)

    def _url_owner(self, function_name: str, qualifier: str | None) -> tuple[str, str, str]:
        """Give the function, the alias ("": none) and the ARN of both. Versions have no URLs."""
        owner, name, alias = self._policy_owner(function_name, qualifier)
        if alias.isdigit():
            raise InvalidParameterValueException(f"Qualifier {alias} is a version; only aliases and $LATEST have URLs")
        arn = self._latest(name).function_arn
        return name, alias, owner.arn if isinstance(owner, LambdaAlias) else arn

    # --- inner ------------------------------------------------------------------------------------------------

    def _remember_split(self, function: str, alias: LambdaAlias) -> None:
        weights = additional_weights(_routing(alias))
        self._splits[function, alias.name] = {alias.function_version: 1.0 - sum(weights.values()), **weights}

    def _latest(self, function_name: str) -> DeployedFunction:
        return cast("DeployedFunction", self.get_function(function_name))

    def _versions(self, function_name: str) -> set[str]:
        name = self.get_function(function_name).function_name
        return {str(version.version) for version in self._lambdas._functions[name]["versions"]}  # noqa: SLF001  (moto's)

    def _policy_owner(
        self, function_name: str, qualifier: str | None
    ) -> tuple[DeployedFunction | LambdaAlias, str, str]:
        """Give whose revision a policy change changes, the function's plain name, and the qualifier ("": none)."""
        bare, _, in_name = self._lambdas.split_function_arn(f":function:{function_name.rpartition(':function:')[2]}")
        name = bare.rpartition(":")[2]
        qualifier = in_name or qualifier or ""
        function = self._latest(name)
        if qualifier in ("", "$LATEST"):
            return function, name, ""
        if qualifier.isdigit():
            return cast("DeployedFunction", self.get_function(name, qualifier)), name, qualifier
        if qualifier not in self._lambdas._get_function_aliases(name):  # noqa: SLF001  (moto's)
            raise UnknownFunctionException(f"{function.function_arn}:{qualifier}")
        return self.get_alias(qualifier, name), name, qualifier


def check_revision(given: str | None, current: str) -> None:
    """Refuse a change that was made from an older state. Raises PreconditionFailedException (412)."""
    if given and given != current:
        raise PreconditionFailedException(
            "The RevisionId provided does not match the latest RevisionId for the Lambda function or alias. "
            "Call the GetFunction or the GetAlias API to retrieve the latest RevisionId for your resource."
        )


def _url_conditions(request: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Take the conditions of Function URLs out of an ``AddPermission``, which moto would leave as they are."""
    conditions: dict[str, dict[str, str]] = {}
    if auth_type := request.pop("FunctionUrlAuthType", None):
        conditions["StringEquals"] = {"lambda:FunctionUrlAuthType": str(auth_type)}
    if (via_url := request.pop("InvokedViaFunctionUrl", None)) is not None:
        conditions["Bool"] = {"lambda:InvokedViaFunctionUrl": str(bool(via_url)).lower()}
    return conditions


def _routing(alias: LambdaAlias) -> dict[str, Any] | None:
    return cast("dict[str, Any] | None", alias.routing_config)
