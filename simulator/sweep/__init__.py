"""Sweeps: every combination of settings, forecast over the same random numbers."""
