variable "name" {
  type        = string
  description = "Name of the dashboard, and prefix of alarms and queries."
}

variable "region" {
  type        = string
  description = "Region of the metrics."
}

variable "function_name" {
  type        = string
  description = "Function that is watched."
}

variable "api_id" {
  type        = string
  description = "HTTP API that is watched."
}

variable "log_group_name" {
  type        = string
  description = "Log group of the function."
}

variable "log_format" {
  type        = string
  description = "Format of Lambda's own log lines, JSON or Text; of JSON ones the time of each INIT becomes a metric."
  default     = "JSON"

  validation {
    condition     = contains(["Text", "JSON"], var.log_format)
    error_message = "log_format must be Text or JSON."
  }
}

variable "stream" {
  type        = object({ function_name = string, version = string })
  description = "The streaming function and the version that its URL serves; null where there is none."
  default     = null
}

variable "versions" {
  type        = map(string)
  description = "Variant to the published version that serves it."
}

variable "provisioned_variants" {
  type        = set(string)
  description = "Variants that have provisioned concurrency, and so can spill over."
  default     = []
}

variable "p99_ms" {
  type        = number
  description = "p99 of the handler above which somebody is told, in ms."
  default     = 3000

  validation {
    condition     = var.p99_ms > 0
    error_message = "p99_ms must be above 0."
  }
}

variable "failures_per_period" {
  type        = number
  description = "Failures of one kind a minute that are borne in silence."
  default     = 0

  validation {
    condition     = var.failures_per_period >= 0
    error_message = "failures_per_period must be at least 0."
  }
}

variable "alarm_emails" {
  type        = set(string)
  description = "Who is told; each address has to confirm once."
  default     = []

  validation {
    condition     = alltrue([for email in var.alarm_emails : can(regex("^[^@ ]+@[^@ ]+$", email))])
    error_message = "alarm_emails must be e-mail addresses."
  }
}

variable "sns_kms_key_id" {
  type        = string
  description = "KMS key of the topic: id, ARN or alias. A key of the account's must let cloudwatch.amazonaws.com use it, or alarms stay silent."
  default     = null
}

variable "saved_queries" {
  type        = bool
  description = "Whether to save the Logs Insights queries."
  default     = true
}
