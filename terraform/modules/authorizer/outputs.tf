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
