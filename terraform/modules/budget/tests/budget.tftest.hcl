mock_provider "aws" {}

variables {
  name        = "tailcast-prod"
  account_id  = "123456789012"
  monthly_usd = 500
  tag_value   = "prod"
  emails      = ["team@example.com"]
}

run "it_speaks_up_before_and_when_the_limit_is_reached" {
  command = apply

  assert {
    condition     = toset([for told in aws_budgets_budget.this.notification : told.threshold if told.notification_type == "ACTUAL"]) == toset([50, 80, 100])
    error_message = "A threshold is missing."
  }

  assert {
    condition     = length([for told in aws_budgets_budget.this.notification : told if told.notification_type == "FORECASTED"]) == 1
    error_message = "A month that will be too dear must be known before it is over."
  }

  assert {
    condition     = one(aws_budgets_budget.this.cost_filter).values == tolist(["user:Environment$prod"])
    error_message = "The budget must watch this deployment, not the account."
  }
}

run "a_limit_of_nothing_is_refused" {
  command = plan

  variables {
    monthly_usd = 0
  }

  expect_failures = [var.monthly_usd]
}

run "an_address_without_an_at_is_refused" {
  command = plan

  variables {
    emails = ["team"]
  }

  expect_failures = [var.emails]
}

run "every_other_value_out_of_its_range_is_refused" {
  command = plan

  variables {
    account_id = "1234"
  }

  expect_failures = [var.account_id]
}
