"""That lineage events of other tools were received: what a receiver signs of a batch of them.

Invariants: the statement commits to the bytes as they came, in their order, by the digest of the batch and by the
Merkle root over the events, so that one can be proven without the others; it says that they came, not that they are
true.

Bytes (canonical JSON, the predicate): `{"created":"2026-11-20T12:00:00Z","events":3,"root":"<64 hex>"}`; the subject is
`openlineage-batch` with the SHA-256 of the batch: each event's length as a big-endian u32, then its bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from provenance.encoding import Digest, JsonValue
from provenance.errors import MalformedError
from provenance.limits import check_size
from provenance.merkle import CompactRange, leaf_hash
from provenance.statement.frame import Frame, Subject, check_time, encode_frame

RECEIVED_TYPE: Final = "urn:provenance-ledger:openlineage-batch:1"
MAX_EVENTS: Final = 4_096
MAX_EVENT_BYTES: Final = 5 * 2**20
MAX_BATCH_BYTES: Final = 64 * 2**20
_SUBJECT: Final = "openlineage-batch"
_LENGTH: Final = struct.Struct(">I")


@dataclass(frozen=True, slots=True)
class Received:
    """A batch: its digest, how many events it holds, the RFC 9162 root over them, and the receiver's clock."""

    batch: Digest
    events: int
    root: Digest
    created: str

    def __post_init__(self) -> None:
        check_time(self.created)


def encode_batch(events: Sequence[bytes]) -> bytes:
    """The batch's bytes."""
    check_size("batch", len(events), MAX_EVENTS, "events")
    return b"".join(part for event in events for part in (_LENGTH.pack(len(event)), event))


def parse_batch(data: bytes) -> list[bytes]:
    """The events of a batch, as they came."""
    check_size("batch", len(data), MAX_BATCH_BYTES)
    events, place = [], 0
    while place < len(data):
        head = data[place : place + _LENGTH.size]
        end = place + _LENGTH.size + (_LENGTH.unpack(head)[0] if len(head) == _LENGTH.size else 2**32)
        if end > len(data):
            raise MalformedError("batch is cut short", where=f"byte {place}")
        events.append(data[place + _LENGTH.size : end])
        place = end
    check_size("batch", len(events), MAX_EVENTS, "events")
    return events


def events_root(events: Sequence[bytes]) -> Digest:
    """The RFC 9162 root over the events."""
    tree = CompactRange()
    for event in events:
        tree.append(leaf_hash(event))
    return Digest(tree.root())


def encode_received(received: Received) -> bytes:
    """The in-toto statement as canonical JSON: what is signed."""
    predicate: dict[str, JsonValue] = {
        "created": received.created,
        "events": received.events,
        "root": received.root.hex,
    }
    return encode_frame([Subject(_SUBJECT, received.batch)], RECEIVED_TYPE, predicate)


def read_received(frame: Frame) -> Received:
    """What a frame of `RECEIVED_TYPE` says."""
    subject, predicate = frame.subject(), frame.predicate
    if subject.name != _SUBJECT:
        raise MalformedError("statement has another subject", expected=_SUBJECT, got=subject.name)
    return Received(
        batch=subject.digest,
        events=predicate.integer("events", minimum=1, maximum=MAX_EVENTS),
        root=predicate.digest("root"),
        created=predicate.string("created", max_chars=20),
    )
