"""Proof documents: that one file or record is in a dataset, or is not, for whoever has the dataset's digest alone.

Invariants: canonical JSON; the document holds the fingerprint document, whose SHA-256 is the dataset's digest, and
what leads from a leaf to one of its roots, so that checking it takes SHA-256 and nothing else; a document that is well
formed proves nothing before `verify_proof` returned. A proof of a record holds that record: whoever may not see it must
not be given the proof.

Kinds: `file` (an inclusion proof, RFC 9162 2.1.3, under the file root), `file-absence` (the neighbours between which
the path would be), `record` (under the record root), `record-range` (a run of rows), `record-absence` (the neighbours
in the index between which the leaf hash would be).

Bytes (one line):
`{"fingerprint":{...},"format":"urn:provenance-ledger:proof:1","index":0,"kind":"file","leaf":{"digest":{"sha256":
"<64 hex>"},"path":"a.csv","size":3},"proof":["<base64>"]}`
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from provenance.encoding import Digest, Fields, JsonValue, b64decode, b64encode, canonical_json, parse_json
from provenance.errors import MalformedError, VerificationError
from provenance.fingerprint.document import FingerprintDocument, parse_document
from provenance.fingerprint.files import FileEntry, check_path, encode_leaf, parse_leaf
from provenance.fingerprint.records import RecordFingerprint
from provenance.limits import MAX_SAFE_INTEGER
from provenance.merkle import ReadHash, leaf_hash, prove_inclusion, verify_inclusion
from provenance.merkle.absence import AbsenceProof, verify_absence
from provenance.merkle.span import prove_range, verify_range

FORMAT: Final = "urn:provenance-ledger:proof:1"
MAX_PROOF_BYTES: Final = 256 * 2**20
MAX_RECORD_BYTES: Final = 64 * 2**20
MAX_RANGE_ROWS: Final = 100_000
_MAX_HASHES: Final = 128


@dataclass(frozen=True, slots=True)
class FileProof:
    """That `entry` is file `index` of the dataset, in the order of paths."""

    entry: FileEntry
    index: int
    proof: tuple[bytes, ...]

    @property
    def hashes(self) -> tuple[bytes, ...]:
        """What lies between the leaf and the root."""
        return self.proof


@dataclass(frozen=True, slots=True)
class FileAbsenceProof:
    """That no file is called `path`: it would be at `position`, between these neighbours."""

    path: str
    position: int
    neighbours: tuple[FileEntry, ...]
    proof: tuple[bytes, ...]

    @property
    def hashes(self) -> tuple[bytes, ...]:
        """What lies between the leaf and the root."""
        return self.proof


@dataclass(frozen=True, slots=True)
class RecordProof:
    """That `record`, a row's CBOR, is row `index` of the dataset."""

    record: bytes
    index: int
    proof: tuple[bytes, ...]

    @property
    def hashes(self) -> tuple[bytes, ...]:
        """What lies between the leaf and the root."""
        return self.proof


@dataclass(frozen=True, slots=True)
class RecordRangeProof:
    """That `records` are the rows of the dataset from `begin` on."""

    records: tuple[bytes, ...]
    begin: int
    proof: tuple[bytes, ...]

    @property
    def hashes(self) -> tuple[bytes, ...]:
        """What lies between the leaf and the root."""
        return self.proof


@dataclass(frozen=True, slots=True)
class RecordAbsenceProof:
    """That `record` is no row of the dataset."""

    record: bytes
    absence: AbsenceProof

    @property
    def hashes(self) -> tuple[bytes, ...]:
        """What lies between the neighbours and the root."""
        return self.absence.proof


Claim: TypeAlias = FileProof | FileAbsenceProof | RecordProof | RecordRangeProof | RecordAbsenceProof


@dataclass(frozen=True, slots=True)
class ProofDocument:
    """A claim about the dataset with this fingerprint document; `schema` is that of its records, to read them by."""

    fingerprint: FingerprintDocument
    claim: Claim
    schema: JsonValue = None

    @property
    def digest(self) -> Digest:
        """The digest of the dataset that the claim is about."""
        return self.fingerprint.digest


def record_leaf(record: bytes) -> bytes:
    """The leaf hash of a row's CBOR, 32 bytes."""
    return leaf_hash(record)


