"""Chunk maps: the digests of a dataset's files piece by piece, so that damage is located and parts can be read alone.

Invariants: canonical JSON, a line each, a header and then every file of at least one chunk, in leaf order; smaller
files are not in it: their own digest says as much. A map names the file root it belongs to, so that one dataset's map
is never taken for another's; what makes it trustworthy is its SHA-256, which a signed statement's parameters name.
Chunks are hashed as the dataset's files are; the last one of a file may be short.

Bytes (two lines, each ended by one newline; the first is broken here):
`{"algorithm":"sha256","chunkBytes":1048576,"fileRoot":"<64 hex>","files":1,
"format":"urn:provenance-ledger:chunk-map:1"}`
`{"chunks":"<base64 of 32 bytes a chunk>","path":"a.bin"}`
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from provenance.encoding import Digest, Fields, JsonValue, b64encode, canonical_json, parse_json
from provenance.errors import MalformedError, VerificationError
from provenance.fingerprint.algorithm import Algorithm, parse_algorithm
from provenance.fingerprint.document import Fingerprint, FingerprintDocument
from provenance.fingerprint.files import FileEntry, check_path
from provenance.limits import MAX_FILES, MAX_PATH_BYTES, check_size
from provenance.merkle import HASH_BYTES

FORMAT: Final = "urn:provenance-ledger:chunk-map:1"
CHUNK_BYTES: Final = 1 << 20
MIN_CHUNK_BYTES: Final = 1 << 12
MAX_CHUNK_BYTES: Final = 1 << 30
MAX_CHUNK_MAP_BYTES: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class ChunkMap:
    """`files`: path -> the digests of its chunks of `chunk_bytes`, 32 bytes each, one after another, in leaf order."""

    file_root: Digest
    files: Mapping[str, bytes]
    chunk_bytes: int = CHUNK_BYTES
    algorithm: Algorithm = Algorithm.SHA256

    def __post_init__(self) -> None:
        check_chunk_bytes(self.chunk_bytes)
        check_size("chunk map", len(self.files), MAX_FILES, "files")

    @property
    def digest(self) -> Digest:
        """The SHA-256 of the map's bytes: what a statement's parameters name."""
        return Digest.of(encode_chunk_map(self))


class DamageKind(StrEnum):
    """What is known of a range of a file that is not what it was."""

    CHANGED = "changed"
    ADDED = "added at the end"
    MISSING = "missing at the end"
    UNCHECKED = "cut within a chunk, so not checked"


@dataclass(frozen=True, slots=True)
class Damage:
    """The bytes [begin, end) of a file, counted from 0."""

    kind: DamageKind
    begin: int
    end: int

    def describe(self) -> str:
        """`changed: bytes 0 to 1048575`."""
        return f"{self.kind}: bytes {self.begin} to {self.end - 1}"

    def to_json(self) -> dict[str, JsonValue]:
        """The range as a JSON value."""
        return {"begin": self.begin, "end": self.end, "kind": self.kind.name.lower()}


def check_chunk_bytes(chunk_bytes: int) -> None:
    """Raise `MalformedError` unless chunks may have this size: a power of two from 4 KiB to 1 GiB."""
    if not MIN_CHUNK_BYTES <= chunk_bytes <= MAX_CHUNK_BYTES or chunk_bytes & (chunk_bytes - 1):
        expected = f"a power of two from {MIN_CHUNK_BYTES} to {MAX_CHUNK_BYTES} bytes"
        raise MalformedError("chunks have another size", expected=expected, got=chunk_bytes)


def has_chunks(size: int, chunk_bytes: int) -> bool:
    """Whether a file of `size` bytes is in a map of such chunks."""
    return size >= chunk_bytes


def chunk_count(size: int, chunk_bytes: int) -> int:
    """How many chunks a file of `size` bytes has, the last of which may be short."""
    return -(-size // chunk_bytes)


def comparable_chunks(stated_size: int, found_size: int, chunk_bytes: int) -> Iterator[tuple[int, int]]:
    """The stated chunks [begin, end) that a file of `found_size` bytes holds whole: what `diff_chunks` compares."""
    for begin in range(0, min(stated_size, found_size), chunk_bytes):
        end = min(begin + chunk_bytes, stated_size)
        if end <= found_size:
            yield begin, end


def diff_chunks(
    stated: bytes, stated_size: int, found: bytes, found_size: int, chunk_bytes: int = CHUNK_BYTES
) -> tuple[Damage, ...]:
    """Where a file is not what was stated, ascending: by whole chunks; what was added or is missing, to the byte.

    `found` holds the digests of `comparable_chunks` as they are now, 32 bytes each. `MalformedError` if either is not
    as many digests as the sizes ask for.
    """
    _check_digests(stated, chunk_count(stated_size, chunk_bytes), "stated")
    bounds = list(comparable_chunks(stated_size, found_size, chunk_bytes))
    _check_digests(found, len(bounds), "found")
    damage: list[Damage] = []
    for number, (begin, end) in enumerate(bounds):
        place = slice(HASH_BYTES * number, HASH_BYTES * (number + 1))
        if stated[place] == found[place]:
            continue
        if damage and damage[-1].end == begin:
            begin = damage.pop().begin
        damage.append(Damage(DamageKind.CHANGED, begin, end))
    if found_size > stated_size:
        damage.append(Damage(DamageKind.ADDED, stated_size, found_size))
    elif found_size < stated_size:
        checked = bounds[-1][1] if bounds else 0
        if checked < found_size:
            damage.append(Damage(DamageKind.UNCHECKED, checked, found_size))
        damage.append(Damage(DamageKind.MISSING, found_size, stated_size))
    return tuple(damage)


def encode_chunk_map(chunks: ChunkMap) -> bytes:
    """The map's bytes."""
    header = canonical_json(
        {
            "algorithm": str(chunks.algorithm),
            "chunkBytes": chunks.chunk_bytes,
            "fileRoot": chunks.file_root.hex,
            "files": len(chunks.files),
            "format": FORMAT,
        }
    )
    data = b"".join(line + b"\n" for line in (header, *(_line(*item) for item in chunks.files.items())))
    check_size("chunk map", len(data), MAX_CHUNK_MAP_BYTES)
    return data


