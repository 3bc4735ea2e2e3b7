mock_provider "aws" {
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/tailcast-test-execution" }
  }
  mock_resource "aws_cloudwatch_log_group" {
    defaults = { arn = "arn:aws:logs:us-east-1:123456789012:log-group:/aws/lambda/tailcast-test" }
  }
  mock_resource "aws_lambda_function" {
    defaults = {
      arn     = "arn:aws:lambda:us-east-1:123456789012:function:tailcast-test"
      version = "7"
    }
  }
}

variables {
  name                 = "tailcast-test"
  package_path         = "inference.zip"
  package_base64sha256 = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
  handler              = "functions.inference.handler.handle"
  runtime              = "python3.12"
  policies             = { invoke-models = "{}" }

  provisioned_concurrency = { baseline = 2, optimized = 3 }
}

run "before_the_first_pin_the_aliases_point_at_what_is_published" {
  command = apply

  assert {
    condition     = aws_lambda_function.this.publish
    error_message = "Versions must be published."
  }

  assert {
    condition     = aws_lambda_alias.baseline.function_version == "7" && aws_lambda_alias.live.function_version == "7"
    error_message = "baseline and live must point at the version just published."
  }

  assert {
    condition     = length(aws_lambda_alias.optimized) == 0 && length(aws_lambda_provisioned_concurrency_config.version) == 0
    error_message = "There is no candidate, and no version number to provision for, yet."
  }
}

run "the_first_pin_provisions_the_version" {
  command = apply

  variables {
    baseline_version = "7"
  }

  assert {
    condition     = { for version, config in aws_lambda_provisioned_concurrency_config.version : version => config.provisioned_concurrent_executions } == { "7" = 2 }
    error_message = "Version 7 must have the baseline's provisioned concurrency."
  }

  assert {
    condition     = aws_lambda_provisioned_concurrency_config.version["7"].qualifier == "7"
    error_message = "Provisioned concurrency belongs on the version, never on an alias."
  }
}

run "a_candidate_leaves_the_baseline_alone" {
  command = apply

  variables {
    baseline_version  = "7"
    optimized_version = "8"
  }

  assert {
    condition     = aws_lambda_provisioned_concurrency_config.version["7"].id == run.the_first_pin_provisions_the_version.provisioned_ids["7"]
    error_message = "The baseline's environments were replaced."
  }

  assert {
    condition     = aws_lambda_provisioned_concurrency_config.version["8"].provisioned_concurrent_executions == 3
    error_message = "The candidate must have its own provisioned concurrency."
  }

  assert {
    condition     = aws_lambda_alias.baseline.function_version == "7" && aws_lambda_alias.optimized[0].function_version == "8"
    error_message = "Each alias points at its pin."
  }

  assert {
    condition     = aws_lambda_alias.live.function_version == "7"
    error_message = "The traffic must not move by itself."
  }
}

run "a_promotion_keeps_what_live_still_routes_to" {
  command = apply

  variables {
    baseline_version  = "8"
    optimized_version = "8"
    held_versions     = ["7"]
  }

  assert {
    condition     = aws_lambda_provisioned_concurrency_config.version["8"].id == run.a_candidate_leaves_the_baseline_alone.provisioned_ids["8"]
    error_message = "The promoted version's environments were replaced."
  }

  assert {
    condition     = keys(aws_lambda_provisioned_concurrency_config.version) == ["7", "8"]
    error_message = "Version 7 still serves and must keep its environments; version 8 must have one configuration, not two."
  }

  assert {
    condition     = aws_lambda_alias.live.function_version == "7"
    error_message = "The weights of live belong to whoever shifts the traffic."
  }
}

run "the_next_release_neither_drops_nor_collides" {
  command = apply

  variables {
    baseline_version  = "8"
    optimized_version = "9"
  }

  assert {
    condition     = keys(aws_lambda_provisioned_concurrency_config.version) == ["8", "9"]
    error_message = "Version 7 must be released, 8 kept and 9 made ready."
  }

  assert {
    condition     = aws_lambda_provisioned_concurrency_config.version["8"].id == run.a_promotion_keeps_what_live_still_routes_to.provisioned_ids["8"]
    error_message = "The baseline's environments were replaced."
  }
}

