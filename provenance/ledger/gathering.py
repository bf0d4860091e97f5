"""Gathering evidence: from rows of the store to what a verifier needs.

Invariants: every proof of one gathering leads to one checkpoint, the anchored one where an anchor covers the target;
nothing is judged here.
"""

from __future__ import annotations

from collections.abc import Iterator

from provenance.anchor import AnchorReceipt, parse_receipt_bytes
from provenance.encoding import Digest
from provenance.errors import NotFoundError, StoreError
from provenance.ledger.publication import prove_entry
from provenance.limits import MAX_BUNDLE_BYTES, MAX_PAGE_ITEMS
from provenance.policy import TrustRoots
from provenance.signature import PublicKey, parse_envelope
from provenance.statement import parse_statement
from provenance.stores import BlobStore, CheckpointRow, DatasetRow, OutboxRow, StoreReader
from provenance.verify import Evidence, EvidenceEntry


def gather(
    store: StoreReader, blobs: BlobStore, target: DatasetRow, trust: TrustRoots, *, with_manifests: bool
) -> Evidence:
    """The evidence for `target` and its ancestors. `StoreError` if the store lacks what the log must have."""
    checkpoint, anchors = _checkpoint(store, target)
    indexes = [target.entry_index, *store.ancestors(target.entry_index)]
    entries, keys, manifests, blocks = [], dict[str, PublicKey](), list[Digest](), set[bytes]()
    for index in indexes:
        row = store.entry(index)
        if row is None:
            raise StoreError("log entry is missing", where=f"entry {index}", hint="run `provenance log fsck`")
        envelope = parse_envelope(row.envelope)
        statement = parse_statement(envelope.payload)
        entries.append(EvidenceEntry(row.envelope, prove_entry(store, index, checkpoint)))
        manifests.append(statement.manifest)
        if statement.not_before is not None:
            blocks.add(statement.not_before.hash)
        source = trust.source(envelope.signatures[0].keyid)
        if source is not None:
            keys[source.key.keyid] = source.key
    return Evidence(
        target=entries[0].digest,
        entries=tuple(entries),
        keys=tuple(keys.values()),
        anchors=anchors,
        headers=tuple(receipt.header for receipt in all_receipts(store) if receipt.block_hash in blocks),
        blobs={d: blobs.get(d, max_bytes=MAX_BUNDLE_BYTES) for d in dict.fromkeys(manifests) if blobs.has(d)}
        if with_manifests
        else {},
    )


def all_receipts(store: StoreReader) -> Iterator[AnchorReceipt]:
    """The receipts of every mined anchor, oldest first."""
    after = 0
    while page := store.anchors(after_id=after, limit=MAX_PAGE_ITEMS):
        yield from (receipt for receipt in map(receipt_of, page) if receipt is not None)
        after = page[-1].id


def receipt_of(row: OutboxRow) -> AnchorReceipt | None:
    """The anchor receipt that an outbox row keeps."""
    return parse_receipt_bytes(row.receipt) if row.receipt is not None else None


def _checkpoint(store: StoreReader, target: DatasetRow) -> tuple[CheckpointRow, tuple[AnchorReceipt, ...]]:
    anchored = store.anchor_covering(target.entry_index)
    if anchored is not None and anchored.size is not None:
        kept, receipt = store.checkpoint_at(anchored.size), receipt_of(anchored)
        if kept is not None and receipt is not None:
            return kept, (receipt,)
    latest = store.checkpoint()
    if latest is None:
        raise NotFoundError("the log is empty", hint="register a dataset first")
    return latest, ()
