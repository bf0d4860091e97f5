"""Sources by URI. `open_source` loads an implementation when its URI is opened."""

from __future__ import annotations

import os
import re
from urllib.parse import urlsplit

from provenance.errors import SourceError
from provenance.sources.base import Progress, ProgressCallback, Source

__all__ = ["Progress", "ProgressCallback", "Source", "open_source"]

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]+://")


def open_source(location: str | os.PathLike[str]) -> Source:
    """The source at a local path or `file://` URI. `SourceError` for a scheme that is not supported."""
    text = os.fspath(location)
    if _SCHEME.match(text):
        parts = urlsplit(text)
        if parts.scheme != "file":
            raise SourceError("unsupported source", expected="a local path or file:// URI", got=f"{parts.scheme}://")
        text = parts.path
    from provenance.sources.local import LocalSource

    return LocalSource(text)
