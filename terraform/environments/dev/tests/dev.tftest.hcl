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
  mock_resource "aws_dynamodb_table" {
    defaults = { arn = "arn:aws:dynamodb:us-east-1:123456789012:table/mock" }
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

run "every_tier_knows_its_model_price_and_limit" {
  command = apply

  assert {
    condition     = jsondecode(local.settings.TIERS).standard.model_id == "us.anthropic.claude-haiku-4-5-20251001-v1:0" && jsondecode(local.settings.TIERS).standard.usd_per_million.output == 5.5
    error_message = "The default tier must be the variant's, with its model's price."
  }

  assert {
    condition     = jsondecode(local.settings.TIERS).reasoning.fallback == "standard" && jsondecode(local.settings.TIERS).fast.cache_minimum_tokens == 1024
    error_message = "A tier lacks what was configured."
  }

  assert {
    condition     = length(local.settings.TIERS) + sum([for value in values(local.settings) : length(value)]) < 4096
    error_message = "Lambda allows 4 KB of environment variables."
  }
}

run "the_cache_is_off_unless_asked_for" {
  command = plan

  assert {
    condition     = length(module.cache) == 0 && local.settings.CACHE_TABLE == ""
    error_message = "Nobody asked for a cache."
  }
}

run "the_cache_brings_table_right_and_settings" {
  command = apply

  variables {
    cache = { enabled = true, ttl_s = 60 }
  }

  assert {
    condition     = local.settings.CACHE_TABLE == "tailcast-dev-answers" && local.settings.CACHE_TTL_S == "60"
    error_message = "The function does not know of its cache."
  }
}

run "streaming_is_off_unless_asked_for_and_then_signed_and_the_baseline" {
  command = apply

  variables {
    variant           = "optimized"
    streaming         = { enabled = true }
    streaming_package = { path = "stream.zip", base64sha256 = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", handler = "functions/stream/run.sh" }
  }

  assert {
    condition     = run.every_tier_knows_its_model_price_and_limit.streaming == null
    error_message = "Nobody asked for streaming."
  }

  assert {
    condition     = output.streaming.function_name == "tailcast-dev-stream"
    error_message = "The streaming function is missing."
  }

  assert {
    condition     = local.model_settings.baseline.MODEL_ID == var.variants.baseline.model_id && local.settings.MODEL_ID == var.variants.optimized.model_id
    error_message = "A canary of the API must not change what is streamed."
  }
}

run "tokens_are_those_of_a_pool_of_its_own" {
  command = apply

  variables {
    auth = { mode = "jwt" }
  }

  assert {
    condition     = output.auth.mode == "jwt" && output.auth.client_id != null && output.auth.keys_table == null
    error_message = "The pool is missing."
  }
}

run "or_of_another_issuer" {
  command = apply

  variables {
    auth = { mode = "jwt", issuer = "https://login.example.com", audience = ["tailcast"] }
  }

  assert {
    condition     = output.auth.issuer == "https://login.example.com" && length(module.user_pool) == 0
    error_message = "The other issuer was to be used."
  }
}

run "keys_bring_an_authorizer" {
  command = apply

  variables {
    auth               = { mode = "api_key" }
    authorizer_package = { path = "authorizer.zip", base64sha256 = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", handler = "functions.authorizer.handler.handle" }
  }

  assert {
    condition     = output.auth.keys_table == "tailcast-dev-api-keys" && local.settings.RATE_TABLE == "tailcast-dev-key-rates"
    error_message = "The table of keys is missing, or the function does not know where their rates are kept."
  }
}

run "an_api_must_say_who_may_call" {
  command = plan

  variables {
    auth = { mode = "open" }
  }

  expect_failures = [var.auth]
}

run "the_default_tier_is_described_once" {
  command = plan

  variables {
    tiers = { standard = { model_id = "amazon.nova-lite-v1:0" } }
  }

  expect_failures = [var.tiers]
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

run "what_bedrock_does_not_know_of_a_variant_is_refused" {
  command = plan

  variables {
    variants = {
      baseline  = { model_id = "amazon.nova-lite-v1:0", latency = "fast" }
      optimized = { model_id = "amazon.nova-lite-v1:0", service_tier = "gold" }
    }
  }

  expect_failures = [var.variants]
}

run "a_fallback_that_is_no_tier_is_refused" {
  command = plan

  variables {
    variants = {
      baseline  = { model_id = "amazon.nova-lite-v1:0", fallback = "cheap" }
      optimized = { model_id = "amazon.nova-lite-v1:0" }
    }
  }

  expect_failures = [var.variants]
}

run "a_tiers_fallback_that_is_no_tier_is_refused" {
  command = plan

  variables {
    tiers = { fast = { model_id = "amazon.nova-micro-v1:0", fallback = "cheap" } }
  }

  expect_failures = [var.tiers]
}

run "a_name_that_is_none_is_refused" {
  command = plan

  variables {
    name = "-"
  }

  expect_failures = [var.name]
}

run "names_that_no_role_can_have_are_refused" {
  command = plan

  variables {
    name        = "a-name-of-thirty-characters-it"
    environment = "environment1"
  }

  expect_failures = [var.name]
}

run "dev_is_throttled_to_a_trickle" {
  command = plan

  assert {
    condition     = var.throttle_rate_rps == 5 && var.throttle_burst == 10 && length(var.route_throttles) == 0
    error_message = "Dev is open to anyone, so it must let little through."
  }
}

run "versions_scale_where_asked_for" {
  command = apply

  variables {
    baseline_version        = "1"
    provisioned_autoscaling = { baseline = { max = 3 } }
  }

  assert {
    condition     = output.autoscaled_versions == { "1" = { min = 1, max = 3 } }
    error_message = "The baseline must scale between what is provisioned and the most."
  }
}

run "rollouts_are_written_down_in_a_table_of_the_environments" {
  command = apply

  assert {
    condition     = output.canary_journal_table == "tailcast-dev-canary"
    error_message = "tailcast canary --env dev looks for its journal in the environment's table."
  }
}

run "a_team_may_keep_its_journal_elsewhere" {
  command = apply

  variables {
    canary_journal = { enabled = false }
  }

  assert {
    condition     = output.canary_journal_table == null
    error_message = "No table was wanted."
  }
}

run "every_other_value_out_of_its_range_is_refused" {
  command = plan

  variables {
    environment        = "Dev"
    region             = "mars"
    cache              = { timeout_ms = 0 }
    model_max_attempts = 0
  }

  expect_failures = [var.environment, var.region, var.cache, var.model_max_attempts]
}
