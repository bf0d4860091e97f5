"""What the revocations of an artefact reach: the artefact itself, and what was made from it afterwards.

Rules: a revocation that counts fails the artefact, and every edge that leads from it to a child that nothing proves to
be older than `since`; what was made by such an edge is tainted, and so is all that was made from that, by whatever way.
An edge is judged by the child's own anchor, whatever is verified: a child that a final block proves to be older is
spared, and so is what was made from it alone, at any time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from provenance.encoding import Digest
from provenance.lineage import LineageGraph, Node
from provenance.policy import Status
from provenance.statement.revocation import Revocation
from provenance.verify.entry_checks import EntryVerdict
from provenance.verify.event_checks import EventVerdict
from provenance.verify.report import Check, TimeBound


@dataclass(frozen=True, slots=True)
class Use:
    """A child of an artefact, by name and envelope, and the time of the block that proves that it was there."""

    child: str
    envelope: Digest
    bound: TimeBound | None

    def is_before(self, since: str | None) -> bool:
        """Whether it is proven to be older than a revocation from then on; nothing is older than one without a time."""
        return since is not None and self.bound is not None and self.bound.is_before(since)


def uses_of(graph: LineageGraph, node: Node, verdicts: Mapping[Digest, EntryVerdict]) -> tuple[Use, ...]:
    """What was made from a node, in log order."""
    return tuple(
        Use(str(child.statement.name), child.envelope, verdicts[child.envelope].not_after)
        for child in graph.children(node)
    )


def counting_times(verdicts: Iterable[EventVerdict]) -> tuple[str | None, ...]:
    """From when on each revocation that counts holds; None is from the beginning."""
    return tuple(
        verdict.event.body.since
        for verdict in verdicts
        if isinstance(verdict.event.body, Revocation) and verdict.problem is None
    )


def strictest(times: Collection[str | None]) -> str | None:
    """The time of the strictest of several revocations: none, if one is without; else the earliest."""
    known = [time for time in times if time is not None]
    return min(known) if known and len(known) == len(times) else None


def revocation_checks(
    subject: str, verdicts: Iterable[EventVerdict], uses: Sequence[Use] | None = None
) -> tuple[Check, ...]:
    """A check for each revocation: one that counts fails, unless all that was made from the artefact is older than it;
    one that does not count is told.

    `uses`: what was made from the artefact, of what is verified; None if the artefact itself is.
    """
    checks = []
    for verdict in verdicts:
        body = verdict.event.body
        if not isinstance(body, Revocation):
            continue
        note = f"revoked: {body.reason}" + (f", from {body.since} on" if body.since is not None else "")
        if verdict.problem is not None:
            note = f"somebody says that it is revoked, and does not count ({verdict.problem})"
            checks.append(Check("revocation", subject, Status.NOT_PERFORMED, note, where=verdict.where))
            continue
        late = [use for use in uses or () if not use.is_before(body.since)]
        bounds = [(use.bound.time, use.bound.clock) for use in uses or () if use.bound is not None]
        if uses and not late:
            time, clock = max(bounds)
            note = f"{note}; used before, at {time} by the clock of {clock}"
            checks.append(Check("revocation", subject, Status.PASSED, note, where=verdict.where))
            continue
        if late and body.since is not None:
            when = f"at {late[0].bound.time}" if late[0].bound is not None else "and nothing proves when"
            note = f"{note}; used by {late[0].child}, {when}"
        # An artefact that is itself revoked is spared by no block.
        is_open = bool(late) and body.since is not None and all(use.bound is None for use in late)
        check = Check("revocation", subject, Status.FAILED, note, where=verdict.where, could_be_spared=is_open)
        checks.append(check)
    return tuple(checks)
