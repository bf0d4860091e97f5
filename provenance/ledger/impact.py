"""What was made from an artefact, or from what a key signed, and by which way.

Invariants: each descendant once, nearest first and earliest first among those as near, with its parent on one of the
shortest ways; a whole way is put together only where one is asked for, so that memory grows with the number of
descendants and not with their depth; the order of what is there does not change when more is logged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from provenance.encoding import JsonValue
from provenance.errors import LimitError, NotFoundError
from provenance.ledger.reference import pinned_name
from provenance.limits import MAX_LINEAGE_NODES, MAX_PAGE_ITEMS
from provenance.stores import DatasetRow, StoreReader


@dataclass(frozen=True, slots=True)
class Affected:
    """A descendant: its log entry and name, how many steps away it is, and `via`, its parent on a shortest way, by
    name. What a key signed itself has distance 0 and no parent."""

    entry: int
    name: str
    distance: int
    via: str | None

    def to_json(self) -> dict[str, JsonValue]:
        """The descendant as a JSON value."""
        return {"name": self.name, "distance": self.distance, "via": self.via}


@dataclass(frozen=True, slots=True)
class Impact:
    """`of` is an artefact's name, and `affected` its descendants. Or `of` is a key's name, and they are what it signed
    and what was made from that."""

    of: str
    affected: tuple[Affected, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all that is affected."""
        return tuple(one.name for one in self.affected)

    def path_to(self, name: str) -> tuple[str, ...]:
        """One of the shortest ways to a descendant: names, from `of` (or what the key signed) to it.

        `NotFoundError` if it is not among them.
        """
        (path,) = self.paths_to([name])
        return path

    def paths_to(self, names: Sequence[str]) -> list[tuple[str, ...]]:
        """As `path_to`, for several."""
        via = {one.name: one.via for one in self.affected}
        paths = []
        for name in names:
            if name not in via:
                raise NotFoundError(f"it was not made from {self.of}", got=name)
            path, before = [name], via[name]
            while before is not None:
                path.append(before)
                before = via.get(before)  # the artefact itself is not among its descendants
            paths.append(tuple(reversed(path)))
        return paths

    def to_json(self, to: str | None = None) -> dict[str, JsonValue]:
        """The impact as a JSON value; with `to`, of that descendant alone, and with the path that leads to it."""
        shown = [one for one in self.affected if to is None or one.name == to]
        return {
            "of": self.of,
            "count": len(self.affected),
            "affected": [one.to_json() for one in shown],
            "path": list(self.path_to(to)) if to is not None else None,
        }


def find_impact(store: StoreReader, row: DatasetRow, *, below: int | None = None) -> Impact:
    """What was made from the artefact, by what the log holds below entry `below`. `LimitError` for more than
    `MAX_LINEAGE_NODES`."""
    return Impact(pinned_name(row), _walked(store, [row], below)[1:])


def find_impact_of_key(store: StoreReader, keyid: str, of: str) -> Impact:
    """What a key signed, at distance 0, and what was made from that. `LimitError` likewise."""
    signed, after = list[DatasetRow](), None
    while page := store.datasets_page(after=after, limit=MAX_PAGE_ITEMS):
        signed += [row for row in page if row.keyid == keyid]
        after = page[-1].entry_index
    return Impact(of, _walked(store, signed, None))


def _walked(store: StoreReader, rows: Sequence[DatasetRow], below: int | None) -> tuple[Affected, ...]:
    """These and all that was made from any of them."""
    found = {row.entry_index: Affected(row.entry_index, pinned_name(row), 0, None) for row in rows}
    level, distance = sorted(found), 0
    while level:
        distance += 1
        following: dict[int, Affected] = {}
        for index in level:
            after: int | None = None
            while page := store.children(index, after=after):
                for child in page:
                    entry = child.entry_index
                    if (below is None or entry < below) and entry not in found and entry not in following:
                        following[entry] = Affected(entry, pinned_name(child), distance, found[index].name)
                after = page[-1].entry_index
            if len(found) + len(following) > MAX_LINEAGE_NODES:
                count = len(found) + len(following)
                raise LimitError("too much was made from it", expected=f"at most {MAX_LINEAGE_NODES}", got=count)
        level = sorted(following)
        found.update((index, following[index]) for index in level)
    return tuple(found.values())
