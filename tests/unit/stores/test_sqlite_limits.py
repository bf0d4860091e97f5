"""A disk that is full and a folder that cannot be written."""

from __future__ import annotations

import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from provenance.errors import StoreError
from provenance.stores import BlobStore, open_store
from provenance.stores.sqlite import SqliteStore
from tests.conformance.stores.samples import append, assert_whole, envelope
from tests.paths import PROJECT


@contextmanager
def largest_file(max_bytes: int) -> Iterator[None]:
    """No file of this process may grow beyond `max_bytes`: writes fail as on a full disk, half done."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (max_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("max_bytes", [150_000, 151_111, 200_000, 300_007])
def test_a_disk_that_fills_up_loses_nothing_acknowledged(tmp_path: Path, max_bytes: int) -> None:
    path = tmp_path / "ledger.db"
    with open_store(path, create=True) as store:
        acknowledged = 0
        with largest_file(max_bytes), pytest.raises(StoreError) as raised:
            for _ in range(1_000):
                with store.transaction() as tx:
                    size = append(tx, [envelope(i) for i in range(acknowledged, acknowledged + 7)]).size
                acknowledged = size
        assert raised.value.hint and "acknowledged is safe" in raised.value.hint
        assert acknowledged > 0
        assert assert_whole(store) == acknowledged
        with store.transaction() as tx:
            append(tx, [envelope(i) for i in range(acknowledged, acknowledged + 7)])
        assert assert_whole(store) == acknowledged + 7
    with open_store(path) as store:
        assert assert_whole(store) == acknowledged + 7
        assert store.check() == []


def test_a_full_database_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "ledger.db"
    open_store(path, create=True).close()

    def small(self: SqliteStore, original=SqliteStore._open_writer) -> sqlite3.Connection:  # type: ignore[no-untyped-def]
        connection: sqlite3.Connection = original(self)
        connection.execute("PRAGMA max_page_count = 60")
        return connection

    monkeypatch.setattr(SqliteStore, "_open_writer", small)
    with open_store(path) as store:
        with store.transaction() as tx:
            append(tx, [b"fits"])
        with pytest.raises(StoreError, match="disk is full") as raised, store.transaction() as tx:
            append(tx, [b"x" * 60_000] * 20)
        assert raised.value.hint
        with pytest.raises(StoreError, match="nothing was stored"), store.transaction() as tx:
            append(tx, [b"fits too"])
            with pytest.raises(StoreError, match="disk is full"):
                append(tx, [b"x" * 60_000] * 20)
        assert assert_whole(store) == 1
        with store.transaction() as tx:
            append(tx, [b"fits too"])
        assert assert_whole(store) == 2


def test_a_transaction_the_engine_gave_up_does_not_commit_its_rest(tmp_path: Path) -> None:
    """What SQLite does by itself on some failures: roll back. Later statements must not run outside of it."""
    with open_store(tmp_path / "ledger.db", create=True) as store:
        with pytest.raises(StoreError), store.transaction() as tx:
            append(tx, [b"first"])
            tx._live().execute("ROLLBACK")  # type: ignore[attr-defined]
            with pytest.raises(StoreError, match="over"):
                append(tx, [b"second"])
            with pytest.raises(StoreError, match="over"):
                tx.clear_index()
        assert store.size() == 0
        with store.transaction() as tx:
            append(tx, [b"third"])
        assert store.size() == 1


def test_a_disk_that_is_full_for_blobs(tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path / "blobs", create=True)
    with largest_file(10_000):
        kept = blobs.put(b"small")
        with pytest.raises(StoreError) as raised:
            blobs.put(bytes(100_000))
    assert raised.value.hint
    assert list(blobs) == [kept]
    assert blobs.fsck().unfinished == ()


UNPRIVILEGED = """
import os, sys
from pathlib import Path
from provenance.errors import StoreError
from provenance.stores import BlobStore, open_store
from provenance.stores.sqlite import SqliteStore
from tests.conformance.stores.samples import append, assert_whole
from provenance.encoding import Digest

folder = Path(sys.argv[1])
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)

def refused(work):
    try:
        work()
    except StoreError as error:
        assert error.hint, error
        return
    raise AssertionError("not refused")

def write(store):
    with store.transaction() as tx:
        append(tx, [b"x"])

path = folder / "ledger.db"
def open_and_write():
    with open_store(path) as store:
        write(store)

refused(open_and_write)
refused(lambda: open_store(folder / "new.db", create=True))
refused(lambda: BlobStore(folder / "new", create=True))
if sys.argv[2] == "closed":
    with open_store(path, read_only=True) as store:
        assert assert_whole(store) == 300
        assert store.check() == []
        refused(lambda: write(store))
else:
    refused(lambda: open_store(path, read_only=True))
blobs = BlobStore(folder / "blobs")
assert blobs.get(Digest.of(b"kept"), max_bytes=10) == b"kept"
assert blobs.put(b"kept") == Digest.of(b"kept")
refused(lambda: blobs.put(b"new"))
refused(lambda: blobs.remove(Digest.of(b"kept")))
refused(lambda: blobs.get(Digest.of(b"secret"), max_bytes=10))
print("done")
"""


@pytest.mark.parametrize("left", ["closed", "open"])
def test_a_folder_that_cannot_be_written(ledger: Path, left: str) -> None:
    """As another user, for whom folder and files are read-only: nothing is written, and what is closed can be read."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "ledger.db").write_bytes(ledger.read_bytes())
        blobs = BlobStore(folder / "blobs", create=True)
        blobs.put(b"kept")
        blobs.put(b"secret")
        if left == "open":
            (folder / "ledger.db-wal").write_bytes(b"frames that nobody copied")
        for path in folder.rglob("*"):
            path.chmod(0o555 if path.is_dir() else 0o444)
        (secret,) = [
            path for path in (folder / "blobs").rglob("*") if path.is_file() and path.read_bytes() == b"secret"
        ]
        secret.chmod(0)
        folder.chmod(0o555)
        before = sorted(str(path) for path in folder.rglob("*"))
        command = [sys.executable, "-c", UNPRIVILEGED, name, left]
        done = subprocess.run(command, cwd=PROJECT, capture_output=True, timeout=60, env=_environment())
        assert done.stdout == b"done\n", done.stderr.decode()
        assert sorted(str(path) for path in folder.rglob("*")) == before
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o700)


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(PROJECT), "PYTHONDONTWRITEBYTECODE": "1"}
