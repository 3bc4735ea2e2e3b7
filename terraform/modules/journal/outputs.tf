output "table_name" {
  description = "Name of the table."
  value       = aws_dynamodb_table.this.name
}

output "table_arn" {
  description = "ARN of the table."
  value       = aws_dynamodb_table.this.arn
}

output "policy_json" {
  description = "IAM policy of whoever runs rollouts: reading and writing this table, and the key where there is one; not making or deleting it."
  value = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [{
        Sid    = "KeepTheJournal"
        Effect = "Allow"
        Action = [
          "dynamodb:ConditionCheckItem",
          "dynamodb:DescribeTable",
          "dynamodb:GetItem",
          "dynamodb:PutItem",
          "dynamodb:Query",
          "dynamodb:UpdateItem",
        ]
        Resource = aws_dynamodb_table.this.arn
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
