output "user_pool_id" {
  description = "Id of the user pool."
  value       = aws_cognito_user_pool.this.id
}

output "client_id" {
  description = "Id of the app's client: the audience of its tokens."
  value       = aws_cognito_user_pool_client.this.id
}

output "issuer" {
  description = "What the pool's tokens name as their issuer."
  value       = "https://${aws_cognito_user_pool.this.endpoint}"
}
