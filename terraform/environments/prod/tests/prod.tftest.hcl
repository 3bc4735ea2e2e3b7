mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/mock" }
  }
  mock_resource "aws_cloudwatch_log_group" {
    defaults = { arn = "arn:aws:logs:us-east-1:123456789012:log-group:mock" }
  }
  mock_resource "aws_lambda_function" {
    defaults = { arn = "arn:aws:lambda:us-east-1:123456789012:function:mock", version = "1" }
  }
  mock_resource "aws_dynamodb_table" {
    defaults = { arn = "arn:aws:dynamodb:us-east-1:123456789012:table/mock" }
  }
  mock_resource "aws_sns_topic" {
    defaults = { arn = "arn:aws:sns:us-east-1:123456789012:mock" }
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

run "it_is_guarded_watched_and_cached" {
  command = apply

  assert {
    condition     = output.auth.mode == "jwt" && output.auth.client_id != null
    error_message = "The API must not be open."
  }

  assert {
    condition     = contains(output.observability.alarms, "tailcast-prod-baseline-p99")
    error_message = "Nobody would notice a slow baseline."
  }

  assert {
    condition     = local.settings.CACHE_TABLE == "tailcast-prod-answers"
    error_message = "The cache is missing."
  }
}

run "it_is_protected_more_than_the_others" {
  command = plan

  assert {
    condition     = var.auth.mfa == "ON" && var.deletion_protection && var.reserved_concurrency > 0
    error_message = "Production asks for a second factor, keeps its users, and bounds a runaway caller."
  }
}

run "a_budget_needs_somebody_to_tell" {
  command = plan

  variables {
    monthly_budget_usd = 100
  }

  expect_failures = [var.monthly_budget_usd]
}

run "a_budget_is_watched" {
  command = apply

  variables {
    monthly_budget_usd = 100
    observability      = { enabled = true, emails = ["team@example.com"] }
  }

  assert {
    condition     = module.budget[0].budget_name == "tailcast-prod"
    error_message = "The budget is missing."
  }
}
