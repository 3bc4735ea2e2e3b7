"""The local cloud: an AWS on loopback that runs deployed functions for real."""
