output "api_id" {
  description = "Id of the HTTP API."
  value       = aws_apigatewayv2_api.this.id
}

output "api_endpoint" {
  description = "Base URL of the default stage."
  value       = aws_apigatewayv2_api.this.api_endpoint

  # A caller who has the address may use it: the route, the stage and the right to invoke stand.
  depends_on = [aws_apigatewayv2_route.this, aws_apigatewayv2_stage.default, aws_lambda_permission.invoke, aws_lambda_permission.authorize]
}

output "execution_arn" {
  description = "ARN prefix by which policies name the API."
  value       = aws_apigatewayv2_api.this.execution_arn
}

output "access_log_group_name" {
  description = "Log group of the access log."
  value       = aws_cloudwatch_log_group.access.name
}
