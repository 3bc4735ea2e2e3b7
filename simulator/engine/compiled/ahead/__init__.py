"""Runs whose ends are known ahead: no caller tries again, no model's quota is met, provisioned concurrency stays.

There, an attempt's end is known when it begins, and whether it is warm changes nothing for those that are. So the ends
of a block of requests are written down as if all were warm (``ends``), sorted at once, and taken in turn (``events``);
what the others come to lies in the heap of events, as everything does in the kernel that can do all. ``results`` then
gives rows or figures. Sorting a block takes 3 ns a request; pushing it to a heap and taking it off again 20 and more.

The environments and the limits on them are the kernel's own (``pools``, ``buckets``), and so are the records.
"""

from simulator.engine.compiled.ahead.block import BLOCK_REQUESTS
from simulator.engine.compiled.ahead.lane import Lane, fits

__all__ = ["BLOCK_REQUESTS", "Lane", "fits"]
