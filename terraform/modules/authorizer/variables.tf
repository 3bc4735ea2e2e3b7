variable "name" {
  type        = string
  description = "Prefix of the names of function and table."

  validation {
    condition     = can(regex("^[a-zA-Z0-9_-]{1,50}$", var.name))
    error_message = "name must have 1 to 50 letters, digits, hyphens or underscores."
  }
}

variable "package" {
  type        = object({ path = string, base64sha256 = string, handler = string })
  description = "Deployment package of functions/authorizer: a zip on this machine, the base64 of its SHA-256, its entry point."
}

variable "runtime" {
  type        = string
  description = "Managed runtime for which the package was built."
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

variable "kms_key_arn" {
  type        = string
  description = "KMS key that encrypts table and log group; empty for the ones that AWS owns."
  default     = ""

  validation {
    condition     = can(regex("^(arn:[^:]+:kms:[^:]+:[0-9]{12}:key/.+)?$", var.kms_key_arn))
    error_message = "kms_key_arn must be the ARN of a KMS key, or empty."
  }
}

variable "log_retention_days" {
  type        = number
  description = "Days that the function's logs are kept."
  default     = 14
}

variable "deletion_protection" {
  type        = bool
  description = "Whether DynamoDB refuses to delete the table of keys."
  default     = false
}
