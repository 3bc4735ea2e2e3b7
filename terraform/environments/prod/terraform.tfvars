environment = "prod"

variants = {
  baseline = {
    model_id   = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
    max_tokens = 512
    fallback   = "fast"
  }
  optimized = {
    model_id   = "us.amazon.nova-lite-v1:0"
    max_tokens = 512
    fallback   = "fast"
  }
}

tiers = {
  fast = {
    model_id   = "us.amazon.nova-micro-v1:0"
    max_tokens = 512
  }
  reasoning = {
    model_id   = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
    max_tokens = 4096
    fallback   = "standard"
  }
}

auth                = { mode = "jwt", mfa = "ON" }
cache               = { enabled = true }
deletion_protection = true

throttle_rate_rps = 200
throttle_burst    = 400

# Above what the throttle lets through at the usual latency; a runaway caller cannot take the account's concurrency.
reserved_concurrency = 400

provisioned_concurrency = {
  baseline  = 5
  optimized = 5
}

log_retention_days = 365
observability      = { enabled = true }
