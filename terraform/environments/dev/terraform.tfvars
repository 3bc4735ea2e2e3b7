environment = "dev"

variants = {
  baseline = {
    model_id   = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
    max_tokens = 512
  }
  optimized = {
    model_id   = "us.amazon.nova-lite-v1:0"
    max_tokens = 512
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

# Open, and throttled to a trickle (5 requests a second, burst 10): for trying out. On an account that others can reach,
# set jwt or api_key as staging and prod do.
auth = { mode = "none" }

# One environment each is kept warm, and billed for it: about 9 USD a month and version at 1 GB (arm64, us-east-1).
provisioned_concurrency = {
  baseline  = 1
  optimized = 1
}
