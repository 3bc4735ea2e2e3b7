output "function_name" {
  description = "Name of the authorizer's function."
  value       = aws_lambda_function.this.function_name
}

output "invoke_arn" {
  description = "ARN by which API Gateway invokes the authorizer."
  value       = aws_lambda_function.this.invoke_arn
}

output "table_name" {
  description = "Table of API keys; `tailcast key` makes, rotates and revokes them."
  value       = aws_dynamodb_table.keys.name
}

output "rates_table_name" {
  description = "Table in which the rates of keys are kept."
  value       = aws_dynamodb_table.rates.name
}

output "rates_policy_json" {
  description = "What the function that answers needs to keep them."
  value = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [{
        Sid      = "CountRequests"
        Effect   = "Allow"
        Action   = "dynamodb:UpdateItem"
        Resource = aws_dynamodb_table.rates.arn
      }],
      var.kms_key_arn == "" ? [] : [{
        Sid       = "UseTheTablesKey"
        Effect    = "Allow"
        Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
        Resource  = var.kms_key_arn
        Condition = { StringLike = { "kms:ViaService" = "dynamodb.*.amazonaws.com" } }
      }],
    )
  })
}
