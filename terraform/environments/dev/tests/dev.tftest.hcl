mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/tailcast-dev-inference-execution" }
  }
  mock_resource "aws_cloudwatch_log_group" {
    defaults = { arn = "arn:aws:logs:us-east-1:123456789012:log-group:mock" }
  }
  mock_resource "aws_lambda_function" {
    defaults = {
      arn     = "arn:aws:lambda:us-east-1:123456789012:function:tailcast-dev-inference"
      version = "1"
    }
  }
  mock_resource "aws_apigatewayv2_api" {
    defaults = { id = "a1b2c3d4", execution_arn = "arn:aws:execute-api:us-east-1:123456789012:a1b2c3d4" }
  }
}

variables {
  variant              = "baseline"
  package_path         = "inference.zip"
  package_base64sha256 = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
  handler              = "functions.inference.handler.handle"
  runtime              = "python3.12"
}

run "baseline_gets_its_configuration" {
  command = apply

  assert {
    condition     = output.versions == { baseline = "1" } && output.alias_names == { baseline = "baseline", live = "live" }
    error_message = "There must be a baseline and a live alias, and no candidate."
  }

  assert {
    condition     = output.function_name == "tailcast-dev-inference" && output.log_group_name == "/aws/lambda/tailcast-dev-inference"
    error_message = "Names do not follow the environment."
  }
}

run "optimized_is_the_same_function_with_other_settings" {
  command = apply

  variables {
    variant           = "optimized"
    baseline_version  = "1"
    optimized_version = "2"
  }

  assert {
    condition     = output.versions == { baseline = "1", optimized = "2" }
    error_message = "The pins must be what the aliases point at."
  }

  assert {
    condition     = output.provisioned_versions == { "1" = 1, "2" = 1 }
    error_message = "Both pinned versions must be kept ready."
  }
}

run "a_timeout_beyond_the_gateways_is_refused" {
  command = plan

  variables {
    timeout_s = 60
  }

  expect_failures = [var.timeout_s]
}

run "an_unknown_variant_is_refused" {
  command = plan

  variables {
    variant = "canary"
  }

  expect_failures = [var.variant]
}

run "a_temperature_above_one_is_refused" {
  command = plan

  variables {
    variants = {
      baseline  = { model_id = "amazon.nova-lite-v1:0", temperature = 1.5 }
      optimized = { model_id = "amazon.nova-lite-v1:0" }
    }
  }

  expect_failures = [var.variants]
}
