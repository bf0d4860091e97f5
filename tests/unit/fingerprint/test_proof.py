"""Proof documents: every kind against a naive tree, every byte changed, and claims that are false."""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256

import pytest

from provenance.encoding import Digest, JsonValue, canonical_json
from provenance.errors import ProvenanceError, VerificationError
from provenance.fingerprint import FileEntry, Fingerprint, RecordFingerprint, diff_files, encode_leaf, fingerprint_files
from provenance.fingerprint.difference import (
    DifferenceProof,
    PathDifference,
    encode_difference,
    parse_difference,
    verify_difference,
)
from provenance.fingerprint.proof import (
    FileAbsenceProof,
    FileProof,
    ProofDocument,
    RecordAbsenceProof,
    RecordProof,
    RecordRangeProof,
    encode_proof_document,
    parse_proof_document,
    prove_file,
    record_leaf,
    verify_proof,
)
from provenance.merkle import leaf_hash, prove_inclusion, root_of
from provenance.merkle.absence import prove_absence
from provenance.merkle.proof import ReadHash
from provenance.merkle.span import prove_range

RECORDS = [b"\x82\x18%c\xf6" % (40 + number) for number in range(11)]
SCHEMA: dict[str, JsonValue] = {
    "fields": [
        {"name": "n", "nullable": False, "type": "int64"},
        {"name": "v", "nullable": True, "type": "null"},
    ],
    "format": "urn:provenance-ledger:schema:1",
    "sort": [],
}


def _read(leaves: list[bytes]) -> ReadHash:
    return lambda level, index: root_of(leaves[index << level : (index + 1) << level])


def _dataset(names: str = "bdfhj") -> Fingerprint:
    entries = [FileEntry(name, 1, Digest(sha256(name.encode()).digest())) for name in names]
    leaves = [record_leaf(record) for record in RECORDS]
    records = RecordFingerprint(
        len(leaves),
        Digest(root_of(leaves)),
        Digest.of(canonical_json(SCHEMA)),
        len(leaves),
        Digest(root_of(sorted(leaves))),
    )
    return fingerprint_files(entries).with_records(records)


def _file(name: str, dataset: Fingerprint | None = None) -> ProofDocument:
    dataset = dataset or _dataset()
    return prove_file(
        dataset.document, dataset.files, name, _read([leaf_hash(encode_leaf(entry)) for entry in dataset.files])
    )


def _documents() -> dict[str, ProofDocument]:
    stated = _dataset().document
    leaves = [record_leaf(record) for record in RECORDS]
    read, sorted_read = _read(leaves), _read(sorted(leaves))
    absent = b"\x82\x00\xf6"
    return {
        "file": _file("d"),
        "file absent": _file("e"),
        "file before all": _file("a"),
        "file after all": _file("z"),
        "record": ProofDocument(stated, RecordProof(RECORDS[4], 4, tuple(prove_inclusion(4, 11, read)))),
        "records": ProofDocument(stated, RecordRangeProof(tuple(RECORDS[3:9]), 3, tuple(prove_range(3, 9, 11, read)))),
        "record absent": ProofDocument(
            stated, RecordAbsenceProof(absent, prove_absence(record_leaf(absent), 11, sorted_read)), dict(SCHEMA)
        ),
    }


@pytest.mark.parametrize("kind", _documents())
def test_a_proof_reads_back_and_holds(kind: str) -> None:
    document = _documents()[kind]
    verify_proof(document, _dataset().digest)
    assert parse_proof_document(encode_proof_document(document)) == document


@pytest.mark.parametrize("kind", _documents())
def test_no_byte_of_a_proof_can_be_changed(kind: str) -> None:
    document, digest = _documents()[kind], _dataset().digest
    data = encode_proof_document(document)
    for place in range(len(data)):
        for change in (1, 0x20):
            forged = data[:place] + bytes([data[place] ^ change]) + data[place + 1 :]
            try:
                found = parse_proof_document(forged)
                verify_proof(found, digest)
            except ProvenanceError:
                continue
            # What else is absent from between the same neighbours is as true; nothing else may pass.
            assert isinstance(found.claim, FileAbsenceProof | RecordAbsenceProof)
            assert _subject(found) != _subject(document)


def _subject(document: ProofDocument) -> object:
    claim = document.claim
    return claim.path if isinstance(claim, FileAbsenceProof) else getattr(claim, "record", None)


@pytest.mark.parametrize("kind", _documents())
def test_a_proof_that_is_cut_or_padded_is_malformed(kind: str) -> None:
    data = encode_proof_document(_documents()[kind])
    for forged in (data[:-1], data + b" ", b" " + data, data.replace(b'":', b'": ', 1), b"", b"{}"):
        with pytest.raises(ProvenanceError):
            parse_proof_document(forged)


def test_a_proof_is_about_one_dataset() -> None:
    with pytest.raises(VerificationError, match="another dataset"):
        verify_proof(_file("d"), _dataset("bdf").digest)


