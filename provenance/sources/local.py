"""Datasets on a local file system: one file, or a folder with everything below it.

The written rule for each odd thing:

- an empty file is a file of size 0; an empty folder is no part of a dataset (as for git and OMS);
- a symbolic link below the dataset's path is refused: what it points to is not bound by its name (the path itself may
  be a link; it is resolved first);
- a device, socket or pipe is refused; so is a name that is not UTF-8;
- a file that changes while it is read is refused: size, both times and the inode must be the same before and after;
- two hard links to one file are two files;
- a ledger (a `.provenance` folder that holds `ledger.db`) is left out; nothing else is.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Final

from provenance.encoding import Digest
from provenance.errors import MalformedError, SourceError, printable
from provenance.fingerprint import FileEntry, Fingerprint, check_path, fingerprint_files
from provenance.limits import MAX_FILES
from provenance.sources.base import Progress, ProgressCallback

LEDGER_FOLDER: Final = ".provenance"
_CHUNK_BYTES = 1 << 20
_BATCH_FILES = 64


class LocalSource:
    """A file or folder. `SourceError` if there is nothing at `path`."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        try:
            self._root = Path(path).resolve(strict=True)
            self._stat = self._root.stat()
        except (OSError, RuntimeError, ValueError) as error:
            raise _unreadable(str(path), error) from error

    @property
    def location(self) -> str:
        """The absolute path, links resolved."""
        return str(self._root)

    def fingerprint(self, progress: ProgressCallback | None = None) -> Fingerprint:
        """The fingerprint of the file or folder as it is now."""
        if stat.S_ISDIR(self._stat.st_mode):
            found = list(self._walk())
        elif stat.S_ISREG(self._stat.st_mode):
            found = [(_relative_name(self._root.name, self._root), self._root, self._stat.st_size)]
        else:
            raise SourceError("not a file or folder", got=_kind(self._stat.st_mode), where=self._root)
        if not found:
            raise SourceError("folder holds no files", expected="at least one file", where=self._root)
        return fingerprint_files(self._hash(found, progress))

    def _walk(self) -> Iterator[tuple[str, Path, int]]:
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
                mode = _lstat(path).st_mode
                if stat.S_ISDIR(mode):
                    if entry.name != LEDGER_FOLDER or not (path / "ledger.db").exists():
                        pending.append((path, f"{prefix}{entry.name}/"))
                elif stat.S_ISREG(mode):
                    count += 1
                    if count > MAX_FILES:
                        raise SourceError("folder holds too many files", expected=f"at most {MAX_FILES}", where=folder)
                    yield _relative_name(prefix + entry.name, path), path, _lstat(path).st_size
                else:
                    hint = "copy what it points to into the dataset" if stat.S_ISLNK(mode) else "move it elsewhere"
                    raise SourceError("not a file or folder", got=_kind(mode), where=path, hint=hint)

    def _hash(self, found: list[tuple[str, Path, int]], progress: ProgressCallback | None) -> list[FileEntry]:
        meter = _Meter(sum(size for _, _, size in found), len(found), progress)

        def hash_batch(batch: list[tuple[str, Path, int]]) -> list[FileEntry]:
            return [_hash_file(name, path, meter) for name, path, _ in batch]

        batches = [found[i : i + _BATCH_FILES] for i in range(0, len(found), _BATCH_FILES)]
        with ThreadPoolExecutor(min(len(batches), os.cpu_count() or 1)) as pool:
            return [entry for batch in pool.map(hash_batch, batches) for entry in batch]


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


def _hash_file(name: str, path: Path, meter: _Meter) -> FileEntry:
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags)
        with open(descriptor, "rb", buffering=0) as file:  # noqa: PTH123 - a descriptor, not a path
            before = os.fstat(descriptor)
            if not stat.S_ISREG(before.st_mode):
                raise SourceError("not a file", got=_kind(before.st_mode), where=path)
            hasher, buffer, size = hashlib.sha256(), bytearray(_CHUNK_BYTES), 0
            view = memoryview(buffer)
            while count := file.readinto(buffer):
                hasher.update(view[:count])
                size += count
                meter.advance(count, 0)
            after, named = os.fstat(descriptor), path.lstat()
    except OSError as error:
        raise _unreadable(str(path), error) from error
    if size != before.st_size or not _identity(before) == _identity(after) == _identity(named):
        raise SourceError("file changed while it was read", where=path, hint="stop what writes to it, then try again")
    meter.advance(0, 1)
    return FileEntry(name, size, Digest(hasher.digest()))


def _identity(status: os.stat_result) -> tuple[int, int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _relative_name(name: str, path: Path) -> str:
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
