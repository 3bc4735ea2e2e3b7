# API keys: a table of their digests, and the function that the gateway asks whether a key is good.

resource "aws_dynamodb_table" "keys" {
  #checkov:skip=CKV_AWS_119:kms_key_arn chooses a key of the account's; AWS's own encrypts otherwise
  name                        = "${var.name}-api-keys"
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = "key_id"
  deletion_protection_enabled = var.deletion_protection

  attribute {
    name = "key_id"
    type = "S"
  }

  server_side_encryption {
    # Off means a key that AWS owns, not plain text; on, a key of the account's.
    enabled     = var.kms_key_arn != ""
    kms_key_arn = var.kms_key_arn == "" ? null : var.kms_key_arn
  }

  # Unlike a cache, this cannot be filled anew.
  point_in_time_recovery {
    enabled = true
  }
}

# How far each key with a rate has used it up. The function that answers keeps it: the gateway keeps the authorizer's
# word for minutes, so an authorizer would count a key's first request only.
resource "aws_dynamodb_table" "rates" {
  #checkov:skip=CKV_AWS_119:kms_key_arn chooses a key of the account's; AWS's own encrypts otherwise
  #checkov:skip=CKV_AWS_28:it holds the last seconds only
  name         = "${var.name}-key-rates"
  billing_mode = "PAY_PER_REQUEST"
  hash_key     = "key_id"

  attribute {
    name = "key_id"
    type = "S"
  }

  ttl {
    attribute_name = "expires_at"
    enabled        = true
  }

  server_side_encryption {
    enabled     = var.kms_key_arn != ""
    kms_key_arn = var.kms_key_arn == "" ? null : var.kms_key_arn
  }
}

resource "aws_cloudwatch_log_group" "this" {
  #checkov:skip=CKV_AWS_338:log_retention_days decides; logs of refusals need not outlive their use
  #checkov:skip=CKV_AWS_158:kms_key_arn chooses a key of the account's; AWS's own encrypts otherwise
  name              = "/aws/lambda/${var.name}-authorizer"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn == "" ? null : var.kms_key_arn
}

resource "aws_iam_role" "this" {
  name        = "${var.name}-authorizer-execution"
  description = "Execution role of the function ${var.name}-authorizer."

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "lambda.amazonaws.com" }
    }]
  })
}

resource "aws_iam_role_policy" "this" {
  name = "read-keys-write-own-logs"
  role = aws_iam_role.this.name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        {
          Sid      = "WriteOwnLogs"
          Effect   = "Allow"
          Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
          Resource = "${aws_cloudwatch_log_group.this.arn}:log-stream:*"
        },
        {
          Sid      = "ReadKeys"
          Effect   = "Allow"
          Action   = "dynamodb:GetItem"
          Resource = aws_dynamodb_table.keys.arn
        },
      ],
      var.kms_key_arn == "" ? [] : [{
        Sid       = "UseTheTablesKey"
        Effect    = "Allow"
        Action    = "kms:Decrypt"
        Resource  = var.kms_key_arn
        Condition = { StringLike = { "kms:ViaService" = "dynamodb.*.amazonaws.com" } }
      }],
    )
  })
}

resource "aws_lambda_function" "this" {
  #checkov:skip=CKV_AWS_116:a dead-letter queue is for asynchronous invocations; the gateway waits for the answer
  #checkov:skip=CKV_AWS_117:it calls DynamoDB only; a VPC would add a NAT gateway and time to INIT, and protect nothing
  #checkov:skip=CKV_AWS_115:the stage's throttle bounds it, and a reservation would take concurrency from the API itself
  #checkov:skip=CKV_AWS_272:the package is built from hashed wheels and pinned by its SHA-256
  #checkov:skip=CKV_AWS_173:the settings hold a table's name, which is no secret
  #checkov:skip=CKV_AWS_50:its duration and failures are in its logs and in the gateway's latency
  function_name    = "${var.name}-authorizer"
  role             = aws_iam_role.this.arn
  filename         = var.package.path
  source_code_hash = var.package.base64sha256
  handler          = var.package.handler
  runtime          = var.runtime
  architectures    = [var.architecture]
  memory_size      = 512
  # The gateway waits 10 s for an authorizer; whoever waits longer than this is better told to come again.
  timeout = 5

  environment {
    variables = { KEYS_TABLE = aws_dynamodb_table.keys.name }
  }

  logging_config {
    log_group             = aws_cloudwatch_log_group.this.name
    log_format            = "JSON"
    application_log_level = "INFO"
    system_log_level      = "INFO"
  }

  depends_on = [aws_iam_role_policy.this]
}
