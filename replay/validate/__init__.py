"""The forecast held against the local cloud: experiments under load that nobody could afford on an account.

Each case deploys two variants on a local cloud of its own, records them, forecasts what a load, a limit or a time-out
that the recordings never saw will do, writes the forecast down, and then lets it happen.
"""

from replay.validate.cases import CASES, Case, case_named

__all__ = ["CASES", "Case", "case_named"]
