locals {
  log_group_name = "/aws/lambda/${var.name}"

  # Version -> environments kept ready. The keys are version numbers, and inputs: a key computed in the same apply fails
  # the plan, and a key that names the role ("baseline") would replace the configuration, and drop the environments of
  # the version that still serves, whenever the pin moves.
  roles_of = {
    for version in setunion(compact([var.baseline_version, var.optimized_version]), var.held_versions) : version => compact([
      version == var.baseline_version || contains(var.held_versions, version) ? "baseline" : "",
      version == var.optimized_version || contains(var.held_versions, version) ? "optimized" : "",
    ])
  }
  provisioned = {
    for version, roles in local.roles_of : version => max([for role in roles : var.provisioned_concurrency[role]]...)
    if max([for role in roles : var.provisioned_concurrency[role]]...) > 0
  }
}

resource "aws_cloudwatch_log_group" "this" {
  #checkov:skip=CKV_AWS_338:log_retention_days decides; a year in production, less elsewhere
  #checkov:skip=CKV_AWS_158:kms_key_arn chooses a key of the account's; AWS's own encrypts otherwise
  name              = local.log_group_name
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn == "" ? null : var.kms_key_arn
}

resource "aws_iam_role" "this" {
  name        = "${var.name}-execution"
  description = "Execution role of the function ${var.name}."

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "lambda.amazonaws.com" }
    }]
  })
}

resource "aws_iam_role_policy" "logs" {
  name = "write-own-logs"
  role = aws_iam_role.this.name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid      = "WriteOwnLogs"
      Effect   = "Allow"
      Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
      Resource = "${aws_cloudwatch_log_group.this.arn}:log-stream:*"
    }]
  })
}

resource "aws_iam_role_policy" "this" {
  for_each = var.policies

  name   = each.key
  role   = aws_iam_role.this.name
  policy = each.value
}

resource "aws_iam_role_policy" "trace" {
  #checkov:skip=CKV_AWS_355:X-Ray's writing actions know no resources; AWS documents them with * only
  #checkov:skip=CKV_AWS_290:as above; the two actions only send, and only where tracing is asked for
  count = var.tracing_mode == "Active" ? 1 : 0

  name = "send-traces"
  role = aws_iam_role.this.name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid      = "SendTraces"
      Effect   = "Allow"
      Action   = ["xray:PutTraceSegments", "xray:PutTelemetryRecords"]
      Resource = "*"
    }]
  })
}

resource "aws_lambda_function" "this" {
  #checkov:skip=CKV_AWS_116:a dead-letter queue is for asynchronous invocations; the gateway waits for the answer
  #checkov:skip=CKV_AWS_117:it calls Bedrock and DynamoDB only; a VPC would add a NAT gateway and time to INIT, and protect nothing
  #checkov:skip=CKV_AWS_115:reserved_concurrency decides; -1 is for accounts whose limit is too small to reserve from
  #checkov:skip=CKV_AWS_272:the package is built from hashed wheels and pinned by its SHA-256
  #checkov:skip=CKV_AWS_173:kms_key_arn chooses a key of the account's; the settings hold no secret
  #checkov:skip=CKV_AWS_50:tracing_mode decides; tracing samples and costs, and every request leaves its times in the log
  function_name                  = var.name
  role                           = aws_iam_role.this.arn
  filename                       = var.package_path
  source_code_hash               = var.package_base64sha256
  handler                        = var.handler
  runtime                        = var.runtime
  architectures                  = [var.architecture]
  memory_size                    = var.memory_mb
  timeout                        = var.timeout_s
  reserved_concurrent_executions = var.reserved_concurrency
  layers                         = var.layers
  publish                        = true
  kms_key_arn                    = var.kms_key_arn == "" ? null : var.kms_key_arn

  environment {
    variables = var.environment
  }

  tracing_config {
    mode = var.tracing_mode
  }

  dynamic "snap_start" {
    for_each = var.snap_start ? [true] : []

    content {
      apply_on = "PublishedVersions"
    }
  }

  logging_config {
    log_group  = aws_cloudwatch_log_group.this.name
    log_format = var.log_format
    # Lambda's own defaults for JSON, written out: left out, provider 5.100 sees a change, and so a version to publish,
    # in every plan (hashicorp/terraform-provider-aws#42181).
    application_log_level = var.log_format == "JSON" ? "INFO" : null
    system_log_level      = var.log_format == "JSON" ? "INFO" : null
  }

  # A first invocation must not find a role that may not write its log yet.
  depends_on = [aws_iam_role_policy.logs, aws_iam_role_policy.this, aws_iam_role_policy.trace]
}

# Never on an alias: Lambda refuses weights on an alias that has provisioned concurrency, and the other way round.
resource "aws_lambda_provisioned_concurrency_config" "version" {
  for_each = local.provisioned

  function_name = aws_lambda_function.this.function_name
  qualifier     = each.key
  # Where autoscaling moves it, what stands now: an apply and autoscaling do not fight over it.
  provisioned_concurrent_executions = contains(keys(local.autoscaled), each.key) ? lookup(var.provisioned_now, each.key, each.value) : each.value

  timeouts {
    create = "15m"
    update = "15m"
  }

  lifecycle {
    # Aliases move off a version before its environments go.
    create_before_destroy = true
  }
}

resource "aws_lambda_alias" "baseline" {
  name             = "baseline"
  description      = "The version that serves today."
  function_name    = aws_lambda_function.this.function_name
  function_version = coalesce(var.baseline_version, aws_lambda_function.this.version)

  # An alias points at a version only once its environments are ready.
  depends_on = [aws_lambda_provisioned_concurrency_config.version]
}

resource "aws_lambda_alias" "optimized" {
  count = var.optimized_version == "" ? 0 : 1

  name             = "optimized"
  description      = "The candidate."
  function_name    = aws_lambda_function.this.function_name
  function_version = var.optimized_version

  depends_on = [aws_lambda_provisioned_concurrency_config.version]
}

resource "aws_lambda_alias" "live" {
  name             = "live"
  description      = "What the API calls. Its weights belong to whoever shifts the traffic, not to Terraform."
  function_name    = aws_lambda_function.this.function_name
  function_version = coalesce(var.baseline_version, aws_lambda_function.this.version)

  depends_on = [aws_lambda_provisioned_concurrency_config.version]

  lifecycle {
    ignore_changes = [function_version, routing_config]
  }
}
