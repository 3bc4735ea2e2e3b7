environment = "staging"

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

# As in production, so that a release is tried under the same rules.
auth  = { mode = "jwt" }
cache = { enabled = true }

throttle_rate_rps = 50
throttle_burst    = 100

provisioned_concurrency = {
  baseline  = 1
  optimized = 1
}

log_retention_days = 30
observability      = { enabled = true }
