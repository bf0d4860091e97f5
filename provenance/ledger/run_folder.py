"""The folder of a run: which files are there, when each changed last, and where an output is."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from provenance.errors import SourceError

_MAX_FILES: Final = 1_000_000
"""Files in the folder of a run; what more than these are opened is not told apart."""
_NOT_DATA: Final = frozenset({"__pycache__", ".git", ".provenance"})
"""Folders whose files are made of others, or are this program's own."""


def made_at(folder: Path, path: str) -> Path:
    """Where an output is. `SourceError` if nothing is there, or a link that leads elsewhere."""
    place = folder / path
    if place.is_symlink() or place.resolve() != folder.resolve() / path:
        raise SourceError("output is a symbolic link", expected="a file or folder of the run's own", where=path)
    if not place.exists():
        raise SourceError("the run did not make its output", expected="a file or folder", where=path)
    return place


def is_in(path: str, outputs: Sequence[str]) -> bool:
    """Whether a path is an output, in one, or in a folder whose files are no data."""
    return any(path == one or path.startswith(one + "/") for one in outputs) or not _NOT_DATA.isdisjoint(
        path.split("/")
    )


def files_in(folder: Path) -> dict[str, int] | None:
    """The files of a folder, by their paths in it, and when each was changed last (its name and links, too); None if
    there are too many."""
    found = dict[str, int]()
    for place, folders, files in os.walk(folder):
        folders[:] = [one for one in folders if one not in _NOT_DATA]
        begin = Path(place).relative_to(folder).as_posix()
        found.update((path, changed_ns(folder / path)) for path in (f"{begin}/{name}" for name in files))
        if len(found) > _MAX_FILES:
            return None
    return {path.removeprefix("./"): changed for path, changed in found.items()}


def changed_ns(place: Path) -> int:
    """The time of the last change of a file or its links, in nanoseconds; -1 if it is not there."""
    try:
        return os.lstat(place).st_ctime_ns
    except OSError:
        return -1
