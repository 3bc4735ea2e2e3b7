variable "name" {
  type        = string
  description = "Name of the function; its role and log group are named after it."

  validation {
    condition     = can(regex("^[a-zA-Z0-9_-]{1,64}$", var.name))
    error_message = "name must have 1 to 64 letters, digits, hyphens or underscores."
  }
}

variable "package_path" {
  type        = string
  description = "Deployment package: a zip on this machine."

  validation {
    condition     = endswith(var.package_path, ".zip")
    error_message = "package_path must name a .zip file; `tailcast package` builds one."
  }
}

variable "package_base64sha256" {
  type        = string
  description = "Base64 of the package's SHA-256. A new version is published when it changes."

  validation {
    condition     = can(regex("^[A-Za-z0-9+/]{43}=$", var.package_base64sha256))
    error_message = "package_base64sha256 must be a SHA-256 in base64: 43 characters and '='."
  }
}

variable "handler" {
  type        = string
  description = "Entry point: module.path.function."
}

variable "runtime" {
  type        = string
  description = "Managed runtime. The package carries bytecode for exactly this version of Python."

  validation {
    condition     = contains(["python3.11", "python3.12", "python3.13"], var.runtime)
    error_message = "runtime must be python3.11, python3.12 or python3.13."
  }
}

variable "architecture" {
  type        = string
  description = "Instruction set: x86_64 or arm64. The package is pure Python and runs on both."
  default     = "arm64"

  validation {
    condition     = contains(["x86_64", "arm64"], var.architecture)
    error_message = "architecture must be x86_64 or arm64."
  }
}

variable "layers" {
  type        = list(string)
  description = "ARNs of layer versions to lay under the package."
  default     = []

  validation {
    condition     = alltrue([for arn in var.layers : can(regex("^arn:[^:]+:lambda:[^:]+:[0-9]{12}:layer:[^:]+:[0-9]+$", arn))]) && length(var.layers) <= 5
    error_message = "layers must be at most five ARNs of layer versions: arn:aws:lambda:REGION:ACCOUNT:layer:NAME:VERSION."
  }
}

variable "memory_mb" {
  type        = number
  description = "Memory, and with it CPU, in MB."
  default     = 1024

  validation {
    condition     = var.memory_mb >= 128 && var.memory_mb <= 10240 && floor(var.memory_mb) == var.memory_mb
    error_message = "memory_mb must be a whole number from 128 to 10240."
  }
}

variable "timeout_s" {
  type        = number
  description = "Function time-out in seconds. Behind an HTTP API keep it below 30, where the gateway gives up."
  default     = 29

  validation {
    condition     = var.timeout_s >= 1 && var.timeout_s <= 900 && floor(var.timeout_s) == var.timeout_s
    error_message = "timeout_s must be a whole number from 1 to 900."
  }
}

variable "environment" {
  type        = map(string)
  description = "Environment variables of the function."
  default     = {}
}

variable "reserved_concurrency" {
  type        = number
  description = "Concurrent executions reserved for, and allowed to, the function; -1 for none."
  default     = -1

  validation {
    condition     = var.reserved_concurrency >= -1 && floor(var.reserved_concurrency) == var.reserved_concurrency
    error_message = "reserved_concurrency must be -1 or a whole number from 0."
  }
}

variable "policies" {
  type        = map(string)
  description = "Inline policies of the execution role, name to JSON, besides the right to write its own log group."
  default     = {}
}

variable "log_retention_days" {
  type        = number
  description = "Days that the function's logs are kept."
  default     = 14

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days must be one of the periods that CloudWatch Logs offers: 1, 3, 5, 7, 14, 30, 60, 90, ..."
  }
}

variable "kms_key_arn" {
  type        = string
  description = "KMS key that encrypts log group and environment variables; empty for the ones that AWS owns."
  default     = ""
}

