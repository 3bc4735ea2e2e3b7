variable "name" {
  type        = string
  description = "Name of the table."

  validation {
    condition     = can(regex("^[a-zA-Z0-9_.-]{3,255}$", var.name))
    error_message = "name must have 3 to 255 letters, digits, dots, hyphens or underscores."
  }
}

variable "kms_key_arn" {
  type        = string
  description = "KMS key that encrypts the table; empty for the one that AWS owns. Whoever runs rollouts needs the right to use it."
  default     = ""

  validation {
    condition     = can(regex("^(arn:[^:]+:kms:[^:]+:[0-9]{12}:key/.+)?$", var.kms_key_arn))
    error_message = "kms_key_arn must be the ARN of a KMS key, or empty."
  }
}

variable "point_in_time_recovery" {
  type        = bool
  description = "Whether the table can be brought back to any second of the last 35 days: what was decided, and why, is nowhere else."
  default     = true
}

variable "deletion_protection" {
  type        = bool
  description = "Whether DynamoDB refuses to delete the table."
  default     = false
}
