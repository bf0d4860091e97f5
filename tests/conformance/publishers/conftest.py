"""The kinds of publisher, each with an empty place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True, slots=True)
class Place:
    """Where to publish to, and what is there: bytes by path, and what tells one writing of a file from another."""

    address: str
    files: Callable[[], dict[str, bytes]]
    versions: Callable[[], dict[str, object]]


@pytest.fixture(params=["directory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """An empty place of each kind."""
    return _directory(tmp_path / "published")


def _directory(root: Path) -> Place:
    def paths() -> list[Path]:
        return [path for path in sorted(root.rglob("*")) if path.is_file()]

    return Place(
        str(root),
        lambda: {path.relative_to(root).as_posix(): path.read_bytes() for path in paths()},
        lambda: {str(path): (path.stat().st_ino, path.stat().st_mtime_ns) for path in paths()},
    )
