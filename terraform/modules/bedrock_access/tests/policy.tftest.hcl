mock_provider "aws" {}

variables {
  model_ids  = ["us.anthropic.claude-haiku-4-5-20251001-v1:0", "us.amazon.nova-lite-v1:0", "amazon.nova-micro-v1:0"]
  partition  = "aws"
  region     = "us-east-1"
  account_id = "123456789012"
}

run "invokes_the_configured_models_only" {
  command = plan

  assert {
    condition     = alltrue([for statement in jsondecode(output.policy_json).Statement : statement.Action == "bedrock:InvokeModel"])
    error_message = "An action other than bedrock:InvokeModel is allowed."
  }

  assert {
    condition     = !strcontains(output.policy_json, "*")
    error_message = "The policy holds a wildcard."
  }

  assert {
    condition = toset(flatten([for statement in jsondecode(output.policy_json).Statement : statement.Resource if statement.Sid == "InvokeModels"])) == toset([
      "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-micro-v1:0",
    ])
    error_message = "A model that is called by its own id is allowed in the caller's region only."
  }
}

run "a_profile_needs_itself_and_its_model_wherever_it_routes" {
  command = plan

  variables {
    model_ids = ["us.amazon.nova-lite-v1:0"]
  }

  assert {
    condition = toset(flatten([for statement in jsondecode(output.policy_json).Statement : statement.Resource])) == toset([
      "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-lite-v1:0",
      "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0",
      "arn:aws:bedrock:us-east-2::foundation-model/amazon.nova-lite-v1:0",
      "arn:aws:bedrock:us-west-2::foundation-model/amazon.nova-lite-v1:0",
    ])
    error_message = "Not exactly the profile and its model in each region."
  }

  assert {
    condition = alltrue([
      for statement in jsondecode(output.policy_json).Statement :
      statement.Condition.StringEquals["bedrock:InferenceProfileArn"] == "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-lite-v1:0"
      if strcontains(jsonencode(statement.Resource), "::foundation-model/")
    ])
    error_message = "The model in other regions must be reachable through the profile only."
  }
}

run "a_global_profile_routes_to_a_model_without_a_region" {
  command = plan

  variables {
    model_ids = ["global.anthropic.claude-sonnet-4-5-20250929-v1:0"]
    region    = "eu-west-1"
  }

  assert {
    condition = toset(flatten([for statement in jsondecode(output.policy_json).Statement : statement.Resource])) == toset([
      "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/global.anthropic.claude-sonnet-4-5-20250929-v1:0",
      "arn:aws:bedrock:eu-west-1::foundation-model/anthropic.claude-sonnet-4-5-20250929-v1:0",
      "arn:aws:bedrock:::foundation-model/anthropic.claude-sonnet-4-5-20250929-v1:0",
    ])
    error_message = "Not exactly the profile, and its model here and without a region."
  }
}

run "a_wildcard_is_refused" {
  command = plan

  variables {
    model_ids = ["anthropic.*"]
  }

  expect_failures = [var.model_ids]
}

run "no_model_is_refused" {
  command = plan

  variables {
    model_ids = []
  }

  expect_failures = [var.model_ids]
}

run "every_other_value_out_of_its_range_is_refused" {
  command = plan

  variables {
    profile_regions = { us = [] }
    account_id      = "1234"
    action          = "bedrock:*"
  }

  expect_failures = [var.profile_regions, var.account_id, var.action]
}
