variable "name" {
  type        = string
  description = "Name of the budget."
}

variable "account_id" {
  type        = string
  description = "Account whose costs are watched."

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "account_id must have twelve digits."
  }
}

variable "monthly_usd" {
  type        = number
  description = "Limit a month, in USD."

  validation {
    condition     = var.monthly_usd > 0
    error_message = "monthly_usd must be above 0."
  }
}

variable "tag_key" {
  type        = string
  description = "Cost-allocation tag by which the deployment's costs are told apart."
  default     = "Environment"
}

variable "tag_value" {
  type        = string
  description = "Value of that tag."
}

variable "thresholds_percent" {
  type        = set(number)
  description = "Shares of the limit, in percent, at which somebody hears of it."
  default     = [50, 80, 100]
}

variable "emails" {
  type        = list(string)
  description = "Who hears of it."
  default     = []

  validation {
    condition     = alltrue([for email in var.emails : can(regex("^[^@ ]+@[^@ ]+$", email))])
    error_message = "emails must be e-mail addresses."
  }
}

variable "sns_topic_arns" {
  type        = list(string)
  description = "Topics that hear of it; their policies must let budgets.amazonaws.com publish."
  default     = []
}
