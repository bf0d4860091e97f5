"""The digest of one file, or of many at a time, by threads or by one process of several.

Invariants: a file is read under the identity it was listed with, or is an error that names it; no more of it is read
than it had; memory does not grow with its size.
"""

from __future__ import annotations

import mmap
import os
import stat
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from provenance.errors import SourceError
from provenance.fingerprint import Algorithm, new_hasher
from provenance.merkle.lists import hash_messages
from provenance.merkle.tier import HashTier
from provenance.sources.local.calls import Calls
from provenance.sources.local.listing import (
    CHANGED,
    SIZE,
    TICK_NS,
    Identity,
    changed,
    identify,
    kind_of,
    pack,
    unreadable,
)
from provenance.sources.local.settling import RECENT_NS, settle

SMALL_BYTES: Final = 256 * 1024
"""A file up to this size is read whole, and hashed together with others."""
_TINY_BYTES: Final = 16 * 1024
"""A file up to this size is one string of its own."""
BUFFER_BYTES: Final = 4 * 2**20
_BATCH_BYTES: Final = 2**20
"""Contents read before they are hashed: they stay in a core's cache, and their memory with the allocator."""
_CHUNK_BYTES: Final = 2 << 20
_MANY_CHUNK_BYTES: Final = 8 << 20
"""For the threads of one hash."""
_FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK

_local = threading.local()

Advance = Callable[[int], None]


def open_listed(path: str, identity: Identity) -> int:
    """A descriptor of the file that was listed at least a tick ago; `SourceError` if it is another by now."""
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
    if status.st_ctime_ns > time.time_ns() - RECENT_NS:
        try:
            settle(descriptor, identity, path)
        except BaseException:
            os.close(descriptor)
            raise
    return descriptor


@dataclass(frozen=True, slots=True)
class Contents:
    """Contents of files, in order; `run` is where they all lie one after another, if they do."""

    pieces: Sequence[bytes | memoryview]
    run: memoryview | None = None


def read_batch(
    root: str, names: Sequence[str], view: memoryview, calls: Calls | None
) -> tuple[bytes, Contents, list[int]]:
    """As `read_small`, with the states packed: by the compiled calls as far as they go."""
    if calls is None:
        found, contents, large = read_small(root, names, view)
        return pack(found), Contents(contents), large
    recent_ns = time.time_ns() - RECENT_NS
    packed, some = calls.read(names, recent_ns, SMALL_BYTES, _BATCH_BYTES, view)
    held, count = sum(map(len, some)), len(some)
    if count == len(names) or held >= _BATCH_BYTES:
        return packed, Contents(some, view[:held] if held else None), []
    found, contents, large = read_small(root, names[count:], view[held:])
    return packed + pack(found), Contents([*some, *contents]), [count + place for place in large]


def read_small(
    root: str, names: Sequence[str], view: memoryview
) -> tuple[list[Identity], list[bytes | memoryview], list[int]]:
    """The states of the first of these files, as many as are hashed well together, and the contents of those that are
    not large; the places of those that are. Files that are not tiny lie in `view`.

    `names` are relative to the working folder, which errors call `root`. A file that was written just now is waited
    for, so that a further write would leave another time on it.
    """
    found: list[Identity] = []
    contents: list[bytes | memoryview] = []
    large: list[int] = []
    held = start = 0
    recent_ns = time.time_ns() - RECENT_NS
    # Bound and written out: a call for each of many small files is a tenth of what reading one takes.
    opened, read, look, close = os.open, os.read, os.fstat, os.close
    flags, tiny_bytes, is_file = _FLAGS, _TINY_BYTES, stat.S_ISREG
    keep, note = contents.append, found.append
    for name in names:
        try:
            descriptor = opened(name, flags)
        except OSError as error:
            raise unreadable(root + name, error) from error
        try:
            status = look(descriptor)
            identity = (
                status.st_dev, status.st_ino, size := status.st_size, status.st_mtime_ns, altered := status.st_ctime_ns
            )  # fmt: skip
            if not is_file(status.st_mode):
                raise SourceError("not a file or folder", got=kind_of(status.st_mode), where=root + name)
            if altered > recent_ns:
                if altered > recent_ns + RECENT_NS - TICK_NS:
                    let_clock_tick([identity])
                    if identify(look(descriptor)) != identity:
                        raise changed(root + name)
                settle(descriptor, identity, root + name)
            if size <= tiny_bytes:
                # One byte more than there should be, so that the end is seen in one read.
                data = read(descriptor, size + 1)
                keep(data if len(data) == size else _read_rest(descriptor, data, size, root + name))
            elif size <= SMALL_BYTES:
                if start + size >= len(view):
                    break
                _read_into(descriptor, view[start : start + size + 1], root + name)
                keep(view[start : start + size])
                start += size
            else:
                large.append(len(found))
                size = 0
        except OSError as error:
            raise unreadable(root + name, error) from error
        finally:
            close(descriptor)
        note(identity)
        held += size
        if held >= _BATCH_BYTES:
            break
    return found, contents, large


