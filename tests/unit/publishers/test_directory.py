"""A folder that a log is published to: atomic, durable, one writer at a time."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from provenance.errors import ConflictError, LogError, MalformedError
from provenance.log import EntriesPath, TilePath
from provenance.publishers import open_publisher


def test_one_process_writes_at_a_time(tmp_path: Path) -> None:
    with closing(open_publisher(str(tmp_path))), pytest.raises(LogError, match="another process"):
        open_publisher(str(tmp_path))
    open_publisher(f"file://{tmp_path}").close()


def test_files_are_for_a_web_server_to_read(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        with closing(open_publisher(str(tmp_path / "new"))) as publisher:
            publisher.put(TilePath(0, 0), b"x")
            publisher.checkpoint(b"note\n")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new/tile/0/000").stat().st_mode) == 0o644
    assert stat.S_IMODE((tmp_path / "new/tile/0").stat().st_mode) == 0o755


@pytest.mark.parametrize("fails", ["write", "fsync", "replace"])
def test_what_fails_leaves_no_file_and_no_draft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise OSError(28, "No space left on device")

    with closing(open_publisher(str(tmp_path))) as publisher:
        publisher.checkpoint(b"before\n")
        if fails == "write":
            monkeypatch.setattr("provenance.publishers.directory.os.fdopen", _full_disk)
        elif fails == "fsync":
            monkeypatch.setattr("provenance.publishers.directory.os.fsync", refuse)
        else:
            monkeypatch.setattr("pathlib.Path.replace", refuse)
        actions: tuple[Callable[[], object], ...] = (
            lambda: publisher.put(TilePath(0, 0), b"x"),
            lambda: publisher.checkpoint(b"after\n"),
        )
        for action in actions:
            with pytest.raises(LogError, match="No space"):
                action()
        monkeypatch.undo()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / "checkpoint"]
    assert (tmp_path / "checkpoint").read_bytes() == b"before\n"


def _full_disk(descriptor: int, _mode: str) -> object:
    os.close(descriptor)
    raise OSError(28, "No space left on device")


def test_everything_is_synced_before_the_checkpoint_appears(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[tuple[str, str]] = []
    fsync, replace = os.fsync, Path.replace

    def note_sync(descriptor: int) -> None:
        done.append(("sync", str(Path(f"/proc/self/fd/{descriptor}").readlink())))
        fsync(descriptor)

    def note_replace(self: Path, target: Path) -> Path:
        done.append(("rename", str(target)))
        return replace(self, target)

    monkeypatch.setattr("provenance.publishers.directory.os.fsync", note_sync)
    monkeypatch.setattr("pathlib.Path.replace", note_replace)
    root = tmp_path / "new"
    with closing(open_publisher(str(root))) as publisher:
        publisher.put(EntriesPath(0), b"x")
        publisher.checkpoint(b"note\n")
    tile, last = root / "tile/entries/000", done.index(("rename", str(root / "checkpoint")))
    renamed = done.index(("rename", str(tile)))
    assert done[renamed - 1][0] == "sync" and ".new-" in done[renamed - 1][1]
    for folder in (tile.parent, root / "tile", root, tmp_path):
        assert renamed < done.index(("sync", str(folder)), renamed) < last
    assert done[last + 1 :] == [("sync", str(root))]


def test_a_killed_process_leaves_nothing_for_long(tmp_path: Path) -> None:
    (tmp_path / ".new-abc").write_bytes(b"half")
    open_publisher(str(tmp_path)).close()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    with pytest.raises(ConflictError, match="no log"):
        open_publisher(str(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["letters"]


def test_a_place_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for address in (str(tmp_path / "file"), str(tmp_path / "file" / "below"), "/proc/nowhere"):
        with pytest.raises(LogError, match="cannot publish"):
            open_publisher(address)


@pytest.mark.parametrize("address", ["", "ftp://x/y", "http://example.org", "x" * 3_000])
def test_other_addresses_are_refused(address: str) -> None:
    with pytest.raises(MalformedError, match="not a place"):
        open_publisher(address)
