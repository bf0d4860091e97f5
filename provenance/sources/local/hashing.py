"""The digest of one file, or of many at a time, by threads or by one process of several.

Invariants: a file is read under the identity it was listed with, or is an error that names it; no more of it is read
than it had; memory does not grow with its size.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from provenance.errors import SourceError
from provenance.fingerprint import Algorithm
from provenance.merkle.lists import hash_messages
from provenance.merkle.tier import HashTier
from provenance.sources.local.listing import Identity, changed, identify, kind_of, unreadable

SMALL_BYTES: Final = 256 * 1024
"""A file up to this size is read whole, and hashed together with others."""
_TINY_BYTES: Final = 16 * 1024
"""A file up to this size is one string of its own."""
LANES: Final = 16
_CHUNK_BYTES: Final = 1 << 20
_LANE_BYTES: Final = 128 * 1024
"""Of each of 16 files at a time: together they stay in a core's cache."""
_FEW_LANES: Final = 6
"""So many files at a time, or fewer, are hashed faster one by one."""
_MAP_BYTES: Final = 1 << 20
_FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK

Advance = Callable[[int], None]


def open_listed(path: str, identity: Identity) -> int:
    """A descriptor of the file that was listed; `SourceError` if it is another by now."""
    try:
        descriptor = os.open(path, _FLAGS)
    except OSError as error:
        raise unreadable(path, error) from error
    status = os.fstat(descriptor)
    # Written out: a call for each of many small files is a tenth of what reading one takes.
    if identity != (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns):
        os.close(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise SourceError("not a file", got=kind_of(status.st_mode), where=path)
        raise changed(path)
    return descriptor


def read_small(files: Sequence[tuple[str, Identity]], view: memoryview) -> list[bytes | memoryview]:
    """The contents of small files, those that are not tiny in `view`, which has a byte more than all of them."""
    contents: list[bytes | memoryview] = []
    start = 0
    for path, identity in files:
        descriptor = open_listed(path, identity)
        end = start + identity[2]
        if identity[2] <= _TINY_BYTES:
            contents.append(_read_tiny(descriptor, path, identity[2]))
            continue
        try:
            place = start
            # One byte more than there should be, so that the end is seen in one read.
            while place <= end and (count := os.readv(descriptor, [view[place : end + 1]])):
                place += count
                if place == end:
                    break
        except OSError as error:
            raise unreadable(path, error) from error
        finally:
            os.close(descriptor)
        if place != end:
            raise changed(path)
        contents.append(view[start:end])
        start = end
    return contents


def _read_tiny(descriptor: int, path: str, size: int) -> bytes:
    """All of a file that is listed with this size; closes it. A view of a buffer costs more than a string so short."""
    try:
        data = os.read(descriptor, size + 1)
        while len(data) < size and (more := os.read(descriptor, size + 1 - len(data))):
            data += more
    except OSError as error:
        raise unreadable(path, error) from error
    finally:
        os.close(descriptor)
    if len(data) != size:
        raise changed(path)
    return data


def hash_contents(contents: Sequence[bytes | memoryview], algorithm: Algorithm, tier: HashTier) -> bytes:
    """The digests of contents in memory, 32 bytes each, one after another."""
    if algorithm is Algorithm.BLAKE3:
        from blake3 import blake3

        return b"".join([blake3(content).digest() for content in contents])
    return hash_messages(contents, tier=tier)


def hash_file(path: str, identity: Identity, algorithm: Algorithm, advance: Advance, *, threads: int = 1) -> bytes:
    """The digest of one file, read in pieces."""
    hasher: Any
    if algorithm is Algorithm.BLAKE3:
        from blake3 import blake3

        hasher = blake3(max_threads=threads)
    else:
        hasher = hashlib.sha256()
    descriptor = open_listed(path, identity)
    try:
        with open(descriptor, "rb", buffering=0) as file:  # noqa: PTH123 - a descriptor, not a path
            size = _feed(file, hasher, identity[2], advance, _CHUNK_BYTES * (8 if threads > 1 else 1))
            after = os.fstat(descriptor)
    except OSError as error:
        raise unreadable(path, error) from error
    if size != identity[2] or identify(after) != identity:
        raise changed(path)
    digest: bytes = hasher.digest()
    return digest


def _feed(file: Any, hasher: Any, expected: int, advance: Advance, chunk_bytes: int) -> int:
    # One byte more than there should be, so that the end is seen in one read.
    buffer = bytearray(min(expected + 1, chunk_bytes))
    view, size = memoryview(buffer), 0
    # A file that grows as fast as it is read has changed and need not be read to its end.
    while size <= expected and (count := file.readinto(buffer)):
        hasher.update(view[:count])
        size += count
        advance(count)
    return size


def hash_mapped(path: str, identity: Identity, advance: Advance) -> bytes:
    """The BLAKE3 of a large file by memory map: no copy. A file that is cut short meanwhile ends the process (SIGBUS):
    for processes that may end."""
    from blake3 import blake3

    descriptor = open_listed(path, identity)
    try:
        with mmap.mmap(descriptor, identity[2], access=mmap.ACCESS_READ) as mapped:
            mapped.madvise(mmap.MADV_SEQUENTIAL)
            hasher = blake3()
            with memoryview(mapped) as view:
                for start in range(0, identity[2], 16 * _MAP_BYTES):
                    part = view[start : start + 16 * _MAP_BYTES]
                    hasher.update(part)
                    advance(len(part))
                    part.release()
        after = os.fstat(descriptor)
    except OSError as error:
        raise unreadable(path, error) from error
    except ValueError as error:  # shorter by now than it is mapped
        raise changed(path) from error
    finally:
        os.close(descriptor)
    if identify(after) != identity:
        raise changed(path)
    return hasher.digest()


def hash_in_lanes(files: Sequence[tuple[int, str, Identity]], advance: Advance) -> Iterator[tuple[int, bytes]]:
    """The SHA-256 of large files, 16 of them side by side; a lane that is done takes the next file."""
    import stringzilla

    waiting = list(reversed(files))
    lanes: list[_Lane] = []
    hashers = stringzilla.Sha256s(LANES)
    try:
        while waiting and len(lanes) < LANES:
            lanes.append(_Lane(*waiting.pop()))
        empty = b""
        while any(lane.open for lane in lanes):
            chunks = [lane.read(advance) if lane.open else empty for lane in lanes]
            hashers.update([*chunks, *([empty] * (LANES - len(lanes)))])
            for place, lane in enumerate(lanes):
                if lane.open and lane.left == 0:
                    lane.finish()
                    yield lane.number, hashers[place].digest()
                    if waiting:
                        hashers[place] = stringzilla.Sha256()
                        lanes[place] = _Lane(*waiting.pop())
    finally:
        for lane in lanes:
            lane.close()


class _Lane:
    """One file that is read piece by piece."""

    def __init__(self, number: int, path: str, identity: Identity) -> None:
        self.number, self._path, self._identity = number, path, identity
        self._descriptor = open_listed(path, identity)
        self.open, self.left = True, identity[2]
        self._buffer = bytearray(_LANE_BYTES)
        self._view = memoryview(self._buffer)

    def read(self, advance: Advance) -> memoryview:
        try:
            count = os.readv(self._descriptor, [self._view[: min(self.left, _LANE_BYTES)]])
        except OSError as error:
            raise unreadable(self._path, error) from error
        if not count:
            raise changed(self._path)
        self.left -= count
        advance(count)
        return self._view[:count]

    def finish(self) -> None:
        # A byte beyond the end, or another state, is a change.
        if os.read(self._descriptor, 1) or identify(os.fstat(self._descriptor)) != self._identity:
            raise changed(self._path)
        self.close()

    def close(self) -> None:
        if self.open:
            self.open = False
            os.close(self._descriptor)


def hash_large(
    files: Sequence[tuple[int, str, Identity]], algorithm: Algorithm, tier: HashTier, advance: Advance
) -> Iterator[tuple[int, bytes]]:
    """The digests of large files, by their numbers, in any order. For processes that may end."""
    if algorithm is Algorithm.BLAKE3:
        for number, path, identity in files:
            yield number, hash_mapped(path, identity, advance)
    elif tier is HashTier.LANES and len(files) > _FEW_LANES:
        yield from hash_in_lanes(files, advance)
    else:
        for number, path, identity in files:
            yield number, hash_file(path, identity, algorithm, advance)
