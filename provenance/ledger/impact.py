"""What was made from an artefact, or from what a key signed, and by which way.

Invariant: each descendant once, nearest first and earliest first among those as near, with one of the shortest ways.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from provenance.encoding import JsonValue
from provenance.errors import LimitError
from provenance.ledger.reference import pinned_name
from provenance.limits import MAX_LINEAGE_NODES, MAX_PAGE_ITEMS
from provenance.stores import DatasetRow, StoreReader


@dataclass(frozen=True, slots=True)
class Impact:
    """`of` is an artefact's name; `ways` lead from it to each of its descendants: names, its own first. Or `of` is a
    key's name, and ways begin with what it signed, which are ways too."""

    of: str
    ways: tuple[tuple[str, ...], ...]

    def to_json(self) -> dict[str, JsonValue]:
        """The impact as a JSON value."""
        return {"of": self.of, "affected": [{"name": way[-1], "path": list(way)} for way in self.ways]}


def find_impact(store: StoreReader, row: DatasetRow, *, below: int | None = None) -> Impact:
    """What was made from the artefact, by what the log holds below entry `below`. `LimitError` for more than
    `MAX_LINEAGE_NODES`."""
    return Impact(pinned_name(row), _ways(store, [row], below)[1:])


def find_impact_of_key(store: StoreReader, keyid: str, of: str) -> Impact:
    """What a key signed, each a way of its own, and what was made from that. `LimitError` likewise."""
    signed, after = list[DatasetRow](), None
    while page := store.datasets_page(after=after, limit=MAX_PAGE_ITEMS):
        signed += [row for row in page if row.keyid == keyid]
        after = page[-1].entry_index
    return Impact(of, _ways(store, signed, None))


def _ways(store: StoreReader, rows: Sequence[DatasetRow], below: int | None) -> tuple[tuple[str, ...], ...]:
    """The shortest ways from any of these to each of their descendants; their own first."""
    ways: dict[int, tuple[str, ...]] = {row.entry_index: (pinned_name(row),) for row in rows}
    level = sorted(ways)
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
    return tuple(ways.values())