def _read_rest(descriptor: int, data: bytes, size: int, path: str) -> bytes:
    """What a file system gave in pieces: all of a file of this size."""
    while len(data) < size and (more := os.read(descriptor, size + 1 - len(data))):
        data += more
    if len(data) != size:
        raise changed(path)
    return data


def _read_into(descriptor: int, view: memoryview, path: str) -> None:
    """Fill a view, which is a byte longer than the file should be."""
    place, end = 0, len(view) - 1
    while place <= end and (count := os.readv(descriptor, [view[place:]])):
        place += count
        if place == end:
            break
    if place != end:
        raise changed(path)


def let_clock_tick(found: Sequence[Identity]) -> None:
    """Wait, if a file was written just now, until a further write would leave another time on it."""
    now_ns = time.time_ns()
    # Whatever else is set, a write leaves the time of change; one that lies ahead cannot be left once more.
    newest_ns = max((time_ns for identity in found if (time_ns := identity[CHANGED]) <= now_ns), default=0)
    if now_ns - newest_ns < TICK_NS:
        time.sleep((TICK_NS - (now_ns - newest_ns)) / 1e9)


def hash_contents(contents: Contents, algorithm: Algorithm, tier: HashTier) -> bytes:
    """The digests of contents in memory, 32 bytes each, one after another."""
    if algorithm is Algorithm.BLAKE3:
        from blake3 import blake3

        return b"".join([blake3(content).digest() for content in contents.pieces])
    return hash_messages(contents.pieces, tier=tier, run=contents.run)


def hash_file(path: str, identity: Identity, algorithm: Algorithm, advance: Advance, *, threads: int = 1) -> bytes:
    """The digest of one file, read in pieces."""
    hasher = new_hasher(algorithm, threads=threads)
    view = _buffer(_MANY_CHUNK_BYTES if threads > 1 else _CHUNK_BYTES)
    size, expected = 0, identity[SIZE]
    descriptor = open_listed(path, identity)
    try:
        # One byte more than there should be, so that the end is seen in one read; a file that grows as fast as it is
        # read has changed and need not be read to its end.
        while size <= expected and (count := os.readv(descriptor, [view[: expected + 1 - size]])):
            hasher.update(view[:count])
            size += count
            advance(count)
        after = os.fstat(descriptor)
    except OSError as error:
        raise unreadable(path, error) from error
    finally:
        os.close(descriptor)
    if size != expected or identify(after) != identity:
        raise changed(path)
    return hasher.digest()


def _buffer(count_bytes: int) -> memoryview:
    """Memory of this thread's own that begins with a page: the kernel copies into it a third faster than elsewhere."""
    held = getattr(_local, "view", None)
    if held is None or len(held) < count_bytes:
        held = _local.view = pages(count_bytes)
    view: memoryview = held[:count_bytes]
    return view


def pages(count_bytes: int) -> memoryview:
    """Memory that begins with a page."""
    # Private: what is shared by default would be one memory for all processes that are forked later.
    return memoryview(mmap.mmap(-1, count_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
