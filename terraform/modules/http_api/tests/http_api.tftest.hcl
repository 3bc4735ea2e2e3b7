mock_provider "aws" {
  mock_resource "aws_apigatewayv2_api" {
    defaults = { id = "a1b2c3d4", execution_arn = "arn:aws:execute-api:us-east-1:123456789012:a1b2c3d4" }
  }
  mock_resource "aws_apigatewayv2_integration" {
    defaults = { id = "int1" }
  }
  mock_resource "aws_apigatewayv2_authorizer" {
    defaults = { id = "auth1" }
  }
  mock_resource "aws_cloudwatch_log_group" {
    defaults = { arn = "arn:aws:logs:us-east-1:123456789012:log-group:/tailcast/test/access" }
  }
}

variables {
  authorization    = { type = "none" }
  route_keys       = ["POST /genai"]
  name             = "test"
  function_name    = "tailcast-test"
  alias_name       = "live"
  alias_invoke_arn = "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/arn:aws:lambda:us-east-1:123456789012:function:tailcast-test:live/invocations"
}

run "the_route_leads_to_the_alias" {
  command = apply

  assert {
    condition     = aws_apigatewayv2_route.this["POST /genai"].route_key == "POST /genai" && aws_apigatewayv2_route.this["POST /genai"].target == "integrations/int1"
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
    condition     = aws_lambda_permission.invoke["POST /genai"].qualifier == "live"
    error_message = "Without the qualifier the gateway may not invoke the alias, and every call answers 500."
  }

  assert {
    condition     = aws_lambda_permission.invoke["POST /genai"].source_arn == "arn:aws:execute-api:us-east-1:123456789012:a1b2c3d4/*/POST/genai"
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
    condition     = length(regexall("identity|claims|principal|header|path", lower(one(aws_apigatewayv2_stage.default.access_log_settings).format))) == 0
    error_message = "The access log must hold nothing of the caller, nor of what was asked."
  }
}

run "any_method_becomes_a_wildcard_in_the_permission" {
  command = apply

  variables {
    route_keys = ["ANY /genai"]
  }

  assert {
    condition     = aws_lambda_permission.invoke["ANY /genai"].source_arn == "arn:aws:execute-api:us-east-1:123456789012:a1b2c3d4/*/*/genai"
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
    route_keys = ["/genai"]
  }

  expect_failures = [var.route_keys]
}

run "both_names_of_the_route_lead_to_the_function" {
  command = apply

  variables {
    route_keys = ["POST /ai", "POST /genai"]
  }

  assert {
    condition     = toset([for permission in aws_lambda_permission.invoke : permission.source_arn]) == toset(["arn:aws:execute-api:us-east-1:123456789012:a1b2c3d4/*/POST/ai", "arn:aws:execute-api:us-east-1:123456789012:a1b2c3d4/*/POST/genai"])
    error_message = "Each route needs a permission of its own, and nothing more."
  }
}

run "a_token_is_asked_for_on_every_route" {
  command = apply

  variables {
    authorization = { type = "jwt", issuer = "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_abc", audience = ["client1"], scopes = ["api/ask"] }
  }

  assert {
    condition     = alltrue([for route in aws_apigatewayv2_route.this : route.authorization_type == "JWT" && route.authorizer_id == "auth1" && route.authorization_scopes == toset(["api/ask"])])
    error_message = "A route is open, or does not ask for the scope."
  }

  assert {
    condition     = one(aws_apigatewayv2_authorizer.jwt[0].jwt_configuration).issuer == "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_abc" && one(aws_apigatewayv2_authorizer.jwt[0].jwt_configuration).audience == toset(["client1"])
    error_message = "The tokens of somebody else would do."
  }

  assert {
    condition     = length(aws_lambda_permission.authorize) == 0
    error_message = "There is no function to permit."
  }
}

