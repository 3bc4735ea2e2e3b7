# What the deployment may cost a month, by its cost-allocation tag; whoever is named hears of it in time.
resource "aws_budgets_budget" "this" {
  account_id   = var.account_id
  name         = var.name
  budget_type  = "COST"
  limit_amount = tostring(var.monthly_usd)
  limit_unit   = "USD"
  time_unit    = "MONTHLY"

  # The tag has to be activated once in the account's billing settings before costs are told apart by it.
  cost_filter {
    name   = "TagKeyValue"
    values = [format("user:%s$%s", var.tag_key, var.tag_value)]
  }

  dynamic "notification" {
    for_each = var.thresholds_percent

    content {
      comparison_operator        = "GREATER_THAN"
      threshold                  = notification.value
      threshold_type             = "PERCENTAGE"
      notification_type          = "ACTUAL"
      subscriber_email_addresses = var.emails
      subscriber_sns_topic_arns  = var.sns_topic_arns
    }
  }

  notification {
    comparison_operator        = "GREATER_THAN"
    threshold                  = 100
    threshold_type             = "PERCENTAGE"
    notification_type          = "FORECASTED"
    subscriber_email_addresses = var.emails
    subscriber_sns_topic_arns  = var.sns_topic_arns
  }
}
