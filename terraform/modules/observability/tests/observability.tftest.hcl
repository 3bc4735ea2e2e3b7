mock_provider "aws" {
  mock_resource "aws_sns_topic" {
    defaults = { arn = "arn:aws:sns:us-east-1:123456789012:test-alarms" }
  }
}

variables {
  name                 = "test"
  region               = "us-east-1"
  function_name        = "test-inference"
  api_id               = "a1b2c3d4"
  log_group_name       = "/aws/lambda/test-inference"
  versions             = { baseline = "3", optimized = "4" }
  provisioned_variants = ["baseline"]
}

run "each_variant_is_watched_by_its_version" {
  command = apply

  assert {
    condition     = aws_cloudwatch_metric_alarm.this["optimized-p99"].dimensions == tomap({ function = "test-inference", version = "4" }) && aws_cloudwatch_metric_alarm.this["optimized-p99"].extended_statistic == "p99"
    error_message = "An alarm with other dimensions than the metric never leaves INSUFFICIENT_DATA."
  }

  assert {
    condition     = contains(output.alarm_names, "test-baseline-spillover") && !contains(output.alarm_names, "test-optimized-spillover")
    error_message = "Only a variant with provisioned concurrency can spill over."
  }

  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.this : alarm.treat_missing_data == "notBreaching" && alarm.alarm_actions == toset(["arn:aws:sns:us-east-1:123456789012:test-alarms"])])
    error_message = "An alarm is silent, or fires for want of traffic."
  }
}

run "alarms_are_encrypted_with_the_key_that_is_given" {
  command = plan

  variables {
    sns_kms_key_id = "arn:aws:kms:us-east-1:123456789012:key/abc"
  }

  assert {
    condition     = aws_sns_topic.alarms.kms_master_key_id == var.sns_kms_key_id
    error_message = "The key is not used."
  }
}

run "the_dashboard_shows_both_variants" {
  command = apply

  assert {
    condition     = length(jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets) == 12 && length(jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets[0].properties.metrics) == 6
    error_message = "p50, p95 and p99 of both variants must be there."
  }
}

run "streams_are_shown_and_watched_where_there_are_any" {
  command = apply

  variables {
    stream = { function_name = "test-stream", version = "2" }
  }

  assert {
    condition     = length(jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets) == 13 && length(jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets[12].properties.metrics) == 5
    error_message = "The streams' widget is missing."
  }

  assert {
    condition     = contains(jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets[3].properties.metrics, ["tailcast", "TtftMs", "function", "test-stream", "version", "2", { stat = "p50", label = "stream p50" }])
    error_message = "The first token of streams is not shown."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.this["stream-errors"].dimensions == tomap({ function = "test-stream", version = "2" })
    error_message = "Nobody hears of streams that fail."
  }
}

run "init_is_shown_by_five_minutes_and_the_share_of_the_model_is_computed" {
  command = apply

  assert {
    condition = alltrue([
      for widget in jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets :
      widget.properties.period == (startswith(widget.properties.title, "INIT") ? 300 : 60)
    ])
    error_message = "Only INIT is shown by five minutes."
  }

  assert {
    condition     = jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets[4].properties.metrics == [["tailcast/test-inference", "InitMs", { stat = "Average" }], ["tailcast/test-inference", "InitMs", { stat = "Maximum" }]] && one(aws_cloudwatch_log_metric_filter.init[*].metric_transformation[0].namespace) == "tailcast/test-inference"
    error_message = "The widget must show the metric that the filter makes."
  }

  assert {
    condition     = contains([for metric in jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets[2].properties.metrics : try(metric[0].expression, "")], "100 * part_optimized / whole_optimized")
    error_message = "The model's share of the time must be there for each variant."
  }
}

run "text_reports_make_no_metric" {
  command = plan

  variables {
    log_format = "Text"
  }

  assert {
    condition     = length(aws_cloudwatch_log_metric_filter.init) == 0
    error_message = "A text report has no field that a filter could read."
  }
}

run "before_the_candidate_there_is_nothing_of_it" {
  command = apply

  variables {
    versions = { baseline = "1" }
  }

  assert {
    condition     = length([for name in output.alarm_names : name if strcontains(name, "optimized")]) == 0
    error_message = "There is no candidate to watch."
  }
}

run "queries_may_be_left_out" {
  command = plan

  variables {
    saved_queries = false
  }

  assert {
    condition     = length(aws_cloudwatch_query_definition.this) == 0
    error_message = "Nobody asked for queries."
  }
}

run "a_limit_of_zero_ms_is_refused" {
  command = plan

  variables {
    p99_ms = 0
  }

  expect_failures = [var.p99_ms]
}

run "an_address_without_an_at_is_refused" {
  command = plan

  variables {
    alarm_emails = ["team"]
  }

  expect_failures = [var.alarm_emails]
}

run "every_other_value_out_of_its_range_is_refused" {
  command = plan

  variables {
    log_format          = "XML"
    failures_per_period = -1
  }

  expect_failures = [var.log_format, var.failures_per_period]
}
