variable "name" {
  type        = string
  description = "Prefix of every resource's name."

  validation {
    condition     = can(regex("^[a-zA-Z0-9_-]{1,50}$", var.name))
    error_message = "name must have 1 to 50 letters, digits, hyphens or underscores."
  }
}

variable "package" {
  type        = object({ path = string, base64sha256 = string, handler = string })
  description = "Deployment package: path, base64 of its SHA-256, and the script that starts the application."

  validation {
    condition     = var.package != null
    error_message = "package must be given; `tailcast package stream` builds it, and `tailcast deploy` does so where streaming is enabled."
  }

  validation {
    condition     = var.package == null ? true : endswith(var.package.handler, ".sh")
    error_message = "package.handler must be a script (.sh): Lambda Web Adapter starts it."
  }
}

variable "runtime" {
  type        = string
  description = "Managed runtime, whose Python runs the application."
}

variable "architecture" {
  type        = string
  description = "Instruction set: x86_64 or arm64."
  default     = "arm64"

  validation {
    condition     = contains(["x86_64", "arm64"], var.architecture)
    error_message = "architecture must be x86_64 or arm64."
  }
}

variable "adapter_layer_arn" {
  type        = string
  description = "Layer version of Lambda Web Adapter; empty for the one that AWS publishes for this region and architecture."
  default     = ""

  validation {
    condition     = var.adapter_layer_arn == "" || can(regex("^arn:[^:]+:lambda:[^:]+:[0-9]{12}:layer:[^:]+:[0-9]+$", var.adapter_layer_arn))
    error_message = "adapter_layer_arn must be the ARN of a layer version, or empty."
  }
}

variable "memory_mb" {
  type        = number
  description = "Memory, and with it CPU, in MB."
  default     = 1024
}

variable "timeout_s" {
  type        = number
  description = "Longest answer in seconds. AWS lets a function work on when its caller has left, and bills it: this is the bound."
  default     = 120

  validation {
    condition     = var.timeout_s >= 3 && var.timeout_s <= 900
    error_message = "timeout_s must lie between 3 and 900."
  }
}

variable "reserved_concurrency" {
  type        = number
  description = "Concurrent executions reserved for, and allowed to, the function; -1 for none."
  default     = -1
}

variable "environment" {
  type        = map(string)
  description = "Settings of the application (MODEL_ID, TIERS, ...)."

  validation {
    condition     = length(setintersection(keys(var.environment), ["AWS_LAMBDA_EXEC_WRAPPER", "AWS_LWA_INVOKE_MODE", "AWS_LWA_PORT", "AWS_LWA_READINESS_CHECK_PATH"])) == 0
    error_message = "environment must leave the settings of Lambda Web Adapter to this module."
  }
}

variable "model_ids" {
  type        = set(string)
  description = "Bedrock model and inference-profile ids that may be streamed from."
}

variable "callers" {
  type        = set(string)
  description = "ARNs of IAM users or roles, or account ids, that the function's own policy lets call. Callers of the same account need none where their own policy says so."
  default     = []

  validation {
    condition     = alltrue([for caller in var.callers : can(regex("^([0-9]{12}|arn:[^:]+:iam::[0-9]{12}:(role|user|root).*)$", caller))])
    error_message = "callers must be ARNs of IAM users or roles, or account ids; never *: the URL is not open to everybody."
  }
}

variable "cors" {
  type = object({
    allow_origins     = list(string)
    allow_headers     = list(string)
    allow_credentials = bool
    max_age_s         = number
  })
  description = "Web pages that may call from a browser; null for none."
  default     = null
}

variable "partition" {
  type        = string
  description = "AWS partition: aws, aws-us-gov, aws-cn."
}

variable "region" {
  type        = string
  description = "Region of the function and of its models."
}

variable "account_id" {
  type        = string
  description = "Account of the function."
}

variable "log_retention_days" {
  type        = number
  description = "Days that the function's logs are kept."
  default     = 14
}

variable "log_format" {
  type        = string
  description = "Format of Lambda's own log lines: Text or JSON."
  default     = "JSON"
}

variable "kms_key_arn" {
  type        = string
  description = "KMS key that encrypts logs and settings; empty for the ones that AWS owns."
  default     = ""
}

variable "tracing_mode" {
  type        = string
  description = "X-Ray: Active or PassThrough."
  default     = "PassThrough"
}