run "no_provisioned_concurrency_makes_no_resource" {
  command = plan

  variables {
    baseline_version        = "7"
    provisioned_concurrency = { baseline = 0, optimized = 0 }
  }

  assert {
    condition     = length(aws_lambda_provisioned_concurrency_config.version) == 0
    error_message = "Zero environments means no configuration."
  }
}

run "the_role_may_write_its_own_log_and_nothing_else" {
  command = apply

  assert {
    condition = jsondecode(aws_iam_role_policy.logs.policy).Statement == [{
      Sid      = "WriteOwnLogs"
      Effect   = "Allow"
      Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
      Resource = "arn:aws:logs:us-east-1:123456789012:log-group:/aws/lambda/tailcast-test:log-stream:*"
    }]
    error_message = "The role's own policy is not what it should be."
  }

  assert {
    condition     = aws_lambda_function.this.logging_config[0].log_group == aws_cloudwatch_log_group.this.name && aws_cloudwatch_log_group.this.retention_in_days == 14
    error_message = "Logs must go to the group that has a retention."
  }
}

run "a_key_of_the_accounts_encrypts_logs_and_settings" {
  command = plan

  variables {
    kms_key_arn = "arn:aws:kms:us-east-1:123456789012:key/abc"
  }

  assert {
    condition     = aws_cloudwatch_log_group.this.kms_key_id == var.kms_key_arn && aws_lambda_function.this.kms_key_arn == var.kms_key_arn
    error_message = "The key is not used."
  }
}

run "a_runaway_caller_is_bounded_where_asked_for" {
  command = plan

  variables {
    reserved_concurrency = 5
  }

  assert {
    condition     = aws_lambda_function.this.reserved_concurrent_executions == 5
    error_message = "The function may take the account's concurrency."
  }
}

run "json_logs_name_their_levels" {
  command = plan

  assert {
    condition     = aws_lambda_function.this.logging_config[0].system_log_level == "INFO" && aws_lambda_function.this.logging_config[0].application_log_level == "INFO"
    error_message = "Left out, every plan publishes a version; above INFO, Lambda writes no platform.report."
  }
}

run "a_bad_memory_size_is_refused" {
  command = plan

  variables {
    memory_mb = 64
  }

  expect_failures = [var.memory_mb]
}

run "a_version_that_is_no_number_is_refused" {
  command = plan

  variables {
    baseline_version = "$LATEST"
  }

  expect_failures = [var.baseline_version]
}

run "a_digest_in_hexadecimal_is_refused" {
  command = plan

  variables {
    package_base64sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
  }

  expect_failures = [var.package_base64sha256]
}

run "an_untested_runtime_is_refused" {
  command = plan

  variables {
    runtime = "python3.9"
  }

  expect_failures = [var.runtime]
}

run "each_version_is_scaled_by_its_use_and_by_the_clock" {
  command = plan

  variables {
    baseline_version  = "7"
    optimized_version = "8"
    provisioned_now   = { "7" = 9 }
    provisioned_autoscaling = {
      baseline = {
        max       = 10
        schedules = { morning = { schedule = "cron(0 8 ? * MON-FRI *)", min = 5, max = 20, timezone = "Europe/Berlin" } }
      }
    }
  }

  assert {
    condition     = { for version, target in aws_appautoscaling_target.version : version => [target.min_capacity, target.max_capacity, target.resource_id] } == { "7" = [2, 10, "function:tailcast-test:7"] }
    error_message = "The baseline's version, and it alone, must be scaled between 2 and 10."
  }

  assert {
    condition     = aws_appautoscaling_policy.utilization["7"].target_tracking_scaling_policy_configuration[0].target_value == 0.7
    error_message = "The use of the environments must be kept to 0.7."
  }

  assert {
    condition     = aws_appautoscaling_scheduled_action.version["7/morning"].scalable_target_action[0].min_capacity == "5" && aws_appautoscaling_scheduled_action.version["7/morning"].timezone == "Europe/Berlin"
    error_message = "The schedule is not what was asked for."
  }

  assert {
    condition     = { for version, config in aws_lambda_provisioned_concurrency_config.version : version => config.provisioned_concurrent_executions } == { "7" = 9, "8" = 3 }
    error_message = "What autoscaling made of version 7 must stay; version 8 must have what is configured."
  }
}