def prove_file(document: FingerprintDocument, files: Sequence[FileEntry], path: str, read: ReadHash) -> ProofDocument:
    """That a file of this name is, or is not, among the files of the dataset; `read` reads its file tree."""
    position = _position(files, path)
    size = len(files)
    if position < size and files[position].path == path:
        proof = prove_inclusion(position, size, read)
        return ProofDocument(document, FileProof(files[position], position, tuple(proof)))
    begin, end = max(position - 1, 0), min(position + 1, size)
    proof = prove_range(begin, end, size, read)
    return ProofDocument(document, FileAbsenceProof(path, position, tuple(files[begin:end]), tuple(proof)))


def verify_proof(document: ProofDocument, expected: Digest | None = None) -> None:
    """Return if the claim is true of the dataset whose digest is `expected` (None: of the one the document names)."""
    if expected is not None and document.digest != expected:
        raise VerificationError("proof is about another dataset", expected=expected, got=document.digest)
    stated, claim = document.fingerprint, document.claim
    if document.schema is not None:
        found = Digest.of(canonical_json(document.schema))
        if found != _records(stated).schema:
            raise VerificationError("schema is another one", expected=_records(stated).schema, got=found)
    root, size = stated.file_root.raw, stated.file_count
    match claim:
        case FileProof(entry, index, proof):
            _check_algorithm(entry, stated)
            verify_inclusion(leaf_hash(encode_leaf(entry)), index, size, proof, root)
        case FileAbsenceProof():
            _verify_file_absence(claim, stated)
        case RecordProof(record, index, proof):
            records = _records(stated)
            verify_inclusion(record_leaf(record), index, records.count, proof, records.root.raw)
        case RecordRangeProof(rows, begin, proof):
            records = _records(stated)
            verify_range([record_leaf(row) for row in rows], begin, records.count, proof, records.root.raw)
        case RecordAbsenceProof(record, absence):
            records = _records(stated)
            if records.index_count is None or records.index_root is None:
                raise VerificationError("the dataset has no index", expected="one, to show absence")
            _check_form(record, document.schema)
            verify_absence(record_leaf(record), absence, records.index_count, records.index_root.raw)


def _check_form(record: bytes, schema: JsonValue) -> None:
    """Raise unless these bytes are how a row of this schema is written down: of any others it is no wonder that they
    are not in the dataset."""
    if schema is None:
        raise VerificationError("absence is shown of bytes of no schema", expected="the schema, to check their form")
    from provenance.encoding.records import decode_row, parse_schema

    try:
        decode_row(record, parse_schema(schema))
    except MalformedError as error:
        raise VerificationError("record is not in the form of its schema", expected=error.expected) from error


def encode_proof_document(document: ProofDocument) -> bytes:
    """The document's bytes."""
    kind, claim = _claim_json(document.claim)
    if document.schema is not None:
        claim["schema"] = document.schema
    return canonical_json({"format": FORMAT, "kind": kind, "fingerprint": document.fingerprint.to_json(), **claim})


def parse_proof_document(data: bytes) -> ProofDocument:
    """The proof in a document; `MalformedError` for anything else. Whether it holds is `verify_proof`'s to say."""
    fields = Fields(parse_json(data, what="proof", max_bytes=MAX_PROOF_BYTES), "proof")
    fields.constant("format", FORMAT)
    fingerprint = parse_document(fields.value("fingerprint"), "proof.fingerprint")
    schema = fields.value("schema") if "schema" in fields else None
    document = ProofDocument(fingerprint, parse_claim(fields), schema)
    if encode_proof_document(document) != data:
        raise MalformedError("proof is not canonical JSON", expected="RFC 8785, on one line")
    return document


def encode_claim(claim: Claim) -> dict[str, JsonValue]:
    """A claim with its kind, as a JSON object."""
    kind, value = _claim_json(claim)
    return {"kind": kind, **value}


