"""Batches: statements that commit to many small things in one blob, lineage events and access records.

Invariants: the subject is the blob, by its SHA-256; the predicate has how many it holds and the RFC 9162 root over
them, so that one of them can be proven without the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from provenance.encoding import Digest
from provenance.statement.access import ACCESS_TYPE, read_access
from provenance.statement.frame import Frame
from provenance.statement.received import RECEIVED_TYPE, read_received

BATCH_TYPES: Final = (RECEIVED_TYPE, ACCESS_TYPE)


@dataclass(frozen=True, slots=True)
class Batch:
    """What every batch says: of which type it is, the blob, how many it holds, their root, and its signer's clock."""

    type: str
    digest: Digest
    count: int
    root: Digest
    created: str


def read_batch(frame: Frame) -> Batch:
    """What a frame of one of `BATCH_TYPES` says."""
    if frame.predicate_type == RECEIVED_TYPE:
        received = read_received(frame)
        return Batch(RECEIVED_TYPE, received.batch, received.events, received.root, received.created)
    access = read_access(frame)
    return Batch(ACCESS_TYPE, access.batch, access.records, access.root, access.created)
