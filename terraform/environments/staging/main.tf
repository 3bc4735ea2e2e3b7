data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

locals {
  prefix  = "${var.name}-${var.environment}"
  variant = var.variants[var.variant]

  # The default tier is what baseline and optimized are about; the others are the same in both.
  tiers = {
    for name, variant in var.variants : name => merge(var.tiers, {
      (var.default_tier) = {
        model_id     = variant.model_id
        max_tokens   = variant.max_tokens
        latency      = variant.latency
        service_tier = variant.service_tier
        fallback     = variant.fallback
      }
    })
  }
  tiers_json = {
    for variant, tiers in local.tiers : variant => jsonencode({
      for name, tier in tiers : name => merge(
        { for key, value in tier : key => value if value != null },
        { for key, value in try(var.models[tier.model_id], {}) : key => value if value != null },
      )
    })
  }

  # What every function that asks models is told, by variant.
  model_settings = {
    for name, variant in var.variants : name => {
      MODEL_ID           = variant.model_id
      VARIANT            = name
      MAX_TOKENS         = tostring(variant.max_tokens)
      TEMPERATURE        = variant.temperature == null ? "" : tostring(variant.temperature)
      SYSTEM_PROMPT      = variant.system_prompt
      ALLOW_SYSTEM       = var.allow_system ? "1" : "0"
      MAX_PROMPT_CHARS   = tostring(var.max_prompt_chars)
      MODEL_MAX_ATTEMPTS = tostring(var.model_max_attempts)
      DEFAULT_TIER       = var.default_tier
      TIERS              = local.tiers_json[name]
    }
  }

  settings = merge(local.model_settings[var.variant], {
    CACHE_TABLE      = one(module.cache[*].table_name) == null ? "" : one(module.cache[*].table_name)
    CACHE_TTL_S      = var.cache.enabled ? tostring(var.cache.ttl_s) : ""
    CACHE_TIMEOUT_MS = var.cache.enabled ? tostring(var.cache.timeout_ms) : ""
    RATE_TIMEOUT_MS  = var.auth.mode == "api_key" ? tostring(var.auth.rate_timeout_ms) : ""
    RATE_TABLE       = one(module.authorizer[*].rates_table_name) == null ? "" : one(module.authorizer[*].rates_table_name)
  })

  model_ids = toset(concat(
    [for variant in values(var.variants) : variant.model_id],
    [for tier in values(var.tiers) : tier.model_id],
  ))
}

# Both models at once: the versions of both variants run side by side under one role.
module "bedrock_access" {
  source = "../../modules/bedrock_access"

  model_ids  = local.model_ids
  partition  = data.aws_partition.current.partition
  region     = var.region
  account_id = data.aws_caller_identity.current.account_id
}

module "cache" {
  source = "../../modules/cache"
  count  = var.cache.enabled ? 1 : 0

  name                   = "${local.prefix}-answers"
  kms_key_arn            = var.kms_key_arn
  point_in_time_recovery = var.cache.point_in_time_recovery
}

module "user_pool" {
  source = "../../modules/user_pool"
  count  = var.auth.mode == "jwt" && var.auth.issuer == null ? 1 : 0

  name                = local.prefix
  mfa                 = var.auth.mfa
  deletion_protection = var.deletion_protection
}

module "authorizer" {
  source = "../../modules/authorizer"
  count  = var.auth.mode == "api_key" ? 1 : 0

  name                = local.prefix
  package             = var.authorizer_package
  runtime             = var.runtime
  architecture        = var.architecture
  kms_key_arn         = var.kms_key_arn
  log_retention_days  = var.log_retention_days
  deletion_protection = var.deletion_protection
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
  policies                = merge({ invoke-models = module.bedrock_access.policy_json }, { for cache in module.cache : "use-cache" => cache.policy_json }, { for authorizer in module.authorizer : "count-requests" => authorizer.rates_policy_json })
  log_retention_days      = var.log_retention_days
  log_format              = var.log_format
  kms_key_arn             = var.kms_key_arn
  baseline_version        = var.baseline_version
  optimized_version       = var.optimized_version
  held_versions           = var.held_versions
  provisioned_concurrency = var.provisioned_concurrency
  provisioned_autoscaling = var.provisioned_autoscaling
  provisioned_now         = var.provisioned_now
  tracing_mode            = var.tracing_mode
  snap_start              = var.snap_start
}

