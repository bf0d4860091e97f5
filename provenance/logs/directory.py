"""A log's files in a directory: a mirror, an export, or what a web server serves.

Invariants: only regular files are read, nothing waits on a pipe or device, and no more than a file may have.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from provenance.errors import LogError
from provenance.limits import MAX_NOTE_BYTES
from provenance.log import encode_tile_path
from provenance.log.static import CHECKPOINT_PATH, StaticPath, max_bytes_of
from provenance.logs.base import LogFiles, check_name


class DirectoryLog:
    """One folder."""

    is_local = True

    def __init__(self, root: Path) -> None:
        self._root = root
        self.label = str(root)

    def checkpoint(self) -> bytes:
        """See `LogFiles`."""
        data = self._read(CHECKPOINT_PATH, MAX_NOTE_BYTES)
        if data is None:
            raise LogError("there is no log here", expected="a file called checkpoint", where=self._root)
        return data

    def read(self, path: StaticPath) -> bytes | None:
        """See `LogFiles`."""
        return self._read(encode_tile_path(path).removeprefix("/"), max_bytes_of(path))

    def beside(self, name: str, max_bytes: int) -> bytes | None:
        """See `LogFiles`."""
        return self._read(check_name(name), max_bytes)

    def close(self) -> None:
        """Nothing is held."""

    def _read(self, name: str, max_bytes: int) -> bytes | None:
        where = self._root / name
        try:
            descriptor = os.open(where, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError) as error:
            raise LogError("cannot read a file of the log", got=type(error).__name__, where=where) from error
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return None  # a folder of partial tiles, say
            with open(descriptor, "rb", closefd=False) as file:
                data = file.read(max_bytes + 1)
        except OSError as error:
            raise LogError("cannot read a file of the log", got=error.strerror, where=where) from error
        finally:
            os.close(descriptor)
        if len(data) > max_bytes:
            raise LogError("file of the log is too large", expected=f"at most {max_bytes} bytes", where=where)
        return data


def open_log(address: str, _timeout_s: float) -> LogFiles:
    """The log in a folder, by its path or as file://."""
    return DirectoryLog(Path(address.removeprefix("file://")))
