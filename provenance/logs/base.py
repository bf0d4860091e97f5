"""What reads a log's public files (c2sp.org/tlog-tiles), and which kinds there are by address.

Guarantees of every kind: an answer comes in bounded time, or `LogError`; it is never larger than a file at that path
may be, decompressed; nothing but the named log is asked; nothing is verified, and what is given may be lies.
"""

from __future__ import annotations

import re
from importlib import import_module
from typing import Final, Protocol

from provenance.errors import MalformedError, printable
from provenance.limits import MAX_URI_CHARS
from provenance.log.static import StaticPath

DEFAULT_TIMEOUT_S: Final = 30.0
_NAME = re.compile(r"[A-Za-z0-9._@+-]+(?:/[A-Za-z0-9._@+-]+)*")
_KINDS: Final = {
    "http": "provenance.logs.http",
    "https": "provenance.logs.http",
    "file": "provenance.logs.directory",
    "": "provenance.logs.directory",
}


class LogFiles(Protocol):
    """The files of one log."""

    @property
    def label(self) -> str:
        """Where they are, for messages: without user, password or query."""

    @property
    def is_local(self) -> bool:
        """Whether reading one costs no network."""

    def checkpoint(self) -> bytes:
        """The signed checkpoint as it is now; `LogError` if there is none."""

    def read(self, path: StaticPath) -> bytes | None:
        """The tile or bundle at a path; None if the log says that it has none. `LogError` if it cannot be asked."""

    def beside(self, name: str, max_bytes: int) -> bytes | None:
        """What lies beside the log under a relative path, at most so many bytes (`LogError`); None if there is nothing.

        Whatever it is, it is no part of the log.
        """

    def close(self) -> None:
        """Release connections."""


def check_name(name: str) -> str:
    """The name, if it is a relative path of plain characters that leads nowhere else; `MalformedError`."""
    if not _NAME.fullmatch(name) or ".." in name.split("/"):
        raise MalformedError("not the name of something beside a log", expected="a relative path", got=name)
    return name


def open_log(address: str, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> LogFiles:
    """The log at an http(s) URL, which is what `/checkpoint` and `/tile` follow, or in a directory.

    `MalformedError` for an address of no kind.
    """
    scheme, separator, _ = address.partition("://")
    kind = _KINDS.get(scheme.lower() if separator else "")
    if kind is None or not address or len(address) > MAX_URI_CHARS:
        shown = printable(scheme) if separator and len(scheme) < 32 else "something else"
        raise MalformedError("not the address of a log", expected="http(s)://host[:port][/path] or a folder", got=shown)
    opened: LogFiles = import_module(kind).open_log(address, timeout_s)
    return opened
