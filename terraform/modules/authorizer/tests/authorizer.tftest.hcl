mock_provider "aws" {
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/test-authorizer-execution" }
  }
  mock_resource "aws_dynamodb_table" {
    defaults = { arn = "arn:aws:dynamodb:us-east-1:123456789012:table/test-api-keys" }
  }
  mock_resource "aws_cloudwatch_log_group" {
    defaults = { arn = "arn:aws:logs:us-east-1:123456789012:log-group:/aws/lambda/test-authorizer" }
  }
}

# Two tables: a right to the one must not pass for a right to the other.
override_resource {
  target = aws_dynamodb_table.rates
  values = { arn = "arn:aws:dynamodb:us-east-1:123456789012:table/test-key-rates" }
}

variables {
  name    = "test"
  runtime = "python3.12"
  package = { path = "authorizer.zip", base64sha256 = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", handler = "functions.authorizer.handler.handle" }
}

run "it_reads_keys_and_nothing_else" {
  command = apply

  assert {
    condition = jsondecode(aws_iam_role_policy.this.policy).Statement == [
      { Sid = "WriteOwnLogs", Effect = "Allow", Action = ["logs:CreateLogStream", "logs:PutLogEvents"], Resource = "arn:aws:logs:us-east-1:123456789012:log-group:/aws/lambda/test-authorizer:log-stream:*" },
      { Sid = "ReadKeys", Effect = "Allow", Action = "dynamodb:GetItem", Resource = "arn:aws:dynamodb:us-east-1:123456789012:table/test-api-keys" },
    ]
    error_message = "An authorizer that may write keys can make some."
  }

  assert {
    condition     = one(aws_dynamodb_table.keys.point_in_time_recovery).enabled
    error_message = "Lost keys lock every caller out."
  }

  assert {
    condition     = one(aws_lambda_function.this.environment).variables["KEYS_TABLE"] == "test-api-keys"
    error_message = "The function does not know its table."
  }
}

run "another_key_of_encryption_is_used_everywhere" {
  command = apply

  variables {
    kms_key_arn = "arn:aws:kms:us-east-1:123456789012:key/abc"
  }

  assert {
    condition = [
      one(aws_dynamodb_table.keys.server_side_encryption).kms_key_arn,
      one(aws_dynamodb_table.rates.server_side_encryption).kms_key_arn,
      aws_cloudwatch_log_group.this.kms_key_id,
    ] == [var.kms_key_arn, var.kms_key_arn, var.kms_key_arn]
    error_message = "Both tables and the log group must use the key."
  }

  assert {
    condition = [
      for policy in [aws_iam_role_policy.this.policy, output.rates_policy_json] :
      [for statement in jsondecode(policy).Statement : statement.Resource if statement.Sid == "UseTheTablesKey"]
    ] == [[var.kms_key_arn], [var.kms_key_arn]]
    error_message = "Without a right to the key nobody reads keys or counts requests."
  }
}

run "a_wrong_architecture_is_refused" {
  command = plan

  variables {
    architecture = "arm"
  }

  expect_failures = [var.architecture]
}

run "an_alias_is_no_key" {
  command = plan

  variables {
    kms_key_arn = "alias/mine"
  }

  expect_failures = [var.kms_key_arn]
}

run "a_name_with_a_space_is_refused" {
  command = plan

  variables {
    name = "my api"
  }

  expect_failures = [var.name]
}

run "who_counts_requests_may_update_buckets_and_nothing_else" {
  command = apply

  assert {
    condition     = jsondecode(output.rates_policy_json).Statement == [{ Sid = "CountRequests", Effect = "Allow", Action = "dynamodb:UpdateItem", Resource = "arn:aws:dynamodb:us-east-1:123456789012:table/test-key-rates" }] && output.rates_table_name == "test-key-rates"
    error_message = "The function that answers must not read keys, nor write anything but buckets."
  }

  assert {
    condition     = one(aws_dynamodb_table.rates.ttl).enabled
    error_message = "Buckets of keys that nobody uses must go."
  }
}
