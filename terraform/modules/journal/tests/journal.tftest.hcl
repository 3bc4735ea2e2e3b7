mock_provider "aws" {
  mock_resource "aws_dynamodb_table" {
    defaults = { arn = "arn:aws:dynamodb:us-east-1:123456789012:table/rollouts" }
  }
}

variables {
  name = "rollouts"
}

run "the_keys_are_what_the_controller_asks_for" {
  command = apply

  assert {
    condition     = aws_dynamodb_table.this.hash_key == "scope" && aws_dynamodb_table.this.range_key == "item"
    error_message = "The controller reads and writes items by scope and item."
  }

  assert {
    condition     = aws_dynamodb_table.this.billing_mode == "PAY_PER_REQUEST"
    error_message = "A provisioned table throttles at a burst, and costs money idle."
  }

  assert {
    condition     = one(aws_dynamodb_table.this.point_in_time_recovery).enabled
    error_message = "What was decided, and why, is nowhere else."
  }

  assert {
    condition = jsondecode(output.policy_json).Statement == [{
      Sid      = "KeepTheJournal"
      Effect   = "Allow"
      Action   = ["dynamodb:ConditionCheckItem", "dynamodb:DescribeTable", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query", "dynamodb:UpdateItem"]
      Resource = "arn:aws:dynamodb:us-east-1:123456789012:table/rollouts"
    }]
    error_message = "Whoever runs rollouts may do more than keep this journal."
  }
}

run "a_key_of_the_accounts_needs_a_right_of_its_own" {
  command = apply

  variables {
    kms_key_arn         = "arn:aws:kms:us-east-1:123456789012:key/abc"
    deletion_protection = true
  }

  assert {
    condition     = one(aws_dynamodb_table.this.server_side_encryption).kms_key_arn == "arn:aws:kms:us-east-1:123456789012:key/abc"
    error_message = "The key is not used."
  }

  assert {
    condition = jsondecode(output.policy_json).Statement[1] == {
      Sid       = "UseTheTablesKey"
      Effect    = "Allow"
      Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
      Resource  = "arn:aws:kms:us-east-1:123456789012:key/abc"
      Condition = { StringLike = { "kms:ViaService" = "dynamodb.*.amazonaws.com" } }
    }
    error_message = "Whoever runs rollouts may not use the key, or more than that."
  }

  assert {
    condition     = aws_dynamodb_table.this.deletion_protection_enabled
    error_message = "Protection was asked for."
  }
}

run "an_alias_is_no_key" {
  command = plan

  variables {
    kms_key_arn = "alias/mine"
  }

  expect_failures = [var.kms_key_arn]
}

run "every_other_value_out_of_its_range_is_refused" {
  command = plan

  variables {
    name = "a b"
  }

  expect_failures = [var.name]
}
