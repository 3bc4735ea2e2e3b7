"""Put the extensions in the place of moto's backends, and make moto's application."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from moto.apigateway.models import apigateway_backends
from moto.apigatewayv2.models import apigatewayv2_backends
from moto.applicationautoscaling.models import applicationautoscaling_backends
from moto.awslambda.models import lambda_backends
from moto.budgets.models import budgets_backends
from moto.cloudwatch.models import cloudwatch_backends
from moto.core.base_backend import BackendDict
from moto.logs.models import logs_backends
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from replay.cloud.control_plane.api_gateway import ExtendedApiGatewayBackend, RestApiBackend
from replay.cloud.control_plane.autoscaling import ExtendedAutoscalingBackend
from replay.cloud.control_plane.budgets import ExtendedBudgetsBackend
from replay.cloud.control_plane.functions import DeployedFunction, RunFunction
from replay.cloud.control_plane.lambda_backend import ExtendedLambdaBackend, Plane
from replay.cloud.control_plane.logs import ExtendedLogsBackend
from replay.cloud.control_plane.metrics import ExtendedCloudWatchBackend


def install(
    plane: Plane,
    run_function: RunFunction,
    *,
    endpoint_url: str,
    account_concurrency: int,
    visible_after_s: Callable[[str], float],
) -> Any:
    """Extend moto in this process, once, before its first request; give its WSGI application.

    Moto makes a backend for an account and region when it is first asked for, from the class that its
    ``BackendDict`` names: naming our subclass there is all it takes.

    Parameters
    ----------
    plane
        The data plane, as far as the control plane steers it.
    run_function
        Invokes a function for moto's event sources; called from moto's threads.
    endpoint_url
        Address of this server.
    account_concurrency
        The account's concurrency limit.
    visible_after_s
        Signing name of a service → how late log lines and metrics can be read.
    """
    ExtendedLambdaBackend.plane = plane
    ExtendedLambdaBackend.account_concurrency = account_concurrency
    ExtendedLambdaBackend.endpoint_url = endpoint_url
    ExtendedLogsBackend.visible_after_s = staticmethod(visible_after_s)
    ExtendedCloudWatchBackend.visible_after_s = staticmethod(visible_after_s)
    DeployedFunction.run_function = staticmethod(run_function)
    ExtendedApiGatewayBackend.endpoint_url = endpoint_url
    extensions: tuple[tuple[BackendDict[Any], type], ...] = (
        (lambda_backends, ExtendedLambdaBackend),
        (logs_backends, ExtendedLogsBackend),
        (cloudwatch_backends, ExtendedCloudWatchBackend),
        (apigatewayv2_backends, ExtendedApiGatewayBackend),
        (apigateway_backends, RestApiBackend),
        (applicationautoscaling_backends, ExtendedAutoscalingBackend),
        (budgets_backends, ExtendedBudgetsBackend),
    )
    for backends, extension in extensions:
        if len(backends):
            raise RuntimeError(f"moto's {backends.service_name} is in use already; extend it before the first request")
        backends.backend = extension
    return DomainDispatcherApplication(create_backend_app)
