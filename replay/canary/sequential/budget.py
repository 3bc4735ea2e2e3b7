"""Several e-processes, one error budget.

The weighted mean of e-processes is an e-process, whatever depends on what between them (Vovk & Wang, "E-values:
calibration, combination and applications", Ann. Stat. 49, 2021). So a rollback when the mean reaches 1/α is wrong
with probability at most α over all objectives, all steps and all looks together. It is never slower than giving each
objective its share of α (weight × e ≥ 1/α alone suffices), and faster where several objectives suffer at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from replay.canary.sequential.mixture import log_sum_exp
from simulator.errors import ParameterError


@dataclass(frozen=True)
class Share:
    """One e-process now, and its share of the budget."""

    name: str
    weight: float
    log_e: float


def combined_log_e(shares: Sequence[Share]) -> float:
    """Logarithm of the weighted mean of the e-values; 0 where there is none.

    Raises
    ------
    ParameterError
        A weight that is not positive, or weights that sum to more than 1.
    """
    if not shares:
        return 0.0
    total = math.fsum(share.weight for share in shares)
    if any(share.weight <= 0 for share in shares) or total > 1 + 1e-9:
        raise ParameterError(f"weights {[share.weight for share in shares]} must be positive and sum to at most 1")
    logs = [math.log(share.weight) + share.log_e for share in shares]
    rest = 1 - total
    # What no objective holds stays in cash: a constant 1 is an e-process too.
    return log_sum_exp([*logs, math.log(rest)]) if rest > 1e-12 else log_sum_exp(logs)
