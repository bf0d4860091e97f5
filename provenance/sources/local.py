"""Datasets on a local file system: one file, or a folder with everything below it.

The written rule for each odd thing:

- an empty file is a file of size 0; an empty folder is no part of a dataset (as for git and OMS);
- a symbolic link below the dataset's path is refused: what it points to is not bound by its name (the path itself may
  be a link; it is resolved first);
- a device, socket or pipe is refused; so is a name that is not UTF-8;
- a dataset that changes while it is read is refused: every name, inode, size and both times must be the same in a
  listing before, at each file's reading, and in a listing after;
- two hard links to one file are two files;
- the ledger in use, if it lies within, is left out when its owner names it; nothing else is, whatever it is called.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TypeAlias

from provenance.encoding import Digest
from provenance.errors import MalformedError, SourceError, printable
from provenance.fingerprint import FileEntry, Fingerprint, check_path, fingerprint_files
from provenance.limits import MAX_FILES
from provenance.sources.base import Progress, ProgressCallback, Reading, Workers

_CHUNK_BYTES = 1 << 20
_MAX_BATCH_FILES = 64
_TICK_NS = 11_000_000
"""Longer than a file system's clock stands still (Linux: at most 10 ms): a write after that leaves another time."""

_Identity: TypeAlias = tuple[int, int, int, int, int]
"""Device, inode, size in bytes, times of modification and change in nanoseconds."""


@dataclass(frozen=True, slots=True)
class _File:
    """A file that was listed: its name in the dataset, its place, and what it was then."""

    name: str
    path: Path
    identity: _Identity

    @property
    def size(self) -> int:
        return self.identity[2]


class LocalSource:
    """A file or folder. `SourceError` if there is nothing at `path`."""

    def __init__(self, path: str | os.PathLike[str], reading: Reading | None = None) -> None:
        self._reading = reading or Reading()
        self._found: list[_File] = []
        leave_out = self._reading.leave_out
        try:
            self._root = Path(path).resolve(strict=True)
            self._stat = self._root.stat()
            self._left_out = leave_out.resolve() if leave_out is not None else None
        except (OSError, RuntimeError, ValueError) as error:
            raise _unreadable(str(path), error) from error

    @property
    def location(self) -> str:
        """The absolute path, links resolved."""
        return str(self._root)

    def fingerprint(self, progress: ProgressCallback | None = None, *, workers: Workers | None = None) -> Fingerprint:
        """The fingerprint of the file or folder as it is now."""
        found = self._list()
        if not found:
            raise SourceError("folder holds no files", expected="at least one file", where=self._root)
        _let_clock_tick(found)
        entries = _hash(found, progress)
        _check_same(found, self._list())
        self._found = found
        return fingerprint_files(entries)

    def check_unchanged(self) -> None:
        """Raise `SourceError` that names a file unless the dataset is what it was when it was fingerprinted last."""
        _check_same(self._found, self._list())

    def _list(self) -> list[_File]:
        if stat.S_ISDIR(self._stat.st_mode):
            return list(self._walk())
        status = _lstat(self._root)
        if not stat.S_ISREG(status.st_mode):
            raise SourceError("not a file or folder", got=_kind(status.st_mode), where=self._root)
        return [_File(_checked_name(self._root.name, self._root), self._root, _identity(status))]

    def _walk(self) -> Iterator[_File]:
        pending, count = [(self._root, "")], 0
        while pending:
            folder, prefix = pending.pop()
            try:
                with os.scandir(folder) as listing:
                    entries = list(listing)
            except OSError as error:
                raise _unreadable(str(folder), error) from error
            for entry in entries:
                path = Path(entry.path)
                status = _lstat(path)
                if stat.S_ISDIR(status.st_mode):
                    if path != self._left_out:
                        pending.append((path, f"{prefix}{entry.name}/"))
                elif stat.S_ISREG(status.st_mode):
                    count += 1
                    if count > MAX_FILES:
                        raise SourceError("folder holds too many files", expected=f"at most {MAX_FILES}", where=folder)
                    yield _File(_checked_name(prefix + entry.name, path), path, _identity(status))
                else:
                    mode = status.st_mode
                    hint = "copy what it points to into the dataset" if stat.S_ISLNK(mode) else "move it elsewhere"
                    raise SourceError("not a file or folder", got=_kind(mode), where=path, hint=hint)


