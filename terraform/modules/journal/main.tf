# What `tailcast canary` writes down: leases, decisions, looks, commands; a few hundred bytes a look, no caller's prompt, no
# answer. The plan is in it, with its webhooks and the commands of its gates.
resource "aws_dynamodb_table" "this" {
  #checkov:skip=CKV_AWS_119:kms_key_arn chooses a key of the account's; AWS's own encrypts otherwise
  #checkov:skip=CKV_AWS_28:point_in_time_recovery decides, and is on unless somebody turns it off
  name = var.name
  # Idle it costs nothing, and a rollout writes a line or two every few seconds.
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = "scope"
  range_key                   = "item"
  deletion_protection_enabled = var.deletion_protection

  attribute {
    name = "scope"
    type = "S"
  }

  attribute {
    name = "item"
    type = "S"
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
