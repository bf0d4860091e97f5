"""Verified reading: bytes of a dataset's files, given out only once they are what was registered.

Guarantees: a file is read once, into memory or, above `max_memory_bytes`, into a temporary file that has no name, and
is hashed on the way; the very bytes that were hashed are the ones given out, and none before the digest was right; a
file that is not what was registered is a `VerificationError` that names it. Of a dataset that was registered with a
chunk map, a file above `max_memory_bytes` is given out chunk by chunk instead, each once it verified (`chunked_file`).

Source of the sharding rule: worker i of n takes files i, i + n, i + 2n (as PyTorch's iterable datasets are split).
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any, BinaryIO, Final, TypeAlias, cast

from provenance.encoding import Digest, JsonValue
from provenance.errors import MalformedError, NotFoundError, SourceError, VerificationError
from provenance.fingerprint import FileEntry, Fingerprint, encode_leaf, new_hasher
from provenance.fingerprint.chunks import ChunkMap, file_chunks
from provenance.ledger.chunked_file import ChunkedFile
from provenance.ledger.chunking import kept_chunk_map, open_entry
from provenance.merkle import leaf_hash, root_of
from provenance.sources import open_source

if TYPE_CHECKING:
    from provenance.ledger.ledger import Ledger
    from provenance.statement.usage import Usage
    from provenance.stores import EventRow

DEFAULT_MEMORY_BYTES: Final = 64 * 2**20
_CHUNK_BYTES: Final = 1 << 20

Reference: TypeAlias = "str | Fingerprint"


def open_verified(
    reference: Reference,
    path: str,
    *,
    root: str | os.PathLike[str] | None = None,
    ledger: Ledger | None = None,
    max_memory_bytes: int = DEFAULT_MEMORY_BYTES,
    purpose: str | None = None,
    key: str | None = None,
    passphrase: bytes | None = None,
    accept_failed: bool = False,
) -> BinaryIO:
    """A file of a dataset, opened for reading: seekable, and nothing in it but bytes that verified.

    A dataset whose own record or lineage fails (it was revoked, say, or something that it was made from) is a
    `VerificationError`, unless `accept_failed`.

    `reference` is a REF of `ledger` (else of the nearest one upwards), or a fingerprint. `root` is where the dataset
    lies, a path or URI; where it was registered from, if that is left out. `NotFoundError` if the dataset has no such
    file, `SourceError` if it cannot be read, `VerificationError` if it is not what was registered: here, or, of a file
    that is given out chunk by chunk, when the chunk is read that is not.

    With `purpose`, that the file was opened and what for is signed by `key` and logged before it is given out.
    """
    if purpose is not None and isinstance(reference, Fingerprint):
        raise MalformedError("a fingerprint names no registered dataset: there is no use to log", expected="a REF")
    with ExitStack() as stack:
        if ledger is None and not isinstance(reference, Fingerprint):
            ledger = stack.enter_context(_nearest_ledger())
        known = _resolve(reference, root, ledger, accept_failed=accept_failed)
        entry = _find(known.files, path)
        if known.chunks is not None and entry.size > max_memory_bytes:
            file = _open_chunked(entry, known.place, known.chunks)
        else:
            file = _open(entry, known.place, max_memory_bytes)
        if purpose is None or ledger is None or isinstance(reference, Fingerprint):
            return file
        try:
            usage = ReadUsage()
            usage.add(entry)
            ledger.state(known.name or reference, usage.body(purpose), key=key, passphrase=passphrase)
        except BaseException:
            file.close()
            raise
        return file


def _nearest_ledger() -> Ledger:
    from provenance.ledger.ledger import Ledger as OpenedLedger

    return OpenedLedger.open()


@dataclass(slots=True)
class ReadUsage:
    """What was really read: the leaf hashes of files, each once."""

    leaves: set[bytes] = field(default_factory=set)

    def add(self, entry: FileEntry) -> None:
        """Note a file."""
        self.leaves.add(leaf_hash(encode_leaf(entry)))

    def merge(self, other: ReadUsage) -> None:
        """Note what another worker read."""
        self.leaves |= other.leaves

    @property
    def digest(self) -> Digest:
        """The RFC 9162 root over the leaf hashes in ascending order: whoever read the files, and in what order."""
        return Digest(root_of(sorted(self.leaves)))

    def body(self, purpose: str) -> Usage:
        """What is signed of it."""
        from provenance.statement.usage import Usage

        return Usage(purpose, files=len(self.leaves), root=self.digest)

    def to_json(self) -> dict[str, JsonValue]:
        """Count and digest; no names."""
        return {"files": len(self.leaves), "root": self.digest.hex}


class VerifiedDataset:
    """The files of a dataset as a map (`len`, index) and as an iterator of `{"path": str, "bytes": bytes}`.

    It depends on no training library and suits PyTorch's `DataLoader` and `datasets.Dataset.from_generator`: it can be
    pickled to workers, and an iteration within a PyTorch worker takes that worker's share. `usage` is what this copy
    gave out; merge those of workers.
    """

    def __init__(
        self,
        reference: Reference,
        *,
        root: str | os.PathLike[str] | None = None,
        ledger: Ledger | None = None,
        paths: Sequence[str] | None = None,
        accept_failed: bool = False,
    ) -> None:
        """As `open_verified`; `VerificationError` likewise."""
        known = _resolve(reference, root, ledger, accept_failed=accept_failed)
        self._reference = known.name
        self._place = known.place
        self._files = list(known.files) if paths is None else [_find(known.files, path) for path in paths]
        self.usage = ReadUsage()

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> dict[str, Any]:
        entry = self._files[index]
        with _open(entry, self._place, sys.maxsize) as file:
            data = file.read()
        self.usage.add(entry)
        return {"path": entry.path, "bytes": data}

    def log_use(
        self, ledger: Ledger, purpose: str, *, key: str | None = None, passphrase: bytes | None = None
    ) -> EventRow:
        """Sign and log that these files were read, what for, and the digest of what this copy (with those merged into
        it) gave out. `MalformedError` if it gave out nothing, or is of no registered dataset."""
        if self._reference is None or not self.usage.leaves:
            what = "nothing was read" if self._reference is not None else "a fingerprint names no registered dataset"
            raise MalformedError(f"{what}: there is no use to log", expected="a REF, and files that were read")
        return ledger.state(self._reference, self.usage.body(purpose), key=key, passphrase=passphrase)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        index, count = _worker()
        return (self[number] for number in range(index, len(self), count))


def _worker() -> tuple[int, int]:
    """This process's number and how many there are, if PyTorch is loaded and says so."""
    torch_data = sys.modules.get("torch.utils.data")
    info = torch_data.get_worker_info() if torch_data is not None else None
    return (0, 1) if info is None else (info.id, info.num_workers)


