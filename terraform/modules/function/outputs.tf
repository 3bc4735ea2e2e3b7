output "function_name" {
  description = "Name of the function."
  value       = aws_lambda_function.this.function_name
}

output "function_arn" {
  description = "Unqualified ARN of the function."
  value       = aws_lambda_function.this.arn
}

output "published_version" {
  description = "Newest published version: code and configuration as this apply left them."
  value       = aws_lambda_function.this.version
}

output "versions" {
  description = "Role to published version; a role without one is missing."
  value = merge(
    { baseline = aws_lambda_alias.baseline.function_version },
    { for alias in aws_lambda_alias.optimized : alias.name => alias.function_version },
  )
}

output "alias_names" {
  description = "Role to alias name; a role without one is missing."
  value = merge(
    { baseline = aws_lambda_alias.baseline.name, live = aws_lambda_alias.live.name },
    { for alias in aws_lambda_alias.optimized : alias.name => alias.name },
  )
}

output "live_alias_name" {
  description = "Name of the weighted alias."
  value       = aws_lambda_alias.live.name
}

output "baseline_alias_arn" {
  description = "ARN of the alias baseline; without pins it follows what is published."
  value       = aws_lambda_alias.baseline.arn
}

output "live_invoke_arn" {
  description = "ARN by which API Gateway invokes the weighted alias."
  value       = aws_lambda_alias.live.invoke_arn
}

output "log_group_name" {
  description = "Log group of the function."
  value       = aws_cloudwatch_log_group.this.name
}

output "provisioned_versions" {
  description = "Published version to its provisioned concurrency."
  value       = { for version, config in aws_lambda_provisioned_concurrency_config.version : version => config.provisioned_concurrent_executions }
}

output "provisioned_ids" {
  description = "Published version to the id of its provisioned-concurrency configuration; an id that changes was replaced."
  value       = { for version, config in aws_lambda_provisioned_concurrency_config.version : version => config.id }
}

output "autoscaled_versions" {
  description = "Published version to the least and the most of its environments, where autoscaling moves them."
  value       = { for version, target in aws_appautoscaling_target.version : version => { min = target.min_capacity, max = target.max_capacity } }
}
