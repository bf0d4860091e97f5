"""The folder of a run: which files are there, when each changed last, and where an output is."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from provenance.errors import SourceError

_MAX_FILES: Final = 1_000_000
"""Files in the folder of a run; what more than these are opened is not told apart."""
_NOT_DATA: Final = frozenset({"__pycache__", ".git", ".provenance"})
"""Folders whose files are made of others, or are this program's own."""
_TICK_S: Final = 0.05
"""How long the clock of a file system is waited for; that of Linux's own ticks every 10 ms at least."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment by the clock of a folder's file system; `is_past` if what happens after it has a later time."""

    changed_ns: int
    is_past: bool

    def is_before(self, place: Path) -> bool:
        """Whether the file at `place` was last changed (what is in it, its name or links) before the mark was set."""
        changed = changed_ns(place)
        return changed <= self.changed_ns if self.is_past else changed < self.changed_ns


def set_mark(folder: Path) -> Mark:
    """A mark of now. Waits for the next tick of the clock, but not for long; nothing is left in the folder."""
    first, end = _clock_ns(folder), time.monotonic() + _TICK_S
    while True:
        is_past = _clock_ns(folder) > first
        if is_past or time.monotonic() > end:
            return Mark(first, is_past)
        time.sleep(0.001)


def _clock_ns(folder: Path) -> int:
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            return os.fstat(file.fileno()).st_ctime_ns
    except OSError:  # a folder that nobody can write to
        return time.time_ns()


def check_made_since(place: Path, path: str, mark: Mark) -> None:
    """Raise `SourceError` if an output (`path` in its folder), or a file of it, is as it was before the mark."""
    for one in _files_of(place):
        if mark.is_before(one):
            inside = path if one == place else f"{path}/{one.relative_to(place).as_posix()}"
            hint = "remove it, or write elsewhere: what was there before would be taken for the run's work"
            raise SourceError("output was there before the run", expected="a file it made", where=inside, hint=hint)


def _files_of(place: Path) -> Iterator[Path]:
    if place.is_dir():
        for folder, _, files in os.walk(place):
            yield from (Path(folder, name) for name in files)
    else:
        yield place


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
