"""What changed between two sets of files.

Invariants: every path that differs appears in exactly one change; a rename or swap is told from a change of content
by the content's digest; changes are sorted by the UTF-8 bytes of their paths.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from provenance.errors import printable
from provenance.fingerprint.files import FileEntry


class ChangeKind(StrEnum):
    """The five things that can happen to a file."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    RENAMED = "renamed"
    SWAPPED = "swapped"


@dataclass(frozen=True, slots=True)
class Change:
    """One difference. `path` is the expected path (for an added file the found one); `other` the second path of a
    rename (its new name) or swap."""

    kind: ChangeKind
    path: str
    other: str | None = None
    expected: FileEntry | None = None
    found: FileEntry | None = None

    def describe(self) -> str:
        """One line for people."""
        path, other = printable(self.path), printable(self.other or "")
        match self.kind:
            case ChangeKind.RENAMED:
                return f"renamed: {path} is now {other}"
            case ChangeKind.SWAPPED:
                return f"swapped: {path} holds what {other} held, and the other way round"
            case ChangeKind.CHANGED if self.expected and self.found:
                moved = f" (it holds what {other} held)" if other else ""
                return f"changed: {path}{moved}: expected {_content(self.expected)}, found {_content(self.found)}"
            case _:
                return f"{self.kind}: {path}"


def diff_files(expected: Iterable[FileEntry], found: Iterable[FileEntry]) -> tuple[Change, ...]:
    """The changes that lead from `expected` to `found`; empty if they are the same."""
    before = {entry.path: entry for entry in expected}
    after = {entry.path: entry for entry in found}
    changed = [path for path in before.keys() & after.keys() if before[path] != after[path]]
    removed = sorted(before.keys() - after.keys())
    added = sorted(after.keys() - before.keys())
    changes = [*_content_changes(changed, before, after), *_moves(removed, added, before, after)]
    return tuple(sorted(changes, key=lambda change: change.path.encode("utf-8")))


def _content_changes(paths: list[str], before: dict[str, FileEntry], after: dict[str, FileEntry]) -> list[Change]:
    held_by = {_identity(before[path]): path for path in sorted(paths, reverse=True)}
    changes, done = [], set()
    for path in sorted(paths):
        if path in done:
            continue
        source = held_by.get(_identity(after[path]))
        mutual = source is not None and _identity(after[source]) == _identity(before[path])
        if source is not None and mutual and source not in done:
            changes.append(Change(ChangeKind.SWAPPED, path, source, before[path], after[path]))
            done.add(source)
        else:
            changes.append(Change(ChangeKind.CHANGED, path, source, before[path], after[path]))
        done.add(path)
    return changes


def _moves(
    removed: list[str], added: list[str], before: dict[str, FileEntry], after: dict[str, FileEntry]
) -> list[Change]:
    candidates: defaultdict[tuple[bytes, int], list[str]] = defaultdict(list)
    for path in reversed(added):
        candidates[_identity(after[path])].append(path)
    changes, renamed = [], set()
    for path in removed:
        matches = candidates[_identity(before[path])]
        if matches:
            other = matches.pop()
            renamed.add(other)
            changes.append(Change(ChangeKind.RENAMED, path, other, before[path], after[other]))
        else:
            changes.append(Change(ChangeKind.REMOVED, path, expected=before[path]))
    changes += [Change(ChangeKind.ADDED, path, found=after[path]) for path in added if path not in renamed]
    return changes


def _identity(entry: FileEntry) -> tuple[bytes, int]:
    return entry.digest.raw, entry.size


def _content(entry: FileEntry) -> str:
    return f"sha256 {entry.digest.hex[:16]}... ({entry.size} bytes)"
