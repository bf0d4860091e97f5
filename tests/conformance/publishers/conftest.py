"""The kinds of publisher, each with an empty place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.simulators.s3_server import BUCKET, forget, free_port, name_endpoint, objects, s3_server


@dataclass(frozen=True, slots=True)
class Place:
    """Where to publish to, and what is there: bytes by path, and what tells one writing of a file from another."""

    address: str
    files: Callable[[], dict[str, bytes]]
    versions: Callable[[], dict[str, object]]


@pytest.fixture(params=["directory", "s3", "s3 with a prefix"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """An empty place of each kind."""
    if request.param == "directory":
        yield _directory(tmp_path / "published")
        return
    port = free_port()
    name_endpoint(monkeypatch, tmp_path, port)
    with s3_server(port) as client:
        yield _bucket(client, "logs/ours" if "prefix" in request.param else "")
    forget()


def _directory(root: Path) -> Place:
    def paths() -> list[Path]:
        return [path for path in sorted(root.rglob("*")) if path.is_file()]

    return Place(
        str(root),
        lambda: {path.relative_to(root).as_posix(): path.read_bytes() for path in paths()},
        lambda: {str(path): (path.stat().st_ino, path.stat().st_mtime_ns) for path in paths()},
    )


def _bucket(client: Any, prefix: str) -> Place:
    below = f"{prefix}/" if prefix else ""
    return Place(
        f"s3://{BUCKET}/{prefix}",
        lambda: {name: one["Body"] for name, one in objects(client, below).items()},
        lambda: {name: one["LastModified"] for name, one in objects(client, below).items()},
    )
