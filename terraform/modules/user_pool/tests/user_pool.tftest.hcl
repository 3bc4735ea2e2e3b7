mock_provider "aws" {
  mock_resource "aws_cognito_user_pool" {
    defaults = { id = "us-east-1_abc", endpoint = "cognito-idp.us-east-1.amazonaws.com/us-east-1_abc" }
  }
}

variables {
  name = "tailcast-test"
}

run "only_an_administrator_makes_users" {
  command = apply

  assert {
    condition     = one(aws_cognito_user_pool.this.admin_create_user_config).allow_admin_create_user_only
    error_message = "Anyone could sign up, and spend."
  }

  assert {
    condition     = output.issuer == "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_abc"
    error_message = "The issuer must be what the tokens say."
  }

  assert {
    condition     = aws_cognito_user_pool_client.this.prevent_user_existence_errors == "ENABLED" && !contains(aws_cognito_user_pool_client.this.explicit_auth_flows, "ALLOW_USER_PASSWORD_AUTH")
    error_message = "The client tells who exists, or lets passwords travel."
  }
}

run "it_is_protected_as_asked_for" {
  command = plan

  variables {
    mfa                    = "ON"
    token_validity_minutes = 15
    deletion_protection    = true
  }

  assert {
    condition     = aws_cognito_user_pool.this.mfa_configuration == "ON" && aws_cognito_user_pool.this.software_token_mfa_configuration[0].enabled
    error_message = "A password alone lets in."
  }

  assert {
    condition     = aws_cognito_user_pool_client.this.access_token_validity == 15 && aws_cognito_user_pool_client.this.id_token_validity == 15 && aws_cognito_user_pool_client.this.enable_token_revocation
    error_message = "A token that was lost is good for longer than asked for."
  }

  assert {
    condition     = aws_cognito_user_pool.this.deletion_protection == "ACTIVE"
    error_message = "Users cannot be made anew."
  }
}

run "an_unknown_second_factor_is_refused" {
  command = plan

  variables {
    mfa = "SMS"
  }

  expect_failures = [var.mfa]
}

run "a_token_for_a_week_is_refused" {
  command = plan

  variables {
    token_validity_minutes = 10080
  }

  expect_failures = [var.token_validity_minutes]
}

run "every_other_value_out_of_its_range_is_refused" {
  command = plan

  variables {
    name = "with space"
  }

  expect_failures = [var.name]
}
