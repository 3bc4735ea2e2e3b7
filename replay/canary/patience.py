"""How long a controller goes on whose cloud does not answer."""

from __future__ import annotations

from typing import Final, Literal

Party = Literal["Lambda", "the journal"]

_PARTIES: Final[tuple[Party, ...]] = ("Lambda", "the journal")


class Patience:
    """When Lambda and the journal were last heard of.

    Evidence that does not come is another matter: a step's ``at_most`` and the plan's ``inconclusive`` say what then.

    Parameters
    ----------
    at_most_s
        How long either may be silent.
    now_s
        Both count as heard now.
    """

    def __init__(self, at_most_s: float, now_s: float) -> None:
        self.at_most_s = at_most_s
        self._heard_s: dict[Party, float] = dict.fromkeys(_PARTIES, now_s)

    def heard(self, party: Party, now_s: float) -> None:
        """Note an answer."""
        self._heard_s[party] = now_s

    def silent(self, now_s: float) -> tuple[Party, ...]:
        """Name those who have been silent for too long."""
        return tuple(party for party in _PARTIES if now_s - self._heard_s[party] > self.at_most_s)