class _Meter:
    """Adds up what several threads have read and tells one callback, one call at a time."""

    def __init__(self, total_bytes: int, total_files: int, callback: ProgressCallback | None) -> None:
        self._totals, self._callback, self._lock = (total_bytes, total_files), callback, Lock()
        self._bytes = self._files = 0

    def advance(self, count_bytes: int, count_files: int) -> None:
        if self._callback is None:
            return
        with self._lock:
            self._bytes += count_bytes
            self._files += count_files
            self._callback(Progress(self._bytes, self._totals[0], self._files, self._totals[1]))


def _hash(found: list[_File], progress: ProgressCallback | None) -> list[FileEntry]:
    """The entries of all files, read by as many threads as there are processors. The first failure ends it."""
    meter = _Meter(sum(file.size for file in found), len(found), progress)
    threads = os.cpu_count() or 1
    if len(found) == 1 or threads == 1:
        return [_hash_file(file, meter) for file in found]
    width = max(1, min(_MAX_BATCH_FILES, len(found) // (4 * threads)))
    batches = [found[start : start + width] for start in range(0, len(found), width)]
    with ThreadPoolExecutor(min(len(batches), threads)) as pool:
        try:
            hashed = pool.map(lambda batch: [_hash_file(file, meter) for file in batch], batches)
            return [entry for entries in hashed for entry in entries]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _hash_file(file: _File, meter: _Meter) -> FileEntry:
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(file.path, flags)
        with open(descriptor, "rb", buffering=0) as opened:  # noqa: PTH123 - a descriptor, not a path
            before = os.fstat(descriptor)
            if not stat.S_ISREG(before.st_mode):
                raise SourceError("not a file", got=_kind(before.st_mode), where=file.path)
            hasher, size = hashlib.sha256(), 0
            # One byte more than there should be, so that the end is seen in one read.
            buffer = bytearray(min(file.size + 1, _CHUNK_BYTES))
            view = memoryview(buffer)
            # A file that grows as fast as it is read has changed and need not be read to its end.
            while size <= file.size and (count := opened.readinto(buffer)):
                hasher.update(view[:count])
                size += count
                meter.advance(count, 0)
            after = os.fstat(descriptor)
    except OSError as error:
        raise _unreadable(str(file.path), error) from error
    if size != file.size or not file.identity == _identity(before) == _identity(after):
        raise _changed(file.path)
    meter.advance(0, 1)
    return FileEntry(file.name, size, Digest(hasher.digest()))


def _let_clock_tick(found: list[_File]) -> None:
    """Wait, if a file was written just now, until a further write would leave another time on it."""
    newest_ns = max(max(file.identity[3:]) for file in found)
    age_ns = time.time_ns() - newest_ns
    if 0 <= age_ns < _TICK_NS:
        time.sleep((_TICK_NS - age_ns) / 1e9)


def _check_same(before: list[_File], after: list[_File]) -> None:
    """Raise unless both listings are of the same files in the same state."""
    left = {file.path: file.identity for file in before}
    for file in after:
        if left.pop(file.path, None) != file.identity:
            raise _changed(file.path)
    for path in left:
        raise _changed(path)


def _changed(path: Path) -> SourceError:
    return SourceError("file changed while it was read", where=path, hint="stop what writes to it, then try again")


def _identity(status: os.stat_result) -> _Identity:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _checked_name(name: str, path: Path) -> str:
    try:
        check_path(name)
    except MalformedError as error:
        raise SourceError(
            error.what, expected=error.expected, got=ascii(name), where=printable(str(path)), hint="rename it"
        ) from error
    return name


def _lstat(path: Path) -> os.stat_result:
    try:
        return path.lstat()
    except OSError as error:
        raise _unreadable(str(path), error) from error


def _unreadable(path: str, error: Exception) -> SourceError:
    if isinstance(error, RuntimeError) or (isinstance(error, OSError) and error.errno == errno.ELOOP):
        return SourceError(
            "symbolic link leads nowhere", expected="a file or folder", got="a loop of links", where=path
        )
    if isinstance(error, FileNotFoundError):
        return SourceError("no such file or folder", where=path)
    reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
    return SourceError("cannot read", got=reason, where=path)


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFLNK: "a symbolic link",
        stat.S_IFIFO: "a pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    return kinds.get(stat.S_IFMT(mode), "something else")
