"""Proofs about registered datasets: of one file, of records, of their absence, and of many records at once.

Invariants: what a proof holds was checked against the dataset's stated roots before it is given out; trees that are not
kept here are made again from the dataset's bytes, if those are what was registered; records come from the dataset's own
bytes or from whoever asks, never from a tree, which holds hashes alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from provenance.encoding import JsonValue
from provenance.errors import MalformedError, NotFoundError, SourceError, VerificationError
from provenance.fingerprint import FileEntry, FingerprintDocument, RecordFingerprint, encode_leaf, open_manifest
from provenance.fingerprint.proof import (
    MAX_RANGE_ROWS,
    ProofDocument,
    RecordAbsenceProof,
    RecordProof,
    RecordRangeProof,
    prove_file,
    record_leaf,
    verify_proof,
)
from provenance.limits import MAX_MANIFEST_BYTES, MAX_SCHEMA_BYTES
from provenance.merkle import ReadHash, leaf_hash, root_of
from provenance.statement import DatasetStatement
from provenance.stores import BlobStore
from provenance.stores.trees import StoredTree, open_tree

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from provenance.encoding.records import RecordSchema
    from provenance.tables import Table

_MAX_FOUND_ROWS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Membership:
    """Which of the records asked for are in a dataset: for each its first row there, or -1, shape (k,)."""

    rows: npt.NDArray[np.int64]

    @property
    def present(self) -> int:
        """How many are there."""
        return int((self.rows >= 0).sum())

    @property
    def absent(self) -> int:
        """How many are not."""
        return len(self.rows) - self.present


class RecordTrees:
    """The stored trees of one dataset's records. Close it, or use it as a context manager."""

    def __init__(self, records: RecordFingerprint, folder: Path) -> None:
        self.records = records
        self._folder = folder
        self._open: dict[str, StoredTree] = {}

    @property
    def tree(self) -> StoredTree:
        """The rows in table order."""
        return self._tree(self.records.root.hex, ".tree")

    @property
    def index(self) -> StoredTree:
        """The distinct rows in the order of their hashes."""
        if self.records.index_root is None:
            raise NotFoundError("the dataset has no index of its records", expected="one made with --records")
        from provenance.ledger.records import index_suffix

        return self._tree(self.records.index_root.hex, index_suffix(self.records.root.raw))

    def _tree(self, root: str, suffix: str) -> StoredTree:
        name = f"{root}{suffix}"
        if name not in self._open:
            path = self._folder / name
            if not path.exists():
                hint = "register the dataset here, or fingerprint it again: provenance register --records"
                raise NotFoundError("the records' tree is not kept here", got=name, where=self._folder, hint=hint)
            tree = open_tree(path)
            if tree.root.hex() != root:
                tree.close()
                raise VerificationError("stored tree is another one", expected=root, got=tree.root.hex(), where=path)
            self._open[name] = tree
        return self._open[name]

    def close(self) -> None:
        """Let the trees go."""
        for tree in self._open.values():
            tree.close()
        self._open = {}

    def __enter__(self) -> RecordTrees:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Proofs:
    """Proofs about one dataset, as its statement describes it."""

    def __init__(self, statement: DatasetStatement, blobs: BlobStore, trees: Path) -> None:
        self.statement, self._blobs, self._trees = statement, blobs, trees

    @property
    def document(self) -> FingerprintDocument:
        """The dataset's fingerprint document."""
        return self.statement.fingerprint

    @property
    def schema(self) -> RecordSchema:
        """The schema of its records."""
        from provenance.encoding.records import parse_schema_document

        return parse_schema_document(self._blobs.get(self._records().schema, max_bytes=MAX_SCHEMA_BYTES))

    def file(self, path: str) -> ProofDocument:
        """That a file is, or is not, in the dataset."""
        return prove_file_of(self.document, self.files(), path)

    def files(self) -> Sequence[FileEntry]:
        """The files of the dataset, out of its manifest."""
        data = self._blobs.get(self.statement.manifest, max_bytes=MAX_MANIFEST_BYTES)
        return open_manifest(data, self.document).files

    def record(self, value: Mapping[str, JsonValue]) -> ProofDocument:
        """That a record, written as JSON, is a row of the dataset, or that it is none."""
        from provenance.encoding.records import row_from_json

        return self.encoded_record(row_from_json(value, self.schema))

    def encoded_record(self, record: bytes) -> ProofDocument:
        """The same of a row's CBOR."""
        leaf = record_leaf(record)
        with RecordTrees(self._records(), self._trees) as trees:
            position = trees.index.find(leaf)
            if position is None:
                return self._checked(RecordAbsenceProof(record, trees.index.prove_absence(leaf)))
            row = trees.index.companion(position)
            return self._checked(RecordProof(record, row, tuple(trees.tree.prove(row))))

    def rows(self, begin: int, end: int, table: Table) -> ProofDocument:
        """That the rows [begin, end) of the dataset, whose bytes are in `table`, are what they are."""
        if not 0 <= begin < end <= self._records().count:
            expected = f"rows from 0 to {self._records().count - 1}"
            raise MalformedError("no such rows", expected=expected, got=f"{begin} to {end - 1}")
        if end - begin > MAX_RANGE_ROWS:
            raise MalformedError("too many rows for one proof", expected=f"at most {MAX_RANGE_ROWS}", got=end - begin)
        records = _cut(table, self.schema, begin, end)
        with RecordTrees(self._records(), self._trees) as trees:
            if end - begin == 1:
                return self._checked(RecordProof(records[0], begin, tuple(trees.tree.prove(begin))))
            proof = trees.tree.prove_range(begin, end)
            return self._checked(RecordRangeProof(tuple(records), begin, tuple(proof)))

    def find_rows(self, column: str, value: JsonValue, table: Table) -> list[int]:
        """The rows whose key column holds a value, at most 1,000; the dataset's bytes are in `table`."""
        from provenance.encoding.records import RecordSchema, encode_rows, row_from_json

        schema = self.schema
        fields = [field for field in schema.fields if field.name == column]
        if not fields:
            raise MalformedError("no such column", expected=", ".join(schema.names[:20]), got=ascii(column))
        narrow = RecordSchema((fields[0],))
        wanted = b"\x00" + row_from_json({column: value}, narrow)
        found: list[int] = []
        rows_before = 0
        for fragment in table.fragments():
            for batch in fragment.read(fragment):
                rows = encode_rows(batch.select([column]), narrow)
                found += [rows_before + place for place in _matches(rows, wanted)]
                rows_before += batch.num_rows
                if len(found) > _MAX_FOUND_ROWS:
                    return found[:_MAX_FOUND_ROWS]
        return found

    def membership(self, table: Table) -> Membership:
        """Which rows of `table` are records of the dataset, by its schema."""
        import numpy as np

        from provenance.ledger.records import hash_records

        with RecordTrees(self._records(), self._trees) as trees:
            index = trees.index
            parts = [index.companions(index.find_many(leaves)) for leaves in hash_records(table, self.schema)]
        return Membership(np.concatenate(parts) if parts else np.empty(0, np.int64))

    def _records(self) -> RecordFingerprint:
        if self.document.records is None:
            hint = "register it with --records"
            raise NotFoundError("records of this dataset were not fingerprinted", got=self.statement.name, hint=hint)
        return self.document.records

    def _checked(self, claim: RecordProof | RecordRangeProof | RecordAbsenceProof) -> ProofDocument:
        document = ProofDocument(self.document, claim, self.schema.to_json())
        verify_proof(document, self.document.digest)
        return document


