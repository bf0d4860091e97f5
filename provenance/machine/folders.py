"""Where this program may keep what it can make again: the user's cache folder.

Source: the XDG Base Directory Specification.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from provenance.errors import MalformedError

ENVIRONMENT: Final = "PROVENANCE_CACHE"


def cache_folder() -> Path:
    """`PROVENANCE_CACHE`, else `provenance` below `XDG_CACHE_HOME` or `~/.cache`. It need not exist. `MalformedError`
    for a user without a home."""
    named = os.environ.get(ENVIRONMENT)
    if named:
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME", "")
    try:
        # The specification has a relative path ignored.
        return (Path(base) if base.startswith("/") else Path.home() / ".cache") / "provenance"
    except RuntimeError:
        hint = f"set {ENVIRONMENT}, or read without a cache"
        raise MalformedError("no folder for caches", expected="a home folder", hint=hint) from None