run "a_key_is_asked_for_on_every_route" {
  command = apply

  variables {
    authorization = { type = "api_key", authorizer_invoke_arn = "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/arn:aws:lambda:us-east-1:123456789012:function:keys/invocations", authorizer_function_name = "keys", cache_s = 60 }
  }

  assert {
    condition     = alltrue([for route in aws_apigatewayv2_route.this : route.authorization_type == "CUSTOM" && route.authorizer_id == "auth1"])
    error_message = "A route is open."
  }

  assert {
    condition     = aws_apigatewayv2_authorizer.api_key[0].authorizer_result_ttl_in_seconds == 60 && aws_apigatewayv2_authorizer.api_key[0].enable_simple_responses
    error_message = "The authorizer's word is not kept as long as asked for."
  }

  assert {
    condition     = aws_apigatewayv2_authorizer.api_key[0].identity_sources == toset(["$request.header.x-api-key"])
    error_message = "The authorizer's word on one key would be taken for another's."
  }

  assert {
    condition     = aws_lambda_permission.authorize[0].source_arn == "arn:aws:execute-api:us-east-1:123456789012:a1b2c3d4/authorizers/auth1"
    error_message = "The gateway must be allowed to ask, for this authorizer only."
  }
}

run "pages_of_named_origins_may_call" {
  command = apply

  variables {
    cors = { allow_origins = ["https://app.example.com"], allow_credentials = true }
  }

  assert {
    condition     = one(aws_apigatewayv2_api.this.cors_configuration).allow_origins == toset(["https://app.example.com"]) && contains(one(aws_apigatewayv2_api.this.cors_configuration).expose_headers, "x-request-id")
    error_message = "The origin may not call, or not read the request id."
  }

  assert {
    condition     = one(aws_apigatewayv2_api.this.cors_configuration).allow_methods == toset(["POST"])
    error_message = "Pages may do more than ask."
  }
}

run "a_key_of_the_accounts_encrypts_the_access_log" {
  command = plan

  variables {
    kms_key_arn = "arn:aws:kms:us-east-1:123456789012:key/abc"
  }

  assert {
    condition     = aws_cloudwatch_log_group.access.kms_key_id == var.kms_key_arn
    error_message = "The key is not used."
  }
}

run "credentials_for_everyone_are_refused" {
  command = plan

  variables {
    cors = { allow_origins = ["*"], allow_credentials = true }
  }

  expect_failures = [var.cors]
}

run "an_origin_with_a_path_is_refused" {
  command = plan

  variables {
    cors = { allow_origins = ["https://app.example.com/page"] }
  }

  expect_failures = [var.cors]
}

run "preflights_are_not_asked_for_credentials" {
  command = plan

  variables {
    route_keys    = ["ANY /genai"]
    cors          = { allow_origins = ["https://app.example.com"] }
    authorization = { type = "jwt", issuer = "https://issuer.example.com", audience = ["web"] }
  }

  expect_failures = [var.cors]
}

run "an_unknown_authorization_is_refused" {
  command = plan

  variables {
    authorization = { type = "basic" }
  }

  expect_failures = [var.authorization]
}

run "a_token_of_any_audience_is_refused" {
  command = plan

  variables {
    authorization = { type = "jwt", issuer = "https://example.com" }
  }

  expect_failures = [var.authorization]
}

run "a_route_may_have_a_throttle_of_its_own" {
  command = plan

  variables {
    route_keys      = ["POST /ai", "POST /genai"]
    route_throttles = { "POST /ai" = { rate_rps = 2, burst = 4 } }
  }

  assert {
    condition     = { for route in aws_apigatewayv2_stage.default.route_settings : route.route_key => [route.throttling_rate_limit, route.throttling_burst_limit] } == { "POST /ai" = [2, 4] }
    error_message = "One route has its own throttle, the other the stage's."
  }
}

run "a_throttle_of_no_route_is_refused" {
  command = plan

  variables {
    route_throttles = { "GET /other" = { rate_rps = 2, burst = 4 } }
  }

  expect_failures = [var.route_throttles]
}

run "every_other_value_out_of_its_range_is_refused" {
  command = plan

  variables {
    name               = "with space"
    throttle_rate_rps  = 0
    log_retention_days = 2
    authorization      = { type = "none", cache_s = 3601 }
  }

  expect_failures = [var.name, var.throttle_rate_rps, var.log_retention_days, var.authorization]
}
