"""Leaves, roots, documents and manifests, against RFC 9162 and RFC 8785 written out naively."""

from __future__ import annotations

import hashlib
import json
import random
import unicodedata
from typing import Any

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from provenance.encoding import Digest, JsonValue, canonical_json
from provenance.errors import LimitError, MalformedError, ProvenanceError, VerificationError
from provenance.fingerprint import (
    FileEntry,
    check_path,
    encode_leaf,
    encode_manifest,
    file_root,
    fingerprint_files,
    open_manifest,
    parse_document,
    parse_leaf,
    parse_manifest,
    sort_entries,
)
from provenance.limits import MAX_PATH_BYTES, MAX_SAFE_INTEGER

PARTS = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=12).filter(
    lambda part: part not in (".", "..")
)
PATHS = st.lists(PARTS, min_size=1, max_size=4).map("/".join)
ENTRIES = st.builds(FileEntry, PATHS, st.integers(0, 2**40), st.binary(min_size=32, max_size=32).map(Digest))


def _naive_root(leaves: list[bytes]) -> bytes:
    """RFC 9162, section 2.1.1, word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    return hashlib.sha256(b"\x01" + _naive_root(leaves[:k]) + _naive_root(leaves[k:])).digest()


def _naive_leaf(entry: FileEntry) -> bytes:
    return rfc8785.dumps({"path": entry.path, "size": entry.size, "digest": {"sha256": entry.digest.raw.hex()}})


@settings(max_examples=300, deadline=None)
@given(st.lists(ENTRIES, min_size=1, max_size=9, unique_by=lambda entry: entry.path))
def test_root_document_and_digest_are_what_a_naive_reading_of_the_standards_gives(entries: list[FileEntry]) -> None:
    ordered = sorted(entries, key=lambda entry: entry.path.encode())
    root = _naive_root([_naive_leaf(entry) for entry in ordered])
    document: dict[str, Any] = {
        "format": "urn:provenance-ledger:fingerprint:1",
        "files": {
            "algorithm": "sha256",
            "count": len(entries),
            "leaf": "urn:provenance-ledger:file-leaf:1",
            "root": root.hex(),
        },
        "totalBytes": sum(entry.size for entry in entries),
    }
    made = fingerprint_files(entries)
    assert made.document.file_root.raw == root
    assert made.digest.raw == hashlib.sha256(rfc8785.dumps(document)).digest()
    assert made.document.to_json() == document
    assert parse_document(json.loads(canonical_json(made.document.to_json()))) == made.document
    assert list(made.files) == ordered
    assert fingerprint_files(random.sample(entries, len(entries))) == made


@settings(max_examples=500, deadline=None)
@given(ENTRIES)
def test_a_leaf_is_canonical_and_read_back(entry: FileEntry) -> None:
    assert encode_leaf(entry) == _naive_leaf(entry)
    assert parse_leaf(encode_leaf(entry)) == entry


def test_every_character_a_path_may_hold_is_written_as_rfc_8785_writes_it() -> None:
    for code in [*range(1, 0x800), 0x2028, 0x2029, 0xD7FF, 0xE000, 0xFEFF, 0xFFFF, 0x10000, 0x10FFFF]:
        if chr(code) in "/.":
            continue
        entry = FileEntry(chr(code), 1, Digest.of(b"x"))
        assert encode_leaf(entry) == _naive_leaf(entry)
        assert parse_leaf(encode_leaf(entry)) == entry


LEAF = encode_leaf(FileEntry("data/a.csv", 3, Digest.of(b"abc")))


def test_no_byte_of_a_leaf_changes_and_leaves_it_the_same() -> None:
    original = parse_leaf(LEAF)
    for position in range(len(LEAF)):
        for bit in range(8):
            mutated = bytearray(LEAF)
            mutated[position] ^= 1 << bit
            try:
                assert parse_leaf(bytes(mutated)) != original
            except MalformedError:
                continue
    for end in range(len(LEAF)):
        with pytest.raises(MalformedError):
            parse_leaf(LEAF[:end])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        LEAF + b" ",
        b" " + LEAF,
        LEAF.replace(b'"size":3', b'"size":3.0'),
        LEAF.replace(b'"size":3', b'"size":-3'),
        LEAF.replace(b'"size":3', b'"size":"3"'),
        LEAF.replace(b'"size":3', b'"size":true'),
        LEAF.replace(b'"size":3', b'"size":3,"size":3'),
        LEAF.replace(b'"size":3', b'"size":9007199254740992'),
        LEAF.replace(b'"size":3', b'"more":1,"size":3'),
        LEAF.replace(b'{"sha256"', b'{"sha512":"","sha256"'),
        LEAF.replace(b"data/a", b"data\\/a"),
        LEAF.replace(b"data/a", b"data//a"),
        LEAF.replace(b"data/a", b"../a"),
        LEAF.replace(b"data/a", b"/a"),
        LEAF.replace(b"data/a", b"\\ud800"),
        LEAF.replace(b"data/a", b"\xff"),
    ],
)
def test_malformed_leaves(data: bytes) -> None:
    with pytest.raises(MalformedError):
        parse_leaf(data)


@pytest.mark.parametrize(
    "path",
    ["", "/", "/a", "a/", "a//b", ".", "..", "./a", "a/.", "a/..", "../a", "a/../b", "a\0b", "\ud800", "a/\udcff"],
)
def test_paths_that_name_no_file_of_a_dataset(path: str) -> None:
    with pytest.raises(MalformedError):
        check_path(path)
    with pytest.raises(MalformedError):
        FileEntry(path, 0, Digest.of(b""))


@pytest.mark.parametrize(
    "path", ["a", "...", ".a", "..a", "a..", "a b", "a\\b", "a\nb", "C:", "con", "\u202e", "é", "e\u0301", "~", "-"]
)
def test_paths_that_are_odd_and_allowed(path: str) -> None:
    check_path(path)


def test_limits_of_paths_and_sizes() -> None:
    check_path("é" * (MAX_PATH_BYTES // 2))
    with pytest.raises(LimitError):
        check_path("é" * (MAX_PATH_BYTES // 2) + "a")
    FileEntry("a", MAX_SAFE_INTEGER, Digest.of(b""))
    for size in (-1, MAX_SAFE_INTEGER + 1):
        with pytest.raises(MalformedError):
            FileEntry("a", size, Digest.of(b""))
    with pytest.raises(MalformedError):
        fingerprint_files([FileEntry("a", MAX_SAFE_INTEGER, Digest.of(b"")), FileEntry("b", 1, Digest.of(b""))])


def test_names_that_normalise_to_one_are_two() -> None:
    names = ["é", unicodedata.normalize("NFD", "é")]
    made = fingerprint_files(FileEntry(name, 0, Digest.of(b"")) for name in names)
    assert made.document.file_count == 2


def test_leaves_are_in_the_order_of_utf8_bytes_and_not_of_utf16() -> None:
    high, private = "\U00010000", "\uffff"
    assert [entry.path for entry in sort_entries(FileEntry(p, 0, Digest.of(b"")) for p in (high, private))] == [
        private,
        high,
    ]


def test_a_dataset_has_files_and_each_path_once() -> None:
    with pytest.raises(MalformedError):
        sort_entries([])
    with pytest.raises(MalformedError):
        sort_entries([FileEntry("a", 0, Digest.of(b"")), FileEntry("a", 1, Digest.of(b"x"))])


def test_any_change_of_name_size_or_content_changes_the_digest() -> None:
    files = [FileEntry("a", 1, Digest.of(b"1")), FileEntry("b", 1, Digest.of(b"2"))]
    variants = [
        files,
        files[:1],
        [*files, FileEntry("c", 0, Digest.of(b""))],
        [FileEntry("a", 1, Digest.of(b"2")), FileEntry("b", 1, Digest.of(b"1"))],
        [FileEntry("a", 1, Digest.of(b"1")), FileEntry("c", 1, Digest.of(b"2"))],
        [FileEntry("a", 2, Digest.of(b"1")), FileEntry("b", 1, Digest.of(b"2"))],
        [FileEntry("a", 2, Digest.of(b"1")), FileEntry("b", 0, Digest.of(b"2"))],
        [FileEntry("a/b", 1, Digest.of(b"1")), FileEntry("b", 1, Digest.of(b"2"))],
    ]
    assert len({fingerprint_files(variant).digest for variant in variants}) == len(variants)
    assert file_root(files) != file_root(list(reversed(files)))


# ---- manifests -----------------------------------------------------------------------------------------------------

FINGERPRINT = fingerprint_files(FileEntry(path, len(path), Digest.of(path.encode())) for path in ("a", "b/c", "d\n"))
MANIFEST = encode_manifest(FINGERPRINT)


def test_a_manifest_is_one_line_a_file_and_read_back() -> None:
    assert MANIFEST.count(b"\n") == 3
    assert parse_manifest(MANIFEST) == FINGERPRINT
    assert open_manifest(MANIFEST, FINGERPRINT.document) == FINGERPRINT


def test_no_byte_of_a_manifest_changes_unnoticed() -> None:
    for position in range(len(MANIFEST)):
        for bit in range(8):
            mutated = bytearray(MANIFEST)
            mutated[position] ^= 1 << bit
            with pytest.raises((MalformedError, VerificationError)):
                open_manifest(bytes(mutated), FINGERPRINT.document)
    for end in range(len(MANIFEST)):
        with pytest.raises(ProvenanceError):
            open_manifest(MANIFEST[:end], FINGERPRINT.document)


def test_lines_out_of_order_twice_or_missing() -> None:
    lines = MANIFEST.splitlines(keepends=True)
    for wrong in ([*reversed(lines)], [*lines, lines[0]], [lines[0], *lines], lines[1:], [*lines, b"\n"], []):
        with pytest.raises((MalformedError, VerificationError)):
            open_manifest(b"".join(wrong), FINGERPRINT.document)
    with pytest.raises(MalformedError) as raised:
        parse_manifest(lines[0] + b"{}\n")
    assert raised.value.where == "line 2"


# ---- documents -----------------------------------------------------------------------------------------------------


def _changed(*path: str, value: JsonValue) -> JsonValue:
    document = json.loads(canonical_json(FINGERPRINT.document.to_json()))
    inner = document
    for step in path[:-1]:
        inner = inner[step]
    if value is None:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    changed: JsonValue = document
    return changed


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        "x",
        {},
        _changed("format", value="urn:provenance-ledger:fingerprint:2"),
        _changed("format", value=None),
        _changed("more", value=1),
        _changed("totalBytes", value=-1),
        _changed("totalBytes", value=1.0),
        _changed("totalBytes", value="1"),
        _changed("totalBytes", value=2**53),
        _changed("files", value=[]),
        _changed("files", "algorithm", value="md5"),
        _changed("files", "algorithm", value="SHA256"),
        _changed("records", value={}),
        _changed("files", "leaf", value="urn:provenance-ledger:file-leaf:2"),
        _changed("files", "count", value=0),
        _changed("files", "count", value=10_000_001),
        _changed("files", "root", value="00"),
        _changed("files", "root", value="A" * 64),
        _changed("files", "more", value=1),
        _changed("files", "count", value=None),
    ],
)
def test_malformed_documents(document: JsonValue) -> None:
    with pytest.raises(MalformedError):
        parse_document(document)
