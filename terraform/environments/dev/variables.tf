# --- what this environment is: terraform.tfvars -----------------------------------------------------------------------

variable "environment" {
  type        = string
  description = "Name of the environment; part of every resource's name."

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,19}$", var.environment))
    error_message = "environment must begin with a small letter and have at most 20 small letters, digits or hyphens."
  }
}

variable "name" {
  type        = string
  description = "Prefix of every resource's name. Deployments side by side in one account need different ones."
  default     = "tailcast"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,29}$", var.name))
    error_message = "name must begin with a small letter and have at most 30 small letters, digits or hyphens."
  }

  validation {
    condition     = length(var.name) + length(var.environment) <= 41
    error_message = "name and environment together must have at most 41 characters: IAM role names end at 64."
  }
}

variable "region" {
  type        = string
  description = "AWS region."
  default     = "us-east-1"

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region must be an AWS region such as us-east-1."
  }
}

variable "tags" {
  type        = map(string)
  description = "Further tags on every resource."
  default     = {}
}

variable "variants" {
  type = object({
    baseline  = object({ model_id = string, memory_mb = optional(number, 1024), max_tokens = optional(number, 512), temperature = optional(number), system_prompt = optional(string, ""), latency = optional(string), service_tier = optional(string), fallback = optional(string) })
    optimized = object({ model_id = string, memory_mb = optional(number, 1024), max_tokens = optional(number, 512), temperature = optional(number), system_prompt = optional(string, ""), latency = optional(string), service_tier = optional(string), fallback = optional(string) })
  })
  description = "The two configurations of the function. They differ here only: model, memory in MB, answer limit in tokens, temperature, system prompt, and Bedrock's latency mode, service tier and the tier to fall back on."

  validation {
    condition     = alltrue([for variant in values(var.variants) : variant.max_tokens >= 1 && variant.max_tokens <= 65536])
    error_message = "variants: max_tokens must lie between 1 and 65536."
  }

  validation {
    condition     = alltrue([for variant in values(var.variants) : variant.temperature == null ? true : variant.temperature >= 0 && variant.temperature <= 1])
    error_message = "variants: temperature must lie between 0 and 1, or be left out."
  }

  validation {
    condition     = alltrue([for variant in values(var.variants) : variant.latency == null ? true : contains(["standard", "optimized"], variant.latency)])
    error_message = "variants: latency must be standard or optimized, or be left out."
  }

  validation {
    condition     = alltrue([for variant in values(var.variants) : variant.service_tier == null ? true : contains(["default", "priority", "flex", "reserved"], variant.service_tier)])
    error_message = "variants: service_tier must be default, priority, flex or reserved, or be left out."
  }

  validation {
    condition     = alltrue([for variant in values(var.variants) : variant.fallback == null ? true : contains(keys(var.tiers), variant.fallback)])
    error_message = "variants: fallback must be one of tiers."
  }
}

variable "default_tier" {
  type        = string
  description = "Tier of a request that names none. Its model is the variant's."
  default     = "standard"
}

variable "tiers" {
  type = map(object({
    model_id     = string
    max_tokens   = optional(number, 512)
    latency      = optional(string)
    service_tier = optional(string)
    fallback     = optional(string)
  }))
  description = "Further tiers that a caller may choose: model or inference-profile id, answer limit in tokens, latency (standard, optimized), service tier (default, priority, flex, reserved) and the tier that answers where this one's model throttles or is down."
  default     = {}

  validation {
    condition     = alltrue([for tier in values(var.tiers) : tier.max_tokens >= 1 && tier.max_tokens <= 65536])
    error_message = "tiers: max_tokens must lie between 1 and 65536."
  }

  validation {
    condition     = alltrue([for tier in values(var.tiers) : tier.latency == null ? true : contains(["standard", "optimized"], tier.latency)])
    error_message = "tiers: latency must be standard or optimized, or be left out."
  }

  validation {
    condition     = alltrue([for tier in values(var.tiers) : tier.service_tier == null ? true : contains(["default", "priority", "flex", "reserved"], tier.service_tier)])
    error_message = "tiers: service_tier must be default, priority, flex or reserved, or be left out."
  }

  validation {
    condition     = !contains(keys(var.tiers), var.default_tier)
    error_message = "tiers: the default tier is described by the variants; leave it out here."
  }

  validation {
    condition     = alltrue([for tier in values(var.tiers) : tier.fallback == null ? true : contains(concat([var.default_tier], keys(var.tiers)), tier.fallback)])
    error_message = "tiers: fallback must be one of tiers, or the default tier."
  }
}

