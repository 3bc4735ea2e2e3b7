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

variables {
  name    = "test"
  runtime = "python3.12"
  package = { path = "authorizer.zip", base64sha256 = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", handler = "functions.authorizer.handler.handle" }
}

run "it_reads_keys_and_nothing_else" {
  command = apply

  assert {
    condition     = one([for statement in jsondecode(aws_iam_role_policy.this.policy).Statement : statement.Action if statement.Sid == "ReadKeys"]) == "dynamodb:GetItem"
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
    condition     = one(aws_dynamodb_table.keys.server_side_encryption).kms_key_arn == aws_cloudwatch_log_group.this.kms_key_id
    error_message = "Table and log group must both use the key."
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
    condition     = one([for statement in jsondecode(output.rates_policy_json).Statement : statement.Action]) == "dynamodb:UpdateItem" && output.rates_table_name == "test-key-rates"
    error_message = "The function that answers must not read keys, nor write anything but buckets."
  }

  assert {
    condition     = one(aws_dynamodb_table.rates.ttl).enabled
    error_message = "Buckets of keys that nobody uses must go."
  }
}
