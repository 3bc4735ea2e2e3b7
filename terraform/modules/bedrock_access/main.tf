# The right to invoke the configured models, and nothing else. A cross-region inference profile needs two rights: to the
# profile itself, and to the foundation model in every region that it can route to. The second is bound to the profile,
# so that it does not become a right to call the model directly anywhere. Source: Bedrock user guide, "Geographic
# cross-Region inference" and "Global cross-Region inference".

locals {
  # A global profile routes to the model here, and to one that has no region in its ARN.
  routes = merge(var.profile_regions, { global = [var.region, ""] })

  profiles = {
    for id in var.model_ids : id => {
      model   = join(".", slice(split(".", id), 1, length(split(".", id))))
      regions = local.routes[split(".", id)[0]]
    } if contains(keys(local.routes), split(".", id)[0])
  }

  models = sort([for id in var.model_ids : id if !contains(keys(local.profiles), id)])

  profile_arns = {
    for id in keys(local.profiles) : id => "arn:${var.partition}:bedrock:${var.region}:${var.account_id}:inference-profile/${id}"
  }

  model_statements = length(local.models) == 0 ? [] : [{
    Sid      = "InvokeModels"
    Effect   = "Allow"
    Action   = var.action
    Resource = [for id in local.models : "arn:${var.partition}:bedrock:${var.region}::foundation-model/${id}"]
  }]

  profile_statements = length(local.profiles) == 0 ? [] : [{
    Sid      = "InvokeProfiles"
    Effect   = "Allow"
    Action   = var.action
    Resource = [for id in sort(keys(local.profiles)) : local.profile_arns[id]]
  }]

  routed_statements = [
    for index, id in sort(keys(local.profiles)) : {
      Sid       = "InvokeThroughProfile${index}"
      Effect    = "Allow"
      Action    = var.action
      Resource  = [for region in local.profiles[id].regions : "arn:${var.partition}:bedrock:${region}::foundation-model/${local.profiles[id].model}"]
      Condition = { StringEquals = { "bedrock:InferenceProfileArn" = local.profile_arns[id] } }
    }
  ]
}
