"""Chunk maps of real files: made, kept, read by, and compared with what is there."""

from __future__ import annotations

import hashlib
import io
import os
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import blake3
import pytest

from provenance import open_verified
from provenance.encoding import Digest
from provenance.errors import MalformedError, SourceError, VerificationError
from provenance.fingerprint import Algorithm, FileEntry, Fingerprint
from provenance.fingerprint.chunks import CHUNK_BYTES, ChunkMap, Damage, DamageKind, parse_chunk_map
from provenance.ledger import Ledger
from provenance.ledger.chunked_file import ChunkedFile
from provenance.ledger.chunking import locate_damage, make_chunk_map
from provenance.ledger.fingerprinting import Wanted, find_fingerprint
from provenance.sources import Progress, Reading, open_source
from provenance.verify import Check, Report
from tests.simulators.web_server import Page, WebServer

KIB = 1024
SIZES = {
    "empty": 0,
    "less": 4 * KIB - 1,
    "one": 4 * KIB,
    "more": 4 * KIB + 1,
    "many": 300 * KIB + 77,
    "sub/two": 8 * KIB,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = random.Random(1)
    made = tmp_path / "set"
    for name, size in SIZES.items():
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_bytes(rng.randbytes(size))
    return made


def _made(folder: Path, algorithm: Algorithm = Algorithm.SHA256) -> tuple[Fingerprint, ChunkMap]:
    source = open_source(folder, Reading(algorithm=algorithm))
    fingerprint = source.fingerprint()
    return fingerprint, make_chunk_map(source, fingerprint, chunk_bytes=4 * KIB)


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_a_map_holds_the_digests_of_all_chunks_of_all_large_files(folder: Path, algorithm: Algorithm) -> None:
    fingerprint, chunks = _made(folder, algorithm)
    hash_one = hashlib.sha256 if algorithm is Algorithm.SHA256 else blake3.blake3
    assert list(chunks.files) == ["many", "more", "one", "sub/two"]
    for name, digests in chunks.files.items():
        data = (folder / name).read_bytes()
        parts = [data[start : start + 4 * KIB] for start in range(0, len(data), 4 * KIB)]
        assert digests == b"".join(hash_one(part).digest() for part in parts)
    assert (chunks.file_root, chunks.algorithm) == (fingerprint.document.file_root, algorithm)


def test_progress_of_chunks_is_told_in_bytes(folder: Path) -> None:
    seen: list[Progress] = []
    source = open_source(folder)
    make_chunk_map(source, source.fingerprint(), seen.append, chunk_bytes=4 * KIB)
    total = sum(size for size in SIZES.values() if size >= 4 * KIB)
    assert [one.total_bytes for one in seen] == [total] * len(seen)
    assert seen[-1].done_bytes == total
    assert len(seen) == 6  # 128 KiB at a time


def test_a_file_that_is_shorter_by_then_is_named(folder: Path) -> None:
    source = open_source(folder)
    fingerprint = source.fingerprint()
    os.truncate(folder / "many", 200 * KIB)
    with pytest.raises(SourceError, match="shorter") as raised:
        make_chunk_map(source, fingerprint, chunk_bytes=4 * KIB)
    assert raised.value.where == "many"


def test_a_file_that_changes_between_is_noticed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import provenance.ledger.chunking as module

    genuine = module.make_chunk_map

    def changing(*arguments: object) -> ChunkMap:
        (folder / "many").write_bytes(bytes(SIZES["many"]))
        return genuine(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "make_chunk_map", changing)
    with pytest.raises(SourceError, match="changed while it was read") as raised:
        find_fingerprint(folder, Wanted(chunks=True))
    assert raised.value.where == str(folder / "many")


def _flip(path: Path, *places: int) -> None:
    data = bytearray(path.read_bytes())
    for place in places:
        data[place] ^= 1
    path.write_bytes(data)


DAMAGE: list[tuple[Callable[[Path], object], list[Damage]]] = [
    (lambda path: _flip(path, 5 * KIB), [Damage(DamageKind.CHANGED, 4 * KIB, 8 * KIB)]),
    (lambda path: _flip(path, 5 * KIB, 9 * KIB), [Damage(DamageKind.CHANGED, 4 * KIB, 12 * KIB)]),
    (lambda path: _flip(path, SIZES["many"] - 1), [Damage(DamageKind.CHANGED, 300 * KIB, SIZES["many"])]),
    (
        lambda path: path.write_bytes(path.read_bytes() + b"xy"),
        [Damage(DamageKind.ADDED, SIZES["many"], SIZES["many"] + 2)],
    ),
    (lambda path: os.truncate(path, 8 * KIB), [Damage(DamageKind.MISSING, 8 * KIB, SIZES["many"])]),
    (
        lambda path: os.truncate(path, 8 * KIB + 5),
        [
            Damage(DamageKind.UNCHECKED, 8 * KIB, 8 * KIB + 5),
            Damage(DamageKind.MISSING, 8 * KIB + 5, SIZES["many"]),
        ],
    ),
    (lambda path: path.write_bytes(b""), [Damage(DamageKind.MISSING, 0, SIZES["many"])]),
]


@pytest.mark.parametrize("number", range(len(DAMAGE)))
def test_damage_is_located(folder: Path, number: int) -> None:
    fingerprint, chunks = _made(folder)
    act, expected = DAMAGE[number]
    act(folder / "many")
    (folder / "less").write_bytes(b"")  # too small to be in the map
    (folder / "one").rename(folder / "renamed")
    assert locate_damage(folder, chunks, fingerprint, open_source(folder).fingerprint()) == {"many": tuple(expected)}


def test_a_file_that_is_gone_again_is_left_out(folder: Path) -> None:
    fingerprint, chunks = _made(folder)
    for name in ("many", "more"):
        _flip(folder / name, 0)
    found = open_source(folder).fingerprint()
    (folder / "many").unlink()
    assert list(locate_damage(folder, chunks, fingerprint, found)) == ["more"]


def test_a_map_of_other_files_locates_nothing(folder: Path) -> None:
    fingerprint, chunks = _made(folder)
    lacking = replace(chunks, files={name: digests for name, digests in chunks.files.items() if name != "one"})
    with pytest.raises(VerificationError, match="chunk map is not of this file") as raised:
        locate_damage(folder, lacking, fingerprint, fingerprint)
    assert raised.value.where == "one"


def test_chunks_of_another_size_are_refused(folder: Path) -> None:
    source = open_source(folder)
    with pytest.raises(MalformedError, match="another size"):
        make_chunk_map(source, source.fingerprint(), chunk_bytes=5_000)


def test_a_map_of_a_remote_file(tmp_path: Path) -> None:
    data = random.Random(2).randbytes(70 * KIB)
    with WebServer() as server:
        server.pages["/file.bin"] = Page(data)
        source = open_source(f"{server.url}/file.bin")
        chunks = make_chunk_map(source, source.fingerprint(), chunk_bytes=4 * KIB)
    local = tmp_path / "set"
    local.mkdir()
    (local / "file.bin").write_bytes(data)
    assert chunks.files == _made(local)[1].files


# ---- a file that is given out chunk by chunk ------------------------------------------------------------------------


class _Counting(io.BytesIO):
    count = 0

    def readinto(self, buffer: object) -> int:
        self.count += 1
        return super().readinto(buffer)  # type: ignore[arg-type]


def _chunked(
    data: bytes, now: bytes | None = None, digest: Digest | None = None
) -> tuple[io.BufferedReader, _Counting]:
    digests = b"".join(hashlib.sha256(data[start : start + 64]).digest() for start in range(0, len(data), 64))
    source = _Counting(data if now is None else now)
    entry = FileEntry("f", len(data), digest or Digest.of(data))
    return io.BufferedReader(ChunkedFile(source, entry, digests, 64, "f"), 16), source


@pytest.mark.parametrize("size", [1, 63, 64, 65, 128, 1_000])
def test_reading_is_as_of_any_file(size: int) -> None:
    data = random.Random(size).randbytes(size)
    file, source = _chunked(data)
    assert file.read() == data
    assert source.count <= size // 64 + 2
    oracle, rng = io.BytesIO(data), random.Random(3)
    for _ in range(200):
        match rng.randrange(4):
            case 0:
                offset = rng.randrange(size + 20)
                assert file.seek(offset) == oracle.seek(offset)
            case 1:
                offset = -rng.randrange(size)
                assert file.seek(offset, io.SEEK_END) == oracle.seek(offset, io.SEEK_END)
            case 2:
                assert file.tell() == oracle.tell()
            case _:
                count = rng.randrange(200)
                assert file.read(count) == oracle.read(count)
    file.close()
    assert source.closed


@pytest.mark.parametrize("place", range(0, 200, 7))
def test_no_byte_of_a_chunk_that_differs_is_given_out(place: int) -> None:
    data = random.Random(4).randbytes(200)
    now = bytearray(data)
    now[place] ^= 1
    file, _ = _chunked(data, bytes(now))
    given = bytearray()
    with pytest.raises(VerificationError, match="not what was registered") as raised:
        while part := file.raw.read(10):
            given += part
    assert given == data[: place // 64 * 64]
    first = place // 64 * 64
    assert raised.value.where == f"f, bytes {first} to {min(first + 64, 200) - 1}"
    with pytest.raises(VerificationError):  # nor at a second try
        file.raw.read(10)
    file.seek((first + 64) % 192)
    assert file.read(8) == data[(first + 64) % 192 :][:8]


@pytest.mark.parametrize("cut", [0, 63, 64, 199])
def test_a_file_that_is_cut_short(cut: int) -> None:
    data = random.Random(5).randbytes(200)
    file, _ = _chunked(data, data[:cut])
    with pytest.raises(SourceError, match="shorter than it was"):
        file.read()


def test_a_file_that_goes_on_is_found_out_at_its_end() -> None:
    data = random.Random(6).randbytes(200)
    file, _ = _chunked(data, data + b"x")
    assert file.read(100) == data[:100]
    with pytest.raises(VerificationError, match="not what was registered"):
        file.read()


def test_a_signer_whose_map_is_of_other_bytes_is_found_out_by_who_reads_all() -> None:
    data = random.Random(7).randbytes(200)
    file, _ = _chunked(data, digest=Digest.of(b"other"))
    with pytest.raises(VerificationError, match="different bytes"):
        file.read()


# ---- in a ledger ----------------------------------------------------------------------------------------------------


@pytest.fixture
def large(tmp_path: Path) -> Path:
    made = tmp_path / "large"
    made.mkdir()
    (made / "big").write_bytes(random.Random(8).randbytes(3 * CHUNK_BYTES + 5))
    (made / "small").write_bytes(b"small")
    return made


def _failure(report: Report) -> Check:
    return next(check for check in report.failures if check.id == "content.file")


@pytest.mark.parametrize("partial", [False, True])
def test_a_report_says_in_which_bytes_a_file_differs(ledger: Ledger, large: Path, partial: bool) -> None:
    ledger.register(large, "a/b", "1", anchor=False, wanted=Wanted(chunks=True))
    assert ledger.verify(large).sound
    _flip(large / "big", CHUNK_BYTES + 1)
    if partial:
        (large / "small").unlink()
    failure = _failure(ledger.verify(large, partial=partial, expected="a/b@1"))
    assert failure.where == "big"
    assert failure.damage == (Damage(DamageKind.CHANGED, CHUNK_BYTES, 2 * CHUNK_BYTES),)
    assert failure.to_json()["damage"] == [{"begin": CHUNK_BYTES, "end": 2 * CHUNK_BYTES, "kind": "changed"}]


def test_the_map_is_a_blob_that_the_statement_names(ledger: Ledger, large: Path) -> None:
    ledger.register(large, "a/b", "1", anchor=False, wanted=Wanted(chunks=True))
    digest = ledger.proofs("a/b@1").statement.parameters.chunks
    assert digest is not None
    chunks = parse_chunk_map(ledger.blobs.get(digest, max_bytes=1 << 20))
    assert list(chunks.files) == ["big"]
    ledger.register(large, "a/b", "2", anchor=False)
    assert ledger.proofs("a/b@2").statement.parameters.chunks is None
    # The same bytes are the same dataset, with a map or without.
    assert ledger.proofs("a/b@2").statement.digest == ledger.proofs("a/b@1").statement.digest


def test_a_map_that_is_damaged_or_gone_takes_the_place_and_not_the_verdict(ledger: Ledger, large: Path) -> None:
    ledger.register(large, "a/b", "1", anchor=False, wanted=Wanted(chunks=True))
    _flip(large / "big", 0)
    digest = ledger.proofs("a/b@1").statement.parameters.chunks
    assert digest is not None
    path = next(path for path in ledger.layout.blobs.rglob("*") if path.name.endswith(digest.hex[4:]))
    path.chmod(0o600)
    path.write_bytes(path.read_bytes() + b"x")
    assert _failure(ledger.verify(large)).damage == ()
    ledger.blobs.remove(digest)
    failure = _failure(ledger.verify(large))
    assert (failure.where, failure.damage) == ("big", ())


def test_a_bundle_carries_the_map(ledger: Ledger, large: Path) -> None:
    from provenance.ledger.offline import verify_offline

    ledger.register(large, "a/b", "1", anchor=False, wanted=Wanted(chunks=True))
    _flip(large / "big", 3 * CHUNK_BYTES)
    bundle = ledger.bundle("a/b@1")
    report = verify_offline(bundle, ledger.trust_roots(), {}, target=large)
    assert _failure(report).damage == (Damage(DamageKind.CHANGED, 3 * CHUNK_BYTES, 3 * CHUNK_BYTES + 5),)
    bare = ledger.bundle("a/b@1", with_manifests=False)
    assert not any(check.damage for check in verify_offline(bare, ledger.trust_roots(), {}, target=large).checks)


def test_a_large_file_is_given_out_chunk_by_chunk(ledger: Ledger, large: Path) -> None:
    ledger.register(large, "a/b", "1", anchor=False, wanted=Wanted(chunks=True))
    data = (large / "big").read_bytes()
    with open_verified("a/b@1", "big", ledger=ledger, max_memory_bytes=CHUNK_BYTES) as file:
        assert file.seek(CHUNK_BYTES - 3) == CHUNK_BYTES - 3
        assert file.read(6) == data[CHUNK_BYTES - 3 : CHUNK_BYTES + 3]
        file.seek(0)
        assert file.read() == data
    _flip(large / "big", 2 * CHUNK_BYTES)
    with open_verified("a/b@1", "big", ledger=ledger, max_memory_bytes=CHUNK_BYTES) as file:
        assert file.read(2 * CHUNK_BYTES) == data[: 2 * CHUNK_BYTES]
        with pytest.raises(VerificationError, match="not what was registered"):
            file.read(1)
    with open_verified("a/b@1", "small", ledger=ledger, max_memory_bytes=1) as file:
        assert file.read() == b"small"
    with pytest.raises(VerificationError):
        open_verified("a/b@1", "big", ledger=ledger)


@pytest.mark.parametrize("now", ["longer", "another digest"])
def test_once_the_whole_file_is_another_nothing_more_is_given_out(now: str) -> None:
    data = random.Random(9).randbytes(200)
    file, _ = _chunked(data, data + b"x") if now == "longer" else _chunked(data, digest=Digest.of(b"other"))
    given = b""
    for _ in range(6):
        try:
            given += file.raw.read(64) or b""
        except VerificationError:
            continue
    assert given == data[:192]
    file.seek(0)
    with pytest.raises(VerificationError):
        file.raw.read(1)


def test_odd_uses_of_a_file_that_is_given_out_chunk_by_chunk() -> None:
    file, _ = _chunked(b"x" * 100)
    with pytest.raises(ValueError, match="whence"):
        file.seek(0, 3)
    raw = file.raw
    assert raw.read(1) == b"x"
    file.close()
    with pytest.raises(ValueError, match="closed"):
        raw.read(1)


@pytest.mark.parametrize("wanted", [Wanted(chunks=True), Wanted(records=True)])
def test_whoever_reads_the_bytes_signs_no_declared_digest(tmp_path: Path, wanted: Wanted) -> None:
    (tmp_path / "rows.csv").write_text("a\n1\n")
    reading = Reading(declared_by="example.org", declared={"rows.csv": Digest.of(b"other")})
    with pytest.raises(SourceError, match="digests are declared of files that chunks or records are read from"):
        find_fingerprint(tmp_path, replace(wanted, reading=reading))


def test_a_path_that_has_become_a_folder_is_named_and_leaks_nothing(folder: Path) -> None:
    fingerprint, _ = _made(folder)
    (folder / "one").unlink()
    (folder / "one").mkdir()
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    with pytest.raises(SourceError, match="not a file"):
        open_verified(fingerprint, "one", root=folder)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