def test_absence_is_not_shown_by_neighbours_that_are_none() -> None:
    claim = _file("e").claim
    assert isinstance(claim, FileAbsenceProof)
    assert [entry.path for entry in claim.neighbours] == ["d", "f"]
    for path in ("d", "f", "c", "g"):
        with pytest.raises(ProvenanceError):
            verify_proof(ProofDocument(_dataset().document, replace(claim, path=path)))


def test_records_without_an_index_are_not_shown_absent() -> None:
    document = _documents()["record absent"]
    records = document.fingerprint.records
    assert records is not None
    bare = replace(document.fingerprint, records=replace(records, index_count=None, index_root=None))
    with pytest.raises(VerificationError, match="no index"):
        verify_proof(ProofDocument(bare, document.claim))
    with pytest.raises(VerificationError, match="not fingerprinted"):
        verify_proof(ProofDocument(replace(bare, records=None), document.claim))


def _difference() -> DifferenceProof:
    old, new = _dataset("bdfh"), fingerprint_files(
        [
            *(entry for entry in _dataset("bdfj").files if entry.path != "d"),
            FileEntry("d", 2, Digest.of(b"other")),
        ]
    )  # fmt: skip
    paths = []
    for path in ("d", "h", "j"):
        before, after = _file(path, old).claim, _file(path, new).claim
        assert isinstance(before, FileProof | FileAbsenceProof)
        assert isinstance(after, FileProof | FileAbsenceProof)
        paths.append(PathDifference(before, after))
    return DifferenceProof(old.document, new.document, tuple(paths))


def test_a_difference_reads_back_holds_and_says_what_changed() -> None:
    difference = _difference()
    verify_difference(difference, difference.before.digest, difference.after.digest)
    assert parse_difference(encode_difference(difference)) == difference
    assert [(str(change.kind), change.path) for change in difference.changes] == [
        ("changed", "d"), ("removed", "h"), ("added", "j"),
    ]  # fmt: skip
    assert difference.changes == diff_files(
        [one.before.entry for one in difference.paths if isinstance(one.before, FileProof)],
        [one.after.entry for one in difference.paths if isinstance(one.after, FileProof)],
    )


def test_no_byte_of_a_difference_can_be_changed() -> None:
    difference = _difference()
    data = encode_difference(difference)
    for place in range(0, len(data), 3):
        forged = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        with pytest.raises(ProvenanceError):
            verify_difference(parse_difference(forged), difference.before.digest, difference.after.digest)


def test_a_path_is_named_once_and_is_one() -> None:
    difference = _difference()
    first, second = difference.paths[:2]
    for paths in ((first, first), (PathDifference(first.before, second.after),)):
        with pytest.raises(ProvenanceError):
            verify_difference(replace(difference, paths=paths))


def test_the_page_shows_the_form() -> None:
    value = json.loads(encode_proof_document(_file("d")))
    assert sorted(value) == ["fingerprint", "format", "index", "kind", "leaf", "proof"]


def test_absence_is_shown_of_what_a_row_can_be_alone() -> None:
    """A row in another form of CBOR is in no dataset, and that says nothing."""
    stated, document = _dataset().document, _documents()["record absent"]
    read = _read(sorted(record_leaf(record) for record in RECORDS))
    for other in (b"\x98\x02\x18\x2a\xf6", b"\x82\x19\x00\x2a\xf6", b"\x82\x18\x2a", b"\x82\x18\x2a\xf6\x00", b"x"):
        claim = RecordAbsenceProof(other, prove_absence(record_leaf(other), 11, read))
        with pytest.raises(VerificationError, match="not in the form"):
            verify_proof(ProofDocument(stated, claim, dict(SCHEMA)))
    with pytest.raises(VerificationError, match="no schema"):
        verify_proof(ProofDocument(stated, document.claim))


def test_a_float_of_another_width_is_no_row() -> None:
    fields: list[JsonValue] = [{"name": "f", "nullable": False, "type": "float32"}]
    schema: dict[str, JsonValue] = {**SCHEMA, "fields": fields}
    stated = _dataset().document
    records = stated.records
    assert records is not None
    stated = replace(stated, records=replace(records, schema=Digest.of(canonical_json(schema))))
    read = _read(sorted(record_leaf(record) for record in RECORDS))
    for raw, is_row in (
        ("81fa3dcccccd", True),
        ("81fb3fb999999999999a", False),
        ("81fb7fefffffffffffff", False),
        ("81f97e00", True),
    ):
        record = bytes.fromhex(raw)
        document = ProofDocument(
            stated, RecordAbsenceProof(record, prove_absence(record_leaf(record), 11, read)), schema
        )
        if is_row:
            verify_proof(document)
        else:
            with pytest.raises(VerificationError, match="not in the form"):
                verify_proof(document)
