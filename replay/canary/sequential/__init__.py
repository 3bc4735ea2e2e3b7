"""Statistics that stay valid however often one looks.

A canary is looked at every few seconds. A test made for one look raises an alarm sooner or later when it is repeated;
an *e-process* does not: a non-negative process whose expectation under the null hypothesis never exceeds 1 at any
stopping time, so that (Ville's inequality) it ever reaches 1/α with probability at most α.

``odds``       two arms: is an event (an error, an answer over a threshold) more frequent on one of them?
``rate``       one arm: is an event more frequent than an allowed rate?
``mean``       two arms: is the mean of a bounded quantity higher on one of them?
``intervals``  confidence sequences for rates and quantiles
``budget``     several e-processes sharing one error budget
``planning``   how many requests a test needs to see a regression of a given size
"""

from replay.canary.sequential.budget import Share, combined_log_e
from replay.canary.sequential.intervals import quantile_ranks, rate_interval
from replay.canary.sequential.mean import LimitTest, MeanTest
from replay.canary.sequential.mixture import Mixture, better_than, far_below, worse_than
from replay.canary.sequential.odds import OddsTest, hypergeometric_log_ratio
from replay.canary.sequential.planning import requests_to_decide
from replay.canary.sequential.rate import RateTest

__all__ = [
    "LimitTest",
    "MeanTest",
    "Mixture",
    "OddsTest",
    "RateTest",
    "Share",
    "better_than",
    "combined_log_e",
    "far_below",
    "hypergeometric_log_ratio",
    "quantile_ranks",
    "rate_interval",
    "requests_to_decide",
    "worse_than",
]
