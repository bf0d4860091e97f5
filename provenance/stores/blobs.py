"""A folder of blobs named by their SHA-256: manifests, bundles, lineage events, anything too large for the log.

Invariants:

1. A blob's name is the digest of its bytes: `blobs/ab/cdef...`, two and 62 hex digits. What does not match its name
   is never returned.
2. When `put` returns, the blob survives a power cut: the bytes are synced before the name appears, the folders after.
3. A name appears with all of its bytes or not at all (rename); what a killed process leaves is a `.new-` file in the
   top folder, which `fsck` reports and may remove.
4. Files are 0600, folders 0700; a name that is no regular file (a symbolic link, say) is a damaged blob.
5. Removing a blob is allowed (erasure): the log names it by digest and stays whole.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BufferedReader
from os import PathLike
from pathlib import Path
from typing import BinaryIO

from provenance.encoding import Digest
from provenance.errors import LimitError, NotFoundError, StoreError
from provenance.limits import check_size

_NEW = ".new-"
_FOLDER = re.compile(r"[0-9a-f]{2}")
_REST = re.compile(r"[0-9a-f]{62}")


@dataclass(frozen=True, slots=True)
class BlobReport:
    """What `fsck` found: how many blobs are sound, their bytes, and relative paths of what is not a sound blob."""

    sound: int
    sound_bytes: int
    damaged: tuple[str, ...]
    unfinished: tuple[str, ...]
    foreign: tuple[str, ...]

    @property
    def clean(self) -> bool:
        """Whether no blob is damaged. Unfinished and foreign files do no harm."""
        return not self.damaged


class BlobStore:
    """Blobs in the folder `root`. Any number of threads and processes may use it at once."""

    def __init__(self, root: str | PathLike[str], *, create: bool = False) -> None:
        """`StoreError` if there is no such folder, or, with `create`, if it cannot be made."""
        self.root = Path(root).absolute()
        self._synced: set[Path] = set()
        with _guarded(self.root, "opening the blob folder"):
            if create:
                self.root.mkdir(mode=0o700, exist_ok=True)
                _sync_folder(self.root.parent)
            if not self.root.is_dir():
                raise StoreError(
                    "there is no blob folder here", where=self.root, hint="make one with `provenance init`"
                )

    def put(self, data: bytes) -> Digest:
        """The digest under which `data` is kept from now on. A damaged blob of that name is replaced."""
        digest = Digest.of(data)
        if self._is_sound(digest):
            self._sync_name(digest)
            return digest
        return self.put_stream((data,), max_bytes=len(data))

    def put_stream(self, parts: Iterable[bytes], *, max_bytes: int) -> Digest:
        """As `put`, for bytes that need not fit in memory; `LimitError` above `max_bytes`, then nothing is kept."""
        with _guarded(self.root, "writing a blob"):
            new = self.root / f"{_NEW}{os.urandom(12).hex()}"
            descriptor = os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    digest = _write(file, parts, max_bytes)
                target = self._path(digest)
                target.parent.mkdir(mode=0o700, exist_ok=True)
                new.replace(target)
            except BaseException:
                with suppress(OSError):
                    new.unlink()
                raise
        self._sync_name(digest)
        return digest

    def get(self, digest: Digest, *, max_bytes: int) -> bytes:
        """The blob's bytes, hashed as they were read.

        `NotFoundError` if there is none, `LimitError` above `max_bytes`, `StoreError` if it is damaged.
        """
        with self._open(digest) as file, _guarded(self._path(digest), "reading a blob"):
            size = os.fstat(file.fileno()).st_size
            check_size(f"blob {digest.hex}", size, max_bytes)
            data = file.read(max_bytes + 1)
        if len(data) > max_bytes or Digest.of(data) != digest:
            raise self._damaged(digest)
        return data

    def open(self, digest: Digest) -> BufferedReader:
        """A file to read the blob from, at its start, hashed once before it is returned; errors as `get`."""
        path = self._path(digest)
        file = self._open(digest)
        try:
            with _guarded(path, "reading a blob"):
                if _hash(file) != digest:
                    raise self._damaged(digest)
                file.seek(0)
        except BaseException:
            file.close()
            raise
        return file

    def has(self, digest: Digest) -> bool:
        """Whether a blob of this name is there. Says nothing about its bytes."""
        with _guarded(self._path(digest), "looking for a blob"):
            try:
                return stat.S_ISREG(self._path(digest).lstat().st_mode)
            except (FileNotFoundError, NotADirectoryError):
                return False

    def size_bytes(self, digest: Digest) -> int:
        """The blob's length; `NotFoundError` if there is none."""
        with self._open(digest) as file:
            return os.fstat(file.fileno()).st_size

    def remove(self, digest: Digest) -> bool:
        """Erase the blob; whether there was one."""
        path = self._path(digest)
        with _guarded(path, "removing a blob"):
            try:
                path.unlink()
            except (FileNotFoundError, NotADirectoryError):
                return False
            _sync_folder(path.parent)
        return True

    def __iter__(self) -> Iterator[Digest]:
        """The names there are, in order."""
        with _guarded(self.root, "listing blobs"):
            folders = sorted(path for path in self.root.iterdir() if _FOLDER.fullmatch(path.name) and path.is_dir())
        for folder in folders:
            with _guarded(folder, "listing blobs"):
                names = sorted(path.name for path in folder.iterdir())
            yield from (Digest(bytes.fromhex(folder.name + name)) for name in names if _REST.fullmatch(name))

    def fsck(self, *, remove_unfinished: bool = False) -> BlobReport:
        """Read and hash every blob. `remove_unfinished` only while no other process writes here."""
        sound, sound_bytes, damaged = 0, 0, []
        for digest in self:
            try:
                with self.open(digest) as file:
                    sound_bytes += os.fstat(file.fileno()).st_size
                sound += 1
            except NotFoundError:
                continue
            except StoreError:
                damaged.append(self._name(digest))
        unfinished, foreign = self._others()
        if remove_unfinished:
            with _guarded(self.root, "removing unfinished blobs"):
                for name in unfinished:
                    (self.root / name).unlink(missing_ok=True)
        return BlobReport(sound, sound_bytes, tuple(damaged), tuple(unfinished), tuple(foreign))

    def _others(self) -> tuple[list[str], list[str]]:
        unfinished, foreign = [], []
        with _guarded(self.root, "listing blobs"):
            for entry in sorted(self.root.iterdir()):
                if entry.name.startswith(_NEW):
                    unfinished.append(entry.name)
                elif not _FOLDER.fullmatch(entry.name) or entry.is_symlink() or not entry.is_dir():
                    foreign.append(entry.name)
                else:
                    foreign += sorted(f"{entry.name}/{p.name}" for p in entry.iterdir() if not _REST.fullmatch(p.name))
        return unfinished, foreign

    def _name(self, digest: Digest) -> str:
        return f"{digest.hex[:2]}/{digest.hex[2:]}"

    def _path(self, digest: Digest) -> Path:
        return self.root / self._name(digest)

    def _damaged(self, digest: Digest) -> StoreError:
        return StoreError(
            "a blob is damaged",
            expected=f"bytes with the SHA-256 {digest.hex}",
            where=self._path(digest),
            hint="restore it from a backup or a mirror",
        )

    def _open(self, digest: Digest) -> BufferedReader:
        path = self._path(digest)
        with _guarded(path, "opening a blob"):
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            except (FileNotFoundError, NotADirectoryError):
                raise NotFoundError("no such blob", got=digest.hex, where=self.root) from None
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                os.close(descriptor)
                raise self._damaged(digest)
            return os.fdopen(descriptor, "rb")

    def _is_sound(self, digest: Digest) -> bool:
        try:
            self.open(digest).close()
        except (NotFoundError, StoreError):
            return False
        return True

    def _sync_name(self, digest: Digest) -> None:
        """Sync the folders that lead to the blob; the top one only once a folder, for it then has its name."""
        folder = self._path(digest).parent
        with _guarded(folder, "syncing a blob"):
            _sync_folder(folder)
            if folder not in self._synced:
                _sync_folder(self.root)
                self._synced.add(folder)


@contextmanager
def _guarded(path: Path, action: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"the system refused, while {action}: {error.strerror}",
            where=path,
            hint="check the owner, mode and free space of the folder",
        ) from error


def _write(file: BinaryIO, parts: Iterable[bytes], max_bytes: int) -> Digest:
    hasher, size = hashlib.sha256(), 0
    for part in parts:
        size += len(part)
        if size > max_bytes:
            raise LimitError("blob is too large", expected=f"at most {max_bytes} bytes", got=f"{size} bytes or more")
        hasher.update(part)
        file.write(part)
    file.flush()
    os.fsync(file.fileno())
    return Digest(hasher.digest())


def _hash(file: BufferedReader) -> Digest:
    return Digest(hashlib.file_digest(file, "sha256").digest())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
