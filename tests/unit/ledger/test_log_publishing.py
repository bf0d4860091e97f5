"""The ledger's log as files: consistent at every moment, incremental, and never over another log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from provenance.errors import LogError, NotFoundError
from provenance.ledger import Ledger
from provenance.ledger.log_publishing import OtherLogError, Published, publish_log
from provenance.log import open_checkpoint, parse_checkpoint, parse_note, parse_vkey
from provenance.log.following import Follower, Head
from provenance.log.static import StaticPath
from provenance.logs import open_log
from provenance.publishers import open_publisher
from tests.e2e.server.statements import envelope_of, source_key

KEY = source_key(9)


@pytest.fixture
def growing(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.init(tmp_path / "ledger", origin="test.example/log") as made:
        made.keyring.trust_key("someone", KEY.public)
        yield made


def grow(ledger: Ledger, count: int) -> None:
    """Log so many statements more."""
    size = ledger.log.size()
    for number in range(size, size + count):
        ledger.submit(envelope_of(KEY, f"some/thing@{number}", b"%d" % number))


def export(ledger: Ledger, folder: Path) -> Published:
    with closing(open_publisher(str(folder))) as publisher:
        return publish_log(ledger.log, publisher)


def check(folder: Path, ledger: Ledger) -> int:
    """Read the folder back as a stranger does; its size."""
    log = open_log(str(folder))
    note = log.checkpoint()
    head = Head(note, open_checkpoint(note, parse_vkey(ledger.keyring.vkey)))
    entries = [entry for one in Follower(log.read, head).bundles(all_tiles=True) for entry in one.entries]
    assert entries == [row.envelope for row in ledger.log.entries(0, head.checkpoint.size)]
    return len(entries)


def test_a_folder_follows_the_log(growing: Ledger, tmp_path: Path) -> None:
    folder, seen = tmp_path / "public", dict[Path, tuple[int, int]]()
    for more in (1, 1, 253, 2, 44):
        grow(growing, more)
        done = export(growing, folder)
        assert check(folder, growing) == done.size == growing.log.size()
        for path, version in seen.items():
            assert (path.stat().st_ino, path.stat().st_mtime_ns) == version
        files = [path for path in folder.rglob("*") if path.is_file() and path.name != "checkpoint"]
        new = [path for path in files if path not in seen]
        assert done.files == len(new) + 1
        seen = {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}
    again = export(growing, folder)
    assert (again.files, again.bytes, again.since, again.size) == (0, 0, 301, 301)


def test_files_are_what_the_server_gives(growing: Ledger, tmp_path: Path) -> None:
    grow(growing, 3)
    export(growing, tmp_path / "public")
    found = {
        path.relative_to(tmp_path / "public").as_posix(): path.read_bytes()
        for path in (tmp_path / "public").rglob("*")
        if path.is_file()
    }
    assert found.pop("checkpoint") == growing.log.checkpoint().note
    assert found == {name: growing.log.tile(f"/{name}")[0] for name in ("tile/0/000.p/3", "tile/entries/000.p/3")}


class _Watched:
    """A publisher that lets somebody look at the folder after every step."""

    def __init__(self, folder: Path, ledger: Ledger, fails_at: int | None = None) -> None:
        self._inner = open_publisher(str(folder))
        self._folder, self._ledger, self._fails_at, self.steps = folder, ledger, fails_at, 0
        self.label, self.published, self.read, self.close = (
            self._inner.label,
            self._inner.published,
            self._inner.read,
            self._inner.close,
        )
        self.head, self.put_head = self._inner.head, self._inner.put_head

    def _step(self) -> None:
        self.steps += 1
        if (self._folder / "checkpoint").exists():
            check(self._folder, self._ledger)
        if self.steps == self._fails_at:
            raise LogError("gone")

    def put(self, path: StaticPath, data: bytes) -> bool:
        self._step()
        return self._inner.put(path, data)

    def checkpoint(self, note: bytes) -> None:
        self._step()
        self._inner.checkpoint(note)


def test_whoever_reads_at_any_moment_sees_a_consistent_log(growing: Ledger, tmp_path: Path) -> None:
    folder = tmp_path / "public"
    grow(growing, 250)
    export(growing, folder)
    grow(growing, 10)
    step = 0
    while True:
        step += 1
        with closing(_Watched(folder, growing, fails_at=step)) as publisher:
            try:
                publish_log(growing.log, publisher)
                break
            except LogError:
                assert check(folder, growing) == 250
    assert check(folder, growing) == 260
    assert step > 5


def shown(error: OtherLogError) -> tuple[str, int, str, int]:
    theirs, ours = (parse_checkpoint(parse_note(note).text) for note in (error.theirs, error.ours))
    return theirs.origin, theirs.size, ours.origin, ours.size


def test_another_log_is_refused_and_both_checkpoints_are_shown(growing: Ledger, tmp_path: Path) -> None:
    grow(growing, 2)
    with Ledger.init(tmp_path / "second", origin="second.example/log") as second:
        second.keyring.trust_key("someone", KEY.public)
        grow(second, 1)
        export(second, tmp_path / "public")
    before = (tmp_path / "public/checkpoint").read_bytes()
    with pytest.raises(OtherLogError, match="another log") as raised:
        export(growing, tmp_path / "public")
    assert shown(raised.value) == ("second.example/log", 1, "test.example/log", 2)
    assert (tmp_path / "public/checkpoint").read_bytes() == before


def test_another_history_is_refused(growing: Ledger, tmp_path: Path) -> None:
    grow(growing, 3)
    with Ledger.init(tmp_path / "second", origin="test.example/log") as second:
        second.keyring.trust_key("someone", KEY.public)
        second.submit(envelope_of(KEY, "another/thing@1", b"another"))
        export(second, tmp_path / "public")
    with pytest.raises(OtherLogError, match="another history") as raised:
        export(growing, tmp_path / "public")
    assert shown(raised.value) == ("test.example/log", 1, "test.example/log", 3)


def test_a_log_that_went_back_is_not_published(growing: Ledger, tmp_path: Path) -> None:
    grow(growing, 3)
    export(growing, tmp_path / "public")
    with Ledger.init(tmp_path / "second", origin="test.example/log") as second:
        second.keyring.trust_key("someone", KEY.public)
        grow(second, 2)
        with pytest.raises(OtherLogError, match="more than") as raised:
            export(second, tmp_path / "public")
    assert shown(raised.value) == ("test.example/log", 3, "test.example/log", 2)


@pytest.mark.parametrize("note", [b"", b"what\n", b"\xff"])
def test_a_checkpoint_that_makes_no_sense_is_refused(growing: Ledger, tmp_path: Path, note: bytes) -> None:
    grow(growing, 1)
    (tmp_path / "public").mkdir()
    (tmp_path / "public/checkpoint").write_bytes(note)
    with pytest.raises(OtherLogError, match="no checkpoint that can be read") as raised:
        export(growing, tmp_path / "public")
    assert raised.value.theirs == note


def test_an_empty_log_has_nothing_to_publish(growing: Ledger, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="empty"):
        export(growing, tmp_path / "public")
