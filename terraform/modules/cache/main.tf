# Answers by the digest of their question. The table holds no prompt; it holds what models answered, for a day.
resource "aws_dynamodb_table" "this" {
  #checkov:skip=CKV_AWS_119:kms_key_arn chooses a key of the account's; AWS's own encrypts otherwise
  #checkov:skip=CKV_AWS_28:point_in_time_recovery decides; a cache can be filled anew
  name                        = var.name
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = "key"
  deletion_protection_enabled = var.deletion_protection

  attribute {
    name = "key"
    type = "S"
  }

  ttl {
    attribute_name = "expires_at"
    enabled        = true
  }

  server_side_encryption {
    # Off means a key that AWS owns, not plain text; on, a key of the account's.
    enabled     = var.kms_key_arn != ""
    kms_key_arn = var.kms_key_arn == "" ? null : var.kms_key_arn
  }

  point_in_time_recovery {
    enabled = var.point_in_time_recovery
  }
}
