locals {
  # "POST /genai" -> method and path of the ARN by which a permission names the route.
  routes = {
    for key in var.route_keys : key => "${split(" ", key)[0] == "ANY" ? "*" : split(" ", key)[0]}${split(" ", key)[1]}"
  }
}

resource "aws_apigatewayv2_api" "this" {
  name          = var.name
  description   = "Generative-AI API, served by the weighted alias of ${var.function_name}."
  protocol_type = "HTTP"

  dynamic "cors_configuration" {
    for_each = var.cors == null ? [] : [var.cors]

    content {
      allow_origins     = cors_configuration.value.allow_origins
      allow_methods     = ["POST"]
      allow_headers     = cors_configuration.value.allow_headers
      expose_headers    = ["x-request-id", "retry-after"]
      allow_credentials = cors_configuration.value.allow_credentials
      max_age           = cors_configuration.value.max_age_s
    }
  }
}

resource "aws_apigatewayv2_integration" "this" {
  api_id                 = aws_apigatewayv2_api.this.id
  integration_type       = "AWS_PROXY"
  integration_method     = "POST"
  integration_uri        = var.alias_invoke_arn
  payload_format_version = "2.0"
  # The most that an HTTP API allows; it cannot be raised.
  timeout_milliseconds = 30000
}

resource "aws_apigatewayv2_authorizer" "jwt" {
  count = var.authorization.type == "jwt" ? 1 : 0

  api_id           = aws_apigatewayv2_api.this.id
  name             = "${var.name}-jwt"
  authorizer_type  = "JWT"
  identity_sources = ["$request.header.Authorization"]

  jwt_configuration {
    issuer   = var.authorization.issuer
    audience = var.authorization.audience
  }
}

resource "aws_apigatewayv2_authorizer" "api_key" {
  count = var.authorization.type == "api_key" ? 1 : 0

  api_id                            = aws_apigatewayv2_api.this.id
  name                              = "${var.name}-api-key"
  authorizer_type                   = "REQUEST"
  authorizer_uri                    = var.authorization.authorizer_invoke_arn
  authorizer_payload_format_version = "2.0"
  enable_simple_responses           = true
  authorizer_result_ttl_in_seconds  = var.authorization.cache_s
  identity_sources                  = ["$request.header.x-api-key"]
}

resource "aws_lambda_permission" "authorize" {
  count = var.authorization.type == "api_key" ? 1 : 0

  statement_id  = "AllowHttpApiToAuthorize"
  action        = "lambda:InvokeFunction"
  function_name = var.authorization.authorizer_function_name
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${aws_apigatewayv2_api.this.execution_arn}/authorizers/${aws_apigatewayv2_authorizer.api_key[0].id}"
}

resource "aws_apigatewayv2_route" "this" {
  #checkov:skip=CKV_AWS_309:authorization has no default; that it is NONE has to be said, as only dev does
  for_each = local.routes

  api_id               = aws_apigatewayv2_api.this.id
  route_key            = each.key
  target               = "integrations/${aws_apigatewayv2_integration.this.id}"
  authorization_type   = { none = "NONE", jwt = "JWT", api_key = "CUSTOM" }[var.authorization.type]
  authorizer_id        = one(concat(aws_apigatewayv2_authorizer.jwt[*].id, aws_apigatewayv2_authorizer.api_key[*].id))
  authorization_scopes = var.authorization.type == "jwt" ? var.authorization.scopes : null
}

resource "aws_cloudwatch_log_group" "access" {
  #checkov:skip=CKV_AWS_338:log_retention_days decides; a year in production, less elsewhere
  #checkov:skip=CKV_AWS_158:kms_key_arn chooses a key of the account's; AWS's own encrypts otherwise
  name              = "/tailcast/${var.name}/access"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn == "" ? null : var.kms_key_arn
}

resource "aws_apigatewayv2_stage" "default" {
  api_id      = aws_apigatewayv2_api.this.id
  name        = "$default"
  auto_deploy = true

  default_route_settings {
    detailed_metrics_enabled = true
    throttling_rate_limit    = var.throttle_rate_rps
    throttling_burst_limit   = var.throttle_burst
  }

  dynamic "route_settings" {
    for_each = var.route_throttles

    content {
      route_key                = route_settings.key
      detailed_metrics_enabled = true
      throttling_rate_limit    = route_settings.value.rate_rps
      throttling_burst_limit   = route_settings.value.burst
    }
  }

  # Times and outcomes; nothing of the caller or of what was asked.
  access_log_settings {
    destination_arn = aws_cloudwatch_log_group.access.arn
    format = jsonencode({
      requestId            = "$context.requestId"
      integrationRequestId = "$context.integration.requestId"
      time                 = "$context.requestTimeEpoch"
      routeKey             = "$context.routeKey"
      status               = "$context.status"
      integrationStatus    = "$context.integration.integrationStatus"
      integrationLatency   = "$context.integrationLatency"
      responseLatency      = "$context.responseLatency"
      responseLength       = "$context.responseLength"
      error                = "$context.error.message"
      authorizerError      = "$context.authorizer.error"
    })
  }

  # Its route settings name them.
  depends_on = [aws_apigatewayv2_route.this]
}

resource "aws_lambda_permission" "invoke" {
  for_each = local.routes

  statement_id  = "AllowHttpApi-${md5(each.key)}"
  action        = "lambda:InvokeFunction"
  function_name = var.function_name
  qualifier     = var.alias_name
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${aws_apigatewayv2_api.this.execution_arn}/*/${each.value}"
}
