mock_provider "aws" {
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/tailcast-test-stream-execution" }
  }
  mock_resource "aws_cloudwatch_log_group" {
    defaults = { arn = "arn:aws:logs:us-east-1:123456789012:log-group:/aws/lambda/tailcast-test-stream" }
  }
  mock_resource "aws_lambda_function" {
    defaults = { arn = "arn:aws:lambda:us-east-1:123456789012:function:tailcast-test-stream", version = "3" }
  }
  mock_resource "aws_lambda_alias" {
    defaults = { arn = "arn:aws:lambda:us-east-1:123456789012:function:tailcast-test-stream:baseline" }
  }
}

variables {
  name        = "tailcast-test"
  package     = { path = "stream.zip", base64sha256 = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", handler = "functions/stream/run.sh" }
  runtime     = "python3.12"
  environment = { MODEL_ID = "us.amazon.nova-lite-v1:0", VARIANT = "baseline" }
  model_ids   = ["us.amazon.nova-lite-v1:0"]
  partition   = "aws"
  region      = "us-east-1"
  account_id  = "123456789012"
}

run "it_is_signed_and_streamed_and_nobody_is_let_in_besides" {
  command = apply

  assert {
    condition     = aws_lambda_function_url.this.authorization_type == "AWS_IAM" && aws_lambda_function_url.this.invoke_mode == "RESPONSE_STREAM"
    error_message = "The URL must be signed by IAM and streamed."
  }

  assert {
    condition     = aws_lambda_function_url.this.qualifier == "baseline"
    error_message = "The URL belongs on the alias."
  }

  assert {
    condition     = length(aws_lambda_permission.caller) == 0 && length(aws_lambda_function_url.this.cors) == 0
    error_message = "Nobody is let in, and no page may call, unless it is said."
  }

  assert {
    condition     = local.layer_arn == "arn:aws:lambda:us-east-1:753240598075:layer:LambdaAdapterLayerArm64:26"
    error_message = "The adapter's layer must fit region and architecture."
  }

  assert {
    condition = alltrue([
      for statement in jsondecode(module.bedrock_access.policy_json).Statement : statement.Action == "bedrock:InvokeModelWithResponseStream"
    ])
    error_message = "Streaming is all that it may do with a model."
  }

  assert {
    condition     = toset([for statement in jsondecode(output.caller_policy_json).Statement : statement.Action]) == toset(["lambda:InvokeFunctionUrl", "lambda:InvokeFunction"])
    error_message = "A caller needs both actions."
  }

  assert {
    condition     = toset([for statement in jsondecode(output.caller_policy_json).Statement : statement.Resource]) == toset(["arn:aws:lambda:us-east-1:123456789012:function:tailcast-test-stream:baseline"])
    error_message = "A caller may call this alias, and nothing else."
  }
}

run "callers_and_pages_are_let_in_by_name" {
  command = apply

  variables {
    architecture = "x86_64"
    callers      = ["arn:aws:iam::210987654321:role/web"]
    cors         = { allow_origins = ["https://app.example.com"], allow_headers = ["content-type"], allow_credentials = false, max_age_s = 60 }
  }

  assert {
    condition     = toset([for permission in aws_lambda_permission.caller : permission.action]) == toset(["lambda:InvokeFunctionUrl", "lambda:InvokeFunction"])
    error_message = "A caller of another account needs both permissions."
  }

  assert {
    condition     = alltrue([for permission in aws_lambda_permission.caller : permission.principal == "arn:aws:iam::210987654321:role/web" && permission.qualifier == "baseline"])
    error_message = "Permissions belong on the alias that the URL is on."
  }

  assert {
    condition     = aws_lambda_function_url.this.cors[0].allow_origins == toset(["https://app.example.com"])
    error_message = "The named page must be let call."
  }

  assert {
    condition     = endswith(local.layer_arn, "LambdaAdapterLayerX86:26")
    error_message = "The adapter's layer must fit the architecture."
  }
}

run "never_everybody" {
  command = plan

  variables {
    callers = ["*"]
  }

  expect_failures = [var.callers]
}

run "wrong_settings_are_refused" {
  command = plan

  variables {
    package           = { path = "stream.zip", base64sha256 = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", handler = "functions.stream.app.handle" }
    architecture      = "mips"
    adapter_layer_arn = "LambdaAdapterLayer"
    timeout_s         = 1
    environment       = { AWS_LWA_PORT = "9000" }
  }

  expect_failures = [var.package, var.architecture, var.adapter_layer_arn, var.timeout_s, var.environment]
}

run "every_other_value_out_of_its_range_is_refused" {
  command = plan

  variables {
    name = "with space"
  }

  expect_failures = [var.name]
}
