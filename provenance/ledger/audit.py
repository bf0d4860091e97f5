"""fsck: everything derived is derived again from the entries, and compared.

Invariants: nothing is repaired; every difference is a finding with its place; `--independent` lets another
implementation (pymerkle, GPL, installed by the `audit` extra) decide roots and inclusion.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from provenance.anchor import verify_receipt
from provenance.encoding import JsonValue
from provenance.errors import ProvenanceError, StoreError
from provenance.fingerprint import open_manifest
from provenance.ledger.gathering import receipt_of
from provenance.ledger.publication import dataset_row, prove_entry
from provenance.limits import MAX_MANIFEST_BYTES
from provenance.log import NoteVerifier, ReadTile, entry_leaf, integrate, open_checkpoint, parse_proof
from provenance.merkle import EMPTY_ROOT, CompactRange
from provenance.policy import TrustRoots
from provenance.signature import parse_envelope, verify_envelope
from provenance.statement import parse_statement
from provenance.stores import BlobStore, CheckpointRow, EntryRow, Store

_BATCH = 1_000
_MAX_FINDINGS = 1_000
_MAX_INDEPENDENT_PROOFS = 10_000

FsckProgress = Callable[[int, int], None]
"""progress(done, total) in entries."""


@dataclass(slots=True)
class FsckReport:
    """What was examined and what is wrong. `clean` if nothing is."""

    entries: int = 0
    tiles: int = 0
    checkpoints: int = 0
    blobs: int = 0
    anchors: int = 0
    independent_roots: int = 0
    independent_proofs: int = 0
    notes: list[str] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings

    def find(self, text: str) -> None:
        """Add a finding; past a thousand they are only counted as one."""
        if len(self.findings) < _MAX_FINDINGS:
            self.findings.append(text)
        elif len(self.findings) == _MAX_FINDINGS:
            self.findings.append("more findings follow and are not listed")

    def to_json(self) -> dict[str, JsonValue]:
        """The report as a JSON value."""
        counted = ("entries", "tiles", "checkpoints", "blobs", "anchors", "independent_roots", "independent_proofs")
        names = ("entries", "tiles", "checkpoints", "blobs", "anchors", "independentRoots", "independentProofs")
        value: dict[str, JsonValue] = {"clean": self.clean}
        value.update({name: getattr(self, key) for name, key in zip(names, counted, strict=True)})
        return {**value, "notes": list(self.notes), "findings": list(self.findings)}


class Auditor:
    """Examines one ledger's store and blobs."""

    def __init__(self, store: Store, blobs: BlobStore, verifier: NoteVerifier, trust: TrustRoots) -> None:
        self._store, self._blobs, self._verifier, self._trust = store, blobs, verifier, trust
        self.report = FsckReport()

    def run(self, *, independent: bool = False, progress: FsckProgress | None = None) -> FsckReport:
        """The report over entries, tiles, checkpoints, index, blobs and anchors."""
        for problem in self._store.check():
            self.report.find(f"database: {problem}")
        size = self._store.size()
        roots = self._entries(size, progress)
        self._checkpoint(size, roots.get(size, EMPTY_ROOT))
        self._kept_checkpoints(roots)
        self._anchors(roots)
        self._blob_store()
        if independent:
            IndependentAudit(self._store, self.report).run(size, sorted(roots))
        return self.report

    def _wanted_sizes(self, size: int) -> set[int]:
        kept = {row.size for row in self._kept()}
        return {wanted for wanted in kept | {size} if 0 < wanted <= size}

    def _kept(self) -> Iterator[CheckpointRow]:
        after: int | None = None
        while page := self._store.checkpoints(after_size=after):
            yield from page
            after = page[-1].size

    def _entries(self, size: int, progress: FsckProgress | None) -> dict[int, bytes]:
        wanted, roots = self._wanted_sizes(size), dict[int, bytes]()
        tree, tiles = CompactRange(), dict[tuple[int, int], bytes]()
        for start in range(0, size, _BATCH):
            batch = list(self._store.entries(start, min(_BATCH, size - start)))
            leaves = []
            for row in batch:
                leaves.append(self._entry(row))
                tree.append(leaves[-1])
                if tree.size in wanted:
                    roots[tree.size] = tree.root()
            grown = integrate(_reader(tiles), start, leaves)
            tiles = {key: data for key, data in {**tiles, **grown.tiles}.items() if self._compare(key, data)}
            if progress:
                progress(start + len(batch), size)
        for (level, index), data in tiles.items():
            self._tile(level, index, data)
        if self._store.index_size() < size:
            self.report.notes.append(f"the index lags: {self._store.index_size()} of {size} entries")
        return roots

    def _compare(self, key: tuple[int, int], data: bytes) -> bool:
        """Compare a full tile and let it go; keep a partial one for later batches."""
        if len(data) == 256 * 32:
            self._tile(*key, data)
            return False
        return True

    def _tile(self, level: int, index: int, data: bytes) -> None:
        self.report.tiles += 1
        if self._store.tile(level, index) != data:
            self.report.find(f"tile {level}/{index}: not what the entries give")

    def _entry(self, row: EntryRow) -> bytes:
        self.report.entries += 1
        leaf = entry_leaf(row.envelope)
        if leaf != row.leaf_hash:
            self.report.find(f"entry {row.index}: leaf hash is {row.leaf_hash.hex()}, the envelope gives {leaf.hex()}")
        try:
            envelope = parse_envelope(row.envelope)
            statement = parse_statement(envelope.payload)
            source = self._trust.source(envelope.signatures[0].keyid)
            if source is None:
                self.report.notes.append(f"entry {row.index}: signed by a key that is not trusted here")
            else:
                verify_envelope(envelope, source.key)
            indexed = self._store.dataset_at(row.index)
            if row.index < self._store.index_size() and indexed != dataset_row(
                row.index, statement, envelope.signatures[0].keyid
            ):
                self.report.find(f"entry {row.index}: the index says something else")
            if self._blobs.has(statement.manifest):
                open_manifest(self._blobs.get(statement.manifest, max_bytes=MAX_MANIFEST_BYTES), statement.fingerprint)
            if statement.oms is not None and indexed is not None and not self._blobs.has(statement.oms.bundle):
                self.report.notes.append(f"entry {row.index}: its OMS bundle is not kept here")
        except ProvenanceError as error:
            self.report.find(f"entry {row.index}: {error}")
        return leaf

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
        try:
            checkpoint = open_checkpoint(row.note, self._verifier)
        except ProvenanceError as error:
            self.report.find(f"checkpoint of size {row.size}: {error}")
            return
        if (checkpoint.size, checkpoint.root) != (row.size, row.root):
            self.report.find(f"checkpoint of size {row.size}: the signed note says something else")

    def _kept_checkpoints(self, roots: dict[int, bytes]) -> None:
        for row in self._kept():
            if roots.get(row.size) != row.root:
                self.report.find(f"kept checkpoint of size {row.size}: the entries give another root")
            self._note(row)

    def _anchors(self, roots: dict[int, bytes]) -> None:
        after, seen = 0, set[tuple[int, str, str, int]]()
        while page := self._store.anchors(after_id=after):
            for row in page:
                self.report.anchors += 1
                receipt = receipt_of(row)
                if receipt is None:
                    self.report.find(f"anchor {row.id}: it has no receipt")
                    continue
                key = (receipt.chain_id, receipt.contract, receipt.origin, receipt.size)
                if key in seen:
                    self.report.find(f"anchor {row.id}: size {receipt.size} is anchored twice")
                seen.add(key)
                try:
                    verify_receipt(receipt)
                except ProvenanceError as error:
                    self.report.find(f"anchor {row.id}: {error}")
                if roots.get(receipt.size) != receipt.root:
                    self.report.find(f"anchor {row.id}: the entries give another root at size {receipt.size}")
            after = page[-1].id

    def _blob_store(self) -> None:
        report = self._blobs.fsck()
        self.report.blobs = report.sound
        for path in report.damaged:
            self.report.find(f"blob {path}: its bytes have another hash")
        if report.unfinished:
            self.report.notes.append(f"{len(report.unfinished)} unfinished blobs of writers that were stopped")