run "a_number_that_stands_means_nothing_where_nothing_scales" {
  command = plan

  variables {
    baseline_version = "7"
    provisioned_now  = { "7" = 9 }
  }

  assert {
    condition     = aws_lambda_provisioned_concurrency_config.version["7"].provisioned_concurrent_executions == 2 && length(aws_appautoscaling_target.version) == 0
    error_message = "Without autoscaling the configured number holds."
  }
}

run "a_version_that_is_both_is_scaled_once_as_the_baseline" {
  command = plan

  variables {
    baseline_version        = "8"
    optimized_version       = "8"
    provisioned_autoscaling = { baseline = { max = 10, target_utilization = 0 }, optimized = { max = 30 } }
  }

  assert {
    condition     = { for version, target in aws_appautoscaling_target.version : version => [target.min_capacity, target.max_capacity] } == { "8" = [3, 10] } && length(aws_appautoscaling_policy.utilization) == 0
    error_message = "One target a version, with the baseline's bounds."
  }
}

run "traces_are_sent_only_where_asked_for" {
  command = plan

  variables {
    tracing_mode = "Active"
  }

  assert {
    condition     = one(aws_lambda_function.this.tracing_config).mode == "Active" && jsondecode(aws_iam_role_policy.trace[0].policy).Statement[0].Action == ["xray:PutTraceSegments", "xray:PutTelemetryRecords"]
    error_message = "Tracing needs its mode and two rights."
  }
}

run "by_default_nothing_is_traced_and_nothing_restored" {
  command = plan

  assert {
    condition     = one(aws_lambda_function.this.tracing_config).mode == "PassThrough" && length(aws_iam_role_policy.trace) == 0 && length(aws_lambda_function.this.snap_start) == 0
    error_message = "The role may do more than it needs, or versions start in another way."
  }
}

run "a_snapshot_takes_the_place_of_provisioned_concurrency" {
  command = plan

  variables {
    snap_start              = true
    provisioned_concurrency = { baseline = 0, optimized = 0 }
  }

  assert {
    condition     = one(aws_lambda_function.this.snap_start).apply_on == "PublishedVersions"
    error_message = "Versions must start from a snapshot."
  }
}

run "a_snapshot_beside_provisioned_concurrency_is_refused" {
  command = plan

  variables {
    snap_start = true
  }

  expect_failures = [var.snap_start]
}

run "a_most_below_the_least_is_refused" {
  command = plan

  variables {
    provisioned_autoscaling = { optimized = { max = 2 } }
  }

  expect_failures = [var.provisioned_autoscaling]
}

run "a_schedule_that_is_none_is_refused" {
  command = plan

  variables {
    provisioned_autoscaling = { baseline = { max = 9, schedules = { night = { schedule = "every night", min = 1, max = 2 } } } }
  }

  expect_failures = [var.provisioned_autoscaling]
}

run "every_other_value_out_of_its_range_is_refused" {
  command = plan

  variables {
    name                 = "with space"
    package_path         = "inference.tar"
    architecture         = "mips"
    timeout_s            = 901
    reserved_concurrency = -2
    log_retention_days   = 2
    log_format           = "XML"
    optimized_version    = "live"
    held_versions        = ["x"]
    tracing_mode         = "On"
    layers               = ["latest"]
  }

  expect_failures = [
    var.name, var.package_path, var.architecture, var.timeout_s, var.reserved_concurrency, var.log_retention_days,
    var.log_format, var.optimized_version, var.held_versions, var.tracing_mode, var.layers,
  ]
}

run "provisioned_concurrency_is_counted_in_whole_environments" {
  command = plan

  variables {
    provisioned_concurrency = { baseline = 0.5, optimized = 0 }
  }

  expect_failures = [var.provisioned_concurrency]
}
