"""Chunk maps: their one form, whose they are, and where a file differs."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provenance.encoding import Digest, JsonValue
from provenance.errors import LimitError, MalformedError, ProvenanceError, VerificationError
from provenance.fingerprint import Algorithm, FileEntry, Fingerprint, Parameters, fingerprint_files, parse_parameters
from provenance.fingerprint.chunks import (
    MIN_CHUNK_BYTES,
    ChunkMap,
    Damage,
    DamageKind,
    check_chunk_map,
    chunk_count,
    comparable_chunks,
    diff_chunks,
    encode_chunk_map,
    file_chunks,
    open_chunk_map,
    parse_chunk_map,
)

CHUNK = MIN_CHUNK_BYTES


def digests(data: bytes, bounds: list[tuple[int, int]]) -> bytes:
    return b"".join(sha256(data[begin:end]).digest() for begin, end in bounds)


def whole(data: bytes) -> bytes:
    return digests(data, list(comparable_chunks(len(data), len(data), CHUNK)))


def damage(stated: bytes, found: bytes) -> tuple[Damage, ...]:
    bounds = list(comparable_chunks(len(stated), len(found), CHUNK))
    return diff_chunks(whole(stated), len(stated), digests(found, bounds), len(found), CHUNK)


def dataset() -> tuple[Fingerprint, ChunkMap]:
    contents = {"b.bin": b"b" * (2 * CHUNK + 1), "small": b"s", "é.bin": b"e" * CHUNK}
    entries = [FileEntry(path, len(data), Digest.of(data)) for path, data in contents.items()]
    fingerprint = fingerprint_files(entries)
    files = {entry.path: whole(contents[entry.path]) for entry in fingerprint.files if entry.size >= CHUNK}
    return fingerprint, ChunkMap(fingerprint.document.file_root, files, CHUNK)


def test_bytes() -> None:
    root = Digest(bytes(32))
    line = "o" + "A" * 42  # the base64 of 32 bytes, the first of them 0xa0
    data = (
        '{"algorithm":"sha256","chunkBytes":4096,"fileRoot":"' + "0" * 64 + '","files":1,'
        '"format":"urn:provenance-ledger:chunk-map:1"}\n'
        '{"chunks":"' + line + '=","path":"a"}\n'
    ).encode()
    assert encode_chunk_map(ChunkMap(root, {"a": b"\xa0" + bytes(31)}, 4096)) == data
    assert parse_chunk_map(data).files == {"a": b"\xa0" + bytes(31)}


def test_round_trip_and_owner() -> None:
    fingerprint, chunks = dataset()
    data = encode_chunk_map(chunks)
    assert open_chunk_map(data, fingerprint.document) == chunks
    assert chunks.digest == Digest.of(data)
    check_chunk_map(chunks, fingerprint)
    other = fingerprint_files([FileEntry("b.bin", 1, Digest.of(b"x"))])
    with pytest.raises(VerificationError, match="another dataset's"):
        open_chunk_map(data, other.document)
    blake3 = fingerprint_files([FileEntry("b.bin", 1, Digest.of(b"x"), Algorithm.BLAKE3)])
    relabelled = ChunkMap(blake3.document.file_root, {}, CHUNK)
    with pytest.raises(VerificationError, match="another dataset's"):
        open_chunk_map(encode_chunk_map(relabelled), blake3.document)


def test_map_must_cover_every_large_file() -> None:
    fingerprint, chunks = dataset()
    missing = {path: value for path, value in chunks.files.items() if path != "é.bin"}
    for files in (missing, {**chunks.files, "small": bytes(32)}, {**chunks.files, "zzz": bytes(32)}):
        with pytest.raises(VerificationError):
            check_chunk_map(ChunkMap(chunks.file_root, files, CHUNK), fingerprint)
    assert file_chunks(chunks, next(entry for entry in fingerprint.files if entry.path == "small")) is None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"files":2', b'"files":3'),
        (b'"files":2', b'"files": 2'),
        (b'"chunkBytes":4096', b'"chunkBytes":4097'),
        (b'"chunkBytes":4096', b'"chunkBytes":2048'),
        (b'"sha256"', b'"md5"'),
        (b"chunk-map:1", b"chunk-map:2"),
        (b'"path":"b.bin"', b'"path":"../b"'),
        (b'"path":"b.bin"', '"path":"ü.bin"'.encode()),  # behind the file that follows it
        (b'"path":"b.bin"', b'"path":"b.bin","x":1'),
        (b'{"chunks":"', b'{"chunks":"AAAA'),
    ],
)
def test_other_forms_are_refused(old: bytes, new: bytes) -> None:
    data = encode_chunk_map(dataset()[1])
    assert old in data
    with pytest.raises(MalformedError):
        parse_chunk_map(data.replace(old, new, 1))


def test_every_truncation_is_refused() -> None:
    data = encode_chunk_map(dataset()[1])
    for size in range(len(data)):
        with pytest.raises(MalformedError):
            parse_chunk_map(data[:size])


@given(st.data())
def test_any_byte_changed_is_refused_or_another_map(pick: st.DataObject) -> None:
    data = encode_chunk_map(dataset()[1])
    place = pick.draw(st.integers(0, len(data) - 1))
    changed = data[:place] + bytes([data[place] ^ pick.draw(st.integers(1, 255))]) + data[place + 1 :]
    try:
        found = parse_chunk_map(changed)
    except ProvenanceError:
        return
    assert encode_chunk_map(found) == changed


def test_limits() -> None:
    with pytest.raises(MalformedError, match="power of two"):
        ChunkMap(Digest(bytes(32)), {}, 3 * CHUNK)
    with pytest.raises(LimitError):
        parse_chunk_map(b'{"' + b"x" * 5_000 + b'":1}\n')


def test_damage_is_located() -> None:
    stated = bytes(range(256)) * 16 * 4 + b"tail"
    assert damage(stated, stated) == ()
    flipped = bytearray(stated)
    flipped[CHUNK + 5] ^= 1
    flipped[2 * CHUNK] ^= 1
    flipped[-1] ^= 1
    assert damage(stated, bytes(flipped)) == (
        Damage(DamageKind.CHANGED, CHUNK, 3 * CHUNK),
        Damage(DamageKind.CHANGED, 4 * CHUNK, 4 * CHUNK + 4),
    )
    assert damage(stated, stated + b"more") == (Damage(DamageKind.ADDED, len(stated), len(stated) + 4),)
    assert damage(stated, stated[: 2 * CHUNK + 9]) == (
        Damage(DamageKind.UNCHECKED, 2 * CHUNK, 2 * CHUNK + 9),
        Damage(DamageKind.MISSING, 2 * CHUNK + 9, len(stated)),
    )
    assert damage(stated, b"") == (Damage(DamageKind.MISSING, 0, len(stated)),)
    assert (
        damage(stated, stated + b"more")[0].describe() == f"added at the end: bytes {len(stated)} to {len(stated) + 3}"
    )


@given(st.integers(1, 5 * CHUNK), st.integers(0, 6 * CHUNK), st.lists(st.integers(0, 6 * CHUNK)))
def test_no_difference_goes_unnoticed(stated_size: int, found_size: int, flips: list[int]) -> None:
    stated = bytes(stated_size)
    found = bytearray(found_size)
    for flip in flips:
        if flip < found_size:
            found[flip] = 1
    ranges = damage(stated, bytes(found))
    padded = bytes(found).ljust(stated_size, b"\0")
    different = {i for i in range(min(len(padded), stated_size)) if i < found_size and padded[i]}
    covered = {i for one in ranges for i in different if one.begin <= i < one.end}
    assert covered == different
    assert bool(ranges) == (stated != bytes(found))
    for one in ranges:
        if one.kind is DamageKind.CHANGED:
            assert any(one.begin <= i < one.end for i in different)


def test_wrong_numbers_of_digests_are_refused() -> None:
    with pytest.raises(MalformedError, match="stated"):
        diff_chunks(bytes(32), 2 * CHUNK, b"", 0, CHUNK)
    with pytest.raises(MalformedError, match="found"):
        diff_chunks(bytes(64), 2 * CHUNK, bytes(32), 2 * CHUNK, CHUNK)
    assert chunk_count(0, CHUNK) == 0


def test_parameters_name_the_map() -> None:
    parameters = Parameters(chunks=Digest.of(b"map"))
    assert parameters
    assert parameters.to_json() == {"chunks": {"sha256": Digest.of(b"map").hex}}
    assert parse_parameters(parameters.to_json()) == parameters
    bads: list[JsonValue] = [{"sha256": "0"}, {"sha256": "0" * 64, "md5": "0"}, "0" * 64, {}, None]
    for bad in bads:
        with pytest.raises(MalformedError):
            parse_parameters({"chunks": bad})
