"""Forecasts of latency tails and cost from recorded traces: pure arithmetic, no AWS, no network, no clock."""
