"""What the gateway asks before each route: whether an API key is good."""
