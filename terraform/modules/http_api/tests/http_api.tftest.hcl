mock_provider "aws" {
  mock_resource "aws_apigatewayv2_api" {
    defaults = { id = "a1b2c3d4", execution_arn = "arn:aws:execute-api:us-east-1:123456789012:a1b2c3d4" }
  }
  mock_resource "aws_apigatewayv2_integration" {
    defaults = { id = "int1" }
  }
  mock_resource "aws_cloudwatch_log_group" {
    defaults = { arn = "arn:aws:logs:us-east-1:123456789012:log-group:/tailcast/test/access" }
  }
}

variables {
  name             = "test"
  function_name    = "tailcast-test"
  alias_name       = "live"
  alias_invoke_arn = "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/arn:aws:lambda:us-east-1:123456789012:function:tailcast-test:live/invocations"
}

run "the_route_leads_to_the_alias" {
  command = apply

  assert {
    condition     = aws_apigatewayv2_route.this.route_key == "POST /genai" && aws_apigatewayv2_route.this.target == "integrations/int1"
    error_message = "The route does not lead to the integration."
  }

  assert {
    condition     = aws_apigatewayv2_integration.this.integration_uri == var.alias_invoke_arn && aws_apigatewayv2_integration.this.payload_format_version == "2.0"
    error_message = "The integration must invoke the alias, with payload format 2.0."
  }
}

run "the_permission_is_on_the_alias_and_for_this_route_only" {
  command = apply

  assert {
    condition     = aws_lambda_permission.invoke.qualifier == "live"
    error_message = "Without the qualifier the gateway may not invoke the alias, and every call answers 500."
  }

  assert {
    condition     = aws_lambda_permission.invoke.source_arn == "arn:aws:execute-api:us-east-1:123456789012:a1b2c3d4/*/POST/genai"
    error_message = "The permission must name this API and this route."
  }
}

run "the_stage_is_throttled_and_leaves_a_log" {
  command = apply

  variables {
    throttle_rate_rps = 25
    throttle_burst    = 50
  }

  assert {
    condition     = one(aws_apigatewayv2_stage.default.default_route_settings).throttling_rate_limit == 25 && one(aws_apigatewayv2_stage.default.default_route_settings).throttling_burst_limit == 50
    error_message = "The stage does not have the throttle that was asked for."
  }

  assert {
    condition     = aws_apigatewayv2_stage.default.name == "$default" && aws_apigatewayv2_stage.default.auto_deploy
    error_message = "The default stage must deploy by itself."
  }

  assert {
    condition     = !strcontains(one(aws_apigatewayv2_stage.default.access_log_settings).format, "sourceIp")
    error_message = "The access log must not hold callers' addresses."
  }
}

run "any_method_becomes_a_wildcard_in_the_permission" {
  command = apply

  variables {
    route_key = "ANY /genai"
  }

  assert {
    condition     = aws_lambda_permission.invoke.source_arn == "arn:aws:execute-api:us-east-1:123456789012:a1b2c3d4/*/*/genai"
    error_message = "ANY is not a method that execute-api ARNs know."
  }
}

run "a_burst_of_zero_is_refused" {
  command = plan

  variables {
    throttle_burst = 0
  }

  expect_failures = [var.throttle_burst]
}

run "a_route_without_a_method_is_refused" {
  command = plan

  variables {
    route_key = "/genai"
  }

  expect_failures = [var.route_key]
}
