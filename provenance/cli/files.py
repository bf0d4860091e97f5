"""Files that a verb reads or writes besides datasets: bundles, trust roots, keys, passphrases, receipts.

Invariants: only regular files of at most a stated size are read, and nothing waits on a pipe or device; a file is
written whole or not at all, never into a ledger's own folder, and never over anything but a regular file.
"""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

from provenance.errors import LimitError, MalformedError, SourceError

_LEDGER_FOLDER = ".provenance"
STDOUT = "-"


def read_file(path: str, what: str, *, max_bytes: int) -> bytes:
    """The bytes of the file at `path`. `SourceError` if it is no readable file, `LimitError` if it is too large."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except ValueError:
        raise MalformedError("path holds a zero byte", where=path) from None
    except OSError as error:
        raise SourceError(f"cannot read the {what}", got=error.strerror, where=path) from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise SourceError(f"{what} is not a file", expected="a regular file", got=_kind(status.st_mode), where=path)
        if status.st_size > max_bytes:
            raise LimitError(
                f"{what} is too large", expected=f"at most {max_bytes} bytes", got=f"{status.st_size} bytes", where=path
            )
        with open(descriptor, "rb", closefd=False) as file:
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise SourceError(f"cannot read the {what}", got=error.strerror, where=path) from error
    finally:
        os.close(descriptor)
    if len(data) > max_bytes:  # it grew
        raise LimitError(f"{what} is too large", expected=f"at most {max_bytes} bytes", where=path)
    return data


def read_lines(path: str, what: str, *, max_bytes: int) -> list[str]:
    """The lines of a text file, without blank ones and those that begin with `#`; errors as of `read_file`."""
    data = read_file(path, what, max_bytes=max_bytes)
    try:
        lines = [line.strip() for line in data.decode("utf-8").splitlines()]
    except UnicodeDecodeError as error:
        raise MalformedError(f"{what} is not UTF-8", where=f"byte {error.start} of {path}") from error
    return [line for line in lines if line and not line.startswith("#")]


def check_output(path: str, *, as_json: bool = False) -> None:
    """Raise `MalformedError` unless a file can be written at `path`, before work is done whose result goes there.

    A draft is made and removed: a folder's mode says nothing to root, and nothing of file systems that are read-only.
    """
    if path != STDOUT:
        draft = _draft(_resolved(path))
        try:
            draft.open("xb").close()
            draft.unlink()
        except OSError as error:
            hint = "name a file in a folder that you may write to"
            raise MalformedError("cannot write there", got=error.strerror, where=path, hint=hint) from error
    elif as_json:
        raise MalformedError("--json and -o - both want stdout", expected="-o FILE")


def write_file(path: str, data: bytes) -> None:
    """Write `data` to `path` (`-` is stdout), replacing a file that is there in one step."""
    if path == STDOUT:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        return
    target = _resolved(path)
    draft = _draft(target)
    try:
        with draft.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(target)
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from error  # where it was to go, not what it was drafted in
    finally:
        draft.unlink(missing_ok=True)


def _draft(target: Path) -> Path:
    return target.with_name(f".{target.name[:100]}.{os.getpid()}.new")


def _resolved(path: str) -> Path:
    try:
        target = Path(path).resolve()
        mode = target.stat().st_mode if target.exists() else None
        parent_is_folder = target.parent.is_dir()
    except (OSError, RuntimeError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise MalformedError("cannot write there", got=reason, where=path) from error
    if mode is not None and not stat.S_ISREG(mode):
        raise MalformedError("cannot write there", expected="a file or a new name", got=_kind(mode), where=path)
    if not path or not parent_is_folder:
        raise MalformedError("cannot write there", expected="a name in a folder that exists", where=path)
    if _LEDGER_FOLDER in target.parts:
        hint = "name a place outside the ledger's folder"
        raise MalformedError("that is among the ledger's own files", where=path, hint=hint)
    return target


def _kind(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "a folder"
    return "a pipe" if stat.S_ISFIFO(mode) else "a device or socket"
