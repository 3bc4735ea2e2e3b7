"""Engines: ``simulate(draws, platform, rollout) → Outcomes``, pure functions that agree request by request."""
