output "function_name" {
  description = "Name of the inference function."
  value       = module.inference.function_name
}

output "region" {
  description = "AWS region of all of it."
  value       = var.region
}

output "api_id" {
  description = "Id of the HTTP API."
  value       = module.api.api_id
}

output "api_endpoint" {
  description = "Base URL of the API; the routes are POST /genai and POST /ai."
  value       = module.api.api_endpoint
}

output "alias_names" {
  description = "Role (baseline, optimized, live) to alias name; a role without one is missing."
  value       = module.inference.alias_names
}

output "versions" {
  description = "Variant to the published version that serves it; a variant without one is missing."
  value       = module.inference.versions
}

output "published_version" {
  description = "Version that the last apply published, or found unchanged."
  value       = module.inference.published_version
}

output "provisioned_versions" {
  description = "Published version to its provisioned concurrency."
  value       = module.inference.provisioned_versions
}

output "autoscaled_versions" {
  description = "Published version to the least and the most of its environments, where autoscaling moves them."
  value       = module.inference.autoscaled_versions
}

output "log_group_name" {
  description = "Log group of the inference function."
  value       = module.inference.log_group_name
}

output "models" {
  description = "Variant to Bedrock model or inference-profile id, as configured now."
  value       = { for name, variant in var.variants : name => variant.model_id }
}

output "auth" {
  description = "How callers prove who they are: mode, and what a client needs for it."
  value = {
    mode         = var.auth.mode
    issuer       = var.auth.issuer != null ? var.auth.issuer : one(module.user_pool[*].issuer)
    user_pool_id = one(module.user_pool[*].user_pool_id)
    client_id    = one(module.user_pool[*].client_id)
    keys_table   = one(module.authorizer[*].table_name)
  }
}

output "streaming" {
  description = "The streaming function: its URL, to which POST /stream goes, its name, its log group, and the policy that a caller needs; null where there is none."
  value = var.streaming.enabled ? {
    url                = module.streaming[0].url
    function_name      = module.streaming[0].function_name
    log_group_name     = module.streaming[0].log_group_name
    caller_policy_json = module.streaming[0].caller_policy_json
  } : null
}

output "observability" {
  description = "Where to look: dashboard, alarms and their topic; null where there are none."
  value = var.observability.enabled ? {
    dashboard = module.observability[0].dashboard_name
    alarms    = module.observability[0].alarm_names
    topic_arn = module.observability[0].topic_arn
  } : null
}

output "canary_journal_table" {
  description = "Table in which `tailcast canary` writes rollouts down; null where there is none."
  value       = one(module.journal[*].table_name)
}