variable "models" {
  type = map(object({
    usd_per_million      = optional(object({ input = number, output = number, cache_read = optional(number), cache_write = optional(number) }))
    cache_minimum_tokens = optional(number)
  }))
  description = "What is known of a model, by id: its prices in USD per million tokens, and the shortest prefix that it caches. Of a model that is not here, answers show no cost and prompts are not cached."
  default = {
    # Bedrock price list, us-east-1, 2026-11; minimum prefix: model cards.
    "us.anthropic.claude-haiku-4-5-20251001-v1:0"  = { usd_per_million = { input = 1.1, output = 5.5, cache_read = 0.11, cache_write = 1.375 }, cache_minimum_tokens = 4096 }
    "us.anthropic.claude-sonnet-4-5-20250929-v1:0" = { usd_per_million = { input = 3.3, output = 16.5, cache_read = 0.33, cache_write = 4.125 }, cache_minimum_tokens = 1024 }
    "us.amazon.nova-micro-v1:0"                    = { usd_per_million = { input = 0.035, output = 0.14, cache_read = 0.00875 }, cache_minimum_tokens = 1024 }
    "us.amazon.nova-lite-v1:0"                     = { usd_per_million = { input = 0.06, output = 0.24, cache_read = 0.015 }, cache_minimum_tokens = 1024 }
    "us.amazon.nova-pro-v1:0"                      = { usd_per_million = { input = 0.8, output = 3.2, cache_read = 0.2 }, cache_minimum_tokens = 1024 }
  }
}

variable "allow_system" {
  type        = bool
  description = "Whether a caller may send a system prompt of their own."
  default     = true
}

variable "cache" {
  type = object({
    enabled                = optional(bool, false)
    ttl_s                  = optional(number, 86400)
    timeout_ms             = optional(number, 100)
    point_in_time_recovery = optional(bool, false)
  })
  description = "Answers kept in DynamoDB: whether, for how long, and what a look-up may take before the model is asked as if there were none."
  default     = {}

  validation {
    condition     = var.cache.ttl_s >= 1 && var.cache.ttl_s <= 2592000 && var.cache.timeout_ms >= 1 && var.cache.timeout_ms <= 5000
    error_message = "cache: ttl_s must lie between 1 and 2592000, timeout_ms between 1 and 5000."
  }
}

variable "auth" {
  type = object({
    mode     = string
    issuer   = optional(string)
    audience = optional(list(string), [])
    scopes   = optional(list(string), [])
    mfa      = optional(string, "OPTIONAL")
    cache_s  = optional(number, 300)

    rate_timeout_ms = optional(number, 100)
  })
  description = "Who may call; without a default, since an open API is something to say, not to forget. mode: none, jwt (a Cognito user pool is made, unless issuer and audience name another) or api_key. cache_s: how long the gateway keeps the authorizer's word; rate_timeout_ms: what counting a request of a key with a rate may take before it passes uncounted."

  validation {
    condition     = contains(["none", "jwt", "api_key"], var.auth.mode)
    error_message = "auth.mode must be none, jwt or api_key."
  }

  validation {
    condition     = (var.auth.issuer == null) == (length(var.auth.audience) == 0)
    error_message = "auth: issuer and audience go together."
  }

  validation {
    condition     = var.auth.rate_timeout_ms >= 1 && var.auth.rate_timeout_ms <= 5000
    error_message = "auth.rate_timeout_ms must lie between 1 and 5000."
  }
}

variable "cors" {
  type = object({
    allow_origins     = list(string)
    allow_headers     = optional(list(string), ["authorization", "cache-control", "content-type", "x-api-key"])
    allow_credentials = optional(bool, false)
    max_age_s         = optional(number, 600)
  })
  description = "Web pages that may call the API from a browser; null for none."
  default     = null
}

variable "streaming" {
  type = object({
    enabled              = optional(bool, false)
    memory_mb            = optional(number, 1024)
    timeout_s            = optional(number, 120)
    reserved_concurrency = optional(number, -1)
    callers              = optional(set(string), [])
    adapter_layer_arn    = optional(string, "")
  })
  description = "POST /stream on a Function URL, signed by IAM: whether; memory in MB, longest answer in seconds and reserved concurrency of its function; who else may call than those whom their own policies let (ARNs of users or roles, or account ids); and the layer of Lambda Web Adapter, where the public one is not wanted."
  default     = {}
}

variable "kms_key_arn" {
  type        = string
  description = "KMS key that encrypts tables, logs and the function's settings; empty for the ones that AWS owns."
  default     = ""
}

variable "deletion_protection" {
  type        = bool
  description = "Whether AWS refuses to delete what cannot be made anew: users and API keys."
  default     = false
}

variable "provisioned_concurrency" {
  type        = object({ baseline = number, optimized = number })
  description = "Execution environments kept ready for each pinned version. They are billed from then on, used or not."
  default     = { baseline = 0, optimized = 0 }
}

variable "provisioned_autoscaling" {
  type = object({
    baseline = optional(object({
      max                = number
      target_utilization = optional(number, 0.7)
      schedules = optional(map(object({
        schedule = string
        min      = number
        max      = number
        timezone = optional(string, "UTC")
      })), {})
    }))
    optimized = optional(object({
      max                = number
      target_utilization = optional(number, 0.7)
      schedules = optional(map(object({
        schedule = string
        min      = number
        max      = number
        timezone = optional(string, "UTC")
      })), {})
    }))
  })
  description = "How far above provisioned_concurrency, which is then the least, a version's environments may go: the most, the use of them that target tracking keeps to (0 for none), and schedules (name to cron(...), rate(...) or at(...), with the least and the most from then on). A version that is both is scaled as the baseline."
  default     = {}
}

