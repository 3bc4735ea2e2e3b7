"""The gateway: serves the HTTP APIs that were declared to API Gateway v2."""
