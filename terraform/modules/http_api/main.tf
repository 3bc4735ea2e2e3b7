locals {
  method = split(" ", var.route_key)[0]
  path   = split(" ", var.route_key)[1]
}

resource "aws_apigatewayv2_api" "this" {
  name          = var.name
  description   = "Generative-AI API, served by the weighted alias of ${var.function_name}."
  protocol_type = "HTTP"
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

resource "aws_apigatewayv2_route" "this" {
  api_id    = aws_apigatewayv2_api.this.id
  route_key = var.route_key
  target    = "integrations/${aws_apigatewayv2_integration.this.id}"
}

resource "aws_cloudwatch_log_group" "access" {
  name              = "/tailcast/${var.name}/access"
  retention_in_days = var.log_retention_days
}

resource "aws_apigatewayv2_stage" "default" {
  api_id      = aws_apigatewayv2_api.this.id
  name        = "$default"
  auto_deploy = true

  default_route_settings {
    throttling_rate_limit  = var.throttle_rate_rps
    throttling_burst_limit = var.throttle_burst
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
    })
  }
}

resource "aws_lambda_permission" "invoke" {
  statement_id  = "AllowHttpApi"
  action        = "lambda:InvokeFunction"
  function_name = var.function_name
  qualifier     = var.alias_name
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${aws_apigatewayv2_api.this.execution_arn}/*/${local.method == "ANY" ? "*" : local.method}${local.path}"
}
