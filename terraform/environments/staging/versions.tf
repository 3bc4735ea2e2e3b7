terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }

  # `tailcast deploy` names the state file. A team shares state: replace this by an S3 backend
  # (backend "s3" { use_lockfile = true }) and give its bucket and key at init.
  backend "local" {}
}
