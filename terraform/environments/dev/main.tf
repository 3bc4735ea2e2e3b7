data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

locals {
  prefix  = "${var.name}-${var.environment}"
  variant = var.variants[var.variant]

  settings = {
    MODEL_ID           = local.variant.model_id
    VARIANT            = var.variant
    MAX_TOKENS         = tostring(local.variant.max_tokens)
    TEMPERATURE        = local.variant.temperature == null ? "" : tostring(local.variant.temperature)
    SYSTEM_PROMPT      = local.variant.system_prompt
    MAX_PROMPT_CHARS   = tostring(var.max_prompt_chars)
    MODEL_MAX_ATTEMPTS = tostring(var.model_max_attempts)
  }
}

# Both models at once: the versions of both variants run side by side under one role.
module "bedrock_access" {
  source = "../../modules/bedrock_access"

  model_ids  = toset([for variant in values(var.variants) : variant.model_id])
  partition  = data.aws_partition.current.partition
  region     = var.region
  account_id = data.aws_caller_identity.current.account_id
}

module "inference" {
  source = "../../modules/function"

  name                    = "${local.prefix}-inference"
  package_path            = var.package_path
  package_base64sha256    = var.package_base64sha256
  handler                 = var.handler
  runtime                 = var.runtime
  architecture            = var.architecture
  memory_mb               = local.variant.memory_mb
  timeout_s               = var.timeout_s
  environment             = { for name, value in local.settings : name => value if value != "" }
  reserved_concurrency    = var.reserved_concurrency
  policies                = { invoke-models = module.bedrock_access.policy_json }
  log_retention_days      = var.log_retention_days
  log_format              = var.log_format
  baseline_version        = var.baseline_version
  optimized_version       = var.optimized_version
  held_versions           = var.held_versions
  provisioned_concurrency = var.provisioned_concurrency
}

module "api" {
  source = "../../modules/http_api"

  name               = local.prefix
  route_key          = "POST /genai"
  function_name      = module.inference.function_name
  alias_name         = module.inference.live_alias_name
  alias_invoke_arn   = module.inference.live_invoke_arn
  throttle_rate_rps  = var.throttle_rate_rps
  throttle_burst     = var.throttle_burst
  log_retention_days = var.log_retention_days
}
