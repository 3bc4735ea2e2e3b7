mock_provider "aws" {
  mock_resource "aws_dynamodb_table" {
    defaults = { arn = "arn:aws:dynamodb:us-east-1:123456789012:table/answers" }
  }
}

variables {
  name = "answers"
}

run "answers_expire_and_are_encrypted" {
  command = apply

  assert {
    condition     = one(aws_dynamodb_table.this.ttl).attribute_name == "expires_at" && one(aws_dynamodb_table.this.ttl).enabled
    error_message = "Without a TTL the table only grows."
  }

  assert {
    condition     = aws_dynamodb_table.this.billing_mode == "PAY_PER_REQUEST"
    error_message = "A provisioned table throttles at a burst."
  }

  assert {
    condition     = jsondecode(output.policy_json).Statement == [{ Sid = "LookUpAndKeepAnswers", Effect = "Allow", Action = ["dynamodb:GetItem", "dynamodb:PutItem"], Resource = "arn:aws:dynamodb:us-east-1:123456789012:table/answers" }]
    error_message = "The function may do more than read and write one item of this table."
  }
}

run "a_key_of_the_accounts_needs_a_right_of_its_own" {
  command = apply

  variables {
    kms_key_arn            = "arn:aws:kms:us-east-1:123456789012:key/abc"
    point_in_time_recovery = true
    deletion_protection    = true
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
    error_message = "The function may not use the key, or more than that."
  }

  assert {
    condition     = one(aws_dynamodb_table.this.point_in_time_recovery).enabled && aws_dynamodb_table.this.deletion_protection_enabled
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

run "a_name_of_two_letters_is_refused" {
  command = plan

  variables {
    name = "ab"
  }

  expect_failures = [var.name]
}
