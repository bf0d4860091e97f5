"""What was made from an artefact, and by which way.

Invariant: each descendant once, nearest first and earliest first among those as near, with one of the shortest ways.
"""

from __future__ import annotations

from dataclasses import dataclass

from provenance.encoding import JsonValue
from provenance.errors import LimitError
from provenance.ledger.reference import pinned_name
from provenance.limits import MAX_LINEAGE_NODES
from provenance.stores import DatasetRow, StoreReader


@dataclass(frozen=True, slots=True)
class Impact:
    """`of` is an artefact's name; `ways` lead from it to each of its descendants: names, its own first."""

    of: str
    ways: tuple[tuple[str, ...], ...]

    def to_json(self) -> dict[str, JsonValue]:
        """The impact as a JSON value."""
        return {"of": self.of, "affected": [{"name": way[-1], "path": list(way)} for way in self.ways]}


def find_impact(store: StoreReader, row: DatasetRow, *, below: int | None = None) -> Impact:
    """What was made from the artefact, by what the log holds below entry `below`. `LimitError` for more than
    `MAX_LINEAGE_NODES`."""
    ways: dict[int, tuple[str, ...]] = {row.entry_index: (pinned_name(row),)}
    level = [row.entry_index]
    while level:
        following: dict[int, tuple[str, ...]] = {}
        for index in level:
            after: int | None = None
            while page := store.children(index, after=after):
                for child in page:
                    if below is not None and child.entry_index >= below:
                        continue
                    if child.entry_index not in ways and child.entry_index not in following:
                        following[child.entry_index] = (*ways[index], pinned_name(child))
                after = page[-1].entry_index
        level = sorted(following)
        ways.update((index, following[index]) for index in level)
        if len(ways) > MAX_LINEAGE_NODES:
            raise LimitError("too much was made from it", expected=f"at most {MAX_LINEAGE_NODES}", got=len(ways))
    return Impact(pinned_name(row), tuple(ways.values())[1:])
