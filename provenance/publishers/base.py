"""What takes a log's public files (c2sp.org/tlog-tiles), and which kinds there are by address.

Guarantees of every kind: a file is there whole or not at all; one that is there is never rewritten, and one that would
become another is refused; when `checkpoint` returns, everything put before it is durable and readable, and the
checkpoint is the last that becomes visible, so that whoever reads at any moment finds every file of the checkpoint that
he read; each call ends in bounded time; no message holds a credential.
"""

from __future__ import annotations

from importlib import import_module
from typing import Final, Protocol

from provenance.errors import MalformedError, printable
from provenance.limits import MAX_URI_CHARS
from provenance.log.static import StaticPath

_KINDS: Final = {
    "file": "provenance.publishers.directory",
    "": "provenance.publishers.directory",
    "s3": "provenance.publishers.s3",
}


class Publisher(Protocol):
    """A place that a log is published to. One writer at a time."""

    @property
    def label(self) -> str:
        """The place, for messages."""

    def published(self) -> bytes | None:
        """The checkpoint that is there; None before the first."""

    def put(self, path: StaticPath, data: bytes) -> bool:
        """Put a tile or bundle there; False if it was. `ConflictError` if another file is there, `LogError` if the
        place cannot be written."""

    def read(self, path: StaticPath) -> bytes | None:
        """The tile or bundle that is there; None if there is none."""

    def checkpoint(self, note: bytes) -> None:
        """Make everything durable that was put, then let the checkpoint be this one."""

    def head(self) -> bytes | None:
        """The head of the log's map that is there; None before the first."""

    def put_head(self, note: bytes) -> None:
        """Let the head of the log's map be this one, durably, at `map/head`."""

    def close(self) -> None:
        """Release the place."""


def open_publisher(address: str) -> Publisher:
    """The place at `s3://bucket[/prefix]`, or the folder at a path or `file://`, which is made if it is not there.

    `MalformedError` for an address of no kind, `LogError` if the place cannot be used.
    """
    scheme, separator, _ = address.partition("://")
    kind = _KINDS.get(scheme.lower() if separator else "")
    if kind is None or not address or len(address) > MAX_URI_CHARS:
        shown = printable(scheme) if separator and len(scheme) < 32 else "something else"
        raise MalformedError("not a place to publish to", expected="a folder or s3://bucket[/prefix]", got=shown)
    opened: Publisher = import_module(kind).open_publisher(address)
    return opened
