"""After the last step: the candidate becomes the baseline, and the old version is let go once it is quiet.

With a deployment of ours (a state folder), Terraform itself does both, by the pins that it reads: so it has nothing
left to plan. Without one, the ``baseline`` alias is moved, where there is one.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from replay.aws import cloud_errors, error_code
from replay.canary.ports import Clock
from replay.deploy import DeployRequest, promote
from replay.errors import CloudError, ReplayError

BASELINE_ALIAS: Final = "baseline"


class TerraformPromotion:
    """See :class:`replay.canary.ports.Promotion`: by the deployment's pins.

    The pins hold back (``held_versions``) what ``live`` still routes to, and give up the rest; ``live`` is at 100 % by
    now, so the old version's provisioned concurrency goes with the apply that moves the pin. It is therefore made only
    when the old version is quiet: :meth:`pin` does nothing but check, :meth:`release` applies.

    Parameters
    ----------
    request
        The deployment.
    candidate
        Version that must be the one pinned as ``optimized``.
    quiet
        Says whether the old version still runs requests.
    """

    def __init__(self, request: DeployRequest, candidate: str, quiet: QuietVersion) -> None:
        self._request = request
        self._candidate = candidate
        self._quiet = quiet

    def pin(self) -> None:
        """Do nothing before the old version is quiet: see the class."""

    def busy(self) -> bool:
        """Say whether the old version still runs requests."""
        return self._quiet.busy()

    def release(self) -> None:
        """Apply the moved pin. Running it again changes nothing."""
        try:
            deployment = promote(self._request)
        except ReplayError as error:
            raise CloudError(f"promotion: {error}") from error
        pinned = deployment.versions.get("baseline")
        if pinned != self._candidate:
            raise CloudError(
                f"promotion: the deployment pins version {pinned} as baseline, not {self._candidate}; "
                "deploy the candidate from this state folder, or promote it by hand"
            )


class AliasPromotion:
    """See :class:`replay.canary.ports.Promotion`: without Terraform, by the ``baseline`` alias.

    Parameters
    ----------
    client
        A boto3 ``lambda`` client.
    function, candidate, old
        The function, its new and its old version.
    quiet
        Says whether the old version still runs requests.
    """

    def __init__(self, client: Any, function: str, candidate: str, old: str, quiet: QuietVersion) -> None:
        self._client = client
        self._function = function
        self._candidate = candidate
        self._old = old
        self._quiet = quiet

    def pin(self) -> None:
        """Point the alias ``baseline`` at the candidate; a function without one has nothing to move."""
        from botocore.exceptions import ClientError

        with cloud_errors(f"alias {self._function}:{BASELINE_ALIAS}"):
            try:
                self._client.update_alias(
                    FunctionName=self._function, Name=BASELINE_ALIAS, FunctionVersion=self._candidate
                )
            except ClientError as error:
                if error_code(error) != "ResourceNotFoundException":
                    raise

    def busy(self) -> bool:
        """Say whether the old version still runs requests."""
        return self._quiet.busy()

    def release(self) -> None:
        """Give up the old version's provisioned concurrency, where it has some."""
        from botocore.exceptions import ClientError

        with cloud_errors(f"provisioned concurrency of {self._function}:{self._old}"):
            try:
                self._client.delete_provisioned_concurrency_config(FunctionName=self._function, Qualifier=self._old)
            except ClientError as error:
                if error_code(error) not in (
                    "ProvisionedConcurrencyConfigNotFoundException",
                    "ResourceNotFoundException",
                ):
                    raise


class QuietVersion:
    """Whether a version ran requests of late, as CloudWatch has it.

    Parameters
    ----------
    cloudwatch
        A boto3 ``cloudwatch`` client.
    function, alias, version
        Which.
    clock
        Time.
    """

    def __init__(self, cloudwatch: Any, function: str, alias: str, version: str, clock: Clock) -> None:
        self._cloudwatch = cloudwatch
        self._function = function
        self._alias = alias
        self._version = version
        self._clock = clock
        self._from_s: float | None = None

    def busy(self) -> bool:
        """Say whether the version ran requests in a minute that began after the first time this was asked.

        CloudWatch counts by the minute, so the minute of the shift itself tells nothing.
        """
        now_s = self._clock.now_s()
        if self._from_s is None:
            self._from_s = -(-now_s // 60) * 60
        start_s = max(self._from_s, now_s // 60 * 60 - 60)
        if now_s <= start_s:
            return False
        start, end = (datetime.fromtimestamp(at_s, UTC) for at_s in (start_s, now_s + 60))
        try:
            with cloud_errors("GetMetricStatistics"):
                answer = self._cloudwatch.get_metric_statistics(
                    Namespace="AWS/Lambda",
                    MetricName="Invocations",
                    Dimensions=[
                        {"Name": "FunctionName", "Value": self._function},
                        {"Name": "Resource", "Value": f"{self._function}:{self._alias}"},
                        {"Name": "ExecutedVersion", "Value": self._version},
                    ],
                    StartTime=start,
                    EndTime=end,
                    Period=60,
                    Statistics=["Sum"],
                )
        except CloudError:
            # Without the metric the plan's drain time alone decides.
            return False
        return any(point["Sum"] > 0 for point in answer.get("Datapoints", ()))
