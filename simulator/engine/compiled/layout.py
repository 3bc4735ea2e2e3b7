"""The records that the compiled engine works on: its whole state lies in a few arrays of them.

A run's state can so be left and taken up again between two events, grown from outside, and copied. Times are in ticks
(``simulator/engine/clock.py``); what is a truth value is an integer of one byte.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from simulator.engine.clock import Kind
from simulator.engine.outcomes import Refusal

# ---- an event's key: kind, attempt, request, in the order in which the clock compares them -----------------------

KIND_BITS: Final = 56
ATTEMPT_BITS: Final = 48
REQUEST_MASK: Final = (1 << ATTEMPT_BITS) - 1
ATTEMPT_MASK: Final = (1 << (KIND_BITS - ATTEMPT_BITS)) - 1

SETTLE: Final = int(Kind.SETTLE)
RELEASE: Final = int(Kind.RELEASE)
READY: Final = int(Kind.READY)
PROVISION: Final = int(Kind.PROVISION)
CALL: Final = int(Kind.CALL)
ANSWER: Final = int(Kind.ANSWER)
GIVE_UP: Final = int(Kind.GIVE_UP)
ARRIVAL: Final = int(Kind.ARRIVAL)

NONE: Final = -1
"""No index: the end of a list, no environment, no quota."""

EVENT = np.dtype([("tick", "i8"), ("key", "i8"), ("item", "i8")])
"""A pending event; ``item`` is the index of what it is about: environment, row, settlement, change."""
AFTER_ALL: Final = (1 << 63) - 1
"""The tick of a place in the heap that holds no event."""
HEAP_SHIFT: Final = 2
HEAP_WAYS: Final = 1 << HEAP_SHIFT
"""Children of a node of the heap: half the levels of a binary one, and children lie side by side in memory."""

# ---- what became of an attempt -------------------------------------------------------------------------------------

COLD: Final = 1
PROVISIONED: Final = 2
STOPPED: Final = 4
"""By the function's time-out; not in a row, whose status says it."""
REFUSED: Final = 8
"""Not in a row either."""

ROW_REQUEST_MASK: Final = (1 << 32) - 1

ROW = np.dtype(
    [
        ("sent", "i8"),
        ("client", "i8"),  # −1: not answered
        ("busy", "i8"),  # from its sending to the end of its environment's work
        ("request", "u4"),
        ("environment", "i4"),
        ("init", "u4"),
        ("duration", "u4"),
        ("attempt", "u1"),
        ("version", "i1"),
        ("status", "u1"),
        ("refusal", "u1"),
        ("flags", "u1"),
        ("tries", "u1"),
    ],
    align=True,
)
"""48 bytes. INIT and duration have limits of Lambda's (10 s, 900 s), so they fit into 32 bits; the others need not."""

# ---- environments, and what they keep ------------------------------------------------------------------------------

ENVIRONMENT = np.dtype(
    [
        # What every attempt reads comes first: a cache line holds it.
        ("number", "i8"),
        ("gone_at", "i8"),
        ("ends_at", "i8"),
        ("next", "i4"),  # towards the least recently used one, or the next unused record
        ("previous", "i4"),
        ("version", "u1"),
        ("provisioned", "u1"),
        ("fresh", "u1"),
        ("reset", "u1"),
        ("stopped", "u1"),
        ("attempt", "u1"),
        ("has_sdk", "u1"),
        ("held", "u1"),
        ("tries", "u1"),
        ("ready", "i8"),
        # The attempt that it works on: there is never more than one.
        ("request", "i8"),
        ("row", "i8"),
        ("sent", "i8"),
        ("deadline", "i8"),
        ("give_up", "i8"),  # when patience with it ends
        ("inference", "i8"),
        ("init", "i8"),
        # Known ahead: how long it stays idle afterwards, and what replacing it after a time-out takes.
        ("keep_alive", "i8"),
        ("replacement", "i8"),
    ],
    align=True,
)

SDK = np.dtype(
    [
        ("tokens", "i8"),
        ("tokens_taken", "i8"),
        ("count", "i8"),
        ("fill_rate", "f8"),
        ("capacity", "f8"),
        ("level", "f8"),
        ("level_at_s", "f8"),
        ("measured", "f8"),
        ("last_bucket_s", "f8"),
        ("w_max", "f8"),
        ("zero_s", "f8"),
        ("last_fail_s", "f8"),
        ("enabled", "i8"),
    ]
)
"""The SDK's client of the environment with the same index."""

SETTLEMENT = np.dtype([("tick", "i8"), ("key", "i8"), ("quota", "i8"), ("tokens", "f8")])
"""What a model's quota gets back when a call ends; in a heap of its own."""

# ---- limits and settings -------------------------------------------------------------------------------------------

BUCKET = np.dtype([("tokens", "f8"), ("capacity", "f8"), ("per_tick", "f8"), ("last", "i8")])
GATEWAY: Final = 0
SCALE_OUT: Final = 1
RATE: Final = 2
PROVISIONED_RATE: Final = 3
"""Of version 0; that of version 1 follows."""
QUOTAS: Final = 5
"""Requests and tokens of the first quota; those of the others follow."""

