"""Where this program may keep what it can make again: the user's cache folder.

Source: the XDG Base Directory Specification.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

ENVIRONMENT: Final = "PROVENANCE_CACHE"


def cache_folder() -> Path:
    """`PROVENANCE_CACHE`, else `provenance` below `XDG_CACHE_HOME` or `~/.cache`. It need not exist."""
    named = os.environ.get(ENVIRONMENT)
    if named:
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The specification has a relative path ignored.
    return (Path(base) if base.startswith("/") else Path.home() / ".cache") / "provenance"
