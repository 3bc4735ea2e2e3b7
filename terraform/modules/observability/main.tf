# What one looks at, what wakes somebody, and the questions one asks of the logs. Metrics by function, version and variant
# are those of the function's own record (namespace tailcast); Lambda's `Errors` misses what a handler answers with 5xx.

locals {
  # By version, and not by the record's variant: a promoted version keeps the name that it was published under.
  dimensions = { for variant, version in var.versions : variant => { function = var.function_name, version = version } }

  # [namespace, metric, dimension, value, …, options] as a dashboard wants it.
  by_variant = {
    for metric, statistics in {
      TotalMs             = ["p50", "p95", "p99"]
      InferenceMs         = ["p50", "p99"]
      TtftMs              = ["p50", "p95"]
      InputTokens         = ["Sum"]
      OutputTokens        = ["Sum"]
      CostUsd             = ["Sum"]
      Errors              = ["Sum"]
      Throttles           = ["Sum"]
      Timeouts            = ["Sum"]
      Fallbacks           = ["Sum"]
      ResponseCacheHits   = ["Average"]
      ResponseCacheErrors = ["Sum"]
      PromptCacheHits     = ["Average"]
      PromptCacheSkipped  = ["Average"]
    } :
    metric => flatten([
      for variant, dimensions in local.dimensions : [
        for statistic in statistics : jsonencode(concat(
          ["tailcast", metric],
          flatten([for name, value in dimensions : [name, value]]),
          [{ stat = statistic, label = "${variant} ${statistic}" }],
        ))
      ]
    ])
  }

  requests = [
    for variant, dimensions in local.dimensions : jsonencode(concat(
      ["tailcast", "TotalMs"],
      flatten([for name, value in dimensions : [name, value]]),
      [{ stat = "SampleCount", label = variant }],
    ))
  ]

  # The share of the handler's time that is the model's: a sum over a sum, which only metric math gives.
  inference_share = flatten([
    for variant, dimensions in local.dimensions : concat(
      [
        for id, metric in { part = "InferenceMs", whole = "TotalMs" } : jsonencode(concat(
          ["tailcast", metric],
          flatten([for name, value in dimensions : [name, value]]),
          [{ stat = "Sum", id = "${id}_${variant}", visible = false }],
        ))
      ],
      [jsonencode([{ expression = "100 * part_${variant} / whole_${variant}", label = "${variant} %", id = "share_${variant}" }])],
    )
  ])

  # Lambda says how long an INIT took in its report only.
  init_namespace = "tailcast/${var.function_name}"
  init = [
    for statistic in ["Average", "Maximum"] : jsonencode([local.init_namespace, "InitMs", { stat = statistic }])
  ]

  # What the streaming function says of itself; its URL serves what is published, one version at a time.
  streams = {
    for metric, statistics in {
      TtftMs          = ["p50", "p95"]
      InterTokenMaxMs = ["p50", "p95"]
      Errors          = ["Sum"]
      Timeouts        = ["Sum"]
      Disconnects     = ["Sum"]
    } :
    metric => flatten([
      for stream in var.stream[*] : [
        for statistic in statistics : jsonencode([
          "tailcast", metric, "function", stream.function_name, "version", stream.version,
          { stat = statistic, label = "stream ${statistic == "Sum" ? lower(metric) : statistic}" },
        ])
      ]
    ])
  }

  widgets = concat([
    { title = "Duration in the handler (ms)", metrics = local.by_variant.TotalMs },
    { title = "Model call (ms)", metrics = local.by_variant.InferenceMs },
    { title = "Model call's share of the handler's time (%)", metrics = local.inference_share },
    { title = "Time to the first token (ms)", metrics = concat(local.by_variant.TtftMs, local.streams.TtftMs) },
    { title = "INIT of cold starts, mean and highest of 5 minutes (ms)", metrics = local.init, period = 300 },
    { title = "Requests", metrics = local.requests },
    { title = "Failures", metrics = concat(local.by_variant.Errors, local.by_variant.Throttles, local.by_variant.Timeouts, local.by_variant.Fallbacks) },
    { title = "Cost of tokens (USD)", metrics = local.by_variant.CostUsd },
    { title = "Tokens", metrics = concat(local.by_variant.InputTokens, local.by_variant.OutputTokens) },
    { title = "Caches: share of hits, skipped prefixes, errors", metrics = concat(local.by_variant.ResponseCacheHits, local.by_variant.PromptCacheHits, local.by_variant.PromptCacheSkipped, local.by_variant.ResponseCacheErrors) },
    {
      title = "Concurrency and use of provisioned concurrency"
      metrics = concat(
        [jsonencode(["AWS/Lambda", "ConcurrentExecutions", "FunctionName", var.function_name, { stat = "Maximum" }])],
        [jsonencode(["AWS/Lambda", "Throttles", "FunctionName", var.function_name, { stat = "Sum", label = "throttled by Lambda" }])],
        flatten([for variant, version in var.versions : [
          jsonencode(["AWS/Lambda", "ProvisionedConcurrencyUtilization", "FunctionName", var.function_name, "Resource", "${var.function_name}:${version}", { stat = "Maximum", label = "${variant} use" }]),
          jsonencode(["AWS/Lambda", "ProvisionedConcurrencySpilloverInvocations", "FunctionName", var.function_name, "Resource", "${var.function_name}:${version}", { stat = "Sum", label = "${variant} spill-over" }]),
        ]]),
      )
    },
    {
      title = "API: requests, refusals and failures"
      metrics = [
        for metric in ["Count", "4xx", "5xx"] : jsonencode(["AWS/ApiGateway", metric, "ApiId", var.api_id, { stat = "Sum" }])
      ]
    },
    ], [
    for stream in var.stream[*] : {
      title   = "Streams: longest pause between two pieces (ms), failures, callers who left"
      metrics = concat(local.streams.InterTokenMaxMs, local.streams.Errors, local.streams.Timeouts, local.streams.Disconnects)
    }
  ])

  alarms = merge(
    {
      for variant, dimensions in local.dimensions : "${variant}-p99" => {
        namespace   = "tailcast", metric = "TotalMs", dimensions = dimensions, statistic = "p99", threshold = var.p99_ms
        description = "p99 of ${variant} is over ${var.p99_ms} ms."
      }
    },
    {
      for variant, dimensions in local.dimensions : "${variant}-errors" => {
        namespace   = "tailcast", metric = "Errors", dimensions = dimensions, statistic = "Sum", threshold = var.failures_per_period
        description = "More than ${var.failures_per_period} requests of ${variant} failed."
      }
    },
    {
      for variant, dimensions in local.dimensions : "${variant}-throttles" => {
        namespace   = "tailcast", metric = "Throttles", dimensions = dimensions, statistic = "Sum", threshold = var.failures_per_period
        description = "Bedrock refused more than ${var.failures_per_period} requests of ${variant} for their rate."
      }
    },
    {
      for variant, dimensions in local.dimensions : "${variant}-timeouts" => {
        namespace   = "tailcast", metric = "Timeouts", dimensions = dimensions, statistic = "Sum", threshold = var.failures_per_period
        description = "More than ${var.failures_per_period} requests of ${variant} hit their deadline."
      }
    },
    {
      for variant, version in var.versions : "${variant}-spillover" => {
        namespace   = "AWS/Lambda", metric = "ProvisionedConcurrencySpilloverInvocations", statistic = "Sum", threshold = var.failures_per_period
        dimensions  = { FunctionName = var.function_name, Resource = "${var.function_name}:${version}" }
        description = "Requests of ${variant} started cold beside its provisioned concurrency."
      } if contains(var.provisioned_variants, variant)
    },
    {
      lambda-throttles = {
        namespace   = "AWS/Lambda", metric = "Throttles", statistic = "Sum", threshold = var.failures_per_period
        dimensions  = { FunctionName = var.function_name }
        description = "Lambda had no environment for a request."
      }
      api-5xx = {
        namespace   = "AWS/ApiGateway", metric = "5xx", statistic = "Sum", threshold = var.failures_per_period
        dimensions  = { ApiId = var.api_id }
        description = "Callers got more than ${var.failures_per_period} server errors."
      }
    },
    {
      for stream in var.stream[*] : "stream-errors" => {
        namespace   = "tailcast", metric = "Errors", statistic = "Sum", threshold = var.failures_per_period
        dimensions  = { function = stream.function_name, version = stream.version }
        description = "More than ${var.failures_per_period} streams failed."
      }
    },
  )

  queries = {
    slowest-requests = "fields @timestamp, request_id, variant, version, model, total_ms, inference_ms, cold, status\n| filter tailcast = \"inference\"\n| sort total_ms desc\n| limit 50"
    init-per-5-min   = "filter @type = \"REPORT\" or type = \"platform.report\"\n| stats avg(coalesce(@initDuration, record.metrics.initDurationMs)) as init_avg_ms, max(coalesce(@initDuration, record.metrics.initDurationMs)) as init_max_ms, count(*) as requests by bin(5m)"
    inference-share  = "filter tailcast = \"inference\" and ispresent(inference_ms)\n| stats sum(inference_ms) / sum(total_ms) as inference_share, pct(total_ms, 50) as p50_ms, pct(total_ms, 95) as p95_ms, pct(total_ms, 99) as p99_ms by variant, version"
    cost-per-variant = "filter tailcast = \"inference\"\n| stats sum(cost_usd) as usd, sum(input_tokens) as tokens_in, sum(output_tokens) as tokens_out, count(*) as requests by variant, tier, model"
    failures         = "filter tailcast = \"inference\" and status != \"ok\"\n| stats count(*) as requests by status, error, variant, version\n| sort requests desc"
  }
}

