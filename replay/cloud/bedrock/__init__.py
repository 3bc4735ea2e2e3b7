"""Amazon Bedrock's runtime: real wire shapes, latencies replayed from recordings, quotas and faults."""