def prove_file_of(document: FingerprintDocument, files: Sequence[FileEntry], path: str) -> ProofDocument:
    """That a file is, or is not, among these, which are all of the dataset's."""
    proof = prove_file(document, files, path, _reader([leaf_hash(encode_leaf(entry)) for entry in files]))
    verify_proof(proof, document.digest)
    return proof


def _reader(leaves: Sequence[bytes]) -> ReadHash:
    cache: dict[tuple[int, int], bytes] = {}

    def read(level: int, index: int) -> bytes:
        key = level, index
        if key not in cache:
            cache[key] = root_of(leaves[index << level : (index + 1) << level])
        return cache[key]

    return read


def _cut(table: Table, schema: RecordSchema, begin: int, end: int) -> list[bytes]:
    from provenance.encoding.records import encode_rows

    records: list[bytes] = []
    rows_before = 0
    for fragment in table.fragments():
        for batch in fragment.read(fragment):
            first, last = max(begin - rows_before, 0), min(end - rows_before, batch.num_rows)
            if first < last:
                rows = encode_rows(batch.slice(first, last - first), schema)
                records += [rows.row(index) for index in range(len(rows))]
            rows_before += batch.num_rows
            if rows_before >= end:
                return records
    raise SourceError("table has fewer rows than were registered", expected=f"at least {end}", got=rows_before)


def _matches(rows: object, wanted: bytes) -> list[int]:
    import numpy as np

    from provenance.encoding.records import Rows

    assert isinstance(rows, Rows)
    lengths = np.diff(rows.offsets)
    candidates = np.flatnonzero(lengths == len(wanted))
    if not len(candidates):
        return []
    places = rows.offsets[candidates][:, None] + np.arange(len(wanted))
    same = (rows.data[places] == np.frombuffer(wanted, np.uint8)).all(axis=1)
    return [int(place) for place in candidates[same]]