resource "aws_sns_topic" "alarms" {
  #checkov:skip=CKV_AWS_26:sns_kms_key_id decides: AWS's own key does not let CloudWatch publish, and alarms would stay silent
  name              = "${var.name}-alarms"
  kms_master_key_id = var.sns_kms_key_id
}

resource "aws_sns_topic_subscription" "email" {
  for_each = var.alarm_emails

  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = each.key
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.alarms

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.description
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = startswith(each.value.statistic, "p") ? null : each.value.statistic
  extended_statistic  = startswith(each.value.statistic, "p") ? each.value.statistic : null
  comparison_operator = "GreaterThanThreshold"
  threshold           = each.value.threshold
  period              = 60
  # Three of five minutes: one slow minute is no incident, and a lull between two bad ones is no end of it.
  evaluation_periods  = 5
  datapoints_to_alarm = 3
  # Without requests there is nothing wrong; without this the alarm stays in INSUFFICIENT_DATA.
  treat_missing_data = "notBreaching"
  alarm_actions      = [aws_sns_topic.alarms.arn]
  ok_actions         = [aws_sns_topic.alarms.arn]
}

# Text reports have no form that a filter could read a field by name from; there the widget stays empty.
resource "aws_cloudwatch_log_metric_filter" "init" {
  count = var.log_format == "JSON" ? 1 : 0

  name           = "${var.name}-init"
  log_group_name = var.log_group_name
  pattern        = "{ $.type = \"platform.report\" && $.record.metrics.initDurationMs > 0 }"

  metric_transformation {
    namespace = local.init_namespace
    name      = "InitMs"
    value     = "$.record.metrics.initDurationMs"
    unit      = "Milliseconds"
  }
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = var.name

  dashboard_body = jsonencode({
    widgets = [
      for index, widget in local.widgets : {
        type   = "metric"
        x      = index % 2 * 12
        y      = floor(index / 2) * 6
        width  = 12
        height = 6
        properties = {
          title   = widget.title
          region  = var.region
          period  = try(widget.period, 60)
          view    = "timeSeries"
          stacked = false
          metrics = [for metric in widget.metrics : jsondecode(metric)]
        }
      }
    ]
  })
}

resource "aws_cloudwatch_query_definition" "this" {
  for_each = var.saved_queries ? local.queries : {}

  name            = "${var.name}/${each.key}"
  log_group_names = [var.log_group_name]
  query_string    = each.value
}
