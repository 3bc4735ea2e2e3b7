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

# One environment each is kept warm, and billed for it: about 9 USD a month and version at 1 GB (arm64, us-east-1).
provisioned_concurrency = {
  baseline  = 1
  optimized = 1
}
