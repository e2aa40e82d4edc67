"""Which event comes before which: happens-before first, time where nothing else tells.

An event that names its cause, or whose service is known to have handled others before, comes
after these and after whatever these come after. That one merely came earlier than such an event
says nothing: of three that work side by side one is the fastest nearly always. Only an event of
which nobody tells a cause is put in order by time.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

from clew.reconstruct.learning.evidence import Evidence, Pair

ALWAYS: Final = 0.98
"""The share of flows from which an order counts as always so; the rest are records that were lost or misdated."""
OFTEN: Final = 0.5
SELDOM: Final = 0.01
"""Up to this share of the rarer one, two events are never in one flow."""


@dataclass(frozen=True)
class Ordering:
    """How the milestones of flows stand to each other."""

    evidence: Evidence

    def excludes(self, one: int, other: int) -> bool:
        """Whether never both are in one flow."""
        pair = self.evidence.pairs.get((one, other))
        rarer = min(self.evidence.milestones[one].flows, self.evidence.milestones[other].flows)
        return pair is None or pair.both <= SELDOM * rarer

    def precedes(self, one: int, other: int) -> bool:
        """Whether ``one`` always comes before ``other``, in flows with both."""
        return one in self._before[other] and not self.excludes(one, other)

    @cached_property
    def _before(self) -> dict[int, frozenset[int]]:
        """Milestone → all that come before it, by way of others, too."""
        direct = {number: self._directly_before(number) for number in self.evidence.milestones}
        found: dict[int, frozenset[int]] = {}
        for number in direct:
            seen: set[int] = set()
            left = [number]
            while left:
                for other in direct[left.pop()]:
                    if other not in seen:
                        seen.add(other)
                        left.append(other)
            found[number] = frozenset(seen)
        # What comes before itself is a loop: in it no order is sure.
        return {
            number: frozenset(other for other in before if other != number and number not in found[other])
            for number, before in found.items()
        }

    def _directly_before(self, number: int) -> list[int]:
        told = self.evidence.causes.get(number, 0) >= OFTEN * self.evidence.milestones[number].flows
        return [
            other
            for other in self.evidence.milestones
            if (pair := self.evidence.pairs.get((other, number))) is not None
            and pair.before >= ALWAYS * pair.both
            and (not told or _led_to(pair) or other == self.evidence.start)
        ]


def _led_to(pair: Pair) -> bool:
    return pair.caused > max(1, SELDOM * pair.both) or pair.fed >= OFTEN * pair.both