@dataclass(frozen=True, slots=True)
class _Known:
    """A dataset's files, where they lie, and the digests of their chunks if those are kept."""

    files: Sequence[FileEntry]
    place: str
    chunks: ChunkMap | None = None
    name: str | None = None


def _resolve(
    reference: Reference, root: str | os.PathLike[str] | None, ledger: Ledger | None, *, accept_failed: bool
) -> _Known:
    if isinstance(reference, Fingerprint):
        if root is None:
            raise MalformedError("a fingerprint does not say where its files are", expected="root")
        return _Known(reference.files, os.fspath(root))
    with ExitStack() as stack:
        if ledger is None:
            ledger = stack.enter_context(_nearest_ledger())
        reference = str(ledger.pin(reference).name)  # once: a version that is registered meanwhile is another one
        proofs = ledger.proofs(reference)
        if not accept_failed:
            ledger.check_sound(reference)
        place = os.fspath(root) if root is not None else ledger.place_of(reference)
        return _Known(proofs.files(), place, kept_chunk_map(proofs.statement, ledger.blobs), reference)


def _find(files: Sequence[FileEntry], path: str) -> FileEntry:
    wanted = path.encode("utf-8", "surrogatepass")
    low, high = 0, len(files)
    while low < high:
        middle = (low + high) // 2
        if files[middle].sort_key < wanted:
            low = middle + 1
        else:
            high = middle
    if low == len(files) or files[low].path != path:
        raise NotFoundError("the dataset has no such file", got=ascii(path))
    return files[low]


def _open(entry: FileEntry, place: str, max_memory_bytes: int) -> BinaryIO:
    held: IO[bytes] = io.BytesIO() if entry.size <= max_memory_bytes else tempfile.TemporaryFile()  # noqa: SIM115
    try:
        with open_entry(open_source(place), entry.path) as source:
            _copy(source, held, entry, place)
        held.seek(0)
    except BaseException:
        held.close()
        raise
    # Bytes that somebody could write to would be bytes that did not verify.
    raw = io.BytesIO(held.getvalue()) if isinstance(held, io.BytesIO) else held
    return cast(BinaryIO, io.BufferedReader(cast(io.RawIOBase, raw)))


def _open_chunked(entry: FileEntry, place: str, chunks: ChunkMap) -> BinaryIO:
    digests = file_chunks(chunks, entry)
    if digests is None:  # it is smaller than a chunk, and memory for it was refused
        return _open(entry, place, chunks.chunk_bytes)
    source = open_entry(open_source(place), entry.path)
    raw = ChunkedFile(source, entry, digests, chunks.chunk_bytes, f"{entry.path} in {place}")
    return cast(BinaryIO, io.BufferedReader(raw))


def _copy(source: IO[bytes], held: IO[bytes], entry: FileEntry, place: str) -> None:
    hasher = new_hasher(entry.algorithm)
    size = 0
    try:
        while size <= entry.size and (chunk := source.read(min(_CHUNK_BYTES, entry.size + 1 - size))):
            hasher.update(chunk)
            held.write(chunk)
            size += len(chunk)
    except OSError as error:
        raise SourceError("cannot read", got=error.strerror, where=f"{entry.path} in {place}") from error
    found = Digest(hasher.digest())
    if size != entry.size or found != entry.digest:
        got = f"{found} ({size} bytes)" if size <= entry.size else f"more than {entry.size} bytes"
        where = f"{entry.path} in {place}"
        raise VerificationError(
            "file is not what was registered", expected=f"{entry.digest} ({entry.size} bytes)", got=got, where=where
        )
