"""Where a log holds an entry, and which of two entries was there first.

Invariants: indexes of one log are its order, and indexes of two logs say nothing of one another; between two logs only
blocks decide: an entry is older than another if it was anchored in a block that the other's statement names, or in one
before it, on the same chain; what nothing decides is not taken for decided either way.
"""

from __future__ import annotations

from dataclasses import dataclass

from provenance.statement import BlockReference


@dataclass(frozen=True, slots=True)
class Place:
    """An entry's index in the log `origin`, which is None if no trusted log is proven to hold it.

    `anchored`: chain id and number of the final block in which the entry was anchored; `signed_after`: the block that
    its statement names, if that is known to be in the chain. None where there is none.
    """

    origin: str | None
    index: int
    anchored: tuple[int, int] | None = None
    signed_after: BlockReference | None = None

    def is_of_one_log(self, other: Place) -> bool:
        """Whether one trusted log is proven to hold both entries: then their indexes are their order."""
        return self.origin is not None and self.origin == other.origin

    def precedes(self, other: Place) -> bool:
        """Whether it is certain that this entry was logged before the other."""
        if self.is_of_one_log(other):
            return self.index < other.index
        if self.origin is None or other.origin is None or self.anchored is None or other.signed_after is None:
            return False
        chain, number = self.anchored
        return chain == other.signed_after.chain_id and number <= other.signed_after.number

    @property
    def order(self) -> tuple[str, int]:
        """An order to list entries in: log by log. Across logs it means nothing."""
        return self.origin or "", self.index
