"""Sources by URI. `open_source` loads an implementation when its URI is opened."""

from __future__ import annotations

import os
import re
from urllib.parse import unquote_to_bytes

from provenance.errors import SourceError
from provenance.sources.base import Progress, ProgressCallback, Reading, Source, Workers

__all__ = ["Progress", "ProgressCallback", "Reading", "Source", "Workers", "open_source"]

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(//)?")
_LOCAL_FILE = re.compile(r"file:(?://(?:localhost)?(?=/))?(/(?!/)[^?#]*)", re.IGNORECASE)


def open_source(location: str | os.PathLike[str], reading: Reading | None = None) -> Source:
    """The source at a local path, `file:` URI (RFC 8089) or any URI that fsspec reads.

    `SourceError` for an unknown scheme, a `file:` URI with a host or query, or a scheme whose extra is not installed.
    """
    reading = reading or Reading()
    text = os.fspath(location)
    if not text:
        raise SourceError("there is no path", expected="a file, a folder or a URI", got="an empty text")
    scheme = _SCHEME.match(text)
    if scheme is not None and scheme[1].lower() == "file":
        local = _LOCAL_FILE.fullmatch(text)
        if local is None:
            hint = "percent-encode ? and # in names"
            raise SourceError("not a local file URI", expected="file:///absolute/path", got=ascii(text), hint=hint)
        text = os.fsdecode(unquote_to_bytes(local[1]))
    elif scheme is not None and scheme[2]:
        from provenance.sources.remote import RemoteSource

        return RemoteSource(text, reading)
    from provenance.sources.local import LocalSource

    return LocalSource(text, reading)
