"""API Gateway v2: moto's, with an address where the API really answers, and ``UpdateStage``."""

from __future__ import annotations

import json
from datetime import datetime
from types import SimpleNamespace
from typing import Any, ClassVar, cast

from moto.apigateway import urls as rest_urls
from moto.apigateway.models import APIGatewayBackend
from moto.apigatewayv2 import urls as apigateway_urls
from moto.apigatewayv2.models import Api, ApiGatewayV2Backend, Stage
from moto.apigatewayv2.responses import ApiGatewayV2Response
from moto.core.common_types import TYPE_RESPONSE

from replay.cloud.control_plane.extension import addresses

STAGE_FIELDS = {
    "accessLogSettings": "access_log_settings",
    "autoDeploy": "auto_deploy",
    "clientCertificateId": "client_certificate_id",
    "defaultRouteSettings": "default_route_settings",
    "description": "description",
    "routeSettings": "route_settings",
    "stageVariables": "stage_variables",
}
"""Request field → attribute of moto's stage."""


class ExtendedApiGatewayBackend(ApiGatewayV2Backend):
    """Moto's API Gateway v2, extended."""

    endpoint_url: ClassVar[str] = ""

    @property
    def _url_module(self) -> SimpleNamespace:
        return addresses(apigateway_urls, ApiGatewayV2Response, ExtendedApiGatewayResponse)

    def create_api(self, *args: Any, **kwargs: Any) -> Api:
        """Create an API whose ``ApiEndpoint`` is an address on this server."""
        api = super().create_api(*args, **kwargs)
        if api.protocol_type == "HTTP":
            api.api_endpoint = f"{self.endpoint_url}/_aws/execute-api/{api.api_id}"
        return api

    def update_stage(self, api_id: str, stage_name: str, changes: dict[str, Any]) -> Stage:
        """Change a stage; what is not named stays."""
        stage = self.get_stage(api_id, stage_name)
        for field, attribute in STAGE_FIELDS.items():
            if field in changes:
                setattr(stage, attribute, changes[field])
        stage.updated = datetime.now()
        return stage


class RestApiBackend(APIGatewayBackend):
    """Moto's API Gateway (v1). Both versions share a host, and moto lets this one answer v2's addresses too."""

    @property
    def _url_module(self) -> SimpleNamespace:
        return addresses(rest_urls, ApiGatewayV2Response, ExtendedApiGatewayResponse)


class ExtendedApiGatewayResponse(ApiGatewayV2Response):
    """Moto's API Gateway v2 actions with ours."""

    def update_stage(self) -> TYPE_RESPONSE:
        """``UpdateStage``."""
        parts = self.path.rstrip("/").split("/")
        backend = cast("ExtendedApiGatewayBackend", self.apigatewayv2_backend)
        stage = backend.update_stage(parts[-3], parts[-1].replace("%24", "$"), json.loads(self.body))
        return 200, {}, json.dumps(stage.to_json())