module "api" {
  source = "../../modules/http_api"

  name               = local.prefix
  function_name      = module.inference.function_name
  alias_name         = module.inference.live_alias_name
  alias_invoke_arn   = module.inference.live_invoke_arn
  throttle_rate_rps  = var.throttle_rate_rps
  throttle_burst     = var.throttle_burst
  route_throttles    = var.route_throttles
  log_retention_days = var.log_retention_days
  kms_key_arn        = var.kms_key_arn
  cors               = var.cors

  authorization = {
    type                     = var.auth.mode
    issuer                   = var.auth.issuer != null ? var.auth.issuer : one(module.user_pool[*].issuer)
    audience                 = var.auth.issuer != null ? var.auth.audience : module.user_pool[*].client_id
    scopes                   = var.auth.scopes
    authorizer_invoke_arn    = one(module.authorizer[*].invoke_arn)
    authorizer_function_name = one(module.authorizer[*].function_name)
    cache_s                  = var.auth.cache_s
  }
}

module "streaming" {
  source = "../../modules/streaming"
  count  = var.streaming.enabled ? 1 : 0

  name                 = local.prefix
  package              = var.streaming_package
  runtime              = var.runtime
  architecture         = var.architecture
  adapter_layer_arn    = var.streaming.adapter_layer_arn
  memory_mb            = var.streaming.memory_mb
  timeout_s            = var.streaming.timeout_s
  reserved_concurrency = var.streaming.reserved_concurrency
  callers              = var.streaming.callers
  cors                 = var.cors
  # A canary shifts the API's traffic, not this: it streams what baseline is.
  environment        = { for name, value in local.model_settings["baseline"] : name => value if value != "" }
  model_ids          = local.model_ids
  partition          = data.aws_partition.current.partition
  region             = var.region
  account_id         = data.aws_caller_identity.current.account_id
  log_retention_days = var.log_retention_days
  log_format         = var.log_format
  kms_key_arn        = var.kms_key_arn
  tracing_mode       = var.tracing_mode
}

module "observability" {
  source = "../../modules/observability"
  count  = var.observability.enabled ? 1 : 0

  name                 = local.prefix
  region               = var.region
  function_name        = module.inference.function_name
  api_id               = module.api.api_id
  log_group_name       = module.inference.log_group_name
  log_format           = var.log_format
  versions             = module.inference.versions
  stream               = one([for stream in module.streaming : { function_name = stream.function_name, version = stream.published_version }])
  provisioned_variants = toset([for variant, count in var.provisioned_concurrency : variant if count > 0])
  p99_ms               = var.observability.p99_ms
  failures_per_period  = var.observability.failures_per_period
  alarm_emails         = var.observability.emails
  sns_kms_key_id       = var.kms_key_arn == "" ? null : var.kms_key_arn
}

module "journal" {
  source = "../../modules/journal"
  count  = var.canary_journal.enabled ? 1 : 0

  name                   = "${local.prefix}-canary"
  kms_key_arn            = var.kms_key_arn
  point_in_time_recovery = var.canary_journal.point_in_time_recovery
  deletion_protection    = var.deletion_protection
}

module "budget" {
  source = "../../modules/budget"
  count  = var.monthly_budget_usd == null ? 0 : 1

  name        = local.prefix
  account_id  = data.aws_caller_identity.current.account_id
  monthly_usd = var.monthly_budget_usd
  tag_value   = var.environment
  emails      = tolist(var.observability.emails)
}
