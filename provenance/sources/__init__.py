"""Sources by URI. `open_source` loads an implementation when its URI is opened."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote_to_bytes

from provenance.errors import SourceError
from provenance.sources.base import Progress, ProgressCallback, Source

__all__ = ["Progress", "ProgressCallback", "Source", "open_source"]

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(//)?")
_LOCAL_FILE = re.compile(r"file:(?://(?:localhost)?(?=/))?(/(?!/)[^?#]*)", re.IGNORECASE)


def open_source(location: str | os.PathLike[str], *, leave_out: Path | None = None) -> Source:
    """The source at a local path or `file:` URI (RFC 8089). `SourceError` for another scheme, host or a query.

    `leave_out` names one folder, the ledger in use, that is no part of the dataset though it may lie within.
    """
    text = os.fspath(location)
    scheme = _SCHEME.match(text)
    if scheme is not None and scheme[1].lower() == "file":
        local = _LOCAL_FILE.fullmatch(text)
        if local is None:
            hint = "percent-encode ? and # in names"
            raise SourceError("not a local file URI", expected="file:///absolute/path", got=ascii(text), hint=hint)
        text = os.fsdecode(unquote_to_bytes(local[1]))
    elif scheme is not None and scheme[2]:
        # The rest is not shown: it may hold a password.
        raise SourceError("unsupported source", expected="a local path or file:// URI", got=f"{scheme[1]}://")
    from provenance.sources.local import LocalSource

    return LocalSource(text, leave_out=leave_out)