VERSION = np.dtype(
    [
        ("limit", "i8"),
        ("timeout", "i8"),
        ("busy", "i8"),
        ("busy_provisioned", "i8"),
        ("allotted", "i8"),
        ("alive", "i8"),
        ("idle", "i8"),  # the most recently used one
        ("free_first", "i8"),  # the least recently used one
        ("free_last", "i8"),
        # The call of its model; quota −1: none to meet.
        ("quota", "i8"),
        ("max_tokens", "f8"),
        ("refusal", "i8"),
        ("attempts", "i8"),
        ("legacy", "i8"),
        ("adaptive", "i8"),
        # Target tracking.
        ("tracked", "i8"),
        ("minimum", "i8"),
        ("maximum", "i8"),
        ("target", "f8"),
        ("of_maximum", "i8"),
        ("sum", "f8"),
        ("max", "f8"),
        ("count", "i8"),
        ("above", "i8"),
        ("below", "i8"),
    ]
)

QUOTA = np.dtype([("requests", "i8"), ("tokens", "i8"), ("burndown", "f8")])
"""Which of the two there are, and what a token of output costs."""

COLUMN = np.dtype([("begin", "i8"), ("mask", "i8")])
"""Where a column of draws begins, and which bits of a request say its place in it."""
DRAW = np.dtype([("value", "f8")])
COUNT = np.dtype([("count", "i8")])

CHANGE = np.dtype([("version", "i8"), ("allotted", "i8"), ("tick", "i8")])
"""A scheduled change of provisioned concurrency, or one that happened."""

STAGE = np.dtype([("start_s", "f8"), ("weight", "f8")])

ARRAYS: Final = (
    "versions",
    "buckets",
    "quotas",
    "environments",
    "sdks",
    "events",
    "settlements",
    "changes",
    "history",
    "stages",
    "backoff",
    "columns",
    "draws",
    "rows",
    "figures",
    "refusals",
    "latencies",
    "recent",
)
GROWING: Final = ("environments", "events", "settlements", "history", "rows")

RUN = np.dtype(
    [
        # Where the other arrays lie in memory, and how much those hold that can fill up.
        *((f"{name}_at", "i8") for name in ARRAYS),
        *((f"{name}_held", "i8") for name in GROWING),
        ("version_count", "i8"),
        ("stage_count", "i8"),
        # Settings.
        ("attempts", "i8"),
        ("retry_on", "i8"),  # a bit for each status
        ("patience", "i8"),
        ("gateway_timeout", "i8"),
        ("late_after", "i8"),
        ("jitter", "i8"),
        ("budget", "i8"),
        ("budget_capacity", "f8"),
        ("budget_per_success", "f8"),
        ("limit", "i8"),
        ("over_limit", "i8"),
        ("per_unit", "f8"),  # 0: no limit on the request rate
        ("changes", "i8"),
        ("tracking", "i8"),
        ("suppressed_init", "i8"),
        ("lifetimes", "i8"),
        ("provisioning", "i8"),
        ("room", "i8"),  # the most events that one event can lead to
        ("keep_rows", "i8"),
        ("mask", "i8"),  # place of a request in the window of draws
        ("cube", "f8"),
        ("cube_root", "f8"),
        # Where the columns of the draws begin in the table of columns.
        ("route", "i8"),
        ("handler", "i8"),
        ("cold_handler", "i8"),
        ("init", "i8"),
        ("setup", "i8"),
        ("overhead", "i8"),
        ("keep_alive", "i8"),
        ("lifetime", "i8"),
        ("client_jitter", "i8"),
        ("inference", "i8"),
        ("input_tokens", "i8"),
        ("output_tokens", "i8"),
        ("sdk_jitter", "i8"),
        ("sdk_tries", "i8"),
        # State.
        ("next_request", "i8"),
        ("drawn", "i8"),  # requests whose draws are there
        ("final", "i8"),  # no others will come
        ("events", "i8"),
        ("unused_environment", "i8"),  # the first of the records to use again
        ("environments", "i8"),  # records ever used
        ("started", "i8"),
        ("busy", "i8"),
        ("busy_on_demand", "i8"),
        ("on_demand_limit", "i8"),
        ("budget_tokens", "f8"),
        ("stage", "i8"),
        ("further_stage", "i8"),
        ("settlements", "i8"),
        ("rows", "i8"),
        ("history", "i8"),
        ("recents", "i8"),
    ]
)

# ---- figures, where rows are not kept ------------------------------------------------------------------------------

REFUSALS: Final = len(Refusal)
LATENCY_BITS: Final = 11
"""Bins of a latency: 2¹⁰ to each doubling, so that none is wider than a 1024th of its values."""
MAX_LATENCY_BITS: Final = 36
"""19 hours in ticks."""
LATENCY_BINS: Final = (MAX_LATENCY_BITS - LATENCY_BITS + 2) << (LATENCY_BITS - 1)

RECENT: Final = 1 << 10
"""Latencies that wait to be counted together."""

FIGURES = np.dtype(
    [
        ("requests", "i8"),
        ("served", "i8"),
        ("cold", "i8"),
        ("ok", "i8"),
        ("throttled", "i8"),
        ("timed_out", "i8"),
        ("attempts", "i8"),
        ("latency_ticks", "f8"),
        ("beyond", "i8"),  # latencies longer than the bins reach
        # Over all attempts.
        ("billed_ms", "i8"),
        ("provisioned_billed_ms", "i8"),
        ("late_ticks", "i8"),
        ("model_tries", "i8"),
        ("asked_model", "i8"),
    ]
)
