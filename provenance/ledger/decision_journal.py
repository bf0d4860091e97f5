"""The journal of decisions: what was acknowledged and is not in the log yet.

Invariants: a decision is in the file, handed to the operating system, before it is acknowledged: a process that is
killed loses none (a power cut may lose what was not synced; batches are synced before they are logged); a torn last
record was never acknowledged and is dropped; files and folder are private; a file belongs to one process, by its lock.

Bytes, 128 a decision, big-endian: time in microseconds since 1970 (8), salt (16), SHA-256(salt || input) (32),
SHA-256(salt || output) (32), SHA-256 of an explanation or zeros (32), whether there is one (1), zeros (3), CRC-32 of
all before it (4).
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from zlib import crc32

from provenance.errors import StoreError

RECORD: Final = struct.Struct(">Q16s32s32s32s?3x")
RECORD_BYTES: Final = RECORD.size + 4
_CRC: Final = struct.Struct(">I")
NO_EXPLANATION: Final = bytes(32)
SUFFIX: Final = ".journal"


@dataclass(frozen=True, slots=True)
class Decided:
    """One decision as it was noted; `time_us` is microseconds since 1970, digests are 32 bytes."""

    time_us: int
    salt: bytes
    input: bytes
    output: bytes
    explanation: bytes | None


class Journal:
    """A file of decisions that this process writes."""

    def __init__(self, path: Path) -> None:
        self.path, self.count, self._file = path, 0, -1
        # Under a name that nobody looks for until it is locked: a journal without a lock would be taken for abandoned.
        begun = path.with_name(f"{path.name}.new")
        try:
            if path.exists():
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
            self._file = os.open(begun, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            begun.rename(path)
        except OSError as error:
            self._close()
            raise StoreError("cannot begin a journal of decisions", got=error.strerror, where=path) from error

    def add(self, packed: bytes) -> int:
        """Write `RECORD` packed, and return its number in this file. Not for two threads at a time."""
        data = packed + _CRC.pack(crc32(packed))
        try:
            if os.write(self._file, data) != RECORD_BYTES:
                raise StoreError("a decision was not written", expected=RECORD_BYTES, where=self.path)
        except OSError as error:
            raise StoreError("a decision was not written", got=error.strerror, where=self.path) from error
        self.count += 1
        return self.count - 1

    def end(self) -> None:
        """Sync and close it; once is enough."""
        if self._file < 0:
            return
        try:
            os.fsync(self._file)
        except OSError as error:
            raise StoreError("cannot sync the decisions", got=error.strerror, where=self.path) from error
        finally:
            self._close()

    def _close(self) -> None:
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)


def read_journal(path: Path) -> Iterator[Decided]:
    """The decisions in a file, in their order. Whatever follows a torn or damaged record is not read."""
    try:
        with path.open("rb") as file:
            while len(data := file.read(RECORD_BYTES)) == RECORD_BYTES:
                packed, check = data[: RECORD.size], data[RECORD.size :]
                if _CRC.unpack(check)[0] != crc32(packed):
                    return
                time_us, salt, given, answer, explanation, has_one = RECORD.unpack(packed)
                yield Decided(time_us, salt, given, answer, explanation if has_one else None)
    except OSError as error:
        raise StoreError("cannot read the decisions", got=error.strerror, where=path) from error


def abandoned(folder: Path) -> list[Path]:
    """Journals in a folder that no process is writing, oldest first."""
    return [path for path in sorted(folder.glob(f"*{SUFFIX}")) if _is_free(path)]


def _is_free(path: Path) -> bool:
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    else:
        return True
    finally:
        os.close(file)
