variable "model_ids" {
  type        = set(string)
  description = "Bedrock foundation-model ids (amazon.nova-lite-v1:0) and cross-region inference-profile ids (us.amazon.nova-lite-v1:0) that may be invoked."

  validation {
    condition     = length(var.model_ids) > 0
    error_message = "model_ids must name at least one model."
  }

  validation {
    condition     = alltrue([for id in var.model_ids : can(regex("^[a-z0-9][a-zA-Z0-9._:-]+$", id)) && length(split(".", id)) >= 2])
    error_message = "model_ids must be ids such as amazon.nova-lite-v1:0 or us.amazon.nova-lite-v1:0, without wildcards; ARNs are not supported."
  }
}

variable "profile_regions" {
  type        = map(list(string))
  description = "Where a cross-region inference profile may route, by the prefix of its id; global profiles are known besides. A caller needs the right to the model in each of them. Source: Bedrock user guide, 'Supported Regions and models for inference profiles'."
  default = {
    us   = ["us-east-1", "us-east-2", "us-west-2"]
    eu   = ["eu-central-1", "eu-north-1", "eu-south-1", "eu-south-2", "eu-west-1", "eu-west-3"]
    jp   = ["ap-northeast-1", "ap-northeast-3"]
    au   = ["ap-southeast-2", "ap-southeast-4"]
    apac = ["ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "ap-south-1", "ap-south-2", "ap-southeast-1", "ap-southeast-2"]
  }

  validation {
    condition     = alltrue([for regions in values(var.profile_regions) : length(regions) > 0])
    error_message = "profile_regions must name at least one region for each prefix."
  }
}

variable "partition" {
  type        = string
  description = "AWS partition: aws, aws-us-gov, aws-cn."
}

variable "region" {
  type        = string
  description = "Region from which the models are called."
}

variable "account_id" {
  type        = string
  description = "Account that owns the inference profiles."

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "account_id must have twelve digits."
  }
}

variable "action" {
  type        = string
  description = "What may be done with the models: bedrock:InvokeModel, which Converse needs, or bedrock:InvokeModelWithResponseStream, which ConverseStream needs."
  default     = "bedrock:InvokeModel"

  validation {
    condition     = contains(["bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream"], var.action)
    error_message = "action must be bedrock:InvokeModel or bedrock:InvokeModelWithResponseStream."
  }
}
