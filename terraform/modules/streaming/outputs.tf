output "url" {
  description = "Address of the Function URL, with a slash at its end; POST stream below it."
  value       = aws_lambda_function_url.this.function_url
}

output "function_name" {
  description = "Name of the function."
  value       = module.function.function_name
}

output "log_group_name" {
  description = "Log group of the function."
  value       = module.function.log_group_name
}

output "published_version" {
  description = "Newest published version, which the URL serves."
  value       = module.function.published_version
}

output "caller_policy_json" {
  description = "IAM policy for a caller of the same account: to call the URL, and nothing but the URL."
  value = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "CallUrl"
        Effect    = "Allow"
        Action    = "lambda:InvokeFunctionUrl"
        Resource  = module.function.baseline_alias_arn
        Condition = { StringEquals = { "lambda:FunctionUrlAuthType" = "AWS_IAM" } }
      },
      {
        Sid       = "InvokeThroughUrl"
        Effect    = "Allow"
        Action    = "lambda:InvokeFunction"
        Resource  = module.function.baseline_alias_arn
        Condition = { Bool = { "lambda:InvokedViaFunctionUrl" = "true" } }
      },
    ]
  })
}
