variable "name" {
  type        = string
  description = "Name of the API."

  validation {
    condition     = can(regex("^[a-zA-Z0-9_-]{1,128}$", var.name))
    error_message = "name must have 1 to 128 letters, digits, hyphens or underscores."
  }
}

variable "route_keys" {
  type        = set(string)
  description = "The routes: method and path. With ANY, a wrong method is answered with 405 by the function instead of with 404 by the gateway; but it catches browsers' preflights too, which carry no credentials."
  default     = ["POST /ai", "POST /genai"]

  validation {
    condition     = length(var.route_keys) > 0 && alltrue([for key in var.route_keys : can(regex("^(GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS|ANY) /", key))])
    error_message = "route_keys must be methods and paths, such as 'POST /genai'."
  }
}

variable "authorization" {
  type = object({
    type                     = string
    issuer                   = optional(string)
    audience                 = optional(list(string), [])
    scopes                   = optional(list(string), [])
    authorizer_invoke_arn    = optional(string)
    authorizer_function_name = optional(string)
    cache_s                  = optional(number, 300)
  })
  description = "Who may call. There is no default: an open API is something to say, not to forget. type: none; jwt with issuer, audience and, optionally, scopes; api_key with the authorizer's invoke ARN and function name, and the seconds that its word is good for (a revoked key works that much longer)."

  validation {
    condition     = contains(["none", "jwt", "api_key"], var.authorization.type)
    error_message = "authorization.type must be none, jwt or api_key."
  }

  validation {
    condition     = var.authorization.type != "jwt" || length(var.authorization.audience) > 0
    error_message = "authorization: type jwt needs the issuer and at least one audience."
  }

  validation {
    condition     = var.authorization.cache_s >= 0 && var.authorization.cache_s <= 3600
    error_message = "authorization.cache_s must lie between 0 and 3600."
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

  validation {
    condition     = var.cors == null ? true : alltrue([for origin in var.cors.allow_origins : can(regex("^(\\*|https?://[^/ ]+)$", origin))])
    error_message = "cors.allow_origins must be origins such as https://app.example.com, or *."
  }

  validation {
    condition     = var.cors == null ? true : !(var.cors.allow_credentials && contains(var.cors.allow_origins, "*"))
    error_message = "cors: browsers refuse credentials for every origin (*); name the origins."
  }

  validation {
    condition     = var.cors == null || var.authorization.type == "none" ? true : alltrue([for key in var.route_keys : !contains(["ANY", "OPTIONS"], split(" ", key)[0])])
    error_message = "cors: a route of route_keys that is ANY or OPTIONS asks browsers' preflights for credentials, which they never carry; name the methods."
  }
}

variable "kms_key_arn" {
  type        = string
  description = "KMS key that encrypts the access log; empty for the one that AWS owns."
  default     = ""
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
  default     = 5

  validation {
    condition     = var.throttle_rate_rps > 0 && var.throttle_rate_rps <= 10000
    error_message = "throttle_rate_rps must be above 0 and at most 10000, the account's default limit."
  }
}

variable "throttle_burst" {
  type        = number
  description = "Requests that the stage lets through at once, above the steady rate."
  default     = 10

  validation {
    condition     = var.throttle_burst >= 1 && var.throttle_burst <= 5000 && floor(var.throttle_burst) == var.throttle_burst
    error_message = "throttle_burst must be a whole number from 1 to 5000, the account's default limit."
  }
}

variable "route_throttles" {
  type        = map(object({ rate_rps = number, burst = number }))
  description = "Route key to a throttle of its own, in the place of the stage's for that route."
  default     = {}

  validation {
    condition     = alltrue([for key in keys(var.route_throttles) : contains(var.route_keys, key)])
    error_message = "route_throttles must name routes of route_keys, such as 'POST /genai'."
  }

  validation {
    condition     = alltrue([for throttle in values(var.route_throttles) : throttle.rate_rps > 0 && throttle.rate_rps <= 10000 && throttle.burst >= 1 && throttle.burst <= 5000 && floor(throttle.burst) == throttle.burst])
    error_message = "route_throttles: rate_rps must be above 0 and at most 10000, burst a whole number from 1 to 5000."
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
