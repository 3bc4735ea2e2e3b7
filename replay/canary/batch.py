"""What one look adds to the evidence: counts by step, arm and warm or cold.

A batch is small, so that the journal can hold every one: a controller that resumes reads its evidence back from there
and is in exactly the state of the one that died.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from replay.errors import InputError


class Key(NamedTuple):
    """Where a tally belongs."""

    step: int
    """Index of the step during which the requests *arrived*."""
    cold: bool
    """Whether the caller waited for an INIT."""
    candidate: bool
    """Which arm."""


@dataclass(frozen=True)
class Tally:
    """Counts of one arm.

    Parameters
    ----------
    requests
        How many requests ended.
    counts
        Counter → (events, of how many). A quantile's counters say how many answers took longer than a limit.
    sums
        Quantity → (sum, of how many).
    histograms
        Latency column → {bucket: requests}; see :mod:`replay.canary.histogram`.
    """

    requests: int
    counts: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    sums: Mapping[str, tuple[float, int]] = field(default_factory=dict)
    histograms: Mapping[str, Mapping[int, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Batch:
    """One look's worth of evidence.

    Parameters
    ----------
    tallies
        By step, warm or cold, and arm.
    late
        Requests that arrived in an earlier step, or became visible more than a look after they ended.
    duplicates
        Records dropped because they had been seen.
    incomplete
        Requests whose record lacks a part (a REPORT line without the function's own record, or the reverse).
    note
        What a reader must know: a source that did not answer, for example.
    """

    tallies: Mapping[Key, Tally] = field(default_factory=dict)
    late: int = 0
    duplicates: int = 0
    incomplete: int = 0
    note: str | None = None

    def requests(self, *, candidate: bool, step: int | None = None) -> int:
        """Count the requests of one arm, of one step or of all."""
        return sum(
            tally.requests
            for key, tally in self.tallies.items()
            if key.candidate == candidate and step in (None, key.step)
        )

    def strata(self, *, pooled: bool) -> Iterator[tuple[tuple[int, bool | None], Tally, Tally]]:
        """Give each stratum (step, and warm or cold unless pooled) with the tallies (candidate, baseline) in it."""
        names: dict[tuple[int, bool | None], None] = {}
        for key in self.tallies:
            names[(key.step, None if pooled else key.cold)] = None
        for step, cold in names:
            kinds = (False, True) if cold is None else (cold,)
            yield (step, cold), self._sum(step, kinds, candidate=True), self._sum(step, kinds, candidate=False)

    def _sum(self, step: int, kinds: tuple[bool, ...], *, candidate: bool) -> Tally:
        found = [tally for cold in kinds if (tally := self.tallies.get(Key(step, cold, candidate))) is not None]
        if len(found) == 1:
            return found[0]
        return merge(found)

    def to_json(self) -> dict[str, Any]:
        """Give the batch as JSON types, short names since a journal holds many."""
        cells = [
            [
                *key,
                tally.requests,
                {name: list(pair) for name, pair in tally.counts.items()},
                {name: list(pair) for name, pair in tally.sums.items()},
                {
                    column: {str(bucket): count for bucket, count in buckets.items()}
                    for column, buckets in tally.histograms.items()
                },
            ]
            for key, tally in self.tallies.items()
        ]
        return {
            "cells": cells,
            "late": self.late,
            "duplicates": self.duplicates,
            "incomplete": self.incomplete,
            "note": self.note,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Batch:
        """Read back what :meth:`to_json` gave."""
        try:
            tallies = {
                Key(int(step), bool(cold), bool(candidate)): Tally(
                    int(requests),
                    {name: (int(x), int(n)) for name, (x, n) in counts.items()},
                    {name: (float(total), int(n)) for name, (total, n) in sums.items()},
                    {
                        column: {int(bucket): int(count) for bucket, count in buckets.items()}
                        for column, buckets in histograms.items()
                    },
                )
                for step, cold, candidate, requests, counts, sums, histograms in document["cells"]
            }
            return cls(
                tallies,
                int(document["late"]),
                int(document["duplicates"]),
                int(document["incomplete"]),
                document["note"],
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"journal: a look that cannot be read ({type(error).__name__}: {error})") from error


def merge(tallies: list[Tally]) -> Tally:
    """Add tallies up."""
    requests = 0
    counts: dict[str, tuple[int, int]] = {}
    sums: dict[str, tuple[float, int]] = {}
    histograms: dict[str, dict[int, int]] = {}
    for tally in tallies:
        requests += tally.requests
        for name, (x, n) in tally.counts.items():
            before = counts.get(name, (0, 0))
            counts[name] = (before[0] + x, before[1] + n)
        for name, (total, n) in tally.sums.items():
            ahead = sums.get(name, (0.0, 0))
            sums[name] = (ahead[0] + total, ahead[1] + n)
        for column, buckets in tally.histograms.items():
            into = histograms.setdefault(column, {})
            for bucket, count in buckets.items():
                into[bucket] = into.get(bucket, 0) + count
    return Tally(requests, counts, sums, histograms)
