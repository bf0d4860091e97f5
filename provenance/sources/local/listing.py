"""What lies below a folder: names first, which costs a call a folder; each file's state when it is asked for.

Invariants: an identity is device, inode, size and both times; names are relative with `/`, in the order of their UTF-8
bytes; what is no file or folder is an error, and so is a name that no dataset can hold.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
import sys
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from provenance.errors import MalformedError, SourceError, printable
from provenance.fingerprint import check_path
from provenance.limits import MAX_FILES
from provenance.sources.local.ignore import IGNORE_FILE, MAX_IGNORE_BYTES, IgnoreRules, join_rules, parse_lines

if TYPE_CHECKING:
    from provenance.sources.local.calls import Calls

Identity: TypeAlias = tuple[int, int, int, int, int]
"""Device, inode, size in bytes, times of modification and change in nanoseconds."""

TICK_NS: Final = 11_000_000
"""Longer than a file system's clock stands still (Linux: at most 10 ms): a write after that leaves another time."""
_PLAIN_CHARS: Final = 1_024
_FEW_NAMES: Final = 1_000
_PACKED: Final = 2_048
"""Identities packed in one call."""
IDENTITY: Final = struct.Struct("<QQQqq")
SIZE: Final = 2
MODIFIED: Final = 3
CHANGED: Final = 4


@dataclass(frozen=True, slots=True)
class Listing:
    """The names of a dataset's files, sorted, and the rules by which others were left out."""

    names: list[str]
    rules: tuple[str, ...] = ()


def sizes_of(packed: bytes | bytearray) -> Sequence[int]:
    """The sizes in packed identities."""
    return _column(packed, SIZE).tolist()


def pack(found: Sequence[Identity]) -> bytes:
    """Identities, one after another."""
    parts = [found[start : start + _PACKED] for start in range(0, len(found), _PACKED)]
    return b"".join(_packer(len(part)).pack(*chain.from_iterable(part)) for part in parts)


@lru_cache(maxsize=8)
def _packer(count: int) -> struct.Struct:
    return struct.Struct("<" + IDENTITY.format[1:] * count)


def devices_of(packed: bytes | bytearray) -> Sequence[int]:
    """The devices in packed identities."""
    return _column(packed, 0)


def times_of(packed: bytes | bytearray) -> tuple[Sequence[int], Sequence[int]]:
    """The times of modification, and those of change, in packed identities."""
    return _column(packed, MODIFIED), _column(packed, CHANGED)