def parse_chunk_map(data: bytes) -> ChunkMap:
    """The map in these bytes; `MalformedError` with the line that is wrong. Whose it is, `open_chunk_map` checks."""
    check_size("chunk map", len(data), MAX_CHUNK_MAP_BYTES)
    if not data.endswith(b"\n"):
        raise MalformedError("chunk map does not end in a newline", got=f"{len(data)} bytes")
    header, *lines = data[:-1].split(b"\n")
    fields = Fields(parse_json(header, what="chunk map", max_bytes=MAX_PATH_BYTES), "chunk map")
    fields.constant("format", FORMAT)
    algorithm = parse_algorithm(fields.string("algorithm"))
    chunk_bytes, count = fields.integer("chunkBytes"), fields.integer("files", maximum=MAX_FILES)
    root = fields.digest("fileRoot")
    fields.end()
    if count != len(lines):
        raise MalformedError("chunk map is cut short or too long", expected=f"{count} files", got=f"{len(lines)} lines")
    files: dict[str, bytes] = {}
    before = b""
    for number, line in enumerate(lines, 2):
        try:
            path, digests = _parse_line(line)
        except MalformedError as error:
            raise MalformedError(error.what, expected=error.expected, got=error.got, where=f"line {number}") from error
        if path.encode("utf-8") <= before:
            raise MalformedError("chunk map is not in order", expected="ascending paths", where=f"line {number}")
        before = path.encode("utf-8")
        files[path] = digests
    chunks = ChunkMap(root, files, chunk_bytes, algorithm)
    if encode_chunk_map(chunks) != data:
        raise MalformedError("chunk map is not canonical JSON", expected="RFC 8785, a line each")
    return chunks


def open_chunk_map(data: bytes, document: FingerprintDocument) -> ChunkMap:
    """The map in these bytes that belongs to the dataset of `document`; `VerificationError` if it is another's."""
    chunks = parse_chunk_map(data)
    if chunks.file_root != document.file_root or chunks.algorithm is not document.algorithm:
        raise VerificationError(
            "chunk map is another dataset's",
            expected=f"{document.algorithm}, file root {document.file_root}",
            got=f"{chunks.algorithm}, file root {chunks.file_root}",
        )
    return chunks


def check_chunk_map(chunks: ChunkMap, fingerprint: Fingerprint) -> None:
    """Raise `VerificationError` unless the map has every file of the dataset that should be in it, and no other."""
    left = dict(chunks.files)
    for entry in fingerprint.files:
        file_chunks(chunks, entry)
        left.pop(entry.path, None)
    if left:
        raise VerificationError("chunk map holds a file that the dataset has not", got=next(iter(left)))


def file_chunks(chunks: ChunkMap, entry: FileEntry) -> bytes | None:
    """The digests of a file's chunks; None for one that is too small to be in the map. `VerificationError` if the map
    has another number of them than a file of this size has."""
    digests = chunks.files.get(entry.path, b"")
    is_large = has_chunks(entry.size, chunks.chunk_bytes)
    expected = chunk_count(entry.size, chunks.chunk_bytes) if is_large else 0
    if len(digests) != HASH_BYTES * expected:
        got = f"{len(digests) // HASH_BYTES} chunks"
        raise VerificationError(
            "chunk map is not of this file", expected=f"{expected} chunks", got=got, where=entry.path
        )
    return digests if is_large else None


def _line(path: str, digests: bytes) -> bytes:
    return canonical_json({"chunks": b64encode(digests), "path": path})


def _parse_line(line: bytes) -> tuple[str, bytes]:
    fields = Fields(parse_json(line, what="chunk map", max_bytes=MAX_CHUNK_MAP_BYTES), "chunk map")
    path = fields.string("path", max_chars=MAX_PATH_BYTES)
    check_path(path)
    digests = fields.base64("chunks", max_bytes=MAX_CHUNK_MAP_BYTES)
    fields.end()
    if not digests or len(digests) % HASH_BYTES:
        raise MalformedError("not digests of chunks", expected=f"{HASH_BYTES} bytes each", got=f"{len(digests)} bytes")
    return path, digests


def _check_digests(digests: bytes, count: int, what: str) -> None:
    if len(digests) != HASH_BYTES * count:
        raise MalformedError(f"{what} chunks are not as many", expected=count, got=len(digests) // HASH_BYTES)
