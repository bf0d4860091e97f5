"""A lineage with its verdict: as it is, or as it could be known at some time; whole, or so many steps to either side.

Invariants: the verdict is on the whole ancestry, however little of it is shown; as of a time means by what was in the
log that the last anchor whose block is not younger holds, under the trust roots of now.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Final, Literal

from provenance.encoding import JsonValue
from provenance.errors import MalformedError, NotFoundError
from provenance.ledger.gathering import receipt_of
from provenance.ledger.impact import find_impact
from provenance.ledger.reference import resolve
from provenance.limits import MAX_LINEAGE_NODES, MAX_PAGE_ITEMS
from provenance.statement.frame import check_time
from provenance.verify import Artefact, BlockFinding, Evidence, Report

if TYPE_CHECKING:
    from collections.abc import Callable

    from provenance.ledger.verification import Verification
    from provenance.stores import OutboxRow, Store, StoreReader

Direction = Literal["up", "down", "both"]
DIRECTIONS: Final = ("up", "down", "both")


@dataclass(frozen=True, slots=True)
class Lineage:
    """A dataset's ancestors, judged, and its descendants, nearest first, with their distances.

    `depth` is how many steps are shown to either side, None for all; `as_of` the time it is of, and `size` that of the
    log then, None for now.
    """

    report: Report
    descendants: tuple[str, ...]
    distances: tuple[int, ...] = ()
    direction: Direction = "both"
    depth: int | None = None
    as_of: str | None = None
    size: int | None = None

    @property
    def shown(self) -> tuple[Artefact, ...]:
        """The target and those of its ancestors that are asked for."""
        limit = 0 if self.direction == "down" else self.depth
        return tuple(one for one in self.report.artefacts if limit is None or one.depth <= limit)

    def to_json(self) -> dict[str, JsonValue]:
        """The lineage as a JSON value. Its edges join nodes that are in it; all that a node was made from is in its
        `parents`."""
        shown = self.shown
        names = {artefact.name for artefact in shown}
        edges: list[JsonValue] = [
            {"child": artefact.name, "parent": parent}
            for artefact in shown
            for parent in artefact.parents
            if parent in names
        ]
        value: dict[str, JsonValue] = {
            "target": self.report.target,
            "verdict": self.report.verdict,
            "sound": self.report.sound,
            "level": self.report.level.name if self.report.level is not None else None,
            "missing": list(self.report.missing),
            "failures": [check.to_json() for check in self.report.failures],
            "nodes": [artefact.to_json() for artefact in shown],
            "edges": edges,
            "descendants": list(self.descendants),
            "distances": list(self.distances),
        }
        if self.as_of is not None:
            value["asOf"] = {"time": self.as_of, "logSize": self.size}
        return value


def check_view(direction: str, depth: int | None) -> Direction:
    """The direction, if it and the depth are such as can be asked for."""
    if depth is not None and not 0 <= depth <= MAX_LINEAGE_NODES:
        raise MalformedError("depth is out of range", expected=f"0 to {MAX_LINEAGE_NODES}", got=depth)
    for known in DIRECTIONS:
        if direction == known:
            return known
    raise MalformedError("unknown direction", expected=" | ".join(DIRECTIONS), got=direction)


def anchored_by(store: StoreReader, time: str) -> OutboxRow:
    """The last anchor whose block is not younger than this time (RFC 3339 in UTC). `NotFoundError` if there is none."""
    check_time(time)
    limit_s = datetime.fromisoformat(time).timestamp()
    found: OutboxRow | None = None
    after = 0
    while page := store.anchors(after_id=after, limit=MAX_PAGE_ITEMS):
        for row in page:
            receipt = receipt_of(row)
            is_later = found is None or (row.size or 0) >= (found.size or 0)
            if receipt is not None and receipt.block_time_s <= limit_s and is_later:
                found = row
        after = page[-1].id
    if found is None:
        raise NotFoundError("nothing was anchored by then", got=time, hint="see `provenance chain anchors`")
    return found


def find_lineage(
    store: Store,
    verification: Verification,
    reference: str,
    ask: Callable[[Evidence], list[BlockFinding]],
    *,
    direction: str = "both",
    depth: int | None = None,
    as_of: str | None = None,
) -> Lineage:
    """The lineage of what a reference names. `ask` asks the chain what the evidence needs of it."""
    way = check_view(direction, depth)
    with store.snapshot() as snapshot:
        anchor = anchored_by(snapshot, as_of) if as_of is not None else None
        size = anchor.size if anchor is not None else None
        row = resolve(snapshot, reference)
        if size is not None and row.entry_index >= size:
            expected = f"an entry below {size}, the log's size then"
            raise NotFoundError("it was not in the log by then", expected=expected, got=f"entry {row.entry_index}")
        impact = find_impact(snapshot, row, below=size)
    evidence = verification.evidence(row, anchor=anchor)
    report = verification.report(row, {}, ask(evidence), evidence)
    below = [(one.name, one.distance) for one in impact.descendants]
    if as_of is not None:
        known = {name for name, _ in below}
        report = replace(report, affected=tuple(name for name in report.affected if name in known))
    limit = 0 if way == "up" else depth
    shown = [(name, distance) for name, distance in below if limit is None or distance <= limit]
    names, distances = tuple(name for name, _ in shown), tuple(distance for _, distance in shown)
    return Lineage(report, names, distances, way, depth, as_of, size)