variable "log_format" {
  type        = string
  description = "Text, or JSON for platform events as JSON. tailcast records both."
  default     = "JSON"

  validation {
    condition     = contains(["Text", "JSON"], var.log_format)
    error_message = "log_format must be Text or JSON."
  }
}

variable "baseline_version" {
  type        = string
  description = "Published version that serves as baseline. Empty before the first deployment: the version being published."
  default     = ""

  validation {
    condition     = can(regex("^([1-9][0-9]*)?$", var.baseline_version))
    error_message = "baseline_version must be a published version's number, or empty."
  }
}

variable "optimized_version" {
  type        = string
  description = "Published version that is the candidate. Empty while there is none."
  default     = ""

  validation {
    condition     = can(regex("^([1-9][0-9]*)?$", var.optimized_version))
    error_message = "optimized_version must be a published version's number, or empty."
  }
}

variable "held_versions" {
  type        = set(string)
  description = "Further versions that keep their provisioned concurrency, because the alias live still routes to them."
  default     = []

  validation {
    condition     = alltrue([for version in var.held_versions : can(regex("^[1-9][0-9]*$", version))])
    error_message = "held_versions must be numbers of published versions."
  }
}

variable "provisioned_concurrency" {
  type        = object({ baseline = number, optimized = number })
  description = "Execution environments kept ready for each pinned version; 0 for none. A version that is both gets the larger number."
  default     = { baseline = 0, optimized = 0 }

  validation {
    condition     = alltrue([for count in values(var.provisioned_concurrency) : count >= 0 && floor(count) == count])
    error_message = "provisioned_concurrency must hold whole numbers from 0."
  }
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

  validation {
    condition     = alltrue([for role, scaling in var.provisioned_autoscaling : scaling == null ? true : var.provisioned_concurrency[role] >= 1 && scaling.max >= var.provisioned_concurrency[role] && floor(scaling.max) == scaling.max])
    error_message = "provisioned_autoscaling: max must be a whole number from provisioned_concurrency of the same variant, which must be 1 at least."
  }

  validation {
    condition     = alltrue([for scaling in values(var.provisioned_autoscaling) : scaling == null ? true : scaling.target_utilization == 0 || scaling.target_utilization >= 0.1 && scaling.target_utilization <= 0.9])
    error_message = "provisioned_autoscaling: target_utilization must lie between 0.1 and 0.9, Lambda's own bounds, or be 0."
  }

  validation {
    condition     = alltrue(flatten([for scaling in values(var.provisioned_autoscaling) : [for schedule in try(values(scaling.schedules), []) : schedule.min >= 1 && schedule.max >= schedule.min && can(regex("^(cron|rate|at)\\(.+\\)$", schedule.schedule))]]))
    error_message = "provisioned_autoscaling: a schedule must be cron(...), rate(...) or at(...), with 1 <= min <= max."
  }
}

variable "provisioned_now" {
  type        = map(number)
  description = "Version to the environments that autoscaling has given it by now. Terraform has to name a number; `tailcast deploy` reads what stands and hands it in, so that an apply moves nothing. A version that is not in it begins with provisioned_concurrency."
  default     = {}
}

variable "tracing_mode" {
  type        = string
  description = "X-Ray: Active traces requests, and gives the role the right to send them; PassThrough does neither of itself."
  default     = "PassThrough"

  validation {
    condition     = contains(["PassThrough", "Active"], var.tracing_mode)
    error_message = "tracing_mode must be PassThrough or Active."
  }
}

variable "snap_start" {
  type        = bool
  description = "Whether published versions start from a snapshot taken after INIT. Lambda refuses it beside provisioned concurrency."
  default     = false

  validation {
    condition     = !var.snap_start || (var.provisioned_concurrency.baseline == 0 && var.provisioned_concurrency.optimized == 0)
    error_message = "snap_start and provisioned_concurrency exclude each other: set provisioned_concurrency to 0 for both variants."
  }

  validation {
    condition     = !var.snap_start || var.runtime != "python3.11"
    error_message = "snap_start needs Python 3.12 or newer."
  }
}
