# Credentials and endpoint come from the environment: the ordinary AWS credential chain, and AWS_ENDPOINT_URL where one
# is set.
provider "aws" {
  region = var.region

  default_tags {
    tags = merge(var.tags, { Project = "tailcast", Environment = var.environment, ManagedBy = "terraform" })
  }
}