def _column(packed: bytes | bytearray, place: int) -> array[int]:
    numbers = array("Q" if place < MODIFIED else "q", bytes(packed))
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers[place :: IDENTITY.size // numbers.itemsize]


def identify(status: os.stat_result) -> Identity:
    """What tells one state of a file from another."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def read_rules(root: Path, more: Iterable[str]) -> IgnoreRules:
    """The rules of a folder's ignore file, then `more`. `SourceError` if the file cannot be read or is too large."""
    path = root / IGNORE_FILE
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise SourceError("ignore file is no file", where=path, hint="rename it")
            data = b""
            while len(data) <= MAX_IGNORE_BYTES and (piece := os.read(descriptor, MAX_IGNORE_BYTES + 1)):
                data += piece
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        return IgnoreRules(more)
    except OSError as error:
        if error.errno == errno.ELOOP:  # a link: the listing names it
            return IgnoreRules(more)
        raise unreadable(str(path), error) from error
    if len(data) > MAX_IGNORE_BYTES:
        raise SourceError("ignore file is too large", expected=f"at most {MAX_IGNORE_BYTES} bytes", where=path)
    try:
        return join_rules(parse_lines(data), more)
    except MalformedError as error:
        raise SourceError(error.what, expected=error.expected, got=error.got, where=path) from error


def list_names(
    root: Path, rules: IgnoreRules, leave_out: Path | None, folders: dict[str, Identity] | None = None
) -> list[str]:
    """The names of all files below `root`, sorted by their UTF-8 bytes. `folders` is told what each folder was like
    before it was listed."""
    from provenance.sources.local.calls import compiled_calls

    pending, names = [(str(root), "")], list[str]()
    left_out = str(leave_out) if leave_out is not None else None
    while pending:
        folder, prefix = pending.pop()
        try:
            if folders is not None:
                folders[folder] = identify(os.lstat(folder))
            # To load them takes longer than to list a few.
            calls = compiled_calls() if not rules and len(names) + len(pending) > _FEW_NAMES else None
            found = _plain_names(folder, calls) if calls is not None else None
            files, below = found or _names_by_rules(folder, prefix, rules)
        except OSError as error:
            raise unreadable(folder, error) from error
        names += [prefix + name for name in files] if prefix else files
        base = folder.rstrip("/")
        paths = [(f"{base}/{name}", f"{prefix}{name}/") for name in below]
        pending += [path for path in paths if path[0] != left_out]
        if len(names) > MAX_FILES:
            raise SourceError("folder holds too many files", expected=f"at most {MAX_FILES}", where=folder)
    return _sorted(names, root)


def _plain_names(folder: str, calls: Calls) -> tuple[list[str], list[str]] | None:
    """The names of the files and of the folders in a folder; None where there may be something else."""
    names, kinds = calls.names_in(folder) or ([], "?")
    if "?" in kinds:
        return None
    if "d" not in kinds:
        return names, []
    files = [name for name, kind in zip(names, kinds, strict=True) if kind == "f"]
    return files, [name for name, kind in zip(names, kinds, strict=True) if kind == "d"]


def _names_by_rules(folder: str, prefix: str, rules: IgnoreRules) -> tuple[list[str], list[str]]:
    """The names of the files and of the folders in a folder that no rule leaves out; an error for what is neither."""
    files, folders, has_rules = list[str](), list[str](), bool(rules)
    with os.scandir(folder) as listing:
        for entry in listing:
            name = entry.name
            is_folder = entry.is_dir(follow_symlinks=False)
            if has_rules and rules.leaves_out(prefix + name, is_folder=is_folder):
                continue
            if entry.is_file(follow_symlinks=False):
                files.append(name)
            elif is_folder:
                folders.append(name)
            else:
                raise refused(Path(entry.path))
    return files, folders


def hold_still(folders: Mapping[str, Identity], listed_ns: int) -> bool:
    """Whether folders that were listed from `listed_ns` on are sure to have the names that they had: no name comes or
    goes without another time of change, if the last was more than a tick before."""
    try:
        return all(
            identity[CHANGED] < listed_ns - TICK_NS and identify(os.lstat(folder)) == identity
            for folder, identity in folders.items()
        )
    except OSError:
        return False


def _sorted(names: list[str], root: Path) -> list[str]:
    # ASCII names that are not long are such as a dataset may hold: the rest a file system cannot give.
    if not "".join(names).isascii() or max(map(len, names), default=0) > _PLAIN_CHARS:
        for name in names:
            checked_name(name, root / name)
    names.sort()  # by code points, which is the order of their UTF-8 bytes
    return names


def checked_name(name: str, path: Path) -> str:
    """The name, if a dataset may hold it."""
    try:
        check_path(name)
    except MalformedError as error:
        raise SourceError(
            error.what, expected=error.expected, got=ascii(name), where=printable(str(path)), hint="rename it"
        ) from error
    return name


def identities(root: str, names: Sequence[str], *, is_here: bool = False) -> list[Identity]:
    """The state of each file now, in one pass. `SourceError` for one that is gone or no file any more.

    `is_here`: `root` is this process's working folder, from where a path is walked sooner.
    """
    found: list[Identity] = []
    look, is_file, append = os.lstat, stat.S_ISREG, found.append
    for name in names:
        try:
            status = look(name if is_here else root + name)
        except OSError as error:
            raise unreadable(root + name, error) from error
        if not is_file(status.st_mode):
            raise refused(Path(root + name))
        append((status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns))
    return found


def refused(path: Path) -> SourceError:
    """What stands where a file should."""
    try:
        mode = path.lstat().st_mode
    except OSError as error:
        return unreadable(str(path), error)
    hint = "copy what it points to into the dataset" if stat.S_ISLNK(mode) else "move it elsewhere"
    return SourceError("not a file or folder", got=kind_of(mode), where=path, hint=hint)


def changed(path: Path | str) -> SourceError:
    """A file that is not what it was."""
    return SourceError("file changed while it was read", where=path, hint="stop what writes to it, then try again")


def unreadable(path: str, error: Exception) -> SourceError:
    """What a failed call is to a caller."""
    if isinstance(error, RuntimeError) or (isinstance(error, OSError) and error.errno == errno.ELOOP):
        return SourceError(
            "symbolic link leads nowhere", expected="a file or folder", got="a loop of links", where=path
        )
    if isinstance(error, FileNotFoundError):
        return SourceError("no such file or folder", where=path)
    reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
    return SourceError("cannot read", got=reason, where=path)


def kind_of(mode: int) -> str:
    """What a mode is of, in words."""
    kinds = {
        stat.S_IFLNK: "a symbolic link",
        stat.S_IFIFO: "a pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    return kinds.get(stat.S_IFMT(mode), "something else")
