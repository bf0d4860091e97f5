"""The logs that a ledger holds about an artefact: batches of its decisions, and of requests that asked about it.

Invariants: a batch counts only if a key that is trusted for it signed its entry; a batch of access records counts for
the records in it that name the artefact and were answered, and only while its bytes are kept; as many of the newest
entries are searched for access records as is said, and no more, whatever the log's size.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from provenance.encoding import Digest
from provenance.ledger.reference import pinned_name
from provenance.limits import MAX_PAGE_ITEMS
from provenance.policy import TrustRoots
from provenance.signature import parse_envelope
from provenance.statement import parse_statement
from provenance.statement.access import ACCESS_TYPE, AccessRecord, parse_record, read_access
from provenance.statement.frame import open_frame
from provenance.statement.received import MAX_BATCH_BYTES, parse_batch
from provenance.stores import BlobStore, DatasetRow, EntryRow, StoreReader
from provenance.verify.audit import LogBatch

MAX_BATCHES: Final = 1_000
"""Batches of decisions that an audit cites: the first of them."""
MAX_SEARCHED: Final = 20_000
"""Log entries that are searched for access records: the newest."""
_ERROR_STATUS: Final = 400
_MIN_PREFIX: Final = 8


def logs_about(store: StoreReader, blobs: BlobStore, row: DatasetRow, roots: TrustRoots) -> tuple[LogBatch, ...]:
    """The batches about an artefact, in log order."""
    found = [*_decisions(store, row, roots), *_requests(store, blobs, row, roots)]
    return tuple(sorted(found, key=lambda one: one.entry))


def _decisions(store: StoreReader, row: DatasetRow, roots: TrustRoots) -> Iterator[LogBatch]:
    name, count, after = f"{row.name}.decisions", 0, None
    while page := store.children(row.entry_index, after=after):
        for child in page:
            is_batch = (child.namespace, child.name) == (row.namespace, name)
            if not is_batch or not is_trusted(roots, child.keyid, child.namespace):
                continue
            entry = store.entry(child.entry_index)
            records = entry and parse_statement(parse_envelope(entry.envelope).payload).fingerprint.records
            if records:
                yield LogBatch("decisions", child.entry_index, records.count)
                count += 1
            if count == MAX_BATCHES:
                return
        after = page[-1].entry_index


def _requests(store: StoreReader, blobs: BlobStore, row: DatasetRow, roots: TrustRoots) -> Iterator[LogBatch]:
    size = store.size()
    for start in range(max(row.entry_index + 1, size - MAX_SEARCHED), size, MAX_PAGE_ITEMS):
        for entry in store.entries(start, min(MAX_PAGE_ITEMS, size - start)):
            count = sum(_is_about(record, row) for record in _records(entry, blobs, roots))
            if count:
                yield LogBatch("requests", entry.index, count)


def _records(entry: EntryRow, blobs: BlobStore, roots: TrustRoots) -> Iterator[AccessRecord]:
    envelope = parse_envelope(entry.envelope)
    # Cheaper than reading the statement, which most entries are not worth.
    if ACCESS_TYPE.encode() not in envelope.payload or not is_trusted(roots, envelope.signatures[0].keyid):
        return
    frame = open_frame(envelope.payload)
    if frame.predicate_type != ACCESS_TYPE:
        return
    digest: Digest = read_access(frame).batch
    if blobs.has(digest):
        yield from map(parse_record, parse_batch(blobs.get(digest, max_bytes=MAX_BATCH_BYTES)))


def _is_about(record: AccessRecord, row: DatasetRow) -> bool:
    """Whether it was answered, and asked about this version, by its name or by its digest."""
    about = record.about
    if about is None or record.status >= _ERROR_STATUS:
        return False
    return about == pinned_name(row) or (len(about) >= _MIN_PREFIX and row.digest.hex.startswith(about))


def is_trusted(roots: TrustRoots, keyid: str, namespace: str | None = None) -> bool:
    """Whether a key is trusted, not revoked, and may speak for the namespace."""
    source = roots.source(keyid)
    if source is None or source.revoked:
        return False
    return namespace is None or not source.namespaces or namespace in source.namespaces
