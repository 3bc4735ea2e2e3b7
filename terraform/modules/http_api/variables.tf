variable "name" {
  type        = string
  description = "Name of the API."

  validation {
    condition     = can(regex("^[a-zA-Z0-9_-]{1,128}$", var.name))
    error_message = "name must have 1 to 128 letters, digits, hyphens or underscores."
  }
}

variable "route_key" {
  type        = string
  description = "The one route: method and path."
  default     = "POST /genai"

  validation {
    condition     = can(regex("^(GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS|ANY) /", var.route_key))
    error_message = "route_key must be a method and a path, such as 'POST /genai'."
  }
}

variable "function_name" {
  type        = string
  description = "Function behind the API."
}

variable "alias_name" {
  type        = string
  description = "Alias that the API invokes. The permission is given on it: one on the function alone is not enough."
}

variable "alias_invoke_arn" {
  type        = string
  description = "Invoke ARN of the alias."
}

variable "throttle_rate_rps" {
  type        = number
  description = "Steady requests a second that the stage lets through; above it callers get 429."
  default     = 100

  validation {
    condition     = var.throttle_rate_rps > 0 && var.throttle_rate_rps <= 10000
    error_message = "throttle_rate_rps must be above 0 and at most 10000, the account's default limit."
  }
}

variable "throttle_burst" {
  type        = number
  description = "Requests that the stage lets through at once, above the steady rate."
  default     = 200

  validation {
    condition     = var.throttle_burst >= 1 && var.throttle_burst <= 5000 && floor(var.throttle_burst) == var.throttle_burst
    error_message = "throttle_burst must be a whole number from 1 to 5000, the account's default limit."
  }
}

variable "log_retention_days" {
  type        = number
  description = "Days that the access log is kept."
  default     = 14

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days must be one of the periods that CloudWatch Logs offers: 1, 3, 5, 7, 14, 30, 60, 90, ..."
  }
}
