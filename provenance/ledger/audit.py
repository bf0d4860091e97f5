"""fsck: everything derived is derived again from the entries, and compared.

Invariants: nothing is repaired; every difference is a finding with its place; `--independent` lets another
implementation (pymerkle, GPL, installed by the `audit` extra) decide roots and inclusion.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import get_args

from provenance.anchor import AnchorReceipt, verify_receipt
from provenance.encoding import Digest
from provenance.errors import ProvenanceError
from provenance.fingerprint import FileEntry, open_manifest
from provenance.fingerprint.chunks import MAX_CHUNK_MAP_BYTES, open_chunk_map
from provenance.ledger.anchoring import transaction_hash
from provenance.ledger.fsck_report import FsckReport
from provenance.ledger.gathering import receipt_of
from provenance.ledger.independent import IndependentAudit
from provenance.ledger.publication import (
    batch_row,
    dataset_row,
    event_row,
    events_about,
    key_row,
    with_parents,
)
from provenance.ledger.tree_audit import TreeAudit
from provenance.limits import MAX_MANIFEST_BYTES, MAX_PAGE_ITEMS
from provenance.log import LogKey, ReadTile, entry_leaf, integrate, open_counted
from provenance.log.tile import TILE_BYTES, TILE_WIDTH
from provenance.merkle import EMPTY_ROOT, HASH_BYTES, CompactRange
from provenance.policy import TrustRoots
from provenance.signature import parse_envelope, verify_envelope
from provenance.statement import DatasetName, DatasetStatement, PinnedName, parse_statement
from provenance.statement.batches import BATCH_TYPES, Batch, read_batch
from provenance.statement.events import EVENT_TYPES, read_event
from provenance.statement.frame import open_frame
from provenance.statement.key_event import KEY_TYPE, read_key_event
from provenance.statement.received import (
    MAX_BATCH_BYTES,
    events_root,
    parse_batch,
)
from provenance.stores import (
    BlobStore,
    CheckpointRow,
    DatasetRow,
    EntryRow,
    EventRow,
    OutboxRow,
    OutboxState,
    ParentRow,
    Store,
)

_BATCH = 1_000

FsckProgress = Callable[[int, int], None]
"""progress(done, total) in entries."""


class Auditor:
    """Examines one ledger's store, blobs and stored trees."""

    def __init__(
        self, store: Store, blobs: BlobStore, trees: Path, log_keys: Sequence[LogKey], trust: TrustRoots
    ) -> None:
        self._store, self._blobs, self._log_keys, self._trust = store, blobs, log_keys, trust
        self._indexed = 0
        self.report = FsckReport()
        self._trees = TreeAudit(trees, self.report)

    def run(self, *, independent: bool = False, progress: FsckProgress | None = None) -> FsckReport:
        """The report over entries, tiles, checkpoints, index, blobs, trees and anchors. Damage is never raised."""
        with self._finding("database"):
            for problem in self._store.check():
                self.report.find(f"database: {problem}")
        size, roots = 0, dict[int, bytes]()
        with self._finding("log"):
            size = self._store.size()
            roots = self._entries(size, progress)
        with self._finding("checkpoint"):
            self._checkpoint(size, roots.get(size, EMPTY_ROOT))
        with self._finding("kept checkpoints"):
            self._kept_checkpoints(roots)
        with self._finding("outbox"):
            self._anchors(roots)
        with self._finding("blobs"):
            self._blob_store()
        with self._finding("trees"):
            self._trees.run()
        if independent:
            IndependentAudit(self._store, self.report).run(size, sorted(roots))
        return self.report

    @contextmanager
    def _finding(self, what: str) -> Iterator[None]:
        """Whatever stops the examination of one part is a finding, and no reason to leave out the others."""
        try:
            yield
        except ProvenanceError as error:
            self.report.find(f"{what}: {error}")

    def _wanted_sizes(self, size: int) -> set[int]:
        kept = {row.size for row in self._kept()}
        anchored = {row.size for row in self._outbox() if row.size is not None}
        return {wanted for wanted in kept | anchored | {size} if 0 < wanted <= size}

    def _kept(self) -> Iterator[CheckpointRow]:
        after: int | None = None
        while page := self._store.checkpoints(after_size=after):
            yield from page
            after = page[-1].size

    def _outbox(self) -> Iterator[OutboxRow]:
        """Every anchor, whatever became of it."""
        after = 0
        while page := self._store.anchors(after_id=after, states=get_args(OutboxState)):
            yield from page
            after = page[-1].id

    def _entries(self, size: int, progress: FsckProgress | None) -> dict[int, bytes]:
        wanted, roots = self._wanted_sizes(size), dict[int, bytes]()
        self._indexed = self._store.index_size()
        tree, tiles = CompactRange(), dict[tuple[int, int], bytes]()
        for start in range(0, size, _BATCH):
            leaves = []
            for row in self._store.entries(start, min(_BATCH, size - start)):
                leaves.append(self._entry(row))
                tree.append(leaves[-1])
                if tree.size in wanted:
                    roots[tree.size] = tree.root()
            grown = integrate(_reader(tiles), start, leaves)
            tiles = {key: data for key, data in {**tiles, **grown.tiles}.items() if self._compare(key, data)}
            if progress:
                progress(tree.size, size)
        for (level, index), data in tiles.items():
            self._tile(level, index, data)
        if self._indexed < size:
            self.report.note(f"the index lags: {self._indexed} of {size} entries")
        if self._indexed > size:
            self.report.find(f"the index covers {self._indexed} entries, the log has {size}")
        return roots

    def _compare(self, key: tuple[int, int], data: bytes) -> bool:
        """Compare a full tile and let it go; keep a partial one for later batches."""
        if len(data) == TILE_BYTES:
            self._tile(*key, data)
            return False
        return True

    def _tile(self, level: int, index: int, data: bytes) -> None:
        self.report.tiles += 1
        stored = self._store.tile(level, index) or b""
        if stored == data:
            return
        self.report.find(f"tile {level}/{index}: not what the entries give")
        for at in range(0, len(data) if level == 0 else 0, HASH_BYTES):
            leaf, kept = data[at : at + HASH_BYTES], stored[at : at + HASH_BYTES]
            if kept != leaf:
                entry = index * TILE_WIDTH + at // HASH_BYTES
                got = kept.hex() or "missing"
                self.report.find(f"entry {entry}: its leaf hash is {got}, the envelope gives {leaf.hex()}")

    def _entry(self, row: EntryRow) -> bytes:
        self.report.entries += 1
        leaf = entry_leaf(row.envelope)
        with self._finding(f"entry {row.index}"):
            envelope = parse_envelope(row.envelope)
            keyid = envelope.signatures[0].keyid
            source = self._trust.source(keyid)
            if source is None:
                self.report.note(f"entry {row.index}: signed by a key that is not trusted here")
            else:
                verify_envelope(envelope, source.key)
            frame = open_frame(envelope.payload)
            if frame.predicate_type in EVENT_TYPES:
                self._event(event_row(row.index, read_event(frame), keyid))
                return leaf
            if frame.predicate_type == KEY_TYPE:
                self._event(key_row(row.index, read_key_event(frame), keyid))
                return leaf
            if frame.predicate_type in BATCH_TYPES:
                self._batch(row.index, read_batch(frame), keyid)
                return leaf
            statement = parse_statement(envelope.payload)
            files = self._manifest(row.index, statement)
            self._chunk_map(row.index, statement)
            self._trees.add(row.index, statement.fingerprint.records)
            if statement.oms is not None and not self._blobs.has(statement.oms.bundle):
                self.report.note(f"entry {row.index}: its OMS bundle is not kept here")
            if row.index < self._indexed:
                self._index_rows(dataset_row(row.index, statement, keyid), statement, files)
        return leaf

    def _event(self, row: EventRow) -> None:
        if row.entry_index < self._indexed and row not in events_about(self._store, row.about):
            self.report.find(f"index of entry {row.entry_index}: the event is not what the entry says")

    def _batch(self, index: int, batch: Batch, keyid: str) -> None:
        self._event(batch_row(index, batch, keyid))
        if not self._blobs.has(batch.digest):
            self.report.note(f"entry {index}: its lineage events or access records are not kept here")
            return
        events = parse_batch(self._blobs.get(batch.digest, max_bytes=MAX_BATCH_BYTES))
        if (len(events), events_root(events)) != (batch.count, batch.root):
            self.report.find(f"entry {index}: its batch holds {len(events)} events of another root")

    def _manifest(self, index: int, statement: DatasetStatement) -> Sequence[FileEntry]:
        if not self._blobs.has(statement.manifest):
            self.report.note(f"entry {index}: its manifest is not kept here")
            return ()
        data = self._blobs.get(statement.manifest, max_bytes=MAX_MANIFEST_BYTES)
        return open_manifest(data, statement.fingerprint).files

    def _chunk_map(self, index: int, statement: DatasetStatement) -> None:
        digest = statement.parameters.chunks
        if digest is not None and not self._blobs.has(digest):
            self.report.note(f"entry {index}: its chunk map is not kept here")
        elif digest is not None:
            open_chunk_map(self._blobs.get(digest, max_bytes=MAX_CHUNK_MAP_BYTES), statement.fingerprint)

    def _index_rows(self, row: DatasetRow, statement: DatasetStatement, files: Sequence[FileEntry]) -> None:
        where = f"index of entry {row.entry_index}"
        if self._store.dataset_at(row.entry_index) != row:
            self.report.find(f"{where}: the dataset is not what the entry says")
        statement = with_parents(statement, self._blobs)
        if not statement.names_parents:
            self.report.find(f"{where}: the list of its inputs is missing or damaged")
        pins = [(pin.name, pin.digest, pin.envelope) for pin in statement.parents]
        if [self._pinned(parent) for parent in self._store.parents(row.entry_index)] != pins:
            self.report.find(f"{where}: the parents are not what the entry says")
        for file in files:
            matches = self._store.datasets_by_file(file.digest)
            known = any((m.dataset.entry_index, m.path) == (row.entry_index, file.path) for m in matches)
            if not known and len(matches) < MAX_PAGE_ITEMS:
                self.report.find(f"{where}: the file {file.path} is missing")

    def _pinned(self, parent: ParentRow) -> tuple[PinnedName, Digest, Digest] | None:
        entry = self._store.entry(parent.parent_entry) if parent.parent_entry is not None else None
        name = PinnedName(DatasetName(parent.namespace, parent.name), parent.version)
        return (name, parent.digest, Digest.of(entry.envelope)) if entry is not None else None

    def _checkpoint(self, size: int, root: bytes) -> None:
        row = self._store.checkpoint()
        if row is None:
            if size:
                self.report.find(f"there are {size} entries and no checkpoint")
            return
        if (row.size, row.root) != (size, root):
            self.report.find(f"checkpoint says {row.size} {row.root.hex()}, the entries give {size} {root.hex()}")
        self._note(row)

    def _note(self, row: CheckpointRow) -> None:
        self.report.checkpoints += 1
        with self._finding(f"checkpoint of size {row.size}"):
            checkpoint = open_counted(row.note, self._log_keys).checkpoint
            if (checkpoint.size, checkpoint.root) != (row.size, row.root):
                self.report.find(f"checkpoint of size {row.size}: the signed note says something else")

    def _kept_checkpoints(self, roots: dict[int, bytes]) -> None:
        anchored = {row.size for row in self._outbox()}
        for row in self._kept():
            if roots.get(row.size) != row.root:
                self.report.find(f"kept checkpoint of size {row.size}: the entries give another root")
            if row.size not in anchored:
                self.report.find(f"kept checkpoint of size {row.size}: the anchor it was kept for is missing")
            self._note(row)

    def _anchors(self, roots: dict[int, bytes]) -> None:
        seen = set[tuple[int, str, str, int]]()
        for row in self._outbox():
            where = f"anchor {row.id}"
            if row.size is None or self._store.checkpoint_at(row.size) is None:
                self.report.find(f"{where}: its checkpoint of size {row.size} is missing")
            if transaction_hash(row.raw) != row.transaction:
                self.report.find(f"{where}: its transaction has another hash")
            if row.state not in ("mined", "final"):
                continue
            self.report.anchors += 1
            with self._finding(where):
                receipt = receipt_of(row)
                if receipt is None:
                    self.report.find(f"{where}: it has no receipt")
                    continue
                self._receipt(where, row, receipt, roots)
                key = (receipt.chain_id, receipt.contract, receipt.origin, receipt.size)
                if key in seen:
                    self.report.find(f"{where}: size {receipt.size} is anchored twice")
                seen.add(key)

    def _receipt(self, where: str, row: OutboxRow, receipt: AnchorReceipt, roots: dict[int, bytes]) -> None:
        verify_receipt(receipt)
        sent = (row.chain_id, (row.contract or "").lower(), row.publisher.lower(), row.origin, row.size, row.root)
        proven = (receipt.chain_id, receipt.contract, receipt.publisher, receipt.origin, receipt.size, receipt.root)
        if sent != proven or row.transaction != receipt.transaction:
            self.report.find(f"{where}: its receipt is of another anchor")
        if roots.get(receipt.size) != receipt.root:
            self.report.find(f"{where}: the entries give another root at size {receipt.size}")

    def _blob_store(self) -> None:
        report = self._blobs.fsck()
        self.report.blobs = report.sound
        for path in report.damaged:
            self.report.find(f"blob {path}: its bytes have another hash")
        if report.unfinished:
            self.report.note(f"{len(report.unfinished)} unfinished blobs of writers that were stopped")


def _reader(tiles: dict[tuple[int, int], bytes]) -> ReadTile:
    return lambda level, index: tiles.get((level, index), b"")
