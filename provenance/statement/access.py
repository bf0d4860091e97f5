"""That requests were answered: what a server signs of a batch of its access records.

Invariants: the statement commits to the records, in their order, by the digest of the batch and by the Merkle root over
them; a record says who (a pseudonym), when, which operation, about which reference and with what status, and nothing
else: no address, no key, no body; what could not be kept is counted.

Bytes (canonical JSON, the predicate): `{"created":"2026-11-20T12:00:00Z","dropped":0,"records":3,"root":"<64 hex>"}`;
the subject is `access-batch` with the SHA-256 of the batch, which is as one of lineage events: each record's length as
a big-endian u32, then the record: `{"about":"ns/name@1","actor":"<32 hex>","at":"..","operation":
"GET /v1/lineage/{ref}","status":200}`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from provenance.encoding import Digest, Fields, JsonValue, canonical_json, parse_json
from provenance.errors import MalformedError
from provenance.limits import MAX_SAFE_INTEGER, MAX_TEXT_CHARS, check_size
from provenance.statement.frame import Frame, Subject, check_time, encode_frame
from provenance.statement.received import MAX_EVENTS

ACCESS_TYPE: Final = "urn:provenance-ledger:access-batch:1"
MAX_RECORD_BYTES: Final = 8 * 2**10
_SUBJECT: Final = "access-batch"


@dataclass(frozen=True, slots=True)
class AccessBatch:
    """A batch: its digest, how many records it holds, how many were dropped, the root, and the server's clock."""

    batch: Digest
    records: int
    dropped: int
    root: Digest
    created: str

    def __post_init__(self) -> None:
        check_time(self.created)


@dataclass(frozen=True, slots=True)
class AccessRecord:
    """One request that was answered. `actor` is a pseudonym of 32 hex digits, `about` a reference as it was given."""

    at: str
    actor: str
    operation: str
    status: int
    about: str | None = None

    def __post_init__(self) -> None:
        check_time(self.at)
        for text in (self.actor, self.operation, self.about or ""):
            check_size("access record", len(text), MAX_TEXT_CHARS, "characters")


def encode_record(record: AccessRecord) -> bytes:
    """The record's canonical JSON."""
    value: dict[str, JsonValue] = {
        "at": record.at,
        "actor": record.actor,
        "operation": record.operation,
        "status": record.status,
    }
    if record.about is not None:
        value["about"] = record.about
    return canonical_json(value)


def parse_record(data: bytes) -> AccessRecord:
    """The record in these bytes."""
    fields = Fields(parse_json(data, what="access record", max_bytes=MAX_RECORD_BYTES), "access record")
    record = AccessRecord(
        at=fields.string("at", max_chars=20),
        actor=fields.string("actor", max_chars=32),
        operation=fields.string("operation"),
        status=fields.integer("status", minimum=100, maximum=999),
        about=fields.optional_string("about"),
    )
    fields.end()
    return record


def encode_access(batch: AccessBatch) -> bytes:
    """The in-toto statement as canonical JSON: what is signed."""
    predicate: dict[str, JsonValue] = {
        "created": batch.created,
        "records": batch.records,
        "dropped": batch.dropped,
        "root": batch.root.hex,
    }
    return encode_frame([Subject(_SUBJECT, batch.batch)], ACCESS_TYPE, predicate)


def read_access(frame: Frame) -> AccessBatch:
    """What a frame of `ACCESS_TYPE` says."""
    subject, predicate = frame.subject(), frame.predicate
    if subject.name != _SUBJECT:
        raise MalformedError("statement has another subject", expected=_SUBJECT, got=subject.name)
    return AccessBatch(
        batch=subject.digest,
        records=predicate.integer("records", minimum=1, maximum=MAX_EVENTS),
        dropped=predicate.integer("dropped", minimum=0, maximum=MAX_SAFE_INTEGER),
        root=predicate.digest("root"),
        created=predicate.string("created", max_chars=20),
    )
