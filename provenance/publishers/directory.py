"""A log as files in a folder that any web server can serve, named as the paths of their URLs.

Invariants: a file is written to a draft, synced, and renamed; the folders that lead to it are synced before the
checkpoint is; the checkpoint is replaced in one step, last; files and folders are readable by all whom the umask lets;
one process writes to a folder at a time, which the kernel's lock on the folder itself decides; what a killed process
leaves is a `.new-` file, which the next one removes.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from provenance.errors import ConflictError, LogError
from provenance.limits import MAX_NOTE_BYTES
from provenance.log import encode_tile_path
from provenance.log.static import CHECKPOINT_PATH, HEAD_PATH, StaticPath, max_bytes_of
from provenance.publishers.base import Publisher

_DRAFT: Final = ".new-"
_FILE_MODE: Final = 0o644
_FOLDER_MODE: Final = 0o755
_MAX_UNSYNCED: Final = 1_024
"""Folders whose new names are not synced yet."""


class DirectoryPublisher:
    """One folder, held until it is closed."""

    def __init__(self, root: Path) -> None:
        self.label, self._root = str(root), root.absolute()
        self._unsynced: set[Path] = set()
        with self._guarded(self._root):
            self._make(self._root)
            self._lock = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with self._guarded(self._root):
                self._take()
                self._check_place()
        except BaseException:
            os.close(self._lock)
            raise

    def published(self) -> bytes | None:
        """See `Publisher`."""
        return self._read(self._root / CHECKPOINT_PATH, MAX_NOTE_BYTES)

    def put(self, path: StaticPath, data: bytes) -> bool:
        """See `Publisher`."""
        target = self._target(path)
        found = self._read(target, max_bytes_of(path))
        if found is not None:
            if found != data:
                hint = "publish to an empty folder, or remove this one"
                raise ConflictError("another file is published already", where=target, hint=hint)
            return False
        with self._guarded(target):
            self._make(target.parent)
            self._write(target, data)
            self._unsynced.add(target.parent)
            if len(self._unsynced) > _MAX_UNSYNCED:
                self._sync()
        return True

    def read(self, path: StaticPath) -> bytes | None:
        """See `Publisher`."""
        return self._read(self._target(path), max_bytes_of(path))

    def checkpoint(self, note: bytes) -> None:
        """See `Publisher`."""
        with self._guarded(self._root):
            self._sync()
            self._write(self._root / CHECKPOINT_PATH, note)
            os.fsync(self._lock)

    def head(self) -> bytes | None:
        """See `Publisher`."""
        return self._read(self._root / HEAD_PATH, MAX_NOTE_BYTES)

    def put_head(self, note: bytes) -> None:
        """See `Publisher`."""
        target = self._root / HEAD_PATH
        with self._guarded(target):
            self._make(target.parent)
            self._write(target, note)
            self._unsynced.add(target.parent)
            self._sync()

    def close(self) -> None:
        """Let another process write here."""
        lock, self._lock = self._lock, -1
        if lock >= 0:
            os.close(lock)

    def _take(self) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LogError("another process publishes to this folder", where=self._root) from None

    def _check_place(self) -> None:
        """Refuse a folder that holds something else, and clear what a killed process left."""
        names = {entry.name for entry in os.scandir(self._root)}
        if names and CHECKPOINT_PATH not in names and not names <= {"tile"} | {n for n in names if _is_draft(n)}:
            hint = "publish to an empty folder"
            raise ConflictError("folder holds something that is no log", got=min(names), where=self._root, hint=hint)
        for name in names:
            if _is_draft(name):
                (self._root / name).unlink(missing_ok=True)

    def _target(self, path: StaticPath) -> Path:
        return self._root / encode_tile_path(path).removeprefix("/")

    def _read(self, target: Path, max_bytes: int) -> bytes | None:
        with self._guarded(target):
            try:
                with target.open("rb") as file:
                    data = file.read(max_bytes + 1)
            except FileNotFoundError:
                return None
        if len(data) > max_bytes:
            raise ConflictError("another file is published already", expected=f"{max_bytes} bytes", where=target)
        return data

    def _make(self, folder: Path) -> None:
        """The folder and those that lead to it; each new name is synced, or will be."""
        if folder.is_dir():
            return
        if folder != folder.parent:
            self._make(folder.parent)
        with suppress(FileExistsError):
            folder.mkdir(mode=_FOLDER_MODE)
        self._unsynced.add(folder.parent)

    def _write(self, target: Path, data: bytes) -> None:
        draft = self._root / f"{_DRAFT}{os.urandom(12).hex()}"
        descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, _FILE_MODE)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(descriptor)
            draft.replace(target)
        except BaseException:
            with suppress(OSError):
                draft.unlink()
            raise

    def _sync(self) -> None:
        for folder in sorted(self._unsynced):
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        self._unsynced.clear()

    @contextmanager
    def _guarded(self, where: Path) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:
            got = error.strerror if isinstance(error, OSError) else "a path with a zero byte"
            raise LogError("cannot publish to the folder", got=got, where=where) from error


def _is_draft(name: str) -> bool:
    return name.startswith(_DRAFT)


def open_publisher(address: str) -> Publisher:
    """The folder at a path or file://."""
    return DirectoryPublisher(Path(address.removeprefix("file://")))
