"""Where a tree lies while it is written: a folder of its own beside its place, held by a lock.

Guarantees: what is published is whole and synced under its name; a folder whose writer is gone is removed by the next
writer, and never one that is still written to.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

from provenance.errors import StoreError

_PREFIX: Final = ".tree-"
_LOCK: Final = "lock"
_BUFFER_BYTES: Final = 1 << 20
_UNLOCKED_S: Final = 3_600.0
"""How old a folder without a lock file must be to be nobody's: its writer was killed before it made one."""


class Workplace:
    """A new folder below `place`, which is made if need be. `StoreError` if it cannot be written."""

    def __init__(self, place: Path) -> None:
        self.place = place
        try:
            _make(place)
            for stale in place.glob(f"{_PREFIX}*"):
                _remove_if_stale(stale)
            self.folder, self._lock = _locked_folder(place)
        except OSError as error:
            raise self.unwritable(error) from error

    def open(self, name: str) -> IO[bytes]:
        """A new file in the folder, to be written and read."""
        try:
            descriptor = os.open(self.folder / name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            return open(descriptor, "r+b", buffering=_BUFFER_BYTES)  # noqa: PTH123 - a descriptor
        except OSError as error:
            raise self.unwritable(error) from error

    def publish(self, file: IO[bytes], source: str, name: str) -> Path:
        """Sync the folder's file `source`, close it and move it to its place under `name`."""
        file.flush()
        os.fsync(file.fileno())
        file.close()
        path = self.place / name
        (self.folder / source).replace(path)
        _sync_folder(self.place)
        return path

    def remove(self) -> None:
        """Remove the folder with what is left in it. Twice is the same as once."""
        if self._lock >= 0:
            lock, self._lock = self._lock, -1
            shutil.rmtree(self.folder, ignore_errors=True)
            with suppress(OSError):  # what there was to keep is published
                os.close(lock)

    def unwritable(self, error: OSError) -> StoreError:
        """What a failed write is to a caller."""
        reason = os.strerror(error.errno or 0)
        return StoreError(
            "tree cannot be written", got=reason, where=self.place, hint="is there space, and may I write?"
        )


def abandon(file: IO[bytes] | None) -> None:
    """Close a file whose content is not wanted: that its last bytes cannot be written does not matter."""
    if file is not None:
        with suppress(OSError):
            file.close()


def _make(place: Path) -> None:
    if not place.exists():
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        _sync_folder(place.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _locked_folder(place: Path) -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
        descriptor = -1
        try:
            descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if (folder / _LOCK).exists():
                return folder, descriptor
        except FileNotFoundError:
            pass
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        # Between its making and its locking, another writer took the folder for a dead one's.
        if descriptor >= 0:
            os.close(descriptor)


def _remove_if_stale(folder: Path) -> None:
    try:
        descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        with suppress(OSError):  # somebody else removed it
            if time.time() - folder.stat().st_mtime > _UNLOCKED_S:
                shutil.rmtree(folder, ignore_errors=True)
        return
    except OSError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return  # it is written to
    else:
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(descriptor)
