output "policy_json" {
  description = "IAM policy that allows the action on the configured models only."
  value = jsonencode({
    Version   = "2012-10-17"
    Statement = concat(local.model_statements, local.profile_statements, local.routed_statements)
  })
}
