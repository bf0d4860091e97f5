"""Small files that hold a secret.

Invariants: a secret file is a regular file with mode 0600 from its first byte on, whatever the umask; it appears under
its name whole or not at all, never in place of another file, and is gone again if that could not be made to last; it is
read only if it is no symbolic link, belongs to this user (or root) and is closed to everyone else. Its content is in no
error.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

from provenance.errors import ConflictError, SignerError
from provenance.limits import MAX_KEY_BYTES

_MODE = 0o600
_OTHERS = 0o077
_WRITABLE_BY_OTHERS = 0o022


def write_secret(path: Path, content: bytes) -> None:
    """Create `path` durably with mode 0600. `ConflictError` if anything is there; `SignerError` if it cannot be."""
    folder = path.parent
    draft = folder / f".{path.name}.{os.urandom(8).hex()}.new"
    made = [draft]
    try:
        open_folder(folder)
        try:
            _write_draft(draft, content)
            os.link(draft, path, follow_symlinks=False)
            made.append(path)
            draft.unlink()
            _sync_folder(folder)
        except BaseException:
            _remove(made)
            raise
    except FileExistsError:
        hint = "choose another name; a key is never replaced"
        raise ConflictError("key file is already there", expected="a new name", where=path, hint=hint) from None
    except OSError as error:
        raise SignerError("key file cannot be written", got=error.strerror, where=path) from None


def read_secret(path: Path) -> bytes:
    """The content of `path`, at most 16 KiB. `SignerError` if it is missing, a link, foreign, open to others or big."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise SignerError("key file is missing", where=path) from None
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK):
            hint = "put the key file itself there"
            raise SignerError("key file is a symbolic link", expected="a file", where=path, hint=hint) from None
        raise SignerError("key file cannot be opened", got=error.strerror, where=path) from None
    try:
        _check_status(os.fstat(descriptor), path)
        content = _read_up_to(descriptor, MAX_KEY_BYTES + 1)
    except OSError as error:
        raise SignerError("key file cannot be read", got=error.strerror, where=path) from None
    finally:
        with suppress(OSError):  # it was read, whatever comes of closing it
            os.close(descriptor)
    if len(content) > MAX_KEY_BYTES:
        raise SignerError("key file is too large", expected=f"at most {MAX_KEY_BYTES} bytes", where=path)
    return content


def open_folder(folder: Path) -> None:
    """Make `folder` (mode 0700) if need be. `SignerError` if someone else could replace files in it."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
    except OSError as error:
        raise SignerError("key folder cannot be used", got=error.strerror, where=folder) from None
    sticky = status.st_mode & stat.S_ISVTX
    if stat.S_IMODE(status.st_mode) & _WRITABLE_BY_OTHERS and not sticky:
        hint = f"chmod 700 {folder}"
        raise SignerError("key folder is open to others", expected="mode 0700", where=folder, hint=hint)


def _remove(made: list[Path]) -> None:
    """Take back what this call has made, so that it can be repeated."""
    for path in made:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def _write_draft(draft: Path, content: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(draft, flags, _MODE)
    try:
        os.fchmod(descriptor, _MODE)
        if stat.S_IMODE(os.fstat(descriptor).st_mode) != _MODE:
            hint = "put the ledger on a file system that keeps file modes"
            raise SignerError("file system does not keep a key private", expected="mode 0600", where=draft, hint=hint)
        view = memoryview(content)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _check_status(status: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise SignerError("key file is not a file", expected="a regular file", where=path)
    mode = stat.S_IMODE(status.st_mode)
    if mode & _OTHERS:
        hint = f"chmod 600 {path}; if others could read it, make a new key"
        raise SignerError(
            "key file is open to others", expected="mode 0600", got=f"mode {mode:04o}", where=path, hint=hint
        )
    if os.geteuid() != 0 and status.st_uid not in (os.geteuid(), 0):
        raise SignerError("key file belongs to someone else", expected="your own file", where=path)


def _read_up_to(descriptor: int, max_bytes: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while size < max_bytes and (part := os.read(descriptor, max_bytes - size)):
        parts.append(part)
        size += len(part)
    return b"".join(parts)
