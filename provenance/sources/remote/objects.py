"""What a store of objects must be able to do, and what is known of one object before it is read.

Invariants: `state` is whatever the store changes when the object changes (ETag, version, time, size). It is compared,
and nothing else: an ETag is never taken for the hash of a content, whatever it looks like. `stated` is a SHA-256 that
the store says the content has.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Protocol

from provenance.encoding import Digest
from provenance.errors import MalformedError, SourceError, printable
from provenance.fingerprint import check_path
from provenance.limits import MAX_FILES, MAX_SAFE_INTEGER


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One object: its name in the dataset, what the store calls it, its size in bytes and its state. It `is_alone` if
    the address names it, and not a folder that it lies in."""

    name: str
    key: str = field(repr=False)
    size: int
    state: tuple[str, ...]
    stated: Digest | None = field(default=None, compare=False)
    is_alone: bool = field(default=False, compare=False)


class ObjectStore(Protocol):
    """One dataset in a store. Its methods may be called by several threads at a time, except `close`.

    Every method raises `SourceError` for what will not change, and `TransientError` for what may be tried again.
    No error carries a text of the library or server, in which a token may stand.
    """

    @property
    def label(self) -> str:
        """Where the dataset is, for messages."""

    @property
    def range_bytes(self) -> int | None:
        """The most that one `read` should take; None if an object is best read in one stream."""

    @property
    def is_immutable(self) -> bool:
        """Whether what was listed once can never change, so that it need not be listed again."""

    def list(self) -> Sequence[StoredObject]:
        """Every object of the dataset, sorted by name."""

    def stat(self, name: str) -> StoredObject:
        """The object of this name, as `list` has it."""

    def state_digests(self, found: Sequence[StoredObject]) -> Sequence[StoredObject]:
        """The same objects, with the SHA-256 that the store states of each, where it does."""

    def can_resume(self, stored: StoredObject, /) -> bool:
        """Whether parts read one after the other are surely of one state of the object."""

    def read(self, stored: StoredObject, start: int, stop: int) -> Iterator[bytes]:
        """The bytes from `start` up to `stop` in pieces of at most a few MiB, none of them empty."""

    def close(self) -> None:
        """Give connections back. Twice is the same as once."""


def checked_object(
    name: str,
    key: str,
    size: object,
    state: tuple[str, ...],
    *,
    where: str,
    stated: Digest | None = None,
) -> StoredObject:
    """The object, if it may be a file of a dataset; `SourceError` that names it otherwise."""
    try:
        check_path(name)
    except MalformedError as error:
        hint = "rename the object"
        raise SourceError(error.what, expected=error.expected, got=ascii(name), where=where, hint=hint) from error
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= MAX_SAFE_INTEGER:
        raise SourceError("store does not say how large the object is", where=object_label(where, name))
    return StoredObject(name, key, size, state, stated)


def checked_listing(listed: Iterable[StoredObject], label: str) -> Sequence[StoredObject]:
    """The objects sorted by name; `SourceError` if there is none, or one name stands for two."""
    found = sorted(listed, key=lambda stored: stored.name)
    if not found:
        raise SourceError("no such object or folder", expected="at least one object", where=label)
    check_count(len(found), label)
    for before, after in pairwise(found):
        if before.name == after.name:
            raise SourceError("two objects have one name", got=ascii(before.name), where=label)
    return found


def check_count(count: int, label: str) -> None:
    """Raise unless so many objects may be one dataset."""
    if count > MAX_FILES:
        raise SourceError("folder holds too many objects", expected=f"at most {MAX_FILES}", where=label)


def object_label(label: str, name: str) -> str:
    """How to name one object in a message."""
    if label.rstrip("/").rpartition("/")[2] == name:
        return label
    return printable(f"{label.rstrip('/')}/{name}")


def relative_name(key: str, folder: str) -> str | None:
    """The name of `key` below `folder` (which ends in `/`, or is empty); None if it is no file: a folder's own marker.

    The written rule: an empty object whose key ends in `/` is how consoles draw an empty folder, and no file. The
    caller looks at its size.
    """
    name = key.removeprefix(folder)
    return None if not name or name.endswith("/") else name