def parse_claim(fields: Fields) -> Claim:
    """The claim in an object of which everything else has been read."""
    kind = fields.string("kind")
    proof = tuple(_hash(item) for item in fields.array("proof", max_items=_MAX_HASHES))
    claim: Claim
    match kind:
        case "file":
            claim = FileProof(_entry(fields.value("leaf")), fields.integer("index"), proof)
        case "file-absence":
            neighbours = tuple(_entry(item) for item in fields.array("neighbours", max_items=2))
            claim = FileAbsenceProof(fields.string("path"), fields.integer("position"), neighbours, proof)
        case "record":
            claim = RecordProof(_record(fields.value("record")), fields.integer("index"), proof)
        case "record-range":
            rows = tuple(_record(item) for item in fields.array("records", max_items=MAX_RANGE_ROWS))
            claim = RecordRangeProof(rows, fields.integer("begin", maximum=MAX_SAFE_INTEGER), proof)
        case "record-absence":
            leaves = tuple(_hash(item) for item in fields.array("neighbours", max_items=2))
            absence = AbsenceProof(fields.integer("position"), leaves, proof)
            claim = RecordAbsenceProof(_record(fields.value("record")), absence)
        case _:
            expected = "file | file-absence | record | record-range | record-absence"
            raise MalformedError("unknown kind of proof", expected=expected, got=ascii(kind))
    fields.end()
    return claim


def _claim_json(claim: Claim) -> tuple[str, dict[str, JsonValue]]:
    match claim:
        case FileProof(entry, index, proof):
            return "file", {"leaf": _entry_json(entry), "index": index, "proof": _encoded(proof)}
        case FileAbsenceProof(path, position, entries, proof):
            neighbours: list[JsonValue] = [_entry_json(entry) for entry in entries]
            value: dict[str, JsonValue] = {"path": path, "position": position, "neighbours": neighbours}
            return "file-absence", {**value, "proof": _encoded(proof)}
        case RecordProof(record, index, proof):
            return "record", {"record": b64encode(record), "index": index, "proof": _encoded(proof)}
        case RecordRangeProof(records, begin, proof):
            return "record-range", {"records": _encoded(records), "begin": begin, "proof": _encoded(proof)}
        case RecordAbsenceProof(record, absence):
            return "record-absence", {
                "record": b64encode(record),
                "position": absence.position,
                "neighbours": _encoded(absence.neighbours),
                "proof": _encoded(absence.proof),
            }


def _verify_file_absence(claim: FileAbsenceProof, stated: FingerprintDocument) -> None:
    size, position = stated.file_count, claim.position
    check_path(claim.path)
    begin, end = max(position - 1, 0), min(position + 1, size)
    if position > size or len(claim.neighbours) != end - begin:
        raise MalformedError("absence proof has other neighbours", expected=end - begin, got=len(claim.neighbours))
    for entry in claim.neighbours:
        _check_algorithm(entry, stated)
    wanted = claim.path.encode("utf-8")
    before = claim.neighbours[: position - begin]
    after = claim.neighbours[position - begin :]
    if any(entry.sort_key >= wanted for entry in before) or any(entry.sort_key <= wanted for entry in after):
        raise VerificationError("the neighbours do not lie around the path", expected="ascending order", got=claim.path)
    leaves = [leaf_hash(encode_leaf(entry)) for entry in claim.neighbours]
    verify_range(leaves, begin, size, claim.proof, stated.file_root.raw)


def _check_algorithm(entry: FileEntry, stated: FingerprintDocument) -> None:
    if entry.algorithm is not stated.algorithm:
        raise VerificationError("file is hashed otherwise", expected=stated.algorithm, got=entry.algorithm)


def _position(files: Sequence[FileEntry], path: str) -> int:
    check_path(path)
    wanted = path.encode("utf-8")
    low, high = 0, len(files)
    while low < high:
        middle = (low + high) // 2
        if files[middle].sort_key < wanted:
            low = middle + 1
        else:
            high = middle
    return low


def _records(stated: FingerprintDocument) -> RecordFingerprint:
    if stated.records is None:
        raise VerificationError("the dataset's records were not fingerprinted", expected="a record root")
    return stated.records


def _entry_json(entry: FileEntry) -> JsonValue:
    return parse_json(encode_leaf(entry), what="leaf", max_bytes=MAX_RECORD_BYTES)


def _entry(value: JsonValue) -> FileEntry:
    return parse_leaf(canonical_json(value))


def _encoded(values: Sequence[bytes]) -> list[JsonValue]:
    return [b64encode(value) for value in values]


def _hash(value: JsonValue) -> bytes:
    return b64decode(value, what="proof hash", max_bytes=32)


def _record(value: JsonValue) -> bytes:
    return b64decode(value, what="record", max_bytes=MAX_RECORD_BYTES)
