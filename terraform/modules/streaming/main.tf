# POST /stream on a Function URL: an HTTP application behind Lambda Web Adapter, whose answers are streamed. An HTTP API
# cannot stream, and Lambda's runtime for Python cannot either.

locals {
  name = "${var.name}-stream"

  # Lambda Web Adapter guide, "Zip Packages": published by AWS, one layer for each architecture, in every region.
  layer_names = { x86_64 = "LambdaAdapterLayerX86", arm64 = "LambdaAdapterLayerArm64" }
  public_layer_arn = format(
    "arn:%s:lambda:%s:753240598075:layer:%s:26", var.partition, var.region, local.layer_names[var.architecture],
  )
  layer_arn = var.adapter_layer_arn != "" ? var.adapter_layer_arn : local.public_layer_arn

  permissions = {
    for pair in setproduct(var.callers, ["lambda:InvokeFunctionUrl", "lambda:InvokeFunction"]) :
    "${pair[0]} ${pair[1]}" => { principal = pair[0], action = pair[1] }
  }
}

module "bedrock_access" {
  source = "../bedrock_access"

  action     = "bedrock:InvokeModelWithResponseStream"
  model_ids  = var.model_ids
  partition  = var.partition
  region     = var.region
  account_id = var.account_id
}

module "function" {
  source = "../function"

  name                 = local.name
  package_path         = var.package.path
  package_base64sha256 = var.package.base64sha256
  handler              = var.package.handler
  runtime              = var.runtime
  architecture         = var.architecture
  layers               = [local.layer_arn]
  memory_mb            = var.memory_mb
  timeout_s            = var.timeout_s
  reserved_concurrency = var.reserved_concurrency
  policies             = { stream-models = module.bedrock_access.policy_json }
  log_retention_days   = var.log_retention_days
  log_format           = var.log_format
  kms_key_arn          = var.kms_key_arn

  environment = merge(var.environment, {
    AWS_LAMBDA_EXEC_WRAPPER      = "/opt/bootstrap"
    AWS_LWA_INVOKE_MODE          = "response_stream"
    AWS_LWA_PORT                 = "8080"
    AWS_LWA_READINESS_CHECK_PATH = "/ready"
  })
  tracing_mode = var.tracing_mode
}

resource "aws_lambda_function_url" "this" {
  function_name = module.function.function_name
  # Nothing is pinned here, so this alias follows what is published.
  qualifier          = module.function.alias_names["baseline"]
  authorization_type = "AWS_IAM"
  invoke_mode        = "RESPONSE_STREAM"

  dynamic "cors" {
    for_each = var.cors == null ? [] : [var.cors]

    content {
      allow_origins     = cors.value.allow_origins
      allow_methods     = ["POST"]
      allow_headers     = setunion(cors.value.allow_headers, ["x-amz-content-sha256", "x-amz-date", "x-amz-security-token"])
      allow_credentials = cors.value.allow_credentials
      expose_headers    = ["x-request-id"]
      max_age           = cors.value.max_age_s
    }
  }
}

# Both are needed since October 2025. On the second, the condition that the call comes through the URL is wanting: this
# provider cannot write it (lambda:InvokedViaFunctionUrl). So these callers may also invoke the function directly.
resource "aws_lambda_permission" "caller" {
  for_each = local.permissions

  function_name          = module.function.function_name
  qualifier              = module.function.alias_names["baseline"]
  action                 = each.value.action
  principal              = each.value.principal
  function_url_auth_type = each.value.action == "lambda:InvokeFunctionUrl" ? "AWS_IAM" : null
}
