variable "name" {
  type        = string
  description = "Name of the user pool."

  validation {
    condition     = can(regex("^[a-zA-Z0-9_-]{1,120}$", var.name))
    error_message = "name must have 1 to 120 letters, digits, hyphens or underscores."
  }
}

variable "mfa" {
  type        = string
  description = "Second factor (authenticator app): OFF, OPTIONAL or ON."
  default     = "OPTIONAL"

  validation {
    condition     = contains(["OFF", "OPTIONAL", "ON"], var.mfa)
    error_message = "mfa must be OFF, OPTIONAL or ON."
  }
}

variable "token_validity_minutes" {
  type        = number
  description = "Minutes that an access or id token is good for."
  default     = 60

  validation {
    condition     = var.token_validity_minutes >= 5 && var.token_validity_minutes <= 1440 && floor(var.token_validity_minutes) == var.token_validity_minutes
    error_message = "token_validity_minutes must be a whole number from 5 to 1440, as Cognito allows."
  }
}

variable "deletion_protection" {
  type        = bool
  description = "Whether Cognito refuses to delete the pool and its users."
  default     = false
}
