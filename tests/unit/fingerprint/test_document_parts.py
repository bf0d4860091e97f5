"""The parts of a document and statement that say how and by which hash: algorithm, records, parameters."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import blake3
import pytest

from provenance.encoding import Digest, JsonValue, canonical_json, parse_json
from provenance.errors import MalformedError, ProvenanceError, VerificationError
from provenance.fingerprint import (
    Algorithm,
    FileEntry,
    Fingerprint,
    Parameters,
    RecordFingerprint,
    encode_leaf,
    encode_manifest,
    fingerprint_files,
    open_manifest,
    parse_document,
    parse_leaf,
    parse_manifest,
    parse_parameters,
)

_CONTENT = b"abc"
_RECORDS = RecordFingerprint(5, Digest.of(b"root"), Digest.of(b"schema"), 4, Digest.of(b"index"))


def _entry(path: str = "a.csv", algorithm: Algorithm = Algorithm.BLAKE3) -> FileEntry:
    raw = blake3.blake3(_CONTENT).digest() if algorithm is Algorithm.BLAKE3 else hashlib.sha256(_CONTENT).digest()
    return FileEntry(path, len(_CONTENT), Digest(raw), algorithm)


def test_a_blake3_leaf_names_its_algorithm() -> None:
    leaf = encode_leaf(_entry())
    # The digest is BLAKE3's own test of "abc".
    digest = "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"
    assert leaf == b'{"digest":{"blake3":"%s"},"path":"a.csv","size":3}' % digest.encode()
    assert parse_leaf(leaf) == _entry()


def test_the_same_bytes_have_another_digest_by_another_algorithm() -> None:
    found = {fingerprint_files([_entry(algorithm=algorithm)]).digest for algorithm in Algorithm}
    assert len(found) == 2


def test_two_algorithms_in_one_dataset_are_refused() -> None:
    with pytest.raises(MalformedError, match="two algorithms"):
        fingerprint_files([_entry("a"), _entry("b", Algorithm.SHA256)])


@pytest.mark.parametrize(
    "digest",
    [b'{"md5":"00"}', b"{}", b'{"blake3":"%s","sha256":"%s"}' % (b"0" * 64, b"0" * 64), b'{"sha256":null}', b"null"],
)
def test_leaves_of_other_digests_are_refused(digest: bytes) -> None:
    with pytest.raises(MalformedError):
        parse_leaf(b'{"digest":%s,"path":"a","size":3}' % digest)


def _with_records() -> Fingerprint:
    return fingerprint_files([_entry()]).with_records(_RECORDS)


def test_a_document_with_records_reads_back_and_has_another_digest() -> None:
    fingerprint = _with_records()
    document = parse_document(parse_json(canonical_json(fingerprint.document.to_json()), what="d", max_bytes=10_000))
    assert document == fingerprint.document
    assert document.digest != fingerprint_files([_entry()]).digest


@pytest.mark.parametrize("name", ["count", "root", "schema", "index_count", "index_root"])
def test_every_part_of_the_records_is_bound(name: str) -> None:
    value: Any = {"count": 6, "index_count": 3}.get(name, Digest.of(b"other"))
    changed = fingerprint_files([_entry()]).with_records(replace(_RECORDS, **{name: value}))
    assert changed.digest != _with_records().digest


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("count", -1),
        ("count", 3),
        ("count", "5"),
        ("root", "00"),
        ("schema", None),
        ("leaf", "urn:provenance-ledger:record-leaf:2"),
        ("more", 1),
        ("index", None),
        ("index", {}),
        ("index", {"count": 0, "root": "0" * 64}),
        ("index", {"count": 6, "root": "0" * 64}),
        ("index", {"count": 4, "root": "0" * 64, "more": 1}),
    ],
)
def test_malformed_records(name: str, value: JsonValue) -> None:
    document = _with_records().document.to_json()
    part = document["records"]
    assert isinstance(part, dict)
    part[name] = value
    with pytest.raises(MalformedError):
        parse_document(document)


def test_a_manifest_is_of_the_files_whatever_the_records() -> None:
    fingerprint = _with_records()
    manifest = encode_manifest(fingerprint)
    assert open_manifest(manifest, fingerprint.document).files == fingerprint.files
    assert parse_manifest(manifest).document.algorithm is Algorithm.BLAKE3
    with pytest.raises(VerificationError):
        open_manifest(manifest, fingerprint_files([_entry("b")]).with_records(_RECORDS).document)


def test_parameters_do_not_change_the_digest() -> None:
    assert fingerprint_files([_entry()], Parameters(("*.tmp",))).digest == fingerprint_files([_entry()]).digest


@pytest.mark.parametrize(
    "parameters",
    [
        Parameters(("*.tmp", "/cache/", "# not a comment here")),
        Parameters(declared_by="huggingface.co", declared_files=2),
        Parameters(("x",), "A B", 1),
    ],
)
def test_parameters_read_back(parameters: Parameters) -> None:
    assert parameters
    text = canonical_json(parameters.to_json())
    assert parse_parameters(parse_json(text, what="p", max_bytes=10_000)) == parameters


def test_no_parameters_are_false() -> None:
    assert not Parameters()
    assert Parameters().to_json() == {}


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        {"ignore": []},
        {"ignore": [1]},
        {"ignore": [""]},
        {"ignore": ["a\nb"]},
        {"ignore": ["a\0b"]},
        {"ignore": ["x" * 257]},
        {"ignore": ["x"] * 257},
        {"ignore": None},
        {"declared": {"by": "x"}},
        {"declared": {"by": "x", "files": 0}},
        {"declared": {"by": "user:secret@host", "files": 1}},
        {"declared": {"by": "host?token=x", "files": 1}},
        {"declared": {"by": "x\n", "files": 1}},
        {"declared": {"by": "x", "files": 1, "more": 1}},
        {"more": 1},
    ],
)
def test_malformed_parameters(value: JsonValue) -> None:
    with pytest.raises(ProvenanceError):
        parse_parameters(value)
