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
    baseline  = object({ model_id = string, memory_mb = optional(number, 1024), max_tokens = optional(number, 512), temperature = optional(number), system_prompt = optional(string, "") })
    optimized = object({ model_id = string, memory_mb = optional(number, 1024), max_tokens = optional(number, 512), temperature = optional(number), system_prompt = optional(string, "") })
  })
  description = "The two configurations of the function. They differ here only: model, memory in MB, answer limit in tokens, temperature, system prompt."

  validation {
    condition     = alltrue([for variant in values(var.variants) : variant.max_tokens >= 1 && variant.max_tokens <= 65536])
    error_message = "variants: max_tokens must lie between 1 and 65536."
  }

  validation {
    condition     = alltrue([for variant in values(var.variants) : variant.temperature == null ? true : variant.temperature >= 0 && variant.temperature <= 1])
    error_message = "variants: temperature must lie between 0 and 1, or be left out."
  }
}

variable "provisioned_concurrency" {
  type        = object({ baseline = number, optimized = number })
  description = "Execution environments kept ready for each pinned version. They are billed from then on, used or not."
  default     = { baseline = 0, optimized = 0 }
}

variable "reserved_concurrency" {
  type        = number
  description = "Concurrent executions reserved for, and allowed to, the function; -1 for none."
  default     = -1
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
  default     = 100
}

variable "throttle_burst" {
  type        = number
  description = "Requests that the API lets through at once, above the steady rate."
  default     = 200
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
