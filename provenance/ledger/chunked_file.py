"""A large file of a dataset, given out chunk by chunk, each only once its digest is right.

Guarantees: no byte is given out before the chunk that holds it verified, and it is the very byte that was hashed;
whoever reads the whole file from its start to its end also has the file's own digest checked, before the last chunk is
given out; not more than one chunk is in memory.
"""

from __future__ import annotations

import io
import os
from typing import Any, BinaryIO

from provenance.errors import SourceError, VerificationError
from provenance.fingerprint import FileEntry, new_hasher
from provenance.ledger.chunking import hash_chunk, read_exactly
from provenance.merkle import HASH_BYTES


class ChunkedFile(io.RawIOBase):
    """`source` is read from, `digests` holds 32 bytes a chunk. Closing it closes `source`."""

    def __init__(self, source: BinaryIO, entry: FileEntry, digests: bytes, chunk_bytes: int, where: str) -> None:
        super().__init__()
        self._source, self._entry, self._digests, self._where = source, entry, digests, where
        self._chunk_bytes = chunk_bytes
        self._position, self._number = 0, -1
        self._chunk = memoryview(b"")
        self._buffer = bytearray(min(chunk_bytes, entry.size))
        self._whole = new_hasher(entry.algorithm)
        self._hashed = 0
        self._failure: VerificationError | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._entry.size}.get(whence)
        if base is None:
            raise ValueError(f"invalid whence ({whence}, should be 0, 1 or 2)")
        if base + offset < 0:
            raise OSError(22, "Invalid argument")
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Bytes from one chunk. `VerificationError` names the chunk that is not what was registered. Once the whole
        file was found to be another, nothing more is given out."""
        if self.closed:
            raise ValueError("I/O operation on closed file")
        if self._failure is not None:
            raise self._failure
        view = memoryview(buffer).cast("B")
        if self._position >= self._entry.size or not len(view):
            return 0
        number, start = divmod(self._position, self._chunk_bytes)
        if number != self._number:
            self._load(number)
        part = self._chunk[start : start + len(view)]
        view[: len(part)] = part
        self._position += len(part)
        return len(part)

    def close(self) -> None:
        if not self.closed:
            self._source.close()
        super().close()

    def _load(self, number: int) -> None:
        begin = number * self._chunk_bytes
        end = min(begin + self._chunk_bytes, self._entry.size)
        self._number, chunk = -1, memoryview(self._buffer)[: end - begin]
        read_exactly(self._source, begin, chunk, self._where)
        found = hash_chunk(chunk, self._entry.algorithm)
        expected = self._digests[HASH_BYTES * number : HASH_BYTES * (number + 1)]
        if found != expected:
            where = f"{self._where}, bytes {begin} to {end - 1}"
            raise VerificationError(
                "file is not what was registered", expected=expected.hex(), got=found.hex(), where=where
            )
        if begin == self._hashed:
            self._whole.update(chunk)
            self._hashed = end
            if end == self._entry.size:
                try:
                    self._check_whole()
                except VerificationError as error:
                    self._failure = error
                    raise
        self._chunk, self._number = chunk, number

    def _check_whole(self) -> None:
        """That chunks which are each as stated are together the file that was stated, and no more follows."""
        found = self._whole.digest()
        if found != self._entry.digest.raw:
            what = "chunk map and digest of the file are of different bytes"
            raise VerificationError(what, expected=self._entry.digest, got=found.hex(), where=self._where)
        try:
            self._source.seek(self._entry.size)
            is_longer = bool(self._source.read(1))
        except OSError as error:
            raise SourceError("cannot read", got=os.strerror(error.errno or 0), where=self._where) from error
        if is_longer:
            got = f"more than {self._entry.size} bytes"
            expected = f"{self._entry.size} bytes"
            raise VerificationError("file is not what was registered", expected=expected, got=got, where=self._where)
