"""What changed between two sets of files.

Invariants: every path that differs appears in exactly one change; a rename or swap is told from a change of content
by the content's digest; changes are sorted by the UTF-8 bytes of their paths.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from provenance.errors import printable
from provenance.fingerprint.files import FileEntry

_Identity: TypeAlias = tuple[bytes, int]
"""What a file holds, whatever its name: digest and size."""


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
    rename (its new name) or swap; for a changed file the path that held what it holds now, if there was one."""

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
    changes = [*_content_changes(changed, removed, before, after), *_moves(removed, added, before, after)]
    return tuple(sorted(changes, key=lambda change: change.path.encode("utf-8")))


def _content_changes(
    paths: list[str], removed: list[str], before: dict[str, FileEntry], after: dict[str, FileEntry]
) -> list[Change]:
    swapped = _swaps(paths, before, after)
    held_by = {_identity(before[path]): path for path in sorted([*paths, *removed], reverse=True)}
    changes = []
    for path in paths:
        old, new = before[path], after[path]
        partner = swapped.get(path)
        if partner is None:
            # Every empty file holds what another one held: that says nothing.
            source = held_by.get(_identity(new)) if new.size else None
            changes.append(Change(ChangeKind.CHANGED, path, source, old, new))
        elif path < partner:
            changes.append(Change(ChangeKind.SWAPPED, path, partner, old, new))
    return changes


def _swaps(paths: list[str], before: dict[str, FileEntry], after: dict[str, FileEntry]) -> dict[str, str]:
    """Each path of a swap and its partner: what went from X to Y, paired in order with what went from Y to X."""
    moved: defaultdict[tuple[_Identity, _Identity], list[str]] = defaultdict(list)
    for path in sorted(paths):
        moved[_identity(before[path]), _identity(after[path])].append(path)
    return {
        path: partner
        for (old, new), group in moved.items()
        for path, partner in zip(group, moved.get((new, old), ()), strict=False)
    }


def _moves(
    removed: list[str], added: list[str], before: dict[str, FileEntry], after: dict[str, FileEntry]
) -> list[Change]:
    candidates: defaultdict[_Identity, list[str]] = defaultdict(list)
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


def _identity(entry: FileEntry) -> _Identity:
    return entry.digest.raw, entry.size


def _content(entry: FileEntry) -> str:
    return f"{entry.algorithm} {entry.digest.hex[:16]}... ({entry.size} bytes)"