variable "reserved_concurrency" {
  type        = number
  description = "Concurrent executions reserved for, and allowed to, the function; -1 for none."
  default     = -1
}

variable "snap_start" {
  type        = bool
  description = "Whether published versions start from a snapshot taken after INIT (Python 3.12 or newer), in the place of provisioned concurrency."
  default     = false
}

variable "tracing_mode" {
  type        = string
  description = "X-Ray: Active or PassThrough."
  default     = "PassThrough"
}

variable "timeout_s" {
  type        = number
  description = "Function time-out in seconds; the HTTP API gives up at 30."
  default     = 29

  validation {
    condition     = var.timeout_s >= 3 && var.timeout_s < 30
    error_message = "timeout_s must lie between 3 and 29: the HTTP API answers 503 at 30 s while the function works on, billed."
  }
}

variable "max_prompt_chars" {
  type        = number
  description = "Longer prompts are answered with 400."
  default     = 20000
}

variable "model_max_attempts" {
  type        = number
  description = "Tries of the SDK for one model call, within the request's deadline. 1 for a benchmark."
  default     = 2

  validation {
    condition     = var.model_max_attempts >= 1 && var.model_max_attempts <= 10
    error_message = "model_max_attempts must lie between 1 and 10."
  }
}

variable "architecture" {
  type        = string
  description = "Instruction set: x86_64 or arm64."
  default     = "arm64"
}

variable "throttle_rate_rps" {
  type        = number
  description = "Steady requests a second that the API lets through."
  default     = 5
}

variable "throttle_burst" {
  type        = number
  description = "Requests that the API lets through at once, above the steady rate."
  default     = 10
}

variable "route_throttles" {
  type        = map(object({ rate_rps = number, burst = number }))
  description = "Route key, such as 'POST /genai', to a throttle of its own in the place of the stage's: requests a second, and at once."
  default     = {}
}

variable "log_retention_days" {
  type        = number
  description = "Days that logs are kept."
  default     = 14
}

variable "log_format" {
  type        = string
  description = "Format of Lambda's own log lines: Text or JSON."
  default     = "JSON"
}

variable "observability" {
  type = object({
    enabled             = optional(bool, false)
    p99_ms              = optional(number, 3000)
    failures_per_period = optional(number, 0)
    emails              = optional(set(string), [])
  })
  description = "Dashboard, alarms and saved queries: whether, the p99 above which somebody is told, the failures of one kind a minute that are borne in silence, and who is told."
  default     = {}
}

variable "canary_journal" {
  type = object({
    enabled                = optional(bool, true)
    point_in_time_recovery = optional(bool, true)
  })
  description = "Table in which `tailcast canary` writes rollouts down: whether the environment has one, and whether it can be brought back to any second of the last 35 days. Idle it costs nothing."
  default     = {}
}

variable "monthly_budget_usd" {
  type        = number
  description = "What the environment may cost a month, in USD, before observability.emails hear of it; null for no budget."
  default     = null

  validation {
    condition     = var.monthly_budget_usd == null ? true : var.monthly_budget_usd > 0 && length(var.observability.emails) > 0
    error_message = "monthly_budget_usd must be above 0, and observability.emails must name who hears of it."
  }
}

# --- what a deployment is: written by `tailcast deploy` ---------------------------------------------------------------

variable "variant" {
  type        = string
  description = "Which of the variants is published by this apply."

  validation {
    condition     = contains(["baseline", "optimized"], var.variant)
    error_message = "variant must be baseline or optimized."
  }
}

variable "package_path" {
  type        = string
  description = "Deployment package of the inference function."
}

variable "package_base64sha256" {
  type        = string
  description = "Base64 of the package's SHA-256."
}

variable "handler" {
  type        = string
  description = "Entry point of the package."
}

variable "runtime" {
  type        = string
  description = "Managed runtime for which the package was built."
}

variable "authorizer_package" {
  type        = object({ path = string, base64sha256 = string, handler = string })
  description = "Deployment package of the authorizer: path, base64 of its SHA-256, entry point. Needed with auth.mode = api_key."
  default     = null
}

variable "streaming_package" {
  type        = object({ path = string, base64sha256 = string, handler = string })
  description = "Deployment package of the streaming function: path, base64 of its SHA-256, start command. Needed with streaming.enabled."
  default     = null
}

variable "baseline_version" {
  type        = string
  description = "Published version that serves as baseline; empty before the first deployment."
  default     = ""
}

variable "optimized_version" {
  type        = string
  description = "Published version that is the candidate; empty while there is none."
  default     = ""
}

variable "held_versions" {
  type        = set(string)
  description = "Versions that live still routes to, and that so keep their provisioned concurrency."
  default     = []
}

variable "provisioned_now" {
  type        = map(number)
  description = "Version to its provisioned concurrency as it stands; autoscaling may have moved it."
  default     = {}
}
