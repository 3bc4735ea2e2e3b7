"""Recording: what CloudWatch Logs say about a stretch of time, as a trace."""

from __future__ import annotations

from replay.record.client import ClientJoin, join_client
from replay.record.collect import Counts
from replay.record.recorder import Recording, Settle, function_log_group, record

__all__ = ["ClientJoin", "Counts", "Recording", "Settle", "function_log_group", "join_client", "record"]