def _reader(tiles: dict[tuple[int, int], bytes]) -> ReadTile:
    return lambda level, index: tiles.get((level, index), b"")


class IndependentAudit:
    """The same roots and inclusion proofs by pymerkle, which shares no code with this project."""

    def __init__(self, store: Store, report: FsckReport) -> None:
        self._store, self._report = store, report

    def run(self, size: int, sizes: list[int]) -> None:
        """Compare the root at each of `sizes`, and the inclusion of every entry in the latest tree."""
        try:
            from pymerkle import InmemoryTree, InvalidProof, verify_inclusion
        except ImportError:
            hint = "install it: pip install 'provenance-ledger[audit]'"
            raise StoreError("the independent auditor is not installed", expected="pymerkle", hint=hint) from None
        tree = InmemoryTree(algorithm="sha256")
        for row in self._store.entries(0, size):
            tree.append_entry(row.envelope)
        latest = self._store.checkpoint()
        for wanted in sizes:
            row_at = latest if latest is not None and latest.size == wanted else self._store.checkpoint_at(wanted)
            self._report.independent_roots += 1
            if row_at is None or tree.get_root(wanted) != row_at.root:
                self._report.find(f"pymerkle: another root at size {wanted}")
        if latest is None or latest.size != size:
            return
        for index in range(0, size, max(1, size // _MAX_INDEPENDENT_PROOFS)):
            ours = parse_proof(prove_entry(self._store, index, latest)).hashes
            theirs = tree.prove_inclusion(index + 1, size)
            self._report.independent_proofs += 1
            try:
                verify_inclusion(tree.get_leaf(index + 1), latest.root, theirs, index=index + 1, size=size)
            except InvalidProof as error:
                self._report.find(f"pymerkle: entry {index} is not included: {error}")
            if sorted(theirs.path[1:]) != sorted(ours):
                self._report.find(f"pymerkle: the inclusion proof of entry {index} has other hashes")
