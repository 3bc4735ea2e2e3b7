terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }

  # `tailcast deploy` names the state file, or puts the S3 backend in this one's place (`--state-bucket`).
  backend "local" {}
}
