"""The journal of decisions: what was acknowledged and is not in the log yet.

Invariants: a decision is in the file, handed to the operating system, before it is acknowledged: a process that is
killed loses none (a power cut may lose what was not synced; batches are synced before they are logged); a decision
that was written in part is cut off again, or the file is written no more; files and folder are private; a file belongs
to one process, by its lock, from its first byte until it is logged; it says whose decisions it holds.

Bytes, 128 first: "decisions" and zeros (16), SHA-256 of the model's envelope, which is its log entry (32), zeros (76),
CRC-32 of all before it (4). Then 128 a decision, big-endian: time in microseconds since 1970 (8), salt (16),
SHA-256(salt || input) (32), SHA-256(salt || output) (32), SHA-256 of an explanation or zeros (32), whether there is
one (1), zeros (3), CRC-32 of all before it (4). A file whose name does not end in `.v2.journal` is of an earlier
release and has no such beginning.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from zlib import crc32

from provenance.encoding import Digest
from provenance.errors import StoreError

RECORD: Final = struct.Struct(">Q16s32s32s32s?3x")
RECORD_BYTES: Final = RECORD.size + 4
_CRC: Final = struct.Struct(">I")
NO_EXPLANATION: Final = bytes(32)
SUFFIX: Final = ".journal"
"""What the name of any journal ends in."""
HEADED: Final = ".v2.journal"
"""What the name of a journal ends in that says whose decisions it holds."""
_HEADER: Final = struct.Struct(">16s32s76x")
_MAGIC: Final = b"decisions".ljust(16, b"\0")


@dataclass(frozen=True, slots=True)
class Decided:
    """One decision as it was noted; `time_us` is microseconds since 1970, digests are 32 bytes."""

    time_us: int
    salt: bytes
    input: bytes
    output: bytes
    explanation: bytes | None


@dataclass(frozen=True, slots=True)
class Noted:
    """What a journal holds: a row a decision, None where one cannot be read; `is_whole` if there is nothing else.

    `model` is the SHA-256 of the envelope of the model that decided; None if that cannot be read, or is not said.
    """

    rows: tuple[Decided | None, ...]
    is_whole: bool
    model: Digest | None = None

    @property
    def damaged(self) -> int:
        """How many decisions cannot be read."""
        return sum(one is None for one in self.rows)


class Claim:
    """A journal that is written no more and belongs to this process until it is released."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path, self.descriptor = path, descriptor

    def release(self) -> None:
        """Leave it to whoever comes next; once is enough."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            with contextlib.suppress(OSError):  # nothing was written through it
                os.close(descriptor)


class Journal:
    """A file of decisions that this process writes; its name ends in `HEADED`. `model` is the SHA-256 of the envelope
    of the model that decides. `is_broken`: it ends in a part of a decision, and is done."""

    def __init__(self, path: Path, model: Digest) -> None:
        self.path, self.count, self.is_broken, self._file = path, 0, False, -1
        # Under a name that nobody looks for until it is locked: a journal without a lock would be taken for abandoned.
        begun = path.with_name(f"{path.name}.new")
        try:
            if path.exists():
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
            self._file = os.open(begun, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.write(self._file, _with_crc(_HEADER.pack(_MAGIC, model.raw))) != RECORD_BYTES:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            begun.rename(path)
        except OSError as error:
            if self._file >= 0:
                with contextlib.suppress(OSError):
                    begun.unlink()
            self.abandon()
            raise StoreError("cannot begin a journal of decisions", got=error.strerror, where=path) from error

    def add(self, packed: bytes) -> int:
        """Write `RECORD` packed, and return its number in this file. Not for two threads at a time.

        `StoreError` if it is not in the file whole; then nothing of it is, or the journal is broken.
        """
        if self.is_broken:
            raise StoreError("a decision was not written: the journal ends in a part of one", where=self.path)
        data = _with_crc(packed)
        try:
            if (written := os.write(self._file, data)) != RECORD_BYTES:
                raise StoreError("a decision was not written", expected=f"{RECORD_BYTES} bytes", got=written)
            self.count += 1
        except OSError as error:
            self._cut()
            raise StoreError("a decision was not written", got=error.strerror, where=self.path) from error
        except BaseException:  # a signal's, too: what is not counted must not be there, or all later numbers are wrong
            self._cut()
            raise
        return self.count - 1

    def sync(self) -> None:
        """Make all of it survive a power cut."""
        if self._file < 0:
            return
        try:
            os.fsync(self._file)
        except OSError as error:
            raise StoreError("cannot sync the decisions", got=error.strerror, where=self.path) from error

    def end(self) -> Claim | None:
        """Write no more; the claim on the file, the first time."""
        file, self._file = self._file, -1
        return Claim(self.path, file) if file >= 0 else None

    def abandon(self) -> None:
        """Leave the file, whatever it holds, to others."""
        claim, self.count, self.is_broken = self.end(), 0, False
        if claim is not None:
            claim.release()

    def _cut(self) -> None:
        if self._file < 0:
            return
        try:
            os.ftruncate(self._file, (1 + self.count) * RECORD_BYTES)
        except OSError:
            self.is_broken = True


def read_journal(path: Path) -> Noted:
    """What is noted in a file, in its order, and whose it is; what is damaged is passed over.

    Every 128 bytes that are no record count as one that cannot be read, so that the rows after it keep their numbers;
    fewer are what was written in part and never acknowledged.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise StoreError("cannot read the decisions", got=error.strerror, where=path) from error
    rows: list[Decided | None] = []
    model, at, is_whole = None, 0, True
    if path.name.endswith(HEADED):
        model, at = _parse_header(data), RECORD_BYTES
        is_whole = model is not None or len(data) < 2 * RECORD_BYTES
    end = at
    while at + RECORD_BYTES <= len(data):
        one = _parse(data[at : at + RECORD_BYTES])
        if one is None:
            at += 1
            continue
        if at != end:
            is_whole = False
            rows += [None] * ((at - end) // RECORD_BYTES)
        rows.append(one)
        at = end = at + RECORD_BYTES
    lost = max(len(data) - end, 0) // RECORD_BYTES
    return Noted((*rows, *[None] * lost), is_whole and not lost, model)


def version_of(path: Path) -> str:
    """The version of the batch that a journal becomes."""
    return path.name.removesuffix(HEADED).removesuffix(SUFFIX)


def adopt(folders: Sequence[Path], limit: int) -> list[Claim]:
    """Journals in these folders that no process holds, oldest first, at most `limit`: this one's from now on."""
    claims: list[Claim] = []
    for path in sorted((path for folder in folders for path in folder.glob(f"*{SUFFIX}")), key=lambda one: one.name):
        if len(claims) >= limit:
            break
        claim = _claim(path)
        if claim is not None:
            claims.append(claim)
    return claims


def _with_crc(packed: bytes) -> bytes:
    return packed + _CRC.pack(crc32(packed))


def _parse_header(data: bytes) -> Digest | None:
    packed, end = data[: _HEADER.size], data[_HEADER.size : RECORD_BYTES]
    if len(packed + end) != RECORD_BYTES or end != _CRC.pack(crc32(packed)):
        return None
    magic, model = _HEADER.unpack(packed)
    return Digest(model) if magic == _MAGIC else None


def _parse(data: bytes) -> Decided | None:
    packed = data[: RECORD.size]
    if _CRC.unpack_from(data, RECORD.size)[0] != crc32(packed):
        return None
    time_us, salt, given, answer, explanation, has_one = RECORD.unpack(packed)
    return Decided(time_us, salt, given, answer, explanation if has_one else None)


def _claim(path: Path) -> Claim | None:
    try:
        claim = Claim(path, os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC))
    except OSError:
        return None
    try:
        fcntl.flock(claim.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(claim.descriptor).st_ino == path.stat().st_ino:  # else it was logged while this one waited
            return claim
    except OSError:
        pass
    claim.release()
    return None
