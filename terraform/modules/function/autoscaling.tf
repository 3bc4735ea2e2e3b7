# Provisioned concurrency that follows its use, or the clock: by version, as provisioned concurrency itself.

locals {
  scaling_of = {
    for version, roles in local.roles_of : version => [for role in roles : var.provisioned_autoscaling[role] if var.provisioned_autoscaling[role] != null]
  }
  autoscaled = {
    for version, found in local.scaling_of : version => {
      min                = local.provisioned[version]
      max                = max(found[0].max, local.provisioned[version])
      target_utilization = found[0].target_utilization
      schedules          = found[0].schedules
    } if length(found) > 0 && contains(keys(local.provisioned), version)
  }
  schedules = merge([
    for version, scaling in local.autoscaled : {
      for name, schedule in scaling.schedules : "${version}/${name}" => merge(schedule, { version = version, name = name })
    }
  ]...)
}

# Schedules move the bounds of a target, so Terraform must not move them back; a change of ours makes it anew.
resource "terraform_data" "bounds" {
  for_each = local.autoscaled

  input = { min = each.value.min, max = each.value.max }
}

resource "aws_appautoscaling_target" "version" {
  for_each = local.autoscaled

  service_namespace  = "lambda"
  scalable_dimension = "lambda:function:ProvisionedConcurrency"
  resource_id        = "function:${aws_lambda_provisioned_concurrency_config.version[each.key].function_name}:${each.key}"
  min_capacity       = each.value.min
  max_capacity       = each.value.max

  lifecycle {
    ignore_changes       = [min_capacity, max_capacity]
    replace_triggered_by = [terraform_data.bounds[each.key]]
  }
}

resource "aws_appautoscaling_policy" "utilization" {
  for_each = { for version, scaling in local.autoscaled : version => scaling if scaling.target_utilization > 0 }

  name               = "${var.name}-${each.key}-utilization"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.version[each.key].service_namespace
  scalable_dimension = aws_appautoscaling_target.version[each.key].scalable_dimension
  resource_id        = aws_appautoscaling_target.version[each.key].resource_id

  target_tracking_scaling_policy_configuration {
    target_value = each.value.target_utilization

    predefined_metric_specification {
      predefined_metric_type = "LambdaProvisionedConcurrencyUtilization"
    }
  }

  lifecycle {
    # A target takes its policies with it.
    replace_triggered_by = [aws_appautoscaling_target.version[each.key].id]
  }
}

resource "aws_appautoscaling_scheduled_action" "version" {
  for_each = local.schedules

  name               = "${var.name}-${each.value.version}-${each.value.name}"
  service_namespace  = aws_appautoscaling_target.version[each.value.version].service_namespace
  scalable_dimension = aws_appautoscaling_target.version[each.value.version].scalable_dimension
  resource_id        = aws_appautoscaling_target.version[each.value.version].resource_id
  schedule           = each.value.schedule
  timezone           = each.value.timezone

  scalable_target_action {
    min_capacity = each.value.min
    max_capacity = each.value.max
  }

  lifecycle {
    replace_triggered_by = [terraform_data.bounds]
  }
}
