"""What was made from an artefact, or from what a key signed, and by which way.

Invariants: each descendant once, nearest first and earliest first among those as near, with its parent on one of the
shortest ways; a whole way is put together only where one is asked for, so that memory grows with the number of
descendants and not with their depth; the order of what is there does not change when more is logged; nothing is left
out: what a revocation does not reach is marked, and only as far as this ledger's own final anchors prove it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace

from provenance.encoding import JsonValue
from provenance.errors import LimitError, NotFoundError
from provenance.ledger.gathering import children_of, receipt_of
from provenance.ledger.reference import pinned_name
from provenance.limits import MAX_LINEAGE_NODES, MAX_PAGE_ITEMS
from provenance.stores import DatasetRow, StoreReader
from provenance.verify.entry_checks import is_block_before


@dataclass(frozen=True, slots=True)
class Descendant:
    """What was made from it: its log entry and name, how many steps away it is, and `via`, its parent on a shortest
    way, by name. What a key signed itself has distance 0 and no parent.

    `is_spared`: a final block proves that it, or all by which it hangs together with what was revoked, is older than
    the revocation.
    """

    entry: int
    name: str
    distance: int
    via: str | None
    is_spared: bool = False

    def to_json(self) -> dict[str, JsonValue]:
        """The descendant as a JSON value."""
        return {"name": self.name, "distance": self.distance, "via": self.via, "spared": self.is_spared}


@dataclass(frozen=True, slots=True)
class Impact:
    """`of` is an artefact's name, and these its descendants. Or `of` is a key's name, and they are what it signed and
    what was made from that."""

    of: str
    descendants: tuple[Descendant, ...]

    @property
    def affected(self) -> tuple[Descendant, ...]:
        """Those that a revocation reaches, or would."""
        return tuple(one for one in self.descendants if not one.is_spared)

    @property
    def spared_count(self) -> int:
        """How many a revocation does not reach, for they are older."""
        return sum(one.is_spared for one in self.descendants)

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
        via = {one.name: one.via for one in self.descendants}
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
        shown = [one for one in self.descendants if to is None or one.name == to]
        return {
            "of": self.of,
            "count": len(self.affected),
            "spared": self.spared_count,
            "affected": [one.to_json() for one in shown],
            "path": list(self.path_to(to)) if to is not None else None,
        }


def find_impact(store: StoreReader, row: DatasetRow, since: str | None = None, *, below: int | None = None) -> Impact:
    """What was made from the artefact, by what the log holds below entry `below`. `LimitError` for more than
    `MAX_LINEAGE_NODES`.

    `since`: from when on it was revoked, if it was: what was made from it earlier, as a final block proves, is spared.
    """
    walked = _walked(store, {row.entry_index: row}, below)[1:]
    if since is None:
        return Impact(pinned_name(row), walked)
    return Impact(pinned_name(row), _marked(walked, reached(store, row.entry_index, since)))


def find_impact_of_key(store: StoreReader, keyid: str, of: str, since: str | None = None) -> Impact:
    """What a key signed, at distance 0, and what was made from that. `LimitError` likewise; `since` as above, of what
    it signed."""
    signed, after = dict[int, DatasetRow](), None
    while page := store.datasets_page(after=after, limit=MAX_PAGE_ITEMS):
        signed.update({row.entry_index: row for row in page if row.keyid == keyid})
        after = page[-1].entry_index
    walked = _walked(store, signed, None)
    if since is None:
        return Impact(of, walked)
    blocks = AnchorTimes(store)
    late = [index for index in signed if not blocks.is_before(index, since)]
    return Impact(of, _marked(walked, {*late, *descendants_of(store, late)}))


def _marked(found: Sequence[Descendant], affected: Set[int]) -> tuple[Descendant, ...]:
    return tuple(one if one.entry in affected else replace(one, is_spared=True) for one in found)


def reached(store: StoreReader, index: int, since: str) -> set[int]:
    """The entries that the revocation of an artefact from a time on reaches: what was made from it, unless a final
    block proves that to be older, and everything made from that."""
    blocks = AnchorTimes(store)
    children = [child.entry_index for child in children_of(store, index)]
    late = [child for child in children if not blocks.is_before(child, since)]
    return {*late, *descendants_of(store, late)}


def descendants_of(store: StoreReader, entries: Iterable[int]) -> set[int]:
    """Everything made from any of these entries. `LimitError` for more than `MAX_LINEAGE_NODES`."""
    found: set[int] = set()
    # Earliest first: whatever was made from a descendant is among the descendants already.
    for index in sorted(entries):
        if index not in found:
            found.update(store.descendants(index))
    return found


class AnchorTimes:
    """The times of the first final anchors of entries. A receipt is read once."""

    def __init__(self, store: StoreReader) -> None:
        self._store, self._times = store, dict[int, int | None]()

    def is_before(self, index: int, since: str) -> bool:
        """Whether an entry was anchored, finally, before an RFC 3339 time."""
        row = self._store.anchor_covering(index, states=("final",))
        if row is None:
            return False
        if row.id not in self._times:
            receipt = receipt_of(row)
            self._times[row.id] = receipt.block_time_s if receipt is not None else None
        time_s = self._times[row.id]
        return time_s is not None and is_block_before(time_s, since)


def _walked(store: StoreReader, rows: Mapping[int, DatasetRow], below: int | None) -> tuple[Descendant, ...]:
    """These and all that was made from any of them."""
    found = {index: Descendant(index, pinned_name(row), 0, None) for index, row in rows.items()}
    level, distance = sorted(found), 0
    while level:
        distance += 1
        following: dict[int, Descendant] = {}
        for index in level:
            for child in children_of(store, index):
                entry = child.entry_index
                if (below is None or entry < below) and entry not in found and entry not in following:
                    following[entry] = Descendant(entry, pinned_name(child), distance, found[index].name)
            if len(found) + len(following) > MAX_LINEAGE_NODES:
                count = len(found) + len(following)
                raise LimitError("too much was made from it", expected=f"at most {MAX_LINEAGE_NODES}", got=count)
        level = sorted(following)
        found.update((index, following[index]) for index in level)
    return tuple(found.values())
